"""Votes of tokens whose documents do not annotate all types, against a count vote by vote."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_btl.labels.bio import MISSING, OUTSIDE, column_names
from spacy_btl.labels.layers import OPEN, distinct_rows, row_names, row_votes_to_layers
from spacy_btl.labels.open_votes import (
    is_outside,
    label_tokens,
    open_name,
    plain_labels,
    votes_to_columns,
)

TYPES = ["Age", "Drug"]


@st.composite
def neighbors(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Return columns of some tokens, and the types that their documents annotate."""
    n = draw(st.integers(1, 12))
    gold = np.array(
        draw(st.lists(st.sampled_from([-1, 0, 0, 0, 1, 2, 3, 4]), min_size=n, max_size=n))
    )
    annotated = np.array(
        draw(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=n, max_size=n))
    )
    for token, label in enumerate(gold.tolist()):
        if label > 0:
            annotated[token, (label - 1) // 2] = True
    return gold, annotated


def literal_shares(gold: np.ndarray, annotated: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Count one vote after another, each type among those that do not abstain from it."""
    shares = np.zeros(5)
    for column in range(1, 5):
        own = voting = 0.0
        for label, knows, weight in zip(gold, annotated, weights, strict=True):
            if label == MISSING:
                continue
            own += weight * (label == column)
            voting += weight * (label != OUTSIDE or knows[(column - 1) // 2])
        shares[column] = own / voting if voting else 0.0
    shares[0] = max(1 - shares.sum(), 0)
    return shares / shares.sum()


@given(neighbors(), st.integers(0, 100))
def test_shares_are_those_of_a_count_vote_by_vote(tokens, seed):
    gold, annotated = tokens
    labels, places = label_tokens(gold, annotated, plain_labels(2))
    assert ((places == MISSING) == (gold == MISSING)).all()
    known = places != MISSING
    assert (labels.columns[places[known]] == gold[known]).all()
    weights = np.random.default_rng(seed).random(len(gold)) + 0.01
    weights *= known
    if not known.any():
        return
    weights /= weights.sum()
    votes = np.bincount(places[known], weights[known], minlength=len(labels.columns))[None]
    found = votes_to_columns(votes, labels, 2)[0]
    assert found == pytest.approx(literal_shares(gold, annotated, weights))


@given(neighbors())
def test_where_all_types_are_annotated_the_columns_are_the_labels(tokens):
    gold, annotated = tokens
    labels, places = label_tokens(gold, np.ones_like(annotated), plain_labels(2))
    assert places.tolist() == gold.tolist()
    assert labels.names(TYPES) == column_names(TYPES)
    assert not labels.is_open
    votes = np.random.default_rng(0).random((7, 5)).astype(np.float32)
    assert votes_to_columns(votes, labels, 2).tobytes() == votes.tobytes()


@given(neighbors(), neighbors())
def test_labels_keep_their_number_when_tokens_and_types_come_later(first, second):
    before, _ = label_tokens(*first, plain_labels(2))
    gold, annotated = second
    annotated = np.column_stack((annotated, np.ones(len(gold), bool)))
    after, _ = label_tokens(gold, annotated, before)
    n = len(before.columns)
    assert after.columns[:n].tolist() == before.columns.tolist()
    assert after.annotated[:n, :2].tolist() == before.annotated.tolist()
    assert (after.annotated[:n, 2] == before.annotated.all(axis=1)).all()
    names = after.names([*TYPES, "Sex"])
    assert len(set(names)) == len(names)
    assert {"B-Sex", "I-Sex"} <= set(names)


def test_an_open_label_is_named_after_what_it_abstains_from():
    annotated = np.array([[True, False], [False, False], [True, True]])
    labels, places = label_tokens(np.array([0, 0, 1]), annotated, plain_labels(2))
    names = labels.names(TYPES)
    assert [names[i] for i in places] == ["O + ?-Drug", "O + ?-Age + ?-Drug", "B-Age"]
    assert [is_outside(name) for name in names] == [True, *[False] * 4, True, True]
    assert open_name("B-Age", TYPES, [False, False]) == "B-Age"


@pytest.mark.parametrize(
    ("votes", "expected"),  # O, B-Age, I-Age, B-Drug, I-Drug, O of Age alone, O of Drug alone
    [
        ([0, 0, 0, 0, 0, 1, 0], [1, 0, 0, 0, 0]),
        ([0, 0.5, 0, 0, 0, 0, 0.5], [0, 1, 0, 0, 0]),
        ([0, 0.25, 0, 0, 0, 0.25, 0.5], [0.5, 0.5, 0, 0, 0]),
        ([0.25, 0.25, 0, 0, 0, 0, 0.5], [0.5, 0.5, 0, 0, 0]),
        ([0, 0.5, 0, 0, 0.5, 0, 0], [0, 0.5, 0, 0, 0.5]),
        ([0, 0.2, 0, 0.2, 0, 0.3, 0.3], [3 / 7, 2 / 7, 0, 2 / 7, 0]),
    ],
)
def test_shares(votes, expected):
    labels, _ = label_tokens(np.zeros(2, int), np.array([[1, 0], [0, 1]], bool), plain_labels(2))
    order = [0, 1, 2, 3, 4, *(5 + np.argsort([not row[0] for row in labels.annotated[5:]]))]
    placed = np.zeros((1, 7))
    placed[0, order] = votes
    found = votes_to_columns(placed, labels, 2)[0]
    assert found == pytest.approx(expected)


# Rows of layers.


def test_open_rows_abstain_in_their_layers():
    rows = np.array([[0, 0], [1, OPEN], [0, OPEN], [OPEN, 2]])
    assert row_names(rows, TYPES) == ["O", "B-Age + ?-Drug", "O + ?-Drug", "I-Drug + ?-Age"]
    votes = np.array([[0.4, 0.3, 0.3, 0.0], [0.0, 0.5, 0.5, 0.0], [1, 0, 0, 0], [0, 0, 0, 1.0]])
    layers = row_votes_to_layers(votes, rows)
    expected = [
        [[0.7, 0.3, 0], [1, 0, 0]],
        [[0.5, 0.5, 0], [1, 0, 0]],
        [[1, 0, 0], [1, 0, 0]],
        [[1, 0, 0], [0, 0, 1]],
    ]
    assert layers == pytest.approx(np.array(expected))


def test_rows_without_an_open_label_are_counted_as_before():
    rows = np.array([[0, 0], [1, 0], [2, 1]])
    votes = np.random.default_rng(0).random((5, 3)).astype(np.float32)
    plain = np.stack([votes @ (rows == label).astype(np.float32) for label in range(3)], axis=2)
    assert row_votes_to_layers(votes, rows).tobytes() == plain.tobytes()


def test_open_rows_stay_open_for_types_that_come_later():
    known = np.array([[0, 1], [0, OPEN]])
    rows, indices = distinct_rows(np.array([[0, 1, 0], [0, MISSING, 0], [0, OPEN, OPEN]]), known)
    assert rows.tolist() == [[0, 1, 0], [0, OPEN, OPEN]]
    assert indices.tolist() == [0, -1, 1]
