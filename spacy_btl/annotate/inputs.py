"""Records out of .txt, JSONL, CSV and Parquet files, one at a time and from any place in a file.

A record that cannot be used is yielded with its error, so that the others go on. Errors quote
nothing of a file. Text is taken unchanged: both characters of a CRLF count; only a byte order mark
is left out. Texts with markup are refused, see `contents`. This module does not use spaCy.
"""

import codecs
import csv
import json
import re
import stat
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import accumulate
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, NamedTuple, TypeAlias, get_args

from .contents import START, UTF8, decoded, file_error, markup_error, not_decoded, shown

if TYPE_CHECKING:
    import pyarrow

InputKind: TypeAlias = Literal["txt", "jsonl", "csv", "parquet"]
INPUT_KINDS: tuple[str, ...] = get_args(InputKind)

PLACES = {"jsonl": "line", "csv": "line", "parquet": "row"}
"""The unit that `Record.number` counts, by the kind of the file."""

MAX_CSV_FIELD = 2**25
"""Most characters of a CSV field. One that is never closed would swallow the rest of its file."""

DELIMITERS = (",", ";", "\t", "|")
"""The usual separators of the columns of a CSV file."""

_BATCH = 256  # rows of a Parquet file that are decoded at once

_WHOLE = re.compile(r"^(-?[0-9]+)\.0+$")

_NAME = re.compile(r"[A-Za-z_][\w.-]{0,39}")

_USUAL_NAMES = frozenset(
    f"{first}{middle}{last}"
    for first in ("", "note", "doc", "document", "report", "row", "record", "file", "case", "text")
    for middle in ("", "_", " ")
    for last in ("", "id", "text", "name", "content", "body", "note", "report", "document")
) - {"", "_", " "}


class RecordError(ValueError):
    """The fault of a record or a file, in words that quote nothing of it."""


class Fields(NamedTuple):
    """The names of the fields of a record, and what separates those of a CSV file."""

    id: str = "id"
    text: str = "text"
    delimiter: str = ","


class Record(NamedTuple):
    """A record, or an `error` in the place of one.

    Attributes:
        at: Where reading it again begins: its byte (JSONL, CSV) or its row from 0 (Parquet).
        number: Its first line, or its row, from 1; 0 in a .txt.
        id: Its id, "" if that is unknown.
        text: Its text, "" if there is an error.
        error: Why it cannot be used, "" if it can.
    """

    at: int
    number: int
    id: str
    text: str
    error: str = ""


def to_record(at: int, number: int, name: object, text: object, encoding: str = UTF8) -> Record:
    """Return a record of these values, with an error unless they are an id and a text.

    A whole number may be written with a fraction of 0, as pandas does in a column with gaps. Bytes
    that are not in the encoding are lone surrogates in a text.
    """
    if isinstance(name, float | Decimal) and isfinite(name) and name % 1 == 0:
        name = int(name)
    name, text = _decoded(name), _decoded(text)
    if isinstance(name, bool) or not isinstance(name, str | int) or name == "":
        return Record(at, number, "", "", "no id, or one that is neither text nor a whole number")
    if _has_surrogates(name := str(name)):
        return Record(at, number, "", "", f"the id is not {shown(encoding)}")
    if not isinstance(text, str):
        return Record(at, number, name, "", "no text, or not a string")
    if _has_surrogates(text):
        data = text.encode(UTF8, "surrogateescape") if _is_escaped(text) else b""
        return Record(at, number, name, "", not_decoded("the text is ", data, encoding))
    if why := markup_error(text):
        return Record(at, number, name, "", why)
    return Record(at, number, name, text)


def read_errors() -> tuple[type[Exception], ...]:
    """Return the exceptions with which a file that cannot be read fails; others are bugs."""
    arrow = sys.modules.get("pyarrow")
    return (OSError, ValueError, *([arrow.ArrowException] if arrow is not None else []))


