"""The contract of every loss, and cross-entropy beside one in torch."""

import json
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from spacy_btl.labels.bio import MISSING
from spacy_btl.training.binary_token_labels import BinaryTokenLabels
from spacy_btl.training.class_weights import ClassWeights
from spacy_btl.training.crf import CrfLoss
from spacy_btl.training.losses import AllTokenLabels, LogitAdjustment, TokenLoss
from spacy_btl.training.paper import PaperBinaryTokenLabels
from spacy_btl.training.type_crf import TypeCrfLoss
from tests.helpers.losses import (
    HAND_MADE,
    LOSSES,
    REDUCTIONS,
    TILT,
    WEIGHTS,
    Q,
    assert_literal,
    assert_rows_are_probabilities,
    batches,
    literal,
    make_weighting,
    options,
    plain_weights,
    read_at_optimum,
    tilted,
)


@pytest.fixture(params=LOSSES.values(), ids=LOSSES)
def loss(request: pytest.FixtureRequest) -> TokenLoss:
    return deepcopy(request.param)


# Every loss.


@pytest.mark.parametrize("weights", [None, WEIGHTS["complement"]], ids=["unit", "weighted"])
def test_gradient_equals_finite_differences(loss, weights):
    loss.class_weights = None if weights is None else np.array(weights)
    logits = np.random.default_rng(2).normal(size=(7, 5))
    labels = np.array([0, 1, 2, 3, MISSING, 0, 4])
    expected = np.zeros_like(logits)
    for at in np.ndindex(logits.shape):
        step = np.zeros_like(logits)
        step[at] = 1e-5
        expected[at] = loss.get_loss(logits + step, labels) - loss.get_loss(logits - step, labels)
    assert loss.get_grad(logits, labels) == pytest.approx(expected / 2e-5, abs=1e-8)


def test_enormous_logits(loss):
    rng = np.random.default_rng(3)
    labels = np.array([0, 1, 2, 3, 4, 0, MISSING])
    logits = rng.choice([-1e4, 0.0, 1e4], size=(7, 5)).astype(np.float32)
    for rows in (logits, logits * 0 + 1e4, logits * 0 - 1e4):
        gradient, value = loss(rows, labels)
        assert np.isfinite(gradient).all()
        assert 0 <= value < 1e7
        assert_rows_are_probabilities(loss.probabilities(rows))


@pytest.mark.parametrize("n_tokens", [0, 1, 3])
def test_nothing_labeled_is_no_loss(loss, n_tokens):
    gradient, value = loss(np.ones((n_tokens, 5), np.float32), np.full(n_tokens, MISSING))
    assert gradient.shape == (n_tokens, 5)
    assert gradient.dtype == np.float32
    assert not gradient.any()
    assert value == 0
    assert loss.probabilities(np.ones((n_tokens, 5), np.float32)).shape == (n_tokens, 5)


def test_head_of_o_alone(loss):
    logits = np.ones((3, 1), np.float32)
    gradient, value = loss(logits, np.zeros(3, dtype=np.int64))
    assert not gradient.any()
    assert value == 0
    assert loss.probabilities(logits).tolist() == [[1], [1], [1]]


def test_unlabeled_tokens_change_nothing(loss):
    logits = np.random.default_rng(4).normal(size=(6, 5)).astype(np.float32)
    labels = np.array([MISSING, 1, 0, MISSING, 4, MISSING])
    rows = labels != MISSING
    before = logits.copy()
    gradient, value = loss(logits, labels)
    d_alone, alone = loss(logits[rows], labels[rows])
    assert value == alone
    assert (gradient[rows] == d_alone).all()
    assert not gradient[~rows].any()
    assert (logits == before).all()


def test_lengths_are_taken_and_not_needed(loss):
    logits = np.random.default_rng(5).normal(size=(4, 5)).astype(np.float32)
    labels = np.array([0, 1, 2, 3])
    given_none, given_lengths = loss(logits, labels), loss(logits, labels, lengths=[3, 0, 1])
    assert (given_none[0] == given_lengths[0]).all()
    assert given_none[1] == given_lengths[1]
    read = loss.probabilities(logits)
    assert (loss.probabilities(logits, lengths=[3, 0, 1]) == read).all()


