"""The losses in one pass, against copies that are really made, one after the other, in torch."""

import json
from copy import deepcopy
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from spacy_btl.labels import MISSING, OUTSIDE
from spacy_btl.losses import AllTokenLabels, BinaryTokenLabels

REDUCTIONS = ("weights", "mean", "sum")
SETTINGS = [
    dict(
        zip(
            ("other_classes", "softmax", "absent_classes", "reduction", "scheme"),
            values,
            strict=True,
        )
    )
    for values in product(
        ("outside", "mask"), ("all", "pair"), ("skip", "keep"), REDUCTIONS, ("bio", "io")
    )
]
every_setting = pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: "-".join(s.values()))
LOSSES = [AllTokenLabels(reduction=r) for r in REDUCTIONS] + [
    BinaryTokenLabels(**setting) for setting in SETTINGS
]


@pytest.fixture(params=LOSSES, ids=lambda loss: "-".join(options(loss).values()))
def loss(request):
    return deepcopy(request.param)


def options(loss):
    """The settings a loss was made with."""
    return {name: value for name, value in vars(loss).items() if isinstance(value, str)}


def weighted_cross_entropy(logits, targets, weights, reduction):
    """One token at a time; a target `MISSING` takes no part."""
    terms, divisor = [torch.zeros((), dtype=torch.float64)], 0.0
    for row, target in zip(logits, targets, strict=True):
        if target != MISSING:
            terms.append(weights[target] * -torch.log_softmax(row, dim=0)[target])
            divisor += {"weights": float(weights[target]), "mean": 1.0, "sum": 0.0}[reduction]
    return torch.stack(terms).sum() / (divisor or 1.0)


def literal(logits, labels, weights, setting):
    """Gradient and loss: the sum over copies that are really made.

    setting: what `BinaryTokenLabels` takes, or the reduction of `AllTokenLabels`, which makes none.
    """
    x = torch.tensor(np.asarray(logits), dtype=torch.float64, requires_grad=True)
    weights = np.ones(x.shape[1]) if weights is None else np.asarray(weights, dtype=np.float64)
    if isinstance(setting, str):
        loss = weighted_cross_entropy(x, labels, weights, setting)
    else:
        loss = torch.zeros((), dtype=torch.float64)
        for columns, targets in make_copies(labels, x.shape[1], **setting):
            loss = loss + weighted_cross_entropy(
                x[:, columns], targets, weights[columns], setting["reduction"]
            )
    if not loss.requires_grad:  # no copy, no token
        return np.zeros(x.shape), 0.0
    loss.backward()
    return x.grad.numpy(), loss.item()


def make_copies(labels, n_labels, *, other_classes, softmax, absent_classes, reduction, scheme):
    """Columns that compete and targets among them, for each copy."""
    width = {"bio": 2, "io": 1}[scheme]
    for first in range(1, n_labels, width):
        own = list(range(first, first + width))
        if absent_classes == "skip" and not set(own) & set(labels):
            continue
        columns = [OUTSIDE, *own] if softmax == "pair" else list(range(n_labels))
        targets = []
        for label in labels:
            if label in (MISSING, OUTSIDE):
                targets.append(label)
            elif label in own:
                targets.append(columns.index(label))
            else:
                targets.append(OUTSIDE if other_classes == "outside" else MISSING)
        yield columns, targets


def assert_literal(loss, setting, logits, labels, weights):
    """The loss, on float32 logits, gives what the copies give in float64, to 1e-5."""
    logits = np.asarray(logits, dtype=np.float32)
    loss.class_weights = None if weights is None else np.asarray(weights, dtype=np.float32)
    d_expected, expected = literal(logits, labels, loss.class_weights, setting)
    gradient, value = loss(logits, np.array(labels, dtype=np.int64))
    assert gradient.dtype == np.float32
    assert isinstance(value, float)
    assert value == pytest.approx(expected, rel=1e-5, abs=1e-5)
    assert gradient == pytest.approx(d_expected, rel=1e-5, abs=1e-5)


@st.composite
def batches(draw, scheme):
    """Logits, labels and weights (or None)."""
    n_labels = 1 + draw(st.integers(1, 4)) * {"bio": 2, "io": 1}[scheme]
    labels = draw(st.lists(st.integers(MISSING, n_labels - 1), max_size=10))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    logits = rng.normal(size=(len(labels), n_labels)) * draw(st.sampled_from([0.1, 3.0, 30.0]))
    weights = rng.random(n_labels) * (rng.random(n_labels) < 0.8)  # some are 0
    return logits, labels, draw(st.sampled_from([None, weights]))


