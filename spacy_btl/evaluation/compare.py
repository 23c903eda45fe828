"""One evaluated system beside another on the same documents: figures, types, documents.

Plain values. Differences are those of the first system less those of the second.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ..scoring.counts import DocumentCounts
from ..scoring.scores import precision_recall_f
from ..scoring.summary import compare_systems, score_documents
from ..util.text import cell, markdown_table
from .report import FIGURE_NAMES

Rows = Sequence[Mapping[str, Any]]


def compare_evaluations(
    first: Rows, second: Rows, names: tuple[str, str], *, samples: int = 10_000, seed: int = 0
) -> dict[str, Any]:
    """What the ``by_document`` rows of two evaluations come to, as JSON values.

    names: of the systems. ``systems`` holds them; ``figures`` and ``ents_per_type`` are those of
    `scoring.summary.compare_systems`, to which ``samples`` and ``seed`` go. ``second_scores`` are
    all scores of the second system, as those of an evaluation. ``documents`` lists
    ``name``, ``first`` and ``second`` (strict F1, micro, of the document; 1 where it has no entity
    and none was found) and ``difference``, the greatest first.

    Raises ValueError where the documents are not the same.
    """
    ours, theirs = ([row["counts"] for row in rows] for rows in (first, second))
    figures = compare_systems(ours, theirs, samples=samples, seed=seed)
    by_type = figures.pop("ents_per_type")
    documents = []
    for row, a, b in zip(first, ours, theirs, strict=True):
        scores = document_f(a), document_f(b)
        documents.append(
            {
                "name": row["name"],
                "first": scores[0],
                "second": scores[1],
                "difference": scores[0] - scores[1],
            }
        )
    return {
        "systems": list(names),
        "figures": figures,
        "ents_per_type": by_type,
        "second_scores": score_documents(theirs),
        "documents": sorted(documents, key=lambda row: -row["difference"]),
    }


def document_f(counts: DocumentCounts) -> float:
    """Strict F1, micro, of one document; 1 where there is nothing to find and nothing found."""
    gold, predicted, correct = (sum(n[kind] for n in counts["spans"].values()) for kind in range(3))
    return float(precision_recall_f(correct, predicted, gold)["f"]) if gold + predicted else 1.0


def render_comparison(comparison: Mapping[str, Any]) -> str:
    """Markdown: the figures, the types and the documents."""
    one, other = (cell(name) for name in comparison["systems"])
    header = ["first", "second", "difference", "95 % interval", "p"]
    documents = comparison["documents"]
    rows = document_rows(comparison)
    better, worse = count_changes(comparison)
    return "\n".join(
        [
            f"First: {one}. Second: {other}.",
            "",
            *markdown_table(["figure", *header], figure_rows(comparison)),
            "",
            "Strict span F1 by type, p corrected for the number of types (Holm):",
            "",
            *markdown_table(["type", *header], type_rows(comparison)),
            "",
            f"Strict span F1 by document: {better} of {len(documents)} better, {worse} worse.",
            "",
            *markdown_table(["document", *header[:3]], rows),
            "",
        ]
    )


def count_changes(comparison: Mapping[str, Any]) -> tuple[int, int]:
    """Documents that the first system does better, and worse, than the second."""
    differences = [row["difference"] for row in comparison["documents"]]
    return sum(d > 0 for d in differences), sum(d < 0 for d in differences)


def figure_rows(comparison: Mapping[str, Any]) -> list[list[str]]:
    """Name, both scores, difference, its interval and p of each overall figure."""
    figures = comparison["figures"]
    return [[name, *_cells(figures[key], "p")] for key, name in FIGURE_NAMES.items()]


def type_rows(comparison: Mapping[str, Any]) -> list[list[str]]:
    """The same of each type, with corrected p; the greatest difference first."""
    rows = comparison["ents_per_type"].items()
    ordered = sorted(rows, key=lambda item: (-item[1]["difference"], item[0]))
    return [[label, *_cells(row, "p_holm")] for label, row in ordered]


def document_rows(comparison: Mapping[str, Any]) -> list[list[str]]:
    """Name, both scores and difference of each document; the greatest difference first."""
    return [
        [row["name"], f"{row['first']:.3f}", f"{row['second']:.3f}", signed(row["difference"])]
        for row in comparison["documents"]
    ]


def signed(value: float) -> str:
    """A difference with its sign; none where it rounds to 0."""
    text = f"{value:+.3f}"
    return "0.000" if text in ("+0.000", "-0.000") else text


def _cells(row: Mapping[str, Any], p: str) -> list[str]:
    if row["p"] is None:
        return ["-"] * 5
    low, high = row["interval"]
    return [
        f"{row['first']:.3f}",
        f"{row['second']:.3f}",
        signed(row["difference"]),
        f"{signed(low)} to {signed(high)}" if low is not None else "",
        "< 0.001" if row[p] < 0.001 else f"{row[p]:.3f}",
    ]
