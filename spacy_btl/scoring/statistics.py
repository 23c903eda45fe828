"""Intervals of scores, and tests of whether one system is better, by resampling documents.

A document is a vector of counts, and a score a function of summed vectors, so that one sum over
drawn documents serves every score. Documents are drawn because the entities of one document are not
independent.

This is written by hand because `scipy.stats.bootstrap` and `permutation_test` resample one
statistic at a time: here one matrix product serves all scores, and a draw in which a score is not
defined is left out of that score alone. The tests compare both on scores that are always defined.

Arrays only:

counts: (n_documents, width), as `scoring.counts.count_tables` returns them; the tables of several
    seeds of one system may be added first.
score: from summed counts (n, width) to figures (n, n_figures), such as
    `scoring.scores.figure_array`; NaN where a figure is not defined.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from ..util.arrays import Float64s1d, Float64s2d

Score: TypeAlias = Callable[[Float64s2d], Float64s2d]

BLOCK = 1000
"""Draws that are held at once."""


class Comparison(NamedTuple):
    """One system minus the other, each (n_figures,).

    Attributes:
        difference: On all documents.
        low: Lower end of its interval.
        high: Upper end.
        effect: The difference in standard deviations of what single documents contribute
            (`standardized_difference`).
        p: p value of the paired permutation test, not corrected for several comparisons (`holm`).
    """

    difference: Float64s1d
    low: Float64s1d
    high: Float64s1d
    effect: Float64s1d
    p: Float64s1d


def bootstrap_intervals(
    counts: Float64s2d, score: Score, *, samples: int = 1000, level: float = 0.95, seed: int = 0
) -> Float64s2d:
    """Return percentile intervals of documents drawn with replacement.

    The bootstrap is that of Efron 1979 ("Bootstrap methods: another look at the jackknife"). A draw
    in which a figure is not defined takes no part in its interval.

    A type without gold takes no part in a macro mean. Macro means are therefore higher the fewer
    documents there are, in the sample and more so in the draws, and their intervals contain the
    macro mean over many documents less often than the level says. Differences of two systems on the
    same documents suffer less.

    Args:
        counts: (n_documents, width).
        score: See the module.
        samples: Number of draws.
        level: Share of the draws inside the interval.
        seed: Seed of the draws.

    Returns:
        (n_figures, 2); NaN for a figure that no draw defines.

    Raises:
        ValueError: If there is no document or no draw, or the level is not between 0 and 1.
    """
    if samples < 1 or not 0 < level < 1:
        raise ValueError(f"{samples} samples are too few for an interval at the level {level}")
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
    first: Float64s2d, second: Float64s2d, score: Score, *, samples: int = 10_000, seed: int = 0
) -> Float64s1d:
    """Return two-sided p-values: how often swapped documents differ by as much.

    Under the null hypothesis any document's counts could as well have been those of the other
    system (approximate randomization, Noreen 1989; for F scores Yeh 2000, "More accurate tests for
    the statistical significance of result differences"). If there are no more than ``samples`` ways
    to swap (``2 ** n_documents``), all are tried. Otherwise that many are drawn, and p is
    ``(1 + as great) / (1 + samples)``, because the observed outcome is one of them (Phipson and
    Smyth 2010, "Permutation p-values should never be zero"). Differences that are equal except for
    rounding count as equal.

    Args:
        first: (n_documents, width), counts of one system.
        second: Those of the other system, of the same documents in the same order.
        score: See the module.
        samples: Ways to swap that are tried at most.
        seed: Seed of the draws.

    Returns:
        (n_figures,); NaN where a figure is not defined.

    Raises:
        ValueError: If the shapes differ or there is no document.
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


def standardized_difference(first: Float64s2d, second: Float64s2d, score: Score) -> Float64s1d:
    """Return the difference over the standard deviation of what single documents contribute.

    The contributions are the pseudo-values of the jackknife (Tukey 1958): ``n * d - (n - 1) * d_i``
    with the difference ``d`` on all documents and ``d_i`` on all but one. For a score that is a
    mean over documents they are the paired differences, and this is Cohen's d for paired samples
    (Cohen 1988, d_z).

    Args:
        first: (n_documents, width), counts of one system.
        second: Those of the other system, of the same documents in the same order.
        score: See the module.

    Returns:
        (n_figures,); NaN with fewer than two documents, where the contributions do not differ, or
        for a figure that is not defined without one of the documents.

    Raises:
        ValueError: If the shapes differ or there is no document.
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
    effect: Float64s1d = np.divide(whole, deviation, out=np.full_like(whole, np.nan), where=varies)
    return effect


def compare(
    first: Float64s2d,
    second: Float64s2d,
    score: Score,
    *,
    samples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Return how much better ``first`` is than ``second``, and how certain that is.

    Args:
        first: (n_documents, width), counts of one system.
        second: Those of the other system, of the same documents in the same order.
        score: See the module.
        samples: Number of draws of the bootstrap, which draws both systems together, and of the
            permutation test.
        level: Level of the interval.
        seed: Seed of both.

    Raises:
        ValueError: If the shapes differ, there is no document, or ``samples`` or ``level`` give no
            interval.
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


def holm(p_values: npt.ArrayLike) -> Float64s1d:
    """Return p-values (n,) of several comparisons, adjusted so that each can be read by itself.

    The step-down procedure of Holm 1979 ("A simple sequentially rejective multiple test
    procedure"): the i-th smallest times ``n - i + 1``, at least the previous one, at most 1. NaN
    stays NaN and is not counted. statsmodels has the same, but is a large dependency for five
    lines.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]
    adjusted = np.full_like(p, np.nan)
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def _difference_of(score: Score) -> Score:
    """Return the score of the first half of the columns minus that of the second."""

    def difference(sums: Float64s2d) -> Float64s2d:
        first, second = np.split(sums, 2, axis=1)
        return score(first) - score(second)

    return difference


def _at_least_one(*tables: Float64s2d) -> int:
    """Return the number of documents, the same for all tables; raise ValueError without any."""
    if any(table.shape != tables[0].shape for table in tables):
        raise ValueError(
            f"counts of {' and '.join(str(table.shape) for table in tables)} documents and columns "
            "cannot be compared: make them with one call of count_tables"
        )
    if not len(tables[0]):
        raise ValueError("there are no documents to draw from")
    return len(tables[0])


def _block_sizes(total: int) -> Iterator[int]:
    for begin in range(0, total, BLOCK):
        yield min(BLOCK, total - begin)
