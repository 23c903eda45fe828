"""Readable tables of an evaluation, in Markdown; a terminal shows them as they are."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..util.text import cell, markdown_table

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
"""Overall figures of a report, each with its level."""

MACRO_NOTE = (
    "The interval of a macro mean over few documents is too short: simulated on the gold "
    "annotation of MACCROBAT, intervals that should hold the macro F1 in 95 % of the cases held "
    "it in 73 % (16 documents), 83 % (40) and 90 % (100)."
)

BANDS = ((0, 0), (1, 9), (10, 29), (30, 99), (100, 299), (300, 999), (1000, 2**63))
"""Lowest and highest frequency in training of the types that are taken together."""


def render_report(metrics: dict[str, Any]) -> str:
    """The report on the figures that `evaluation.evaluate` gives."""
    scores = metrics["scores"]
    lines = [f"**{cell(metrics['heading'])}**", ""] if metrics["heading"] else []
    lines += [
        f"{metrics['documents']} documents, {metrics['tokens']:,} tokens, entities: "
        f"{metrics['gold_entities']:,} gold, {metrics['predicted_entities']:,} predicted",
        "",
        *markdown_table(["figure", "value", "95 % interval"], overall_rows(metrics)),
        "",
    ]
    if "ents_macro_f" in metrics["intervals"]:
        lines += [MACRO_NOTE, ""]
    if errors := metrics.get("errors"):
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in errors.items())
        lines += [f"Entities, gold and predicted ones paired where they overlap: {kinds}.", ""]
    trained_on = metrics.get("train_counts", {})
    by_type = scores["ents_per_type"]
    intervals = metrics["intervals"].get("ents_per_type", {})
    rows = [
        [
            label,
            *([str(trained_on.get(label, 0))] if trained_on else []),
            str(by_type[label]["support"]),
            str(by_type[label]["predicted"]),
            *(f"{by_type[label][key]:.3f}" for key in "prf"),
            spread(intervals.get(label, {}).get("f")),
        ]
        for label in types_by_support(metrics)
    ]
    header = ["type", *(["in training"] if trained_on else []), "support", "predicted"]
    header += ["precision", "recall", "F1", "95 % interval of F1"]
    return (
        "\n".join([*lines, "Strict span scores by type:", "", *markdown_table(header, rows)]) + "\n"
    )


def types_by_support(metrics: Mapping[str, Any]) -> list[str]:
    """Types that are gold or predicted, those with most gold entities first."""
    by_type = metrics["scores"]["ents_per_type"] or {}
    return sorted(by_type, key=lambda label: (-by_type[label]["support"], label))


def recall_bands(metrics: Mapping[str, Any]) -> list[tuple[list[int], list[float], int]]:
    """For each of `BANDS` with types that have gold: their frequencies, recalls, and support."""
    trained_on = metrics["train_counts"]
    scores = metrics["scores"]["ents_per_type"] or {}
    bands = []
    for low, high in BANDS:
        own = [
            (trained_on.get(label, 0), figures)
            for label, figures in sorted(scores.items())
            if figures["support"] and low <= trained_on.get(label, 0) <= high
        ]
        if own:
            support = sum(figures["support"] for _, figures in own)
            bands.append(([n for n, _ in own], [figures["r"] for _, figures in own], support))
    return bands


def overall_rows(metrics: Mapping[str, Any]) -> list[list[str]]:
    """Name, value and interval of each overall figure in ``scores`` and ``intervals``."""
    rows = []
    for key, name in FIGURE_NAMES.items():
        value = metrics["scores"].get(key)
        interval = metrics["intervals"].get(key)
        rows.append([name, "-" if value is None else f"{value:.3f}", spread(interval)])
    return rows


def spread(interval: Sequence[float] | None) -> str:
    """An interval in words; none where all draws gave the same, as of a type never found."""
    if not interval or interval[0] == interval[1]:
        return ""
    return f"{interval[0]:.3f} to {interval[1]:.3f}"
