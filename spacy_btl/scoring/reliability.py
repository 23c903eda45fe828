"""Reliability of scores: shares of correct entities by score, and calibration error.

Bins contain about equally many entities, because votes of few neighbors have few values and would
leave most bins of equal width empty. Equal scores share a bin, so that there can be fewer bins than
requested, and the result does not depend on the order. Intervals treat entities as independent;
those of one document are not quite, so the intervals are a little short. Arrays only.

The bins are made by hand because `sklearn.calibration.calibration_curve` does not return how many
entities a bin has, which intervals and errors need.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt

from ..util.arrays import Bools1d, Float64s1d, Ints1d

Interval: TypeAlias = tuple[float, float]


class ReliabilityBin(TypedDict):
    """A `ReliabilityRow` as JSON values."""

    low: float
    high: float
    mean_score: float
    fraction_correct: float
    interval: list[float]
    n_entities: int


class ReliabilityFigures(TypedDict, total=False):
    """Figures of scores as JSON values; without entities there are none.

    Attributes:
        entities: Number of entities.
        error: `expected_calibration_error`.
        chance: `error_by_chance`.
        brier: Mean squared difference of score and outcome (Brier 1950).
        bins: Bins from low to high scores.
        histogram: Entities in 20 equal steps of the score.
    """

    entities: int
    error: float
    chance: float
    brier: float
    bins: list[ReliabilityBin]
    histogram: list[int]


class ReliabilityRow(NamedTuple):
    """A bin: lowest, highest and mean score, share correct with its 95% interval, entities."""

    low: float
    high: float
    mean_score: float
    fraction_correct: float
    interval: Interval
    n_entities: int


class TypeReliability(NamedTuple):
    """An entity type: as `ReliabilityRow`, and the calibration error with that due to chance."""

    mean_score: float
    fraction_correct: float
    interval: Interval
    n_entities: int
    error: float
    chance: float


def wilson_interval(correct: int, count: int) -> Interval:
    """Return the 95% interval of the share of ``correct`` in ``count``; (0, 1) if count is 0.

    Wilson 1927 ("Probable inference, the law of succession, and statistical inference").
    """
    from scipy.stats import binomtest

    if not count:
        return 0.0, 1.0
    low, high = binomtest(correct, count).proportion_ci(method="wilson")
    return float(low), float(high)


def reliability_table(
    scores: npt.ArrayLike, correct: npt.ArrayLike, n_bins: int = 10
) -> list[ReliabilityRow]:
    """Return bins from the lowest to the highest scores; none without entities.

    Args:
        scores: (n,), in [0, 1].
        correct: (n,), whether exactly this entity is in the gold annotation.
        n_bins: Number of bins at most.

    Raises:
        ValueError: If the lengths differ, a score is out of range, or ``n_bins`` is below 1.
    """
    s, c = _checked(scores, correct)
    rows = []
    for where in _bins(s, n_bins):
        n, n_correct = len(where), int(c[where].sum())
        low, high, mean = s[where].min(), s[where].max(), s[where].mean()
        interval = wilson_interval(n_correct, n)
        rows.append(
            ReliabilityRow(float(low), float(high), float(mean), n_correct / n, interval, n)
        )
    return rows


def expected_calibration_error(
    scores: npt.ArrayLike, correct: npt.ArrayLike, n_bins: int = 10
) -> float:
    """Return the mean distance of mean score and share correct over the bins, by entities.

    Naeini et al. 2015 ("Obtaining well calibrated probabilities using Bayesian binning"). Even
    perfect scores do not reach 0 on a sample: see `error_by_chance`.

    Args:
        scores: As in `reliability_table`.
        correct: As in `reliability_table`.
        n_bins: As in `reliability_table`.

    Returns:
        The error; NaN without entities.

    Raises:
        ValueError: As `reliability_table`.
    """
    s, c = _checked(scores, correct)
    if not len(s):
        return math.nan
    distances = [
        len(where) * abs(float(s[where].mean()) - int(c[where].sum()) / len(where))
        for where in _bins(s, n_bins)
    ]
    return sum(distances) / len(s)


def error_by_chance(scores: npt.ArrayLike, n_bins: int = 10) -> float:
    """Return the `expected_calibration_error` to expect if the scores were true probabilities.

    The number of correct entities in a bin is treated as normal around the sum of its scores.

    Args:
        scores: As in `reliability_table`.
        n_bins: As in `reliability_table`.

    Returns:
        The error; NaN without entities.

    Raises:
        ValueError: If a score is out of range, or ``n_bins`` is below 1.
    """
    s, _ = _checked(scores, np.zeros(np.shape(scores), dtype=bool))
    if not len(s):
        return math.nan
    deviations = [math.sqrt(float((s[where] * (1 - s[where])).sum())) for where in _bins(s, n_bins)]
    return math.sqrt(2 / math.pi) * sum(deviations) / len(s)


def reliability_by_type(
    scores: npt.ArrayLike,
    types: Sequence[str],
    correct: npt.ArrayLike,
    *,
    min_count: int = 30,
    n_bins: int = 10,
) -> dict[str, TypeReliability]:
    """Return the figures of the frequent types, the most frequent first.

    Args:
        scores: As in `reliability_table`.
        types: (n,), of the entities.
        correct: As in `reliability_table`.
        min_count: Entities of a type at least.
        n_bins: Bins at most; none gets fewer than about 15 entities.

    Raises:
        ValueError: If the lengths differ, or a score is out of range.
    """
    s, c = _checked(scores, correct)
    if len(types) != len(s):
        raise ValueError(f"{len(s)} scores and {len(types)} types do not match")
    names = np.asarray(types, dtype=str)
    found, counts = np.unique(names, return_counts=True)
    result = {}
    for i in np.argsort(-counts, kind="stable"):
        n = int(counts[i])
        if n < min_count:
            break
        here = names == found[i]
        bins = min(n_bins, max(n // 15, 1))
        result[str(found[i])] = TypeReliability(
            float(s[here].mean()),
            float(c[here].mean()),
            wilson_interval(int(c[here].sum()), n),
            n,
            expected_calibration_error(s[here], c[here], bins),
            error_by_chance(s[here], bins),
        )
    return result


def reliability_figures(
    scores: npt.ArrayLike, correct: npt.ArrayLike, n_bins: int = 10
) -> ReliabilityFigures:
    """Return all that a picture and a text on these scores need; {} without entities.

    Args:
        scores: As in `reliability_table`.
        correct: As in `reliability_table`.
        n_bins: As in `reliability_table`.

    Raises:
        ValueError: As `reliability_table`.
    """
    s, c = _checked(scores, correct)
    if not len(s):
        return {}
    bins: list[ReliabilityBin] = [
        {
            "low": row.low,
            "high": row.high,
            "mean_score": row.mean_score,
            "fraction_correct": row.fraction_correct,
            "interval": list(row.interval),
            "n_entities": row.n_entities,
        }
        for row in reliability_table(s, c, n_bins)
    ]
    return {
        "entities": len(s),
        "error": expected_calibration_error(s, c, n_bins),
        "chance": error_by_chance(s, n_bins),
        "brier": float(((s - c) ** 2).mean()),
        "bins": bins,
        "histogram": np.histogram(s, bins=20, range=(0, 1))[0].tolist(),
    }


def _checked(scores: npt.ArrayLike, correct: npt.ArrayLike) -> tuple[Float64s1d, Bools1d]:
    """Return both as arrays (n,); raise ValueError if lengths differ or a score is out of range."""
    s, c = np.asarray(scores, dtype=np.float64), np.asarray(correct, dtype=bool)
    if s.ndim != 1 or s.shape != c.shape:
        raise ValueError(f"scores {s.shape} and outcomes {c.shape} do not match")
    if not ((s >= 0) & (s <= 1)).all():  # NaN fails, too
        raise ValueError("scores must be between 0 and 1")
    return s, c


def _bins(s: Float64s1d, n_bins: int) -> list[Ints1d]:
    """Return the indices of the entities in each bin that has any, from low to high scores."""
    if n_bins < 1:
        raise ValueError(f"{n_bins} bins are too few for a table")
    if not len(s):
        return []
    # The rank determines the bin. Equal scores all have the middle of their ranks: one bin.
    ordered = np.sort(s)
    twice_rank = np.searchsorted(ordered, s, "left") + np.searchsorted(ordered, s, "right")
    of_entity = twice_rank * n_bins // (2 * len(s))
    return [np.flatnonzero(of_entity == b) for b in np.unique(of_entity)]
