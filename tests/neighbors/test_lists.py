import numpy as np
import pytest

from spacy_btl.neighbors.index import Index
from spacy_btl.neighbors.lists import list_keys, smallest
from tests.helpers.keys import (
    clustered,
    far_from_zero,
    huge,
    one_key,
    one_label,
    random,
    ten_keys,
)


@pytest.mark.parametrize("n", [1, 5, 300, 20_000])
@pytest.mark.parametrize("count", [0, 1, 17, 299, 300])
def test_smallest(n, count):
    values = np.random.default_rng(0).integers(0, 50 if n < 100 else n, n).astype(np.float32)
    found, following = smallest(values, count)
    ordered = [*np.sort(values).tolist(), np.inf]
    assert values[found].tolist() == ordered[: min(count, n)]
    assert following == ordered[min(count, n)]


@pytest.mark.parametrize(
    "make", [random, clustered, ten_keys, one_key, one_label, far_from_zero, huge]
)
@pytest.mark.parametrize(("n_same", "n_others"), [(1, 0), (5, 3), (40, 200), (10_000, 10_000)])
def test_lists_have_the_nearest_keys_of_both_kinds(make, n_same, n_others):
    keys, labels, queries = make(np.random.default_rng(0))
    keys, queries = np.float32(keys), np.float32(queries)
    labels = np.asarray(labels)
    index = Index(keys, labels, np.arange(len(keys)), min(8, len(keys)))
    lists = list_keys(index, keys, labels, n_same, n_others)
    anchors = np.sort(np.arange(len(queries)) % len(index.anchors))
    distances, error = lists.distances(queries, anchors)
    projected = index.projection(keys).astype(np.float64)
    for query, anchor, found, room in zip(queries, anchors, distances, error, strict=True):
        is_same = labels == lists.labels[anchor]
        to_anchor = np.linalg.norm(projected - index.anchors[anchor], axis=1)
        to_query = ((np.float64(keys) - np.float64(query)) ** 2).sum(axis=1)
        parts = found[: lists.n_same], found[lists.n_same :]
        for part, chosen, most in zip(parts, (is_same, ~is_same), (n_same, n_others), strict=True):
            listed = part[np.isfinite(part)]
            assert len(listed) == min(most, chosen.sum())
            # Every listed distance is that of a key of this kind.
            off = np.abs(listed[:, None] - to_query[chosen]).min(axis=1, initial=np.inf)
            assert (off <= room).all()
        within = (~is_same & (to_anchor < lists.reach[anchor])).sum()
        assert within <= np.isfinite(parts[1]).sum()