HAND_MADE = {  # for two types of two columns, or four of one
    "nothing": [],
    "one token": [0],
    "one entity": [3],
    "all unlabelled": [MISSING, MISSING, MISSING],
    "all O": [0, 0, 0],
    "all O, one unlabelled": [0, MISSING, 0],
    "one class": [1, 1, 1],
    "one type": [1, 2, 2],
    "no O": [1, 2, 3, 4, 3],
    "a type is absent": [0, 3, 4, 0, MISSING],
    "all there": [0, 1, 2, 3, 4, 0, MISSING, 1],
}
WEIGHTS = {
    "unit": None,
    "complement": [0.4, 0.9, 0.8, 0.95, 0.99],
    "only O": [1.0, 0.0, 0.0, 0.0, 0.0],
    "no O": [0.0, 0.5, 1.0, 2.0, 3.0],
    "nothing": [0.0] * 5,
}


@every_setting
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_one_pass_equals_the_copies(setting, data):
    loss = BinaryTokenLabels(**setting)
    assert_literal(loss, setting, *data.draw(batches(setting["scheme"])))


@every_setting
@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
def test_one_pass_equals_the_copies_by_hand(setting, weights):
    for labels in HAND_MADE.values():
        logits = np.random.default_rng(0).normal(size=(len(labels), 5)) * 2
        assert_literal(BinaryTokenLabels(**setting), setting, logits, labels, weights)


