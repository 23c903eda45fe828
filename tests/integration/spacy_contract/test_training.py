"""Training in other people's pipelines: labels, tokens that differ, frozen, rehearsed, resumed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.util import fix_random_seed, load_model_from_config
from thinc.api import Config

from spacy_btl.pipeline.component import BtlKnnNer, component_of
from tests.helpers.sentences import LABELS, SENTENCES, entities, make_examples

NAME = "btl_knn_ner"
TEXTS = [text for text, _ in SENTENCES]
GOLD = [[(text[s:e], label) for s, e, label in ents] for text, ents in SENTENCES]


@pytest.fixture
def nlp(trained: bytes) -> Language:
    fix_random_seed(0)
    nlp = spacy.blank("en")
    nlp.add_pipe(NAME, config={"neighbors": {"n_neighbors": 1}})
    return nlp.from_bytes(trained)


def logits(nlp: Language) -> Any:
    return component_of(nlp).token_vectors([nlp.make_doc(text) for text in TEXTS])[0]


def test_documents_without_annotation_teach_nothing(nlp: Language) -> None:
    unknown = [Example.from_dict(nlp.make_doc(text), {}) for text in TEXTS]
    assert nlp.update(unknown, sgd=None) == {NAME: 0.0}
    docs = [example.predicted for example in unknown]
    loss, gradient = component_of(nlp).get_loss(unknown, component_of(nlp).model.predict(docs))
    assert loss == 0
    assert not any(each.any() for each in gradient)


class TestFrozen:
    def test_excluded_from_an_update_keeps_weights_and_neighbors(self, nlp: Language) -> None:
        pipe, before = component_of(nlp), logits(nlp)
        pipe.fit_neighbors(make_examples(nlp))
        nlp.update(make_examples(nlp), sgd=nlp.create_optimizer(), exclude=[NAME])
        np.testing.assert_array_equal(logits(nlp), before)
        assert pipe.has_neighbors
        assert pipe.state.updates == 60

    @pytest.mark.parametrize("exclude", [[], [NAME]])
    def test_annotates_for_those_behind(self, nlp: Language, exclude: list[str]) -> None:
        seen: list[Any] = []

        class Behind:
            def __call__(self, doc: Doc) -> Doc:
                return doc

            def update(self, examples: list[Example], **settings: Any) -> None:
                seen.extend(entities(example.predicted) for example in examples)

        Language.component("btl_test_behind", func=Behind())
        nlp.add_pipe("btl_test_behind")
        nlp.update(make_examples(nlp), sgd=None, exclude=exclude, annotates=[NAME])
        assert seen == GOLD

    def test_select_pipes(self, nlp: Language) -> None:
        with nlp.select_pipes(disable=[NAME]):
            assert entities(nlp(TEXTS[0])) == []
        with nlp.select_pipes(enable=NAME):
            assert entities(nlp(TEXTS[0])) == GOLD[0]
        assert entities(nlp(TEXTS[0])) == GOLD[0]


class TestRehearsal:
    """After ``resume_training``, rehearsal brings the logits back to what they were then."""

    @pytest.fixture
    def resumed(self, nlp: Language) -> tuple[Language, Any, Any]:
        optimizer, before = nlp.resume_training(), logits(nlp)
        doc = nlp.make_doc("He took warfarin daily")
        other = Example.from_dict(doc, {"entities": [(8, 16, "Sign_symptom")]})
        for _ in range(20):
            nlp.update([other], sgd=optimizer)
        return nlp, optimizer, before

    @pytest.mark.parametrize("through", ["pipeline", "component"])
    def test_brings_back(self, resumed: tuple[Language, Any, Any], through: str) -> None:
        nlp, optimizer, before = resumed
        away = float(np.square(logits(nlp) - before).sum())
        rehearse: Callable[..., dict[str, float]] = (
            nlp.rehearse if through == "pipeline" else component_of(nlp).rehearse
        )
        unlabeled = [Example.from_dict(nlp.make_doc(text), {}) for text in TEXTS]
        losses = [rehearse(unlabeled, sgd=optimizer)[NAME] for _ in range(30)]
        assert losses[0] == pytest.approx(away / (2 * len(before)))
        assert np.square(logits(nlp) - before).sum() < 0.02 * away
        assert [entities(nlp(text)) for text in TEXTS] == GOLD

    def test_moves_the_encoder_through_the_pipeline_too(
        self, resumed: tuple[Language, Any, Any]
    ) -> None:
        nlp = resumed[0]
        layers = component_of(nlp).model.get_ref("tok2vec").walk()
        layer = next(layer for layer in layers if layer.name == "maxout")
        before = layer.get_param("W").copy()
        nlp.rehearse(make_examples(nlp), sgd=nlp.create_optimizer())
        # Adam's first step has the length of the learning rate; the decay of weights is far less.
        change = np.abs(layer.get_param("W") - before)
        assert float(change.mean()) == pytest.approx(0.001, rel=0.1)

    @pytest.mark.parametrize("through", ["pipeline", "component"])
    def test_leaves_no_gradient(self, resumed: tuple[Language, Any, Any], through: str) -> None:
        """Each step is taken along the gradient of its own batch, not along the sum of all."""
        nlp, optimizer, _ = resumed
        rehearse: Any = nlp.rehearse if through == "pipeline" else component_of(nlp).rehearse
        rehearse(make_examples(nlp), sgd=optimizer)
        layers = list(component_of(nlp).model.walk())
        left = [layer.get_grad(name) for layer in layers for name in layer.grad_names]
        assert len(left) > 10
        assert [gradient for gradient in left if gradient.any()] == []

    def test_of_a_pretrained_encoder(self, tiny_bert: Path) -> None:
        """The copy that is kept stays as it was."""
        encoder = {"@architectures": "spacy-btl.TransformerModel.v1", "name": str(tiny_bert)}
        model = {"@architectures": "spacy-btl.TokenClassifier.v1", "tok2vec": encoder}
        nlp = spacy.blank("en")
        nlp.add_pipe(NAME, config={"model": model})
        nlp.initialize(lambda: make_examples(nlp))
        optimizer, before = nlp.resume_training(), logits(nlp)
        nlp.update(make_examples(nlp), sgd=optimizer)
        kept: Any = component_of(nlp)._rehearsal_model
        docs = [nlp.make_doc(text) for text in TEXTS]
        np.testing.assert_array_equal(np.concatenate(kept.predict(docs)), before)
        assert nlp.rehearse(make_examples(nlp), sgd=optimizer)[NAME] > 0

    def test_without_resuming_nothing_happens(self, nlp: Language) -> None:
        before = logits(nlp)
        assert nlp.rehearse(make_examples(nlp), sgd=nlp.create_optimizer()) == {}
        np.testing.assert_array_equal(logits(nlp), before)

    def test_drops_the_neighbors(self, nlp: Language) -> None:
        component_of(nlp).fit_neighbors(make_examples(nlp))
        optimizer = nlp.resume_training()
        assert component_of(nlp).has_neighbors
        with pytest.warns(UserWarning, match="run fit-knn again"):
            nlp.rehearse(make_examples(nlp), sgd=optimizer)
        assert not component_of(nlp).has_neighbors

    def test_of_empty_documents(self, nlp: Language) -> None:
        optimizer = nlp.resume_training()
        assert nlp.rehearse([Example.from_dict(nlp.make_doc(""), {})], sgd=optimizer) == {}


class TestResumed:
    def test_from_a_saved_pipeline(self, nlp: Language, tmp_path: Path) -> None:
        """``source`` in a config: neither labels nor weights start anew."""
        component_of(nlp).fit_neighbors(make_examples(nlp))
        nlp.to_disk(tmp_path / "model")
        again = spacy.load(tmp_path / "model")
        config = Config(again.config)
        config["components"] = {NAME: {"source": str(tmp_path / "model")}}
        config["corpora"] = {"train": {"@readers": "spacy.Corpus.v1", "path": str(tmp_path / "t")}}
        config["corpora"]["dev"] = config["corpora"]["train"]
        DocBin(docs=[eg.reference for eg in make_examples(nlp)]).to_disk(tmp_path / "t")
        resumed = init_nlp(config)
        pipe = component_of(resumed)
        assert (pipe.labels, pipe.state.updates, pipe.has_neighbors) == (LABELS, 60, True)
        np.testing.assert_array_equal(logits(resumed), logits(nlp))
        optimizer = resumed.resume_training()
        with pytest.warns(UserWarning, match="run fit-knn again"):
            assert resumed.update(make_examples(resumed), sgd=optimizer)[NAME] < 0.1
        assert pipe.state.updates == 61
        assert [entities(resumed(text)) for text in TEXTS] == GOLD

    def test_new_labels_in_the_data_are_refused_with_the_way_to_do_it(self, nlp: Language) -> None:
        """A fresh start takes them."""
        doc = nlp.make_doc("Mass")
        new = Example.from_dict(doc, {"entities": [(0, 4, "Mass")]})
        with pytest.raises(ValueError, match=r"call add_label .* spacy-btl.add_labels.v1"):
            nlp.update([new])
        with pytest.raises(ValueError, match="labels that were not given: Mass"):
            nlp.initialize(lambda: [*make_examples(nlp), new])
        fresh = load_model_from_config(nlp.config, auto_fill=True)
        fresh.initialize(lambda: [*make_examples(fresh), new])
        assert component_of(fresh).labels == (*LABELS[:1], "Mass", *LABELS[1:])


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"keys": "hidden", "neighbor_weight": 0.3, "thresholds": {"Dosage": 0.25}},
        {"class_weights": None, "scores_key": None, "scorer": None},
        {"spans_key": "sc", "neighbors": {"metric": "cosine", "votes": "softmax"}},
    ],
)
def test_config_round_trip(settings: dict[str, Any]) -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe(NAME, name="mine", config=settings)
    config = Config().from_str(nlp.config.to_str())
    again = load_model_from_config(config, auto_fill=False)
    assert again.config["components"] == config["components"]
    assert (
        again.config["components"]["mine"].items()
        >= {k: v for k, v in settings.items() if k != "neighbors"}.items()
    )
    pipe, copy = component_of(nlp), component_of(again)
    assert isinstance(copy, BtlKnnNer)
    for name in ("keys", "neighbor_weight", "thresholds", "scores_key", "spans_key", "decision"):
        assert getattr(copy, name) == getattr(pipe, name)
    assert copy.neighbors.settings == pipe.neighbors.settings
    assert copy.name == "mine"
