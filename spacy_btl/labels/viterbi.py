"""Label probabilities to well-formed BIO label sequences: the constrained best path.

Pure arrays: knows nothing of spaCy, of the model or of where the probabilities come from.

The search looks only where the most probable labels of the single tokens break the scheme. Cut a
document into segments anyhow, and search each as if anything might stand before it (but nothing
before the first). No well-formed sequence scores more than these optima together, as its pieces
were among those searched; so where the optima, one after the other, are well-formed, they are the
optimum of the document. Where an ``I-`` at the start of a segment continues nothing, the segment
joins those before it and is searched again. A segment whose most probable labels are well-formed
needs no search.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from .bio import OUTSIDE

Floats2d = npt.NDArray[np.floating]
Ints1d = npt.NDArray[np.int64]
Bools1d = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.float64]

MIN_PROBABILITY = 1e-9
"""Floor under a probability of 0, as a vote of few neighbours often gives: no path is impossible
because one token of it was voted down."""


def best_paths(
    probabilities: Sequence[Floats2d], outside: Sequence[Bools1d] | None = None
) -> list[Ints1d]:
    """Most probable well-formed label sequence of each document.

    probabilities: one array (n_tokens, 1 + 2 * n_types) a document, rows that sum to 1, columns in
        the order of `labels.bio`.
    outside: one array (n_tokens,) a document, True where a token must be ``O`` (it belongs to an
        entity that another component has set, say).

    Returns one array (n_tokens,) of columns a document. Among the sequences in which every ``I-``
    follows ``B-`` or ``I-`` of its own type, it maximizes the product of the probabilities, each
    at least `MIN_PROBABILITY` (Viterbi, with transitions that are free or forbidden). On a tie the
    lowest column wins, from the last token to the first (sums of logarithms that differ by no more
    than their rounding may count as a tie, or not).
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

    def scores_of(tokens: Ints1d) -> Scores:
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
    """The best column of each token (n_tokens,), the lowest one where some are equal."""
    labels: Ints1d = probabilities.argmax(axis=1)
    # Below the floor all are equal.
    labels[probabilities[np.arange(len(labels)), labels] <= MIN_PROBABILITY] = OUTSIDE
    return labels


def log_probabilities(probabilities: Floats2d) -> Scores:
    """Logarithms of probabilities, none below that of `MIN_PROBABILITY`."""
    scores: Scores = np.log(np.maximum(probabilities, MIN_PROBABILITY, dtype=np.float64))
    return scores


def make_well_formed(labels: Ints1d, firsts: Ints1d, scores_of: Callable[[Ints1d], Scores]) -> None:
    """Turn the best labels of single tokens into the best well-formed sequences, in place.

    labels: (n_tokens,), all documents one after the other.
    firsts: index of the first token of each document that has any, in order.
    scores_of: gives the log-probabilities (n, 1 + 2 * n_types) of tokens, by their indices in
        order. It is asked only for tokens near a break of the scheme.
    """
    is_start = (labels % 2 == 1) | (labels == OUTSIDE)
    reach = 1
    while len(breaks := _breaks(labels, firsts)):
        # Once a segment is searched, no break is left in it, only at its start: there it joins the
        # segments before it. The reach doubles, for break upon break to take few rounds.
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
    """Indices of the tokens with an ``I-`` that continues nothing of its type."""
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
    scores_of: Callable[[Ints1d], Scores],
) -> None:
    """Set the labels of these segments to the best ones, whatever stands before each segment."""
    lengths = ends - starts
    for batch in _batches_by_length(lengths.tolist()):
        batch.sort()
        at = starts[batch] + np.arange(lengths[batch].max())[:, None]
        known = at < ends[batch]
        tokens = at.T[known.T]
        found = scores_of(tokens)
        # A shorter segment goes on with tokens that are O for sure: they change no path before.
        scores = np.full((*at.shape, found.shape[1]), -np.inf)
        scores[:, :, OUTSIDE] = 0.0
        scores.transpose(1, 0, 2)[known.T] = found
        # Nothing stands before an I- at the start of a document.
        scores[0, np.isin(starts[batch], firsts), 2::2] = -np.inf
        labels[tokens] = viterbi(scores).T[known.T]


def _batches_by_length(lengths: Sequence[int], max_padded: int = 32_768) -> list[list[int]]:
    """Indices of segments of like length, so that the loop over positions serves many at once.

    In order of length. A batch times its longest segment stays within ``max_padded`` (a longer
    single segment stands alone).
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


def viterbi(scores: Scores) -> Ints1d:
    """Best label sequences by log-probabilities (n_tokens, n_sequences, 1 + 2 * n_types).

    Returns columns (n_tokens, n_sequences). Anything may stand before the first token: set its
    ``I-`` columns to ``-inf`` where nothing does.
    """
    n_tokens, n, columns = scores.shape
    every = np.arange(n)
    before_any = np.zeros((n_tokens, n), dtype=np.int64)  # the best column before O and any B-
    is_inside = np.zeros((n_tokens, n, columns // 2), dtype=np.int64)  # 1: I-, 0: B- before I-
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
