"""The reliability of scores (`scoring.reliability`) as Markdown tables."""

import math
from collections.abc import Mapping, Sequence

import numpy.typing as npt

from ..scoring.reliability import (
    Interval,
    reliability_by_type,
    reliability_figures,
    reliability_table,
)
from ..util.text import markdown_table


def render_reliability(
    series: Mapping[str, npt.ArrayLike],
    types: Sequence[str],
    correct: npt.ArrayLike,
    *,
    min_count: int = 30,
    n_bins: int = 10,
) -> str:
    """Return Markdown tables: errors of each kind of score, its bins, and the last kind by type.

    Args:
        series: Scores (n,) of the same entities, by name ("raw", "calibrated", ...).
        types: (n,), of the entities.
        correct: (n,), whether exactly this entity is in the gold annotation.
        min_count: Entities of a type at least.
        n_bins: Number of bins at most.

    Raises:
        ValueError: If the lengths differ, or a score is out of range.
    """
    summary, tables = [], []
    for name, scores in series.items():
        figures = reliability_figures(scores, correct, n_bins)
        errors = [figures.get(key, math.nan) for key in ("error", "chance", "brier")]
        summary.append([name, *(f"{value:.3f}" for value in errors)])
        rows = [
            [
                f"{row.low:.3f} to {row.high:.3f}",
                str(row.n_entities),
                f"{row.mean_score:.3f}",
                f"{row.fraction_correct:.3f}",
                _to_text(row.interval),
            ]
            for row in reliability_table(scores, correct, n_bins)
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
            shares = [f"{value:.3f}" for value in (t.mean_score, t.fraction_correct)]
            by_chance = [f"{value:.3f}" for value in (t.error, t.chance)]
            rows.append([label, str(t.n_entities), *shares, _to_text(t.interval), *by_chance])
        lines += ["", f"Types with at least {min_count} predicted entities:", ""]
        lines += markdown_table(header, rows)
    return "\n".join(lines) + "\n"


def _to_text(interval: Interval) -> str:
    return f"{interval[0]:.3f} to {interval[1]:.3f}"
