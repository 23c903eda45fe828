"""Several corpora and one pipeline: read together, and begin with what was learned before."""

from .start import StartFrom

__all__ = ["StartFrom"]
