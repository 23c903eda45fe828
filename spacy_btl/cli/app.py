"""What the commands share.

spaCy loads them at every start of its command line, so that each imports what it needs as it runs.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer
from wasabi import msg

if TYPE_CHECKING:
    pass

app = typer.Typer(
    name="btl",
    help="Clinical entity recognition that keeps the rare types: from BRAT annotation to a wheel.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@contextmanager
def errors_as_text() -> Iterator[None]:
    """Bad input is no crash: its message, without a traceback, and exit status 1.

    Warnings are told without the line of code that they come from, beside the output.
    """
    with warnings.catch_warnings():
        shown = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *where: Any) -> None:
            if category is UserWarning:
                typer.secho(f"Warning: {message}", fg="yellow", err=True)
            else:
                shown(message, category, *where)

        warnings.showwarning = show  # type: ignore[assignment]
        try:
            yield
        except (ValueError, OSError) as error:
            msg.fail(str(error), exits=1)
