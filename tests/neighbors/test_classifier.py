import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier

from spacy_btl.neighbors.brute import BruteSearch
from spacy_btl.neighbors.classifier import (
    KNearestNeighbors,
    label_shares,
    make_search,
    vote_weights,
)
from spacy_btl.neighbors.datastore import Datastore
from spacy_btl.neighbors.pruned import PrunedSearch

LINE = np.array([[0.0], [1.0], [2.0], [3.0]])
HALF = np.exp(-1) / (1 + np.exp(-1))


@pytest.mark.parametrize(
    ("votes", "temperature", "distances", "weights"),
    [
        ("uniform", 1, [0, 1, 4], [1 / 3, 1 / 3, 1 / 3]),
        ("uniform", 1, [3], [1]),
        ("distance", 1, [1, 2, 4], [4 / 7, 2 / 7, 1 / 7]),
        ("distance", 1, [0, 1, 4], [1, 0, 0]),  # what is at no distance counts alone
        ("distance", 1, [0, 0, 4], [0.5, 0.5, 0]),
        ("distance", 1, [1e-30, 1, 1], [1, 0, 0]),
        ("softmax", 1, [2, 3], [1 - HALF, HALF]),
        ("softmax", 2, [2, 4], [1 - HALF, HALF]),
        ("softmax", 1, [5000, 5001], [1 - HALF, HALF]),  # only differences count
        ("softmax", 1e-6, [1, 2], [1, 0]),
        ("softmax", 1e6, [1, 2], [0.5, 0.5]),
    ],
)
def test_what_a_vote_counts_for(votes, temperature, distances, weights):
    result = vote_weights(np.array([distances], dtype=np.float32), votes, temperature)
    assert result[0] == pytest.approx(weights, abs=1e-6)
    assert result.dtype == np.float32


@pytest.mark.parametrize("votes", ["loud", "Uniform", "", None])
def test_an_unknown_kind_of_votes_is_refused(votes):
    with pytest.raises(ValueError, match=r"votes is .*, but must be one of uniform, dist"):
        vote_weights(np.ones((1, 2), dtype=np.float32), votes)


@pytest.mark.parametrize(
    ("labels", "weights", "shares"),
    [
        ([0, 1, 1], [0.2, 0.3, 0.5], [0.2, 0.8, 0]),
        ([2], [1], [0, 0, 1]),
        ([1, 1], [0.5, 0.5], [0, 1, 0]),
    ],
)
def test_shares_of_the_labels(labels, weights, shares):
    result = label_shares(np.array([labels]), np.array([weights], dtype=np.float32), 3)
    assert result[0] == pytest.approx(shares)


def test_no_query():
    none = np.zeros((0, 17), dtype=np.float32)
    assert vote_weights(none, "uniform").shape == (0, 17)
    assert vote_weights(none, "softmax").shape == (0, 17)
    assert label_shares(none.astype(int), none, 5).shape == (0, 5)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.sampled_from(["uniform", "distance"]))
def test_votes_equal_those_of_scikit_learn(seed, votes):
    rng = np.random.default_rng(seed)
    keys, queries = rng.integers(0, 4, (40, 3)), rng.integers(0, 4, (10, 3))
    keys = keys + rng.normal(size=keys.shape) * rng.integers(0, 2, (40, 1))
    labels = rng.integers(0, 5, 40)
    theirs = KNeighborsClassifier(7, weights=votes, algorithm="brute").fit(keys, labels)
    distances, nearest = theirs.kneighbors(queries)
    shares = label_shares(labels[nearest], vote_weights(distances, votes), 5)
    assert shares[:, theirs.classes_] == pytest.approx(theirs.predict_proba(queries), abs=1e-6)


@pytest.mark.parametrize(
    ("kind", "made"), [("auto", PrunedSearch), ("brute", BruteSearch), ("pruned", PrunedSearch)]
)
def test_make_search(kind, made):
    keys = np.arange(5.0)[:, None]
    search = make_search(kind, keys, np.zeros(5, int), 1)
    assert type(search) is made
    assert search.kneighbors(np.array([[1.2]]), 2)[1].tolist() == [[1, 2]]


def test_make_search_rejects_an_unknown_kind():
    with pytest.raises(ValueError, match="search is 'tree', but must be one of auto, brute"):
        make_search("tree", np.zeros((1, 1)), np.zeros(1, int), 1)


def store(keys, labels, n_labels):
    n = len(keys)
    return Datastore(
        keys=np.asarray(keys, dtype=np.float32),
        labels=np.asarray(labels),
        label_names=tuple(f"L{i}" for i in range(n_labels)),
        documents=("d",) if n else (),
        document_of_key=np.zeros(n, dtype=np.int32),
        offsets=np.arange(n),
        fingerprint="f",
        key_kind="logits",
    )


def fitted(labels, n_labels, k, keys=LINE, **settings):
    neighbors = KNearestNeighbors(k, **settings)
    neighbors.datastore = store(keys, labels, n_labels)
    return neighbors


