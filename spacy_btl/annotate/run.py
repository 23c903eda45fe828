"""Annotate many documents with a trained pipeline, shard by shard; a killed run can go on."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from spacy.util import get_package_path, is_package
from tqdm import tqdm

from ..data.export import file_key
from ..util.files import Content, sha256_of
from .engines import run_shards
from .folder import RunFolder
from .inputs import KINDS, Fields, Source
from .outputs import FORMATS
from .shards import find_files, fingerprint, make_shards
from .worker import Job

_FIELDS = Fields()


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run has done, with what was done before it was resumed.

    records: all of the input, those set aside included. entities: by label. resumed: records that
    were done before.
    """

    records: int
    entities: Counter[str]
    set_aside: int
    resumed: int


def annotate(
    model: str | Path,
    source: Path,
    output: Path,
    *,
    to: str = "jsonl",
    kind: str | None = None,
    fields: Fields = _FIELDS,
    spans: str | None = None,
    with_text: bool = True,
    shard_size: int = 200,
    engine: str = "local",
    n_process: int = 1,
    gpu_id: int = -1,
    progress: bool | None = None,
) -> Summary:
    """Annotate all records of a file or a folder; goes on where a run with these settings ended.

    model: folder or package. kind: of the input, one of `KINDS`; None for that of its files.
    to: one of `FORMATS`. spans: key of ``doc.spans`` to take instead of ``doc.ents``.
    with_text: whether JSON Lines and Parquet get the text. shard_size: records written together.
    engine: "local", or "ray" for the machines of a Ray cluster. n_process: pipelines at a time, on
    all machines together. gpu_id: GPU, or -1 for the CPU; on Ray 0 gives each pipeline a GPU.
    progress: whether a bar is shown; None for where there is a terminal.

    Raises ValueError or OSError, before anything is annotated, for settings that are wrong, for a
    pipeline that cannot be loaded or run, and for an ``output`` that holds anything else or that
    another run writes to.
    """
    if to not in FORMATS:
        raise ValueError(f'"{to}" is none of the formats {", ".join(FORMATS)}')
    if kind is not None and kind not in KINDS:
        raise ValueError(f'"{kind}" is none of the kinds of input {", ".join(KINDS)}')
    if not with_text and to in ("brat", "docbin"):
        raise ValueError(f"{to} cannot be written without the text; take jsonl or parquet")
    if shard_size < 1 or n_process < 1:
        raise ValueError("a shard has one record or more, and there is one process or more")
    source, output, folder = source.resolve(), output.resolve(), model_folder(model)
    if output == source or source in output.parents:
        raise ValueError(f"{output} lies in the input {source}: choose a folder outside of it")
    kind, files = find_files(source, kind)
    if "parquet" in (kind, to) and find_spec("pyarrow") is None:
        raise ValueError("for Parquet: pip install 'spacy-btl[parquet]'")
    settings = {
        "input": fingerprint(source, files),
        "model": folder_digest(folder),
        "from": kind,
        "to": to,
        "text_field": fields.text,
        "id_field": fields.id,
        "delimiter": fields.delimiter,
        "spans": spans,
        "text": with_text,
        "shard_size": shard_size,
    }
    run = RunFolder(output, to)
    bar = {"unit": " records", "disable": None if progress is None else not progress}
    job = Job(
        model=str(folder),
        source=str(source),
        output=str(output),
        kind=kind,
        to=to,
        fields=fields,
        spans=spans,
        with_text=with_text,
        gpu_id=min(gpu_id, 0) if engine == "ray" else gpu_id,  # Ray shows an actor only its own
        threads=1 if engine == "local" and n_process > 1 else None,
    )
    key = file_key if to == "brat" else str
    shards, total, resumed = [], 0, 0
    with run.started(settings):
        with tqdm(desc="reading ids", **bar) as reading:
            for shard in make_shards(Source(source, kind, fields), files, shard_size, key):
                reading.update(shard.n_records)
                total += shard.n_records
                if run.is_done(shard.number):
                    resumed += shard.n_records
                else:
                    shards.append(shard)
        with tqdm(desc="annotate", total=total, initial=resumed, **bar) as done:
            for count in run_shards(engine, job, shards, n_process):
                done.update(count)
        records, entities, set_aside = run.finish()
    return Summary(records, entities, set_aside, resumed)


def model_folder(model: str | Path) -> Path:
    """Where a pipeline lies, a folder or an installed package; OSError where it is neither."""
    if Path(model).is_dir():
        return Path(model).resolve()
    if is_package(str(model)):
        package = Path(get_package_path(str(model)))
        for config in sorted(package.glob("*/config.cfg")):
            return config.parent.resolve()
    raise FileNotFoundError(f"no pipeline {model}: it is neither a folder nor an installed package")


def folder_digest(folder: Path) -> str:
    """Return the SHA-256 of all files of a folder and of their names."""

    def contents() -> Iterator[Content]:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            yield f"{path.relative_to(folder).as_posix()}\t{path.stat().st_size}\n".encode()
            yield path

    return sha256_of(contents())
