"""Annotated documents as BRAT files, JSON Lines, Parquet, a DocBin, rows of NOTE_NLP, or tasks.

A writer collects the documents of one shard, refuses those that its format cannot represent, and
returns the files as bytes.
"""

import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import PureWindowsPath
from typing import Any, Literal, Protocol, TypeAlias, get_args

from spacy.tokens import Doc, DocBin, Span

from .. import brat
from ..conversion.export import file_key, name_error, relabeled, to_standoff
from ..conversion.tasks import (
    TOOLS,
    EntityRow,
    Task,
    doccano_task,
    inception_document,
    label_studio_task,
    prodigy_task,
)
from ..omop.assertions import Assertions
from ..omop.concepts import UNKNOWN, Concepts
from ..omop.sections import NOWHERE, Sections
from ..omop.table import (
    MAX_VARIANT,
    NoteRow,
    note_id_error,
    note_id_key,
    snippet,
    stored,
)
from ..pipeline.entities import read_scores
from .inputs import RecordError

Format: TypeAlias = Literal[
    "brat",
    "jsonl",
    "parquet",
    "docbin",
    "omop",
    "label-studio",
    "doccano",
    "prodigy",
    "inception",
]
FORMATS: tuple[str, ...] = get_args(Format)
SUFFIXES = {
    "jsonl": ".jsonl",
    "parquet": ".parquet",
    "docbin": ".spacy",
    "omop": ".jsonl",
    "label-studio": ".json",
    "doccano": ".jsonl",
    "prodigy": ".jsonl",
}
"""Of the one file of a shard. BRAT has two files for each document instead, INCEpTION one."""

ROWS = "rows"
"""The folder of the shards of a NOTE_NLP table, which is numbered and written at the end."""

DOCUMENTS = "documents"
"""The folder of INCEpTION's documents, beside the file of their layer."""

_LINE_BREAKS = str.maketrans({code: f"\\u{code:04x}" for code in (0x85, 0x2028, 0x2029)})
"""Characters that JSON does not escape, and that `str.splitlines` takes for the end of a line."""


def entities_of(doc: Doc, key: str | None = None) -> list[EntityRow]:
    """Return the entities of ``doc.ents``, or of ``doc.spans[key]``, with their scores."""
    scores: dict[tuple[int, int, int], tuple[float, bool]] = {}
    for group in doc.spans.values():
        if (scored := read_scores(group)) is not None:
            for span, score, calibrated in zip(*scored, strict=True):
                place = (span.start, span.end, span.label)
                scores.setdefault(place, (float(score), bool(calibrated)))
    return [
        EntityRow(
            span.start_char,
            span.end_char,
            span.label_,
            span.text,
            *scores.get((span.start, span.end, span.label), (None, None)),
        )
        for span in _spans(doc, key)
    ]


def entity_values(entity: EntityRow, *, with_text: bool = False) -> dict[str, Any]:
    """Return an entity as a JSON object, by default without its text."""
    values = entity._asdict()
    if not with_text:
        del values["text"]
    return values


def _spans(doc: Doc, key: str | None) -> Sequence[Span]:
    """Return ``doc.ents``, or ``doc.spans[key]``, nothing if there is no such group."""
    if key is None:
        return doc.ents
    return list(doc.spans[key]) if key in doc.spans else []


class ShardWriter(Protocol):
    """Collects the documents of a shard.

    Attributes:
        counts: Number of entities by label.
    """

    counts: Counter[str]

    def add(self, name: str, doc: Doc) -> None:
        """Take a document with its id.

        Raises:
            RecordError: If the format cannot represent the document. Nothing of it is taken then.
        """

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Yield suffix and bytes of the file of the shard; without `SUFFIXES` those of each file.

        There, the name of a file takes the place of the suffix.
        """


class JsonLinesWriter:
    """One line for each document: its id, its text if wanted, its entities.

    Args:
        key: Key of ``doc.spans`` to take instead of ``doc.ents``.
        with_text: Whether the text is written.
    """

    def __init__(self, key: str | None = None, *, with_text: bool = True) -> None:
        self._key, self._with_text = key, with_text
        self._lines: list[str] = []
        self.counts: Counter[str] = Counter()

    def add(self, name: str, doc: Doc) -> None:
        """Take a document with its id."""
        entities = entities_of(doc, self._key)
        value: dict[str, object] = {"id": name}
        if self._with_text:
            value["text"] = doc.text
        value["entities"] = [entity_values(entity) for entity in entities]
        line = json.dumps(value, ensure_ascii=False).translate(_LINE_BREAKS)
        self._lines.append(f"{line}\n")
        self.counts.update(e.label for e in entities)

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Yield the lines."""
        yield SUFFIXES["jsonl"], "".join(self._lines).encode("utf-8")


