"""What else is used against rare labels: losses on one softmax of all columns, all labels at once.

Here ``p`` is the softmax of a token's logits, ``t`` its gold label, ``w_t`` its class weight and
``D`` the divisor of `SoftmaxLoss`. As `AllTokenLabels` all give logits whose softmax is decoded;
they differ in what they let the model learn.
"""

from typing import Any, Literal

import numpy as np

from ..labels.bio import OUTSIDE
from ..util.checks import above_0, at_least_0, one_of
from .losses import (
    Array,
    Reduction,
    SoftmaxLoss,
    array_module,
    cross_entropy,
    softmax,
)


class FocalLoss(SoftmaxLoss):
    """``1/D sum_n w_t (1 - p_t)^gamma -log p_t`` (Lin et al. 2017, arXiv 1708.02002, eq. 5).

    Tokens that are easy, ``p_t`` near 1, count for less. Class weights stand where the paper has
    its ``alpha_t``. gamma: 0 or more; 0 is the cross-entropy, 2 the paper's choice.
    """

    def __init__(self, *, gamma: float = 2.0, reduction: Reduction = "weights") -> None:
        super().__init__(reduction=reduction)
        self.gamma = at_least_0("gamma", gamma)

    def _compute(self, logits: Array, labels: Array, weights: Array) -> tuple[Array, Array]:
        xp = array_module(logits)
        scale = self._scale(labels, weights)
        gold = (xp.arange(len(labels)), labels)
        shifted = logits - logits.max(axis=1, keepdims=True)
        p = xp.exp(shifted)
        total = p.sum(axis=1)
        log_p = shifted[gold] - xp.log(total)
        # A power below 0 of exactly 0 is infinite; the product it stands in is 0 there.
        rest = xp.maximum(-xp.expm1(log_p), np.finfo(logits.dtype).tiny)
        # d loss / d log p_t, and d log p_t / d x = onehot - p
        slope = rest**self.gamma
        slope -= self.gamma * rest ** (self.gamma - 1.0) * xp.exp(log_p) * log_p
        p *= (scale * slope / total)[:, None]
        p[gold] -= scale * slope
        return p, -(scale * rest**self.gamma * log_p).sum()


