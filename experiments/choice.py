"""The choice of the default, on dev of all corpora."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from experiments.plan import Plan, Run
from experiments.rows import SHOWN, WAYS, Rows, figures, read_rows
from experiments.store import Store
from spacy_btl.util.text import markdown_table


def render_choice(plan: Plan, runs: Sequence[Run], store: Store) -> str:
    """Return the page of the arms that were run on every corpus with the same encoder.

    Empty where there is no such arm, or no seed that all of them have on some corpus.

    runs: of one encoder, on whole corpora. On each corpus the figures are means over the seeds that
    all these arms have there; all corpora and all figures count the same.
    """
    corpora = list(dict.fromkeys(run.corpus for run in runs))
    arms_of = {name: {run.arm for run in runs if run.corpus == name} for name in corpora}
    arms = [arm for arm in plan.arms if all(arm in arms_of[name] for name in corpora)]
    found: dict[tuple[str, str], list[np.ndarray]] = defaultdict(list)
    header = ["arm", "read by"]
    for name in corpora:
        dev, _ = read_rows([r for r in runs if r.corpus == name and r.arm in arms], store)
        rows: Rows = {row: dev[row] for row in dev if row[1] in ("model", "chosen")}
        common = sorted(set.intersection(*map(set, rows.values()))) if rows else []
        if not common:
            return ""
        header.append(f"{name}, seeds {', '.join(map(str, common))}")
        for row, seeds in rows.items():
            found[row].append(np.mean([figures(seeds[seed]) for seed in common], axis=0))
    ranked = sorted(found, key=lambda row: -np.mean(found[row]))
    cells = [
        [
            plan.arms[arm]["title"],
            WAYS[way],
            *(" / ".join(f"{x:.3f}" for x in each) for each in found[arm, way]),
            " / ".join(f"{x:.3f}" for x in np.mean(found[arm, way], axis=0)),
            f"{np.mean(found[arm, way]):.4f}",
        ]
        for arm, way in ranked
    ]
    return "\n".join(
        [
            "# The choice of the default",
            "",
            f"`python -m experiments.tables`; on dev: {', '.join(SHOWN.values())}.",
            "",
            *markdown_table([*header, "mean of the corpora", "mean"], cells),
            "",
        ]
    )
