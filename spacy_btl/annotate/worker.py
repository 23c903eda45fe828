"""What does the work of a shard: the same on every engine (`annotate.engines`)."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import spacy
from spacy.language import Language
from spacy.tokens import Doc

from ..util.seal import check_seal
from .folder import Outcome, RunFolder
from .inputs import PLACES, Fields, RecordError, Row, Source
from .outputs import make_writer
from .shards import Shard, Slice, file_error

PROBE = "She took 5 mg of warfarin daily for chest pain."
REPEATED = "its id stands before in the input"


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
