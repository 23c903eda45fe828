"""The report on an evaluation: its figures, readable tables in Markdown and HTML, and pictures.

The markup is in ``templates``. No text of a document is in any file, unless documents are given.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import srsly
from markupsafe import Markup

from ..scoring.matching import KINDS
from ..util.files import write_files
from ..util.templates import html_templates, markdown_templates
from . import rows
from .compare import count_changes
from .documents import MatchedDocument, side_by_side
from .metrics import Evaluation, Metrics, SystemComparison
from .plots import PICTURES, Picture, draw_pictures, has_matplotlib


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
        macro_note=_macro_note(metrics),
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
    # What matplotlib draws is markup, with the labels in it escaped by matplotlib.
    drawn = {name: Markup(picture.svg) for name, picture in (pictures or {}).items()}
    template = html_templates("spacy_btl.evaluation").get_template("report.html.j2")
    return template.render(
        title=title,
        metrics=evaluation,
        kinds=list(KINDS),
        pictures=drawn,
        macro_note=_macro_note(evaluation),
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


def _macro_note(metrics: Metrics) -> str:
    return rows.MACRO_NOTE if "ents_macro_f" in metrics["intervals"] else ""


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
