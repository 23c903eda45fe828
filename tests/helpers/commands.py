"""Run the commands of the package as ``python -m spacy btl`` does."""

from typing import Any

from spacy.cli._util import app as spacy_app
from typer.testing import CliRunner

import spacy_btl.cli  # noqa: F401  adds the commands to spaCy's


def run(*arguments: Any, expect: int = 0) -> str:
    """Return what a command prints; it must exit with the expected status, by no other error."""
    result = CliRunner().invoke(spacy_app, ["btl", *map(str, arguments)])
    assert result.exit_code == expect, (result.output, result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.output


def invoke(*arguments: Any) -> tuple[int, str]:
    """Return the exit status of a command and what it prints, with white space as single spaces."""
    result = CliRunner().invoke(spacy_app, ["btl", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, " ".join(result.output.split())
