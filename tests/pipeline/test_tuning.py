"""What dev decides: every setting is tried as the pipeline would decide by it."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.training import Example
from spacy.util import fix_random_seed

from spacy_btl.evaluation.dev_choice import choose_on_dev, render_choice, write_choice
from spacy_btl.evaluation.evaluate import evaluate
from spacy_btl.pipeline.component import component_of
from spacy_btl.pipeline.tuning import Dev, Setting, Trial, apply_setting, best, grid
from tests.helpers.sentences import SENTENCES, make_examples

CURRENT = Setting(17, "uniform", 1.0, 1.0)
ALONE = Setting(17, "uniform", 1.0, 0.0)


@pytest.fixture(scope="module")
def fitted() -> Language:
    """Half trained, so that settings differ in what they find."""
    fix_random_seed(0)
    nlp = spacy.blank("en")
    nlp.add_pipe("btl_knn_ner")
    examples = make_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(12):
        nlp.update(examples, sgd=optimizer)
    component_of(nlp).fit_neighbors(examples)
    return nlp


@pytest.mark.parametrize("setting", [ALONE, *grid(CURRENT)[1::7]], ids=str)
def test_a_trial_is_what_the_pipeline_does(fitted: Language, setting: Setting) -> None:
    pipe, examples = component_of(fitted), make_examples(fitted)
    dev = Dev(pipe, examples, most=65)
    apply_setting(pipe, {"neighbors": {}}, setting)
    for ours, theirs in zip(dev.probabilities(setting), pipe.predict(dev.docs), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    scores = evaluate(fitted, make_examples(fitted))["scores"]
    trial = dev.trial(setting)
    assert (trial.micro_f, trial.macro_f) == (scores["ents_f"], scores["ents_macro_f"])


def test_what_is_not_annotated_decides_nothing(fitted: Language) -> None:
    """Found entities that touch it are neither right nor wrong, as in the scores."""
    pipe, setting = component_of(fitted), Setting(1, "uniform", 1.0, 1.0)
    apply_setting(pipe, {"neighbors": {}}, setting)
    examples = make_examples(fitted)
    whole = Dev(pipe, examples, most=1).scored(setting)
    examples[1].reference.set_ents([], default="missing")
    part = Dev(pipe, examples, most=1)
    rest = whole.documents != 1
    assert 0 < rest.sum() < len(rest)
    np.testing.assert_array_equal(part.scored(setting).scores, whole.scores[rest])
    np.testing.assert_array_equal(part.scored(setting).documents, whole.documents[rest])
    micro_f = part.trial(setting).micro_f
    scores = evaluate(fitted, examples)["scores"]
    assert (micro_f, scores["ents_p"]) == (scores["ents_f"], 1.0)


def test_the_grid() -> None:
    settings = grid(CURRENT)
    assert settings[:2] == [ALONE, CURRENT]
    assert len(settings) == len(set(settings)) == 1 + 6 * 4 * 4 + 4
    odd = Setting(4, "distance", 1.0, 0.4)
    assert grid(odd)[:2] == [odd._replace(neighbor_weight=0.0), odd]
    assert set(grid(odd)[2:]) == set(settings[1:])


@pytest.mark.parametrize(
    ("figures", "chosen"),
    [
        ([(0.5, 0.5), (0.6, 0.5), (0.5, 0.4)], 1),
        ([(0.5, 0.5), (0.4, 0.6), (0.6, 0.4)], 0),  # of equal ones the first
        ([(0.1, 0.0)], 0),
    ],
)
def test_the_best_by_the_mean_of_both(figures: list[tuple[float, float]], chosen: int) -> None:
    trials = [Trial(CURRENT._replace(n_neighbors=i), *f) for i, f in enumerate(figures)]
    assert best(trials) is trials[chosen]


def test_what_is_chosen_stands_in_the_configuration(fitted: Language) -> None:
    pipe = component_of(fitted)
    apply_setting(pipe, {"neighbors": {}}, CURRENT)
    config: dict[str, Any] = {"neighbors": {"@misc": "spacy-btl.KNearestNeighbors.v1"}}
    choice = choose_on_dev(pipe, config, make_examples(fitted), thresholds=0.5)
    assert choice.chosen == best(choice.trials)
    assert (
        Setting(
            config["neighbors"]["n_neighbors"],
            config["neighbors"]["votes"],
            config["neighbors"]["temperature"],
            config["neighbor_weight"],
        )
        == choice.chosen.setting
    )
    assert config["thresholds"] == pipe.thresholds == choice.thresholds
    assert pipe.calibration is not None
    table = render_choice(choice)
    assert f"{choice.chosen.score:.3f} | chosen |" in table
    assert table.count("(model alone)") == 1


@pytest.mark.parametrize("fixed", [False, True])
def test_thresholds_of_before(fitted: Language, fixed: bool) -> None:
    """Those by hand are not taken for choices of dev, and give way to new settings only."""
    pipe = component_of(fitted)
    apply_setting(pipe, {"neighbors": {}}, CURRENT)
    pipe.thresholds = {"Dosage": 0.5, "Medication": 0.75}
    choose_on_dev(pipe, {"neighbors": {}}, make_examples(fitted), fixed=fixed)
    assert pipe.thresholds == ({"Dosage": 0.5, "Medication": 0.75} if fixed else {})
    pipe.thresholds = {}


def test_neighbors_with_other_settings(fitted: Language, monkeypatch: pytest.MonkeyPatch) -> None:
    class Radius:
        """Neighbours within a distance, say."""

        settings: ClassVar[dict[str, Any]] = {"radius": 1.0, "votes": "uniform"}

    pipe = component_of(fitted)
    monkeypatch.setattr(pipe, "neighbors", Radius())
    with pytest.raises(ValueError, match=r"\(Radius\) have no setting n_neighbors, temperature"):
        choose_on_dev(pipe, {"neighbors": {}}, make_examples(fitted), fixed=True)


def test_fixed_keeps_the_setting(fitted: Language) -> None:
    pipe = component_of(fitted)
    setting = Setting(3, "softmax", 0.5, 0.75)
    apply_setting(pipe, {"neighbors": {}}, setting)
    pipe.thresholds = {}
    choice = choose_on_dev(pipe, {"neighbors": {}}, make_examples(fitted), fixed=True)
    assert choice.chosen.setting == setting
    assert [trial.setting for trial in choice.trials] == [
        setting._replace(neighbor_weight=0.0),
        setting,
    ]
    assert choice.thresholds == {}


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_fixed_keeps_whatever_the_weight_and_the_thresholds(
    fitted: Language, weight: float
) -> None:
    pipe = component_of(fitted)
    setting = Setting(3, "softmax", 0.5, weight)
    config: dict[str, Any] = {"neighbors": {}}
    apply_setting(pipe, config, setting)
    pipe.thresholds = {"Dosage": 0.125}
    choice = choose_on_dev(pipe, config, make_examples(fitted), fixed=True)
    assert choice.before == choice.chosen == choice.trials[-1]
    assert choice.chosen.setting == setting
    assert config["neighbor_weight"] == pipe.neighbor_weight == weight
    assert config["thresholds"] == pipe.thresholds == {"Dosage": 0.125}
    assert render_choice(choice).count("(as before)") == 1
    pipe.thresholds = {}


def test_without_neighbors_the_model_alone_is_calibrated(fitted: Language) -> None:
    pipe, store = component_of(fitted), component_of(fitted).neighbors.datastore
    assert store is not None
    config: dict[str, Any] = {"neighbors": {}}
    apply_setting(pipe, config, CURRENT)
    pipe.forget_neighbors()
    choice = choose_on_dev(pipe, config, make_examples(fitted))
    assert {trial.score for trial in choice.trials} == {choice.trials[0].score}
    assert (pipe.calibration is not None) == (choice.held_out is not None)
    assert pipe.decision == "model alone"
    pipe.set_neighbors(store)


class TestTooLittleOnDev:
    """The neighbours are fitted all the same; the scores stay raw, which is told."""

    @staticmethod
    def examples(nlp: Language, kind: str) -> list[Example]:
        if kind == "one document":
            return make_examples(nlp)[:1]
        if kind == "one with entities":
            empty = [Example(nlp.make_doc(text), nlp.make_doc(text)) for text in ("", " ", "")]
            return [*empty, make_examples(nlp)[1]]
        if kind == "no prediction":
            return [Example.from_dict(nlp.make_doc(""), {"entities": []}) for _ in range(2)]
        return [Example(eg.predicted, nlp.make_doc(eg.text)) for eg in make_examples(nlp)]

    @pytest.mark.parametrize("fixed", [False, True])
    @pytest.mark.parametrize(
        ("kind", "is_tried"),
        [
            ("one document", True),
            ("one with entities", True),
            ("no prediction", False),
            ("no gold", False),
        ],
    )
    def test_scores_stay_raw(
        self, fitted: Language, tmp_path: Path, kind: str, is_tried: bool, fixed: bool
    ) -> None:
        pipe = component_of(fitted)
        config: dict[str, Any] = {"neighbors": {}}
        current = CURRENT._replace(n_neighbors=1)
        apply_setting(pipe, config, current)
        choose_on_dev(pipe, config, make_examples(fitted), fixed=True)
        assert pipe.calibration is not None
        (tmp_path / "reliability.png").write_text("of another run", encoding="utf8")
        choice = choose_on_dev(
            pipe, config, self.examples(fitted, kind), fixed=fixed, thresholds="f1"
        )
        assert pipe.calibration is None
        assert choice.held_out is None
        assert choice.thresholds == pipe.thresholds == {}
        assert choice.before.setting == current
        assert choice.chosen == (best(choice.trials) if is_tried and not fixed else choice.before)
        assert "not calibrated" in render_choice(choice)
        write_choice(choice, tmp_path)
        assert sorted(file.name for file in tmp_path.iterdir()) == ["dev.json", "dev.md"]
        doc = fitted("She had fever")
        assert not doc.spans["btl_knn_ner"].attrs["calibrated"].any()

    def test_no_document(self, fitted: Language) -> None:
        with pytest.raises(ValueError, match="no document on dev"):
            choose_on_dev(component_of(fitted), {"neighbors": {}}, [])


def test_correct_means_label_and_all_bounds(fitted: Language) -> None:
    dev = Dev(component_of(fitted), make_examples(fitted), most=1)
    entities = dev.scored(CURRENT._replace(n_neighbors=1))
    gold = {
        (i, text[s:e], label) for i, (text, ents) in enumerate(SENTENCES) for s, e, label in ents
    }
    assert sum(entities.n_gold.values()) == len(gold) == 6
    told = [
        (i, span.text, span.label_) in gold
        for i, found in enumerate(dev.find(CURRENT._replace(n_neighbors=1)))
        for span in found.spans
    ]
    assert entities.correct.tolist() == told
    assert len(entities.scores) == len(entities.types) == len(entities.documents) == len(told)
