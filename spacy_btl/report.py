"""Readable tables of an evaluation, in Markdown; a terminal shows them as they are."""

from collections.abc import Mapping, Sequence
from typing import Any

from .markdown import cell

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
    "The interval of a macro mean over few documents is too short: on documents drawn from the gold "
    "annotation of MACCROBAT, one that should hold the macro F1 in 95 % of the cases held it in "
    "73 % (16 documents), 83 % (40) and 90 % (100)."
)


def render_report(metrics: dict[str, Any]) -> str:
    """The report on the figures that `spacy_btl.evaluation.evaluate` gives."""
    scores = metrics["scores"]
    lines = [f"**{cell(metrics['heading'])}**", ""] if metrics["heading"] else []
    lines += [
        f"{metrics['documents']} documents, {metrics['tokens']:,} tokens, entities: "
        f"{metrics['gold_entities']:,} gold, {metrics['predicted_entities']:,} predicted",
        "",
        *render_table(["figure", "value", "95 % interval"], overall_rows(metrics)),
        "",
    ]
    if errors := metrics.get("errors"):
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in errors.items())
        lines += [f"Entities, gold and predicted ones paired where they overlap: {kinds}.", ""]
    trained_on = metrics.get("train_counts", {})
    by_type = sorted(
        (scores["ents_per_type"] or {}).items(), key=lambda item: (-item[1]["support"], item[0])
    )
    intervals = metrics["intervals"].get("ents_per_type", {})
    rows = [
        [
            label,
            str(trained_on.get(label, 0)),
            str(figures["support"]),
            str(figures["predicted"]),
            *(f"{figures[key]:.3f}" for key in "prf"),
            _spread(intervals.get(label, {}).get("f")),
        ]
        for label, figures in by_type
    ]
    header = ["type", "in training", "support", "predicted", "precision", "recall", "F1"]
    header += ["95 % interval of F1"]
    return (
        "\n".join([*lines, "Strict span scores by type:", "", *render_table(header, rows)]) + "\n"
    )


def render_table(header: list[str], rows: list[list[str]]) -> list[str]:
    """Lines of a Markdown table with aligned columns, all but the first to the right."""
    header, *rows = ([cell(text) for text in row] for row in (header, *rows))
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]

    def line(cells: list[str]) -> str:
        first, *others = zip(cells, widths, strict=True)
        padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return [line(header), f"| {' | '.join(rule)} |", *map(line, rows)]


def overall_rows(metrics: Mapping[str, Any]) -> list[list[str]]:
    """Name, value and interval of each overall figure in ``scores`` and ``intervals``."""
    rows = []
    for key, name in FIGURE_NAMES.items():
        value = metrics["scores"].get(key)
        spread = _spread(metrics["intervals"].get(key))
        rows.append([name, "-" if value is None else f"{value:.3f}", spread])
    return rows


def _spread(interval: Sequence[float] | None) -> str:
    return f"{interval[0]:.3f} to {interval[1]:.3f}" if interval else ""
