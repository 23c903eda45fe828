"""The saved state of a component."""

import json
from typing import Any

import pytest

from spacy_btl.labels.calibration import ScoreCalibration
from spacy_btl.pipeline.state import MODEL_ALONE, ComponentState, decision_text, readable

CURVE = ScoreCalibration(0.5, 1.25, 7, 3, {"Age": 0.1, "Sex": -0.2})
STATES = [
    ComponentState(),
    ComponentState(["Age", "Sex"], ["Mass"], 17),
    ComponentState(["Age"], [], 3, CURVE, "neighbor_weight 0.5"),
]


@pytest.mark.parametrize("state", STATES)
def test_state_survives_json(state: ComponentState) -> None:
    assert ComponentState.from_json(json.loads(json.dumps(state.to_json()))) == state


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": None}, "was not saved by this version"),
        ({"updates": "many"}, "many"),
        ({"calibration": {"slope": 1.0}}, "calibration of the scores lacks"),
        ({"added_labels": ["Age"]}, "a label appears twice"),
    ],
)
def test_damaged_state_is_refused(change: dict[str, Any], message: str) -> None:
    values = ComponentState(["Age"]).to_json()
    with pytest.raises(ValueError, match=message):
        ComponentState.from_json({**values, **change})


@pytest.mark.parametrize("missing", ["labels", "added_labels", "updates", "calibrated_for"])
def test_incomplete_state_is_refused(missing: str) -> None:
    values = ComponentState().to_json()
    del values[missing]
    with pytest.raises(ValueError, match=missing):
        ComponentState.from_json(values)


@pytest.mark.parametrize(
    ("calibration", "calibrated_for", "added", "needs"),
    [
        (None, "", [], False),
        (CURVE, MODEL_ALONE, [], False),
        (CURVE, MODEL_ALONE, ["Mass"], False),
        (CURVE, MODEL_ALONE, ["Sex"], True),  # only the neighbors know Sex
        (CURVE, "neighbor_weight 0.5", [], True),
    ],
)
def test_a_calibration_may_need_the_neighbors(
    calibration: ScoreCalibration | None, calibrated_for: str, added: list[str], needs: bool
) -> None:
    state = ComponentState(["Age"], added, 0, calibration, calibrated_for)
    assert state.calibration_needs_neighbors == needs


def test_decisions_ignore_the_last_digits() -> None:
    settings = {"neighbor_weight": 0.1 + 0.2, "votes": "uniform", "n_neighbors": 17}
    assert decision_text(settings) == "neighbor_weight 0.3, votes uniform, n_neighbors 17"
    assert decision_text(settings) == decision_text({**settings, "neighbor_weight": 0.3})


@pytest.mark.parametrize("data", ["", "{", "[1"])
def test_unreadable_data_is_named(data: str) -> None:
    with pytest.raises(ValueError, match="cfg cannot be read: it is damaged"):
        readable("cfg", json.loads, data)
