"""The English of docstrings, comments, messages, templates and pages: see docs/style.md."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.helpers.language import (
    Finding,
    Passage,
    check,
    passages_of,
    passages_of_markdown,
    passages_of_python,
    passages_of_template,
)

ROOT = Path(__file__).parents[2]
SUFFIXES = {".py", ".md", ".j2", ".cfg", ".yml", ".toml"}
# Written by other programs, or by the authors of the reports.
LEFT_OUT = ("assets/", "docs/results/", "experiments/results/")
# Excerpts that are right where they are, by file, with the reason.
ALLOWED: dict[tuple[str, str], str] = {
    ("tests/integration/test_language.py", ""): "It lists what the rules must find.",
    ("tests/helpers/language.py", ""): "It contains the rules.",
    ("docs/style.md", ""): "It shows what to avoid.",
    ("spacy_btl/cli/app.py", "Clinical"): "It is the help text of the program.",
}


def files() -> list[Path]:
    """Return the files that are checked, relative to the repository."""
    command = ["git", "-C", str(ROOT), "ls-files"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [
        Path(name)
        for name in listed
        if (Path(name).suffix in SUFFIXES or name == "Makefile")
        and not name.startswith(LEFT_OUT)
        and (ROOT / name).exists()
    ]


def is_allowed(finding: Finding) -> bool:
    """Return whether `ALLOWED` has an excerpt."""
    path = finding.passage.path.as_posix()
    return any(path == file and excerpt in finding.excerpt for file, excerpt in ALLOWED)


@pytest.mark.skipif(
    shutil.which("git") is None or not (ROOT / ".git").exists(), reason="not a git checkout"
)
def test_the_project_is_in_plain_english() -> None:
    passages = [passage for path in files() for passage in passages_of(path, ROOT)]
    assert passages
    findings = [found for passage in passages for found in check(passage) if not is_allowed(found)]
    assert not findings, "\n".join(map(str, findings))


@pytest.mark.parametrize(
    ("kind", "bad", "good"),
    [
        ("summary", "What the default reaches.", "Scores of the default."),
        ("summary", "Which documents belong together.", "Groups of documents."),
        ("summary", "Of JSONL, CSV, Parquet.", "Name of the text column (JSONL, CSV, Parquet)."),
        ("title", "How sure a figure is", "Confidence intervals"),
        ("title", "What is not compared", "How to compare"),
        ("function", "The mean of the recalls.", "Return the mean of the recalls."),
        ("function", "As any component's.", "Update the weights."),
        ("function", "Returns the mean.", "Return the mean."),
        ("text", "The default less the usual training", "The default has less effect there"),
        ("text", "The file tells the label.", "The two can be told apart."),
        ("text", "It stands beside the text.", "DNA stands for an acid, in a stand-alone file."),
        ("text", "The rest do so too.", "The remaining losses do this as well."),
        ("text", "Anyone can run words of his own.", "Anyone can run their own text."),
        ("text", "A text of one's own", "The columns of this one's head"),
        ("text", "A seal is no signature.", "There is no signature, and it is no longer there."),
        ("text", "One that is none", "There is none."),
        ("text", "Texts of which half are new", "Texts whose first half is new"),
        ("text", "The same but for case", "The same except for case"),
        ("text", "An interval of 95 % holds", "A 95% interval"),
        ("text", "Neighbors are given up.", "Neighbors are dropped."),
        ("text", "The mean hangs on few entities", "The mean depends on few entities"),
        ("text", "It loses them without a word.", "It loses them silently."),
        ("text", "These are there to compare with", "These are baselines"),
        ("text", "The latter whilst running", "The latter while running"),
        ("text", "It is read. What is left over is missed.", "What is left over?"),
        ("text", "Who has the pipeline can run it.", "Who has the pipeline?"),
        ("docstring", "CODE: Of the split.", "CODE: Seed of the split."),
        ("text", "One thing: two things: three", "One thing: two things. The rest: three"),
    ],
)
def test_rules(kind: str, bad: str, good: str) -> None:
    assert check(Passage(Path("x.py"), 1, kind, bad))
    assert not check(Passage(Path("x.py"), 1, kind, good))


def found(passages: object) -> list[tuple[int, str, str]]:
    """Return line, kind and excerpt of all findings."""
    return [
        (finding.passage.line, finding.passage.kind, finding.excerpt)
        for passage in passages  # type: ignore[attr-defined]
        for finding in check(passage)
    ]


def test_python_is_checked_in_every_part() -> None:
    source = '''"""What a module has."""

# It stands here,
# and one line more.
class Kind:
    """A kind.

    Args:
        name: It tells more.
    """

    @property
    def size(self) -> int:
        """The size."""
        raise ValueError(f"{self} is no kind of this") from None

    def grow(self) -> None:
        """The growth."""
        warn("the text is not", "pairs of which `stands` is one")


def test_size() -> None:
    """The size is a number."""
'''
    everything = passages_of_python(Path("x.py"), source, messages=True)
    assert sorted(found(everything)) == [
        (1, "summary", "What"),
        (1, "summary", "What a module has."),
        (3, "comment", "stands"),
        (9, "docstring", "tells"),
        (15, "message", "is no"),
        (18, "function", "The"),
        (19, "message", "of which"),
    ]
    without = passages_of_python(Path("x.py"), source, messages=False)
    assert {kind for _, kind, _ in found(without)} == {
        "summary",
        "comment",
        "docstring",
        "function",
    }


def test_code_on_pages_is_left_out() -> None:
    page = """# How sure it is

| who | tells |
|---|---|
| `stands` | [his](her/stands.md) |

```text
What stands is none.
```

- It is none.
"""
    assert found(passages_of_markdown(Path("x.md"), page)) == [
        (1, "title", "How"),
        (3, "text", "tells"),
        (5, "text", "his"),
        (11, "text", "is none"),
    ]


def test_text_of_templates_is_checked() -> None:
    template = "<p>It {# is no #}\n<b>stands</b> {{ stands }} there.{% if stands %}</p>{% endif %}"
    assert {excerpt for _, _, excerpt in found(passages_of_template(Path("x.j2"), template))} == {
        "is no",
        "stands",
    }
