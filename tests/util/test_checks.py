"""Valid settings, and the errors for others."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from spacy_btl.util.checks import (
    above,
    above_0,
    at_least,
    at_least_0,
    between,
    one_of,
    whole_number,
)

Check = Callable[[Any], Any]


def inside(value: Any) -> Any:
    return between("x", value, 0, 1)


def strictly_inside(value: Any) -> Any:
    return between("x", value, 0, 1, low_itself=False, high_itself=False)


def half_open(value: Any) -> Any:
    return between("x", value, 0.5, 1, high_itself=False)


CHECKS: list[tuple[Check, list[Any], list[Any], str]] = [
    # check    accepted    refused    what x must be
    (
        lambda value: one_of("x", value, ("a", "b-c")),
        ["a", "b-c"],
        ["A", "", "b_c", "ab", None, 1, ["a"]],
        "one of a, b-c",
    ),
    (lambda value: one_of("x", value, (1, 2)), [1, 2], [True, 1.0, "1", 3], "one of 1, 2"),
    (
        lambda value: whole_number("x", value, 1),
        [1, 17, np.int64(3)],
        [0, -1, 2.0, 2.5, float("nan"), float("inf"), True, "2", None],
        "a whole number, 1 or more",
    ),
    (
        lambda value: at_least("x", value, 0.5),
        [0.5, 1, 1e9, np.float32(0.75)],
        [0.49, -1, float("nan"), float("inf"), True, "1", None],
        "0.5 or more",
    ),
    (
        lambda value: above("x", value, 2),
        [2.1, 3, np.int32(3)],
        [2, 2.0, float("inf"), float("nan"), "3"],
        "above 2",
    ),
    (lambda value: at_least_0("x", value), [0, 0.0, 1], [-1e-9, float("inf"), False], "0 or more"),
    (lambda value: above_0("x", value), [1e-9, 1], [0, -0.0, float("inf"), True], "above 0"),
    (inside, [0, 0.5, 1], [-0.1, 1.1, float("nan"), True, None], "at least 0 and at most 1"),
    (strictly_inside, [0.1, 0.9], [0, 1, -1, 2], "above 0 and below 1"),
    (half_open, [0.5, 0.9], [0.4, 1], "at least 0.5 and below 1"),
]


@pytest.mark.parametrize(("check", "value"), [(c[0], value) for c in CHECKS for value in c[1]])
def test_accepted(check: Check, value: Any) -> None:
    assert check(value) == value


@pytest.mark.parametrize(
    ("check", "value", "expected"), [(c[0], value, c[3]) for c in CHECKS for value in c[2]]
)
def test_refused(check: Check, value: Any, expected: str) -> None:
    with pytest.raises(ValueError) as caught:
        check(value)
    assert str(caught.value) == f"x is {value!r}, but must be {expected}"
