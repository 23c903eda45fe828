"""Binary Token Labels (BTL), the default loss, in closed form and in one pass.

BTL (Rehman, Zhang, Yang 2024, arXiv 2409.03238) copies each batch once for each entity type; a copy
knows its own type and ``O`` only. All copies share the logits of one forward pass. With the targets
``T_k`` of copy ``k``, its class weights ``w_k`` and its divisor ``D_k``, the loss is the sum over
the copies of one weighted cross-entropy each,

    L = sum_k  1/D_k  sum_n  w_k[T_k(n)] * -log softmax_k(x_n)[T_k(n)],

where ``softmax_k`` runs over ``O`` and the two columns of type ``k`` (see `labels.bio`). The sum
and its gradient are functions of these softmaxes, so that no copy is ever made: this costs about as
much as plain cross-entropy, which autograd over K copies would not. A copy whose type has no token
in the batch is left out, and the copy of a type leaves out tokens whose documents do not annotate
it: the columns of the type get no gradient from them. Other readings of the paper are in
`training.paper`.
"""

from collections.abc import Sequence
from typing import get_args

import numpy as np

from ..labels.bio import MISSING, OUTSIDE, Averaging
from ..labels.layers import BEGIN, INSIDE
from ..util.arrays import XpArray
from ..util.checks import at_least_0, one_of
from .losses import Reduction, TokenLoss, array_module, divisor, softmax

BLOCK = 2**16
"""Logits to work on at a time on a CPU: these and what is computed from them fit its cache."""


