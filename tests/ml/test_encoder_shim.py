"""The torch side of an encoder: precision, averages, saved bytes, and forked processes."""

import gc
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import spacy
import srsly
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from thinc.api import Adam, Model, PyTorchShim, fix_random_seed

from spacy_btl.ml import transformer
from spacy_btl.ml.encoder_shim import EncoderShim, autocast_dtype
from spacy_btl.ml.transformer import build_transformer_model

NLP = spacy.blank("en")
TEXT = "He took 5 mg of aspirin daily"


def make_model(folder: Path, precision: Any = "float32") -> Model[Any, Any]:
    model = build_transformer_model(str(folder), precision=precision)
    model.initialize()
    return model


@pytest.fixture(scope="module")
def model(tiny_bert: Path) -> Model[Any, Any]:
    return make_model(tiny_bert)


def test_averaged_weights_are_those_of_the_encoder_too(tiny_bert: Path) -> None:
    """Against averages that are kept by hand, by the optimizer's own formula."""
    model, docs = make_model(tiny_bert), [NLP.make_doc(TEXT)]
    optimizer = Adam(0.01, L2=0.0, use_averages=True)
    name = "encoder.layer.1.output.dense.weight"
    bert = model.shims[0]._model
    average = np.zeros(bert.state_dict()[name].shape, dtype=np.float32)
    for t in range(1, 6):
        output, backprop = model.begin_update(docs)
        backprop([np.ones_like(vectors) for vectors in output])
        model.finish_update(optimizer)
        decay = (1 + t) / (10 + t)
        average = decay * average + (1 - decay) * bert.state_dict()[name].numpy()
    last = {k: v.clone() for k, v in bert.state_dict().items()}
    vectors = model.predict(docs)[0]
    with model.use_params(optimizer.averages):
        inside = {k: v.clone() for k, v in bert.state_dict().items()}
        averaged = model.predict(docs)[0]
    assert inside[name].numpy() == pytest.approx(average, abs=1e-6)
    assert {k for k in last if not torch.equal(inside[k], last[k])} == {
        k for k, weight in bert.named_parameters() if (model.shims[0].id, k) in optimizer.averages
    }
    assert np.abs(averaged - vectors).max() > 1e-3
    assert all(torch.equal(weight, last[k]) for k, weight in bert.state_dict().items())
    assert (model.predict(docs)[0] == vectors).all()


@pytest.mark.parametrize(
    ("precision", "device", "expected"),
    [
        ("float32", "cpu", None),
        ("float32", "cuda", None),
        ("bfloat16", "cpu", torch.bfloat16),
        ("float16", "cuda", torch.float16),
    ],
)
def test_precision(precision: Any, device: str, expected: Any) -> None:
    assert autocast_dtype(precision, device) is expected


@pytest.mark.parametrize(
    ("has_bf16", "capability", "expected"),
    [
        (True, "AVX512", torch.bfloat16),
        (False, "AVX512", None),
        (True, "AVX2", None),
        (False, "DEFAULT", None),
    ],
)
def test_precision_that_a_cpu_has(
    monkeypatch: pytest.MonkeyPatch, has_bf16: bool, capability: str, expected: Any
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_bf16, raising=False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert autocast_dtype("auto", "cpu") is expected


def test_precision_that_is_none() -> None:
    with pytest.raises(ValueError, match="precision is 'double'"):
        autocast_dtype("double", "cpu")  # type: ignore[arg-type]


def test_bfloat16_is_close_to_float32(tiny_bert: Path) -> None:
    doc = NLP.make_doc(TEXT)
    single, half = (
        build_transformer_model(str(tiny_bert), precision=p) for p in ("float32", "bfloat16")
    )
    single.initialize()
    half.initialize()
    ours, theirs = single.predict([doc])[0], half.predict([doc])[0]
    assert ours.dtype == theirs.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, atol=0.1)
    assert (ours != theirs).any()


