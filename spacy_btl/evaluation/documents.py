"""Lay out documents with their gold and predicted entities side by side, errors marked.

This is the part of a report that contains text of the corpus.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..explain.passages import Bounds
from ..scoring.matching import Kind, Match, count_kinds
from ..scoring.scores import LabeledFragments

NOTES: dict[Kind, str] = {
    "correct": "",
    "wrong type": " · type",
    "wrong bounds": " · bounds",
    "wrong type and bounds": " · type, bounds",
    "missed": " · missed",
    "spurious": " · spurious",
}
"""The text after the label of an entity, by its kind."""


class MatchedDocument(NamedTuple):
    """A document with its text, and its gold and predicted entities in pairs."""

    name: str
    text: str
    matches: list[Match]


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a text: plain, or, with a kind, marked as an entity with a note after it."""

    text: str
    kind: Kind | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """Some lines of a document on one side.

    Attributes:
        pieces: The text, which has no gaps.
        also: Entities that overlap others or are not in these lines, to be listed below the text.
    """

    pieces: list[Piece]
    also: list[Piece]


@dataclass(frozen=True, slots=True)
class SideBySide:
    """A document, its errors in words, and its rows of a gold and a predicted cell."""

    name: str
    errors: str
    rows: list[tuple[Cell, Cell]]


def side_by_side(documents: Iterable[MatchedDocument]) -> list[SideBySide]:
    """Return documents with their gold and predicted entities side by side."""
    found = []
    for i, document in enumerate(documents, start=1):
        counts = count_kinds(document.matches)
        errors = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
        name = document.name or f"document {i}"
        found.append(SideBySide(name, errors or "no entity", _rows(document)))
    return found


def text_rows(text: str, entities: Iterable[LabeledFragments]) -> list[Bounds]:
    """Return the lines of a text that have words or entities, at least one.

    A line is joined with the next one where an entity extends beyond it. Bounds are without the
    line break at the end.
    """
    joined: set[int] = set()
    places: set[int] = set()
    for _, fragments in entities:
        start, end = fragments[0][0], fragments[-1][1]
        places.add(start)
        at = text.find("\n", start, end)
        while at >= 0:
            joined.add(at)
            at = text.find("\n", at + 1, end)
    rows = []
    start = 0
    breaks = [i for i, character in enumerate(text) if character == "\n" and i not in joined]
    for end in [*breaks, len(text)]:
        if text[start:end].strip() or any(place in places for place in range(start, end)):
            rows.append((start, end))
        start = end + 1
    return rows or [(0, len(text))]


def _rows(document: MatchedDocument) -> list[tuple[Cell, Cell]]:
    gold = [(m.gold, m.kind) for m in document.matches if m.gold]
    predicted = [(m.predicted, m.kind) for m in document.matches if m.predicted]
    rows = text_rows(document.text, (entity for entity, _ in gold + predicted))
    left, right = (_column(document.text, rows, side) for side in (gold, predicted))
    return list(zip(left, right, strict=True))


def _column(
    text: str, rows: Sequence[Bounds], side: Iterable[tuple[LabeledFragments, Kind]]
) -> list[Cell]:
    """Return a cell for each row, an entity in the row in which it begins."""
    waiting = sorted(side, key=lambda item: (item[0][1], item[0][0]))
    cells = []
    for i, row in enumerate(rows):
        last = i + 1 == len(rows)
        n = len([entity for entity, _ in waiting if last or entity[1][0][0] < rows[i + 1][0]])
        cells.append(marked_cell(text, row, waiting[:n]))
        waiting = waiting[n:]
    return cells


def passage_bounds(text: str, start: int, end: int, context: int) -> Bounds:
    """Return the bounds of the text around a place, cut between words.

    Args:
        text: The text of the document.
        start: First character of the place.
        end: End of the place.
        context: Most characters on either side.
    """
    first, last = max(start - context, 0), min(end + context, len(text))
    while 0 < first < start and not text[first - 1].isspace():
        first += 1
    while end < last < len(text) and not text[last].isspace():
        last -= 1
    while first < start and text[first].isspace():
        first += 1
    while end < last and text[last - 1].isspace():
        last -= 1
    return first, last


def marked_cell(
    text: str,
    row: Bounds,
    entities: Iterable[tuple[LabeledFragments, Kind]],
    notes: Mapping[Kind, str] = NOTES,
) -> Cell:
    """Return a piece of a text with its entities marked, as far as they do not overlap.

    Args:
        text: The text.
        row: The characters of the piece.
        entities: Entities and the kinds of their pairs; earlier ones are marked first.
        notes: What follows the label of an entity, by its kind.
    """
    taken: list[tuple[int, int, Piece]] = []
    also = []
    for (label, fragments), kind in entities:
        inside = all(row[0] <= start < end <= row[1] for start, end in fragments)
        free = all(end <= a or b <= start for start, end in fragments for a, b, _ in taken)
        surfaces = [text[start:end] for start, end in fragments]
        note = f"{label}{notes.get(kind, '')}"
        if inside and free:
            shown = [*["…"] * (len(surfaces) - 1), note]  # the last fragment has the full note
            for (start, end), surface, own in zip(fragments, surfaces, shown, strict=True):
                taken.append((start, end, Piece(surface, kind, own)))
        else:
            also.append(Piece(" … ".join(surfaces), kind, note))
    pieces, done = [], row[0]
    for start, end, mark in sorted(taken, key=lambda item: item[:2]):
        pieces += [Piece(text[done:start]), mark]
        done = end
    return Cell([*pieces, Piece(text[done : row[1]])], also)
