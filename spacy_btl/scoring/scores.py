"""Scores of predicted entities against gold ones, at span and at token level, from counts.

An entity is (label, fragments) with fragments ((start, end), ...) in characters. Every score says
by its key which level it is of; figures of different levels are not comparable:

``ents_p``, ``ents_r``, ``ents_f``: strict, label and all bounds must agree; micro.
``ents_macro_p``, ``ents_macro_r``, ``ents_macro_f``: strict, mean over the types that have gold.
``ents_per_type``: strict, by type.
``ents_exact_...``: bounds alone. ``ents_partial_...``: the same, and a half for pairs that overlap.
``ents_type_...``: label, and a character shared. All three are micro; see `scoring.matching`.
``token_macro_r``: unweighted accuracy, the mean recall of the types that have gold tokens;
``token_macro_r_with_o``: with ``O`` as one more class. ``token_macro_f``: mean F1 of those types.
``token_micro_f``: without ``O``. See `scoring.counts` for what a token counts for.

Every score is a function of counts that are summed over documents: `scoring.statistics` draws on
that. Pure arrays.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Entity = tuple[str, tuple[tuple[int, int], ...]]
Figures = dict[str, float]
Floats = npt.NDArray[np.float64]

OUTSIDE = ""
"""Label of a token outside of all entities."""

GOLD, PREDICTED, CORRECT = range(3)
"""What is counted of each label."""

LEVELS = ("exact", "partial", "type")
"""The looser ways to match; their pairs are counted over all labels together."""

FIGURES = (
    *("ents_p", "ents_r", "ents_f"),
    *("ents_macro_p", "ents_macro_r", "ents_macro_f"),
    *(f"ents_{level}_{key}" for level in LEVELS for key in "prf"),
    *("token_macro_r", "token_macro_r_with_o", "token_macro_f", "token_micro_f"),
)
"""The scores that are one number."""


def precision_recall_f(
    correct: npt.ArrayLike, predicted: npt.ArrayLike, gold: npt.ArrayLike
) -> dict[str, Floats]:
    """Precision ``p``, recall ``r`` and their harmonic mean ``f``; 0 where a divisor is 0.

    correct, predicted, gold: numbers, or arrays of one shape, which is that of the results.
    """
    correct = np.asarray(correct)
    # 2PR / (P + R) is 2 correct / (predicted + gold).
    both = np.add(predicted, gold)
    return {
        "p": _share(correct, predicted),
        "r": _share(correct, gold),
        "f": _share(2 * correct, both),
    }


def strict_span_scores(
    gold: Iterable[Iterable[Entity]], predicted: Iterable[Iterable[Entity]]
) -> dict[str, float | dict[str, Figures] | None]:
    """The strict scores alone: ``ents_p/r/f``, ``ents_macro_p/r/f`` and ``ents_per_type``.

    gold, predicted: the entities of each document, in the same order of documents. What stands
    twice with the same label and bounds in one document counts once.

    The macro means are over the labels that have gold here. ``ents_per_type`` has for each label p,
    r, f, ``support`` (gold) and ``predicted``. All None where there is no gold at all.
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
    return {**_as_numbers(_span_figures(counts)), "ents_per_type": _per_type(labels, counts)}


def corpus_scores(labels: Sequence[str], sums: Floats) -> dict[str, Any]:
    """All scores, as JSON values, from the counts of documents summed up.

    labels, sums: as of `scoring.counts.count_tables`, ``sums`` of shape (width,).

    Returns `FIGURES` and ``ents_per_type``, each None where it is not defined, for want of gold.
    """
    spans, _, _ = split_counts(sums)
    return {**_as_numbers(figures(sums)), "ents_per_type": _per_type(labels, spans)}


