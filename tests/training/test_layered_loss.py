"""The loss over overlapping entities, against the flat one and against a literal sum of copies."""

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from spacy_btl.labels.bio import MISSING
from spacy_btl.training.binary_token_labels import BinaryTokenLabels
from spacy_btl.training.class_weights import ClassWeights
from spacy_btl.training.losses import AllTokenLabels

N, TYPES = 9, 4
SETTINGS = list(
    product(("outside", "mask"), ("skip", "keep"), ("weights", "mean", "sum"), (False, True))
)


def make_loss(others: str, absent: str, reduction: Any, weighted: bool) -> BinaryTokenLabels:
    loss = BinaryTokenLabels(
        other_classes=others,  # type: ignore[arg-type]
        absent_classes=absent,  # type: ignore[arg-type]
        reduction=reduction,
        softmax="pair",
    )
    if weighted:
        loss.class_weights = np.linspace(0.3, 1.4, 1 + 2 * TYPES).astype("float32")
    return loss


def to_layers(labels: np.ndarray) -> np.ndarray:
    """Layers of flat labels."""
    layers = np.zeros((len(labels), TYPES), dtype=np.int64)
    for i, label in enumerate(labels):
        if label == MISSING:
            layers[i] = MISSING
        elif label:
            layers[i, (label - 1) // 2] = 2 - label % 2
    return layers


def literal(logits: np.ndarray, layers: np.ndarray, loss: BinaryTokenLabels) -> Any:
    """The sum over real copies, by autograd in double precision."""
    x = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    weights = loss.class_weights if loss.class_weights is not None else np.ones(logits.shape[1])
    total = torch.zeros((), dtype=torch.float64)
    for kind in range(TYPES):
        rows = [
            n
            for n in range(len(layers))
            if layers[n, kind] != MISSING
            and not (loss.other_classes == "mask" and layers[n, kind] == 0 and layers[n].max() > 0)
        ]
        present = bool((layers[:, kind] > 0).any())
        if not rows or not (present or loss.absent_classes == "keep"):
            continue
        columns = [0, 1 + 2 * kind, 2 + 2 * kind]
        targets = torch.tensor([int(layers[n, kind]) for n in rows])
        w = torch.tensor(weights[columns], dtype=torch.float64)[targets]
        losses = w * torch.nn.functional.cross_entropy(
            x[rows][:, columns], targets, reduction="none"
        )
        divisor = {"weights": w.sum(), "mean": len(rows), "sum": 1}[loss.reduction]
        total = total + losses.sum() / divisor
    if total.requires_grad:
        total.backward()
    gradient = np.zeros_like(logits) if x.grad is None else x.grad.numpy()
    return gradient, float(total.detach())


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("seed", range(4))
def test_equals_the_sum_of_real_copies(settings: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    loss = make_loss(*settings)
    logits = rng.normal(size=(N, 1 + 2 * TYPES)).astype("float32") * 3
    layers = rng.choice([MISSING, 0, 0, 0, 1, 2], size=(N, TYPES))
    layers[:, 3] = 0  # a type that is absent
    for ours, theirs in zip(loss(logits, layers), literal(logits, layers, loss), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("settings", SETTINGS)
def test_without_overlap_it_is_the_flat_loss(settings: Any) -> None:
    rng = np.random.default_rng(7)
    loss = make_loss(*settings)
    logits = rng.normal(size=(N, 1 + 2 * TYPES)).astype("float32")
    labels = rng.integers(MISSING, 1 + 2 * TYPES, size=N)
    layered, flat = loss(logits, to_layers(labels)), loss(logits, labels)
    np.testing.assert_allclose(layered[0], flat[0], atol=1e-6)
    assert layered[1] == pytest.approx(flat[1], rel=1e-5)


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_hard_cases_stay_finite(scale: float) -> None:
    loss = make_loss("outside", "keep", "weights", True)
    logits = np.full((3, 1 + 2 * TYPES), scale, dtype="float32")
    logits[:, ::2] *= -1
    for layers in (np.zeros((3, TYPES), int), np.full((3, TYPES), MISSING), np.full((3, TYPES), 2)):
        gradient, value = loss(logits, layers)
        assert gradient.dtype == np.float32
        assert np.isfinite(gradient).all()
        assert np.isfinite(value)
    empty = loss(np.zeros((0, 1 + 2 * TYPES), "float32"), np.zeros((0, TYPES), int))
    assert (empty[0].shape, empty[1]) == ((0, 1 + 2 * TYPES), 0.0)


def test_layer_probabilities_are_the_softmax_beside_outside() -> None:
    logits = np.array([[0.0, np.log(2), np.log(3), 0.0, 0.0]], dtype="float32")
    expected = [[[1 / 6, 2 / 6, 3 / 6], [1 / 3, 1 / 3, 1 / 3]]]
    ours = BinaryTokenLabels(softmax="pair").layer_probabilities(logits)
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("loss", "layers", "match"),
    [
        (BinaryTokenLabels(softmax="all"), np.zeros((2, 2), int), "need softmax"),
        (BinaryTokenLabels(), np.zeros((3, 2), int), "do not fit"),
        (BinaryTokenLabels(), np.zeros((2, 3), int), "do not fit"),
        (BinaryTokenLabels(), np.full((2, 2), 3), "between -1 and 2"),
    ],
)
def test_what_does_not_fit_is_refused(loss: Any, layers: np.ndarray, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        loss(np.zeros((2, 5), "float32"), layers)


def test_weights_counted_anew_are_refused() -> None:
    loss = BinaryTokenLabels()
    loss.weighting = ClassWeights(counted_on="batch")
    with pytest.raises(ValueError, match='counted on "training"'):
        loss(np.zeros((2, 5), "float32"), np.zeros((2, 2), int))
    assert not hasattr(AllTokenLabels(), "has_layers")
