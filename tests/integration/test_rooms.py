"""The rooms of the package: who may import whom, and what docs/layout.md says of them.

The order of the rooms is in pyproject.toml, section ``tool.importlinter``.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import tomllib

import spacy_btl

ROOT = Path(__file__).parents[2]
PACKAGE = Path(spacy_btl.__file__).parent
LAYERS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["tool"][
    "importlinter"
]["contracts"][0]["layers"]


def test_the_contracts_hold() -> None:
    """In a process of its own, because import-linter disables the loggers of others."""
    pytest.importorskip("importlinter.cli", reason="needs import-linter")
    lint = "import sys; from importlinter.cli import lint_imports as lint; "
    lint += "sys.exit(lint(config_filename='pyproject.toml', no_cache=True))"
    done = subprocess.run([sys.executable, "-c", lint], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_every_module_lies_in_a_room() -> None:
    assert [path.name for path in PACKAGE.glob("*.py")] == ["__init__.py"]
    rooms = {path.relative_to(PACKAGE).parts[0] for path in PACKAGE.rglob("*.py")}
    assert rooms - {"__init__.py"} == set(LAYERS)


@pytest.mark.parametrize("room", LAYERS)
def test_a_room_has_few_modules_of_moderate_length(room: str) -> None:
    """A room has 3 to 8 modules, none of them very short or very long."""
    lines = {
        path.stem: path.read_text("utf8").count("\n")
        for path in (PACKAGE / room).glob("*.py")
        if path.name != "__init__.py"
    }
    assert 3 <= len(lines) <= 8
    assert min(lines.values()) >= 35
    # The component is one file in spaCy's order, from its settings to its serialization.
    assert max(lines.values()) <= (625 if room == "pipeline" else 450)


def test_the_layout_shows_each_room_below_those_that_it_imports() -> None:
    text = (ROOT / "docs" / "layout.md").read_text(encoding="utf8")
    rooms = re.findall(r"^\| `(\w+)`", text, flags=re.MULTILINE)
    assert set(rooms) == set(LAYERS)
    below = {room: rooms[:i] for i, room in enumerate(rooms)}
    text_of = {
        room: "".join(p.read_text("utf8") for p in PACKAGE.glob(f"{room}/**/*.py"))
        for room in rooms
    }
    for room in rooms:
        imported = set(re.findall(r"^\s*from \.\.(\w+)", text_of[room], flags=re.MULTILINE))
        assert imported <= {*below[room], room, "util"}, room


def test_what_the_layout_names_is_there() -> None:
    text = (ROOT / "docs" / "layout.md").read_text(encoding="utf8")
    named = re.findall(r"`([\w/]+/(?:[\w]+\.py)?)`", text)
    assert len(named) > 10
    missing = [path for path in named if not any((top / path).exists() for top in (ROOT, PACKAGE))]
    assert missing == []
    for name, path in re.findall(r"`(\w+)` in `([\w/]+\.py)`", text):
        assert re.search(
            rf"^(def|class) {name}\b", (PACKAGE / path).read_text("utf8"), re.MULTILINE
        )
