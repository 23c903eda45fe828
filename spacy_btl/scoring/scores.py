"""Scores of predicted entities against gold ones, at span and at token level, from counts.

Each score says by its key which level it is of; scores of different levels are not comparable:

``ents_p``, ``ents_r``, ``ents_f``: strict (label and all bounds agree); micro.
``ents_macro_p``, ``ents_macro_r``, ``ents_macro_f``: strict, mean over the types that have gold.
``ents_per_type``: strict, by type.
``ents_exact_...``: bounds alone. ``ents_partial_...``: the same, and a half for pairs that overlap.
``ents_type_...``: label, and a character shared. All three are micro; see `scoring.matching`.
``token_macro_r``: unweighted accuracy, the mean recall of the types that have gold tokens;
``token_macro_r_with_o``: with ``O`` as one more class. ``token_macro_f``: mean F1 of those types.
``token_micro_f``: without ``O``. `scoring.counts` defines when a token is correct.

Each score is a function of counts that are summed over documents, so that `scoring.statistics` can
draw documents. This is why the scores are not those of seqeval or nervaluate, which also have no
discontinuous entities. Arrays only.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt

from ..brat import Fragments
from ..util.arrays import BoolsXd, Float64s2d, Float64sXd

LabeledFragments: TypeAlias = tuple[str, Fragments]
"""An entity as it is scored: its label, and its fragments ((start, end), ...) in characters."""

Scores: TypeAlias = dict[str, Any]
"""Scores by key, as JSON values: `FIGURES`, each None if the lack of gold leaves it undefined, and
``ents_per_type``, a `TypeScores` for each label (None without any gold)."""

NO_LABEL = ""
"""Instead of a label: of a token in no entity, and of the missing side of a pair."""

GOLD, PREDICTED, CORRECT = range(3)
"""The counts of each label."""

LEVELS = ("exact", "partial", "type")
"""The looser ways to match; their pairs are counted over all labels together."""

FIGURES = (
    *("ents_p", "ents_r", "ents_f"),
    *("ents_macro_p", "ents_macro_r", "ents_macro_f"),
    *(f"ents_{level}_{key}" for level in LEVELS for key in "prf"),
    *("token_macro_r", "token_macro_r_with_o", "token_macro_f", "token_micro_f"),
)
"""The scores that are one number."""


class TypeScores(TypedDict):
    """Strict scores of a type, and its gold (``support``) and predicted entities."""

    p: float
    r: float
    f: float
    support: int
    predicted: int


class StrictScores(TypedDict):
    """The strict scores alone; None if there is no gold."""

    ents_p: float | None
    ents_r: float | None
    ents_f: float | None
    ents_macro_p: float | None
    ents_macro_r: float | None
    ents_macro_f: float | None
    ents_per_type: dict[str, TypeScores] | None


def precision_recall_f(
    correct: npt.ArrayLike, predicted: npt.ArrayLike, gold: npt.ArrayLike
) -> dict[str, Float64sXd]:
    """Return precision ``p``, recall ``r`` and their harmonic mean ``f``; 0 where a divisor is 0.

    Args:
        correct: Numbers, or arrays of one shape, which is that of the results.
        predicted: As ``correct``.
        gold: As ``correct``.
    """
    correct = np.asarray(correct)
    # 2PR / (P + R) is 2 correct / (predicted + gold).
    both = np.add(predicted, gold)
    return {
        "p": _ratio(correct, predicted),
        "r": _ratio(correct, gold),
        "f": _ratio(2 * correct, both),
    }


def strict_span_scores(
    gold: Iterable[Iterable[LabeledFragments]], predicted: Iterable[Iterable[LabeledFragments]]
) -> StrictScores:
    """Return the strict scores, without counts of the other levels.

    An entity that is given twice in a document counts once. Macro means are over the labels that
    have gold.

    Args:
        gold: The entities of each document.
        predicted: The entities of the same documents, in the same order.
    """
    n_gold, n_predicted, n_correct = Counter[str](), Counter[str](), Counter[str]()
    for gold_entities, predicted_entities in zip(gold, predicted, strict=True):
        ours, theirs = set(predicted_entities), set(gold_entities)
        n_gold.update(label for label, _ in theirs)
        n_predicted.update(label for label, _ in ours)
        n_correct.update(label for label, _ in ours & theirs)
    labels = sorted(n_gold | n_predicted)
    kinds = (n_gold, n_predicted, n_correct)
    counts = np.array([[kind[label] for label in labels] for kind in kinds], dtype=np.float64)
    scores = _as_numbers(span_figures(counts))
    return {
        "ents_p": scores["ents_p"],
        "ents_r": scores["ents_r"],
        "ents_f": scores["ents_f"],
        "ents_macro_p": scores["ents_macro_p"],
        "ents_macro_r": scores["ents_macro_r"],
        "ents_macro_f": scores["ents_macro_f"],
        "ents_per_type": _per_type(labels, counts),
    }


def corpus_scores(labels: Sequence[str], sums: Float64sXd) -> Scores:
    """Return all scores from the counts of documents summed up.

    Args:
        labels: Labels of the columns, as `scoring.counts.count_tables` returns them.
        sums: (width,), of the same.
    """
    spans, _, _ = split_counts(sums)
    return {**_as_numbers(figures(sums)), "ents_per_type": _per_type(labels, spans)}


def figures(sums: Float64sXd) -> dict[str, Float64sXd]:
    """Return all of `FIGURES`, each (...), from summed counts (..., width); NaN without gold."""
    spans, pairs, tokens = split_counts(sums)
    found = span_figures(spans)
    gold, predicted = spans[..., GOLD, :].sum(axis=-1), spans[..., PREDICTED, :].sum(axis=-1)
    exact, partial, of_type = (pairs[..., i] for i in range(len(LEVELS)))
    for level, correct in zip(LEVELS, (exact, exact + partial / 2, of_type), strict=True):
        scores = precision_recall_f(correct, predicted, gold)
        found |= {f"ents_{level}_{key}": _where(gold > 0, scores[key]) for key in "prf"}
    by_class = _by_label(tokens)
    has_gold = tokens[..., GOLD, :] > 0
    any_type = has_gold[..., 1:].any(axis=-1)
    with_no_label = _mean(by_class["r"], has_gold)
    return found | {
        "token_macro_r": _mean(by_class["r"][..., 1:], has_gold[..., 1:]),
        "token_macro_r_with_o": _where(any_type, with_no_label),
        "token_macro_f": _mean(by_class["f"][..., 1:], has_gold[..., 1:]),
        "token_micro_f": _where(any_type, _over_labels(tokens[..., 1:])["f"]),
    }


def figure_array(sums: Float64sXd) -> Float64sXd:
    """Return `figures` as one array (..., len(FIGURES)), for `scoring.statistics`."""
    found = figures(sums)
    return np.stack([found[key] for key in FIGURES], axis=-1)


def type_array(sums: Float64sXd) -> Float64sXd:
    """Return strict precision, recall and F1 of each label, NaN for a label without gold.

    Args:
        sums: (..., width), summed counts.

    Returns:
        (..., n_labels, 3).
    """
    spans, _, _ = split_counts(sums)
    by_label = np.stack(list(_by_label(spans).values()), axis=-1)
    return _where(spans[..., GOLD, :, None] > 0, by_label)


def split_counts(sums: Float64sXd) -> tuple[Float64sXd, Float64sXd, Float64sXd]:
    """Return the parts of count vectors.

    Args:
        sums: (..., width), with ``width = 6 * n_labels + 6``.

    Returns:
        Entities (..., 3, n_labels): `GOLD`, `PREDICTED`, `CORRECT` of each label; pairs (..., 3) by
        `LEVELS`; tokens (..., 3, 1 + n_labels) as the entities, with `NO_LABEL` as the first label.
    """
    n = sums.shape[-1] // 6 - 1
    spans, pairs, tokens = np.split(sums, [3 * n, 3 * n + 3], axis=-1)
    shape = sums.shape[:-1]
    return spans.reshape(*shape, 3, n), pairs, tokens.reshape(*shape, 3, n + 1)


def span_figures(spans: Float64sXd) -> dict[str, Float64sXd]:
    """Return strict ``ents_...`` and ``ents_macro_...``, each (...); NaN without gold.

    Args:
        spans: (..., 3, n_labels), entities: `GOLD`, `PREDICTED`, `CORRECT` of each label.
    """
    has_gold = spans[..., GOLD, :] > 0
    micro, by_label = _over_labels(spans), _by_label(spans)
    return {
        **{f"ents_{key}": _where(has_gold.any(axis=-1), micro[key]) for key in "prf"},
        **{f"ents_macro_{key}": _mean(by_label[key], has_gold) for key in "prf"},
    }


def _per_type(labels: Sequence[str], spans: Float64s2d) -> dict[str, TypeScores] | None:
    """Return ``ents_per_type`` of entities (3, n_labels), without labels that have none."""
    if not spans[GOLD].any():
        return None
    by_label = _by_label(spans)
    return {
        label: {
            "p": float(by_label["p"][i]),
            "r": float(by_label["r"][i]),
            "f": float(by_label["f"][i]),
            "support": int(spans[GOLD, i]),
            "predicted": int(spans[PREDICTED, i]),
        }
        for i, label in enumerate(labels)
        if spans[GOLD, i] or spans[PREDICTED, i]
    }


def _by_label(counts: Float64sXd) -> dict[str, Float64sXd]:
    return precision_recall_f(*(counts[..., kind, :] for kind in (CORRECT, PREDICTED, GOLD)))


def _over_labels(counts: Float64sXd) -> dict[str, Float64sXd]:
    sums = counts.sum(axis=-1)
    return precision_recall_f(*(sums[..., kind] for kind in (CORRECT, PREDICTED, GOLD)))


def _mean(values: Float64sXd, chosen: BoolsXd) -> Float64sXd:
    """Return means of the chosen values over the last axis, NaN where nothing is chosen."""
    n = chosen.sum(axis=-1)
    return _where(n > 0, _ratio((values * chosen).sum(axis=-1), n))


def _ratio(part: npt.ArrayLike, whole: npt.ArrayLike) -> Float64sXd:
    part, whole = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    ratio: Float64sXd = np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)
    return ratio


def _where(condition: npt.ArrayLike, values: Float64sXd) -> Float64sXd:
    found: Float64sXd = np.where(condition, values, np.nan)
    return found


def _as_numbers(found: Mapping[str, Float64sXd]) -> dict[str, float | None]:
    return {key: None if math.isnan(value) else float(value) for key, value in found.items()}
