"""Adam with a rate for each layer."""

import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import spacy
from spacy import registry
from spacy.training import Example
from thinc.api import Adam, Config

from spacy_btl.training.optimizer import (
    AdamByLayer,
    fill_in_optimizer,
    idle_updates,
    prepare_training,
    rate_factor,
    set_max_steps,
)


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


@pytest.mark.parametrize(
    "settings",
    [
        {"L2": 0.01, "grad_clip": 1.0, "use_averages": True},
        {"L2": 0.1, "L2_is_weight_decay": False, "grad_clip": 0.0, "use_averages": True},
        {"L2": 0.0, "eps": 0.1, "beta1": 0.5, "beta2": 0.9, "use_averages": True},
    ],
)
def test_without_factors_it_is_adam(settings: dict[str, Any]) -> None:
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
        np.testing.assert_allclose(*both, rtol=1e-5, atol=1e-5)
        assert not steps[0][1].any()  # Thinc takes it for the next sum of gradients
    key = 1, "layer.0.W"
    np.testing.assert_allclose(ours.averages[key], plain.averages[key], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ours.mom1[key], plain.mom1[key], rtol=1e-4)
    np.testing.assert_allclose(ours.mom2[key], plain.mom2[key], rtol=1e-4)


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


class TestSchedule:
    """A rate that warms up from 0, by whoever moves it."""

    def rates(self, moved_by: str) -> list[float]:
        optimizer = registry.resolve(Config().from_str(CONFIG))["optimizer"]
        rates = []
        for _ in range(4):
            for name in ("W", "b"):
                optimizer((1, name), np.ones(2, dtype="f"), np.ones(2, dtype="f"))
            rates.append(optimizer.learn_rate)
            if moved_by == "loop":
                optimizer.step_schedules()
        return rates

    @pytest.mark.parametrize("moved_by", ["loop", "nobody"])
    def test_moves_once_for_each_update(self, moved_by: str) -> None:
        assert self.rates(moved_by) == pytest.approx([0.0, 0.005, 0.01, 0.00875])

    def test_warning_where_nothing_moves_it(self) -> None:
        """Any optimizer has one; a function in its place has no rate."""
        sgd = Adam(0.0)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert idle_updates(0, sgd, "ner") == 1
            assert idle_updates(2, sgd, "ner") == 3
            assert idle_updates(1, Adam(0.1), "ner") == idle_updates(1, print, "ner") == 0
        with pytest.warns(UserWarning, match='updates of "ner" change nothing'):
            assert idle_updates(1, sgd, "ner") == 2


def pipeline(config: Config) -> Any:
    return SimpleNamespace(config=config)


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ("[training.optimizer]\nlearn_rate = ${training.rate}", {"learn_rate": 0.5}),
        ("[training.optimizer]\nlearn_rate = 1", {"learn_rate": 1}),
        (
            "[training.optimizer]\n[training.optimizer.learn_rate]\nn = ${training.max_steps}",
            {"learn_rate": {"n": 7}},
        ),
        ("[training.optimizer]\nlearn_rate = ${training.block}", {"learn_rate": {"a": 7}}),
        ("optimizer = ${training.block}", {"a": 7}),
        ("optimizer = null", None),
    ],
)
def test_fill_in_optimizer(block: str, expected: Any) -> None:
    more = "[training.block]\na = ${training.max_steps}"
    text = f"[training]\nmax_steps = 7\nrate = 0.5\n{block}\n{more}"
    config = Config().from_str(text, interpolate=False)
    fill_in_optimizer(pipeline(config))
    assert config["training"]["optimizer"] == expected
    assert config["training"]["block"] == {"a": "${training.max_steps}"}


def test_fill_in_optimizer_of_references_that_lead_nowhere() -> None:
    config = Config({"training": {"optimizer": {"a": "${nowhere.b}"}}})
    fill_in_optimizer(pipeline(config))
    assert config == {"training": {"optimizer": {"a": "${nowhere.b}"}}}
    empty = Config()
    fill_in_optimizer(pipeline(empty))
    fill_in_optimizer(None)
    assert empty == {}


@pytest.mark.parametrize(
    ("before", "total", "expected"),
    [(100, 100, 30), (100, 200, 200), (0, 0, 0), (100, "${training.max_steps}", None)],
)
def test_set_max_steps(before: int, total: Any, expected: int | None) -> None:
    """A schedule as long as the training stays as long as the training."""
    rate = {"total_steps": total, "warmup_steps": 100}
    config = Config({"training": {"max_steps": before, "optimizer": {"learn_rate": rate}}})
    set_max_steps(config, 30)
    assert config["training"]["max_steps"] == 30
    assert rate["warmup_steps"] == 100
    found = config["training"]["optimizer"]["learn_rate"]["total_steps"]
    assert found == (total if expected is None else expected)


@pytest.mark.parametrize(
    ("steps", "every", "warns"),
    [(40, 200, True), (200, 200, False), (1600, 200, False), (0, 200, False)],
)
def test_a_training_that_is_never_evaluated(steps: int, every: int, warns: bool) -> None:
    nlp = pipeline({"training": {"max_steps": steps, "eval_frequency": every}})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        prepare_training(nlp)
    found = [str(each.message) for each in caught]
    assert [f"evaluated every {every}" in each for each in found] == [True] * warns
