"""Several corpora and one pipeline: read together, and begin with what was learned before."""

from .agreement import Agreement, compare_names
from .reader import JointCorpus
from .start import StartFrom

__all__ = ["Agreement", "JointCorpus", "StartFrom", "compare_names"]
