"""Losses to test, batches for them, and copies that are really made, in torch."""

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from scipy.optimize import minimize

from spacy_btl.labels.bio import MISSING, OUTSIDE
from spacy_btl.training.binary_token_labels import BinaryTokenLabels
from spacy_btl.training.class_weights import ClassWeights
from spacy_btl.training.losses import AllTokenLabels, TokenLoss
from spacy_btl.training.paper import PaperBinaryTokenLabels

REDUCTIONS = ("weights", "mean", "sum")

DEFAULT = {"other_classes": "outside", "softmax": "pair", "absent_classes": "skip"}
"""The reading of the paper that `BinaryTokenLabels` is."""

SETTINGS: list[dict[str, Any]] = [
    dict(zip(("other_classes", "softmax", "absent_classes", "reduction"), values, strict=True))
    for values in product(("outside", "mask"), ("all", "pair"), ("skip", "keep"), REDUCTIONS)
]
every_setting = pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: "-".join(s.values()))

LOSSES: dict[str, TokenLoss] = {
    **{f"ATL-{r}": AllTokenLabels(reduction=r) for r in REDUCTIONS},  # type: ignore[arg-type]
    **{f"BTL-{r}": BinaryTokenLabels(reduction=r) for r in REDUCTIONS},  # type: ignore[arg-type]
    **{f"paper-{'-'.join(s.values())}": PaperBinaryTokenLabels(**s) for s in SETTINGS},
}

