"""The command that annotates many documents."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg

from .app import app, errors_as_text


class Kind(Enum):
    """Files that records are read from."""

    txt = "txt"
    jsonl = "jsonl"
    csv = "csv"
    parquet = "parquet"


class Format(Enum):
    """Files that annotations are written to."""

    jsonl = "jsonl"
    brat = "brat"
    parquet = "parquet"
    docbin = "docbin"


class Engine(Enum):
    """Where pipelines run."""

    local = "local"
    ray = "ray"


@app.command("annotate", short_help="Annotate many documents.")
def annotate_command(
    model: Annotated[str, typer.Argument(help="Pipeline: a folder or an installed package")],
    source: Annotated[
        Path, typer.Argument(metavar="INPUT", help="File, or folder with sub-folders")
    ],
    output: Annotated[Path, typer.Argument(help="New folder, or that of a run to go on with")],
    to: Annotated[Format, typer.Option(help="Written: JSON Lines, BRAT, Parquet, DocBin")] = (
        Format.jsonl
    ),
    kind: Annotated[
        Kind | None, typer.Option("--from", help="Kind of the input, where its files leave it open")
    ] = None,
    text_field: Annotated[str, typer.Option(help="Of JSONL, CSV, Parquet")] = "text",
    id_field: Annotated[str, typer.Option(help="Of JSONL, CSV, Parquet")] = "id",
    delimiter: Annotated[str, typer.Option(help="Of CSV")] = ",",
    spans: Annotated[
        str | None, typer.Option(help="Key of doc.spans to take instead of doc.ents")
    ] = None,
    no_text: Annotated[
        bool, typer.Option("--no-text", help="JSON Lines and Parquet without the text")
    ] = False,
    shard_size: Annotated[int, typer.Option(help="Records that are written together")] = 200,
    n_process: Annotated[int, typer.Option("--n-process", "-n", help="Pipelines at a time")] = 1,
    gpu_id: Annotated[int, typer.Option("--gpu-id", "-g", help="GPU, or -1 for the CPU")] = -1,
    engine: Annotated[
        Engine, typer.Option(help="This machine, or the Ray cluster in RAY_ADDRESS")
    ] = Engine.local,
) -> None:
    """Annotate many documents; run it again to go on with a run that was stopped.

    A record that cannot be read or annotated is set aside in OUTPUT/errors.jsonl, with its error
    and without its text; the others go on.
    """
    from ..annotate.inputs import Fields
    from ..annotate.run import AnnotationSettings, annotate_files

    with errors_as_text():
        settings = AnnotationSettings(
            to=to.value,
            kind=kind.value if kind else None,
            fields=Fields(id_field, text_field, delimiter),
            spans=spans,
            with_text=not no_text,
            shard_size=shard_size,
            engine=engine.value,
            n_process=n_process,
            gpu_id=gpu_id,
        )
        summary = annotate_files(model, source, output, settings)
    if summary.resumed:
        msg.info(f"{summary.resumed} of {summary.records} records were done before")
    annotated = summary.records - summary.set_aside
    msg.good(f"{annotated} records, {summary.entities.total()} entities: {output / 'annotations'}")
    if summary.set_aside:
        msg.warn(f"{summary.set_aside} records set aside: {output / 'errors.jsonl'}")
