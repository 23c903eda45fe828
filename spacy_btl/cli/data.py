"""Commands on annotated documents: find, convert and count them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from wasabi import msg

from ..conversion.placement import Alignment, Discontinuous, Overlap
from ..conversion.reading import FormatName
from ..data.duplicates import Duplicates
from ..data.maccrobat import Sample
from ..util.text import counted, printable
from .app import app, errors_as_text

if TYPE_CHECKING:
    from ..conversion.account import Account
    from ..conversion.convert import Conversion

SHOWN = 20
"""Problems in the files that the command line lists; account.json has all."""

SAME_SHOWN = 5
"""Groups of documents with the same text that the command line lists; split.json has all."""

LangOption = Annotated[str, typer.Option(help="Language of the tokenizer")]
OverlapOption = Annotated[
    Overlap, typer.Option(help="Which of two overlapping entities goes into doc.ents")
]
DiscontinuousOption = Annotated[
    Discontinuous, typer.Option(help="How to convert an entity of several fragments")
]
AlignmentOption = Annotated[
    Alignment, typer.Option(help="How to convert an entity that cuts a token")
]
OffsetsOption = Annotated[
    str,
    typer.Option(
        help="How offsets are counted: auto works it out from the surface texts; or "
        "characters, utf16, bytes, crlf-as-one, ... (docs/data.md); unchecked takes "
        "them as written"
    ),
]
FormatOption = Annotated[
    FormatName,
    typer.Option("--format", help="Format of the documents; auto detects it and says which it is"),
]
ColumnsOption = Annotated[
    str,
    typer.Option(
        help="CoNLL: the columns, such as token,_,_,tag; by default the token is in the "
        "first column and its tag in the last"
    ),
]
TextKeyOption = Annotated[
    str,
    typer.Option(
        help="JSON: name of the text in a document, or in the data of a Label Studio task, where "
        "several strings could be it"
    ),
]
LayerOption = Annotated[
    str,
    typer.Option(
        help="JSON of INCEpTION: layer of the entities and its feature with their label, such as "
        "custom.Entity:label, where several could be it"
    ),
]
SpansKeyOption = Annotated[
    str,
    typer.Option(
        help="DocBin: key of doc.spans with the entities; by default the annotation that "
        "convert has kept, or else doc.ents"
    ),
]
LabelsOption = Annotated[
    str,
    typer.Option(
        help="Types that are annotated in the documents: a list such as Age,Sex, or a file "
        "with one type per line; by default all types"
    ),
]
MapOption = Annotated[
    Path | None,
    typer.Option(
        "--map",
        help="File of old and new types (.tsv, .csv, .yaml), to rename or merge types; a "
        "type without a new name is left out",
    ),
]

ApartOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--apart-from",
        help="DocBin, such as dev or test of another corpus: leave out documents with the "
        "same or nearly the same text as one of its documents; may be repeated",
    ),
]


@app.command("corpus", short_help="Find or fetch the annotated documents.")
@errors_as_text()
def corpus_command(
    source: Annotated[
        str, typer.Argument(help='A folder of .txt/.ann pairs, or "maccrobat" to find or fetch it')
    ],
    out_dir: Annotated[Path, typer.Argument(help="Folder for the documents; replaced if ours")],
    assets: Annotated[
        Path, typer.Option(help="Folder in which to look for maccrobat/, its zip and sample/")
    ] = Path("assets"),
    sample: Annotated[
        Sample, typer.Option(help="Without MACCROBAT: take the bundled sample, or fail")
    ] = "allow",
    sha256: Annotated[
        str | None, typer.Option(help="SHA-256 that the documents must have (see corpus.json)")
    ] = None,
) -> None:
    """Find or fetch the annotated documents.

    "maccrobat" means, in this order: documents in ASSETS/maccrobat; the publisher's zip in
    ASSETS/maccrobat or ASSETS; a download from the publisher; the sample in ASSETS/sample.
    """
    from ..data.maccrobat import prepare_corpus

    info = prepare_corpus(source, out_dir, assets_dir=assets, sample=sample, sha256=sha256)
    msg.good(f"{counted(info.documents, 'document')} from {info.title or source} in {out_dir}")
    if info.unpaired:
        what = counted(info.unpaired, "text")
        msg.warn(f"left out: {what} without annotation")
    if info.heading:
        msg.warn(info.heading)


@app.command("convert", short_help="Turn annotated documents into DocBins.")
@errors_as_text()
def convert_command(
    source: Annotated[
        Path,
        typer.Argument(
            help="Folder of .txt/.ann pairs, with sub-folders; or a folder or file of PubTator, "
            "CoNLL, JSON (Prodigy, doccano, Label Studio, INCEpTION), BioC or DocBins"
        ),
    ],
    out_dir: Annotated[Path, typer.Argument(help="Folder for the .spacy files and the account")],
    split: Annotated[
        str,
        typer.Option(
            help="Shares of train, dev and test documents; or a division to keep: folders (named "
            "train, dev, test), a split.json, or a table (.csv, .tsv) of name and part"
        ),
    ] = "0.8,0.1,0.1",
    no_split: Annotated[bool, typer.Option("--no-split", help="One all.spacy instead")] = False,
    seed: Annotated[int, typer.Option(help="Random seed of the split")] = 0,
    group: Annotated[
        str,
        typer.Option(
            help="Keep documents of one patient, say, in one part: a regular expression that finds "
            "the patient in a name, or a table (.csv, .tsv) of name and patient"
        ),
    ] = "",
    duplicates: Annotated[
        Duplicates,
        typer.Option(help="Keep documents of the same text in one part, or deal them out anywhere"),
    ] = "together",
    overlap: OverlapOption = "rarest",
    discontinuous: DiscontinuousOption = "envelope",
    alignment: AlignmentOption = "expand",
    offsets: OffsetsOption = "auto",
    lang: LangOption = "en",
    format_name: FormatOption = "auto",
    columns: ColumnsOption = "",
    sentences: Annotated[
        int,
        typer.Option(
            min=0,
            help="CoNLL without -DOCSTART-: sentences that make a document; 0: all of a file",
        ),
    ] = 10,
    text_key: TextKeyOption = "",
    layer: LayerOption = "",
    spans_key: SpansKeyOption = "",
    labels: LabelsOption = "",
    label_map: MapOption = None,
    corpus_name: Annotated[
        str, typer.Option(help="Name of the corpus, which its documents keep")
    ] = "",
    apart_from: ApartOption = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="Fail and write only the account if an entity is dropped, a file has an error, or "
            "there is no entity at all",
        ),
    ] = False,
) -> None:
    """Turn annotated documents into DocBins, with an account of every entity.

    Writes train.spacy, dev.spacy and test.spacy (or all.spacy), account.json with one row for each
    entity read, and account.md with the sums. Documents are split so that every type that occurs in
    three or more of them is in each part where possible.
    """
    from ..conversion.convert import SHARES, LossError, convert_folder
    from ..conversion.placement import Policies
    from ..conversion.reading import Reading
    from ..data.groups import is_division
    from ..data.split import parse_shares
    from ..formats import parse_labels, read_label_map

    reading = Reading(
        format=format_name,
        columns=columns,
        sentences=sentences,
        text_key=text_key,
        layer=layer,
        spans_key=spans_key,
        labels=parse_labels(labels) if labels else (),
        label_map=read_label_map(label_map) if label_map else {},
        corpus=corpus_name,
        apart_from=apart_from or (),
    )
    keep = is_division(split)
    shares = SHARES if keep else parse_shares(split)
    try:
        conversion = convert_folder(
            source,
            out_dir,
            shares=None if no_split else shares,
            seed=seed,
            policies=Policies(overlap, discontinuous, alignment, offsets),
            lang=lang,
            strict=strict,
            group=group or None,
            division=split if keep else None,
            duplicates=duplicates,
            reading=reading,
        )
    except LossError as error:
        show_account(error.conversion, source, out_dir)
        raise ValueError(f"--strict: {error}") from error
    show_conversion(conversion, source, out_dir)


@app.command("stats", short_help="Count what a corpus contains.")
@errors_as_text()
def stats_command(
    path: Annotated[
        Path,
        typer.Argument(help="Annotated documents as for convert, DocBin, or trained pipeline"),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
    overlap: OverlapOption = "rarest",
    discontinuous: DiscontinuousOption = "envelope",
    alignment: AlignmentOption = "expand",
    offsets: OffsetsOption = "auto",
    lang: LangOption = "en",
    format_name: FormatOption = "auto",
    columns: ColumnsOption = "",
    text_key: TextKeyOption = "",
    layer: LayerOption = "",
    labels: LabelsOption = "",
    label_map: MapOption = None,
) -> None:
    """Count what a corpus contains, and show the best score that a tagger could reach on it.

    Annotated documents are converted first, by the policies given; a DocBin is counted as it is,
    unless --format, --labels or --map is given. For a trained pipeline, show its labels, updates,
    neighbors and class weights.
    """
    import json

    from ..conversion.convert import read_brat
    from ..conversion.placement import Policies
    from ..conversion.reading import DEFAULT_READING, Reading
    from ..data.docbin import read_docbin
    from ..data.tokenizer import blank
    from ..evaluation.corpus_stats import (
        corpus_stats,
        pipeline_stats,
        pipeline_stats_to_markdown,
        stats_to_markdown,
    )
    from ..formats import parse_labels, read_label_map

    if (path / "config.cfg").is_file():
        from ..packaging.saving import load_pipeline

        values = pipeline_stats(load_pipeline(path))
        text = json.dumps(values, indent=2) if as_json else pipeline_stats_to_markdown(values)
        typer.echo(text, nl=False)
        return
    reading = Reading(
        format=format_name,
        columns=columns,
        text_key=text_key,
        layer=layer,
        labels=parse_labels(labels) if labels else (),
        label_map=read_label_map(label_map) if label_map else {},
    )
    if path.is_dir() or path.suffix.lower() != ".spacy" or reading != DEFAULT_READING:
        policies = Policies(overlap, discontinuous, alignment, offsets)
        docs, account = read_brat(path, policies=policies, lang=lang, reading=reading)
    else:
        docs, account = read_docbin(path, blank(lang).vocab), None
    stats = corpus_stats(docs, blank(lang))
    typer.echo(json.dumps(stats, indent=2) if as_json else stats_to_markdown(stats), nl=False)
    if account:
        show_warnings(account)


def show_renamed(renamed: dict[str, str]) -> None:
    """Print which labels have been written without their white space."""
    if renamed:
        pairs = ", ".join(f'"{label}" as {new}' for label, new in renamed.items())
        msg.warn(f"brat reads no white space in labels, written are: {printable(pairs)}")


def show_conversion(conversion: "Conversion", source: Path, out_dir: Path) -> None:
    """Print what became of the entities, of the documents, and what is lost."""
    show_account(conversion, source, out_dir)
    _show_duplicates(conversion)
    show_left_out(conversion.account)
    for note in conversion.notes:
        msg.info(note)
    parts = conversion.parts.items()
    msg.good(", ".join(f"{part} {counted(len(names), 'document')}" for part, names in parts))
    for warning in conversion.warnings:
        msg.warn(warning)
    show_warnings(conversion.account)  # last, so that nobody overlooks them


def show_left_out(account: "Account", corpus: str = "") -> None:
    """Print how many documents are left out, as another corpus has their text."""
    from ..conversion.reading import LEFT_OUT

    if n := account.settings.get(LEFT_OUT):
        msg.warn(f"{corpus}{': ' if corpus else ''}{LEFT_OUT}: {n}")


def show_account(conversion: "Conversion", source: Path, out_dir: Path) -> None:
    """Print the problems in the files, the sums of the account, and the place of the rest."""
    from ..brat.folder import relative_name

    if others := conversion.passed_over:
        names = ", ".join(relative_name(path, source) for path in others[:3])
        more = ", ..." if len(others) > 3 else ""
        said = counted(len(others), "other file")
        typer.echo(f"passed over in {source}: {said}: {names}{more}")
    _show_format(conversion.account)
    _show_problems(conversion.account)
    totals = conversion.account.totals()
    typer.echo(", ".join(f"{number} {what}" for what, number in totals.items()))
    if conversion.account.mapped:
        counts = conversion.account.by_map()
        typer.echo(
            "by the map: " + ", ".join(f"{number} {what}" for what, number in counts.items())
        )
    typer.echo(f"details: {out_dir / 'account.md'}, each entity in {out_dir / 'account.json'}")


def _show_format(account: "Account") -> None:
    """Print the format that was read, and what else is to be said of the reading."""
    known = [*account.settings][: [*account.settings].index("overlap")]
    values = [f"{key} {account.settings[key]}" for key in known if key != "format"]
    more = f" ({'; '.join(values)})" if values else ""
    typer.echo(f"read as {account.settings['format']}{more}")


def show_warnings(account: "Account") -> None:
    """Print what is lost in capitals on stderr, apart from any figures."""
    for warning in account.warnings():
        typer.secho(f"WARNING: {warning}", fg="yellow", bold=True, err=True)


def _show_duplicates(conversion: "Conversion") -> None:
    """Print how many texts occur more than once, which documents, and whether a part has them."""
    from ..data.duplicates import count_duplicates
    from ..data.groups import describe_names, in_several_parts

    groups = conversion.duplicates
    if not groups:
        return
    counts = count_duplicates(groups)
    texts, documents = counts.pop("texts"), counts.pop("documents")
    more = "".join(f", {number} of them {what}" for what, number in counts.items() if number)
    part_of = {name: part for part, names in conversion.parts.items() for name in names}
    torn = in_several_parts((group["documents"] for group in groups), part_of)
    where = (
        f"{len(torn)} of them are in more than one part, which makes scores too good"
        if torn
        else "each is in one part"
    )
    found = f"{texts}, in {counted(documents, 'document')}{more}"
    msg.warn(f"texts that occur more than once: {found}; {where}")
    for names in (torn or [group["documents"] for group in groups])[:SAME_SHOWN]:
        typer.echo(f"same text: {describe_names(names)}")
    if texts > SAME_SHOWN:
        typer.echo("all are in split.json")


def _show_problems(account: "Account") -> None:
    """Print the first problems by file and line, and the number of all."""
    if not account.problems:
        return
    n_problems, n_errors = len(account.problems), len(account.errors())
    name = "error" if n_errors == n_problems else "problem"
    more = counted(n_errors, "of them is an error", "of them are errors")
    tail = f", {more}" if 0 < n_errors < n_problems else ""
    msg.warn(f"{counted(n_problems, name)} in the files{tail}")
    for problem in account.problems[:SHOWN]:
        place = f"{problem['file']}:{problem['line']}" if problem["line"] else problem["file"]
        words = (place, problem["level"], problem["record"], f"{problem['reason']},")
        typer.echo(" ".join([*filter(None, words), problem["detail"]]))  # msg would break the line
    if len(account.problems) > SHOWN:
        typer.echo(f"and {len(account.problems) - SHOWN} more, in account.json")
