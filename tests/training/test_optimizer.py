"""Adam with a rate for each layer."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from spacy import registry
from spacy.training import Example
from thinc.api import Adam, Config

from spacy_btl.training.optimizer import AdamByLayer, rate_factor


@pytest.mark.parametrize(
    ("name", "depth", "expected"),
    [
        ("encoder.layer.5.output.dense.weight", 6, 1.0),
        ("encoder.layer.4.attention.self.query.bias", 6, 0.5),
        ("encoder.layer.0.output.LayerNorm.weight", 6, 0.5**5),
        ("transformer.layer.2.ffn.lin1.weight", 6, 0.5**3),  # DistilBERT
        ("layers.21.mlp.Wo.weight", 22, 1.0),  # ModernBERT
        ("h.0.attn.c_attn.weight", 2, 0.5),  # GPT-2
        ("embeddings.word_embeddings.weight", 6, 0.5**6),
        ("encoder.embed_tokens.weight", 2, 0.25),
        ("pooler.dense.weight", 6, 1.0),
        ("encoder.relative_attention_bias.weight", 12, 1.0),  # MPNet, shared by its layers
        ("W", 6, 3.0),
        ("b", 0, 3.0),
    ],
)
def test_the_factor_of_a_rate(name: str, depth: int, expected: float) -> None:
    assert rate_factor(name, depth, 0.5, 3.0) == expected


def test_without_factors_it_is_adam() -> None:
    settings: dict[str, Any] = {"L2": 0.01, "grad_clip": 1.0, "use_averages": True}
    ours = AdamByLayer(learn_rate=0.01, layer_decay=1.0, head_factor=1.0, **settings)
    plain = Adam(0.01, **settings)
    rng = np.random.default_rng(0)
    both = [rng.normal(size=(3, 4)).astype("f")] * 2
    for _ in range(5):
        gradient = rng.normal(size=(3, 4)).astype("f")
        steps = [
            each((1, "layer.0.W"), w.copy(), gradient.copy())
            for each, w in zip((ours, plain), both, strict=True)
        ]
        both = [weights for weights, _ in steps]
        assert (both[0] == both[1]).all()
    assert (ours.averages[1, "layer.0.W"] == plain.averages[1, "layer.0.W"]).all()


def test_each_layer_has_its_own_rate() -> None:
    """Adam's step is its rate, whatever the gradient, as long as the gradient stays the same."""
    optimizer = AdamByLayer(learn_rate=0.01, layer_decay=0.5, head_factor=3.0, L2=0.0)
    names = ["embeddings.weight", "layer.0.W", "layer.1.W", "W"]
    weights = {name: np.zeros((1, 3), dtype="f") for name in names}
    taken = []
    for _ in range(2):
        before = {name: each.copy() for name, each in weights.items()}
        for name in names:
            gradient = np.full((1, 3), 0.1, dtype="f")
            weights[name], _ = optimizer((1, name), weights[name], gradient)
        taken.append([float((before[name] - weights[name])[0, 0]) for name in names])
    # In the first step the depth is not known before the layers have come by.
    assert taken[0] == pytest.approx([0.01, 0.01, 0.01, 0.03], rel=1e-3)
    assert taken[1] == pytest.approx([0.0025, 0.005, 0.01, 0.03], rel=1e-3)


def test_two_encoders_have_their_own_depths() -> None:
    optimizer = AdamByLayer(learn_rate=0.01, layer_decay=0.5, L2=0.0)
    for key in ((1, "layer.0.W"), (1, "layer.3.W"), (2, "layer.0.W")):
        optimizer(key, np.zeros((1, 1), dtype="f"), np.ones((1, 1), dtype="f"))
    assert optimizer.depths == {1: 4, 2: 1}


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("learn_rate", 0.0),
        ("layer_decay", 0.0),
        ("layer_decay", 1.1),
        ("head_factor", 0.0),
        ("head_factor", float("nan")),
        ("beta1", 1.0),
        ("beta2", 0.0),
        ("eps", 0.0),
        ("L2", -0.01),
        ("grad_clip", -1.0),
    ],
)
def test_settings_out_of_their_range(setting: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{setting} is {value}, but must be"):
        AdamByLayer(**{"learn_rate": 0.01, setting: value})


CONFIG = """
[optimizer]
@optimizers = "spacy-btl.AdamByLayer.v1"
layer_decay = 0.5
[optimizer.learn_rate]
@schedules = "warmup_linear.v1"
warmup_steps = 2
total_steps = 10
initial_rate = 0.01
"""


def test_a_config_trains_with_it_and_every_layer_moves(tiny_bert: Path) -> None:
    optimizer = registry.resolve(Config().from_str(CONFIG))["optimizer"]
    nlp = spacy.blank("en")
    tok2vec = {"@architectures": "spacy-btl.TransformerModel.v1", "name": str(tiny_bert)}
    model = {"@architectures": "spacy-btl.TokenClassifier.v1", "tok2vec": tok2vec}
    pipe: Any = nlp.add_pipe("btl_knn_ner", config={"model": model})
    annotation = {"entities": [(8, 12, "Dosage")]}
    examples = [Example.from_dict(nlp.make_doc("He took 5 mg"), annotation)]
    nlp.initialize(lambda: examples, sgd=optimizer)
    bert = pipe.model.get_ref("tok2vec").shims[0]._model
    before = {name: each.detach().clone() for name, each in bert.named_parameters()}
    rates = []
    for _ in range(10):
        nlp.update(examples, sgd=optimizer)
        optimizer.step_schedules()
        rates.append(optimizer.learn_rate)
    assert rates[1] == pytest.approx(0.01)
    assert rates[-1] < 0.002
    moved = {
        name: float((each.detach() - before[name]).abs().max())
        for name, each in bert.named_parameters()
    }
    layers = [moved[f"encoder.layer.{i}.output.dense.weight"] for i in range(2)]
    assert 0 < moved["embeddings.word_embeddings.weight"] < layers[0] < layers[1]
    assert optimizer.depths == {pipe.model.get_ref("tok2vec").shims[0].id: 2}
