"""Layer labels as linear chains: marginal probabilities, and the likelihood of labels.

A chain is the sequence of a document's labels in the layer of one type (see `labels.layers`), with
scores of labels and of transitions; an inside follows begin or inside only. The chains of all types
and documents take their steps together, documents of any length beside each other. Two loops run
over positions: one backward in log space, which gives what each label may still come to, and one
forward with the probabilities of a label given the one before it, which lose nothing to rounding.
Gradients are closed forms. Arrays only.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ..util.arrays import Bools2d, Float64s2d, Float64s3d, Float64sXd, Floats3d, Ints1d, Ints2d
from .bio import MISSING, OUTSIDE
from .layers import INSIDE

N_LABELS = 3

IDLE = -2
"""In a layer of a document that has no label at all there: nothing is summed."""

BLOCK = 2**14
"""Tokens times types whose transition probabilities are made at a time: they fit a CPU's cache."""


def by_position(n_tokens: int, lengths: Sequence[int] | None) -> tuple[Ints1d, list[int]]:
    """Return the tokens of all documents in order of their position, the longest document first.

    At each position, the first documents are those that are still there.

    Args:
        n_tokens: Number of all tokens.
        lengths: Number of tokens of each document; None for one document.

    Returns:
        The index of each token (n_tokens,) where documents follow one another, and the number
        of documents at each position.

    Raises:
        ValueError: If the lengths do not add up to the number of tokens.
    """
    sizes = np.asarray([n_tokens] if lengths is None else lengths, dtype=np.int64)
    if sizes.sum() != n_tokens:
        raise ValueError(f"{n_tokens} tokens, but documents of {sizes.sum()} in all")
    order = np.argsort(-sizes, kind="stable")
    firsts = (np.cumsum(sizes) - sizes)[order]
    # Of documents in this order, those longer than t are the first ones.
    n_docs = np.searchsorted(-sizes[order], -np.arange(sizes.max(initial=0))).tolist()
    rows = [firsts[:n] + t for t, n in enumerate(n_docs)]
    return np.concatenate(rows) if rows else np.zeros(0, dtype=np.int64), n_docs


class ChainLoss(NamedTuple):
    """A loss, and its gradients: labels first, then tokens, types last.

    Attributes:
        loss: The loss.
        emissions: (3, n_tokens, n_types)
        transitions: (3, 3, n_types), to a label from another.
        start: (3, n_types)
    """

    loss: float
    emissions: Float64s3d
    transitions: Float64s3d
    start: Float64s2d


