"""How far scores can be taken as probabilities: tables and calibration error.

Bins hold about equally many entities, because votes of few neighbours pile up on few values and
would leave most bins of equal width empty. Equal scores share a bin, so there can be fewer bins
than asked for, and the outcome does not depend on the order. Intervals take entities as
independent; those of one document are not quite, so they are a little short. Pure arrays.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..util.text import markdown_table

Ints1d = npt.NDArray[np.int64]
Floats1d = npt.NDArray[np.float64]
Bools1d = npt.NDArray[np.bool_]
Interval = tuple[float, float]

Z_95 = 1.959964
"""Two-sided 95 % quantile of the normal distribution."""


class ReliabilityRow(NamedTuple):
    """A bin: lowest, highest and mean score, share correct with its 95 % interval, entities."""

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
    """95 % interval of a share of ``correct`` in ``count``; (0, 1) where there is none.

    Wilson 1927 ("Probable inference, the law of succession, and statistical inference").
    """
    if not count:
        return 0.0, 1.0
    share, z2 = correct / count, Z_95**2 / count
    middle = (share + z2 / 2) / (1 + z2)
    half = math.sqrt(share * (1 - share) * z2 + z2**2 / 4) / (1 + z2)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def reliability_table(
    scores: npt.ArrayLike, correct: npt.ArrayLike, n_bins: int = 10
) -> list[ReliabilityRow]:
    """Rows from the lowest to the highest scores; none where there is no entity.

    scores, correct: (n,) scores in [0, 1], and whether an annotator has marked exactly this entity.
    Raises ValueError where they do not fit each other, a score is out of range or there is no bin.
    """
    s, c = checked(scores, correct)
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
    """Mean distance of mean score and share correct over the bins, weighted by entities.

    Not a number where there is no entity. Naeini et al. 2015 ("Obtaining well calibrated
    probabilities using Bayesian binning"). Even perfect scores do not reach 0 on a sample: see
    `error_by_chance`. Errors as `reliability_table`.
    """
    rows = reliability_table(scores, correct, n_bins)
    if not rows:
        return math.nan
    total = sum(row.n_entities for row in rows)
    return sum(row.n_entities * abs(row.mean_score - row.fraction_correct) for row in rows) / total


def error_by_chance(scores: npt.ArrayLike, n_bins: int = 10) -> float:
    """What `expected_calibration_error` would come to if these scores were true probabilities.

    Each bin's number of correct ones is taken as normal around the sum of its scores. Not a number
    where there is no entity.
    """
    s, _ = checked(scores, np.zeros(np.shape(scores), dtype=bool))
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
    """Figures of the types with at least ``min_count`` entities, the most frequent first.

    A bin gets no fewer than about 15 entities: a type with less has fewer than ``n_bins`` bins.
    """
    s, c = checked(scores, correct)
    if len(types) != len(s):
        raise ValueError(f"{len(s)} scores and {len(types)} types do not fit")
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
) -> dict[str, Any]:
    """All that a picture and a text on these scores need, as JSON values; {} without entities.

    ``entities``, ``error`` (`expected_calibration_error`), ``chance`` (`error_by_chance`),
    ``brier``, ``bins`` (`ReliabilityRow`, by name) and ``histogram`` (entities in 20 equal steps of
    the score). Errors as `reliability_table`.
    """
    s, c = checked(scores, correct)
    if not len(s):
        return {}
    rows = [row._asdict() for row in reliability_table(s, c, n_bins)]
    return {
        "entities": len(s),
        "error": expected_calibration_error(s, c, n_bins),
        "chance": error_by_chance(s, n_bins),
        "brier": float(((s - c) ** 2).mean()),
        "bins": [row | {"interval": list(row["interval"])} for row in rows],
        "histogram": np.histogram(s, bins=20, range=(0, 1))[0].tolist(),
    }


def render_reliability(
    series: Mapping[str, npt.ArrayLike],
    types: Sequence[str],
    correct: npt.ArrayLike,
    *,
    min_count: int = 30,
    n_bins: int = 10,
) -> str:
    """Markdown: errors of each kind of score, the bins of each, and the last kind by type.

    series: name ("raw", "calibrated", ...) to scores (n,) of the same entities.
    """
    summary, tables = [], []
    for name, scores in series.items():
        s, c = checked(scores, correct)
        squared = float(((s - c) ** 2).mean()) if len(s) else math.nan
        error, chance = expected_calibration_error(s, c, n_bins), error_by_chance(s, n_bins)
        summary.append([name, f"{error:.3f}", f"{chance:.3f}", f"{squared:.3f}"])
        rows = [
            [
                f"{row.low:.3f} to {row.high:.3f}",
                str(row.n_entities),
                f"{row.mean_score:.3f}",
                f"{row.fraction_correct:.3f}",
                _to_text(row.interval),
            ]
            for row in reliability_table(s, c, n_bins)
        ]
        header = [f"{name} score", "entities", "mean score", "correct", "95 % interval"]
        tables += ["", *markdown_table(header, rows)]
    header = ["score", "calibration error", "due to chance", "Brier score"]
    lines = [*markdown_table(header, summary), *tables]
    for name, scores in list(series.items())[-1:]:
        by_type = reliability_by_type(scores, types, correct, min_count=min_count, n_bins=n_bins)
        header = ["type", "entities", f"mean {name} score", "correct", "95 % interval"]
        header += ["calibration error", "due to chance"]
        rows = []
        for label, t in by_type.items():
            figures = [f"{value:.3f}" for value in (t.mean_score, t.fraction_correct)]
            errors = [f"{value:.3f}" for value in (t.error, t.chance)]
            rows.append([label, str(t.n_entities), *figures, _to_text(t.interval), *errors])
        lines += ["", f"Types with at least {min_count} predicted entities:", ""]
        lines += markdown_table(header, rows)
    return "\n".join(lines) + "\n"


def checked(scores: npt.ArrayLike, correct: npt.ArrayLike) -> tuple[Floats1d, Bools1d]:
    """Both as arrays (n,); ValueError where they do not fit or a score is out of range."""
    s, c = np.asarray(scores, dtype=np.float64), np.asarray(correct, dtype=bool)
    if s.ndim != 1 or s.shape != c.shape:
        raise ValueError(f"scores {s.shape} and outcomes {c.shape} do not fit")
    if not ((s >= 0) & (s <= 1)).all():  # not a number fails, too
        raise ValueError("scores must lie between 0 and 1")
    return s, c


def _bins(s: Floats1d, n_bins: int) -> list[Ints1d]:
    """Indices of the entities in each bin that has any, from low to high scores."""
    if n_bins < 1:
        raise ValueError(f"{n_bins} bins give no table")
    if not len(s):
        return []
    # The bin follows from the rank, equal scores in the middle of theirs, so they stay together.
    ordered = np.sort(s)
    twice_rank = np.searchsorted(ordered, s, "left") + np.searchsorted(ordered, s, "right")
    of_entity = twice_rank * n_bins // (2 * len(s))
    return [np.flatnonzero(of_entity == b) for b in np.unique(of_entity)]


def _to_text(interval: Interval) -> str:
    return f"{interval[0]:.3f} to {interval[1]:.3f}"
