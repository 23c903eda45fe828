"""An audit as one HTML page: types by consistency, and each finding beside what speaks against it.

The page contains text of the documents. It is filtered by kind and by type without a script. The
markup is in ``templates``.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..evaluation.documents import Cell, marked_cell, passage_bounds
from ..labels.bio import LabelSpan
from ..scoring.matching import KINDS as MATCH_KINDS
from ..scoring.matching import Kind as MatchKind
from ..scoring.scores import LabeledFragments
from ..util.templates import html_templates, markdown_templates
from .audit import Audit
from .consistency import TypeUse
from .findings import KINDS, Finding, Kind

MOST_SHOWN = 300
"""Findings on the page; ``findings.jsonl`` has all."""

CONTEXT = 120
"""Characters around a finding that the page shows on either side, up to whole words."""

FEWEST_ELSEWHERE = 5
"""Mentions whose words occur in other documents, from which on a type is called inconsistent."""

UNUSUAL = 0.5
"""Share of the same type among the occurrences elsewhere below which a type is inconsistent."""

COLORS: Mapping[Kind, MatchKind] = {
    "missed": "missed",
    "surplus": "spurious",
    "wrong type": "wrong type",
    "wrong bounds": "wrong bounds",
    "inconsistent": "wrong type and bounds",
}
"""As which kind of pair a finding is marked."""

HEADER = [
    *("type", "mentions", "errors expected", "words elsewhere"),
    *("same type", "other type", "no entity", "most often instead"),
]

NOTHING = "no entity"


class Item(NamedTuple):
    """A finding on the page.

    Attributes:
        number: Its rank.
        kind: Index of its kind, for the filter.
        types: Indices of its types, for the filter.
        percent: Its probability.
        title: What is wrong, in words.
        place: Where.
        here: The text, with what is annotated.
        there: The text that speaks against it; None where there is none.
        example: Where that is.
        notes: What else speaks for and against it.
    """

    number: int
    kind: int
    types: list[int]
    percent: str
    title: str
    place: str
    here: Cell
    there: Cell | None
    example: str
    notes: list[str]


def render_page(audit: Audit, *, most: int = MOST_SHOWN) -> str:
    """Return a complete HTML page, to be written as UTF-8; it contains text of the documents.

    Args:
        audit: The audit.
        most: Findings that it shows, the most probable ones.
    """
    shown = audit.shown[:most]
    items = [_item(audit, i, finding) for i, finding in enumerate(shown)]
    types = sorted({kind for item in items for kind in item.types}, key=lambda i: audit.types[i])
    template = html_templates("spacy_btl.audit").get_template("audit.html.j2")
    return template.render(
        title="Likely errors of the annotation",
        heading=audit.heading,
        how=audit.how,
        warnings=audit.warnings,
        documents=len(audit.names),
        entities=sum(use.mentions for use in audit.findings.use),
        rate=_percent(audit.settings.error_rate),
        least=_percent(audit.settings.least),
        total=len(audit.shown),
        header=HEADER,
        rows=[_row(audit, i) for i in _by_use(audit.findings.use)],
        inconsistent=[audit.types[i] for i in inconsistent_types(audit.findings.use)],
        kinds=[
            (i, kind, sum(item.kind == i for item in items))
            for i, kind in enumerate(KINDS)
            if any(item.kind == i for item in items)
        ],
        types=[(i, audit.types[i], sum(i in item.types for item in items)) for i in types],
        items=items,
        match_kinds=[*MATCH_KINDS],
    )


def render_text(audit: Audit) -> str:
    """Return the figures as Markdown, without any text of a document."""
    template = markdown_templates("spacy_btl.audit").get_template("audit.md.j2")
    return template.render(
        heading=audit.heading,
        how=audit.how,
        documents=len(audit.names),
        entities=sum(use.mentions for use in audit.findings.use),
        rate=_percent(audit.settings.error_rate),
        least=_percent(audit.settings.least),
        total=len(audit.shown),
        kind_rows=[[kind, sum(each.kind == kind for each in audit.shown)] for kind in KINDS],
        header=HEADER,
        rows=[_row(audit, i) for i in _by_use(audit.findings.use)],
        inconsistent=", ".join(audit.types[i] for i in inconsistent_types(audit.findings.use)),
    )


def inconsistent_types(use: Sequence[TypeUse]) -> list[int]:
    """Return the types whose words are mostly something else elsewhere, the worst first."""
    found = [
        (own.same, i)
        for i, own in enumerate(use)
        if own.same is not None and own.elsewhere >= FEWEST_ELSEWHERE and own.same < UNUSUAL
    ]
    return [i for _, i in sorted(found)]


def _by_use(use: Sequence[TypeUse]) -> list[int]:
    """Return the types that occur, the least consistent one first."""
    occurring = [i for i, own in enumerate(use) if own.mentions]
    return sorted(
        occurring,
        key=lambda i: (1.0 if (same := use[i].same) is None else same, -use[i].mentions),
    )


def _row(audit: Audit, i: int) -> list[str]:
    use = audit.findings.use[i]
    return [
        audit.types[i],
        f"{use.mentions:,}",
        f"{audit.findings.expected[i]:.1f}",
        _percent(use.elsewhere / use.mentions),
        *(_percent(share) for share in (use.same, use.other, use.none)),
        "-" if use.rival is None else audit.types[use.rival],
    ]


def _item(audit: Audit, number: int, finding: Finding) -> Item:
    document = finding.document
    start, end = audit.characters(document, *finding.span)
    others = [
        span
        for span in audit.findings.lexicon.documents[document].entities
        if span not in (finding.annotated, finding.suggested)
    ]
    marked: list[tuple[LabeledFragments, MatchKind]] = []
    color = COLORS[finding.kind]
    if finding.annotated:
        marked.append((_entity(audit, document, finding.annotated), color))
    elif finding.suggested:
        marked.append((_entity(audit, document, finding.suggested, "?"), color))
    if finding.kind == "wrong bounds" and finding.suggested:
        marked.append((_entity(audit, document, finding.suggested, "?"), color))
    here = _cell(audit, document, (start, end), marked, others)
    there, where = None, ""
    if (place := audit.examples[number]) is not None:
        other, *tokens = place
        span = audit.characters(other, *tokens)
        entities = audit.findings.lexicon.documents[other].entities
        exact = [each for each in entities if [*each[:2]] == tokens]
        rest = [each for each in entities if each not in exact]
        own: list[tuple[LabeledFragments, MatchKind]]
        own = [(_entity(audit, other, each), "wrong type") for each in exact]
        own = own or [((NOTHING, (span,)), "spurious")]
        there = _cell(audit, other, span, own, rest)
        where = f"{audit.names[other]}, characters {span[0]} to {span[1]}"
    return Item(
        number + 1,
        KINDS.index(finding.kind),
        sorted({span[2] for span in (finding.annotated, finding.suggested) if span}),
        _percent(finding.probability),
        _title(audit, finding),
        f"{audit.names[document]}, characters {start} to {end}",
        here,
        there,
        where,
        _notes(audit, finding),
    )


def _title(audit: Audit, finding: Finding) -> str:
    annotated, suggested = (
        NOTHING if span is None else audit.types[span[2]]
        for span in (finding.annotated, finding.suggested)
    )
    if finding.kind == "wrong bounds":
        return f"{finding.kind}: {annotated}"
    return f"{finding.kind}: {annotated}, perhaps {suggested}"


def _notes(audit: Audit, finding: Finding) -> list[str]:
    """Return the figures behind a finding, in words."""
    notes = []
    if finding.agreement is not None:
        notes.append(f"An annotator would mark this entity: {_percent(finding.agreement)}")
    if finding.support is not None:
        notes.append(f"the suggested one: {_percent(finding.support)}")
    if finding.words:
        most = list(finding.words.items())[:4]
        listed = ", ".join(f"{audit.label(kind) or NOTHING} {n:,}" for kind, n in most)
        notes.append(f"these words in other documents: {listed}")
    votes = [(kind, share) for kind, share in finding.votes.items() if share >= 0.05][:3]
    if votes:
        listed = ", ".join(f"{audit.label(kind) or NOTHING} {_percent(n)}" for kind, n in votes)
        notes.append(f"votes of the nearest tokens: {listed}")
    return notes


def _entity(audit: Audit, document: int, span: LabelSpan, suffix: str = "") -> LabeledFragments:
    return audit.types[span[2]] + suffix, (audit.characters(document, *span[:2]),)


def _cell(
    audit: Audit,
    document: int,
    place: tuple[int, int],
    marked: Sequence[tuple[LabeledFragments, MatchKind]],
    others: Sequence[LabelSpan],
) -> Cell:
    """Return the text around a place, with what is at stake marked, and other entities faintly."""
    text = audit.texts[document]
    window = passage_bounds(text, *place, CONTEXT)
    faint: list[tuple[LabeledFragments, MatchKind]] = []
    for span in others:
        entity = _entity(audit, document, span)
        first, last = entity[1][0]
        if window[0] <= first and last <= window[1]:
            faint.append((entity, "correct"))
    return marked_cell(text, window, [*marked, *faint], {})


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f}%"
