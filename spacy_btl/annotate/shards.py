"""The shards of an input: which records are annotated and written together.

The same input gives the same shards, so that a run can go on where another one was killed. A shard
names places in files and holds no text. Knows nothing of spaCy.
"""

import json
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from ..util.files import sha256_of
from .inputs import KINDS, RecordError, Source


class Slice(NamedTuple):
    """Records that follow each other in a file; with an `error` the file cannot be read.

    file: relative to the input, with "/"; "" where the input is a file.
    at, number: place of the first, as in `annotate_inputs.Row`.
    """

    file: str
    at: int
    number: int
    n_records: int
    error: str = ""


class Shard(NamedTuple):
    """Records that are written together, in their order.

    repeated: indices of the records whose id stood before in the input.
    """

    number: int
    slices: tuple[Slice, ...]
    repeated: tuple[int, ...] = ()

    @property
    def n_records(self) -> int:
        """Records of all its slices."""
        return sum(part.n_records for part in self.slices)

    def to_json(self) -> str:
        """The shard as text."""
        return json.dumps([self.number, self.slices, self.repeated])

    @classmethod
    def from_json(cls, text: str) -> "Shard":
        """What `to_json` gave."""
        number, slices, repeated = json.loads(text)
        return cls(number, tuple(Slice(*part) for part in slices), tuple(repeated))


def find_files(source: Path, kind: str | None = None) -> tuple[str, list[str]]:
    """The kind of the input, and its files, relative to it: [""] where it is a file.

    Hidden files are passed over. Raises FileNotFoundError where there is nothing, ValueError where
    there is no file of the kind, or where files of several kinds leave it open.
    """
    if not source.exists():
        raise FileNotFoundError(f"no file or folder {source} to annotate")
    if source.is_file():
        kind = kind or source.suffix.removeprefix(".").lower()
        if kind not in KINDS:
            raise ValueError(f"{source} is none of .{', .'.join(KINDS)}; see --from")
        return kind, [""]
    found = (path.rpartition(".")[2].lower() for path in _walk(source, KINDS))
    by_kind = Counter(name for name in found if name in KINDS)
    if kind is None and len(by_kind) != 1:
        there = ", ".join(f"{n} .{name}" for name, n in sorted(by_kind.items())) or "none"
        raise ValueError(f"{source} holds, of .{', .'.join(KINDS)}: {there}; choose one by --from")
    kind = kind or next(iter(by_kind))
    files = list(_walk(source, (kind,)))
    if not files:
        raise ValueError(f"no .{kind} file in {source} or its sub-folders")
    return kind, files


def fingerprint(source: Path, files: list[str]) -> str:
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
    source: Source, files: list[str], size: int, key: Callable[[str], str] = str
) -> Iterator[Shard]:
    """Shards of ``size`` records, the last one of fewer; all ids of the input are read once.

    key: ids that give the same key count as one id. A file that cannot be read stands for one
    record.
    """
    slices: list[Slice] = []
    repeated: list[int] = []
    made = count = 0
    with _Seen() as seen:
        for part, ids in _units(source, files):
            last = slices[-1] if slices else None
            if last and (last.file, last.error, part.error) == (part.file, "", ""):
                slices[-1] = last._replace(n_records=last.n_records + 1)
            else:
                slices.append(part)
            if ids is not None and not seen.add(key(ids)):
                repeated.append(count)
            count += 1
            if count == size:
                yield Shard(made, tuple(slices), tuple(repeated))
                slices, repeated, count, made = [], [], 0, made + 1
    if slices:
        yield Shard(made, tuple(slices), tuple(repeated))


def _units(source: Source, files: list[str]) -> Iterator[tuple[Slice, str | None]]:
    """Each record as a slice of its own, with its id where it has one."""
    for file in files:
        at, number = 0, 1
        try:
            for row in source.rows(file, ids_only=True):
                at, number = row.at, row.number
                yield Slice(file, at, number, 1), None if row.error else row.id
        except ImportError:
            raise
        except Exception as error:
            yield Slice(file, at, number, 1, file_error(error)), None


def file_error(error: Exception) -> str:
    """Why a file cannot be read on, without quoting from it."""
    if isinstance(error, RecordError):
        return str(error)
    words = error.strerror if isinstance(error, OSError) else None
    return f"cannot be read on: {words or type(error).__name__}"


def _walk(root: Path, kinds: tuple[str, ...]) -> Iterator[str]:
    """Files of these kinds under a folder, in an order that is always the same.

    Folders that cannot be read come last, so that they are missed by nobody.
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
    """The ids met so far, in a temporary file of SQLite once they are many."""

    def __enter__(self) -> "_Seen":
        self._db = sqlite3.connect("")  # on disk, private, gone when it is closed
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("PRAGMA cache_size = -65536")  # KiB
        self._db.execute("CREATE TABLE seen (id TEXT PRIMARY KEY) WITHOUT ROWID")
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def add(self, name: str) -> bool:
        """Whether the id is new."""
        cursor = self._db.execute("INSERT OR IGNORE INTO seen VALUES (?)", (name,))
        return cursor.rowcount == 1
