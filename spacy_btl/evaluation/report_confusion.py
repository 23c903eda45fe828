"""Confusion of types as HTML: the most frequent pairs, and the whole matrix as a heat map."""

from collections.abc import Mapping, Sequence

from ..scoring.scores import NO_LABEL
from ..util.templates import html_table, html_text

STYLE = """
.matrix { max-height: 85vh; overflow: auto; }
.matrix table { border-collapse: separate; border-spacing: 0; font-size: .6875rem; min-width: 0; }
.matrix th, .matrix td { padding: 0; border: 0; line-height: 1.5rem; }
.matrix thead th { position: sticky; top: 0; z-index: 1; background: var(--ground);
  writing-mode: vertical-rl; transform: rotate(180deg); text-align: start; padding: .4rem 0;
  min-width: 1.6rem; font-weight: 400; white-space: nowrap; }
.matrix thead th:first-child { z-index: 2; inset-inline-start: 0; writing-mode: horizontal-tb;
  transform: none; }
.matrix tbody th { position: sticky; inset-inline-start: 0; background: var(--ground);
  padding-inline-end: .5rem; white-space: nowrap; text-align: end; }
.matrix td { min-width: 1.6rem; text-align: center; border: 1px solid var(--card);
  font-variant-numeric: tabular-nums; }
.matrix td[style] { background: color-mix(in srgb, hsl(10 85% 55%) var(--share), transparent); }
.matrix td.d[style] { background: color-mix(in srgb, hsl(140 50% 45%) var(--share), transparent); }
"""

LISTED = 10
"""Pairs in the list of the most frequent ones."""

Confusion = Mapping[str, Mapping[str, int]]


def confusion_matrix(
    confusion: Confusion, order: Sequence[str]
) -> tuple[list[str], list[str], list[list[int]]]:
    """Names of the rows and of the columns, and the counts (n_rows, n_columns).

    confusion: as of `scoring.matching.confusion`. order: types in the order wanted; others that
    occur come after them. The first row is what is spurious, the first column what was missed.
    """
    occurring = {*confusion, *(label for row in confusion.values() for label in row)} - {NO_LABEL}
    labels = [label for label in order if label in occurring]
    labels += sorted(occurring - set(labels))
    keys = [NO_LABEL, *labels]
    counts = [[confusion.get(gold, {}).get(found, 0) for found in keys] for gold in keys]
    return ["spurious", *labels], ["missed", *labels], counts


def render_confusion(confusion: Confusion, order: Sequence[str]) -> list[str]:
    """HTML of the most frequent confusions and of the matrix."""
    rows, columns, counts = confusion_matrix(confusion, order)
    pairs = sorted(
        (-count, gold, found)
        for gold, row in confusion.items()
        for found, count in row.items()
        if NO_LABEL not in (gold, found) and gold != found
    )
    listed = [
        [f"{html_text(gold)} → {html_text(found)}", str(-count)]
        for count, gold, found in pairs[:LISTED]
    ]
    head = "".join(f'<th scope="col">{html_text(name)}</th>' for name in columns)
    lines = []
    for i, (name, row) in enumerate(zip(rows, counts, strict=True)):
        total = sum(row) or 1
        cells = "".join(_cell(count, count / total, i == j) for j, count in enumerate(row))
        lines.append(f'<tr><th scope="row">{html_text(name)}</th>{cells}</tr>')
    return [
        html_table("Most frequent confusions", ["gold → predicted", "entities"], listed)
        if listed
        else "<p>No entity was given another type.</p>",
        "<p>Rows are gold types, columns what they were answered by, whatever the bounds. The "
        "colour of a cell is as strong as its share of the row is large, green where the type is "
        "right.</p>",
        '<div class="scroll matrix" tabindex="0" role="region" aria-label="Confusion of types">'
        f'<table>\n<thead><tr><th scope="col">gold, predicted</th>{head}</tr></thead>\n<tbody>',
        *lines,
        "</tbody></table></div>",
    ]


def _cell(count: int, share: float, on_diagonal: bool) -> str:
    if not count:
        return "<td></td>"
    strength = 8 + round(62 * share)  # so that any colour can be seen, and the number read on it
    right = ' class="d"' if on_diagonal else ""
    return f'<td{right} style="--share:{strength}%">{count}</td>'
