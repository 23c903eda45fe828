"""Input of the commands: a small trained pipeline and its sentences as files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.tokens import DocBin

import spacy_btl.cli  # noqa: F401  # adds the commands
from spacy_btl.pipeline.component import component_of
from tests.helpers import commands
from tests.helpers.dev import dev_examples
from tests.helpers.sentences import make_examples

Run = Callable[..., str]


@pytest.fixture(scope="session")
def stage(trained: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with ``model``, the same with neighbors as ``fitted``, ``gold.spacy``
    and ``dev.spacy``, in which a trained model is wrong once.
    """
    folder = tmp_path_factory.mktemp("stage")
    nlp = spacy.blank("en")
    nlp.add_pipe("btl_knn_ner", config={"neighbors": {"n_neighbors": 1}})
    nlp.from_bytes(trained).to_disk(folder / "model")
    examples = make_examples(nlp)
    for i, example in enumerate(examples):
        example.reference.user_data["name"] = f"case-{i}"
    gold = DocBin(docs=[example.reference for example in examples], store_user_data=True)
    gold.to_disk(folder / "gold.spacy")
    dev = DocBin(docs=[example.reference for example in dev_examples(nlp)])
    dev.to_disk(folder / "dev.spacy")
    DocBin().to_disk(folder / "empty.spacy")
    component_of(nlp).fit_neighbors(examples)
    nlp.to_disk(folder / "fitted")
    (folder / "report.txt").write_bytes(b"She took aspirin")
    (folder / "latin.txt").write_bytes("Übelkeit".encode("latin1"))
    return folder


@pytest.fixture
def run(stage: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in that folder; its output with all white space as single spaces."""
    monkeypatch.chdir(stage)

    def command(*arguments: Any, expect: int = 0) -> str:
        return " ".join(commands.run(*arguments, expect=expect).split())

    return command
