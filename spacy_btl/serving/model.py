"""A pipeline as a service has it: questions in, entities with scores and evidence out."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from spacy.tokens import Doc

from ..annotate.outputs import entities_of
from ..annotate.run import find_model, warn_of_overlaps
from ..annotate.worker import PROBE, annotate_texts, entity_labels, failure, system_name
from ..conversion.tasks import EntityRow
from ..explain.evidence import EntityEvidence, summarize
from ..packaging.saving import load_pipeline, run_code
from ..pipeline.component import BtlKnnNer
from ..util.messages import LOGGER
from ..util.process import compute_on
from .settings import ServeSettings

Evidence = dict[str, Any]
"""The vote behind an entity, as JSON has it."""


class Question(NamedTuple):
    """A text, and whether the evidence of its entities is wanted."""

    text: str
    evidence: bool = False


class Answer(NamedTuple):
    """The entities of a text and, if it was wanted, the evidence for each (None if it has none)."""

    entities: list[EntityRow]
    evidence: list[Evidence | None] | None = None


class ModelFacts(NamedTuple):
    """Public facts of a pipeline.

    Attributes:
        name: Name of its package, such as "en_clinical".
        version: Its version.
        description: What its meta data say of it.
        labels: Types of its entities, sorted.
        is_calibrated: Whether scores are calibrated probabilities.
        has_evidence: Whether it can show the neighbors behind an entity.
        card: Its model card, None if it has none.
    """

    name: str
    version: str
    description: str
    labels: tuple[str, ...]
    is_calibrated: bool
    has_evidence: bool
    card: Mapping[str, Any] | None

    @property
    def system(self) -> str:
        """Name and version, as `annotate` writes them."""
        return f"{self.name} {self.version}".rstrip()


class ServedPipeline:
    """Loads a pipeline and annotates with it; all in one thread.

    Args:
        model: Folder of a pipeline, or name of an installed package.
        settings: The GPU, the spans to take, and the limit of a text.

    Attributes:
        facts: Its public facts.

    Raises:
        ValueError: If a file of the pipeline has changed since it was sealed, or if it writes no
            spans of the key in the settings.
        OSError: If there is no pipeline.
        Exception: Whatever the pipeline raises for a plain sentence.
    """

    def __init__(self, model: str | Path, settings: ServeSettings) -> None:
        compute_on(settings.gpu_id)
        if settings.code is not None:
            run_code(settings.code)
        self._nlp = load_pipeline(find_model(model))
        self._nlp.max_length = max(self._nlp.max_length, settings.max_characters)
        self._spans = settings.spans
        doc = self._nlp(PROBE)  # faults of the pipeline itself show before the service begins
        if self._spans is not None and self._spans not in doc.spans:
            written = ", ".join(doc.spans) or "none"
            raise ValueError(f'the pipeline writes no doc.spans["{self._spans}"], only {written}')
        warn_of_overlaps(self._nlp.config, self._spans)
        pipes = [pipe for _, pipe in self._nlp.pipeline if isinstance(pipe, BtlKnnNer)]
        self._explaining = [pipe for pipe in pipes if pipe.has_neighbors]
        meta = self._nlp.meta
        version = str(meta.get("version", ""))
        self.facts = ModelFacts(
            name=system_name({**meta, "version": ""}),
            version=version,
            description=str(meta.get("description", "")),
            labels=tuple(entity_labels(self._nlp)),
            is_calibrated=bool(pipes) and all(pipe.calibration is not None for pipe in pipes),
            has_evidence=bool(self._explaining),
            card=meta.get("model_card"),
        )

    def __call__(self, questions: Sequence[Question]) -> list[Answer | str]:
        """Return the answer to each question or, if the pipeline fails for a text, why.

        Raises:
            Exception: Whatever the pipeline raises for a plain sentence.
        """
        # What a document brings into the vocabulary goes with it (spaCy 3.8 and later).
        with getattr(self._nlp, "memory_zone", nullcontext)():
            docs = annotate_texts(self._nlp, [question.text for question in questions])
            return [self._answer(q, doc) for q, doc in zip(questions, docs, strict=True)]

    def _answer(self, question: Question, doc: Doc | Exception) -> Answer | str:
        try:
            if isinstance(doc, Exception):
                raise doc
            return self._read(question, doc)
        except Exception as error:  # of any component, or of the search for neighbors
            why = failure(error)
        LOGGER.error("a text could not be annotated: %s", why)
        return why

    def _read(self, question: Question, doc: Doc) -> Answer:
        """Return the entities of a document and, if it is wanted, the evidence for each."""
        entities = entities_of(doc, self._spans)
        if not question.evidence:
            return Answer(entities)
        every = {
            (found.start, found.end, found.label): found
            for pipe in self._explaining
            for found in pipe.explain(doc)
        }
        found = [every.get((e.start, e.end, e.label)) for e in entities]
        return Answer(entities, [None if each is None else as_json(each) for each in found])


def as_json(entity: EntityEvidence) -> Evidence:
    """Return the vote behind an entity: by type, and the training examples for and against it.

    Examples are places of the training data, by document and offsets; no pipeline has their text.
    """
    summary = summarize(entity)
    return {
        "neighbor_weight": entity.neighbor_weight,
        "votes": [vote._asdict() for vote in summary.votes],
        "supporting": [_example(example._asdict()) for example in summary.supporting],
        "opposing": [_example(example._asdict()) for example in summary.opposing],
    }


def _example(example: dict[str, Any]) -> Evidence:
    return {name: value for name, value in example.items() if name != "passage"}
