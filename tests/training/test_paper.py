"""The readings of the paper, beside copies that are really made, and the prior that they teach."""

from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from spacy_btl.labels.bio import MISSING
from spacy_btl.training.class_weights import ClassWeights
from spacy_btl.training.paper import PaperBinaryTokenLabels
from tests.helpers.losses import (
    HAND_MADE,
    REDUCTIONS,
    SETTINGS,
    TILT,
    WEIGHTS,
    Q,
    assert_literal,
    assert_literal_in_a_large_batch,
    batches,
    every_setting,
    literal,
    make_weighting,
    plain_weights,
    read_at_optimum,
    tilted,
    tilted_by_pair,
)


@every_setting
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_equals_the_copies(setting, data):
    assert_literal(PaperBinaryTokenLabels(**setting), setting, *data.draw(batches()))


@every_setting
@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
def test_equals_the_copies_by_hand(setting, weights):
    for labels in HAND_MADE.values():
        logits = np.random.default_rng(0).normal(size=(len(labels), 5)) * 2
        assert_literal(PaperBinaryTokenLabels(**setting), setting, logits, labels, weights)


@every_setting
@pytest.mark.parametrize("weighted", [False, True])
def test_equals_the_copies_in_a_large_batch(setting, weighted):
    assert_literal_in_a_large_batch(PaperBinaryTokenLabels(**setting), setting, weighted)


@pytest.mark.parametrize("scheme", ["complement", "inverse_frequency", "effective_number"])
@pytest.mark.parametrize("counted_on", ["training", "batch", "copy"])
@every_setting
def test_equals_the_copies_for_counted_weights(setting, counted_on, scheme):
    in_training = [0] * 7 + [1, 2, 2, 3]
    for labels in HAND_MADE.values():
        logits = np.random.default_rng(0).normal(size=(len(labels), 5)).astype(np.float32)
        loss = PaperBinaryTokenLabels(**setting)
        loss.weighting = make_weighting(scheme, counted_on)
        loss.prepare(np.bincount(in_training, minlength=5), list("OABCD"))
        if counted_on == "copy":
            weights: Any = partial(plain_weights, scheme)
        else:
            counted = in_training if counted_on == "training" else labels
            weights = np.array(plain_weights(scheme, counted, 5))
        d_expected, expected = literal(logits, labels, weights, setting)
        gradient, value = loss(logits, np.array(labels, dtype=np.int64))
        assert value == pytest.approx(expected, rel=1e-5, abs=1e-5)
        assert gradient == pytest.approx(d_expected, rel=1e-5, abs=1e-5)


def expected_reading(setting, weights):
    """Return the reading that the docstring of `probabilities` promises."""
    if setting["softmax"] == "all" or weights is None:
        return Q
    return (tilted if setting["other_classes"] == "mask" else tilted_by_pair)(Q, weights)


@every_setting
@pytest.mark.parametrize("weights", [None, 2 * np.ones(5), TILT], ids=["unit", "equal", "tilt"])
def test_probabilities_are_recovered(setting, weights):
    is_equal = weights is None or len(set(weights)) == 1
    p = read_at_optimum(PaperBinaryTokenLabels(**setting), Q, weights)
    assert p == pytest.approx(expected_reading(setting, None if is_equal else weights), abs=2e-4)


@pytest.mark.parametrize("counted_on", ["batch", "copy"])
@pytest.mark.parametrize(
    "setting", [s for s in SETTINGS if s["softmax"] == "all"], ids=lambda s: "-".join(s.values())
)
def test_probabilities_of_all_columns_are_recovered_for_counted_weights(setting, counted_on):
    loss = PaperBinaryTokenLabels(**setting)
    loss.weighting = ClassWeights(counted_on=counted_on)
    assert read_at_optimum(loss, Q, None) == pytest.approx(Q, abs=2e-4)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(
    ("softmax", "absent_classes", "factors"),
    [
        ("all", "keep", [1, 1]),
        ("all", "skip", [1, 1]),
        ("pair", "keep", [1, 1]),
        ("pair", "skip", [1 / 0.2, 1 / 0.1]),
    ],
)
def test_skipped_copies_raise_the_odds_of_pairs(softmax, absent_classes, factors, reduction):
    """All batches of two independent tokens: the other one is of a type in the share q of them."""
    columns, q = [0, 1, 3], np.array([0.7, 0.2, 0.1])
    loss = PaperBinaryTokenLabels(
        softmax=softmax, absent_classes=absent_classes, reduction=reduction
    )
    batches_of_two = [list(pair) for pair in product(range(3), repeat=2)]

    def logits_of(x: np.ndarray) -> np.ndarray:
        row = np.full(5, -20.0)  # no token goes on with an entity
        row[columns] = x
        return row

    def expected_loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        rows = np.tile(logits_of(x), (2, 1))
        parts = [loss(rows, np.array(columns)[pair]) for pair in batches_of_two]
        shares = [q[pair].prod() for pair in batches_of_two]
        value = sum(share * part for share, (_, part) in zip(shares, parts, strict=True))
        d_x = sum(
            share * d[:, columns].sum(axis=0) for share, (d, _) in zip(shares, parts, strict=True)
        )
        return value, d_x

    x = minimize(expected_loss, np.zeros(3), jac=True, method="L-BFGS-B", tol=1e-12).x
    loss.seen = None  # the search saw all batches alike
    for pair in batches_of_two:
        for _ in range(round(q[pair].prod() * 100)):
            loss(np.zeros((2, 5)), np.array(columns)[pair])
    if softmax == "pair":  # each type against all else, as q is where no copy is skipped
        odds = np.exp(x[1:] - x[0])
        assert odds == pytest.approx(factors * q[1:] / (1 - q[1:]), rel=1e-3)
    else:
        (p,) = loss.probabilities(logits_of(x)[None])
        assert p[[1, 3]] / p[0] == pytest.approx(factors * q[1:] / q[0], rel=1e-3)


