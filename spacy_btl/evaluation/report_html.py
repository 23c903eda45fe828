"""The report on an evaluation as one HTML page for readers: no scripts, nothing loaded.

It holds no text of a document unless documents are given.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..scoring.matching import KINDS
from ..util.templates import html_page, html_table, html_text
from . import report_confusion, report_documents
from .compare import count_changes, document_f, document_rows, figure_rows, type_rows
from .plots import Picture
from .report import MACRO_NOTE, overall_rows, recall_bands, spread, types_by_support

if TYPE_CHECKING:
    from .evaluate import MatchedDocument

STYLE = """
body { max-width: 72rem; }
main > p { max-width: 48rem; }
table { width: auto; }
th[scope="row"], thead .name { position: sticky; inset-inline-start: 0; min-width: 8.5rem;
  background: var(--ground); font-weight: 400; }
thead th, thead .name { vertical-align: bottom; font-weight: 700; }
.warning { border-inline-start: 4px solid hsl(45 90% 45%); padding: .3rem .8rem;
  background: var(--card); }
.picture { display: block; width: 100%; max-width: 40rem; height: auto; }
.picture.recall { min-width: 28rem; }
.range { display: inline-block; position: relative; width: 7rem; height: .8em;
  background: var(--card); vertical-align: middle; margin-inline-start: .6rem; }
