"""The losses of the experiments, against their formulas written out one token at a time."""

import json
from copy import deepcopy

import numpy as np
import pytest
import spacy
import torch
from hypothesis import given, settings
from scipy.optimize import minimize
from spacy.util import fix_random_seed

from experiments.losses import DiceLoss, FocalLoss, MajorityOrMinority
from spacy_btl.labels.bio import MISSING
from spacy_btl.training.losses import AllTokenLabels, LogitAdjustment
from tests.helpers.losses import HAND_MADE, REDUCTIONS, WEIGHTS, batches
from tests.helpers.sentences import make_examples

COUNTS = [50, 10, 0, 3, 1]  # of the training data; the third label has no token

# Loss of one token by its softmax p (n_labels,), its logits x and its gold label t.
FORMULAS = {
    "focal": lambda o, x, p, t: (1 - p[t]) ** o.gamma * -torch.log_softmax(x, 0)[t],
    "dice": lambda o, x, p, t: sum(
        1
        - (2 * (1 - p[c]) ** o.alpha * p[c] * (c == t) + o.gamma)
        / ((1 - p[c]) ** o.alpha * p[c] + (c == t) + o.gamma)
        for c in range(len(p))
    ),
    "mom": lambda o, x, p, t: (
        o.trade_off * -torch.log_softmax(x, 0)[t]
        + (1 - o.trade_off) * (t == 0) * -torch.log_softmax(x, 0)[t]
    ),
    "logit adjustment": lambda o, x, p, t: (
        -torch.log_softmax(
            x + o.tau * torch.tensor(np.log(np.maximum(COUNTS, 1) / np.maximum(COUNTS, 1).sum())), 0
        )[t]
    ),
}
MADE = [
    ("focal", FocalLoss, {}),
    ("focal", FocalLoss, {"gamma": 0.5}),
    ("focal", FocalLoss, {"gamma": 0.0}),
    ("dice", DiceLoss, {}),
    ("dice", DiceLoss, {"alpha": 0.0, "gamma": 0.1}),
    ("dice", DiceLoss, {"alpha": 1.0}),
    ("dice", DiceLoss, {"alpha": 2.0, "gamma": 2.0}),
    ("mom", MajorityOrMinority, {}),
    ("mom", MajorityOrMinority, {"trade_off": 0.1}),
    ("logit adjustment", LogitAdjustment, {}),
    ("logit adjustment", LogitAdjustment, {"tau": 0.3}),
]
CASES = {
    "-".join([name, *map(str, options.values()), reduction]): (
        FORMULAS[name],
        kind(**options, reduction=reduction),
    )
    for name, kind, options in MADE
    for reduction in REDUCTIONS
}


@pytest.fixture(params=CASES.values(), ids=CASES)
def case(request):
    """Return a formula and a loss."""
    formula, loss = request.param
    loss = deepcopy(loss)
    loss.prepare(np.array(COUNTS), list("OABCD"))
    return formula, loss


def literal(formula, loss, logits, labels, weights):
    """Return gradient and loss, one token at a time."""
    x = torch.tensor(np.asarray(logits, dtype=np.float64), requires_grad=True)
    weights = np.ones(x.shape[1]) if weights is None else np.asarray(weights, dtype=np.float64)
    terms, divisor = [torch.zeros((), dtype=torch.float64)], 0.0
    for row, label in zip(x, labels, strict=True):
        if label != MISSING:
            terms.append(weights[label] * formula(loss, row, torch.softmax(row, 0), label))
            divisor += {"weights": weights[label], "mean": 1.0, "sum": 0.0}[loss.reduction]
    total = torch.stack(terms).sum() / (divisor or 1.0)
    if not total.requires_grad:
        return np.zeros(x.shape), 0.0
    total.backward()
    return x.grad.numpy(), total.item()


