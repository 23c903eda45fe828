"""Least scores at which predicted entities are kept, one a type, chosen on held-out documents.

Leaving entities out never finds one more: recall can only fall. A threshold of a type's own needs
many entities. On MACCROBAT with 16 held-out documents a single threshold for all types (a
``min_support`` above the number of entities) raised micro F1 on further documents, and more than
one a type, which lowered it where the model itself decodes; neither helped macro F1. A wanted
precision well above that of all entities left few, and was missed by up to 0.15. Pure arrays.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats1d = npt.NDArray[np.floating]
Bools1d = npt.NDArray[np.bool_]
Objective = Literal["f1"] | float

KEEP_ALL = 0.0
KEEP_NONE = 2.0
"""A threshold that no score reaches."""

DIGITS = 6
"""Decimals of a threshold, few enough that JSON writers return what was written."""


def best_thresholds(
    scores: npt.ArrayLike,
    types: Sequence[str],
    correct: npt.ArrayLike,
    n_gold_by_type: Mapping[str, int],
    *,
    objective: Objective = "f1",
    min_support: int = 20,
) -> dict[str, float]:
    """Threshold of each type that has gold or predicted entities; `is_kept` applies them.

    scores, types, correct: (n,) of the predicted entities, those of documents that neither model
        nor calibration has seen (`labels.calibration.cross_validated`).
    n_gold_by_type: gold entities of each type in the same documents, found or not.
    objective: "f1" for the best strict F1 of the type, or a precision in (0, 1]: the lowest
        threshold that reaches it, and ``KEEP_NONE`` where none does.
    min_support: types with fewer predicted entities share one threshold, chosen on all of them
        together; where even these are fewer, it is chosen on all types.

    A threshold lies in the middle between two scores; ``KEEP_ALL`` (0) leaves nothing out. On a tie
    the lowest wins. Raises ValueError where lengths do not fit each other, a score is not between 0
    and 1, more entities of a type are correct than gold, or the objective is none.
    """
    s, c = np.asarray(scores, dtype=np.float64), np.asarray(correct, dtype=bool)
    if not len(s) == len(types) == len(c):
        raise ValueError(f"{len(s)} scores, {len(types)} types and {len(c)} outcomes do not fit")
    if not ((s >= 0) & (s <= 1)).all():
        raise ValueError("scores must lie between 0 and 1")
    _check_objective(objective)
    n_gold = Counter(dict(n_gold_by_type))
    names = np.asarray(types, dtype=str)
    for name, found in Counter(names[c].tolist()).items():
        if found > n_gold[name]:
            raise ValueError(
                f'{found} entities of type "{name}" are correct, but only {n_gold[name]} are gold: '
                "count the gold entities of the same documents"
            )
    n_predicted = Counter(names.tolist())
    everything = sorted({name for name, n in n_gold.items() if n} | set(n_predicted))
    rare = [name for name in everything if n_predicted[name] < min_support]

    def chosen_on(pool: Iterable[str]) -> float:
        pooled = sorted(pool)
        here = np.isin(names, pooled)
        return _best_threshold(s[here], c[here], sum(n_gold[name] for name in pooled), objective)

    enough = sum(n_predicted[name] for name in rare) >= min_support
    shared = chosen_on(rare if enough else everything) if rare else KEEP_ALL
    return {name: shared if name in rare else chosen_on([name]) for name in everything}


def _check_objective(objective: Objective) -> None:
    """ValueError where it is neither "f1" nor a precision."""
    is_number = isinstance(objective, int | float) and not isinstance(objective, bool)
    if objective != "f1" and not (is_number and 0 < float(objective) <= 1):
        raise ValueError(
            f'the objective is "f1" or a precision above 0, up to 1, not {objective!r}'
        )


def _best_threshold(s: Floats1d, correct: Bools1d, n_gold: int, objective: Objective) -> float:
    """The threshold for the entities of one type, or of a pool of types."""
    order = np.argsort(s)
    s, correct = s[order], correct[order]
    # One choice for each distinct score: keep it and all above it.
    cuts = np.flatnonzero(np.diff(s, prepend=-1.0) > 0)
    n_kept = len(s) - cuts
    n_correct = correct.sum() - np.concatenate(([0], np.cumsum(correct)))[cuts]
    if not len(cuts):
        return KEEP_ALL
    if objective == "f1":
        best = int((2 * n_correct / (n_kept + n_gold)).argmax())
    else:
        reached = n_correct / n_kept >= objective
        if not reached.any():
            return KEEP_NONE
        best = int(reached.argmax())
    if best == 0:
        return KEEP_ALL
    below, least = float(s[cuts[best] - 1]), float(s[cuts[best]])
    middle = round((below + least) / 2, DIGITS)
    return middle if below < middle <= least else least
