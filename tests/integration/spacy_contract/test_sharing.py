"""Encoders shared with other components, components brought over from other pipelines."""

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.training import Example
from spacy.util import fix_random_seed

from spacy_btl.evaluation.cross_fitting import cross_predict
from spacy_btl.pipeline.component import component_of
from spacy_btl.pipeline.fitting import examples_for
from tests.helpers.sentences import SENTENCES, entities, make_examples

NAME = "btl_knn_ner"
TEXTS = [text for text, _ in SENTENCES]
GOLD = [[(text[s:e], label) for s, e, label in ents] for text, ents in SENTENCES]

CNN = {"width": 32, "depth": 1, "embed_size": 200, "window_size": 1, "maxout_pieces": 2}
CNN |= {"subword_features": True, "pretrained_vectors": None}
SPANS = {"@span_getters": "spacy-transformers.strided_spans.v1", "window": 32, "stride": 24}
KINDS = ["tok2vec", "transformer"]


def shared(kind: str, bert: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return configuration of a component with an encoder, and of a layer that listens to it."""
    if kind == "tok2vec":
        return (
            {"@architectures": "spacy.HashEmbedCNN.v2", **CNN},
            {"@architectures": "spacy.Tok2VecListener.v1", "width": 32},
        )
    return (
        {
            "@architectures": "spacy-transformers.TransformerModel.v3",
            "name": str(bert),
            "get_spans": SPANS,
        },
        {
            "@architectures": "spacy-transformers.TransformerListener.v1",
            "grad_factor": 1.0,
            "pooling": {"@layers": "reduce_mean.v1"},
        },
    )


def train(kind: str, bert: Path, keys: str = "logits", seed: int = 0) -> Language:
    """Return a trained pipeline of an encoder and a component that listens to it."""
    fix_random_seed(seed)
    nlp = spacy.blank("en")
    encoder, listener = shared(kind, bert)
    nlp.add_pipe(kind, config={"model": encoder})
    model = {"@architectures": "spacy-btl.TokenClassifier.v1", "tok2vec": listener}
    nlp.add_pipe(NAME, config={"model": model, "keys": keys, "neighbors": {"n_neighbors": 1}})
    optimizer = nlp.initialize(lambda: make_examples(nlp))
    if kind == "transformer":
        optimizer.learn_rate = 0.01
    for _ in range(60):
        nlp.update(make_examples(nlp), sgd=optimizer)
    return nlp


@pytest.fixture(scope="module", params=[(k, keys) for k in KINDS for keys in ("logits", "hidden")])
def saved(
    request: pytest.FixtureRequest, tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return a trained pipeline with neighbors."""
    kind, keys = request.param
    nlp = train(kind, tiny_bert, keys)
    assert found(nlp) == GOLD
    fit(nlp)
    path = tmp_path_factory.mktemp("saved")
    nlp.to_disk(path)
    return path


def fit(nlp: Language) -> None:
    pipe = component_of(nlp)
    assert pipe.fit_neighbors(examples_for(nlp, pipe, make_examples(nlp))) == 18


def found(nlp: Language) -> list[list[tuple[str, str]]]:
    return [entities(doc) for doc in nlp.pipe(TEXTS, batch_size=3)]


def votes(nlp: Language) -> Any:
    """Label probabilities of the neighbors, which are those of the training tokens alone."""
    docs = [eg.predicted for eg in examples_for(nlp, component_of(nlp), make_examples(nlp))]
    return np.concatenate(component_of(nlp).predict(docs))


def reloaded(nlp: Language, folder: Path) -> Language:
    nlp.to_disk(folder)
    return spacy.load(folder)


def train_others(nlp: Language) -> None:
    """Change the weights of the encoder, as when another component is trained with it."""
    for node in nlp.get_pipe(nlp.pipe_names[0]).model.walk():  # type: ignore[attr-defined]
        for name in node.param_names:
            node.set_param(name, node.get_param(name) + 0.01)
        for shim in node.shims:
            for parameter in shim._model.parameters():
                parameter.data += 0.01


class TestSharedEncoder:
    def test_neighbors_are_saved_and_asked(self, saved: Path) -> None:
        nlp = spacy.load(saved)
        assert found(nlp) == GOLD
        assert set(np.unique(votes(nlp))) == {0.0, 1.0}
        assert [entities(doc) for doc in nlp.pipe(["", "  ", TEXTS[2], ""])] == [
            [],
            [],
            GOLD[2],
            [],
        ]
        pipe = component_of(nlp)
        evidence = pipe.explain(nlp(TEXTS[1]))
        assert [each.tokens[0].neighbors[0].label for each in evidence] == ["B-Sign_symptom"] * 2

    def test_a_document_that_the_encoder_has_not_read(self, saved: Path) -> None:
        """spaCy's own components see zeros, and find what zeros give."""
        nlp = spacy.load(saved)
        match = f'"{NAME}" takes the token vectors of a shared encoder .* not read this document'
        with pytest.raises(ValueError, match=match):
            component_of(nlp).fit_neighbors(make_examples(nlp))
        with nlp.select_pipes(enable=NAME), pytest.raises(ValueError, match=match):
            nlp(TEXTS[0])

    def test_no_keys_under_dropout(self, saved: Path) -> None:
        nlp = spacy.load(saved)
        examples = examples_for(nlp, component_of(nlp), make_examples(nlp))
        with pytest.raises(ValueError, match=r"without dropout, or after nlp.replace_listeners"):
            component_of(nlp).fit_neighbors(examples, dropout=0.1)

    def test_neighbors_of_an_encoder_trained_since(self, saved: Path, tmp_path: Path) -> None:
        nlp = spacy.load(saved)
        train_others(nlp)
        other = reloaded(nlp, tmp_path)
        with pytest.raises(ValueError, match="fitted on other weights"):
            other(TEXTS[0])
        fit(other)
        assert set(np.unique(votes(other))) == {0.0, 1.0}

    def test_editing(self, saved: Path) -> None:
        nlp = spacy.load(saved)
        text = "forty years"
        new = Example.from_dict(nlp.make_doc(text), {"entities": [(0, 11, "Age")]})
        new.reference.user_data["name"] = "new"
        pipe = component_of(nlp)
        assert pipe.add_examples(examples_for(nlp, pipe, [new])).added == 2
        assert entities(nlp(text)) == [(text, "Age")]
        assert pipe.remove_documents(["new"]) == 2

    def test_is_not_rehearsed(self, saved: Path) -> None:
        nlp = spacy.load(saved)
        optimizer = nlp.resume_training()
        with pytest.raises(
            ValueError, match="cannot be rehearsed on the token vectors of a shared"
        ):
            nlp.rehearse(make_examples(nlp), sgd=optimizer)
        assert nlp.rehearse(make_examples(nlp), sgd=optimizer, exclude=[NAME]) == {}
        nlp.replace_listeners(nlp.pipe_names[0], NAME, ["model.tok2vec"])
        with pytest.warns(UserWarning, match="run fit-knn again"):
            optimizer = nlp.resume_training()
            assert nlp.rehearse(make_examples(nlp), sgd=optimizer).keys() == {NAME}

    def test_n_process(self, saved: Path) -> None:
        nlp = spacy.load(saved)
        docs = nlp.pipe(TEXTS, n_process=2, batch_size=2)
        assert [entities(doc) for doc in docs] == GOLD


class TestReplaceListeners:
    def test_keeps_the_neighbors(self, saved: Path, tmp_path: Path) -> None:
        nlp = spacy.load(saved)
        nlp.replace_listeners(nlp.pipe_names[0], NAME, ["model.tok2vec"])
        component_of(nlp).check_neighbors()
        np.testing.assert_array_equal(votes(nlp), votes(spacy.load(saved)))
        nlp.remove_pipe(nlp.pipe_names[0])
        alone = reloaded(nlp, tmp_path)
        assert alone.pipe_names == [NAME]
        assert found(alone) == GOLD

    def test_makes_it_independent(self, saved: Path, tmp_path: Path) -> None:
        nlp = spacy.load(saved)
        nlp.replace_listeners(nlp.pipe_names[0], NAME, ["model.tok2vec"])
        train_others(nlp)
        assert found(reloaded(nlp, tmp_path)) == GOLD

    def test_keys_under_dropout(self, saved: Path) -> None:
        nlp = spacy.load(saved)
        nlp.replace_listeners(nlp.pipe_names[0], NAME, ["model.tok2vec"])
        assert component_of(nlp).fit_neighbors(make_examples(nlp), dropout=0.1, passes=2) == 36


class TestSourced:
    """``nlp.add_pipe(..., source=...)``; spaCy hands over the component itself, not a copy."""

    def test_with_its_encoder(self, saved: Path, tmp_path: Path) -> None:
        nlp, source = spacy.blank("en"), spacy.load(saved)
        for name in source.pipe_names:
            nlp.add_pipe(name, source=source)
        assert found(nlp) == found(reloaded(nlp, tmp_path)) == GOLD
        assert "Sign_symptom" in nlp.vocab.strings

    def test_without_its_encoder(self, saved: Path, tmp_path: Path) -> None:
        nlp = spacy.blank("en")
        nlp.add_pipe(NAME, source=spacy.load(saved))
        with pytest.raises(ValueError, match="which has not read this document"):
            nlp(TEXTS[0])
        alone = reloaded(nlp, tmp_path)
        with pytest.raises(ValueError, match=r"the pipeline does not have; bring it along"):
            component_of(alone).check_neighbors()

    def test_to_another_encoder_of_the_same_kind(
        self, saved: Path, tmp_path: Path, tiny_bert: Path
    ) -> None:
        source = spacy.load(saved)
        nlp = train(source.pipe_names[0], tiny_bert, component_of(source).keys, seed=1)
        nlp.remove_pipe(NAME)
        nlp.add_pipe(NAME, source=source)
        del source
        gc.collect()
        assert component_of(nlp).fingerprint() is None  # its pipeline is gone: nothing to look at
        with pytest.raises(ValueError, match="fitted on other weights"):
            reloaded(nlp, tmp_path)(TEXTS[0])
        with pytest.raises(ValueError, match="whose pipeline is gone"):
            docs = [nlp(text) for text in ("No fever", "Fever")]
            component_of(nlp).fit_neighbors([Example(doc, doc.copy()) for doc in docs])
        fit(nlp)
        assert set(np.unique(votes(reloaded(nlp, tmp_path)))) == {0.0, 1.0}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "change",
    [
        lambda nlp: None,
        lambda nlp: nlp.replace_listeners(nlp.pipe_names[0], NAME, ["model.tok2vec"]),
    ],
    ids=["shared", "replaced"],
)
def test_fingerprint_of_a_pipeline(
    kind: str, change: Callable[[Language], None], tiny_bert: Path
) -> None:
    """A copy of the encoder gives what the shared one gives; a change of either shows."""
    fix_random_seed(0)
    nlp = spacy.blank("en")
    encoder, listener = shared(kind, tiny_bert)
    nlp.add_pipe(kind, config={"model": encoder})
    model = {"@architectures": "spacy-btl.TokenClassifier.v1", "tok2vec": listener}
    pipe: Any = nlp.add_pipe(NAME, config={"model": model})
    nlp.initialize(lambda: make_examples(nlp))
    first = pipe.fingerprint()
    change(nlp)
    assert pipe.fingerprint() == first
    listens = nlp.get_pipe(kind).listeners != []  # type: ignore[attr-defined]
    train_others(nlp)
    assert (pipe.fingerprint() == first) is not listens


