"""Masked losses: what a token's document does not annotate is unknown, against literal forms."""

import itertools
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spacy_btl.labels.bio import MISSING, OUTSIDE
from spacy_btl.training.binary_token_labels import BinaryTokenLabels
from spacy_btl.training.crf import CrfLoss
from spacy_btl.training.losses import AllTokenLabels, LogitAdjustment, TokenLoss
from spacy_btl.training.paper import PaperBinaryTokenLabels
from tests.helpers.losses import LOSSES, SETTINGS, every_setting

N_TYPES = 3
N_LABELS = 1 + 2 * N_TYPES
MASKED: dict[str, TokenLoss] = {
    **deepcopy(LOSSES),
    "adjusted": LogitAdjustment(tau=0.7),
    "CRF": CrfLoss(),
}


def prepared(loss: TokenLoss) -> TokenLoss:
    """Return a loss without class weights; with tau it has a prior, and a CRF has transitions."""
    if loss.tau:
        loss.log_prior = np.log(np.arange(1, N_LABELS + 1) / 28)
    loss.class_weights = None
    if isinstance(loss, CrfLoss):
        rng = np.random.default_rng(3)
        loss.transitions = rng.normal(size=(N_LABELS, N_LABELS)).astype(np.float32)
        loss.start = rng.normal(size=N_LABELS).astype(np.float32)
    return loss


