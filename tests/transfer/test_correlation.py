from itertools import permutations
from math import isnan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from spacy_btl.transfer.correlation import correlate


@pytest.mark.parametrize(
    ("predicted", "gains", "targets", "rho"),
    [
        ([1, 2, 3], [1, 2, 3], "aaa", 1),
        ([1, 2, 3], [30, 20, 10], "aaa", -1),
        # The order between targets does not count.
        ([1, 2, 101, 102], [5, 6, 1, 2], "aabb", 1),
        ([1, 2, 101, 102], [5, 6, 2, 1], "aabb", 0),
        # A target with one source is left out.
        ([1, 2, 3], [1, 2, 0], "aab", 1),
    ],
)
def test_rho(predicted, gains, targets, rho):
    assert correlate(predicted, gains, list(targets)).rho == pytest.approx(rho)


@pytest.mark.parametrize(
    ("predicted", "targets"), [([2, 2, 2], "aaa"), ([1, 2, 3], "abc"), ([], "")]
)
def test_undefined(predicted, targets):
    found = correlate(predicted, [float(i) for i in range(len(predicted))], list(targets))
    assert isnan(found.rho)
    assert isnan(found.p)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=3, max_size=12))
def test_equals_scipy_for_one_target(pairs):
    first, second = (np.array(column, dtype=float) for column in zip(*pairs, strict=True))
    found = correlate(first, second, ["a"] * len(first), permutations=10)
    if len(set(first)) == 1 or len(set(second)) == 1:
        assert isnan(found.rho)
    else:
        assert found.rho == pytest.approx(spearmanr(first, second).statistic)


def test_p_equals_all_permutations():
    predicted, gains = [1, 2, 3, 4, 5], [2, 1, 3, 5, 4]
    every = [spearmanr(order, gains).statistic for order in permutations(predicted)]
    exact = np.mean(np.abs(every) >= abs(spearmanr(predicted, gains).statistic) - 1e-12)
    found = correlate(predicted, gains, ["a"] * 5, permutations=20_000)
    assert found.p == pytest.approx(exact, abs=0.01)
