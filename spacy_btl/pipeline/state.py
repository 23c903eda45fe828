"""The part of a component that is learned or counted beside its weights, and saved as JSON."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..labels.calibration import ScoreCalibration

Data = TypeVar("Data", str, bytes)
Value = TypeVar("Value")

MODEL_ALONE = "model alone"
"""The decision in which no neighbor has a part."""


@dataclass
class ComponentState:
    """Labels, updates and calibration of a component.

    Attributes:
        labels: Entity types of the head, in the order of their columns.
        added_labels: Further types, which only the neighbors know.
        updates: Optimizer steps behind the weights.
        calibration: From raw scores to probabilities; None for raw scores.
        calibrated_for: The settings that the calibration was fitted with, as text
            (`BtlKnnNer.decision`). With any other settings it does not apply.
    """

    labels: list[str] = field(default_factory=list)
    added_labels: list[str] = field(default_factory=list)
    updates: int = 0
    calibration: ScoreCalibration | None = None
    calibrated_for: str = ""

    @property
    def all_labels(self) -> tuple[str, ...]:
        """The types of the head, then those that only the neighbors know."""
        return (*self.labels, *self.added_labels)

    @property
    def calibration_needs_neighbors(self) -> bool:
        """Whether a change of the neighbors makes the calibration obsolete."""
        if self.calibration is None:
            return False
        knows_added = not set(self.added_labels).isdisjoint(self.calibration.offsets)
        return self.calibrated_for != MODEL_ALONE or knows_added

    def to_json(self) -> dict[str, object]:
        """Return plain values, for `from_json`."""
        scores = None if self.calibration is None else self.calibration.to_json()
        return {
            "labels": self.labels,
            "added_labels": self.added_labels,
            "updates": self.updates,
            "calibration": scores,
            "calibrated_for": self.calibrated_for,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "ComponentState":
        """Return the state that `to_json` wrote.

        Raises:
            ValueError: If a value is missing or of another kind.
        """
        try:
            labels, added = values["labels"], values["added_labels"]
            updates, scores = values["updates"], values["calibration"]
            state = cls(
                labels=[str(label) for label in labels],
                added_labels=[str(label) for label in added],
                updates=int(updates),
                calibration=None if scores is None else ScoreCalibration.from_json(scores),
                calibrated_for=str(values["calibrated_for"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"the state is not one of this version of spacy-btl ({error}): train the "
                "component again, or load it with the version that it was saved with"
            ) from error
        if len(set(state.all_labels)) < len(state.all_labels):
            raise ValueError("the state has a label twice")
        return state


def decision_text(settings: Mapping[str, object]) -> str:
    """Return settings as text, to compare them with those of a calibration."""
    # Rounded, since not every reader and writer of a configuration keeps the last digits.
    return ", ".join(
        f"{name} {round(value, 9) if isinstance(value, float) else value}"
        for name, value in settings.items()
    )


def readable(part: str, read: Callable[[Data], Value], data: Data) -> Value:
    """Return the value that a reader makes of saved data.

    Raises:
        ValueError: If it cannot be read. The readers of spaCy, Thinc and torch meet damaged data
            with many kinds of errors.
    """
    try:
        return read(data)
    except Exception as error:
        raise ValueError(
            f"{part} cannot be read: it is damaged, or belongs to another model "
            f"({type(error).__name__}: {error})"
        ) from error


def read_state(data: bytes) -> tuple[ComponentState, dict[str, Any]]:
    """Return the state of a component and that of its loss, from the JSON that was saved."""
    values = json.loads(data)
    return ComponentState.from_json(values), values["loss"]
