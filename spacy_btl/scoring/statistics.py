"""How sure a score is, and whether one system is better than another: resampling of documents.

A document is a vector of counts, and a score a function of summed vectors, so that one sum over
drawn documents serves every score. Documents are what is drawn, because the entities of one are not
independent. Pure arrays:

counts: (n_documents, width), as `scoring.counts.count_tables` gives; the tables of several seeds
    of one system may be added first.
score: from summed counts (n, width) to figures (n, n_figures), such as
    `scoring.scores.figure_array`. Not a number where a figure is not defined.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Score = Callable[[Floats], Floats]

BLOCK = 1000
"""Draws that are held at once."""


class Comparison(NamedTuple):
    """One system less the other, each (n_figures,).

    low, high: interval of the difference. effect: the difference in standard deviations of what
    single documents contribute to it (`standardized_difference`). p: of the paired permutation
    test, not corrected for several comparisons (`holm`).
    """

    difference: Floats
    low: Floats
    high: Floats
    effect: Floats
    p: Floats


class Spread(NamedTuple):
    """Over runs that differ in their seed, each (n_figures,): sd is not a number for one run."""

    mean: Floats
    sd: Floats
    low: Floats
    high: Floats
    n_runs: int


def bootstrap_intervals(
    counts: Floats, score: Score, *, samples: int = 1000, level: float = 0.95, seed: int = 0
) -> Floats:
    """Percentile intervals (n_figures, 2), documents drawn with replacement.

    Efron 1979 ("Bootstrap methods: another look at the jackknife"). samples, level: number of
    draws, share of them inside of the interval.

    A draw in which a figure is not defined takes no part in its interval; a figure that no draw
    defines has none, which is not a number.

    A type without gold takes no part in a macro mean. So macro means run higher the fewer documents
    there are, in the sample and more so in the draws, and the interval of one holds the macro mean
    over many documents less often than the level says. Differences of two systems on the same
    documents suffer less.

    Raises ValueError where there is no document or no draw, or for a level that is no share.
    """
    if samples < 1 or not 0 < level < 1:
        raise ValueError(f"{samples} samples at the level {level} give no interval")
    n = _at_least_one(counts)
    rng = np.random.default_rng(seed)
    draws = (
        rng.multinomial(n, np.full(n, 1 / n), size=size).astype(np.float64)
        for size in _block_sizes(samples)
    )
    drawn = np.concatenate([score(draw @ counts) for draw in draws])
    tail = 100 * (1 - level) / 2
    intervals = np.full((drawn.shape[1], 2), np.nan)
    for interval, values in zip(intervals, drawn.T, strict=True):
        defined = values[~np.isnan(values)]
        if len(defined):
            interval[:] = np.percentile(defined, [tail, 100 - tail])
    return intervals


def paired_permutation_test(
    first: Floats, second: Floats, score: Score, *, samples: int = 10_000, seed: int = 0
) -> Floats:
    """Two-sided p-values (n_figures,): how often swapped documents differ by as much.

    first, second: counts of the same documents for two systems. Under the null hypothesis any
    document's counts could as well have been those of the other system (approximate randomization,
    Noreen 1989; for F scores Yeh 2000, "More accurate tests for the statistical significance of
    result differences"). All ``2 ** n_documents`` ways to swap are gone through where these are no
    more than ``samples``. Else that many are drawn, and p is ``(1 + as great) / (1 + samples)``, as
    the outcome seen is one of them (Phipson and Smyth 2010, "Permutation p-values should never be
    zero"). Differences that are equal but for rounding count as equal.

    Not a number where a figure is not defined. Errors as `compare`.
    """
    n = _at_least_one(first, second)
    every = 2**n <= samples
    rng = np.random.default_rng(seed)
    exchanged = second - first
    sums, others = first.sum(axis=0), second.sum(axis=0)
    observed = np.abs(score(sums[None]) - score(others[None]))[0]
    as_great = np.zeros(len(observed))
    begin = 0
    for size in _block_sizes(2**n if every else samples):
        if every:
            swaps = np.arange(begin, begin + size)[:, None] >> np.arange(n) & 1
        else:
            swaps = rng.integers(0, 2, (size, n))
        begin += size
        moved = swaps.astype(np.float64) @ exchanged
        differences = np.abs(score(sums + moved) - score(others - moved))
        as_great += (differences >= observed - 1e-12).sum(axis=0)
    p = as_great / begin if every else (1 + as_great) / (1 + begin)
    return np.where(np.isnan(observed), np.nan, p)


def standardized_difference(first: Floats, second: Floats, score: Score) -> Floats:
    """Difference over the standard deviation of what single documents contribute, (n_figures,).

    The contributions are the pseudo-values of the jackknife (Tukey 1958): ``n * d - (n - 1) * d_i``
    with the difference ``d`` on all documents and ``d_i`` on all but one. For a score that is a
    mean over documents they are the paired differences, and this is Cohen's d for paired samples
    (Cohen 1988, d_z). Not a number with fewer than two documents, where the contributions
    do not differ, or for a figure that is not defined without one of the documents.
    """
    n = _at_least_one(first, second)
    both = np.hstack([first, second])
    difference = _difference_of(score)
    whole = difference(both.sum(axis=0)[None])[0]
    if n < 2:
        return np.full_like(whole, np.nan)
    pseudo = n * whole - (n - 1) * difference(both.sum(axis=0) - both)
    deviation = pseudo.std(axis=0, ddof=1)
    varies = deviation > 1e-12 * n  # more than by rounding
    effect: Floats = np.divide(whole, deviation, out=np.full_like(whole, np.nan), where=varies)
    return effect


def compare(
    first: Floats,
    second: Floats,
    score: Score,
    *,
    samples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """All that tells how much ``first`` is better than ``second``, and how sure that is.

    first, second: (n_documents, width) counts of the same documents, in the same order. samples: of
    the bootstrap, in which both systems are drawn together, and of the permutation test.

    Raises ValueError where the shapes differ or there is no document.
    """
    _at_least_one(first, second)
    both, difference = np.hstack([first, second]), _difference_of(score)
    intervals = bootstrap_intervals(both, difference, samples=samples, level=level, seed=seed)
    return Comparison(
        difference(both.sum(axis=0)[None])[0],
        intervals[:, 0],
        intervals[:, 1],
        standardized_difference(first, second, score),
        paired_permutation_test(first, second, score, samples=samples, seed=seed),
    )


def holm(p_values: npt.ArrayLike) -> Floats:
    """p-values (n,) of several comparisons, adjusted so that they may be read one by one.

    The step-down procedure of Holm 1979 ("A simple sequentially rejective multiple test
    procedure"): the i-th smallest times ``n - i + 1``, at least the one before, at most 1. What is
    not a number stays so and is not counted.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]
    adjusted = np.full_like(p, np.nan)
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def spread_over_runs(values: npt.ArrayLike) -> Spread:
    """Mean, standard deviation (of a sample), least and greatest of figures (n_runs, n_figures).

    Raises ValueError without any run.
    """
    values = np.asarray(values, dtype=np.float64)
    if not len(values):
        raise ValueError("no run to take a mean of")
    mean = values.mean(axis=0)
    sd = values.std(axis=0, ddof=1) if len(values) > 1 else np.full_like(mean, np.nan)
    return Spread(mean, sd, values.min(axis=0), values.max(axis=0), len(values))


def _difference_of(score: Score) -> Score:
    """Score of the first half of the columns less that of the second."""

    def difference(sums: Floats) -> Floats:
        first, second = np.split(sums, 2, axis=1)
        return score(first) - score(second)

    return difference


def _at_least_one(*tables: Floats) -> int:
    """Number of documents, the same for all tables."""
    if any(table.shape != tables[0].shape for table in tables):
        raise ValueError(
            f"counts of {' and '.join(str(table.shape) for table in tables)} documents and columns "
            "cannot be compared: make them with one call of count_tables"
        )
    if not len(tables[0]):
        raise ValueError("no document to draw from")
    return len(tables[0])


def _block_sizes(total: int) -> Iterator[int]:
    for begin in range(0, total, BLOCK):
        yield min(BLOCK, total - begin)
