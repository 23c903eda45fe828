"""What becomes of annotated documents: BRAT files, JSON Lines, Parquet or a DocBin.

A writer collects the documents of one shard, refuses those that its format cannot hold and gives
the files as bytes.
"""

import io
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from spacy.tokens import Doc, DocBin

from .. import brat
from ..data.export import name_error, to_standoff
from ..pipeline.entities import read_scores
from .inputs import RecordError

FORMATS = ("brat", "jsonl", "parquet", "docbin")
SUFFIXES = {"jsonl": ".jsonl", "parquet": ".parquet", "docbin": ".spacy"}
"""Of the one file of a shard; BRAT has two files a document instead."""


_LINE_BREAKS = str.maketrans({code: f"\\u{code:04x}" for code in (0x85, 0x2028, 0x2029)})
"""What JSON leaves as it is, and `str.splitlines` would take for the end of a line."""


class Entity(NamedTuple):
    """An entity found: characters from 0, the end excluded; no score where it has none."""

    start: int
    end: int
    label: str
    text: str
    score: float | None
    calibrated: bool | None


def entities_of(doc: Doc, key: str | None = None) -> list[Entity]:
    """The entities of ``doc.ents``, or of ``doc.spans[key]``, with their scores."""
    scores: dict[tuple[int, int, int], tuple[float, bool]] = {}
    for group in doc.spans.values():
        if (found := read_scores(group)) is not None:
            for span, score, calibrated in zip(*found, strict=True):
                place = (span.start, span.end, span.label)
                scores.setdefault(place, (float(score), bool(calibrated)))
    spans = doc.ents if key is None else doc.spans.get(key, ())
    return [
        Entity(
            span.start_char,
            span.end_char,
            span.label_,
            span.text,
            *scores.get((span.start, span.end, span.label), (None, None)),
        )
        for span in spans
    ]


class Writer(Protocol):
    """Collects the documents of a shard."""

    counts: Counter[str]
    """Entities by label."""

    def add(self, name: str, doc: Doc) -> None:
        """Take a document with its id, all of it or, with any error, nothing."""

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Suffix and bytes of the one file of the shard; for BRAT name and bytes of each file."""


class JsonLinesWriter:
    """A line a document: its id, its text if wanted, its entities."""

    def __init__(self, key: str | None = None, *, with_text: bool = True) -> None:
        self._key, self._with_text = key, with_text
        self._lines: list[str] = []
        self.counts: Counter[str] = Counter()

    def add(self, name: str, doc: Doc) -> None:
        """Take a document with its id."""
        entities = entities_of(doc, self._key)
        value: dict[str, Any] = {"id": name}
        if self._with_text:
            value["text"] = doc.text
        names = ("start", "end", "label", "score", "calibrated")
        value["entities"] = [{name: getattr(e, name) for name in names} for e in entities]
        line = json.dumps(value, ensure_ascii=False).translate(_LINE_BREAKS)
        self._lines.append(f"{line}\n")
        self.counts.update(e.label for e in entities)

    def files(self) -> Iterator[tuple[str, bytes]]:
        """The lines."""
        yield SUFFIXES["jsonl"], "".join(self._lines).encode("utf-8")


class ParquetWriter:
    """A row an entity, as tables of findings have it: id, start, end, label, text, score.

    A document without entities has no row.
    """

    def __init__(self, key: str | None = None, *, with_text: bool = True) -> None:
        self._key, self._with_text = key, with_text
        self._rows: list[dict[str, Any]] = []
        self.counts: Counter[str] = Counter()

    def add(self, name: str, doc: Doc) -> None:
        """Take a document with its id."""
        entities = entities_of(doc, self._key)
        self._rows += [{"id": name, **entity._asdict()} for entity in entities]
        self.counts.update(e.label for e in entities)

    def files(self) -> Iterator[tuple[str, bytes]]:
        """The table; its columns are the same where it has no row."""
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
    """Whole documents, with ``doc.user_data["name"]`` as id, and the scores in ``doc.spans``."""

    def __init__(self, key: str | None = None) -> None:
        self._key = key
        self._docbin = DocBin(store_user_data=True)
        self.counts: Counter[str] = Counter()

    def add(self, name: str, doc: Doc) -> None:
        """Take a document with its id."""
        doc.user_data["name"] = name
        # On its own first: a document that cannot be stored would leave half of itself.
        self._docbin.merge(DocBin(docs=[doc], store_user_data=True))
        spans = doc.ents if self._key is None else doc.spans.get(self._key, ())
        self.counts.update(span.label_ for span in spans)

    def files(self) -> Iterator[tuple[str, bytes]]:
        """The DocBin."""
        yield SUFFIXES["docbin"], self._docbin.to_bytes()


class BratWriter:
    """A .txt and an .ann a document, by its id."""

    def __init__(self, key: str | None = None) -> None:
        self._key = key
        self._files: list[tuple[str, bytes]] = []
        self.counts: Counter[str] = Counter()

    def add(self, name: str, doc: Doc) -> None:
        """Take a document with its id; RecordError for what BRAT files cannot hold."""
        if why := name_error(name):
            raise RecordError(why)
        standoff = to_standoff(doc, self._key).standoff
        try:
            annotation = brat.dumps(standoff)
        except ValueError as error:
            what = "an entity that brat cannot hold: is there white space in its label?"
            raise RecordError(what) from error
        # The text last: brat shows a document once its text is there.
        self._files += [
            (f"{name}.ann", annotation.encode("utf-8")),
            (f"{name}.txt", doc.text.encode("utf-8")),
        ]
        self.counts.update(entity.label for entity in standoff.entities)

    def files(self) -> Iterator[tuple[str, bytes]]:
        """All files, relative to the folder of the collection."""
        yield from self._files


def make_writer(to: str, key: str | None, *, with_text: bool) -> Writer:
    """A writer for a shard in one of the `FORMATS`."""
    if to == "jsonl":
        return JsonLinesWriter(key, with_text=with_text)
    if to == "parquet":
        return ParquetWriter(key, with_text=with_text)
    return DocBinWriter(key) if to == "docbin" else BratWriter(key)
