"""Label probabilities to well-formed BIO label sequences: the constrained best path.

Pure arrays: knows nothing of spaCy, of the model or of where the probabilities come from.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats2d = npt.NDArray[np.floating]
Ints1d = npt.NDArray[np.int64]

MIN_PROBABILITY = 1e-9
"""Floor under a probability of 0, as a vote of few neighbours often gives: no path is impossible
because one token of it was voted down."""


def best_paths(
    probabilities: Sequence[Floats2d], outside: Sequence[npt.NDArray[np.bool_]] | None = None
) -> list[Ints1d]:
    """Most probable well-formed label sequence of each document.

    probabilities: one array (n_tokens, 1 + 2 * n_types) a document, rows that sum to 1, columns in
        the order of `spacy_btl.labels`.
    outside: one array (n_tokens,) a document, True where a token must be ``O`` (it belongs to an
        entity that another component has set, say).

    Returns one array (n_tokens,) of columns a document. Among the sequences in which every ``I-``
    follows ``B-`` or ``I-`` of its own type, it maximizes the product of the probabilities (Viterbi,
    with transitions that are free or forbidden). On a tie the lowest column wins.
    """
    paths: list[Ints1d] = [np.zeros(0, dtype=np.int64)] * len(probabilities)
    for batch in _batches_by_length([len(doc) for doc in probabilities]):
        scores = [np.log(np.maximum(probabilities[i], MIN_PROBABILITY)) for i in batch]
        if outside is not None:
            for doc_scores, i in zip(scores, batch, strict=True):
                doc_scores[outside[i], 1:] = -np.inf
        for i, path in zip(batch, _best_paths_padded(scores), strict=True):
            paths[i] = path
    return paths


def _batches_by_length(lengths: Sequence[int], max_padded: int = 32_768) -> list[list[int]]:
    """Indices of documents of like length, so that the loop over positions serves many at once.

    Empty documents are left out; a batch times its longest document stays under ``max_padded``.
    """
    batches: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        if not lengths[i]:
            continue
        if not batches or (len(batches[-1]) + 1) * lengths[i] > max_padded:
            batches.append([])
        batches[-1].append(i)
    return batches


def _best_paths_padded(scores: list[Floats2d]) -> list[Ints1d]:
    """Viterbi over log-probabilities of documents that have one token at least."""
    n_docs, longest, columns = len(scores), max(map(len, scores)), scores[0].shape[1]
    is_inside = np.zeros(columns, dtype=bool)
    is_inside[2::2] = True
    best = np.full((n_docs, columns), -np.inf)
    back = np.zeros((longest, n_docs, columns), dtype=np.int32)
    for row, doc in enumerate(scores):
        best[row] = doc[0]
    best[:, is_inside] = -np.inf
    rows = np.arange(n_docs)
    lengths = np.array([len(doc) for doc in scores])
    ends = {length: np.flatnonzero(lengths == length) for length in set(lengths.tolist())}
    last = np.zeros(n_docs, dtype=np.int64)
    _keep_ends(last, best, ends.get(1))
    for t in range(1, longest):
        anything = best.argmax(axis=1)
        back[t] = anything[:, None]
        step = np.repeat(best[rows, anything][:, None], columns, axis=1)
        begin, inside = best[:, 1::2], best[:, 2::2]
        step[:, 2::2] = np.maximum(begin, inside)
        back[t][:, 2::2] = np.where(begin >= inside, 1, 2) + 2 * np.arange(columns // 2)
        for row in np.flatnonzero(lengths > t):
            step[row] += scores[row][t]
        best = step
        _keep_ends(last, best, ends.get(t + 1))
    paths = [np.zeros(length, dtype=np.int64) for length in lengths]
    for row, path in enumerate(paths):
        label = last[row]
        for t in range(len(path) - 1, -1, -1):
            path[t] = label
            label = back[t, row, label]
    return paths


def _keep_ends(last: Ints1d, best: Floats2d, rows: Ints1d | None) -> None:
    """Note the best final label of the documents that end here."""
    if rows is not None:
        last[rows] = best[rows].argmax(axis=1)
