"""The average of logits is read as the mean of what the models' own logits are read as."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spacy_btl.labels.bio import AVERAGINGS, average_logits
from spacy_btl.training.binary_token_labels import BinaryTokenLabels
from spacy_btl.training.crf import CrfLoss
from spacy_btl.training.losses import AllTokenLabels, LogitAdjustment, TokenLoss
from spacy_btl.training.paper import PaperBinaryTokenLabels
from spacy_btl.training.type_crf import TypeCrfLoss

VALUES = st.floats(-30, 30, width=32)
LOGITS = st.tuples(st.integers(1, 4), st.integers(0, 3), st.sampled_from([1, 3, 5, 7])).flatmap(
    lambda shape: arrays(np.float32, shape, elements=VALUES)
)
FLAT: dict[str, TokenLoss] = {"softmax": AllTokenLabels(), "pairs": BinaryTokenLabels()}


@pytest.mark.parametrize("averaging", FLAT)
@given(logits=LOGITS)
@settings(deadline=None)
def test_label_probabilities_are_the_mean(averaging, logits):
    loss = FLAT[averaging]
    average = average_logits(logits, averaging)
    assert average.dtype == np.float32
    literal = np.mean([loss.probabilities(each) for each in logits], axis=0)
    np.testing.assert_allclose(loss.probabilities(average), literal, atol=2e-6)


@given(logits=LOGITS)
@settings(deadline=None)
def test_layer_probabilities_are_the_mean(logits):
    loss = BinaryTokenLabels()
    average = loss.layer_probabilities(average_logits(logits, "layers"))
    literal = np.mean([loss.layer_probabilities(each) for each in logits], axis=0)
    np.testing.assert_allclose(average, literal, atol=2e-6)


@pytest.mark.parametrize("averaging", AVERAGINGS)
@given(logits=LOGITS, order=st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_does_not_matter(averaging, logits, order):
    rows = list(range(len(logits)))
    order.shuffle(rows)
    average = average_logits(logits, averaging)
    np.testing.assert_allclose(
        average, average_logits(logits[rows], averaging), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(("averaging", "read"), [("softmax", "softmax"), ("pairs", "pairs")])
@given(logits=LOGITS, copies=st.integers(1, 4))
@settings(deadline=None)
def test_copies_of_one_model_are_the_model(averaging, read, logits, copies):
    loss, own = FLAT[read], logits[0]
    average = average_logits(np.stack([own] * copies), averaging)
    np.testing.assert_allclose(loss.probabilities(average), loss.probabilities(own), atol=1e-6)


def test_scores_are_averaged_as_they_are():
    logits = np.array([[[0, 2, 4]], [[2, 0, -8]]], np.float32)
    np.testing.assert_array_equal(average_logits(logits, "scores"), [[1, 1, -2]])


@pytest.mark.parametrize("averaging", AVERAGINGS)
def test_logits_far_apart_are_finite(averaging):
    logits = np.array([[[0, 900, -900, 0, 0]], [[900, 0, 0, 899, -900]]], np.float32)
    with np.errstate(all="raise", under="ignore"):
        assert np.isfinite(average_logits(logits, averaging)).all()


def test_types_with_more_than_1_together_are_scaled_in_each_model():
    logits = np.array([[[0, 9, -9, 9, -9]], [[0, -9, -9, -9, -9]]], np.float32)
    of_both = BinaryTokenLabels().probabilities(average_logits(logits, "pairs"))
    np.testing.assert_allclose(of_both, [[0.5, 0.25, 0, 0.25, 0]], atol=1e-3)


@pytest.mark.parametrize(
    ("loss", "flat", "layered"),
    [
        (AllTokenLabels(), "softmax", "softmax"),
        (LogitAdjustment(tau=0.5), "softmax", "softmax"),
        (BinaryTokenLabels(), "pairs", "layers"),
        (BinaryTokenLabels(tau=0.5), "softmax", "layers"),
        (PaperBinaryTokenLabels(), None, None),
        (PaperBinaryTokenLabels(softmax="pair"), "pairs", "pairs"),
        (PaperBinaryTokenLabels(softmax="pair", other_classes="mask"), "softmax", "softmax"),
        (CrfLoss(), "scores", "scores"),
        (TypeCrfLoss(), "scores", "scores"),
        (TokenLoss(), None, None),
    ],
)
def test_how_a_loss_reads_logits(loss, flat, layered):
    assert (loss.averaging(layered=False), loss.averaging(layered=True)) == (flat, layered)


@pytest.mark.parametrize(
    ("logits", "averaging", "message"),
    [
        (np.zeros((0, 2, 3)), "pairs", "no logits to average"),
        (np.zeros((1, 2, 3)), "mean", "averaging is 'mean', but must be one of softmax, pairs"),
    ],
)
def test_refused(logits, averaging, message):
    with pytest.raises(ValueError, match=message):
        average_logits(logits, averaging)
