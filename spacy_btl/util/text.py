"""Foreign words in Markdown: labels and names come out of annotation files."""

import re

_HARMFUL = re.compile(r"[\\|`\[]|<(?=[A-Za-z/!?])")


def cell(value: object) -> str:
    """A value for a table cell or a line: no tag, link, image or end of the cell comes out of it.

    What is harmless stays as it is, so that a table reads well in a terminal too.
    """
    return _HARMFUL.sub(_escaped, printable(str(value)))


def _escaped(found: re.Match[str]) -> str:
    return "&lt;" if found[0] == "<" else f"\\{found[0]}"


_SPACES = re.compile("[\t-\r\x85\u2028\u2029]")


_CONTROLS = re.compile("[\0-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """The text with controls replaced one to one, so that offsets hold.

    White space becomes a space. Control characters, embeddings and overrides of the direction of
    writing and lone surrogates become U+FFFD: a text cannot steer a terminal or reorder what is
    around it.
    """
    return _CONTROLS.sub("\ufffd", _SPACES.sub(" ", text))


def render_table(header: list[str], rows: list[list[str]]) -> list[str]:
    """Lines of a Markdown table with aligned columns, all but the first to the right."""
    header, *rows = ([cell(text) for text in row] for row in (header, *rows))
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]

    def line(cells: list[str]) -> str:
        first, *others = zip(cells, widths, strict=True)
        padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return [line(header), f"| {' | '.join(rule)} |", *map(line, rows)]
