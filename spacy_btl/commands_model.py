"""Commands on trained pipelines: fit the neighbours, evaluate, show the result."""

from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg

from .commands import app, errors_as_text


@app.command("fit-knn")
def fit_knn_command(
    model: Annotated[Path, typer.Argument(help="Trained pipeline")],
    train: Annotated[Path, typer.Argument(help="DocBin whose tokens become the neighbours")],
    out_dir: Annotated[Path, typer.Argument(help="Folder for the fitted pipeline")],
    dev: Annotated[
        Path | None, typer.Option(help="DocBin to show what the neighbours change")
    ] = None,
    gpu_id: Annotated[int, typer.Option("--gpu-id", "-g", help="GPU, or -1 for the CPU")] = -1,
) -> None:
    """Fit the neighbour search of btl_knn_ner on the logits of annotated tokens.

    The fitted pipeline decodes with its nearest neighbours. It holds their logits and labels, and
    no word of the documents.
    """
    import spacy
    from spacy.cli._util import setup_gpu

    from .component import BtlKnnNer
    from .evaluation import evaluate, read_examples
    from .privacy import without_training_texts

    setup_gpu(gpu_id, silent=False)
    with errors_as_text():
        nlp = spacy.load(model)
        pipes = [pipe for _, pipe in nlp.pipeline if isinstance(pipe, BtlKnnNer)]
        if len(pipes) != 1:
            raise ValueError(f"{model} has {len(pipes)} components btl_knn_ner, not one")
        pipes[0].neighbors.reset()
        before = evaluate(nlp, read_examples(dev, nlp))["scores"] if dev else None
        tokens = pipes[0].fit_neighbors(read_examples(train, nlp), progress=True)
        after = evaluate(nlp, read_examples(dev, nlp))["scores"] if dev else None
        without_training_texts(nlp).to_disk(out_dir)
    if before and after:
        keys = ("ents_f", "ents_macro_f", "token_macro_r")
        rows = [(key, f"{before[key]:.3f}", f"{after[key]:.3f}") for key in keys]
        msg.table(rows, header=("on dev", "model alone", "neighbours"), divider=True)
    msg.good(f"{tokens} neighbours in {out_dir}")


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

    What the conversion lost counts as missed. Prints the table and writes metrics.json and
    report.md. Span scores are strict: label and all bounds must agree.
    """
    import spacy
    import srsly
    from spacy.cli._util import setup_gpu

    from .evaluation import evaluate, label_counts, read_examples
    from .report import render_report

    setup_gpu(gpu_id, silent=False)
    with errors_as_text():
        nlp = spacy.load(model)
        metrics = evaluate(nlp, read_examples(data, nlp))
        metrics["train_counts"] = label_counts(train, nlp) if train else {}
        last = list(srsly.read_jsonl(log))[-1:] if log else []
    metrics["training"] = (
        {key: last[0][key] for key in ("updates", "epoch", "seconds")} if last else {}
    )
    output.mkdir(parents=True, exist_ok=True)
    report = render_report(metrics)
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
