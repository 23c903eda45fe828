"""Resampling of documents, held to plain loops and to scipy."""

import itertools

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_btl.scoring.statistics import (
    bootstrap_intervals,
    compare,
    holm,
    paired_permutation_test,
    standardized_difference,
)


def f1(sums):
    """Return F1 and recall of counts (n, 3); F1 is not linear in the counts."""
    gold, predicted, correct = sums.T
    with np.errstate(invalid="ignore"):
        return np.stack([2 * correct / (gold + predicted), correct / gold], axis=1)


def mean_correct(sums):
    """Return a mean over documents, each with a count of 1 in the first column."""
    return sums[:, 2:] / sums[:, :1]


def random_counts(seed, n=12):
    """Return two systems on the same documents, the first one better."""
    rng = np.random.default_rng(seed)
    gold = rng.integers(1, 20, n)
    systems = []
    for share in (0.7, 0.6):
        correct = rng.binomial(gold, share)
        systems.append(np.stack([gold, correct + rng.binomial(gold, 0.3), correct], 1))
    return [each.astype(float) for each in systems]


def test_bootstrap_equals_draws_one_by_one():
    counts, _ = random_counts(0)
    draws = np.random.default_rng(5).multinomial(12, np.full(12, 1 / 12), size=60)
    plain = []
    for draw in draws:
        drawn = [counts[i] for i, times in enumerate(draw) for _ in range(times)]
        plain.append(f1(np.sum(drawn, axis=0)[None])[0])
    intervals = bootstrap_intervals(counts, f1, samples=60, level=0.8, seed=5)
    np.testing.assert_allclose(intervals, np.percentile(plain, [10, 90], axis=0).T)


