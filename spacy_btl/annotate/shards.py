"""The shards of an input: which records are annotated and written together.

The same input gives the same shards, so that a run can be resumed where another one was killed. A
shard names places in files and contains no text. Knows nothing of spaCy.
"""

import json
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from ..util.files import sha256_of
from ..util.messages import log_failure
from .inputs import INPUT_KINDS, InputReader, RecordError, read_errors

MAX_SUFFIX = 8
"""Most characters of a suffix; what is longer is part of a name."""

DOCUMENTS = frozenset(("rtf", "doc", "docx", "odt", "pdf", "html", "htm", "xml"))
"""Suffixes of notes that are not plain text."""


class Slice(NamedTuple):
    """Records that follow each other in a file; with an `error` the file cannot be read.

    Attributes:
        file: Path relative to the input, with "/"; "" if the input is a file.
        at: Place of the first record, as in `inputs.Record`.
        number: Its line or row, as in `inputs.Record`.
        n_records: Number of records.
        error: Why the file cannot be read, "" if it can.
    """

    file: str
    at: int
    number: int
    n_records: int
    error: str = ""


class Shard(NamedTuple):
    """Records that are written together, in their order.

    Attributes:
        number: Number of the shard, from 0.
        slices: Where its records are.
        repeated: Indices of the records whose id came before in the input.
    """

    number: int
    slices: tuple[Slice, ...]
    repeated: tuple[int, ...] = ()

    @property
    def n_records(self) -> int:
        """Number of records of all its slices."""
        return sum(part.n_records for part in self.slices)

    def to_json(self) -> str:
        """Return the shard as text."""
        return json.dumps([self.number, self.slices, self.repeated])

    @classmethod
    def from_json(cls, text: str) -> "Shard":
        """Return the shard from the text that `to_json` returned."""
        number, slices, repeated = json.loads(text)
        return cls(number, tuple(Slice(*part) for part in slices), tuple(repeated))


def find_files(source: Path, kind: str | None = None) -> tuple[str, list[str]]:
    """Return the kind of the input and its files, relative to it; [""] if it is a file.

    Hidden files are passed over.

    Args:
        source: A file or a folder.
        kind: Kind of its files; by default the only one that is there.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        ValueError: If there is no file of the kind, or if there are files of several kinds.
    """
    if not source.exists():
        raise FileNotFoundError(f"no file or folder {source} to annotate")
    if source.is_file():
        kind = kind or source.suffix.removeprefix(".").lower()
        if kind not in INPUT_KINDS:
            advice = "convert it to text first" if kind in DOCUMENTS else "see --from"
            raise ValueError(f"{source} is not one of .{', .'.join(INPUT_KINDS)}; {advice}")
        return kind, [""]
    if not source.is_dir():
        raise ValueError(f"{source} is neither a file nor a folder, but a pipe or the like")
    found = (path.rpartition(".")[2].lower() for path in _walk(source, INPUT_KINDS))
    by_kind = Counter(name for name in found if name in INPUT_KINDS)
    if kind is None and len(by_kind) != 1:
        there = ", ".join(f"{n} .{name}" for name, n in sorted(by_kind.items())) or "none"
        advice = "choose one by --from" if by_kind else _others(source)
        raise ValueError(f"{source} contains, of .{', .'.join(INPUT_KINDS)}: {there}; {advice}")
    kind = kind or next(iter(by_kind))
    files = list(_walk(source, (kind,)))
    if not files:
        raise ValueError(f"no .{kind} file in {source} or its sub-folders")
    return kind, files


def _others(source: Path) -> str:
    """Return how many files a folder contains by suffix, in words."""
    names = (path.name for path in source.rglob("*") if not path.is_dir())
    suffixes = (name.rpartition(".")[2].lower() if "." in name[1:] else "" for name in names)
    counts = Counter(s if s.isalnum() and len(s) <= MAX_SUFFIX else "" for s in suffixes)
    words = [f"{n} {f'.{s}' if s else 'without suffix'}" for s, n in counts.most_common(5)]
    more = "; convert documents to text first" if counts.keys() & DOCUMENTS else ""
    return f"it has other files: {', '.join(words)}{more}" if words else "it is empty"


