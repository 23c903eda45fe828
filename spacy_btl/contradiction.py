"""Stored keys outside of all entities that further examples contradict.

Where a type is added that the training data does not annotate, its mentions there stand as ``O``:
for each new key there may be hundreds of old ones at the same place that vote against it.
Pure arrays.
"""

import numpy as np
import numpy.typing as npt

Floats2d = npt.NDArray[np.floating]
Bools1d = npt.NDArray[np.bool_]


def contradicted(
    outside: Floats2d, added: Floats2d, is_new: Bools1d, *, chunk: int = 4096
) -> Bools1d:
    """Which of the keys outside (n,) the added ones say to be of a new type.

    outside: (n, width) stored keys labelled ``O``. added: (m, width) keys of all tokens of the
    further documents; is_new: (m,) which of them are of a type that is new.

    They are those whose nearest added key is of a new type, and lies no farther than the new keys
    lie from each other (the median distance of a new key to the nearest other one). Without two
    new keys there are none.
    """
    result = np.zeros(len(outside), dtype=bool)
    new, rest = added[is_new], added[~is_new]
    if len(new) < 2:
        return result
    between = _distances(new, new)
    np.fill_diagonal(between, np.inf)
    reach = np.median(between.min(axis=1))
    for start in range(0, len(outside), chunk):
        part = outside[start : start + chunk]
        to_new = _distances(part, new).min(axis=1)
        to_rest = _distances(part, rest).min(axis=1) if len(rest) else np.inf
        result[start : start + chunk] = (to_new < to_rest) & (to_new <= reach)
    return result


def _distances(a: Floats2d, b: Floats2d) -> Floats2d:
    """Euclidean distances (n, m)."""
    from sklearn.metrics import euclidean_distances

    distances: Floats2d = euclidean_distances(a, b)
    return distances
