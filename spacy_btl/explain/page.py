"""The evidence for entities as one HTML page for readers of reports: no scripts, nothing loaded.

Texts, labels and document ids are untrusted; `util.templates` keeps them words.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

from ..util.templates import html_page, html_text
from .evidence import EntityEvidence, Neighbor, Summary, TrainingExample, summarize, type_of
from .passages import Corpus, Passage, token_at
from .text import (
    DISTANCE_AND_SHARE,
    corpus_notes,
    describe_example,
    describe_rest,
    describe_score,
    describe_support,
    percent,
)

STYLE = """
.text + h3 { margin: .75rem 0 .25rem; }
.skip { position: absolute; left: -99rem; }
.skip:focus { position: static; }
.entity:hover { text-decoration: underline; }
.entity:target { outline: 3px solid var(--link); }
.card { border: 1px solid var(--line); border-radius: .6rem; padding: .8rem 1rem; margin: 0 0 1rem;
  scroll-margin-top: .5rem; }
.card:target { border-color: var(--link); box-shadow: 0 0 0 2px var(--link); }
.bar { display: flex; height: .7rem; border-radius: .35rem; overflow: hidden; gap: 1px;
  background: var(--card); margin: .7rem 0 .4rem; }
.bar span, .votes i { background: var(--plain, hsl(var(--hue) 55% 55%)); }
.votes { list-style: none; display: flex; flex-wrap: wrap; gap: .1rem 1rem; margin: 0; padding: 0;
  font-size: .875rem; }
.votes i { display: inline-block; width: .7em; height: .7em; border-radius: .15em;
  margin-inline-end: .4em; }
