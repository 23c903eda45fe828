"""Commands on annotated documents: find them and convert them."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg

from .commands import app, errors_as_text


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

    with errors_as_text():
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

    with errors_as_text():
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
