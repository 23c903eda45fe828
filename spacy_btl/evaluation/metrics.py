"""The form of the figures of an evaluation, as they are in metrics.json and documents.jsonl.

All values are JSON values, and no text of a document is among them.
"""

from collections.abc import Mapping
from typing import TypeAlias, TypedDict

from ..scoring.counts import DocumentCounts
from ..scoring.matching import Kind
from ..scoring.reliability import ReliabilityFigures
from ..scoring.scores import Scores
from ..scoring.summary import ComparedScore, ComparedType, Intervals

Confusion: TypeAlias = Mapping[str, Mapping[str, int]]
"""Number of entities by gold type and predicted type (`scoring.matching.confusion`)."""


class Machine(TypedDict):
    """The machine that predicted; the memory is None where the system does not report it."""

    cpus: int | None
    memory_gib: float | None
    processor: str
    python: str


class Scored(TypedDict):
    """Scores and their 95 % intervals."""

    scores: Scores
    intervals: Intervals


class TrainingFacts(TypedDict, total=False):
    """Number of entities of each type in training, where it is known."""

    train_counts: dict[str, int]


class Metrics(Scored, TrainingFacts):
    """The figures of an evaluation.

    Attributes:
        heading: The heading that a report on these documents must carry, or "".
        errors: Number of entities of each kind (`scoring.matching.KINDS`).
        errors_by_type: The same by type: of the gold entity, or of the spurious one.
        reliability: By kind of score: "calibrated" and "not calibrated".
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


class SystemComparison(TypedDict):
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
