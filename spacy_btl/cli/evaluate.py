"""Commands on the scores of a trained pipeline: evaluate, show the result."""

from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg

from ..util.text import printable
from .app import GpuOption, app, errors_as_text, use_gpu


@app.command("evaluate", short_help="Score a pipeline on annotated documents.")
@errors_as_text()
def evaluate_command(
    model: Annotated[Path, typer.Argument(help="Pipeline")],
    data: Annotated[Path, typer.Argument(help="DocBin of gold documents")],
    output: Annotated[Path, typer.Option(help="Folder for the figures and the report")],
    train: Annotated[
        Path | None,
        typer.Option(
            help="DocBin of the training documents: shows how frequent each type is there"
        ),
    ] = None,
    compare: Annotated[
        Path | None, typer.Option(help="Other pipeline, to be compared on the same documents")
    ] = None,
    documents: Annotated[
        bool,
        typer.Option(
            "--documents/--no-documents",
            help="Show the documents in report.html, errors marked. The file then contains their "
            "text; otherwise none of the files has any text of a document",
        ),
    ] = False,
    gpu_id: GpuOption = -1,
) -> None:
    """Score a pipeline against the annotation as it was before conversion.

    Entities that the conversion lost count as missed. Prints the tables and writes them as
    report.md and, with pictures, as report.html; metrics.json; with --compare comparison.json; the
    pictures as PNG; and documents.jsonl with the counts of each document, from which all scores can
    be computed again. The files contain names of documents and counts, and no text, except with
    --documents.
    """
    from ..evaluation.compare import compare_evaluations, verdict
    from ..evaluation.evaluate import (
        evaluate,
        label_counts,
        matched_documents,
        pipeline_name,
        read_examples,
    )
    from ..evaluation.plots import NO_MATPLOTLIB, has_matplotlib
    from ..evaluation.report import write_report
    from ..packaging.saving import load_pipeline

    use_gpu(gpu_id)
    output.mkdir(parents=True, exist_ok=True)  # before the work, should that fail
    nlp = load_pipeline(model)
    examples = read_examples(data, nlp)
    metrics = evaluate(nlp, examples)
    metrics["train_counts"] = label_counts(train, nlp) if train else {}
    comparison = None
    if compare is not None:
        other = load_pipeline(compare)
        theirs = evaluate(other, read_examples(data, other))["by_document"]
        names = (str(model), str(compare))
        comparison = compare_evaluations(metrics["by_document"], theirs, names)
        comparison["pipelines"] = [pipeline_name(each.meta) for each in (nlp, other)]
    report = write_report(
        output,
        metrics,
        title=f"Evaluation of {model.name} on {data.name}",
        documents=matched_documents(nlp, examples) if documents else None,
        comparison=comparison,
    )
    typer.echo(report)
    for line in verdict(comparison) if comparison is not None else ():
        msg.info(printable(line))
    if not has_matplotlib():
        msg.warn(NO_MATPLOTLIB)
    msg.good(f"metrics.json, report.md and report.html in {output}")


@app.command("show", short_help="Show scores, wheel, and how to use it.")
@errors_as_text()
def show_command(
    metrics: Annotated[Path, typer.Argument(help="metrics.json of an evaluation")],
    packages: Annotated[Path, typer.Argument(help="Folder in which the wheel was built")],
) -> None:
    """Show the score table, the wheel, and how to use it."""
    import srsly

    from ..evaluation.report import render_report

    wheels = sorted(packages.glob("*/dist/*.whl"), key=lambda path: path.stat().st_mtime)
    if not wheels:
        raise FileNotFoundError(f"no wheel in {packages}; spacy project run package builds it")
    typer.echo(render_report(srsly.read_json(metrics)))
    name = wheels[-1].name.split("-")[0]
    typer.echo(f"Wheel: {wheels[-1]}\n")
    typer.echo(f'nlp = spacy.load("{name}")')
    typer.echo('print([(ent.text, ent.label_) for ent in nlp("She took 5 mg of warfarin.").ents])')
