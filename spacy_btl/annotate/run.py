"""Annotate many documents with a trained pipeline, shard by shard; a killed run can be resumed."""

import codecs
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from spacy.util import get_package_path, is_package, load_config
from tqdm import tqdm

from ..conversion.tasks import TOOLS
from ..omop.concepts import Concepts, read_concepts, read_sections
from ..omop.sections import CATEGORY
from ..omop.settings import OmopSettings
from ..omop.table import write_table
from ..util.checks import one_of, python_file, whole_number
from ..util.files import Content, check_apart, sha256_of
from ..util.messages import is_debug, warn
from .contents import UTF8, check_encoding
from .engines import Engine, check_engine, run_shards
from .folder import RunFolder
from .inputs import INPUT_KINDS, Fields, InputKind, InputReader
from .outputs import FORMATS, Format, id_key
from .shards import Shard, files_digest, find_files, make_shards
from .worker import Job, system_name


@dataclass(frozen=True, kw_only=True, slots=True)
class AnnotationSettings:
    """Settings for reading, annotating and writing documents.

    Attributes:
        to: Format of the output.
        kind: Kind of the input; by default the only one that its files have.
        fields: Names of the fields of a record (JSONL, CSV, Parquet).
        encoding: Encoding of the input (.txt, JSONL, CSV), by any name that Python knows.
        spans: Key of ``doc.spans`` to take instead of ``doc.ents``.
        with_text: Whether JSON Lines, Parquet and OMOP get the text.
        omop: Settings of the table that ``to="omop"`` writes.
        shard_size: Number of records that are written together.
        engine: "local", or "ray" for the machines of a Ray cluster.
        n_process: Number of pipelines at a time, on all machines together.
        gpu_id: GPU, or -1 for the CPU. On Ray, 0 gives each pipeline a GPU.
        code: Python file that is run before the pipeline is loaded, such as one that imports the
            package of a component.

    Raises:
        ValueError: If a setting is out of its range, or if an engine is not installed.
        FileNotFoundError: If there is no such Python file.
    """

    to: Format = "jsonl"
    kind: InputKind | None = None
    fields: Fields = field(default_factory=Fields)
    encoding: str = UTF8
    spans: str | None = None
    with_text: bool = True
    omop: OmopSettings | None = None
    shard_size: int = 200
    engine: Engine = "local"
    n_process: int = 1
    gpu_id: int = -1
    code: Path | None = None

    def __post_init__(self) -> None:
        one_of("to", self.to, FORMATS)
        if self.kind is not None:
            one_of("kind", self.kind, INPUT_KINDS)
        if len(self.fields.delimiter) != 1:
            raise ValueError(f"delimiter is {self.fields.delimiter!r}, but must be one character")
        if not self.with_text and self.to in ("brat", "docbin", *TOOLS):
            raise ValueError(f"{self.to} cannot be written without the text; take jsonl or parquet")
        if self.omop is not None and self.to != "omop":
            raise ValueError(f"settings of OMOP are given, but the output is {self.to}; take omop")
        if self.omop is not None and self.omop.snippet and not self.with_text:
            raise ValueError("a snippet is text: it cannot be written without the text")
        check_encoding(self.encoding)
        whole_number("shard_size", self.shard_size, 1)
        whole_number("n_process", self.n_process, 1)
        whole_number("gpu_id", self.gpu_id, -1)
        check_engine(self.engine)
        if self.code is not None:
            python_file(self.code)


@dataclass(frozen=True, slots=True)
class RunSummary:
    """The result of a run, with what was done before it was resumed.

    Attributes:
        records: Number of records of the input, those set aside included.
        entities: Number of entities by label.
        set_aside: Number of records set aside.
        resumed: Number of records that were done before.
        reasons: Numbers of records that were set aside, by reason.
        unmapped: Numbers of entities without a concept, by label (OMOP with concepts).
        shortened: Number of entities whose text was cut, as its column is short (OMOP).
        sections: Numbers of entities in a section with a concept ("known") or without one
            ("unknown"), and outside of sections ("none"); of OMOP with sections.
    """

    records: int
    entities: Counter[str]
    set_aside: int
    resumed: int
    reasons: Counter[str] = field(default_factory=Counter)
    unmapped: Counter[str] = field(default_factory=Counter)
    shortened: int = 0
    sections: Counter[str] = field(default_factory=Counter)


