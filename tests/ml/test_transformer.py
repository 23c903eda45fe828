"""The pretrained transformer as a layer, with a tiny random BERT."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from spacy.language import Language
from spacy.util import fix_random_seed
from thinc.api import Model
from transformers import AutoModel, AutoTokenizer

from spacy_btl.ml.transformer import build_transformer_model
from tests.helpers.sentences import SENTENCES, entities, make_examples

NLP = spacy.blank("en")
TEXT = "He took 5 mg of aspirin daily"


def make_model(folder: Path, **settings: Any) -> Model[Any, Any]:
    model = build_transformer_model(str(folder), precision="float32", **settings)
    model.initialize()
    return model


@pytest.fixture(scope="module")
def model(tiny_bert: Path) -> Model[Any, Any]:
    return make_model(tiny_bert, window=64, overlap=16)


def test_a_tokens_vector_is_the_mean_of_its_pieces(tiny_bert: Path, model: Any) -> None:
    """Against the plain way: one sequence through the transformer itself."""
    tokenizer, bert = AutoTokenizer.from_pretrained(tiny_bert), AutoModel.from_pretrained(tiny_bert)
    doc = NLP.make_doc(TEXT)
    encoding = tokenizer([t.text for t in doc], is_split_into_words=True, return_tensors="pt")
    with torch.no_grad():
        hidden = bert.eval()(**encoding).last_hidden_state[0].numpy()
    words = np.array([-1 if word is None else word for word in encoding.word_ids()])
    expected = np.stack([hidden[words == i].mean(axis=0) for i in range(len(doc))])
    np.testing.assert_allclose(model.predict([doc])[0], expected, atol=1e-5)


def test_each_document_is_read_alone(model: Any) -> None:
    texts = [TEXT, "", "fever " * 40, " \n ", "aspirin", TEXT * 9]
    docs = [NLP.make_doc(text) for text in texts]
    for doc, vectors in zip(docs, model.predict(docs), strict=True):
        assert vectors.shape == (len(doc), 32)
        np.testing.assert_allclose(vectors, model.predict([doc])[0], atol=1e-5)


def test_white_space_has_no_vector(model: Any) -> None:
    doc = NLP.make_doc("fever \n \u200a aspirin")
    is_zero = ~model.predict([doc])[0].any(axis=1)
    np.testing.assert_array_equal(is_zero, [token.is_space for token in doc])


@pytest.mark.parametrize("window", [8, 16, 64, 10_000])
def test_nothing_is_cut_from_a_long_document(tiny_bert: Path, window: int) -> None:
    """More word pieces than the encoder takes, and one word longer than all of a window."""
    doc = NLP.make_doc("fever " * 300 + "9x" * 49 + " aspirin" * 10)
    vectors = make_model(tiny_bert, window=window, overlap=2).predict([doc])[0]
    assert vectors.shape == (len(doc), 32)
    assert vectors.any(axis=1).all()


def test_batches_change_nothing(tiny_bert: Path) -> None:
    docs = [NLP.make_doc("fever " * n) for n in (1, 30, 100, 2, 77)]
    one, many = (
        make_model(tiny_bert, window=32, overlap=8, max_batch_pieces=size).predict(docs)
        for size in (1, 10_000)
    )
    for ours, theirs in zip(one, many, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_gradient_reaches_the_weights(tiny_bert: Path) -> None:
    """Gradient of the sum of all vectors, against autograd through the same transformer."""
    model, docs = make_model(tiny_bert), [NLP.make_doc(TEXT), NLP.make_doc("fever")]
    bert = model.shims[0]._model
    for module in bert.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    output, backprop = model.begin_update(docs)
    backprop([np.ones_like(vectors) for vectors in output])
    gradients = {k: p.grad.clone() for k, p in bert.named_parameters() if p.grad is not None}
    assert "embeddings.word_embeddings.weight" in gradients
    weight = bert.encoder.layer[1].output.dense.weight
    at, step = (3, 5), 1e-2
    sums = []
    for change in (step, -2 * step):
        weight.data[at] += change
        sums.append(sum(float(vectors.sum()) for vectors in model.predict(docs)))
    expected = (sums[0] - sums[1]) / (2 * step)
    got = float(gradients["encoder.layer.1.output.dense.weight"][at])
    assert got == pytest.approx(expected, rel=2e-2, abs=2e-3)


def trained(folder: Path) -> Language:
    fix_random_seed(0)
    nlp = spacy.blank("en")
    tok2vec = {"@architectures": "spacy-btl.TransformerModel.v1", "name": str(folder)}
    model = {"@architectures": "spacy-btl.TokenClassifier.v1", "tok2vec": tok2vec}
    nlp.add_pipe("btl_knn_ner", config={"model": model})
    optimizer = nlp.initialize(lambda: make_examples(nlp))
    optimizer.learn_rate = 0.01
    for _ in range(60):
        nlp.update(make_examples(nlp), sgd=optimizer)
    return nlp


def test_trains_saves_and_loads_without_pickle_or_its_source(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A saved pipeline needs neither the folder it started from nor anything but its own files."""
    source = tmp_path / "source"
    source.mkdir()
    for file in tiny_bert.iterdir():
        (source / file.name).write_bytes(file.read_bytes())
    nlp = trained(source)
    expected = [[(text[s:e], label) for s, e, label in ents] for text, ents in SENTENCES]
    assert [entities(nlp(text)) for text, _ in SENTENCES] == expected
    for file in source.iterdir():
        file.unlink()

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("pickle was used")

    for module, name in ((pickle, "loads"), (pickle, "load"), (pickle, "dumps"), (pickle, "dump")):
        monkeypatch.setattr(module, name, refuse)
    for name in ("load", "save"):
        monkeypatch.setattr(torch, name, refuse)
    nlp.to_disk(tmp_path / "model")
    loaded = spacy.load(tmp_path / "model")
    assert [entities(loaded(text)) for text, _ in SENTENCES] == expected


