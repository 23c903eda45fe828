"""Messages to the user: warnings, log records, and tracebacks in debug mode.

The package logs under the name ``spacy_btl``. The exceptions of spaCy, torch and file parsers may
quote the document that they fail for: their text and traceback are logged in debug mode only. Debug
mode is an environment variable, so that it holds for worker processes too.
"""

import inspect
import logging
import os
import re
import sys
import warnings
from pathlib import Path
from typing import TextIO

LOGGER = logging.getLogger("spacy_btl")

DEBUG_VARIABLE = "SPACY_BTL_DEBUG"
"""Debug mode is on where this environment variable has any value but "0"."""

_CLASS = re.compile(r"<class '([^']+)'>")
"""A class as Python names it."""

_INTERNAL = ("spacy_btl", "spacy", "thinc")
"""Packages whose lines of code a warning never points to."""


def is_debug() -> bool:
    """Return whether debug mode is on."""
    return os.environ.get(DEBUG_VARIABLE, "") not in ("", "0")


def set_up_logging(debug: bool | None = None) -> logging.Logger:
    """Show the log of the package on stderr, unless the program has log handlers of its own.

    Args:
        debug: Whether debug mode is on from now on, in which tracebacks are logged, and with them
            possibly text of documents; None to leave that to the environment variable.

    Returns:
        The logger ``spacy_btl``, which shows all messages in debug mode, else warnings and errors.
    """
    if debug is not None:
        os.environ[DEBUG_VARIABLE] = "1" if debug else "0"
    if not LOGGER.hasHandlers():
        handler = _StderrHandler()
        handler.setFormatter(logging.Formatter("%(name)s %(levelname)s: %(message)s"))
        LOGGER.addHandler(handler)
    LOGGER.disabled = False  # as logging.config makes loggers that were there before
    LOGGER.setLevel(logging.DEBUG if is_debug() else logging.WARNING)
    return LOGGER


def describe(error: BaseException) -> str:
    """Return type and place of an exception, without its message, which may quote a document."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return type(error).__name__
    path = Path(trace.tb_frame.f_code.co_filename)
    return f"{type(error).__name__} in {path.parent.name}/{path.name}:{trace.tb_lineno}"


def log_failure(what: str, error: BaseException) -> None:
    """Log a failure that is handled: in debug mode with its traceback, else by `describe`.

    Args:
        what: The place of the failure, such as a file and a record, without any text from it.
        error: The exception.
    """
    if is_debug():
        LOGGER.error("%s failed", what, exc_info=error)
    else:
        LOGGER.debug("%s failed: %s", what, describe(error))


def error_text(error: Exception) -> str:
    """Return the message of an error; of a wrong setting, its name and fault without its block."""
    from thinc.api import ConfigValidationError

    if not isinstance(error, ConfigValidationError) or not error.errors:
        return str(error)
    faults = []
    for each in error.errors:
        name = ".".join(map(str, filter(None, (error.parent, *each.get("loc", ())))))
        fault = _CLASS.sub(r"\1", str(each.get("msg", ""))).removeprefix("at root: ")
        faults.append(f"the setting {name} is wrong ({fault})")
    return f"{', '.join(faults)}; docs/config.md lists the valid values"


def warn(message: str) -> None:
    """Issue a UserWarning at the line that called the package, through spaCy or directly."""
    level, frame = 1, inspect.currentframe()
    while frame is not None and _package(frame.f_globals) in _INTERNAL:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, stacklevel=level)


def _package(names: dict[str, object]) -> str:
    return str(names.get("__name__", "")).partition(".")[0]


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to what is ``sys.stderr`` at the time, which a program may replace."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr
