"""The agreement of two annotators as a text with figures, and as a page with all disagreements.

The text contains names, labels and figures. The page contains text of the documents: around every
disagreement, both versions side by side. The markup is in ``templates``.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ..evaluation.documents import Cell, marked_cell, passage_bounds
from ..evaluation.rows import confusion_matrix
from ..scoring.matching import KINDS, Kind, Match, confusion, count_kinds
from ..scoring.scores import NO_LABEL, LabeledFragments
from ..util.templates import html_templates, markdown_templates
from .agreement import MEASURES, Agreement, Figures
from .annotators import Pair

CONTEXT = 100
"""Characters around a disagreement that the page shows on either side, up to whole words."""

MOST_CONFUSIONS = 20
"""Confusions of types that are listed; the matrix of the page has all."""

MEASURE_NOTES = (
    "F1 is the same in either order of the annotators. Strict: same type and same bounds. Partial: "
    "same type, and entities that overlap count for a half. Overlap: same type and a character "
    "shared. Token: tokens in an entity of the type. All types: every entity counts the same; mean "
    "of types: every type does."
)

KAPPA_NOTES = (
    "Kappa of all tokens also counts the tokens in no entity, on which it is easy to agree: the "
    "more of them there are, the higher it is. Kappa of the marked tokens tends to be too low "
    "(Brandsen et al. 2020). F1 is the measure to report (Hripcsak and Rothschild 2005)."
)


class Item(NamedTuple):
    """A disagreement: where it is, and the text around it in both versions."""

    place: str
    a: Cell
    b: Cell


class Group(NamedTuple):
    """Disagreements of one kind between the same types, in the order of the documents."""

    title: str
    items: list[Item]


class Section(NamedTuple):
    """Disagreements of one kind, the most frequent types first."""

    id: str
    title: str
    size: int
    groups: list[Group]


def render_text(agreement: Agreement) -> str:
    """Return the figures as Markdown, without any text of a document."""
    template = markdown_templates("spacy_btl.curation").get_template("agreement.md.j2")
    return template.render(_values(agreement))


def render_page(agreement: Agreement) -> str:
    """Return a complete HTML page with the figures and all disagreements, to be written as UTF-8.

    It contains text of the documents.
    """
    sections = [
        _section(agreement, kind, number)
        for number, kind in enumerate(KINDS)
        if kind != "correct" and any(match.kind == kind for match in agreement.matches)
    ]
    matrix = confusion_matrix(confusion(agreement.matches), [*agreement.by_type])
    rows, columns, counts = matrix
    a, b = agreement.names
    named = ([f"only {b}", *rows[1:]], [f"only {a}", *columns[1:]], counts)
    template = html_templates("spacy_btl.curation").get_template("agreement.html.j2")
    return template.render(
        _values(agreement),
        sections=sections,
        matrix=named,
        between=f"{a}, {b}",
        kinds=[*KINDS],
        kind_names=[*agreement.kind_names.values()],
    )


def _values(agreement: Agreement) -> dict[str, Any]:
    """Return what both templates show."""
    a, b = agreement.names
    overall, read = agreement.overall, agreement.annotations
    counts = count_kinds(agreement.matches)
    confused = Counter(
        (match.gold[0], match.predicted[0])
        for match in agreement.matches
        if match.gold and match.predicted and match.gold[0] != match.predicted[0]
    )
    return {
        "title": f"Agreement of {a} and {b}",
        "a": a,
        "b": b,
        "heading": read.heading,
        "documents": len(read.pairs),
        "sizes": (overall.a, overall.b),
        "header": ["type", a, b, "both", *MEASURES, "kappa"],
        "rows": [
            _row("all types", overall),
            ["mean of types", "", "", "", *map(_number, agreement.macro.values()), ""],
            *(_row(label, own) for label, own in agreement.by_type.items()),
        ],
        "measure_notes": MEASURE_NOTES,
        "intervals": ", ".join(
            f"{measure} {low:.3f} to {high:.3f}"
            for measure, (low, high) in agreement.intervals.items()
        ),
        "shares": (_percent(overall.found_by_b), _percent(overall.found_by_a)),
        "any_type": [_number(value) for value in agreement.any_type.values()],
        "tokens": agreement.tokens,
        "kappas": (_number(overall.kappa), _number(agreement.kappa_marked)),
        "kappa_notes": KAPPA_NOTES,
        "kind_rows": [[agreement.kind_names[kind], f"{n:,}"] for kind, n in counts.items()],
        "confusions": [
            [one, other, f"{n:,}"]
            for (one, other), n in sorted(confused.items(), key=lambda item: (-item[1], item[0]))
        ][:MOST_CONFUSIONS],
        "warnings": agreement.warnings(),
    }


def _row(name: str, figures: Figures) -> list[str]:
    counts = (f"{n:,}" for n in (figures.a, figures.b, figures.agreed))
    measures = (getattr(figures, measure) for measure in MEASURES)
    return [name, *counts, *map(_number, measures), _number(figures.kappa)]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f}%"


def _section(agreement: Agreement, kind: Kind, number: int) -> Section:
    """Return the disagreements of a kind.

    Args:
        agreement: The agreement.
        kind: The kind.
        number: Its number, for links.
    """
    by_types: dict[tuple[str, str], list[Item]] = {}
    pairs = zip(agreement.annotations.pairs, agreement.documents, strict=True)
    for pair, document in pairs:
        for match in document.matches:
            if match.kind == kind:
                by_types.setdefault(_types(match), []).append(_item(pair, document.matches, match))
    ordered = sorted(by_types.items(), key=lambda item: (-len(item[1]), item[0]))
    size = sum(map(len, by_types.values()))
    groups = [Group(" / ".join(dict.fromkeys(filter(None, t))), items) for t, items in ordered]
    return Section(f"kind-{number}", agreement.kind_names[kind], size, groups)


def _types(match: Match) -> tuple[str, str]:
    a, b = match.gold, match.predicted
    return a[0] if a else NO_LABEL, b[0] if b else NO_LABEL


def _item(pair: Pair, matches: Sequence[Match], match: Match) -> Item:
    own = [entity for entity in (match.gold, match.predicted) if entity]
    start = min(fragments[0][0] for _, fragments in own)
    end = max(fragment[1] for _, fragments in own for fragment in fragments)
    window = passage_bounds(pair.text, start, end, CONTEXT)
    sides = (
        _cell(pair.text, window, match.gold, match.kind, (m.gold for m in matches)),
        _cell(pair.text, window, match.predicted, match.kind, (m.predicted for m in matches)),
    )
    return Item(f"{pair.name}, characters {start} to {end}", *sides)


def _cell(
    text: str,
    window: tuple[int, int],
    entity: LabeledFragments | None,
    kind: Kind,
    others: Iterable[LabeledFragments | None],
) -> Cell:
    """Return a version of a text with an entity marked by its kind, and others as if agreed."""
    marked: list[tuple[LabeledFragments, Kind]] = [(entity, kind)] if entity else []
    for other in others:
        if other and other != entity:
            first, last = other[1][0][0], max(end for _, end in other[1])
            if window[0] <= first and last <= window[1]:
                marked.append((other, "correct"))
    return marked_cell(text, window, marked, {})
