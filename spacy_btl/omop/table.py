"""The table NOTE_NLP of the OMOP CDM 5.4: its columns, and how it is written.

Names, types and lengths are those of the CDM's definition: the repository OHDSI/CommonDataModel,
inst/csv/OMOP_CDMv5.4_Field_Level.csv and inst/ddl/5.4.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import chain, islice
from typing import BinaryIO, NamedTuple

MAX_INTEGER = 2**31 - 1
"""The greatest integer of the CDM, of 32 bits."""

MAX_SNIPPET = MAX_VARIANT = MAX_SYSTEM = 250
"""Most characters of ``snippet``, ``lexical_variant`` and ``nlp_system``."""

COLUMNS = (
    *("note_nlp_id", "note_id", "section_concept_id", "snippet", "offset", "lexical_variant"),
    *("note_nlp_concept_id", "note_nlp_source_concept_id", "nlp_system", "nlp_date"),
    *("nlp_datetime", "term_exists", "term_temporal", "term_modifiers"),
)

_NOT_NULL = ("note_nlp_id", "note_id", "lexical_variant", "nlp_date")

_ROWS = 10_000  # of a Parquet file that are encoded at once

_SPECIAL = re.compile('[",\r\n]')

_WHOLE = re.compile(r"-?[0-9]+")


class NoteRow(NamedTuple):
    """A row without what is the same in all rows of a table, and without its number."""

    note_id: int
    snippet: str | None
    offset: str
    lexical_variant: str
    note_nlp_concept_id: int
    note_nlp_source_concept_id: int
    term_exists: str | None
    term_temporal: str | None
    term_modifiers: str | None
    section_concept_id: int | None = None


def note_id_key(name: str) -> str:
    """Return the id of a note so that two ways to write a number are the same id."""
    return str(int(name)) if _WHOLE.fullmatch(name) and len(name) < 20 else name


def note_id_error(name: str) -> str:
    """Return why an id cannot be a ``note_id``, "" if it can."""
    if not _WHOLE.fullmatch(name):
        return "the id is not a whole number, as OMOP's note_id must be"
    if len(name) > 20 or not -MAX_INTEGER - 1 <= int(name) <= MAX_INTEGER:
        return "the id is too great for note_id of OMOP, an integer of 32 bits"
    return ""


def snippet(text: str, start: int, end: int, size: int) -> str:
    """Return at most so many characters around those of an entity, which is in the middle."""
    before = max(0, size - (end - start)) // 2
    first = max(0, min(start - before, len(text) - size))
    return stored(text[min(first, start) : min(first, start) + size])


def stored(text: str) -> str:
    """Return a text as databases take it, without NUL."""
    return text.replace("\0", "\ufffd")


def write_table(
    file: BinaryIO, kind: str, rows: Iterable[NoteRow], system: str, moment: datetime, first_id: int
) -> None:
    """Write a table.

    Args:
        file: Where it is written.
        kind: "csv" or "parquet".
        rows: Its rows in their order.
        system: Name and version of the pipeline.
        moment: When the notes were processed.
        first_id: The first ``note_nlp_id``.

    Raises:
        ValueError: If a number would be greater than an integer of the CDM.
    """
    values = _complete(rows, system[:MAX_SYSTEM], moment, first_id)
    if kind == "parquet":
        _write_parquet(file, values)
    else:
        _write_csv(file, values)


def _complete(
    rows: Iterable[NoteRow], system: str, moment: datetime, first_id: int
) -> Iterator[tuple[object, ...]]:
    """Yield the values of each row, in the order of `COLUMNS`."""
    for number, row in enumerate(rows, first_id):
        if number > MAX_INTEGER:
            raise ValueError(
                f"note_nlp_id would be greater than {MAX_INTEGER}: divide the input, or begin "
                "with a smaller first id"
            )
        note_id, around, offset, variant, concept, source_concept, *terms, section = row
        ids = concept, source_concept
        when = moment.date(), moment
        yield (number, note_id, section, around, offset, variant, *ids, system, *when, *terms)


def _write_csv(file: BinaryIO, values: Iterable[tuple[object, ...]]) -> None:
    """Write a CSV file with a header, in which an empty cell is NULL."""
    for row in chain([COLUMNS], values):
        file.write(f"{','.join(map(_cell, row))}\n".encode())


def _cell(value: object) -> str:
    """Return a cell of a CSV file.

    The csv module leaves a lone carriage return without quotes before Python 3.13.
    """
    text = "" if value is None else str(value)
    if not _SPECIAL.search(text):
        return text
    doubled = text.replace('"', '""')
    return f'"{doubled}"'


def _write_parquet(file: BinaryIO, values: Iterator[tuple[object, ...]]) -> None:
    """Write a Parquet file with the types of the CDM."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {name: pa.int32() for name in COLUMNS if name.endswith("_id")}
    types |= {"nlp_date": pa.date32(), "nlp_datetime": pa.timestamp("us")}
    fields = [
        pa.field(name, types.get(name, pa.string()), nullable=name not in _NOT_NULL)
        for name in COLUMNS
    ]
    schema = pa.schema(fields)
    with pq.ParquetWriter(file, schema) as writer:
        while rows := list(islice(values, _ROWS)):
            arrays = [
                pa.array(column, each.type)
                for column, each in zip(zip(*rows, strict=True), fields, strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
