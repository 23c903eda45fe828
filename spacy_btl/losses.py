"""Token-level losses as Thinc losses: all labels at once (ATL) and Binary Token Labels (BTL).

Arrays in, arrays out. Logits have shape (n_tokens, n_labels), labels shape (n_tokens,); a token
whose label is `MISSING` takes no part. Column 0 is ``O``; the others belong to the entity types in
the way of ``scheme``: "bio" (two columns a type, as in `spacy_btl.labels`) or "io" (one).

BTL (Rehman, Zhang, Yang 2024, arXiv 2409.03238) copies each batch once for each entity type; a
copy holds its own type beside ``O``. The copies share their input and so their logits: with ``T_k``
the targets of copy ``k``, the loss is the sum over the copies of one weighted cross-entropy each,

    L = sum_k  1/D_k  sum_n  w[T_k(n)] * -log softmax_k(x_n)[T_k(n)],

and both the sum and its gradient have a closed form in one pass's logits. No copy is ever made.
"""

from typing import Any, Literal

import numpy as np
from thinc import util
from thinc.loss import Loss

from .labels import MISSING, OUTSIDE

Array = Any
"""An array of numpy or of cupy."""

Reduction = Literal["weights", "mean", "sum"]
OtherClasses = Literal["outside", "mask"]
Softmax = Literal["all", "pair"]
Scheme = Literal["bio", "io"]


