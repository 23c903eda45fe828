"""Quality and cost by the training documents and with the number of types.

python -m experiments.curves

A curve is made of the runs of one corpus as it is and of those of the same corpus with other
``train_documents`` or ``n_types`` (see ``corpora.py``), for the arms that were run at more than one
of its points, over the seeds that these points have in common. Seconds for an update are the median
over the times between two evaluations, with the reading of dev in them; those to read 1,000 words
are of the pipeline without tokenization, on the test documents. Where runs shared a machine with
other work they say little. Memory is the peak of the training process, without that of a GPU.
Writes a page, and with matplotlib its picture.
"""

import argparse
import io
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import mean, median
from typing import Any, NamedTuple

from experiments.corpora import VARIED
from experiments.plan import Plan, Run, read_plan
from experiments.rows import SHOWN, WAYS
from experiments.run import HERE, is_done
from experiments.store import Store
from spacy_btl.evaluation.plots import COLORS, MARKERS, NO_MATPLOTLIB, RC, has_matplotlib
from spacy_btl.util.text import markdown_table

NAMES = {
    "train_documents": ("documents", "training documents"),
    "n_types": ("types", "types in the training documents"),
}
"""By what is varied: its name in a record and in words."""

TRAINING = {"seconds_per_update": "seconds for an update", "peak_mib": "MiB in training"}
COST = {**TRAINING, "seconds_to_read": "seconds to read 1,000 words"}

Point = Mapping[str, Any]
"""Means over seeds: ``x``, figures of `SHOWN` and `COST`, ``known`` endings, the ``seeds``."""


class Curve(NamedTuple):
    """A corpus read by an encoder, and what is varied."""

    corpus: str
    encoder: str
    varied: str

    @property
    def name(self) -> str:
        """The name of its files."""
        return f"{self.corpus}-{self.encoder}-{NAMES[self.varied][0]}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--plan", type=Path, default=HERE / "plan.yml")
    parser.add_argument("--results", type=Path, default=HERE / "results" / "runs")
    parser.add_argument("--output", type=Path, default=HERE / "results")
    options = parser.parse_args(arguments)
    plan = read_plan(options.plan)
    store = Store(options.results)
    records = {run: store.summary(run) for run in plan.runs if is_done(plan, run, store)}
    for run in [run for run in records if "training" not in records[run]]:
        del records[run]
        print(f"left out: {run.key} does not give the size of its training part", file=sys.stderr)
    options.output.mkdir(parents=True, exist_ok=True)
    for curve, lines in curves(plan, records).items():
        page = render(plan, curve, lines)
        (options.output / f"{curve.name}.md").write_text(page, encoding="utf8")
        if has_matplotlib():
            draw(plan, curve, lines, options.output / f"{curve.name}.png")
        else:
            print(NO_MATPLOTLIB, file=sys.stderr)
        print(page)
    return 0


def curves(
    plan: Plan, records: Mapping[Run, Any]
) -> dict[Curve, dict[tuple[str, str], list[Point]]]:
    """Return the points of each curve by arm and way of reading, in ascending order."""
    groups: dict[tuple[Curve, str], dict[str, dict[int, Any]]]
    groups = defaultdict(lambda: defaultdict(dict))
    for run, record in records.items():
        for varied in VARIED:
            if (base := base_of(plan.corpora, run.corpus, varied)) is not None:
                groups[Curve(base, run.encoder, varied), run.arm][run.corpus][run.seed] = record
    found: dict[Curve, dict[tuple[str, str], list[Point]]] = defaultdict(dict)
    for (curve, arm), by_corpus in groups.items():
        # Each seed tests on other documents.
        common = set.intersection(*(set(by_seed) for by_seed in by_corpus.values()))
        chosen = [[by_seed[seed] for seed in sorted(common)] for by_seed in by_corpus.values()]
        if len(chosen) == 1 or not common:
            continue
        for way in chosen[0][0]["scores"]["test"]:
            points = [make_point(each, curve.varied, way) for each in chosen]
            found[curve][arm, way] = sorted(points, key=lambda point: point["x"])
    return found


def base_of(corpora: Mapping[str, Any], name: str, varied: str) -> str | None:
    """Return the corpus that this one varies in this setting alone, or itself."""
    settings = {key: value for key, value in corpora[name].items() if key != varied}
    return next((base for base, each in corpora.items() if each == settings), None)


