"""The most probable well-formed BIO label sequence of each document.

The search (Viterbi) looks only at places where the most probable labels of the single tokens break
the scheme, which is rare: over whole documents it would be a loop over all positions, and cost
about a tenth of a pipeline that reads one document after another on a CPU, and more on a GPU.

Cut a document into segments in any way, and search each as if anything might come before it (but
nothing before the first). No well-formed sequence scores more than these optima together, as its
pieces were among those searched; so if the optima, one after the other, are well-formed, they are
the optimum of the document. If an ``I-`` at the start of a segment continues nothing, the segment
joins those before it and is searched again. A segment whose most probable labels are well-formed
needs no search. Arrays only.
"""

from collections.abc import Callable, Sequence

import numpy as np

from ..util.arrays import Bools1d, Float64s2d, Float64s3d, Floats2d, Ints1d, Ints2d
from .bio import OUTSIDE

MIN_PROBABILITY = 1e-9
"""Floor under a probability of 0, which a vote of few neighbors often has: no path is impossible
because one token of it was voted down."""


def best_paths(
    probabilities: Sequence[Floats2d], outside: Sequence[Bools1d] | None = None
) -> list[Ints1d]:
    """Return the most probable well-formed label sequence of each document.

    A sequence is well-formed if every ``I-`` follows ``B-`` or ``I-`` of its own type. Of these,
    the one with the largest product of the probabilities is returned, each of them at least
    `MIN_PROBABILITY`. On a tie the lowest column wins, from the last token to the first (sums of
    logarithms that differ by no more than their rounding may count as a tie, or not).

    Args:
        probabilities: (n_tokens, 1 + 2 * n_types) for each document; rows that sum to 1, columns as
            in `labels.bio`.
        outside: (n_tokens,) for each document, True where a token must be ``O``, for example as it
            belongs to an entity that another component has set.

    Returns:
        Columns (n_tokens,) for each document.
    """
    lengths = np.array([len(doc) for doc in probabilities], dtype=np.int64)
    ends = np.cumsum(lengths)
    firsts = ends - lengths
    labels = np.full(lengths.sum(), OUTSIDE, dtype=np.int64)
    paths = [labels[first:end] for first, end in zip(firsts, ends, strict=True)]
    for i, (doc, path) in enumerate(zip(probabilities, paths, strict=True)):
        if len(doc):
            path[:] = most_probable_labels(doc)
            if outside is not None:
                path[outside[i]] = OUTSIDE

    def scores_of(tokens: Ints1d) -> Float64s2d:
        parts = []
        for i, own in enumerate(np.split(tokens, np.searchsorted(tokens, firsts[1:]))):
            if len(own):
                rows = own - firsts[i]
                parts.append(log_probabilities(probabilities[i][rows]))
                if outside is not None:
                    parts[-1][outside[i][rows], 1:] = -np.inf
        return np.concatenate(parts)

    make_well_formed(labels, firsts[lengths > 0], scores_of)
    return paths


def most_probable_labels(probabilities: Floats2d) -> Ints1d:
    """Return the most probable column of each token (n_tokens,), the lowest one on a tie."""
    labels: Ints1d = probabilities.argmax(axis=1)
    # Below the floor all are equal.
    labels[probabilities[np.arange(len(labels)), labels] <= MIN_PROBABILITY] = OUTSIDE
    return labels


def log_probabilities(probabilities: Floats2d) -> Float64s2d:
    """Return the logarithms of probabilities, none below that of `MIN_PROBABILITY`."""
    scores: Float64s2d = np.log(np.maximum(probabilities, MIN_PROBABILITY, dtype=np.float64))
    return scores


def make_well_formed(
    labels: Ints1d, firsts: Ints1d, scores_of: Callable[[Ints1d], Float64s2d]
) -> None:
    """Turn the most probable labels of single tokens into the best well-formed sequences, in place.

    Args:
        labels: (n_tokens,) of all documents, one after the other.
        firsts: (n_docs,) index of the first token of each document that has any, in order.
        scores_of: Returns the log-probabilities (n, 1 + 2 * n_types) of the tokens with these
            indices (n,), which are in order. It is called only for tokens near a break of the
            scheme.
    """
    is_start = (labels % 2 == 1) | (labels == OUTSIDE)
    reach = 1
    while len(breaks := _breaks(labels, firsts)):
        # Once a segment is searched, no break is left in it but at its start, where it joins the
        # segments before it. The reach doubles, so that break after break takes few rounds.
        first_of_document = firsts[np.searchsorted(firsts, breaks, side="right") - 1]
        for distance in range(reach):
            is_start[np.maximum(breaks - distance, first_of_document)] = False
        is_start[firsts] = True
        reach *= 2
        starts = np.flatnonzero(is_start)
        ends = np.append(starts[1:], len(labels))
        broken = np.unique(np.searchsorted(starts, breaks, side="right") - 1)
        _search(labels, starts[broken], ends[broken], firsts, scores_of)


