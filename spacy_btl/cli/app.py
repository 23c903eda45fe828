"""Shared by all commands: the Typer app, debug mode, errors as text, the GPU, code to run first.

spaCy loads the commands at every start of its command line. Each therefore imports what it needs
when it runs.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TextIO

import typer
from wasabi import msg

from ..util.messages import describe, error_text, log_failure, set_up_logging

app = typer.Typer(name="btl", no_args_is_help=True, rich_markup_mode=None)

GpuOption = Annotated[int, typer.Option("--gpu-id", "-g", help="GPU, or -1 for the CPU")]
CodeOption = Annotated[
    Path | None,
    typer.Option("--code", "-c", help="Python file to run first, such as: import medspacy"),
]
TextFieldOption = Annotated[str, typer.Option(help="Name of the text column (JSONL, CSV, Parquet)")]
IdFieldOption = Annotated[str, typer.Option(help="Name of the id column (JSONL, CSV, Parquet)")]
DelimiterOption = Annotated[
    str, typer.Option(help="Character between the columns of a CSV; '\\t' for a tab")
]

ForceOption = Annotated[bool, typer.Option("--force", help="Replace an output that is there")]


@app.callback()
def btl(
    debug: Annotated[
        bool,
        typer.Option(
            "--debug",
            help="Show tracebacks, which may quote documents (same as SPACY_BTL_DEBUG=1)",
        ),
    ] = False,
) -> None:
    """Clinical entity recognition with many entity types: from BRAT annotation to a wheel."""
    set_up_logging(debug=True if debug else None)


@contextmanager
def errors_as_text() -> Iterator[None]:
    """Show an error as one line, without a traceback, and end with exit status 1.

    To be used as a decorator of a command. The message of a ValueError or OSError is for the user.
    That of any other exception may quote a document, so that only its type and place are shown.
    Warnings are shown on stderr without the line of code that they come from.
    """
    with warnings.catch_warnings():
        shown = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if category is UserWarning:
                typer.secho(f"Warning: {message}", fg="yellow", err=True)
            else:
                shown(message, category, filename, lineno, file, line)

        warnings.showwarning = show
        try:
            yield
        except (typer.Exit, typer.Abort):
            raise
        except (ValueError, OSError) as error:
            log_failure("the command", error)
            msg.fail(error_text(error), exits=1)
        except Exception as error:  # of any library; no traceback may show a document
            log_failure("the command", error)
            hint = "python -m spacy btl --debug COMMAND ... shows the traceback"
            msg.fail(f"{describe(error)}; {hint}, which may quote documents", exits=1)


def use_gpu(gpu_id: int) -> None:
    """Compute on this GPU, or on the CPU for a negative number."""
    from ..util.process import compute_on

    compute_on(gpu_id)


def run_code(code: Path | None) -> None:
    """Run the Python file of ``--code``, if one is given, which may register components."""
    from ..packaging.saving import run_code

    if code is not None:
        run_code(code)
