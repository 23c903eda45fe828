"""Errors as text, debug mode, and warnings of all commands; what they import at the start."""

import json
import os
import subprocess
import sys
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
import typer
from spacy.cli._util import app as spacy_app
from typer.testing import CliRunner

import spacy_btl.cli
from spacy_btl.cli.app import btl, errors_as_text
from spacy_btl.util.messages import DEBUG_VARIABLE, LOGGER, warn
from tests.helpers.commands import invoke

SECRET = "Mrs Miller"
COMMANDS = spacy_btl.cli.app.registered_commands
HEAVY = ("matplotlib", "pooch", "pyarrow", "ray", "sklearn", "spacy_transformers", "transformers")


def made_up(error: Exception | None = None, warning: str = "") -> typer.Typer:
    """Return an app whose only command fails, warns, or does neither."""
    app = typer.Typer()
    app.callback()(btl)

    @app.command("made-up")
    @errors_as_text()
    def command() -> None:
        if warning:
            warn(warning)
        if error is not None:
            raise error

    return app


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEBUG_VARIABLE, "0")
    monkeypatch.setattr(LOGGER, "level", LOGGER.level)


class TestErrors:
    @pytest.mark.parametrize(
        ("error", "shown"),
        [
            (ValueError("the split must be three shares"), "the split must be three shares"),
            (FileNotFoundError("no folder x"), "no folder x"),
            (KeyError(SECRET), "KeyError in cli/test_app.py:"),
            (RuntimeError(f"torch quotes {SECRET}"), "RuntimeError in cli/test_app.py:"),
        ],
    )
    def test_one_line_and_exit_status_1(self, error: Exception, shown: str) -> None:
        """The message is shown where it is for the user; any other may quote a document."""
        result = CliRunner().invoke(made_up(error), ["made-up"])
        text = " ".join(result.output.split())
        assert result.exit_code == 1
        assert shown in text
        assert "Traceback" not in text
        assert SECRET not in text
        assert ("--debug" in text) == (not isinstance(error, ValueError | OSError))

    @pytest.mark.parametrize("how", ["option", "variable"])
    def test_debug_mode_logs_the_traceback(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, how: str
    ) -> None:
        if how == "variable":
            monkeypatch.setenv(DEBUG_VARIABLE, "1")
        options = ["--debug"] if how == "option" else []
        result = CliRunner().invoke(made_up(KeyError(SECRET)), [*options, "made-up"])
        assert result.exit_code == 1
        assert SECRET not in result.output
        assert "Traceback" in caplog.text
        assert SECRET in caplog.text

    def test_nothing_fails(self) -> None:
        assert CliRunner().invoke(made_up(), ["made-up"]).exit_code == 0

    def test_a_warning_is_a_line_without_code(self) -> None:
        result = CliRunner().invoke(made_up(warning="the scores are raw"), ["made-up"])
        assert result.stderr.strip() == "Warning: the scores are raw"

    def test_wrong_options_are_typers(self) -> None:
        result = CliRunner().invoke(spacy_app, ["btl", "fit-knn", "--fold", "2"])
        assert result.exit_code == 2


class TestProcess:
    """Commands run as a user runs them."""

    @staticmethod
    def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "spacy", "btl", *arguments]
        env = {**os.environ, **environment}
        return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)

    @pytest.mark.parametrize("debug", [False, True])
    def test_the_traceback_is_on_stderr_in_debug_mode_only(
        self, tmp_path: Path, debug: bool
    ) -> None:
        options = ["--debug"] if debug else []
        done = self.run(tmp_path, *options, "convert", "no-such", "out")
        assert done.returncode == 1
        assert ("Traceback" in done.stderr) == debug
        assert ("spacy_btl ERROR: the command failed" in done.stderr) == debug
        assert "Traceback" not in done.stdout
        assert "no-such" in done.stdout + done.stderr

    def test_the_start_imports_nothing_heavy(self) -> None:
        """spaCy loads the commands at every start of its command line."""
        loaded = f"[name for name in {HEAVY} if name in sys.modules]"
        code = f"import json, sys, spacy_btl.cli; print(json.dumps({loaded}))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert json.loads(done.stdout) == []


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: str(command.name))
def test_each_command_shows_its_errors_as_text(command: Any) -> None:
    """And has a help text of its own in the list and in its help."""
    assert command.callback.__wrapped__ is not None  # by errors_as_text
    first = command.callback.__doc__.partition("\n")[0]
    assert first.endswith(".")
    assert command.short_help.endswith(".")


def test_commands_that_load_a_pipeline_take_code_to_run_first() -> None:
    without = {c.name for c in COMMANDS if "code" not in signature(c.callback).parameters}
    about_files = {"corpus", "convert", "stats", "convert-sources", "agreement", "export", "merge"}
    assert without == about_files | {"show", "seal"}


@pytest.mark.parametrize("command", ["documents", "evaluate", "suggest", "transfer", "serve"])
def test_code_that_is_not_there(command: str, tmp_path: Path) -> None:
    arguments = {
        "documents": ["model"],
        "evaluate": ["model", "gold.spacy", "--output", tmp_path / "out"],
        "suggest": ["model", "pool"],
        "transfer": ["base.cfg", "a", "--target", "b", "--output", tmp_path / "out"],
        "serve": ["model"],
    }
    status, output = invoke(command, *arguments[command], "--code", "nowhere.py")
    assert status == 1
    assert "no Python file nowhere.py" in output


def test_help_is_the_same_for_all() -> None:
    result = CliRunner().invoke(spacy_app, ["btl", "--help"])
    assert result.exit_code == 0
    assert "--debug" in result.output
