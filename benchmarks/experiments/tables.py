"""The tables of the experiments, in Markdown, from the records of their runs.

python benchmarks/experiments/tables.py --output results

For each corpus and encoder: every arm read by the model alone, mean and spread over the seeds, and
its difference from the first arm of the plan; then what the ways of reading with neighbours change
in each arm. Differences are those on the test documents of all seeds that both have, paired by
document: 95 % interval (bootstrap), effect size, p of the permutation test with Holm's correction
over the rows of a table.
"""

import argparse
import sys
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import srsly
from corpora import VARIED
from plan import Plan, Reading, Run, read_plan
from record import read_counts
from run import HERE, is_done, result_path

from spacy_btl.counts import count_tables
from spacy_btl.report import render_table
from spacy_btl.scores import FIGURES, figure_array
from spacy_btl.statistics import compare, holm, spread_over_runs

SHOWN = {
    "ents_f": "strict span F1, micro",
    "ents_macro_f": "strict span F1, macro",
    "token_macro_r": "token unweighted accuracy, without O",
}
COLUMNS = [FIGURES.index(key) for key in SHOWN]
WAYS = {
    "argmax": "argmax of the model",
    "model": "model alone",
    "neighbors": "17 neighbours",
    "mixed": "mixed on dev",
    "chosen": "as dev chooses",
}
"""The last, made here, is the best on dev of model, neighbors and mixed, seed by seed, as
``fit-knn --dev`` takes it."""

ALONE = "model"

