"""The matrix as files: figures as JSON, a report in Markdown, and a page with heat maps.

The markup is in ``templates``. The files contain names, labels and figures, and no text.
"""

import json
from collections.abc import Sequence
from math import isnan
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

from ..util.files import write_files
from ..util.templates import html_templates, markdown_templates
from ..util.text import counted
from .correlation import Correlation
from .matrix import Matrix, Schedule

LEVELS = {"micro": "Strict micro F1", "macro": "Strict macro F1"}


class Shade(NamedTuple):
    """A cell of a heat map.

    Attributes:
        text: Its figure.
        note: What is below it, "" for nothing.
        strength: Number from -100 (the worst loss of the map) to 100 (as large a gain), or None for
            a cell without a figure.
    """

    text: str
    note: str = ""
    strength: int | None = None


class Map(NamedTuple):
    """A heat map: its title, columns, and rows of a name and cells."""

    title: str
    columns: list[str]
    rows: list[tuple[str, list[Shade]]]

    def lines(self) -> list[list[str]]:
        """Return the rows as texts."""
        return [[name, *(cell.text for cell in cells)] for name, cells in self.rows]


def write_page(
    matrix: Matrix,
    schedule: Schedule,
    folder: Path,
    *,
    title: str = "Gain from other corpora",
) -> str:
    """Write `page_files` into a folder, and return the report.

    Args:
        matrix: All figures.
        schedule: How it was trained.
        folder: The folder; these files are replaced in it.
        title: Title of the page.
    """
    text = render_report(matrix, schedule, title)
    figures = json.dumps(matrix.to_json(), indent=1)
    contents = (figures, text, render_html(matrix, schedule, title))
    names = page_files(schedule)
    write_files(
        folder,
        {name: content.encode("utf8") for name, content in zip(names, contents, strict=True)},
    )
    return text


def page_files(schedule: Schedule) -> list[str]:
    """Return the names of the figures, the report and the page.

    Those of joint first stages have names of their own: a folder may have both.
    """
    prefix = "joint-" if schedule.joint else ""
    return [f"{prefix}{name}" for name in ("matrix.json", "report.md", "report.html")]


def render_report(matrix: Matrix, schedule: Schedule, title: str) -> str:
    """Return the report in Markdown; arguments as of `write_page`."""
    template = markdown_templates("spacy_btl.transfer").get_template("transfer.md.j2")
    return template.render(_values(matrix, schedule, title))


def render_html(matrix: Matrix, schedule: Schedule, title: str) -> str:
    """Return the page with heat maps; arguments as of `write_page`."""
    template = html_templates("spacy_btl.transfer").get_template("transfer.html.j2")
    return template.render(_values(matrix, schedule, title))


def _values(matrix: Matrix, schedule: Schedule, title: str) -> dict[str, Any]:
    return {
        "title": title,
        "how": _how(schedule),
        "notes": [_spread(matrix, len(schedule.seeds)), *_shared(matrix)],
        "maps": [_main_map(matrix, level) for level in LEVELS],
        "predictors": _predictors(matrix),
        "types_note": _types_note(matrix),
        "by_type": [_type_map(matrix, target) for target in matrix.targets],
    }


def _how(schedule: Schedule) -> str:
    read = "source and target together" if schedule.joint else "the source"
    return (
        f"Each cell is the gain, in points of F1, of {schedule.first} updates on {read} and then "
        f"{schedule.second} on the target over {schedule.first + schedule.second} updates on the "
        "target alone. Scores are those of the target's dev, which also chose the checkpoints."
    )


def _spread(matrix: Matrix, seeds: int) -> str:
    if seeds == 1:
        return (
            "One seed: macro F1 moves by 2 to 4 points from one training to the next, so that "
            "smaller gains say nothing."
        )
    spreads = [
        stdev(100 * gain for gain in matrix.gains(*pair, level))
        for pair in matrix.cells
        for level in LEVELS
    ]
    return (
        f"Means over {seeds} seeds; the standard deviation of a gain over seeds is "
        f"{fmean(spreads):.1f} points on average, and {max(spreads):.1f} at most."
    )


def _shared(matrix: Matrix) -> list[str]:
    """Return which cells are too good, as the source has documents of the target's dev."""
    return [
        f"{source} shares {counted(n, 'document')} with the dev of {target} (the same or nearly "
        f"the same text), so this gain is too high. Convert {source} with --apart-from."
        for (source, target), n in matrix.shared.items()
    ]


def _main_map(matrix: Matrix, level: str) -> Map:
    """Return the gains of all pairs, with the targets alone above them."""
    alone = [
        Shade(f"{100 * fmean(scores[level] for scores in matrix.alone[target]):.1f}")
        for target in matrix.targets
    ]
    gains = {pair: 100 * fmean(matrix.gains(*pair, level)) for pair in matrix.cells}
    rows = [("alone (F1)", alone)]
    for source in matrix.sources:
        values = [gains.get((source, target)) for target in matrix.targets]
        rows.append((source, _shades(values, list(gains.values()))))
    return Map(f"{LEVELS[level]}: source by row, target by column", matrix.targets, rows)


def _type_map(matrix: Matrix, target: str) -> Map:
    """Return the gains of a target's types, with the share of known mentions below them."""
    sources = [source for source in matrix.sources if (source, target) in matrix.cells]
    gains = {source: matrix.type_gains(source, target) for source in sources}
    labels = list(matrix.alone[target][0]["types"])
    every = [100 * gain for own in gains.values() for gain in own.values()]
    rows = []
    for label in sorted(labels):
        notes = []
        for source in sources:
            share = matrix.by_type[source, target].get(label)
            notes.append("" if share is None else f"{100 * share:.0f}% known")
        rows.append((label, _shades([100 * gains[s][label] for s in sources], every, notes)))
    return Map(f"{target}, by type: gain in strict F1", sources, rows)


def _shades(
    values: Sequence[float | None], every: Sequence[float], notes: Sequence[str] = ()
) -> list[Shade]:
    """Return cells whose strength is relative to the largest value of the map."""
    most = max((abs(value) for value in every), default=0.0) or 1.0
    shades = []
    for i, value in enumerate(values):
        if value is None:
            shades.append(Shade("–"))
        else:
            note = notes[i] if notes else ""
            text = f"{value:+.1f}".replace("-0.0", "+0.0")
            shades.append(Shade(text, note, round(100 * value / most)))
    return shades


def _predictors(matrix: Matrix) -> list[list[str | int]]:
    """Return a row for each predictor: pairs, and its correlation with the gains and p by level."""
    by_level = {level: matrix.correlations(level) for level in LEVELS}
    return [
        [name, own.n, *(text for level in LEVELS for text in _figures(by_level[level][name]))]
        for name, own in by_level["micro"].items()
    ]


def _types_note(matrix: Matrix) -> str:
    own = matrix.type_correlation()
    rho, p = _figures(own)
    return (
        "Over all pairs of a source and a type, the share of known mentions and the gain in F1 "
        f"have a rank correlation of {rho} (p {p}, {counted(own.n, 'pair')})."
    )


def _figures(correlation: Correlation) -> tuple[str, str]:
    if isnan(correlation.rho):
        return "–", "–"
    return f"{correlation.rho:+.2f}", f"{correlation.p:.4f}"