def make_point(records: list[Any], varied: str, way: str) -> Point:
    """Return the means over the seeds; None for a cost that the records do not have."""
    scores = [record["scores"]["test"][way] for record in records]
    memory = [record["peak_mib"] for record in records if record.get("peak_mib")]
    pace = [pace for record in records if (pace := seconds_per_update(record)) is not None]
    read = [record.get("seconds_per_1000_words", {}).get(way) for record in records]
    return {
        "x": mean(record["training"][NAMES[varied][0]] for record in records),
        "known": mean(record["training"]["known_endings"] for record in records),
        "seeds": len(records),
        **{key: mean(each[key] for each in scores) for key in SHOWN},
        "seconds_per_update": mean(pace) if pace else None,
        "peak_mib": mean(memory) if memory else None,
        "seconds_to_read": None if None in read else mean(read),
    }


def seconds_per_update(record: Mapping[str, Any]) -> float | None:
    """Return the median over the times between two evaluations; None where they are not known."""
    rows = [row for row in record["on_dev_while_training"] if "seconds" in row]
    paces = [
        (after["seconds"] - before["seconds"]) / (after["updates"] - before["updates"])
        for before, after in pairwise(rows)
    ]
    return median(paces) if paces else None


def render(plan: Plan, curve: Curve, lines: Mapping[tuple[str, str], list[Point]]) -> str:
    """Return the page of one curve."""
    axis = NAMES[curve.varied][1]
    header = [axis, "known", "arm", "read by", "seeds", *SHOWN.values(), *COST.values()]
    rows = []
    for x in sorted({point["x"] for points in lines.values() for point in points}):
        for (arm, way), points in lines.items():
            for point in points:
                if point["x"] == x:
                    cells = [f"{x:g}", f"{point['known']:.3f}", plan.arms[arm]["title"], WAYS[way]]
                    cells += [str(point["seeds"]), *(f"{point[key]:.3f}" for key in SHOWN)]
                    cells += [
                        "" if point[key] is None else f"{point[key]:.{digits}f}"
                        for key, digits in zip(COST, (2, 0, 3), strict=True)
                    ]
                    rows.append(cells)
    return "\n".join(
        [
            f"# {curve.corpus}, {plan.encoders[curve.encoder]['title']}, by {axis}",
            "",
            "`python -m experiments.curves`; test documents, which are the same at all "
            "points. Known: the share of the test entities of whose type a mention with the same "
            "last word was trained on. How the points were made: `prepare` in "
            "`experiments/corpora.py`, and `subtypes.py` beside it.",
            "",
            f"![By {axis}]({curve.name}.png)",
            "",
            *markdown_table(header, rows),
            "",
        ]
    )


def draw(
    plan: Plan, curve: Curve, lines: Mapping[tuple[str, str], list[Point]], path: Path
) -> None:
    """Plot a panel for each figure and cost: a color an arm, a line style a way of reading."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator

    arms = list(dict.fromkeys(arm for arm, _ in lines))
    styles = {"argmax": "-.", "model": "-", "neighbors": ":", "mixed": "--"}
    panels = {**SHOWN, **COST}
    ticks = sorted({point["x"] for points in lines.values() for point in points})
    with rc_context(RC):
        figure = Figure(figsize=(12, 8), layout="constrained")
        FigureCanvasAgg(figure)
        places = figure.subplots(2, 3).flat
        for axes, (key, name) in zip(places, panels.items(), strict=True):
            for (arm, way), points in lines.items():
                if key in TRAINING and way != "model":
                    continue  # the same training
                known = [point for point in points if point[key] is not None]
                i = arms.index(arm)
                axes.plot(
                    [point["x"] for point in known],
                    [point[key] for point in known],
                    color=COLORS[i % len(COLORS)],
                    marker=MARKERS[i % len(MARKERS)],
                    linestyle=styles[way],
                    label=f"{plan.arms[arm]['title']}, {WAYS[way]}",
                )
            axes.set_xscale("log")
            axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axes.xaxis.set_minor_locator(NullLocator())
            axes.margins(y=0.1)
            axes.set_ylim(bottom=0)
            axes.set(title=name, xlabel=NAMES[curve.varied][1])
        legend = figure.axes[0].get_legend_handles_labels()
        figure.legend(*legend, loc="outside lower center", ncols=len(arms), frameon=False)
        save_picture(figure, path)


def save_picture(figure: Any, path: Path) -> None:
    """Write a figure of matplotlib as a PNG of 64 colors, which is a quarter as large."""
    from PIL import Image

    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=120, metadata={"Software": None})
    colors = Image.open(drawn).convert("RGB").quantize(64, Image.Quantize.FASTOCTREE, dither=0)
    colors.save(path, optimize=True)


if __name__ == "__main__":
    sys.exit(main())
