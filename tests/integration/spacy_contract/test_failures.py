"""Failures in other people's pipelines, and registrations of an installed wheel."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc

from spacy_btl.pipeline.component import component_of
from tests.helpers.sentences import SENTENCES, entities

ROOT = Path(__file__).parents[3]
NAME = "btl_knn_ner"
TEXTS = [text for text, _ in SENTENCES]


@pytest.fixture
def nlp(trained: bytes) -> Language:
    nlp = spacy.blank("en")
    nlp.add_pipe(NAME)
    return nlp.from_bytes(trained)


class TestErrorHandler:
    """A document that fails does not take its batch along."""

    @pytest.fixture
    def failing(self, nlp: Language, monkeypatch: pytest.MonkeyPatch) -> Language:
        """Fail for "bad" before anything is known of the document, for "worse" on writing it."""
        pipe = component_of(nlp)
        predict, write = pipe.predict, pipe.write

        def refuse(docs: Sequence[Doc], word: str) -> None:
            if any(word in doc.text for doc in docs):
                raise RuntimeError(f"cannot read {word}")

        def failing_predict(docs: Sequence[Doc]) -> Any:
            refuse(docs, "bad")
            return predict(docs)

        def failing_write(doc: Doc, found: Any) -> None:
            refuse([doc], "worse")
            write(doc, found)

        monkeypatch.setattr(pipe, "predict", failing_predict)
        monkeypatch.setattr(pipe, "write", failing_write)
        return nlp

    @pytest.mark.parametrize(("batch_size", "n_process"), [(1, 1), (3, 1), (100, 1), (3, 2)])
    @pytest.mark.parametrize(
        ("texts", "lost"),
        [
            (["bad"], {"bad"}),
            ([TEXTS[0], "bad", "", TEXTS[1]], {"bad"}),
            ([TEXTS[0], "worse", TEXTS[1], TEXTS[2]], {"worse"}),
            (["bad", TEXTS[0], "worse", "bad", TEXTS[3]], {"bad", "worse"}),
        ],
    )
    def test_costs_no_other_document(
        self, failing: Language, texts: list[str], lost: set[str], batch_size: int, n_process: int
    ) -> None:
        told: list[tuple[str, str, str]] = []

        def handle(name: str, proc: Any, docs: list[Doc], error: Exception) -> None:
            told.extend((name, doc.text, str(error)) for doc in docs)

        failing.set_error_handler(handle)
        docs = list(failing.pipe(texts, batch_size=batch_size, n_process=n_process))
        kept = [text for text in texts if text not in lost]
        assert [doc.text for doc in docs] == kept
        assert [entities(doc) for doc in docs] == [entities(failing(text)) for text in kept]
        if n_process == 1:  # another process has its own list
            bad = [text for text in texts if text in lost]
            assert sorted(told) == sorted((NAME, word, f"cannot read {word}") for word in bad)

    def test_raises_without_one(self, failing: Language) -> None:
        for word in ("bad", "worse"):
            with pytest.raises(RuntimeError, match=f"cannot read {word}"):
                list(failing.pipe([*TEXTS, word]))
            with pytest.raises(RuntimeError, match=f"cannot read {word}"):
                failing(word)

    def test_one_that_raises_is_told_the_document(self, failing: Language) -> None:
        def handle(name: str, proc: Any, docs: list[Doc], error: Exception) -> None:
            raise ValueError(f"{[doc.text for doc in docs]}") from error

        failing.set_error_handler(handle)
        with pytest.raises(ValueError, match=r"^\['bad'\]$"):
            list(failing.pipe([*TEXTS, "bad"]))


def test_an_installed_wheel_registers_every_name(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    copytree(ROOT / "spacy_btl", tmp_path / "spacy_btl")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--no-index"]
    target = tmp_path / "site"
    subprocess.run(
        [*pip, "--no-deps", "--no-build-isolation", "--target", target, tmp_path],
        check=True,
        capture_output=True,
    )
    code = """
import importlib.metadata, sys, spacy, spacy_btl
from spacy.util import registry
points = importlib.metadata.distribution("spacy-btl").entry_points
for point in points:
    target = point.load()
    if point.name.startswith("spacy-btl."):
        assert registry.get(point.group.split("_", 1)[1], point.name) is target, point
print(spacy_btl.__file__, len(points), spacy.blank("en").add_pipe("btl_knn_ner").name)
"""
    output = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path / "site",
        env={**os.environ, "PYTHONPATH": str(target)},
    )
    file, n_names, name = output.stdout.split()
    assert Path(file).is_relative_to(target)
    declared = re.findall(r'= "spacy_btl\.[\w.]+:\w+"', (ROOT / "pyproject.toml").read_text())
    assert int(n_names) == len(declared)
    assert name == NAME
