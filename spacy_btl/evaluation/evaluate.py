"""Score a pipeline on annotated documents, and the form of the figures (metrics.json).

All figures are JSON values, and no text of a document is among them.
"""

import os
import platform
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeAlias, TypedDict

from spacy.language import Language
from spacy.training import Example
from tqdm import tqdm

from ..data.docbin import read_docbin
from ..data.gold import document_name, heading_of
from ..data.label_sets import label_set_of
from ..pipeline.component import BtlKnnNer
from ..pipeline.entities import read_scores
from ..scoring.counts import DocumentCounts
from ..scoring.matching import Kind, confusion, count_kinds, count_kinds_by_type, match_entities
from ..scoring.reliability import ReliabilityFigures, reliability_figures
from ..scoring.scorer import ExampleEntities, entity_of, example_entities
from ..scoring.scores import Scores
from ..scoring.summary import (
    ComparedScore,
    ComparedType,
    Intervals,
    score_documents,
    score_intervals,
)
from ..util.messages import warn
from ..util.text import printable
from .documents import MatchedDocument

TRAINED_ON_DEV = "trained_on_dev"
"""The key of a pipeline's meta for the number of dev documents that it was trained on."""

PACKAGES = ("spacy-btl", "spacy", "spacy-transformers", "torch", "transformers", "scikit-learn")
"""Packages whose versions may change a score."""

SHOWN = 8
"""Types that a warning lists."""

Confusion: TypeAlias = Mapping[str, Mapping[str, int]]
"""Number of entities by gold type and predicted type (`scoring.matching.confusion`)."""


class Machine(TypedDict):
    """The machine that predicted; the memory is None where the system does not report it."""

    cpus: int | None
    memory_gib: float | None
    processor: str
    python: str


class Scored(TypedDict):
    """Scores and their 95% intervals."""

    scores: Scores
    intervals: Intervals


class TrainingFacts(TypedDict, total=False):
    """Number of entities of each type in training, where it is known."""

    train_counts: dict[str, int]


class LabelSetFacts(TypedDict):
    """Documents that annotate some types only, and what was predicted there of other types.

    Attributes:
        documents: Their number.
        passed_over: Predicted entities of other types, which count neither way.
    """

    documents: int
    passed_over: int


class TrainedOnFacts(TypedDict):
    """Facts about the training of a pipeline.

    Attributes:
        dev_documents: Documents of dev that it was trained on.
        seen: Evaluated documents whose tokens are among its neighbors.
    """

    dev_documents: int
    seen: int


class OptionalFacts(TypedDict, total=False):
    """Parts that exist only where a document has a label set, or was trained on."""

    label_sets: LabelSetFacts
    trained_on: TrainedOnFacts


class Metrics(Scored, TrainingFacts, OptionalFacts):
    """The figures of an evaluation.

    Attributes:
        heading: The heading that a report on these documents must carry, or "".
        errors: Number of entities of each kind (`scoring.matching.KINDS`).
        errors_by_type: The same by type: of the gold entity, or of the spurious one.
        reliability: Reliability by kind of score, "calibrated" and "not calibrated".
        confusion: Number of entities by gold type and predicted type.
        documents: Number of documents.
        tokens: Number of tokens.
        gold_entities: Number of gold entities.
        predicted_entities: Number of predicted entities that can be judged.
        seconds: Time of the prediction.
        updates: Number of updates of the weights, by component.
        machine: The machine that predicted.
        versions: Versions of the installed packages that may change a score.
    """

    heading: str
    errors: dict[Kind, int]
    errors_by_type: dict[str, dict[Kind, int]]
    reliability: dict[str, ReliabilityFigures]
    confusion: Confusion
    documents: int
    tokens: int
    gold_entities: int
    predicted_entities: int
    seconds: float
    updates: dict[str, int]
    machine: Machine
    versions: dict[str, str]


class DocumentRow(TypedDict):
    """The counts of a document, from which all scores can be computed again, and its errors."""

    name: str
    counts: DocumentCounts
    errors: dict[Kind, int]


class Evaluation(Metrics):
    """The figures of an evaluation, and those of each document."""

    by_document: list[DocumentRow]


class DocumentDifference(TypedDict):
    """Strict micro F1 of two systems on a document, and the first minus the second."""

    name: str
    first: float
    second: float
    difference: float


