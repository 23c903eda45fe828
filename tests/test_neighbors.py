import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier

from spacy_btl.neighbors import KNearestNeighbors

LINE = np.array([[0.0], [1.0], [2.0], [3.0]])


def fitted(labels, n_labels, k, keys=LINE):
    neighbors = KNearestNeighbors(k)
    neighbors.fit(keys, np.array(labels), n_labels)
    return neighbors


def literal_vote(keys, labels, n_labels, queries, k):
    """One query and one key at a time."""
    shares = []
    for query in queries:
        distances = [((query - key) ** 2).sum() for key in keys]
        nearest = np.argsort(distances, kind="stable")[:k]
        shares.append([np.mean(labels[nearest] == label) for label in range(n_labels)])
    return np.array(shares)


@settings(deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1, 2, 5, 17, 200]))
def test_equals_the_literal_vote(seed, k):
    rng = np.random.default_rng(seed)
    keys, queries = rng.normal(size=(60, 4)), rng.normal(size=(9, 4))
    labels = rng.integers(0, 5, 60)
    neighbors = fitted(labels, 7, k, keys)
    shares = neighbors.predict_proba(queries)
    assert shares == pytest.approx(literal_vote(keys, labels, 7, queries, k), abs=1e-6)
    assert shares.shape == (9, 7)
    assert shares.dtype == np.float32


@pytest.mark.parametrize("n_labels", [1, 2, 7, 83])
@pytest.mark.parametrize("seed", range(3))
def test_most_votes_equal_scikit_learn(seed, n_labels):
    rng = np.random.default_rng(seed)
    keys = rng.normal(size=(2000, n_labels)).astype(np.float32)
    queries = rng.normal(size=(500, n_labels)).astype(np.float32)
    labels = (rng.exponential(size=2000) * n_labels / 5).astype(int).clip(0, n_labels - 1)
    theirs = KNeighborsClassifier(n_neighbors=17, algorithm="brute").fit(keys, labels)
    ours = fitted(labels, n_labels, 17, keys).predict_proba(queries).argmax(axis=1)
    assert ours.tolist() == theirs.predict(queries).tolist()


@pytest.mark.parametrize(
    ("labels", "k", "query", "shares"),
    [
        ([0, 1, 2, 2], 1, 0.1, [1, 0, 0, 0]),
        ([0, 1, 2, 2], 2, 2.6, [0, 0, 1, 0]),
        ([2, 2, 1, 1], 4, 1.5, [0, 0.5, 0.5, 0]),  # a tie: argmax takes the lowest
        ([2, 1, 0, 0], 2, 0.4, [0, 0.5, 0.5, 0]),
        ([0, 1, 1, 2], 17, 9.0, [0.25, 0.5, 0.25, 0]),  # fewer keys than k: all of them vote
        ([3, 3, 3, 3], 3, 1.0, [0, 0, 0, 1]),  # one label
    ],
)
def test_shares_of_the_vote(labels, k, query, shares):
    result = fitted(labels, 4, k).predict_proba(np.array([[query]]))
    assert result.tolist() == [shares]
    assert result[0].argmax() == shares.index(max(shares))


def test_shares_of_17_sum_to_one():
    rng = np.random.default_rng(0)
    neighbors = fitted(rng.integers(0, 83, 500), 83, 17, rng.normal(size=(500, 5)))
    assert neighbors.predict_proba(rng.normal(size=(50, 5))).sum(axis=1) == pytest.approx(1)


def test_no_queries():
    assert fitted([0, 1, 2, 2], 4, 3).predict_proba(np.zeros((0, 1))).shape == (0, 4)


def test_fit_takes_the_place_of_former_keys():
    neighbors = fitted([0, 0, 0, 0], 2, 1)
    neighbors.fit(np.array([[5.0, 5.0]]), np.array([2]), 3)
    assert neighbors.predict_proba(np.zeros((1, 2))).tolist() == [[0, 0, 1]]


def test_reset_forgets():
    neighbors = fitted([0, 1, 2, 2], 4, 3)
    assert neighbors.is_fitted
    neighbors.reset()
    assert not neighbors.is_fitted
    assert neighbors.get_arrays() == {}
    with pytest.raises(ValueError, match="not fitted"):
        neighbors.predict_proba(np.zeros((1, 1)))


def test_arrays_round_trip():
    rng = np.random.default_rng(0)
    neighbors = fitted(rng.integers(0, 3, 40), 5, 17, rng.normal(size=(40, 3)))
    queries = rng.normal(size=(10, 3))
    copy = KNearestNeighbors(17)
    copy.set_arrays({name: array.copy() for name, array in neighbors.get_arrays().items()})
    assert copy.is_fitted
    assert (copy.predict_proba(queries) == neighbors.predict_proba(queries)).all()
    copy.set_arrays({})
    assert not copy.is_fitted


@pytest.mark.parametrize(
    ("keys", "labels", "message"),
    [
        (np.zeros((0, 3)), [], "no labelled token"),
        (np.zeros((2, 3)), [0], "do not fit"),
        (np.zeros(2), [0, 1], "do not fit"),
        (np.zeros((2, 3)), [0, 4], "between 0 and 3"),
        (np.zeros((2, 3)), [0, -1], "between 0 and 3"),
        (np.full((2, 3), np.nan), [0, 1], "NaN"),
    ],
)
def test_fit_refuses(keys, labels, message):
    with pytest.raises(ValueError, match=message):
        fitted(labels, 4, 17, keys)


@pytest.mark.parametrize("k", [0, -1])
def test_needs_a_neighbor(k):
    with pytest.raises(ValueError, match="at least 1"):
        KNearestNeighbors(k)


def test_queries_of_another_width():
    with pytest.raises(ValueError, match="features"):
        fitted([0, 1, 2, 2], 4, 3).predict_proba(np.zeros((2, 5)))


def test_incomplete_arrays_change_nothing():
    neighbors = fitted([0, 1, 2, 2], 4, 3)
    with pytest.raises(ValueError, match="lacks keys, n_labels"):
        neighbors.set_arrays({"labels": np.array([0])})
    assert neighbors.is_fitted
