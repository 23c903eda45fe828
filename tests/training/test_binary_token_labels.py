"""The default loss in one pass, beside copies that are really made, one after the other."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_btl.labels.bio import MISSING
from spacy_btl.training import binary_token_labels
from spacy_btl.training.binary_token_labels import BinaryTokenLabels
from spacy_btl.training.class_weights import ClassWeights
from spacy_btl.training.paper import PaperBinaryTokenLabels
from tests.helpers.losses import (
    DEFAULT,
    HAND_MADE,
    REDUCTIONS,
    TILT,
    WEIGHTS,
    Q,
    assert_literal,
    assert_literal_in_a_large_batch,
    batches,
    literal,
    make_weighting,
    plain_weights,
    read_at_optimum,
    tilted_by_pair,
)

every_reduction = pytest.mark.parametrize("reduction", REDUCTIONS)


def setting_of(reduction: str) -> dict[str, str]:
    return {**DEFAULT, "reduction": reduction}


# One label for each token.


@every_reduction
@settings(max_examples=50, deadline=None)
@given(batch=batches())
def test_one_pass_equals_the_copies(reduction, batch):
    assert_literal(BinaryTokenLabels(reduction=reduction), setting_of(reduction), *batch)


@every_reduction
@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
def test_one_pass_equals_the_copies_by_hand(reduction, weights):
    for labels in HAND_MADE.values():
        logits = np.random.default_rng(0).normal(size=(len(labels), 5)) * 2
        loss = BinaryTokenLabels(reduction=reduction)
        assert_literal(loss, setting_of(reduction), logits, labels, weights)


@every_reduction
@pytest.mark.parametrize("weighted", [False, True])
def test_one_pass_equals_the_copies_in_a_large_batch(reduction, weighted):
    loss = BinaryTokenLabels(reduction=reduction)
    assert_literal_in_a_large_batch(loss, setting_of(reduction), weighted)


@pytest.mark.parametrize("scheme", ["complement", "inverse_frequency", "effective_number"])
@pytest.mark.parametrize("counted_on", ["training", "batch"])
@every_reduction
def test_one_pass_equals_the_copies_for_counted_weights(reduction, counted_on, scheme):
    in_training = [0] * 7 + [1, 2, 2, 3]
    for labels in HAND_MADE.values():
        logits = np.random.default_rng(0).normal(size=(len(labels), 5)).astype(np.float32)
        loss = BinaryTokenLabels(reduction=reduction)
        loss.weighting = make_weighting(scheme, counted_on)
        loss.prepare(np.bincount(in_training, minlength=5), list("OABCD"))
        counted = in_training if counted_on == "training" else labels
        weights = np.array(plain_weights(scheme, counted, 5))
        d_expected, expected = literal(logits, labels, weights, setting_of(reduction))
        gradient, value = loss(logits, np.array(labels, dtype=np.int64))
        assert value == pytest.approx(expected, rel=1e-5, abs=1e-5)
        assert gradient == pytest.approx(d_expected, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("size", [1, 5, 11, 14, 10**6])
@every_reduction
def test_blocks_change_nothing(reduction, size, monkeypatch):
    """However few rows are worked on at a time, down to one and whatever is left for the last."""
    labels = np.array([0, 1, 2, 3, 4, 0, 0])
    logits = np.random.default_rng(8).normal(size=(7, 5))
    d_expected, expected = literal(logits, labels.tolist(), None, setting_of(reduction))
    monkeypatch.setattr(binary_token_labels, "BLOCK", size)
    gradient, value = BinaryTokenLabels(reduction=reduction)(logits, labels)
    assert value == pytest.approx(expected)
    assert gradient == pytest.approx(d_expected)


@every_reduction
@pytest.mark.parametrize("weights", [None, 2 * np.ones(5), TILT], ids=["unit", "equal", "tilt"])
def test_probabilities_are_recovered(reduction, weights):
    p = read_at_optimum(BinaryTokenLabels(reduction=reduction), Q, weights)
    is_equal = weights is None or len(set(weights)) == 1
    assert p == pytest.approx(Q if is_equal else tilted_by_pair(Q, weights), abs=2e-4)


def test_columns_must_be_those_of_bio():
    with pytest.raises(ValueError, match=r"a BIO head has 1 \+ 2 \* n_types columns, not 4"):
        BinaryTokenLabels()(np.zeros((2, 4), np.float32), np.array([0, 1]))


@pytest.mark.parametrize("option", ["softmax", "other_classes", "scheme", "copies_from"])
def test_readings_of_the_paper_are_not_its_settings(option):
    with pytest.raises(TypeError, match=option):
        BinaryTokenLabels(**{option: "all"})


# A layer for each type.

N, TYPES = 9, 4
LAYER_SETTINGS = [(r, weighted) for r in REDUCTIONS for weighted in (False, True)]


def make_loss(reduction: Any, weighted: bool) -> BinaryTokenLabels:
    loss = BinaryTokenLabels(reduction=reduction)
    if weighted:
        loss.class_weights = np.linspace(0.3, 1.4, 1 + 2 * TYPES).astype("float32")
    return loss


def to_layers(labels: np.ndarray) -> np.ndarray:
    """Return layers of flat labels."""
    layers = np.zeros((len(labels), TYPES), dtype=np.int64)
    for i, label in enumerate(labels):
        if label == MISSING:
            layers[i] = MISSING
        elif label:
            layers[i, (label - 1) // 2] = 2 - label % 2
    return layers


def literal_layers(logits: np.ndarray, layers: np.ndarray, loss: BinaryTokenLabels) -> Any:
    """Return the sum over real copies, by autograd in double precision."""
    x = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    weights = loss.class_weights if loss.class_weights is not None else np.ones(logits.shape[1])
    total = torch.zeros((), dtype=torch.float64)
    for kind in range(TYPES):
        rows = np.flatnonzero(layers[:, kind] != MISSING)
        if not (layers[:, kind] > 0).any():
            continue
        columns = [0, 1 + 2 * kind, 2 + 2 * kind]
        targets = torch.tensor(layers[rows, kind])
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


@pytest.mark.parametrize("setting", LAYER_SETTINGS)
@pytest.mark.parametrize("seed", range(8))
def test_layers_equal_the_sum_of_real_copies(setting: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    loss = make_loss(*setting)
    logits = rng.normal(size=(N, 1 + 2 * TYPES)).astype("float32") * 3
    layers = rng.choice([MISSING, 0, 0, 0, 1, 2], size=(N, TYPES))
    layers[:, 3] = 0  # a type that is absent
    expected = literal_layers(logits, layers, loss)
    for ours, theirs in zip(loss(logits, layers), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("size", [1, 20, 10**6])
def test_blocks_of_layers_change_nothing(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binary_token_labels, "BLOCK", size)
    test_layers_equal_the_sum_of_real_copies(("weights", True), 0)


@pytest.mark.parametrize("setting", LAYER_SETTINGS)
def test_without_overlap_layers_are_the_flat_loss(setting: Any) -> None:
    rng = np.random.default_rng(7)
    loss = make_loss(*setting)
    logits = rng.normal(size=(N, 1 + 2 * TYPES)).astype("float32")
    labels = rng.integers(MISSING, 1 + 2 * TYPES, size=N)
    layered, flat = loss(logits, to_layers(labels)), loss(logits, labels)
    np.testing.assert_allclose(layered[0], flat[0], atol=1e-6)
    assert layered[1] == pytest.approx(flat[1], rel=1e-5)


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_hard_cases_of_layers_stay_finite(scale: float) -> None:
    loss = make_loss("weights", True)
    logits = np.full((3, 1 + 2 * TYPES), scale, dtype="float32")
    logits[:, ::2] *= -1
    for layers in (np.zeros((3, TYPES), int), np.full((3, TYPES), MISSING), np.full((3, TYPES), 2)):
        gradient, value = loss(logits, layers)
        assert gradient.dtype == np.float32
        assert np.isfinite(gradient).all()
        assert np.isfinite(value)
    probabilities = loss.layer_probabilities(logits)
    assert probabilities.sum(axis=2) == pytest.approx(1, abs=1e-6)
    empty = loss(np.zeros((0, 1 + 2 * TYPES), "float32"), np.zeros((0, TYPES), int))
    assert (empty[0].shape, empty[1]) == ((0, 1 + 2 * TYPES), 0.0)


def test_layer_probabilities_are_the_softmax_beside_outside() -> None:
    logits = np.array([[0.0, np.log(2), np.log(3), 0.0, 0.0]], dtype="float32")
    expected = [[[1 / 6, 2 / 6, 3 / 6], [1 / 3, 1 / 3, 1 / 3]]]
    ours = BinaryTokenLabels().layer_probabilities(logits)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("loss", "layers", "match"),
    [
        (PaperBinaryTokenLabels(), np.zeros((2, 2), int), "do not match"),
        (BinaryTokenLabels(), np.zeros((3, 2), int), "do not match"),
        (BinaryTokenLabels(), np.zeros((2, 3), int), "do not match"),
        (BinaryTokenLabels(), np.full((2, 2), 3), "between -1 and 2"),
    ],
)
def test_layers_that_do_not_fit(loss: Any, layers: np.ndarray, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        loss(np.zeros((2, 5), "float32"), layers)


def test_layers_refuse_weights_counted_on_batches() -> None:
    loss = BinaryTokenLabels()
    loss.weighting = ClassWeights(counted_on="batch")
    with pytest.raises(ValueError, match='counted on "training"'):
        loss(np.zeros((2, 5), "float32"), np.zeros((2, 2), int))


@pytest.mark.parametrize("as_layers", [False, True])
def test_gpu_arrays_give_the_same(as_layers: bool) -> None:
    cupy = pytest.importorskip("cupy")
    if not cupy.is_available():
        pytest.skip("no GPU")
    logits = np.random.default_rng(7).normal(size=(9, 1 + 2 * TYPES)).astype(np.float32)
    labels = np.array([0, 1, 2, 3, MISSING, 0, 4, 0, 1])
    gold = to_layers(labels) if as_layers else labels
    loss = make_loss("weights", True)
    gradient, value = loss(cupy.asarray(logits), cupy.asarray(gold))
    d_expected, expected = loss(logits, gold)
    assert value == pytest.approx(expected, rel=1e-5)
    assert gradient.get() == pytest.approx(d_expected, abs=1e-6)
    assert loss(cupy.asarray(logits[:0]), cupy.asarray(gold[:0]))[1] == 0
    layers = loss.layer_probabilities(cupy.asarray(logits)).get()
    assert layers == pytest.approx(loss.layer_probabilities(logits), abs=1e-6)


@given(st.integers(0, 10**6))
def test_tau_0_reads_as_the_paper_class_with_its_setting(seed: int) -> None:
    logits = np.random.default_rng(seed).normal(size=(5, 9)).astype(np.float32) * 4
    paper = PaperBinaryTokenLabels(**DEFAULT)  # type: ignore[arg-type]
    ours, theirs = BinaryTokenLabels().probabilities(logits), paper.probabilities(logits)
    assert (ours == theirs).all()
