"""Pictures of an evaluation, drawn with matplotlib: SVG for a page, PNG for everything else.

The same values give the same bytes. Labels are shown as they are: none becomes a formula.
"""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

from ..scoring.reliability import ReliabilityFigures
from ..util.text import printable
from .evaluate import Metrics, SystemComparison
from .rows import Band, confusion_matrix, recall_bands, types_by_support

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PICTURES = ("recall", "reliability", "confusion")

NO_MATPLOTLIB = "The report has no pictures: they need matplotlib, pip install 'spacy-btl[plots]'"

INK, GRID = "#1b1f23", "#d5dbe1"
"""Colors that a page replaces by those of its light or dark look."""

COLORS = ("#0072b2", "#d55e00", "#009e73")
"""Colors that color-blind readers can distinguish (Okabe and Ito 2008)."""

MARKERS = ("o", "s")

RC: Any = {
    "font.size": 10,
    "text.parse_math": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "spacy-btl",
    "axes.edgecolor": GRID,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    **{f"axes.spines.{side}": False for side in ("top", "right")},
    **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
}


class Picture(NamedTuple):
    """A picture: a PNG on white at 200 dpi, and a self-contained SVG element for a page."""

    png: bytes
    svg: str = ""


class TypePoint(NamedTuple):
    """An entity type: its number in training, its recall and the 95% interval of the recall."""

    label: str
    in_training: int
    recall: float
    interval: Sequence[float]


def has_matplotlib() -> bool:
    """Return whether pictures can be drawn here."""
    return find_spec("matplotlib") is not None


def draw_pictures(
    metrics: Metrics, comparison: SystemComparison | None = None
) -> dict[str, Picture]:
    """Return pictures of an evaluation by name, those of `PICTURES` for which there are figures.

    Args:
        metrics: The figures; "recall" needs the frequencies in training.
        comparison: A comparison, for the mean recalls of the second system.
    """
    pictures = {}
    trained_on = metrics.get("train_counts")
    intervals = metrics["intervals"].get("ents_per_type", {})
    if trained_on and intervals:
        by_type = metrics["scores"]["ents_per_type"]
        points = [
            TypePoint(label, trained_on.get(label, 0), by_type[label]["r"], interval["r"])
            for label, interval in intervals.items()
        ]
        bands = {"mean of the types": recall_bands(metrics["scores"], trained_on)}
        if comparison:
            other = recall_bands(comparison["second_scores"], trained_on)
            bands["mean of the types, second"] = other
        pictures["recall"] = draw_recall(points, bands)
    if metrics["reliability"]:
        pictures["reliability"] = draw_reliability(metrics["reliability"])
    if metrics["confusion"]:
        order = types_by_support(metrics["scores"])
        matrix = confusion_matrix(metrics["confusion"], order)
        pictures["confusion"] = draw_confusion(*matrix)
    return pictures


def draw_recall(points: Sequence[TypePoint], bands: Mapping[str, Sequence[Band]]) -> Picture:
    """Draw the recall of each type over its frequency in training, on a logarithmic axis with a 0.

    A type is named where there is room, rare ones first.

    Args:
        points: The types.
        bands: Bands of types of one or two systems, by the names in the legend.
    """
    with _figure(5.2, 4.2) as figure:
        axes = figure.add_subplot()
        x = [point.in_training for point in points]
        y = [point.recall for point in points]
        for point in points:
            axes.plot([point.in_training] * 2, point.interval, color=COLORS[0], alpha=0.3, lw=1)
        axes.plot(x, y, "o", color=COLORS[0], ms=4)
        for (name, own), color, style in zip(bands.items(), COLORS[1:], "-:", strict=False):
            for i, band in enumerate(own):
                ends, mean = [band.low * 0.9, band.high * 1.1], [band.mean_recall] * 2
                (line,) = axes.plot(ends, mean, style, color=color, alpha=0.7, lw=2.5, zorder=1)
                line.set_label(name if not i else "_")  # an underscore leaves it out
        axes.set_xscale("symlog", linthresh=1)
        axes.set_xlim(0.6 * min(x) if min(x) else -0.3, 2 * max(*x, 1))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.minorticks_off()
        axes.set_ylim(-0.04, 1.04)
        axes.set_xlabel("entities of the type in training")
        axes.set_ylabel("strict recall, 95% interval")
        if any(bands.values()):
            _legend(axes)
        _name_points(figure, axes, points, [band for own in bands.values() for band in own])
        return _picture(figure, "recall", "Recall of each type over its frequency in training")


def draw_reliability(series: Mapping[str, ReliabilityFigures]) -> Picture:
    """Draw the share correct over the mean score, with 95% intervals, and a histogram below.

    Scores on the diagonal are probabilities.

    Args:
        series: Up to two kinds of score, by the names in the legend.
    """
    with _figure(5.2, 5.4) as figure:
        above, below = figure.subplots(2, 1, height_ratios=(4, 1), sharex=True)
        above.plot([0, 1], [0, 1], "--", color=INK, alpha=0.5, lw=1)
        for (name, figures), color, mark in zip(series.items(), COLORS, MARKERS, strict=False):
            label = f"{name}: calibration error {figures['error']:.3f}"
            rows = figures["bins"]
            x, y = [row["mean_score"] for row in rows], [row["fraction_correct"] for row in rows]
            for row, at in zip(rows, x, strict=True):
                above.plot([at, at], row["interval"], color=color, lw=1.5)
            above.plot(x, y, mark, color=color, label=printable(label))
            edges = [i / 20 for i in range(21)]
            below.stairs(figures["histogram"], edges, fill=True, color=color, alpha=0.6)
        above.set_ylabel("share correct")
        above.set_ylim(-0.03, 1.03)
        below.set_xlim(-0.03, 1.03)
        below.set_ylabel("entities")
        below.set_xlabel("score")
        _legend(above)
        return _picture(figure, "reliability", "Share of correct entities over their mean score")


