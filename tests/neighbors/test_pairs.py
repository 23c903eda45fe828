import numpy as np
import pytest

from spacy_btl.neighbors.pairs import NearestPairs
from tests.helpers.keys import literal

KEYS = np.array([[0.0], [1.0], [2.0], [4.0], [1.0]], dtype=np.float32)
QUERIES = np.array([[0.0], [3.0]], dtype=np.float32)


@pytest.mark.parametrize(
    ("k", "bounds", "pairs", "indices", "distances", "counts"),
    [
        (2, [np.inf, np.inf], [(0, 3), (0, 0), (0, 1)], [0, 1], [0, 1], [2, 0]),
        (1, [np.inf, np.inf], [(1, 0), (1, 2), (0, 4)], [4, 2], [1, 1], [1, 1]),
        (2, [np.inf, np.inf], [(1, 3), (1, 2)], [2, 3], [1, 1], [0, 2]),  # a tie: lowest index
        (2, [np.inf, np.inf], [(0, 4), (0, 1), (0, 0)], [0, 1], [0, 1], [2, 0]),  # of two ties
        (3, [1.0, 1.0], [(0, 1), (0, 2), (1, 3), (1, 0)], [1, 3], [1, 1], [1, 1]),  # squares
        (3, [0.0, 0.0], [(0, 0), (0, 1)], [0], [0], [1, 0]),
        (3, [1.0, 1.0], [], [], [], [0, 0]),
    ],
)
@pytest.mark.parametrize("most", [0, 1, 100])
def test_nearest(k, bounds, pairs, indices, distances, counts, most):
    found = NearestPairs(QUERIES, KEYS, k, np.array(bounds), most)
    for row, key in pairs:
        found.add(np.array([row]), np.array([key]))
    nearest = found.nearest()
    assert nearest.indices.tolist() == indices
    assert nearest.distances.tolist() == distances
    assert nearest.counts.tolist() == counts


@pytest.mark.parametrize("most", [10, 2**20])
def test_all_pairs_equal_the_literal_search(most):
    rng = np.random.default_rng(0)
    keys, queries = rng.normal(size=(90, 3)), rng.normal(size=(20, 3))
    keys, queries = keys.astype(np.float32), queries.astype(np.float32)
    found = NearestPairs(queries, keys, 7, np.full(20, np.inf), most)
    for chunk in np.array_split(rng.permutation(20 * 90), 6):
        found.add(chunk // 90, chunk % 90)
    distances, indices, counts = found.nearest()
    expected, nearest = literal(keys, queries, 7)
    assert counts.tolist() == [7] * 20
    assert indices.reshape(20, 7).tolist() == nearest.tolist()
    assert distances.reshape(20, 7) == pytest.approx(expected, rel=1e-6)