@st.composite
def masked_batches(draw: st.DrawFn, n_tokens: int = 8) -> tuple[Any, Any, Any, Any]:
    """Return logits, well-formed labels, weights, and a mask with the types of all entities."""
    labels: list[int] = []
    for _ in range(draw(st.integers(1, n_tokens))):
        before = labels[-1] if labels else 0
        may = [MISSING, OUTSIDE, 1, 3, 5]
        may += [before + before % 2] * (before > 0)  # the inside column of the same type
        labels.append(draw(st.sampled_from(may)))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    logits = rng.normal(size=(len(labels), N_LABELS)) * draw(st.sampled_from([0.1, 3.0, 30.0]))
    annotated = rng.random((len(labels), N_TYPES)) < draw(st.sampled_from([0.0, 0.5, 0.9]))
    for token, label in enumerate(labels):
        if label > 0:
            annotated[token, (label - 1) // 2] = True
    return logits, np.array(labels), rng.uniform(0.1, 2.0, N_LABELS), annotated


def column_mask(annotated: Any) -> Any:
    """Return which columns are annotated, ``O`` included."""
    return np.column_stack([np.ones(len(annotated), bool), np.repeat(annotated, 2, axis=1)])


# Literal forms, one token and one copy at a time, by autograd in float64.


def literal_copies(logits: Any, labels: Any, weights: Any, annotated: Any, setting: Any) -> Any:
    """Return the copies of `PaperBinaryTokenLabels`, each of the tokens that annotate its type."""
    x = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    loss = x.sum() * 0
    for kind in range(N_TYPES):
        own = (1 + 2 * kind, 2 + 2 * kind)
        if setting["absent_classes"] == "skip" and not any(label in own for label in labels):
            continue
        terms, divisor = [], {"weights": 0.0, "mean": 0.0, "sum": 1.0}
        for token, label in enumerate(labels):
            if label == MISSING or not annotated[token, kind]:
                continue
            if label not in own and label != OUTSIDE and setting["other_classes"] == "mask":
                continue
            target = label if label in own else OUTSIDE
            columns = [OUTSIDE, *own]
            if setting["softmax"] == "all":
                columns = np.flatnonzero(column_mask(annotated)[token]).tolist()
            log_p = torch.log_softmax(x[token, columns], dim=0)[columns.index(target)]
            terms.append(-weights[target] * log_p)
            divisor["weights"] += weights[target]
            divisor["mean"] += 1
        if terms:
            loss = loss + torch.stack(terms).sum() / divisor[setting["reduction"]]
    loss.backward()
    assert x.grad is not None
    return x.grad.numpy(), loss.item()


def literal_marginal(logits: Any, labels: Any, weights: Any, annotated: Any, reduction: str) -> Any:
    """Return cross-entropy, with the probabilities of all that an ``O`` may stand for added up."""
    x = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    loss, total, n = x.sum() * 0, 0.0, 0
    for token, label in enumerate(labels):
        if label == MISSING:
            continue
        columns = [label]
        if label == OUTSIDE:
            columns += np.flatnonzero(~column_mask(annotated)[token]).tolist()
        log_p = torch.log_softmax(x[token], dim=0)
        loss = loss - weights[label] * torch.logsumexp(log_p[columns], dim=0)
        total, n = total + weights[label], n + 1
    loss = loss / ({"weights": total, "mean": n, "sum": 1}[reduction] or 1)
    loss.backward()
    assert x.grad is not None
    return x.grad.numpy(), loss.item()


def assert_equal(loss: TokenLoss, batch: Any, expected: Any) -> None:
    logits, labels, weights, annotated = batch
    loss.class_weights = weights
    gradient, value = loss(logits, labels, annotated=annotated)
    assert value == pytest.approx(expected[1], rel=1e-9, abs=1e-9)
    assert gradient == pytest.approx(expected[0], rel=1e-9, abs=1e-9)


@given(masked_batches(), st.sampled_from(["weights", "mean", "sum"]))
def test_btl_makes_the_copies_that_are_annotated(batch, reduction):
    setting = {"other_classes": "outside", "softmax": "pair", "absent_classes": "skip"}
    expected = literal_copies(*batch, {**setting, "reduction": reduction})
    assert_equal(BinaryTokenLabels(reduction=reduction), batch, expected)


@given(masked_batches(), st.sampled_from(SETTINGS))
def test_the_readings_of_the_paper_make_the_copies_that_are_annotated(batch, setting):
    expected = literal_copies(*batch, setting)
    assert_equal(PaperBinaryTokenLabels(**setting), batch, expected)


@given(masked_batches(), st.sampled_from(["weights", "mean", "sum"]))
def test_atl_adds_up_what_an_o_may_stand_for(batch, reduction):
    expected = literal_marginal(*batch, reduction)
    assert_equal(AllTokenLabels(reduction=reduction), batch, expected)


@given(masked_batches())
def test_logit_adjustment_adds_up_the_adjusted_probabilities(batch):
    logits, labels, weights, annotated = batch
    loss = prepared(LogitAdjustment(tau=0.7))
    expected = literal_marginal(
        logits + 0.7 * loss.log_prior, labels, weights, annotated, "weights"
    )
    assert_equal(loss, batch, expected)


def is_well_formed(path: tuple[int, ...]) -> bool:
    pairs = zip((0, *path), path, strict=False)
    return all(label % 2 or not label or before in (label - 1, label) for before, label in pairs)


@pytest.mark.parametrize("seed", range(12))
def test_the_crf_adds_up_the_sequences_that_agree(seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(4, N_LABELS)) * 2
    labels = [[0, 0, 0, 0], [0, 1, 2, 0], [3, 0, MISSING, 0], [0, 5, 0, MISSING]][seed % 4]
    annotated = rng.random((4, N_TYPES)) < 0.5
    for token, label in enumerate(labels):
        if label > 0:
            annotated[token, (label - 1) // 2] = True
    loss = prepared(CrfLoss(reduction="sum"))
    x = torch.tensor(logits, requires_grad=True)
    assert loss.transitions is not None and loss.start is not None
    transitions = torch.tensor(loss.transitions, dtype=torch.float64)
    start = torch.tensor(loss.start, dtype=torch.float64)
    every, agreeing = [], []
    for path in itertools.product(range(N_LABELS), repeat=4):
        if not is_well_formed(path):
            continue
        score = start[path[0]] + sum(x[t, label] for t, label in enumerate(path))
        score = score + sum(transitions[pair] for pair in itertools.pairwise(path))
        every.append(score)
        if all(
            label in (MISSING, own) or (label == OUTSIDE and not column_mask(annotated)[t, own])
            for t, (label, own) in enumerate(zip(labels, path, strict=True))
        ):
            agreeing.append(score)
    expected = torch.logsumexp(torch.stack(every), 0) - torch.logsumexp(torch.stack(agreeing), 0)
    expected.backward()
    gradient, value = loss(logits, np.array(labels), annotated=annotated)
    assert value == pytest.approx(expected.item(), rel=1e-9)
    assert x.grad is not None
    assert gradient == pytest.approx(x.grad.numpy(), abs=1e-9)


@pytest.mark.parametrize("name", MASKED)
@given(masked_batches(5))
def test_the_gradient_is_that_of_finite_differences(name, batch):
    loss = prepared(MASKED[name])
    logits, labels, _, annotated = batch
    logits = np.clip(logits, -4, 4)
    labels = np.array([OUTSIDE if label and label % 2 == 0 else label for label in labels])
    gradient, _ = loss(logits, labels, annotated=annotated)
    direction = np.random.default_rng(0).normal(size=logits.shape)
    step = 1e-4
    ahead, behind = (
        loss(logits + sign * step * direction, labels, annotated=annotated)[1] for sign in (1, -1)
    )
    assert (gradient * direction).sum() == pytest.approx((ahead - behind) / (2 * step), abs=2e-5)


# Effects of masks, and effects that they must not have.


@pytest.mark.parametrize("name", [name for name in LOSSES if not name.startswith("ATL")])
@given(masked_batches())
def test_a_type_that_is_not_annotated_has_no_gradient_at_all(name, batch):
    logits, labels, weights, annotated = batch
    loss = MASKED[name]
    loss.class_weights = weights
    gradient, _ = loss(logits, labels, annotated=annotated)
    assert (gradient[~column_mask(annotated)] == 0).all()
    assert np.isfinite(gradient).all()


@given(masked_batches(), st.sampled_from(["weights", "mean", "sum"]))
def test_layers_without_labels_are_the_mask_of_flat_ones(batch, reduction):
    logits, labels, weights, annotated = batch
    kept = labels != MISSING
    logits, labels, annotated = logits[kept], labels[kept], annotated[kept]
    layers = np.where(annotated, OUTSIDE, MISSING)
    tokens = np.flatnonzero(labels > OUTSIDE)
    types = (labels[tokens] - 1) // 2
    layers[tokens, types] = labels[tokens] - 2 * types
    loss = BinaryTokenLabels(reduction=reduction)
    loss.class_weights = weights
    gradient, value = loss(logits, layers)
    d_flat, flat = loss(logits, labels, annotated=annotated)
    assert value == pytest.approx(flat)
    assert gradient == pytest.approx(d_flat)
    assert (gradient[~column_mask(annotated)] == 0).all()


@pytest.mark.parametrize("name", MASKED)
@given(masked_batches())
def test_a_mask_of_all_types_changes_no_bit(name, batch):
    loss = prepared(MASKED[name])
    logits, labels, _, annotated = batch
    for dtype in (np.float32, np.float64):
        x = logits.astype(dtype)
        d_plain, plain = loss(x, labels)
        d_masked, masked = loss(x, labels, annotated=np.ones_like(annotated))
        assert (masked, d_masked.tobytes()) == (plain, d_plain.tobytes())


TWO_CORPORA = np.repeat([[True, True, False], [False, False, True]], 6, axis=0)
LABELS_OF_BOTH = np.array([0, 1, 2, 0, 3, MISSING, 0, 0, 5, 6, 0, 5])
COLUMNS = ([0, 1, 2, 3, 4], [0, 5, 6])


def apart(loss: TokenLoss, logits: Any, corpus: int) -> tuple[Any, float]:
    """Return gradient and loss of a head for the types of one corpus, on its tokens."""
    labels = LABELS_OF_BOTH[6 * corpus :][:6]
    own = np.array([COLUMNS[corpus].index(label) if label >= 0 else label for label in labels])
    weights = loss.class_weights
    if isinstance(loss, PaperBinaryTokenLabels):
        loss.seen = None
    loss.class_weights = None if weights is None else weights[COLUMNS[corpus]]
    found = loss(logits, own)
    loss.class_weights = weights
    return found


@every_setting
@pytest.mark.parametrize("weighted", [False, True])
def test_two_corpora_on_one_head_are_two_heads(setting, weighted):
    """For BTL in each of its readings, whatever the logits of the other corpus are."""
    every = [PaperBinaryTokenLabels(**setting)]
    if (setting["other_classes"], setting["softmax"], setting["absent_classes"]) == (
        "outside",
        "pair",
        "skip",
    ):
        every.append(BinaryTokenLabels(reduction=setting["reduction"]))  # type: ignore[arg-type]
    logits = np.random.default_rng(0).normal(size=(12, N_LABELS))
    for loss in every:
        loss.class_weights = np.linspace(0.3, 1.0, N_LABELS) if weighted else None  # type: ignore[assignment]
        gradient, value = loss(logits, LABELS_OF_BOTH, annotated=TWO_CORPORA)
        losses = []
        for corpus, columns in enumerate(COLUMNS):
            rows = slice(6 * corpus, 6 * corpus + 6)
            d_apart, of_corpus = apart(loss, logits[rows][:, columns], corpus)
            assert (gradient[rows][:, columns[1:]] == d_apart[:, 1:]).all()
            assert gradient[rows, 0] == pytest.approx(d_apart[:, 0], abs=1e-15)
            losses.append(of_corpus)
        assert value == pytest.approx(sum(losses), rel=1e-12)


def test_atl_is_a_head_whose_o_is_all_that_the_corpus_does_not_annotate():
    """The types of a corpus get the gradient of its own head that has the others in its ``O``."""
    logits = np.random.default_rng(0).normal(size=(12, N_LABELS))
    loss = AllTokenLabels(reduction="sum")
    gradient, value = loss(logits, LABELS_OF_BOTH, annotated=TWO_CORPORA)
    losses = []
    for corpus, columns in enumerate(COLUMNS):
        rows = slice(6 * corpus, 6 * corpus + 6)
        others = [c for c in range(N_LABELS) if c not in columns[1:]]
        merged = logits[rows][:, columns]
        merged[:, 0] = np.log(np.exp(logits[rows][:, others]).sum(axis=1))
        d_apart, of_corpus = apart(loss, merged, corpus)
        assert gradient[rows][:, columns[1:]] == pytest.approx(d_apart[:, 1:], abs=1e-12)
        assert gradient[rows][:, others].sum(axis=1) == pytest.approx(d_apart[:, 0], abs=1e-12)
        losses.append(of_corpus)
    assert value == pytest.approx(sum(losses))


@pytest.mark.parametrize("name", MASKED)
def test_where_nothing_is_annotated_nothing_is_learned(name):
    loss = prepared(MASKED[name])
    logits = np.random.default_rng(0).normal(size=(5, N_LABELS))
    gradient, value = loss(logits, np.zeros(5, int), annotated=np.zeros((5, N_TYPES), bool))
    assert value == pytest.approx(0, abs=1e-12)
    assert gradient == pytest.approx(np.zeros_like(logits), abs=1e-12)


@pytest.mark.parametrize("name", MASKED)
def test_an_entity_of_a_type_that_is_not_annotated_is_refused(name):
    loss = prepared(MASKED[name])
    annotated = np.array([[True, False, True]])
    with pytest.raises(ValueError, match="does not annotate"):
        loss(np.zeros((1, N_LABELS)), np.array([4]), annotated=annotated)


@pytest.mark.parametrize("shape", [(2, 2), (3, 3), (2,), (2, 7)])
def test_a_mask_of_another_shape_is_refused(shape):
    for loss in (AllTokenLabels(), BinaryTokenLabels(), prepared(CrfLoss())):
        with pytest.raises(ValueError, match="annotated types"):
            loss(np.zeros((2, N_LABELS)), np.array([0, 1]), annotated=np.ones(shape, bool))


class OwnLoss(TokenLoss):
    """A loss of somebody else, written before there were masks."""

    def _compute(self, logits: Any, labels: Any, weights: Any) -> Any:  # type: ignore[override]
        return logits * 0, logits.sum() * 0


def test_a_loss_that_takes_no_masks_works_without_one_and_says_so_with_one():
    logits, labels = np.zeros((2, N_LABELS)), np.array([0, 1])
    assert OwnLoss()(logits, labels)[1] == 0
    with pytest.raises(ValueError, match="OwnLoss does not support label sets"):
        OwnLoss()(logits, labels, annotated=np.array([[True] * 3, [True, False, True]]))


def test_weights_of_a_batch_count_an_o_as_o():
    """A token is ``O`` for the class weights if it is under the label set of its document."""
    from spacy_btl.training.class_weights import ClassWeights

    loss = AllTokenLabels(reduction="sum")
    loss.weighting = ClassWeights(scheme="complement", counted_on="batch")
    labels = np.array([0, 0, 0, 1])
    annotated = np.array([[False] * 3] * 3 + [[True] * 3])
    gradient, _ = loss(np.zeros((4, N_LABELS)), labels, annotated=annotated)
    assert gradient[3, 1] == pytest.approx(0.75 * (1 / 7 - 1))
