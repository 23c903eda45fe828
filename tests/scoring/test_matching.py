"""Pairs of gold and predicted entities, held to a literal search and to nervaluate."""

import doctest
import random
from itertools import pairwise, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spacy_btl.scoring.matching
from spacy_btl.scoring.matching import KINDS, confusion, count_kinds, count_matches, match_entities
from spacy_btl.scoring.matching import most_pairs as found_pairs


def ent(label, *bounds):
    """Return ("A", 0, 3, 5, 7) as label A, fragments 0 to 3 and 5 to 7."""
    return label, tuple(pairwise(bounds))[::2]


def characters(entity):
    return {i for start, end in entity[1] for i in range(start, end)}


def overlap(a, b):
    return bool(characters(a) & characters(b))


def most_points(gold, predicted, points):
    """Return the most that a one-to-one assignment gets, by trying all of them."""
    gold, predicted = sorted(set(gold)), sorted(set(predicted))
    if len(gold) > len(predicted):
        gold, predicted = predicted, gold
    return max(
        sum(points(g, p) for g, p in zip(gold, chosen, strict=True))
        for chosen in permutations(predicted, len(gold))
    )


def literal_counts(gold, predicted):
    """Return exact, exact + partial / 2, and type, each as the assignment that gets most of it."""
    return (
        most_points(gold, predicted, lambda g, p: g[1] == p[1]),
        most_points(gold, predicted, lambda g, p: 1 if g[1] == p[1] else overlap(g, p) / 2),
        most_points(gold, predicted, lambda g, p: g[0] == p[0] and overlap(g, p)),
    )


def kind_of(gold, predicted):
    return KINDS[(gold[0] != predicted[0]) + 2 * (gold[1] != predicted[1])]


def flat_entities(rng, n, length=60, labels="AB"):
    """Return entities that do not overlap, in the order of the text."""
    cuts = sorted(rng.sample(range(length), 2 * n))
    return [ent(rng.choice(labels), *bounds) for bounds in zip(cuts[::2], cuts[1::2], strict=True)]


def entities(most=4):
    bounds = st.lists(st.integers(0, 9), min_size=2, max_size=4, unique=True).map(sorted)
    one = st.builds(lambda label, at: ent(label, *at), st.sampled_from("AB"), bounds)
    return st.lists(one, max_size=most)


# What SemEval 2013 task 9.1 makes of a pair: exact, partial (correct, partial), type.
SCENARIOS = [
    ([ent("A", 0, 7)], [ent("A", 0, 7)], "correct", (1, 0, 1)),
    ([], [ent("A", 0, 7)], "spurious", (0, 0, 0)),
    ([ent("A", 0, 7)], [], "missed", (0, 0, 0)),
    ([ent("A", 0, 7)], [ent("B", 0, 7)], "wrong type", (1, 0, 0)),
    ([ent("A", 3, 7)], [ent("A", 0, 7)], "wrong bounds", (0, 1, 1)),
    ([ent("A", 3, 7)], [ent("B", 0, 7)], "wrong type and bounds", (0, 1, 0)),
]


@pytest.mark.parametrize(("gold", "predicted", "kind", "counts"), SCENARIOS)
def test_one_pair(gold, predicted, kind, counts):
    assert count_matches(gold, predicted) == counts
    (match,) = match_entities(gold, predicted)
    assert match == (kind, *(gold or [None]), *(predicted or [None]))


@pytest.mark.parametrize(
    ("gold", "predicted", "counts"),
    [
        ([], [], (0, 0, 0)),
        ([ent("A", 0, 3)], [ent("A", 3, 5)], (0, 0, 0)),  # side by side
        ([ent("A", 0, 3)] * 2, [ent("A", 0, 3)] * 2, (1, 0, 1)),  # the same twice is one
        # One gold entity has one answer, one prediction answers one gold entity.
        ([ent("A", 0, 9)], [ent("A", 0, 3), ent("A", 5, 7)], (0, 1, 1)),
        ([ent("A", 0, 3), ent("A", 5, 7)], [ent("A", 0, 9)], (0, 1, 1)),
        # Two labels on the same bounds are two entities.
        ([ent("A", 0, 3), ent("B", 0, 3)], [ent("B", 0, 3)], (1, 0, 1)),
        ([ent("A", 0, 3), ent("B", 0, 3)], [ent("C", 0, 3), ent("B", 1, 3)], (1, 1, 1)),
        # The nested one finds its own answer, whoever else overlaps it.
        ([ent("A", 0, 9), ent("A", 2, 4)], [ent("A", 2, 4), ent("A", 6, 9)], (1, 1, 2)),
        # The first prediction must give way for both gold entities to be answered.
        ([ent("A", 0, 3), ent("A", 4, 7)], [ent("A", 2, 6), ent("A", 5, 7)], (0, 2, 2)),
        # In a gap between fragments there is nothing to share.
        ([ent("A", 0, 3, 6, 9)], [ent("A", 3, 6)], (0, 0, 0)),
        ([ent("A", 0, 3, 6, 9)], [ent("A", 0, 9)], (0, 1, 1)),
        ([ent("A", 0, 3, 6, 9)], [ent("B", 0, 3, 6, 9)], (1, 0, 0)),
        # Offsets outside of the text, or backwards: found by nobody.
        ([ent("A", 900, 950), ent("A", 9, 3)], [ent("A", 3, 9)], (0, 0, 0)),
    ],
)
def test_counts(gold, predicted, counts):
    assert count_matches(gold, predicted) == counts
    assert count_matches(predicted, gold) == counts


@settings(max_examples=200, deadline=None)
@given(entities(), entities(), st.randoms(use_true_random=False))
def test_counts_are_those_of_the_best_assignment(gold, predicted, rng):
    exact, partial, same_type = counts = count_matches(gold, predicted)
    assert (exact, exact + partial / 2, same_type) == literal_counts(gold, predicted)
    rng.shuffle(gold)
    rng.shuffle(predicted)
    assert count_matches(gold, predicted) == counts


@settings(max_examples=200, deadline=None)
@given(entities(), entities(), st.randoms(use_true_random=False))
def test_every_entity_is_told_once_and_no_step_could_do_more(gold, predicted, rng):
    matches = match_entities(gold, predicted)
    assert sorted(m.gold for m in matches if m.gold) == sorted(set(gold))
    assert sorted(m.predicted for m in matches if m.predicted) == sorted(set(predicted))
    for match in matches:
        if match.gold is None or match.predicted is None:
            assert match.kind == ("spurious" if match.gold is None else "missed")
        else:
            assert overlap(match.gold, match.predicted)
            assert match.kind == kind_of(match.gold, match.predicted)
    for i, kind in enumerate(KINDS[:4]):
        free = [m for m in matches if m.kind in KINDS[i:]]
        sides = [m.gold for m in free if m.gold], [m.predicted for m in free if m.predicted]
        possible = most_points(*sides, lambda g, p, k=kind: overlap(g, p) and kind_of(g, p) == k)
        assert count_kinds(matches)[kind] == possible
    rng.shuffle(gold)
    rng.shuffle(predicted)
    assert match_entities(gold, predicted) == matches


@pytest.mark.parametrize("seed", range(20))
def test_kinds_and_scores_agree_where_nothing_overlaps(seed):
    rng = random.Random(seed)
    gold, predicted = flat_entities(rng, 9), flat_entities(rng, 8)
    predicted += [e for e in gold if not any(overlap(e, p) for p in predicted)]
    exact, partial, same_type = count_matches(gold, predicted)
    kinds = count_kinds(match_entities(gold, predicted))
    assert kinds["correct"] == len(set(gold) & set(predicted))
    assert kinds["correct"] + kinds["wrong type"] == exact
    assert kinds["correct"] + kinds["wrong bounds"] == same_type
    assert kinds["wrong bounds"] + kinds["wrong type and bounds"] <= partial


