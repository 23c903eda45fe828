import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_btl.scoring.reliability import (
    error_by_chance,
    expected_calibration_error,
    reliability_by_type,
    reliability_figures,
    reliability_table,
    wilson_interval,
)


def votes(seed, n=400):
    """Return scores as votes give them, on few values, and outcomes less sure than they."""
    rng = np.random.default_rng(seed)
    scores = rng.binomial(5, 0.8, n) / 5
    return scores, rng.random(n) < 0.7 * scores


@pytest.mark.parametrize(
    ("correct", "count", "low", "high"),
    [
        (0, 0, 0.0, 1.0),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (5, 10, 0.2366, 0.7634),
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, table I
        (15, 148, 0.0624, 0.1605),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval(correct, count, low, high):
    assert wilson_interval(correct, count) == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize(
    ("scores", "correct", "n_bins", "rows"),
    [
        # each row: lowest, highest, mean score, share correct, entities
        ([], [], 10, []),
        ([0.4], [True], 10, [(0.4, 0.4, 0.4, 1.0, 1)]),
        ([0.1, 0.3, 0.6, 0.8], [0, 1, 1, 1], 2, [(0.1, 0.3, 0.2, 0.5, 2), (0.6, 0.8, 0.7, 1.0, 2)]),
        ([0.8, 0.1, 0.6, 0.3], [1, 0, 1, 1], 2, [(0.1, 0.3, 0.2, 0.5, 2), (0.6, 0.8, 0.7, 1.0, 2)]),
        ([0.1, 0.3, 0.6, 0.8], [0, 1, 1, 0], 1, [(0.1, 0.8, 0.45, 0.5, 4)]),
        # Equal scores stay together, even if that leaves bins empty.
        (
            [0.5, 1.0, 1.0, 1.0],
            [0, 1, 0, 1],
            4,
            [(0.5, 0.5, 0.5, 0.0, 1), (1.0, 1.0, 1.0, 2 / 3, 3)],
        ),
        ([1.0] * 6, [1, 1, 1, 0, 0, 0], 3, [(1.0, 1.0, 1.0, 0.5, 6)]),
    ],
)
def test_table(scores, correct, n_bins, rows):
    table = reliability_table(scores, np.array(correct, dtype=bool), n_bins)
    found = [(r.low, r.high, r.mean_score, r.fraction_correct, r.n_entities) for r in table]
    assert len(found) == len(rows)
    for ours, expected in zip(found, rows, strict=True):
        assert ours == pytest.approx(expected)
    for row in table:
        n_correct = round(row.fraction_correct * row.n_entities)
        assert row.interval == wilson_interval(n_correct, row.n_entities)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(1, 12))
def test_bins_hold_all_in_order_and_none_is_far_too_large(seed, n, n_bins):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 18, n) / 17
    correct = rng.random(n) < 0.5
    table = reliability_table(scores, correct, n_bins)
    assert sum(row.n_entities for row in table) == n
    assert sum(row.fraction_correct * row.n_entities for row in table) == pytest.approx(
        correct.sum()
    )
    assert all(a.high < b.low for a, b in pairwise(table))
    most = max(np.unique(scores, return_counts=True)[1])
    assert max(row.n_entities for row in table) <= math.ceil(n / n_bins) + most
    shuffled = rng.permutation(n)
    again = reliability_table(scores[shuffled], correct[shuffled], n_bins)
    assert [row.n_entities for row in again] == [row.n_entities for row in table]
    assert expected_calibration_error(scores[shuffled], correct[shuffled], n_bins) == pytest.approx(
        expected_calibration_error(scores, correct, n_bins)
    )


@pytest.mark.parametrize(
    ("scores", "correct", "error"),
    [
        ([1.0, 1.0], [True, True], 0.0),
        ([1.0, 1.0], [True, False], 0.5),
        ([0.5, 0.5], [True, False], 0.0),
        ([0.2, 0.8], [True, False], 0.8),
        ([0.2] * 5 + [0.9] * 5, [True, *[False] * 4, *[False] * 5], 0.45),
    ],
)
def test_expected_calibration_error(scores, correct, error):
    assert expected_calibration_error(scores, correct) == pytest.approx(error)


def test_nothing_to_measure():
    assert math.isnan(expected_calibration_error([], []))
    assert math.isnan(error_by_chance([]))
    assert reliability_by_type([], [], []) == {}


@pytest.mark.parametrize("n", [200, 2000])
def test_error_by_chance_is_what_true_probabilities_show(n):
    rng = np.random.default_rng(n)
    scores = rng.beta(2, 1, n)
    drawn = [expected_calibration_error(scores, rng.random(n) < scores) for _ in range(200)]
    assert error_by_chance(scores) == pytest.approx(np.mean(drawn), rel=0.1)


def test_sure_scores_leave_nothing_to_chance():
    assert error_by_chance([0.0, 1.0, 1.0]) == 0.0


def test_by_type():
    scores = np.array([0.9] * 60 + [0.2] * 40 + [0.5] * 29)
    types = ["A"] * 60 + ["B"] * 40 + ["C"] * 29
    correct = np.array([True] * 30 + [False] * 30 + [True] * 8 + [False] * 32 + [True] * 29)
    found = reliability_by_type(scores, types, correct)
    assert list(found) == ["A", "B"]
    assert found["A"][:2] == pytest.approx((0.9, 0.5))
    assert found["A"].interval == wilson_interval(30, 60)
    assert [found[name].n_entities for name in "AB"] == [60, 40]
    assert [found[name].error for name in "AB"] == pytest.approx([0.4, 0.0])
    assert found["B"].chance == pytest.approx(math.sqrt(2 / math.pi * 0.2 * 0.8 / 40))
    assert list(reliability_by_type(scores, types, correct, min_count=1)) == ["A", "B", "C"]


@pytest.mark.parametrize(
    ("scores", "correct", "n_bins", "message"),
    [
        ([0.5, 0.5], [True], 10, "do not match"),
        ([[0.5]], [[True]], 10, "do not match"),
        ([1.5], [True], 10, "between 0 and 1"),
        ([float("nan")], [True], 10, "between 0 and 1"),
        ([0.5], [True], 0, "0 bins"),
    ],
)
def test_inputs_that_do_not_fit(scores, correct, n_bins, message):
    for function in (reliability_table, expected_calibration_error, reliability_figures):
        with pytest.raises(ValueError, match=message):
            function(scores, correct, n_bins)


def test_types_that_do_not_fit():
    with pytest.raises(ValueError, match="2 scores and 1 types"):
        reliability_by_type([0.5, 0.5], ["A"], [True, True])


def test_figures_of_scores():
    scores, correct = votes(0)
    figures = reliability_figures(scores, correct)
    assert figures["entities"] == sum(figures["histogram"]) == 400
    assert figures["error"] == expected_calibration_error(scores, correct)
    assert figures["chance"] == error_by_chance(scores)
    assert figures["brier"] == pytest.approx(np.mean((scores - correct) ** 2))
    rows = reliability_table(scores, correct)
    assert [row["mean_score"] for row in figures["bins"]] == [row.mean_score for row in rows]
    assert reliability_figures([], []) == {}
    assert len(reliability_figures([0.1, 0.9], [True, True], n_bins=1)["bins"]) == 1
