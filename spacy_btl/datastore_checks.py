"""What a datastore is made of: names that stand once, whole numbers in their range, its arrays."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .checked_file import texts_to_array

Array = npt.NDArray[Any]


def distinct(what: str, names: Iterable[str]) -> tuple[str, ...]:
    """The names; ValueError where one is no text, is empty, stands twice, or cannot be saved."""
    names = tuple(names)
    if wrong := [name for name in names if not isinstance(name, str) or not name]:
        raise ValueError(f"{wrong[0]!r} in {what} is no name: each must be a text, not empty")
    if len(set(names)) < len(names):
        twice = [name for name, count in Counter(names).items() if count > 1]
        raise ValueError(f"twice in {what}: {quoted(twice)}")
    try:
        texts_to_array(names)
    except ValueError as error:
        raise ValueError(f"in {what}, {error}") from None
    return names


def quoted(names: Sequence[str]) -> str:
    """A few names, for a message."""
    more = len(names) - 3
    return ", ".join(map(repr, names[:3])) + (f" and {more} more" if more > 0 else "")


def one_each(names: str | Sequence[str], n: int) -> list[str]:
    """A name for each of n keys, from one for all of them or from as many."""
    return [names] * n if isinstance(names, str) else list(names)


def positions(names: Iterable[str]) -> dict[str, int]:
    """Index of each name."""
    return {name: i for i, name in enumerate(names)}


def float32(keys: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """The keys as float32; what is too large becomes infinite."""
    with np.errstate(over="ignore"):  # infinities are found later, with those that were there
        return np.asarray(keys, dtype=np.float32)


def checked_indices(values: npt.ArrayLike, name: str, below: int, dtype: type = np.int64) -> Array:
    """Whole numbers from 0 to below a bound, along one axis."""
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ValueError(
            f"{name} must be whole numbers along one axis, not {array.dtype} {array.shape}"
        )
    if array.size and not 0 <= int(array.min()) <= int(array.max()) < below:
        raise ValueError(
            f"{name} must lie from 0 to below {below}, but lie from {array.min()} to {array.max()}"
        )
    return array.astype(dtype, copy=False)


def read_only(array: Array) -> Array:
    """The same numbers under a name of their own, through which they cannot be changed."""
    view = np.asarray(array).view()
    view.setflags(write=False)
    return view


def joined(old: Array, new: npt.ArrayLike) -> Array:
    """Both behind each other, in the type of the old; without a copy where that is empty."""
    new = np.asarray(new, dtype=old.dtype)
    return np.concatenate((old, new)) if len(old) else new
