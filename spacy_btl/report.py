"""Readable tables of an evaluation, in Markdown; a terminal shows them as they are."""

from typing import Any


def render_report(metrics: dict[str, Any]) -> str:
    """The report on the figures that `spacy_btl.evaluation.evaluate` gives."""
    scores = metrics["scores"]
    lines = [f"**{metrics['heading']}**", ""] if metrics["heading"] else []
    lines += [
        f"{metrics['documents']} documents, {metrics['tokens']:,} tokens, entities: "
        f"{metrics['gold_entities']:,} gold, {metrics['predicted_entities']:,} predicted",
        "",
        *render_table(["figure", "value", "95 % interval"], _overall(metrics)),
        "",
    ]
    trained_on = metrics.get("train_counts", {})
    by_type = sorted(
        (scores["ents_per_type"] or {}).items(), key=lambda item: (-item[1]["support"], item[0])
    )
    rows = [
        [
            label,
            str(trained_on.get(label, 0)),
            str(figures["support"]),
            str(figures["predicted"]),
            *(f"{figures[key]:.3f}" for key in "prf"),
        ]
        for label, figures in by_type
    ]
    header = ["type", "in training", "support", "predicted", "precision", "recall", "F1"]
    return (
        "\n".join([*lines, "Strict span scores by type:", "", *render_table(header, rows)]) + "\n"
    )


def render_table(header: list[str], rows: list[list[str]]) -> list[str]:
    """Lines of a Markdown table with aligned columns, all but the first to the right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]

    def line(cells: list[str]) -> str:
        first, *others = zip(cells, widths, strict=True)
        padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return [line(header), f"| {' | '.join(rule)} |", *map(line, rows)]


def _overall(metrics: dict[str, Any]) -> list[list[str]]:
    names = {
        "ents_p": "strict span precision, micro",
        "ents_r": "strict span recall, micro",
        "ents_f": "strict span F1, micro",
        "ents_macro_f": "strict span F1, macro",
        "token_macro_r": "token unweighted accuracy, without O",
        "token_macro_r_with_o": "token unweighted accuracy, with O",
        "token_micro_f": "token F1, micro, without O",
        "token_macro_f": "token F1, macro, without O",
    }
    rows = []
    for key, name in names.items():
        value, interval = metrics["scores"][key], metrics["intervals"].get(key)
        spread = f"{interval[0]:.3f} to {interval[1]:.3f}" if interval else ""
        rows.append([name, "-" if value is None else f"{value:.3f}", spread])
    return rows
