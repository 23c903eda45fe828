"""Checks of settings: the value, or a ValueError that names the setting and what it must be."""

from typing import Any

import numpy as np


def one_of(name: str, value: str, choices: tuple[str, ...]) -> Any:
    """The value of a setting; ValueError where it is none of its choices."""
    if value not in choices:
        raise ValueError(f"{name} is {value!r}, but must be one of {', '.join(choices)}")
    return value


def at_least_0(name: str, value: float) -> float:
    """The value of a setting; ValueError where it is negative or not finite."""
    if not 0 <= value < float("inf"):
        raise ValueError(f"{name} is {value}, but must be 0 or more")
    return value


def above_0(name: str, value: float) -> float:
    """The value of a setting; ValueError where it is 0, negative or not finite."""
    if not 0 < value < float("inf"):
        raise ValueError(f"{name} is {value}, but must be above 0")
    return value


def at_least(name: str, value: int, least: int) -> int:
    """Return the value of a setting.

    Raises:
        ValueError: If it is no whole number or below ``least``.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name} is {value!r}, but must be a whole number, {least} or more")
    return value
