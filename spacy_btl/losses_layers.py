"""Binary Token Labels where entities of unlike types may overlap: every copy has labels of its own.

In the copy of one type its columns compete with ``O`` alone ("pair"), so a token may belong to an
entity in one copy and to another, or to none, in the next. Layer labels have shape
(n_tokens, n_types): 0 for ``O``, from 1 the type's own columns, `MISSING` where nothing is known.
"""

from .labels import MISSING, OUTSIDE
from .losses_base import Array, Reduction, array_module, divisor


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
