"""The rooms of the package: who may import whom.

The order of the rooms is in pyproject.toml, section ``tool.importlinter``.
"""

from pathlib import Path

import pytest
import tomllib

import spacy_btl

ROOT = Path(__file__).parents[2]
PACKAGE = Path(spacy_btl.__file__).parent
LAYERS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["tool"][
    "importlinter"
]["contracts"][0]["layers"]


def test_the_contracts_hold(capsys: pytest.CaptureFixture[str]) -> None:
    cli = pytest.importorskip("importlinter.cli", reason="needs import-linter")
    broken = cli.lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)
    assert not broken, capsys.readouterr().out


def test_every_module_lies_in_a_room() -> None:
    assert [path.name for path in PACKAGE.glob("*.py")] == ["__init__.py"]
    rooms = {path.relative_to(PACKAGE).parts[0] for path in PACKAGE.rglob("*.py")}
    assert rooms - {"__init__.py"} == set(LAYERS)
