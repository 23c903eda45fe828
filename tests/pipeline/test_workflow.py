"""Fit, explain and drop the neighbors of a pipeline from Python, as the commands do."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.language import Language
from spacy.training import Example

from spacy_btl.packaging.saving import load_pipeline, save_pipeline
from spacy_btl.pipeline.component import component_of
from spacy_btl.pipeline.tuning import current_setting
from spacy_btl.pipeline.workflow import (
    component_settings,
    drop_neighbors,
    explain_entities,
    fit_knn,
    round_weights,
)
from tests.helpers.dev import dev_examples
from tests.helpers.sentences import make_examples

NAME = "btl_knn_ner"


@pytest.fixture
def nlp(trained: bytes) -> Language:
    nlp = spacy.blank("en")
    nlp.add_pipe(NAME, config={"neighbors": {"n_neighbors": 1}})
    return nlp.from_bytes(trained)


def named_examples(nlp: Language) -> list[Example]:
    examples = make_examples(nlp)
    for i, example in enumerate(examples):
        example.reference.user_data["brat"] = {"name": f"case-{i}", "heading": "Made up"}
    return examples


class TestFitKnn:
    def test_without_dev_the_settings_stay(self, nlp: Language) -> None:
        before = component_settings(component_of(nlp))
        fitted = fit_knn(nlp, make_examples(nlp))
        assert (fitted.n_tokens, fitted.choice) == (18, None)
        assert component_of(nlp).has_neighbors
        assert component_of(nlp).calibration is None
        assert component_settings(component_of(nlp)) == before

    def test_dev_chooses_and_calibrates(self, nlp: Language, tmp_path: Path) -> None:
        fitted = fit_knn(nlp, make_examples(nlp), dev_examples(nlp))
        pipe = component_of(nlp)
        assert fitted.choice is not None
        assert len(fitted.choice.trials) > 50
        assert current_setting(pipe) == fitted.choice.chosen.setting
        assert pipe.calibration is not None
        save_pipeline(nlp, tmp_path / "model")
        again = component_of(load_pipeline(tmp_path / "model"))
        assert current_setting(again) == fitted.choice.chosen.setting
        assert again.calibration is not None

    @pytest.mark.parametrize("is_copied", [False, True])
    @pytest.mark.filterwarnings("ignore:this version of spaCy")
    def test_what_is_chosen_is_saved_whatever_spacy_returns(
        self, nlp: Language, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_copied: bool
    ) -> None:
        """That the configuration of a component is spaCy's own dict is nowhere documented."""
        if is_copied:
            get = Language.get_pipe_config
            monkeypatch.setattr(Language, "get_pipe_config", lambda *a: copy.deepcopy(get(*a)))
        pipe: Any = component_of(nlp)
        pipe.neighbors.n_neighbors, pipe.neighbors.votes = 40, "distance"
        fitted = fit_knn(nlp, make_examples(nlp), dev_examples(nlp), keys="hidden")
        assert fitted.choice is not None
        save_pipeline(nlp, tmp_path / "model")
        again = component_of(load_pipeline(tmp_path / "model"))
        assert current_setting(again) == fitted.choice.chosen.setting
        assert (again.keys, again.neighbors.datastore.key_kind) == ("hidden", "hidden")

    def test_fixed(self, nlp: Language) -> None:
        before = component_settings(component_of(nlp))
        fitted = fit_knn(nlp, make_examples(nlp), dev_examples(nlp), fixed=True)
        assert fitted.choice is not None
        assert len(fitted.choice.trials) == 2
        assert component_settings(component_of(nlp)) == before
        assert component_of(nlp).calibration is not None

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"fixed": True}, "fixed needs dev documents"),
            ({"dev": []}, "no dev documents"),
            ({"train": []}, "no documents to fit"),
            ({"keys": "logit"}, "keys is"),
            ({"keys": "hidden", "dropout": 2.0}, "dropout is 2.0"),
            ({"keys": "hidden", "passes": 0}, "passes is 0"),
        ],
    )
    def test_neighbors_stay_where_fitting_fails(
        self, nlp: Language, settings: dict[str, Any], message: str
    ) -> None:
        fit_knn(nlp, make_examples(nlp), dev_examples(nlp))
        before = component_of(nlp).to_bytes()
        with pytest.raises(ValueError, match=message):
            fit_knn(nlp, **({"train": make_examples(nlp)} | settings))
        assert component_of(nlp).to_bytes() == before
        assert component_of(nlp).keys == "logits"
        nlp("No fever")  # the neighbors are still those of the keys

    def test_a_search_with_other_settings_is_refused_before_the_work(
        self, nlp: Language, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fit_knn(nlp, make_examples(nlp))
        before = component_of(nlp).neighbors.datastore
        search = type(component_of(nlp).neighbors)
        monkeypatch.setattr(search, "settings", property(lambda self: {"radius": 1.0}))
        with pytest.raises(ValueError, match="have no setting n_neighbors"):
            fit_knn(nlp, make_examples(nlp)[:2], make_examples(nlp))
        assert component_of(nlp).neighbors.datastore is before

    def test_earlier_components_read_the_documents(self, nlp: Language) -> None:
        """A listener needs what the shared encoder before it makes of them."""
        seen: list[str] = []

        @Language.component("made_up_reader")
        def reader(doc: Any) -> Any:
            seen.append(doc.text)
            return doc

        nlp.add_pipe("made_up_reader", first=True)
        fit_knn(nlp, make_examples(nlp), dev_examples(nlp)[:2])
        assert len(seen) == 6


class TestDropNeighbors:
    def test_the_model_alone_decides(self, nlp: Language, tmp_path: Path) -> None:
        fit_knn(nlp, make_examples(nlp), dev_examples(nlp), fixed=True)
        assert component_of(nlp).calibration is not None
        assert drop_neighbors(nlp) is None
        save_pipeline(nlp, tmp_path / "model")
        for each in (nlp, load_pipeline(tmp_path / "model")):
            pipe = component_of(each)
            assert (pipe.has_neighbors, pipe.neighbor_weight) == (False, 0.0)
            assert pipe.calibration is None

    def test_dev_calibrates_its_scores(self, nlp: Language) -> None:
        fit_knn(nlp, make_examples(nlp))
        choice = drop_neighbors(nlp, dev_examples(nlp))
        assert choice is not None
        assert {trial.setting.neighbor_weight for trial in choice.trials} == {0.0}
        assert component_of(nlp).calibration is not None

    def test_neighbors_stay_where_dev_is_empty(self, nlp: Language) -> None:
        fit_knn(nlp, make_examples(nlp), dev_examples(nlp), fixed=True)
        before = component_of(nlp).to_bytes()
        with pytest.raises(ValueError, match="no dev documents"):
            drop_neighbors(nlp, [])
        assert component_of(nlp).to_bytes() == before
        assert component_of(nlp).neighbor_weight == 1.0

    def test_a_calibration_of_the_model_alone_stays(self, nlp: Language) -> None:
        component_of(nlp).neighbor_weight = 0.0
        fit_knn(nlp, make_examples(nlp), dev_examples(nlp), fixed=True)
        calibration = component_of(nlp).calibration
        drop_neighbors(nlp)
        assert component_of(nlp).calibration == calibration is not None


class TestExplainEntities:
    TEXT = "She took aspirin"

    @pytest.fixture
    def fitted(self, nlp: Language) -> Language:
        fit_knn(nlp, named_examples(nlp))
        return nlp

    def test_values(self, fitted: Language) -> None:
        explanation = explain_entities(fitted, self.TEXT)
        assert [entity.label for entity in explanation.entities] == ["Medication"]
        assert explanation.entities == component_of(fitted).explain(fitted(self.TEXT))
        assert (explanation.text, explanation.corpus) == (self.TEXT, None)
        again = explain_entities(fitted, fitted.make_doc(self.TEXT))
        assert again.entities == explanation.entities

    def test_with_a_corpus_its_sentences_are_shown(self, fitted: Language) -> None:
        docs = [example.reference for example in named_examples(fitted)]
        bare = explain_entities(fitted, self.TEXT)
        shown = explain_entities(fitted, self.TEXT, iter(docs))
        assert (bare.heading, shown.heading) == ("", "Made up")
        for explanation, is_shown in ((bare, False), (shown, True)):
            values = json.dumps(explanation.to_json(n_examples=2))
            for text in (explanation.to_text(), explanation.to_html("report"), values):
                assert "Medication" in text
                assert ("daily" in text) == is_shown
        assert "<title>report" in bare.to_html("report")

    def test_without_neighbors(self, nlp: Language) -> None:
        with pytest.raises(ValueError, match="no neighbors to explain"):
            explain_entities(nlp, self.TEXT)


class TestRoundWeights:
    @pytest.fixture
    def fitted(self, tiny_bert: Path) -> Language:
        nlp = spacy.blank("en")
        encoder = {"@architectures": "spacy-btl.TransformerModel.v1", "name": str(tiny_bert)}
        model = {"@architectures": "spacy-btl.TokenClassifier.v1", "tok2vec": encoder}
        nlp.add_pipe(NAME, config={"model": model, "neighbors": {"n_neighbors": 1}})
        nlp.initialize(lambda: make_examples(nlp))
        fit_knn(nlp, make_examples(nlp), dev_examples(nlp), fixed=True)
        return nlp

    def test_neighbors_are_dropped(self, fitted: Language) -> None:
        assert 0 < round_weights(fitted, "bfloat16") < 0.01
        assert not component_of(fitted).has_neighbors
        assert component_of(fitted).calibration is None
        assert round_weights(fitted, "bfloat16") == 0.0

    def test_neighbors_stay_where_it_is_refused(self, fitted: Language) -> None:
        precision: Any = "float8"
        with pytest.raises(ValueError, match="float16"):
            round_weights(fitted, precision)
        fitted("No fever")  # checks that the neighbors are those of the weights
        assert component_of(fitted).has_neighbors