@every_setting
@pytest.mark.parametrize("weighted", [False, True])
def test_one_pass_equals_the_copies_in_a_large_batch(setting, weighted):
    rng = np.random.default_rng(1)
    n_labels = 83 if setting["scheme"] == "bio" else 42
    labels = rng.integers(MISSING, n_labels, 100) * (rng.random(100) < 0.4)
    weights = rng.uniform(0.3, 1.0, n_labels) if weighted else None
    # The copies one by one, but all of their tokens at once.
    x = torch.tensor(rng.normal(size=(100, n_labels)) * 3, requires_grad=True)
    w = torch.ones(n_labels, dtype=torch.float64) if weights is None else torch.tensor(weights)
    total = torch.zeros((), dtype=torch.float64)
    for columns, targets in make_copies(labels.tolist(), n_labels, **setting):
        t = torch.tensor(targets)
        divisor = {
            "weights": w[columns][t[t >= 0]].sum(),
            "mean": (t >= 0).sum(),
            "sum": 1,
        }[setting["reduction"]]
        total = total + torch.nn.functional.cross_entropy(
            x[:, columns], t, w[columns], ignore_index=MISSING, reduction="sum"
        ) / divisor  # fmt: skip
    total.backward()
    loss = BinaryTokenLabels(**setting)
    loss.class_weights = weights
    gradient, value = loss(x.detach().numpy().astype(np.float32), labels)
    assert value == pytest.approx(total.item(), rel=1e-5)
    assert gradient == pytest.approx(x.grad.numpy(), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@given(batch=batches("io"))
def test_all_token_labels_equal_cross_entropy(reduction, batch):
    assert_literal(AllTokenLabels(reduction=reduction), reduction, *batch)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
def test_all_token_labels_equal_cross_entropy_by_hand(reduction, weights):
    for labels in HAND_MADE.values():
        logits = np.random.default_rng(0).normal(size=(len(labels), 5))
        assert_literal(AllTokenLabels(reduction=reduction), reduction, logits, labels, weights)


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
def test_nothing_labelled_is_no_loss(loss, n_tokens):
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


def test_unlabelled_tokens_change_nothing(loss):
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


@pytest.mark.parametrize(
    ("shape", "labels", "weights", "message"),
    [
        ((5,), [0, 1, 2, 3, 4], None, "do not fit"),
        ((2, 5), [0, 1, 2], None, "do not fit"),
        ((2, 5), [], None, "do not fit"),
        ((2, 5), [[0], [1]], None, "do not fit"),
        ((2, 5), [0, 5], None, "between -1 and 4"),
        ((2, 5), [0, -2], None, "between -1 and 4"),
        ((2, 5), [0, 1], [1.0] * 4, "5 labels, but 4 class weights"),
    ],
)
def test_refuses(loss, shape, labels, weights, message):
    loss.class_weights = weights
    with pytest.raises(ValueError, match=message):
        loss(np.zeros(shape, np.float32), np.array(labels, dtype=np.int64))


@pytest.mark.parametrize("softmax", ["pair", "all"])
def test_columns_must_fit_the_scheme(softmax):
    loss = BinaryTokenLabels(softmax=softmax)
    with pytest.raises(ValueError, match='4 columns do not fit the scheme "bio"'):
        loss(np.zeros((2, 4), np.float32), np.array([0, 1]))


@pytest.mark.parametrize(
    "option", ["other_classes", "softmax", "absent_classes", "reduction", "scheme"]
)
def test_options_must_be_known(option):
    with pytest.raises(ValueError, match=f"{option} is 'no'"):
        BinaryTokenLabels(**{option: "no"})


def test_all_token_labels_options_must_be_known():
    with pytest.raises(ValueError, match="reduction is 'no'"):
        AllTokenLabels(reduction="no")


@pytest.mark.parametrize(
    ("batches_seen", "absent_classes", "copies"),
    [
        ([], "skip", 0),
        ([[MISSING]], "skip", 0),
        ([[0, 0]], "skip", 0),
        ([[0, 0]], "keep", 2),
        ([[1, 3]], "skip", 2),
        ([[1, 2, 0]], "skip", 1),
        ([[1, 3], [0] * 6], "skip", 2 * 2 / 8),  # weighted by tokens
        ([[1, 3, MISSING], [1, 2, 0, 0]], "skip", (2 * 2 + 1 * 4) / 6),
    ],
)
def test_copies_per_batch(batches_seen, absent_classes, copies):
    loss = BinaryTokenLabels(absent_classes=absent_classes)
    for labels in batches_seen:
        loss(np.zeros((len(labels), 5), np.float32), np.array(labels))
    assert loss.copies_per_batch == pytest.approx(copies)


def test_state_round_trip(loss):
    loss.class_weights = np.array(WEIGHTS["complement"], dtype=np.float32)
    logits = np.random.default_rng(5).normal(size=(4, 5)).astype(np.float32)
    loss(logits, np.array([0, 1, 2, 3]))
    copy = type(loss)(**options(loss))
    copy.set_state(json.loads(json.dumps(loss.get_state())))
    assert (copy.class_weights == loss.class_weights).all()
    assert (copy.probabilities(logits) == loss.probabilities(logits)).all()
    assert copy.get_state() == loss.get_state()
    fresh = type(loss)(**options(loss))
    copy.set_state(json.loads(json.dumps(fresh.get_state())))
    assert copy.class_weights is None


def assert_rows_are_probabilities(p):
    assert (p >= 0).all()
    assert (p <= 1 + 1e-6).all()
    assert p.sum(axis=1) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
def test_probabilities_are_such_for_any_logits(loss, weights):
    loss.class_weights = None if weights is None else np.asarray(weights, dtype=np.float32)
    if isinstance(loss, BinaryTokenLabels):
        loss.copies_per_batch = 1.7
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
    """What `probabilities` is to give by its docstring; None where it claims nothing exact."""
    equal = weights is None
    if setting["softmax"] == "all":
        exact = setting["reduction"] == "sum" or (
            setting["other_classes"] == "outside" and (setting["reduction"] == "mean" or equal)
        )
        return Q if exact else None
    if equal:
        return Q
    if setting["other_classes"] == "mask":
        return tilted(Q, weights)
    return tilted_by_pair(Q, weights, {"bio": 2, "io": 1}[setting["scheme"]])


@every_setting
@pytest.mark.parametrize("weights", [None, 2 * np.ones(5), TILT], ids=["unit", "equal", "tilt"])
def test_probabilities_are_recovered(setting, weights):
    is_equal = weights is None or len(set(weights)) == 1
    expected = expected_reading(setting, None if is_equal else weights)
    p = read_at_optimum(BinaryTokenLabels(**setting), Q, weights)
    if expected is not None:
        assert p == pytest.approx(expected, abs=2e-4)
    else:
        assert p != pytest.approx(Q, abs=1e-3)
        rare = np.array([[0.9, 0.03, 0.02, 0.04, 0.01], [0.94, 0.02, 0.01, 0.01, 0.02]])
        close = read_at_optimum(BinaryTokenLabels(**setting), rare, weights)
        assert close[:, 1:] == pytest.approx(rare[:, 1:], rel=0.2)


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
    made = [len(set(pair) - {OUTSIDE}) if absent_classes == "skip" else 2 for pair in batches]
    loss.copies_per_batch = sum(q[pair].prod() * n for pair, n in zip(batches, made, strict=True))
    if softmax == "pair":  # each type against all else, as q is where no copy is skipped
        x = x - x[0]
        odds = np.exp(x[1:])
        assert odds == pytest.approx(factors * q[1:] / (1 - q[1:]), rel=1e-3)
    else:
        (p,) = loss.probabilities(x[None])
        assert p[1:] / p[0] == pytest.approx(factors * q[1:] / q[0], rel=1e-3)


def test_gpu_arrays_give_the_same():
    cupy = pytest.importorskip("cupy")
    if not cupy.is_available():
        pytest.skip("no GPU")
    logits = np.random.default_rng(7).normal(size=(9, 5)).astype(np.float32)
    labels = np.array([0, 1, 2, 3, MISSING, 0, 4, 0, 1])
    for loss in map(deepcopy, LOSSES):
        loss.class_weights = np.array(WEIGHTS["complement"], dtype=np.float32)
        gradient, value = loss(cupy.asarray(logits), cupy.asarray(labels))
        probabilities = loss.probabilities(cupy.asarray(logits))
        d_expected, expected = loss(logits, labels)
        assert value == pytest.approx(expected, rel=1e-5)
        assert gradient.get() == pytest.approx(d_expected, abs=1e-6)
        assert probabilities.get() == pytest.approx(loss.probabilities(logits), abs=1e-6)
        assert loss(cupy.zeros((0, 5), "f"), cupy.zeros(0, "l"))[1] == 0
