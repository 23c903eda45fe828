"""Commands on the work of annotators: documents for them, and how far two of them agree.

Which reports come next, and what more of them would bring, is in `planning`.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer
from wasabi import msg

from ..conversion.export import LabelSpaces
from ..conversion.reading import FormatName
from ..util.text import counted, printable
from .app import (
    CodeOption,
    DelimiterOption,
    ForceOption,
    GpuOption,
    IdFieldOption,
    TextFieldOption,
    app,
    errors_as_text,
    run_code,
    use_gpu,
)
from .data import ApartOption, ColumnsOption, LangOption, SpansKeyOption, show_renamed


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
        str, typer.Option(help="Names of the annotators, as anna,ben; by default their folders")
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
        FormatName, typer.Option(help="Format of the first; auto detects it")
    ] = "auto",
    format_b: Annotated[FormatName, typer.Option(help="Format of the second")] = "auto",
    columns: ColumnsOption = "",
    spans_key: SpansKeyOption = "",
    lang: LangOption = "en",
    force: ForceOption = False,
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
    from ..util.files import check_apart, check_new_files, write_file

    if adjudicate is not None:  # before the work, should that fail
        check_empty(adjudicate)
        check_apart(adjudicate, (a, b))
    check_new_files([page, json_file], (a, b, adjudicate), force=force)
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
            help='Replace white space in labels by "_", since brat reads none, or keep it '
            "(the default with --spans brat)"
        ),
    ] = None,
    lang: LangOption = "en",
) -> None:
    """Write documents as BRAT files, with the annotation.conf and visual.conf that brat needs.

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
        also = "as the names of others differ only in case or Unicode form"
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


@app.command("suggest", short_help="Choose the reports to annotate next.")
@errors_as_text()
def suggest_command(
    model: Annotated[str, typer.Argument(help="Pipeline: a folder or an installed package")],
    pool: Annotated[
        Path,
        typer.Argument(help="Reports to choose from: a file, or a folder, as annotate takes them"),
    ],
    number: Annotated[int, typer.Option("--number", "-n", help="Reports to suggest")] = 20,
    known: Annotated[
        list[Path] | None,
        typer.Option(
            help="Annotated documents, such as train.spacy or a folder that convert reads, which "
            "are not suggested; may be repeated"
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="JSON file to write, with all figures and no text")
    ] = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="CSV file to write, a row for each report")
    ] = None,
    reading_words: Annotated[
        float, typer.Option(help="Words that opening a report costs beside its own")
    ] = 50.0,
    kind: Annotated[
        Literal["txt", "jsonl", "csv", "parquet"] | None,
        typer.Option("--from", help="Kind of the pool, for a folder with files of several kinds"),
    ] = None,
    text_field: TextFieldOption = "text",
    id_field: IdFieldOption = "id",
    delimiter: DelimiterOption = ",",
    encoding: Annotated[
        str, typer.Option(help="Encoding of the pool (.txt, JSONL, CSV), such as windows-1252")
    ] = "utf-8",
    gpu_id: GpuOption = -1,
    force: ForceOption = False,
    code: CodeOption = None,
) -> None:
    """Choose whole reports to annotate next, those that the model doubts most for each word.

    Copies and near copies of a report are left out. Prints a table; no file has any text.
    """
    import json

    from ..annotate.inputs import Fields
    from ..planning.suggestion import suggest_reports
    from ..util.files import check_new_files, write_file

    run_code(code)
    check_new_files([json_file, csv_file], (model, pool, *(known or ())), force=force)
    use_gpu(gpu_id)
    suggestion = suggest_reports(
        model,
        pool,
        number,
        known=known or (),
        reading_words=reading_words,
        kind=kind,
        fields=Fields(id_field, text_field, "\t" if delimiter == "\\t" else delimiter),
        encoding=encoding,
    )
    typer.echo(suggestion.to_text())
    if json_file is not None:
        write_file(json_file, json.dumps(suggestion.to_json(), indent=1) + "\n")
        msg.good(f"all figures: {json_file}")
    if csv_file is not None:
        write_file(csv_file, suggestion.to_csv())
        msg.good(f"a row for each report: {csv_file}")
    for warning in suggestion.warnings():  # last, so that nobody overlooks them
        msg.warn(printable(warning))


