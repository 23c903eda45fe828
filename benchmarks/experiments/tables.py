"""The tables of the experiments, in Markdown, from the records of their runs.

python benchmarks/experiments/tables.py --output results

For each corpus and encoder: every arm in every way of reading, mean and spread over the seeds, and
the difference from the reference (the first arm of the plan, read by the model alone) on the test
documents of all seeds together, paired by document: 95 % interval (bootstrap), effect size, p of
the permutation test with Holm's correction over the rows. What is best on dev stands in bold.
"""

import argparse
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import srsly
from corpora import VARIED
from plan import Plan, Run, read_plan
from record import read_counts
from run import HERE, result_path

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
WAYS = {"model": "model alone", "neighbors": "17 neighbours", "mixed": "mixed on dev"}

Row = tuple[str, str]
"""Arm and way of reading."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--plan", type=Path, default=HERE / "plan.yml")
    parser.add_argument("--results", type=Path, default=HERE.parents[1] / "results" / "runs")
    parser.add_argument("--output", type=Path, default=HERE.parents[1] / "results")
    options = parser.parse_args()
    plan = read_plan(options.plan)
    there = [run for run in plan.runs if result_path(options.results, run).is_file()]
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
    summaries = {run: srsly.read_json(result_path(results, run)) for run in runs}
    return "\n".join(
        [
            f"# {title}",
            "",
            "`python benchmarks/experiments/tables.py`; the runs are those of "
            "`benchmarks/experiments/plan.yml`.",
            "",
            *_comparison(plan, runs, results),
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


def _comparison(plan: Plan, runs: list[Run], results: Path) -> list[str]:
    dev, test = (_by_row(runs, results, part) for part in ("dev", "test"))
    reference = (next(arm for arm in plan.arms if any(run.arm == arm for run in runs)), "model")
    on_dev = {row: _on_dev(seeds) for row, seeds in dev.items()}
    common = {row: set(seeds) & set(test[reference]) for row, seeds in test.items()}
    compared = {
        row: _compare(test[row], test[reference], sorted(common[row]))
        for row in test
        if row != reference and common[row]
    }
    corrected = _holm_by_column(compared)
    n_most = max(len(seeds) for seeds in dev.values())
    best = max((row for row in dev if len(dev[row]) == n_most), key=lambda row: on_dev[row])
    lines: list[str] = []
    header = ["arm", "read by", "seeds", "dev", "test, mean (sd)", "difference", "95 %", "effect"]
    header += ["p, Holm"]
    for i, name in enumerate(SHOWN.values()):
        rows = []
        for row, seeds in test.items():
            spread = spread_over_runs([_figures(each) for each in seeds.values()])
            sd = f"{spread.sd[i]:.3f}" if len(seeds) > 1 else "one seed"
            arm, way = row
            title = plan.arms[arm]["title"]
            cells = [f"**{title}**" if row == best else title, WAYS[way], str(len(seeds))]
            cells += [f"{on_dev[row]:.3f}", f"{spread.mean[i]:.3f} ({sd})"]
            if row in compared:
                c = compared[row]
                cells += [
                    f"{c.difference[i]:+.3f}",
                    f"{c.low[i]:+.3f} to {c.high[i]:+.3f}",
                    f"{c.effect[i]:+.2f}",
                    f"{corrected[row][i]:.3f}",
                ]
            else:
                cells += ["reference" if row == reference else "", "", "", ""]
            rows.append(cells)
        lines += [f"## {name[0].upper()}{name[1:]}", "", *render_table(header, rows), ""]
    return lines


def _by_row(runs: list[Run], results: Path, part: str) -> dict[Row, dict[int, Any]]:
    """Counts of the documents by arm and way, then by seed."""
    rows: dict[Row, dict[int, Any]] = defaultdict(dict)
    for run in runs:
        for way, documents in read_counts(result_path(results, run), part).items():
            rows[run.arm, way][run.seed] = documents
    return dict(rows)


def _figures(documents: dict[str, Any]) -> np.ndarray:
    _, (table,) = count_tables(list(documents.values()))
    return figure_array(table.sum(axis=0))[COLUMNS]


def _on_dev(seeds: dict[int, Any]) -> float:
    """What a setting is chosen by: the mean of micro and macro F1 on dev, over the seeds."""
    return float(np.mean([_figures(each)[:2].mean() for each in seeds.values()]))


def _compare(own: dict[int, Any], reference: dict[int, Any], seeds: list[int]) -> Any:
    """The documents of all seeds in which both were run; each is in the test part of one."""
    pairs = [
        (own[seed][name], reference[seed][name]) for seed in seeds for name in sorted(own[seed])
    ]
    _, (first, second) = count_tables([a for a, _ in pairs], [b for _, b in pairs])
    return compare(first, second, lambda sums: figure_array(sums)[..., COLUMNS])


def _holm_by_column(compared: dict[Row, Any]) -> dict[Row, np.ndarray]:
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
