"""The folder of an annotation run: what it holds says what is done.

    run.json                       the settings, so that no other run goes on here
    annotations/shard-00000.jsonl  or .parquet, .spacy; for BRAT the documents by their ids
    done/shard-00000.json          the counts of a shard and the records set aside, written last
    errors.jsonl                   all records set aside, at the end
    run.lock                       empty; held while a run goes on

Every file is written under another name, in ``partial``, and renamed when it is whole.
"""

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import brat
from ..util.files import replacing_file, write_file
from .file_lock import locked
from .outputs import SUFFIXES

_LOCK = "run.lock"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a shard: its records, entities by label, and rows on records set aside."""

    shard: int
    records: int
    entities: dict[str, int]
    errors: list[dict[str, Any]] = field(default_factory=list)


class RunFolder:
    """The folder of a run whose annotations have one of `annotate_outputs.FORMATS`."""

    def __init__(self, path: Path, to: str) -> None:
        self.path, self._to = path, to
        self._annotations = path / "annotations"
        self._partial = path / "partial"

    @contextmanager
    def started(self, settings: Mapping[str, Any]) -> Iterator[None]:
        """Make the folder, or go on in it, and let no other run do so meanwhile.

        Raises ValueError where it holds anything but a run with the same settings, or where
        another run writes to it.
        """
        file = self.path / "run.json"
        if not file.is_file() and self.path.exists() and self._holds_something_else():
            raise ValueError(
                f"{self.path} is not empty and holds no run of annotate: choose another"
            )
        self.path.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            try:
                stack.enter_context(locked(self.path / _LOCK))
            except BlockingIOError as error:
                raise ValueError(
                    f"another run writes to {self.path}: wait for its end, or choose another folder"
                ) from error
            if any(self.path.glob("done/*")) or any(self.path.glob("annotations/*")):
                _check_settings(self.path, json.loads(file.read_bytes()), settings)
            shutil.rmtree(self._partial, ignore_errors=True)  # what a killed run left
            self.write("run.json", json.dumps(settings, indent=2).encode())
            yield

    def _holds_something_else(self) -> bool:
        if not self.path.is_dir():
            return True
        return any(path.name not in ("partial", _LOCK) for path in self.path.iterdir())

    def write(self, name: str, data: bytes) -> None:
        """Write a file, whole or not at all."""
        target = self.path / name
        for folder in (target.parent, self._partial):
            folder.mkdir(parents=True, exist_ok=True)
        write_file(target, data, build_in=self._partial)

    def write_shard(self, files: Iterable[tuple[str, bytes]], outcome: Outcome) -> None:
        """Write the files of a writer and, last, that the shard is done."""
        name = shard_name(outcome.shard)
        for file, data in files:
            path = f"{name}{file}" if self._to in SUFFIXES else file
            self.write(f"annotations/{path}", data)
        values = {
            "shard": outcome.shard,
            "records": outcome.records,
            "entities": outcome.entities,
            "errors": outcome.errors,
        }
        self.write(f"done/{name}.json", json.dumps(values).encode())

    def is_done(self, shard: int) -> bool:
        """Whether a shard needs no work: it is marked, and its file is there."""
        name = shard_name(shard)
        suffix = SUFFIXES.get(self._to)
        return (self.path / "done" / f"{name}.json").is_file() and (
            suffix is None or (self._annotations / f"{name}{suffix}").is_file()
        )

    def outcomes(self) -> Iterator[Outcome]:
        """All shards that are done, in order."""
        files = (self.path / "done").glob("shard-*.json")
        for file in sorted(files, key=lambda file: int(file.stem.rpartition("-")[2])):
            yield Outcome(**json.loads(file.read_bytes()))

    def finish(self) -> tuple[int, Counter[str], int]:
        """Gather the errors, and what brat needs; numbers of records, entities and errors."""
        records, labels, errors = 0, Counter[str](), 0
        self._partial.mkdir(parents=True, exist_ok=True)
        with replacing_file(self.path / "errors.jsonl", build_in=self._partial) as file:
            for outcome in self.outcomes():
                records += outcome.records
                labels.update(outcome.entities)
                errors += len(outcome.errors)
                file.writelines(f"{json.dumps(row)}\n".encode() for row in outcome.errors)
        if self._to == "brat" and records:
            every = [brat.Standoff(tuple(brat.Entity("", name, (), "") for name in labels))]
            self.write("annotations/annotation.conf", brat.annotation_conf(every).encode("utf-8"))
            self.write("annotations/visual.conf", brat.visual_conf(every).encode("utf-8"))
        shutil.rmtree(self._partial, ignore_errors=True)
        return records, labels, errors


def shard_name(number: int) -> str:
    """What the files of a shard are called."""
    return f"shard-{number:05d}"


def _check_settings(path: Path, there: Any, now: Mapping[str, Any]) -> None:
    there = there if isinstance(there, dict) else {}
    differing = [name for name in now if there.get(name) != now[name]]
    if differing:
        what = ", ".join(
            name if name in ("input", "model") else f"{name} {there.get(name)!r}, now {now[name]!r}"
            for name in differing
        )
        raise ValueError(
            f"{path} holds a run with other settings ({what}): give the same ones to go on with "
            "it, or choose another folder. An input or a model whose files have changed is another"
        )
