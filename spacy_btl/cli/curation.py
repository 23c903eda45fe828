"""Commands on the work of annotators: documents for them, and how far two of them agree."""

from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg

from ..conversion.export import LabelSpaces
from ..conversion.reading import FormatName
from ..util.text import counted, printable
from .app import app, errors_as_text
from .data import ColumnsOption, LangOption, SpansKeyOption, show_renamed


@app.command("agreement", short_help="Show how far two annotators agree.")
@errors_as_text()
def agreement_command(
    a: Annotated[
        Path,
        typer.Argument(help="Documents of the first annotator: any folder or file convert reads"),
    ],
    b: Annotated[Path, typer.Argument(help="The same documents by the second annotator")],
    page: Annotated[
        Path | None,
        typer.Option(
            help="HTML file to write, with all disagreements, both versions side by side. It "
            "contains text of the documents"
        ),
    ] = None,
    adjudicate: Annotated[
        Path | None,
        typer.Option(
            help="New or empty folder for BRAT files with what both have, and both versions of "
            "the rest, each with a note: delete what is wrong. It contains the documents"
        ),
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", help="JSON file to write, with all figures and without any text"),
    ] = None,
    names: Annotated[
        str, typer.Option(help="What the annotators are called, as anna,ben; else as their folders")
    ] = "",
    labels_a: Annotated[
        str,
        typer.Option(
            help="Types that the first was asked for, as Age,Sex or a file with one a line; others "
            "of the second are not compared. Without it, all types"
        ),
    ] = "",
    labels_b: Annotated[str, typer.Option(help="Types that the second was asked for")] = "",
    format_a: Annotated[
        FormatName, typer.Option(help="Format of the first; auto finds it out")
    ] = "auto",
    format_b: Annotated[FormatName, typer.Option(help="Format of the second")] = "auto",
    columns: ColumnsOption = "",
    spans_key: SpansKeyOption = "",
    lang: LangOption = "en",
) -> None:
    """Show how far two annotators of the same documents agree, and where they do not.

    Prints strict, partial, overlap and token F1 by type and overall, Cohen's kappa of tokens, the
    kinds of disagreement, and which types are confused. Entities are compared by the characters of
    the files, as they were annotated.
    """
    import json

    from ..conversion.export import check_empty
    from ..conversion.reading import Reading
    from ..curation.adjudication import write_adjudication
    from ..curation.agreement import compare_annotators
    from ..curation.agreement_page import render_page, render_text
    from ..formats import parse_labels
    from ..util.files import write_file
    from ..util.text import printable

    if adjudicate is not None:  # before the work, should that fail
        check_empty(adjudicate)
    for path in (page, json_file):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
    reading_a, reading_b = (
        Reading(
            format=format_name,
            columns=columns,
            spans_key=spans_key,
            labels=parse_labels(labels) if labels else (),
        )
        for format_name, labels in ((format_a, labels_a), (format_b, labels_b))
    )
    agreement = compare_annotators(
        a,
        b,
        names=[name.strip() for name in names.split(",")] if names else (),
        reading_a=reading_a,
        reading_b=reading_b,
        lang=lang,
    )
    typer.echo(render_text(agreement))
    if json_file is not None:
        write_file(json_file, json.dumps(agreement.to_json(), indent=1) + "\n")
        msg.good(f"all figures: {json_file}")
    if page is not None:
        write_file(page, render_page(agreement))
        msg.good(f"all disagreements, with text of the documents: {page}")
    if adjudicate is not None:
        report = write_adjudication(agreement, adjudicate)
        msg.good(
            f"{adjudicate}: {report['documents']} documents, {report['agreed']} entities agreed, "
            f"{report['candidates']} candidates with a note"
        )
        if n := len(report["left_out"]):
            msg.warn(f"{n} other records could not be kept: {adjudicate / 'adjudication.json'}")
    for warning in agreement.warnings():  # last, so that nobody overlooks them
        typer.secho(f"WARNING: {printable(warning)}", fg="yellow", err=True)


@app.command("export", short_help="Write documents as BRAT files.")
@errors_as_text()
def export_command(
    docbin: Annotated[Path, typer.Argument(help="DocBin of predicted or of converted documents")],
    out_dir: Annotated[Path, typer.Argument(help="New or empty folder for the BRAT files")],
    spans: Annotated[
        str | None,
        typer.Option(
            help='Key of doc.spans to write instead of doc.ents; "brat": all as converted'
        ),
    ] = None,
    label_spaces: Annotated[
        LabelSpaces | None,
        typer.Option(
            help='White space in labels: "_" for it, as brat reads none, or as it is '
            "(the default with --spans brat)"
        ),
    ] = None,
    lang: LangOption = "en",
) -> None:
    """Write documents as BRAT files, with the annotation.conf and visual.conf that brat wants.

    Correct them in brat, then convert the folder and train again. Entities that came from BRAT
    keep their ids and fragments. Other records stay unless an entity that they need is gone.
    """
    from ..conversion.export import REPORT_NAME, export_docs
    from ..data.docbin import read_docbin
    from ..data.tokenizer import blank

    docs = read_docbin(docbin, blank(lang).vocab)
    report = export_docs(docs, out_dir, spans, label_spaces=label_spaces)
    totals = ", ".join(f"{what} {n}" for what, n in report["totals"].items())
    msg.good(f"{out_dir}: {totals}")
    if report["rows"]:
        msg.warn(f"records that needed an entity that is gone: {out_dir / REPORT_NAME}")
    if n := len(report["renamed"]):
        also = "as others have their names but for case or Unicode form"
        said = counted(n, "document has a file", "documents have files")
        msg.warn(f"{said} of another name, {also}: {out_dir / REPORT_NAME}")
    if n := len(report["label_sets"]):
        also = "BRAT cannot say which (convert --labels can)"
        said = counted(n, "document annotates", "documents annotate")
        msg.warn(f"{said} some types only, {also}: {out_dir / REPORT_NAME}")
    show_renamed(report["labels"])
    spaced = [label for label in report["unlisted"] if len(label.split()) > 1]
    if spaced:
        names = printable(", ".join(spaced))
        msg.warn(f"brat cannot read labels with white space: {names}; --label-spaces underscore")
    if unlisted := [label for label in report["unlisted"] if label not in spaced]:
        names = printable(", ".join(unlisted))
        msg.warn(f"types that brat shows but cannot offer, for their characters: {names}")