class ParquetWriter:
    """One row for each entity, as in tables of findings: id, start, end, label, text, score.

    A document without entities has no row.

    Args:
        key: Key of ``doc.spans`` to take instead of ``doc.ents``.
        with_text: Whether the texts of entities are written.
    """

    def __init__(self, key: str | None = None, *, with_text: bool = True) -> None:
        self._key, self._with_text = key, with_text
        self._rows: list[dict[str, object]] = []
        self.counts: Counter[str] = Counter()

    def add(self, name: str, doc: Doc) -> None:
        """Take a document with its id."""
        entities = entities_of(doc, self._key)
        self._rows += [{"id": name, **entity._asdict()} for entity in entities]
        self.counts.update(e.label for e in entities)

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Yield the table; its columns are the same if it has no row."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = {
            "id": pa.string(),
            "start": pa.int64(),
            "end": pa.int64(),
            "label": pa.string(),
            "text": pa.string(),
            "score": pa.float64(),
            "calibrated": pa.bool_(),
        }
        if not self._with_text:
            del columns["text"]
        table = pa.Table.from_pylist(self._rows, schema=pa.schema(list(columns.items())))
        buffer = io.BytesIO()
        pq.write_table(table, buffer)
        yield SUFFIXES["parquet"], buffer.getvalue()


class DocBinWriter:
    """Write whole documents, with ``doc.user_data["name"]`` as id, and the scores in ``doc.spans``.

    Args:
        key: Key of ``doc.spans`` whose spans are counted instead of ``doc.ents``.
    """

    def __init__(self, key: str | None = None) -> None:
        self._key = key
        self._docbin = DocBin(store_user_data=True)
        self.counts: Counter[str] = Counter()

    def add(self, name: str, doc: Doc) -> None:
        """Take a document with its id; RecordError if its user data cannot be stored."""
        doc.user_data["name"] = name
        try:
            # On its own first: a document that cannot be stored would leave half of itself.
            own = DocBin(docs=[doc], store_user_data=True)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            why = f"a DocBin cannot store its user data ({type(error).__name__})"
            raise RecordError(why) from error
        self._docbin.merge(own)
        self.counts.update(span.label_ for span in _spans(doc, self._key))

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Yield the DocBin."""
        yield SUFFIXES["docbin"], self._docbin.to_bytes()


class FilesWriter:
    """Keeps files of each document, named by its id.

    Args:
        key: Key of ``doc.spans`` to take instead of ``doc.ents``.
    """

    def __init__(self, key: str | None = None) -> None:
        self._key = key
        self._files: list[tuple[str, bytes]] = []
        self.counts: Counter[str] = Counter()

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Yield all files, relative to the folder of the annotations."""
        yield from self._files


class BratWriter(FilesWriter):
    """A .txt and an .ann for each document, with "_" for white space in labels."""

    def add(self, name: str, doc: Doc) -> None:
        """Take a document with its id; RecordError if BRAT files cannot represent it."""
        if why := name_error(name):
            raise RecordError(why)
        standoff = to_standoff(doc, self._key).standoff
        counts = Counter(entity.label for entity in standoff.entities)
        try:
            annotation = brat.dumps(relabeled(standoff, brat.without_spaces(counts)))
        except ValueError as error:
            why = "an entity that brat cannot represent: is its label one that brat can read?"
            raise RecordError(why) from error
        # The text last: brat shows a document once its text is there.
        self._files += [
            (f"{name}.ann", annotation.encode("utf-8")),
            (f"{name}.txt", doc.text.encode("utf-8")),
        ]
        self.counts.update(counts)


class InceptionWriter(FilesWriter):
    """A file for each document, in the folder `DOCUMENTS`."""

    def add(self, name: str, doc: Doc) -> None:
        """Take a document with its id; RecordError if it cannot name a file."""
        if why := name_error(name):
            raise RecordError(why)
        entities = entities_of(doc, self._key)
        content = json.dumps(inception_document(doc.text, entities))
        self._files.append((f"{DOCUMENTS}/{name}.json", content.encode("ascii")))
        self.counts.update(e.label for e in entities)


