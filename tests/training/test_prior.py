"""The prior that copies teach, put together from batches that were one copy each."""

from typing import Any

import numpy as np
import pytest

from spacy_btl.training.binary_token_labels import BinaryTokenLabels

TYPES, N = 3, 40
COLUMNS = 1 + 2 * TYPES


def labels_with_all_types(rng: np.random.Generator) -> np.ndarray:
    labels = rng.choice(COLUMNS, size=N, p=[0.5, 0.2, 0.1, 0.1, 0.05, 0.03, 0.02])
    labels[: 2 * TYPES] = np.arange(1, COLUMNS)
    return labels


def trained(literal: bool, others: Any) -> BinaryTokenLabels:
    """A loss that has seen some batches, each as it is or as one batch for each type."""
    rng = np.random.default_rng(5)
    loss = BinaryTokenLabels(
        softmax="all",
        other_classes=others,
        reduction="sum",
        copies_from="batcher" if literal else "loss",
    )
    batches = [labels_with_all_types(rng) for _ in range(6)]
    counts = np.bincount(np.concatenate(batches), minlength=COLUMNS)
    loss.prepare(counts, [f"column {i}" for i in range(COLUMNS)])
    logits = np.zeros((N, COLUMNS), dtype="float32")
    for labels in batches:
        if not literal:
            loss(logits, labels)
            continue
        for kind in range(TYPES):
            own = (labels == 0) | ((labels - 1) // 2 == kind)
            loss(logits, np.where(own, labels, 0 if others == "outside" else -1))
    return loss


@pytest.mark.parametrize("others", ["outside", "mask"])
def test_copies_of_a_batcher_are_read_as_those_of_the_loss(others: Any) -> None:
    logits = np.random.default_rng(1).normal(size=(50, COLUMNS)).astype("float32") * 2
    fused, literal = trained(False, others), trained(True, others)
    np.testing.assert_allclose(
        literal.probabilities(logits), fused.probabilities(logits), atol=1e-4
    )


def test_the_counts_are_kept_with_the_model() -> None:
    literal, other = trained(True, "outside"), BinaryTokenLabels(softmax="all")
    other.copies_from = "batcher"
    other.set_state(literal.get_state())
    logits = np.random.default_rng(2).normal(size=(9, COLUMNS)).astype("float32")
    np.testing.assert_array_equal(other.probabilities(logits), literal.probabilities(logits))


def test_read_as_if_each_batch_were_all_copies_it_finds_nothing() -> None:
    """Why the setting is there: the optimum of the copies has most of its mass on ``O``."""
    literal = trained(True, "outside")
    certain = np.zeros((COLUMNS, COLUMNS), dtype="float32")
    for label in range(1, COLUMNS):  # the optimum for a token of this label: told O twice
        certain[label] = -9.0
        certain[label, [0, label]] = np.log([2 / 3, 1 / 3])
    certain[0, 1:] = -9.0
    assert literal.probabilities(certain).argmax(axis=1).tolist() == list(range(COLUMNS))
    literal.copies_from = "loss"
    assert not literal.probabilities(certain).argmax(axis=1).any()
