"""The command that seals the folder of a pipeline, or checks its seal."""

from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg

from .app import app, errors_as_text


@app.command("seal", short_help="List or check the SHA-256 of all files.")
def seal_command(
    model: Annotated[Path, typer.Argument(help="Folder of a pipeline")],
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing: fail where a file is not as sealed")
    ] = False,
) -> None:
    """List the files of a pipeline with their SHA-256; loading it then fails where one has changed.

    The commands that write pipelines seal them. Needed after ``spacy train`` or a change by hand.
    """
    from ..util.seal import CONFIG, LEFT_OUT, SEAL, check_seal, write_seal

    with errors_as_text():
        if not (model / CONFIG).is_file():
            raise ValueError(f"{model} is no folder of a pipeline: it has no {CONFIG}")
        if not check:
            count = write_seal(model)
            msg.good(f"{model / SEAL}: {count} files")
        elif check_seal(model):
            msg.good(
                f"{model}: all sealed files are as they were ({', '.join(LEFT_OUT)} are not sealed)"
            )
        else:
            raise ValueError(f"{model} is not sealed; python -m spacy btl seal {model} does it")
