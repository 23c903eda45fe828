"""The files of an evaluation: its figures, the readable reports, the pictures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import srsly

from ..util.files import write_file, write_json
from .compare import render_comparison
from .plots import PICTURES, draw_pictures, has_matplotlib
from .report import render_report
from .report_html import render_html


def write_report(
    folder: Path,
    metrics: Mapping[str, Any],
    *,
    title: str,
    documents: Any = None,
    comparison: Mapping[str, Any] | None = None,
) -> str:
    """Write all files into a folder, over those of an earlier evaluation; the text of report.md.

    metrics: of `evaluation.evaluate`; their ``by_document`` goes to documents.jsonl.
    documents: of `evaluation.evaluate.matched_documents`, to show their text in report.html.
    comparison: of `evaluation.compare.compare_evaluations`. Without matplotlib no pictures.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pictures = draw_pictures(metrics, comparison) if has_matplotlib() else {}
    for name, picture in pictures.items():
        write_file(folder / f"{name}.png", picture.png)
    report = render_report(dict(metrics))
    if comparison is not None:
        report += "\n" + render_comparison(comparison)
        write_json(folder / "comparison.json", dict(comparison))
    figures = {key: value for key, value in metrics.items() if key != "by_document"}
    page = render_html(
        figures,
        metrics["by_document"],
        title=title,
        documents=documents,
        comparison=comparison,
        pictures=pictures,
    )
    rows = (srsly.json_dumps(row) + "\n" for row in metrics["by_document"])
    write_file(folder / "documents.jsonl", "".join(rows))
    write_json(folder / "metrics.json", figures)
    write_file(folder / "report.md", report)
    write_file(folder / "report.html", page)
    for name in PICTURES:
        if name not in pictures:
            (folder / f"{name}.png").unlink(missing_ok=True)
    if comparison is None:
        (folder / "comparison.json").unlink(missing_ok=True)
    return report
