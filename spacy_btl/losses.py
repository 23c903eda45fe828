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

from typing import Any, Literal, cast

import numpy as np
from thinc.api import get_array_module
from thinc.loss import Loss
from thinc.types import Floats1d, Floats2d, Ints1d

MISSING = -1

Reduction = Literal["weights", "mean", "sum"]
OtherClasses = Literal["outside", "mask"]
Softmax = Literal["all", "pair"]
Scheme = Literal["bio", "io"]


class TokenLoss(Loss[Floats2d, Ints1d, Floats2d, float]):
    """What the losses here share: class weights, the reading of logits, one pass for both results.

    class_weights: (n_labels,) weight of each column, None for 1; set once by whoever counts the
        training data.
    """

    class_weights: Floats1d | None = None

    def __call__(self, guesses: Floats2d, truths: Ints1d) -> tuple[Floats2d, float]:
        """Gradient (n_tokens, n_labels) with respect to the logits, and loss.

        Raises ValueError where shapes or labels do not fit the logits.
        """
        raise NotImplementedError

    def get_grad(self, guesses: Floats2d, truths: Ints1d) -> Floats2d:
        """Gradient (n_tokens, n_labels) of the loss with respect to the logits."""
        return self(guesses, truths)[0]

    def get_loss(self, guesses: Floats2d, truths: Ints1d) -> float:
        """Loss, as a float."""
        return self(guesses, truths)[1]

    def probabilities(self, logits: Floats2d) -> Floats2d:
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

    def _weights(self, logits: Floats2d) -> Floats1d:
        xp = get_array_module(logits)
        if self.class_weights is None:
            return cast(Floats1d, xp.ones(logits.shape[1], dtype=logits.dtype))
        if len(self.class_weights) != logits.shape[1]:
            raise ValueError(
                f"{len(self.class_weights)} class weights do not fit {logits.shape[1]} labels"
            )
        return cast(Floats1d, xp.asarray(self.class_weights, dtype=logits.dtype))


