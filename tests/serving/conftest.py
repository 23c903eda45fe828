"""A trained pipeline with neighbors that fails for some texts, served."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import spacy

from spacy_btl.serving.model import ServedPipeline
from spacy_btl.serving.settings import ServeSettings
from tests.helpers.annotating import train
from tests.helpers.serving import Client, client_of

collect_ignore_glob = [] if find_spec("fastapi") else ["test_*.py"]  # they need the extra serve


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = train(tmp_path_factory.mktemp("served") / "model")
    nlp = spacy.load(path)
    nlp.add_pipe("fails_on_secrets")
    nlp.to_disk(path)
    return path


@pytest.fixture(scope="session")
def pipeline(folder: Path) -> ServedPipeline:
    return ServedPipeline(folder, ServeSettings())


@pytest.fixture
def client(pipeline: ServedPipeline) -> Iterator[Client]:
    with client_of(pipeline, pipeline.facts, max_characters=2000, max_texts=5) as made:
        yield made
