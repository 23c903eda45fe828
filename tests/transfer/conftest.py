"""Two small corpora and a configuration with a small encoder."""

from pathlib import Path

import pytest
import spacy
from spacy.tokens import DocBin
from spacy.util import load_config

from spacy_btl.transfer.training import Corpus
from tests.helpers.sentences import make_examples

ROOT = Path(__file__).parents[2]
HASH = {
    "@architectures": "spacy.HashEmbedCNN.v2",
    "width": 16,
    "depth": 1,
    "embed_size": 200,
    "window_size": 1,
    "maxout_pieces": 2,
    "subword_features": True,
    "pretrained_vectors": None,
}


@pytest.fixture(scope="session")
def small_config():
    """Return the shipped configuration with an encoder of a few thousand weights."""
    config = load_config(ROOT / "configs" / "btl.cfg", interpolate=False)
    config["components"]["btl_knn_ner"]["model"]["tok2vec"] = HASH
    config["training"]["optimizer"]["learn_rate"]["initial_rate"] = 0.01
    config["training"]["before_to_disk"] = None  # its copy takes longer than the training
    return config


@pytest.fixture(scope="session")
def corpora(tmp_path_factory):
    """Return corpora "a", "b" and "c" of a few sentences, which differ in their first ones."""
    folder = tmp_path_factory.mktemp("corpora")
    nlp = spacy.blank("en")
    docs = [example.reference for example in make_examples(nlp)]
    found = []
    for i, name in enumerate("abc"):
        (folder / name).mkdir()
        for part, own in (("train", docs[i:]), ("dev", docs)):
            path = folder / name / f"{part}.spacy"
            DocBin(docs=own * 2, store_user_data=True).to_disk(path)
        found.append(Corpus(name, folder / name))
    return found
