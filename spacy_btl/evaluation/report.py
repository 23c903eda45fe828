"""The reports: on an evaluation (Markdown, HTML, pictures), and on a choice of dev.

The markup is in ``templates``. No text of a document is in any file, unless documents are given.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import srsly
from markupsafe import Markup

from ..pipeline.tuning import DevChoice, Trial
from ..scoring.matching import KINDS
from ..scoring.reliability import reliability_by_type, reliability_figures
from ..util.arrays import Floats1d
from ..util.files import write_files
from ..util.templates import html_templates, markdown_templates
from . import rows
from .compare import count_changes
from .documents import MatchedDocument, side_by_side
from .evaluate import Evaluation, Metrics, SystemComparison
from .plots import PICTURES, Picture, draw_pictures, draw_reliability, has_matplotlib
from .rows import TextRow

TRIALS_SHOWN = 12
"""Trials in the table of the terminal, the best ones; the file has all."""

MIN_COUNT = 30
"""Least number of predicted entities of a type whose reliability is shown."""


def write_report(
    folder: Path,
    evaluation: Evaluation,
    *,
    title: str,
    documents: Sequence[MatchedDocument] | None = None,
    comparison: SystemComparison | None = None,
) -> str:
    """Write all files of a report into a folder, in place of those of an earlier report.

    An earlier report stays as it is until all new files are complete. Pictures need matplotlib.

    Args:
        folder: The folder, which is made if it does not exist. Other files in it stay.
        evaluation: The figures. They go to metrics.json, those of each document to
            documents.jsonl.
        title: The title of report.html.
        documents: Documents whose text is to be shown in report.html, as of `matched_documents`.
        comparison: A comparison with another system, which goes to comparison.json.

    Returns:
        The text of report.md.

    Raises:
        OSError: The files cannot be written.
    """
    pictures = draw_pictures(evaluation, comparison) if has_matplotlib() else {}
    text = render_report(evaluation, comparison)
    page = render_html(
        evaluation, title=title, documents=documents, comparison=comparison, pictures=pictures
    )
    metrics = {key: value for key, value in evaluation.items() if key != "by_document"}
    lines = (srsly.json_dumps(row) + "\n" for row in evaluation["by_document"])
    files = {
        "metrics.json": _json(metrics),
        "documents.jsonl": "".join(lines).encode(),
        "report.md": text.encode(),
        "report.html": page.encode(),
        **{f"{name}.png": picture.png for name, picture in pictures.items()},
    }
    if comparison is not None:
        files["comparison.json"] = _json(comparison)
    write_files(folder, files)
    for name in {"comparison.json", *(f"{name}.png" for name in PICTURES)} - set(files):
        (folder / name).unlink(missing_ok=True)
    return text


def render_report(metrics: Metrics, comparison: SystemComparison | None = None) -> str:
    """Return the tables of an evaluation as Markdown, which a terminal can show as it is."""
    template = markdown_templates("spacy_btl.evaluation").get_template("report.md.j2")
    return template.render(
        metrics=metrics,
        label_set_note=rows.label_set_note(metrics["documents"], metrics.get("label_sets")),
        trained_on_note=rows.trained_on_note(metrics["documents"], metrics.get("trained_on")),
        interval_note=rows.interval_note(metrics, metrics["documents"]),
        overall_rows=rows.overall_rows(metrics),
        type_header=rows.type_header(metrics),
        type_rows=[row.cells for row in rows.type_rows(metrics)],
        comparison=comparison and _compared(comparison),
    )


def render_html(
    evaluation: Evaluation,
    *,
    title: str = "Evaluation",
    documents: Sequence[MatchedDocument] | None = None,
    comparison: SystemComparison | None = None,
    pictures: Mapping[str, Picture] | None = None,
) -> str:
    """Return the report as one HTML page, to be written as UTF-8: no scripts, nothing loaded.

    Args:
        evaluation: The figures.
        title: The title of the page.
        documents: Documents whose text is to be shown, in the order of the evaluation.
        comparison: A comparison whose first system is the one of ``evaluation``.
        pictures: Pictures for the page (`evaluation.plots.draw_pictures`).
    """
    scores, trained_on = evaluation["scores"], evaluation.get("train_counts", {})
    other_bands = rows.recall_bands(comparison["second_scores"], trained_on) if comparison else []
    band_header = ["entities of a type in training", "types", "support", "mean recall"]
    reliability = evaluation["reliability"]
    # matplotlib's drawing is markup, and matplotlib has escaped the labels in it.
    drawn = {name: Markup(picture.svg) for name, picture in (pictures or {}).items()}
    template = html_templates("spacy_btl.evaluation").get_template("report.html.j2")
    return template.render(
        title=title,
        metrics=evaluation,
        kinds=list(KINDS),
        pictures=drawn,
        label_set_note=rows.label_set_note(evaluation["documents"], evaluation.get("label_sets")),
        trained_on_note=rows.trained_on_note(evaluation["documents"], evaluation.get("trained_on")),
        interval_note=rows.interval_note(evaluation, evaluation["documents"]),
        overall_rows=rows.overall_rows(evaluation),
        comparison=comparison and _compared(comparison),
        type_header=rows.type_header(evaluation),
        type_rows=rows.type_rows(evaluation),
        band_header=band_header + (["mean recall of the second"] if comparison else []),
        band_rows=rows.band_rows(rows.recall_bands(scores, trained_on), other_bands),
        error_rows=rows.error_rows(evaluation),
        confusion_rows=rows.confusion_rows(evaluation["confusion"]),
        matrix=rows.confusion_matrix(evaluation["confusion"], rows.types_by_support(scores)),
        reliability_rows=rows.reliability_rows(reliability),
        bin_rows=[row for figures in reliability.values() for row in rows.bin_rows(figures)],
        document_rows=rows.document_rows(evaluation["by_document"]),
        documents=None if documents is None else side_by_side(documents),
    )


def _compared(comparison: SystemComparison) -> dict[str, object]:
    """Return what the templates show of a comparison."""
    better, worse = count_changes(comparison)
    return {
        "systems": comparison["systems"],
        "figure_rows": rows.compared_figures(comparison),
        "type_rows": rows.compared_types(comparison),
        "document_rows": rows.compared_documents(comparison),
        "better": better,
        "worse": worse,
    }


def _json(value: object) -> bytes:
    return bytes(srsly.json_dumps(value, indent=2), "utf8")


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
    columns = ["entities", "mean score", "share correct", "95% interval"]
    template = markdown_templates("spacy_btl.evaluation").get_template("choice.md.j2")
    return template.render(
        n_trials=len(choice.trials),
        trial_rows=_trial_rows(choice, shown),
        reliability_rows=rows.reliability_rows(series),
        bins=[([f"{name} score", *columns], rows.bin_rows(each)) for name, each in series.items()],
        min_count=MIN_COUNT,
        type_rows=_reliability_by_type(choice),
        why_raw=entities.why_raw,
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
        "dev.json": _json(trials),
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


def _reliability_by_type(choice: DevChoice) -> list[TextRow]:
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
            rows.spread(figures.interval),
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