def read_text(path: Path, name: str, encoding: str = UTF8) -> Record:
    """Return the one record of a text file.

    Raises:
        OSError: If the file cannot be read.
    """
    text, why = decoded(path.read_bytes(), encoding)
    return Record(0, 0, name, "", why) if why else to_record(0, 0, name, text, encoding)


def read_jsonl(
    path: Path, fields: Fields, at: int = 0, number: int = 1, encoding: str = UTF8
) -> Iterator[Record]:
    """Yield the records of a JSON Lines file from byte ``at`` on, where line ``number`` begins.

    Blank lines are passed over.

    Raises:
        OSError: If the file cannot be read.
        RecordError: If it is not JSON Lines at all.
    """
    with path.open("rb") as file:
        _check_start(start := file.read(START), encoding)
        if re.match(rb"(\xef\xbb\xbf)?\s*(\[\s*(\{|$|[\r\n])|\{\s*[\r\n])", start):
            raise RecordError("JSON over several lines, or in an array; write an object a line")
        for place, line_number, line in _lines(file, at, number):
            if not line.strip():
                continue
            try:
                value = json.loads(line.decode(encoding))
            except UnicodeDecodeError:
                yield Record(place, line_number, "", "", not_decoded("", line, encoding))
            except (ValueError, RecursionError):
                yield Record(place, line_number, "", "", "not JSON")
            else:
                if isinstance(value, dict):
                    name, text = value.get(fields.id), value.get(fields.text)
                    record = to_record(place, line_number, name, text)
                    if missing := [key for key in (fields.id, fields.text) if key not in value]:
                        error = f'no field "{missing[0]}", {_listed(value)}'
                        record = record._replace(text="", error=error)
                    yield record
                else:
                    yield Record(place, line_number, "", "", "JSON, but no object")


def read_csv(
    path: Path, fields: Fields, at: int = 0, number: int = 1, encoding: str = UTF8
) -> Iterator[Record]:
    """Yield the records of a CSV file with a header from byte ``at`` on, the line ``number``.

    Blank lines are passed over. A whole number with a fraction of 0, as pandas writes it in a
    column with gaps, is an id without the fraction.

    Raises:
        OSError: If the file cannot be read.
        RecordError: If a field is missing from the header or occurs twice; if it is not CSV at all.
    """
    csv.field_size_limit(MAX_CSV_FIELD)
    with path.open("rb") as file:
        _check_start(file.read(START), encoding)
        file.seek(0)
        lines = _CsvLines(file, encoding)
        rows = csv.reader(lines, delimiter=fields.delimiter, strict=True)
        if (header := _header(rows)) is None:
            return
        _check_header(header, fields, path, encoding)
        columns = header.index(fields.id), header.index(fields.text)
        if at:
            lines.go_to(at, number)
        while True:
            at, number = lines.at, lines.number
            try:
                row = next(rows, None)
            except csv.Error as error:
                # The messages of the csv module quote nothing but delimiters.
                fault = f"not CSV, lines {number} to {lines.number - 1}: {error}"
                yield Record(at, number, "", "", fault)
                continue
            if row is None:
                return
            if len(row) == len(header):
                name, text = (row[column] for column in columns)
                yield to_record(at, number, _WHOLE.sub(r"\1", name), text, encoding)
            elif row:
                fault = f"{len(row)} fields, the header has {len(header)}"
                yield Record(at, number, "", "", fault)