class TokenLoss(Loss[Array, Array, Array, float]):
    """What the losses here share: class weights, the reading of logits, one pass for both results.

    class_weights: (n_labels,) weight of each column, None for 1; set once by whoever counts the
        training data.
    """

    class_weights: Array | None = None

    def __call__(self, guesses: Array, truths: Array) -> tuple[Array, float]:
        """Gradient (n_tokens, n_labels) with respect to the logits, and loss.

        Both are 0 where no token has a label. Raises ValueError where shapes, labels or class
        weights do not fit the logits.
        """
        xp = _module(guesses)
        labels = xp.asarray(truths)
        _check(guesses, labels)
        weights = self._weights(guesses)
        gradient = xp.zeros_like(guesses)
        rows = xp.flatnonzero(labels != MISSING)
        if not len(rows):
            return gradient, 0.0
        gradient[rows], loss = self._compute(guesses[rows], labels[rows], weights)
        return gradient, float(loss)

    def get_grad(self, guesses: Array, truths: Array) -> Array:
        """Gradient (n_tokens, n_labels) of the loss with respect to the logits."""
        return self(guesses, truths)[0]

    def get_loss(self, guesses: Array, truths: Array) -> float:
        """Loss, as a float."""
        return self(guesses, truths)[1]

    def probabilities(self, logits: Array) -> Array:
        """Label probabilities (n_tokens, n_labels) that these logits stand for, rows sum to 1."""
        raise NotImplementedError

    def get_state(self) -> dict[str, Any]:
        """What was learned from the data and belongs to the model, as JSON-serializable values."""
        weights = self.class_weights
        return {"class_weights": None if weights is None else [float(w) for w in weights]}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take over what `get_state` gave."""
        weights = state["class_weights"]
        self.class_weights = None if weights is None else np.asarray(weights, dtype="float32")

    def _compute(self, logits: Array, labels: Array, weights: Array) -> tuple[Array, Array]:
        """As `__call__`, for one labelled token at least; weights (n_labels,)."""
        raise NotImplementedError

    def _weights(self, logits: Array) -> Array:
        """Class weights (n_labels,), of the module and type of the logits."""
        xp, n_labels = _module(logits), logits.shape[1]
        if self.class_weights is None:
            return xp.ones(n_labels, dtype=logits.dtype)
        if len(self.class_weights) != n_labels:
            raise ValueError(f"{n_labels} labels, but {len(self.class_weights)} class weights")
        return xp.asarray(self.class_weights, dtype=logits.dtype)


class AllTokenLabels(TokenLoss):
    """Weighted cross-entropy over all columns at once, the usual way to train token labels (ATL).

    reduction: divide the sum over the tokens by the sum of their weights ("weights"), by their
        number ("mean"), or by nothing ("sum").
    """

    def __init__(self, *, reduction: Reduction = "weights") -> None:
        self.reduction = _one_of("reduction", reduction, ("weights", "mean", "sum"))

    def probabilities(self, logits: Array) -> Array:
        """Label probabilities (n_tokens, n_labels): the softmax of the logits.

        Class weights stay in: the optimum is ``p(c) ~ w_c q(c)`` for true probabilities ``q``.
        """
        return _module(logits).exp(_log_softmax(logits))

    def _compute(self, logits: Array, labels: Array, weights: Array) -> tuple[Array, Array]:
        scale = weights[labels]
        divisor = _divisor(self.reduction, scale.sum(), len(labels))
        return _cross_entropy(logits, labels, scale / divisor)


class BinaryTokenLabels(TokenLoss):
    """Binary Token Labels: the sum of one weighted cross-entropy for each copy, in one pass.

    other_classes: in the copy of one type, tokens of other types count as ``O`` ("outside") or are
        left out ("mask").
    softmax: all columns compete in a copy ("all"), or only the copy's own and ``O`` ("pair").
    absent_classes: make no copy for types without a token in the batch ("skip"), or make it all
        the same ("keep").
    reduction: divide each copy by the sum of its weights ("weights"), by its number of tokens
        ("mean"), or by nothing ("sum").
    scheme: how columns belong to types, "bio" or "io".

    ``copies_per_batch`` is the mean over the tokens seen; `probabilities` needs it under "all".
    """

    def __init__(
        self,
        *,
        other_classes: OtherClasses = "outside",
        softmax: Softmax = "pair",
        absent_classes: Literal["skip", "keep"] = "skip",
        reduction: Reduction = "weights",
        scheme: Scheme = "bio",
    ) -> None:
        self.other_classes = _one_of("other_classes", other_classes, ("outside", "mask"))
        self.softmax = _one_of("softmax", softmax, ("all", "pair"))
        self.absent_classes = _one_of("absent_classes", absent_classes, ("skip", "keep"))
        self.reduction = _one_of("reduction", reduction, ("weights", "mean", "sum"))
        self.scheme = _one_of("scheme", scheme, ("bio", "io"))
        self.copies_per_batch = 0.0
        self._tokens_seen = 0

    def probabilities(self, logits: Array) -> Array:
        """Label probabilities (n_tokens, n_labels), with the prior of the copies taken out.

        The optimum of the expected loss for true probabilities ``q``, class weights ``w`` and ``K``
        copies in each batch, and what is made of it:

        "pair", "outside": ``p(c) / p(O) = w_c q(c) / (w_O (1 - q(type of c)))`` in the softmax of
            each type. Its columns keep their ``p(c)``; ``O`` gets what the types leave over.
        "pair", "mask": ``p(c) / p(O) = w_c q(c) / (w_O q(O))``, the softmax of all columns.
        "all", "outside": all copies but one's own tell a token of a type ``O``, hence
            ``p(c) / p(O) = w_c q(c) / (w_O (K - 1 + q(O)))``; this is solved for ``q``.
        "all", "mask": ``p(c) / p(O) = w_c q(c) / (w_O K q(O))``; this is solved for ``q``.

        So "all" gives ``q`` for any class weights; "pair" leaves them in, as `AllTokenLabels` does.
        This holds where each batch makes every copy. "all" also needs equal divisors: it has them
        under "sum", and for "outside" under "mean" and, with equal weights, "weights"; else they
        are close while each type is rare. "skip" shows a copy only batches with its type: "all"
        takes the mean of ``K`` for it, while in "pair" the odds of a type that a share ``s`` of the
        batches holds come out about ``1 / s`` times too high.
        """
        xp = _module(logits)
        if self.softmax == "pair" and self.other_classes == "mask":
            return xp.exp(_log_softmax(logits))
        if self.softmax == "pair":
            own = xp.exp(_log_softmax(self._pairs(logits)))[:, 1:].reshape(logits[:, 1:].shape)
            left = xp.maximum(1.0 - own.sum(axis=1, keepdims=True), 0.0)
            q = xp.concatenate((left, own), axis=1)
            return q / q.sum(axis=1, keepdims=True)
        copies = self.copies_per_batch or 1.0
        log_odds = logits - xp.log(xp.maximum(self._weights(logits), 1e-9))  # one may weigh 0
        odds = xp.exp(xp.clip(log_odds[:, 1:] - log_odds[:, :1], -60.0, 60.0))
        total = odds.sum(axis=1, keepdims=True)
        if self.other_classes == "mask":
            outside = 1.0 / (1.0 + copies * total)
        else:
            outside = xp.maximum((1.0 - total * (copies - 1.0)) / (1.0 + total), 0.0)
        return xp.concatenate((outside, odds / total * (1.0 - outside)), axis=1)

    def get_state(self) -> dict[str, Any]:
        """As `TokenLoss.get_state`, with ``copies_per_batch``."""
        return {**super().get_state(), "copies_per_batch": self.copies_per_batch}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take over what `get_state` gave."""
        super().set_state(state)
        self.copies_per_batch = float(state["copies_per_batch"])

    def _compute(self, logits: Array, labels: Array, weights: Array) -> tuple[Array, Array]:
        xp = _module(logits)
        n_types, width = self._columns(logits)
        types = (labels + width - 1) // width  # 0 for O, 1 + its index for a type
        counts = xp.bincount(types, minlength=n_types + 1)
        own_weight = xp.bincount(types, weights=weights[labels], minlength=n_types + 1)
        others = counts[0] if self.other_classes == "mask" else len(labels) - counts
        divisors = _divisor(self.reduction, own_weight + others * weights[OUTSIDE], counts + others)
        made = (counts > 0) | (self.absent_classes == "keep")
        made[0] = False  # O has no copy
        copy_scale = (made / divisors).astype(logits.dtype)
        self._tokens_seen += len(labels)
        step = len(labels) / self._tokens_seen
        self.copies_per_batch += (int(made.sum()) - self.copies_per_batch) * step
        own_scale = copy_scale[types] * weights[labels]
        if self.softmax == "pair":
            return self._pair(logits, labels, types, own_scale, copy_scale[1:] * weights[OUTSIDE])
        outside_scale = (copy_scale.sum() - copy_scale[types]) * weights[OUTSIDE]
        if self.other_classes == "mask":
            outside_scale = outside_scale * (types == 0)
        d_own, own_loss = _cross_entropy(logits, labels, own_scale)
        d_outside, outside_loss = _cross_entropy(logits, xp.zeros_like(labels), outside_scale)
        return d_own + d_outside, own_loss + outside_loss

    def _pair(
        self, logits: Array, labels: Array, types: Array, own_scale: Array, outside_scale: Array
    ) -> tuple[Array, Array]:
        """As `_compute`, for "pair": a copy's own columns compete with ``O`` alone.

        own_scale: (n_tokens,) what a token counts for in the copy of its own type.
        outside_scale: (n_types,) what it counts for in a copy that tells it ``O``.
        """
        xp = _module(logits)
        n_types, width = self._columns(logits)
        entities = xp.flatnonzero(types)
        in_own_copy = (entities, types[entities] - 1)
        targets = xp.zeros((len(logits), n_types), dtype=labels.dtype)
        targets[in_own_copy] = (labels[entities] - 1) % width + 1
        scale = xp.repeat(outside_scale[None], len(logits), axis=0)
        if self.other_classes == "mask":
            scale[entities] = 0.0
        scale[in_own_copy] = own_scale[entities]
        d_pairs, loss = _cross_entropy(self._pairs(logits), targets.ravel(), scale.ravel())
        gradient = xp.empty_like(logits)
        gradient[:, 0] = d_pairs[:, 0].reshape(targets.shape).sum(axis=1)
        gradient[:, 1:] = d_pairs[:, 1:].reshape(logits[:, 1:].shape)
        return gradient, loss

    def _pairs(self, logits: Array) -> Array:
        """Each type's columns behind ``O``; shape (n_tokens * n_types, 1 + width)."""
        n_types, width = self._columns(logits)
        own = logits[:, 1:].reshape(len(logits) * n_types, width)
        outside = _module(logits).repeat(logits[:, :1], n_types, axis=0)
        return _module(logits).concatenate((outside, own), axis=1)

    def _columns(self, logits: Array) -> tuple[int, int]:
        """Number of types, and of columns a type; ValueError where the logits have others."""
        width = 2 if self.scheme == "bio" else 1
        n_types, rest = divmod(logits.shape[1] - 1, width)
        if rest:
            raise ValueError(f'{logits.shape[1]} columns do not fit the scheme "{self.scheme}"')
        return n_types, width


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> Any:
    if value not in choices:
        raise ValueError(f"{name} is {value!r}, but must be one of {', '.join(choices)}")
    return value


