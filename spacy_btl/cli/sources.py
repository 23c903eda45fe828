"""Commands on several corpora: convert them together, and measure which helps which."""

from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg

from ..util.text import counted
from .app import CodeOption, GpuOption, app, errors_as_text, run_code
from .data import ApartOption, LangOption, show_left_out


@app.command("convert-sources", short_help="Convert several corpora, to train on them together.")
@errors_as_text()
def convert_sources_command(
    sources: Annotated[
        str,
        typer.Argument(help="Paths separated by commas, each PATH or NAME=PATH"),
    ],
    out_dir: Annotated[
        Path, typer.Argument(help="Folder for the converted corpora; an earlier one is replaced")
    ],
    split: Annotated[
        str,
        typer.Option(help="Shares of train, dev and test documents; without it, one all.spacy"),
    ] = "",
    seed: Annotated[int, typer.Option(help="Random seed of the split")] = 0,
    lang: LangOption = "en",
    apart_from: ApartOption = None,
) -> None:
    """Convert several corpora, to train on them together (docs/corpora.md).

    Each becomes a folder of OUT_DIR, with what convert writes. For options that corpora do not
    share, convert them one by one: convert SOURCE OUT_DIR/NAME.
    """
    from ..conversion.sources import convert_sources, parse_sources
    from ..data.split import parse_shares

    shares = parse_shares(split) if split else None
    found = parse_sources(sources)
    converted = convert_sources(
        found, out_dir, shares=shares, seed=seed, lang=lang, apart_from=apart_from or ()
    )
    for name, done in converted:
        parts = done.parts.items()
        said = ", ".join(f"{part} {counted(len(names), 'document')}" for part, names in parts)
        msg.good(f"{name}: {said}; {out_dir / name}")
        show_left_out(done.account, name)
        for warning in done.account.warnings():
            msg.warn(f"{name}: {warning}")


@app.command("transfer", short_help="Measure which corpus helps which.")
@errors_as_text()
def transfer_command(
    config: Annotated[Path, typer.Argument(help="Training configuration, such as configs/btl.cfg")],
    sources: Annotated[
        list[str],
        typer.Argument(help="Source corpora: FOLDER or NAME=FOLDER, as written by convert"),
    ],
    target: Annotated[
        list[str], typer.Option(help="Target corpus, FOLDER or NAME=FOLDER; may be repeated")
    ],
    output: Annotated[Path, typer.Option(help="Folder for the trainings and the report")],
    first: Annotated[int, typer.Option(help="Updates on a source")] = 800,
    second: Annotated[int, typer.Option(help="Updates on the target afterwards")] = 400,
    joint: Annotated[
        bool, typer.Option("--joint", help="Train on source and target together first")
    ] = False,
    seeds: Annotated[int, typer.Option(help="Seeds of each training; scores are means")] = 1,
    curve: Annotated[
        bool,
        typer.Option(
            "--curve",
            help="Also train on parts of each target, for the slope of its learning curve",
        ),
    ] = False,
    gpu_id: GpuOption = -1,
    code: CodeOption = None,
) -> None:
    """Measure which corpus helps which: train on a source, continue on a target, score on its dev.

    Each target is also trained alone, with as many updates. Writes matrix.json, report.md and
    report.html with a heat map of the gains, those of each type, and how well the similarity of
    corpora predicts them; with --joint, joint-matrix.json and so on. Trainings that are already
    in the folder are not repeated.
    """
    from ..transfer.matrix import Schedule, transfer_matrix
    from ..transfer.page import page_files, write_page
    from ..transfer.training import Corpus, read_config

    run_code(code)

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
    msg.good(f"{', '.join(page_files(schedule))} in {output}")
