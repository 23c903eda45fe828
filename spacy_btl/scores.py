"""Scores of predicted entities against gold ones, at span and at token level.

Pure Python: an entity is (label, fragments) with fragments ((start, end), ...) in characters.
Every score says by its key which level it is of; span and token figures are not comparable.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

Entity = tuple[str, tuple[tuple[int, int], ...]]
Figures = dict[str, float]

OUTSIDE = ""
"""Label of a token outside of all entities."""


def precision_recall_f(correct: int, predicted: int, gold: int) -> Figures:
    """Precision ``p``, recall ``r`` and their harmonic mean ``f``; 0 where a divisor is 0."""
    p = correct / predicted if predicted else 0.0
    r = correct / gold if gold else 0.0
    return {"p": p, "r": r, "f": 2 * p * r / (p + r) if p + r else 0.0}


def strict_span_scores(
    gold: Iterable[Iterable[Entity]], predicted: Iterable[Iterable[Entity]]
) -> dict[str, float | dict[str, Figures] | None]:
    """Strict scores: label and all bounds must agree.

    gold, predicted: the entities of each document, in the same order of documents. What stands
    twice with the same label and bounds in one document counts once.

    Returns ``ents_p``, ``ents_r``, ``ents_f`` (micro), ``ents_macro_p``, ``ents_macro_r``,
    ``ents_macro_f`` (mean over the labels that have gold here) and ``ents_per_type``: for each
    label p, r, f, ``support`` (gold) and ``predicted``. All None where there is no gold at all.
    """
    n_gold, n_predicted, n_correct = Counter[str](), Counter[str](), Counter[str]()
    for gold_entities, predicted_entities in zip(gold, predicted, strict=True):
        ours, theirs = set(predicted_entities), set(gold_entities)
        n_gold.update(label for label, _ in theirs)
        n_predicted.update(label for label, _ in ours)
        n_correct.update(label for label, _ in ours & theirs)
    per_type: dict[str, Figures] = {
        label: {
            **precision_recall_f(n_correct[label], n_predicted[label], n_gold[label]),
            "support": n_gold[label],
            "predicted": n_predicted[label],
        }
        for label in sorted(n_gold | n_predicted)
    }
    micro = precision_recall_f(n_correct.total(), n_predicted.total(), n_gold.total())
    scores: dict[str, float | dict[str, Figures] | None] = {"ents_per_type": per_type}
    for key in "prf":
        scored = [per_type[label][key] for label in n_gold]
        scores[f"ents_{key}"] = micro[key] if scored else None
        scores[f"ents_macro_{key}"] = sum(scored) / len(scored) if scored else None
    if not n_gold:
        scores["ents_per_type"] = None
    return scores


def bootstrap_intervals(
    gold: Sequence[Iterable[Entity]],
    predicted: Sequence[Iterable[Entity]],
    *,
    samples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """Percentile intervals of ``ents_f`` and ``ents_macro_f``, documents drawn with replacement.

    samples, level: number of draws, share of them inside of the interval.

    A label without gold in a draw takes no part in the macro mean of that draw, and a draw without
    any gold none in the intervals. Empty where no draw has gold. Raises ValueError where there is
    no draw, or a level that is no share.
    """
    if samples < 1 or not 0 < level < 1:
        raise ValueError(f"{samples} samples at the level {level} give no interval")
    pairs = [(set(g), set(p)) for g, p in zip(gold, predicted, strict=True)]
    labels = {label for document in pairs for entities in document for label, _ in entities}
    column = {label: i for i, label in enumerate(sorted(labels))}
    counts = np.zeros((len(pairs), 3, len(labels)))
    for row, (g, p) in zip(counts, pairs, strict=True):
        for kind, entities in enumerate((g, p, g & p)):
            for label, _ in entities:
                row[kind, column[label]] += 1
    if not counts[:, 0].any():
        return {}
    draws = np.random.default_rng(seed).multinomial(
        len(pairs), np.full(len(pairs), 1 / len(pairs)), size=samples
    )
    drawn = np.tensordot(draws, counts, axes=1)
    drawn = drawn[drawn[:, 0].any(axis=1)]
    if not len(drawn):
        return {}
    n_gold, n_predicted, n_correct = drawn[:, 0], drawn[:, 1], drawn[:, 2]
    # 2PR / (P + R) is 2 correct / (gold + predicted). A label without gold has no correct ones.
    micro = 2 * n_correct.sum(axis=1) / (n_gold + n_predicted).sum(axis=1)
    by_label = 2 * n_correct / np.maximum(n_gold + n_predicted, 1)
    macro = by_label.sum(axis=1) / (n_gold > 0).sum(axis=1)
    tail = 100 * (1 - level) / 2
    return {
        key: (float(np.percentile(values, tail)), float(np.percentile(values, 100 - tail)))
        for key, values in (("ents_f", micro), ("ents_macro_f", macro))
    }


def token_scores(gold: Sequence[str], predicted: Sequence[str]) -> dict[str, float | None]:
    """Token-level scores over entity types (no B or I), the token outside being ``OUTSIDE``.

    Returns ``token_macro_r`` (unweighted accuracy: mean recall of the types that have gold tokens),
    ``token_macro_r_with_o`` (the same with ``O`` as one more class), ``token_macro_f`` (mean of the
    F1 of those types) and ``token_micro_f`` (without ``O``). All None where no token has a type.
    """
    n_gold, n_predicted = Counter(gold), Counter(predicted)
    n_correct = Counter(g for g, p in zip(gold, predicted, strict=True) if g == p)
    by_type = {
        label: precision_recall_f(n_correct[label], n_predicted[label], n_gold[label])
        for label in n_gold
    }
    types = [label for label in by_type if label != OUTSIDE]
    if not types:
        return dict.fromkeys(
            ("token_macro_r", "token_macro_r_with_o", "token_macro_f", "token_micro_f")
        )
    for counts in (n_gold, n_predicted, n_correct):
        counts.pop(OUTSIDE, None)
    micro = precision_recall_f(n_correct.total(), n_predicted.total(), n_gold.total())
    return {
        "token_macro_r": sum(by_type[label]["r"] for label in types) / len(types),
        "token_macro_r_with_o": sum(figures["r"] for figures in by_type.values()) / len(by_type),
        "token_macro_f": sum(by_type[label]["f"] for label in types) / len(types),
        "token_micro_f": micro["f"],
    }