def test_each_fold_predicts_with_its_own_shared_encoder(tiny_bert: Path) -> None:
    nlp = train("tok2vec", tiny_bert)
    before = nlp.to_bytes()
    predictions = cross_predict(nlp, make_examples(nlp), n_folds=2, max_steps=2)
    assert [prediction.doc.text for prediction in predictions] == TEXTS
    values = np.concatenate([prediction.probabilities for prediction in predictions])
    words = {token.norm_ for text in TEXTS for token in nlp.make_doc(text)}
    assert len(np.unique(values, axis=0)) >= len(words)
    assert nlp.to_bytes() == before


@pytest.mark.parametrize("kind", KINDS)
def test_frozen_encoder_that_annotates(kind: str, tiny_bert: Path) -> None:
    """The component alone is trained further on an encoder that stays as it is."""
    trained = train(kind, tiny_bert)
    nlp = spacy.blank("en")
    for name in trained.pipe_names:
        nlp.add_pipe(name, source=trained)
    nlp = load_anew(nlp)
    encoder: Any = nlp.get_pipe(kind)
    weights, optimizer = encoder.model.to_bytes(), nlp.resume_training()
    before = component_of(nlp).model.get_ref("output_layer").get_param("W").copy()
    nlp.update(make_examples(nlp), sgd=optimizer, exclude=[kind], annotates=[kind])
    assert encoder.model.to_bytes() == weights
    assert (component_of(nlp).model.get_ref("output_layer").get_param("W") != before).any()


def load_anew(nlp: Language) -> Language:
    return spacy.util.load_model_from_config(nlp.config, auto_fill=True).from_bytes(nlp.to_bytes())
