"""Commands on a pipeline to be shipped: ensemble, card, smaller weights, no neighbors, seal."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from wasabi import msg

from ..util.text import counted
from .app import CodeOption, ForceOption, app, errors_as_text, run_code

FIGURES = {"ents_f": "strict span F1, micro", "ents_macro_f": "strict span F1, macro"}


@app.command("ensemble", short_help="Average trained pipelines.")
@errors_as_text()
def ensemble_command(
    models: Annotated[list[Path], typer.Argument(help="Trained pipelines, two or more")],
    output: Annotated[Path, typer.Option(help="Folder for the new pipeline")],
    force: ForceOption = False,
    code: CodeOption = None,
) -> None:
    """Combine several pipelines into one that averages their label probabilities.

    They must have the same labels; their encoders may differ. The new pipeline has no neighbors and
    no calibration: run fit-knn --dev on it.
    """
    from ..packaging.ensembles import make_ensemble
    from ..packaging.saving import check_target, load_pipeline, save_pipeline
    from ..packaging.size import files_of, sizes

    run_code(code)
    check_target(output, *models)
    if output.is_dir() and any(output.iterdir()) and not force:
        raise ValueError(f"{output} is a pipeline already; --force replaces it")
    save_pipeline(make_ensemble([load_pipeline(model) for model in models]), output)
    size = sum(sizes(files_of(output)).values())
    msg.good(f"an ensemble of {len(models)} pipelines, {size:,} bytes, {output}")
    msg.info("no neighbors, and scores are not calibrated: fit-knn --dev adds both")


@app.command("card", short_help="Write a pipeline with its model card.")
@errors_as_text()
def card_command(
    model: Annotated[Path, typer.Argument(help="Pipeline to ship")],
    out_dir: Annotated[Path, typer.Argument(help="Folder for the pipeline with its card")],
    metrics: Annotated[Path, typer.Option(help="metrics.json that evaluate wrote")],
    account: Annotated[
        Path | None,
        typer.Option(help="account.json that convert wrote; split.json beside it is read too"),
    ] = None,
    source: Annotated[
        Path | None, typer.Option(help="corpus.json that the command corpus wrote")
    ] = None,
    dev: Annotated[
        Path | None, typer.Option(help="dev.json that fit-knn wrote into the folder --report")
    ] = None,
    comparison: Annotated[
        Path | None,
        typer.Option(help="comparison.json that evaluate --compare wrote: the version before"),
    ] = None,
    data_title: Annotated[str, typer.Option(help="Name of the data")] = "",
    data_license: Annotated[str, typer.Option(help="License of the data")] = "",
    license: Annotated[str, typer.Option("--license", help="License of the pipeline")] = "",
    encoder_license: Annotated[str, typer.Option(help="License of the encoder's weights")] = "",
    author: Annotated[str, typer.Option(help="Author of the pipeline")] = "",
    name: Annotated[str, typer.Option(help="Name of the package, without the language")] = "",
    version: Annotated[str, typer.Option(help="Version of the package")] = "",
    code: CodeOption = None,
) -> None:
    """Write a copy of a pipeline with its model card: README.md, and the same facts in meta.json.

    spacy package puts both into the wheel. Unknown facts are "not stated". No text of any
    document is in the card.
    """
    from ..packaging.card import make_card, not_stated

    run_code(code)
    facts = make_card(
        model,
        out_dir,
        metrics=metrics,
        account=account,
        source=source,
        dev=dev,
        comparison=comparison,
        data_title=data_title,
        data_license=data_license,
        license=license,
        encoder_license=encoder_license,
        author=author,
        name=name,
        version=version,
    )
    if strings := facts["pipeline"]["other_strings"]:
        msg.warn(
            f"The vocabulary has {strings:,} strings that are likely words of the training texts, "
            "and the card says so; nlp = spacy_btl.packaging.saving.without_training_texts(nlp) "
            "leaves them out"
        )
    if unknown := not_stated(facts):
        msg.info(f"Not stated in the card: {'; '.join(unknown)}")
    msg.good(f"README.md and meta.json in {out_dir}")


@app.command("round-weights", short_help="Round the encoder to 16 bits.")
@errors_as_text()
def round_weights_command(
    model: Annotated[Path, typer.Argument(help="Trained pipeline, before fit-knn")],
    out_dir: Annotated[Path, typer.Argument(help="Folder for the smaller pipeline")],
    to: Annotated[
        Literal["float16", "bfloat16"], typer.Option("--to", help="Number format of the encoder")
    ] = "float16",
    data: Annotated[
        Path | None, typer.Option(help="DocBin to compare the scores on, such as dev.spacy")
    ] = None,
    code: CodeOption = None,
) -> None:
    """Round the weights of the encoder to 16 bits, which halves its size.

    Neighbors belong to the weights that made them: those of MODEL are left out, so run fit-knn on
    the result. Weights are float32 in memory and in training as before.
    """
    from ..evaluation.evaluate import evaluate, read_examples
    from ..packaging.saving import check_target, load_pipeline, save_pipeline
    from ..packaging.size import files_of, sizes
    from ..pipeline.component import component_of
    from ..pipeline.workflow import round_weights
    from ..util.text import markdown_table

    run_code(code)
    check_target(out_dir, model, data)
    nlp = load_pipeline(model)
    if component_of(nlp).has_neighbors:
        msg.warn("The neighbors belong to the old weights: run fit-knn on the result")
    component_of(nlp).forget_neighbors()  # the scores are those of the model alone
    before = evaluate(nlp, read_examples(data, nlp))["scores"] if data else {}
    change = round_weights(nlp, to)
    after = evaluate(nlp, read_examples(data, nlp))["scores"] if data else {}
    save_pipeline(nlp, out_dir)
    typer.echo(f"Largest change of a weight tensor, relative to its norm: {change:.1e}")
    if data:
        rows = [
            [text, f"{before[key] or 0.0:.4f}", f"{after[key] or 0.0:.4f}"]
            for key, text in FIGURES.items()
        ]
        typer.echo("\n".join(markdown_table(["model alone", "before", "after"], rows)))
    was, now = (sizes(files_of(folder))["encoder"] for folder in (model, out_dir))
    msg.good(f"encoder {was:,} bytes before, {now:,} after, {out_dir}")


@app.command("drop-neighbors", short_help="Leave the neighbors out.")
@errors_as_text()
def drop_neighbors_command(
    model: Annotated[Path, typer.Argument(help="Fitted pipeline")],
    out_dir: Annotated[Path, typer.Argument(help="Folder for the pipeline without neighbors")],
    dev: Annotated[
        Path | None, typer.Option(help="DocBin to calibrate the scores of the model alone on")
    ] = None,
    code: CodeOption = None,
) -> None:
    """Leave the neighbors out, so that no vector of a training token is shipped.

    The model then decides alone. Explanations, types that only the neighbors know and the names of
    documents are gone. A calibration of the model alone stays.
    """
    from ..evaluation.evaluate import read_examples
    from ..evaluation.report import render_choice
    from ..packaging.saving import check_target, load_pipeline, save_pipeline
    from ..pipeline.component import component_of
    from ..pipeline.workflow import drop_neighbors

    run_code(code)
    check_target(out_dir, model, dev)
    nlp = load_pipeline(model)
    choice = drop_neighbors(nlp, None if dev is None else read_examples(dev, nlp))
    if choice is not None:
        typer.echo(render_choice(choice))
        if choice.calibrated is None:
            msg.warn(f"The scores stay raw: {choice.entities.why_raw}")
    elif component_of(nlp).calibration is None:
        msg.warn("The scores are not calibrated; --dev calibrates those of the model alone")
    save_pipeline(nlp, out_dir)
    msg.good(f"no neighbors, {out_dir}")


@app.command("seal", short_help="List or check the SHA-256 of all files.")
@errors_as_text()
def seal_command(
    model: Annotated[Path, typer.Argument(help="Folder of a pipeline")],
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; fail if a file differs from the seal")
    ] = False,
) -> None:
    """List the files of a pipeline with their SHA-256; loading it then fails if one has changed.

    The commands that write pipelines seal them. Run this after ``spacy train`` or a manual change.
    """
    from ..util.seal import CONFIG, LEFT_OUT, SEAL, check_seal, write_seal

    if not (model / CONFIG).is_file():
        raise ValueError(f"{model} is not the folder of a pipeline: it has no {CONFIG}")
    if not check:
        count = write_seal(model)
        msg.good(f"{model / SEAL}: {counted(count, 'file')}")
    elif check_seal(model):
        unsealed = ", ".join(LEFT_OUT)
        msg.good(f"{model}: all sealed files are as they were ({unsealed} are not sealed)")
    else:
        raise ValueError(f"{model} is not sealed; python -m spacy btl seal {model} seals it")