def _module(array: Array) -> Any:
    """The module that the array belongs to: numpy or cupy."""
    return util.get_array_module(array)  # type: ignore[no-untyped-call]


def _check(logits: Array, labels: Array) -> None:
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ValueError(f"logits {logits.shape} and labels {labels.shape} do not fit")
    last = logits.shape[1] - 1
    if len(labels) and not MISSING <= int(labels.min()) <= int(labels.max()) <= last:
        raise ValueError(f"labels must lie between {MISSING} and {last}")


def _log_softmax(logits: Array) -> Array:
    xp = _module(logits)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - xp.log(xp.exp(shifted).sum(axis=-1, keepdims=True))


def _divisor(reduction: Reduction, weights: Array, tokens: Array) -> Array:
    """What a sum over tokens is divided by; 1 where there is nothing to divide."""
    divisor = {"weights": weights, "mean": tokens, "sum": 1}[reduction]
    return divisor + (divisor == 0)


def _cross_entropy(logits: Array, targets: Array, scale: Array) -> tuple[Array, Array]:
    """Gradient and loss ``sum_n scale[n] * -log softmax(x_n)[targets[n]]``."""
    xp = _module(logits)
    log_p = _log_softmax(logits)
    at = (xp.arange(len(targets)), targets)
    gradient = scale[:, None] * xp.exp(log_p)
    gradient[at] -= scale
    return gradient, -(scale * log_p[at]).sum()