class BinaryTokenLabels(TokenLoss):
    """The sum of one weighted cross-entropy for each entity type, each against ``O`` alone.

    Attributes:
        reduction: Divisor of the sum over the tokens of each copy: the sum of their class weights
            ("weights"), their number ("mean"), or 1 ("sum").
        tau: Strength of the logit adjustment of each copy, 0 or more; 0 for none.
    """

    has_layers = True
    honors_label_sets = True

    def __init__(self, *, reduction: Reduction = "weights", tau: float = 0.0) -> None:
        self.reduction = one_of("reduction", reduction, get_args(Reduction))
        self.tau = at_least_0("tau", tau)

    def __call__(
        self,
        guesses: XpArray,
        truths: XpArray,
        lengths: Sequence[int] | None = None,
        annotated: XpArray | None = None,
    ) -> tuple[XpArray, float]:
        """Return the gradient with respect to the logits, and the loss.

        Args:
            guesses: Logits (n_tokens, 1 + 2 * n_types).
            truths: Labels (n_tokens,), or layer labels (n_tokens, n_types) as in `labels.layers`.
            lengths: Not needed.
            annotated: (n_tokens, n_types) bool, the types that the token's document annotates; None
                for all. Layer labels need none: they have `MISSING` there.

        Returns:
            Gradient (n_tokens, 1 + 2 * n_types) and loss, both 0 if no token has a label.

        Raises:
            ValueError: If shapes, labels or class weights do not fit the logits, or a token has a
                type that is not annotated.
        """
        if truths.ndim != 2:
            return super().__call__(guesses, truths, annotated=annotated)
        xp, n_types = array_module(guesses), number_of_types(guesses)
        self._check_layers(guesses, truths, n_types)
        counts = xp.stack([(truths == label).sum(axis=0) for label in (OUTSIDE, BEGIN, INSIDE)], 1)
        logits, weights = self._with_prior(guesses), self._weights(guesses, truths)
        gradient, loss = self._sum_of_copies(logits, truths, counts, weights)
        return gradient, float(loss)

    def _check_layers(self, logits: XpArray, layers: XpArray, n_types: int) -> None:
        """Raise ValueError if layer labels (n_tokens, n_types) do not fit logits or weighting."""
        if layers.shape != (len(logits), n_types):
            raise ValueError(f"logits {logits.shape} and layer labels {layers.shape} do not match")
        if layers.size and not MISSING <= int(layers.min()) <= int(layers.max()) <= INSIDE:
            raise ValueError(f"layer labels must be between {MISSING} and {INSIDE}")
        if self._counted_anew() is not None:
            raise ValueError(
                'with overlapping entities, class weights are counted on "training", or not at all'
            )

    def probabilities(self, logits: XpArray, lengths: Sequence[int] | None = None) -> XpArray:
        """Return the label probabilities (n_tokens, n_labels) that the logits represent.

        For true probabilities ``q`` and class weights ``w``, the loss is least where

            p(c) / p(O) = w_c q(c) / (w_O (1 - q(type of c)))

        in the softmax of each type. Its columns keep their ``p(c)``, and ``O`` gets the rest of the
        probability. The class weights stay in, as in `AllTokenLabels`. The odds of a type come out
        about ``1 / s`` times too high, where ``s`` is the share of all tokens that are in batches
        with this type: its copy is left out of all other batches. Of tokens whose documents do not
        annotate the type none is counted in ``s``.

        With ``tau`` these odds are multiplied by the shares' ``(s_O / s_c) ** tau``. Types raised
        like that may have more than 1 together, which would leave ``O`` nothing; so their odds
        compete in the softmax of all columns.

        Args:
            logits: Logits (n_tokens, n_labels).
            lengths: Not needed.
        """
        return softmax(logits) if self.tau else pair_probabilities(logits)

    def layer_probabilities(self, logits: XpArray, lengths: Sequence[int] | None = None) -> XpArray:
        """Return the probabilities (n_tokens, n_types, 3) of ``O``, begin and inside by type."""
        xp = array_module(logits)
        parts, total, log_total = _exp_pairs(logits)
        return xp.stack([xp.exp(-log_total), *(part / total for part in parts)], axis=2)

    def averaging(self, *, layered: bool) -> Averaging | None:
        """Return that of each type's softmax with ``O``, or with ``tau`` that of all columns."""
        if layered:
            return "layers"
        return "softmax" if self.tau else "pairs"

    def _compute(
        self,
        logits: XpArray,
        labels: XpArray,
        weights: XpArray,
        annotated: XpArray | None = None,
    ) -> tuple[XpArray, XpArray]:
        xp = array_module(logits)
        own = xp.bincount(labels, minlength=logits.shape[1])[1:].reshape(number_of_types(logits), 2)
        tokens = len(labels) if annotated is None else annotated.sum(axis=0)
        others = tokens - own.sum(axis=1)  # tokens that are O in the copy of a type
        counts = xp.concatenate((others[:, None], own), axis=1)
        return self._sum_of_copies(logits, labels, counts, weights, annotated)

    def _sum_of_copies(
        self,
        logits: XpArray,
        labels: XpArray,
        counts: XpArray,
        weights: XpArray,
        annotated: XpArray | None = None,
    ) -> tuple[XpArray, XpArray]:
        """Return gradient and loss, block by block.

        Args:
            logits: (n_tokens, n_labels)
            labels: (n_tokens,) all known, or layer labels (n_tokens, n_types).
            counts: (n_types, 3) tokens that are ``O``, begin and inside in the copy of each type.
            weights: (n_labels,) class weights.
            annotated: (n_tokens, n_types) bool, the copies that a token is in; None for all, or
                with layer labels.
        """
        xp = array_module(logits)
        scales = self._scales(counts, weights)
        gradient, loss = xp.empty_like(logits), 0.0
        for rows in _blocks(logits):
            of_rows = None if annotated is None else annotated[rows]
            gradient[rows], of_block = _against_outside(logits[rows], labels[rows], scales, of_rows)
            loss = loss + of_block
        return gradient, loss

    def _scales(self, counts: XpArray, weights: XpArray) -> XpArray:
        """Return the weight of a token in the copy of each type (n_types, 3), by its label there.

        A copy whose type has no token weighs nothing. Other arguments as in `_sum_of_copies`.
        """
        own, n_own = weights[1:].reshape(len(counts), 2), counts[:, BEGIN:].sum(axis=1)
        weighted = (counts[:, BEGIN:] * own).sum(axis=1) + counts[:, OUTSIDE] * weights[OUTSIDE]
        per_copy = (n_own > 0) / divisor(self.reduction, weighted, n_own + counts[:, OUTSIDE])
        scales = array_module(weights).empty(counts.shape, dtype=weights.dtype)
        scales[:, OUTSIDE] = per_copy * weights[OUTSIDE]
        scales[:, BEGIN:] = per_copy[:, None] * own
        return scales


