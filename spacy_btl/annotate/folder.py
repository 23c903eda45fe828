"""The folder of an annotation run: its files say what is done.

    run.json                       the settings, so that no other run is resumed here
    annotations/shard-00000.jsonl  or .json, .parquet, .spacy; for BRAT and INCEpTION the documents
                                   by their ids
    rows/shard-00000.jsonl         for OMOP instead; annotations/note_nlp.csv is made from them
    done/shard-00000.json          the counts of a shard and the records set aside, written last
    errors.jsonl                   all records set aside, at the end
    run.lock                       empty; locked while a run goes on

Every file is written under another name, in ``partial``, and renamed when it is whole.
"""

import errno
import json
import shutil
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypedDict

from filelock import FileLock, Timeout

from .. import brat
from ..conversion.tasks import TOOLS
from ..omop.table import NoteRow
from ..util.files import replacing_file, write_file
from .outputs import ROWS, SUFFIXES

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
        unmapped: Number of entities without a concept by label (OMOP).
        shortened: Number of entities whose text was cut (OMOP).
        sections: Number of entities by what is known of their section (OMOP).
        labels: The labels that the pipeline may give (tasks of annotation tools).
    """

    shard: int
    records: int
    entities: dict[str, int]
    errors: list[SetAside] = field(default_factory=list)
    unmapped: dict[str, int] = field(default_factory=dict)
    shortened: int = 0
    sections: dict[str, int] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)


class Totals(NamedTuple):
    """The sums of all shards, as in `Outcome`; of the records set aside, the numbers by reason."""

    records: int
    entities: Counter[str]
    reasons: Counter[str]
    unmapped: Counter[str]
    shortened: int
    sections: Counter[str]


class RunFolder:
    """The folder of a run.

    Args:
        path: The folder.
        to: The format of its annotations, one of `outputs.FORMATS`.
    """

    def __init__(self, path: Path, to: str) -> None:
        self.path, self._to = path, to
        self._shards = ROWS if to == "omop" else "annotations"
        self._partial = path / "partial"

    @contextmanager
    def started(
        self, settings: Mapping[str, object], first: Collection[str] = ()
    ) -> Iterator[Mapping[str, object]]:
        """Make the folder or resume the run in it, and keep other runs out meanwhile.

        Args:
            settings: All that the annotations depend on, as JSON values.
            first: Names of settings whose value is that of the first of several runs.

        Yields:
            The settings as they are recorded.

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
            if any(any(self.path.glob(f"{name}/*")) for name in ("done", "annotations", ROWS)):
                there = json.loads(file.read_bytes())
                _check_settings(self.path, there, settings, first)
                settings = {**settings, **{name: there[name] for name in first if name in there}}
            shutil.rmtree(self._partial, ignore_errors=True)  # what a killed run left
            self.write("run.json", json.dumps(settings, indent=2).encode())
            yield settings

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
            self.write(f"{self._shards}/{path}", data)
        self.write(f"done/{name}.json", json.dumps(asdict(outcome)).encode())

    def is_done(self, shard: int) -> bool:
        """Return whether a shard is marked as done and its file is there."""
        name = shard_name(shard)
        suffix = SUFFIXES.get(self._to)
        return (self.path / "done" / f"{name}.json").is_file() and (
            suffix is None or (self.path / self._shards / f"{name}{suffix}").is_file()
        )

    def outcomes(self) -> Iterator[Outcome]:
        """Yield the results of all shards that are done, in order."""
        files = (self.path / "done").glob("shard-*.json")
        for file in sorted(files, key=lambda file: int(file.stem.rpartition("-")[2])):
            yield Outcome(**json.loads(file.read_bytes()))

    def rows(self) -> Iterator[NoteRow]:
        """Yield the rows of a NOTE_NLP table, in the order of the shards."""
        for outcome in self.outcomes():
            with (self.path / ROWS / f"{shard_name(outcome.shard)}.jsonl").open("rb") as file:
                for line in file:
                    yield NoteRow(*json.loads(line))

    @contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        """Open a file for writing that appears when it is whole."""
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        self._partial.mkdir(parents=True, exist_ok=True)
        with replacing_file(self.path / name, build_in=self._partial) as file:
            yield file

    def finish(self) -> Totals:
        """Gather the records set aside, and write the labels that brat or another tool needs."""
        records, labels, errors = 0, Counter[str](), Counter[str]()
        known = set[str]()
        unmapped, shortened, sections = Counter[str](), 0, Counter[str]()
        self._partial.mkdir(parents=True, exist_ok=True)
        with replacing_file(self.path / "errors.jsonl", build_in=self._partial) as file:
            for outcome in self.outcomes():
                records += outcome.records
                labels.update(outcome.entities)
                known.update(outcome.labels)
                errors.update(row["error"] for row in outcome.errors)
                unmapped.update(outcome.unmapped)
                shortened += outcome.shortened
                sections.update(outcome.sections)
                file.writelines(f"{json.dumps(row)}\n".encode() for row in outcome.errors)
        if self._to == "brat" and records:
            names = brat.without_spaces(labels).values()
            every = [brat.Standoff(tuple(brat.Entity("", name, (), "") for name in names))]
            self.write("annotations/annotation.conf", brat.annotation_conf(every).encode("utf-8"))
            self.write("annotations/visual.conf", brat.visual_conf(every).encode("utf-8"))
        if self._to in TOOLS and records:
            file_name, content = TOOLS[self._to]
            config = content(sorted(known | labels.keys()))
            self.write(f"annotations/{file_name}", config.encode("utf-8"))
        shutil.rmtree(self._partial, ignore_errors=True)
        return Totals(records, labels, errors, unmapped, shortened, sections)


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


def _check_settings(
    path: Path, there: object, now: Mapping[str, object], first: Collection[str]
) -> None:
    """Raise ValueError if the run that a folder contains has other settings."""
    before = there if isinstance(there, dict) else {}
    names = dict.fromkeys((*now, *before))
    differing = [n for n in names if n not in first and before.get(n) != now.get(n)]
    if differing:
        what = ", ".join(
            name
            if name in ("input", "model", "concepts", "sections", "code")
            else f"{name} {before.get(name)!r}, now {now.get(name)!r}"
            for name in differing
        )
        raise ValueError(
            f"{path} contains a run with other settings ({what}): give the same ones to resume it, "
            "or choose another folder, as is needed if the model or the input has changed"
        )
