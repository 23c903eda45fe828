"""The head over any encoder, features beside one, and what the room offers."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import fix_random_seed, registry
from thinc.api import set_dropout_rate

import spacy_btl.ml
from spacy_btl.ml import build_token_classifier
from spacy_btl.ml.shared_encoder import encoder_of, features_of
from spacy_btl.ml.token_classifier import build_tok2vec_with_features
from spacy_btl.packaging.card_facts import pipeline_facts
from spacy_btl.packaging.saving import load_pipeline, save_pipeline
from spacy_btl.pipeline.component import component_of
from spacy_btl.training.optimizer import AdamByLayer
from tests.helpers.sentences import SENTENCES, entities, make_examples

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


# Features beside the encoder.


@pytest.mark.parametrize("depth", [0, 2])
def test_features_stand_behind_the_vectors_of_the_encoder(depth: int) -> None:
    alone = encoder()
    model = build_tok2vec_with_features(alone, width=4, rows=50, depth=depth)
    model.initialize(X=DOCS)
    both, vectors = model.predict(DOCS), alone.predict(DOCS)
    features = model.get_ref("features").predict(DOCS)
    assert [array.shape for array in both] == [(3, 12), (0, 12), (2, 12)]
    for one, parts in zip(both, zip(vectors, features, strict=True), strict=True):
        np.testing.assert_array_equal(one, np.hstack(parts))


def test_features_tell_case_and_numbers_but_not_words() -> None:
    model = build_tok2vec_with_features(encoder(), width=4, attrs=["SHAPE", "LIKE_NUM"], depth=0)
    doc = Doc(NLP.vocab, ["Fever", "Cough", "fever", "12.5", "30.1", "mg"])
    model.initialize(X=[doc])
    (rows,) = model.get_ref("features").predict([doc])
    same = (np.abs(rows[:, None] - rows).max(axis=2) < 1e-6).tolist()
    assert np.argwhere(np.triu(same, 1)).tolist() == [[0, 1], [3, 4]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 0}, "width is 0, but must be a whole number, 1 or more"),
        ({"rows": 0}, "rows is 0, but must be"),
        ({"window_size": 0}, "window_size is 0, but must be"),
        ({"depth": -1}, "depth is -1, but must be"),
        ({"attrs": []}, "attrs is empty"),
        ({"attrs": ["SHAPE", "FONT"]}, "attrs is 'FONT', but must be one of"),
    ],
)
def test_settings_of_features_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_tok2vec_with_features(encoder(), **settings)


def with_features(folder: Path, *, shared: bool = False, **settings: Any) -> Language:
    """Return a pipeline with features beside an encoder of its own, or beside a listener."""
    nlp = spacy.blank("en")
    tok2vec: dict[str, Any] = {
        "@architectures": "spacy-btl.TransformerModel.v1",
        "name": str(folder),
        "window": 32,
        "overlap": 4,
        **settings,
    }
    if shared:
        nlp.add_pipe("tok2vec", config={"model": tok2vec})
        tok2vec = {"@architectures": "spacy.Tok2VecListener.v1", "width": 32}
    both = {
        "@architectures": "spacy-btl.Tok2VecWithFeatures.v1",
        "tok2vec": tok2vec,
        "width": 8,
        "rows": 50,
    }
    model = {"@architectures": "spacy-btl.TokenClassifier.v1", "tok2vec": both}
    nlp.add_pipe("btl_knn_ner", config={"model": model, "neighbor_weight": 0.0})
    return nlp


def parameters(nlp: Language) -> dict[tuple[int, str], Any]:
    nodes = component_of(nlp).model.get_ref("tok2vec").get_ref("features").walk()
    return {
        (node.id, name): node.get_param(name).copy()
        for node in nodes
        for name in node.param_names
        if node.has_param(name)
    }


@pytest.mark.parametrize("shared", [False, True], ids=["own", "shared"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_features_train_and_are_saved(
    tiny_bert: Path, tmp_path: Path, precision: str, shared: bool
) -> None:
    fix_random_seed(0)
    nlp = with_features(tiny_bert, shared=shared, precision=precision)
    examples = make_examples(nlp)
    nlp.initialize(lambda: examples)
    before = parameters(nlp)
    optimizer = AdamByLayer(learn_rate=0.005)
    for _ in range(60):
        nlp.update(examples, sgd=optimizer)
    after = parameters(nlp)
    assert len(before) > 8 and before.keys() == after.keys()
    assert all((before[key] != after[key]).any() for key in before)
    gold = [[(text[s:e], label) for s, e, label in ents] for text, ents in SENTENCES]
    assert [entities(nlp(text)) for text, _ in SENTENCES] == gold
    pipe = component_of(nlp)
    assert encoder_of(nlp, pipe.model, pipe.name)[0].name == "btl_transformer"
    assert features_of(pipe.model) is pipe.model.get_ref("tok2vec").get_ref("features")

    pipe.set_key_kind("hidden")
    fitted = list(nlp.pipe([text for text, _ in SENTENCES]))
    pipe.fit_neighbors(
        [type(eg)(doc, eg.reference) for doc, eg in zip(fitted, examples, strict=True)]
    )
    assert pipe.neighbors.datastore is not None
    assert pipe.neighbors.datastore.keys.shape[1] == 32 + 8
    save_pipeline(nlp, tmp_path / "model")
    for other in (load_pipeline(tmp_path / "model"), nlp):
        assert [entities(other(text)) for text, _ in SENTENCES] == gold
    assert pipeline_facts(load_pipeline(tmp_path / "model"))["other_strings"] == 0


def test_features_learn_at_the_rate_of_the_head(tiny_bert: Path) -> None:
    """The first step of Adam is as long as the rate, whatever the gradient."""
    nlp = with_features(tiny_bert)
    examples = make_examples(nlp)
    nlp.initialize(lambda: examples)
    before = parameters(nlp)
    optimizer = AdamByLayer(learn_rate=0.001, head_factor=3.0, L2=0.0)
    nlp.update(examples, sgd=optimizer)
    steps = [np.abs(after - before[key]).max() for key, after in parameters(nlp).items()]
    np.testing.assert_allclose(steps, 0.003, rtol=0.05)


def test_a_copy_of_a_shared_encoder_takes_the_place_of_the_listener(tiny_bert: Path) -> None:
    fix_random_seed(0)
    nlp = with_features(tiny_bert, shared=True)
    nlp.initialize(lambda: make_examples(nlp))
    doc = nlp.make_doc("She took 7 mg of warfarin")
    expected = component_of(nlp).predict([nlp.get_pipe("tok2vec")(doc)])[0]
    nlp.replace_listeners("tok2vec", "btl_knn_ner", ["model.tok2vec.tok2vec"])
    nlp.remove_pipe("tok2vec")
    got = component_of(nlp).predict([nlp.make_doc(doc.text)])[0]
    np.testing.assert_allclose(got, expected, atol=1e-6)


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
