"""Commands on the neighbours of a trained pipeline: fit them, ask them, change them."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from wasabi import msg

from ..packaging.saving import check_target, load_pipeline, save_pipeline
from .app import app, errors_as_text

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.training import Example

    from ..pipeline.component import BtlKnnNer

Model = Annotated[Path, typer.Argument(help="Fitted pipeline")]
Out = Annotated[Path, typer.Argument(help="Folder for the changed pipeline")]
Gpu = Annotated[int, typer.Option("--gpu-id", "-g", help="GPU, or -1 for the CPU")]


@app.command("fit-knn", short_help="Fit the neighbour search.")
def fit_knn_command(
    model: Annotated[Path, typer.Argument(help="Trained pipeline")],
    train: Annotated[Path, typer.Argument(help="DocBin whose tokens become the neighbours")],
    out_dir: Annotated[Path, typer.Argument(help="Folder for the fitted pipeline")],
    dev: Annotated[
        Path | None,
        typer.Option(help="DocBin to choose the settings and calibrate the scores on"),
    ] = None,
    fixed: Annotated[
        bool, typer.Option("--fixed", help="Keep the settings; dev calibrates the scores only")
    ] = False,
    thresholds: Annotated[
        str, typer.Option(help='On dev, least scores by type: "none", "f1", or a precision')
    ] = "none",
    keys: Annotated[
        str | None, typer.Option(help="logits or hidden states; those of the pipeline if not given")
    ] = None,
    dropout: Annotated[
        float, typer.Option(help="Rate under which the keys are made, 0 for none")
    ] = 0.0,
    passes: Annotated[int, typer.Option(help="Keys for each token, under dropout")] = 1,
    folds: Annotated[
        int, typer.Option(help="Trainings for cross-fitted keys; 0 to take the pipeline's own")
    ] = 0,
    fold_steps: Annotated[
        int, typer.Option(help="Updates of each of them; 0 for the configuration's, less its share")
    ] = 0,
    report: Annotated[
        Path | None, typer.Option(help="Folder for the table, the reliability and its plot")
    ] = None,
    gpu_id: Gpu = -1,
) -> None:
    """Fit the neighbour search of btl_knn_ner on annotated tokens.

    With --dev, number and weights of the votes and their share beside the model are chosen by
    strict span F1, the mean of micro and macro, and the entities' scores are calibrated. The
    pipeline holds vectors and labels of the tokens, document names and offsets, and no word of the
    documents.
    """
    from spacy.cli._util import setup_gpu

    from ..evaluation.cross_fitting import cross_fitted_keys
    from ..evaluation.dev_choice import choose_on_dev, render_choice, write_choice
    from ..pipeline.fitting import collect_keys, to_datastore

    setup_gpu(gpu_id, silent=False)
    with errors_as_text():
        check_target(out_dir)
        objective = _objective(thresholds)
        if dev is None and (fixed or objective is not None or report is not None):
            raise ValueError("--fixed, --thresholds and --report are about dev: give --dev")
        if folds and (dropout or passes != 1):
            raise ValueError("cross-fitted keys (--folds) are made without --dropout and --passes")
        nlp, pipe = _load(model)
        config = nlp.get_pipe_config(pipe.name)
        if keys is not None:
            pipe.set_key_kind(keys)
            config["keys"] = keys
        examples = _read(train, nlp, pipe)
        held_out = [] if dev is None else _read(dev, nlp, pipe)
        if dev is not None and not held_out:
            raise ValueError(f"no document in {dev}")
        if folds:
            tokens = cross_fitted_keys(
                nlp, pipe, examples, n_folds=folds, max_steps=fold_steps, progress=True
            )
        else:
            tokens = collect_keys(
                pipe,
                examples,
                types=pipe.label_data,
                dropout=dropout,
                passes=passes,
                progress=True,
            )
        pipe.forget_neighbors()
        pipe.set_neighbors(to_datastore(pipe, tokens))
        if dev is not None:
            choice = choose_on_dev(pipe, config, held_out, fixed=fixed, thresholds=objective)
            typer.echo(render_choice(choice))
            if report is not None:
                write_choice(choice, report)
        else:
            msg.warn("Without --dev the settings stay as they are, and scores are not calibrated")
        save_pipeline(nlp, out_dir)
    msg.good(f"{len(pipe.neighbors.datastore or ())} tokens, {out_dir}")


@app.command("explain", short_help="Show the neighbours behind each entity.")
def explain_command(
    model: Model,
    file: Annotated[Path, typer.Option(help="Report, plain text")],
    corpus: Annotated[
        Path | None,
        typer.Option(help="DocBin that the neighbours come from: shows their sentences"),
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page for a browser here")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
    examples: Annotated[int, typer.Option(help="Training examples shown for an entity")] = 5,
) -> None:
    """Show which training tokens speak for each entity of a report.

    Without --corpus they are told by document and offset: the pipeline holds no text.
    """
    import srsly

    from ..data.docbin import read_docbin
    from ..data.gold import document_id, heading_of
    from ..explain.page import render_page
    from ..explain.passages import corpus_document
    from ..explain.text import evidence_to_json, render_text
    from ..util.files import write_file

    with errors_as_text():
        nlp, pipe = _load(model)
        doc = nlp(file.read_bytes().decode("utf8"))  # offsets count both characters of a CRLF
        evidence = pipe.explain(doc)
        shown, heading = None, ""
        if corpus is not None:
            docs = read_docbin(corpus, nlp.vocab)
            shown = {document_id(doc): corpus_document(doc, pipe.spans_key) for doc in docs}
            heading = heading_of(docs)
        if html is not None:
            page = render_page(
                doc.text,
                evidence,
                shown,
                title=file.name,
                heading=heading,
                labels=pipe.labels,
                n_examples=examples,
            )
            write_file(html, page)
        if as_json:
            values = evidence_to_json(
                doc.text, evidence, shown, n_examples=examples, heading=heading
            )
            typer.echo(srsly.json_dumps(values, indent=2))
        elif html is None:
            text = render_text(doc.text, evidence, shown, n_examples=examples, heading=heading)
            typer.echo(text)
    if html is not None:
        msg.good(str(html))


@app.command("add-examples", short_help="Teach types from a few documents.")
def add_examples_command(
    model: Model,
    examples: Annotated[Path, typer.Argument(help="DocBin of annotated documents")],
    out_dir: Out,
    only_entities: Annotated[
        bool,
        typer.Option("--only-entities", help="Add the tokens of entities, no tokens outside"),
    ] = False,
    replace_outside: Annotated[
        bool,
        typer.Option(
            "--replace-outside",
            help="Neighbours outside of entities give way where they lie among the tokens of a "
            "new type",
        ),
    ] = False,
    weight: Annotated[
        int | None,
        typer.Option(
            help="How many votes each added token has; if not given 1, or, for a new type, the "
            "majority of all votes"
        ),
    ] = None,
) -> None:
    """Let the tokens of further documents vote too, without training.

    Their entities may be of types that the pipeline has never seen. The pipeline in MODEL stays as
    it is.
    """
    with errors_as_text():
        check_target(out_dir)
        nlp, pipe = _load(model)
        before = pipe.labels
        edit = pipe.add_examples(
            _read(examples, nlp, pipe),
            only_entities=only_entities,
            replace_outside=replace_outside,
            weight=weight,
        )
        save_pipeline(nlp, out_dir)
    new = [label for label in pipe.labels if label not in before]
    msg.good(
        f"{edit.added} tokens added, {edit.removed} removed, new types: {', '.join(new) or 'none'}"
    )
    msg.good(str(out_dir))


@app.command("remove-documents", short_help="Take documents out of the neighbours.")
def remove_documents_command(
    model: Model,
    out_dir: Out,
    documents: Annotated[
        list[str], typer.Argument(help="Names of documents (spacy btl documents)")
    ],
) -> None:
    """Take all neighbours that come from these documents out. The pipeline in MODEL stays as it is.

    The weights have been trained on them all the same: for these, train anew without them.
    """
    with errors_as_text():
        check_target(out_dir)
        nlp, pipe = _load(model)
        removed = pipe.remove_documents(documents)
        save_pipeline(nlp, out_dir)
    msg.good(f"{removed} tokens of {len(set(documents))} documents removed, {out_dir}")


@app.command("documents", short_help="List the documents of the neighbours.")
def documents_command(model: Model) -> None:
    """List the documents that the neighbours come from, with the number of votes each can give."""
    from ..util.text import markdown_table

    with errors_as_text():
        _, pipe = _load(model)
        store = pipe.neighbors.datastore
        counts = store.counts_by_document() if store is not None else {}
    rows = [[name, str(count)] for name, count in sorted(counts.items())]
    typer.echo("\n".join(markdown_table(["document", "votes"], rows)))


def _load(model: Path) -> "tuple[Language, BtlKnnNer]":
    """A pipeline and its component; ValueError where it has none of ours, or more than one."""
    from ..pipeline.component import component_of

    nlp = load_pipeline(model)
    return nlp, component_of(nlp)


def _read(path: Path, nlp: "Language", pipe: "BtlKnnNer") -> "list[Example]":
    """Annotated documents of a DocBin, as the component meets them."""
    from ..evaluation.evaluate import read_examples
    from ..pipeline.fitting import examples_for

    return examples_for(nlp, pipe, read_examples(path, nlp))


def _objective(text: str) -> Any:
    """The value of --thresholds: None, "f1" or a precision."""
    if text in ("none", "f1"):
        return None if text == "none" else text
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= 1:
        raise ValueError(
            f'--thresholds is "none", "f1" or a precision above 0, up to 1, not "{text}"'
        )
    return value