def test_bootstrap_is_that_of_scipy_but_for_the_draws():
    counts, _ = random_counts(1, n=30)
    ours = bootstrap_intervals(counts, f1, samples=20_000)[0]
    theirs = scipy.stats.bootstrap(
        (np.arange(30),),
        lambda i: f1(counts[i].sum(axis=0)[None])[0, 0],
        vectorized=False,
        n_resamples=2000,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    assert ours == pytest.approx([theirs.low, theirs.high], abs=0.01)


def test_interval_holds_the_score_and_narrows_with_the_level():
    counts, _ = random_counts(1, n=40)
    scores = f1(counts.sum(axis=0)[None])[0]
    wide = bootstrap_intervals(counts, f1, level=0.99)
    narrow = bootstrap_intervals(counts, f1, level=0.5)
    for (low, high), (inner_low, inner_high), score in zip(wide, narrow, scores, strict=True):
        assert 0 < low < inner_low < score < inner_high < high < 1


def test_one_seed_gives_the_same_interval():
    counts, _ = random_counts(2)
    again = bootstrap_intervals(counts, f1, seed=3)
    assert (bootstrap_intervals(counts, f1, seed=3) == again).all()
    assert (bootstrap_intervals(counts, f1, seed=4) != again).all()


@pytest.mark.parametrize(
    ("counts", "interval"),
    [
        ([[3, 4, 2]], [4 / 7, 4 / 7]),  # one document: every draw is the document itself
        ([[3, 3, 3], [2, 2, 2]], [1, 1]),
        ([[3, 0, 0], [2, 0, 0]], [0, 0]),
        ([[1, 1, 1], [0, 0, 0]], [1, 1]),  # draws without anything have no score
        ([[0, 0, 0]], [np.nan, np.nan]),
    ],
)
def test_degenerate_bootstraps(counts, interval):
    found = bootstrap_intervals(np.array(counts, dtype=float), f1)[0]
    np.testing.assert_allclose(found, interval)


@pytest.mark.parametrize("options", [{"samples": 0}, {"level": 0}, {"level": 1}, {"level": 95}])
def test_bootstrap_refuses(options):
    with pytest.raises(ValueError, match="interval"):
        bootstrap_intervals(np.ones((2, 3)), f1, **options)


@pytest.mark.parametrize("seed", range(5))
def test_every_swap_by_hand(seed):
    first, second = random_counts(seed, n=5)
    seen = np.abs(f1(first.sum(0)[None]) - f1(second.sum(0)[None]))[0]
    as_great = np.zeros(2)
    for swaps in itertools.product([False, True], repeat=5):
        mask = np.array(swaps)[:, None]
        a, b = np.where(mask, second, first), np.where(mask, first, second)
        as_great += np.abs(f1(a.sum(0)[None]) - f1(b.sum(0)[None]))[0] >= seen - 1e-12
    np.testing.assert_allclose(paired_permutation_test(first, second, f1), as_great / 32)


def permutation_by_scipy(first, second, figure, n_resamples):
    both = np.stack([first, second])

    def statistic(a, b):
        sums = (both[i.astype(int), np.arange(len(i))].sum(0)[None] for i in (a, b))
        one, other = (f1(each)[0, figure] for each in sums)
        return one - other

    which = np.zeros(len(first)), np.ones(len(first))
    return scipy.stats.permutation_test(
        which,
        statistic,
        permutation_type="samples",
        vectorized=False,
        n_resamples=n_resamples,
        rng=np.random.default_rng(0),
    ).pvalue


@pytest.mark.parametrize("figure", [0, 1])
@pytest.mark.parametrize("seed", range(3))
def test_exact_test_is_that_of_scipy(seed, figure):
    first, second = random_counts(seed, n=8)
    ours = paired_permutation_test(first, second, f1)[figure]
    assert ours == pytest.approx(permutation_by_scipy(first, second, figure, np.inf))


def test_drawn_test_is_that_of_scipy_but_for_the_draws():
    first, second = random_counts(4, n=20)
    ours = paired_permutation_test(first, second, f1, samples=20_000)[0]
    assert ours == pytest.approx(permutation_by_scipy(first, second, 0, 2000), abs=0.03)
    assert 0 < ours < 1


def test_drawn_and_exact_tests_agree():
    first, second = random_counts(6, n=11)
    exact = paired_permutation_test(first, second, f1, samples=2048)
    drawn = paired_permutation_test(first, second, f1, samples=2047)
    np.testing.assert_allclose(drawn, exact, atol=0.04)


@pytest.mark.parametrize(
    ("n", "samples", "p"),
    [
        (1, 10_000, 1),  # a swap turns the sign, no more
        (3, 10_000, 2 / 8),  # only to swap all or none is as great
        (13, 10_000, 2 / 8192),
        (40, 999, 1 / 1000),  # never 0: the outcome seen is one of the draws
    ],
)
def test_smallest_p(n, samples, p):
    first = np.tile([1.0, 1.0, 1.0], (n, 1))
    second = np.tile([1.0, 1.0, 0.0], (n, 1))
    assert paired_permutation_test(first, second, f1, samples=samples)[0] == pytest.approx(p)


def test_equal_systems():
    counts, _ = random_counts(0)
    outcome = compare(counts, counts, f1, samples=500)
    for values, expected in (
        (outcome.difference, 0),
        (outcome.low, 0),
        (outcome.high, 0),
        (outcome.effect, np.nan),
        (outcome.p, 1),
    ):
        np.testing.assert_allclose(values, [expected] * 2)


def test_p_is_uniform_where_the_systems_are_alike():
    """Level kept: a p of at most 0.1 comes about in a tenth of the cases."""
    rng = np.random.default_rng(0)
    p = []
    for _ in range(300):
        gold = rng.integers(1, 20, 10)
        tables = [rng.binomial(gold, 0.6) for _ in range(2)]
        systems = [np.stack([gold, gold, correct], 1).astype(float) for correct in tables]
        p.append(paired_permutation_test(*systems, f1)[0])
    assert np.mean(np.array(p) <= 0.1) == pytest.approx(0.1, abs=0.05)
    assert np.mean(np.array(p) <= 0.5) == pytest.approx(0.5, abs=0.09)


@pytest.mark.parametrize("seed", range(3))
def test_effect_of_a_mean_is_cohens_d_of_the_pairs(seed):
    rng = np.random.default_rng(seed)
    one, other = rng.random((2, 9))
    tables = [np.stack([np.ones(9), np.ones(9), each], 1) for each in (one, other)]
    effect = standardized_difference(*tables, mean_correct)
    expected = (one - other).mean() / (one - other).std(ddof=1)
    np.testing.assert_allclose(effect, [expected])


def test_effect_grows_with_no_number_of_documents():
    first, second = random_counts(3, n=50)
    once = standardized_difference(first, second, f1)
    thrice = standardized_difference(np.tile(first, (3, 1)), np.tile(second, (3, 1)), f1)
    np.testing.assert_allclose(thrice, once, rtol=0.05)
    assert (once > 0).all()
    np.testing.assert_allclose(standardized_difference(second, first, f1), -once)


def test_comparison_is_made_of_its_parts():
    first, second = random_counts(7)
    outcome = compare(first, second, f1, samples=800, seed=2)
    difference = f1(first.sum(0)[None])[0] - f1(second.sum(0)[None])[0]
    np.testing.assert_allclose(outcome.difference, difference)
    np.testing.assert_allclose(outcome.effect, standardized_difference(first, second, f1))
    p = paired_permutation_test(first, second, f1, samples=800, seed=2)
    np.testing.assert_allclose(outcome.p, p)
    # Both systems are drawn together: what moves both moves the difference little.
    alone = bootstrap_intervals(first, f1, samples=800)
    assert (outcome.low < difference).all()
    assert (difference < outcome.high).all()
    more = first + np.array([0, 1, 0])
    shared = compare(first, more, f1, samples=800)
    assert (shared.high - shared.low < (alone[:, 1] - alone[:, 0]))[0]


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (np.ones((3, 3)), np.ones((2, 3)), r"counts of \(3, 3\) and \(2, 3\) documents"),
        (np.ones((3, 3)), np.ones((3, 6)), "one call of count_tables"),
        (np.ones((0, 3)), np.ones((0, 3)), "there are no documents to draw from"),
    ],
)
@pytest.mark.parametrize("test", [compare, paired_permutation_test, standardized_difference])
def test_tables_that_do_not_fit(test, first, second, message):
    with pytest.raises(ValueError, match=message):
        test(first, second, f1)


@pytest.mark.parametrize(
    ("p", "adjusted"),
    [
        ([], []),
        ([0.03], [0.03]),
        ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]),
        ([0.01, 0.02, 0.03], [0.03, 0.04, 0.04]),
        ([0.2, 0.6, 0.5], [0.6, 1, 1]),
        ([0.05, 0.05], [0.1, 0.1]),
        ([np.nan, 0.01, 0.04], [np.nan, 0.02, 0.04]),
    ],
)
def test_holm(p, adjusted):
    np.testing.assert_allclose(holm(p), adjusted)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_rejects_what_its_steps_reject(p):
    """Go up from the smallest p, stop at the first that is above level / (comparisons left)."""
    for level in (0.01, 0.05, 0.3):
        rejected = set()
        for step, i in enumerate(np.argsort(p, kind="stable")):
            if p[i] * (len(p) - step) > level:
                break
            rejected.add(i)
        assert set(np.flatnonzero(holm(p) <= level)) == rejected
