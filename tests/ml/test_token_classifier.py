"""The head over any encoder, features beside one, and what the room offers."""

import subprocess
import sys

import numpy as np
import pytest
import spacy
from spacy.util import registry
from thinc.api import set_dropout_rate

import spacy_btl.ml
from spacy_btl.ml import build_token_classifier

NLP = spacy.blank("en")
DOCS = [NLP.make_doc("She took warfarin"), NLP.make_doc(""), NLP.make_doc("No fever")]


def encoder():
    make = registry.architectures.get("spacy.HashEmbedCNN.v2")
    return make(
        width=8,
        depth=1,
        embed_size=50,
        window_size=1,
        maxout_pieces=2,
        subword_features=False,
        pretrained_vectors=None,
    )


@pytest.mark.parametrize("n_labels", [5, None])
def test_logits_are_linear_in_the_token_vectors(n_labels):
    model = build_token_classifier(encoder(), n_labels)
    output = model.get_ref("output_layer")
    if n_labels is None:
        output.set_dim("nO", 3)
    model.initialize(X=DOCS)
    logits, hidden = model.predict(DOCS), model.get_ref("tok2vec").predict(DOCS)
    weights, bias = output.get_param("W"), output.get_param("b")
    assert [array.shape for array in logits] == [
        (3, n_labels or 3),
        (0, n_labels or 3),
        (2, n_labels or 3),
    ]
    for ours, vectors in zip(logits, hidden, strict=True):
        np.testing.assert_allclose(ours, vectors @ weights.T + bias, atol=1e-5)


@pytest.mark.parametrize("n_labels", [0, -1, 2.0])
def test_a_number_of_labels_that_is_none(n_labels):
    with pytest.raises(ValueError, match=r"nO is .*, but must be a whole number, 1 or more"):
        build_token_classifier(encoder(), n_labels)


def test_dropout_applies_to_the_token_vectors_in_training_only():
    model = build_token_classifier(encoder(), 3)
    model.initialize(X=DOCS)
    set_dropout_rate(model, 0.999999)
    bias = model.get_ref("output_layer").get_param("b")
    trained, _ = model.begin_update(DOCS)
    np.testing.assert_allclose(trained[0], np.tile(bias, (3, 1)), atol=1e-5)
    assert np.abs(model.predict(DOCS)[0] - bias).max() > 1e-3


@pytest.mark.parametrize("name", spacy_btl.ml.__all__)
def test_the_public_names(name):
    assert callable(getattr(spacy_btl.ml, name))


def test_a_name_that_the_room_does_not_have():
    with pytest.raises(AttributeError, match="has no attribute 'build_hash'"):
        _ = spacy_btl.ml.build_hash


def test_the_room_alone_brings_no_transformers():
    code = "import sys, spacy_btl.ml; print('transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
