"""The part of a component that is learned or counted beside its weights, and saved as JSON."""

import json
from collections.abc import Callable, Collection, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from spacy.pipeline import Pipe

from ..labels.calibration import ScoreCalibration
from ..labels.config_keys import from_config_keys, to_config_keys

Data = TypeVar("Data", str, bytes, dict[str, bytes])
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
        calibration: Function from raw scores to probabilities; None for raw scores.
        calibrated_for: The settings that dev has chosen, and that the calibration was fitted with,
            as text (`BtlKnnNer.decision`). With any other settings it does not apply.
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
        """True if a change of the neighbors makes the calibration obsolete."""
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
                f"the state was not saved by this version of spacy-btl ({error}): train the "
                "component again, or load it with the version that it was saved with"
            ) from error
        if len(set(state.all_labels)) < len(state.all_labels):
            raise ValueError("a label appears twice in the state")
        return state


def checked_labels(labels: Sequence[str], seen: Collection[str], name: str) -> Sequence[str]:
    """Return the labels of a component.

    Args:
        labels: Those that it is to have.
        seen: Those of its training data.
        name: Its name.

    Raises:
        ValueError: If there are none, or the training data has others.
    """
    if not labels:
        raise ValueError(
            f'"{name}" has no labels: the training data contains no entity in doc.ents, and no '
            "labels were given. Check the data (python -m spacy btl convert writes doc.ents)"
        )
    if unknown := set(seen) - set(labels):
        raise ValueError(
            f'the training data of "{name}" has labels that were not given: '
            f"{', '.join(sorted(unknown))}"
        )
    return labels


def checked_thresholds(table: Mapping[str, float]) -> dict[str, float]:
    """Return a table of the configuration by label.

    Raises:
        ValueError: If a score is out of its range, or a label is there twice.
    """
    thresholds = from_config_keys(table)
    for label, least in thresholds.items():
        if not 0 <= least <= 1:
            raise ValueError(f"thresholds: {label} has {least}, which is not between 0 and 1")
    return thresholds


_NAME: Any = vars(Pipe)["name"]


class ComponentName:
    """The name of a component, at which its configuration in the pipeline is made fit for saving.

    spaCy stores what a component was made from after it was made, and sets the name when it has
    joined the pipeline. Labels that no config.cfg could have as keys are escaped then.
    """

    def __get__(self, pipe: Pipe, owner: type | None = None) -> str:
        """Return the name."""
        return str(_NAME.__get__(pipe))

    def __set__(self, pipe: Pipe, name: str) -> None:
        """Set the name and escape the labels in the configuration."""
        _NAME.__set__(pipe, name)
        nlp = pipe._pipeline() if hasattr(pipe, "_pipeline") else None  # not while it is made
        if nlp is not None:
            for key, each in nlp.components:
                if each is pipe:
                    _escape_keys(nlp.get_pipe_config(key))


def _escape_keys(block: MutableMapping[str, Any]) -> None:
    if isinstance(thresholds := block.get("thresholds"), dict):
        block["thresholds"] = to_config_keys(thresholds)
    weights = block.get("class_weights")
    if isinstance(weights, dict) and isinstance(weights.get("table"), dict):
        weights["table"] = to_config_keys(weights["table"])


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
    except Exception as error:  # whatever the readers of its parts find wrong with damaged bytes
        raise ValueError(
            f"{part} cannot be read: it is damaged or belongs to a different model "
            f"({type(error).__name__}: {error})"
        ) from error


def read_state(data: bytes) -> tuple[ComponentState, dict[str, Any]]:
    """Return the state of a component and that of its loss, from the JSON that was saved."""
    values = json.loads(data)
    return ComponentState.from_json(values), values["loss"]
