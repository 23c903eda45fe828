"""Fixtures that the tests of the experiments share with those of the package."""

from tests.helpers.encoders import tiny_bert
from tests.helpers.session import set_up

__all__ = ["tiny_bert"]

set_up()
