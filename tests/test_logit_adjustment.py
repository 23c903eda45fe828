"""``tau``: any loss that takes it is that loss of logits to which the prior is added."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import srsly

from spacy_btl.crf import CrfLoss
from spacy_btl.labels import MISSING
from spacy_btl.losses import AllTokenLabels, BinaryTokenLabels
from spacy_btl.losses_base import TokenLoss
from spacy_btl.losses_rivals import LogitAdjustment

NAMES = ["O", "B-x", "I-x", "B-y", "I-y"]
COUNTS = np.array([60, 20, 19, 1, 0])
LOG_PRIOR = np.log(np.array([60, 20, 19, 1, 1]) / 101)  # a label without a token counts as one

LABELS = np.array([0, 1, 2, MISSING, 3, 4, 0, 1])
LAYERS = np.array([[0, 0], [1, 0], [2, 1], [MISSING] * 2, [0, 1], [0, 2], [0, 0], [1, 1]])

Make = Callable[[float], TokenLoss]

MADE: dict[str, tuple[Make, np.ndarray]] = {
    "cross-entropy": (lambda tau: LogitAdjustment(tau=tau), LABELS),
    "BTL outside": (lambda tau: BinaryTokenLabels(tau=tau), LABELS),
    "BTL mask": (lambda tau: BinaryTokenLabels(tau=tau, other_classes="mask"), LABELS),
    "BTL layers": (lambda tau: BinaryTokenLabels(tau=tau), LAYERS),
    "CRF": (lambda tau: CrfLoss(tau=tau), LABELS),
}


@pytest.fixture(params=MADE.values(), ids=MADE)
def made(request: pytest.FixtureRequest) -> tuple[Make, np.ndarray]:
    """What makes a loss with a tau, and gold labels."""
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


def test_what_is_read_has_no_prior(made: tuple[Make, np.ndarray]) -> None:
    make, _ = made
    logits = make_logits()
    with_tau, without = (prepared(make(tau)).probabilities(logits) for tau in (1.0, 0.0))
    np.testing.assert_array_equal(with_tau, without)


def test_the_prior_is_kept_with_the_model(made: tuple[Make, np.ndarray]) -> None:
    make, gold = made
    loss = prepared(make(0.5))
    copy = make(0.5)
    copy.set_state(srsly.json_loads(srsly.json_dumps(loss.get_state())))
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


def test_all_columns_have_another_prior() -> None:
    with pytest.raises(ValueError, match='tau needs softmax = "pair"'):
        BinaryTokenLabels(softmax="all", tau=0.5)
