"""Checks of settings, made where a setting is stored and not where it is first used.

Each check returns the value, or raises a ValueError that gives the name of the setting, its value
and what it must be. NaN, infinities, booleans and strings are not accepted as numbers.
"""

import math
from collections.abc import Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
Number = TypeVar("Number", bound=float)


def one_of(name: str, value: T, choices: Sequence[object]) -> T:
    """Return the value of a setting that is one of a few.

    Args:
        name: The name of the setting.
        value: Its value.
        choices: What it may be; of a Literal type, ``typing.get_args`` gives them.

    Raises:
        ValueError: If it is not one of the choices.
    """
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        raise _error(name, value, f"one of {', '.join(map(str, choices))}")
    return value


def whole_number(name: str, value: int, least: int) -> int:
    """Return the value of a setting that counts something.

    Raises:
        ValueError: If it is not a whole number (2.0 is not one), or below ``least``.
    """
    if not _is_whole(value) or value < least:
        raise _error(name, value, f"a whole number, {least} or more")
    return value


def at_least(name: str, value: Number, least: float) -> Number:
    """Return the value of a setting that is ``least`` or more.

    Raises:
        ValueError: If it is below, or no finite number.
    """
    if not _is_finite(value) or value < least:
        raise _error(name, value, f"{least:g} or more")
    return value


def above(name: str, value: Number, bound: float) -> Number:
    """Return the value of a setting that is more than ``bound``.

    Raises:
        ValueError: If it is not more, or no finite number.
    """
    if not _is_finite(value) or value <= bound:
        raise _error(name, value, f"above {bound:g}")
    return value


def between(
    name: str,
    value: Number,
    low: float,
    high: float,
    *,
    low_itself: bool = True,
    high_itself: bool = True,
) -> Number:
    """Return the value of a setting in an interval.

    Args:
        name: The name of the setting.
        value: Its value.
        low: The lower end.
        high: The upper end.
        low_itself: Whether the value may be the lower end.
        high_itself: Whether the value may be the upper end.

    Raises:
        ValueError: If it is outside of the interval.
    """
    inside = _is_finite(value) and low <= value <= high
    if not inside or (value == low and not low_itself) or (value == high and not high_itself):
        lower = f"{'at least' if low_itself else 'above'} {low:g}"
        raise _error(name, value, f"{lower} and {'at most' if high_itself else 'below'} {high:g}")
    return value


def at_least_0(name: str, value: Number) -> Number:
    """Return the value of a setting that is 0 or more; see `at_least`."""
    return at_least(name, value, 0)


def above_0(name: str, value: Number) -> Number:
    """Return the value of a setting that is more than 0; see `above`."""
    return above(name, value, 0)


def python_file(path: Path) -> Path:
    """Return the path of a file with Python code.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If its name does not end in ``.py``.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no Python file {path}")
    if path.suffix != ".py":
        raise ValueError(f"{path} is not a Python file: its name must end in .py")
    return path


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_finite(value: object) -> bool:
    return not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)


def _error(name: str, value: object, expected: str) -> ValueError:
    return ValueError(f"{name} is {value!r}, but must be {expected}")
