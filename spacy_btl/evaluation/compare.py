"""Compare two evaluated systems on the same documents: overall scores, types, documents."""

from collections.abc import Sequence

from ..scoring.counts import DocumentCounts
from ..scoring.scores import precision_recall_f
from ..scoring.summary import compare_systems, score_documents
from .evaluate import DocumentDifference, DocumentRow, SystemComparison


def compare_evaluations(
    first: Sequence[DocumentRow],
    second: Sequence[DocumentRow],
    names: tuple[str, str],
    *,
    samples: int = 10_000,
    seed: int = 0,
) -> SystemComparison:
    """Return the differences of two evaluations, the first minus the second, as JSON values.

    Args:
        first: The ``by_document`` of one evaluation.
        second: The ``by_document`` of the other evaluation, of the same documents in the same
            order.
        names: Names of the two systems.
        samples: Number of draws (`scoring.summary.compare_systems`).
        seed: Seed of the draws.

    Returns:
        The comparison, with its documents sorted by difference, the greatest first.

    Raises:
        ValueError: The documents are not the same.
    """
    ours, theirs = ([row["counts"] for row in rows] for rows in (first, second))
    figures = compare_systems(ours, theirs, samples=samples, seed=seed)
    by_type = figures.pop("ents_per_type")
    documents = [
        _document_difference(row["name"], document_f(a), document_f(b))
        for row, a, b in zip(first, ours, theirs, strict=True)
    ]
    return {
        "systems": list(names),
        "figures": figures,
        "ents_per_type": by_type,
        "second_scores": score_documents(theirs),
        "documents": sorted(documents, key=lambda row: -row["difference"]),
    }


def document_f(counts: DocumentCounts) -> float:
    """Return the strict micro F1 of a document; 1 if it has no entity and none was predicted."""
    gold, predicted, correct = (sum(n[kind] for n in counts["spans"].values()) for kind in range(3))
    return float(precision_recall_f(correct, predicted, gold)["f"]) if gold + predicted else 1.0


def verdict(comparison: SystemComparison) -> list[str]:
    """Return a sentence on each of strict micro and macro F1: better, worse, or not clear.

    A difference counts if its 95% interval does not contain 0. Documents that one of the systems
    was trained on say nothing.
    """
    first, second = comparison["systems"]
    said = []
    for key, name in (("ents_f", "strict micro F1"), ("ents_macro_f", "strict macro F1")):
        row = comparison["figures"][key]
        difference, (low, high) = row["difference"], row["interval"]
        if difference is None or low is None or high is None:
            said.append(f"{name}: not defined")
            continue
        sign = 1 if low > 0 else -1 if high < 0 else 0
        word = {1: "better than", -1: "worse than", 0: "not clearly different from"}[sign]
        said.append(
            f"{name}: {first} is {word} {second}, {difference:+.3f} ({low:+.3f} to {high:+.3f})"
        )
    return said


def count_changes(comparison: SystemComparison) -> tuple[int, int]:
    """Return the number of documents on which the first system is better, and worse."""
    differences = [row["difference"] for row in comparison["documents"]]
    return sum(d > 0 for d in differences), sum(d < 0 for d in differences)


def _document_difference(name: str, first: float, second: float) -> DocumentDifference:
    return {"name": name, "first": first, "second": second, "difference": first - second}
