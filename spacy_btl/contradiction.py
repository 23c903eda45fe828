"""Stored keys outside of all entities that further examples contradict.

Where a type is added that the training data does not annotate, its mentions there stand as ``O``:
for each new key there may be hundreds of old ones at the same place that vote against it.
Pure arrays.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats2d = npt.NDArray[np.floating]
Bools1d = npt.NDArray[np.bool_]


REACH = 0.9
"""Share of the new keys that lie within reach of those of another document. On MACCROBAT, 57 to
85 % of the mentions of four types left unannotated are found at 0.9, at a precision of 0.8 to 0.97
for three of them (0.3 for the fourth); at 1 precision falls to 0.5 to 0.9
(`benchmarks/new_type.py`)."""


def contradicted(
    outside: Floats2d,
    added: Floats2d,
    is_new: Bools1d,
    documents: Sequence[str],
    *,
    reach: float = REACH,
    chunk: int = 4096,
) -> Bools1d:
    """Which of the keys outside (n,) the added ones say to be of a new type.

    outside: (n, width) stored keys labelled ``O``. added: (m, width) keys of all tokens of the
    further documents; is_new: (m,) which of them are of a type that is new; documents: (m,) ids of
    their documents.

    They are those whose nearest added key is of a new type, and no farther away than new keys are
    from the nearest one of another document, for the share ``reach`` of them. With new keys in
    fewer than two documents there are none.
    """
    result = np.zeros(len(outside), dtype=bool)
    new, rest = added[is_new], added[~is_new]
    ids = np.asarray(documents, dtype=object)[is_new]
    if len(set(ids)) < 2:
        return result
    between = _distances(new, new)
    between[ids[:, None] == ids] = np.inf
    within = np.quantile(between.min(axis=1), reach)
    for start in range(0, len(outside), chunk):
        part = outside[start : start + chunk]
        to_new = _distances(part, new).min(axis=1)
        to_rest = _distances(part, rest).min(axis=1) if len(rest) else np.inf
        result[start : start + chunk] = (to_new < to_rest) & (to_new <= within)
    return result


def _distances(a: Floats2d, b: Floats2d) -> Floats2d:
    """Euclidean distances (n, m)."""
    from sklearn.metrics import euclidean_distances

    distances: Floats2d = euclidean_distances(a, b)
    return distances