def draw_confusion(
    rows: Sequence[str], columns: Sequence[str], counts: Sequence[Sequence[int]]
) -> Picture:
    """Draw the numbers of entities by gold type and predicted type, without an SVG.

    A cell is as dark as its share of the row is large. A page has a table instead
    (``confusion.html.j2``).

    Args:
        rows: Names of the gold types.
        columns: Names of the predicted types.
        counts: The numbers (n_rows, n_columns).
    """
    shares = [[count / (sum(row) or 1) for count in row] for row in counts]
    side = max(0.22 * max(len(rows), len(columns)), 2.5)
    with _figure(side + 2, side + 2) as figure:
        axes = figure.add_subplot()
        axes.grid(visible=False)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for i, row in enumerate(counts):
            for j, count in enumerate(row):
                if count:
                    color = "white" if shares[i][j] > 0.5 else INK
                    axes.text(j, i, str(count), ha="center", va="center", size=6, color=color)
        names = [[printable(name) for name in both] for both in (columns, rows)]
        axes.set_xticks(range(len(columns)), names[0], rotation=90, size=7)
        axes.set_yticks(range(len(rows)), names[1], size=7)
        axes.set_xlabel("predicted")
        axes.set_ylabel("gold")
        return Picture(_png(figure))


def _legend(axes: "Axes") -> None:
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), frameon=False, labelcolor=INK)


def _name_points(
    figure: "Figure",
    axes: "Axes",
    points: Sequence[TypePoint],
    bands: Sequence[Band],
) -> None:
    """Write names beside points; one that would cover a name, a point or a band is left out."""
    figure.canvas.draw()  # the layout is known from here on
    to_pixels = axes.transData.transform
    places = [to_pixels((point.in_training, point.recall)) for point in points]
    lines = [
        to_pixels([(band.low, band.mean_recall), (band.high, band.mean_recall)]).ravel()
        for band in bands
    ]
    frame = axes.get_window_extent()
    taken: list[tuple[float, ...]] = [(x - 3, y - 3, x + 3, y + 3) for x, y in places]
    taken += [(x - 3, y - 2, end + 3, y + 2) for x, y, end, _ in lines]
    renderer: Any = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    order = sorted(range(len(points)), key=lambda i: (points[i].in_training, points[i].label))
    for i in order:
        text = axes.text(0, 0, printable(points[i].label)[:40], size=8)
        size = text.get_window_extent(renderer)
        x, y = places[i]
        for left, bottom in (
            (x + 5, y - size.height / 2),
            (x - 5 - size.width, y - size.height / 2),
            (x - size.width / 2, y + 5),
            (x - size.width / 2, y - 5 - size.height),
        ):
            box = (left, bottom, left + size.width, bottom + size.height)
            inside = frame.x0 <= box[0] and box[2] <= figure.bbox.x1 and frame.y0 <= box[1]
            if inside and not any(_overlap(box, other) for other in taken):
                text.set_position(tuple(axes.transData.inverted().transform((left, bottom))))
                text.set_verticalalignment("bottom")
                taken.append(box)
                break
        else:
            text.remove()


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


@contextmanager
def _figure(width: float, height: float) -> Iterator["Figure"]:
    """Yield an empty figure of a size in inches, without effect on other users of matplotlib."""
    import warnings

    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context(RC), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a script that its font lacks
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure


def _picture(figure: "Figure", name: str, title: str) -> Picture:
    svg = io.BytesIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(svg, format="svg", transparent=True, metadata=nothing)
    return Picture(_png(figure), _for_page(svg.getvalue().decode("utf8"), name, title))


def _png(figure: "Figure") -> bytes:
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=200, facecolor="white", metadata={"Software": None})
    return png.getvalue()


def _for_page(svg: str, name: str, title: str) -> str:
    """Return the element alone, with ids and a look that fit into a page with other pictures."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<style.*?</style>|<metadata.*?</metadata>|<!--.*?-->", "", svg, flags=re.DOTALL)

    def changed(tag: re.Match[str]) -> str:
        text = re.sub(r'\bid="', f'id="{name}-', tag[0])
        text = re.sub(r'(href="|url\()#', rf"\1#{name}-", text)
        text = re.sub(r"font-family: [^;\"]*(; )?", "", text)
        for color, variable in ((INK, "--ink"), (GRID, "--line")):
            text = text.replace(color, f"var({variable})")
        return text

    svg = re.sub(r"<[^>]*>", changed, svg)  # not in words, in which there is no "<"
    return re.sub(
        r'<svg[^>]*?(viewBox="[^"]*")[^>]*>',
        rf'<svg class="picture {name}" role="img" aria-label="{title}" \1>',
        svg,
        count=1,
    )