def literal_dice_over_a_batch(loss, logits, labels, weights):
    """Return gradient and loss, one column at a time."""
    x = torch.tensor(np.asarray(logits, dtype=np.float64), requires_grad=True)
    total = torch.zeros((), dtype=torch.float64)
    kept = [n for n, label in enumerate(labels) if label != MISSING]
    for c in range(x.shape[1]):
        both = predicted = true = 0.0
        for n in kept:
            p = torch.softmax(x[n], 0)[c]
            q, w = (1 - p) ** loss.alpha * p, float(weights[labels[n]])
            both, predicted = both + w * q * (labels[n] == c), predicted + w * q
            true += w * (labels[n] == c)
        total = total + 1 - (2 * both + loss.gamma) / (predicted + true + loss.gamma)
    if loss.reduction != "sum":
        total = total / x.shape[1]
    if not kept:
        return np.zeros(x.shape), 0.0
    total.backward()
    return x.grad.numpy(), total.item()


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("gamma", "alpha"), [(1.0, 0.01), (1e-4, 0.0), (0.1, 1.0)])
def test_dice_over_a_batch_equals_its_formula(weights, reduction, gamma, alpha):
    loss = DiceLoss(over="batch", gamma=gamma, alpha=alpha, reduction=reduction)
    loss.class_weights = None if weights is None else np.array(weights, dtype=np.float32)
    for labels in HAND_MADE.values():
        logits = np.random.default_rng(0).normal(size=(len(labels), 5)).astype(np.float32) * 2
        w = np.ones(5) if weights is None else np.array(weights, dtype=np.float64)
        d_expected, expected = literal_dice_over_a_batch(loss, logits, labels, w)
        gradient, value = loss(logits, np.array(labels, dtype=np.int64))
        assert gradient.dtype == np.float32
        assert value == pytest.approx(expected, rel=1e-5, abs=1e-5)
        assert gradient == pytest.approx(d_expected, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
def test_equals_the_formula(case, weights):
    formula, loss = case
    loss.class_weights = None if weights is None else np.array(weights, dtype=np.float32)
    for labels in HAND_MADE.values():
        logits = np.random.default_rng(0).normal(size=(len(labels), 5)).astype(np.float32) * 2
        d_expected, expected = literal(formula, loss, logits, labels, loss.class_weights)
        gradient, value = loss(logits, np.array(labels, dtype=np.int64))
        assert gradient.dtype == np.float32
        assert isinstance(value, float)
        assert value == pytest.approx(expected, rel=1e-5, abs=1e-5)
        assert gradient == pytest.approx(d_expected, rel=1e-4, abs=1e-5)


@settings(max_examples=100, deadline=None)
@given(batch=batches())
def test_without_its_own_setting_it_is_the_cross_entropy(batch):
    logits, labels, weights = batch
    losses = [FocalLoss(gamma=0), MajorityOrMinority(trade_off=1), LogitAdjustment(tau=0)]
    losses[-1].prepare(np.ones(logits.shape[1]), [])
    results = []
    for loss in [AllTokenLabels(), *losses]:
        loss.class_weights = weights
        results.append(loss(logits.astype(np.float32), np.array(labels, dtype=np.int64)))
    (d_expected, expected), *others = results
    for gradient, value in others:
        assert value == pytest.approx(expected, rel=1e-5, abs=1e-5)
        assert gradient == pytest.approx(d_expected, rel=1e-5, abs=1e-6)


def test_gradient_equals_finite_differences(case):
    _, loss = case
    loss.class_weights = np.array(WEIGHTS["complement"])
    logits = np.random.default_rng(2).normal(size=(7, 5))
    labels = np.array([0, 1, 2, 3, MISSING, 0, 4])
    expected = np.zeros_like(logits)
    for at in np.ndindex(logits.shape):
        step = np.zeros_like(logits)
        step[at] = 1e-5
        expected[at] = loss.get_loss(logits + step, labels) - loss.get_loss(logits - step, labels)
    assert loss.get_grad(logits, labels) == pytest.approx(expected / 2e-5, abs=1e-8)


def test_enormous_logits(case):
    _, loss = case
    rng = np.random.default_rng(3)
    labels = np.array([0, 1, 2, 3, 4, 0, MISSING])
    logits = rng.choice([-1e4, 0.0, 1e4], size=(7, 5)).astype(np.float32)
    for rows in (logits, logits * 0 + 1e4, logits * 0 - 1e4):
        gradient, value = loss(rows, labels)
        assert np.isfinite(gradient).all()
        assert 0 <= value < 1e7
        p = loss.probabilities(rows)
        assert p.sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize("margin", [3, 6, 9, 12, 15, 20])
def test_single_precision_keeps_the_gradient_of_sure_tokens(case, margin):
    """Factors grow without bound near p = 1 while their operands vanish."""
    formula, loss = case
    logits = np.array([[margin, 0, -1, 0.5, 0], [0, margin, 1, 0, -1]], dtype=np.float32)
    labels = [0, 2]
    d_expected, expected = literal(formula, loss, logits, labels, None)
    gradient, value = loss(logits, np.array(labels))
    assert value == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert gradient == pytest.approx(d_expected, rel=1e-3, abs=1e-3 * abs(d_expected).max() + 1e-6)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_gradients_are_made_whatever_mode_the_program_is_in(case, mode):
    _, loss = case
    logits, labels = np.random.default_rng(6).normal(size=(4, 5)), np.array([0, 1, 2, 3])
    expected = loss(logits, labels)[0]
    with mode():
        assert (loss(logits, labels)[0] == expected).all()


@pytest.mark.parametrize("n_tokens", [0, 1, 3])
def test_nothing_labeled_is_no_loss(case, n_tokens):
    _, loss = case
    gradient, value = loss(np.ones((n_tokens, 5), np.float32), np.full(n_tokens, MISSING))
    assert gradient.shape == (n_tokens, 5)
    assert not gradient.any()
    assert value == 0
    assert loss.probabilities(np.ones((n_tokens, 5), np.float32)).shape == (n_tokens, 5)


def test_unlabeled_tokens_change_nothing(case):
    _, loss = case
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


def test_state_round_trip(case):
    _, loss = case
    loss.class_weights = np.array(WEIGHTS["complement"], dtype=np.float32)
    settings = {k: v for k, v in vars(loss).items() if k not in ("class_weights", "log_prior")}
    copy = type(loss)(**settings)
    copy.set_state(json.loads(json.dumps(loss.get_state())))
    logits = np.random.default_rng(5).normal(size=(4, 5)).astype(np.float32)
    ours, theirs = loss(logits, np.arange(4)), copy(logits, np.arange(4))
    assert (ours[0] == theirs[0]).all()
    assert ours[1] == theirs[1]


def test_logit_adjustment_divides_by_the_prior():
    """At the optimum the plain softmax is q / prior^tau, scaled."""
    q, prior = np.array([0.6, 0.3, 0.1]), np.array([0.8, 0.15, 0.05])
    loss = LogitAdjustment(tau=1.0)
    loss.prepare(prior * 1000, ["O", "A", "B"])
    labels = np.repeat(np.arange(3), [60, 30, 10])

    def expected_loss(x):
        gradient, value = loss(np.repeat(x[None], len(labels), axis=0), labels)
        return value, gradient.sum(axis=0)

    best = minimize(expected_loss, np.zeros(3), jac=True, method="L-BFGS-B", tol=1e-12)
    (p,) = loss.probabilities(best.x[None])
    assert p == pytest.approx(q / prior / (q / prior).sum(), abs=1e-4)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (FocalLoss, {"gamma": -1}, "gamma is -1, but must be 0 or more"),
        (FocalLoss, {"gamma": float("nan")}, "gamma is nan"),
        (FocalLoss, {"reduction": "no"}, "reduction is 'no'"),
        (DiceLoss, {"gamma": 0}, "gamma is 0, but must be above 0"),
        (DiceLoss, {"alpha": -0.1}, "alpha is -0.1"),
        (MajorityOrMinority, {"trade_off": 0}, "trade_off is 0, but must be above 0"),
        (MajorityOrMinority, {"trade_off": 1.1}, "at most 1"),
    ],
)
def test_settings_out_of_range(kind, options, message):
    with pytest.raises(ValueError, match=message):
        kind(**options)


@pytest.mark.parametrize(
    "name",
    [
        "spacy-btl-experiments.FocalLoss.v1",
        "spacy-btl-experiments.DiceLoss.v1",
        "spacy-btl-experiments.MajorityOrMinority.v1",
        "spacy-btl.LogitAdjustment.v1",
        "spacy-btl.AllTokenLabels.v1",
    ],
)
def test_trains_in_the_component(name):
    config = {"loss": {"@losses": name}, "class_weights": None}
    fix_random_seed(0)
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("btl_knn_ner", config=config)
    examples = make_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    losses = []
    for _ in range(30):
        losses.append(nlp.update(examples, sgd=optimizer)["btl_knn_ner"])
    assert losses[-1] < 0.5 * losses[0]
    other = spacy.blank("en")
    other.add_pipe("btl_knn_ner", config=config)
    other.from_bytes(nlp.to_bytes())
    docs = [example.reference for example in examples]
    for ours, theirs in zip(
        pipe.predict(docs), other.get_pipe("btl_knn_ner").predict(docs), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    assert other.get_pipe("btl_knn_ner").loss.get_state() == pipe.loss.get_state()