def figures(sums: Floats) -> dict[str, Floats]:
    """All of `FIGURES`, each (...), from summed counts (..., width); not a number without gold."""
    spans, pairs, tokens = split_counts(sums)
    found = _span_figures(spans)
    gold, predicted = spans[..., GOLD, :].sum(axis=-1), spans[..., PREDICTED, :].sum(axis=-1)
    exact, partial, of_type = (pairs[..., i] for i in range(len(LEVELS)))
    for level, correct in zip(LEVELS, (exact, exact + partial / 2, of_type), strict=True):
        scores = precision_recall_f(correct, predicted, gold)
        found |= {f"ents_{level}_{key}": _where(gold > 0, scores[key]) for key in "prf"}
    by_class = _by_label(tokens)
    has_gold = tokens[..., GOLD, :] > 0
    any_type = has_gold[..., 1:].any(axis=-1)
    with_outside = _mean(by_class["r"], has_gold)
    return found | {
        "token_macro_r": _mean(by_class["r"][..., 1:], has_gold[..., 1:]),
        "token_macro_r_with_o": _where(any_type, with_outside),
        "token_macro_f": _mean(by_class["f"][..., 1:], has_gold[..., 1:]),
        "token_micro_f": _where(any_type, _over_labels(tokens[..., 1:])["f"]),
    }


def figure_array(sums: Floats) -> Floats:
    """`figures` as one array (..., len(FIGURES)), for `scoring.statistics`."""
    found = figures(sums)
    return np.stack([found[key] for key in FIGURES], axis=-1)


def type_array(sums: Floats) -> Floats:
    """Strict precision, recall and F1 of each label, (..., n_labels, 3), from (..., width).

    Not a number for a label without gold.
    """
    spans, _, _ = split_counts(sums)
    by_label = np.stack(list(_by_label(spans).values()), axis=-1)
    return _where(spans[..., GOLD, :, None] > 0, by_label)


def split_counts(sums: Floats) -> tuple[Floats, Floats, Floats]:
    """The parts of count vectors (..., width), with ``width = 6 * n_labels + 6``.

    Returns entities (..., 3, n_labels): `GOLD`, `PREDICTED`, `CORRECT` of each label; pairs
    (..., 3) by `LEVELS`; tokens (..., 3, 1 + n_labels) as entities, `OUTSIDE` the first label.
    """
    n = sums.shape[-1] // 6 - 1
    spans, pairs, tokens = np.split(sums, [3 * n, 3 * n + 3], axis=-1)
    shape = sums.shape[:-1]
    return spans.reshape(*shape, 3, n), pairs, tokens.reshape(*shape, 3, n + 1)


def _span_figures(spans: Floats) -> dict[str, Floats]:
    """``ents_...`` and ``ents_macro_...`` of entities (..., 3, n_labels)."""
    has_gold = spans[..., GOLD, :] > 0
    micro, by_label = _over_labels(spans), _by_label(spans)
    return {
        **{f"ents_{key}": _where(has_gold.any(axis=-1), micro[key]) for key in "prf"},
        **{f"ents_macro_{key}": _mean(by_label[key], has_gold) for key in "prf"},
    }


def _per_type(labels: Sequence[str], spans: Floats) -> dict[str, Figures] | None:
    """``ents_per_type`` of entities (3, n_labels); labels of which there is none are left out."""
    if not spans[GOLD].any():
        return None
    by_label = _by_label(spans)
    return {
        label: {
            **{key: float(by_label[key][i]) for key in "prf"},
            "support": int(spans[GOLD, i]),
            "predicted": int(spans[PREDICTED, i]),
        }
        for i, label in enumerate(labels)
        if spans[GOLD, i] or spans[PREDICTED, i]
    }


def _by_label(counts: Floats) -> dict[str, Floats]:
    return precision_recall_f(*(counts[..., kind, :] for kind in (CORRECT, PREDICTED, GOLD)))


def _over_labels(counts: Floats) -> dict[str, Floats]:
    sums = counts.sum(axis=-1)
    return precision_recall_f(*(sums[..., kind] for kind in (CORRECT, PREDICTED, GOLD)))


def _mean(values: Floats, chosen: npt.NDArray[np.bool_]) -> Floats:
    """Means over the last axis of what is chosen, not a number where nothing is."""
    n = chosen.sum(axis=-1)
    return _where(n > 0, _share((values * chosen).sum(axis=-1), n))


def _share(part: npt.ArrayLike, whole: npt.ArrayLike) -> Floats:
    part, whole = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    share: Floats = np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)
    return share


def _where(condition: npt.ArrayLike, values: Floats) -> Floats:
    found: Floats = np.where(condition, values, np.nan)
    return found


def _as_numbers(found: Mapping[str, Floats]) -> dict[str, float | None]:
    return {key: None if math.isnan(value) else float(value) for key, value in found.items()}
