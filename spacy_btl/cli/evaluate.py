"""Commands on trained pipelines: evaluate, show the result."""

from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg

from ..packaging.saving import load_pipeline
from .app import app, errors_as_text


@app.command("evaluate", short_help="Score a pipeline on annotated documents.")
def evaluate_command(
    model: Annotated[Path, typer.Argument(help="Pipeline")],
    data: Annotated[Path, typer.Argument(help="DocBin of gold documents")],
    output: Annotated[Path, typer.Option(help="Folder for the figures and the report")],
    train: Annotated[
        Path | None, typer.Option(help="DocBin trained on: shows how frequent a type was there")
    ] = None,
    compare: Annotated[
        Path | None, typer.Option(help="Other pipeline, to be compared on the same documents")
    ] = None,
    documents: Annotated[
        bool,
        typer.Option(
            "--documents/--no-documents",
            help="Show the documents in report.html, errors marked. It then holds their text; "
            "without, no text of a document is in any of the files",
        ),
    ] = False,
    gpu_id: Annotated[int, typer.Option("--gpu-id", "-g", help="GPU, or -1 for the CPU")] = -1,
) -> None:
    """Score a pipeline against the annotation as it was before conversion.

    What the conversion lost counts as missed. Prints the tables and writes them as report.md and,
    with pictures, as report.html; metrics.json; with --compare comparison.json; the pictures as
    PNG; and documents.jsonl with the counts of each document, from which all scores can be made
    again. They hold names of documents and counts, and no text, except with --documents.
    """
    from spacy.cli._util import setup_gpu

    from ..evaluation.compare import compare_evaluations
    from ..evaluation.evaluate import evaluate, label_counts, matched_documents, read_examples
    from ..evaluation.plots import NO_MATPLOTLIB, has_matplotlib
    from ..evaluation.report import write_report

    setup_gpu(gpu_id, silent=False)
    comparison = None
    with errors_as_text():
        output.mkdir(parents=True, exist_ok=True)  # before the work, should that fail
        nlp = load_pipeline(model)
        examples = read_examples(data, nlp)
        metrics = evaluate(nlp, examples)
        metrics["train_counts"] = label_counts(train, nlp) if train else {}
        shown = matched_documents(nlp, examples) if documents else None
        if compare is not None:
            other = load_pipeline(compare)
            theirs = evaluate(other, read_examples(data, other))["by_document"]
            names = (str(model), str(compare))
            comparison = compare_evaluations(metrics["by_document"], theirs, names)
    title = f"Evaluation of {model.name} on {data.name}"
    report = write_report(output, metrics, title=title, documents=shown, comparison=comparison)
    typer.echo(report)
    if not has_matplotlib():
        msg.warn(NO_MATPLOTLIB)
    msg.good(f"metrics.json, report.md and report.html in {output}")


@app.command("show", short_help="Show scores, wheel, and how to use it.")
def show_command(
    metrics: Annotated[Path, typer.Argument(help="metrics.json of an evaluation")],
    packages: Annotated[Path, typer.Argument(help="Folder in which the wheel was built")],
) -> None:
    """Show the score table, the wheel, and how to use it."""
    import srsly

    from ..evaluation.report import render_report

    with errors_as_text():
        wheels = sorted(packages.glob("*/dist/*.whl"), key=lambda path: path.stat().st_mtime)
        if not wheels:
            raise FileNotFoundError(f"no wheel in {packages}; spacy project run package builds it")
        report = render_report(srsly.read_json(metrics))
    typer.echo(report)
    name = wheels[-1].name.split("-")[0]
    typer.echo(f"Wheel: {wheels[-1]}\n")
    typer.echo(f'nlp = spacy.load("{name}")')
    typer.echo('print([(ent.text, ent.label_) for ent in nlp("She took 5 mg of warfarin.").ents])')
