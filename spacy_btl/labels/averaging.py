"""Logits that stand for the average of several models, for all that reads logits of one.

What the average of logits is depends on how a loss reads them as probabilities:

- "softmax": one softmax over all columns. The logs of the mean probabilities are logits again.
- "layers": for each entity type, a softmax over ``O`` and its two columns. Within each type the
  mean probabilities have logits again, and ``O`` is 0 in all of them.
- "pairs": as "layers", but a token has one label. ``O`` gets what the types leave, and where these
  have more than 1 together, all are divided by their sum.
- "scores": the logits are scores of label sequences (a CRF, one or one for each type). Their mean,
  with the mean of the transitions, gives each sequence the geometric mean of its probabilities, up
  to a factor.

Arrays of numpy or of cupy, whose functions numpy calls.
"""

from typing import Literal, TypeAlias, get_args

import numpy as np

from ..util.arrays import XpArray
from ..util.checks import one_of

Averaging: TypeAlias = Literal["softmax", "pairs", "layers", "scores"]
"""How logits are read, and so averaged."""

AVERAGINGS: tuple[str, ...] = get_args(Averaging)


def average_logits(logits: XpArray, averaging: Averaging) -> XpArray:
    """Return logits (n_tokens, n_columns) that are read as the mean of the probabilities.

    Args:
        logits: (n_models, n_tokens, n_columns), the columns in the same order.
        averaging: How the loss reads logits.

    Raises:
        ValueError: If there is no model, or no such way.
    """
    one_of("averaging", averaging, AVERAGINGS)
    if not len(logits):
        raise ValueError("there are no logits to average")
    if averaging == "scores":
        return logits.mean(axis=0)
    if averaging == "softmax":
        shifted = logits - logits.max(axis=2, keepdims=True)
        return _log_mean(shifted - np.log(np.exp(shifted).sum(axis=2, keepdims=True)))
    begin, inside = logits[..., 1::2] - logits[..., :1], logits[..., 2::2] - logits[..., :1]
    top = np.maximum(np.maximum(begin, inside), 0.0)
    log_total = top + np.log(np.exp(-top) + np.exp(begin - top) + np.exp(inside - top))
    log_begin, log_inside, log_outside = begin - log_total, inside - log_total, -log_total
    if averaging == "pairs":
        own = np.exp(log_begin) + np.exp(log_inside)
        total = own.sum(axis=2, keepdims=True)
        log_divisor = np.log(np.maximum(total, 1.0))
        log_begin, log_inside = log_begin - log_divisor, log_inside - log_divisor
        # 1 minus the share of the type: what O has or, beside too much of them, other types.
        log_others = np.log(np.maximum(total - own, np.finfo(own.dtype).tiny)) - log_divisor
        log_outside = np.where(total > 1.0, log_others, log_outside)
    average = np.zeros_like(logits[0])
    average[:, 1::2] = _log_mean(log_begin) - _log_mean(log_outside)
    average[:, 2::2] = _log_mean(log_inside) - _log_mean(log_outside)
    return average


def _log_mean(logs: XpArray) -> XpArray:
    """Return the logs of the means over the first axis, without an overflow."""
    top = logs.max(axis=0)
    return top + np.log(np.exp(logs - top).mean(axis=0))
