"""Logits read as label probabilities: the class weights and the prior of the copies in them."""

from copy import deepcopy
from itertools import product

import numpy as np
import pytest
from scipy.optimize import minimize

from spacy_btl.training.binary_token_labels import BinaryTokenLabels
from spacy_btl.training.class_weights import ClassWeights
from spacy_btl.training.losses import AllTokenLabels
from tests.training.test_losses import (
    LOSSES,
    REDUCTIONS,
    SETTINGS,
    WEIGHTS,
    assert_rows_are_probabilities,
    every_setting,
    options,
)


@pytest.fixture(params=LOSSES, ids=lambda loss: "-".join(options(loss).values()))
def loss(request):
    return deepcopy(request.param)


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
def test_probabilities_are_such_for_any_logits(loss, weights):
    loss.class_weights = None if weights is None else np.asarray(weights, dtype=np.float32)
    loss(np.zeros((6, 5), np.float32), np.array([0, 0, 0, 1, 2, 3]))  # and none of the last label
    for scale in (0.1, 5.0, 100.0):
        logits = np.random.default_rng(6).normal(size=(50, 5)).astype(np.float32) * scale
        p = loss.probabilities(logits)
        assert p.dtype == np.float32
        assert_rows_are_probabilities(p)


# Recovery: minimize the expected loss of tokens with known label probabilities, read the logits.

Q = np.array([[0.5, 0.2, 0.1, 0.05, 0.15], [0.8, 0.05, 0.05, 0.1, 0.0], [0.1, 0.5, 0.1, 0.2, 0.1]])
TILT = np.array([0.3, 0.8, 0.9, 1.0, 2.0])


def read_at_optimum(loss, q, weights):
    """`probabilities` where the loss of one batch is least that holds labels in the shares of q."""
    loss.class_weights = None if weights is None else np.asarray(weights)
    counts = np.round(q * 100).astype(int)
    labels = np.concatenate([np.repeat(np.arange(q.shape[1]), row) for row in counts])
    context = np.repeat(np.arange(len(q)), counts.sum(axis=1))

    def expected_loss(flat):
        gradient, value = loss(flat.reshape(q.shape)[context], labels)
        d_x = np.zeros(q.shape)
        np.add.at(d_x, context, gradient)
        return value, d_x.ravel()

    thorough = {"ftol": 0, "gtol": 1e-9, "maxiter": 2000, "maxfun": 4000, "maxcor": 30}
    best = minimize(expected_loss, np.zeros(q.size), jac=True, method="L-BFGS-B", options=thorough)
    return loss.probabilities(best.x.reshape(q.shape))


def tilted(q, weights):
    return q * weights / (q * weights).sum(axis=1, keepdims=True)


def tilted_by_pair(q, weights, width):
    """What the docstring says of "pair" and "outside": each type tilted against all else."""
    own = (q * weights)[:, 1:].reshape(len(q), -1, width)
    rest = weights[0] * (1 - q[:, 1:].reshape(own.shape).sum(axis=2, keepdims=True))
    p = (own / (own.sum(axis=2, keepdims=True) + rest)).reshape(len(q), -1)
    left = np.maximum(1 - p.sum(axis=1, keepdims=True), 0)
    p = np.concatenate((left, p), axis=1)
    return p / p.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weights", [None, TILT], ids=["unit", "weighted"])
def test_all_token_labels_leave_the_weights_in(reduction, weights):
    p = read_at_optimum(AllTokenLabels(reduction=reduction), Q, weights)
    assert p == pytest.approx(tilted(Q, np.ones(5) if weights is None else weights), abs=1e-4)


def expected_reading(setting, weights):
    """What `probabilities` is to give by its docstring."""
    if setting["softmax"] == "all" or weights is None:
        return Q
    if setting["other_classes"] == "mask":
        return tilted(Q, weights)
    return tilted_by_pair(Q, weights, {"bio": 2, "io": 1}[setting["scheme"]])


@every_setting
@pytest.mark.parametrize("weights", [None, 2 * np.ones(5), TILT], ids=["unit", "equal", "tilt"])
def test_probabilities_are_recovered(setting, weights):
    is_equal = weights is None or len(set(weights)) == 1
    p = read_at_optimum(BinaryTokenLabels(**setting), Q, weights)
    assert p == pytest.approx(expected_reading(setting, None if is_equal else weights), abs=2e-4)


@pytest.mark.parametrize("counted_on", ["batch", "copy"])
@pytest.mark.parametrize(
    "setting", [s for s in SETTINGS if s["softmax"] == "all"], ids=lambda s: "-".join(s.values())
)
def test_probabilities_of_all_columns_are_recovered_for_counted_weights(setting, counted_on):
    loss = BinaryTokenLabels(**setting)
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
    q = np.array([0.7, 0.2, 0.1])
    loss = BinaryTokenLabels(
        softmax=softmax, absent_classes=absent_classes, reduction=reduction, scheme="io"
    )
    batches = [list(pair) for pair in product(range(3), repeat=2)]

    def expected_loss(x):
        parts = [loss(np.stack([x, x]), np.array(pair)) for pair in batches]
        shares = [q[pair].prod() for pair in batches]
        value = sum(share * part for share, (_, part) in zip(shares, parts, strict=True))
        d_x = sum(share * d.sum(axis=0) for share, (d, _) in zip(shares, parts, strict=True))
        return value, d_x

    x = minimize(expected_loss, np.zeros(3), jac=True, method="L-BFGS-B", tol=1e-12).x
    loss.seen = None  # the search saw all batches alike
    for pair in batches:
        for _ in range(round(q[pair].prod() * 100)):
            loss(np.zeros((2, 3)), np.array(pair))
    if softmax == "pair":  # each type against all else, as q is where no copy is skipped
        x = x - x[0]
        odds = np.exp(x[1:])
        assert odds == pytest.approx(factors * q[1:] / (1 - q[1:]), rel=1e-3)
    else:
        (p,) = loss.probabilities(x[None])
        assert p[1:] / p[0] == pytest.approx(factors * q[1:] / q[0], rel=1e-3)
