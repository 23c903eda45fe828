"""Fixtures that many tests share: a pipeline that is trained once, and a tiny random encoder."""

import pytest
import spacy
from spacy.util import fix_random_seed

import spacy_btl.cli  # noqa: F401  adds the commands to spaCy's, as python -m spacy does
from tests.helpers.encoders import tiny_bert
from tests.helpers.sentences import make_examples
from tests.helpers.session import set_up

__all__ = ["tiny_bert", "trained"]

set_up()


@pytest.fixture(scope="session")
def trained() -> bytes:
    """Return a pipeline that knows the sentences by heart, as bytes for each test to load."""
    fix_random_seed(0)
    nlp = spacy.blank("xx")  # which is made in a fifth of the time of "en"
    nlp.add_pipe("btl_knn_ner")
    examples = make_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(60):
        nlp.update(examples, sgd=optimizer)
    return nlp.to_bytes()
