"""Token-level losses as Thinc losses: all labels at once (ATL) and Binary Token Labels (BTL).

`training.losses` says what logits and labels are. Columns belong to the entity types in the
way of ``scheme``: "bio" (two columns a type, as in `labels.bio`) or "io" (one).

BTL (Rehman, Zhang, Yang 2024, arXiv 2409.03238) copies each batch once for each entity type; a
copy holds its own type beside ``O``. The copies share their input and so their logits: with ``T_k``
the targets of copy ``k`` and ``w_k`` its class weights, the loss is the sum over the copies of one
weighted cross-entropy each,

    L = sum_k  1/D_k  sum_n  w_k[T_k(n)] * -log softmax_k(x_n)[T_k(n)],

and both the sum and its gradient have a closed form in one pass's logits. No copy is ever made.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from ..labels.bio import MISSING, OUTSIDE
from ..util.checks import at_least_0, one_of
from .losses import (
    Array,
    Reduction,
    TokenLoss,
    array_module,
    cross_entropy,
    divisor,
    softmax,
)
from .paper import seen_over_copies, without_prior

# --- from losses_layers


def layer_log_softmax(logits: Array, n_types: int) -> Array:
    """Log-softmax of each type's columns beside ``O``; shape (n_tokens, n_types, 1 + columns)."""
    xp = array_module(logits)
    width = (logits.shape[1] - 1) // max(n_types, 1)
    own = logits[:, 1:].reshape(len(logits), n_types, width)
    outside = xp.broadcast_to(logits[:, :1, None], (len(logits), n_types, 1))
    values = xp.concatenate((outside, own), axis=2)
    values -= values.max(axis=2, keepdims=True)
    return values - xp.log(xp.exp(values).sum(axis=2, keepdims=True))


def layered_loss(
    logits: Array,
    layers: Array,
    weights: Array,
    *,
    mask_others: bool,
    keep_absent: bool,
    reduction: Reduction,
) -> tuple[Array, float]:
    """Gradient (n_tokens, n_labels) with respect to the logits, and loss, summed over the copies.

    weights: (n_labels,) class weights.
    mask_others: a token that is ``O`` in a copy, but in an entity of another type, is left out of
        the copy. keep_absent: types without an entity here have a copy all the same.
    Raises ValueError for a layer label that is none.
    """
    xp = array_module(logits)
    n_types = layers.shape[1]
    width = (logits.shape[1] - 1) // max(n_types, 1)
    if layers.size and not MISSING <= int(layers.min()) <= int(layers.max()) <= width:
        raise ValueError(f"layer labels must lie between {MISSING} and {width}")
    is_told = layers != MISSING
    if mask_others:
        is_told &= (layers != OUTSIDE) | ~(layers > OUTSIDE).any(axis=1, keepdims=True)
    targets = xp.maximum(layers, OUTSIDE)
    of_copy = xp.concatenate(
        (xp.full((n_types, 1), weights[OUTSIDE]), weights[1:].reshape(n_types, width)), axis=1
    )
    scale = of_copy[xp.arange(n_types), targets] * is_told
    made = (layers > OUTSIDE).any(axis=0) | keep_absent
    scale *= made / divisor(reduction, scale.sum(axis=0), is_told.sum(axis=0))
    scale = scale.astype(logits.dtype)
    log_p = layer_log_softmax(logits, n_types)
    loss = -(scale * xp.take_along_axis(log_p, targets[:, :, None], axis=2)[:, :, 0]).sum()
    d_copies = xp.exp(log_p) * scale[:, :, None]
    d_copies -= (targets[:, :, None] == xp.arange(1 + width)) * scale[:, :, None]
    gradient = xp.empty_like(logits)
    gradient[:, 0] = d_copies[:, :, 0].sum(axis=1)
    gradient[:, 1:] = d_copies[:, :, 1:].reshape(len(logits), n_types * width)
    return gradient, float(loss)


