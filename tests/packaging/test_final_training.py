"""The training on train and dev: what it takes over, what it says of dev, what it refuses."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.training import Example

from spacy_btl.evaluation import cross_fitting
from spacy_btl.evaluation.cross_fitting import train_anew
from spacy_btl.evaluation.evaluate import TRAINED_ON_DEV, evaluate
from spacy_btl.evaluation.report import render_html, render_report
from spacy_btl.packaging.card_facts import pipeline_facts
from spacy_btl.packaging.ensembles import make_ensemble
from spacy_btl.packaging.final_training import train_final
from spacy_btl.packaging.saving import load_pipeline, save_pipeline
from spacy_btl.pipeline.component import component_of
from spacy_btl.pipeline.workflow import drop_neighbors, fit_knn
from tests.helpers.sentences import LABELS, make_examples

DEV = [
    ("He had fever", [(7, 12, "Sign_symptom")]),
    ("She took 5 mg of aspirin", [(9, 13, "Dosage"), (17, 24, "Medication")]),
    ("No fever", []),  # a trained model finds one
]


def parts(nlp: Language) -> tuple[list[Example], list[Example]]:
    """Return the sentences as train, and three of dev, one of them with a wrong entity."""
    train = make_examples(nlp)
    dev = [Example.from_dict(nlp.make_doc(text), {"entities": found}) for text, found in DEV]
    for i, example in enumerate([*train, *dev]):
        example.reference.user_data["name"] = f"case-{i}"
    return train, dev


@pytest.fixture(scope="module")
def trained() -> bytes:
    nlp = spacy.blank("en")
    nlp.add_pipe("btl_knn_ner", config={"neighbors": {"n_neighbors": 3}})
    return train_anew(nlp, parts(nlp)[0], steps=60, labels=LABELS, seed=1).to_bytes()


@pytest.fixture
def fitted(trained: bytes) -> Language:
    nlp = spacy.blank("en")
    nlp.add_pipe("btl_knn_ner", config={"neighbors": {"n_neighbors": 3}})
    nlp.from_bytes(trained)
    fit_knn(nlp, *parts(nlp))
    return nlp


def test_what_dev_has_chosen_is_taken_over(fitted: Language, tmp_path: Path) -> None:
    before = fitted.to_bytes()
    made = train_final(fitted, *parts(fitted))
    assert fitted.to_bytes() == before
    ours, theirs = component_of(made), component_of(fitted)
    assert ours.state.updates == theirs.state.updates == 61
    assert ours.label_data == theirs.label_data
    assert ours.decision == theirs.decision
    assert ours.calibration == theirs.calibration
    assert ours.calibration is not None
    assert ours.neighbors.datastore is not None
    assert set(ours.neighbors.datastore.documents) == {f"case-{i}" for i in range(7)}
    assert ours.fingerprint() != theirs.fingerprint()
    save_pipeline(made, tmp_path / "final")
    loaded = load_pipeline(tmp_path / "final")
    assert loaded.meta[TRAINED_ON_DEV] == 3
    assert not loaded.meta["performance"]
    doc = "He took 5 mg of aspirin daily"
    scores = [nlp(doc).spans["btl_knn_ner"].attrs["scores"] for nlp in (made, loaded)]
    np.testing.assert_allclose(*scores, atol=1e-6)


def test_both_parts_are_trained_on_along_the_same_schedule(
    fitted: Language, monkeypatch: pytest.MonkeyPatch
) -> None:
    optimizer = fitted.config["training"]["optimizer"]
    optimizer["learn_rate"] = {
        "@schedules": "warmup_linear.v1",
        "warmup_steps": 2,
        "total_steps": 99,
        "initial_rate": 0.001,
    }
    fitted.config["training"]["max_steps"] = 99
    passed: dict[str, Any] = {}

    def train(nlp: Language, examples: Any, settings: dict[str, Any], bar: Any) -> None:
        passed.update(settings, config=nlp.config, examples=examples)
        raise InterruptedError

    monkeypatch.setattr(cross_fitting, "_train", train)
    with pytest.raises(InterruptedError):
        train_final(fitted, *parts(fitted))
    assert len(passed["examples"]) == 7
    assert passed["max_steps"] == 60
    assert passed["config"]["training"]["optimizer"]["learn_rate"]["total_steps"] == 99


def test_a_pipeline_of_the_model_alone_stays_one(fitted: Language) -> None:
    drop_neighbors(fitted, parts(fitted)[1])
    made = component_of(train_final(fitted, *parts(fitted)))
    assert (made.has_neighbors, made.neighbor_weight) == (False, 0.0)
    assert made.calibration is not None


def test_report_and_card_say_so(fitted: Language) -> None:
    made = train_final(fitted, *parts(fitted))
    _, dev = parts(made)
    metrics = {**evaluate(made, dev), "train_counts": {}}
    assert metrics["trained_on"] == {"dev_documents": 3, "seen": 3}
    for text in (render_report(metrics), render_html(metrics)):
        assert "trained on dev too (3 documents)" in text
        assert "3 of the 3 evaluated documents are among its neighbors" in text
    assert pipeline_facts(made)["dev_documents"] == 3
    assert make_ensemble([fitted, made]).meta[TRAINED_ON_DEV] == 3
    dev_of_before = parts(fitted)[1]
    before = evaluate(fitted, dev_of_before)
    assert "trained_on" not in before
    assert "among its neighbors" not in render_report(before)
    assert "dev_documents" not in pipeline_facts(fitted)


def test_scores_stay_raw_where_dev_had_too_little_to_calibrate_on(trained: bytes) -> None:
    """All predicted entities of dev were correct, say; the settings are chosen all the same."""
    nlp = spacy.blank("en")
    nlp.add_pipe("btl_knn_ner", config={"neighbors": {"n_neighbors": 3}})
    nlp.from_bytes(trained)
    train, dev = parts(nlp)[0][:-1], make_examples(nlp)[-1:]  # one document of dev is too few
    choice = fit_knn(nlp, train, dev).choice
    assert choice is not None
    assert choice.calibrated is None
    made = train_final(nlp, train, dev)
    assert component_of(made).calibration is None
    assert component_of(made).neighbor_weight == component_of(nlp).neighbor_weight
    assert made.meta[TRAINED_ON_DEV] == 1


def _not_chosen(nlp: Language) -> None:
    component_of(nlp).forget_neighbors()


def _other_settings(nlp: Language) -> None:
    component_of(nlp).neighbor_weight = 0.123


def _new_type(nlp: Language) -> None:
    component_of(nlp).state.added_labels = ["Finding"]


def _began_with_another(nlp: Language) -> None:
    nlp.config["paths"]["start"] = None


def _trained_on_dev(nlp: Language) -> None:
    nlp.meta[TRAINED_ON_DEV] = 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_not_chosen, r"dev has not chosen yet: give .* fit-knn --dev"),
        (_other_settings, r"dev has not chosen yet"),
        (_new_type, r"only neighbors know Finding"),
        (_began_with_another, r"began with another one"),
        (_trained_on_dev, r"was trained on dev already"),
    ],
)
def test_refused(fitted: Language, change: Callable[[Language], None], message: str) -> None:
    change(fitted)
    with pytest.raises(ValueError, match=message):
        train_final(fitted, *parts(fitted))


def test_no_dev(fitted: Language) -> None:
    with pytest.raises(ValueError, match="there are no dev documents"):
        train_final(fitted, parts(fitted)[0], [])
