"""The tables of the experiments, in Markdown, from the records of their runs.

python -m experiments.tables

For each corpus and encoder: every arm read by the model alone, and its difference from the arm that
the plan names as its reference; what the default gains; and what the ways of reading change in each
arm. Differences are those on the test documents of all seeds that both have, paired by document:
95% interval (bootstrap), effect size, p of the permutation test with Holm's correction over the
rows of a table.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from scipy.stats import t as student_t

from experiments.bands import render_bands
from experiments.choice import render_choice
from experiments.corpora import VARIED
from experiments.plan import Plan, Reading, Run, read_plan
from experiments.rows import (
    ALONE,
    SHOWN,
    WAYS,
    Rows,
    difference,
    differences_by_seed,
    figures,
    figures_together,
    holm_by_figure,
    read_rows,
    score_on_dev,
    spread_over_runs,
    title_of,
    without_dev,
)
from experiments.run import HERE, is_done
from experiments.store import Store
from spacy_btl.util.text import markdown_table


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--plan", type=Path, default=HERE / "plan.yml")
    parser.add_argument("--results", type=Path, default=HERE / "results" / "runs")
    parser.add_argument("--output", type=Path, default=HERE / "results")
    parser.add_argument(
        "--varied", action="store_true", help="also corpora of which a part is taken, see curves.py"
    )
    options = parser.parse_args(arguments)
    plan = read_plan(options.plan)
    store = Store(options.results)
    there = [run for run in plan.runs if is_done(plan, run, store)]
    by_setting: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in there:
        if not options.varied and any(key in plan.corpora[run.corpus] for key in VARIED):
            continue  # see curves.py
        by_setting[run.corpus, run.encoder].append(run)
    for (corpus, encoder), runs in by_setting.items():
        title = f"{corpus}, {plan.encoders[encoder]['title']}"
        text = render(plan, runs, store, title, options.plan.name)
        path = options.output / f"{corpus}-{encoder}.md"
        path.write_text(text, encoding="utf8")
        print(text)
    first = next(iter(plan.encoders))
    whole = [run for (_, encoder), runs in by_setting.items() if encoder == first for run in runs]
    several = len({run.corpus for run in whole}) > 1
    if several and (text := render_choice(plan, whole, store)):
        (options.output / "choice.md").write_text(text, encoding="utf8")
        print(text)
    return 0


def render(plan: Plan, runs: list[Run], store: Store, title: str, source: str = "plan.yml") -> str:
    """Return the page of one corpus with one encoder; ``source`` is the name of the plan's file."""
    runs = sorted(runs, key=lambda run: (list(plan.arms).index(run.arm), run.seed))
    summaries = {run: store.summary(run) for run in runs}
    dev, test = read_rows(runs, store)
    return "\n".join(
        [
            f"# {title}",
            "",
            f"`python -m experiments.tables`; the runs are those of `experiments/{source}`.",
            "",
            _best_on_dev(plan, dev),
            "",
            "## Arms",
            "",
            "Read by the model alone: the most probable well-formed label sequence. Mean (sd): of "
            "the seeds; together: on the documents of all of them, as is the difference from the "
            "reference; there: the reference on the same documents. In brackets after a "
            "difference: at how many of several seeds the arm is better. Intervals and p are "
            "those over documents; what another training of the same arm would give is not in "
            "them.",
            "",
            *_arms(plan, dev, test),
            *_gains(plan, dev, test),
            "## Ways of reading",
            "",
            "Difference from the model alone in the same runs (95%). Argmax is that of each token "
            "by itself, read as BIO the lenient way; mixed: a share above 0 and below 1 for the "
            "neighbors.",
            "",
            *_readings(plan, dev, test),
            "",
            "## Dev while training",
            "",
            "Mean of strict micro and macro F1 on dev, model alone, by updates; times of runs that "
            "shared a machine with other work say little.",
            "",
            *_curves(plan, summaries),
            "",
        ]
    )


