"""Commands on the neighbors of a trained pipeline: fit, train once more, explain, edit, list."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from wasabi import msg

from ..util.text import counted
from .app import CodeOption, ForceOption, GpuOption, app, errors_as_text, run_code, use_gpu

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.training import Example

Model = Annotated[Path, typer.Argument(help="Fitted pipeline")]
Out = Annotated[Path, typer.Argument(help="Folder for the changed pipeline")]


@app.command("fit-knn", short_help="Fit the neighbor search.")
@errors_as_text()
def fit_knn_command(
    model: Annotated[Path, typer.Argument(help="Trained pipeline")],
    train: Annotated[Path, typer.Argument(help="DocBin whose tokens become the neighbors")],
    out_dir: Annotated[Path, typer.Argument(help="Folder for the fitted pipeline")],
    dev: Annotated[
        Path | None,
        typer.Option(help="DocBin to choose the settings and calibrate the scores on"),
    ] = None,
    fixed: Annotated[
        bool, typer.Option("--fixed", help="Keep the settings; dev only calibrates the scores")
    ] = False,
    keys: Annotated[
        Literal["logits", "hidden"] | None,
        typer.Option(
            help="Vectors that are stored and searched; default: as the pipeline has them"
        ),
    ] = None,
    dropout: Annotated[
        float, typer.Option(help="Dropout rate under which the keys are made, 0 for none")
    ] = 0.0,
    passes: Annotated[int, typer.Option(help="Keys of each token, under dropout")] = 1,
    report: Annotated[
        Path | None, typer.Option(help="Folder for the table of settings, reliability and its plot")
    ] = None,
    gpu_id: GpuOption = -1,
    code: CodeOption = None,
) -> None:
    """Fit the neighbor search of btl_knn_ner on annotated tokens.

    With --dev, the number of neighbors, the weight of each vote and the weight of the vote beside
    the model are chosen by strict span F1 (the mean of micro and macro), and the scores of the
    entities are calibrated. The pipeline contains vectors and labels of the tokens, names of
    documents and offsets, and no word of the documents.
    """
    from ..evaluation.report import render_choice, write_choice
    from ..packaging.saving import check_target, load_pipeline, save_pipeline
    from ..pipeline.component import component_of
    from ..pipeline.workflow import fit_knn
    from ..util.files import check_apart

    use_gpu(gpu_id)
    run_code(code)
    check_target(out_dir, model, train, dev)
    if report is not None:
        check_apart(report, (model, train, dev, out_dir), names=("dev.json",))
    if dev is None and (fixed or report is not None):
        raise ValueError("--fixed and --report need dev: give --dev")
    nlp = load_pipeline(model)
    fitted = fit_knn(
        nlp,
        _read(train, nlp),
        None if dev is None else _read(dev, nlp),
        fixed=fixed,
        keys=keys,
        dropout=dropout,
        passes=passes,
    )
    if fitted.choice is None:
        msg.warn("Without --dev the settings stay as they are, and scores are not calibrated")
    else:
        typer.echo(render_choice(fitted.choice))
        if fitted.choice.calibrated is None:
            msg.warn(f"The scores stay raw: {fitted.choice.entities.why_raw}")
        if report is not None:
            write_choice(fitted.choice, report)
        msg.info(f"Decoding: {component_of(nlp).decision}")
    save_pipeline(nlp, out_dir)
    msg.good(f"{counted(fitted.n_tokens, 'token')}, {out_dir}")


@app.command("train-final", short_help="Train on train and dev with the chosen settings.")
@errors_as_text()
def train_final_command(
    model: Annotated[Path, typer.Argument(help="Pipeline written by fit-knn --dev")],
    train: Annotated[Path, typer.Argument(help="DocBin that it was trained on")],
    dev: Annotated[Path, typer.Argument(help="DocBin that its settings were chosen on")],
    out_dir: Annotated[Path, typer.Argument(help="Folder for the new pipeline")],
    gpu_id: GpuOption = -1,
    code: CodeOption = None,
) -> None:
    """Train a fitted pipeline once more, on train and dev, with the settings chosen on dev.

    It takes as many updates as dev's best checkpoint, on the same schedule, the settings of the
    neighbors that dev has chosen, and the calibration of MODEL. No score on dev is held out then.
    """
    from ..packaging.final_training import train_final
    from ..packaging.saving import check_target, load_pipeline, save_pipeline
    from ..pipeline.component import component_of

    use_gpu(gpu_id)
    run_code(code)
    check_target(out_dir, model, train, dev)
    nlp = load_pipeline(model)
    made = train_final(nlp, _read(train, nlp), _read(dev, nlp))
    save_pipeline(made, out_dir)
    if component_of(made).calibration is None:
        msg.warn("The scores stay raw, as in MODEL: dev had too little to calibrate them on")
    msg.good(f"trained on train and dev, {out_dir}")


@app.command("explain", short_help="Show the neighbors behind each entity.")
@errors_as_text()
def explain_command(
    model: Model,
    file: Annotated[Path, typer.Option(help="Report, plain text in UTF-8")],
    corpus: Annotated[
        Path | None,
        typer.Option(help="DocBin that the neighbors come from: shows their sentences"),
    ] = None,
    html: Annotated[Path | None, typer.Option(help="HTML file to write")] = None,
    force: ForceOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
    examples: Annotated[int, typer.Option(help="Training examples shown for each entity")] = 5,
    code: CodeOption = None,
) -> None:
    """Show the training tokens that support each entity of a report.

    Without --corpus they are named by document and offset: the pipeline contains no text.
    """
    import srsly

    from ..data.docbin import read_docbin
    from ..packaging.saving import load_pipeline
    from ..pipeline.workflow import explain_entities
    from ..util.files import check_new_files, write_file

    run_code(code)
    check_new_files([html], (model, file, corpus), force=force)
    nlp = load_pipeline(model)
    try:
        text = file.read_bytes().decode("utf8")  # offsets count both characters of a CRLF
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not plain text in UTF-8") from error
    docs = None if corpus is None else read_docbin(corpus, nlp.vocab)
    explanation = explain_entities(nlp, text, docs)
    if as_json:
        typer.echo(srsly.json_dumps(explanation.to_json(n_examples=examples), indent=2))
    elif html is None:
        typer.echo(explanation.to_text(n_examples=examples))
    if html is not None:
        write_file(html, explanation.to_html(file.name, n_examples=examples))
        msg.good(str(html))


@app.command("add-examples", short_help="Teach types from a few documents.")
@errors_as_text()
def add_examples_command(
    model: Model,
    examples: Annotated[Path, typer.Argument(help="DocBin of annotated documents")],
    out_dir: Out,
    only_entities: Annotated[
        bool, typer.Option("--only-entities", help="Do not add tokens outside of entities")
    ] = False,
    weight: Annotated[
        int | None,
        typer.Option(
            help="Votes of each added token; default: 1, or for a new type the majority of all"
        ),
    ] = None,
    code: CodeOption = None,
) -> None:
    """Let the tokens of further documents vote too, without training.

    Their entities may be of types that the pipeline has never seen. The pipeline in MODEL stays as
    it is.
    """
    from ..packaging.saving import check_target, load_pipeline, save_pipeline
    from ..pipeline.component import component_of
    from ..pipeline.fitting import examples_for

    run_code(code)
    check_target(out_dir, model, examples)
    nlp = load_pipeline(model)
    pipe = component_of(nlp)
    further = examples_for(nlp, pipe, _read(examples, nlp))
    edit = pipe.add_examples(further, only_entities=only_entities, weight=weight)
    save_pipeline(nlp, out_dir)
    msg.good(
        f"{counted(edit.added, 'token')} added, new types: {', '.join(edit.new_labels) or 'none'}"
    )
    msg.good(str(out_dir))


@app.command("remove-documents", short_help="Remove documents from the neighbors.")
@errors_as_text()
def remove_documents_command(
    model: Model,
    out_dir: Out,
    documents: Annotated[
        list[str], typer.Argument(help="Names of documents (spacy btl documents)")
    ],
    code: CodeOption = None,
) -> None:
    """Remove all neighbors that come from these documents. The pipeline in MODEL stays as it is.

    The weights were still trained on these documents; only training without them changes that.
    """
    from ..packaging.saving import check_target, load_pipeline, save_pipeline
    from ..pipeline.component import component_of

    run_code(code)
    check_target(out_dir, model)
    nlp = load_pipeline(model)
    removed = component_of(nlp).remove_documents(documents)
    save_pipeline(nlp, out_dir)
    of = counted(len(set(documents)), "document")
    msg.good(f"{counted(removed, 'token')} of {of} removed, {out_dir}")


@app.command("documents", short_help="List the documents of the neighbors.")
@errors_as_text()
def documents_command(model: Model, code: CodeOption = None) -> None:
    """List the documents that the neighbors come from, with the number of votes of each."""
    from ..packaging.saving import load_pipeline
    from ..pipeline.component import component_of
    from ..util.text import markdown_table

    run_code(code)
    store = component_of(load_pipeline(model)).neighbors.datastore
    counts = store.counts_by_document() if store is not None else {}
    rows = [[name, str(count)] for name, count in sorted(counts.items())]
    typer.echo("\n".join(markdown_table(["document", "votes"], rows)))


def _read(path: Path, nlp: "Language") -> "list[Example]":
    """Return the annotated documents of a DocBin; raise ValueError if there is none."""
    from ..evaluation.evaluate import read_examples

    if examples := read_examples(path, nlp):
        return examples
    raise ValueError(f"{path} contains no document")
