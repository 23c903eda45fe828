"""The work on a shard, the same on every engine of `annotate.engines`."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from spacy.language import Language
from spacy.tokens import Doc

from .. import brat
from ..conversion.tasks import TOOLS
from ..omop.assertions import Assertions
from ..omop.concepts import Concepts
from ..omop.sections import Sections
from ..omop.settings import OmopSettings
from ..packaging.saving import load_pipeline, run_code
from ..util.messages import LOGGER, describe, log_failure
from ..util.process import compute_on
from .folder import Outcome, RunFolder, SetAside
from .inputs import PLACES, Fields, InputReader, Record, RecordError, read_errors
from .outputs import NoteNlpWriter, ShardWriter, id_error, make_writer
from .shards import Shard, Slice, file_error

PROBE = "She took 5 mg of warfarin daily for chest pain."
"""A sentence that any pipeline can read: if it fails here too, the fault is not in a record."""

LONGEST_ID = 200
"""Characters of an id up to which errors.jsonl repeats it."""

REPEATED = "its id came before in the input"


@dataclass(frozen=True, slots=True)
class Job:
    """All that a worker needs to know, in plain values.

    Attributes:
        model: Absolute path of the pipeline.
        source: Absolute path of the input.
        output: Absolute path of the folder of the run.
        kind: Kind of the input, one of `inputs.INPUT_KINDS`.
        to: Format of the output, one of `outputs.FORMATS`.
        fields: Names of the fields of a record.
        spans: Key of ``doc.spans`` to take instead of ``doc.ents``.
        with_text: Whether JSON Lines and Parquet get the text.
        gpu_id: GPU, or -1 for the CPU.
        threads: Threads of torch; None leaves them as they are.
        debug: Whether worker processes are in debug mode, see `util.messages`.
        encoding: Encoding of the input, except for Parquet.
        omop: How a NOTE_NLP table is filled, if there is one.
        concepts: Its concepts, if there are any.
        sections: Concepts of its sections, if there are any.
        code: Absolute path of a Python file that is run before the pipeline is loaded.
    """

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
    debug: bool = False
    encoding: str = "utf-8"
    omop: OmopSettings | None = None
    concepts: Concepts | None = None
    sections: Mapping[str, int] | None = None
    code: str | None = None


class ShardAnnotator:
    """Annotates and writes shards, with a pipeline that it loads once.

    Raises:
        ValueError: If a file of the pipeline has changed since it was sealed, if it writes no
            spans of the key that the job names, if no component has registered an attribute that
            the job names, if two of its labels would be one in brat, or as `load` does.
        Exception: Whatever the pipeline raises for a plain sentence.
    """

    def __init__(self, job: Job) -> None:
        if job.threads is not None:
            import torch

            torch.set_num_threads(job.threads)
        compute_on(job.gpu_id)
        self._job = job
        if job.code is not None:
            run_code(Path(job.code))
        self._nlp = load_pipeline(Path(job.model))
        self._reader = InputReader(Path(job.source), job.kind, job.fields, job.encoding)
        self._folder = RunFolder(Path(job.output), job.to)
        doc = self._nlp(PROBE)  # faults of the pipeline itself show before the work begins
        if job.spans is not None and job.spans not in doc.spans:
            written = ", ".join(doc.spans) or "none"
            raise ValueError(f'the pipeline writes no doc.spans["{job.spans}"], only {written}')
        if job.to == "brat":  # two labels that would become one show before the work begins
            brat.without_spaces(e for labels in self._nlp.pipe_labels.values() for e in labels)
        self._labels = entity_labels(self._nlp) if job.to in TOOLS else []
        self._assertions: Assertions | None = None
        self._sections: Sections | None = None
        if job.omop is not None:
            if job.sections is not None:
                self._sections = Sections(job.sections, job.omop.section_attribute)
            self._assertions = Assertions(self._nlp, job.spans, job.omop.assertions)

    def __call__(self, shard: Shard) -> Outcome:
        """Annotate a shard and write it, over what may be there of it.

        A record that cannot be read, annotated or written is set aside.

        Raises:
            OSError: If the folder cannot be written.
            Exception: Whatever the pipeline raises for a plain sentence.
        """
        job = self._job
        records = self._records(shard)
        errors = {i: record.error for i, (_, record) in enumerate(records) if record.error}
        wrong_ids = {i: id_error(job.to, record.id) for i, (_, record) in enumerate(records)}
        errors = {i: why for i, why in wrong_ids.items() if why} | errors
        errors |= dict.fromkeys(shard.repeated, REPEATED)
        usable = [i for i in range(len(records)) if i not in errors]
        writer = self._writer()
        # What a document brings into the vocabulary goes with it (spaCy 3.8 and later).
        with getattr(self._nlp, "memory_zone", nullcontext)():
            texts = [records[i][1].text for i in usable]
            for i, result in zip(usable, annotate_texts(self._nlp, texts), strict=True):
                fault = result if isinstance(result, Exception) else None
                if isinstance(result, Doc):
                    try:
                        writer.add(records[i][1].id, result)
                    except RecordError as error:
                        fault = error
                if fault is not None:
                    errors[i] = failure(fault)
                    log_failure(self._place(*records[i]), fault)
            files = list(writer.files())
        set_aside = [self._set_aside(*records[i], errors[i]) for i in sorted(errors)]
        counts = dict(sorted(writer.counts.items()))
        outcome = Outcome(shard.number, len(records), counts, set_aside, labels=self._labels)
        if isinstance(writer, NoteNlpWriter):
            unmapped = dict(sorted(writer.unmapped.items()))
            placed = dict(sorted(writer.placed.items()))
            outcome = replace(
                outcome, unmapped=unmapped, shortened=writer.shortened, sections=placed
            )
        self._folder.write_shard(files, outcome)
        return outcome

    def _writer(self) -> ShardWriter:
        """Return a writer for a shard."""
        job = self._job
        if job.omop is None or self._assertions is None:
            model = system_name(self._nlp.meta)
            return make_writer(job.to, job.spans, with_text=job.with_text, model=model)
        return NoteNlpWriter(
            self._assertions,
            job.spans,
            job.concepts,
            self._sections,
            size=job.omop.snippet,
            with_text=job.with_text,
        )

    def _records(self, shard: Shard) -> list[tuple[str, Record]]:
        """Return the records of a shard, each with its file."""
        return [(part.file, record) for part in shard.slices for record in self._slice(part)]

    def _slice(self, part: Slice) -> Iterator[Record]:
        """Yield the records of a slice, with errors for those that cannot be read."""
        if part.error:
            yield Record(part.at, part.number, "", "", part.error)
            return
        left, why = part.n_records, "the file ends before it"
        try:
            for record in self._reader.records(part.file, part.at, part.number):
                yield record
                left -= 1
                if not left:
                    return
        except read_errors() as error:
            log_failure(f"reading {part.file or 'the input'}", error)
            why = file_error(error)
        for _ in range(left):
            yield Record(part.at, part.number, "", "", why)

    def _set_aside(self, file: str, record: Record, error: str) -> SetAside:
        """Return a line of errors.jsonl; it quotes no text, nor an exception, which may."""
        row: SetAside = {"file": file or Path(self._job.source).name}
        place = PLACES.get(self._job.kind)
        if place == "line":
            row["line"] = record.number
        elif place == "row":
            row["row"] = record.number
        # A very long id may be the text, by a wrong --id-field.
        row["id"] = record.id if len(record.id) <= LONGEST_ID else ""
        row["error"] = error
        return row

    def _place(self, file: str, record: Record) -> str:
        """Return where a record is, in words."""
        name, place = file or Path(self._job.source).name, PLACES.get(self._job.kind)
        return f"{name}, {place} {record.number}" if place else name


def entity_labels(nlp: Language) -> list[str]:
    """Return the labels of all components that write entities or groups of spans, sorted."""
    labels = set[str]()
    for name, own in nlp.pipe_labels.items():
        if not {"doc.ents", "doc.spans"}.isdisjoint(nlp.get_pipe_meta(name).assigns):
            labels.update(own)
    return sorted(labels)


def system_name(meta: Mapping[str, object]) -> str:
    """Return name and version of a pipeline, as its meta data have them."""
    names = [str(meta[key]) for key in ("lang", "name") if meta.get(key)]
    return f"{'_'.join(names) or 'pipeline'} {meta.get('version', '')}".rstrip()


def annotate_texts(nlp: Language, texts: Sequence[str]) -> list[Doc | Exception]:
    """Return a document for each text or, if the pipeline fails for it, the exception.

    Texts are annotated together, and one by one if that fails.

    Raises:
        Exception: Whatever the pipeline raises for a plain sentence, if it fails for one too: the
            fault is not in the text then.
    """
    together: Exception | None = None
    try:
        docs = list(nlp.pipe(texts))
        if len(docs) == len(texts):  # an error handler of the pipeline may leave some out
            return list(docs)
    except Exception as error:  # a component may raise anything
        together = error
    results = [_annotate_text(nlp, text) for text in texts]
    if together is not None and not any(isinstance(result, Exception) for result in results):
        log_failure(f"annotating {len(texts)} texts together", together)
        LOGGER.warning(
            "the pipeline fails for %d texts together (%s), but not for any of them alone; it "
            "annotates them one by one, which is slower",
            len(texts),
            failure(together),
        )
    return results


def _annotate_text(nlp: Language, text: str) -> Doc | Exception:
    """Return the document of a text or an exception, as `annotate_texts` does."""
    if len(text) > nlp.max_length:
        return RecordError(f"{len(text)} characters, the pipeline takes {nlp.max_length}")
    try:
        return nlp(text)
    except Exception as error:  # a component may raise anything
        fault = error
    # Not in the handler: a trace of both exceptions would show the message of the first.
    nlp(PROBE)
    return fault


def failure(error: Exception) -> str:
    """Return type and place of an exception, and its message only if it quotes nothing."""
    return str(error) if isinstance(error, RecordError) else describe(error)