def _arms(plan: Plan, dev: Rows, test: Rows) -> list[str]:
    """Return a table for each figure of the arms, by the model alone, against references."""
    rows = {arm: seeds for (arm, way), seeds in test.items() if way == ALONE}
    first = next(iter(plan.arms))
    reference = {arm: plan.arms[arm].get("reference", first) for arm in rows}
    compared = {
        arm: found
        for arm, seeds in rows.items()
        if arm != reference[arm] and (found := difference(seeds, rows.get(reference[arm], {})))
    }
    corrected = holm_by_figure(compared)
    header = ["arm", "seeds", "dev", "test, mean (sd)", "together", "reference", "there"]
    header += ["difference", "95%", "effect", "p, Holm"]
    lines: list[str] = []
    for i, name in enumerate(SHOWN.values()):
        cells = []
        for arm, seeds in rows.items():
            on_dev = f"{score_on_dev(dev[arm, ALONE]):.3f}" if (arm, ALONE) in dev else ""
            cells.append([plan.arms[arm]["title"], str(len(seeds)), on_dev])
            cells[-1] += [_mean_and_spread(seeds, i), f"{figures_together(seeds)[i]:.3f}"]
            if arm not in compared:
                cells[-1] += [""] * 6
                continue
            c, other = compared[arm], rows[reference[arm]]
            there = {seed: other[seed] for seed in set(seeds) & set(other)}
            cells[-1] += [
                plan.arms[reference[arm]]["title"],
                f"{figures_together(there)[i]:.3f}",
                f"{c.difference[i]:+.3f}{_seeds_better(seeds, other, i)}",
                f"{c.low[i]:+.3f} to {c.high[i]:+.3f}",
                f"{c.effect[i]:+.2f}",
                _p(corrected[arm][i]),
            ]
        lines += [f"### {name[0].upper()}{name[1:]}", "", *markdown_table(header, cells), ""]
    return lines


def _mean_and_spread(seeds: dict[int, Any], figure: int) -> str:
    spread = spread_over_runs([figures(each) for each in seeds.values()])
    sd = f"{spread.sd[figure]:.3f}" if len(seeds) > 1 else "one seed"
    return f"{spread.mean[figure]:.3f} ({sd})"


def _gains(plan: Plan, dev: Rows, test: Rows) -> list[str]:
    """Return the default against the alternatives, the steps on the way to it, and others."""
    peers = [row for row in test if "kind" in plan.arms[row[0]]]
    against = [(plan.default, row) for row in (*plan.against, *peers)]
    steps = [(after, before) for before, after in pairwise(plan.steps)]
    unseen = without_dev(dev, test)
    parts = {
        "The default:": _differences(plan, test, against),
        "The steps on the way to it from the usual training:": _differences(plan, test, steps),
        "Others:": _differences(plan, test, plan.others),
    }
    n_unseen, n = (sum(map(len, rows.get(plan.default, {}).values())) for rows in (unseen, test))
    if 0 < n_unseen < n:
        parts[
            "Dev of one seed is in the test part of another. The default on the "
            f"{n_unseen} of {n} test documents that are in no dev part:"
        ] = _differences(plan, unseen, against)
    parts[
        "Where the gain over the usual training lies: types by their gold mentions in the test "
        "documents of these seeds, the figures of each band on its own types alone:"
    ] = render_bands(plan, test, _over_the_usual(plan))
    if not any(parts.values()):
        return []
    lines = [
        "## Gains",
        "",
        "The first minus the second, on the test documents of the seeds of both (95%); in "
        "brackets: at how many of the seeds the first is better; after a semicolon, where there "
        "are three seeds or more: mean and 95% (t) of the differences of the seeds, whose "
        "trainings share documents. As dev chooses: the best on dev of model alone, 17 neighbors "
        "and mixed, seed by seed.",
        "",
    ]
    for heading, table in parts.items():
        lines += [heading, "", *table, ""] if table else []
    return lines


def _over_the_usual(plan: Plan) -> list[tuple[Reading, Reading]]:
    """Return the default and others against the usual training, which is the first of the steps."""
    return [
        (first, usual)
        for usual in plan.steps[:1]
        for first in (plan.default, *(own for own, other in plan.others if other == usual))
    ]


