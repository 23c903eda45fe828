"""What all token-level losses share: their form, class weights, and the softmax cross-entropy.

Arrays in, arrays out. Logits have shape (n_tokens, n_labels), labels shape (n_tokens,); a token
whose label is `MISSING` takes no part. Column 0 is ``O``.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from thinc import util
from thinc.loss import Loss

from ..labels.bio import MISSING
from ..util.checks import at_least_0, one_of
from .class_weights import ClassWeights

Array = Any
"""An array of numpy or of cupy."""

Reduction = Literal["weights", "mean", "sum"]


class TokenLoss(Loss[Array, Array, Array, float]):
    """Class weights, the reading of logits, one pass for both results.

    weighting: how class weights come from token counts; None for no weights.
    class_weights: (n_labels,) weight of each column, where these are fixed; set by `prepare`, and
        kept with the model.
    tau: 0 or more. In training, ``tau`` times the log of each label's share of the training tokens
        is added to its logit, a label without any counted as if it had one (logit adjustment:
        Menon et al. 2021, arXiv 2007.07314, eq. 10). Where that makes the logits fit, those without
        it stand for the true probabilities over the shares to the power of ``tau``.
    log_prior: (n_labels,) log of the shares; set by `prepare`, kept with the model.
    kept: the attributes that belong to the model, arrays or None, with their types.
    """

    kept: ClassVar[dict[str, str]] = {"class_weights": "float32", "log_prior": "float64"}
    weighting: ClassWeights | None = None
    class_weights: Array | None = None
    tau: float = 0.0
    log_prior: Array | None = None

    has_layers = False

    def finish_update(self, sgd: Any) -> None:
        """Do nothing."""

    def __call__(self, guesses: Array, truths: Array, lengths: Any = None) -> tuple[Array, float]:
        """Gradient (n_tokens, n_labels) with respect to the logits, and loss.

        Both are 0 where no token has a label. Raises ValueError where shapes, labels or class
        weights do not fit the logits.
        """
        xp = array_module(guesses)
        labels = xp.asarray(truths)
        check_labels(guesses, labels)
        rows = xp.flatnonzero(labels != MISSING)
        if not len(rows):
            return xp.zeros_like(guesses), 0.0
        weights = self._weights(guesses, labels[rows])
        logits = self._with_prior(guesses)
        if len(rows) == len(labels):  # nothing to leave out, so nothing to copy
            gradient, loss = self._compute(logits, labels, weights)
        else:
            gradient = xp.zeros_like(guesses)
            gradient[rows], loss = self._compute(logits[rows], labels[rows], weights)
        return gradient, float(loss)

    def get_grad(self, guesses: Array, truths: Array) -> Array:
        """Gradient (n_tokens, n_labels) of the loss with respect to the logits."""
        return self(guesses, truths)[0]

    def get_loss(self, guesses: Array, truths: Array) -> float:
        """Loss, as a float."""
        return self(guesses, truths)[1]

    def prepare(self, counts: Array, names: Sequence[str]) -> None:
        """Take what belongs to the loss from the training data, before the first batch.

        counts: (n_labels,) tokens of each column; names: of the columns. Raises ValueError where a
        table of class weights does not fit the names.
        """
        self.class_weights = None
        if self.weighting is not None and self.weighting.is_fixed:
            self.class_weights = self.weighting.from_counts(counts, names).astype("float32")
        n = np.maximum(np.asarray(counts, dtype="float64"), 1.0)
        self.log_prior = np.log(n / n.sum()) if self.tau else None

    def probabilities(self, logits: Array, lengths: Any = None) -> Array:
        """Label probabilities (n_tokens, n_labels) that these logits stand for, rows sum to 1."""
        raise NotImplementedError

    def get_state(self) -> dict[str, Any]:
        """What was learned from the data and belongs to the model, as JSON-serializable values."""
        return {name: to_texts(getattr(self, name)) for name in self.kept}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take over what `get_state` gave; KeyError where a part is missing."""
        for name, dtype in self.kept.items():
            texts = state[name]
            setattr(self, name, None if texts is None else np.asarray(texts, dtype=dtype))

    def _with_prior(self, logits: Array) -> Array:
        """What the loss is computed of: the logits (n_tokens, n_labels), with ``tau`` their prior.

        Raises ValueError where there is none, or one of another number of labels.
        """
        if not self.tau:
            return logits
        if self.log_prior is None:
            raise ValueError(
                "logit adjustment needs the token counts of the training data first: nlp.initialize"
            )
        if len(self.log_prior) != logits.shape[1]:
            raise ValueError(f"{logits.shape[1]} labels, but a prior of {len(self.log_prior)}")
        shift = array_module(logits).asarray(self.tau * self.log_prior, dtype=logits.dtype)
        return logits + shift

    def _compute(self, logits: Array, labels: Array, weights: Array) -> tuple[Array, Array]:
        """As `__call__`, for one labelled token at least; weights (n_labels,)."""
        raise NotImplementedError

    def _weights(self, logits: Array, labels: Array) -> Array:
        """Class weights (n_labels,), of the module and type of the logits.

        labels: the known ones of the batch.
        """
        xp, n_labels = array_module(logits), logits.shape[1]
        if self.class_weights is not None:
            if len(self.class_weights) != n_labels:
                raise ValueError(f"{n_labels} labels, but {len(self.class_weights)} class weights")
            return xp.asarray(self.class_weights, dtype=logits.dtype)
        weighting = self._counted_anew()
        if weighting is None:
            return xp.ones(n_labels, dtype=logits.dtype)
        counts = xp.bincount(labels, minlength=n_labels)
        return weighting.from_counts(counts).astype(logits.dtype)

    def _counted_anew(self) -> ClassWeights | None:
        """How the class weights come from the counts of each batch; None where they are fixed."""
        if self.class_weights is not None or self.weighting is None or self.weighting.is_fixed:
            return None
        return self.weighting