class PipelineName(TypedDict):
    """A pipeline as its meta data have it: name, with the language before it, and version."""

    name: str
    version: str


class _ComparedPipelines(TypedDict, total=False):
    """The two pipelines, where the systems are pipelines."""

    pipelines: list[PipelineName]


class SystemComparison(_ComparedPipelines):
    """Two systems on the same documents.

    Attributes:
        systems: Names of the first and of the second system.
        figures: Overall scores of both.
        ents_per_type: Strict F1 of each type of both.
        second_scores: All scores of the second system.
        documents: Strict F1 of each document of both, sorted by difference.
    """

    systems: list[str]
    figures: dict[str, ComparedScore]
    ents_per_type: dict[str, ComparedType]
    second_scores: Scores
    documents: list[DocumentDifference]


def pipeline_name(meta: Mapping[str, object]) -> PipelineName:
    """Return name and version of a pipeline, from its meta data."""
    names = [str(meta[key]) for key in ("lang", "name") if meta.get(key)]
    return {"name": "_".join(names) or "pipeline", "version": str(meta.get("version", ""))}


def read_examples(path: Path, nlp: Language) -> list[Example]:
    """Return the gold documents of a DocBin, with unannotated ones on the tokens of a pipeline.

    They may be longer than the ``nlp.max_length`` of the pipeline.

    Args:
        path: A DocBin, such as the dev.spacy of `convert_folder`.
        nlp: The pipeline.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is not a DocBin (`data.docbin.read_docbin`).
    """
    return [Example(nlp.tokenizer(doc.text), doc) for doc in read_docbin(path, nlp.vocab)]


def label_counts(path: Path, nlp: Language) -> dict[str, int]:
    """Return the number of entities of each label in a DocBin, such as the training documents.

    Raises:
        ValueError: The file is not a DocBin (`data.docbin.read_docbin`).
    """
    docs = read_docbin(path, nlp.vocab)
    return dict(Counter(ent.label_ for doc in docs for ent in doc.ents).most_common())


def evaluate(
    nlp: Language, examples: Sequence[Example], *, seed: int = 0, progress: bool | None = None
) -> Evaluation:
    """Predict documents, and return all figures of the predictions as JSON values.

    Entities are those of ``doc.ents``, or of ``doc.spans`` where a component writes overlapping
    ones there.

    Args:
        nlp: The pipeline.
        examples: Gold documents. The predictions stay in them.
        seed: Seed of the bootstrap over documents.
        progress: Whether to show a progress bar; None to show it in a terminal only.

    Returns:
        The figures and the counts of each document, without any text of a document.
    """
    start = time.monotonic()
    docs = nlp.pipe([example.predicted for example in examples])
    disable = None if progress is None else not progress
    bar = tqdm(docs, desc="predict", unit=" docs", total=len(examples), disable=disable)
    for example, doc in zip(examples, bar, strict=True):
        example.predicted = doc
    seconds = time.monotonic() - start
    key = _spans_key(nlp)
    entities = [example_entities(example, key) for example in examples]
    _warn_of_types(nlp, entities)
    counts = [each.counts() for each in entities]
    matched = [match_entities(each.gold, each.judged) for each in entities]
    matches = [match for document in matched for match in document]
    n_partly = sum(label_set_of(example.reference) is not None for example in examples)
    n_passed_over = sum(each.n_passed_over for each in entities)
    found: Evaluation = {
        "heading": heading_of(example.reference for example in examples),
        "scores": score_documents(counts),
        "intervals": score_intervals(counts, seed=seed),
        "errors": count_kinds(matches),
        "errors_by_type": count_kinds_by_type(matches),
        "reliability": _reliability(examples, entities),
        "confusion": confusion(matches),
        "documents": len(examples),
        "tokens": sum(len(example.predicted) for example in examples),
        "gold_entities": sum(len(each.gold) for each in entities),
        "predicted_entities": sum(len(each.judged) for each in entities),
        "seconds": round(seconds, 2),
        "updates": {
            name: pipe.state.updates for name, pipe in nlp.pipeline if isinstance(pipe, BtlKnnNer)
        },
        "machine": _machine(),
        "versions": _versions(),
        "by_document": [
            {
                "name": document_name(example.reference),
                "counts": own,
                "errors": count_kinds(document),
            }
            for example, own, document in zip(examples, counts, matched, strict=True)
        ],
    }
    if n_partly:
        found["label_sets"] = {"documents": n_partly, "passed_over": n_passed_over}
    n_dev, n_seen = int(nlp.meta.get(TRAINED_ON_DEV, 0)), _n_seen(nlp, examples)
    if n_dev or n_seen:
        found["trained_on"] = {"dev_documents": n_dev, "seen": n_seen}
    return found


