"""The data of the tables: counts of documents by arm, way of reading and seed.

A seed is a fold, so that each document is in the test part of one seed and, where there are several
seeds, in the dev part of another.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from experiments.plan import Plan, Reading, Run
from experiments.store import Store
from spacy_btl.scoring.counts import count_tables
from spacy_btl.scoring.scores import FIGURES, figure_array
from spacy_btl.scoring.statistics import compare, holm

SHOWN = {
    "ents_f": "strict span F1, micro",
    "ents_macro_f": "strict span F1, macro",
    "token_macro_r": "token unweighted accuracy, without O",
}
COLUMNS = [FIGURES.index(key) for key in SHOWN]
WAYS = {
    "argmax": "argmax of the model",
    "model": "model alone",
    "neighbors": "17 neighbors",
    "mixed": "mixed on dev",
    "chosen": "as dev chooses",
}
"""The last, made here, is the best on dev of model, neighbors and mixed, seed by seed, as
``fit-knn --dev`` takes it."""

ALONE = "model"

Rows = dict[Reading, dict[int, dict[str, Any]]]
"""By arm and way, then by seed: the counts of each document by its name."""


def read_rows(runs: Iterable[Run], store: Store) -> tuple[Rows, Rows]:
    """Return those of dev and of test."""
    parts: dict[str, Rows] = {"dev": defaultdict(dict), "test": defaultdict(dict)}
    for run in runs:
        for part, rows in parts.items():
            for way, documents in store.counts(run, part).items():
                rows[run.arm, way][run.seed] = documents
    dev, test = (dict(rows) for rows in parts.values())
    add_chosen(dev, test)
    return dev, test


def add_chosen(dev: Rows, test: Rows) -> None:
    """Add the way that is best on dev, for each arm and seed that neighbors have read."""
    for arm in [arm for arm, way in dev if way == "mixed"]:
        for seed in dev[arm, "mixed"]:
            on_dev = {
                (arm, way): score_on_dev({seed: dev[arm, way][seed]})
                for way in ("model", "neighbors", "mixed")
            }
            best = max(on_dev, key=lambda row: on_dev[row])
            for rows in (dev, test):
                rows.setdefault((arm, "chosen"), {})[seed] = rows[best][seed]


def without_dev(dev: Rows, test: Rows) -> Rows:
    """Return the test documents that no seed has in its dev part, of seeds with any."""
    seen = {name for seeds in dev.values() for documents in seeds.values() for name in documents}
    return {
        row: {
            seed: {name: counts for name, counts in documents.items() if name not in seen}
            for seed, documents in seeds.items()
            if not seen.issuperset(documents)
        }
        for row, seeds in test.items()
    }


def figures(documents: Mapping[Any, Any]) -> np.ndarray:
    """Return the figures of `SHOWN` on these documents."""
    _, (table,) = count_tables(list(documents.values()))
    return np.asarray(figure_array(table.sum(axis=0))[COLUMNS])


def figures_together(seeds: Mapping[int, Mapping[str, Any]]) -> np.ndarray:
    """Return the figures on the documents of all seeds, as if they were of one."""
    return figures({(s, name): each for s, docs in seeds.items() for name, each in docs.items()})


def score_on_dev(seeds: Mapping[int, Mapping[str, Any]]) -> float:
    """Return the criterion of a choice: the mean of micro and macro F1 on dev, over the seeds."""
    return float(np.mean([figures(each)[:2].mean() for each in seeds.values()]))


def difference(own: Mapping[int, Any], reference: Mapping[int, Any]) -> Any:
    """Return it on the documents of all seeds with both runs; None where there are none."""
    pairs = [
        (own[seed][name], reference[seed][name])
        for seed in sorted(set(own) & set(reference))
        for name in sorted(own[seed])
    ]
    if not pairs:
        return None
    _, (first, second) = count_tables([a for a, _ in pairs], [b for _, b in pairs])
    return compare(first, second, lambda sums: figure_array(sums)[..., COLUMNS])


def differences_by_seed(own: Mapping[int, Any], reference: Mapping[int, Any]) -> np.ndarray:
    """Return the differences (n_seeds, n_figures) of each seed that both have."""
    common = sorted(set(own) & set(reference))
    return np.array([figures(own[seed]) - figures(reference[seed]) for seed in common])


def holm_by_figure(compared: Mapping[Any, Any]) -> dict[Any, np.ndarray]:
    """Return the p of each difference, corrected over all of them, figure by figure."""
    if not compared:
        return {}
    p = np.stack([each.p for each in compared.values()])
    columns = np.stack([holm(column) for column in p.T], axis=1)
    return dict(zip(compared, columns, strict=True))


class Spread(NamedTuple):
    """Figures over runs that differ in their seed, each (n_figures,); sd is NaN for one run."""

    mean: np.ndarray
    sd: np.ndarray


def spread_over_runs(values: npt.ArrayLike) -> Spread:
    """Return mean and standard deviation (of a sample) of figures (n_runs, n_figures).

    Raises:
        ValueError: If there is no run.
    """
    values = np.asarray(values, dtype=np.float64)
    if not len(values):
        raise ValueError("no run to take a mean of")
    mean = values.mean(axis=0)
    sd = values.std(axis=0, ddof=1) if len(values) > 1 else np.full_like(mean, np.nan)
    return Spread(mean, sd)


def title_of(plan: Plan, row: Reading) -> str:
    """Return an arm and how it is read, in words; of a peer, which has one way, the arm alone."""
    arm, way = row
    title = str(plan.arms[arm]["title"])
    return title if "kind" in plan.arms[arm] else f"{title}, {WAYS[way]}"
