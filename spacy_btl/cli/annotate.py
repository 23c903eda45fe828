"""The commands that annotate many documents, and that serve a pipeline over HTTP."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from wasabi import msg

from ..util.text import counted
from .app import (
    CodeOption,
    DelimiterOption,
    GpuOption,
    IdFieldOption,
    TextFieldOption,
    app,
    errors_as_text,
)

if TYPE_CHECKING:
    from ..annotate.run import RunSummary

REASONS_SHOWN = 3
"""Reasons for setting records aside that the command line lists; errors.jsonl has all."""


@app.command("annotate", short_help="Annotate many documents.")
@errors_as_text()
def annotate_command(
    model: Annotated[str, typer.Argument(help="Pipeline: a folder or an installed package")],
    source: Annotated[
        Path, typer.Argument(metavar="INPUT", help="File, or folder with sub-folders")
    ],
    output: Annotated[Path, typer.Argument(help="New folder, or the folder of a run to resume")],
    to: Annotated[
        Literal[
            "jsonl",
            "brat",
            "parquet",
            "docbin",
            "omop",
            "label-studio",
            "doccano",
            "prodigy",
            "inception",
        ],
        typer.Option(help="Format of the output"),
    ] = "jsonl",
    kind: Annotated[
        Literal["txt", "jsonl", "csv", "parquet"] | None,
        typer.Option("--from", help="Kind of the input, for a folder with files of several kinds"),
    ] = None,
    text_field: TextFieldOption = "text",
    id_field: IdFieldOption = "id",
    delimiter: DelimiterOption = ",",
    encoding: Annotated[
        str, typer.Option(help="Encoding of the input (.txt, JSONL, CSV), such as windows-1252")
    ] = "utf-8",
    spans: Annotated[
        str | None, typer.Option(help="Key of doc.spans to write instead of doc.ents")
    ] = None,
    no_text: Annotated[
        bool, typer.Option("--no-text", help="Write JSON Lines, Parquet or OMOP without the text")
    ] = False,
    table: Annotated[
        Literal["csv", "parquet"] | None,
        typer.Option(help="OMOP: kind of the table's file, by default csv"),
    ] = None,
    concepts: Annotated[
        Path | None,
        typer.Option(help="OMOP: table of label (and text) and concept_id, .csv or .tsv"),
    ] = None,
    sections: Annotated[
        Path | None, typer.Option(help="OMOP: table of section and concept_id, .csv or .tsv")
    ] = None,
    section_attribute: Annotated[
        str | None,
        typer.Option(help="OMOP: attribute of spans with their section, if not medspaCy's"),
    ] = None,
    snippet: Annotated[
        int | None, typer.Option(help="OMOP: characters of text around an entity, 0 (none) to 250")
    ] = None,
    first_id: Annotated[int | None, typer.Option(help="OMOP: first note_nlp_id")] = None,
    assertion: Annotated[
        list[str] | None,
        typer.Option(help="OMOP: what an attribute of spans means, as negated=my_negation"),
    ] = None,
    shard_size: Annotated[int, typer.Option(help="Records per output file")] = 200,
    n_process: Annotated[
        int, typer.Option("--n-process", "-n", help="Pipelines that run at the same time")
    ] = 1,
    gpu_id: GpuOption = -1,
    engine: Annotated[
        Literal["local", "ray"],
        typer.Option(help="This machine, or the Ray cluster in RAY_ADDRESS"),
    ] = "local",
    code: CodeOption = None,
) -> None:
    """Annotate many documents. Run the same command again to resume a run that was stopped.

    A record that cannot be read or annotated is set aside in OUTPUT/errors.jsonl, with its error
    and without its text; all others are annotated. If none is left, the exit status is 1.
    """
    from ..annotate.inputs import Fields
    from ..annotate.run import AnnotationSettings, annotate_files
    from ..omop.settings import OmopSettings, parse_assertions

    if delimiter == "\\t":  # as error messages write it; few shells can type a tab
        delimiter = "\t"
    assertions = parse_assertions(assertion) if assertion else None
    given: dict[str, Any] = {
        "table": table,
        "concepts": concepts,
        "sections": sections,
        "section_attribute": section_attribute,
        "snippet": snippet,
        "first_id": first_id,
        "assertions": assertions,
    }
    given = {name: value for name, value in given.items() if value is not None}
    settings = AnnotationSettings(
        to=to,
        kind=kind,
        fields=Fields(id_field, text_field, delimiter),
        encoding=encoding,
        spans=spans,
        with_text=not no_text,
        omop=OmopSettings(**given) if given else None,
        shard_size=shard_size,
        engine=engine,
        n_process=n_process,
        gpu_id=gpu_id,
        code=code,
    )
    summary = annotate_files(model, source, output, settings)
    if not summary.records:
        raise ValueError(f"{source} has no records: its files are empty")
    _show_run(summary, output, to)
    if to == "omop":
        _show_table(summary, concepts, sections)


def _show_run(summary: "RunSummary", output: Path, to: str) -> None:
    """Print what a run has written and what it has set aside; ValueError if all was set aside."""
    from ..brat import without_spaces
    from ..conversion.tasks import TOOLS

    if summary.resumed:
        msg.info(f"{summary.resumed} of {summary.records} records were done before")
    annotated = summary.records - summary.set_aside
    why = "; ".join(f"{reason} ({n})" for reason, n in summary.reasons.most_common(REASONS_SHOWN))
    if not annotated:
        raise ValueError(
            f"none of {summary.records} records could be annotated: {why}; record by record: "
            f"{output / 'errors.jsonl'}"
        )
    entities = counted(summary.entities.total(), "entity", "entities")
    msg.good(f"{counted(annotated, 'record')}, {entities}: {output / 'annotations'}")
    if to in TOOLS:
        msg.info(
            f"Set up the project with {TOOLS[to][0]} of this folder, then import the other files"
        )
    if to == "brat":
        from .data import show_renamed

        show_renamed({e: w for e, w in without_spaces(summary.entities).items() if e != w})
    if summary.set_aside:
        said = counted(summary.set_aside, "record")
        msg.warn(f"{said} set aside: {output / 'errors.jsonl'}", why)
    if not summary.entities.total():
        msg.warn("No entity in any of them: empty texts, or another language or --spans?")


def _show_table(summary: "RunSummary", concepts: Path | None, sections: Path | None) -> None:
    """Warn of entities without a concept, or without a section, and of texts that were cut."""
    if concepts is not None and (unmapped := summary.unmapped):
        most = ", ".join(f"{label} ({n})" for label, n in unmapped.most_common(REASONS_SHOWN))
        msg.warn(
            f"{counted(unmapped.total(), 'entity', 'entities')} without a concept (0), of "
            f"{counted(len(unmapped), 'label')}",
            most,
        )
    if (placed := summary.sections) and not placed["known"] + placed["unknown"]:
        msg.warn("No entity is in a section: does a component of the pipeline set them?")
    elif placed["unknown"]:
        said = counted(placed["unknown"], "entity", "entities")
        msg.warn(f"{said} in sections that {sections} does not have: section_concept_id is 0")
    if summary.shortened:
        said = counted(summary.shortened, "text of an entity", "texts of entities")
        msg.warn(f"{said} cut to the 250 characters of the column")


@app.command("serve", short_help="Serve a pipeline over HTTP.")
@errors_as_text()
def serve_command(
    model: Annotated[
        str,
        typer.Argument(envvar="SPACY_BTL_MODEL", help="Pipeline: a folder or an installed package"),
    ],
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but a loopback address needs a token")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on, 0 for any free one")] = 8000,
    token_file: Annotated[
        Path | None,
        typer.Option(
            help="File with the token that clients must send; or set SPACY_BTL_TOKEN to the token"
        ),
    ] = None,
    spans: Annotated[
        str | None, typer.Option(help="Key of doc.spans to serve instead of doc.ents")
    ] = None,
    max_characters: Annotated[int, typer.Option(help="Most characters of a text")] = 100_000,
    max_texts: Annotated[int, typer.Option(help="Most texts of a request")] = 100,
    max_body: Annotated[int, typer.Option(help="Most bytes of a request")] = 2**23,
    max_waiting: Annotated[
        int, typer.Option(help="Most requests at a time; further ones get status 503")
    ] = 64,
    timeout: Annotated[
        float, typer.Option(help="Most seconds for a request, which then gets status 504")
    ] = 60.0,
    header_timeout: Annotated[
        float,
        typer.Option(help="Most seconds until a connection has sent the header of a request"),
    ] = 10.0,
    certificate: Annotated[Path | None, typer.Option(help="Certificate for HTTPS (PEM)")] = None,
    key: Annotated[Path | None, typer.Option(help="Private key of the certificate (PEM)")] = None,
    log_requests: Annotated[
        bool,
        typer.Option("--log-requests", help="Log route, status and milliseconds of each request"),
    ] = False,
    gpu_id: GpuOption = -1,
    code: CodeOption = None,
) -> None:
    """Serve a pipeline over HTTP until SIGTERM or Ctrl+C; /docs shows the interface.

    Requests under way are answered before it ends. No text gets into a log or an error.
    """
    from ..serving.server import serve
    from ..serving.settings import ServeSettings, read_token

    settings = ServeSettings(
        host=host,
        port=port,
        token=read_token(token_file),
        spans=spans,
        max_characters=max_characters,
        max_texts=max_texts,
        max_body=max_body,
        max_waiting=max_waiting,
        timeout=timeout,
        header_timeout=header_timeout,
        gpu_id=gpu_id,
        code=code,
        certificate=certificate,
        key=key,
        log_requests=log_requests,
    )
    serve(model, settings)
