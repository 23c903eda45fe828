"""The folder of an annotation run: its files say what is done.

    run.json                       the settings, so that no other run is resumed here
    annotations/shard-00000.jsonl  or .parquet, .spacy; for BRAT the documents by their ids
    done/shard-00000.json          the counts of a shard and the records set aside, written last
    errors.jsonl                   all records set aside, at the end
    run.lock                       empty; locked while a run goes on

Every file is written under another name, in ``partial``, and renamed when it is whole.
"""

import errno
import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypedDict

from filelock import FileLock, Timeout

from .. import brat
from ..util.files import replacing_file, write_file
from .outputs import SUFFIXES

LOCK = "run.lock"

_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)
"""How a file system without locks answers."""


class SetAside(TypedDict, total=False):
    """A line of ``errors.jsonl``: the place of a record, its id, and why it was set aside."""

    file: str
    line: int
    row: int
    id: str
    error: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a shard.

    Attributes:
        shard: Number of the shard.
        records: Number of its records, those set aside included.
        entities: Number of entities by label.
        errors: The records set aside.
    """

    shard: int
    records: int
    entities: dict[str, int]
    errors: list[SetAside] = field(default_factory=list)


class RunFolder:
    """The folder of a run.

    Args:
        path: The folder.
        to: The format of its annotations, one of `outputs.FORMATS`.
    """

    def __init__(self, path: Path, to: str) -> None:
        self.path, self._to = path, to
        self._annotations = path / "annotations"
        self._partial = path / "partial"

    @contextmanager
    def started(self, settings: Mapping[str, object]) -> Iterator[None]:
        """Make the folder or resume the run in it, and keep other runs out meanwhile.

        Args:
            settings: All that the annotations depend on, as JSON values.

        Raises:
            ValueError: If it contains anything but a run with the same settings, or if another run
                writes to it.
        """
        file = self.path / "run.json"
        if not file.is_file() and self.path.exists() and self._has_other_files():
            raise ValueError(
                f"{self.path} is not empty and contains no run of annotate: choose another folder"
            )
        self.path.mkdir(parents=True, exist_ok=True)
        with _locked(self.path):
            if any(self.path.glob("done/*")) or any(self.path.glob("annotations/*")):
                _check_settings(self.path, json.loads(file.read_bytes()), settings)
            shutil.rmtree(self._partial, ignore_errors=True)  # what a killed run left
            self.write("run.json", json.dumps(settings, indent=2).encode())
            yield

    def _has_other_files(self) -> bool:
        """Return whether there is anything that no run of annotate has left."""
        if not self.path.is_dir():
            return True
        return any(path.name not in ("partial", LOCK) for path in self.path.iterdir())

    def write(self, name: str, data: bytes) -> None:
        """Write a file, whole or not at all."""
        target = self.path / name
        for folder in (target.parent, self._partial):
            folder.mkdir(parents=True, exist_ok=True)
        write_file(target, data, build_in=self._partial)

    def write_shard(self, files: Iterable[tuple[str, bytes]], outcome: Outcome) -> None:
        """Write the files of a shard and, last, that the shard is done."""
        name = shard_name(outcome.shard)
        for file, data in files:
            path = f"{name}{file}" if self._to in SUFFIXES else file
            self.write(f"annotations/{path}", data)
        self.write(f"done/{name}.json", json.dumps(asdict(outcome)).encode())

    def is_done(self, shard: int) -> bool:
        """Return whether a shard is marked as done and its file is there."""
        name = shard_name(shard)
        suffix = SUFFIXES.get(self._to)
        return (self.path / "done" / f"{name}.json").is_file() and (
            suffix is None or (self._annotations / f"{name}{suffix}").is_file()
        )

    def outcomes(self) -> Iterator[Outcome]:
        """Yield the results of all shards that are done, in order."""
        files = (self.path / "done").glob("shard-*.json")
        for file in sorted(files, key=lambda file: int(file.stem.rpartition("-")[2])):
            yield Outcome(**json.loads(file.read_bytes()))

    def finish(self) -> tuple[int, Counter[str], Counter[str]]:
        """Gather the records set aside, and write what brat needs.

        Returns:
            The number of records, the numbers of entities by label, the numbers of records set
            aside by reason.
        """
        records, labels, errors = 0, Counter[str](), Counter[str]()
        self._partial.mkdir(parents=True, exist_ok=True)
        with replacing_file(self.path / "errors.jsonl", build_in=self._partial) as file:
            for outcome in self.outcomes():
                records += outcome.records
                labels.update(outcome.entities)
                errors.update(row["error"] for row in outcome.errors)
                file.writelines(f"{json.dumps(row)}\n".encode() for row in outcome.errors)
        if self._to == "brat" and records:
            names = brat.without_spaces(labels).values()
            every = [brat.Standoff(tuple(brat.Entity("", name, (), "") for name in names))]
            self.write("annotations/annotation.conf", brat.annotation_conf(every).encode("utf-8"))
            self.write("annotations/visual.conf", brat.visual_conf(every).encode("utf-8"))
        shutil.rmtree(self._partial, ignore_errors=True)
        return records, labels, errors


def shard_name(number: int) -> str:
    """Return the name of the files of a shard, without suffix."""
    return f"shard-{number:05d}"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder; a killed process leaves none behind.

    Nothing is held on a file system without locks. filelock's substitute, a file that exists while
    the lock is held, would be left by a killed process.

    Raises:
        ValueError: If another run holds the lock, be it in this process.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(FileLock(folder / LOCK, timeout=0, fallback_to_soft=False))
        except Timeout as error:
            raise ValueError(
                f"another run writes to {folder}: wait for its end, or choose another folder"
            ) from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        yield


def _check_settings(path: Path, there: object, now: Mapping[str, object]) -> None:
    """Raise ValueError if the run that a folder contains has other settings."""
    before = there if isinstance(there, dict) else {}
    differing = [name for name in now if before.get(name) != now[name]]
    if differing:
        what = ", ".join(
            name
            if name in ("input", "model")
            else f"{name} {before.get(name)!r}, now {now[name]!r}"
            for name in differing
        )
        raise ValueError(
            f"{path} contains a run with other settings ({what}): give the same ones to resume it, "
            "or choose another folder. An input or a model whose files have changed is another one"
        )
