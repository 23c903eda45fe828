"""The base class of the token-level losses, cross-entropy (ATL) and logit adjustment.

A loss takes logits (n_tokens, n_labels) and gold labels (n_tokens,), arrays of numpy or cupy, and
returns the gradient with respect to the logits and the loss. Column 0 is ``O``; a token whose label
is `MISSING` takes no part. A mask (n_tokens, n_types) says which types the document of a token
annotates; an ``O`` is unknown for all others. Gradients are closed forms, which cost a few passes
over the logits; a copy to torch and back would cost as much again.
"""

from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import ClassVar, Literal, TypeAlias, get_args

import numpy as np
from thinc import util
from thinc.loss import Loss

from ..labels.bio import MISSING, OUTSIDE, Averaging
from ..util.arrays import Float32s1d, Float64s1d, Ints1d, XpArray
from ..util.checks import at_least_0, one_of
from .class_weights import ClassWeights

Reduction = Literal["weights", "mean", "sum"]
"""Divisor of a sum over tokens: the sum of their class weights, their number, or 1."""

UpdateRule: TypeAlias = Callable[..., tuple[XpArray, XpArray]]
"""A Thinc optimizer, or a function of a key, weights and their gradient in its place."""


class TokenLoss(Loss[XpArray, XpArray, XpArray, float]):
    """A loss over token labels, with class weights and logit adjustment.

    Attributes:
        has_layers: Whether entities of different types may overlap. If so, labels may have a layer
            for each type (n_tokens, n_types), see `labels.layers`, and `layer_probabilities` works.
        honors_label_sets: Whether calls take a mask of annotated types.
        counts_copies: Whether class weights may be counted on "copy".
        kept: Names of the attributes that are saved with the model (arrays or None), and their
            element types.
        weighting: How class weights follow from token counts; None for no weights. Set by the
            component.
        class_weights: (n_labels,) weights of the columns, where these are fixed. Set by `prepare`.
        tau: Strength of logit adjustment, see `LogitAdjustment`. A label without tokens counts as
            if it had one. The logits represent the true probabilities divided by the shares of the
            labels to the power of ``tau``.
        log_prior: (n_labels,) logs of these shares. Set by `prepare`.
    """

    has_layers: bool = False
    honors_label_sets: ClassVar[bool] = False
    counts_copies: ClassVar[bool] = False
    kept: ClassVar[Mapping[str, str]] = {"class_weights": "float32", "log_prior": "float64"}
    weighting: ClassWeights | None = None
    class_weights: Float32s1d | None = None
    tau: float = 0.0
    log_prior: Float64s1d | None = None

    def __call__(
        self,
        guesses: XpArray,
        truths: XpArray,
        lengths: Sequence[int] | None = None,
        annotated: XpArray | None = None,
    ) -> tuple[XpArray, float]:
        """Return the gradient with respect to the logits, and the loss.

        Args:
            guesses: Logits (n_tokens, n_labels).
            truths: Labels (n_tokens,).
            lengths: Number of tokens of each document, in order; None for one document. Only a loss
                over label sequences needs it.
            annotated: (n_tokens, n_types) bool, the types that the token's document annotates; None
                for all.

        Returns:
            Gradient (n_tokens, n_labels) and loss, both 0 if no token has a label.

        Raises:
            ValueError: If shapes, labels or class weights do not fit the logits, a token has a type
                that is not annotated, or the loss takes no mask.
        """
        xp = array_module(guesses)
        labels = xp.asarray(truths)
        check_labels(guesses, labels)
        mask = self._mask(guesses, labels, annotated)
        rows = xp.flatnonzero(labels != MISSING)
        if not len(rows):
            return xp.zeros_like(guesses), 0.0
        weights = self._weights(guesses, labels[rows])
        logits = self._with_prior(guesses)
        if len(rows) == len(labels):  # nothing to leave out, so nothing to copy
            gradient, loss = self._compute(logits, labels, weights, **mask)
        else:
            mask = {name: array[rows] for name, array in mask.items()}
            gradient = xp.zeros_like(guesses)
            gradient[rows], loss = self._compute(logits[rows], labels[rows], weights, **mask)
        return gradient, float(loss)

    def get_grad(self, guesses: XpArray, truths: XpArray) -> XpArray:
        """Return the gradient (n_tokens, n_labels) with respect to the logits."""
        return self(guesses, truths)[0]

    def get_loss(self, guesses: XpArray, truths: XpArray) -> float:
        """Return the loss."""
        return self(guesses, truths)[1]

    def probabilities(self, logits: XpArray, lengths: Sequence[int] | None = None) -> XpArray:
        """Return the probabilities (n_tokens, n_labels) that logits of this shape represent."""
        raise NotImplementedError

    def layer_probabilities(self, logits: XpArray, lengths: Sequence[int] | None = None) -> XpArray:
        """Return the probabilities (n_tokens, n_types, 3) by type; TypeError without layers."""
        raise TypeError(
            f"{type(self).__name__} has one label for each token and no layer for each type: "
            "check has_layers first"
        )

    def averaging(self, *, layered: bool) -> Averaging | None:
        """Return how logits of several models are averaged; None if they cannot be."""
        return None

    def prepare(self, counts: Ints1d, names: Sequence[str]) -> None:
        """Take class weights and prior from the training data, before the first batch.

        Args:
            counts: (n_labels,) number of tokens of each column.
            names: Names of the columns.

        Raises:
            ValueError: If a table of class weights does not fit the names, or if the weights are
                to be counted on copies that this loss does not make.
        """
        weighting = self.weighting
        if weighting is not None and weighting.counted_on == "copy" and not self.counts_copies:
            raise ValueError(
                f'class weights are counted on "copy", but {type(self).__name__} makes no copies: '
                'count them on "training" or "batch", or use spacy-btl.PaperBinaryTokenLabels.v1'
            )
        self.class_weights = None
        if weighting is not None and weighting.is_fixed:
            self.class_weights = weighting.from_counts(counts, names).astype("float32")
        n = np.maximum(np.asarray(counts, dtype="float64"), 1.0)
        self.log_prior = np.log(n / n.sum()) if self.tau else None

    def add_columns(self, n: int) -> None:
        """Make room for further columns behind those that are there.

        The tokens that `prepare` has counted had none of the new labels: they weigh as much as the
        heaviest label, and their prior is that of the rarest.
        """
        for name, fill in (("class_weights", np.max), ("log_prior", np.min)):
            if (values := getattr(self, name)) is not None:
                setattr(self, name, np.append(values, [fill(values)] * n).astype(values.dtype))

    def take_columns(self, other: "TokenLoss", columns: Ints1d) -> None:
        """Take over the parameters of another loss, if there are any and it is of the same kind.

        ``columns`` (n_labels,) has the other's column for each of this one's, -1 for a new one.
        """

    def finish_update(self, sgd: UpdateRule) -> None:
        """Update the loss's own parameters by the gradients since the last time, if it has any."""

    def get_state(self) -> dict[str, object]:
        """Return what was learned from the data, as plain values for JSON."""
        arrays = {name: getattr(self, name) for name in self.kept}
        return {k: None if v is None else np.asarray(v).tolist() for k, v in arrays.items()}

    def set_state(self, state: Mapping[str, object]) -> None:
        """Restore what `get_state` returned.

        Raises:
            KeyError: If a part is missing.
        """
        for name, dtype in self.kept.items():
            value = state[name]
            setattr(self, name, None if value is None else np.asarray(value, dtype=dtype))

    def _with_prior(self, logits: XpArray) -> XpArray:
        """Return the logits (n_tokens, n_labels) that the loss is computed on.

        Raises:
            ValueError: If ``tau`` needs a prior, and there is none or one of other labels.
        """
        if not self.tau:
            return logits
        if self.log_prior is None:
            raise ValueError(
                "logit adjustment needs the token counts of the training data: "
                "call nlp.initialize before nlp.update"
            )
        if len(self.log_prior) != logits.shape[1]:
            raise ValueError(f"{logits.shape[1]} labels, but a prior of {len(self.log_prior)}")
        shift = array_module(logits).asarray(self.tau * self.log_prior, dtype=logits.dtype)
        return logits + shift

    def _mask(
        self, logits: XpArray, labels: XpArray, annotated: XpArray | None
    ) -> dict[str, XpArray]:
        """Return the mask of annotated types as an argument; nothing where all are annotated.

        Args:
            logits: (n_tokens, n_labels)
            labels: (n_tokens,)
            annotated: As in a call of the loss.
        """
        if annotated is None:
            return {}
        if not self.honors_label_sets:
            raise ValueError(
                f"{type(self).__name__} does not support label sets, but a document does "
                "not annotate all types: give the loss honors_label_sets = True and a _compute "
                "with a mask (annotated), or use a loss of spacy-btl"
            )
        mask = array_module(logits).asarray(annotated, dtype=bool)
        check_mask(logits, labels, mask)
        return {} if mask.all() else {"annotated": mask}

    def _compute(
        self,
        logits: XpArray,
        labels: XpArray,
        weights: XpArray,
        annotated: XpArray | None = None,
    ) -> tuple[XpArray, XpArray]:
        """Return gradient and loss as `__call__` does, of at least one token, all with labels.

        Args:
            logits: (n_tokens, n_labels)
            labels: (n_tokens,)
            weights: (n_labels,) class weights.
            annotated: (n_tokens, n_types) bool. Given where a token's document does not annotate
                all types, and only to a loss that `honors_label_sets`.
        """
        raise NotImplementedError

    def _weights(self, logits: XpArray, labels: XpArray) -> XpArray:
        """Return the class weights (n_labels,), of the module and type of the logits.

        Args:
            logits: (n_tokens, n_labels)
            labels: (n_known,) the labels that are known in the batch.
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
        """Return how class weights follow from the counts of a batch; None where they are fixed."""
        if self.class_weights is not None or self.weighting is None or self.weighting.is_fixed:
            return None
        return self.weighting


class SoftmaxLoss(TokenLoss):
    """A loss on the softmax of all columns.

    Attributes:
        reduction: What the sum over the tokens is divided by: the sum of their class weights
            ("weights"), their number ("mean"), or nothing ("sum").
    """

    def __init__(self, *, reduction: Reduction = "weights") -> None:
        self.reduction = one_of("reduction", reduction, get_args(Reduction))

    def probabilities(self, logits: XpArray, lengths: Sequence[int] | None = None) -> XpArray:
        """Return the softmax of the logits (n_tokens, n_labels)."""
        return softmax(logits)

    def averaging(self, *, layered: bool) -> Averaging | None:
        """Return that of a softmax over all columns."""
        return "softmax"

    def _scale(self, labels: XpArray, weights: XpArray) -> XpArray:
        """Return the weight of each token in the loss (n_tokens,), divided by the divisor.

        Args:
            labels: (n_tokens,)
            weights: (n_labels,) class weights.
        """
        scale = weights[labels]
        return scale / divisor(self.reduction, scale.sum(), len(labels))


class AllTokenLabels(SoftmaxLoss):
    """Weighted cross-entropy over all columns at once, the usual way to train token labels (ATL).

    Class weights stay in the probabilities: the optimum is ``p(c) ~ w_c q(c)`` for true ``q``.

    Where a document does not annotate all types, a token outside of its entities has the loss
    ``-log(p(O) + sum of p(c) over the columns of the other types)``.

    Attributes:
        reduction: Divisor of the sum over the tokens: the sum of their class weights ("weights"),
            their number ("mean"), or 1 ("sum").
    """

    honors_label_sets = True

    def _compute(
        self,
        logits: XpArray,
        labels: XpArray,
        weights: XpArray,
        annotated: XpArray | None = None,
    ) -> tuple[XpArray, XpArray]:
        scale = self._scale(labels, weights)
        if annotated is None:
            return cross_entropy(logits, labels, scale)
        xp = array_module(logits)
        is_open = (labels == OUTSIDE) & ~annotated.all(axis=1)
        gradient, loss = xp.empty_like(logits), 0.0
        for chosen, agrees in ((~is_open, None), (is_open, agreeing(annotated[is_open]))):
            rows = xp.flatnonzero(chosen)
            if agrees is None:
                of_rows = cross_entropy(logits[rows], labels[rows], scale[rows])
            else:
                of_rows = marginal_cross_entropy(logits[rows], agrees, scale[rows])
            gradient[rows], loss = of_rows[0], loss + of_rows[1]
        return gradient, loss


class LogitAdjustment(AllTokenLabels):
    """Cross-entropy with logit adjustment (Menon et al. 2021, arXiv 2007.07314, eq. 10).

    In training, ``tau`` times the log of each label's share of the tokens is added to its logit.
    Class weights by frequency would correct a second time: set ``class_weights = null``.

    Attributes:
        tau: Strength of the adjustment, 0 or more. Higher values give rare types more recall and
            less precision. With 1, the highest logit minimizes the mean error over the labels
            instead of that over the tokens.
        reduction: As in `AllTokenLabels`.
    """

    def __init__(self, *, tau: float = 1.0, reduction: Reduction = "weights") -> None:
        super().__init__(reduction=reduction)
        self.tau = at_least_0("tau", tau)


def array_module(array: XpArray) -> ModuleType:
    """Return the module of the array, numpy or cupy."""
    module: ModuleType = util.get_array_module(array)  # type: ignore[no-untyped-call]
    return module


def check_labels(logits: XpArray, labels: XpArray) -> None:
    """Raise ValueError if labels (n_tokens,) do not fit logits (n_tokens, n_labels)."""
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ValueError(f"logits {logits.shape} and labels {labels.shape} do not match")
    last = logits.shape[1] - 1
    if len(labels) and not MISSING <= int(labels.min()) <= int(labels.max()) <= last:
        raise ValueError(f"labels must be between {MISSING} and {last}")


def check_mask(logits: XpArray, labels: XpArray, annotated: XpArray) -> None:
    """Raise ValueError if a mask does not fit, or a token has a type that is not annotated.

    Args:
        logits: (n_tokens, n_labels)
        labels: (n_tokens,)
        annotated: (n_tokens, n_types) bool.
    """
    if annotated.shape != (len(logits), logits.shape[1] // 2):
        raise ValueError(
            f"logits {logits.shape} and annotated types {annotated.shape} do not match"
        )
    rows = array_module(logits).flatnonzero(labels > OUTSIDE)
    if not annotated[rows, (labels[rows] - 1) // 2].all():
        raise ValueError("a token has the label of a type that its document does not annotate")


def agreeing(annotated: XpArray) -> XpArray:
    """Return which columns (n_tokens, n_labels) an ``O`` may represent.

    Those are ``O`` itself, and both columns of each type that is not annotated.

    Args:
        annotated: (n_tokens, n_types) bool.
    """
    xp = array_module(annotated)
    outside = xp.ones((len(annotated), 1), dtype=bool)
    return xp.concatenate((outside, ~xp.repeat(annotated, 2, axis=1)), axis=1)


def divisor(reduction: Reduction, weights: XpArray, tokens: XpArray) -> XpArray:
    """Return what a sum over tokens is divided by: their weights' sum, their number or 1."""
    chosen = {"weights": weights, "mean": tokens, "sum": 1}[reduction]
    return chosen + (chosen == 0)


