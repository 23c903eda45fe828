"""Keys with labels and queries of many kinds, and a literal search to compare others with."""

import numpy as np

N_LABELS = 5


def literal(keys, queries, k):
    """Search one query at a time, in float64, with the lowest index first on a tie."""
    keys, queries = (np.float32(part).astype(np.float64) for part in (keys, queries))
    distances, indices = [], []
    for query in queries:
        from_query = np.sqrt(((keys - query) ** 2).sum(axis=1))
        nearest = np.lexsort((np.arange(len(keys)), from_query))[:k]
        distances.append(from_query[nearest])
        indices.append(nearest)
    shape = len(queries), min(k, len(keys))
    return np.reshape(distances, shape), np.reshape(indices, shape).astype(int)


def random(rng):
    return rng.normal(size=(700, 9)), rng.integers(0, N_LABELS, 700), rng.normal(size=(80, 9))


def clustered(rng, mixed=0.05):
    """Return clusters of one label each, except for a few keys in their midst."""
    centers = 8 * rng.normal(size=(12, 10))
    scales = np.geomspace(1, 0.05, 10)
    of = rng.integers(0, 12, 1500)
    vectors = centers[of] + scales * rng.normal(size=(1500, 10))
    labels = np.where(rng.random(1500) < mixed, rng.integers(0, N_LABELS, 1500), of % N_LABELS)
    return vectors[:1300], labels[:1300], vectors[1300:]


def duplicated(rng):
    """Return copies, more and fewer than any k, with several labels, far apart in order."""
    vectors = rng.normal(size=(40, 4))
    of = rng.permutation(np.repeat(np.arange(40), rng.integers(1, 150, 40)))
    queries = np.concatenate([vectors, vectors + 0.1 * rng.normal(size=(40, 4))])
    return vectors[of], rng.integers(0, N_LABELS, len(of)), queries


def on_a_grid(rng):
    keys = rng.integers(-3, 4, size=(900, 3))
    return keys, rng.integers(0, N_LABELS, 900), rng.integers(-3, 4, size=(80, 3)) + 0.5


def constant(rng):
    queries = np.concatenate([np.full((3, 4), 0.3), rng.normal(size=(20, 4))])
    return np.full((300, 4), 0.3), rng.integers(0, N_LABELS, 300), queries


def one_label(rng):
    keys, _, queries = clustered(rng)
    return keys, np.full(len(keys), 3), queries


def one_key(rng):
    return np.ones((1, 3)), np.array([2]), rng.normal(size=(7, 3))


def ten_keys(rng):
    return rng.normal(size=(10, 3)), rng.integers(0, N_LABELS, 10), rng.normal(size=(7, 3))


def one_column(rng):
    return rng.normal(size=(500, 1)), rng.integers(0, N_LABELS, 500), rng.normal(size=(70, 1))


def far_away(rng):
    keys, labels, queries = clustered(rng)
    return keys, labels, queries[:40] * np.geomspace(10, 1e5, 40)[:, None]


def huge(rng):
    keys, labels, queries = clustered(rng)
    return 1e4 * keys, labels, 1e4 * queries


def far_from_zero(rng):
    """Return keys whose differences have few digits in float32."""
    keys, labels, queries = clustered(rng)
    return 1e4 + keys, labels, 1e4 + queries


def with_outliers(rng):
    keys, labels, queries = clustered(rng)
    keys[::100] *= 1e5
    return keys, labels, np.concatenate([queries, keys[::100] + 1])