class AllTokenLabels(TokenLoss):
    """Weighted cross-entropy over all columns at once, the usual way to train token labels (ATL).

    reduction: divide the sum over the tokens by the sum of their weights ("weights"), by their
        number ("mean"), or by nothing ("sum").
    """

    def __init__(self, *, reduction: Reduction = "weights") -> None:
        self.reduction = _one_of("reduction", reduction, ("weights", "mean", "sum"))

    def __call__(self, guesses: Floats2d, truths: Ints1d) -> tuple[Floats2d, float]:
        """Gradient (n_tokens, n_labels) with respect to the logits, and loss."""
        xp = get_array_module(guesses)
        logits, labels, rows = _labelled(guesses, truths)
        weights = self._weights(guesses)[labels]
        scale = weights / _divisor(xp, self.reduction, weights.sum(), len(labels))
        log_p = _log_softmax(xp, logits)
        at = (xp.arange(len(labels)), labels)
        loss = -(scale * log_p[at]).sum()
        d_logits = scale[:, None] * xp.exp(log_p)
        d_logits[at] -= scale
        return _unlabelled_zero(guesses, d_logits, rows), float(loss)

    def probabilities(self, logits: Floats2d) -> Floats2d:
        """Label probabilities (n_tokens, n_labels): the softmax of the logits."""
        xp = get_array_module(logits)
        return cast(Floats2d, xp.exp(_log_softmax(xp, logits)))


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
        """Mean number of copies of the batches seen, weighted by their tokens; the prior that
        `probabilities` takes out again where ``softmax`` is "all"."""
        self._tokens_seen = 0

    def __call__(self, guesses: Floats2d, truths: Ints1d) -> tuple[Floats2d, float]:
        """Gradient (n_tokens, n_labels) with respect to the logits, and loss."""
        xp = get_array_module(guesses)
        logits, labels, rows = _labelled(guesses, truths)
        width = self._width(guesses)
        n_types = (guesses.shape[1] - 1) // width
        weights = self._weights(guesses)
        kinds = (labels - 1) // width  # -1 for O, since (0 - 1) // width == -1
        counts = xp.bincount(kinds + 1, minlength=n_types + 1)
        made = (counts[1:] > 0) | (self.absent_classes == "keep")
        self._count_copies(int(made.sum()), len(labels))
        own_weight = xp.bincount(kinds + 1, weights=weights[labels], minlength=n_types + 1)[1:]
        others = counts[0] if self.other_classes == "mask" else len(labels) - counts[1:]
        divisors = _divisor(
            xp, self.reduction, own_weight + others * weights[0], counts[1:] + others
        )
        copy_scale = (made / divisors).astype(logits.dtype)
        step = self._pair if self.softmax == "pair" else self._all
        d_logits, loss = step(xp, logits, labels, kinds, weights, copy_scale)
        return _unlabelled_zero(guesses, d_logits, rows), float(loss)

    def probabilities(self, logits: Floats2d) -> Floats2d:
        """Label probabilities (n_tokens, n_labels), with the prior of the copies taken out.

        "pair": each type's own softmax over (``O``, its columns) gives the probability ``q`` of its
        columns; under "outside" ``O`` gets what the types leave over, ``1 - sum(q)``, under "mask"
        the odds ``q / (1 - q)`` are those against ``O`` alone, which is the softmax of all columns.
        "all" with "outside": a token of type ``c`` is told ``O`` by all copies but its own, so that
        the optimum is ``p(c) / p(O) = w_c q(c) / (w_O (K - 1 + q(O)))`` for K copies and the true
        probabilities ``q``; this is solved for ``q``. "all" with "mask" needs only ``K`` times the
        ``O`` that each copy adds taken out: ``p(c) / p(O) = w_c q(c) / (w_O K q(O))``.
        """
        xp = get_array_module(logits)
        if self.softmax == "pair" and self.other_classes == "outside":
            log_own = self._pair_log_softmax(xp, logits)
            own = xp.exp(log_own[:, :, 1:]).reshape(len(logits), -1)
            left = xp.maximum(1.0 - own.sum(axis=1, keepdims=True), 0.0)
            q = xp.concatenate((left, own), axis=1)
            return cast(Floats2d, q / q.sum(axis=1, keepdims=True))
        if self.softmax == "pair":
            return cast(Floats2d, xp.exp(_log_softmax(xp, logits)))
        copies = max(self.copies_per_batch, 1.0)
        odds = xp.log(self._weights(logits)[0]) - xp.log(self._weights(logits)) + logits
        odds = xp.exp(xp.clip(odds - logits[:, :1], -60.0, 60.0))[:, 1:]
        if self.other_classes == "mask":
            q = xp.concatenate((xp.ones_like(logits[:, :1]), copies * odds), axis=1)
            return cast(Floats2d, q / q.sum(axis=1, keepdims=True))
        total = odds.sum(axis=1, keepdims=True)
        q_outside = xp.maximum((1.0 - total * (copies - 1.0)) / (1.0 + total), 0.0)
        q = xp.concatenate((q_outside, odds / total * (1.0 - q_outside)), axis=1)
        return cast(Floats2d, q)

    def get_state(self) -> dict[str, Any]:
        """As `TokenLoss.get_state`, with the mean number of copies."""
        return {**super().get_state(), "copies_per_batch": self.copies_per_batch}

    def set_state(self, state: dict[str, Any]) -> None:
        """As `TokenLoss.set_state`, with the mean number of copies."""
        super().set_state(state)
        self.copies_per_batch = float(state["copies_per_batch"])

    def _all(
        self,
        xp: Any,
        logits: Floats2d,
        labels: Ints1d,
        kinds: Ints1d,
        weights: Floats1d,
        copy_scale: Floats1d,
    ) -> tuple[Floats2d, float]:
        """Loss and gradient where all columns compete: two targets a token, its own and ``O``."""
        is_outside = kinds < 0
        own = xp.where(is_outside, 0.0, copy_scale[kinds]) * weights[labels]
        told_outside = copy_scale.sum() - xp.where(is_outside, 0.0, copy_scale[kinds])
        if self.other_classes == "mask":
            told_outside = xp.where(is_outside, told_outside, 0.0)
        told_outside = told_outside * weights[0]
        own, told_outside = own.astype(logits.dtype), told_outside.astype(logits.dtype)
        log_p = _log_softmax(xp, logits)
        at = (xp.arange(len(labels)), labels)
        loss = -(own * log_p[at]).sum() - (told_outside * log_p[:, 0]).sum()
        d_logits = (own + told_outside)[:, None] * xp.exp(log_p)
        d_logits[at] -= own
        d_logits[:, 0] -= told_outside
        return d_logits, loss

    def _pair(
        self,
        xp: Any,
        logits: Floats2d,
        labels: Ints1d,
        kinds: Ints1d,
        weights: Floats1d,
        copy_scale: Floats1d,
    ) -> tuple[Floats2d, float]:
        """Loss and gradient where a copy's own columns compete with ``O`` alone."""
        log_p = self._pair_log_softmax(xp, logits)
        scale = xp.repeat(copy_scale[None] * weights[0], len(labels), axis=0)
        entities = xp.flatnonzero(kinds >= 0)
        if self.other_classes == "mask":
            scale[entities] = 0.0
        at = (entities, kinds[entities])
        scale[at] = copy_scale[kinds[entities]] * weights[labels[entities]]
        own_column = (labels[entities] - 1) % self._width(logits) + 1
        own_log_p = log_p[(*at, own_column)]
        loss = -(scale * log_p[:, :, 0]).sum() - (scale[at] * (own_log_p - log_p[(*at, 0)])).sum()
        d_copies = xp.exp(log_p) * scale[:, :, None]
        d_copies[:, :, 0] -= scale
        d_copies[(*at, 0)] += scale[at]
        d_copies[(*at, own_column)] -= scale[at]
        d_outside = d_copies[:, :, 0].sum(axis=1, keepdims=True)
        d_own = d_copies[:, :, 1:].reshape(len(logits), -1)
        return xp.concatenate((d_outside, d_own), axis=1), loss

    def _pair_log_softmax(self, xp: Any, logits: Floats2d) -> Any:
        """Log-softmax of each type's columns beside ``O``; shape (n_tokens, n_types, 1 + width)."""
        width = self._width(logits)
        own = logits[:, 1:].reshape(len(logits), -1, width)
        outside = xp.broadcast_to(logits[:, :1, None], (len(logits), own.shape[1], 1))
        return _log_softmax(xp, xp.concatenate((outside, own), axis=2))

    def _width(self, logits: Floats2d) -> int:
        """Columns that a type owns, checked against the logits."""
        width = 2 if self.scheme == "bio" else 1
        if (logits.shape[1] - 1) % width:
            raise ValueError(f'{logits.shape[1]} columns do not fit the scheme "{self.scheme}"')
        return width

    def _count_copies(self, copies: int, tokens: int) -> None:
        self._tokens_seen += tokens
        if tokens:
            self.copies_per_batch += (copies - self.copies_per_batch) * tokens / self._tokens_seen


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> Any:
    if value not in choices:
        raise ValueError(f"{name} is {value!r}, but must be one of {', '.join(choices)}")
    return value


