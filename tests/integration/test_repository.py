"""The repository: what a run on a user's corpus writes never gets into git."""

import re
import shlex
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
import srsly

ROOT = Path(__file__).parents[2]
PROJECT = srsly.read_yaml(ROOT / "project.yml")
OUTPUTS = [path for command in PROJECT["commands"] for path in command["outputs"]]

WRITING_OPTIONS = ("--output", "--page", "--adjudicate")
PLACE_OF_OUTPUT = {"convert": 2, "annotate": 3, "fit-knn": 3, "retrain": 4}  # among the arguments

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


def test_what_the_documented_commands_write_is_ignored() -> None:
    """It contains text of the user's reports, so `git add .` must not take it."""
    found = set()
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        blocks = re.findall(r"```bash\n(.*?)```", page.read_text(encoding="utf8"), re.DOTALL)
        for line in "\n".join(blocks).replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            found |= {value for option, value in pairwise(words) if option in WRITING_OPTIONS}
            for command, place in PLACE_OF_OUTPUT.items():
                if f" btl {command} " in line:
                    found.add(words[words.index(command) + place])
    assert {"corpus", "loop/new", "annotated", "training/model-knn"} <= found
    within = sorted(path for path in found if not path.startswith("/"))
    assert git("check-ignore", "--no-index", *(f"{path}/file" for path in within)) == [
        f"{path}/file" for path in within
    ]


def test_no_ignored_file_is_tracked() -> None:
    assert git("ls-files", "--cached", "--ignored", "--exclude-standard") == []
