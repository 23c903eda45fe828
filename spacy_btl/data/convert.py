"""BRAT documents to spaCy documents, with an account of every entity.

``doc.ents`` holds a flat choice of entities for training, ``doc.spans["brat"]`` all that fit the
tokens (the id of a span is that of its record), and ``doc.user_data["brat"]`` the annotation as it
was, with its original offsets and all other records, in the form of `data.gold`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

import spacy
import srsly
from spacy.language import Language
from spacy.tokens import Doc, Span, SpanGroup
from tqdm import tqdm

from ..brat import standoff as brat
from ..brat.folder import Document, read_folder
from ..brat.problems import NO_ANNOTATION
from .account import Account, Fragments, Row
from .gold import GOLD_KEY, INFO_NAME, entity_to_json, record_to_json, sorted_fragments
from .placement import Placement, Policies, Tokens, is_aligned, place_entities
from .tokenizer import clinical_tokenizer

NO_TEXT = "its document has no text"
NOT_WHOLE = "an annotation file of its document cannot be read"


def read_brat_folder(folder: Path) -> tuple[list[Document], str]:
    """Documents of a folder, and the heading that reports on them must carry ("" for none)."""
    documents = list(read_folder(folder))
    path = folder / INFO_NAME
    info = srsly.read_json(path) if path.is_file() else None
    heading = info.get("heading", "") if isinstance(info, dict) else ""
    return documents, str(heading)


def blank(lang: str) -> Language:
    """An empty pipeline of a language; ValueError for one that spaCy has not."""
    try:
        return spacy.blank(lang)
    except ImportError as error:
        raise ValueError(f'spaCy has no language "{lang}"') from error


def convert_folder(folder: Path, lang: str, policies: Policies) -> tuple[list[Doc], Account]:
    """`make_docs` of a BRAT folder, on the tokens of the clinical tokenizer."""
    nlp = blank(lang)
    nlp.tokenizer = clinical_tokenizer(nlp)
    documents, heading = read_brat_folder(folder)
    return make_docs(documents, nlp, policies, heading=heading)


def make_docs(
    documents: Iterable[Document], nlp: Language, policies: Policies, *, heading: str = ""
) -> tuple[list[Doc], Account]:
    """Documents on the tokens of ``nlp``, and what became of each of their entities.

    A document without text, or without its whole annotation, gives no Doc; its entities count as
    dropped.
    """
    documents = list(documents)
    frequency = Counter(e.label for document in documents for e in document.standoff.entities)
    stock = spacy.blank(nlp.lang or "xx").tokenizer
    docs: list[Doc] = []
    rows: list[Row] = []
    stock_misaligned = misaligned = 0
    for document in tqdm(documents, desc="documents", unit=" docs", disable=None):
        if why := _unusable(document):
            rows += [
                Row(file, e.line, e.id, e.label, "dropped", why, list(e.fragments))
                for file, e in _entities(document)
            ]
            continue
        doc, doc_rows = make_doc(document, nlp, policies, frequency, heading=heading)
        docs.append(doc)
        rows += doc_rows
        sources = [row.source for row in doc_rows]
        misaligned += count_misaligned(doc, sources)
        stock_misaligned += count_misaligned(stock(doc.text), sources)
    settings = {
        **asdict(policies),
        "documents": len(docs),
        "documents without text or annotation": len(documents) - len(docs),
        "misaligned entities, stock tokenizer": stock_misaligned,
        "misaligned entities, this tokenizer": misaligned,
    }
    problems = [
        {
            "file": problem.file,
            "line": problem.line,
            "record": problem.record_id,
            "level": problem.level,
            "reason": problem.reason,
            "detail": problem.detail,
        }
        for document in documents
        for problem in document.problems
    ]
    return docs, Account(rows, problems, settings, heading)


def make_doc(
    document: Document,
    nlp: Language,
    policies: Policies,
    frequency: Mapping[str, int],
    *,
    heading: str = "",
) -> tuple[Doc, list[Row]]:
    """One document with a text, and a row for each of its entities, in the order of the files.

    frequency: entities of each label in the corpus, for the policy "rarest".
    """
    text = document.text or ""
    doc = nlp.make_doc(text)
    entities = _entities(document)
    sources = [(e.label, sorted_fragments(e, text)) for _, e in entities]
    words = [token for token in doc if not token.is_space]
    tokens = Tokens(
        [token.i for token in words],
        [token.idx for token in words],
        [token.idx + len(token) for token in words],
    )
    placements = place_entities(sources, text, tokens, policies, frequency)
    everything: list[Span] = []
    flat: list[Span] = []
    for (_, e), placement in zip(entities, placements, strict=True):
        for start, end in placement.spans:
            span = Span(doc, start, end, label=e.label, span_id=e.id)
            everything.append(span)
            if (start, end) in placement.chosen:
                flat.append(span)
    doc.spans[GOLD_KEY] = SpanGroup(doc, name=GOLD_KEY, spans=everything)
    doc.set_ents(flat)
    records = [r for r in document.standoff.records if not isinstance(r, brat.Entity)]
    doc.user_data[GOLD_KEY] = {
        "name": document.name,
        "heading": heading,
        "entities": [
            entity_to_json(
                e,
                text,
                placed=[_characters(doc, *span) for span in p.spans],
                dropped=p.reason if p.status == "dropped" else "",
            )
            for (_, e), p in zip(entities, placements, strict=True)
        ],
        "records": [record_to_json(record) for record in records],
    }
    return doc, _rows(doc, entities, [source for _, source in sources], placements)


def count_misaligned(doc: Doc, sources: Iterable[Fragments]) -> int:
    """Number of entities, given by their fragments, that do not fall on the tokens of ``doc``."""
    starts = {token.idx for token in doc}
    ends = {token.idx + len(token) for token in doc}
    text = doc.text  # made anew at each access
    return sum(not is_aligned(text, fragments, starts, ends) for fragments in sources)


def _rows(
    doc: Doc,
    entities: list[tuple[str, brat.Entity]],
    sources: list[Fragments],
    placements: list[Placement],
) -> list[Row]:
    return [
        Row(
            file,
            e.line,
            e.id,
            e.label,
            placement.status,
            placement.reason,
            source,
            [_characters(doc, *span) for span in placement.chosen or placement.spans],
            by="" if placement.by is None else entities[placement.by][1].id,
        )
        for (file, e), source, placement in zip(entities, sources, placements, strict=True)
    ]


def _characters(doc: Doc, start: int, end: int) -> tuple[int, int]:
    return doc[start].idx, doc[end - 1].idx + len(doc[end - 1])


def _entities(document: Document) -> list[tuple[str, brat.Entity]]:
    """All entities of a document, each after the file it stands in."""
    return [(file, entity) for file, part in document.parts for entity in part.entities]


def _unusable(document: Document) -> str:
    """Why no Doc can be made of a document, "" if one can."""
    if document.text is None:
        return NO_TEXT
    if any(problem.reason == NO_ANNOTATION for problem in document.problems):
        return NOT_WHOLE
    return ""
