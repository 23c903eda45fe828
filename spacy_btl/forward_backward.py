"""Sums over all label sequences of a chain, by forward-backward. Pure arrays."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints1d = npt.NDArray[np.int64]


class Posterior(NamedTuple):
    """Sums over all label sequences of some documents, each with its probability."""

    log_z: float
    """Logarithm of the sum of the scores' exponentials, over all documents."""
    marginals: Floats
    """(n_tokens, n_labels) probability of each label on each token."""
    starts: Floats
    """(n_labels,) expected number of documents that start with a label."""
    pairs: Floats
    """(n_labels, n_labels) expected number of times that a label is followed by another."""


@np.errstate(divide="ignore", invalid="ignore")  # log 0: a label that nothing leads to
def forward_backward(logits: Floats, sizes: Ints1d, factors: Floats, start: Floats) -> Posterior:
    """Sums over the label sequences of documents whose tokens stand one after another.

    sizes: (n_docs,) tokens of each. factors, start: exponentials of the transitions and the start
    scores, 0 where forbidden. All documents take a step at a time: the loop is over positions.
    """
    firsts = np.cumsum(sizes) - sizes
    order = firsts[np.argsort(-sizes, kind="stable")]  # the longest first: it is there to the end
    n_docs = [int((sizes > t).sum()) for t in range(sizes.max(initial=0))]
    before, after = np.empty_like(logits), np.zeros_like(logits)
    at = order[: n_docs[0]] if n_docs else order[:0]
    before[at] = logits[at] + np.log(start)
    for t, n in enumerate(n_docs[1:], start=1):
        at = order[:n] + t
        before[at] = logits[at] + _log_matmul(before[at - 1], factors)
    for t in range(len(n_docs) - 1, 0, -1):
        at = order[: n_docs[t]] + t
        after[at - 1] = _log_matmul(logits[at] + after[at], factors.T)
    scores = before + after
    top = scores.max(axis=1, keepdims=True)
    marginals = np.exp(scores - top)
    totals = marginals.sum(axis=1, keepdims=True)
    firsts = firsts[sizes > 0]
    second = np.setdiff1d(np.arange(len(logits)), firsts)  # of a pair
    left, right = _exp(before[second - 1])[0], _exp((logits + after)[second])[0]
    right /= ((left @ factors) * right).sum(axis=1, keepdims=True)
    marginals /= totals
    return Posterior(
        log_z=float((top + np.log(totals))[firsts].sum()),
        marginals=marginals,
        starts=marginals[firsts].sum(axis=0),
        pairs=factors * (left.T @ right),
    )


def _exp(logs: Floats) -> tuple[Floats, Floats]:
    """Exponentials, each row scaled to a maximum of 1, and the logarithms of the scales."""
    top = np.maximum(logs.max(axis=1, keepdims=True), np.finfo(np.float64).min)
    return np.exp(logs - top), top


def _log_matmul(logs: Floats, factors: Floats) -> Floats:
    """``log(exp(logs) @ factors)``, row by row."""
    scaled, top = _exp(logs)
    return np.asarray(np.log(scaled @ factors) + top)