class ParquetRecords:
    """The records of a Parquet file, from any row on.

    Reading from a row further down continues from where reading stopped, because a group of rows
    can only be decoded from its start.

    Args:
        path: The file.
        fields: The names of its columns.
        with_text: Whether texts are read; they are "" otherwise.

    Raises:
        RecordError: If a column is missing, or is there twice.
        Exception: One of `read_errors`, if the file cannot be read.
    """

    def __init__(self, path: Path, fields: Fields, *, with_text: bool = True) -> None:
        from pyarrow.parquet import ParquetFile

        self._file = ParquetFile(path)
        self._columns = [fields.id, fields.text] if with_text else [fields.id]
        for name in (fields.id, fields.text):
            if (count := self._file.schema_arrow.names.count(name)) != 1:
                there = _listed(self._file.schema_arrow.names)
                raise RecordError(f'{count or "no"} column{"s" * (count > 1)} "{name}", {there}')
        metadata = self._file.metadata
        sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        self._starts = [0, *accumulate(sizes)][:-1]
        self._batches: Iterator[pyarrow.RecordBatch] = iter(())
        self._batch: pyarrow.RecordBatch | None = None  # that reading stopped in or at the end of
        self._first = 0  # row that it starts with
        self._open(0)

    def records(self, at: int = 0) -> Iterator[Record]:
        """Yield the records from a row on, counted from 0."""
        group = max(bisect_right(self._starts, at) - 1, 0)
        end = self._first + (0 if self._batch is None else self._batch.num_rows)
        if at < self._first or (self._starts and self._starts[group] > end):
            self._open(group)
        while True:
            if self._batch is None:
                self._batch = next(self._batches, None)
            if self._batch is None:
                return
            end = self._first + self._batch.num_rows
            columns = [self._batch.column(name) for name in self._columns]
            for row in range(at, end):
                name, *text = (_value(column, row - self._first) for column in columns)
                yield to_record(row, row + 1, name, text[0] if text else "")
            at = max(at, end)
            self._first, self._batch = end, None

    def _open(self, group: int) -> None:
        """Continue with the first row of a group."""
        groups = range(group, len(self._starts))
        if groups:
            self._batches = self._file.iter_batches(_BATCH, groups, columns=self._columns)
            self._batch, self._first = None, self._starts[group]


class InputReader:
    """Reads the files of an input by file and place; it keeps the last Parquet file open.

    Args:
        root: The input, a file or a folder.
        kind: The kind of its files.
        fields: The names of the fields of a record.
        encoding: The encoding of the files, except for Parquet.
    """

    def __init__(self, root: Path, kind: str, fields: Fields, encoding: str = UTF8) -> None:
        self._root, self._kind, self._fields, self._encoding = root, kind, fields, encoding
        self._open: tuple[tuple[str, bool], ParquetRecords] | None = None

    def records(
        self, file: str, at: int = 0, number: int = 1, *, ids_only: bool = False
    ) -> Iterator[Record]:
        """Return the records of a file from a place on.

        Args:
            file: Path relative to the root; "" for the root itself.
            at: As in `Record`.
            number: As in `Record`.
            ids_only: Texts may be "" then, and text files are not opened: their faults show later.

        Raises:
            Exception: One of `read_errors`, now or later, if the file cannot be read.
        """
        path = self._root / file if file else self._root
        if _is_special(path):  # opening a pipe would wait until somebody writes to it
            raise RecordError("a pipe, a socket or a device, not a regular file")
        if self._kind == "txt":
            name = file or self._root.name
            if name.lower().endswith(".txt"):
                name = name[: -len(".txt")]
            record = to_record(0, 0, name, "")
            if ids_only or record.error:
                return iter([record])
            return iter([read_text(path, name, self._encoding)])
        if self._kind == "parquet":
            key = file, ids_only
            if self._open is None or self._open[0] != key:
                self._open = key, ParquetRecords(path, self._fields, with_text=not ids_only)
            return self._open[1].records(at)
        readers: dict[str, Callable[..., Iterator[Record]]] = {"jsonl": read_jsonl, "csv": read_csv}
        return readers[self._kind](path, self._fields, at, number, self._encoding)


