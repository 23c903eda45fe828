"""The report on a choice of dev: the settings tried, and the reliability of the scores.

The markup is in ``templates/choice.md.j2``.
"""

from pathlib import Path

import srsly

from ..pipeline.tuning import DevChoice, Trial
from ..scoring.reliability import reliability_by_type, reliability_figures
from ..util.arrays import Floats1d
from ..util.files import write_files
from ..util.templates import markdown_templates
from .plots import draw_reliability, has_matplotlib
from .rows import TextRow, bin_rows, reliability_rows, spread

TRIALS_SHOWN = 12
"""Trials in the table of the terminal, the best ones; the file has all."""

MIN_COUNT = 30
"""Least number of predicted entities of a type whose reliability is shown."""


def render_choice(choice: DevChoice, *, shown: int = TRIALS_SHOWN) -> str:
    """Return the trials and the reliability of the scores as Markdown.

    Args:
        choice: The outcome of `choose_on_dev`.
        shown: Number of trials in the table, besides those of the model alone and of the settings
            before: the best ones.
    """
    entities = choice.entities
    series = {
        name: reliability_figures(scores, entities.correct)
        for name, scores in _scores(choice).items()
    }
    columns = ["entities", "mean score", "share correct", "95 % interval"]
    template = markdown_templates("spacy_btl.evaluation").get_template("choice.md.j2")
    return template.render(
        n_trials=len(choice.trials),
        trial_rows=_trial_rows(choice, shown),
        reliability_rows=reliability_rows(series),
        bins=[([f"{name} score", *columns], bin_rows(each)) for name, each in series.items()],
        min_count=MIN_COUNT,
        type_rows=_type_rows(choice),
    )


def write_choice(choice: DevChoice, folder: Path) -> None:
    """Write ``dev.md``, ``dev.json`` (all trials) and, with matplotlib, ``reliability.png``.

    There is no picture where the scores are not calibrated.

    Args:
        choice: The outcome of `choose_on_dev`.
        folder: Folder for the files, which is made where it is missing.
    """
    trials = [
        {**t.setting._asdict(), "micro_f": t.micro_f, "macro_f": t.macro_f} for t in choice.trials
    ]
    files = {
        "dev.md": render_choice(choice, shown=len(choice.trials)).encode(),
        "dev.json": bytes(srsly.json_dumps(trials, indent=2), "utf8"),
    }
    if (scores := _scores(choice)) and has_matplotlib():
        correct = choice.entities.correct
        series = {name: reliability_figures(each, correct) for name, each in scores.items()}
        files["reliability.png"] = draw_reliability(series).png
    write_files(folder, files)
    if "reliability.png" not in files:
        (folder / "reliability.png").unlink(missing_ok=True)


def _scores(choice: DevChoice) -> dict[str, Floats1d]:
    """Return the raw and calibrated scores by name; nothing where there are no calibrated ones."""
    if choice.calibrated is None:
        return {}
    return {"raw": choice.entities.scores, "calibrated": choice.calibrated}


def _trial_rows(choice: DevChoice, shown: int) -> list[TextRow]:
    """Return the setting, the scores and the fate of the best trials, the best first."""
    alone, before = choice.trials[0], choice.before
    ranked = sorted(choice.trials, key=lambda trial: -trial.score)
    return [
        [
            _name(trial) + {alone: " (model alone)", before: " (as before)"}.get(trial, ""),
            *(f"{value:.3f}" for value in (trial.micro_f, trial.macro_f, trial.score)),
            "chosen" if trial == choice.chosen else "",
        ]
        for i, trial in enumerate(ranked)
        if i < shown or trial in (alone, before)
    ]


def _type_rows(choice: DevChoice) -> list[TextRow]:
    """Return the reliability of the calibrated scores of each frequent type."""
    if choice.calibrated is None:
        return []
    types, correct = choice.entities.types, choice.entities.correct
    by_type = reliability_by_type(choice.calibrated, types, correct, min_count=MIN_COUNT)
    return [
        [
            label,
            f"{figures.n_entities:,}",
            f"{figures.mean_score:.3f}",
            f"{figures.fraction_correct:.3f}",
            spread(figures.interval),
            f"{figures.error:.3f}",
            f"{figures.chance:.3f}",
        ]
        for label, figures in by_type.items()
    ]


def _name(trial: Trial) -> str:
    k, votes, temperature, weight = trial.setting
    if not weight:
        return "none"
    counted = f"softmax {temperature:g}" if votes == "softmax" else votes
    return f"{k}, {counted}, {weight:g}"
