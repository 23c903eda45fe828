"""Damage is what it says, the same every time, and rankings are judged by it."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from experiments.audit import by_loss, columns, rounded
from experiments.damage import KINDS, Damage, Place, Text, damage, figures, hits, recall_by_kind

WORDS = ("she", "takes", "aspirin", "daily", "for", "chest", "pain", "and", "fever", "today", "5")
ENTITIES = [(2, 3, 0), (5, 7, 1), (8, 9, 2)]
TEXTS = [Text(WORDS, ENTITIES) for _ in range(50)]


def test_it_is_the_same_every_time_and_another_for_another_seed() -> None:
    assert damage(TEXTS, 0.1, 3) == damage(TEXTS, 0.1, 3)
    assert damage(TEXTS, 0.1, 3) != damage(TEXTS, 0.1, 4)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.1])
def test_kinds_take_turns(share: float) -> None:
    _, done = damage(TEXTS, share, 0)
    assert len(done) == round(share * 150)
    numbers = Counter(each.kind for each in done)
    assert max(numbers.values(), default=0) - min((numbers[k] for k in KINDS), default=0) <= 1


def test_each_error_is_one_of_its_kind() -> None:
    entities, done = damage(TEXTS, 0.2, 1)
    undone = [set(own) for own in entities]
    for each in done:
        own = undone[each.document]
        if each.after:
            own.remove(each.after)
        if each.before:
            own.add(each.before)
        before, after = each.before, each.after
        match each.kind:
            case "missed":
                assert after is None
            case "surplus":
                assert before is None and after is not None
                assert "5" not in WORDS[after[0] : after[1]] or after[1] - after[0] > 1
            case "wrong bounds":
                assert before is not None and after is not None
                assert before[2] == after[2]
                moved = abs(before[0] - after[0]) + abs(before[1] - after[1])
                assert 1 <= moved <= 2
            case _:
                assert before is not None and after is not None
                assert before[:2] == after[:2] and before[2] != after[2]
    assert undone == [set(ENTITIES)] * len(TEXTS)
    for own in entities:  # nothing overlaps
        assert all(a[1] <= b[0] for a, b in pairwise(own))


def test_only_recurring_words_become_inconsistent() -> None:
    texts = [Text((f"word{i}",), [(0, 1, i % 2)]) for i in range(20)]
    _, done = damage(texts, 0.5, 0)
    assert {each.kind for each in done} == {"missed", "wrong type"}  # nor is a word free


ERRORS = [
    Damage("missed", 0, (2, 4, 0), None),
    Damage("wrong bounds", 0, (6, 8, 0), (6, 9, 0)),
    Damage("surplus", 1, None, (0, 1, 0)),
]


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([], []),
        ([Place(0, 0, 2), Place(0, 3, 5)], [False, True]),
        ([Place(0, 8, 9)], [True]),  # where it is now
        ([Place(0, 2, 3), Place(0, 3, 4), Place(1, 0, 1)], [True, True]),  # one is known by then
        ([Place(2, 0, 1), Place(0, 0, 9)], [False, True]),
    ],
)
def test_hits(places: list[Place], expected: list[bool]) -> None:
    assert list(hits(places, ERRORS)) == expected


def test_figures() -> None:
    ranking = [Place(0, 2, 3), Place(5, 0, 1), Place(1, 0, 1), Place(5, 2, 3)]
    found = figures(ranking, ERRORS, at=(1, 2, 10))
    assert rounded(found) == {"p1": 1.0, "p2": 0.5, "p10": 0.2, "ap": round((1 + 2 / 3) / 3, 4)}
    assert figures([], ERRORS, at=(5,)) == {"p5": 0.0, "ap": 0.0}
    assert recall_by_kind(ranking, ERRORS) == {"missed": 1, "surplus": 1, "wrong bounds": 0}


def test_places_by_loss() -> None:
    spans = [[(0, 1, 0)], [(1, 2, 0)]]
    labels = [columns(own, 3) for own in spans]
    assert [each.tolist() for each in labels] == [[1, 0, 0], [0, 1, 0]]
    sure = np.array([[0.1, 0.8, 0.1], [0.9, 0.05, 0.05], [0.04, 0.9, 0.06]])
    doubt = np.array([[0.9, 0.05, 0.05], [0.7, 0.2, 0.1], [0.9, 0.05, 0.05]])
    found = by_loss(spans, labels, [sure, doubt])
    assert found == [Place(0, 2, 3), Place(1, 1, 2), Place(0, 0, 1)]
    assert by_loss(spans, labels, [sure, doubt], with_predicted=False) == found[1:]
