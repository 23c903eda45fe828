"""Weights: their fingerprint, rounding to 16 bits, and loading across versions."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from spacy.language import Language
from thinc.api import Linear, Model, PyTorchWrapper, chain
from torch import nn

from spacy_btl.ml.weights import (
    Half,
    compact,
    load_weights,
    round_encoder,
    round_weights,
    weights_fingerprint,
)
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
    [(1e5, "float16", "use bfloat16"), (1.0, "int8", "precision is 'int8'")],
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
def test_neighbors_fitted_on_rounded_weights_are_valid_when_loaded(
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


def small_model() -> Model[Any, Any]:
    layer = torch.nn.Linear(3, 2)
    torch.nn.init.ones_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    linear = Linear(2, 2).initialize()
    linear.set_param("W", np.eye(2, dtype="f"))
    return chain(PyTorchWrapper(layer), linear)


def bump_torch(model: Any) -> None:
    with torch.no_grad():
        model.layers[0].shims[0]._model.weight[1, 1] += 1e-6


def bump_thinc(model: Any) -> None:
    weights = model.layers[1].get_param("W").copy()
    weights[0, 1] = np.float32(1e-30)
    model.layers[1].set_param("W", weights)


def transpose(model: Any) -> None:
    model.layers[1].set_param("W", model.layers[1].get_param("W")[::-1].copy())


def test_equal_weights_have_one_fingerprint() -> None:
    first = weights_fingerprint(small_model())
    assert first == weights_fingerprint(small_model())
    assert len(first) == 32


@pytest.mark.parametrize("change", [bump_torch, bump_thinc, transpose])
def test_any_change_gives_another_fingerprint(change: Any) -> None:
    changed = small_model()
    change(changed)
    assert weights_fingerprint(changed) != weights_fingerprint(small_model())


def test_saving_and_loading_keeps_the_fingerprint() -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("btl_knn_ner")
    nlp.initialize(lambda: make_examples(nlp))
    other = spacy.blank("en")
    other.add_pipe("btl_knn_ner")
    before = weights_fingerprint(component_of(nlp).model)
    other.from_bytes(nlp.to_bytes())
    assert weights_fingerprint(component_of(other).model) == before
    nlp.update(make_examples(nlp))
    assert weights_fingerprint(component_of(nlp).model) != before


class WithBuffer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 3)
        self.register_buffer("scales", torch.ones(2))


OWN = {"layer.weight": torch.zeros(3, 2), "layer.bias": torch.zeros(3), "scales": torch.zeros(2)}


@pytest.mark.parametrize(
    ("change", "buffers", "scale"),
    [
        ({}, [], 0),
        ({"scales": None}, [], 1),  # its own stays
        ({"positions": torch.ones(9)}, ["positions"], 0),
    ],
)
def test_buffers_of_one_side_are_passed_over(
    change: dict[str, torch.Tensor | None], buffers: list[str], scale: float
) -> None:
    module = WithBuffer()
    weights = {name: each for name, each in {**OWN, **change}.items() if each is not None}
    load_weights(module, weights, buffers)
    assert not module.layer.weight.any()
    assert not module.layer.bias.any()
    assert module.get_buffer("scales").tolist() == [scale, scale]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer.weight": None}, "weights missing: layer.weight$"),
        ({"layer.weight": None, "layer.bias": None}, "missing: layer.bias, layer.weight$"),
        ({"positions": torch.ones(9)}, "weights unknown: positions$"),
        ({"layer.bias": torch.ones(4)}, "weights of a different shape: layer.bias$"),
        ({f"more.{i}": torch.ones(1) for i in range(7)}, r"unknown: more.0, .*more.4 and 2 more$"),
    ],
)
def test_weights_that_differ_are_named(
    change: dict[str, torch.Tensor | None], message: str
) -> None:
    module = WithBuffer()
    before = module.layer.weight.detach().clone()
    weights = {name: each for name, each in {**OWN, **change}.items() if each is not None}
    with pytest.raises(ValueError, match=message):
        load_weights(module, weights)
    assert torch.equal(module.layer.weight, before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("is_shared", [False, True])
def test_weights_are_float32_and_shared_ones_stay_so(dtype: torch.dtype, is_shared: bool) -> None:
    first = nn.Linear(2, 2, bias=False)
    module = nn.Sequential(first, first if is_shared else nn.Linear(2, 2, bias=False))
    saved = torch.tensor([[0.5, 1.0], [2.0, 4.0]])
    load_weights(module, {name: saved.to(dtype) for name in module.state_dict()})
    for layer in (module[0], module[1]):
        assert layer.weight.dtype == torch.float32
        assert layer.weight.requires_grad
        assert layer.weight.tolist() == saved.tolist()
    assert (module[0].weight is module[1].weight) == is_shared
