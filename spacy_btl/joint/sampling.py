"""Sampling: number and order of readings of each document of several corpora in one pass.

With ``t`` the number of words of a corpus and ``t_max`` that of the largest one, a pass reads each
document of a corpus ``(t_max / t) ** (1 - smoothing)`` times. So every document is read at least
once, and the shares of the corpora in the words of a pass are proportional to ``t ** smoothing``:
to their sizes for 1, equal for 0. Arrays of numbers only; no document is known here.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from ..util.arrays import Ints1d


def repetitions(sizes: Mapping[str, int], smoothing: float) -> dict[str, float]:
    """Return how often a pass reads each document of a corpus, 1 or more.

    Args:
        sizes: Words of each corpus; one without words is not repeated.
        smoothing: Exponent from 0 to 1.
    """
    largest = max(sizes.values(), default=0)
    return {
        name: (largest / size) ** (1.0 - smoothing) if size else 1.0 for name, size in sizes.items()
    }


def repeated(n_docs: int, times: float, rng: np.random.Generator) -> Ints1d:
    """Return the indices of the documents of one corpus in a pass: all of them, again and again.

    The last time it is only some of them, drawn at random, in the order that they have.

    Args:
        n_docs: Number of documents.
        times: How often a document is read, on average.
        rng: Draws the last ones.
    """
    n_whole = int(times)
    n_rest = round((times - n_whole) * n_docs)
    rest = np.sort(rng.choice(n_docs, size=n_rest, replace=False))
    return np.concatenate([np.tile(np.arange(n_docs), n_whole), rest]).astype(np.int64)


def interleaved(lengths: Sequence[int]) -> list[tuple[int, int]]:
    """Return the order in which several sequences are read side by side, each evenly spread.

    Args:
        lengths: Number of items of each sequence.

    Returns:
        Index of the sequence and of the item in it. A sequence keeps its order.
    """
    places = [(item + 0.5) / length for length in lengths for item in range(length)]
    sequence = np.repeat(np.arange(len(lengths)), lengths)
    item = np.concatenate([np.arange(length) for length in lengths]) if lengths else sequence
    order = np.argsort(np.asarray(places), kind="stable")
    return list(zip(sequence[order].tolist(), item[order].tolist(), strict=True))
