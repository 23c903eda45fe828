"""Binary Token Labels with transitions: a linear-chain CRF for each entity type.

Each type has a chain of its own over the labels ``O``, begin and inside of its layer, in which an
inside follows begin or inside only. Types share the column of ``O``: the score of a label beside
``O`` is the difference of the two columns, as in `binary_token_labels`, so that heads of both
losses are read alike. A document with layer labels ``y`` has the loss

    L = sum_k sum_t  -w_k[y_t] * log p(y_t | y_1 ... y_t-1, logits of the whole document).

With weights of 1 the sum over ``t`` is that of a CRF, ``log Z`` minus the score of ``y`` (Lafferty,
McCallum, Pereira 2001). Class weights, and the divisor of each copy, are the ``w_k`` of Binary
Token Labels, so that only the transitions are different. Where a label is `MISSING`, the
sum is over all labels that it may be; a chain without any label has no gradient.

The chains are in `labels.chains`: all of a batch take their steps together, on the CPU and in
double precision.
"""

from collections.abc import Sequence

import numpy as np

from ..labels.bio import MISSING, OUTSIDE
from ..labels.chains import IDLE, N_LABELS, Chains, by_position
from ..labels.layers import BEGIN, INSIDE
from ..util.arrays import Bools2d, Float64s2d, Float64s3d, FloatsXd, Ints1d, Ints2d, XpArray
from .binary_token_labels import BinaryTokenLabels, number_of_types
from .crf import LearnsTransitions, on_cpu
from .losses import Reduction, TokenLoss, array_module, check_labels

BLOCK = 2**19
"""Tokens times types that are trained on at a time, so that long documents take little memory."""