class TestCastWeights:
    """The weights that a prediction in bfloat16 keeps are never those of before."""

    CHANGES: ClassVar[dict[str, Any]] = {
        "an update": lambda model: update(model),
        "in place": lambda model: load_doubled(model.shims[0]._model.encoder.layer[0].output.dense),
        "loaded": lambda model: model.from_bytes(updated_bytes(model)),
    }

    @pytest.mark.parametrize("change", CHANGES)
    def test_change(self, tiny_bert: Path, change: str) -> None:
        model, doc = make_model(tiny_bert, "bfloat16"), NLP.make_doc(TEXT)
        before = model.predict([doc])[0]
        self.CHANGES[change](model)
        found = model.predict([doc])[0]
        fresh = make_model(tiny_bert, "bfloat16").from_bytes(model.to_bytes()).predict([doc])[0]
        np.testing.assert_array_equal(found, fresh)
        assert (found != before).any()

    def test_a_prediction_between_the_passes(self, tiny_bert: Path) -> None:
        model, doc = make_model(tiny_bert, "bfloat16"), NLP.make_doc(TEXT)
        output, backprop = model.begin_update([doc])
        model.predict([doc])
        backprop([np.ones_like(vectors) for vectors in output])
        model.finish_update(Adam(0.01))
        fresh = make_model(tiny_bert, "bfloat16").from_bytes(model.to_bytes())
        np.testing.assert_array_equal(model.predict([doc])[0], fresh.predict([doc])[0])

    def test_predictions_are_those_of_autocast(self, tiny_bert: Path) -> None:
        model, doc = make_model(tiny_bert, "bfloat16"), NLP.make_doc(TEXT)
        shim = model.shims[0]
        read = transformer._inputs(model, [doc])
        with torch.no_grad():
            expected = [shim._vectors(batch, shim._model.eval()) for batch in read.batches]
        np.testing.assert_array_equal(model.predict([doc])[0], shim._means(read, expected))

    def test_a_copy_has_its_own(self, tiny_bert: Path) -> None:
        model, doc = make_model(tiny_bert, "bfloat16"), NLP.make_doc(TEXT)
        before = model.predict([doc])[0]
        update(other := model.copy())
        assert (other.predict([doc])[0] != before).any()
        np.testing.assert_array_equal(model.predict([doc])[0], before)


def update(model: Model[Any, Any]) -> None:
    output, backprop = model.begin_update([NLP.make_doc(TEXT)])
    backprop([np.ones_like(vectors) for vectors in output])
    model.finish_update(Adam(0.01))


def test_updates_leave_nothing_behind(tiny_bert: Path) -> None:
    model = make_model(tiny_bert)
    optimizer = Adam(0.01)

    def tensors_after(n: int) -> int:
        for _ in range(n):
            vectors, backprop = model.begin_update([spacy.blank("en")("She had a fever")])
            backprop(vectors)
            model.finish_update(optimizer)
        gc.collect()
        return sum(type(each) is torch.Tensor for each in gc.get_objects())

    assert tensors_after(2) == tensors_after(5)


def test_an_update_is_that_of_thinc(tiny_bert: Path) -> None:
    weights = []
    for finish in (EncoderShim.finish_update, PyTorchShim.finish_update):
        fix_random_seed(0)  # of dropout
        model = make_model(tiny_bert)
        vectors, backprop = model.begin_update([spacy.blank("en")("She had a fever")])
        backprop(vectors)
        finish(model.shims[0], Adam(0.01))
        weights.append({k: v.clone() for k, v in model.shims[0]._model.state_dict().items()})
        assert all(
            not w.grad.any() for w in model.shims[0]._model.parameters() if w.grad is not None
        )
    own, thincs = weights
    assert own.keys() == thincs.keys()
    assert all(torch.equal(own[name], thincs[name]) for name in own)
    start = make_model(tiny_bert).shims[0]._model.state_dict()
    assert not all(torch.equal(own[name], start[name]) for name in own)


def load_doubled(layer: torch.nn.Linear) -> None:
    layer.load_state_dict({name: 2 * value for name, value in layer.state_dict().items()})


def updated_bytes(model: Model[Any, Any]) -> bytes:
    update(other := model.copy())
    return other.to_bytes()


def test_float16_predicts_but_does_not_train(tiny_bert: Path) -> None:
    """Without a scaled loss, small gradients would be 0 in it."""
    model, doc = make_model(tiny_bert, "float16"), NLP.make_doc(TEXT)
    single = make_model(tiny_bert)
    np.testing.assert_allclose(model.predict([doc])[0], single.predict([doc])[0], atol=0.02)
    with pytest.raises(ValueError, match=r'for prediction only.* train with "bfloat16", "float32"'):
        model.begin_update([doc])