.why { margin: .9rem 0 .3rem; font-weight: 600; }
ol, .others { margin: 0; padding-inline-start: 1.4rem; }
ol li, .others li { margin: 0 0 .65rem; }
li > .faint:first-child { color: inherit; font-size: inherit; }
blockquote { margin: 0; line-height: 1.9; }
b { text-decoration: underline; text-decoration-thickness: 2px; text-underline-offset: .2em; }
@media print { blockquote { line-height: 1.6; }
  ol li, .others li { margin: 0 0 .3rem; }
  li { break-inside: avoid; } h3 ~ .faint, .bar, .votes, .why { break-after: avoid; }
  .bar, .bar span, .votes i { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  details:not([open]), .skip, .back { display: none; } }
"""

Hues = Mapping[str, int]
"""Degrees on the colour circle of each label; one that has none is grey."""


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
    """A complete HTML page: the text with its entities, and below it the evidence for each.

    text: the explained one. title: names the report, say. heading: what a report on the corpus must
    carry. labels: all types of the model, so that a type has the same colour on every page; without
    them the most frequent types of this page get the colours that differ most. Entities that
    overlap others are listed under the text. Without a corpus the page holds no training text.
    Write it as UTF-8.
    """
    entities = sorted(evidence, key=lambda entity: (entity.start, -entity.end, entity.label))
    hues = _hues(labels, entities)
    notes = [heading] if heading else []
    notes += [DISTANCE_AND_SHARE] if entities else []
    if entities and corpus:
        notes.append("In training sentences the entity is coloured, the neighbours are underlined.")
    notes += corpus_notes(entities, corpus)
    cards = [
        _card(i, text, entity, summarize(entity, corpus, n_examples=n_examples), corpus, hues)
        for i, entity in enumerate(entities, start=1)
    ]
    parts = []
    if entities:
        parts.append('<a class="skip" href="#evidence">Skip to the evidence</a>')
    parts += [f'<p class="faint">{html_text(note)}</p>' for note in notes]
    parts += ['<h2 id="text">The text</h2>', _marked_text(text, entities, hues)]
    if entities:
        parts += ['<h2 id="evidence">The evidence</h2>', *cards]
    else:
        parts.append("<p><strong>No entity was found in this text.</strong></p>")
    return html_page(title, STYLE, parts)


def _hues(labels: Sequence[str], entities: Sequence[EntityEvidence]) -> Hues:
    """Hues in steps of the golden angle, of which the first lie farthest apart."""
    counts = Counter(entity.label for entity in entities)
    voted = {type_of(n.label) for e in entities for token in e.tokens for n in token.neighbors}
    frequent = sorted(counts, key=lambda label: (-counts[label], label))
    every = dict.fromkeys([*labels, *frequent, *sorted(voted)])
    ordered = [label for label in every if label != "O"]
    return {label: round(137.508 * i) % 360 for i, label in enumerate(ordered)}


def _color(label: str, hues: Hues) -> str:
    return f"--hue:{hues[label]}" if label in hues else "--plain:var(--grey)"


def _label(label: str) -> str:
    return f'&nbsp;<span class="label">{html_text(label)}</span>'


def _marked_text(text: str, entities: Sequence[EntityEvidence], hues: Hues) -> str:
    """The text with a link for each entity, and a list of those that overlap one before them."""

    def lines(start: int, end: int) -> str:
        return "\n".join(html_text(line) for line in text[start:end].split("\n"))

    done, parts, others = 0, [], []
    for i, entity in enumerate(entities, start=1):
        link = (
            f'<a class="entity" id="t{i}" href="#e{i}" style="{_color(entity.label, hues)}">'
            f"{lines(entity.start, entity.end)}{_label(entity.label)}</a>"
        )
        if done <= entity.start < entity.end <= len(text):
            parts += [lines(done, entity.start), link]
            done = entity.end
        else:
            others.append(f'<li>{link} <span class="faint">at {entity.start}</span></li>')
    marked = f'<div class="text">{"".join(parts)}{lines(done, len(text))}</div>'
    if not others:
        return marked
    return "\n".join(
        [marked, '<h3>Overlapping entities</h3>\n<ul class="others">', *others, "</ul>"]
    )


def _card(
    number: int,
    text: str,
    entity: EntityEvidence,
    summary: Summary,
    corpus: Corpus | None,
    hues: Hues,
) -> str:
    """The evidence for one entity."""
    surface = html_text(text[entity.start : entity.end]) + _label(entity.label)
    support = describe_support(entity.label, summary, entity.neighbor_weight)
    parts = [
        f'<section class="card" id="e{number}" aria-labelledby="h{number}">',
        f'<h3 id="h{number}"><mark style="{_color(entity.label, hues)}">{surface}</mark></h3>',
        f'<p class="faint">{html_text(describe_score(entity))}, offset {entity.start}'
        f'<span class="back">, <a href="#t{number}">back to the text</a></span></p>',
        *_votes(summary, hues),
        f'<p class="why">{html_text(support)}</p>',
    ]
    if summary.supporting:
        parts += ["<ol>", *(_example(example, hues) for example in summary.supporting), "</ol>"]
    if rest := describe_rest(entity.label, summary):
        parts.append(f"<p>{html_text(rest)}</p>")
    if summary.opposing:
        parts += ['<p class="why">Strongest for another label</p>\n<ul class="others">']
        parts += [*(_example(example, hues) for example in summary.opposing), "</ul>"]
    if summary.votes:
        parts.append(_table(text, entity, corpus))
    return "\n".join([*parts, "</section>"])


def _votes(summary: Summary, hues: Hues) -> list[str]:
    """The vote as a bar, and in words."""
    if not summary.votes:
        return []
    segments = [
        f'<span style="{_color(vote.label, hues)};width:{100 * vote.share:.2f}%"></span>'
        for vote in summary.votes
    ]
    words = [
        f'<li><i style="{_color(vote.label, hues)}"></i>'
        f"{html_text(f'{vote.label} {percent(vote.share)}')} "
        f'<span class="faint">({vote.votes} vote{"s" if vote.votes > 1 else ""})</span></li>'
        for vote in summary.votes
    ]
    return [
        f'<div class="bar" aria-hidden="true">{"".join(segments)}</div>',
        f'<ul class="votes" aria-label="The vote">{"".join(words)}</ul>',
    ]


def _example(example: TrainingExample, hues: Hues) -> str:
    quote = _marked_passage(example.passage, hues) if example.passage else ""
    return f'<li>{quote}<div class="faint">{html_text(describe_example(example))}</div></li>'


def _marked_passage(passage: Passage, hues: Hues) -> str:
    """The sentence with its entity marked and the neighbours underlined."""
    entity = passage.entity
    bounds = {0, len(passage.text), *(cut for token in passage.tokens for cut in token)}
    bounds |= set(entity[:2]) if entity else set()
    parts = ["… "] if passage.cut_before else []
    for start, end in pairwise(sorted(bounds)):
        if entity and start == entity[0]:
            parts.append(f'<mark style="{_color(entity[2], hues)}">')
        piece = html_text(passage.text[start:end])
        is_neighbor = any(left <= start < right for left, right in passage.tokens)
        parts.append(f"<b>{piece}</b>" if is_neighbor else piece)
        if entity and end == entity[1]:
            parts.append(f"{_label(entity[2])}</mark>")
    parts += [" …"] if passage.cut_after else []
    return f'<blockquote dir="auto">{"".join(parts)}</blockquote>'


def _table(text: str, entity: EntityEvidence, corpus: Corpus | None) -> str:
    """All neighbours by token, nearest first, folded up."""
    total = sum(len(token.neighbors) for token in entity.tokens)
    word_head = "<th>Word</th>" if corpus else ""
    bodies = []
    for token in entity.tokens:
        surface = html_text(f"{text[token.start : token.end]} ({token.label})")
        columns = 6 if corpus else 5
        rows = [f'<tr><th colspan="{columns}" scope="rowgroup">{surface}</th></tr>']
        for n in sorted(token.neighbors, key=lambda n: (n.distance, n.document, n.offset)):
            rows.append(
                f"<tr><td>{html_text(n.label)}</td>{_word(n, corpus)}"
                f'<td class="n">{n.distance:.3g}</td>'
                f'<td class="n">{html_text(percent(n.share))}</td>'
                f'<td>{html_text(n.document)}</td><td class="n">{n.offset}</td></tr>'
            )
        bodies.append(f"<tbody>{''.join(rows)}</tbody>")
    return (
        f"<details><summary>All {total} neighbours by token</summary>"
        f'<div class="scroll" tabindex="0" role="region" aria-label="Neighbours by token"><table>'
        f'<thead><tr><th>Label</th>{word_head}<th class="n">Distance</th><th class="n">Share</th>'
        f'<th>Document</th><th class="n">Offset</th></tr></thead>{"".join(bodies)}</table></div>'
        "</details>"
    )


def _word(neighbor: Neighbor, corpus: Corpus | None) -> str:
    """The cell with the neighbour itself; no cell without a corpus."""
    if not corpus:
        return ""
    document = corpus.get(neighbor.document)
    token = token_at(document, neighbor.offset) if document else None
    return f"<td>{html_text(document.text[slice(*token)]) if document and token else ''}</td>"
