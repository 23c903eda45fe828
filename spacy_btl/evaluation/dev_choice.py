"""What dev decides when neighbours are fitted: settings, calibration, thresholds; its report."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from spacy.training import Example

from ..labels.calibration import cross_validated, fit_calibration
from ..labels.thresholds import KEEP_ALL, Objective, best_thresholds
from ..pipeline.component import BtlKnnNer
from ..pipeline.tuning import Dev, ScoredEntities, Trial, apply_setting, best, current_setting, grid
from ..scoring.reliability import reliability_figures
from ..util.files import write_file, write_json
from ..util.text import markdown_table
from .plots import draw_reliability, has_matplotlib
from .reliability import render_reliability

SHOWN = 12
"""Trials in the table of the terminal, the best ones; the file has all."""

UNCALIBRATED = (
    "The scores are not calibrated, and no thresholds chosen: that takes annotated entities on dev "
    "and predicted ones in at least two of its documents."
)


class DevChoice(NamedTuple):
    """Trials in the order tried, the first with the model alone; which was taken.

    before: the trial of the settings there were. held_out: calibrated scores of the entities, each
    by documents other than its own; None where there is too little to calibrate on.
    """

    trials: list[Trial]
    before: Trial
    chosen: Trial
    entities: ScoredEntities
    held_out: Any
    thresholds: dict[str, float]


def choose_on_dev(
    pipe: BtlKnnNer,
    config: dict[str, Any],
    examples: Sequence[Example],
    *,
    fixed: bool = False,
    thresholds: Objective | None = None,
) -> DevChoice:
    """Choose how the neighbours vote, calibrate the scores, choose thresholds where wanted.

    config: of the component; it takes over what is chosen. fixed: keep the settings there are,
    thresholds as well unless new ones are wanted. Where no setting finds an entity, that of before
    stays. Without gold entities, or with predicted ones in fewer than two documents, the scores
    stay raw and no threshold is chosen. Raises ValueError where there is no document, and where
    the neighbours have other settings than `Setting`.
    """
    current = current_setting(pipe)
    alone = current._replace(neighbor_weight=0.0)
    settings = list(dict.fromkeys([alone, current])) if fixed else grid(current)
    dev = Dev(pipe, examples, most=max(setting.n_neighbors for setting in settings))
    trials = [dev.trial(setting) for setting in settings]
    before, chosen = trials[settings.index(current)], best(trials)
    if fixed or not chosen.score:
        chosen = before
    apply_setting(pipe, config, chosen.setting)
    entities = dev.scored(chosen.setting)
    held_out: Any = None
    pipe.state.calibration = None
    if entities.n_gold and len(np.unique(entities.documents)) > 1:
        sample = (entities.scores, entities.types, entities.lengths, entities.correct)
        pipe.calibration = fit_calibration(*sample, entities.documents)
        held_out = cross_validated(*sample, entities.documents)
    if not fixed or thresholds is not None:
        least = {}
        if thresholds is not None and held_out is not None:
            least = best_thresholds(
                held_out, entities.types, entities.correct, entities.n_gold, objective=thresholds
            )
        pipe.thresholds = {name: value for name, value in least.items() if value > KEEP_ALL}
    config["thresholds"] = dict(pipe.thresholds)
    return DevChoice(trials, before, chosen, entities, held_out, config["thresholds"])


def render_choice(choice: DevChoice, *, shown: int = SHOWN) -> str:
    """Markdown: the trials, the reliability of the scores, the thresholds."""
    entities = choice.entities
    alone, current = choice.trials[0], choice.before
    ranked = sorted(choice.trials, key=lambda trial: -trial.score)
    listed = [t for t in choice.trials if t in ranked[:shown] or t in (alone, current)]
    rows = [
        [
            _name(trial) + {alone: " (model alone)", current: " (as before)"}.get(trial, ""),
            *(f"{value:.3f}" for value in (trial.micro_f, trial.macro_f, trial.score)),
            "chosen" if trial == choice.chosen else "",
        ]
        for trial in sorted(listed, key=lambda trial: -trial.score)
    ]
    header = ["neighbours, votes, their share", "micro F1", "macro F1", "mean", ""]
    lines = [
        f"Strict span F1 on dev, {len(rows)} of {len(choice.trials)} settings:",
        "",
        *markdown_table(header, rows),
        "",
    ]
    if choice.held_out is None:
        lines.append(UNCALIBRATED)
    else:
        lines += [
            "Scores of the entities on dev, calibrated ones each by the other documents:",
            "",
            render_reliability(_scores(choice), entities.types, entities.correct),
        ]
    if choice.thresholds:
        least = [[name, f"{value:.3f}"] for name, value in sorted(choice.thresholds.items())]
        lines += ["", "Least scores:", "", *markdown_table(["type", "score"], least)]
    return "\n".join(lines)


def write_choice(choice: DevChoice, folder: Path) -> None:
    """Write ``dev.md`` and ``dev.json`` (all trials).

    With matplotlib also ``reliability.png``, where the scores are calibrated.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = render_choice(choice, shown=len(choice.trials))
    write_file(folder / "dev.md", text + "\n")
    rows = [
        {**t.setting._asdict(), "micro_f": t.micro_f, "macro_f": t.macro_f} for t in choice.trials
    ]
    write_json(folder / "dev.json", rows)
    picture = folder / "reliability.png"
    if choice.held_out is not None and has_matplotlib():
        correct = choice.entities.correct
        series = {k: reliability_figures(s, correct) for k, s in _scores(choice).items()}
        write_file(picture, draw_reliability(series).png)
    else:
        picture.unlink(missing_ok=True)


def _scores(choice: DevChoice) -> dict[str, Any]:
    return {"raw": choice.entities.scores, "calibrated": choice.held_out}


def _name(trial: Trial) -> str:
    k, votes, temperature, weight = trial.setting
    if not weight:
        return "none"
    counted = f"softmax {temperature:g}" if votes == "softmax" else votes
    return f"{k}, {counted}, {weight:g}"