def annotate_files(
    model: str | Path,
    source: str | Path,
    output: str | Path,
    settings: AnnotationSettings | None = None,
    *,
    progress: bool | None = None,
) -> RunSummary:
    """Annotate all records of a file or a folder, or resume a run with the same settings.

    An input without records, or with all of them set aside, is not an error: the summary says so.

    Args:
        model: Folder of a pipeline, or name of an installed package.
        source: A file, or a folder with sub-folders.
        output: A new folder, or that of a run to resume. ``errors.jsonl`` in it lists the records
            that were set aside, because they cannot be read, annotated or written.
        settings: Settings for reading, annotating and writing; None for the defaults.
        progress: Whether to show a progress bar; None to show it in a terminal only.

    Returns:
        The numbers of records and entities, and of records that were set aside, by reason.

    Raises:
        ValueError: If the settings do not fit the input, if the pipeline cannot be run, or if the
            output contains anything else or another run writes to it. Nothing is annotated then.
        OSError: If model or input cannot be read, or the output cannot be written.
    """
    settings = settings or AnnotationSettings()
    source, output, folder = Path(source).resolve(), Path(output).resolve(), find_model(model)
    check_apart(output, (source, folder), names=())
    kind, files = find_files(source, settings.kind)
    check_encoding(settings.encoding, kind)
    if (folder / "config.cfg").is_file():  # else the error of loading it says more
        warn_of_overlaps(load_config(folder / "config.cfg"), settings.spans)
    omop = settings.omop or OmopSettings()
    table = f"note_nlp.{omop.table}" if settings.to == "omop" else ""
    if "parquet" in (kind, settings.to, table.rpartition(".")[2]) and find_spec("pyarrow") is None:
        raise ValueError("for Parquet: pip install 'spacy-btl[parquet]'")
    run = RunFolder(output, settings.to)
    concepts = read_concepts(omop.concepts) if omop.concepts else None
    sections = read_sections(omop.sections) if omop.sections else None
    job = _make_job(settings, folder, source, output, kind, concepts, sections)
    bar = {"unit": " records", "disable": None if progress is None else not progress}
    now = _recorded(settings, folder, source, kind, files)
    kept = ("nlp_datetime",) if table and omop.moment is None else ()
    with run.started(now, kept) as recorded:
        shards, total, resumed = [], 0, 0
        with tqdm(desc="reading ids", **bar) as reading:
            for shard, is_done in _shards(settings, run, job, files):
                reading.update(shard.n_records)
                total += shard.n_records
                if is_done:
                    resumed += shard.n_records
                else:
                    shards.append(shard)
        with tqdm(desc="annotate", total=total, initial=resumed, **bar) as done:
            for count in run_shards(settings.engine, job, shards, settings.n_process):
                done.update(count)
        if table:
            moment = datetime.fromisoformat(str(recorded["nlp_datetime"]))
            with run.writing(f"annotations/{table}") as file:
                rows, system = run.rows(), system_of(folder)
                write_table(file, omop.table, rows, system, moment, omop.first_id)
        sums = run.finish()
    return RunSummary(
        records=sums.records,
        entities=sums.entities,
        set_aside=sums.reasons.total(),
        resumed=resumed,
        reasons=sums.reasons,
        unmapped=sums.unmapped,
        shortened=sums.shortened,
        sections=sums.sections,
    )


