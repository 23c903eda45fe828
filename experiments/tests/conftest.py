"""Fixtures that the tests of the experiments share with those of the package."""

import torch

from tests.helpers.encoders import tiny_bert

__all__ = ["tiny_bert"]

# The models here are tiny: a second thread would only wait for the first.
torch.set_num_threads(1)