def test_leaves_nothing_of_the_encoder_on_a_document(tiny_bert: Path) -> None:
    """No encoder vectors stay with the documents (spacy-transformers keeps them as trf_data)."""
    doc = trained(tiny_bert)(TEXT)
    assert doc.user_data == {}
    assert doc.tensor.size == 0


def test_leaves_the_vectors_where_they_are_asked_for(tiny_bert: Path) -> None:
    model, doc = make_model(tiny_bert, keep_vectors=True), NLP.make_doc(TEXT)
    (vectors,) = model.predict([doc])
    np.testing.assert_array_equal(doc.tensor, vectors)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"precision": "float8"}, "precision is 'float8', but must be one of auto, float32"),
        ({"window": 0}, "window is 0, but must be a whole number, 1 or more"),
        ({"window": 64.0}, "window is 64.0, but must be a whole number"),
        ({"overlap": -1}, "overlap is -1, but must be a whole number, 0 or more"),
        ({"overlap": 8, "window": 8}, "overlap is 8, but must be below window, which is 8"),
        ({"overlap": 20, "window": 8}, "overlap is 20, but must be below window, which is 8"),
        ({"window": 16}, "overlap is 16, but must be below window"),  # that is the default
        ({"max_batch_pieces": 0}, "max_batch_pieces is 0, but must be a whole number, 1 or more"),
    ],
)
def test_settings_out_of_range(settings: dict[str, Any], message: str) -> None:
    """They are refused when the model is built, before any encoder is looked up."""
    with pytest.raises(ValueError, match=message):
        build_transformer_model("nobody/no-such-model", **settings)


def test_an_overlap_that_only_the_encoder_rules_out(tiny_bert: Path) -> None:
    """Its windows have 64 word pieces, two of them special tokens."""
    model = build_transformer_model(str(tiny_bert), window=128, overlap=62)
    with pytest.raises(ValueError, match=r"overlap is 62, but .* reads 62 word pieces at once"):
        model.initialize()
    model = build_transformer_model(str(tiny_bert), window=128, overlap=61)
    model.initialize()
    assert model.predict([NLP.make_doc("fever " * 70)])[0].any(axis=1).all()


def test_an_encoder_that_is_not_loaded() -> None:
    model = build_transformer_model("nobody/no-such-model")
    with pytest.raises(ValueError, match=r"is not loaded; call nlp\.initialize"):
        model.predict([NLP.make_doc(TEXT)])


def test_processes_of_a_pipeline_that_has_been_used(tiny_bert: Path) -> None:
    nlp = trained(tiny_bert)
    texts = [text for text, _ in SENTENCES] * 2
    expected = [entities(nlp(text)) for text in texts]
    assert [entities(doc) for doc in nlp.pipe(texts, n_process=2, batch_size=2)] == expected