HAND_MADE = {  # for two types
    "nothing": [],
    "one token": [0],
    "one entity": [3],
    "all unlabeled": [MISSING, MISSING, MISSING],
    "all O": [0, 0, 0],
    "all O, one unlabeled": [0, MISSING, 0],
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


def options(loss: TokenLoss) -> dict[str, Any]:
    """Return the settings a loss was made with."""
    return {name: value for name, value in vars(loss).items() if isinstance(value, str)}


def assert_rows_are_probabilities(p: np.ndarray) -> None:
    assert (p >= 0).all()
    assert (p <= 1 + 1e-6).all()
    assert p.sum(axis=1) == pytest.approx(1, abs=1e-5)


def weighted_cross_entropy(logits: Any, targets: Any, weights: Any, reduction: str) -> Any:
    """Compute one token at a time, without those whose target is `MISSING`."""
    terms, divisor = [torch.zeros((), dtype=torch.float64)], 0.0
    for row, target in zip(logits, targets, strict=True):
        if target != MISSING:
            terms.append(weights[target] * -torch.log_softmax(row, dim=0)[target])
            divisor += {"weights": float(weights[target]), "mean": 1.0, "sum": 0.0}[reduction]
    return torch.stack(terms).sum() / (divisor or 1.0)


def make_copies(labels: Any, n_labels: int, setting: dict[str, Any]) -> Any:
    """Yield columns that compete and targets among them, for each copy."""
    for first in range(1, n_labels, 2):
        own = [first, first + 1]
        if setting["absent_classes"] == "skip" and not set(own) & set(labels):
            continue
        columns = [OUTSIDE, *own] if setting["softmax"] == "pair" else list(range(n_labels))
        targets = []
        for label in labels:
            if label in (MISSING, OUTSIDE):
                targets.append(label)
            elif label in own:
                targets.append(columns.index(label))
            else:
                targets.append(OUTSIDE if setting["other_classes"] == "outside" else MISSING)
        yield columns, targets


def literal(logits: Any, labels: Any, weights: Any, setting: Any) -> tuple[np.ndarray, float]:
    """Return gradient and loss: the sum over copies that are really made, by autograd in float64.

    weights: of the columns; or a function that gives them for the targets of a copy, and for how
        many columns compete in it.
    setting: of `PaperBinaryTokenLabels`, or the reduction of `AllTokenLabels`, which makes none.
    """
    x = torch.tensor(np.asarray(logits), dtype=torch.float64, requires_grad=True)
    weights = np.ones(x.shape[1]) if weights is None else weights
    if isinstance(setting, str):
        of_batch = weights(labels, x.shape[1]) if callable(weights) else weights
        loss = weighted_cross_entropy(x, labels, of_batch, setting)
    else:
        loss = torch.zeros((), dtype=torch.float64)
        for columns, targets in make_copies(labels, x.shape[1], setting):
            of_copy = weights(targets, len(columns)) if callable(weights) else weights[columns]
            loss = loss + weighted_cross_entropy(
                x[:, columns], targets, of_copy, setting["reduction"]
            )
    if not loss.requires_grad:  # no copy, no token
        return np.zeros(x.shape), 0.0
    loss.backward()
    assert x.grad is not None
    return x.grad.numpy(), loss.item()


def assert_literal(loss: TokenLoss, setting: Any, logits: Any, labels: Any, weights: Any) -> None:
    """Check that the loss of float32 logits is that of the copies in float64, to 1e-5."""
    logits = np.asarray(logits, dtype=np.float32)
    loss.class_weights = None if weights is None else np.asarray(weights, dtype=np.float32)
    d_expected, expected = literal(logits, labels, loss.class_weights, setting)
    gradient, value = loss(logits, np.array(labels, dtype=np.int64))
    assert gradient.dtype == np.float32
    assert isinstance(value, float)
    assert value == pytest.approx(expected, rel=1e-5, abs=1e-5)
    assert gradient == pytest.approx(d_expected, rel=1e-5, abs=1e-5)


def assert_literal_in_a_large_batch(loss: TokenLoss, setting: Any, weighted: bool) -> None:
    """Check 41 types: the copies one by one, but all of their tokens at once."""
    rng = np.random.default_rng(1)
    labels = rng.integers(MISSING, 83, 100) * (rng.random(100) < 0.4)
    weights = rng.uniform(0.3, 1.0, 83) if weighted else None
    x = torch.tensor(rng.normal(size=(100, 83)) * 3, requires_grad=True)
    w = torch.ones(83, dtype=torch.float64) if weights is None else torch.tensor(weights)
    total = torch.zeros((), dtype=torch.float64)
    for columns, targets in make_copies(labels.tolist(), 83, setting):
        t = torch.tensor(targets)
        divisor = {"weights": w[columns][t[t >= 0]].sum(), "mean": (t >= 0).sum(), "sum": 1}
        summed = torch.nn.functional.cross_entropy(
            x[:, columns], t, w[columns], ignore_index=MISSING, reduction="sum"
        )
        total = total + summed / divisor[setting["reduction"]]
    total.backward()
    loss.class_weights = weights  # type: ignore[assignment]
    gradient, value = loss(x.detach().numpy().astype(np.float32), labels)
    assert value == pytest.approx(total.item(), rel=1e-5)
    assert x.grad is not None
    assert gradient == pytest.approx(x.grad.numpy(), rel=1e-4, abs=1e-5)


@st.composite
def batches(draw: st.DrawFn) -> tuple[np.ndarray, list[int], np.ndarray | None]:
    """Return logits, labels and weights (or None)."""
    n_labels = 1 + 2 * draw(st.integers(1, 4))
    labels = draw(st.lists(st.integers(MISSING, n_labels - 1), max_size=10))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    logits = rng.normal(size=(len(labels), n_labels)) * draw(st.sampled_from([0.1, 3.0, 30.0]))
    weights = rng.random(n_labels) * (rng.random(n_labels) < 0.8)  # some are 0
    return logits, labels, draw(st.sampled_from([None, weights]))


def plain_weights(scheme: str, targets: list[int], n_columns: int) -> list[float]:
    """Return class weights by their formulas, one label at a time."""
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


def make_weighting(scheme: Any, counted_on: Any) -> ClassWeights:
    """Return the same as `plain_weights`."""
    return ClassWeights(scheme=scheme, power=0.5, beta=0.9, counted_on=counted_on)


# Recovery: minimize the expected loss of tokens with known label probabilities, read the logits.

Q = np.array([[0.5, 0.2, 0.1, 0.05, 0.15], [0.8, 0.05, 0.05, 0.1, 0.0], [0.1, 0.5, 0.1, 0.2, 0.1]])
TILT = np.array([0.3, 0.8, 0.9, 1.0, 2.0])


def read_at_optimum(loss: TokenLoss, q: np.ndarray, weights: Any) -> np.ndarray:
    """Return `probabilities` at the minimum of the loss of a batch with label shares q."""
    loss.class_weights = None if weights is None else np.asarray(weights)
    counts = np.round(q * 100).astype(int)
    labels = np.concatenate([np.repeat(np.arange(q.shape[1]), row) for row in counts])
    context = np.repeat(np.arange(len(q)), counts.sum(axis=1))

    def expected_loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        gradient, value = loss(flat.reshape(q.shape)[context], labels)
        d_x = np.zeros(q.shape)
        np.add.at(d_x, context, gradient)
        return value, d_x.ravel()

    thorough = {"ftol": 0, "gtol": 1e-9, "maxiter": 2000, "maxfun": 4000, "maxcor": 30}
    best = minimize(expected_loss, np.zeros(q.size), jac=True, method="L-BFGS-B", options=thorough)
    return np.asarray(loss.probabilities(best.x.reshape(q.shape)))


def tilted(q: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return probabilities times weights, over their sum."""
    return np.asarray(q * weights / (q * weights).sum(axis=1, keepdims=True))


def tilted_by_pair(q: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the reading of "pair" and "outside": each type tilted against everything else."""
    own = (q * weights)[:, 1:].reshape(len(q), -1, 2)
    rest = weights[0] * (1 - q[:, 1:].reshape(own.shape).sum(axis=2, keepdims=True))
    p = (own / (own.sum(axis=2, keepdims=True) + rest)).reshape(len(q), -1)
    left = np.maximum(1 - p.sum(axis=1, keepdims=True), 0)
    p = np.concatenate((left, p), axis=1)
    return np.asarray(p / p.sum(axis=1, keepdims=True))
