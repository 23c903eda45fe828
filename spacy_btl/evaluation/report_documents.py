"""Documents with their gold and predicted entities side by side, errors marked, as HTML.

This is the part of a report that holds text of the corpus.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..explain.passages import Bounds
from ..scoring.matching import KINDS, Kind, count_kinds
from ..scoring.scores import LabeledFragments
from ..util.templates import html_text

if TYPE_CHECKING:
    from .evaluate import MatchedDocument

STYLE = """
.sides { width: 100%; table-layout: fixed; font-size: .9375rem; overflow-wrap: anywhere; }
.sides td { padding: .3rem 1rem .3rem 0; width: 50%; }
.sides .text { line-height: 1.95; }
.sides mark { padding: .1em .3em; }
.k0 { --plain: var(--card); box-shadow: inset 0 -2px var(--grey); }
.k1 { --hue: 270; } .k2 { --hue: 45; } .k3 { --hue: 315; } .k4 { --hue: 210; } .k5 { --hue: 0; }
.also { margin: .2rem 0 0; line-height: 1.95; }
.key { line-height: 2.1; }
@media (max-width: 46em) {
  .sides thead { display: none; }
  .sides, .sides tbody, .sides tr, .sides td { display: block; width: auto; }
  .sides td { border: 0; padding: .2rem 0; }
  .sides tr { border-bottom: 1px solid var(--line); padding: .4rem 0; }
  .sides td::before { content: "Gold"; display: block; color: var(--faint); font-size: .75rem; }
  .sides td + td::before { content: "Predicted"; } }
"""


NOTES = dict(
    zip(
        KINDS,
        ("", " · type", " · bounds", " · type, bounds", " · missed", " · spurious"),
        strict=True,
    )
)
"""What stands after the label of an entity, by what became of it."""


class Marked(NamedTuple):
    """An entity of one side with what became of it."""

    entity: LabeledFragments
    kind: Kind


def render_documents(documents: Sequence["MatchedDocument"]) -> list[str]:
    """HTML of a key to the marks and of each document, folded up but for the first."""
    key = " ".join(_mark(kind, kind, "") for kind in KINDS)
    parts = [f'<p class="key">{key}</p>']
    for i, document in enumerate(documents, start=1):
        errors = ", ".join(
            f"{count} {kind}" for kind, count in count_kinds(document.matches).items() if count
        )
        parts += [
            f'<details class="document" id="d{i}"{" open" if i == 1 else ""}>'
            f"<summary>{html_text(document.name or f'document {i}')}"
            f' <span class="faint">{errors or "no entity"}</span></summary>',
            _sides(document),
            "</details>",
        ]
    return parts


def text_rows(text: str, entities: Iterable[LabeledFragments]) -> list[Bounds]:
    """The lines of a text that have words or entities, in order; at least one.

    A line that an entity goes beyond is joined with the next. Ends are those of the lines, without
    the line break.
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


def _sides(document: "MatchedDocument") -> str:
    gold = [Marked(m.gold, m.kind) for m in document.matches if m.gold]
    predicted = [Marked(m.predicted, m.kind) for m in document.matches if m.predicted]
    rows = text_rows(document.text, (marked.entity for marked in gold + predicted))
    columns = [_column(document.text, rows, side) for side in (gold, predicted)]
    lines = [
        f"<tr><td>{left}</td><td>{right}</td></tr>" for left, right in zip(*columns, strict=True)
    ]
    return (
        '<table class="sides"><thead><tr><th scope="col">Gold</th><th scope="col">Predicted</th>'
        "</tr></thead>\n<tbody>\n" + "\n".join(lines) + "\n</tbody></table>"
    )


def _column(text: str, rows: Sequence[Bounds], side: Iterable[Marked]) -> list[str]:
    """A cell for each row: its text with marks, below it the entities that overlap others."""
    waiting = sorted(side, key=lambda marked: (marked.entity[1], marked.entity[0]))
    cells = []
    for i, (start, end) in enumerate(rows):
        last = i + 1 == len(rows)
        n = len([m for m in waiting if last or m.entity[1][0][0] < rows[i + 1][0]])
        own, waiting = waiting[:n], waiting[n:]
        cells.append(_cell(text, (start, end), own))
    return cells


def _cell(text: str, row: Bounds, own: Iterable[Marked]) -> str:
    taken: list[tuple[int, int, str]] = []
    also = []
    for (label, fragments), kind in own:
        inside = all(row[0] <= start < end <= row[1] for start, end in fragments)
        free = all(end <= a or b <= start for start, end in fragments for a, b, _ in taken)
        pieces = [_lines(text[start:end]) for start, end in fragments]
        note = f"{label}{NOTES[kind]}"
        if inside and free:
            notes = [*["…"] * (len(pieces) - 1), note]  # a word for each fragment, the last in full
            for (start, end), piece, word in zip(fragments, pieces, notes, strict=True):
                taken.append((start, end, _mark(kind, piece, word)))
        else:
            also.append(_mark(kind, " … ".join(pieces), note))
    parts, done = [], row[0]
    for start, end, mark in sorted(taken):
        parts += [_lines(text[done:start]), mark]
        done = end
    parts.append(_lines(text[done : row[1]]))
    below = f'<p class="also"><span class="faint">Also</span> {" ".join(also)}</p>' if also else ""
    return f'<div class="text">{"".join(parts)}</div>{below}'


def _mark(kind: Kind, piece: str, note: str) -> str:
    label = f'&nbsp;<span class="label">{html_text(note)}</span>' if note else ""
    return f'<mark class="k{KINDS.index(kind)}">{piece}{label}</mark>'


def _lines(text: str) -> str:
    return "\n".join(html_text(line) for line in text.split("\n"))
