"""Commands on several corpora."""

from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg

from .app import app, errors_as_text
from .data import ApartOption, LangOption


@app.command("convert-sources", short_help="Convert several corpora, to train on them together.")
@errors_as_text()
def convert_sources_command(
    sources: Annotated[
        str,
        typer.Argument(help="Folders with a comma between them, each PATH or NAME=PATH"),
    ],
    out_dir: Annotated[Path, typer.Argument(help="Folder for their folders; replaced if ours")],
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
    from ..conversion.reading import LEFT_OUT
    from ..conversion.sources import convert_sources, parse_sources
    from ..data.split import parse_shares

    shares = parse_shares(split) if split else None
    found = parse_sources(sources)
    converted = convert_sources(
        found, out_dir, shares=shares, seed=seed, lang=lang, apart_from=apart_from or ()
    )
    for name, done in converted:
        parts = ", ".join(f"{part} {len(names)}" for part, names in done.parts.items())
        msg.good(f"{name}: {parts} documents; {out_dir / name}")
        if n := done.account.settings.get(LEFT_OUT):
            msg.warn(f"{name}: {n} {LEFT_OUT}")
        for warning in done.account.warnings():
            msg.warn(f"{name}: {warning}")