class DiceLoss(SoftmaxLoss):
    """Self-adjusting dice loss (Li et al. 2020, arXiv 1911.02855, DSC with its factor (1 - p)).

    Every column is a binary question of its own, ``y_c`` 1 for the gold label and 0 for the others;
    with ``q_c = (1 - p_c)^alpha p_c``

        1/D sum_n w_t sum_c  1 - (2 q_c y_c + gamma) / (q_c + y_c + gamma).

    That is the paper's, which states it for one binary question. Over a softmax of many columns it
    gives a gold label whose ``p_t`` is small hardly a gradient, and may never leave ``O``. With
    sums over the tokens of a batch inside the fraction, as the code of its authors has them in the
    denominator and Milletari et al. 2016 (arXiv 1606.04797) in both, it is a soft F1 of each label:

        1/C sum_c  1 - (2 sum_n w_t q_c y_c + gamma) / (sum_n w_t q_c + sum_n w_t y_c + gamma)

    with C the number of columns, or 1 for ``reduction`` "sum".

    over: "token" for the first formula, "batch" for the second.
    gamma: smoothing, above 0, since without it a negative example has no gradient. Over a batch,
        labels that it does not hold are pushed down the harder the greater it is.
    alpha: 0 or more. The formula of the paper has 1; its authors' code trains named entities with
        0.01, the default here: the gradient goes through the factor too, so that a gold label's
        term is least at ``p = 1 / (1 + alpha)``, which for alpha 1 is one half.
    """

    def __init__(
        self,
        *,
        over: Literal["token", "batch"] = "token",
        gamma: float = 1.0,
        alpha: float = 0.01,
        reduction: Reduction = "weights",
    ) -> None:
        super().__init__(reduction=reduction)
        self.over = one_of("over", over, ("token", "batch"))
        self.gamma = above_0("gamma", gamma)
        self.alpha = at_least_0("alpha", alpha)

    def _compute(self, logits: Array, labels: Array, weights: Array) -> tuple[Array, Array]:
        xp = array_module(logits)
        rows = xp.arange(len(labels))
        p = softmax(logits)
        # 1 - p; that of the largest as the sum of the others, which is exact where it nears 0.
        top = (rows, p.argmax(axis=1))
        others = p.copy()
        others[top] = 0.0
        rest = 1.0 - p
        rest[top] = others.sum(axis=1)
        # Below alpha 1 the slope of the factor is infinite at p = 1.
        rest = xp.maximum(rest, np.finfo(logits.dtype).tiny)
        terms = self._over_tokens if self.over == "token" else self._over_batch
        slope, loss = terms(rest**self.alpha * p, (rows, labels), labels, weights)
        # slope: p_c times d loss / d p_c, through d loss / d q_c
        slope *= rest ** (self.alpha - 1.0) * (1.0 - (1.0 + self.alpha) * p) * p
        gradient = slope - p * slope.sum(axis=1, keepdims=True)
        # Near p = 1 two large numbers cancel; the row sums to 0, so its other entries tell the one.
        gradient[top] = 0.0
        gradient[top] = -gradient.sum(axis=1)
        return gradient, loss

    def _over_tokens(
        self, q: Array, gold: Any, labels: Array, weights: Array
    ) -> tuple[Array, Array]:
        """The derivative with respect to ``q`` (n_tokens, n_labels), and the loss."""
        scale = self._scale(labels, weights)
        terms = q / (q + self.gamma)
        terms[gold] = (1.0 - q[gold]) / (q[gold] + 1.0 + self.gamma)
        slope = self.gamma / (q + self.gamma) ** 2
        slope[gold] = -(2.0 + self.gamma) / (q[gold] + 1.0 + self.gamma) ** 2
        return scale[:, None] * slope, (scale * terms.sum(axis=1)).sum()

    def _over_batch(
        self, q: Array, gold: Any, labels: Array, weights: Array
    ) -> tuple[Array, Array]:
        """The same, of the second formula."""
        xp = array_module(q)
        w = weights[labels][:, None]
        y = xp.zeros_like(q)
        y[gold] = 1.0
        top = 2.0 * (w * q * y).sum(axis=0) + self.gamma
        bottom = (w * (q + y)).sum(axis=0) + self.gamma
        columns = 1.0 if self.reduction == "sum" else float(q.shape[1])
        slope = w * (top / bottom**2 - 2.0 * y / bottom) / columns
        return slope, (1.0 - top / bottom).sum() / columns


class MajorityOrMinority(SoftmaxLoss):
    """MoM learning (Nemoto, Kitada, Iyatomi 2024, arXiv 2401.11431) on the cross-entropy.

    The loss of all tokens and once more that of the majority class, the tokens whose gold label is
    ``O``, both divided by the number of all tokens:

        lambda 1/D sum_n w_t -log p_t  +  (1 - lambda) 1/D sum_{n: t = O} w_t -log p_t

    On a cross-entropy this is the same as a weight of lambda for all labels but ``O``.

    trade_off: lambda, above 0 up to 1; 1 is the cross-entropy; to be tuned on held-out data.
    """

    def __init__(self, *, trade_off: float = 0.5, reduction: Reduction = "weights") -> None:
        super().__init__(reduction=reduction)
        if not 0 < trade_off <= 1:
            raise ValueError(f"trade_off is {trade_off}, but must be above 0 and at most 1")
        self.trade_off = trade_off

    def _compute(self, logits: Array, labels: Array, weights: Array) -> tuple[Array, Array]:
        scale = self._scale(labels, weights)
        scale[labels != OUTSIDE] *= self.trade_off
        return cross_entropy(logits, (labels, scale))
