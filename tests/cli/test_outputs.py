"""No command writes to what it reads, or replaces a file without --force."""

import shutil
from pathlib import Path

import pytest
import spacy

from spacy_btl.cli import app
from tests.helpers.commands import invoke
from tests.helpers.files import tree

BRAT = {"a/x.txt": "No fever", "a/x.ann": "T1\tSign 3 8\tfever\n"}
BRAT |= {name.replace("a/", "b/"): text for name, text in BRAT.items()}

REFUSED = {
    "agreement": [
        "a b --page a/page.html",
        "a b --json b/x.ann --force",
        "a b --adjudicate b/new",
        "a b --adjudicate new --page new/page.html",
    ],
    "add-examples": ["fitted gold.spacy fitted", "fitted gold.spacy fitted/new"],
    "annotate": ["fitted a a/out", "fitted a a", "fitted a fitted/out"],
    "audit": [
        "a --model fitted --output a",
        "a b --model fitted --output b/out",
        "a --model fitted --output fitted/out",
    ],
    "card": ["fitted fitted --metrics x.json", "fitted m --metrics m/metrics.json"],
    "convert": [
        "a a",
        "a a/out --no-split",
        "c/train.spacy c",
        "c c/out",
        "a c --apart-from c/dev.spacy",
    ],
    "convert-sources": ["a,b a", "a,b .", "one=a a", "a new --apart-from new/dev.spacy"],
    "corpus": ["a a", "a a/out"],
    "drop-neighbors": ["fitted fitted", "fitted m --dev m/dev.spacy"],
    "ensemble": ["model fitted --output fitted --force", "model fitted --output model/out"],
    "evaluate": [
        "fitted gold.spacy --output fitted",
        "fitted gold.spacy --output fitted/out",
        "fitted gold.spacy --output out --compare out",
    ],
    "explain": [
        "fitted --file report.txt --html report.txt --force",
        "fitted --file report.txt --html gold.spacy --corpus gold.spacy --force",
        "fitted --file report.txt --html fitted/page.html",
    ],
    "export": ["gold.spacy c", "gold.spacy gold.spacy"],
    "fit-knn": [
        "model gold.spacy model",
        "model gold.spacy model/fitted",
        "model m/train.spacy m",
        "model gold.spacy out --dev dev.spacy --report model",
        "model gold.spacy out --dev dev.spacy --report out",
    ],
    "forecast": ["c/train.spacy c/dev.spacy c/train.spacy --config model/config.cfg"],
    "merge": [
        "gold.spacy dev.spacy --output dev.spacy --force",
        "gold.spacy --apart-from dev.spacy --output dev.spacy --force",
    ],
    "remove-documents": ["fitted fitted case-1", "fitted fitted/less case-1"],
    "retrain": ["model gold.spacy dev.spacy model", "model gold.spacy dev.spacy model/next"],
    "round-weights": ["model model", "model m --data m/dev.spacy"],
    "suggest": [
        "fitted a --csv a/next.csv",
        "fitted report.txt --json report.txt --force",
        "fitted a --json same --csv same",
        "fitted a --csv gold.spacy --known gold.spacy --force",
    ],
    "train-final": ["fitted gold.spacy dev.spacy fitted", "fitted m/train.spacy dev.spacy m"],
    "transfer": [
        "model/config.cfg c --target d=e --output c",
        "model/config.cfg c --target d=e --output e/out",
    ],
}  # fmt: skip
"""Arguments by command that would write to an input."""

WITHOUT_OUTPUT = {"documents", "seal", "serve", "show", "stats"}

SAYS = ("is an input too", "is in the input", "would be lost", "is named twice", "is not empty",
        "must not overlap")  # fmt: skip


@pytest.fixture
def folder(stage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the stage with folders of BRAT, of DocBins, and pipelines with files."""
    shutil.copytree(stage, tmp_path / "stage")
    monkeypatch.chdir(tmp_path / "stage")
    for name, text in BRAT.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(text, encoding="utf8")
    shutil.copytree("fitted", "m")
    shutil.copytree("fitted", "out")
    for name in ("train", "dev"):
        for where in ("c", "e", "m", "new"):
            Path(where).mkdir(exist_ok=True)
            shutil.copy("gold.spacy", f"{where}/{name}.spacy")
    for name in ("account", "metrics"):
        Path(f"m/{name}.json").write_text("{}", encoding="utf8")
    shutil.copy("m/account.json", "new/account.json")
    return Path()


def test_every_command_is_in_the_table() -> None:
    names = {str(command.name) for command in app.registered_commands}
    assert names - WITHOUT_OUTPUT == set(REFUSED)


@pytest.mark.parametrize(
    ("command", "arguments"), [(name, each) for name, rows in REFUSED.items() for each in rows]
)
def test_an_input_is_refused_as_output(folder: Path, command: str, arguments: str) -> None:
    before = tree(folder)
    status, printed = invoke(command, *arguments.split())
    assert (status, [words for words in SAYS if words in printed] != []) == (1, True), printed
    assert tree(folder) == before


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("agreement a b", "--page"),
        ("agreement a b", "--json"),
        ("ensemble model fitted", "--output"),
        ("explain fitted --file report.txt", "--html"),
        ("merge gold.spacy", "--output"),
        ("suggest fitted a", "--json"),
        ("suggest fitted a", "--csv"),
    ],
)
def test_a_file_that_is_there_stays_without_force(folder: Path, command: str, options: str) -> None:
    """Also a folder is refused before any work."""
    there = "out" if command.startswith("ensemble") else "there"
    Path("there").write_text("mine", encoding="utf8")
    before = tree(folder)
    status, printed = invoke(*command.split(), options, there)
    assert status == 1
    assert "--force replaces it" in printed
    if there != "out":
        status, printed = invoke(*command.split(), options, "c", "--force")
        assert status == 1
        assert "c is a folder" in printed
    assert tree(folder) == before
    assert invoke(*command.split(), options, there, "--force")[0] == 0
    assert tree(folder) != before


@pytest.mark.parametrize("command", ["audit", "ensemble", "merge"])
def test_an_output_after_a_list_of_inputs_is_an_option(folder: Path, command: str) -> None:
    """Its place would otherwise be taken by the last input where the output is forgotten."""
    before = tree(folder)
    status, printed = invoke(command, "model", "fitted", "out")
    assert status == 2
    assert "--output" in printed
    assert tree(folder) == before
    spacy.load("out")
