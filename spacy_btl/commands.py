"""What the commands share.

spaCy loads them at every start of its command line, so that each imports what it needs as it runs.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from wasabi import msg

app = typer.Typer(
    name="btl",
    help="Clinical entity recognition that keeps the rare types: from BRAT annotation to a wheel.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@contextmanager
def errors_as_text() -> Iterator[None]:
    """Bad input is no crash: its message, without a traceback, and exit status 1."""
    try:
        yield
    except (ValueError, OSError) as error:
        msg.fail(str(error), exits=1)
