"""What README and docs show: Python runs, settings parse, commands and options exist."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
import spacy
import typer
from conftest import make_examples
from spacy.cli._util import app as spacy_app
from spacy.language import Language
from thinc.api import Config

import spacy_btl.cli  # noqa: F401  (adds our commands)

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = [
    pytest.param(language, block, id=f"{page.name}-{i}-{language}")
    for page in PAGES
    for i, (language, block) in enumerate(
        re.findall(r"```(\w*)\n(.*?)```", page.read_text(encoding="utf8"), flags=re.DOTALL)
    )
]


@pytest.fixture(scope="module")
def nlp() -> Language:
    nlp = spacy.blank("en")
    nlp.add_pipe("btl_knn_ner")
    optimizer = nlp.initialize(lambda: make_examples(nlp))
    for _ in range(20):
        nlp.update(make_examples(nlp), sgd=optimizer)
    return nlp


@pytest.mark.parametrize(("language", "block"), BLOCKS)
def test_block(
    language: str, block: str, nlp: Language, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if language == "python":
        monkeypatch.chdir(tmp_path)
        Path("training").mkdir()
        nlp.to_disk("training/model-knn")
        Path("notes").mkdir()
        Path("notes/case.txt").write_text("He took aspirin", encoding="utf8")
        exec(compile(block, "docs", "exec"), {"nlp": nlp})
    elif language == "ini":
        parents = "[components]\n\n[training]\n\n"
        assert Config().from_str(parents + block, interpolate=False)
    elif language == "json":
        assert json.loads(block)
    elif language == "bash":
        commands = command_lines(block)
        assert commands
        for words in commands:
            check_command(words)
    else:
        assert language == ""  # a listing of files or of output


def command_lines(block: str) -> list[list[str]]:
    """Words of each line; a line that ends in a backslash goes on."""
    lines = block.replace("\\\n", " ").splitlines()
    every = (shlex.split(line, comments=True) for line in lines)
    return [[word for word in words if not re.match("[A-Z_]+=", word)] for words in every if words]


def check_command(words: list[str]) -> None:
    """Our commands exist with their options; of others, only that they are what we name."""
    if words[:4] == ["python", "-m", "spacy", "btl"]:
        group: Any = typer.main.get_command(spacy_app)
        command = group.commands["btl"].commands[words[4]]
        known = {name for param in command.params for name in param.opts}
        options = {word for word in words[5:] if word.startswith("-")}
        assert options - known == set()
        required = [p for p in command.params if isinstance(p, click.Argument) and p.required]
        given = [word for word in words[5:] if not word.startswith("-")]
        assert len(given) >= len(required)
    elif words[0] == "python" and words[1].endswith(".py"):
        assert (ROOT / words[1]).is_file()
    else:
        assert words[0] in ("make", "pip", "python", "cd")


def test_the_example_of_the_readme_finds_what_it_shows(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGES[0].read_text(encoding="utf8"), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
        assert "('warfarin', 'Medication')" in capsys.readouterr().out


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf8")
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
            if "://" not in target:
                assert (page.parent / target).exists(), (page.name, target)


def test_error_texts_are_those_of_the_code() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf8")
    texts = re.findall(r"^\| `([^`]+)` \|", page, flags=re.MULTILINE)
    code = "".join(path.read_text(encoding="utf8") for path in (ROOT / "spacy_btl").glob("*.py"))
    code = re.sub(r"\"\s*\n\s*f?\"|'\s*\n\s*f?[\"']|\"\s*\n\s*f?'", "", code)  # strings cut in two
    code = re.sub(r"\{[^{}]*\}", "...", code)
    assert len(texts) > 10
    assert [text for text in texts if text not in code] == []