def softmax(logits: XpArray) -> XpArray:
    """Return the softmax of each row (n_tokens, n_labels)."""
    xp = array_module(logits)
    result = logits - logits.max(axis=1, keepdims=True)
    xp.exp(result, out=result)
    result /= result.sum(axis=1, keepdims=True)
    return result


def cross_entropy(logits: XpArray, targets: XpArray, scale: XpArray) -> tuple[XpArray, XpArray]:
    """Return the gradient and the loss ``sum_n scale[n] * -log softmax(x_n)[target[n]]``.

    No other array of the size of the logits is made than the gradient.

    Args:
        logits: ``x``, (n_tokens, n_labels)
        targets: (n_tokens,) columns.
        scale: (n_tokens,)
    """
    xp = array_module(logits)
    rows = xp.arange(len(logits))
    top = logits.max(axis=1)
    gradient = logits - top[:, None]
    xp.exp(gradient, out=gradient)
    total = gradient.sum(axis=1)
    loss = (scale * (xp.log(total) - (logits[rows, targets] - top))).sum()
    gradient *= (scale / total)[:, None]
    gradient[rows, targets] -= scale
    return gradient, loss


def marginal_cross_entropy(
    logits: XpArray, agrees: XpArray, scale: XpArray
) -> tuple[XpArray, XpArray]:
    """Return the gradient and the loss ``sum_n scale[n] * -log sum_c softmax(x_n)[c]``.

    Args:
        logits: ``x``, (n_tokens, n_labels)
        agrees: (n_tokens, n_labels) bool, the columns ``c`` that are summed: one at least.
        scale: (n_tokens,)
    """
    xp = array_module(logits)
    chosen = xp.where(agrees, logits, -xp.inf)
    parts, log_totals = [], []
    for values in (logits, chosen):
        top = values.max(axis=1)
        part = xp.exp(values - top[:, None])
        total = part.sum(axis=1)
        parts.append(part / total[:, None])
        log_totals.append(top + xp.log(total))
    loss = (scale * (log_totals[0] - log_totals[1])).sum()
    return (parts[0] - parts[1]) * scale[:, None], loss
