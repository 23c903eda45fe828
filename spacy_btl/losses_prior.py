"""The prior that Binary Token Labels with all columns competing teach, and how it is taken out.

A token of type c is told its type by one copy and ``O`` by all others, so that the optimum is
``p(c) / p(O) = a_c q(c) / sum_y b_y q(y)`` for true probabilities ``q``, with ``a_y`` and ``b_y``
what a token of label y counts for in the copy of its own type and as ``O``. Both are known from the
batches trained on, and the equations are solved for ``q``.
"""

import numpy as np

from .labels import OUTSIDE
from .losses_base import Array, array_module, softmax


def without_prior(logits: Array, seen: Array) -> Array:
    """The probabilities ``q`` (n_tokens, n_labels).

    seen: (3, n_labels) for the tokens trained on of each label their number, the sum of what they
    counted for in the copy of their own type, and the sum of what they counted for as ``O``.
    """
    xp = array_module(logits)
    result = softmax(logits)
    if not seen[1:].any():
        return result
    tokens, own, as_outside = seen
    n = np.maximum(tokens, 1.0)
    a = np.where(tokens > 0, own / n, own.sum() / max(tokens[1:].sum(), 1.0))
    b = np.where(tokens > 0, as_outside / n, as_outside.sum() / tokens.sum())
    least = 1e-6 * max(a.max(), b.max())  # a label may weigh nothing
    log_a = xp.asarray(np.log(np.maximum(a, least) / max(b[0], least)), dtype=logits.dtype)
    b_of_type = xp.asarray(b[1:] / max(b[0], least), dtype=logits.dtype)
    # With Z = sum_y b_y q(y) / b_O: q(c) = Z r_c, and q(O) = Z (1 - sum_c b_c / b_O r_c).
    log_r = logits[:, 1:] - logits[:, :1] - log_a[1:]
    result[:, 1:] = xp.exp(xp.clip(log_r, -60.0, 60.0))
    result[:, 0] = xp.maximum(1.0 - result[:, 1:] @ b_of_type, 0.0)
    result /= result.sum(axis=1, keepdims=True)
    return result


def seen_over_copies(seen: Array, label_counts: Array, mask_others: bool) -> Array:
    """What was ``seen`` if every batch was one copy, put together to what all copies showed.

    A token that a copy calls ``O`` may be of any type. Each token of the data is shown about as
    often as any other, so a label with ``n`` of ``N`` tokens was shown ``n / N`` of all times, and
    as ``O`` whenever it was not shown as itself.

    seen: as in `without_prior`. label_counts: (n_labels,) tokens of each label in the data.
    mask_others: a copy shows no token of another type at all.
    """
    tokens, own, as_outside = seen
    shown = label_counts / max(label_counts.sum(), 1.0) * tokens.sum()
    told_outside = np.maximum(shown - tokens, 0.0)
    if mask_others:
        told_outside[:] = 0.0
        shown[OUTSIDE] = tokens[OUTSIDE]
    told_outside[OUTSIDE] = shown[OUTSIDE]
    per_token = as_outside[OUTSIDE] / max(tokens[OUTSIDE], 1.0)
    return np.stack((label_counts, own, told_outside * per_token))
