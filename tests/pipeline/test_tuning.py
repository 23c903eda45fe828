"""Choices on dev: every setting is tried as the pipeline would use it."""

import warnings
from typing import Any, ClassVar

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.util import fix_random_seed

from spacy_btl.evaluation.evaluate import evaluate
from spacy_btl.pipeline.component import component_of
from spacy_btl.pipeline.tuning import (
    Dev,
    ScoredEntities,
    Setting,
    Trial,
    apply_setting,
    best,
    choose_on_dev,
    current_setting,
    grid,
)
from tests.helpers.dev import KINDS, dev_examples, too_little
from tests.helpers.sentences import SENTENCES, make_examples

CURRENT = Setting(17, "uniform", 1.0, 1.0)
ALONE = Setting(17, "uniform", 1.0, 0.0)


@pytest.fixture(scope="module")
def fitted() -> Language:
    """Return a half-trained pipeline, so that settings differ in what they find."""
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
    apply_setting(pipe, setting)
    for ours, theirs in zip(dev.probabilities(setting), pipe.predict(dev.docs), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    scores = evaluate(fitted, make_examples(fitted))["scores"]
    trial = dev.trial(setting)
    assert (trial.micro_f, trial.macro_f) == (scores["ents_f"], scores["ents_macro_f"])


def test_what_is_not_annotated_decides_nothing(fitted: Language) -> None:
    """Found entities that touch it are neither right nor wrong, as in the scores."""
    pipe, setting = component_of(fitted), Setting(1, "uniform", 1.0, 1.0)
    apply_setting(pipe, setting)
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


def test_the_component_decides_by_what_is_chosen(fitted: Language) -> None:
    pipe = component_of(fitted)
    apply_setting(pipe, CURRENT)
    choice = choose_on_dev(pipe, dev_examples(fitted))
    assert choice.chosen == best(choice.trials)
    assert choice.before.setting == CURRENT
    assert current_setting(pipe) == choice.chosen.setting
    assert pipe.calibration is not None


@pytest.mark.parametrize("fixed", [False, True])
def test_thresholds_stay(fitted: Language, fixed: bool) -> None:
    pipe, thresholds = component_of(fitted), {"Dosage": 0.5, "Medication": 0.75}
    apply_setting(pipe, CURRENT)
    pipe.thresholds = dict(thresholds)
    choice = choose_on_dev(pipe, make_examples(fitted), fixed=fixed)
    assert pipe.thresholds == thresholds
    pipe.thresholds = {}
    assert choose_on_dev(pipe, make_examples(fitted), fixed=True).chosen == choice.chosen


def test_neighbors_with_other_settings(fitted: Language, monkeypatch: pytest.MonkeyPatch) -> None:
    class Radius:
        """Neighbors within a distance, say."""

        settings: ClassVar[dict[str, Any]] = {"radius": 1.0, "votes": "uniform"}

    pipe = component_of(fitted)
    monkeypatch.setattr(pipe, "neighbors", Radius())
    with pytest.raises(ValueError, match=r"\(Radius\) have no setting n_neighbors, temperature"):
        choose_on_dev(pipe, make_examples(fitted), fixed=True)


@pytest.mark.parametrize("weight", [0.0, 0.5, 0.75])
def test_fixed_keeps_the_setting(fitted: Language, weight: float) -> None:
    pipe = component_of(fitted)
    setting = Setting(3, "softmax", 0.5, weight)
    apply_setting(pipe, setting)
    choice = choose_on_dev(pipe, make_examples(fitted), fixed=True)
    assert choice.before == choice.chosen == choice.trials[-1]
    assert current_setting(pipe) == choice.chosen.setting == setting
    expected = dict.fromkeys([setting._replace(neighbor_weight=0.0), setting])
    assert [trial.setting for trial in choice.trials] == list(expected)


def test_without_neighbors_the_model_alone_is_calibrated(fitted: Language) -> None:
    pipe, store = component_of(fitted), component_of(fitted).neighbors.datastore
    assert store is not None
    apply_setting(pipe, CURRENT)
    pipe.forget_neighbors()
    choice = choose_on_dev(pipe, make_examples(fitted))
    assert {trial.score for trial in choice.trials} == {choice.trials[0].score}
    assert (pipe.calibration is not None) == (choice.calibrated is not None)
    assert pipe.decision == "model alone"
    pipe.set_neighbors(store)


class TestTooLittleOnDev:
    """The neighbors are fitted all the same; the scores stay raw, which is reported."""

    @pytest.mark.parametrize("fixed", [False, True])
    @pytest.mark.parametrize(
        ("kind", "is_chosen"),
        [(kind, kind in ("one document", "one with entities", "all correct")) for kind in KINDS],
    )
    def test_scores_stay_raw(
        self, fitted: Language, kind: str, is_chosen: bool, fixed: bool
    ) -> None:
        pipe = component_of(fitted)
        current = CURRENT._replace(n_neighbors=1)
        apply_setting(pipe, current)
        choose_on_dev(pipe, dev_examples(fitted), fixed=True)
        assert pipe.calibration is not None
        choice = choose_on_dev(pipe, too_little(fitted, kind), fixed=fixed)
        assert pipe.calibration is None
        assert choice.calibrated is None
        assert not fixed or KINDS[kind] in choice.entities.why_raw
        assert choice.before.setting == current
        assert choice.chosen == (best(choice.trials) if is_chosen and not fixed else choice.before)
        doc = fitted("She had fever")
        assert not doc.spans["btl_knn_ner"].attrs["calibrated"].any()

    @pytest.mark.parametrize(
        ("n_correct", "n_wrong", "rough"),
        [
            (9, 9, "9 correct of 18 predicted"),
            (9, 50, "9 correct of 59 predicted"),
            (50, 1, "1 wrong of 51 predicted"),
            (10, 10, ""),
            (0, 5, ""),  # raw, which is reported
        ],
    )
    def test_a_rough_calibration_is_warned_of(
        self,
        fitted: Language,
        monkeypatch: pytest.MonkeyPatch,
        n_correct: int,
        n_wrong: int,
        rough: str,
    ) -> None:
        n = n_correct + n_wrong
        entities = ScoredEntities(
            np.linspace(0.2, 0.9, n),
            ["Dosage"] * n,
            np.ones(n, dtype=np.int64),
            np.arange(n) < n_correct,
            np.arange(n) % 3,
            np.zeros((n, 3)),
            {"Dosage": n},
        )
        monkeypatch.setattr(Dev, "scored", lambda *_: entities)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            choose_on_dev(component_of(fitted), make_examples(fitted), fixed=True)
        found = [str(each.message) for each in caught if "calibrated on only" in str(each.message)]
        assert len(found) == bool(rough)
        assert all(rough in each for each in found)

    def test_no_document(self, fitted: Language) -> None:
        with pytest.raises(ValueError, match="no dev documents"):
            choose_on_dev(component_of(fitted), [])


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
