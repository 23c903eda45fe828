import numpy as np
import pytest
import spacy
import torch
from thinc.api import Linear, PyTorchWrapper, chain

from spacy_btl.ml.shared_encoder import weights_fingerprint
from tests.helpers.sentences import make_examples


def model():
    layer = torch.nn.Linear(3, 2)
    torch.nn.init.ones_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    linear = Linear(2, 2).initialize()
    linear.set_param("W", np.eye(2, dtype="f"))
    return chain(PyTorchWrapper(layer), linear)


def bump_torch(model):
    with torch.no_grad():
        model.layers[0].shims[0]._model.weight[1, 1] += 1e-6


def bump_thinc(model):
    weights = model.layers[1].get_param("W").copy()
    weights[0, 1] = np.float32(1e-30)
    model.layers[1].set_param("W", weights)


def transpose(model):
    model.layers[1].set_param("W", model.layers[1].get_param("W")[::-1].copy())


def test_equal_weights_have_one():
    first = weights_fingerprint(model())
    assert first == weights_fingerprint(model())
    assert len(first) == 32


@pytest.mark.parametrize("change", [bump_torch, bump_thinc, transpose])
def test_any_change_gives_another(change):
    changed = model()
    change(changed)
    assert weights_fingerprint(changed) != weights_fingerprint(model())


def test_saving_and_loading_keeps_it():
    nlp = spacy.blank("en")
    nlp.add_pipe("btl_knn_ner")
    nlp.initialize(lambda: make_examples(nlp))
    other = spacy.blank("en")
    other.add_pipe("btl_knn_ner")
    before = weights_fingerprint(nlp.get_pipe("btl_knn_ner").model)
    other.from_bytes(nlp.to_bytes())
    assert weights_fingerprint(other.get_pipe("btl_knn_ner").model) == before
    nlp.update(make_examples(nlp))
    assert weights_fingerprint(nlp.get_pipe("btl_knn_ner").model) != before
