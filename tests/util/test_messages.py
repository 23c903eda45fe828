"""Warnings point to the user's line; tracebacks, which may quote a document, need debug mode."""

import logging
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from functools import partial
from inspect import currentframe
from typing import Any

import pytest

from spacy_btl.util.messages import (
    DEBUG_VARIABLE,
    LOGGER,
    describe,
    is_debug,
    log_failure,
    set_up_logging,
    warn,
)

SECRET = "Mrs Miller"


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch debug mode off, and restore the logger at the end."""
    monkeypatch.setenv(DEBUG_VARIABLE, "0")
    monkeypatch.setattr(LOGGER, "level", LOGGER.level)
    monkeypatch.setattr(LOGGER, "handlers", [])


@pytest.mark.parametrize(
    ("value", "expected"), [(None, False), ("", False), ("0", False), ("1", True), ("yes", True)]
)
def test_debug_mode(monkeypatch: pytest.MonkeyPatch, value: str | None, expected: bool) -> None:
    if value is None:
        monkeypatch.delenv(DEBUG_VARIABLE)
    else:
        monkeypatch.setenv(DEBUG_VARIABLE, value)
    assert is_debug() == expected


def test_a_failure_is_described_by_type_and_place() -> None:
    try:
        int(SECRET)
    except ValueError as error:
        assert re.fullmatch(r"ValueError in util/test_messages\.py:\d+", describe(error))
    assert describe(KeyError(SECRET)) == "KeyError"


@pytest.mark.parametrize("debug", [True, False])
def test_the_traceback_is_logged_in_debug_mode_only(
    caplog: pytest.LogCaptureFixture, debug: bool
) -> None:
    """Also where the program around shows all it can."""
    set_up_logging(debug)
    LOGGER.setLevel(logging.DEBUG)
    try:
        raise RuntimeError(SECRET)
    except RuntimeError as error:
        log_failure("notes.csv, line 3", error)
    assert "notes.csv, line 3 failed" in caplog.text
    assert "RuntimeError" in caplog.text
    assert (SECRET in caplog.text) == ("Traceback" in caplog.text) == debug


@pytest.mark.parametrize("debug", [True, False])
def test_on_stderr_without_handlers_of_the_program(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], debug: bool
) -> None:
    monkeypatch.setattr(LOGGER, "propagate", False)  # pytest has handlers of its own
    for _ in range(2):
        assert set_up_logging(debug) is LOGGER
    assert len(LOGGER.handlers) == 1
    LOGGER.info("a step")
    LOGGER.warning("careful")
    steps = "spacy_btl INFO: a step\n" if debug else ""
    assert capsys.readouterr().err == f"{steps}spacy_btl WARNING: careful\n"


def test_a_logger_that_the_configuration_of_the_program_has_disabled(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LOGGER, "disabled", True)  # as logging.config.dictConfig does
    set_up_logging()
    LOGGER.warning("careful")
    assert "careful" in caplog.text


def test_handlers_of_the_program_are_enough() -> None:
    root = logging.getLogger()
    assert root.handlers  # those of pytest
    set_up_logging()
    assert LOGGER.handlers == []


def test_worker_processes_are_in_debug_mode_too() -> None:
    set_up_logging(debug=True)
    code = "from spacy_btl.util.messages import is_debug; print(is_debug())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=os.environ)
    assert done.stdout.strip() == b"True"


def function_of(module: str, **names: object) -> Callable[[], None]:
    """Return a function of this module that calls the one that is given."""
    namespace: dict[str, Any] = {"__name__": module, **names}
    exec("def function():\n    call()", namespace)
    function: Callable[[], None] = namespace["function"]
    return function


def test_a_warning_points_to_the_line_that_called() -> None:
    """The place is found for calls both directly and through spaCy."""
    direct = function_of("spacy_btl.made_up", call=partial(warn, "careful"))
    deeper = function_of("spacy_btl.cli.made_up", call=direct)
    through = function_of("spacy.language", call=function_of("thinc.model", call=deeper))
    for function in (direct, deeper, through):
        with warnings.catch_warnings(record=True) as shown:
            warnings.simplefilter("always")
            line = currentframe().f_lineno + 1  # type: ignore[union-attr]
            function()
        assert [(each.filename, each.lineno) for each in shown] == [(__file__, line)]


def test_a_package_with_a_similar_name_is_not_ours() -> None:
    other = function_of("spacy_btl_extras", call=partial(warn, "careful"))
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        other()
    assert [each.filename for each in shown] == ["<string>"]
