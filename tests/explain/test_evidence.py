"""Votes gathered into training examples."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spacy_btl.explain.evidence import NEARBY, Neighbor, TrainingExample, summarize, type_of
from spacy_btl.explain.passages import Passage
from spacy_btl.explain.text import describe_example
from tests.helpers.evidence import CORPUS, LONG, entity, vote

REACH = 4 + NEARBY


@pytest.mark.parametrize(
    ("label", "kind"),
    [("B-Dosage", "Dosage"), ("I-Dosage", "Dosage"), ("O", "O"), ("B-B-cell", "B-cell"), ("", "")],
)
def test_type_of(label, kind):
    assert type_of(label) == kind


@pytest.mark.parametrize(
    ("neighbors", "places"),
    [
        ([], []),
        ([("B-Dosage", "a", 5)], [("a", (5,))]),
        # The same token, as neighbor of two tokens.
        ([("B-Dosage", "a", 5), ("B-Dosage", "a", 5)], [("a", (5,))]),
        ([("B-Dosage", "a", 5), ("I-Dosage", "a", 7)], [("a", (5, 7))]),
        ([("I-Dosage", "a", 7), ("B-Dosage", "a", 5)], [("a", (5, 7))]),
        ([("I-Dosage", "a", 5), ("I-Dosage", "a", 5 + REACH)], [("a", (5, 5 + REACH))]),
        ([("I-Dosage", "a", 5), ("I-Dosage", "a", 6 + REACH)], [("a", (5,)), ("a", (6 + REACH,))]),
        # Nearness is counted from the first: places do not grow without end.
        (
            [("O", "a", 0), ("O", "a", REACH), ("O", "a", 2 * REACH)],
            [("a", (0, REACH)), ("a", (2 * REACH,))],
        ),
        # A B- begins an entity.
        ([("B-Dosage", "a", 5), ("B-Dosage", "a", 7)], [("a", (5,)), ("a", (7,))]),
        ([("I-Dosage", "a", 5), ("B-Dosage", "a", 7)], [("a", (5,)), ("a", (7,))]),
        ([("B-Dosage", "a", 5), ("I-Dosage", "b", 7)], [("a", (5,)), ("b", (7,))]),
        ([("B-Dosage", "a", 5), ("I-Date", "a", 7)], [("a", (5,)), ("a", (7,))]),
        ([("B-Dosage", "a", 5), ("O", "a", 6), ("I-Dosage", "a", 7)], [("a", (5, 7)), ("a", (6,))]),
    ],
)
def test_places_without_a_corpus(neighbors, places):
    summary = summarize(entity([vote(*n) for n in neighbors]), n_examples=9, n_opposing=9)
    found = [(e.document, e.offsets) for e in (*summary.supporting, *summary.opposing)]
    assert sorted(found) == sorted(places)
    assert sum(e.votes for e in (*summary.supporting, *summary.opposing)) == len(neighbors)


@pytest.mark.parametrize(
    ("neighbors", "places"),
    [
        # One annotated entity is one example however long it is, two are two however near.
        ([("B-Dosage", "a", 0), ("I-Dosage", "a", 100)], [(0, 100)]),
        ([("I-Dosage", "a", 100), ("I-Dosage", "a", 200)], [(100,), (200,)]),
        # Nested ones: that of the neighbor's own type.
        ([("B-Date", "a", 202), ("I-Date", "a", 204)], [(202, 204)]),
        ([("B-Time", "a", 202), ("I-Date", "a", 204)], [(202,), (204,)]),
        # None of the neighbor's type there, and no such document: near ones.
        ([("O", "a", 200), ("O", "a", 202)], [(200, 202)]),
        ([("I-Age", "a", 200), ("I-Age", "a", 202)], [(200, 202)]),
        ([("B-Dosage", "z", 0), ("I-Dosage", "z", 100)], [(0,), (100,)]),
    ],
)
def test_places_with_a_corpus(neighbors, places):
    explained = entity([vote(*n) for n in neighbors])
    summary = summarize(explained, {"a": LONG}, n_examples=9, n_opposing=9)
    assert sorted(e.offsets for e in (*summary.supporting, *summary.opposing)) == places


def test_votes_and_examples_of_two_tokens():
    first = [vote("B-Dosage", "case-1", 13, 2.0), vote("B-Dosage", "case-2", 23, 3.0)]
    first += [vote("O", "case-1", 3, 4.0), vote("B-Dosage", "gone", 7, 5.0)]
    second = [vote("I-Dosage", "case-1", 17, 1.0), vote("I-Dosage", "case-2", 26, 1.5)]
    second += [vote("B-Medication", "case-1", 23, 6.0), vote("O", "case-1", 3, 7.0)]
    summary = summarize(entity(first, second), CORPUS)
    assert summary.votes == (("Dosage", 0.625, 5), ("O", 0.25, 2), ("Medication", 0.125, 1))
    assert [(e.document, e.offsets, e.share, e.distance) for e in summary.supporting] == [
        ("case-1", (13, 17), 0.25, 1.0),
        ("case-2", (23, 26), 0.25, 1.5),
        ("gone", (7,), 0.125, 5.0),
    ]
    assert [(e.label, e.votes) for e in summary.opposing] == [("O", 2), ("Medication", 1)]
    assert [e.passage is None for e in summary.supporting] == [False, False, True]
    assert not any(e.contradicted for e in summary.supporting)
    assert summary.n_supporting == 3


@pytest.mark.parametrize(
    ("shares", "distances", "order"),
    [
        ((0.5, 0.3, 0.2), (3.0, 2.0, 1.0), "abc"),
        ((0.2, 0.3, 0.5), (1.0, 2.0, 3.0), "cba"),
        ((0.3, 0.3, 0.4), (2.0, 1.0, 9.0), "cba"),
        ((0.3, 0.3, 0.3), (1.0, 1.0, 1.0), "abc"),
        ((0.1 + 0.2, 0.3, 0.3), (3.0, 2.0, 1.0), "cba"),  # rounding is not a difference
    ],
)
def test_order(shares, distances, order):
    votes = [
        vote("B-Dosage", name, 0, d, s) for name, s, d in zip("abc", shares, distances, strict=True)
    ]
    assert "".join(e.document for e in summarize(entity(votes)).supporting) == order
    best = summarize(entity(votes), n_examples=2)
    assert "".join(e.document for e in best.supporting) == order[:2]
    assert best.n_supporting == 3


neighbors = st.builds(
    Neighbor,
    label=st.sampled_from(["O", "B-Dosage", "I-Dosage", "B-Medication"]),
    distance=st.floats(0, 9),
    document=st.sampled_from(["case-1", "case-2", "gone"]),
    offset=st.integers(0, 60),
    share=st.floats(0, 1),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.lists(neighbors, max_size=8), min_size=1, max_size=3), st.randoms())
def test_nothing_is_lost_and_order_does_not_matter(tokens, rng: random.Random):
    explained = entity(*tokens)
    shuffled = entity(*(rng.sample(token, len(token)) for token in tokens))
    for corpus in (None, CORPUS):
        summary = summarize(explained, corpus, n_examples=99, n_opposing=99)
        assert summary == summarize(shuffled, corpus, n_examples=99, n_opposing=99)
        examples = [*summary.supporting, *summary.opposing]
        total = sum(n.share for token in tokens for n in token) / len(tokens)
        assert sum(e.share for e in examples) == pytest.approx(total)
        assert sum(v.share for v in summary.votes) == pytest.approx(total)
        assert sum(e.votes for e in examples) == sum(map(len, tokens))
        assert (summary.n_supporting, len(summary.votes)) == (
            len(summary.supporting),
            len({type_of(n.label) for token in tokens for n in token}),
        )


@pytest.mark.parametrize(
    ("label", "passage", "contradicted"),
    [
        ("Dosage", None, False),
        ("Dosage", Passage("5 mg", (), (0, 4, "Dosage"), False, False), False),
        ("Dosage", Passage("5 mg", (), (0, 4, "Date"), False, False), True),
        ("Dosage", Passage("5 mg", (), None, False, False), True),
        ("O", Passage("5 mg", (), None, False, False), False),
        ("O", Passage("5 mg", (), (0, 4, "Date"), False, False), False),
    ],
)
def test_contradicted(label, passage, contradicted):
    example = TrainingExample(label, "case-1", (0,), 0.5, 1.0, 1, passage)
    assert example.contradicted is contradicted
    assert ("no Dosage there" in describe_example(example)) is contradicted


@pytest.mark.parametrize(
    "shares", [[1.0000000037], [0.5, 0.5000001], [0.25], [1 / 3 + 1e-8] * 3, [0.0]], ids=str
)
def test_rounding_takes_no_share_out_of_its_range(shares):
    votes = [vote("B-Dosage", "case-1", 0, share=share) for share in shares]
    summary = summarize(entity(votes))
    expected = pytest.approx(min(sum(shares), 1.0))
    for found in (*summary.votes, *summary.supporting):
        assert 0 <= found.share <= 1
        assert found.share == expected
