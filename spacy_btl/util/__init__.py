"""Helpers that every room may use: texts, checks, files, messages, templates and array types.

Modules that need numpy or Jinja2 are imported by themselves, as not every room needs these.
"""

from .checks import above, at_least, between, one_of, whole_number
from .text import cell, markdown_table, printable

__all__ = [
    "above",
    "at_least",
    "between",
    "cell",
    "markdown_table",
    "one_of",
    "printable",
    "whole_number",
]
