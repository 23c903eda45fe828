"""What dev decides: every setting is tried as the pipeline would decide by it."""

from typing import Any

import numpy as np
import pytest
import spacy
from conftest import SENTENCES, make_examples
from spacy.language import Language
from spacy.util import fix_random_seed

from spacy_btl.component import component_of
from spacy_btl.dev_choice import choose_on_dev, render_choice
from spacy_btl.evaluation import evaluate
from spacy_btl.tuning import Dev, Setting, Trial, apply_setting, best, grid

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


def test_fixed_keeps_the_setting(fitted: Language) -> None:
    pipe = component_of(fitted)
    setting = Setting(3, "softmax", 0.5, 0.75)
    apply_setting(pipe, {"neighbors": {}}, setting)
    choice = choose_on_dev(pipe, {"neighbors": {}}, make_examples(fitted), fixed=True)
    assert choice.chosen.setting == setting
    assert [trial.setting for trial in choice.trials] == [
        setting._replace(neighbor_weight=0.0),
        setting,
    ]
    assert choice.thresholds == {}


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
