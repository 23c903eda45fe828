"""Array types, named by element type and rank.

numpy's types do not know the rank of an array: the names say it for the reader, and docstrings give
the shapes.
"""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Floats1d: TypeAlias = npt.NDArray[np.floating]
Floats2d: TypeAlias = npt.NDArray[np.floating]
Floats3d: TypeAlias = npt.NDArray[np.floating]
FloatsXd: TypeAlias = npt.NDArray[np.floating]
"""Of any rank: (n_tokens, n_columns), or (n_tokens, n_types, 3) with a layer for each type."""

Float32s1d: TypeAlias = npt.NDArray[np.float32]
Float32s2d: TypeAlias = npt.NDArray[np.float32]
Float64s1d: TypeAlias = npt.NDArray[np.float64]
Float64s2d: TypeAlias = npt.NDArray[np.float64]
Float64s3d: TypeAlias = npt.NDArray[np.float64]
Float64sXd: TypeAlias = npt.NDArray[np.float64]

Ints1d: TypeAlias = npt.NDArray[np.int64]
Ints2d: TypeAlias = npt.NDArray[np.int64]
IntsXd: TypeAlias = npt.NDArray[np.int64]

Bools1d: TypeAlias = npt.NDArray[np.bool_]
Bools2d: TypeAlias = npt.NDArray[np.bool_]
BoolsXd: TypeAlias = npt.NDArray[np.bool_]

Bytes1d: TypeAlias = npt.NDArray[np.uint8]

AnyArray: TypeAlias = npt.NDArray[np.generic]
"""Of any element type and any rank."""

XpArray: TypeAlias = Any
"""An array of numpy or of cupy; cupy has no types."""
