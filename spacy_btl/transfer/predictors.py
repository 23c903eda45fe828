"""Measures of how alike two corpora are, to predict what a training on one brings to the other.

The first four are those of Akdemir and Shibuya 2020 (arXiv 2011.00425): vocabularies, topics, mean
encoder vectors, and the slope of the learning curve. The share of mentions that are mentions
elsewhere is ours, as it can be taken type by type. Nothing here knows of spaCy.
"""

import warnings
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from ..util.arrays import Floats1d, Floats2d

N_TOPICS = 15
"""Topics of `topic_similarities`, as in the paper."""


def vocabulary_overlap(first: Collection[str], second: Collection[str]) -> float:
    """Return the Dice coefficient of two vocabularies, 0 if both are empty.

    Args:
        first: Words, each counted once.
        second: Words of the other corpus.
    """
    a, b = set(first), set(second)
    return 2 * len(a & b) / (len(a) + len(b)) if a or b else 0.0


def topic_similarities(
    texts: Mapping[str, Sequence[str]], *, n_topics: int = N_TOPICS, seed: int = 0
) -> dict[tuple[str, str], float]:
    """Return the cosine of the mean topic vectors of each pair of corpora.

    Topics are those of a non-negative matrix factorization of the TF-IDF values of all documents.

    Args:
        texts: The texts of each corpus.
        n_topics: Topics; fewer where there are fewer documents or words.
        seed: Seed of the factorization.

    Returns:
        A value for each pair of names, in both orders, and 1 for a corpus with itself.
    """
    from sklearn.decomposition import NMF
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.feature_extraction.text import TfidfVectorizer

    names = list(texts)
    of = np.repeat(np.arange(len(names)), [len(texts[name]) for name in names])
    values = TfidfVectorizer(sublinear_tf=True, stop_words="english").fit_transform(
        text for name in names for text in texts[name]
    )
    n_topics = max(1, min(n_topics, *values.shape))
    model = NMF(n_topics, init="nndsvda", random_state=seed, max_iter=500)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # rough topics are good enough
        topics = model.fit_transform(values)
    means = np.stack([topics[of == i].mean(axis=0) for i in range(len(names))])
    return {
        (first, second): cosine(means[i], means[j])
        for i, first in enumerate(names)
        for j, second in enumerate(names)
    }


def cosine(first: Floats1d, second: Floats1d) -> float:
    """Return the cosine of two vectors (width,), 0 if one of them is 0."""
    lengths = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / lengths if lengths else 0.0


def mean_vector(vectors: Sequence[Floats2d]) -> Floats1d:
    """Return the mean of the rows of some arrays, (n_tokens, width) each, as (width,)."""
    total: Floats1d = np.sum([rows.sum(axis=0, dtype=np.float64) for rows in vectors], axis=0)
    return total / max(1, sum(len(rows) for rows in vectors))


def curve_slope(shares: Sequence[float], scores: Sequence[float]) -> float:
    """Return the slope of a learning curve by the share of the training documents.

    It is that of the straight line with the least squares.

    Args:
        shares: Shares of the training documents, at least two different ones.
        scores: The score of a training on each.
    """
    slope, _ = np.polyfit(np.asarray(shares, dtype=np.float64), np.asarray(scores), 1)
    return float(slope)


def known_mentions(
    source: Collection[str], target: Mapping[str, Mapping[str, int]]
) -> dict[str, float]:
    """Return by type the share of a target's mentions that are mentions of any type in a source.

    Args:
        source: Surfaces of the source's mentions.
        target: How often each surface is a mention, by type.

    Returns:
        A share for each type that has mentions.
    """
    known = set(source)
    return {
        label: sum(n for surface, n in mentions.items() if surface in known) / total
        for label, mentions in target.items()
        if (total := sum(mentions.values()))
    }


def known_share(source: Collection[str], target: Mapping[str, Mapping[str, int]]) -> float:
    """Return the share of all of a target's mentions that are mentions in a source, 0 of none.

    Args:
        source: As in `known_mentions`.
        target: As in `known_mentions`.
    """
    every: Counter[str] = Counter()
    for mentions in target.values():
        every.update(mentions)
    return known_mentions(source, {"": every}).get("", 0.0)
