"""The command on several corpora: which of them helps which."""

from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg

from .app import GpuOption, app, errors_as_text


@app.command("transfer", short_help="Measure which corpus helps which.")
@errors_as_text()
def transfer_command(
    config: Annotated[Path, typer.Argument(help="Training configuration, such as configs/btl.cfg")],
    sources: Annotated[
        list[str],
        typer.Argument(help="Corpora to begin with: NAME=FOLDER or FOLDER, as convert writes it"),
    ],
    target: Annotated[
        list[str], typer.Option(help="Corpus to be good at, NAME=FOLDER or FOLDER; may be repeated")
    ],
    output: Annotated[Path, typer.Option(help="Folder for the trainings and the report")],
    first: Annotated[int, typer.Option(help="Updates on a source")] = 800,
    second: Annotated[int, typer.Option(help="Updates on the target after it")] = 400,
    joint: Annotated[
        bool, typer.Option("--joint", help="Begin with source and target together")
    ] = False,
    seeds: Annotated[int, typer.Option(help="Seeds of each training; scores are means")] = 1,
    curve: Annotated[
        bool,
        typer.Option("--curve", help="Also train on parts of the targets, for their curves' slope"),
    ] = False,
    gpu_id: GpuOption = -1,
) -> None:
    """Measure which corpus helps which: train on a source, continue on a target, score on its dev.

    Each target is also trained alone, with as many updates. Writes matrix.json, report.md and
    report.html with a heat map of the gains, those of each type, and how well the likeness of
    corpora predicts them. What is in the folder already is not trained again.
    """
    from ..transfer.matrix import Schedule, transfer_matrix
    from ..transfer.page import write_page
    from ..transfer.training import Corpus, read_config

    def corpus(text: str) -> Corpus:
        name, separator, folder = text.partition("=")
        return Corpus(name, Path(folder)) if separator else Corpus(Path(text).name, Path(text))

    schedule = Schedule(first, second, joint, tuple(range(seeds)), curve)
    matrix = transfer_matrix(
        read_config(config),
        [corpus(text) for text in sources],
        [corpus(text) for text in target],
        output,
        schedule,
        use_gpu=gpu_id,
        report=typer.echo,
    )
    typer.echo(write_page(matrix, schedule, output))
    msg.good(f"matrix.json, report.md and report.html in {output}")
