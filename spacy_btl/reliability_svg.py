"""A picture of how far scores can be taken as probabilities, as SVG with nothing from outside."""

from collections.abc import Mapping
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import numpy.typing as npt

from .passages import printable
from .reliability import checked, expected_calibration_error, reliability_table

Floats1d = npt.NDArray[np.float64]

STYLES = (("#0072B2", "circle"), ("#D55E00", "square"), ("#009E73", "diamond"))
"""Colours that colour-blind readers tell apart (Okabe and Ito 2008), and shapes for all others."""

LEFT, TOP, SIZE = 64, 64, 320
RIGHT, WIDTH, HEIGHT, GAP = 468, 812, 448, 48.0


def reliability_svg(
    series: Mapping[str, npt.ArrayLike], correct: npt.ArrayLike, *, n_bins: int = 10
) -> str:
    """One picture of up to three kinds of score of the same entities, with nothing from outside.

    Left, for each bin the share correct over the mean score, with 95 % intervals; the diagonal is
    where scores are probabilities. Right, how many entities have which score. Raises ValueError for
    no or too many series, and as `reliability_table` does.
    """
    if not 1 <= len(series) <= len(STYLES):
        raise ValueError(f"a picture shows one to {len(STYLES)} kinds of score, not {len(series)}")
    marks, legend, words = _axes(), [], []
    panel = (SIZE - GAP * (len(series) - 1)) / len(series)
    for i, ((name, scores), style) in enumerate(zip(series.items(), STYLES, strict=False)):
        s, c = checked(scores, correct)
        error = expected_calibration_error(s, c, n_bins)
        label = f"{name}: calibration error {error:.3f}"
        at = LEFT + 4 + 260 * i
        legend += [_mark(at, 32, *style), _text(at + 12, 36, label, "start")]
        rows = reliability_table(s, c, n_bins)
        words += [
            label,
            *(f"{r.mean_score:.2f} is correct in {r.fraction_correct:.2f}" for r in rows),
        ]
        for row in rows:
            x, y = LEFT + SIZE * row.mean_score, TOP + SIZE * (1 - row.fraction_correct)
            low, high = (TOP + SIZE * (1 - bound) for bound in row.interval)
            marks += [_line(x, low, x, high, style[0], 1.5), _mark(x, y, *style)]
        marks += _histogram(s, TOP + i * (panel + GAP), panel, style[0], name)
    desc = f"{len(np.asarray(correct))} entities. Mean score and share correct: {'; '.join(words)}."
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
            f'width="{WIDTH}" height="{HEIGHT}" role="img" aria-labelledby="title desc" '
            'font-family="sans-serif" font-size="12" fill="#222222">',
            '<title id="title">Reliability of the scores of entities</title>',
            f'<desc id="desc">{_escape(desc)}</desc>',
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#FFFFFF"/>',
            *legend,
            *marks,
            "</svg>\n",
        ]
    )


def plot_reliability(
    path: str | Path,
    series: Mapping[str, npt.ArrayLike],
    correct: npt.ArrayLike,
    *,
    n_bins: int = 10,
) -> None:
    """Write `reliability_svg` to a file; ValueError where its name does not end in .svg."""
    if Path(path).suffix.lower() != ".svg":
        raise ValueError(f"the picture is an SVG: {path} should end in .svg")
    Path(path).write_text(reliability_svg(series, correct, n_bins=n_bins), encoding="utf-8")


def _axes() -> list[str]:
    """Frame, diagonal, ticks and captions of the left side."""
    bottom = TOP + SIZE
    parts = [_line(LEFT, bottom, LEFT + SIZE, TOP, "#888888", 1, ' stroke-dasharray="5 4"')]
    for tick in range(0, 11, 2):
        x, y = LEFT + SIZE * tick / 10, bottom - SIZE * tick / 10
        parts += [_line(x, TOP, x, bottom, "#E4E4E4"), _line(LEFT, y, LEFT + SIZE, y, "#E4E4E4")]
        parts += [_text(x, bottom + 18, f"{tick / 10:.1f}")]
        parts += [_text(LEFT - 8, y + 4, f"{tick / 10:.1f}", "end")]
    parts += [_text(LEFT + SIZE / 2, bottom + 40, "mean score")]
    turned = f' transform="rotate(-90 20 {TOP + SIZE / 2:.1f})"'
    parts += [_text(20, TOP + SIZE / 2, "share correct", more=turned)]
    return [*parts[1:], parts[0]]  # the diagonal over the grid


def _histogram(s: Floats1d, top: float, height: float, colour: str, name: str) -> list[str]:
    """Bars of the number of entities in 20 equal steps of the score, from ``top`` downwards."""
    counts, _ = np.histogram(s, bins=20, range=(0, 1))
    most = max(int(counts.max()), 1)
    width = SIZE / 20
    parts = []
    for i, count in enumerate(counts.tolist()):
        tall = height * count / most
        parts.append(
            f'<rect x="{RIGHT + i * width + 1:.1f}" y="{top + height - tall:.1f}" '
            f'width="{width - 2:.1f}" height="{tall:.1f}" fill="{colour}"/>'
        )
    bottom = top + height
    parts += [_line(RIGHT, bottom, RIGHT + SIZE, bottom, "#888888")]
    parts += [_text(RIGHT - 8, top + 10, str(most), "end"), _text(RIGHT - 8, bottom, "0", "end")]
    parts += [_text(RIGHT, top - 8, f"entities by {name} score", "start")]
    parts += [_text(RIGHT + SIZE * t / 2, bottom + 16, f"{t / 2:.1f}") for t in range(3)]
    return parts


def _line(
    x1: float, y1: float, x2: float, y2: float, colour: str, width: float = 1, more: str = ""
) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        f'stroke="{colour}" stroke-width="{width}"{more}/>'
    )


def _text(x: float, y: float, text: str, anchor: str = "middle", more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{_escape(text)}</text>'


def _escape(text: str) -> str:
    return escape(printable(text))  # XML holds no control characters


def _mark(x: float, y: float, colour: str, shape: str) -> str:
    """A filled mark around a point."""
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}"/>'
    turned = f' transform="rotate(45 {x:.1f} {y:.1f})"' if shape == "diamond" else ""
    return (
        f'<rect x="{x - 4.5:.1f}" y="{y - 4.5:.1f}" width="9" height="9" fill="{colour}"{turned}/>'
    )
