"""Stored keys outside of all entities that further examples contradict.

Where a type is added that the training data does not annotate, its mentions there stand as ``O``:
for each new key there may be hundreds of old ones at the same place that vote against it.
Pure arrays.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats1d = npt.NDArray[np.floating]
Floats2d = npt.NDArray[np.floating]
Ints1d = npt.NDArray[np.int64]
Bools1d = npt.NDArray[np.bool_]


REACH = 0.9
"""Share of the new keys that lie within reach of those of another document. On MACCROBAT, 57 to
85 % of the mentions of four types left unannotated are found at 0.9, at a precision of 0.8 to 0.97
for three of them (0.3 for the fourth); at 1 precision falls to 0.5 to 0.9
(`benchmarks/new_type.py`)."""

BLOCK = 2**22
"""Distances that are held at once, 32 MiB."""


def contradicted(
    outside: Floats2d,
    added: Floats2d,
    is_new: Bools1d,
    documents: Sequence[str],
    *,
    reach: float = REACH,
    block: int = BLOCK,
) -> Bools1d:
    """Which of the keys outside (n,) the added ones say to be of a new type.

    outside: (n, width) stored keys labelled ``O``. added: (m, width) keys of all tokens of the
    further documents; is_new: (m,) which of them are of a type that is new; documents: (m,) ids of
    their documents. block: distances held at once, at least m.

    They are those whose nearest added key is of a new type, and no farther away than new keys are
    from the nearest one of another document, for the share ``reach`` of them. With new keys in
    fewer than two documents there are none.
    """
    new, rest = added[is_new], added[~is_new]
    _, ids = np.unique(np.asarray(documents, dtype=str)[is_new], return_inverse=True)
    if len(np.unique(ids)) < 2:
        return np.zeros(len(outside), dtype=np.bool_)
    within = np.quantile(_nearest(new, new, block, apart=ids), reach)
    to_new, to_rest = _nearest(outside, new, block), _nearest(outside, rest, block)
    return np.asarray((to_new < to_rest) & (to_new <= within))


def _nearest(a: Floats2d, b: Floats2d, block: int, *, apart: Ints1d | None = None) -> Floats1d:
    """Euclidean distance of each of a (n, width) to the nearest of b (m, width); (n,).

    Infinite where there is none. block: distances held at once, at least m. apart: (m,) document of
    each, where a and b are the same; then that of the nearest in another document.
    """
    from sklearn.metrics import euclidean_distances

    result = np.full(len(a), np.inf)
    rows = max(1, block // max(1, len(b)))
    for start in range(0, len(a) if len(b) else 0, rows):
        part = slice(start, start + rows)
        distances = euclidean_distances(a[part], b)
        if apart is not None:
            distances[apart[part, None] == apart] = np.inf
        result[part] = distances.min(axis=1)
    return result
