"""Annotate many documents with a trained pipeline, shard by shard; a killed run can go on.

`Annotator` does the work of a shard and is the same on every engine (`spacy_btl.annotate_engines`):
in this process, in several, on the machines of a cluster.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import spacy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import get_package_path, is_package
from tqdm import tqdm

from .annotate_engines import run_shards
from .annotate_folder import Outcome, RunFolder
from .annotate_inputs import KINDS, PLACES, Fields, RecordError, Row, Source
from .annotate_outputs import FORMATS, file_key, make_writer
from .annotate_plan import Shard, Slice, file_error, find_files, fingerprint, make_shards
from .seal import check_seal

PROBE = "She took 5 mg of warfarin daily for chest pain."
REPEATED = "its id stands before in the input"

_FIELDS = Fields()


@dataclass(frozen=True, slots=True)
class Job:
    """All that a worker must know, in plain values; paths are absolute."""

    model: str
    source: str
    output: str
    kind: str
    to: str
    fields: Fields
    spans: str | None = None
    with_text: bool = True
    gpu_id: int = -1
    threads: int | None = None


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


class Annotator:
    """Annotates and writes shards, with a pipeline that it loads once."""

    def __init__(self, job: Job) -> None:
        if job.threads is not None:
            import torch

            torch.set_num_threads(job.threads)
        if job.gpu_id >= 0:
            spacy.require_gpu(job.gpu_id)  # type: ignore[attr-defined]
        self._job = job
        check_seal(Path(job.model))  # spaCy's own files before they are read
        self._nlp = spacy.load(job.model)
        self._source = Source(Path(job.source), job.kind, job.fields)
        self._folder = RunFolder(Path(job.output), job.to)
        doc = self._nlp(PROBE)  # what is wrong with the pipeline itself shows before the work
        if job.spans is not None and job.spans not in doc.spans:
            found = ", ".join(doc.spans) or "none"
            raise ValueError(f'the pipeline writes no doc.spans["{job.spans}"], only {found}')

    def __call__(self, shard: Shard) -> Outcome:
        """Annotate a shard and write it, over what may be there of it.

        A record that cannot be read, annotated or written is set aside. Raises what the pipeline
        raises where it fails for a plain sentence too, and OSError where the folder cannot be
        written.
        """
        job = self._job
        rows = self._rows(shard)
        errors: dict[int, str] = {i: row.error for i, (_, row) in enumerate(rows) if row.error}
        errors |= dict.fromkeys(shard.repeated, REPEATED)
        usable = [i for i in range(len(rows)) if i not in errors]
        writer = make_writer(job.to, job.spans, with_text=job.with_text)
        # What a document brings into the vocabulary goes with it (spaCy 3.8 and later).
        with getattr(self._nlp, "memory_zone", nullcontext)():
            texts = [rows[i][1].text for i in usable]
            for i, doc in zip(usable, annotate_texts(self._nlp, texts), strict=True):
                if isinstance(doc, str):
                    errors[i] = doc
                    continue
                try:
                    writer.add(rows[i][1].id, doc)
                except Exception as error:
                    errors[i] = failure(error)
            files = list(writer.files())
        told = [self._error(*rows[i], errors[i]) for i in sorted(errors)]
        outcome = Outcome(shard.number, len(rows), dict(sorted(writer.counts.items())), told)
        self._folder.write_shard(files, outcome)
        return outcome

    def _rows(self, shard: Shard) -> list[tuple[str, Row]]:
        """The records of a shard, each after its file."""
        return [(part.file, row) for part in shard.slices for row in self._slice(part)]

    def _slice(self, part: Slice) -> Iterator[Row]:
        if part.error:
            yield Row(part.at, part.number, "", "", part.error)
            return
        left, why = part.n_records, "the file ends before it"
        try:
            for row in self._source.rows(part.file, part.at, part.number):
                yield row
                left -= 1
                if not left:
                    return
        except Exception as error:
            why = file_error(error)
        for _ in range(left):
            yield Row(part.at, part.number, "", "", why)

    def _error(self, file: str, row: Row, error: str) -> dict[str, Any]:
        """A line of errors.jsonl; no text, nor what an exception says, as it may quote the text."""
        place = {PLACES[self._job.kind]: row.number} if self._job.kind in PLACES else {}
        name = file or Path(self._job.source).name
        return {"file": name, **place, "id": row.id, "error": error}


def annotate_texts(nlp: Language, texts: Sequence[str]) -> list[Doc | str]:
    """A document for each text or, where the pipeline fails for it, why.

    Texts are annotated together, and one by one where that fails. Raises what the pipeline raises
    where it fails for a plain sentence too: then it is not the text.
    """
    try:
        docs: list[Doc | str] = list(nlp.pipe(texts))
        if len(docs) == len(texts):  # an error handler of the pipeline may leave some out
            return docs
    except Exception:
        pass  # comes again, for the text that it is about
    docs = []
    for text in texts:
        if len(text) > nlp.max_length:
            docs.append(f"{len(text)} characters, the pipeline takes {nlp.max_length}")
            continue
        try:
            docs.append(nlp(text))
            continue
        except Exception as error:
            why = failure(error)
        # Not in the handler: a trace of both exceptions would show the message of the first.
        nlp(PROBE)
        docs.append(why)
    return docs


def failure(error: Exception) -> str:
    """Type and place of an exception, and its message only where it quotes nothing."""
    if isinstance(error, RecordError):
        return str(error)
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = ""
    if trace is not None:
        path = Path(trace.tb_frame.f_code.co_filename)
        place = f" in {path.parent.name}/{path.name}:{trace.tb_lineno}"
    return f"{type(error).__name__}{place}"


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
    """32 hexadecimal digits over all files of a folder."""
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()}\t{path.stat().st_size}\n".encode())
        with path.open("rb") as file:
            while chunk := file.read(2**20):
                digest.update(chunk)
    return digest.hexdigest()
