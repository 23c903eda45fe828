"""What the counts of documents come to: scores by name, their intervals, one system and another.

Everything takes lists of `scoring.counts.document_counts`, as a run stores them, and gives JSON
values.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .counts import DocumentCounts, count_tables
from .scores import FIGURES, Floats, corpus_scores, figure_array, type_array
from .statistics import bootstrap_intervals, compare, holm

Interval = list[float]


def score_documents(documents: Sequence[DocumentCounts]) -> dict[str, Any]:
    """All scores of these documents together, as `scoring.scores.corpus_scores`."""
    labels, (table,) = count_tables(documents)
    return corpus_scores(labels, table.sum(axis=0))


def score_intervals(
    documents: Sequence[DocumentCounts],
    *,
    samples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """Bootstrap intervals over documents, [low, high], under the keys of the scores.

    ``ents_per_type`` has those of p, r and f for each label: ``{"Age": {"p": [0.8, 1.0], ...}}``.
    What is not defined has no key; empty without gold. How they are made, and what the arguments
    mean, is told by `scoring.statistics.bootstrap_intervals`.
    """
    labels, (table,) = count_tables(documents)
    if not documents:
        return {}
    found = bootstrap_intervals(table, _all_figures, samples=samples, level=level, seed=seed)
    of_figures, of_types = found[: len(FIGURES)], found[len(FIGURES) :].reshape(-1, 3, 2)
    intervals: dict[str, Any] = _defined(FIGURES, of_figures)
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
    """The first system less the second, on the same documents in the same order, by score.

    For each of `scoring.scores.FIGURES`: ``first`` and ``second`` (the scores), ``difference``,
    ``interval`` of it, ``effect`` (in standard deviations of what documents contribute) and ``p``
    (of the paired permutation test), as `scoring.statistics.compare`. ``ents_per_type`` has the
    same of the strict F1 of each type with gold, and ``p_holm``, corrected for the number of types.
    What is not defined is None. Errors as `count_tables` and `compare`.
    """
    labels, (a, b) = count_tables(first, second)
    outcome = compare(a, b, _all_figures, samples=samples, level=level, seed=seed)
    scores = [_all_figures(table.sum(axis=0)) for table in (a, b)]
    rows: list[dict[str, Any]] = [
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
    by_type = dict(zip(labels, rows[n + 2 :: 3], strict=True))
    for row, adjusted in zip(by_type.values(), holm(outcome.p[n + 2 :: 3]), strict=True):
        row["p_holm"] = _number(adjusted)
    return {
        **dict(zip(FIGURES, rows[:n], strict=True)),
        "ents_per_type": {label: row for label, row in by_type.items() if row["p"] is not None},
    }


def _all_figures(sums: Floats) -> Floats:
    """(..., n_figures + 3 * n_labels): the figures, then p, r and f of each label."""
    by_type = type_array(sums)
    flat = by_type.reshape(*by_type.shape[:-2], -1)
    return np.concatenate([figure_array(sums), flat], axis=-1)


def _defined(keys: Sequence[str], intervals: Floats) -> dict[str, Interval]:
    return {
        key: interval.tolist()
        for key, interval in zip(keys, intervals, strict=True)
        if not np.isnan(interval).any()
    }


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