class _CsvLines:
    """The lines of a binary file as the csv module takes them, with the place of the next one.

    Bytes that are not in the encoding become lone surrogates; only their own record is lost then.
    """

    def __init__(self, file: BinaryIO, encoding: str) -> None:
        self._file, self._encoding = file, encoding
        self.at, self.number = 0, 1

    def go_to(self, at: int, number: int) -> None:
        """Continue at a byte, where a line begins."""
        self._file.seek(at)
        self.at, self.number = at, number

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._file.readline()
        if not line:
            raise StopIteration
        bare = line.removeprefix(codecs.BOM_UTF8) if self.at == 0 else line
        self.at += len(line)
        self.number += 1
        return bare.decode(self._encoding, "surrogateescape")


def _lines(file: BinaryIO, at: int, number: int) -> Iterable[tuple[int, int, bytes]]:
    """Yield each line with its byte and its number."""
    file.seek(at)
    for line_number, line in enumerate(file, number):
        yield at, line_number, line.removeprefix(codecs.BOM_UTF8) if at == 0 else line
        at += len(line)


def _value(column: "pyarrow.Array", i: int) -> object:
    """Return a value of a column, a lone surrogate for a text that is not UTF-8."""
    try:
        value: object = column[i].as_py()
    except UnicodeDecodeError:
        return "\udc80"
    return value


def _is_special(path: Path) -> bool:
    """Return whether there is something that is neither a file nor a folder."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _check_start(start: bytes, encoding: str) -> None:
    """Raise RecordError if a file that begins so is of another kind than text in an encoding."""
    if why := file_error(start, encoding):
        raise RecordError(why)
    if b"\0" in start[:2]:
        raise RecordError(f"UTF-16, where {shown(encoding)} is read; write UTF-8")
    if start.startswith(b"PAR1"):
        raise RecordError("a Parquet file; see --from")
    head = start.rstrip(b"\r")
    if b"\r" in head and b"\n" not in start:
        raise RecordError("its lines end with a carriage return alone; write line feeds")


def _header(rows: Iterable[list[str]]) -> list[str] | None:
    """Return the first row that is not blank, [""] if it is broken; None if there is none."""
    try:
        for row in rows:
            if row:
                return [name.strip() for name in row]
    except csv.Error:
        return [""]
    return None


def _check_header(header: Sequence[str], fields: Fields, path: Path, encoding: str) -> None:
    """Raise RecordError if a field is not once in a header, with a hint and no other name of it.

    A file without a header begins with a row of data, which must not be quoted.
    """
    wanted = (fields.id, fields.text)
    faults = [name for name in wanted if header.count(name) != 1]
    if not faults:
        return
    count = header.count(faults[0])
    error = f'{count or "no"} fields "{faults[0]}" in the header of {len(header)}'
    for delimiter in DELIMITERS:
        with path.open("rb") as file:
            rows = csv.reader(_CsvLines(file, encoding), delimiter=delimiter, strict=True)
            if delimiter != fields.delimiter and set(wanted) <= set(_header(rows) or ()):
                raise RecordError(f"{error}; --delimiter {delimiter!r} finds both")
    if close := [name for name in header if name.lower() in _USUAL_NAMES]:
        error += f"; it has {', '.join(close[:10])} (--id-field, --text-field)"
    raise RecordError(error)


def _listed(names: Iterable[object]) -> str:
    """Return the names of fields for a message, without those that could be anything else."""
    known = [name for name in map(str, names) if _NAME.fullmatch(name)]
    return f"only {', '.join(known[:10]) or 'others'}{', ...' * (len(known) > 10)}"


def _decoded(value: object) -> object:
    """Return bytes as text, with lone surrogates for what is not UTF-8; all else as it is."""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


def _is_escaped(text: str) -> bool:
    """Return whether all lone surrogates of a text stand for bytes that were not decoded."""
    return not any("\ud800" <= c <= "\udfff" and not "\udc80" <= c <= "\udcff" for c in text)


def _has_surrogates(text: str) -> bool:
    """Return whether a text has lone surrogates, which UTF-8 cannot encode."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False
