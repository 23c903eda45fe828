"""Rehearsal on a model that is small enough to follow by hand."""

from typing import Any

import numpy as np
import pytest
from thinc.api import Linear, Model, with_array

from spacy_btl.training.rehearsal import rehearse

DOCS = [np.array([[1.0, 0.0], [0.0, 2.0]], "f"), np.array([[1.0, 1.0]], "f")]
OFF = np.array([[0.5, 0.0], [0.0, 0.5]], "f")  # of the model's weights from those remembered


def linear(weights: np.ndarray) -> Model[Any, Any]:
    model = with_array(Linear(2, 2))
    model.initialize(X=DOCS, Y=DOCS)
    model.layers[0].set_param("W", weights)
    model.layers[0].set_param("b", np.zeros(2, "f"))
    return model


@pytest.fixture
def models() -> tuple[Model[Any, Any], Model[Any, Any]]:
    return linear(np.eye(2, dtype="f") + OFF), linear(np.eye(2, dtype="f"))


def test_loss_is_half_the_mean_squared_distance(models: Any) -> None:
    distance = np.concatenate(DOCS) @ OFF.T
    expected = (distance**2).sum() / 2 / len(distance)
    assert rehearse(*models, DOCS, dropout=0.0, sgd=None) == pytest.approx(expected)


def test_gradient_is_that_of_the_loss(models: Any) -> None:
    handed: dict[Any, np.ndarray] = {}
    model, frozen = models

    def sgd(key: Any, weights: np.ndarray, gradient: np.ndarray) -> Any:
        handed[weights.shape] = gradient
        return weights, gradient

    loss = rehearse(model, frozen, DOCS, dropout=0.0, sgd=sgd)
    step = 1e-2
    weights = model.layers[0].get_param("W").copy()
    for at in np.ndindex(weights.shape):
        moved = weights.copy()
        moved[at] += step
        model.layers[0].set_param("W", moved)
        slope = (
            rehearse(model, frozen, DOCS, dropout=0.0, sgd=lambda k, w, g: (w, g)) - loss
        ) / step
        assert handed[2, 2][at] == pytest.approx(slope, abs=2e-2)


def test_steps_do_not_add_up(models: Any) -> None:
    """Each step hands over a gradient of its own, though nobody sets the model's to 0."""
    handed = []
    for _ in range(2):
        rehearse(*models, DOCS, dropout=0.0, sgd=lambda k, w, g: handed.append(g) or (w, g))
    np.testing.assert_array_equal(handed[0], handed[2])
    np.testing.assert_array_equal(handed[1], handed[3])


def test_repeated_steps_remember(models: Any) -> None:
    model, frozen = models
    losses = [
        rehearse(model, frozen, DOCS, dropout=0.0, sgd=lambda k, w, g: (w.__isub__(0.2 * g), g))
        for _ in range(30)
    ]
    assert losses[0] > losses[1] > losses[-1]
    assert losses[-1] < 0.05 * losses[0]