.range i { position: absolute; top: .2em; height: .4em; background: hsl(210 55% 60%); }
.range b { position: absolute; top: 0; width: 2px; height: .8em; background: var(--ink); }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; margin: 1rem 0; font-size: .9375rem; }
.document { border-top: 1px solid var(--line); padding: .3rem 0; }
"""

WITH_TEXT = (
    "This report holds the text of the evaluated documents: only for those who may read them."
)
WITHOUT_TEXT = (
    "The documents with their errors marked are not in this report: evaluate --documents adds "
    "them, and with them the text of the corpus."
)
LEVELS = (
    "Strict: label and all bounds agree with the original annotation, so that what the conversion "
    "moved or left out counts as missed. Exact: bounds alone. Partial: bounds, and a half for "
    "pairs that only overlap. Type: label, and a character shared. Token: the labels of each "
    "token; their unweighted accuracy is the mean recall of the types. Micro: all entities or "
    "tokens count the same. Macro: all types count the same."
)


def render_html(
    metrics: Mapping[str, Any],
    by_document: Sequence[Mapping[str, Any]],
    *,
    title: str = "Evaluation",
    documents: Sequence["MatchedDocument"] | None = None,
    comparison: Mapping[str, Any] | None = None,
    pictures: Mapping[str, Picture] | None = None,
) -> str:
    """The complete page, to be written as UTF-8.

    metrics, by_document: as of `evaluation.evaluate`, with ``train_counts`` where they
    are known. documents: shown with their text, where they are given, in the order of
    ``by_document``. comparison: of `evaluation.compare.compare_evaluations`, in which the first
    system is that of ``metrics``. pictures: of `evaluation.plots`, "recall" and
    "reliability", as far as there are any.
    """
    pictures = pictures or {}
    sections = {"Overall": _overall(metrics)}
    if comparison:
        sections["Comparison"] = _comparison(comparison)
    sections["Types"] = _types(metrics)
    sections["Rare types"] = _recall(metrics, comparison, pictures.get("recall"))
    sections["Errors"] = _errors(metrics)
    order = types_by_support(metrics)
    sections["Confusion"] = report_confusion.render_confusion(metrics["confusion"], order)
    sections["Scores"] = _reliability(metrics["reliability"], pictures.get("reliability"))
    sections["Documents"] = _documents(by_document, documents)
    warnings = [metrics["heading"], WITH_TEXT if documents is not None else ""]
    parts = [f'<p class="warning">{html_text(text)}</p>' for text in warnings if text]
    parts.append(
        f'<p class="faint">{metrics["documents"]:,} documents, {metrics["tokens"]:,} tokens, '
        f"{metrics['gold_entities']:,} gold and {metrics['predicted_entities']:,} predicted "
        "entities</p>"
    )
    ids = {name: name.lower().replace(" ", "-") for name in sections}
    links = "".join(f'<a href="#{ids[name]}">{name}</a>' for name in sections)
    parts.append(f'<nav aria-label="Contents">{links}</nav>')
    for name, content in sections.items():
        parts += [f'<h2 id="{ids[name]}">{name}</h2>', *content]
    style = STYLE + report_confusion.STYLE + report_documents.STYLE
    return html_page(title, style, parts)


def _overall(metrics: Mapping[str, Any]) -> list[str]:
    rows = [[html_text(cell) for cell in row] for row in overall_rows(metrics)]
    parts = [html_table("Overall figures", ["figure", "value", "95 % interval"], rows)]
    if "ents_macro_f" in metrics["intervals"]:
        parts.append(f'<p class="faint">Intervals: bootstrap over documents. {MACRO_NOTE}</p>')
    return [*parts, f'<p class="faint">{LEVELS}</p>']


def _comparison(comparison: Mapping[str, Any]) -> list[str]:
    one, other = (html_text(name) for name in comparison["systems"])
    columns = ["first", "second", "difference", "95 % interval", "p"]
    better, worse = count_changes(comparison)
    figures = [[html_text(cell) for cell in row] for row in figure_rows(comparison)]
    types = [[html_text(cell) for cell in row] for row in type_rows(comparison)]
    documents = [[html_text(cell) for cell in row] for row in document_rows(comparison)]
    return [
        f"<p>First: {one}<br>Second: {other}</p>",
        html_table("Figures of both", ["figure", *columns], figures),
        '<p class="faint">p: paired permutation test over documents, two-sided, not corrected for '
        "the number of figures. Those of the types are corrected for the number of types "
        "(Holm).</p>",
        "<h3>Strict span F1 by type</h3>",
        html_table("Types of both", ["type", *columns], types),
        f"<h3>Strict span F1 by document: {better} of {len(documents)} better, {worse} worse</h3>",
        "<details><summary>All documents</summary>",
        html_table("Documents of both", ["document", *columns[:3]], documents),
        "</details>",
    ]


def _types(metrics: Mapping[str, Any]) -> list[str]:
    scores = metrics["scores"]["ents_per_type"] or {}
    intervals = metrics["intervals"].get("ents_per_type", {})
    trained_on = metrics.get("train_counts") or {}
    rows = []
    for label in types_by_support(metrics):
        figures = scores[label]
        interval = intervals.get(label, {}).get("f")
        rows.append(
            [
                html_text(label),
                *([f"{trained_on.get(label, 0):,}"] if trained_on else []),
                f"{figures['support']:,}",
                f"{figures['predicted']:,}",
                *(f"{figures[key]:.3f}" for key in "prf"),
                spread(interval) and spread(interval) + _range(figures["f"], interval),
            ]
        )
    header = ["type", *(["in training"] if trained_on else []), "support", "predicted"]
    header += ["precision", "recall", "F1", "95 % interval of F1"]
    return [
        "<p>Strict span scores. Support is the number of gold entities. In the bar, from 0 to 1, "
        "the line is F1 and blue its interval. There is none where all draws of documents gave the "
        "same, as of a type that was never found: that is no certainty.</p>",
        html_table("Scores by type", header, rows),
    ]


def _range(value: float, interval: Sequence[float]) -> str:
    low, high = interval
    return (
        f'<span class="range" aria-hidden="true"><i style="left:{100 * low:.1f}%;'
        f'width:{100 * (high - low):.1f}%"></i><b style="left:{100 * value:.1f}%"></b></span>'
    )


def _recall(
    metrics: Mapping[str, Any], comparison: Mapping[str, Any] | None, picture: Picture | None
) -> list[str]:
    if not metrics.get("train_counts"):
        return [
            "<p>How recall depends on how often a type was in training is shown where evaluate "
            "is given the training documents: --train.</p>"
        ]
    rows = [
        [
            f"{min(frequencies):,}"
            + (f" to {max(frequencies):,}" if max(frequencies) > min(frequencies) else ""),
            str(len(recalls)),
            f"{support:,}",
            f"{sum(recalls) / len(recalls):.3f}",
        ]
        for frequencies, recalls, support in recall_bands(metrics)
    ]
    header = ["entities of a type in training", "types", "support", "mean recall"]
    if comparison:
        header += ["mean recall of the second"]
        bands = recall_bands({**metrics, "scores": comparison["second_scores"]})
        for row, (_, recalls, _) in zip(rows, bands, strict=True):
            row.append(f"{sum(recalls) / len(recalls):.3f}")
    return [
        "<p>What becomes of the rare types: strict recall of each type over the number of its "
        "entities in training.</p>",
        *_shown(picture),
        html_table("Recall by frequency in training", header, rows),
    ]


def _errors(metrics: Mapping[str, Any]) -> list[str]:
    rows = [["<strong>all</strong>", *(f"{metrics['errors'][kind]:,}" for kind in KINDS)]]
    by_type = metrics["errors_by_type"]
    ordered = [label for label in types_by_support(metrics) if label in by_type]
    for label in [*ordered, *(label for label in by_type if label not in ordered)]:
        rows.append([html_text(label), *(f"{by_type[label][kind] or ''}" for kind in KINDS)])
    return [
        "<p>Gold and predicted entities are paired where they share a character, each at most "
        "once, the best pairs first. A pair counts at the type of its gold entity, a spurious "
        "entity at its own.</p>",
        html_table("Errors by type", ["type", *KINDS], rows),
    ]


def _reliability(series: Mapping[str, Mapping[str, Any]], picture: Picture | None) -> list[str]:
    if not series:
        return ["<p>The entities have no scores.</p>"]
    rows = [
        [
            html_text(name),
            f"{figures['entities']:,}",
            *(f"{figures[key]:.3f}" for key in ("error", "chance", "brier")),
        ]
        for name, figures in series.items()
    ]
    header = ["score", "entities", "calibration error", "due to chance", "Brier score"]
    bins = [
        [
            f"{row['low']:.3f} to {row['high']:.3f}",
            f"{row['n_entities']:,}",
            f"{row['mean_score']:.3f}",
            f"{row['fraction_correct']:.3f}",
            f"{row['interval'][0]:.3f} to {row['interval'][1]:.3f}",
        ]
        for figures in series.values()
        for row in figures["bins"]
    ]
    columns = ["score", "entities", "mean score", "share correct", "95 % interval"]
    return [
        "<p>A score is the estimated probability that an annotator has marked exactly this entity. "
        "Where the points lie on the diagonal, it can be taken as one.</p>",
        *_shown(picture),
        html_table("Reliability of the scores", header, rows),
        "<details><summary>The points as a table</summary>",
        html_table("Scores and outcomes", columns, bins),
        "</details>",
    ]


def _shown(picture: Picture | None) -> list[str]:
    if picture is None:
        return []
    return [
        f'<div class="scroll" tabindex="0" role="region" aria-label="Picture">{picture.svg}</div>'
    ]


def _documents(
    by_document: Sequence[Mapping[str, Any]], documents: Sequence["MatchedDocument"] | None
) -> list[str]:
    rows = []
    for i, row in enumerate(by_document, start=1):
        name = html_text(row["name"] or f"document {i}")
        linked = name if documents is None else f'<a href="#d{i}">{name}</a>'
        counts = (f"{row['errors'][kind] or ''}" for kind in KINDS)
        rows.append([linked, f"{document_f(row['counts']):.3f}", *counts])
    table = html_table("Documents", ["document", "strict F1", *KINDS], rows)
    if documents is None:
        return [table, f'<p class="faint">{WITHOUT_TEXT}</p>']
    return [table, *report_documents.render_documents(documents)]
