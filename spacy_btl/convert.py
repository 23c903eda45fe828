"""BRAT documents to spaCy documents and DocBins, with an account of every entity.

``doc.ents`` holds a flat choice of entities for training, ``doc.spans["brat"]`` all that fit the
tokens (the record's id is the span's id), and ``doc.user_data["brat"]`` the annotation as it was:

    {"name": "case-01", "heading": "",
     "entities": [{"id": "T1", "label": "Age", "fragments": [[8, 19]]}, ...],
     "records": [{"kind": "Relation", "id": "R1", "type": "MODIFY", "args": [["Arg1", "T2"], ...]},
                 ...]}

Offsets count characters of ``doc.text``; ``records`` are all others in the order of the file, with
the fields of their type in `spacy_btl.brat`.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import srsly
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span, SpanGroup
from tqdm import tqdm

from . import brat
from .account import Account, Fragments, Row
from .alignment import (
    Alignment,
    Discontinuous,
    Offsets,
    Overlap,
    align_to_tokens,
    choose_flat,
    resolve_fragments,
    trim,
)
from .scorer import GOLD_KEY
from .split import split_documents

PARTS = ("train", "dev", "test")


@dataclass(frozen=True, slots=True)
class Policies:
    """The named choices of a conversion; see `spacy_btl.alignment` for what each means."""

    overlap: Overlap = "rarest"
    discontinuous: Discontinuous = "envelope"
    alignment: Alignment = "expand"


@dataclass(frozen=True, slots=True)
class _Placed:
    """A span of an entity: where it shall go, and why it is not where the annotation has it."""

    record: int
    tokens: Offsets
    reason: str


def read_brat_folder(folder: Path) -> tuple[list[brat.Document], str]:
    """Documents of a folder, and the heading that reports on them must carry ("" for none)."""
    info = folder / "corpus.json"
    heading = srsly.read_json(info).get("heading", "") if info.is_file() else ""
    return list(brat.read_folder(folder)), str(heading)


def make_docs(
    documents: Iterable[brat.Document], nlp: Language, policies: Policies, *, heading: str = ""
) -> tuple[list[Doc], Account]:
    """Documents on the tokens of ``nlp``, and what became of each of their entities.

    A document without text, or without annotation, gives no Doc; its entities count as dropped.
    """
    documents = list(documents)
    frequency = Counter(e.label for document in documents for e in document.standoff.entities)
    docs: list[Doc] = []
    rows: list[Row] = []
    problems: list[dict[str, Any]] = []
    for document in tqdm(documents, desc="documents", unit=" docs"):
        problems += [
            {
                "file": problem.file,
                "line": problem.line,
                "record": problem.record_id,
                "reason": problem.reason,
                "detail": problem.detail,
            }
            for problem in document.problems
        ]
        unannotated = any(p.reason == brat.NO_ANNOTATION for p in document.problems)
        if document.text is None or unannotated:
            rows += [
                Row(_file(document), e.line, e.id, e.label, "dropped", "no text", list(e.fragments))
                for e in document.standoff.entities
            ]
            continue
        doc, doc_rows = make_doc(document, nlp, policies, frequency, heading=heading)
        docs.append(doc)
        rows += doc_rows
    settings = {
        "overlap": policies.overlap,
        "discontinuous": policies.discontinuous,
        "alignment": policies.alignment,
        "documents": len(docs),
        "documents without text or annotation": len(documents) - len(docs),
    }
    return docs, Account(rows, problems, settings, heading)


def make_doc(
    document: brat.Document,
    nlp: Language,
    policies: Policies,
    frequency: dict[str, int],
    *,
    heading: str = "",
) -> tuple[Doc, list[Row]]:
    """One document with a text, and a row for each of its entities, in the order of the file.

    frequency: entities of each label in the corpus, for the policy "rarest".
    """
    text = document.text or ""
    doc = nlp.make_doc(text)
    starts = [token.idx for token in doc]
    ends = [token.idx + len(token) for token in doc]
    entities = document.standoff.entities
    placed: list[_Placed] = []
    dropped: dict[int, str] = {}
    for i, entity in enumerate(entities):
        spans, why = _place(i, entity, text, starts, ends, policies)
        placed += spans
        if not spans:
            dropped[i] = why
    spans = [
        Span(
            doc,
            *place.tokens,
            label=entities[place.record].label,
            span_id=entities[place.record].id,
        )
        for place in placed
    ]
    flat = choose_flat([(s.start, s.end, s.label_) for s in spans], policies.overlap, frequency)
    doc.spans[GOLD_KEY] = SpanGroup(doc, name=GOLD_KEY, spans=spans)
    doc.set_ents([span for span, lost_to in zip(spans, flat, strict=True) if lost_to is None])
    doc.user_data[GOLD_KEY] = {
        "name": document.name,
        "heading": heading,
        "entities": [
            {"id": e.id, "label": e.label, "fragments": _as_lists(_fragments(e, text))}
            for e in entities
        ],
        "records": [
            _as_dict(r) for r in document.standoff.records if not isinstance(r, brat.Entity)
        ],
    }
    return doc, [
        _row(document, i, dropped.get(i), placed, spans, flat) for i in range(len(entities))
    ]


def write_parts(
    docs: list[Doc], out_dir: Path, shares: tuple[float, ...] | None, seed: int
) -> dict[str, list[str]]:
    """Write train/dev/test.spacy, or all.spacy where ``shares`` is None; names of each part."""
    by_name = {doc.user_data[GOLD_KEY]["name"]: doc for doc in docs}
    names: dict[str, list[str]] = {"all": sorted(by_name)}
    if shares is not None:
        types = {name: [ent.label_ for ent in doc.ents] for name, doc in by_name.items()}
        names = dict(zip(PARTS, split_documents(types, shares, seed), strict=True))
    out_dir.mkdir(parents=True, exist_ok=True)
    for part, members in names.items():
        DocBin(docs=[by_name[name] for name in members], store_user_data=True).to_disk(
            out_dir / f"{part}.spacy"
        )
    return names


def _place(
    record: int,
    entity: brat.Entity,
    text: str,
    starts: list[int],
    ends: list[int],
    policies: Policies,
) -> tuple[list[_Placed], str]:
    """Spans on tokens for an entity; without any, the reason."""
    if any(not 0 <= start < end <= len(text) for start, end in entity.fragments):
        return [], "offsets outside the text"
    fragments = _fragments(entity, text)
    resolved = resolve_fragments(fragments, policies.discontinuous)
    if not resolved:
        return [], "discontinuous"
    placed = []
    for offsets in resolved:
        start, end = trim(text, *offsets)
        tokens = align_to_tokens(start, end, starts, ends, policies.alignment)
        if tokens is None:
            continue
        reason = "discontinuous" if len(fragments) > 1 else ""
        if (starts[tokens[0]], ends[tokens[1] - 1]) != (start, end):
            reason = reason or "cuts a token"
        elif (start, end) != offsets:
            reason = reason or "white space at its ends"
        placed.append(_Placed(record, tokens, reason))
    return placed, "cuts a token" if text[
        resolved[0][0] : resolved[0][1]
    ].strip() else "white space only"


def _row(
    document: brat.Document,
    record: int,
    dropped: str | None,
    placed: list[_Placed],
    spans: list[Span],
    flat: list[int | None],
) -> Row:
    """What became of one entity, all its spans taken together."""
    entity = document.standoff.entities[record]
    start = (_file(document), entity.line, entity.id, entity.label)
    source = _fragments(entity, document.text or "")
    if dropped is not None:
        return Row(*start, "dropped", dropped, source)
    own = [i for i, place in enumerate(placed) if place.record == record]
    chosen = [i for i in own if flat[i] is None]
    target = [(spans[i].start_char, spans[i].end_char) for i in chosen or own]
    if not chosen:
        other = spans[flat[own[0]] or 0]
        same = (other.start, other.end) == placed[own[0]].tokens
        why = "another label on the same tokens" if same else "overlaps another entity"
        if same and other.label_ == entity.label:
            why = "the same entity again"
        return Row(*start, "flattened", why, source, target, by=other.id_)
    if target == source:
        return Row(*start, "kept", "", source, target)
    return Row(*start, "moved", placed[chosen[0]].reason or "discontinuous", source, target)


def _fragments(entity: brat.Entity, text: str) -> Fragments:
    """Fragments in order; those that brat cut at the end of a line are one again."""
    return list(brat.join_newline_fragments(entity.fragments, text))


def _file(document: brat.Document) -> str:
    return f"{document.name}.ann"


def _as_lists(fragments: Fragments) -> list[list[int]]:
    return [list(offsets) for offsets in fragments]


def _as_dict(record: brat.Record) -> dict[str, Any]:
    """A record as JSON values; ``raw`` and ``line`` are of the file, not of the document."""
    values = {k: v for k, v in record._asdict().items() if k not in ("raw", "line")}
    return {"kind": type(record).__name__} | {
        k: [list(x) if isinstance(x, tuple) else x for x in v] if isinstance(v, tuple) else v
        for k, v in values.items()
    }