def _breaks(labels: Ints1d, firsts: Ints1d) -> Ints1d:
    """Return the indices of tokens with an ``I-`` that continues nothing of its type."""
    before = np.empty_like(labels)
    before[1:] = labels[:-1]
    before[firsts] = OUTSIDE
    inside = (labels % 2 == 0) & (labels != OUTSIDE)
    return np.flatnonzero(inside & (before != labels) & (before != labels - 1))


def _search(
    labels: Ints1d,
    starts: Ints1d,
    ends: Ints1d,
    firsts: Ints1d,
    scores_of: Callable[[Ints1d], Float64s2d],
) -> None:
    """Set the labels of segments to the best ones, whatever comes before each segment.

    Args:
        labels: As in `make_well_formed`, like ``firsts`` and ``scores_of``.
        starts: (n_segments,) their first tokens.
        ends: (n_segments,) the tokens after their last ones.
        firsts: See above.
        scores_of: See above.
    """
    lengths = ends - starts
    for batch in _batches_by_length(lengths.tolist()):
        batch.sort()
        at = starts[batch] + np.arange(lengths[batch].max())[:, None]
        known = at < ends[batch]
        tokens = at.T[known.T]
        found = scores_of(tokens)
        # A shorter segment is padded by tokens that are surely O: they change no path before.
        scores = np.full((*at.shape, found.shape[1]), -np.inf)
        scores[:, :, OUTSIDE] = 0.0
        scores.transpose(1, 0, 2)[known.T] = found
        # Nothing comes before an I- at the start of a document.
        scores[0, np.isin(starts[batch], firsts), 2::2] = -np.inf
        labels[tokens] = viterbi(scores).T[known.T]


def _batches_by_length(lengths: Sequence[int], max_padded: int = 32_768) -> list[list[int]]:
    """Return indices of segments of similar length, so that one loop over positions serves many.

    They are in order of length. The size of a batch times its longest segment stays within
    ``max_padded``; a segment longer than that is a batch of its own.
    """
    batches: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        last = batches[-1] if batches else []
        if (
            not last
            or lengths[i] > 2 * lengths[last[0]]
            or (len(last) + 1) * lengths[i] > max_padded
        ):
            batches.append([])
        batches[-1].append(i)
    return batches


def viterbi(scores: Float64s3d) -> Ints2d:
    """Return the best label sequences, as columns (n_tokens, n_sequences).

    Transitions are free or forbidden, so that no table of them is needed: ``O`` and any ``B-``
    follow the best column of all, and an ``I-`` the better one of the two columns of its type.

    Args:
        scores: Log-probabilities (n_tokens, n_sequences, 1 + 2 * n_types). Anything may come before
            the first token: set its ``I-`` columns to ``-inf`` if nothing does.
    """
    n_tokens, n, columns = scores.shape
    every = np.arange(n)
    before_any = np.zeros((n_tokens, n), dtype=np.int64)  # the best column before O and any B-
    is_inside = np.zeros((n_tokens, n, columns // 2), dtype=np.int64)  # 1: I-; 0: B- before I-
    best = scores[0]
    for t in range(1, n_tokens):
        before_any[t] = best.argmax(axis=1)
        begin, inside = best[:, 1::2], best[:, 2::2]
        is_inside[t] = inside > begin
        following = scores[t] + best[every, before_any[t]][:, None]
        following[:, 2::2] = scores[t, :, 2::2] + np.maximum(begin, inside)
        best = following
    paths = np.zeros((n_tokens, n), dtype=np.int64)
    paths[-1] = best.argmax(axis=1)
    for t in range(n_tokens - 1, 0, -1):
        paths[t - 1] = before_any[t]
        goes_on = np.flatnonzero((paths[t] % 2 == 0) & (paths[t] != OUTSIDE))
        label = paths[t, goes_on]
        paths[t - 1, goes_on] = label - 1 + is_inside[t, goes_on, label // 2 - 1]
    return paths
