"""The files of an evaluation: its figures, the readable reports, the pictures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import srsly

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
    for name in ("comparison.json", *(f"{name}.png" for name in PICTURES)):
        (folder / name).unlink(missing_ok=True)
    pictures = draw_pictures(metrics, comparison) if has_matplotlib() else {}
    for name, picture in pictures.items():
        (folder / f"{name}.png").write_bytes(picture.png)
    report = render_report(dict(metrics))
    if comparison is not None:
        report += "\n" + render_comparison(comparison)
        srsly.write_json(folder / "comparison.json", dict(comparison))
    figures = {key: value for key, value in metrics.items() if key != "by_document"}
    page = render_html(
        figures,
        metrics["by_document"],
        title=title,
        documents=documents,
        comparison=comparison,
        pictures=pictures,
    )
    srsly.write_jsonl(folder / "documents.jsonl", metrics["by_document"])
    srsly.write_json(folder / "metrics.json", figures)
    (folder / "report.md").write_text(report, encoding="utf8")
    (folder / "report.html").write_text(page, encoding="utf8")
    return report
