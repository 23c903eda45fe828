"""Convert annotated documents to spaCy documents, with an account of every entity.

``doc.ents`` contains a flat choice of entities for training, ``doc.spans["brat"]`` all that fit the
tokens (the id of a span is that of its record), and ``doc.user_data["brat"]`` the annotation as it
was, with its original offsets (wrong ones corrected) and all other records, in the form of
`data.gold`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import get_args

import spacy
from spacy.language import Language
from spacy.tokens import Doc, Span, SpanGroup
from tqdm import tqdm

from .. import brat
from ..data.docbin import write_parts
from ..data.duplicates import Duplicates, DuplicatesJson, duplicates_of, joining
from ..data.gold import (
    GOLD_KEY,
    EntityJson,
    GoldJson,
    document_name,
    entity_to_json,
    heading_in,
    record_to_json,
)
from ..data.groups import (
    check_group,
    describe_names,
    folder_parts,
    given_parts,
    in_several_parts,
    read_groups,
)
from ..data.split import PARTS, small_parts, untrained_types
from ..data.tokenizer import blank, clinical_tokenizer
from ..util.checks import one_of
from ..util.files import check_apart, write_files
from ..util.text import counted
from .account import Account, CorrectionJson, Reason, Row, mapped_to_json, problem_to_json
from .correcting import Corrected, correct_document
from .placement import Policies, Tokens, is_aligned, place_entities
from .reading import DEFAULT_READING, Reading, Source, read_source

SHARES = (0.8, 0.1, 0.1)
DEFAULT_POLICIES = Policies()


@dataclass(frozen=True, slots=True)
class Conversion:
    """The result of `convert_folder`.

    Attributes:
        account: What became of the entities.
        parts: The names of the documents of each part.
        passed_over: Files of the folder that belong to no document.
        duplicates: Documents of the same text.
        notes: What else is to be said of the parts.
        warnings: What is wrong with the parts: too few documents, types that train lacks.
    """

    account: Account
    parts: dict[str, list[str]]
    passed_over: list[Path]
    duplicates: list[DuplicatesJson] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class LossError(ValueError):
    """A strict conversion that lost an entity, found none, or met an error in a file.

    See ``conversion``.
    """

    def __init__(self, conversion: Conversion) -> None:
        self.conversion = conversion
        account = conversion.account
        super().__init__(
            f"{counted(account.totals()['dropped'], 'entity', 'entities')} dropped, "
            f"{counted(len(account.errors()), 'error')} in the files; no DocBin was written"
        )


def convert_folder(
    folder: Path | str,
    out_dir: Path | str,
    *,
    shares: Sequence[float] | None = SHARES,
    seed: int = 0,
    policies: Policies = DEFAULT_POLICIES,
    lang: str = "en",
    strict: bool = False,
    group: str | None = None,
    division: str | Path | None = None,
    duplicates: Duplicates = "together",
    reading: Reading = DEFAULT_READING,
) -> Conversion:
    """Convert annotated documents to DocBins, with an account of every entity.

    Writes ``train.spacy``, ``dev.spacy`` and ``test.spacy`` (or ``all.spacy``), ``split.json`` with
    the documents of each, ``account.json`` with a row for each entity, and ``account.md`` with the
    sums.

    Args:
        folder: A folder of .txt files with .ann, or with .a1 and .a2 files, in sub-folders too; or
            a folder or file of another format, see `Reading`.
        out_dir: The folder to write to.
        shares: Shares of the documents in train, dev and test; None for one DocBin of all.
        seed: Random seed of the split.
        policies: Rules for entities that do not fit, such as overlapping ones.
        lang: Language of the tokenizer.
        strict: Whether a dropped entity, an error in a file, or no entity at all is an error.
            Offsets that were counted otherwise are not, but entities found in an edited text are.
        group: Regular expression that finds, say, the patient in the name of a document, or path of
            a table of them (`data.groups.read_groups`). Documents of one group stay in one part.
        division: A division to keep: "folders" for folders named after the parts, or the path of a
            split.json or of a table (`data.groups.given_parts`). Only a dev that is missing is
            dealt out, of train. None for a split by shares.
        duplicates: Whether documents of the same text, or nearly, stay "together" in one part, or
            are dealt out "anywhere". A given division is kept in any case.
        reading: Settings for reading the documents, such as format, label set and new labels.

    Returns:
        The account of all entities, and the names of the documents of each part.

    Raises:
        LossError: If the conversion is strict and loses something; the account is written then.
        ValueError: If there are no documents, too few for three parts, or two of one name; for
            invalid shares, a language that spaCy does not have, a document that a
            table or a division lacks, a group in more than one part of a given division, and an
            output that is in the input or would replace it.
        OSError: If the folder cannot be read, or ``out_dir`` not be written to.
    """
    folder, out_dir = Path(folder), Path(out_dir)
    one_of("duplicates", duplicates, get_args(Duplicates))
    if group:
        check_group(group)
    made = [f"{part}.spacy" for part in (("all",) if shares is None else PARTS)]
    check_apart(out_dir, (folder, *reading.apart_from), names=made)
    source = read_source(folder, reading)
    docs, account = _convert(folder, source, policies, lang)
    passed_over = source.passed_over
    alike = duplicates_of(docs)
    account.settings["texts that occur more than once"] = len(alike)
    written = {"account.json": account.to_json(), "account.md": account.to_markdown()}
    write_files(out_dir, {name: text.encode("utf-8") for name, text in written.items()})
    if strict and (account.totals()["dropped"] or account.errors() or not account.rows):
        raise LossError(Conversion(account, {}, passed_over, alike))
    if not docs:
        errors = [f"{p['file']}: {p['detail']}" for p in account.errors()]
        why = [account.predicted_only(), describe_names(errors)]
        told = "; ".join(filter(None, why)) or f"{out_dir / 'account.md'} counts what was left out"
        raise ValueError(f"no document has both text and annotation; {told}")
    names = [document_name(doc) for doc in docs]
    groups: dict[str, list[str]] = {}
    for name, key in (read_groups(group, names) if group else {}).items():
        groups.setdefault(key, []).append(name)
    given = given_parts(division, names) if division is not None and shares is not None else None
    if given and (torn := in_several_parts(groups.values(), given)):
        said = counted(len(torn), f"group of {group} is", f"groups of {group} are")
        raise ValueError(
            f"{said} in more than one part of {division}; the first is that of {torn[0][0]}"
        )
    same = joining(alike, grouped=bool(groups)) if duplicates == "together" else []
    about = {"group": group, "division": division and str(division), "duplicates": alike}
    parts = write_parts(
        docs,
        out_dir,
        shares,
        seed,
        together=[*groups.values(), *same],
        given=given,
        about={key: value for key, value in about.items() if value},
    )
    notes = _notes(names, parts, groups, given)
    types = {document_name(doc): {ent.label_ for ent in doc.ents} for doc in docs}
    warnings = [
        small_parts(parts, shares if given is None else None),
        untrained_types(parts, types),
    ]
    return Conversion(
        account, parts, passed_over, alike, notes, [each for each in warnings if each]
    )


def _notes(
    names: Sequence[str],
    parts: Mapping[str, Sequence[str]],
    groups: Mapping[str, Sequence[str]],
    given: Mapping[str, str] | None,
) -> list[str]:
    """Return what is to be said of the parts: their groups, and folders named after parts."""
    notes = []
    if groups:
        notes.append(f"{counted(len(groups), 'group')} of documents, each in one part")
        grouped = {name for members in groups.values() for name in members}
        if others := [name for name in names if name not in grouped]:
            found = describe_names(others)
            said = counted(len(others), "document has", "documents have")
            notes.append(f"{said} no group, dealt out singly: {found}")
    if given:
        if "dev" not in given.values():
            said = counted(len(parts["dev"]), "document")
            notes.append(f"no dev is given: {said} of train dealt out")
    elif "all" not in parts:
        counts = Counter(folder_parts(names).values())
        if "train" in counts and len(counts) > 1 and counts.total() == len(names):
            found = ", ".join(f"{part} {counts[part]}" for part in PARTS if part in counts)
            notes.append(f"the folders are parts ({found} documents): --split folders keeps them")
    return notes


def read_brat(
    folder: Path | str,
    *,
    policies: Policies = DEFAULT_POLICIES,
    lang: str = "en",
    reading: Reading = DEFAULT_READING,
) -> tuple[list[Doc], Account]:
    """Return the documents of a folder or file on the tokens of the clinical tokenizer.

    Args:
        folder: A folder of .txt files with .ann, or with .a1 and .a2 files, in sub-folders too; or
            a folder or file of another format, see `Reading`.
        policies: Rules for entities that do not fit.
        lang: Language of the tokenizer.
        reading: Settings for reading the documents, such as format, label set and new labels.

    Returns:
        The documents, and the account of their entities.

    Raises:
        ValueError: If there are no documents, spaCy does not have the language, or `read_source`
            finds an error.
        OSError: If the folder or file cannot be read.
    """
    return _convert(Path(folder), read_source(folder, reading), policies, lang)


def _convert(
    folder: Path, source: Source, policies: Policies, lang: str
) -> tuple[list[Doc], Account]:
    """Return the documents of a source that is in a folder, and what became of their entities."""
    nlp = blank(lang)
    nlp.tokenizer = clinical_tokenizer(nlp)
    docs, account = make_docs(
        source.documents, nlp, policies, heading=heading_in(folder), names=source.names
    )
    for doc in docs:
        source.mark(doc)
    settings = {**source.settings, **account.settings}
    mapped = [mapped_to_json(each) for each in source.mapped]
    return docs, replace(account, settings=settings, mapped=mapped)


def make_docs(
    documents: Iterable[brat.Document],
    nlp: Language,
    policies: Policies,
    *,
    heading: str = "",
    names: Mapping[str, str] | None = None,
) -> tuple[list[Doc], Account]:
    """Return documents on the tokens of a pipeline, and what became of their entities.

    A document without its text, or without its whole annotation, gives no Doc; its entities count
    as dropped.

    Args:
        documents: Documents of one folder.
        nlp: The pipeline whose tokenizer is used.
        policies: What is done with entities that do not fit.
        heading: What a report on the documents must carry.
        names: Each label of the files, and the one that it has become; "" for one that is left out.
            By default none has changed.
    """
    documents = list(documents)
    frequency = Counter(e.label for document in documents for e in document.standoff.entities)
    names = {label: label for label in frequency} | {**(names or {})}
    stock = spacy.blank(nlp.lang or "xx").tokenizer
    docs: list[Doc] = []
    rows: list[Row] = []
    stock_misaligned = misaligned = 0
    offsets: list[CorrectionJson] = []
    problems: list[brat.Problem] = []
    for document in tqdm(documents, desc="documents", unit=" docs", disable=None):
        if why := _unusable(document):
            problems += document.problems
            rows += [
                Row(file, e.line, e.id, e.label, "dropped", why, e.fragments)
                if isinstance(e, brat.Entity)
                else _unread(file, e, names)
                for file, e in _entity_lines(document)
            ]
            continue
        corrected = correct_document(document, policies.offsets)
        problems += corrected.document.problems
        if correction := corrected.to_json():
            offsets.append(correction)
        doc, doc_rows = _make_doc(corrected, nlp, policies, frequency, heading, names)
        docs.append(doc)
        rows += doc_rows
        sources = [row.source for row in doc_rows if row.source]
        misaligned += count_misaligned(doc, sources)
        stock_misaligned += count_misaligned(stock(doc.text), sources)
    settings = {
        **asdict(policies),
        "documents": len(docs),
        "documents without text or annotation": len(documents) - len(docs),
        "misaligned entities, stock tokenizer": stock_misaligned,
        "misaligned entities, this tokenizer": misaligned,
    }
    listed = [problem_to_json(problem) for problem in problems]
    return docs, Account(rows, listed, settings, heading, offsets)


def make_doc(
    document: brat.Document,
    nlp: Language,
    policies: Policies,
    frequency: Mapping[str, int],
    *,
    heading: str = "",
) -> tuple[Doc, list[Row]]:
    """Return a document with text as a Doc, and a row for each of its entities.

    Wrong offsets are corrected as the policies say.

    Args:
        document: The document; its entities are taken in the order of its files.
        nlp: The pipeline whose tokenizer is used.
        policies: What is done with entities that do not fit.
        frequency: The number of entities of each label in the corpus, for the policy "rarest".
        heading: What a report on the document must carry.
    """
    corrected = correct_document(document, policies.offsets)
    names = {label: label for label in frequency}
    return _make_doc(corrected, nlp, policies, frequency, heading, names)


def _make_doc(
    corrected: Corrected,
    nlp: Language,
    policies: Policies,
    frequency: Mapping[str, int],
    heading: str,
    names: Mapping[str, str],
) -> tuple[Doc, list[Row]]:
    document, correction = corrected.document, corrected.correction
    text = document.text or ""
    doc = nlp.tokenizer(text)  # not nlp.make_doc, which refuses more than a million characters
    entities = [(file, e) for file, part in document.parts for e in part.entities]
    fragments = [brat.join_fragments(e.fragments, text) for _, e in entities]
    unread = [
        _unread(file, line, names)
        for file, line in _entity_lines(document)
        if isinstance(line, brat.Unknown)
    ]
    labeled = [(e.label, own) for (_, e), own in zip(entities, fragments, strict=True)]
    placements = place_entities(
        labeled, text, _tokens(doc), policies, frequency, correction.refused
    )
    everything: list[Span] = []
    flat: list[Span] = []
    values: list[EntityJson] = []
    rows: list[Row] = []
    placed = zip(entities, fragments, placements, strict=True)
    for i, ((file, e), own, placement) in enumerate(placed):
        for start, end in placement.spans:
            span = Span(doc, start, end, label=e.label, span_id=e.id)
            everything.append(span)
            if (start, end) in placement.chosen:
                flat.append(span)
        status, reason = placement.status, placement.reason
        dropped = reason if status == "dropped" else ""
        values.append(entity_to_json(e, text, own, _characters(doc, placement.spans), dropped))
        target = _characters(doc, placement.chosen or placement.spans)
        by = "" if placement.by is None else entities[placement.by][1].id
        written = corrected.written[i].fragments if i in correction.moved else ()
        rows.append(Row(file, e.line, e.id, e.label, status, reason, own, target, by, written))
    doc.spans[GOLD_KEY] = SpanGroup(doc, name=GOLD_KEY, spans=everything)
    doc.set_ents(flat)
    others = [r for r in document.standoff.records if not isinstance(r, brat.Entity)]
    gold: GoldJson = {
        "name": document.name,
        "heading": heading,
        "entities": values,
        "records": [record_to_json(record) for record in others],
    }
    if lost := [row.label for row in unread if row.label]:
        gold["lost"] = lost
    doc.user_data[GOLD_KEY] = gold
    order = {file: i for i, (file, _) in enumerate(document.parts)}
    return doc, sorted([*rows, *unread], key=lambda row: (order[row.file], row.line))


def _entity_lines(document: brat.Document) -> list[tuple[str, brat.Entity | brat.Unknown]]:
    """Return the entities of a document, and the lines that could be meant as one, in order."""
    return [
        (file, record)
        for file, part in document.parts
        for record in part.records
        if isinstance(record, brat.Entity)
        or (isinstance(record, brat.Unknown) and brat.is_entity_like(record.text))
    ]


def _unread(file: str, line: brat.Unknown, names: Mapping[str, str]) -> Row:
    """Return the row of a line that cannot be read; its label only if it is one of these."""
    name = line.id if brat.is_plain_id(line.id) else ""
    label = names.get(brat.label_in_line(line.text, names), "")
    return Row(file, line.line, name, label, "dropped", "its line cannot be read")


def count_misaligned(doc: Doc, sources: Iterable[brat.Fragments]) -> int:
    """Return how many entities, given by their fragments, do not fall on the tokens of a Doc."""
    starts = {token.idx for token in doc}
    ends = {token.idx + len(token) for token in doc}
    text = doc.text  # made anew at each access
    return sum(not is_aligned(text, fragments, starts, ends) for fragments in sources)


def _tokens(doc: Doc) -> Tokens:
    words = [token for token in doc if not token.is_space]
    return Tokens(
        [token.i for token in words],
        [token.idx for token in words],
        [token.idx + len(token) for token in words],
    )


def _characters(doc: Doc, spans: brat.Fragments) -> brat.Fragments:
    """Return the characters of spans in tokens."""
    return tuple((doc[start].idx, doc[end - 1].idx + len(doc[end - 1])) for start, end in spans)


def _unusable(document: brat.Document) -> Reason:
    """Return why no Doc can be made of a document, "" if one can."""
    if document.text is None:
        return "its document has no text"
    if any(problem.reason == "no-annotation" for problem in document.problems):
        return "an annotation file of its document cannot be read"
    return ""