# --- from losses


OtherClasses = Literal["outside", "mask"]
Softmax = Literal["all", "pair"]
Scheme = Literal["bio", "io"]

BLOCK = 2**16
"""Logits that pairs are made of at a time on a CPU; they and what is made of them fit its cache."""


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
    copies_from: who makes the copies: this loss, of every batch, or `training.paper`, whose
        batches are one copy each. Only the reading of "all" differs.
    tau: logit adjustment of every copy, see `TokenLoss`: 0 or more, and 0 under "all", where all
        copies but one tell a token ``O`` and the shares of the labels are no prior.

    ``seen``, kept with the model, is what `probabilities` needs under "all": for the tokens seen of
    each label their number, the sum of what they counted for in the copy of their own type, and the
    sum of what they counted for as ``O``; (3, n_labels), None before the first.
    """

    kept: ClassVar = {**TokenLoss.kept, "seen": "float64", "label_counts": "float64"}

    def __init__(
        self,
        *,
        other_classes: OtherClasses = "outside",
        softmax: Softmax = "pair",
        absent_classes: Literal["skip", "keep"] = "skip",
        reduction: Reduction = "weights",
        scheme: Scheme = "bio",
        copies_from: Literal["loss", "batcher"] = "loss",
        tau: float = 0.0,
    ) -> None:
        self.other_classes = one_of("other_classes", other_classes, ("outside", "mask"))
        self.softmax = one_of("softmax", softmax, ("all", "pair"))
        self.absent_classes = one_of("absent_classes", absent_classes, ("skip", "keep"))
        self.reduction = one_of("reduction", reduction, ("weights", "mean", "sum"))
        self.scheme = one_of("scheme", scheme, ("bio", "io"))
        self.copies_from = one_of("copies_from", copies_from, ("loss", "batcher"))
        self.tau = at_least_0("tau", tau)
        if tau and softmax == "all":
            raise ValueError('tau needs softmax = "pair"')
        self.seen: Array | None = None
        self.label_counts: Array | None = None

    @property
    def has_layers(self) -> bool:
        """Whether entities of unlike types may overlap: every type competes with ``O`` alone."""
        return bool(self.softmax == "pair" and self.scheme == "bio")

    def __call__(self, guesses: Array, truths: Array, lengths: Any = None) -> tuple[Array, float]:
        """Gradient (n_tokens, n_labels) with respect to the logits, and loss.

        truths: labels (n_tokens,), or where `has_layers` layer labels (n_tokens, n_types) as
            `training.binary_token_labels` has them. Raises ValueError where they do not fit.
        """
        if truths.ndim != 2:
            return super().__call__(guesses, truths)
        n_types, _ = self._columns(guesses)
        if not self.has_layers or truths.shape != (len(guesses), n_types):
            raise ValueError(
                f"logits {guesses.shape} and labels {truths.shape} do not fit (labels of "
                'overlapping entities need softmax = "pair", scheme = "bio" and a column a type)'
            )
        if self._counted_anew() is not None:
            raise ValueError(
                'with overlapping entities class weights are counted on "training", or not at all'
            )
        return layered_loss(
            self._with_prior(guesses),
            truths,
            self._weights(guesses, truths),
            mask_others=self.other_classes == "mask",
            keep_absent=self.absent_classes == "keep",
            reduction=self.reduction,
        )

    def layer_probabilities(self, logits: Array) -> Array:
        """Probabilities (n_tokens, n_types, 3) of ``O``, begin and inside in each type's layer."""
        n_types, _ = self._columns(logits)
        xp = array_module(logits)
        return xp.exp(layer_log_softmax(logits, n_types))

    def probabilities(self, logits: Array, lengths: Any = None) -> Array:
        """Label probabilities (n_tokens, n_labels), with the prior of the copies taken out.

        The optimum of the expected loss for true probabilities ``q``, and what is made of it:

        "pair", "outside", with class weights ``w``:
            ``p(c) / p(O) = w_c q(c) / (w_O (1 - q(type of c)))`` in the softmax of each type. Its
            columns keep their ``p(c)``; ``O`` gets what the types leave over.
        "pair", "mask": ``p(c) / p(O) = w_c q(c) / (w_O q(O))``, the softmax of all columns.
        "pair" with ``tau``: these odds, times the shares' ``(s_O / s_c) ** tau``, in the softmax of
            all columns: types raised like that may have more than 1 together, which would leave
            ``O`` nothing.
        "all": a token of type c is told ``O`` by all copies but its own, hence
            ``p(c) / p(O) = a_c q(c) / sum_y b_y q(y)`` with ``a_y`` and ``b_y`` what a token of
            label y counts for on average in the copy of its own type and as ``O``. Both are known
            from training (``seen``), so this is solved for ``q``.

        So "all" gives ``q`` for any class weights and divisors; "pair" leaves the class weights in,
        as `AllTokenLabels` does. "skip" shows a copy only batches with its type: in "pair" the odds
        of a type come out about ``1 / s`` times too high, ``s`` the share of all tokens that stand
        in batches holding the type.
        """
        xp = array_module(logits)
        if self.softmax == "all":
            seen = self.seen
            if self.copies_from == "batcher" and seen is not None and self.label_counts is not None:
                seen = seen_over_copies(seen, self.label_counts, self.other_classes == "mask")
            return softmax(logits) if seen is None else without_prior(logits, seen)
        if self.other_classes == "mask" or self.tau:
            return softmax(logits)
        _, width = self._columns(logits)
        result = xp.empty_like(logits)
        parts, total, _ = _exp_pairs(logits, width)
        for i, part in enumerate(parts):
            result[:, 1 + i :: width] = part / total
        result[:, 0] = xp.maximum(1.0 - result[:, 1:].sum(axis=1), 0.0)
        result /= result.sum(axis=1, keepdims=True)
        return result

    def prepare(self, counts: Array, names: Sequence[str]) -> None:
        """As `TokenLoss.prepare`; what was ``seen`` belongs to other data and is dropped."""
        super().prepare(counts, names)
        self.seen = None
        self.label_counts = np.asarray(counts, dtype="float64")

    def _compute(self, logits: Array, labels: Array, weights: Array) -> tuple[Array, Array]:
        xp = array_module(logits)
        n_types, width = self._columns(logits)
        counts = xp.bincount(labels, minlength=logits.shape[1])
        own = counts[1:].reshape(n_types, width)
        n_own = own.sum(axis=1)
        # Tokens that copy k tells O.
        others = counts[0] + (self.other_classes == "outside") * (counts[1:].sum() - n_own)
        weighting = self._counted_anew()
        if weighting is not None and weighting.counted_on == "copy":
            of_copy = weighting.from_counts(xp.concatenate((others[:, None], own), axis=1))
            outside_weight, own_weight = of_copy[:, 0], of_copy[:, 1:]
        else:
            outside_weight, own_weight = weights[OUTSIDE], weights[1:].reshape(own.shape)
        weighted = (own * own_weight).sum(axis=1) + others * outside_weight
        made = (n_own > 0) | (self.absent_classes == "keep")
        per_copy = made / divisor(self.reduction, weighted, n_own + others)
        # What a token counts for: in the copy of its own type by its label, as O by the copy.
        own_scale = xp.zeros(len(counts), dtype=logits.dtype)
        own_scale[1:] = (per_copy[:, None] * own_weight).ravel()
        outside_scale = (per_copy * outside_weight).astype(logits.dtype)
        if self.softmax == "pair":
            gradient, loss = xp.empty_like(logits), 0.0
            for rows in _blocks(logits):
                gradient[rows], of_block = self._pair(
                    logits[rows], labels[rows], own_scale, outside_scale
                )
                loss = loss + of_block
            return gradient, loss
        as_outside = xp.zeros_like(own_scale) + outside_scale.sum()
        as_outside[1:] -= xp.repeat(outside_scale, width)
        if self.other_classes == "mask":
            as_outside[1:] = 0.0
        self._see(counts, own_scale, as_outside)
        return cross_entropy(
            logits, (labels, own_scale[labels]), (xp.zeros_like(labels), as_outside[labels])
        )

    def _pair(
        self, logits: Array, labels: Array, own_scale: Array, outside_scale: Array
    ) -> tuple[Array, Array]:
        """As `_compute`, for "pair": a copy's own columns compete with ``O`` alone.

        own_scale: (n_labels,) what a token counts for in the copy of its own type.
        outside_scale: (n_types,) what it counts for in a copy that tells it ``O``.
        """
        xp = array_module(logits)
        _, width = self._columns(logits)
        entities = xp.flatnonzero(labels)
        columns = labels[entities]
        own_copy = (entities, (columns - 1) // width)
        own = own_scale[columns]
        parts, total, log_total = _exp_pairs(logits, width)
        told = xp.ones(len(logits), dtype=logits.dtype)  # O by the copies of other types
        if self.other_classes == "mask":
            told[entities] = 0.0
        chosen = logits[entities, columns] - logits[entities, 0]
        loss = (own * (log_total[own_copy] - chosen)).sum()
        log_total[own_copy] = 0.0
        loss += told @ (log_total @ outside_scale)
        scale = told[:, None] * outside_scale
        scale[own_copy] = own
        scale /= total
        gradient = xp.empty_like(logits)
        for i, part in enumerate(parts):
            gradient[:, 1 + i :: width] = part * scale
        gradient[entities, columns] -= own
        gradient[:, 0] = -gradient[:, 1:].sum(axis=1)  # the gradient of each softmax sums to 0
        return gradient, loss

    def _see(self, counts: Array, own_scale: Array, as_outside: Array) -> None:
        """Add a batch to ``seen``; all (n_labels,)."""
        n = counts.astype("float64")
        batch = array_module(n).stack((n, n * own_scale, n * as_outside))
        batch = batch.get() if hasattr(batch, "get") else batch  # cupy to numpy
        self.seen = batch if self.seen is None else self.seen + batch

    def _columns(self, logits: Array) -> tuple[int, int]:
        """Number of types, and of columns a type; ValueError where the logits have others."""
        width = 2 if self.scheme == "bio" else 1
        n_types, rest = divmod(logits.shape[1] - 1, width)
        if rest:
            raise ValueError(f'{logits.shape[1]} columns do not fit the scheme "{self.scheme}"')
        return n_types, width


def _blocks(logits: Array) -> list[slice]:
    """Rows that are worked on at a time: few enough for a CPU's cache, all of them on a GPU."""
    n_tokens, n_labels = logits.shape
    size = max(BLOCK // n_labels, 1) if isinstance(logits, np.ndarray) else n_tokens
    return [slice(start, start + size) for start in range(0, n_tokens, size)]


def _exp_pairs(logits: Array, width: int) -> tuple[list[Array], Array, Array]:
    """The softmax of each type's columns beside ``O``, in parts of shape (n_tokens, n_types) each.

    Exponentials of the types' first columns, second columns and so on, shifted so that none
    overflows; their sum with that of ``O``; and ``-log`` of the share of ``O`` in it.
    """
    xp = array_module(logits)
    parts = [logits[:, 1 + i :: width] - logits[:, :1] for i in range(width)]
    top = xp.maximum(parts[0], 0.0)
    for part in parts[1:]:
        xp.maximum(top, part, out=top)
    total = xp.exp(-top)
    for part in parts:
        part -= top
        xp.exp(part, out=part)
        total += part
    return parts, total, top + xp.log(total)
