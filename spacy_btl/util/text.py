"""Text that came from outside, made safe for a terminal, for Markdown and for tables.

Labels, names and documents come from annotation files: a text must not steer a terminal, reorder
what is around it, or become markup.
"""

import csv
import io
import re
from collections.abc import Iterable, Sequence

_SPACES = re.compile("[\t-\r\x85\u2028\u2029]")
_CONTROLS = re.compile("[\0-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""Beginnings of a text that a spreadsheet may read as a formula."""

_HARMFUL = re.compile(r"[\\|`\[]|<(?=[A-Za-z/!?])")


def printable(text: str) -> str:
    """Return the text with control characters replaced one to one, so that offsets hold.

    White space becomes a space. Control characters, embeddings and overrides of the writing
    direction, and lone surrogates become U+FFFD.
    """
    return _CONTROLS.sub("\ufffd", _SPACES.sub(" ", text))


def counted(number: int, one: str, several: str = "") -> str:
    """Return a number with its noun: "1 document", "1,200 documents".

    Args:
        number: How many there are.
        one: The noun for one, and what else depends on the number: "document has".
        several: The same for any other number; by default the noun with an "s".
    """
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def cell(value: object) -> str:
    """Return a value as Markdown for a table cell or a line.

    No tag, link, image or code comes out of it, and it does not end the cell. Harmless characters
    stay as they are, so that a table reads well in a terminal too.
    """
    return _HARMFUL.sub(_escaped, printable(str(value)))


def _escaped(found: re.Match[str]) -> str:
    return "&lt;" if found[0] == "<" else f"\\{found[0]}"


def markdown_table(header: Sequence[object], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return the lines of a Markdown table; all columns but the first are aligned to the right.

    Args:
        header: the names of the columns.
        rows: cells, as many in each row as the header has. All are escaped by `cell`.

    Raises:
        ValueError: a row has another number of cells.

    """
    cells = [[cell(value) for value in row] for row in (header, *rows)]
    columns = zip(*cells, strict=True)
    widths = [max(2 if i else 1, *map(len, column)) for i, column in enumerate(columns)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return [_line(row, widths) for row in (cells[0], rule, *cells[1:])]


def csv_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table as CSV that a spreadsheet can open.

    A text that a spreadsheet would read as a formula gets an apostrophe before it. Numbers stay as
    they are, also those that are texts.

    Args:
        header: The names of the columns.
        rows: The cells of each row; None becomes an empty one.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\r\n")  # so that a lone "\r" is quoted
    writer.writerow(header)
    writer.writerows([_no_formula(value) for value in row] for row in rows)
    return file.getvalue()


def _no_formula(value: object) -> object:
    if not isinstance(value, str) or not value.startswith(_FORMULA) or _is_number(value):
        return value
    return f"'{value}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    padded = [first[0].ljust(first[1]), *(text.rjust(width) for text, width in others)]
    return f"| {' | '.join(padded)} |"
