"""Surface texts: how brat writes the text of an entity's fragments into its record."""

from collections.abc import Iterable, Iterator

from .brat_records import Entity, Fragments


def flat_text(text: str) -> str:
    """Return a text as surface texts show it: newlines as spaces, carriage returns left out."""
    return text.replace("\r", "").replace("\n", " ")


def surface_agreement(entity: Entity, text: str) -> tuple[int, bool]:
    """How many characters of an entity's surface text are those at its offsets, and if all are.

    Both as `flat_text` has them, with one space between fragments. Looks at little more of the text
    than the surface text is long: fragments may name the whole text many times.
    """
    surface, at = flat_text(entity.text), 0
    for piece in _pieces(entity.fragments, text):
        if not surface.startswith(piece, at):
            rest = zip(surface[at:], piece, strict=False)
            alike = next((n for n, (a, b) in enumerate(rest) if a != b), len(surface) - at)
            return at + min(alike, len(piece)), False
        at += len(piece)
    return at, at == len(surface)


def _pieces(fragments: Fragments, text: str, step: int = 1024) -> Iterator[str]:
    """The text of fragments as a surface text shows it, a few characters at a time."""
    for i, (start, end) in enumerate(fragments):
        if i:
            yield " "
        for begin in range(start, end, step):
            yield flat_text(text[begin : min(begin + step, end)])


def join_newline_fragments(fragments: Iterable[tuple[int, int]], text: str) -> Fragments:
    """Sort fragments and join those with only white space, a newline in it, between them.

    An annotation across a line break is written as one fragment a line.
    """
    joined: list[tuple[int, int]] = []
    for start, end in sorted(fragments):
        gap = text[joined[-1][1] : start] if joined else ""
        if "\n" in gap and gap.isspace():
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return tuple(joined)
