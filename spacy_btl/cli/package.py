"""Commands on a pipeline that is to be shipped: its card, smaller weights, no neighbours."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg

from ..packaging.saving import check_target, load_pipeline, save_pipeline
from .app import app, errors_as_text


class Half(Enum):
    """Numbers of 16 bits."""

    float16 = "float16"
    bfloat16 = "bfloat16"


@app.command("card", short_help="Write a pipeline with its model card.")
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
    data_title: Annotated[str, typer.Option(help="Name of the data")] = "",
    data_license: Annotated[str, typer.Option(help="License of the data")] = "",
    license: Annotated[str, typer.Option("--license", help="License of the pipeline")] = "",
    name: Annotated[str, typer.Option(help="Name of the package, without the language")] = "",
    version: Annotated[str, typer.Option(help="Version of the package")] = "",
) -> None:
    """Write a copy of a pipeline with its model card: README.md, and the same facts in meta.json.

    spacy package takes both into the wheel. What is not known is "not stated". No text of any
    document is in the card.
    """
    from ..packaging.card import make_card

    with errors_as_text():
        facts = make_card(
            model,
            out_dir,
            metrics=metrics,
            account=account,
            source=source,
            dev=dev,
            data_title=data_title,
            data_license=data_license,
            license=license,
            name=name,
            version=version,
        )
    if strings := facts["pipeline"]["other_strings"]:
        msg.warn(
            f"The vocabulary has {strings:,} strings that are likely words of the training texts, "
            "and the card says so; nlp = spacy_btl.packaging.saving.without_training_texts(nlp) "
            "leaves them out"
        )
    msg.good(f"README.md and meta.json in {out_dir}")


@app.command("round-weights", short_help="Round the encoder to 16 bits.")
def round_weights_command(
    model: Annotated[Path, typer.Argument(help="Trained pipeline, before fit-knn")],
    out_dir: Annotated[Path, typer.Argument(help="Folder for the smaller pipeline")],
    to: Annotated[Half, typer.Option("--to", help="Numbers of the encoder")] = Half.float16,
    data: Annotated[
        Path | None, typer.Option(help="DocBin to compare the scores on, such as that of dev")
    ] = None,
) -> None:
    """Round the encoder's weights to 16 bits, which halves its size.

    Neighbours belong to the weights that made them: those of MODEL are left out, run fit-knn on the
    result. Weights are float32 in memory and in training as before.
    """
    from ..evaluation.evaluate import evaluate, read_examples
    from ..ml.weights import round_encoder
    from ..packaging.size import files_of, sizes
    from ..pipeline.component import component_of
    from ..util.text import markdown_table

    figures = {"ents_f": "strict span F1, micro", "ents_macro_f": "strict span F1, macro"}
    with errors_as_text():
        check_target(out_dir)
        nlp = load_pipeline(model)
        pipe = component_of(nlp)
        if pipe.has_neighbors:
            msg.warn("The neighbours belong to the weights as they were: run fit-knn on the result")
        pipe.forget_neighbors()
        before = evaluate(nlp, read_examples(data, nlp))["scores"] if data else {}
        change = round_encoder(pipe.model, to.value)
        after = evaluate(nlp, read_examples(data, nlp))["scores"] if data else {}
        save_pipeline(nlp, out_dir)
    typer.echo(f"Largest change of a weight tensor, relative to its norm: {change:.1e}")
    if data:
        rows = [
            [text, f"{before[key] or 0.0:.4f}", f"{after[key] or 0.0:.4f}"]
            for key, text in figures.items()
        ]
        typer.echo("\n".join(markdown_table(["model alone", "before", "after"], rows)))
    was, now = (sizes(files_of(folder))["encoder"] for folder in (model, out_dir))
    msg.good(f"encoder {was:,} bytes before, {now:,} after, {out_dir}")


@app.command("drop-neighbors", short_help="Leave the neighbours out.")
def drop_neighbors_command(
    model: Annotated[Path, typer.Argument(help="Fitted pipeline")],
    out_dir: Annotated[Path, typer.Argument(help="Folder for the pipeline without neighbours")],
    dev: Annotated[
        Path | None, typer.Option(help="DocBin to calibrate the scores of the model alone on")
    ] = None,
) -> None:
    """Leave the neighbours out, so that no vector of a training token is shipped.

    The model alone decides then; explanations, types that the neighbours alone know and the names
    of documents are gone. A calibration of the model alone stays.
    """
    from ..evaluation.dev_choice import choose_on_dev, render_choice
    from ..evaluation.evaluate import read_examples
    from ..pipeline.component import component_of
    from ..pipeline.fitting import examples_for

    with errors_as_text():
        check_target(out_dir)
        nlp = load_pipeline(model)
        pipe = component_of(nlp)
        config = nlp.get_pipe_config(pipe.name)
        calibration = None if pipe.neighbor_weight else pipe.calibration
        pipe.forget_neighbors()
        pipe.neighbor_weight = config["neighbor_weight"] = 0.0
        if calibration is not None:
            pipe.calibration = calibration
        if dev is not None:
            held_out = examples_for(nlp, pipe, read_examples(dev, nlp))
            typer.echo(render_choice(choose_on_dev(pipe, config, held_out, fixed=True)))
        if pipe.calibration is None:
            msg.warn("The scores are not calibrated; --dev calibrates those of the model alone")
        save_pipeline(nlp, out_dir)
    msg.good(f"no neighbours, {out_dir}")
