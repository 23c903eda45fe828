import numpy as np
import pytest

from spacy_btl.pipeline.editing import contradicted

NEW = [[0.0], [1.0], [10.0]]  # distances to the nearest new one of another document: 1, 1, 9


@pytest.mark.parametrize(
    ("outside", "rest", "gone"),
    [
        ([[0.5]], [], True),
        ([[2.0]], [], True),  # as far from a new one as they are from each other
        ([[2.1]], [], False),
        ([[9.5]], [], True),
        ([[0.5]], [[0.4]], False),  # nearer to a token that is not of the new type
        ([[0.5]], [[3.0]], True),
        ([[-5.0], [0.0]], [], [False, True]),
        (np.zeros((0, 1)), [[3.0]], []),
    ],
)
def test_keys_outside_that_are_in_truth_of_the_new_type(outside, rest, gone):
    added = np.array([*NEW, *rest])
    is_new = np.arange(len(added)) < len(NEW)
    documents = [f"d{i}" for i in range(len(added))]
    result = contradicted(np.array(outside), added, is_new, documents, reach=0.5, block=1)
    assert result.tolist() == np.atleast_1d(gone).tolist()


@pytest.mark.parametrize(
    ("is_new", "documents"),
    [
        ([False, False, False], "abc"),
        ([True, False, False], "abc"),
        ([True, True, False], "aab"),  # one document says nothing of how far mentions lie apart
    ],
)
def test_new_ones_in_less_than_two_documents_say_nothing(is_new, documents):
    added = np.array([[0.0], [1.0], [2.0]])
    assert not contradicted(np.zeros((3, 1)), added, np.array(is_new), list(documents)).any()


@pytest.mark.parametrize(("reach", "gone"), [(0.5, False), (1.0, True)])
def test_the_reach_takes_in_more(reach, gone):
    added, documents = np.array(NEW), ["a", "b", "c"]
    outside = np.array([[3.0]])
    result = contradicted(outside, added, np.ones(3, dtype=bool), documents, reach=reach)
    assert result.tolist() == [gone]


@pytest.mark.parametrize("block", [1, 7, 64, 10**6])
@pytest.mark.parametrize("seed", range(3))
def test_all_distances_at_once_say_the_same(seed, block):
    random = np.random.default_rng(seed)
    outside, added = random.normal(size=(50, 3)), random.normal(size=(30, 3))
    is_new, documents = random.random(30) < 0.5, random.choice(list("abcd"), 30)

    def distance(a, b):
        return np.linalg.norm(a[:, None] - b[None], axis=2)

    new, rest, ids = added[is_new], added[~is_new], documents[is_new]
    between = np.where(ids[:, None] == ids, np.inf, distance(new, new)).min(axis=1)
    to_new, to_rest = distance(outside, new).min(axis=1), distance(outside, rest).min(axis=1)
    expected = (to_new < to_rest) & (to_new <= np.quantile(between, 0.8))
    assert 0 < expected.sum() < 50
    result = contradicted(outside, added, is_new, documents, reach=0.8, block=block)
    assert result.tolist() == expected.tolist()


def test_no_more_distances_than_wanted_are_held(monkeypatch):
    import sklearn.metrics

    sizes, measure = [], sklearn.metrics.euclidean_distances
    monkeypatch.setattr(
        sklearn.metrics,
        "euclidean_distances",
        lambda a, b: sizes.append(len(a) * len(b)) or measure(a, b),
    )
    random = np.random.default_rng(0)
    added = random.normal(size=(200, 2))
    documents = [f"d{i % 20}" for i in range(200)]
    contradicted(random.normal(size=(300, 2)), added, np.ones(200, bool), documents, block=1000)
    assert max(sizes) == 1000
