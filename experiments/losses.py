"""Losses against rare labels that did not help and are not part of the package.

All work on one softmax of all columns, all labels at once. ``p`` is the softmax of the logits of a
token, ``t`` its gold label, ``w_t`` its class weight and ``D`` the divisor of `SoftmaxLoss`. Their
gradients come from torch autograd in double precision. The names that the arms of ``plan.yml`` use
are registered by importing this module.
"""

from typing import Literal

import torch
from thinc.api import registry, xp2torch

from spacy_btl.labels.bio import OUTSIDE
from spacy_btl.training.losses import Reduction, SoftmaxLoss, array_module, divisor
from spacy_btl.util.arrays import XpArray
from spacy_btl.util.checks import above_0, at_least_0, one_of

TINY = 1e-300
"""Floor under a base whose power has an infinite slope at 0."""


class AutogradLoss(SoftmaxLoss):
    """A loss whose gradient torch works out."""

    def _compute(
        self, logits: XpArray, labels: XpArray, weights: XpArray
    ) -> tuple[XpArray, XpArray]:
        xp = array_module(logits)
        with torch.inference_mode(False), torch.enable_grad():
            x = xp2torch(logits.astype("float64"), requires_grad=True)
            y, w = xp2torch(labels), xp2torch(weights.astype("float64"))[xp2torch(labels)]
            loss = self.formula(x, y, w)
            (gradient,) = torch.autograd.grad(loss, [x])
        return xp.asarray(gradient, dtype=logits.dtype), loss.item()

    def formula(self, x: torch.Tensor, y: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """Return the loss, a scalar.

        Args:
            x: Logits (n_tokens, n_labels).
            y: Labels (n_tokens,).
            w: Class weights (n_tokens,) of these labels.
        """
        raise NotImplementedError

    def mean(self, terms: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """Return the sum of terms (n_tokens,) times their weights ``w``, over the divisor."""
        return (w * terms).sum() / divisor(self.reduction, float(w.sum()), len(w))


@registry.losses("spacy-btl-experiments.FocalLoss.v1")
class FocalLoss(AutogradLoss):
    """``1/D sum_n w_t (1 - p_t)^gamma -log p_t`` (Lin et al. 2017, arXiv 1708.02002, eq. 5).

    Tokens that are easy, ``p_t`` near 1, count for less. Class weights take the place of the
    paper's ``alpha_t``.

    Attributes:
        gamma: 0 or more; 0 is the cross-entropy, 2 the paper's choice.
    """

    def __init__(self, *, gamma: float = 2.0, reduction: Reduction = "weights") -> None:
        super().__init__(reduction=reduction)
        self.gamma = at_least_0("gamma", gamma)

    def formula(self, x: torch.Tensor, y: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """Return the loss."""
        log_p = log_p_of(x, y)
        return self.mean(-((-log_p.expm1()).clamp_min(TINY) ** self.gamma) * log_p, w)


@registry.losses("spacy-btl-experiments.DiceLoss.v1")
class DiceLoss(AutogradLoss):
    """Self-adjusting dice loss (Li et al. 2020, arXiv 1911.02855, DSC with its factor ``1 - p``).

    Every column is a binary question of its own, ``y_c`` 1 for the gold label and 0 for the others;
    with ``q_c = (1 - p_c)^alpha p_c``

        1/D sum_n w_t sum_c  1 - (2 q_c y_c + gamma) / (q_c + y_c + gamma).

    This is the paper's, which states it for one binary question. Over a softmax of many columns a
    gold label with a small ``p_t`` gets hardly a gradient, and may never leave ``O``. With sums
    over the tokens of a batch inside the fraction, as the code of its authors has them in the
    denominator and Milletari et al. 2016 (arXiv 1606.04797) in both, it is a soft F1 of each label:

        1/C sum_c  1 - (2 sum_n w_t q_c y_c + gamma) / (sum_n w_t q_c + sum_n w_t y_c + gamma)

    with C the number of columns, or 1 for ``reduction`` "sum".

    Attributes:
        over: "token" for the first formula, "batch" for the second.
        gamma: Smoothing, above 0, without which a negative example has no gradient. Over a batch,
            labels that are not in it are pushed down the harder the greater it is.
        alpha: 0 or more. The formula of the paper has 1; its authors' code trains named entities
            with 0.01, the default here: the gradient goes through the factor too, so that the term
            of a gold label is least at ``p = 1 / (1 + alpha)``, one half for alpha 1.
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

    def formula(self, x: torch.Tensor, y: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """Return the loss."""
        gold = torch.nn.functional.one_hot(y, x.shape[1])
        p = x.softmax(dim=1)
        # 1 - p; that of the largest as the sum of the others, which is exact near 0.
        top = torch.nn.functional.one_hot(p.argmax(dim=1), x.shape[1]).bool()
        rest = torch.where(top, p.masked_fill(top, 0.0).sum(dim=1, keepdim=True), 1.0 - p)
        q = rest.clamp_min(TINY) ** self.alpha * p
        if self.over == "token":
            terms = 1.0 - (2.0 * q * gold + self.gamma) / (q + gold + self.gamma)
            return self.mean(terms.sum(dim=1), w)
        both, either = (w @ part for part in (q * gold, q + gold))
        terms = 1.0 - (2.0 * both + self.gamma) / (either + self.gamma)
        return terms.sum() if self.reduction == "sum" else terms.mean()


@registry.losses("spacy-btl-experiments.MajorityOrMinority.v1")
class MajorityOrMinority(AutogradLoss):
    """MoM learning (Nemoto, Kitada, Iyatomi 2024, arXiv 2401.11431) on the cross-entropy.

    The loss of all tokens plus that of the majority class, the tokens whose gold label is ``O``,
    both divided by the number of all tokens:

        lambda 1/D sum_n w_t -log p_t  +  (1 - lambda) 1/D sum_{n: t = O} w_t -log p_t

    On a cross-entropy this is the same as a weight of lambda for all labels but ``O``.

    Attributes:
        trade_off: lambda, above 0 up to 1; 1 is the cross-entropy; to be tuned on held-out data.
    """

    def __init__(self, *, trade_off: float = 0.5, reduction: Reduction = "weights") -> None:
        super().__init__(reduction=reduction)
        if not 0 < trade_off <= 1:
            raise ValueError(f"trade_off is {trade_off}, but must be above 0 and at most 1")
        self.trade_off = trade_off

    def formula(self, x: torch.Tensor, y: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """Return the loss."""
        is_outside = (y == OUTSIDE).to(x)
        return self.mean((is_outside + (1 - is_outside) * self.trade_off) * -log_p_of(x, y), w)


def log_p_of(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return the log-softmax (n_tokens,) of logits (n_tokens, n_labels) at labels (n_tokens,)."""
    return x.log_softmax(dim=1).gather(1, y[:, None])[:, 0]