@pytest.mark.parametrize(
    ("shape", "labels", "weights", "message"),
    [
        ((5,), [0, 1, 2, 3, 4], None, "do not match"),
        ((2, 5), [0, 1, 2], None, "do not match"),
        ((2, 5), [], None, "do not match"),
        ((2, 5), [[0], [1]], None, "do not match"),
        ((2, 5), [0, 5], None, "between -1 and 4"),
        ((2, 5), [0, -2], None, "between -1 and 4"),
        ((2, 5), [0, 1], [1.0] * 4, "5 labels, but 4 class weights"),
    ],
)
def test_refuses(loss, shape, labels, weights, message):
    loss.class_weights = weights
    with pytest.raises(ValueError, match=message):
        loss(np.zeros(shape, np.float32), np.array(labels, dtype=np.int64))


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
def test_probabilities_are_such_for_any_logits(loss, weights):
    loss.class_weights = None if weights is None else np.asarray(weights, dtype=np.float32)
    loss(np.zeros((6, 5), np.float32), np.array([0, 0, 0, 1, 2, 3]))  # and none of the last label
    for scale in (0.1, 5.0, 100.0):
        logits = np.random.default_rng(6).normal(size=(50, 5)).astype(np.float32) * scale
        p = loss.probabilities(logits)
        assert p.dtype == np.float32
        assert_rows_are_probabilities(p)


def test_state_comes_back_to_the_last_bit(loss):
    odd = [*WEIGHTS["complement"][:3], 1e-7 / 3, 1e-30]
    loss.class_weights = np.array(odd, dtype=np.float32)
    logits = np.random.default_rng(5).normal(size=(4, 5)).astype(np.float32)
    loss(logits, np.array([0, 1, 2, 3]))
    copy = type(loss)(**options(loss))
    copy.set_state(json_and_back(loss.get_state()))
    assert copy.class_weights.dtype == np.float32
    assert (copy.class_weights == loss.class_weights).all()
    assert (copy.probabilities(logits) == loss.probabilities(logits)).all()
    assert copy.get_state() == loss.get_state()
    fresh = type(loss)(**options(loss))
    copy.set_state(json_and_back(fresh.get_state()))
    assert copy.class_weights is None
    with pytest.raises(KeyError, match="class_weights"):
        copy.set_state({})


def json_and_back(state: dict[str, object]) -> dict[str, Any]:
    return json.loads(json.dumps(state))


def test_state_is_numbers():
    """Not texts, as they once were to get past a JSON writer that drops digits."""
    loss = LogitAdjustment(tau=0.3)
    loss.weighting = ClassWeights()
    loss.prepare(np.array([7, 2, 1]), ["O", "B-Age", "I-Age"])
    state = loss.get_state()
    assert state["class_weights"] == np.array([0.3, 0.8, 0.9], np.float32).tolist()
    assert all(isinstance(value, float) for value in state["log_prior"])
    copy = LogitAdjustment(tau=0.3)
    copy.set_state(json_and_back(state))
    assert (copy.log_prior == loss.log_prior).all()


