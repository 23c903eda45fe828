"""The losses in one pass, against copies that are really made, one after the other, in torch."""

from copy import deepcopy
from functools import partial
from itertools import product

import numpy as np
import pytest
import srsly
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_btl.labels.bio import MISSING, OUTSIDE
from spacy_btl.training import binary_token_labels as losses
from spacy_btl.training.binary_token_labels import BinaryTokenLabels
from spacy_btl.training.class_weights import ClassWeights
from spacy_btl.training.losses import AllTokenLabels

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


def assert_rows_are_probabilities(p):
    assert (p >= 0).all()
    assert (p <= 1 + 1e-6).all()
    assert p.sum(axis=1) == pytest.approx(1, abs=1e-5)


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

    weights: of the columns; or a function that gives them for the targets of a copy, and for how
        many columns compete in it.
    setting: what `BinaryTokenLabels` takes, or the reduction of `AllTokenLabels`, which makes none.
    """
    x = torch.tensor(np.asarray(logits), dtype=torch.float64, requires_grad=True)
    weights = np.ones(x.shape[1]) if weights is None else weights
    if isinstance(setting, str):
        of_batch = weights(labels, x.shape[1]) if callable(weights) else weights
        loss = weighted_cross_entropy(x, labels, of_batch, setting)
    else:
        loss = torch.zeros((), dtype=torch.float64)
        for columns, targets in make_copies(labels, x.shape[1], **setting):
            of_copy = weights(targets, len(columns)) if callable(weights) else weights[columns]
            loss = loss + weighted_cross_entropy(
                x[:, columns], targets, of_copy, setting["reduction"]
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


def plain_weights(scheme, targets, n_columns):
    """Class weights by their formulas, one label at a time."""
    counts = [targets.count(column) for column in range(n_columns)]
    total = sum(counts)
    if scheme == "complement":
        return [1 - n / (total or 1) for n in counts]
    if scheme == "inverse_frequency":
        raw = [max(n, 1) ** -0.5 for n in counts]
    else:
        raw = [(1 - 0.9) / (1 - 0.9 ** max(n, 1)) for n in counts]
    weighted = sum(n * w for n, w in zip(counts, raw, strict=True))
    return [w * total / weighted if total else w for w in raw]


def make_weighting(scheme, counted_on):
    return ClassWeights(scheme=scheme, power=0.5, beta=0.9, counted_on=counted_on)


@pytest.mark.parametrize("scheme", ["complement", "inverse_frequency", "effective_number"])
@pytest.mark.parametrize("counted_on", ["training", "batch", "copy"])
@every_setting
def test_one_pass_equals_the_copies_for_counted_weights(setting, counted_on, scheme):
    in_training = [0] * 7 + [1, 2, 2, 3]
    for labels in HAND_MADE.values():
        logits = np.random.default_rng(0).normal(size=(len(labels), 5)).astype(np.float32)
        loss = BinaryTokenLabels(**setting)
        loss.weighting = make_weighting(scheme, counted_on)
        loss.prepare(np.bincount(in_training, minlength=5), list("OABCD"))
        if counted_on == "copy":
            weights = partial(plain_weights, scheme)
        else:
            counted = in_training if counted_on == "training" else labels
            weights = np.array(plain_weights(scheme, counted, 5))
        d_expected, expected = literal(logits, labels, weights, setting)
        gradient, value = loss(logits, np.array(labels, dtype=np.int64))
        assert value == pytest.approx(expected, rel=1e-5, abs=1e-5)
        assert gradient == pytest.approx(d_expected, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("scheme", ["complement", "inverse_frequency", "effective_number"])
@pytest.mark.parametrize("counted_on", ["batch", "copy"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_all_token_labels_count_a_copy_as_the_batch(reduction, counted_on, scheme):
    for labels in HAND_MADE.values():
        logits = np.random.default_rng(0).normal(size=(len(labels), 5)).astype(np.float32)
        loss = AllTokenLabels(reduction=reduction)
        loss.weighting = make_weighting(scheme, counted_on)
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


@pytest.mark.parametrize("size", [1, 5, 11, 14, 10**6])
@every_setting
def test_blocks_change_nothing(setting, size, monkeypatch):
    """However few rows are worked on at a time, down to one and whatever is left for the last."""
    labels = np.array([0, 1, 2, 3, 4, 0, 0])
    logits = np.random.default_rng(8).normal(size=(7, 5))
    d_expected, expected = literal(logits, labels.tolist(), None, setting)
    monkeypatch.setattr(losses, "BLOCK", size)
    gradient, value = BinaryTokenLabels(**setting)(logits, labels)
    assert value == pytest.approx(expected)
    assert gradient == pytest.approx(d_expected)


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
    ("batches_seen", "absent_classes", "tokens", "own", "as_outside"),
    [
        ([[0, 0]], "skip", [2, 0, 0], [0, 0, 0], [0, 0, 0]),
        ([[0, 0]], "keep", [2, 0, 0], [0, 0, 0], [4, 0, 0]),  # two copies say O to two tokens
        ([[1, 2]], "skip", [0, 1, 1], [0, 1, 1], [0, 1, 1]),
        ([[0, 1, 1]], "skip", [1, 2, 0], [0, 2, 0], [1, 0, 0]),
        ([[1, 2, MISSING], [0, 0, 1]], "skip", [2, 2, 1], [0, 2, 1], [2, 1, 1]),
    ],
)
def test_sums_what_its_tokens_count_for(batches_seen, absent_classes, tokens, own, as_outside):
    loss = BinaryTokenLabels(
        softmax="all", absent_classes=absent_classes, reduction="sum", scheme="io"
    )
    for labels in batches_seen:
        loss(np.zeros((len(labels), 3), np.float32), np.array(labels))
    assert loss.seen.tolist() == [tokens, own, as_outside]


def test_what_was_seen_belongs_to_its_training_data():
    loss = BinaryTokenLabels(softmax="all")
    loss(np.zeros((2, 3), np.float32), np.array([MISSING, MISSING]))
    assert loss.seen is None
    loss(np.zeros((2, 3), np.float32), np.array([0, 1]))
    assert loss.seen is not None
    loss.prepare(np.array([5, 1, 1]), ["O", "B-Age", "I-Age"])
    assert loss.seen is None


def test_state_round_trip(loss):
    loss.class_weights = np.array([*WEIGHTS["complement"][:4], 1e-7 / 3], dtype=np.float32)
    logits = np.random.default_rng(5).normal(size=(4, 5)).astype(np.float32)
    loss(logits, np.array([0, 1, 2, 3]))
    copy = type(loss)(**options(loss))
    copy.set_state(srsly.json_loads(srsly.json_dumps(loss.get_state())))
    assert (copy.class_weights == loss.class_weights).all()
    assert (copy.probabilities(logits) == loss.probabilities(logits)).all()
    assert copy.get_state() == loss.get_state()
    fresh = type(loss)(**options(loss))
    copy.set_state(srsly.json_loads(srsly.json_dumps(fresh.get_state())))
    assert copy.class_weights is None


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