Rows = dict[Reading, dict[int, Any]]
"""Counts of the documents by arm and way, then by seed."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--plan", type=Path, default=HERE / "plan.yml")
    parser.add_argument("--results", type=Path, default=HERE.parents[1] / "results" / "runs")
    parser.add_argument("--output", type=Path, default=HERE.parents[1] / "results")
    options = parser.parse_args()
    plan = read_plan(options.plan)
    there = [run for run in plan.runs if is_done(plan, run, options.results)]
    by_setting: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in there:
        if any(key in plan.corpora[run.corpus] for key in VARIED):
            continue  # see curves.py
        by_setting[run.corpus, run.encoder].append(run)
    for (corpus, encoder), runs in by_setting.items():
        text = render(plan, runs, options.results, f"{corpus}, {plan.encoders[encoder]['title']}")
        path = options.output / f"{corpus}-{encoder}.md"
        path.write_text(text, encoding="utf8")
        print(text)
    return 0


def render(plan: Plan, runs: list[Run], results: Path, title: str) -> str:
    """The page of one corpus with one encoder."""
    runs = sorted(runs, key=lambda run: (list(plan.arms).index(run.arm), run.seed))
    summaries = {run: srsly.read_json(result_path(results, run)) for run in runs}
    dev, test = (_by_row(runs, results, part) for part in ("dev", "test"))
    _add_chosen(dev, test)
    return "\n".join(
        [
            f"# {title}",
            "",
            "`python benchmarks/experiments/tables.py`; the runs are those of "
            "`benchmarks/experiments/plan.yml`.",
            "",
            _best_on_dev(plan, dev),
            "",
            "## Arms",
            "",
            "Read by the model alone: the most probable well-formed label sequence. Reference "
            "there: its mean on the seeds of the row. In brackets after a difference: at how many "
            "of several seeds the arm is better. Intervals and p are those over documents; what "
            "another training of the same arm would give is not in them.",
            "",
            *_arms(plan, dev, test),
            *_gains(plan, test),
            "## Ways of reading",
            "",
            "Difference from the model alone in the same runs (95 %). Argmax is that of each token "
            "by itself, read as BIO the lenient way; mixed: a share above 0 and below 1 for the "
            "neighbours; as dev chooses: the best on dev of model, neighbours and mixed.",
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
    """A table for each figure: the arms, read by the model alone, against the first of them."""
    reference = (next(iter(plan.arms)), ALONE)
    against = test.get(reference, {})
    rows = {row: seeds for row, seeds in test.items() if row[1] == ALONE}
    compared = {
        row: difference
        for row, seeds in rows.items()
        if row != reference and (difference := _compare(seeds, against))
    }
    corrected = _holm_by_column(compared)
    lines: list[str] = []
    header = ["arm", "seeds", "dev", "test, mean (sd)", "reference there", "difference", "95 %"]
    header += ["effect", "p, Holm"]
    for i, name in enumerate(SHOWN.values()):
        cells = []
        for row, seeds in rows.items():
            cells.append([plan.arms[row[0]]["title"], str(len(seeds)), f"{_on_dev(dev[row]):.3f}"])
            cells[-1].append(_mean_and_spread(seeds, i))
            if row in compared:
                c = compared[row]
                there = {seed: against[seed] for seed in set(seeds) & set(against)}
                cells[-1] += [
                    _mean_and_spread(there, i).split()[0],
                    f"{c.difference[i]:+.3f}{_seeds_better(seeds, against, i)}",
                    f"{c.low[i]:+.3f} to {c.high[i]:+.3f}",
                    f"{c.effect[i]:+.2f}",
                    _p(corrected[row][i]),
                ]
            else:
                cells[-1] += ["", "reference" if row == reference else "", "", "", ""]
        lines += [f"### {name[0].upper()}{name[1:]}", "", *render_table(header, cells), ""]
    return lines


def _mean_and_spread(seeds: dict[int, Any], figure: int) -> str:
    spread = spread_over_runs([_figures(each) for each in seeds.values()])
    sd = f"{spread.sd[figure]:.3f}" if len(seeds) > 1 else "one seed"
    return f"{spread.mean[figure]:.3f} ({sd})"


def _gains(plan: Plan, test: Rows) -> list[str]:
    """The default against what a user would have without it, and the steps on the way to it."""
    if plan.default not in test:
        return []
    peers = [row for row in test if "kind" in plan.arms[row[0]]]
    against = [(plan.default, row) for row in (*plan.against, *peers)]
    steps = [(after, before) for before, after in pairwise(plan.steps)]
    return [
        "## What the default gains",
        "",
        "The first less the second, on the seeds of both (95 %); in brackets: at how many of the "
        "seeds the first is better. Last the steps on the way from the usual training.",
        "",
        *_differences(plan, test, against),
        "",
        *_differences(plan, test, steps),
        "",
    ]


def _differences(plan: Plan, test: Rows, pairs: list[tuple[Reading, Reading]]) -> list[str]:
    compared = {
        pair: difference
        for pair in pairs
        if all(row in test for row in pair)
        and (difference := _compare(test[pair[0]], test[pair[1]]))
    }
    corrected = _holm_by_column(compared)
    cells = []
    for pair, c in compared.items():
        own, other = (test[row] for row in pair)
        cells.append([_name(plan, row) for row in pair] + [str(len(set(own) & set(other)))])
        for i in range(len(SHOWN)):
            better = _seeds_better(own, other, i)
            cells[-1] += [f"{c.difference[i]:+.3f} ({c.low[i]:+.3f} to {c.high[i]:+.3f}){better}"]
            cells[-1] += [_p(corrected[pair][i])]
    return render_table(["first", "second", "seeds", *_columns()], cells)


def _name(plan: Plan, row: Reading) -> str:
    title = plan.arms[row[0]]["title"]
    return title if "kind" in plan.arms[row[0]] else f"{title}, {WAYS[row[1]]}"


def _columns() -> list[str]:
    short = [name.removeprefix("strict span ").removeprefix("token ") for name in SHOWN.values()]
    return [column for name in short for column in (name, "p, Holm")]


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _readings(plan: Plan, dev: Rows, test: Rows) -> list[str]:
    """One table: what neighbours change, against the model alone of the same runs."""
    compared = {
        row: difference
        for row, seeds in test.items()
        if row[1] != ALONE and (difference := _compare(seeds, test[row[0], ALONE]))
    }
    corrected = _holm_by_column(compared)
    cells = []
    for row, c in compared.items():
        change = _on_dev(dev[row]) - _on_dev(dev[row[0], ALONE])
        cells.append([plan.arms[row[0]]["title"], WAYS[row[1]], str(len(test[row]))])
        cells[-1].append(f"{change:+.3f}")
        for i in range(len(SHOWN)):
            cells[-1] += [
                f"{c.difference[i]:+.3f} ({c.low[i]:+.3f} to {c.high[i]:+.3f})",
                _p(corrected[row][i]),
            ]
    return render_table(["arm", "read by", "seeds", "dev", *_columns()], cells)


def _best_on_dev(plan: Plan, dev: Rows) -> str:
    most = max(len(seeds) for seeds in dev.values())
    arm, way = max((row for row in dev if len(dev[row]) == most), key=lambda row: _on_dev(dev[row]))
    seeds = "one seed" if most == 1 else f"{most} seeds"
    return (
        f"Best on dev, of those with {seeds}: **{plan.arms[arm]['title']}, {WAYS[way]}** "
        f"({_on_dev(dev[arm, way]):.3f}, mean of strict micro and macro F1)."
    )


def _seeds_better(own: dict[int, Any], reference: dict[int, Any], figure: int) -> str:
    """At how many of several seeds a figure is higher, as `` (2 of 3)``."""
    common = sorted(set(own) & set(reference))
    n = sum(_figures(own[s])[figure] > _figures(reference[s])[figure] for s in common)
    return f" ({n} of {len(common)})" if len(common) > 1 else ""


def _by_row(runs: list[Run], results: Path, part: str) -> Rows:
    rows: Rows = defaultdict(dict)
    for run in runs:
        for way, documents in read_counts(result_path(results, run), part).items():
            rows[run.arm, way][run.seed] = documents
    return dict(rows)


def _add_chosen(dev: Rows, test: Rows) -> None:
    """Add the way that is best on dev, for each arm and seed that neighbours have read."""
    for arm in [arm for arm, way in dev if way == "mixed"]:
        for seed in dev[arm, "mixed"]:
            on_dev = {
                (arm, way): _on_dev({seed: dev[arm, way][seed]})
                for way in ("model", "neighbors", "mixed")
            }
            best = max(on_dev, key=lambda row: on_dev[row])
            for rows in (dev, test):
                rows.setdefault((arm, "chosen"), {})[seed] = rows[best][seed]


def _figures(documents: dict[str, Any]) -> np.ndarray:
    _, (table,) = count_tables(list(documents.values()))
    return figure_array(table.sum(axis=0))[COLUMNS]


def _on_dev(seeds: dict[int, Any]) -> float:
    """What a setting is chosen by: the mean of micro and macro F1 on dev, over the seeds."""
    return float(np.mean([_figures(each)[:2].mean() for each in seeds.values()]))


def _compare(own: dict[int, Any], reference: dict[int, Any]) -> Any:
    """On the documents of all seeds in which both were run; None where there is no such seed.

    Each document is in the test part of one seed.
    """
    pairs = [
        (own[seed][name], reference[seed][name])
        for seed in sorted(set(own) & set(reference))
        for name in sorted(own[seed])
    ]
    if not pairs:
        return None
    _, (first, second) = count_tables([a for a, _ in pairs], [b for _, b in pairs])
    return compare(first, second, lambda sums: figure_array(sums)[..., COLUMNS])


def _holm_by_column(compared: dict[Any, Any]) -> dict[Any, np.ndarray]:
    if not compared:
        return {}
    p = np.stack([c.p for c in compared.values()])
    columns = np.stack([holm(column) for column in p.T], axis=1)
    return dict(zip(compared, columns, strict=True))


def _curves(plan: Plan, summaries: dict[Run, Any]) -> list[str]:
    curves = {
        run: {
            # spaCy evaluates after the update that it counts as 200 from 0, others after 200.
            round(row["updates"], -1): (row["ents_f"] + row["ents_macro_f"]) / 2
            for row in summary["on_dev_while_training"]
        }
        for run, summary in summaries.items()
    }
    steps = sorted(set().union(*curves.values()))
    rows = []
    for run, score in curves.items():
        cells = [f"{score[step]:.3f}" if step in score else "" for step in steps]
        minutes = f"{summaries[run]['seconds'] / 60:.0f}"
        rows.append([plan.arms[run.arm]["title"], str(run.seed), minutes, *cells])
    return render_table(["arm", "seed", "minutes", *map(str, steps)], rows)


if __name__ == "__main__":
    sys.exit(main())
