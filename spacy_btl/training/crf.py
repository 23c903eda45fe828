"""A linear-chain conditional random field (CRF) over BIO columns, as a loss.

For a document with logits ``x``, the score of a label sequence ``y`` is

    s(y) = start[y_1] + sum_t x_t[y_t] + sum_t transitions[y_t, y_t+1],

and its probability ``exp s(y) / Z``, where ``Z`` is the sum over all well-formed sequences
(Lafferty, McCallum, Pereira 2001). The loss is ``log Z - log Z'``, where ``Z'`` is the sum over
those that agree with the gold labels; a token without a gold label may have any. Where a document
does not annotate all types, its ``O`` agrees with ``O`` and with the columns of all others
(Greenberg, Bansal, Verga, McCallum 2018, "Marginal Likelihood Training of BiLSTM-CRF for Biomedical
Named Entity Recognition from Disjoint Label Sets"). Gradients and marginals come from torch
autograd. All of it runs on the CPU in double precision: many small steps
one after another, which a GPU makes no faster, and sums that single precision would lose. A chain
for each entity type instead of one for all is in `training.type_crf`.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, get_args

import numpy as np
import torch
from thinc.api import Optimizer, to_numpy

from ..labels.bio import MISSING, OUTSIDE, Averaging, column_types
from ..labels.chains import by_position
from ..util.arrays import FloatsXd, Ints1d, XpArray
from ..util.checks import above_0, at_least_0, one_of
from .losses import Reduction, TokenLoss, UpdateRule, agreeing, array_module, check_labels

IMPOSSIBLE = -1e30
"""Score of what is forbidden. Unlike ``-inf`` it has a gradient."""


class LearnsTransitions(TokenLoss):
    """A loss with scores of transitions that are learned beside the model.

    They begin at 0 and follow the optimizer in `finish_update`; the optimizer's averages are not
    applied to them.

    Attributes:
        rate_factor: Learning rate of the transitions, as a multiple of the optimizer's (and of the
            ``head_factor`` of AdamByLayer). A transition has to move by whole units of log-odds,
            which the rates that a pretrained encoder bears do not allow in some thousand updates.
        transitions: Scores of a label followed by another; None before the first batch.
        start: Scores of the first label; None before the first batch.
    """

    kept: ClassVar[Mapping[str, str]] = {
        **TokenLoss.kept,
        "transitions": "float32",
        "start": "float32",
    }

    def __init__(self, rate_factor: float) -> None:
        self.rate_factor = above_0("rate_factor", rate_factor)
        self.transitions: FloatsXd | None = None
        self.start: FloatsXd | None = None
        self._gradients: dict[str, XpArray] = {}
        # For the optimizer's memory of the parameters: a new one whenever these change their shape.
        self._owners: list[object] = [self]

    def averaging(self, *, layered: bool) -> Averaging | None:
        """Return that of scores: of the logits here, and of the transitions in the state."""
        return "scores"

    def finish_update(self, sgd: UpdateRule) -> None:
        """Update the transitions by the gradients gathered since the last time.

        A function in place of an optimizer knows no factor of the learning rate: the step that it
        takes is multiplied by ``rate_factor`` here.
        """
        for name, gradient in self._gradients.items():
            key, weights = (id(self._owners[-1]), name), getattr(self, name)
            if isinstance(sgd, Optimizer):
                weights, _ = sgd(key, weights, gradient, lr_scale=self.rate_factor)
            else:
                before = weights.copy()
                moved, _ = sgd(key, weights, gradient)
                weights[...] = before + self.rate_factor * (moved - before)
            setattr(self, name, weights)
        self._gradients = {}

    def set_state(self, state: Mapping[str, object]) -> None:
        """Restore what `get_state` returned; gradients that wait for an update are dropped."""
        super().set_state(state)
        self._gradients = {}

    def prepare(self, counts: Ints1d, names: Sequence[str]) -> None:
        """Take class weights and prior from the training data, and begin anew, without transitions.

        Raises:
            ValueError: As `TokenLoss.prepare` does.
        """
        super().prepare(counts, names)
        self.transitions, self.start, self._gradients = None, None, {}

    def _gather(self, **gradients: FloatsXd) -> None:
        """Add to the gradients of transitions and start, which wait for `finish_update`."""
        for name, gradient in gradients.items():
            gradient = np.ascontiguousarray(gradient, dtype=np.float32)
            if getattr(self, name) is None:
                setattr(self, name, np.zeros_like(gradient))
            self._gradients[name] = self._gradients.get(name, 0.0) + gradient

    def _reshape(self, transitions: FloatsXd | None, start: FloatsXd | None) -> None:
        """Continue with scores of another shape, for which an optimizer remembers nothing yet."""
        self.transitions, self.start, self._gradients = transitions, start, {}
        self._owners.append(object())


class CrfLoss(LearnsTransitions):
    """A linear-chain CRF: the negative log-likelihood of label sequences.

    It takes no class weights: set ``class_weights = null``.

    Attributes:
        rate_factor: Learning rate of the transitions, as a multiple of the head's.
        reduction: Divisor of the sum over the documents: the number of labeled tokens ("weights"
            and "mean" are the same here), or 1 ("sum").
        tau: Strength of logit adjustment, 0 or more; 0 for none. The prior is taken out of the
            chain, which raises an entity once for each of its tokens; ``TypeCrfLoss`` takes it out
            of the probabilities.
        transitions: (n_labels, n_labels) score of a label (row) followed by another (column).
        start: (n_labels,) score of the first label.
    """

    honors_label_sets = True

    def __init__(
        self, *, rate_factor: float = 20.0, reduction: Reduction = "weights", tau: float = 0.0
    ) -> None:
        super().__init__(rate_factor)
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

        The gradient of the transitions is kept for `finish_update`.

        Args:
            guesses: Logits (n_tokens, n_labels).
            truths: Labels (n_tokens,).
            lengths: Number of tokens of each document, in order; None for one document.
            annotated: (n_tokens, n_types) bool, the types that the token's document annotates; None
                for all.

        Returns:
            Gradient (n_tokens, n_labels) and loss, both 0 if no token has a label.

        Raises:
            ValueError: If the shapes do not fit, if no well-formed sequence agrees with the labels,
                if a token has a type that is not annotated, or if there are class weights.
        """
        self._refuse_weights()
        xp = array_module(guesses)
        logits, labels = on_cpu(guesses, "float64"), on_cpu(truths, "int64")
        check_labels(logits, labels)
        types = None if annotated is None else on_cpu(annotated, "bool")
        mask = self._mask(logits, labels, types)
        n_labeled = np.count_nonzero(labels != MISSING)
        if not n_labeled:
            return xp.zeros_like(guesses), 0.0
        scale = 1.0 if self.reduction == "sum" else 1.0 / n_labeled
        with torch.inference_mode(False), torch.enable_grad():
            x, transitions, start = self._leaves(self._with_prior(logits))
            disagrees = (labels != MISSING)[:, None] & (labels[:, None] != np.arange(x.shape[1]))
            if mask:
                disagrees &= ~((labels == OUTSIDE)[:, None] & agreeing(mask["annotated"]))
            gold = x.masked_fill(torch.from_numpy(disagrees), IMPOSSIBLE)
            log_z = log_partition(x, transitions, start, lengths)
            log_z_gold = log_partition(gold, transitions, start, lengths)
            if log_z_gold < IMPOSSIBLE / 2:
                raise ValueError("no well-formed sequence matches the labels: an I- has no B-")
            loss = scale * (log_z - log_z_gold)
            leaves = [x, transitions, start]
            d_x, *steps = torch.autograd.grad(loss, leaves, materialize_grads=True)
        self._gather(transitions=steps[0].numpy(), start=steps[1].numpy())
        return xp.asarray(d_x.numpy(), dtype=guesses.dtype), loss.item()

    def probabilities(self, logits: XpArray, lengths: Sequence[int] | None = None) -> XpArray:
        """Return the marginal probabilities (n_tokens, n_labels): the gradient of ``log Z``."""
        with torch.inference_mode(False), torch.enable_grad():
            x, transitions, start = self._leaves(on_cpu(logits, "float64"))
            (marginals,) = torch.autograd.grad(log_partition(x, transitions, start, lengths), [x])
        return array_module(logits).asarray(marginals.numpy(), dtype=logits.dtype)

    def prepare(self, counts: Ints1d, names: Sequence[str]) -> None:
        """Take the prior from the training data, and begin anew with transitions of 0.

        Raises:
            ValueError: If class weights are configured.
        """
        super().prepare(counts, names)
        self._refuse_weights()

    def add_columns(self, n: int) -> None:
        """Make room for further columns, with transitions of 0."""
        super().add_columns(n)
        if self.transitions is not None and self.start is not None:
            self._reshape(np.pad(self.transitions, (0, n)), np.pad(self.start, (0, n)))

    def take_columns(self, other: TokenLoss, columns: Ints1d) -> None:
        """Take over the transitions of another CRF; those from or to a new column are 0."""
        if not isinstance(other, CrfLoss) or other.transitions is None or other.start is None:
            return
        ours = np.flatnonzero(columns >= 0)
        theirs = columns[ours]
        self.transitions = np.zeros((len(columns), len(columns)), dtype=np.float32)
        self.transitions[np.ix_(ours, ours)] = other.transitions[np.ix_(theirs, theirs)]
        self.start = np.zeros(len(columns), dtype=np.float32)
        self.start[ours] = other.start[theirs]

    def _refuse_weights(self) -> None:
        weights = 1.0 if self.class_weights is None else self.class_weights
        if np.any(weights != 1.0) or (self.weighting and self.weighting.scheme != "none"):
            raise ValueError(
                "a CRF weighs whole sequences and cannot take class weights; set "
                "class_weights = null in the config of the component"
            )

    def _leaves(self, logits: FloatsXd) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return logits, transitions and start scores as float64 tensors that gather gradients."""
        columns = logits.shape[1]
        start = np.zeros(columns) if self.start is None else self.start
        if len(start) != columns:
            raise ValueError(
                f"{columns} columns do not match the {len(start)} that the CRF has learned"
            )
        transitions = np.zeros((columns, columns)) if self.transitions is None else self.transitions
        x, t, s = (torch.tensor(a, dtype=torch.float64) for a in (logits, transitions, start))
        return x.requires_grad_(), t.requires_grad_(), s.requires_grad_()


def on_cpu(array: XpArray, dtype: str) -> XpArray:
    """Return an array of numpy or cupy as one of numpy."""
    return np.asarray(to_numpy(array), dtype=dtype)  # type: ignore[no-untyped-call]


def log_partition(
    logits: torch.Tensor,
    transitions: torch.Tensor,
    start: torch.Tensor,
    lengths: Sequence[int] | None,
) -> torch.Tensor:
    """Return the sum over the documents of the log of ``Z``, a scalar.

    All documents take a step at a time: the loop runs over positions. A sum that underflows to 0
    (logits that differ by more than 700) counts as one that nothing leads to.

    Args:
        logits: (n_tokens, n_labels) of the documents one after another.
        transitions: (n_labels, n_labels); those that BIO forbids are ignored.
        start: (n_labels,)
        lengths: Number of tokens of each document; None for one document.

    Raises:
        ValueError: If the lengths do not add up to the number of tokens.
    """
    n_tokens, columns = logits.shape
    rows, n_docs = by_position(n_tokens, lengths)
    if not n_tokens:
        return logits.sum()
    types, is_inside = column_types(columns), np.arange(columns) % 2 == 0
    is_inside[OUTSIDE] = False
    is_forbidden = torch.from_numpy(is_inside & (types[:, None] != types))
    factors = transitions.exp().masked_fill(is_forbidden, 0.0)
    first, *others = torch.split(logits[torch.from_numpy(rows)], n_docs)
    scores = first + start.masked_fill(torch.from_numpy(is_inside), IMPOSSIBLE)
    ended = []
    for emissions in others:
        ended.append(scores[len(emissions) :])
        scores = scores[: len(emissions)]
        top = scores.detach().amax(dim=1, keepdim=True)
        sums = (scores - top).exp() @ factors
        is_reached = sums > 0
        # The log sees no 0, whose gradient would be infinite.
        logs = sums.masked_fill(~is_reached, 1.0).log().masked_fill(~is_reached, IMPOSSIBLE)
        scores = logs + top + emissions
    return torch.cat([*ended, scores]).logsumexp(dim=1).sum()