class SoftmaxLoss(TokenLoss):
    """A loss on the softmax of all columns.

    reduction: divide the sum over the tokens by the sum of their class weights ("weights"), by
        their number ("mean"), or by nothing ("sum").
    """

    def __init__(self, *, reduction: Reduction = "weights") -> None:
        self.reduction = one_of("reduction", reduction, ("weights", "mean", "sum"))

    def probabilities(self, logits: Array, lengths: Any = None) -> Array:
        """Label probabilities (n_tokens, n_labels): the softmax of the logits."""
        return softmax(logits)

    def _scale(self, labels: Array, weights: Array) -> Array:
        """What each token counts for (n_tokens,): its class weight, divided as ``reduction`` says.

        weights: (n_labels,)
        """
        scale = weights[labels]
        return scale / divisor(self.reduction, scale.sum(), len(labels))


def array_module(array: Array) -> Any:
    """The module that the array belongs to: numpy or cupy."""
    return util.get_array_module(array)  # type: ignore[no-untyped-call]


def to_texts(array: Array | None) -> list[Any] | None:
    """Numbers as (nested) lists of texts: spaCy's JSON writer drops what is below 1e-10."""
    return None if array is None else np.asarray(array).astype(str).tolist()


def check_labels(logits: Array, labels: Array) -> None:
    """Raise ValueError where labels (n_tokens,) do not fit logits (n_tokens, n_labels)."""
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ValueError(f"logits {logits.shape} and labels {labels.shape} do not fit")
    last = logits.shape[1] - 1
    if len(labels) and not MISSING <= int(labels.min()) <= int(labels.max()) <= last:
        raise ValueError(f"labels must lie between {MISSING} and {last}")


def divisor(reduction: Reduction, weights: Array, tokens: Array) -> Array:
    """What a sum over tokens is divided by; 1 where there is nothing to divide."""
    chosen = {"weights": weights, "mean": tokens, "sum": 1}[reduction]
    return chosen + (chosen == 0)


def softmax(logits: Array) -> Array:
    """Rows (n_tokens, n_labels) that sum to 1."""
    xp = array_module(logits)
    result = logits - logits.max(axis=1, keepdims=True)
    xp.exp(result, out=result)
    result /= result.sum(axis=1, keepdims=True)
    return result


def cross_entropy(logits: Array, *parts: tuple[Array, Array]) -> tuple[Array, Array]:
    """Gradient and loss ``sum_n scale[n] * -log softmax(x_n)[target[n]]``, summed over the parts.

    parts: targets and scales, (n_tokens,) each. They share one softmax, and no other array of the
    size of the logits is made than the gradient.
    """
    xp = array_module(logits)
    rows = xp.arange(len(logits))
    top = logits.max(axis=1)
    gradient = logits - top[:, None]
    xp.exp(gradient, out=gradient)
    total = gradient.sum(axis=1)
    log_total = xp.log(total)
    gradient *= (sum(scale for _, scale in parts) / total)[:, None]
    loss = 0.0
    for targets, scale in parts:
        loss = loss + (scale * (log_total - (logits[rows, targets] - top))).sum()
        gradient[rows, targets] -= scale
    return gradient, loss


class AllTokenLabels(SoftmaxLoss):
    """Weighted cross-entropy over all columns at once, the usual way to train token labels (ATL).

    `probabilities` leaves the class weights in: the optimum is ``p(c) ~ w_c q(c)`` for true
    probabilities ``q``.
    """

    def _compute(self, logits: Array, labels: Array, weights: Array) -> tuple[Array, Array]:
        return cross_entropy(logits, (labels, self._scale(labels, weights)))


class LogitAdjustment(AllTokenLabels):
    """Cross-entropy of ``x + tau log prior``, as `TokenLoss` says.

    For tau 1 the argmax of ``x`` has the least mean error over the labels rather than over the
    tokens. 0 is the cross-entropy. Class weights of frequency beside it correct twice.
    """

    def __init__(self, *, tau: float = 1.0, reduction: Reduction = "weights") -> None:
        super().__init__(reduction=reduction)
        self.tau = at_least_0("tau", tau)