@pytest.mark.parametrize(
    "option", ["other_classes", "softmax", "absent_classes", "reduction", "copies_from"]
)
def test_options_must_be_known(option):
    with pytest.raises(ValueError, match=f"{option} is 'no'"):
        PaperBinaryTokenLabels(**{option: "no"})


@pytest.mark.parametrize(
    ("batches_seen", "absent_classes", "tokens", "own", "as_outside"),
    [
        ([[0, 0]], "skip", [2, 0, 0, 0, 0], [0] * 5, [0] * 5),
        ([[0, 0]], "keep", [2, 0, 0, 0, 0], [0] * 5, [4, 0, 0, 0, 0]),  # O in two copies
        ([[1, 3]], "skip", [0, 1, 0, 1, 0], [0, 1, 0, 1, 0], [0, 1, 0, 1, 0]),
        ([[0, 1, 2]], "skip", [1, 1, 1, 0, 0], [0, 1, 1, 0, 0], [1, 0, 0, 0, 0]),
        ([[1, 4, MISSING], [0, 0, 2]], "skip", [2, 1, 1, 0, 1], [0, 1, 1, 0, 1], [2, 1, 0, 0, 1]),
    ],
)
def test_sums_the_weights_of_its_tokens(batches_seen, absent_classes, tokens, own, as_outside):
    loss = PaperBinaryTokenLabels(absent_classes=absent_classes, reduction="sum")
    for labels in batches_seen:
        loss(np.zeros((len(labels), 5), np.float32), np.array(labels))
    assert loss.seen.tolist() == [tokens, own, as_outside]


def test_what_was_seen_belongs_to_its_training_data():
    loss = PaperBinaryTokenLabels()
    loss(np.zeros((2, 3), np.float32), np.array([MISSING, MISSING]))
    assert loss.seen is None
    loss(np.zeros((2, 3), np.float32), np.array([0, 1]))
    assert loss.seen is not None
    loss.prepare(np.array([5, 1, 1]), ["O", "B-Age", "I-Age"])
    assert loss.seen is None
    pair = PaperBinaryTokenLabels(softmax="pair")
    pair(np.zeros((2, 3), np.float32), np.array([0, 1]))
    assert pair.seen is None


# Batches that are one copy each.

TYPES, N = 3, 40
COLUMNS = 1 + 2 * TYPES


def labels_with_all_types(rng: np.random.Generator) -> np.ndarray:
    labels = rng.choice(COLUMNS, size=N, p=[0.5, 0.2, 0.1, 0.1, 0.05, 0.03, 0.02])
    labels[: 2 * TYPES] = np.arange(1, COLUMNS)
    return labels


def trained(by_batcher: bool, others: Any) -> PaperBinaryTokenLabels:
    """Return a loss that has seen some batches, each as it is or as one batch for each type."""
    rng = np.random.default_rng(5)
    loss = PaperBinaryTokenLabels(
        other_classes=others, reduction="sum", copies_from="batcher" if by_batcher else "loss"
    )
    originals = [labels_with_all_types(rng) for _ in range(6)]
    counts = np.bincount(np.concatenate(originals), minlength=COLUMNS)
    loss.prepare(counts, [f"column {i}" for i in range(COLUMNS)])
    logits = np.zeros((N, COLUMNS), dtype="float32")
    for labels in originals:
        if not by_batcher:
            loss(logits, labels)
            continue
        for kind in range(TYPES):
            own = (labels == 0) | ((labels - 1) // 2 == kind)
            loss(logits, np.where(own, labels, 0 if others == "outside" else -1))
    return loss


@pytest.mark.parametrize("others", ["outside", "mask"])
def test_copies_of_a_batcher_are_read_as_those_of_the_loss(others: Any) -> None:
    logits = np.random.default_rng(1).normal(size=(50, COLUMNS)).astype("float32") * 2
    of_loss, of_batcher = trained(False, others), trained(True, others)
    np.testing.assert_allclose(
        of_batcher.probabilities(logits), of_loss.probabilities(logits), atol=1e-4
    )


def test_the_counts_are_kept_with_the_model() -> None:
    of_batcher, other = trained(True, "outside"), PaperBinaryTokenLabels(copies_from="batcher")
    other.set_state(of_batcher.get_state())
    logits = np.random.default_rng(2).normal(size=(9, COLUMNS)).astype("float32")
    np.testing.assert_array_equal(other.probabilities(logits), of_batcher.probabilities(logits))


def test_read_as_if_each_batch_were_all_copies_it_finds_nothing() -> None:
    """Why the setting is there: the optimum of the copies has most of its mass on ``O``."""
    of_batcher = trained(True, "outside")
    certain = np.zeros((COLUMNS, COLUMNS), dtype="float32")
    for label in range(1, COLUMNS):  # the optimum for a token of this label: called O twice
        certain[label] = -9.0
        certain[label, [0, label]] = np.log([2 / 3, 1 / 3])
    certain[0, 1:] = -9.0
    assert of_batcher.probabilities(certain).argmax(axis=1).tolist() == list(range(COLUMNS))
    of_batcher.copies_from = "loss"
    assert not of_batcher.probabilities(certain).argmax(axis=1).any()