def _make_job(
    settings: AnnotationSettings,
    folder: Path,
    source: Path,
    output: Path,
    kind: str,
    concepts: Concepts | None,
    sections: dict[str, int] | None,
) -> Job:
    """Return what the workers need to know."""
    on_ray = settings.engine == "ray"
    return Job(
        model=str(folder),
        source=str(source),
        output=str(output),
        kind=kind,
        to=settings.to,
        fields=settings.fields,
        spans=settings.spans,
        with_text=settings.with_text,
        gpu_id=min(settings.gpu_id, 0) if on_ray else settings.gpu_id,  # an actor sees its own only
        threads=1 if settings.n_process > 1 and not on_ray else None,
        debug=is_debug(),
        encoding=settings.encoding,
        omop=(settings.omop or OmopSettings()) if settings.to == "omop" else None,
        concepts=concepts,
        sections=sections,
        code=str(settings.code.resolve()) if settings.code else None,
    )


def _recorded(
    settings: AnnotationSettings, folder: Path, source: Path, kind: str, files: list[str]
) -> dict[str, object]:
    """Return all that the annotations depend on, as it is written to run.json.

    Settings added later have a line only if they are set, so that older runs can be resumed.
    """
    recorded: dict[str, object] = {
        "input": files_digest(source, files),
        "model": folder_digest(folder),
        "from": kind,
        "to": settings.to,
        "text_field": settings.fields.text,
        "id_field": settings.fields.id,
        "delimiter": settings.fields.delimiter,
        "spans": settings.spans,
        "text": settings.with_text,
        "shard_size": settings.shard_size,
    }
    if (encoding := codecs.lookup(settings.encoding).name) != UTF8:
        recorded["encoding"] = encoding
    if settings.code:
        recorded["code"] = sha256_of(settings.code)
    if settings.to == "omop":
        omop = settings.omop or OmopSettings()
        recorded |= {
            "table": omop.table,
            "concepts": sha256_of(omop.concepts) if omop.concepts else None,
            "snippet": omop.snippet,
            "first_id": omop.first_id,
            "assertions": dict(omop.assertions),
            "nlp_datetime": str((omop.moment or datetime.now()).replace(microsecond=0)),
        }
        if omop.sections:
            recorded["sections"] = sha256_of(omop.sections)
            if omop.section_attribute != CATEGORY:
                recorded["section_attribute"] = omop.section_attribute
    return recorded


def _shards(
    settings: AnnotationSettings, run: RunFolder, job: Job, files: list[str]
) -> Iterator[tuple[Shard, bool]]:
    """Yield the shards of the input, each with whether it is done."""
    reader = InputReader(Path(job.source), job.kind, job.fields, job.encoding)
    key = partial(id_key, settings.to)
    for shard in make_shards(reader, files, settings.shard_size, key):
        yield shard, run.is_done(shard.number)


def find_model(model: str | Path) -> Path:
    """Return the folder of a pipeline that is a folder or an installed package.

    Raises:
        FileNotFoundError: If it is neither.
    """
    if Path(model).is_dir():
        return Path(model).resolve()
    if is_package(str(model)):
        package = Path(get_package_path(str(model)))
        for config in sorted(package.glob("*/config.cfg")):
            return config.parent.resolve()
    raise FileNotFoundError(f"no pipeline {model}: it is neither a folder nor an installed package")


def warn_of_overlaps(config: Mapping[str, Any], spans: str | None) -> None:
    """Warn if a pipeline finds entities that overlap, and only its flat ``doc.ents`` are taken.

    Args:
        config: Configuration of the pipeline.
        spans: Key of ``doc.spans`` to take, None for ``doc.ents``.
    """
    if spans is None:
        for component in config["components"].values():
            if component.get("factory") == "btl_knn_ner" and (key := component.get("spans_key")):
                warn(
                    f'the pipeline finds entities that overlap, in doc.spans["{key}"], and only '
                    f"a choice without overlaps is taken; --spans {key} takes all of them"
                )


def system_of(folder: Path) -> str:
    """Return name and version of the pipeline in a folder, as its ``meta.json`` has them."""
    return system_name(json.loads((folder / "meta.json").read_bytes()))


def folder_digest(folder: Path) -> str:
    """Return the SHA-256 of all files of a folder and of their names."""

    def contents() -> Iterator[Content]:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            yield f"{path.relative_to(folder).as_posix()}\t{path.stat().st_size}\n".encode()
            yield path

    return sha256_of(contents())