class TaskWriter:
    """One task for each document: Label Studio takes them as a list, the other tools as lines.

    Args:
        to: The tool, one of `TOOLS`.
        key: Key of ``doc.spans`` to take instead of ``doc.ents``.
        model: Name and version of the pipeline, which Label Studio shows.
    """

    def __init__(self, to: str, key: str | None = None, model: str = "") -> None:
        self._to, self._key, self._model = to, key, model
        self._tasks: list[str] = []
        self.counts: Counter[str] = Counter()

    def add(self, name: str, doc: Doc) -> None:
        """Take a document with its id."""
        entities = entities_of(doc, self._key)
        # ASCII: doccano guesses the encoding of a file.
        self._tasks.append(json.dumps(self._task(name, doc, entities)))
        self.counts.update(e.label for e in entities)

    def _task(self, name: str, doc: Doc, entities: Sequence[EntityRow]) -> Task:
        if self._to == "label-studio":
            return label_studio_task(name, doc.text, entities, self._model)
        if self._to == "doccano":
            return doccano_task(name, doc.text, entities)
        return prodigy_task(name, doc, entities)

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Yield the tasks."""
        if self._to == "label-studio":
            content = "[\n" + ",\n".join(self._tasks) + "\n]\n"
        else:
            content = "".join(f"{task}\n" for task in self._tasks)
        yield SUFFIXES[self._to], content.encode("ascii")


class NoteNlpWriter:
    """A line for each entity: a row of NOTE_NLP that has no number yet.

    Args:
        assertions: What other components say of an entity.
        key: Key of ``doc.spans`` to take instead of ``doc.ents``.
        concepts: The concepts of labels and texts, if there are any.
        sections: Concepts of sections, if there are any.
        size: Most characters of a snippet, 0 for none.
        with_text: Whether words of a document are written; if not, the label takes their place,
            as the column must not be empty.

    Attributes:
        unmapped: Number of entities without a concept by label, if there are concepts.
        shortened: Number of entities whose text is longer than its column.
        placed: Number of entities by what is known of their section, if there are sections.
    """

    def __init__(
        self,
        assertions: Assertions,
        key: str | None = None,
        concepts: Concepts | None = None,
        sections: Sections | None = None,
        *,
        size: int = 0,
        with_text: bool = True,
    ) -> None:
        self._assertions, self._key, self._concepts = assertions, key, concepts
        self._sections = sections
        self._size, self._with_text = size, with_text
        self._rows: list[NoteRow] = []
        self.counts: Counter[str] = Counter()
        self.unmapped: Counter[str] = Counter()
        self.shortened = 0
        self.placed: Counter[str] = Counter()

    def add(self, name: str, doc: Doc) -> None:
        """Take a document with its id; RecordError if that is not a valid ``note_id``."""
        if why := note_id_error(name):
            raise RecordError(why)
        spans = _spans(doc, self._key)
        try:
            terms = [self._assertions.terms(span) for span in spans]
            places = [self._sections.place(s) if self._sections else NOWHERE for s in spans]
        except ValueError as error:  # it names an attribute, and nothing of the text
            raise RecordError(str(error)) from error
        for span, term, place in zip(spans, terms, places, strict=True):
            label, start, end = span.label_, span.start_char, span.end_char
            concept = self._concepts.find(label, span.text) if self._concepts else UNKNOWN
            variant = stored(span.text) if self._with_text else label
            around = snippet(doc.text, start, end, self._size) if self._size else None
            cut = variant[:MAX_VARIANT]
            known = *concept, *term, place.concept_id
            self._rows.append(NoteRow(int(name), around, str(start), cut, *known))
            self.counts[label] += 1
            self.shortened += len(variant) > MAX_VARIANT
            if self._concepts and not concept.concept_id:
                self.unmapped[label] += 1
            if self._sections:
                self.placed[place.where] += 1

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Yield the rows."""
        yield SUFFIXES["omop"], "".join(f"{json.dumps(row)}\n" for row in self._rows).encode()


def id_error(to: str, name: str) -> str:
    """Return why a document with this id cannot be written in a format, "" if it can."""
    errors = {"brat": name_error, "inception": name_error, "omop": note_id_error}
    return errors.get(to, lambda _: "")(name)


def id_key(to: str, name: str) -> str:
    """Return a key that is the same for ids that a format takes for one."""
    keys = {"brat": file_key, "inception": _last_part, "omop": note_id_key}
    return keys.get(to, str)(name)


def _last_part(name: str) -> str:
    """Return the key of the name of a file without its folders, which INCEpTION does not keep."""
    return file_key(PureWindowsPath(name).name)


def make_writer(to: str, key: str | None, *, with_text: bool, model: str = "") -> ShardWriter:
    """Return a writer for a shard in one of the `FORMATS`, except "omop"."""
    if to == "inception":
        return InceptionWriter(key)
    if to in TOOLS:
        return TaskWriter(to, key, model)
    if to == "jsonl":
        return JsonLinesWriter(key, with_text=with_text)
    if to == "parquet":
        return ParquetWriter(key, with_text=with_text)
    return DocBinWriter(key) if to == "docbin" else BratWriter(key)