@pytest.mark.parametrize(
    ("gold", "predicted", "pairs"),
    [
        # Bounds come before the type, the type before the overlap.
        (
            [ent("A", 0, 4)],
            [ent("A", 1, 4), ent("B", 0, 4)],
            [("wrong type", ent("A", 0, 4), ent("B", 0, 4)), ("spurious", None, ent("A", 1, 4))],
        ),
        (
            [ent("A", 0, 9)],
            [ent("B", 0, 8), ent("A", 8, 12)],
            [
                ("spurious", None, ent("B", 0, 8)),
                ("wrong bounds", ent("A", 0, 9), ent("A", 8, 12)),
            ],
        ),
        # Of two answers the one that shares more; of equals the first.
        (
            [ent("A", 0, 9)],
            [ent("A", 0, 2), ent("A", 3, 8)],
            [("spurious", None, ent("A", 0, 2)), ("wrong bounds", ent("A", 0, 9), ent("A", 3, 8))],
        ),
        (
            [ent("A", 0, 9)],
            [ent("A", 6, 8), ent("A", 0, 2)],
            [("wrong bounds", ent("A", 0, 9), ent("A", 0, 2)), ("spurious", None, ent("A", 6, 8))],
        ),
        # Unless another gold entity can have no other.
        (
            [ent("A", 0, 6), ent("A", 7, 9)],
            [ent("A", 0, 2), ent("A", 3, 8)],
            [
                ("wrong bounds", ent("A", 0, 6), ent("A", 0, 2)),
                ("wrong bounds", ent("A", 7, 9), ent("A", 3, 8)),
            ],
        ),
    ],
)
def test_who_answers_whom(gold, predicted, pairs):
    assert match_entities(gold, predicted) == pairs


def test_long_chain_of_overlaps():
    """Each prediction overlaps two gold entities; the last one moves all the others."""
    gold = [ent("A", 10 * i, 10 * i + 10) for i in range(3000)]
    predicted = [ent("A", 10 * i + 6, 10 * i + 16) for i in range(2999)] + [ent("A", 0, 3)]
    assert count_matches(gold, predicted) == (0, 3000, 3000)
    assert count_kinds(match_entities(gold, predicted))["wrong bounds"] == 3000


@pytest.mark.parametrize(
    ("edges", "n_pairs"),
    [([], 0), ([(0, 5)], 1), ([(0, 5), (1, 5)], 1), ([(0, 5), (0, 6), (1, 5)], 2)],
)
def test_most_pairs(edges, n_pairs):
    pairs = found_pairs(edges)
    assert len(pairs) == len(set(pairs.values())) == n_pairs
    assert set(pairs.items()) <= set(edges)


def test_kinds_in_order():
    matches = match_entities([ent("A", 0, 3), ent("B", 5, 9)], [ent("A", 0, 3), ent("C", 20, 22)])
    assert list(count_kinds(matches).items()) == [
        ("correct", 1),
        ("wrong type", 0),
        ("wrong bounds", 0),
        ("wrong type and bounds", 0),
        ("missed", 1),
        ("spurious", 1),
    ]


def test_confusion():
    gold = [ent("A", 0, 3), ent("A", 10, 13), ent("B", 20, 23), ent("B", 30, 33)]
    predicted = [ent("A", 0, 2), ent("B", 10, 13), ent("B", 20, 23), ent("A", 40, 43)]
    assert confusion(match_entities(gold, predicted)) == {
        "": {"A": 1},
        "A": {"A": 1, "B": 1},
        "B": {"": 1, "B": 1},
    }


def test_examples_in_the_docstrings():
    result = doctest.testmod(spacy_btl.scoring.matching)
    assert (result.failed, result.attempted > 0) == (0, True)


# Against nervaluate. It goes through the predictions in their order, and each takes an exact match,
# else the first gold entity it overlaps that is still free.


def by_nervaluate(gold, predicted):
    """Correct and partial pairs by its ways to match; offsets there include the end."""
    evaluator = pytest.importorskip("nervaluate").Evaluator
    documents = [
        [[{"label": label, "start": at[0][0], "end": at[0][1] - 1} for label, at in each]]
        for each in (gold, predicted)
    ]
    results = evaluator(*documents, tags=["A", "B", "C"], loader="dict").evaluate()
    overall = results["overall"]
    return {
        "strict": overall["strict"].correct,
        "counts": (
            overall["exact"].correct,
            overall["partial"].partial,
            overall["ent_type"].correct,
        ),
        "type_by_tag": sum(tag["ent_type"].correct for tag in results["entities"].values()),
        "partial_f": overall["partial"].f1,
        "type_f": overall["ent_type"].f1,
    }


