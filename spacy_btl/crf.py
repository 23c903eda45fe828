"""A linear-chain conditional random field over BIO columns, as a loss to compare with.

For a document with logits ``x``, the score of a label sequence ``y`` is

    s(y) = start[y_1] + sum_t x_t[y_t] + sum_t transitions[y_t, y_t+1],

its probability ``exp s(y) / Z``, Z the sum over all well-formed sequences (Lafferty, McCallum,
Pereira 2001). The loss is ``log Z - log Z'``, Z' the sum over those that agree with the gold
labels; a token without one may be anything. All runs on the CPU in double precision: many small
steps one after another, which a GPU makes no faster, and sums that single precision would lose.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from thinc.api import Optimizer, to_numpy

from .forward_backward import Floats, Posterior, forward_backward
from .labels import MISSING, column_types
from .losses_base import (
    Array,
    Reduction,
    TokenLoss,
    array_module,
    check_labels,
    to_texts,
)
from .settings import above_0, at_least_0, one_of


class CrfLoss(TokenLoss):
    """Negative log-likelihood of label sequences, with transitions learned beside the model.

    reduction: divide the sum over the documents by the number of labelled tokens ("weights" and
        "mean": each token weighs 1), or by nothing ("sum").
    rate_factor: above 0; what the learning rate is multiplied by for the parameters (and once more
        by the ``head_factor`` of AdamByLayer). A transition has to move by whole units of log-odds
        from 0, which the rates that a pretrained encoder bears would not let it do in some thousand
        updates.
    tau: logit adjustment, see `TokenLoss`: 0 or more.

    The parameters, ``transitions`` (n_labels, n_labels) and ``start`` (n_labels,), begin at 0 and
    follow the optimizer in `finish_update`; its averages are not applied to them.
    """

    needs_lengths = True  # the component passes the lengths of the documents

    def __init__(
        self, *, rate_factor: float = 20.0, reduction: Reduction = "weights", tau: float = 0.0
    ) -> None:
        self.rate_factor = above_0("rate_factor", rate_factor)
        self.reduction = one_of("reduction", reduction, ("weights", "mean", "sum"))
        self.tau = at_least_0("tau", tau)
        self.parameters: dict[str, Any] = {}
        self._gradients: dict[str, Any] = {}

    def __call__(
        self, guesses: Array, truths: Array, lengths: npt.ArrayLike | None = None
    ) -> tuple[Array, float]:
        """Gradient (n_tokens, n_labels) with respect to the logits, and loss.

        lengths: tokens of each document, in order; None for one document. The gradient of the
            parameters waits for `finish_update`. Raises ValueError where the shapes do not fit,
            where no well-formed sequence agrees with the labels, or for class weights.
        """
        self._refuse_weights()
        xp = array_module(guesses)
        logits, labels = _to_cpu(guesses, np.float64), _to_cpu(truths, np.int64)
        check_labels(logits, labels)
        n_labelled = np.count_nonzero(labels != MISSING)
        if not n_labelled:
            return xp.zeros_like(guesses), 0.0
        logits = self._with_prior(logits)
        agrees = (labels[:, None] == MISSING) | (labels[:, None] == np.arange(logits.shape[1]))
        free = self._posterior(logits, lengths)
        gold = self._posterior(np.where(agrees, logits, -np.inf), lengths)
        if not np.isfinite(gold.log_z):
            raise ValueError("no well-formed sequence agrees with the labels: an I- stands alone")
        scale = 1.0 if self.reduction == "sum" else 1.0 / n_labelled
        for name, at in (("transitions", "pairs"), ("start", "starts")):
            step = (scale * (getattr(free, at) - getattr(gold, at))).astype(np.float32)
            self.parameters.setdefault(name, np.zeros_like(step))
            self._gradients[name] = self._gradients.get(name, 0.0) + step
        gradient = xp.asarray(scale * (free.marginals - gold.marginals), dtype=guesses.dtype)
        return gradient, float(scale * (free.log_z - gold.log_z))

    def probabilities(self, logits: Array, lengths: npt.ArrayLike | None = None) -> Array:
        """Marginal probabilities (n_tokens, n_labels) of the labels; lengths as in a call."""
        marginals = self._posterior(_to_cpu(logits, np.float64), lengths).marginals
        return array_module(logits).asarray(marginals, dtype=logits.dtype)

    def finish_update(self, sgd: Optimizer) -> None:
        """Let the optimizer change the parameters by the gradients gathered since the last time."""
        for name, gradient in self._gradients.items():
            key, weights = (id(self), name), self.parameters[name]
            self.parameters[name], _ = sgd(key, weights, gradient, lr_scale=self.rate_factor)
        self._gradients = {}

    def get_state(self) -> dict[str, Any]:
        """As `TokenLoss.get_state`, with the parameters."""
        texts = {name: to_texts(array) for name, array in self.parameters.items()}
        return {**super().get_state(), "parameters": texts}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take over what `get_state` gave."""
        super().set_state(state)
        texts = state["parameters"]
        self.parameters = {name: np.asarray(text, np.float32) for name, text in texts.items()}
        self._gradients = {}

    def prepare(self, counts: Array, names: Sequence[str]) -> None:
        """As `TokenLoss.prepare`; begins anew. ValueError where class weights are configured."""
        super().prepare(counts, names)
        self.parameters, self._gradients = {}, {}
        self._refuse_weights()

    def _refuse_weights(self) -> None:
        weights = 1.0 if self.class_weights is None else self.class_weights
        if np.any(weights != 1.0) or (self.weighting and self.weighting.scheme != "none"):
            raise ValueError(
                "a CRF weighs whole sequences and cannot take class weights; set "
                "class_weights = null in the config of the component"
            )

    def _posterior(self, logits: Floats, lengths: npt.ArrayLike | None) -> Posterior:
        columns = logits.shape[1]
        sizes = np.asarray([len(logits)] if lengths is None else lengths, dtype=np.int64)
        if sizes.sum() != len(logits):
            raise ValueError(f"{len(logits)} tokens, but documents of {sizes.sum()} in all")
        start = self.parameters.get("start", np.zeros(columns))
        if len(start) != columns:
            raise ValueError(f"{columns} columns, but the CRF has learned {len(start)}")
        transitions = self.parameters.get("transitions", np.zeros((columns, columns)))
        types, is_inside = column_types(columns), np.arange(columns) % 2 == 0
        is_inside[0] = False  # O
        allowed = ~is_inside | (types[:, None] == types)
        return forward_backward(
            logits, sizes, np.where(allowed, np.exp(transitions), 0.0), ~is_inside * np.exp(start)
        )


def _to_cpu(array: Array, dtype: Any) -> Any:
    return np.asarray(to_numpy(array), dtype=dtype)  # type: ignore[no-untyped-call]
