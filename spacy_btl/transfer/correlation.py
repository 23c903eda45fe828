"""Rank correlation of a predictor with gains, and how often chance gives as much. Arrays only."""

from collections.abc import Sequence
from math import isnan
from typing import NamedTuple

import numpy as np

from ..util.arrays import Float64s1d, Float64s2d, Ints1d

PERMUTATIONS = 10_000


class Correlation(NamedTuple):
    """Rank correlation of a predictor with the gains of sources.

    Attributes:
        rho: Spearman's rank correlation within the targets, from -1 to 1; NaN where it is
            undefined, as for a predictor that is the same for all sources of a target.
        p: How often a permutation of the sources within each target gives at least as large a
            correlation, of either sign; NaN with ``rho``.
        n: Pairs of source and target.
    """

    rho: float
    p: float
    n: int

    def to_json(self) -> dict[str, float | None]:
        """Return the figures, null where they are undefined."""
        return {name: None if isnan(v) else v for name, v in self._asdict().items()}


def correlate(
    predicted: Sequence[float],
    gains: Sequence[float],
    targets: Sequence[object],
    *,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> Correlation:
    """Return the rank correlation of a predictor with gains within targets.

    Ranks are taken among the sources of each target, so that targets that gain more from all
    sources do not count as evidence; values of one target that tie share their mean rank. Only the
    order within targets is permuted. A target with one source says nothing and is left out.

    Args:
        predicted: (n,) a value of the predictor for each pair.
        gains: (n,) the gain of each pair.
        targets: (n,) the target of each pair.
        permutations: Permutations to draw.
        seed: Seed of the drawing.
    """
    _, groups = np.unique(np.array([str(target) for target in targets]), return_inverse=True)
    members = [np.flatnonzero(groups == group) for group in range(groups.max(initial=-1) + 1)]
    members = [rows for rows in members if len(rows) > 1]
    rows = np.concatenate(members) if members else np.zeros(0, dtype=np.int64)
    first, second = (_centered_ranks(np.asarray(v), members) for v in (predicted, gains))
    scale = float(np.sqrt((first**2).sum() * (second**2).sum()))
    if not scale:
        return Correlation(float("nan"), float("nan"), len(rows))
    rho = float(first @ second) / scale
    drawn = _permuted(first, members, permutations, np.random.default_rng(seed)) @ second / scale
    p = float((1 + (np.abs(drawn) >= abs(rho) - 1e-12).sum()) / (1 + permutations))
    return Correlation(rho, p, len(rows))


def _centered_ranks(values: Float64s1d, members: Sequence[Ints1d]) -> Float64s1d:
    """Return the rank of each value in its group, minus the mean rank, group after group."""
    from scipy.stats import rankdata

    ranks = [rankdata(values[rows]) - (len(rows) + 1) / 2 for rows in members]
    return np.concatenate(ranks) if ranks else np.zeros(0)


def _permuted(
    ranks: Float64s1d, members: Sequence[Ints1d], n: int, rng: np.random.Generator
) -> Float64s2d:
    """Return ranks (n, n_pairs) in n orders, each group permuted in itself."""
    result = np.empty((n, len(ranks)))
    start = 0
    for rows in members:
        end = start + len(rows)
        result[:, start:end] = rng.permuted(np.tile(ranks[start:end], (n, 1)), axis=1)
        start = end
    return result
