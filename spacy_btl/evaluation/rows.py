"""Figures of an evaluation as rows of text, which the reports, the model card and the plots share.

Escaping is left to the templates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ..scoring.matching import KINDS
from ..scoring.reliability import ReliabilityFigures
from ..scoring.scores import NO_LABEL, Scores
from ..scoring.summary import ComparedScore, ComparedType
from ..util.text import counted
from .compare import document_f
from .evaluate import (
    Confusion,
    DocumentRow,
    LabelSetFacts,
    Metrics,
    Scored,
    SystemComparison,
    TrainedOnFacts,
)

FIGURE_NAMES = {
    "ents_p": "strict span precision, micro",
    "ents_r": "strict span recall, micro",
    "ents_f": "strict span F1, micro",
    "ents_macro_f": "strict span F1, macro",
    "ents_exact_f": "exact span F1: bounds alone",
    "ents_partial_f": "partial span F1: bounds, overlap for a half",
    "ents_type_f": "type span F1: type and overlap",
    "token_macro_r": "token unweighted accuracy, without O",
    "token_macro_r_with_o": "token unweighted accuracy, with O",
    "token_micro_f": "token F1, micro, without O",
    "token_macro_f": "token F1, macro, without O",
}
"""Overall scores of a report, each with its level."""

MACRO_NOTE = (
    "The interval of a macro mean over few documents is too short. In simulations on the "
    "annotation of MACCROBAT, 95% intervals contained the macro F1 in 73% of the cases with 16 "
    "documents, 83% with 40, and 90% with 100."
)

BANDS = ((0, 0), (1, 9), (10, 29), (30, 99), (100, 299), (300, 999), (1000, 2**63))
"""Lowest and highest frequency in training of the types that are taken together."""

MOST_CONFUSIONS = 10
"""Largest number of pairs in the list of the most frequent confusions."""

TextRow: TypeAlias = list[str]
"""Cells; the first one names the row."""


@dataclass(frozen=True, slots=True)
class TypeRow:
    """The strict scores of a type.

    Attributes:
        cells: The cells, with the interval as text in the last one.
        f: The F1 score.
        interval: Its interval; None where there is none to show.
    """

    cells: TextRow
    f: float
    interval: Sequence[float] | None


@dataclass(frozen=True, slots=True)
class Band:
    """Types of about the same frequency in training.

    Attributes:
        low: The lowest frequency of them.
        high: The highest one.
        recalls: The strict recall of each type.
        support: Number of their gold entities.
    """

    low: int
    high: int
    recalls: list[float]
    support: int

    @property
    def mean_recall(self) -> float:
        """The mean of the recalls."""
        return sum(self.recalls) / len(self.recalls)


def label_set_note(documents: int, facts: LabelSetFacts | None) -> str:
    """Return what a report says where documents annotate some types only, "" where none does.

    Args:
        documents: Number of all documents.
        facts: What is known of those with a label set.
    """
    if facts is None:
        return ""
    return (
        f"{facts['documents']:,} of {documents:,} documents have a label set: they annotate some "
        f"types only. {facts['passed_over']:,} predicted entities of other types count there "
        "neither as right nor as wrong."
    )


def trained_on_note(documents: int, facts: TrainedOnFacts | None) -> str:
    """Return what a report says of a pipeline that has seen more than the train part, or "".

    Args:
        documents: Number of the evaluated documents.
        facts: What it was trained on; None for nothing to say.
    """
    if facts is None:
        return ""
    notes = []
    if facts["dev_documents"]:
        notes.append(
            f"The pipeline was trained on dev too ({facts['dev_documents']:,} documents), once dev "
            "had chosen its settings with a training on the train part alone: no score on dev is "
            "held out. Counts of entities in training are those of the train part."
        )
    if facts["seen"]:
        notes.append(
            f"{facts['seen']:,} of the {documents:,} evaluated documents are among its neighbors: "
            "it was fitted on them, and these figures are too high."
        )
    return " ".join(notes)


FEW = 10
"""With fewer documents, draws may all give the same figure, so that there is no interval."""


def interval_note(scored: Scored, documents: int) -> str:
    """Return what a report says of its intervals, "" for nothing.

    Args:
        scored: The scores with their intervals.
        documents: Number of the evaluated documents.
    """
    if documents < FEW and not any(interval for *_, interval in overall_rows(scored)):
        number = counted(documents, "document")
        return f"{number}: too few for intervals; these figures are not certain."
    return MACRO_NOTE if "ents_macro_f" in scored["intervals"] else ""


def spread(interval: Sequence[float] | None) -> str:
    """Return an interval as text; "" where all draws gave the same, as for a type never found."""
    if not interval or interval[0] == interval[1]:
        return ""
    return f"{interval[0]:.3f} to {interval[1]:.3f}"


def signed(value: float) -> str:
    """Return a difference with its sign; without one where it is rounded to 0."""
    text = f"{value:+.3f}"
    return "0.000" if text in ("+0.000", "-0.000") else text


def overall_rows(scored: Scored) -> list[TextRow]:
    """Return the name, the value and the interval of each overall score."""
    rows = []
    for key, name in FIGURE_NAMES.items():
        value = scored["scores"].get(key)
        interval = scored["intervals"].get(key)
        rows.append([name, "-" if value is None else f"{value:.3f}", spread(interval)])
    return rows


def types_by_support(scores: Scores) -> list[str]:
    """Return the types that are gold or predicted, those with most gold entities first."""
    by_type = scores["ents_per_type"] or {}
    return sorted(by_type, key=lambda label: (-by_type[label]["support"], label))


def type_header(metrics: Metrics) -> TextRow:
    """Return the header of the rows of `type_rows`."""
    in_training = ["in training"] if metrics.get("train_counts") else []
    figures = ["precision", "recall", "F1", "95% interval of F1"]
    return ["type", *in_training, "support", "predicted", *figures]


def type_rows(metrics: Metrics) -> list[TypeRow]:
    """Return the strict scores of each type, those with most gold entities first."""
    by_type = metrics["scores"]["ents_per_type"]
    intervals = metrics["intervals"].get("ents_per_type", {})
    trained_on = metrics.get("train_counts")
    rows = []
    for label in types_by_support(metrics["scores"]):
        figures = by_type[label]
        interval = intervals.get(label, {}).get("f")
        cells = [
            label,
            *([f"{trained_on.get(label, 0):,}"] if trained_on else []),
            f"{figures['support']:,}",
            f"{figures['predicted']:,}",
            *(f"{figures[key]:.3f}" for key in "prf"),
            spread(interval),
        ]
        rows.append(TypeRow(cells, figures["f"], interval if spread(interval) else None))
    return rows


def recall_bands(scores: Scores, trained_on: Mapping[str, int]) -> list[Band]:
    """Return the recalls of types by their frequency in training: the `BANDS` that have gold.

    Args:
        scores: The scores of a system.
        trained_on: Number of entities of each type in training.
    """
    by_type = scores["ents_per_type"] or {}
    bands = []
    for low, high in BANDS:
        own = [
            (trained_on.get(label, 0), figures)
            for label, figures in sorted(by_type.items())
            if figures["support"] and low <= trained_on.get(label, 0) <= high
        ]
        if own:
            counts = [count for count, _ in own]
            recalls = [figures["r"] for _, figures in own]
            support = sum(figures["support"] for _, figures in own)
            bands.append(Band(min(counts), max(counts), recalls, support))
    return bands


def band_rows(bands: Sequence[Band], other: Sequence[Band] = ()) -> list[TextRow]:
    """Return the frequencies, the number of types, the support and the mean recall of each band.

    Args:
        bands: The bands of a system.
        other: Those of a second system on the same documents, whose mean recall comes last.
    """
    rows = [
        [
            f"{band.low:,}" + (f" to {band.high:,}" if band.high > band.low else ""),
            str(len(band.recalls)),
            f"{band.support:,}",
            f"{band.mean_recall:.3f}",
        ]
        for band in bands
    ]
    if other:
        for row, band in zip(rows, other, strict=True):
            row.append(f"{band.mean_recall:.3f}")
    return rows


def error_rows(metrics: Metrics) -> list[TextRow]:
    """Return the number of errors of each of `KINDS`, of all types and then of each type."""
    by_type = metrics["errors_by_type"]
    ordered = [label for label in types_by_support(metrics["scores"]) if label in by_type]
    ordered += [label for label in by_type if label not in ordered]
    return [
        ["all", *(f"{metrics['errors'][kind]:,}" for kind in KINDS)],
        *([label, *(str(by_type[label][kind] or "") for kind in KINDS)] for label in ordered),
    ]


def confusion_matrix(
    confusion: Confusion, order: Sequence[str]
) -> tuple[TextRow, TextRow, list[list[int]]]:
    """Return the names of the rows and of the columns, and the counts (n_rows, n_columns).

    The first row contains spurious entities, the first column missed ones.

    Args:
        confusion: Counts by gold type and predicted type.
        order: Types in the order of the matrix. Others that occur come after them.
    """
    occurring = {*confusion, *(label for row in confusion.values() for label in row)} - {NO_LABEL}
    labels = [label for label in order if label in occurring]
    labels += sorted(occurring - set(labels))
    keys = [NO_LABEL, *labels]
    counts = [[confusion.get(gold, {}).get(found, 0) for found in keys] for gold in keys]
    return ["spurious", *labels], ["missed", *labels], counts


def confusion_rows(confusion: Confusion) -> list[TextRow]:
    """Return the most frequent pairs of a gold type and another predicted type."""
    pairs = sorted(
        (-count, gold, found)
        for gold, row in confusion.items()
        for found, count in row.items()
        if NO_LABEL not in (gold, found) and gold != found
    )
    return [[f"{gold} → {found}", str(-count)] for count, gold, found in pairs[:MOST_CONFUSIONS]]


def reliability_rows(series: Mapping[str, ReliabilityFigures]) -> list[TextRow]:
    """Return the name, the number of entities and the errors of each kind of score."""
    return [
        [
            name,
            f"{figures['entities']:,}",
            *(f"{value:.3f}" for value in (figures["error"], figures["chance"], figures["brier"])),
        ]
        for name, figures in series.items()
    ]


def bin_rows(figures: ReliabilityFigures) -> list[TextRow]:
    """Return the bounds, entities, mean score, share correct and interval of each bin."""
    return [
        [
            f"{row['low']:.3f} to {row['high']:.3f}",
            f"{row['n_entities']:,}",
            f"{row['mean_score']:.3f}",
            f"{row['fraction_correct']:.3f}",
            f"{row['interval'][0]:.3f} to {row['interval'][1]:.3f}",
        ]
        for row in figures["bins"]
    ]


def document_rows(by_document: Sequence[DocumentRow]) -> list[TextRow]:
    """Return the name, the strict F1 and the number of errors of each document."""
    return [
        [
            row["name"] or f"document {i}",
            f"{document_f(row['counts']):.3f}",
            *(str(row["errors"][kind] or "") for kind in KINDS),
        ]
        for i, row in enumerate(by_document, start=1)
    ]


def compared_figures(comparison: SystemComparison) -> list[TextRow]:
    """Return both scores, their difference, its interval and p of each overall score."""
    return compared_rows(comparison["figures"])


def compared_rows(figures: Mapping[str, ComparedScore]) -> list[TextRow]:
    """Return the same of those overall scores that are there."""
    return [
        [name, *_compared(figures[key], figures[key]["p"])]
        for key, name in FIGURE_NAMES.items()
        if key in figures
    ]


def compared_types(comparison: SystemComparison) -> list[TextRow]:
    """Return the same of the strict F1 of each type, p corrected; the greatest difference first."""

    def place(item: tuple[str, ComparedType]) -> tuple[float, str]:
        return -(item[1]["difference"] or 0.0), item[0]

    ordered = sorted(comparison["ents_per_type"].items(), key=place)
    return [[label, *_compared(row, row["p_holm"])] for label, row in ordered]


def compared_documents(comparison: SystemComparison) -> list[TextRow]:
    """Return both scores and their difference of each document; the greatest difference first."""
    return [
        [row["name"], f"{row['first']:.3f}", f"{row['second']:.3f}", signed(row["difference"])]
        for row in comparison["documents"]
    ]


def _compared(row: ComparedScore, p: float | None) -> TextRow:
    first, second, difference = row["first"], row["second"], row["difference"]
    if first is None or second is None or difference is None or p is None:
        return ["-"] * 5
    low, high = row["interval"]
    return [
        f"{first:.3f}",
        f"{second:.3f}",
        signed(difference),
        f"{signed(low)} to {signed(high)}" if low is not None and high is not None else "",
        "< 0.001" if p < 0.001 else f"{p:.3f}",
    ]