@pytest.mark.parametrize(
    ("loss", "has_layers"),
    [
        (AllTokenLabels(), False),
        (LogitAdjustment(), False),
        (BinaryTokenLabels(), True),
        (PaperBinaryTokenLabels(), False),
        (PaperBinaryTokenLabels(softmax="pair"), False),
        (CrfLoss(), False),
        (TypeCrfLoss(), True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_loss_declares_what_it_can_do(loss: TokenLoss, has_layers: bool) -> None:
    assert loss.has_layers == has_layers
    logits = np.zeros((2, 5), np.float32)
    if has_layers:
        assert loss.layer_probabilities(logits).shape == (2, 2, 3)
    else:
        with pytest.raises(TypeError, match="no layer for each type: check has_layers first"):
            loss.layer_probabilities(logits)
    loss.finish_update(lambda key, weights, gradient: pytest.fail("nothing to update"))


@pytest.mark.parametrize("scheme", ["complement", "none", "effective_number"])
@pytest.mark.parametrize(
    "loss", [AllTokenLabels(), LogitAdjustment(), BinaryTokenLabels()], ids=lambda loss: type(loss)
)
def test_weights_counted_on_copies_are_refused_by_losses_without_copies(
    loss: TokenLoss, scheme: Any
) -> None:
    loss.weighting = ClassWeights(scheme=scheme, counted_on="copy")
    with pytest.raises(
        ValueError, match=r"makes no copies: .*spacy-btl\.PaperBinaryTokenLabels\.v1"
    ):
        loss.prepare(np.array([5, 1, 0]), ["O", "B-Age", "I-Age"])


def test_gpu_arrays_give_the_same():
    cupy = pytest.importorskip("cupy")
    if not cupy.is_available():
        pytest.skip("no GPU")
    logits = np.random.default_rng(7).normal(size=(9, 5)).astype(np.float32)
    labels = np.array([0, 1, 2, 3, MISSING, 0, 4, 0, 1])
    for loss in map(deepcopy, LOSSES.values()):
        loss.class_weights = np.array(WEIGHTS["complement"], dtype=np.float32)
        gradient, value = loss(cupy.asarray(logits), cupy.asarray(labels))
        probabilities = loss.probabilities(cupy.asarray(logits))
        d_expected, expected = loss(logits, labels)
        assert value == pytest.approx(expected, rel=1e-5)
        assert gradient.get() == pytest.approx(d_expected, abs=1e-6)
        assert probabilities.get() == pytest.approx(loss.probabilities(logits), abs=1e-6)
        assert loss(cupy.zeros((0, 5), "f"), cupy.zeros(0, "l"))[1] == 0


# Cross-entropy.


@pytest.mark.parametrize("reduction", REDUCTIONS)
@given(batch=batches())
def test_all_token_labels_equal_cross_entropy(reduction, batch):
    assert_literal(AllTokenLabels(reduction=reduction), reduction, *batch)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
def test_all_token_labels_equal_cross_entropy_by_hand(reduction, weights):
    for labels in HAND_MADE.values():
        logits = np.random.default_rng(0).normal(size=(len(labels), 5))
        assert_literal(AllTokenLabels(reduction=reduction), reduction, logits, labels, weights)


@pytest.mark.parametrize("scheme", ["complement", "inverse_frequency", "effective_number"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_weights_counted_on_the_batch(reduction, scheme):
    for labels in HAND_MADE.values():
        logits = np.random.default_rng(0).normal(size=(len(labels), 5)).astype(np.float32)
        loss = AllTokenLabels(reduction=reduction)
        loss.weighting = make_weighting(scheme, "batch")
        d_expected, expected = literal(logits, labels, partial(plain_weights, scheme), reduction)
        gradient, value = loss(logits, np.array(labels, dtype=np.int64))
        assert value == pytest.approx(expected, rel=1e-5, abs=1e-5)
        assert gradient == pytest.approx(d_expected, rel=1e-5, abs=1e-5)


def test_weights_of_the_training_data_stay_fixed():
    """A table needs no counts, so it is fixed whatever it is said to be counted on."""
    loss = AllTokenLabels()
    table = {"O": 0.5, "Age": 2.0}
    loss.weighting = ClassWeights(scheme="table", table=table, counted_on="batch")
    loss.prepare(np.array([5, 1, 0]), ["O", "B-Age", "I-Age"])
    assert loss.class_weights.tolist() == [0.5, 2.0, 2.0]
    loss.weighting = ClassWeights(counted_on="batch")
    loss.prepare(np.array([5, 1, 0]), ["O", "B-Age", "I-Age"])
    assert loss.class_weights is None


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weights", [None, TILT], ids=["unit", "weighted"])
def test_all_token_labels_leave_the_weights_in(reduction, weights):
    p = read_at_optimum(AllTokenLabels(reduction=reduction), Q, weights)
    assert p == pytest.approx(tilted(Q, np.ones(5) if weights is None else weights), abs=1e-4)


@pytest.mark.parametrize("kind", [AllTokenLabels, LogitAdjustment, BinaryTokenLabels, CrfLoss])
def test_reduction_must_be_known(kind):
    with pytest.raises(ValueError, match="reduction is 'no'"):
        kind(reduction="no")
