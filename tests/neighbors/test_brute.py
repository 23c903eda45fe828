import numpy as np
import pytest

from spacy_btl.neighbors.brute import BruteSearch, votes_of
from spacy_btl.neighbors.pruned import MOST_NEIGHBORS, PrunedSearch
from tests.helpers.keys import (
    N_LABELS,
    clustered,
    literal,
    one_column,
    one_label,
    random,
    ten_keys,
)


@pytest.mark.parametrize("make", [random, clustered, one_label, one_column, ten_keys])
def test_brute_search_equals_the_literal_search(make):
    keys, labels, queries = make(np.random.default_rng(0))
    search = BruteSearch(keys, labels, N_LABELS)
    distances, indices = search.kneighbors(queries, 17)
    expected, nearest = literal(keys, queries, 17)
    assert indices.tolist() == nearest.tolist()
    assert distances == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert search.count_votes(queries, 17).tolist() == votes_of(nearest, labels, 5).tolist()


@pytest.mark.parametrize("kind", [BruteSearch, PrunedSearch])
class TestEverySearch:
    def test_takes_all_keys_where_k_exceeds_them(self, kind):
        keys, labels, queries = ten_keys(np.random.default_rng(0))
        search = kind(keys, labels, N_LABELS)
        assert search.kneighbors(queries, 17)[1].shape == (7, 10)
        votes = np.bincount(labels, minlength=N_LABELS)
        assert search.count_votes(queries, 17).tolist() == [votes.tolist()] * 7

    def test_takes_many_neighbors(self, kind):
        keys, labels, queries = random(np.random.default_rng(0))
        k = MOST_NEIGHBORS + 1
        distances, indices = kind(keys, labels, N_LABELS).kneighbors(queries, k)
        assert indices.tolist() == literal(keys, queries, k)[1].tolist()
        assert (np.diff(distances) >= 0).all()

    def test_gives_float32_and_int64(self, kind):
        keys, labels, queries = random(np.random.default_rng(0))
        search = kind(keys, labels, N_LABELS + 2)
        distances, indices = search.kneighbors(queries, 3)
        assert (distances.dtype, indices.dtype) == (np.float32, np.int64)
        votes = search.count_votes(queries, 3)
        assert votes.dtype == np.int64
        assert votes.shape == (80, N_LABELS + 2)
        assert (votes.sum(axis=1) == 3).all()

    def test_no_queries(self, kind):
        keys, labels, _ = random(np.random.default_rng(0))
        search = kind(keys, labels, N_LABELS)
        assert [part.shape for part in search.kneighbors(np.zeros((0, 9)), 4)] == [(0, 4)] * 2
        assert search.count_votes(np.zeros((0, 9)), 4).shape == (0, N_LABELS)

    @pytest.mark.parametrize(
        ("keys", "labels", "message"),
        [
            (np.zeros((0, 3)), [], "no key"),
            (np.zeros((2, 3)), [0], "do not match"),
            (np.zeros(2), [0, 1], "do not match"),
            (np.zeros((2, 0)), [0, 1], "do not match"),
            (np.zeros((2, 3)), [0, N_LABELS], "between 0 and 4"),
            (np.zeros((2, 3)), [0, -1], "between 0 and 4"),
            (np.array([[0, np.nan]]), [0], "keys must be finite"),
            (np.array([[0, 1e20]]), [0], "keys must be finite"),
        ],
    )
    def test_rejects_keys(self, kind, keys, labels, message):
        with pytest.raises(ValueError, match=message):
            kind(keys, np.array(labels, dtype=int), N_LABELS)

    @pytest.mark.parametrize(
        ("queries", "k", "message"),
        [
            (np.zeros((2, 8)), 17, "do not match"),
            (np.zeros(9), 17, "do not match"),
            (np.zeros((2, 9)), 0, "at least 1"),
            (np.full((2, 9), np.inf), 17, "queries must be finite"),
            (np.full((2, 9), np.nan), 17, "queries must be finite"),
            (np.full((2, 9), 1e300), 17, "queries must be finite"),
        ],
    )
    def test_rejects_queries(self, kind, queries, k, message):
        keys, labels, _ = random(np.random.default_rng(0))
        search = kind(keys, labels, N_LABELS)
        for call in (search.kneighbors, search.count_votes):
            with pytest.raises(ValueError, match=message):
                call(queries, k)
