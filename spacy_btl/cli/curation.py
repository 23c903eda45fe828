"""Commands on the work of annotators: how far two of them agree."""

from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg

from ..conversion.reading import FormatName
from .app import app, errors_as_text
from .data import ColumnsOption, LangOption, SpansKeyOption


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