def _differences(plan: Plan, test: Rows, pairs: list[tuple[Reading, Reading]]) -> list[str]:
    """Return a table of them, empty where none of the pairs was run."""
    compared = {
        pair: found
        for pair in pairs
        if all(row in test for row in pair) and (found := difference(test[pair[0]], test[pair[1]]))
    }
    corrected = holm_by_figure(compared)
    cells = []
    for pair, c in compared.items():
        own, other = (test[row] for row in pair)
        cells.append([title_of(plan, row) for row in pair] + [str(len(set(own) & set(other)))])
        for i in range(len(SHOWN)):
            better, by_seed = _seeds_better(own, other, i), _over_seeds(own, other, i)
            interval = f"({c.low[i]:+.3f} to {c.high[i]:+.3f})"
            cells[-1] += [f"{c.difference[i]:+.3f} {interval}{better}{by_seed}"]
            cells[-1] += [_p(corrected[pair][i])]
    return markdown_table(["first", "second", "seeds", *_columns()], cells) if cells else []


def _columns() -> list[str]:
    short = [name.removeprefix("strict span ").removeprefix("token ") for name in SHOWN.values()]
    return [column for name in short for column in (name, "p, Holm")]


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _readings(plan: Plan, dev: Rows, test: Rows) -> list[str]:
    """Return a table of the effect of neighbors against the model alone of the same runs."""
    compared = {
        row: found
        for row, seeds in test.items()
        if row[1] not in (ALONE, "chosen") and (found := difference(seeds, test[row[0], ALONE]))
    }
    corrected = holm_by_figure(compared)
    cells = []
    for row, c in compared.items():
        change = score_on_dev(dev[row]) - score_on_dev(dev[row[0], ALONE])
        cells.append([plan.arms[row[0]]["title"], WAYS[row[1]], str(len(test[row]))])
        cells[-1].append(f"{change:+.3f}")
        for i in range(len(SHOWN)):
            cells[-1] += [
                f"{c.difference[i]:+.3f} ({c.low[i]:+.3f} to {c.high[i]:+.3f})",
                _p(corrected[row][i]),
            ]
    return markdown_table(["arm", "read by", "seeds", "dev", *_columns()], cells)


def _best_on_dev(plan: Plan, dev: Rows) -> str:
    most = max(len(seeds) for seeds in dev.values())
    arm, way = max(
        (row for row in dev if len(dev[row]) == most), key=lambda row: score_on_dev(dev[row])
    )
    seeds = "one seed" if most == 1 else f"{most} seeds"
    return (
        f"Best on dev, of those with {seeds}: **{plan.arms[arm]['title']}, {WAYS[way]}** "
        f"({score_on_dev(dev[arm, way]):.3f}, mean of strict micro and macro F1)."
    )


def _seeds_better(own: dict[int, Any], other: dict[int, Any], figure: int) -> str:
    """Return at how many of several seeds a figure is higher, as `` (2 of 3)``."""
    by_seed = differences_by_seed(own, other)[:, figure]
    return f" ({(by_seed > 0).sum()} of {len(by_seed)})" if len(by_seed) > 1 else ""


def _over_seeds(own: dict[int, Any], other: dict[int, Any], figure: int) -> str:
    """Return mean and 95% of the seeds' differences, as ``; +0.010 (-0.002 to +0.022)``."""
    by_seed = differences_by_seed(own, other)
    n = len(by_seed)
    if n < 3:
        return ""
    spread = spread_over_runs(by_seed)
    mean, half = spread.mean[figure], student_t.ppf(0.975, n - 1) * spread.sd[figure] / n**0.5
    return f"; {mean:+.3f} ({mean - half:+.3f} to {mean + half:+.3f})"


def _curves(plan: Plan, summaries: dict[Run, Any]) -> list[str]:
    curves = {
        run: {
            # spaCy evaluates after the update that it counts as 200 from 0, others after 200.
            round(row["updates"], -1): (row["ents_f"] + row["ents_macro_f"]) / 2
            for row in summary["on_dev_while_training"]
        }
        for run, summary in summaries.items()
        if summary["on_dev_while_training"]
    }
    steps = sorted(set().union(*curves.values()))
    rows = []
    for run, score in curves.items():
        cells = [f"{score[step]:.3f}" if step in score else "" for step in steps]
        minutes = f"{summaries[run]['seconds'] / 60:.0f}"
        rows.append([plan.arms[run.arm]["title"], str(run.seed), minutes, *cells])
    return markdown_table(["arm", "seed", "minutes", *map(str, steps)], rows)


if __name__ == "__main__":
    sys.exit(main())