class Chains:
    """The chains of several types over several documents, whose tokens are in order of position.

    Attributes:
        n_docs: Number of documents at each position, see `by_position`.
        transitions: (3, 3, n_types) score of a label (first axis) after another (second axis).
        start: (3, n_types) score of the first label.
    """

    def __init__(self, n_docs: list[int], transitions: Float64s3d, start: Float64s2d) -> None:
        self.n_docs = n_docs
        self.transitions, self.start = transitions.copy(), start.copy()
        self.transitions[INSIDE, OUTSIDE] = self.start[INSIDE] = -np.inf
        ends = np.cumsum(n_docs).tolist()
        self.steps = [
            (slice(now - before, now - before + n), slice(now, now + n))
            for before, now, n in zip(n_docs, ends, n_docs[1:], strict=False)
        ]
        """For each position but the first: tokens before those at the position, and these."""
        self.n_first = n_docs[0] if n_docs else 0

    def look_ahead(self, emissions: Float64s3d) -> None:
        """Add to the emissions of each token what the rest of its document can make of them.

        That is the log of the sum over all that may follow begin or inside, minus that of ``O``.

        Args:
            emissions: (2, n_tokens, n_types), changed in place.
        """
        factors = np.exp(self.transitions)[:, :, None]
        scores = np.zeros((N_LABELS, self.n_first, emissions.shape[2]))
        for before, now in reversed(self.steps):
            of_now = scores[:, : now.stop - now.start]
            of_now[1:] = emissions[:, now]
            # No inside follows O, whose sum may be far below those of the others.
            top = of_now[:INSIDE].max(axis=0)
            of_outside = (np.exp(of_now[:INSIDE] - top) * factors[:INSIDE, OUTSIDE]).sum(axis=0)
            top_of_all = np.maximum(top, of_now[INSIDE])
            of_others = (np.exp(of_now - top_of_all)[:, None] * factors[:, 1:]).sum(axis=0)
            top_of_all -= top
            top_of_all -= np.log(of_outside)
            emissions[:, before] += np.log(of_others) + top_of_all

    def log_first(self, ahead: Float64s3d) -> Float64s3d:
        """Return the log-probabilities of the first labels (3, n_docs, n_types)."""
        scores = np.repeat(self.start[:, None], self.n_first, axis=1)
        scores[1:] += ahead[:, : self.n_first]
        return _log_softmax(scores)

    def log_next(self, ahead: Float64s3d) -> Float64sXd:
        """Return the log-probabilities of labels after others (3, 3, n_tokens, n_types).

        Args:
            ahead: (2, n_tokens, n_types) of tokens that are not first, after `look_ahead`.
        """
        return _log_softmax(self._scores_of_next(ahead))

    def _scores_of_next(self, ahead: Float64s3d) -> Float64sXd:
        """Return the scores whose log-softmax `log_next` is."""
        scores = np.empty((N_LABELS, N_LABELS, *ahead.shape[1:]))
        scores[OUTSIDE] = self.transitions[OUTSIDE][:, None]
        np.add(self.transitions[1:, :, None], ahead[:, None], out=scores[1:])
        return scores

    def marginals(self, emissions: Float64s3d, dtype: str = "float64") -> Floats3d:
        """Return the probabilities of each label (3, n_tokens, n_types), of this element type.

        The emissions (2, n_tokens, n_types) are changed.
        """
        self.look_ahead(emissions)
        found = np.empty((N_LABELS, *emissions.shape[1:]), dtype=dtype)
        now_at = np.exp(self.log_first(emissions))
        found[:, : self.n_first] = now_at
        for steps in self._blocks(emissions.shape[2]):
            first = steps[0][1].start
            p = self._scores_of_next(emissions[:, first : steps[-1][1].stop])
            p -= p.max(axis=0)
            np.exp(p, out=p)
            p /= p.sum(axis=0)
            for before, now in steps:
                n = before.stop - before.start
                now_at = (p[:, :, now.start - first : now.stop - first] * now_at[:, :n]).sum(axis=1)
                found[:, now] = now_at
        return found

    def _blocks(self, n_types: int) -> Iterator[list[tuple[slice, slice]]]:
        """Yield the steps in groups with no more labels than `BLOCK`, at least one in each."""
        group: list[tuple[slice, slice]] = []
        for step in self.steps:
            if group and (step[1].stop - group[0][1].start) * n_types > BLOCK:
                yield group
                group = []
            group.append(step)
        if group:
            yield group

    def loss(self, emissions: Float64s3d, layers: Ints2d, scales: Float64s2d) -> ChainLoss:
        """Return the loss and its gradients; the emissions are changed.

        With ``w_t`` the weight of a token and ``F_t`` the log of the share of all sequences that
        agree with the labels up to it, the loss is ``sum_t w_t (F_t-1 - F_t)``, where each ``F``
        has the coefficient ``w_t+1 - w_t``. Its gradient is the sum of these times the
        probabilities of all labels given those up to ``t``: of later ones in one pass forward, of
        the present and earlier ones, which are mostly known, from the labels.

        Args:
            emissions: (2, n_tokens, n_types)
            layers: (n_tokens, n_types) layer labels, `MISSING` or `IDLE`.
            scales: (n_types, 3) weight of a token by its label.

        Raises:
            ValueError: If no well-formed sequence agrees with the labels.
        """
        self.look_ahead(emissions)
        n, missing, labels = self.n_first, layers == MISSING, np.maximum(layers, OUTSIDE)
        weights = np.take_along_axis(scales.T, labels, axis=0)
        weights[layers < 0] = 0.0
        log_first, log_next = self.log_first(emissions), self.log_next(emissions[:, n:])
        log_known = self._filtered(labels, missing, log_first, log_next)
        sizes = np.array(self.n_docs, dtype=np.int64)
        before = np.arange(n, len(labels)) - np.repeat(sizes[:-1], sizes[1:])
        of_label = np.concatenate(
            [
                np.take_along_axis(log_first, labels[None, :n], axis=0)[0],
                np.logaddexp.reduce(
                    np.take_along_axis(log_next, labels[None, None, n:], axis=0)[0]
                    + log_known[:, before],
                    axis=0,
                ),
            ]
        )
        of_label[missing] = 0.0
        if np.isneginf(of_label).any():
            raise ValueError("no well-formed sequence matches the labels: an I- has no B-")
        known, next_p = np.exp(log_known), np.exp(log_next)
        later, source = np.empty_like(known), np.empty_like(known)
        later[:, :n] = weights[:n] * np.exp(log_first)
        for prior, now in self.steps:
            step = later[:, prior] + (weights[now] - weights[prior]) * known[:, prior]
            source[:, now] = step
            later[:, now] = (next_p[:, :, now.start - n : now.stop - n] * step).sum(axis=1)
        earlier, pairs = self._earlier(weights, missing, log_known, log_next)
        certain = np.where(missing, 0.0, known)[:, before]
        pairs += np.einsum("abtk,btk->abk", next_p, source[:, n:])
        pairs += np.einsum("atk,btk->abk", earlier[:, n:], certain)
        emitted = later + earlier
        return ChainLoss(
            -float((weights * of_label).sum()), emitted, pairs, emitted[:, :n].sum(axis=1)
        )

    def _filtered(
        self, labels: Ints2d, missing: Bools2d, log_first: Float64s3d, log_next: Float64sXd
    ) -> Float64s3d:
        """Return the log-probabilities of each label (3, n_tokens, n_types), given those up to it.

        Args:
            labels: (n_tokens, n_types), anything where they are missing.
            missing: (n_tokens, n_types)
            log_first: The result of `log_first`.
            log_next: The result of `log_next`.
        """
        n = self.n_first
        found = np.full((N_LABELS, *labels.shape), -np.inf)
        np.put_along_axis(found, labels[None], 0.0, axis=0)
        found[:, :n] = np.where(missing[:n], log_first, found[:, :n])
        for before, now in self._steps_of(missing, 1):
            step = log_next[:, :, now.start - n : now.stop - n]
            of_now = np.logaddexp.reduce(step + found[:, before], axis=1)
            found[:, now] = np.where(missing[now], of_now, found[:, now])
        return found

    def _earlier(
        self, weights: Float64s2d, missing: Bools2d, log_known: Float64s3d, log_next: Float64sXd
    ) -> tuple[Float64s3d, Float64s3d]:
        """Return the share of each token in the gradient that comes from labels at and after it.

        Returns:
            (3, n_tokens, n_types) of the emissions, and (3, 3, n_types) of the transitions from
            tokens whose label is missing.
        """
        n = self.n_first
        found = np.where(missing, 0.0, -weights * np.exp(log_known))
        pairs = np.zeros_like(self.transitions)
        for before, now in reversed(list(self._steps_of(missing, 0))):
            joint = log_next[:, :, now.start - n : now.stop - n] + log_known[:, before]
            total = np.logaddexp.reduce(joint, axis=1, keepdims=True)
            joint -= np.where(np.isneginf(total), 0.0, total)
            step = np.exp(joint) * np.where(missing[before], found[:, now], 0.0)[:, None]
            pairs += step.sum(axis=2)
            of_now = weights[now] * np.exp(log_known[:, before]) + step.sum(axis=0)
            found[:, before] = np.where(missing[before], of_now, found[:, before])
        return found, pairs

    def _steps_of(self, missing: Bools2d, side: int) -> Iterator[tuple[slice, slice]]:
        """Yield the steps with a missing label before them (``side`` 0) or at them (1)."""
        any_missing = np.asarray(missing.any(axis=1))
        if any_missing.any():
            yield from (step for step in self.steps if any_missing[step[side]].any())


def _log_softmax(scores: Float64sXd) -> Float64sXd:
    """Return the log-softmax over the first axis, in place."""
    scores -= scores.max(axis=0)
    scores -= np.log(np.exp(scores).sum(axis=0))
    return scores
