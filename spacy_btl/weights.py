"""Class weights from token counts."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats1d = npt.NDArray[np.floating]
ClassWeights = Callable[[npt.ArrayLike], Floats1d]
"""Token counts by label (n_labels,) to weights (n_labels,)."""


def complement_of_frequency(counts: npt.ArrayLike) -> Floats1d:
    """``w_c = 1 - N_c / N`` (arXiv 2409.03238): N_c tokens of label c among N.

    Without any token every weight is 1.
    """
    n = np.asarray(counts, dtype=np.float64)
    return np.asarray(1.0 - n / max(n.sum(), 1.0))


def make_complement_of_frequency() -> ClassWeights:
    """The registered form of `complement_of_frequency`."""
    return complement_of_frequency
