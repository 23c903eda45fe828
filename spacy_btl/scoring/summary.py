"""Scores by name, their intervals, and the comparison of two systems, from counts of documents.

All functions take lists of `scoring.counts.document_counts`, as a run stores them, and return JSON
values.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias, TypedDict

import numpy as np

from ..util.arrays import Float64s2d, Float64sXd
from .counts import DocumentCounts, count_tables
from .scores import FIGURES, Scores, corpus_scores, figure_array, type_array
from .statistics import bootstrap_intervals, compare, holm

Interval: TypeAlias = list[float]
"""[low, high]."""

Intervals: TypeAlias = dict[str, Any]
"""`Interval` by score, and under ``ents_per_type`` by label, then by "p", "r" and "f"."""


class ComparedScore(TypedDict):
    """A score of two systems; None if it is not defined.

    Attributes:
        first: Score of the first system.
        second: Score of the second system.
        difference: First minus second.
        interval: Confidence interval of the difference.
        effect: The difference in standard deviations of what single documents contribute.
        p: p value of the paired permutation test.
    """

    first: float | None
    second: float | None
    difference: float | None
    interval: list[float | None]
    effect: float | None
    p: float | None


class ComparedType(ComparedScore):
    """The strict F1 of a type for two systems; ``p_holm`` is corrected for the number of types."""

    p_holm: float | None


def score_documents(documents: Sequence[DocumentCounts]) -> Scores:
    """Return all scores of these documents together."""
    labels, (table,) = count_tables(documents)
    return corpus_scores(labels, table.sum(axis=0))


def score_intervals(
    documents: Sequence[DocumentCounts],
    *,
    samples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Intervals:
    """Return bootstrap intervals over documents under the keys of the scores.

    ``ents_per_type`` has those of p, r and f for each label: ``{"Age": {"p": [0.8, 1.0], ...}}``. A
    score that is not defined has no key, so that the result is empty without gold.

    Args:
        documents: Counts of the documents.
        samples: As in `scoring.statistics.bootstrap_intervals`.
        level: As in `scoring.statistics.bootstrap_intervals`.
        seed: As in `scoring.statistics.bootstrap_intervals`.

    Raises:
        ValueError: If ``samples`` or ``level`` give no interval.
    """
    labels, (table,) = count_tables(documents)
    if not documents:
        return {}
    found = bootstrap_intervals(table, _all_figures, samples=samples, level=level, seed=seed)
    of_figures, of_types = found[: len(FIGURES)], found[len(FIGURES) :].reshape(-1, 3, 2)
    intervals: Intervals = {**_defined(FIGURES, of_figures)}
    by_type = {label: _defined("prf", rows) for label, rows in zip(labels, of_types, strict=True)}
    if by_type := {label: rows for label, rows in by_type.items() if rows}:
        intervals["ents_per_type"] = by_type
    return intervals


def compare_systems(
    first: Sequence[DocumentCounts],
    second: Sequence[DocumentCounts],
    *,
    samples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """Return the first system minus the second by score.

    Args:
        first: Counts of the documents by the first system.
        second: Counts of the same documents, in the same order, by the second system.
        samples: As in `scoring.statistics.compare`.
        level: As in `scoring.statistics.compare`.
        seed: As in `scoring.statistics.compare`.

    Returns:
        A `ComparedScore` for each of `scoring.scores.FIGURES`, and under ``ents_per_type`` a
        `ComparedType` for each type with gold.

    Raises:
        ValueError: If the documents of the two systems differ, or there are none.
    """
    labels, (a, b) = count_tables(first, second)
    outcome = compare(a, b, _all_figures, samples=samples, level=level, seed=seed)
    scores = [_all_figures(table.sum(axis=0)) for table in (a, b)]
    rows: list[ComparedScore] = [
        {
            "first": _number(scores[0][i]),
            "second": _number(scores[1][i]),
            "difference": _number(outcome.difference[i]),
            "interval": [_number(outcome.low[i]), _number(outcome.high[i])],
            "effect": _number(outcome.effect[i]),
            "p": _number(outcome.p[i]),
        }
        for i in range(len(outcome.p))
    ]
    n = len(FIGURES)
    corrected = holm(outcome.p[n + 2 :: 3])
    by_type: dict[str, ComparedType] = {
        label: {**row, "p_holm": _number(p)}
        for label, row, p in zip(labels, rows[n + 2 :: 3], corrected, strict=True)
        if row["p"] is not None
    }
    return {**dict(zip(FIGURES, rows[:n], strict=True)), "ents_per_type": by_type}


def _all_figures(sums: Float64sXd) -> Float64sXd:
    """Return the figures, then p, r and f of each label, (..., n_figures + 3 * n_labels)."""
    by_type = type_array(sums)
    flat = by_type.reshape(*by_type.shape[:-2], -1)
    return np.concatenate([figure_array(sums), flat], axis=-1)


def _defined(keys: Sequence[str], intervals: Float64s2d) -> dict[str, Interval]:
    return {
        key: interval.tolist()
        for key, interval in zip(keys, intervals, strict=True)
        if not np.isnan(interval).any()
    }


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
