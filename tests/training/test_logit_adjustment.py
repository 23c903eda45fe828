"""``tau``: any loss that takes it is that loss of logits to which the prior is added."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

from spacy_btl.labels.bio import MISSING
from spacy_btl.training.binary_token_labels import BinaryTokenLabels
from spacy_btl.training.crf import CrfLoss
from spacy_btl.training.losses import AllTokenLabels, LogitAdjustment, TokenLoss

NAMES = ["O", "B-x", "I-x", "B-y", "I-y"]
COUNTS = np.array([60, 20, 19, 1, 0])
LOG_PRIOR = np.log(np.array([60, 20, 19, 1, 1]) / 101)  # a label without a token counts as one

LABELS = np.array([0, 1, 2, MISSING, 3, 4, 0, 1])
LAYERS = np.array([[0, 0], [1, 0], [2, 1], [MISSING] * 2, [0, 1], [0, 2], [0, 0], [1, 1]])

Make = Callable[[float], TokenLoss]

MADE: dict[str, tuple[Make, np.ndarray]] = {
    "cross-entropy": (lambda tau: LogitAdjustment(tau=tau), LABELS),
    "BTL": (lambda tau: BinaryTokenLabels(tau=tau), LABELS),
    "BTL layers": (lambda tau: BinaryTokenLabels(tau=tau), LAYERS),
    "CRF": (lambda tau: CrfLoss(tau=tau), LABELS),
}


@pytest.fixture(params=MADE.values(), ids=MADE)
def made(request: pytest.FixtureRequest) -> tuple[Make, np.ndarray]:
    """Return the maker of a loss with a tau, and gold labels."""
    pair: tuple[Make, np.ndarray] = request.param
    return pair


def prepared(loss: TokenLoss) -> TokenLoss:
    loss.prepare(COUNTS, NAMES)
    return loss


def make_logits(seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 2, (len(LABELS), 5)).astype(np.float32)


@pytest.mark.parametrize("tau", [0.25, 1.0, 2.0])
def test_the_loss_is_that_of_shifted_logits(made: tuple[Make, np.ndarray], tau: float) -> None:
    make, gold = made
    logits = make_logits()
    before = logits.copy()
    gradient, value = prepared(make(tau))(logits, gold)
    d_expected, expected = prepared(make(0.0))(logits + (tau * LOG_PRIOR).astype("f"), gold)
    assert value == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(gradient, d_expected, atol=1e-6)
    np.testing.assert_array_equal(logits, before)
    assert value != pytest.approx(prepared(make(0.0))(logits, gold)[1], rel=1e-3)


@pytest.mark.parametrize("name", [name for name in MADE if name != "BTL layers"])
@pytest.mark.parametrize("tau", [0.5, 1.0])
def test_at_the_optimum_the_prior_is_taken_out(name: str, tau: float) -> None:
    """Odds of a label to O are those of the data over those of the shares to the power of tau.

    All tokens look alike: one row of logits, and labels in other shares than the prior's.
    """
    make, _ = MADE[name]
    q = np.array([0.6, 0.2, 0.0, 0.2, 0.0])
    labels = np.repeat(np.arange(5), np.round(10 * q).astype(int))
    loss = prepared(make(tau))
    if isinstance(loss, CrfLoss):  # each token a document, so that its transitions play no part
        loss.transitions, loss.start = np.zeros((5, 5)), np.zeros(5)

    def of_row(x: np.ndarray) -> tuple[float, np.ndarray]:
        rows, lengths = np.repeat(x[None], len(labels), axis=0), [1] * len(labels)
        gradient, value = loss(rows, labels, lengths=lengths)
        return value, gradient.sum(axis=0)

    found = minimize(of_row, np.zeros(5), jac=True, method="L-BFGS-B", bounds=[(-15, 15)] * 5)
    (p,) = loss.probabilities(found.x[None])
    rest = 1 - q if name == "BTL" else np.full(5, q[0])  # what a type is told apart from
    odds = q / rest * np.exp(tau * (LOG_PRIOR[0] - LOG_PRIOR))
    for column in (1, 3):
        assert p[column] / p[0] == pytest.approx(odds[column], rel=1e-2)


def test_many_types_leave_outside_its_share() -> None:
    """A token that is O by each single copy is O, however many types have been raised."""
    n_types = 40
    counts = np.array([600] + [10, 0] * n_types)
    loss = BinaryTokenLabels(tau=0.5)
    loss.prepare(counts, ["O"] + [f"{x}-{i}" for i in range(n_types) for x in "BI"])
    # each type has 1/400 of the probability, raised by the root of 60, ...
    logits = np.full((1, 1 + 2 * n_types), -20.0)
    logits[0, 0], logits[0, 1::2] = 0.0, np.log(60**0.5 / 400)
    (p,) = loss.probabilities(logits)
    assert p.argmax() == 0
    assert p[0] == pytest.approx(1 / (1 + n_types * 60**0.5 / 400), rel=1e-6)


def test_the_prior_is_kept_with_the_model(made: tuple[Make, np.ndarray]) -> None:
    make, gold = made
    loss = prepared(make(0.5))
    copy = make(0.5)
    copy.set_state(json.loads(json.dumps(loss.get_state())))
    for ours, theirs in zip(loss(make_logits(), gold), copy(make_logits(), gold), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert prepared(make(0.0)).get_state()["log_prior"] is None


def test_without_its_prior_it_says_so(made: tuple[Make, np.ndarray]) -> None:
    make, gold = made
    with pytest.raises(ValueError, match="needs the token counts of the training data"):
        make(1.0)(make_logits(), gold)
    loss = make(1.0)
    loss.prepare(np.array([5, 1, 1]), NAMES[:3])
    with pytest.raises(ValueError, match="5 labels, but a prior of 3"):
        loss(make_logits(), gold)


def test_0_is_the_cross_entropy() -> None:
    ours = prepared(LogitAdjustment(tau=0))(make_logits(), LABELS)
    theirs = AllTokenLabels()(make_logits(), LABELS)
    np.testing.assert_array_equal(ours[0], theirs[0])
    assert ours[1] == theirs[1]


@pytest.mark.parametrize("kind", [LogitAdjustment, BinaryTokenLabels, CrfLoss])
@pytest.mark.parametrize("tau", [-0.1, float("inf"), float("nan")])
def test_out_of_range(kind: Any, tau: float) -> None:
    with pytest.raises(ValueError, match=f"tau is {tau}, but must be 0 or more"):
        kind(tau=tau)
