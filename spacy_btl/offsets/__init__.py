"""Find out what the offsets of a document count, and put its entities at their words.

The room knows no spaCy: `conversion` makes documents of what is corrected here.
"""

from .correction import Correction, Misfit, check_offsets, correct_offsets, cuts_words
from .counting import AS_WRITTEN, Counting

__all__ = [
    "AS_WRITTEN",
    "Correction",
    "Counting",
    "Misfit",
    "check_offsets",
    "correct_offsets",
    "cuts_words",
]
