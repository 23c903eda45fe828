"""Check of forecasts: curves of few documents, and the scores of runs on more.

python -m experiments.forecast

Fits `spacy_btl.planning.forecast` to stored runs of a corpus with fewer training documents, up to
``--upto``, and compares its forecasts with the stored runs of more documents: the same arm, encoder
and seed, and so the same test documents; and likewise for the reports that `suggest.py` took in
random order. Nothing is trained. Types are grouped by their gold
mentions in the test documents, scaled to the number of training documents.

The intervals are those of scores on any documents of this kind. Forecast and measured scores are of
the same ones here, so that more than 95 of 100 intervals should contain what was measured.
"""

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import srsly

from experiments.curves import base_of
from experiments.plan import Plan, Run, read_plan
from experiments.rows import WAYS
from experiments.run import HERE
from experiments.store import Store
from spacy_btl.planning.forecast import CurvePoint, forecast_of
from spacy_btl.util.text import markdown_table

MEANINGS = {
    "micro": "micro F1",
    "macro": "macro F1",
    "rare": "macro F1, fewer than 40 mentions",
    "middle": "macro F1, 40 to 199 mentions",
    "frequent": "macro F1, 200 mentions or more",
}


class Check(NamedTuple):
    """A forecast and what came."""

    key: str
    way: str
    sizes: tuple[int, ...]
    target: int
    figure: str
    forecast: float
    low: float
    high: float
    measured: float

    @property
    def error(self) -> float:
        """The forecast minus what was measured."""
        return self.forecast - self.measured

    @property
    def inside(self) -> bool:
        """True if the interval contains the measured score."""
        return self.low <= self.measured <= self.high


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--plan", type=Path, default=HERE / "plan.yml")
    parser.add_argument("--results", type=Path, default=HERE / "results" / "runs")
    parser.add_argument(
        "--suggest", type=Path, default=HERE / "results" / "suggest" / "maccrobat.json.gz"
    )
    parser.add_argument("--output", type=Path, default=HERE / "results" / "forecast.md")
    parser.add_argument("--upto", type=int, default=80, help="most documents that are fitted to")
    options = parser.parse_args(arguments)
    checks = checks_of(read_plan(options.plan), Store(options.results), options.upto)
    if options.suggest.is_file():
        checks += checks_of_orders(srsly.read_gzip_json(options.suggest), options.upto)
    if not checks:
        print("no arm was run at two sizes to fit to and at one beyond", file=sys.stderr)
        return 1
    page = render(checks, options.upto)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(page, encoding="utf8")
    print(page)
    return 0


def checks_of(plan: Plan, store: Store, upto: int) -> list[Check]:
    """Return the forecasts of all arms with runs at two sizes to fit to, and at one beyond."""
    groups: dict[tuple[str, ...], dict[int, Run]] = defaultdict(dict)
    for run in plan.runs:
        base = base_of(plan.corpora, run.corpus, "train_documents")
        summary = store.summary(run)
        if base is not None and summary is not None and "training" in summary:
            key = (base, run.encoder, run.arm, str(run.seed))
            groups[key][summary["training"]["documents"]] = run
    checks = []
    for key, by_size in groups.items():
        sizes = sorted(size for size in by_size if size <= upto)
        targets = sorted(size for size in by_size if size > upto)
        if len(sizes) > 1 and targets:
            counts = {size: store.counts(run, "test") for size, run in by_size.items()}
            for way in counts[sizes[0]]:
                for target in targets:
                    name = "/".join(key)
                    checks += check(name, way, {n: counts[n][way] for n in sizes}, target,
                                    counts[target][way])  # fmt: skip
    return checks


def checks_of_orders(found: Mapping[str, Any], upto: int) -> list[Check]:
    """Return the forecasts for reports in random order, as `suggest.py` stores their trainings."""
    checks = []
    for seed, orders in found["seeds"].items():
        counts = {
            row["reports"]: {name: {"spans": spans} for name, spans in row["spans"].items()}
            for row in orders.get("random", ())
        }
        known = {size: each for size, each in counts.items() if size <= upto}
        for target in sorted(counts.keys() - known.keys()):
            name = f"{found['settings']['folder']}/suggest/random/{seed}"
            checks += check(name, "model", known, target, counts[target])
    return checks


def check(
    key: str,
    way: str,
    counts: Mapping[int, Mapping[str, Any]],
    target: int,
    measured: Mapping[str, Any],
) -> list[Check]:
    """Return the forecasts of all figures at one size.

    counts: by number of training documents, the counts of each test document.
    measured: those of the run that is to be predicted.
    """
    names = list(measured)
    points = [CurvePoint(n, [each[name] for name in names]) for n, each in counts.items()]
    mentions: Counter[str] = Counter()
    for each in measured.values():
        mentions.update({label: gold for label, (gold, _, _) in each["spans"].items()})
    scale = max(counts) / len(names)
    known = {label: round(n * scale) for label, n in mentions.items()}
    found = forecast_of(points, known, max(counts))
    # The score that is to be predicted is observed as that of one more point.
    later = forecast_of(
        [*points, CurvePoint(target, [measured[name] for name in names])], known, target, samples=20
    )
    checks = []
    for figure, curve in found.curves.items():
        expected, low, high = curve.score(target)
        checks.append(
            Check(key, way, tuple(counts), target, figure, expected, low, high,
                  later.observed[figure][-1])
        )  # fmt: skip
    return checks


def errors_of(words: str, checks: Sequence[Check]) -> list[str]:
    """Return the row of a figure: its errors and intervals over its forecasts."""
    return [
        words,
        str(len(checks)),
        f"{mean(each.error for each in checks):+.3f}",
        f"{mean(abs(each.error) for each in checks):.3f}",
        f"{mean(each.high - each.low for each in checks):.3f}",
        f"{sum(each.inside for each in checks)} of {len(checks)}",
    ]


def render(checks: Sequence[Check], upto: int) -> str:
    """Return the page: errors by what was fitted to and by figure, and all forecasts."""
    rows = [
        [
            each.key,
            WAYS[each.way],
            f"{', '.join(map(str, each.sizes))} -> {each.target}",
            MEANINGS[each.figure],
            f"{each.forecast:.3f} ({each.low:.3f} to {each.high:.3f})",
            f"{each.measured:.3f}",
            f"{each.error:+.3f}",
            "yes" if each.inside else "no",
        ]
        for each in checks
    ]
    parts = []
    for sizes in sorted({each.sizes for each in checks}):
        fitted = [each for each in checks if each.sizes == sizes]
        parts += ["", f"## Fitted to {', '.join(map(str, sizes))} documents", ""]
        parts += markdown_table(
            ["figure", "forecasts", "mean error", "mean absolute error", "width", "inside"],
            [
                errors_of(words, own)
                for figure, words in MEANINGS.items()
                if (own := [each for each in fitted if each.figure == figure])
            ],
        )
    columns = ["run", "read by", "documents", "figure", "forecast", "measured", "error", "inside"]
    return "\n".join(
        [
            "# Forecasts of learning curves",
            "",
            f"`python -m experiments.forecast`; curves fitted to runs on up to {upto} documents, "
            "their forecasts for more, and what the runs on these reached. The ways of reading of "
            "one run, and the figures of one way, are not independent. Intervals are for other "
            "test documents too, but the measured scores are of the same ones: more than 95% "
            "should be inside. The exponent that curves are held near (`planning/power_law.py`) "
            "was chosen after a look at the runs on 10, 40 and 112 documents.",
            *parts,
            "",
            "## All forecasts",
            "",
            *markdown_table(columns, rows),
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
