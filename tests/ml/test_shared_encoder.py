"""Listeners in a model, and the encoders that they take their token vectors from."""

import copy
import gc

import pytest
import spacy

from spacy_btl.ml.shared_encoder import (
    PipelineReference,
    check_read,
    has_listener,
    shared_encoders,
)
from spacy_btl.pipeline.component import component_of

CNN = {
    "@architectures": "spacy.HashEmbedCNN.v2",
    "width": 8,
    "depth": 1,
    "embed_size": 50,
    "window_size": 1,
    "maxout_pieces": 2,
    "subword_features": False,
    "pretrained_vectors": None,
}


def pipeline(listens=True):
    nlp = spacy.blank("en")
    nlp.add_pipe("tok2vec", config={"model": CNN})
    listener = {"@architectures": "spacy.Tok2VecListener.v1", "width": 8}
    encoder = listener if listens else CNN
    model = {"@architectures": "spacy-btl.TokenClassifier.v1", "tok2vec": encoder}
    nlp.add_pipe("btl_knn_ner", config={"model": model})
    return nlp


@pytest.mark.parametrize("listens", [True, False])
def test_a_listener_is_found(listens):
    assert has_listener(component_of(pipeline(listens)).model) is listens


def test_a_document_must_have_been_read():
    nlp = pipeline()
    model = component_of(nlp).model
    doc, empty = nlp.make_doc("No fever"), nlp.make_doc("")
    check_read(model, [empty], "ner")
    with pytest.raises(ValueError, match=r'"ner" takes .* to "\*"\), which has not read this'):
        check_read(model, [doc], "ner")
    doc.tensor = doc.tensor.__class__((2, 8), dtype="f")
    check_read(model, [doc], "ner")
    check_read(component_of(pipeline(listens=False)).model, [nlp.make_doc("No fever")], "ner")


def test_the_encoder_of_a_listener():
    nlp = pipeline()
    model = component_of(nlp).model
    (found,) = shared_encoders(nlp, model, "ner").items()
    assert found == (model.get_ref("tok2vec"), nlp.get_pipe("tok2vec").model)
    assert shared_encoders(None, model, "ner") is None
    with pytest.raises(ValueError, match="which the pipeline does not have; bring it along"):
        shared_encoders(spacy.blank("en"), model, "ner")
    own = component_of(pipeline(listens=False)).model
    assert shared_encoders(None, own, "ner") == shared_encoders(nlp, own, "ner") == {}


def test_a_reference_neither_keeps_a_pipeline_nor_follows_a_copy():
    nlp = spacy.blank("en")
    reference = PipelineReference(nlp)
    assert reference() is nlp
    assert copy.deepcopy(reference)() is None
    assert PipelineReference()() is None
    del nlp
    gc.collect()
    assert reference() is None
