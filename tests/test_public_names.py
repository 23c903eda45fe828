"""`import spacy_btl`: light, and with all that most programs need."""

import ast
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import spacy_btl

ROOT = Path(__file__).parents[1]
ROOMS = {path.parent.name for path in Path(spacy_btl.__file__).parent.glob("*/__init__.py")}
HEAVY = ("numpy", "sklearn", "spacy", "thinc", "torch", "transformers")


def in_new_process(code: str) -> Any:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_the_import_is_light() -> None:
    code = f"""
import json, sys, time
before = set(sys.modules)
start = time.perf_counter()
import spacy_btl
spent = time.perf_counter() - start
spacy_btl.__version__, dir(spacy_btl)
print(json.dumps([spent, [name for name in {HEAVY} if name in sys.modules]]))
"""
    seconds, loaded = in_new_process(code)
    assert loaded == []
    assert seconds < 0.1


@pytest.mark.parametrize("name", spacy_btl.__all__)
def test_each_name_is_there_and_documented(name: str) -> None:
    value = getattr(spacy_btl, name)
    assert getattr(spacy_btl, name) is value
    assert inspect.getdoc(value)
    assert value.__module__.startswith("spacy_btl.")


def test_names_are_no_rooms() -> None:
    """`spacy_btl.explain` is a package: a function of this name would hide it, or be hidden."""
    assert ROOMS.isdisjoint(spacy_btl.__all__)
    assert {"explain", "annotate"} <= ROOMS


def test_dir_has_all_names_before_they_are_used() -> None:
    code = "import json, spacy_btl; print(json.dumps([dir(spacy_btl), spacy_btl.__all__]))"
    listed, names = in_new_process(code)
    assert set(names) <= set(listed)


def test_other_names_are_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'spacy_btl' has no attribute 'fit_kn'"):
        _ = spacy_btl.fit_kn  # type: ignore[attr-defined]


def test_type_checkers_see_the_same_objects() -> None:
    """The imports for them and the places that names are really imported from."""
    tree = ast.parse(Path(spacy_btl.__file__).read_text(encoding="utf8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    imports = {
        alias.asname or alias.name: f"{node.module}:{alias.name}"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imports == spacy_btl._PLACES
    assert sorted(imports) == sorted(spacy_btl.__all__)


def test_the_reference_has_every_public_name() -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf8")
    shown = set(re.findall(r"^\.\. auto(?:function|class):: (\S+)$", text, re.MULTILINE))
    assert {f"spacy_btl.{name}" for name in spacy_btl.__all__} <= shown
