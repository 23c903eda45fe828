"""A linear-chain conditional random field over BIO columns, as a loss to compare with.

For a document with logits ``x``, the score of a label sequence ``y`` is

    s(y) = start[y_1] + sum_t x_t[y_t] + sum_t transitions[y_t, y_t+1],

its probability ``exp s(y) / Z``, Z the sum over all well-formed sequences (Lafferty, McCallum,
Pereira 2001). The loss is ``log Z - log Z'``, Z' the sum over those that agree with the gold
labels; a token without one may be anything. All runs on the CPU in double precision: many small
steps one after another, which a GPU makes no faster, and sums that single precision would lose.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from thinc.api import Optimizer, to_numpy

from ..labels.bio import MISSING, column_types
from ..util.checks import above_0, at_least_0, one_of
from .losses import Array, Reduction, TokenLoss, array_module, check_labels, to_texts

# --- from forward_backward

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


# --- from crf


class CrfLoss(TokenLoss):
    """Negative log-likelihood of label sequences, with transitions learned beside the model.

    reduction: divide the sum over the documents by the number of labelled tokens ("weights" and
        "mean": each token weighs 1), or by nothing ("sum").
    rate_factor: above 0; what the learning rate is multiplied by for the parameters (and once more
        by the ``head_factor`` of AdamByLayer). A transition has to move by whole units of log-odds
        from 0, which the rates that a pretrained encoder bears would not let it do in some thousand
        updates.
    tau: logit adjustment, see `TokenLoss`: 0 or more.

    The parameters, ``transitions`` (n_labels, n_labels) and ``start`` (n_labels,), begin at 0 and
    follow the optimizer in `finish_update`; its averages are not applied to them.
    """

    needs_lengths = True  # the component passes the lengths of the documents

    def __init__(
        self, *, rate_factor: float = 20.0, reduction: Reduction = "weights", tau: float = 0.0
    ) -> None:
        self.rate_factor = above_0("rate_factor", rate_factor)
        self.reduction = one_of("reduction", reduction, ("weights", "mean", "sum"))
        self.tau = at_least_0("tau", tau)
        self.parameters: dict[str, Any] = {}
        self._gradients: dict[str, Any] = {}

    def __call__(
        self, guesses: Array, truths: Array, lengths: npt.ArrayLike | None = None
    ) -> tuple[Array, float]:
        """Gradient (n_tokens, n_labels) with respect to the logits, and loss.

        lengths: tokens of each document, in order; None for one document. The gradient of the
            parameters waits for `finish_update`. Raises ValueError where the shapes do not fit,
            where no well-formed sequence agrees with the labels, or for class weights.
        """
        self._refuse_weights()
        xp = array_module(guesses)
        logits, labels = _to_cpu(guesses, np.float64), _to_cpu(truths, np.int64)
        check_labels(logits, labels)
        n_labelled = np.count_nonzero(labels != MISSING)
        if not n_labelled:
            return xp.zeros_like(guesses), 0.0
        logits = self._with_prior(logits)
        agrees = (labels[:, None] == MISSING) | (labels[:, None] == np.arange(logits.shape[1]))
        free = self._posterior(logits, lengths)
        gold = self._posterior(np.where(agrees, logits, -np.inf), lengths)
        if not np.isfinite(gold.log_z):
            raise ValueError("no well-formed sequence agrees with the labels: an I- stands alone")
        scale = 1.0 if self.reduction == "sum" else 1.0 / n_labelled
        for name, at in (("transitions", "pairs"), ("start", "starts")):
            step = (scale * (getattr(free, at) - getattr(gold, at))).astype(np.float32)
            self.parameters.setdefault(name, np.zeros_like(step))
            self._gradients[name] = self._gradients.get(name, 0.0) + step
        gradient = xp.asarray(scale * (free.marginals - gold.marginals), dtype=guesses.dtype)
        return gradient, float(scale * (free.log_z - gold.log_z))

    def probabilities(self, logits: Array, lengths: npt.ArrayLike | None = None) -> Array:
        """Marginal probabilities (n_tokens, n_labels) of the labels; lengths as in a call."""
        marginals = self._posterior(_to_cpu(logits, np.float64), lengths).marginals
        return array_module(logits).asarray(marginals, dtype=logits.dtype)

    def finish_update(self, sgd: Optimizer) -> None:
        """Let the optimizer change the parameters by the gradients gathered since the last time."""
        for name, gradient in self._gradients.items():
            key, weights = (id(self), name), self.parameters[name]
            self.parameters[name], _ = sgd(key, weights, gradient, lr_scale=self.rate_factor)
        self._gradients = {}

    def get_state(self) -> dict[str, Any]:
        """As `TokenLoss.get_state`, with the parameters."""
        texts = {name: to_texts(array) for name, array in self.parameters.items()}
        return {**super().get_state(), "parameters": texts}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take over what `get_state` gave."""
        super().set_state(state)
        texts = state["parameters"]
        self.parameters = {name: np.asarray(text, np.float32) for name, text in texts.items()}
        self._gradients = {}

    def prepare(self, counts: Array, names: Sequence[str]) -> None:
        """As `TokenLoss.prepare`; begins anew. ValueError where class weights are configured."""
        super().prepare(counts, names)
        self.parameters, self._gradients = {}, {}
        self._refuse_weights()

    def _refuse_weights(self) -> None:
        weights = 1.0 if self.class_weights is None else self.class_weights
        if np.any(weights != 1.0) or (self.weighting and self.weighting.scheme != "none"):
            raise ValueError(
                "a CRF weighs whole sequences and cannot take class weights; set "
                "class_weights = null in the config of the component"
            )

    def _posterior(self, logits: Floats, lengths: npt.ArrayLike | None) -> Posterior:
        columns = logits.shape[1]
        sizes = np.asarray([len(logits)] if lengths is None else lengths, dtype=np.int64)
        if sizes.sum() != len(logits):
            raise ValueError(f"{len(logits)} tokens, but documents of {sizes.sum()} in all")
        start = self.parameters.get("start", np.zeros(columns))
        if len(start) != columns:
            raise ValueError(f"{columns} columns, but the CRF has learned {len(start)}")
        transitions = self.parameters.get("transitions", np.zeros((columns, columns)))
        types, is_inside = column_types(columns), np.arange(columns) % 2 == 0
        is_inside[0] = False  # O
        allowed = ~is_inside | (types[:, None] == types)
        return forward_backward(
            logits, sizes, np.where(allowed, np.exp(transitions), 0.0), ~is_inside * np.exp(start)
        )


def _to_cpu(array: Array, dtype: Any) -> Any:
    return np.asarray(to_numpy(array), dtype=dtype)  # type: ignore[no-untyped-call]
