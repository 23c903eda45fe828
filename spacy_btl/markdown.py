"""Foreign words in Markdown: labels and names come out of annotation files."""

import re

from .passages import printable

_HARMFUL = re.compile(r"[\\|`\[]|<(?=[A-Za-z/!?])")


def cell(value: object) -> str:
    """A value for a table cell or a line: no tag, link, image or end of the cell comes out of it.

    What is harmless stays as it is, so that a table reads well in a terminal too.
    """
    return _HARMFUL.sub(_escaped, printable(str(value)))


def _escaped(found: re.Match[str]) -> str:
    return "&lt;" if found[0] == "<" else f"\\{found[0]}"
