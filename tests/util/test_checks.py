from typing import Any

import numpy as np
import pytest

from spacy_btl.util.checks import at_least


@pytest.mark.parametrize(("value", "least"), [(1, 1), (17, 1), (0, 0), (np.int64(3), 2)])
def test_at_least(value: int, least: int) -> None:
    assert at_least("n", value, least) == value


@pytest.mark.parametrize("value", [0, -1, 2.0, 2.5, float("nan"), float("inf"), True, "2", None])
def test_at_least_refuses(value: Any) -> None:
    with pytest.raises(ValueError, match=r"n is .*, but must be a whole number, 1 or more"):
        at_least("n", value, 1)