def files_digest(source: Path, files: list[str]) -> str:
    """Return the SHA-256 of name, size and time of change (whole seconds) of the files."""
    lines = []
    for file in files:
        try:
            stat = (source / file if file else source).stat()
            line = f"{file}\t{stat.st_size}\t{int(stat.st_mtime)}\n"
        except OSError:  # it will be set aside
            line = f"{file}\n"
        lines.append(line.encode("utf-8", "surrogatepass"))
    return sha256_of(lines)


def make_shards(
    reader: InputReader, files: list[str], size: int, key: Callable[[str], str] = str
) -> Iterator[Shard]:
    """Yield the shards of an input; all of its ids are read once.

    Args:
        reader: Reads the input.
        files: Its files, as `find_files` returns them. One that cannot be read counts as a record.
        size: Number of records of a shard; the last one may have fewer.
        key: Ids that have the same key count as one id.
    """
    slices: list[Slice] = []
    repeated: list[int] = []
    made = count = 0
    with _Seen() as seen:
        for part, name in _units(reader, files):
            last = slices[-1] if slices else None
            if last and (last.file, last.error, part.error) == (part.file, "", ""):
                slices[-1] = last._replace(n_records=last.n_records + 1)
            else:
                slices.append(part)
            if name is not None and not seen.add(key(name)):
                repeated.append(count)
            count += 1
            if count == size:
                yield Shard(made, tuple(slices), tuple(repeated))
                slices, repeated, count, made = [], [], 0, made + 1
    if slices:
        yield Shard(made, tuple(slices), tuple(repeated))


def _units(reader: InputReader, files: list[str]) -> Iterator[tuple[Slice, str | None]]:
    """Yield each record as a slice of its own, with its id if it has one."""
    for file in files:
        at, number = 0, 1
        try:
            for record in reader.records(file, ids_only=True):
                at, number = record.at, record.number
                yield Slice(file, at, number, 1), None if record.error else record.id
        except read_errors() as error:
            log_failure(f"reading {file or 'the input'}", error)
            yield Slice(file, at, number, 1, file_error(error)), None


def file_error(error: Exception) -> str:
    """Return why a file cannot be read on, without quoting from it."""
    if isinstance(error, RecordError):
        return str(error)
    words = error.strerror if isinstance(error, OSError) else None
    if type(error).__name__ == "ArrowInvalid":  # pyarrow is an extra, and its messages quote
        words = "no Parquet file, or one that was cut short or damaged"
    return f"cannot be read on: {words or type(error).__name__}"


def _walk(root: Path, kinds: tuple[str, ...]) -> Iterator[str]:
    """Yield the files of these kinds under a folder, in an order that is always the same.

    Folders that cannot be read come last, so that nobody misses them.
    """
    suffixes = tuple(f".{kind}" for kind in kinds)
    closed: list[OSError] = []
    for folder, folders, files in os.walk(root, onerror=closed.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.lower().endswith(suffixes) and not name.startswith("."):
                yield (Path(folder) / name).relative_to(root).as_posix()
    for error in closed:
        yield Path(error.filename).relative_to(root).as_posix()


class _Seen:
    """The ids met so far, in a temporary file of SQLite once there are many."""

    def __enter__(self) -> "_Seen":
        self._db = sqlite3.connect("")  # on disk, private, gone when it is closed
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("PRAGMA cache_size = -65536")  # KiB
        self._db.execute("CREATE TABLE seen (id TEXT PRIMARY KEY) WITHOUT ROWID")
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def add(self, name: str) -> bool:
        """Add an id; return whether it is new."""
        cursor = self._db.execute("INSERT OR IGNORE INTO seen VALUES (?)", (name,))
        return cursor.rowcount == 1
