"""Commands on trained pipelines: evaluate, show the result."""

from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg

from .commands import app, errors_as_text, load_pipeline


@app.command("evaluate")
def evaluate_command(
    model: Annotated[Path, typer.Argument(help="Pipeline")],
    data: Annotated[Path, typer.Argument(help="DocBin of gold documents")],
    output: Annotated[Path, typer.Option(help="Folder for metrics.json and report.md")],
    train: Annotated[
        Path | None, typer.Option(help="DocBin trained on: shows how frequent a type was there")
    ] = None,
    log: Annotated[
        Path | None, typer.Option(help="Log of the training, for its time and updates")
    ] = None,
    gpu_id: Annotated[int, typer.Option("--gpu-id", "-g", help="GPU, or -1 for the CPU")] = -1,
) -> None:
    """Score a pipeline against the annotation as it was before conversion.

    What the conversion lost counts as missed. Prints the table and writes metrics.json, report.md,
    and documents.jsonl with the counts of each document, from which all scores can be made again.
    """
    import srsly
    from spacy.cli._util import setup_gpu

    from .evaluation import evaluate, label_counts, read_examples
    from .report import render_report

    setup_gpu(gpu_id, silent=False)
    with errors_as_text():
        nlp = load_pipeline(model)
        metrics = evaluate(nlp, read_examples(data, nlp))
        metrics["train_counts"] = label_counts(train, nlp) if train else {}
        last = list(srsly.read_jsonl(log))[-1:] if log else []
    metrics["training"] = (
        {key: last[0][key] for key in ("updates", "epoch", "seconds")} if last else {}
    )
    output.mkdir(parents=True, exist_ok=True)
    report = render_report(metrics)
    srsly.write_jsonl(output / "documents.jsonl", metrics.pop("by_document"))
    srsly.write_json(output / "metrics.json", metrics)
    (output / "report.md").write_text(report, encoding="utf8")
    typer.echo(report)
    msg.good(f"metrics.json and report.md in {output}")


@app.command("show")
def show_command(
    metrics: Annotated[Path, typer.Argument(help="metrics.json of an evaluation")],
    packages: Annotated[Path, typer.Argument(help="Folder in which the wheel was built")],
) -> None:
    """Show the score table, the wheel, and how to use it."""
    import srsly

    from .report import render_report

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
