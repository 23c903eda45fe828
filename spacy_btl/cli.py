"""``python -m spacy btl ...``: the commands of the package, one thin function each.

spaCy loads this module at every start of its command line, so all else is imported when needed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from spacy.cli import app as spacy_app
from wasabi import msg

app = typer.Typer(
    name="btl",
    help="Clinical entity recognition that keeps the rare types: from BRAT annotation to a wheel.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
spacy_app.add_typer(app)


class Sample(str, Enum):
    """Whether the bundled sample may stand in for MACCROBAT."""

    allow = "allow"
    never = "never"


class Overlap(str, Enum):
    """Which of two overlapping entities stands in doc.ents."""

    rarest = "rarest"
    longest = "longest"
    shortest = "shortest"
    first = "first"


class Discontinuous(str, Enum):
    """What becomes of an entity of several fragments."""

    envelope = "envelope"
    longest_fragment = "longest-fragment"
    split = "split"
    drop = "drop"


class Alignment(str, Enum):
    """What becomes of an entity that starts or ends inside of a token."""

    expand = "expand"
    contract = "contract"
    strict = "strict"


@app.command("corpus")
def corpus_command(
    source: Annotated[
        str, typer.Argument(help='A folder of .txt/.ann pairs, or "maccrobat" to find or fetch it')
    ],
    out_dir: Annotated[Path, typer.Argument(help="Folder for the documents; replaced if ours")],
    assets: Annotated[
        Path, typer.Option(help="Where to look for maccrobat/, its zip and sample/")
    ] = Path("assets"),
    sample: Annotated[
        Sample, typer.Option(help="Without MACCROBAT: take the bundled sample, or fail")
    ] = Sample.allow,
) -> None:
    """Find or fetch the annotated documents.

    "maccrobat" means, in this order: documents in ASSETS/maccrobat; the publisher's zip in
    ASSETS/maccrobat or ASSETS; a download from the publisher; the sample in ASSETS/sample.
    """
    from .corpus import prepare_corpus

    with _errors_as_text():
        info = prepare_corpus(source, out_dir, assets_dir=assets, sample=sample.value)
    msg.good(f"{info.documents} documents from {info.title or source} in {out_dir}")
    if info.unpaired:
        msg.warn(f"{info.unpaired} texts without annotation were left out")
    if info.heading:
        msg.warn(info.heading)


@app.command("convert")
def convert_command(
    brat_dir: Annotated[Path, typer.Argument(help="Folder of .txt/.ann pairs, with sub-folders")],
    out_dir: Annotated[Path, typer.Argument(help="Folder for the .spacy files and the account")],
    split: Annotated[
        str, typer.Option(help="Shares of train, dev and test documents")
    ] = "0.8,0.1,0.1",
    no_split: Annotated[bool, typer.Option("--no-split", help="One all.spacy instead")] = False,
    seed: Annotated[int, typer.Option(help="Of the split")] = 0,
    overlap: Annotated[
        Overlap, typer.Option(help="Which of two overlapping entities stands in doc.ents")
    ] = Overlap.rarest,
    discontinuous: Annotated[
        Discontinuous, typer.Option(help="What becomes of an entity of several fragments")
    ] = Discontinuous.envelope,
    alignment: Annotated[
        Alignment, typer.Option(help="What becomes of an entity that cuts a token")
    ] = Alignment.expand,
    lang: Annotated[str, typer.Option(help="Language of the tokenizer")] = "en",
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 if any entity was dropped")
    ] = False,
) -> None:
    """Turn BRAT annotation into DocBins, with an account of every entity.

    Writes train.spacy, dev.spacy and test.spacy (or all.spacy), account.json with one row for each
    entity read, and account.md with the sums. Documents are split so that every type with three or
    more of them stands in each part where possible.
    """
    import spacy
    import srsly

    from .convert import Policies, make_docs, read_brat_folder, write_parts
    from .tokenizer import clinical_tokenizer

    with _errors_as_text():
        shares = None if no_split else tuple(float(share) for share in split.split(","))
        if shares is not None and len(shares) != 3:
            raise ValueError(f'--split wants three shares such as 0.8,0.1,0.1, not "{split}"')
        nlp = spacy.blank(lang)
        nlp.tokenizer = clinical_tokenizer(nlp)
        documents, heading = read_brat_folder(brat_dir)
        policies = Policies(overlap.value, discontinuous.value, alignment.value)
        docs, account = make_docs(documents, nlp, policies, heading=heading)
        parts = write_parts(docs, out_dir, shares, seed)
    srsly.write_json(out_dir / "account.json", account.to_json())
    (out_dir / "account.md").write_text(account.to_markdown(), encoding="utf8")
    srsly.write_json(out_dir / "split.json", {"seed": seed, "parts": parts})
    totals = account.totals()
    msg.good(", ".join(f"{part} {len(names)} documents" for part, names in parts.items()))
    msg.text(", ".join(f"{number} {what}" for what, number in totals.items()))
    msg.text(f"why: {out_dir / 'account.md'}, row by row: {out_dir / 'account.json'}")
    if account.problems:
        msg.warn(f"{len(account.problems)} problems in the files, see {out_dir / 'account.json'}")
    if strict and totals["dropped"]:
        msg.fail(f"{totals['dropped']} entities were dropped (--strict)", exits=1)


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
    with _errors_as_text():
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
    with _errors_as_text():
        nlp = spacy.load(model)
        metrics = evaluate(nlp, read_examples(data, nlp))
        metrics["train_counts"] = label_counts(train, nlp) if train else {}
        last = list(srsly.read_jsonl(log))[-1:] if log else []
    metrics["training"] = {key: last[0][key] for key in ("step", "epoch", "seconds")} if last else {}
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

    with _errors_as_text():
        wheels = sorted(packages.glob("*/dist/*.whl"), key=lambda path: path.stat().st_mtime)
        if not wheels:
            raise FileNotFoundError(f"no wheel in {packages}; spacy project run package builds it")
        report = render_report(srsly.read_json(metrics))
    typer.echo(report)
    name = wheels[-1].name.split("-")[0]
    typer.echo(f"Wheel: {wheels[-1]}\n")
    typer.echo(f'nlp = spacy.load("{name}")')
    typer.echo('print([(ent.text, ent.label_) for ent in nlp("She took 5 mg of warfarin.").ents])')


@contextmanager
def _errors_as_text() -> Iterator[None]:
    """Bad input is no crash: its message, without a traceback, and exit status 1."""
    try:
        yield
    except (ValueError, OSError) as error:
        msg.fail(str(error), exits=1)