def _log_softmax(xp: Any, logits: Any) -> Any:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - xp.log(xp.exp(shifted).sum(axis=-1, keepdims=True))


def _labelled(logits: Floats2d, labels: Ints1d) -> tuple[Floats2d, Ints1d, Any]:
    """Rows that have a label, their labels and their indices."""
    xp = get_array_module(logits)
    labels = xp.asarray(labels)
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ValueError(f"logits {logits.shape} and labels {labels.shape} do not fit")
    if len(labels) and not MISSING <= int(labels.min()) <= int(labels.max()) < logits.shape[1]:
        raise ValueError(f"labels must lie between {MISSING} and {logits.shape[1] - 1}")
    rows = xp.flatnonzero(labels != MISSING)
    return logits[rows], labels[rows], rows


def _unlabelled_zero(logits: Floats2d, d_logits: Floats2d, rows: Any) -> Floats2d:
    """Gradient of all rows: 0 where a token has no label."""
    full = get_array_module(logits).zeros_like(logits)
    full[rows] = d_logits
    return full


def _divisor(xp: Any, reduction: Reduction, weights: Any, tokens: Any) -> Any:
    """What a sum over tokens is divided by; 1 where nothing is to be divided."""
    divisor = xp.asarray({"weights": weights, "mean": tokens, "sum": 1.0}[reduction])
    return xp.where(divisor > 0, divisor, 1.0)
