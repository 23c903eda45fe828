"""The repository: what a run on a user's corpus writes never gets into git."""

import shutil
import subprocess
from pathlib import Path

import pytest
import srsly

ROOT = Path(__file__).parents[2]
PROJECT = srsly.read_yaml(ROOT / "project.yml")
OUTPUTS = [path for command in PROJECT["commands"] for path in command["outputs"]]

pytestmark = pytest.mark.skipif(
    shutil.which("git") is None or not (ROOT / ".git").exists(), reason="not a git checkout"
)


def git(*arguments: str) -> list[str]:
    """Return the lines that a git command prints."""
    command = ["git", "-C", str(ROOT), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()


def test_what_the_project_writes_is_ignored_and_not_tracked() -> None:
    folders = sorted({path.split("/")[0] for path in OUTPUTS})
    assert folders == ["corpus", "metrics", "packages", "training"]
    assert git("check-ignore", "--no-index", *OUTPUTS) == OUTPUTS
    assert git("ls-files", *folders) == []


def test_no_ignored_file_is_tracked() -> None:
    assert git("ls-files", "--cached", "--ignored", "--exclude-standard") == []
