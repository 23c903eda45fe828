"""The report on a choice of dev: the settings tried, and the reliability of the scores."""

from pathlib import Path

from ..pipeline.tuning import DevChoice, Trial
from ..scoring.reliability import reliability_figures
from ..util.arrays import Floats1d
from ..util.files import write_file, write_json
from ..util.text import markdown_table
from .plots import draw_reliability, has_matplotlib
from .reliability import render_reliability

SHOWN = 12
"""Trials in the table of the terminal, the best ones; the file has all."""

UNCALIBRATED = (
    "The scores are not calibrated: that takes annotated entities on dev, and predicted ones in at "
    "least two of its documents."
)


def render_choice(choice: DevChoice, *, shown: int = SHOWN) -> str:
    """Return the trials and the reliability of the scores as Markdown.

    Args:
        choice: The outcome of `choose_on_dev`.
        shown: Number of trials in the table, besides those of the model alone and of the settings
            before: the best ones.
    """
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
    header = ["neighbors, votes, their share", "micro F1", "macro F1", "mean", ""]
    lines = [
        f"Strict span F1 on dev, {len(rows)} of {len(choice.trials)} settings:",
        "",
        *markdown_table(header, rows),
        "",
    ]
    if scores := _scores(choice):
        lines += [
            "Scores of the entities on dev, each calibrated one by the other documents:",
            "",
            render_reliability(scores, choice.entities.types, choice.entities.correct),
        ]
    else:
        lines.append(UNCALIBRATED)
    return "\n".join(lines)


def write_choice(choice: DevChoice, folder: Path) -> None:
    """Write ``dev.md``, ``dev.json`` (all trials) and, with matplotlib, ``reliability.png``.

    There is no picture where the scores are not calibrated.

    Args:
        choice: The outcome of `choose_on_dev`.
        folder: Folder for the files, which is made where it is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = render_choice(choice, shown=len(choice.trials))
    write_file(folder / "dev.md", text + "\n")
    rows = [
        {**t.setting._asdict(), "micro_f": t.micro_f, "macro_f": t.macro_f} for t in choice.trials
    ]
    write_json(folder / "dev.json", rows)
    picture = folder / "reliability.png"
    if (scores := _scores(choice)) and has_matplotlib():
        correct = choice.entities.correct
        series = {name: reliability_figures(each, correct) for name, each in scores.items()}
        write_file(picture, draw_reliability(series).png)
    else:
        picture.unlink(missing_ok=True)


def _scores(choice: DevChoice) -> dict[str, Floats1d]:
    """Return the raw and calibrated scores by name; nothing where there are no calibrated ones."""
    if choice.calibrated is None:
        return {}
    return {"raw": choice.entities.scores, "calibrated": choice.calibrated}


def _name(trial: Trial) -> str:
    k, votes, temperature, weight = trial.setting
    if not weight:
        return "none"
    counted = f"softmax {temperature:g}" if votes == "softmax" else votes
    return f"{k}, {counted}, {weight:g}"
