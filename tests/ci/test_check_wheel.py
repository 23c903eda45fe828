"""The check of a built wheel: content that is stored twice is found."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import srsly

from spacy_btl.packaging.size import File

ROOT = Path(__file__).parents[2]


def load_script(path: Path) -> ModuleType:
    """Return a script as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check_wheel: Any = load_script(ROOT / ".ci" / "check_wheel.py")

LONG = bytes(range(256)) * (check_wheel.LEAST // 256)


@pytest.mark.parametrize(
    ("files", "twice"),
    [
        ([("a", LONG), ("b", LONG[:-1])], []),
        ([("a", LONG[:-1]), ("b", LONG[:-1])], []),  # short
        ([("a", LONG), ("b", b""), ("c/d", LONG)], [("a", "c/d")]),
        (
            [("m/model", srsly.msgpack_dumps({"shims": [{"x": LONG}], "y": LONG}))],
            [("m/model/shims/0/x", "m/model/y")],
        ),
        (
            [("t/vocab.txt", b"a"), ("t/tokenizer.json", b"{}")],
            [("t/tokenizer.json", "t/vocab.txt")],
        ),
        ([("t/vocab.txt", b"a"), ("u/tokenizer.json", b"{}")], []),
        (
            [("vocab/strings.json", b"a"), ("ner/vocab/strings.json", b"b")],
            [("vocab/strings.json", "ner/vocab/strings.json")],
        ),
    ],
)
def test_stored_twice(files: list[File], twice: list[tuple[str, ...]]) -> None:
    assert check_wheel.stored_twice(files) == twice
