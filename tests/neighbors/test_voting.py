import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier

from spacy_btl.neighbors.classifier import label_shares, vote_weights

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
def test_equals_scikit_learn(seed, votes):
    rng = np.random.default_rng(seed)
    keys, queries = rng.integers(0, 4, (40, 3)), rng.integers(0, 4, (10, 3))
    keys = keys + rng.normal(size=keys.shape) * rng.integers(0, 2, (40, 1))
    labels = rng.integers(0, 5, 40)
    theirs = KNeighborsClassifier(7, weights=votes, algorithm="brute").fit(keys, labels)
    distances, nearest = theirs.kneighbors(queries)
    shares = label_shares(labels[nearest], vote_weights(distances, votes), 5)
    assert shares[:, theirs.classes_] == pytest.approx(theirs.predict_proba(queries), abs=1e-6)
