"""Commands that compare predictions and annotation: evaluate, audit, show the result."""

from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg

from ..util.text import printable
from .app import CodeOption, GpuOption, app, errors_as_text, run_code, use_gpu


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
    code: CodeOption = None,
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
    from ..util.files import check_apart

    use_gpu(gpu_id)
    run_code(code)
    check_apart(output, (model, data, train, compare), names=())
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


@app.command("audit", short_help="Find likely errors in an annotation.")
@errors_as_text()
def audit_command(
    data: Annotated[
        list[Path],
        typer.Argument(
            help="DocBins, such as train.spacy and dev.spacy, or folders and files that convert "
            "reads"
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            help="Folder for audit.html, which contains text of the documents, and for "
            "findings.jsonl and audit.json, which do not"
        ),
    ],
    config: Annotated[
        Path | None,
        typer.Option(
            help="Training configuration, such as configs/btl.cfg: each document is predicted by "
            "a training without it"
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Value of the configuration, as training.dropout=0.2; may be repeated",
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(help="Instead, a trained pipeline that has not seen the documents"),
    ] = None,
    folds: Annotated[int, typer.Option(help="Trainings, with --config")] = 3,
    updates: Annotated[
        int,
        typer.Option(
            help="Updates of each training; 0: those of the configuration, reduced by the share "
            "of documents that are left out"
        ),
    ] = 0,
    types: Annotated[
        str,
        typer.Option(
            help="Types that matter, as Age,Sex or a file with one a line; others are "
            "left out of the findings"
        ),
    ] = "",
    error_rate: Annotated[
        float,
        typer.Option(
            help="Share of the entities that is assumed to be wrong: it fixes the probabilities, "
            "not the order"
        ),
    ] = 0.05,
    least: Annotated[
        float, typer.Option(help="Probability from which on a place is a finding")
    ] = 0.1,
    seed: Annotated[int, typer.Option(help="Seed of the folds and the trainings")] = 0,
    gpu_id: GpuOption = -1,
    code: CodeOption = None,
) -> None:
    """Find likely errors in an annotation, each with a probability and what speaks against it.

    Each document is predicted by a model that was trained without it. A finding is a place
    where the model, the nearest tokens, and the same words in other documents contradict the
    annotation: missed, surplus, wrong type, wrong bounds, or inconsistent. A table lists the types
    that are used inconsistently. A second run with the same settings trains nothing.
    """
    from ..audit.audit import AuditSettings
    from ..audit.files import audit_files, parse_overrides
    from ..audit.page import render_text
    from ..formats import parse_labels

    run_code(code)
    settings = AuditSettings(
        n_folds=folds,
        updates=updates,
        seed=seed,
        error_rate=error_rate,
        least=least,
        labels=parse_labels(types) if types else (),
    )
    use_gpu(gpu_id)
    audit = audit_files(
        data,
        output,
        config=config,
        overrides=parse_overrides(overrides or ()),
        model=model,
        settings=settings,
    )
    typer.echo(render_text(audit))
    msg.good(f"audit.html (contains text), findings.jsonl and audit.json in {output}")
    for warning in audit.warnings:  # last, so that nobody overlooks them
        typer.secho(f"WARNING: {printable(warning)}", fg="yellow", err=True)


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
