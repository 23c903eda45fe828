"""Candidates, their features, and judges that have not seen the annotation they judge."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from spacy_btl.audit.candidates import (
    Beliefs,
    distinct,
    emptiness,
    find_candidates,
    judge_by_others,
    log_odds,
    parts_of,
    rivals,
)
from spacy_btl.labels import calibration
from spacy_btl.labels.confidence import span_scores
from tests.helpers.audited import DRUG, GOLD, PROBLEM, beliefs

PROBABILITIES = arrays.arrays(
    np.float64,
    st.tuples(st.integers(1, 6), st.just(5)),
    elements=st.floats(0.01, 1),
).map(lambda array: array / array.sum(axis=1, keepdims=True))


def every_span(n_tokens: int, n_types: int) -> list[tuple[int, int, int]]:
    return [
        (start, end, kind)
        for start in range(n_tokens)
        for end in range(start + 1, n_tokens + 1)
        for kind in range(n_types)
    ]


@given(PROBABILITIES, st.sampled_from([0.01, 0.1, 0.3]))
def test_all_spans_of_a_raw_score_are_candidates(array: Any, least: float) -> None:
    spans = every_span(len(array), 2)
    scores = span_scores(array, spans)
    found = {tuple(each) for each in find_candidates(Beliefs.of(array), least).tolist()}
    assert found >= {
        span for span, score in zip(spans, scores, strict=True) if score > least * 1.01
    }
    assert found <= {
        span for span, score in zip(spans, scores, strict=True) if score > least * 0.99
    }


@given(PROBABILITIES)
def test_log_odds_are_those_of_the_calibration(array: Any) -> None:
    spans = every_span(len(array), 2)
    lengths = [end - start for start, end, _ in spans]
    found = log_odds(Beliefs.of(array), np.array(spans))
    raw = span_scores(array, spans)
    expected = calibration._log_odds(raw, [""] * len(spans), np.array(lengths))
    np.testing.assert_allclose(np.clip(found, -6.9, 6.9), np.clip(expected, -6.9, 6.9), atol=1e-3)


def test_layers_are_read_as_flat_columns_are() -> None:
    flat = beliefs(10, GOLD)
    layers = np.stack([flat[:, [0, 1, 2]], flat[:, [0, 3, 4]]], axis=1)
    for one, other in zip(Beliefs.of(flat), Beliefs.of(layers), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("layered", [False, True])
def test_rivals_share_a_token(layered: bool) -> None:
    rng = np.random.default_rng(0)
    spans = distinct(np.array(every_span(6, 2))[rng.permutation(42)[:25]])
    values = rng.normal(size=len(spans))
    expected = [
        max(
            (
                values[j]
                for j, other in enumerate(spans)
                if j != i
                and own[0] < other[1]
                and other[0] < own[1]
                and (not layered or own[2] == other[2])
            ),
            default=-np.inf,
        )
        for i, own in enumerate(spans)
    ]
    assert rivals(spans, values, layered=layered).tolist() == expected


def test_rivals_of_none() -> None:
    assert rivals(np.zeros((0, 3), dtype=np.int64), np.zeros(0)).tolist() == []


def test_emptiness_is_lower_in_an_entity() -> None:
    spans = np.array([(2, 3, DRUG), (2, 3, PROBLEM), (3, 5, DRUG)])
    inside, other, outside = emptiness(Beliefs.of(beliefs(10, GOLD)), spans)
    assert inside < -3 < other
    assert outside == pytest.approx(other)


def test_a_document_is_judged_by_others_only() -> None:
    """The annotation of a document has no part in what is said of it."""
    rng = np.random.default_rng(1)
    documents = np.repeat(np.arange(10), 30)
    features = rng.normal(size=(300, 2))
    targets = features[:, 0] + 0.3 * rng.normal(size=300) > 0
    free = np.ones(300, dtype=bool)
    before = judge_by_others(features, targets, documents, free)
    own = documents == 3
    after = judge_by_others(features, np.where(own, ~targets, targets), documents, free)
    np.testing.assert_allclose(before[own], after[own])
    assert not np.allclose(before[~own], after[~own])
    assert np.corrcoef(before, features[:, 0])[0, 1] > 0.9


@pytest.mark.parametrize("value", [True, False])
def test_where_all_are_alike_the_judge_says_the_rate(value: bool) -> None:
    found = judge_by_others(
        np.zeros((4, 1)), np.full(4, value), np.array([0, 0, 1, 1]), np.ones(4, dtype=bool)
    )
    assert len(set(found.tolist())) == 1
    assert (found[0] > 0) == value


def test_parts() -> None:
    assert parts_of([2, 0, 3]) == [slice(0, 2), slice(2, 2), slice(2, 5)]