def literal_vote(keys, labels, n_labels, queries, k):
    """Return one query and one key at a time."""
    shares = []
    for query in queries:
        distances = [((query - key) ** 2).sum() for key in keys]
        nearest = np.argsort(distances, kind="stable")[:k]
        shares.append([np.mean(labels[nearest] == label) for label in range(n_labels)])
    return np.array(shares)


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 10**6),
    st.sampled_from([1, 2, 5, 17, 200]),
    st.sampled_from(["auto", "brute", "pruned"]),
)
def test_equals_the_literal_vote(seed, k, search):
    rng = np.random.default_rng(seed)
    keys, queries = rng.normal(size=(60, 4)), rng.normal(size=(9, 4))
    labels = rng.integers(0, 5, 60)
    neighbors = fitted(labels, 7, k, keys, search=search)
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


@pytest.mark.parametrize("votes", ["uniform", "distance", "softmax"])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_shares_are_what_the_neighbors_say(metric, votes):
    rng = np.random.default_rng(0)
    keys, queries = rng.normal(size=(300, 5)), rng.normal(size=(40, 5))
    labels = rng.integers(0, 4, 300)
    neighbors = fitted(labels, 4, 9, keys, metric=metric, votes=votes, temperature=0.5)
    distances, nearest = neighbors.kneighbors(queries)
    weights = neighbors.weigh(distances)
    expected = [
        [w[labels[i] == c].sum() for c in range(4)] for w, i in zip(weights, nearest, strict=True)
    ]
    assert neighbors.predict_proba(queries) == pytest.approx(np.array(expected), abs=1e-6)


def test_cosine_does_not_see_lengths():
    keys = np.array([[1.0, 0.0], [0.0, 5.0], [3.0, 3.0]])
    distances, nearest = fitted([0, 1, 2], 3, 3, keys, metric="cosine").kneighbors(
        np.array([[0.0, 0.1], [9.0, 8.0], [0.0, 0.0]])
    )
    assert nearest[:2].tolist() == [[1, 2, 0], [2, 0, 1]]
    assert distances[0] == pytest.approx([0, np.sqrt(2 - np.sqrt(2)), np.sqrt(2)], abs=1e-6)
    assert np.isfinite(distances).all()


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
    neighbors = fitted([0, 1, 2, 2], 4, 3)
    assert neighbors.predict_proba(np.zeros((0, 1))).shape == (0, 4)
    assert [part.shape for part in neighbors.kneighbors(np.zeros((0, 1)))] == [(0, 3), (0, 3)]


def test_another_datastore_takes_the_place_of_the_first():
    neighbors = fitted([0, 0, 0, 0], 2, 1)
    assert neighbors.predict_proba(np.zeros((1, 1))).tolist() == [[1, 0]]
    neighbors.datastore = store([[5.0, 5.0]], [2], 3)
    assert neighbors.predict_proba(np.zeros((1, 2))).tolist() == [[0, 0, 1]]


@pytest.mark.parametrize("empty", [None, store(np.zeros((0, 1)), [], 2)])
def test_no_keys(empty):
    neighbors = KNearestNeighbors()
    neighbors.datastore = empty
    with pytest.raises(ValueError, match="not fitted, or the datastore is empty"):
        neighbors.predict_proba(np.zeros((1, 1)))


@pytest.mark.parametrize("queries", [np.zeros((2, 5)), np.zeros(1)])
def test_queries_of_another_width(queries):
    with pytest.raises(ValueError, match=r"do not match keys \(4, 1\)"):
        fitted([0, 1, 2, 2], 4, 3).predict_proba(queries)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_neighbors": 0}, "n_neighbors is 0, but must be a whole number, 1 or more"),
        ({"n_neighbors": -1}, "n_neighbors is -1, but must be"),
        ({"n_neighbors": 2.5}, "n_neighbors is 2.5, but must be"),
        ({"temperature": 0.0}, "temperature is 0.0, but must be above 0"),
        ({"temperature": float("nan")}, "temperature is nan, but must be above 0"),
        ({"temperature": float("inf")}, "temperature is inf, but must be above 0"),
        ({"metric": "manhattan"}, "metric is 'manhattan', but must be one of euclidean, cosine"),
        ({"votes": "loud"}, "votes is 'loud', but must be one of uniform, distance, softmax"),
        ({"search": "brutal"}, "search is 'brutal', but must be one of auto, brute, pruned"),
    ],
)
def test_wrong_settings_are_refused_at_once(settings, message):
    with pytest.raises(ValueError, match=message):
        KNearestNeighbors(**settings)


def test_a_changed_metric_makes_the_index_anew() -> None:
    """Keys that were scaled for one metric are not searched by the other."""
    keys = np.array([[1.0, 0.0], [3.0, 3.0], [0.0, 1.0], [9.0, 8.0]])
    neighbors = fitted([0, 1, 2, 1], 3, 1, keys)
    queries = np.array([[1.5, 1.4], [0.1, 0.9]], dtype=np.float32)
    assert neighbors.kneighbors(queries)[1].ravel().tolist() == [0, 2]
    neighbors.metric = "cosine"
    fresh = fitted([0, 1, 2, 1], 3, 1, keys, metric="cosine")
    for ours, theirs in zip(neighbors.kneighbors(queries), fresh.kneighbors(queries), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert neighbors.kneighbors(queries)[1].ravel().tolist() == [3, 2]


def test_none_of_the_nearest_is_no_number() -> None:
    with pytest.raises(ValueError, match="k must be at least 1, not 0"):
        fitted([0, 1, 0, 1], 2, 3).kneighbors(LINE.astype(np.float32), 0)
