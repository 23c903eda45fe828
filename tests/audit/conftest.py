"""A small configuration and annotated reports of a few words."""

import pytest
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import load_model_from_config
from thinc.api import Config

from tests.helpers.reports import report, small_config


@pytest.fixture(scope="session")
def config() -> Config:
    return small_config()


@pytest.fixture
def nlp(config: Config) -> Language:
    return load_model_from_config(config, auto_fill=True)


@pytest.fixture
def reports() -> list[Doc]:
    return [report(number) for number in range(16)]
