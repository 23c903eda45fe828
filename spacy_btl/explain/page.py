"""The evidence for entities as one HTML page for readers of reports: no scripts, nothing loaded.

The markup is in ``templates/evidence.html.j2``.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..util.templates import html_templates
from .evidence import EntityEvidence, Neighbor, VoteSummary, summarize, type_of
from .passages import Corpus, Passage, token_at
from .text import (
    ABOUT_DISTANCE,
    OPPOSING,
    corpus_notes,
    describe_decision,
    describe_example,
    describe_rest,
    describe_score,
    describe_support,
    percent,
)


@dataclass(frozen=True, slots=True)
class _Card:
    """The evidence for one entity; ``number`` connects it with its mark in the text."""

    number: int
    entity: EntityEvidence
    summary: VoteSummary
    surface: str


def render_page(
    text: str,
    evidence: Sequence[EntityEvidence],
    corpus: Corpus | None = None,
    *,
    title: str = "Why these entities?",
    heading: str = "",
    labels: Sequence[str] = (),
    n_examples: int = 5,
) -> str:
    """Return a complete HTML page, to be written as UTF-8.

    The page shows the text with its entities, and below it the evidence for each of them. Entities
    that overlap others are listed under the text.

    Args:
        text: The explained text.
        evidence: Its entities.
        corpus: The training documents. Without them the page contains no training text.
        title: The title of the page, such as the name of the report.
        heading: The heading that a report on the corpus must carry.
        labels: All types of the model, so that a type has the same color on every page. Without
            them the most frequent types of this page get the colors that differ most.
        n_examples: The largest number of training examples for an entity.
    """
    entities = sorted(evidence, key=lambda entity: (entity.start, -entity.end, entity.label))
    cards = [
        _Card(
            number,
            entity,
            summarize(entity, corpus, n_examples=n_examples),
            text[entity.start : entity.end],
        )
        for number, entity in enumerate(entities, start=1)
    ]
    pieces, overlapping = _pieces(text, cards)
    hues = _hues(labels, entities)

    def color(label: str) -> str:
        return f"--hue:{hues[label]}" if label in hues else "--plain:var(--grey)"

    def word(neighbor: Neighbor) -> str:
        document = (corpus or {}).get(neighbor.document)
        token = token_at(document, neighbor.offset) if document else None
        return document.text[slice(*token)] if document and token else ""

    template = html_templates("spacy_btl.explain").get_template("evidence.html.j2")
    return template.render(
        title=title,
        notes=_notes(entities, corpus, heading),
        text=text,
        pieces=pieces,
        overlapping=overlapping,
        cards=cards,
        has_corpus=bool(corpus),
        opposing=OPPOSING,
        color=color,
        word=word,
        **_FUNCTIONS,
    )


def _notes(entities: Sequence[EntityEvidence], corpus: Corpus | None, heading: str) -> list[str]:
    notes = [heading] if heading else []
    notes += [ABOUT_DISTANCE] if entities else []
    if entities and corpus:
        notes.append("In training sentences, the entity is colored and neighbors are underlined.")
    return notes + corpus_notes(entities, corpus)


def _hues(labels: Sequence[str], entities: Sequence[EntityEvidence]) -> dict[str, int]:
    """Return a hue in degrees for each label but "O".

    Hues follow each other in steps of the golden angle; the first ones differ most.
    """
    counts = Counter(entity.label for entity in entities)
    voted = {type_of(n.label) for e in entities for token in e.tokens for n in token.neighbors}
    frequent = sorted(counts, key=lambda label: (-counts[label], label))
    every = dict.fromkeys([*labels, *frequent, *sorted(voted)])
    ordered = [label for label in every if label != "O"]
    return {label: round(137.508 * i) % 360 for i, label in enumerate(ordered)}


def _pieces(
    text: str, cards: Sequence[_Card]
) -> tuple[list[tuple[str, _Card | None]], list[_Card]]:
    """Return the text in pieces, those of an entity with its card, and the overlapping entities."""
    pieces: list[tuple[str, _Card | None]] = []
    overlapping = []
    done = 0
    for card in cards:
        if done <= card.entity.start < card.entity.end <= len(text):
            pieces += [(text[done : card.entity.start], None), (card.surface, card)]
            done = card.entity.end
        else:
            overlapping.append(card)
    return [*pieces, (text[done:], None)], overlapping


def _runs(passage: Passage, start: int, end: int) -> list[tuple[str, bool]]:
    """Return a part of a passage in pieces, each with whether it is a neighbor."""
    cuts = {cut for token in passage.tokens for cut in token if start < cut < end}
    return [
        (passage.text[left:right], any(a <= left < b for a, b in passage.tokens))
        for left, right in pairwise(sorted({start, end, *cuts}))
    ]


def _nearest(neighbors: Sequence[Neighbor]) -> list[Neighbor]:
    return sorted(neighbors, key=lambda n: (n.distance, n.document, n.offset))


_FUNCTIONS = {
    "runs": _runs,
    "nearest": _nearest,
    "percent": percent,
    "describe_score": describe_score,
    "describe_decision": describe_decision,
    "describe_support": describe_support,
    "describe_example": describe_example,
    "describe_rest": describe_rest,
}
"""The functions that the template calls."""
