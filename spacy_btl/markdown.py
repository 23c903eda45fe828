"""Foreign words in Markdown: labels and names come out of annotation files."""

from .passages import printable

_HARMLESS = str.maketrans({"|": "\\|", "<": "&lt;", "[": "\\[", "`": "\\`"})


def cell(value: object) -> str:
    """A value for a table cell or a line: no tag, link, image or end of the cell comes out of it.

    What is harmless stays as it is, so that a table reads well in a terminal too.
    """
    return printable(str(value)).translate(_HARMLESS)