def pair_probabilities(logits: XpArray) -> XpArray:
    """Return label probabilities (n_tokens, n_labels) from the softmax of each type with ``O``.

    The columns of a type keep their share, and ``O`` gets the rest.
    """
    xp = array_module(logits)
    result = xp.empty_like(logits)
    parts, total, _ = _exp_pairs(logits)
    for i, part in enumerate(parts):
        result[:, 1 + i :: 2] = part / total
    result[:, OUTSIDE] = xp.maximum(1.0 - result[:, 1:].sum(axis=1), 0.0)
    result /= result.sum(axis=1, keepdims=True)
    return result


def _against_outside(
    logits: XpArray, labels: XpArray, scales: XpArray, annotated: XpArray | None
) -> tuple[XpArray, XpArray]:
    """Return gradient (n_tokens, n_labels) and loss, summed over the copies.

    Args:
        logits: (n_tokens, n_labels)
        labels: (n_tokens,) all known, or layer labels (n_tokens, n_types).
        scales: (n_types, 3) weight of a token in a copy that knows it as ``O``, begin or inside.
        annotated: (n_tokens, n_types) bool, the copies that a token is in; None for all.
    """
    xp = array_module(logits)
    scale = xp.empty((len(logits), len(scales)), dtype=logits.dtype)
    scale[:] = scales[:, OUTSIDE]
    if annotated is not None:
        scale[~annotated] = 0.0
    if labels.ndim == 1:
        tokens = xp.flatnonzero(labels)
        columns = labels[tokens]
        types = (columns - 1) // 2
    else:
        scale[labels == MISSING] = 0.0
        tokens, types = xp.nonzero(labels > OUTSIDE)
        columns = 2 * types + labels[tokens, types]
    own = scales[types, columns - 2 * types]
    scale[tokens, types] = own
    parts, total, log_total = _exp_pairs(logits)
    chosen = logits[tokens, columns] - logits[tokens, OUTSIDE]
    loss = xp.vdot(scale, log_total) - (own * chosen).sum()
    scale /= total
    gradient = xp.empty_like(logits)
    for i, part in enumerate(parts):
        gradient[:, 1 + i :: 2] = part * scale
    gradient[tokens, columns] -= own
    gradient[:, OUTSIDE] = -gradient[:, 1:].sum(axis=1)  # that of each softmax sums to 0
    return gradient, loss


def _exp_pairs(logits: XpArray) -> tuple[tuple[XpArray, XpArray], XpArray, XpArray]:
    """Return the parts of each type's softmax with ``O``; all have shape (n_tokens, n_types).

    These are the exponentials of the begin and of the inside columns, shifted so that none
    overflows; their sum with that of ``O``; and ``-log`` of the share of ``O`` in it.
    """
    xp = array_module(logits)
    begin, inside = logits[:, 1::2] - logits[:, :1], logits[:, 2::2] - logits[:, :1]
    top = xp.maximum(begin, 0.0)
    xp.maximum(top, inside, out=top)
    total = xp.exp(-top)
    for part in (begin, inside):
        part -= top
        xp.exp(part, out=part)
        total += part
    return (begin, inside), total, top + xp.log(total)


def number_of_types(logits: XpArray) -> int:
    """Return the number of entity types; raise ValueError if the columns are not those of BIO."""
    n_types, rest = divmod(logits.shape[1] - 1, 2)
    if rest:
        raise ValueError(f"a BIO head has 1 + 2 * n_types columns, not {logits.shape[1]}")
    return int(n_types)


def _blocks(logits: XpArray) -> list[slice]:
    """Return the rows to work on at a time: few enough for a CPU's cache, all of them on a GPU."""
    n_tokens, n_labels = logits.shape
    size = max(BLOCK // n_labels if isinstance(logits, np.ndarray) else n_tokens, 1)
    return [slice(start, start + size) for start in range(0, n_tokens, size)]
