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
    follows ``B-`` or ``I-`` of its own type, it maximizes the product of the probabilities
    (Viterbi, with transitions that are free or forbidden). On a tie the lowest column wins, from
    the last token to the first.
    """
    paths: list[Ints1d] = [np.zeros(0, dtype=np.int64)] * len(probabilities)
    for batch in _batches_by_length([len(doc) for doc in probabilities]):
        longest, columns = probabilities[batch[-1]].shape
        # A shorter document goes on with tokens that are O for sure: they change no path before.
        scores = np.full((longest, len(batch), columns), -np.inf)
        scores[:, :, 0] = 0.0
        for row, i in enumerate(batch):
            length = len(probabilities[i])
            scores[:length, row] = np.log(np.maximum(probabilities[i], MIN_PROBABILITY))
            if outside is not None:
                scores[:length, row, 1:][outside[i]] = -np.inf
        padded = _best_paths_padded(scores)
        for row, i in enumerate(batch):
            paths[i] = padded[: len(probabilities[i]), row].copy()
    return paths


def _batches_by_length(lengths: Sequence[int], max_padded: int = 32_768) -> list[list[int]]:
    """Indices of documents of like length, so that the loop over positions serves many at once.

    In order of length, without empty documents. A batch times its longest document stays within
    ``max_padded`` (a longer single document stands alone).
    """
    batches: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        if not lengths[i]:
            continue
        if not batches or (len(batches[-1]) + 1) * lengths[i] > max_padded:
            batches.append([])
        batches[-1].append(i)
    return batches


def _best_paths_padded(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Viterbi over log-probabilities (n_tokens, n_docs, columns); paths (n_tokens, n_docs)."""
    n_tokens, n_docs, columns = scores.shape
    docs, own_begin = np.arange(n_docs), np.arange(1, columns, 2)
    back = np.zeros(scores.shape, dtype=np.int32)  # the best column before each column
    best = scores[0].copy()
    best[:, 2::2] = -np.inf  # nothing stands before an I- at the start
    for t in range(1, n_tokens):
        back[t] = best.argmax(axis=1)[:, None]
        back[t, :, 2::2] = own_begin + (best[:, 2::2] > best[:, 1::2])
        best = best[docs[:, None], back[t]] + scores[t]
    paths = np.zeros((n_tokens, n_docs), dtype=np.int64)
    paths[-1] = best.argmax(axis=1)
    for t in range(n_tokens - 1, 0, -1):
        paths[t - 1] = back[t, docs, paths[t]]
    return paths