def test_what_is_saved_does_not_tell_where_the_weights_came_from(
    model: Any, tiny_bert: Path
) -> None:
    assert str(tiny_bert).encode() not in model.shims[0].to_bytes()


def test_saves_before_the_weights_are_there(tiny_bert: Path) -> None:
    model = build_transformer_model(str(tiny_bert))
    other = build_transformer_model(str(tiny_bert)).from_bytes(model.to_bytes())
    other.initialize()
    assert other.get_dim("nO") == 32


class TestOtherVersions:
    """Saved by one version of transformers, loaded by another."""

    def change(self, model: Model[Any, Any], change: Any, *, listed: bool = True) -> bytes:
        """Return the encoder's bytes after a change of its weights and names of buffers."""
        message = srsly.msgpack_loads(model.shims[0].to_bytes())
        weights, buffers = load_tensors(message["weights"]), set(message["buffers"])
        change(weights, buffers)
        message |= {"weights": save_tensors(weights), "buffers": sorted(buffers)}
        if not listed:
            del message["buffers"]
        return bytes(srsly.msgpack_dumps(message))

    def load(self, model: Model[Any, Any], data: bytes) -> Model[Any, Any]:
        other = build_transformer_model("gone", precision="float32")
        other.shims[0].from_bytes(data)
        return other

    @pytest.mark.parametrize(
        ("listed", "buffer"),
        [(True, torch.arange(64)), (True, torch.ones(8)), (False, torch.arange(64)[None])],
    )
    def test_a_buffer_that_went(
        self, model: Model[Any, Any], listed: bool, buffer: torch.Tensor
    ) -> None:
        """BERT of transformers 4.31 has such position_ids."""

        def add(weights: dict[str, torch.Tensor], buffers: set[str]) -> None:
            weights["embeddings.position_ids"] = buffer
            buffers.add("embeddings.position_ids")

        other = self.load(model, self.change(model, add, listed=listed))
        doc = NLP.make_doc(TEXT)
        np.testing.assert_array_equal(other.predict([doc])[0], model.predict([doc])[0])

    def test_a_buffer_that_came(
        self, model: Model[Any, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The encoder has made its own."""
        from transformers import BertModel

        data, make = model.shims[0].to_bytes(), BertModel.__init__

        def make_with_buffer(self: Any, *arguments: Any, **settings: Any) -> None:
            make(self, *arguments, **settings)
            self.register_buffer("scales", torch.ones(3))

        monkeypatch.setattr(BertModel, "__init__", make_with_buffer)
        other, doc = self.load(model, data), NLP.make_doc(TEXT)
        assert other.shims[0]._model.scales.tolist() == [1, 1, 1]
        np.testing.assert_array_equal(other.predict([doc])[0], model.predict([doc])[0])

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ("pooler.dense.bias", None, "weights missing: pooler.dense.bias"),
            (None, "scale.weight", "weights unknown: scale.weight"),
            (
                "pooler.dense.bias",
                "pool.bias",
                "weights missing: pooler.dense.bias; weights unknown: pool.bias",
            ),
        ],
    )
    def test_a_weight_that_differs(
        self, model: Model[Any, Any], old: str | None, new: str | None, message: str
    ) -> None:
        def rename(weights: dict[str, torch.Tensor], buffers: set[str]) -> None:
            tensor = weights.pop(old) if old else torch.ones(2)
            if new:
                weights[new] = tensor

        with pytest.raises(ValueError, match=message) as caught:
            self.load(model, self.change(model, rename))
        assert "install transformers 4" in str(caught.value)


CHILDREN = {
    "does not use an encoder": ("pass", 3),
    "predicts": ("model.predict([doc])", 1),
    "loads": ("model.from_bytes(data)", 1),
    "saves": ("model.to_bytes()", 1),
    "initializes": ("build_transformer_model(sys.argv[1]).initialize()", 1),
    "has set its own number": ("torch.set_num_threads(2); model.predict([doc])", 1),
}
"""What a forked child does, and the number of its threads afterwards."""

FORK = """
import json, os, signal, sys
import spacy, torch
import spacy_btl.pipeline.component
from spacy_btl.ml.transformer import build_transformer_model

torch.set_num_threads(3)
many = torch.ones(2000, 2000)
many @ many  # starts the threads of torch, which a forked child does not have
model = build_transformer_model(sys.argv[1])
model.initialize()
data, doc = model.to_bytes(), spacy.blank("en").make_doc("No fever")
for name, (work, threads) in json.loads(sys.argv[2]).items():
    if not os.fork():
        signal.alarm(60)  # nobody would end it if it waited forever
        exec(work)
        n_threads = torch.get_num_threads()
        if threads == 1:
            many @ many  # it would wait forever for its threads
        print(name, n_threads, sep=": ", flush=True)
        os._exit(0)
    os.wait()
print("parent", torch.get_num_threads(), sep=": ")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_threads_of_forked_children(tiny_bert: Path) -> None:
    """Only in a child that uses an encoder is the number of threads another than before."""
    code = [sys.executable, "-c", FORK, str(tiny_bert), json.dumps(CHILDREN)]
    done = subprocess.run(code, capture_output=True, text=True, timeout=500)
    expected = {name: threads for name, (_, threads) in CHILDREN.items()}
    found = dict(line.split(": ") for line in done.stdout.splitlines())
    assert found == {name: str(n) for name, n in {**expected, "parent": 3}.items()}, done.stderr


class TestLongDocument:
    """Batches beyond the first ones are computed once more in the backward pass."""

    DOCS: ClassVar[list[Any]] = [NLP.make_doc(f"{TEXT} " * 60), NLP.make_doc("No fever")]

    def gradients(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, kept: int, precision: Any, drop: float
    ) -> tuple[Any, dict[str, Any], int]:
        """Return vectors, gradients of all weights, and how often the encoder ran."""
        monkeypatch.setattr(transformer, "KEPT_BATCHES", kept)
        model = build_transformer_model(
            str(folder), precision=precision, window=32, overlap=4, max_batch_pieces=128
        )
        model.initialize()
        bert = model.shims[0]._model
        for module in bert.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = drop
            if hasattr(module, "dropout_prob"):  # of the attention
                module.dropout_prob = drop
        runs: list[int] = []
        bert.encoder.layer[0].register_forward_pre_hook(lambda *_: runs.append(1))
        torch.manual_seed(3)
        output, backprop = model.begin_update(self.DOCS)
        follows = torch.rand(1)
        weights = np.random.default_rng(0).normal(size=(1000, 32)).astype(np.float32)
        backprop([weights[: len(vectors)] for vectors in output])
        grads = {k: p.grad.clone() for k, p in bert.named_parameters() if p.grad is not None}
        assert torch.rand(1) != follows  # the state of before the backward pass goes on
        return np.concatenate(output), grads, len(runs)

    @pytest.mark.parametrize("drop", [0.0, 0.3])
    @pytest.mark.parametrize("precision", ["float32", "bfloat16"])
    def test_gradients_are_those_of_one_pass(
        self, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch, precision: Any, drop: float
    ) -> None:
        """With dropout too: both times the same units are left out."""
        one, whole, runs = self.gradients(tiny_bert, monkeypatch, 1000, precision, drop)
        two, parts, more = self.gradients(tiny_bert, monkeypatch, 2, precision, drop)
        assert more == 2 * runs - 2
        assert runs > 3
        np.testing.assert_array_equal(one, two)
        assert parts.keys() == whole.keys()
        for name, gradient in whole.items():
            torch.testing.assert_close(parts[name], gradient, rtol=1e-4, atol=1e-5)

    def test_a_prediction_runs_each_batch_once(
        self, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model = build_transformer_model(str(tiny_bert), window=32, overlap=4, max_batch_pieces=128)
        model.initialize()
        runs: list[int] = []
        model.shims[0]._model.encoder.layer[0].register_forward_pre_hook(lambda *_: runs.append(1))
        monkeypatch.setattr(transformer, "KEPT_BATCHES", 0)
        model.predict(self.DOCS)
        assert len(runs) == len(transformer._inputs(model, self.DOCS).batches) > 3