@app.command("forecast", short_help="Forecast what more reports would bring.")
@errors_as_text()
def forecast_command(
    train: Annotated[Path, typer.Argument(help="DocBin of the training documents at hand")],
    dev: Annotated[
        Path, typer.Argument(help="DocBin of the documents that choose checkpoints and are scored")
    ],
    output: Annotated[
        Path, typer.Argument(help="Folder for the trainings; run again to resume them")
    ],
    config: Annotated[Path, typer.Option(help="Training configuration")] = Path("configs/btl.cfg"),
    sizes: Annotated[
        str,
        typer.Option(help="Numbers of training documents, as 20,40,80; else a quarter, half, all"),
    ] = "",
    repeats: Annotated[
        int, typer.Option(help="Trainings of each size, on other documents each time")
    ] = 2,
    updates: Annotated[
        int, typer.Option(help="Updates of each training; 0 for max_steps of the configuration")
    ] = 0,
    seed: Annotated[int, typer.Option(help="Random seed")] = 0,
    gpu_id: GpuOption = -1,
    code: CodeOption = None,
) -> None:
    """Show what more annotated reports would bring, in F1 and in reports.

    Trains on parts of the documents at hand, and fits power laws to strict micro and macro F1 and
    to the F1 of rare, middle and frequent types. Writes forecast.json. Run the command again to
    resume; finished trainings are skipped.
    """
    import json

    from ..planning.forecast import ForecastSettings, forecast, parse_sizes
    from ..util.files import check_apart, write_file

    run_code(code)
    settings = ForecastSettings(
        sizes=parse_sizes(sizes), repeats=repeats, updates=updates, seed=seed
    )
    check_apart(output, (train, dev, config), names=("forecast.json",))
    found = forecast(config, train, dev, output, settings, use_gpu=gpu_id, report=typer.echo)
    write_file(output / "forecast.json", json.dumps(found.to_json(), indent=1) + "\n")
    typer.echo(found.to_text())
    msg.good(f"all figures: {output / 'forecast.json'}")


@app.command("merge", short_help="Join corrected documents with those of before.")
@errors_as_text()
def merge_command(
    sources: Annotated[
        list[Path], typer.Argument(help="DocBins as convert writes them, the latest last")
    ],
    output: Annotated[Path, typer.Option(help="DocBin to write")],
    apart_from: ApartOption = None,
    force: ForceOption = False,
) -> None:
    """Join corrected documents with those of before, to train on all of them.

    A document with the words of an earlier one replaces it. Give dev and test to --apart-from, so
    that no document of theirs is trained on.
    """
    from spacy.vocab import Vocab

    from ..curation.retraining import merge_documents, to_docbin
    from ..data.docbin import read_docbin
    from ..util.files import check_new_files, write_file

    check_new_files([output], (*sources, *(apart_from or ())), force=force)
    vocab = Vocab()
    apart = [doc for path in apart_from or () for doc in read_docbin(path, vocab)]
    merged = merge_documents({str(path): read_docbin(path, vocab) for path in sources}, apart)
    write_file(output, to_docbin(merged.docs))
    taken = ", ".join(f"{n} of {source}" for source, n in merged.taken.items())
    msg.good(f"{counted(len(merged.docs), 'document')}, {taken}: {output}")
    if n := len(merged.replaced):
        said = counted(n, "document is", "documents are")
        msg.info(f"{said} replaced by a later one: {printable(', '.join(merged.replaced_names()))}")
    if n := len(merged.left_out):
        said = counted(n, "document is", "documents are")
        msg.info(f"{said} left out, as a document to keep apart has the text")
    for warning in merged.warnings():
        msg.warn(printable(warning))


@app.command("retrain", short_help="Train a pipeline again, beginning with its weights.")
@errors_as_text()
def retrain_command(
    model: Annotated[Path, typer.Argument(help="Trained pipeline")],
    train: Annotated[Path, typer.Argument(help="DocBin of all training documents, as of merge")],
    dev: Annotated[Path, typer.Argument(help="DocBin of the documents that choose the checkpoint")],
    output: Annotated[Path, typer.Argument(help="Folder for model-best and model-last")],
    updates: Annotated[
        int, typer.Option(help="Updates of the weights; 0 for max_steps of the pipeline")
    ] = 0,
    seed: Annotated[
        int | None, typer.Option(help="Random seed; by default that of the pipeline")
    ] = None,
    gpu_id: GpuOption = -1,
    code: CodeOption = None,
) -> None:
    """Train a pipeline again by its own configuration, beginning with its own weights.

    Fit neighbors afterwards (fit-knn), and compare both pipelines (evaluate --compare).
    """
    from ..curation.retraining import retrain

    run_code(code)
    made = retrain(model, train, dev, output, updates=updates, seed=seed, use_gpu=gpu_id)
    msg.good(f"{made}; next: fit-knn {made} {train} OUT --dev {dev}")