def matched_documents(nlp: Language, examples: Sequence[Example]) -> list[MatchedDocument]:
    """Return documents that were evaluated, with their text and their entities in pairs."""
    key = _spans_key(nlp)
    entities = [example_entities(example, key) for example in examples]
    return [
        MatchedDocument(
            document_name(eg.reference), eg.predicted.text, match_entities(each.gold, each.judged)
        )
        for eg, each in zip(examples, entities, strict=True)
    ]


def _n_seen(nlp: Language, examples: Sequence[Example]) -> int:
    """Return how many documents have neighbors of their name."""
    stores = [pipe.neighbors.datastore for _, pipe in nlp.pipeline if isinstance(pipe, BtlKnnNer)]
    known = {name for store in stores if store is not None for name in store.documents}
    return sum(document_name(example.reference) in known for example in examples)


def _spans_key(nlp: Language) -> str | None:
    """Return the group of spans with overlapping entities; None where all are in ``doc.ents``."""
    keys = [pipe.spans_key for _, pipe in nlp.pipeline if isinstance(pipe, BtlKnnNer)]
    return next((key for key in keys if key is not None), None)


def _warn_of_types(nlp: Language, entities: Sequence[ExampleEntities]) -> None:
    """Warn where no entity has a type that the pipeline knows, so that all scores are 0."""
    known = {
        label for _, pipe in nlp.pipeline if isinstance(pipe, BtlKnnNer) for label in pipe.labels
    }
    gold = {label for each in entities for label, _ in each.gold}
    if not known or not gold or known & gold:
        return
    theirs, ours = (printable(", ".join(sorted(each)[:SHOWN])) for each in (gold, known))
    message = (
        f"no entity has a type that the pipeline knows, so that all scores are 0: there are "
        f"{theirs}, and it knows {ours}"
    )
    if any(label.partition(":")[2] in gold for label in known):
        message += (
            '. It was trained with rows = "corpus", where the type Age of a corpus trials is '
            "trials:Age: read the documents with spacy-btl.JointCorpus.v1 and this setting, rename "
            "their types (convert --map), or train on for one corpus (corpus of "
            "spacy-btl.StartFrom.v1)"
        )
    warn(message)


def _reliability(
    examples: Sequence[Example], entities: Sequence[ExampleEntities]
) -> dict[str, ReliabilityFigures]:
    """Return the reliability of calibrated scores and of others, as far as there are any."""
    outcomes: dict[bool, list[tuple[float, bool]]] = {True: [], False: []}
    for example, own in zip(examples, entities, strict=True):
        scores = {}
        for group in example.predicted.spans.values():
            if (scored := read_scores(group)) is not None:
                for span, score, calibrated in zip(*scored, strict=True):
                    scores[entity_of(span)] = float(score), bool(calibrated)
        is_gold, is_judged = set(own.gold), set(own.judged)
        for entity, (score, calibrated) in scores.items():
            if entity in is_judged:
                outcomes[calibrated].append((score, entity in is_gold))
    names = {True: "calibrated", False: "not calibrated"}
    return {
        names[which]: reliability_figures([s for s, _ in pairs], [c for _, c in pairs])
        for which, pairs in outcomes.items()
        if pairs
    }


def _machine() -> Machine:
    return {
        "cpus": os.cpu_count(),
        "memory_gib": _memory_gib(),
        "processor": platform.machine(),
        "python": platform.python_version(),
    }


def _memory_gib() -> float | None:
    """Return the memory of the machine; None where the system does not report it."""
    try:
        size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
    return round(size / 2**30, 1)


def _versions() -> dict[str, str]:
    """Return the versions of `PACKAGES` that are installed: a checkout need not be."""
    found = {}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
