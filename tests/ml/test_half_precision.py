"""Weights of 16 bits: rounded when asked for, saved without any loss."""

import math
from pathlib import Path

import pytest
import spacy
import torch
from spacy.language import Language
from torch import nn

from spacy_btl.ml.half_precision import Half, compact, round_encoder, round_weights
from spacy_btl.pipeline.component import component_of
from tests.helpers.sentences import make_examples


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([0.0, 1.0, -0.5], torch.float16),
        ([2**-24], torch.float16),  # the least of it
        ([2.0**20, 1.0], torch.bfloat16),  # too large for float16
        ([1e-30], torch.float32),
        ([2.0**-40], torch.bfloat16),
        ([0.1], torch.float32),
        ([1 + 2**-10], torch.float16),  # more digits than bfloat16 has
        ([math.nan], torch.float32),
        ([math.inf, 1.0], torch.float16),
        ([], torch.float16),
    ],
)
def test_a_tensor_takes_half_the_bytes_where_nothing_is_lost(
    values: list[float], dtype: torch.dtype
) -> None:
    tensor = torch.tensor(values, dtype=torch.float32)
    stored = compact(tensor)
    assert stored.dtype == dtype
    assert torch.equal(stored.float().nan_to_num(7.0), tensor.nan_to_num(7.0))


def test_integers_stay_as_they_are() -> None:
    assert compact(torch.arange(3)).dtype == torch.int64


@pytest.mark.parametrize(("precision", "digits"), [("float16", 11), ("bfloat16", 8)])
def test_rounding_is_to_the_nearest(precision: Half, digits: int) -> None:
    torch.manual_seed(0)
    module = nn.Linear(40, 30)
    before = module.weight.detach().clone()
    change = round_weights(module, precision)
    after = module.weight.detach()
    assert ((after - before).abs() <= before.abs() * 2.0**-digits + 2**-25).all()
    assert 0 < change <= 2.0**-digits
    assert after.dtype == torch.float32
    assert compact(after).dtype != torch.float32
    assert round_weights(module, precision) == 0


@pytest.mark.parametrize(
    ("value", "precision", "message"),
    [(1e5, "float16", "take bfloat16"), (1.0, "int8", 'not to "int8"')],
)
def test_what_cannot_be_rounded_stays_as_it_is(value: float, precision: Half, message: str) -> None:
    module = nn.Linear(2, 2)
    with torch.no_grad():
        module.bias.fill_(value)
    before = module.weight.detach().clone()
    with pytest.raises(ValueError, match=message):
        round_weights(module, precision)
    assert torch.equal(module.weight, before)


def make(tiny_bert: Path) -> Language:
    nlp = spacy.blank("en")
    encoder = {"@architectures": "spacy-btl.TransformerModel.v1", "name": str(tiny_bert)}
    model = {"@architectures": "spacy-btl.TokenClassifier.v1", "tok2vec": encoder}
    nlp.add_pipe("btl_knn_ner", config={"model": model})
    nlp.initialize(lambda: make_examples(nlp))
    return nlp


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_neighbours_fitted_on_rounded_weights_are_valid_when_loaded(
    tiny_bert: Path, tmp_path: Path, precision: Half
) -> None:
    nlp = make(tiny_bert)
    whole = len(component_of(nlp).model.to_bytes())
    round_encoder(component_of(nlp).model, precision)
    component_of(nlp).fit_neighbors(make_examples(nlp))
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path)
    pipe = component_of(again)
    assert pipe.fingerprint() == component_of(nlp).fingerprint()
    pipe.check_neighbors()
    docs = [[example.predicted for example in make_examples(nlp)] for _ in range(2)]
    ours, theirs = (
        component_of(each).model.predict(part)
        for each, part in zip((nlp, again), docs, strict=True)
    )
    assert all((a == b).all() for a, b in zip(ours, theirs, strict=True))
    module = next(shim._model for node in pipe.model.walk() for shim in node.shims)
    assert {value.dtype for value in module.parameters()} == {torch.float32}
    weights = sum(value.numel() for value in module.parameters())
    assert whole - len(pipe.model.to_bytes()) == pytest.approx(2 * weights, rel=0.1)


def test_a_model_without_an_encoder_of_its_own_is_told_so() -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("tok2vec")
    listener = {"@architectures": "spacy.Tok2VecListener.v1", "width": 96}
    model = {"@architectures": "spacy-btl.TokenClassifier.v1", "tok2vec": listener}
    pipe = nlp.add_pipe("btl_knn_ner", config={"model": model})
    with pytest.raises(ValueError, match="no encoder of its own"):
        round_encoder(pipe.model, "float16")  # type: ignore[attr-defined]
