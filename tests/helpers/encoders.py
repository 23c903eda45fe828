"""A tiny random encoder that needs no download."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a random BERT of two layers and a tokenizer over words and letters."""
    from tests.helpers.encoder_kinds import save_encoder  # imports transformers

    return save_encoder("bert", tmp_path_factory.mktemp("tiny"))