class TypeCrfLoss(LearnsTransitions, BinaryTokenLabels):
    """Binary Token Labels with a CRF for each entity type, computed on the CPU.

    Attributes:
        rate_factor: Learning rate of the transitions, as a multiple of the head's.
        reduction: As in `BinaryTokenLabels`.
        tau: Strength of the logit adjustment of each type, 0 or more. It trades F1 for the recall
            of rare types; 0.1 is a good start. In training, ``tau`` times the log of the label's
            share of the tokens, minus that of all tokens outside of the type, is added.
        transitions: (n_types, 3, 3) score of a label (row) followed by another (column); None
            before the first batch.
        start: (n_types, 3) score of the first label; None before the first batch.
    """

    def __init__(
        self, *, rate_factor: float = 20.0, reduction: Reduction = "weights", tau: float = 0.0
    ) -> None:
        BinaryTokenLabels.__init__(self, reduction=reduction, tau=tau)
        LearnsTransitions.__init__(self, rate_factor)

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
            guesses: Logits (n_tokens, 1 + 2 * n_types).
            truths: Labels (n_tokens,), or layer labels (n_tokens, n_types) as in `labels.layers`.
            lengths: Number of tokens of each document, in order; None for one document.
            annotated: (n_tokens, n_types) bool, the types that the token's document annotates; None
                for all. Layer labels need none: they have `MISSING` there.

        Returns:
            Gradient (n_tokens, 1 + 2 * n_types) and loss, both 0 if no token has a label.

        Raises:
            ValueError: If shapes, labels or class weights do not fit the logits, if no well-formed
                sequence agrees with the labels, or if a token has a type that is not annotated.
        """
        logits, labels = on_cpu(guesses, str(guesses.dtype)), on_cpu(truths, "int64")
        n_types = number_of_types(logits)
        if labels.ndim == 2:
            self._check_layers(logits, labels, n_types)
            layers, weights = labels, self._weights(logits, labels)
        else:
            check_labels(logits, labels)
            mask = None if annotated is None else on_cpu(annotated, "bool")
            layers = _layers_of(labels, n_types, self._mask(logits, labels, mask).get("annotated"))
            weights = self._weights(logits, labels[labels != MISSING])
        rows, n_docs = by_position(len(logits), lengths)
        counts = np.stack([(layers == label).sum(axis=0) for label in range(N_LABELS)], axis=1)
        scales = self._scales(counts, weights.astype(np.float64))
        layers = _without_idle(layers, [len(layers)] if lengths is None else lengths)
        gradient, loss = np.zeros(logits.shape, dtype=logits.dtype), 0.0
        steps = {"transitions": np.zeros((n_types, 3, 3)), "start": np.zeros((n_types, 3))}
        chosen = np.flatnonzero(scales.any(axis=1))
        n_chosen = max(BLOCK // max(len(rows), 1), 1)
        for types in (chosen[i : i + n_chosen] for i in range(0, len(chosen), n_chosen)):
            chains = self._chains(n_docs, types, n_types)
            emissions = self._emissions(logits, rows, types)
            of_types = chains.loss(emissions, layers[rows[:, None], types], scales[types])
            for label in (BEGIN, INSIDE):
                columns = 2 * types + label
                gradient[rows[:, None], columns] = of_types.emissions[label]
            steps["transitions"][types] = of_types.transitions.transpose(2, 1, 0)
            steps["start"][types] = of_types.start.T
            loss += of_types.loss
        gradient[:, OUTSIDE] = -gradient[:, 1:].sum(axis=1)
        if len(chosen):
            self._gather(**steps)
        return array_module(guesses).asarray(gradient), loss

    def probabilities(self, logits: XpArray, lengths: Sequence[int] | None = None) -> XpArray:
        """Return the label probabilities (n_tokens, n_labels) that the logits represent.

        The columns of a type keep the marginal probabilities of its chain, and ``O`` gets the rest;
        `BinaryTokenLabels.probabilities` describes this, and the effect of class weights. With
        ``tau``, these are divided by the shares of the labels to the power of ``tau``. (Logits
        without the prior in the chains would raise an entity once for each of its tokens.)
        """
        layers = self._marginals(on_cpu(logits, str(logits.dtype)), lengths)
        flat = np.empty((len(layers), logits.shape[1]), dtype=layers.dtype)
        flat[:, 1::2], flat[:, 2::2] = layers[:, :, BEGIN], layers[:, :, INSIDE]
        flat[:, OUTSIDE] = np.maximum(1.0 - flat[:, 1:].sum(axis=1), 0.0)
        if self.log_prior is not None:
            flat *= np.exp(self.tau * (self.log_prior[OUTSIDE] - self.log_prior))
        flat /= flat.sum(axis=1, keepdims=True)
        return array_module(logits).asarray(flat)

    def layer_probabilities(self, logits: XpArray, lengths: Sequence[int] | None = None) -> XpArray:
        """Return the probabilities (n_tokens, n_types, 3) of ``O``, begin and inside by type."""
        layers = self._marginals(on_cpu(logits, str(logits.dtype)), lengths)
        if self.tau:
            layers[:, :, BEGIN:] *= np.exp(-self.tau * self._log_odds(logits.shape[1]))
            layers /= layers.sum(axis=2, keepdims=True)
        return array_module(logits).asarray(layers)

    def _marginals(self, logits: FloatsXd, lengths: Sequence[int] | None) -> FloatsXd:
        """Return the marginal probabilities (n_tokens, n_types, 3) of the chains."""
        n_types = number_of_types(logits)
        rows, n_docs = by_position(len(logits), lengths)
        types = np.arange(n_types)
        chains = self._chains(n_docs, types, n_types)
        found = chains.marginals(self._emissions(logits, rows, types), str(logits.dtype))
        layers: FloatsXd = np.empty((len(logits), n_types, N_LABELS), dtype=logits.dtype)
        layers[rows] = found.transpose(1, 2, 0)
        return layers

    def add_columns(self, n: int) -> None:
        """Make room for further types, with transitions of 0."""
        super().add_columns(n)
        if self.transitions is not None and self.start is not None:
            new = (0, n // 2)
            self._reshape(
                np.pad(self.transitions, (new, (0, 0), (0, 0))), np.pad(self.start, (new, (0, 0)))
            )

    def take_columns(self, other: TokenLoss, columns: Ints1d) -> None:
        """Take over the transitions of another loss of this kind; those of a new type are 0."""
        if not isinstance(other, TypeCrfLoss) or other.transitions is None or other.start is None:
            return
        begins = columns[1::2]
        ours = np.flatnonzero(begins >= 0)
        theirs = (begins[ours] - 1) // 2
        self.transitions = np.zeros((len(begins), 3, 3), dtype=np.float32)
        self.start = np.zeros((len(begins), 3), dtype=np.float32)
        self.transitions[ours], self.start[ours] = other.transitions[theirs], other.start[theirs]

    def _chains(self, n_docs: list[int], types: Ints1d, n_types: int) -> Chains:
        """Return the chains of some of the types.

        Raises:
            ValueError: If transitions of another number of types were learned.
        """
        if self.transitions is None or self.start is None:
            return Chains(n_docs, np.zeros((3, 3, len(types))), np.zeros((3, len(types))))
        if len(self.start) != n_types:
            raise ValueError(
                f"{n_types} types do not match the {len(self.start)} that the CRF has learned"
            )
        transitions = self.transitions[types].astype(np.float64).transpose(2, 1, 0)
        return Chains(n_docs, transitions, self.start[types].astype(np.float64).T)

    def _emissions(self, logits: FloatsXd, rows: Ints1d, types: Ints1d) -> Float64s3d:
        """Return the scores of begin and inside beside ``O`` (2, n_tokens, n_types).

        Args:
            logits: (n_tokens, n_labels)
            rows: (n_tokens,) order of the tokens.
            types: Indices of the types.
        """
        scores = np.empty((2, len(rows), len(types)))
        for i, label in enumerate((BEGIN, INSIDE)):
            scores[i] = logits[rows[:, None], 2 * types + label]
            scores[i] -= logits[rows, :1]
        if self.tau:
            scores += self.tau * self._log_odds(logits.shape[1])[types].T[:, None]
        return scores

    def _log_odds(self, n_labels: int) -> Float64s2d:
        """Return the log odds of begin and inside among the training tokens (n_types, 2)."""
        log_prior = self._with_prior(np.zeros((1, n_labels)))[0] / self.tau
        own = log_prior[1:].reshape(-1, 2)
        # Outside of the type, but no more than all types leave.
        outside = np.maximum(1.0 - np.exp(own).sum(axis=1), np.exp(log_prior[OUTSIDE]))
        log_odds: Float64s2d = own - np.log(outside)[:, None]
        return log_odds


def _layers_of(labels: Ints1d, n_types: int, annotated: Bools2d | None) -> Ints2d:
    """Return flat labels (n_tokens,) as layer labels (n_tokens, n_types)."""
    layers = np.full((len(labels), n_types), OUTSIDE, dtype=np.int64)
    tokens = np.flatnonzero(labels > OUTSIDE)
    types = (labels[tokens] - 1) // 2
    layers[tokens, types] = labels[tokens] - 2 * types
    layers[labels == MISSING] = MISSING
    if annotated is not None:
        layers[~annotated] = MISSING
    return layers


def _without_idle(layers: Ints2d, lengths: Sequence[int]) -> Ints2d:
    """Return layer labels, with `IDLE` in the layers of documents that have no label there."""
    parts = np.split(layers, np.cumsum(lengths)[:-1]) if len(lengths) else []
    idle = [(part == MISSING).all(axis=0) for part in parts]
    if not np.any(idle):
        return layers
    return np.where(np.repeat(idle, lengths, axis=0), IDLE, layers)