@pytest.mark.parametrize("seed", range(60))
def test_nervaluate_agrees_on_flat_documents(seed):
    rng = random.Random(seed)
    gold = flat_entities(rng, rng.randrange(1, 12), labels="ABC")
    predicted = flat_entities(rng, rng.randrange(1, 12), labels="ABC")
    predicted = [p for p in predicted if not any(overlap(p, g) for g in gold[::3])]
    predicted = sorted(predicted + gold[::3], key=lambda e: e[1])
    theirs, ours = by_nervaluate(gold, predicted), count_matches(gold, predicted)
    assert len(set(gold) & set(predicted)) == theirs["strict"]
    assert ours[:2] == theirs["counts"][:2]
    both = len(gold) + len(predicted)
    assert (2 * ours.exact + ours.partial) / both == pytest.approx(theirs["partial_f"])
    # The type scores are the same unless there is a choice: see the cases below.
    assert theirs["counts"][2] <= ours.type
    if most_answers(gold, predicted, overlap) <= 1:
        assert ours.type == theirs["counts"][2]
        assert 2 * ours.type / both == pytest.approx(theirs["type_f"])
    if most_answers(gold, predicted, lambda g, p: g[0] == p[0] and overlap(g, p)) <= 1:
        assert ours.type == theirs["type_by_tag"]


def most_answers(gold, predicted, fits):
    """Return how many entities of the other side fit one, at most."""
    table = [[fits(g, p) for p in predicted] for g in gold]
    return max(map(sum, [*table, *zip(*table, strict=True)]))


@pytest.mark.parametrize(
    ("gold", "predicted", "theirs", "ours"),
    [
        # Type: the first prediction, of the wrong type, takes the gold entity of the second.
        ([ent("A", 0, 9)], [ent("B", 0, 3), ent("A", 4, 8)], (0, 1, 0), (0, 1, 1)),
        # Type: the nearest gold entity is taken, though the next prediction has no other.
        (
            [ent("A", 0, 3), ent("A", 4, 9)],
            [ent("A", 2, 8), ent("A", 8, 9)],
            (0, 2, 1),
            (0, 2, 2),
        ),
        # Overlapping gold: the outer one is the first that the prediction overlaps, so the inner
        # one, of its type, is left over and the next prediction finds the outer one taken.
        (
            [ent("A", 0, 9), ent("B", 0, 4)],
            [ent("B", 1, 3), ent("A", 5, 9)],
            (0, 1, 2),
            (0, 2, 2),
        ),
        # Overlapping predictions: the first takes what the second matches exactly.
        ([ent("A", 0, 4)], [ent("A", 0, 9), ent("A", 0, 4)], (0, 1, 1), (1, 0, 1)),
        # Less than a hundredth of a gold entity is not an overlap.
        ([ent("A", 0, 200)], [ent("A", 199, 210)], (0, 0, 0), (0, 1, 1)),
    ],
)
def test_nervaluate_departs_from_the_best_assignment(gold, predicted, theirs, ours):
    found = by_nervaluate(gold, predicted)
    assert found["counts"] == theirs
    assert count_matches(gold, predicted) == ours
    exact, partial, same_type = ours
    assert (exact, exact + partial / 2, same_type) == literal_counts(gold, predicted)


def test_nervaluate_depends_on_the_order_of_overlapping_gold():
    gold = [ent("A", 0, 9), ent("A", 0, 4)]
    predicted = [ent("A", 0, 3), ent("A", 6, 9)]
    assert by_nervaluate(gold, predicted)["counts"] == (0, 1, 2)
    assert by_nervaluate(gold[::-1], predicted)["counts"] == (0, 2, 2)
    assert count_matches(gold, predicted) == count_matches(gold[::-1], predicted) == (0, 2, 2)
