"""The settings of components as of now, in the configuration that is saved."""

import copy
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.language import Language

from spacy_btl.packaging.saving import save_pipeline
from spacy_btl.pipeline.component import component_of
from spacy_btl.pipeline.workflow import component_settings, current_config, store_settings

NAME = "btl_knn_ner"
CHANGED = {
    "keys": "hidden",
    "neighbor_weight": 0.25,
    "thresholds": {"Dosage": 0.5},
    "neighbors": {"n_neighbors": 3, "metric": "cosine", "votes": "softmax", "temperature": 0.3},
}


@pytest.fixture
def nlp(trained: bytes) -> Language:
    nlp = spacy.blank("en")
    nlp.add_pipe(NAME)
    return nlp.from_bytes(trained)


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let spaCy return a copy of the configuration of a component."""
    get = Language.get_pipe_config
    monkeypatch.setattr(Language, "get_pipe_config", lambda *names: copy.deepcopy(get(*names)))


def change(nlp: Language) -> None:
    pipe = component_of(nlp)
    pipe.set_key_kind("hidden")
    pipe.neighbor_weight, pipe.thresholds = 0.25, {"Dosage": 0.5}
    neighbors: Any = pipe.neighbors
    neighbors.n_neighbors, neighbors.metric = 3, "cosine"
    neighbors.votes, neighbors.temperature = "softmax", 0.3


def test_the_settings_that_can_change(nlp: Language) -> None:
    change(nlp)
    assert component_settings(component_of(nlp)) == CHANGED


def test_unchanged_ones_leave_the_configuration_as_it_is(nlp: Language) -> None:
    assert current_config(nlp) == nlp.config


def test_changed_ones_are_in_a_copy(nlp: Language) -> None:
    before = nlp.config.copy()
    change(nlp)
    block = current_config(nlp)["components"][NAME]
    expected = before["components"][NAME]
    expected = expected | CHANGED | {"neighbors": expected["neighbors"] | CHANGED["neighbors"]}
    assert block == expected
    assert nlp.config == before


@pytest.mark.parametrize("disabled", [False, True])
def test_they_are_saved(nlp: Language, tmp_path: Path, guarded: None, disabled: bool) -> None:
    """Also those of a component that is disabled."""
    change(nlp)
    if disabled:
        nlp.disable_pipe(NAME)
    save_pipeline(nlp, tmp_path / "model")
    again = spacy.load(tmp_path / "model")
    again.enable_pipe(NAME) if disabled else None
    assert component_settings(component_of(again)) == CHANGED


def test_what_is_stored_is_saved_by_spacy_too(nlp: Language, tmp_path: Path) -> None:
    change(nlp)
    store_settings(nlp)
    nlp.to_disk(tmp_path)
    assert component_settings(component_of(spacy.load(tmp_path))) == CHANGED


def test_a_spacy_that_does_not_store_them_is_reported(nlp: Language, guarded: None) -> None:
    store_settings(nlp)  # nothing has changed
    change(nlp)
    with pytest.warns(UserWarning, match=r"save the pipeline with spacy_btl.save_pipeline"):
        store_settings(nlp)


def test_variables_stay_where_they_are_right() -> None:
    config = {
        "nlp": {"lang": "en", "pipeline": [NAME]},
        "vars": {"k": 5, "weight": 0.5},
        "components": {
            NAME: {
                "factory": NAME,
                "neighbor_weight": "${vars.weight}",
                "neighbors": {
                    "@misc": "spacy-btl.KNearestNeighbors.v1",
                    "n_neighbors": "${vars.k}",
                },
            }
        },
    }
    nlp = spacy.util.load_model_from_config(config, auto_fill=True)
    neighbors: Any = component_of(nlp).neighbors
    assert neighbors.n_neighbors == 5
    neighbors.votes, component_of(nlp).neighbor_weight = "softmax", 0.75
    block = current_config(nlp)["components"][NAME]
    assert block["neighbors"]["n_neighbors"] == "${vars.k}"
    assert (block["neighbors"]["votes"], block["neighbor_weight"]) == ("softmax", 0.75)


def test_a_search_of_another_kind(nlp: Language, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings that its block does not name are not written into it."""
    pipe = component_of(nlp)
    monkeypatch.setattr(
        type(pipe.neighbors), "settings", property(lambda self: {"radius": 1.0, "votes": "softmax"})
    )
    block = current_config(nlp)["components"][NAME]["neighbors"]
    assert "radius" not in block
    assert block["votes"] == "softmax"
