import multiprocessing
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier

from spacy_btl.neighbors import pruned as pruned_module
from spacy_btl.neighbors.brute import BruteSearch, votes_of
from spacy_btl.neighbors.pruned import MOST_NEIGHBORS, PrunedSearch
from tests.helpers.keys import (
    N_LABELS,
    clustered,
    constant,
    duplicated,
    far_away,
    far_from_zero,
    huge,
    literal,
    on_a_grid,
    one_column,
    one_key,
    one_label,
    random,
    ten_keys,
    with_outliers,
)

DATA = (
    *(random, clustered, duplicated, on_a_grid, constant, one_label, one_key, ten_keys),
    *(one_column, far_away, huge, far_from_zero, with_outliers),
)


def pruned(keys, labels, n_labels=N_LABELS, **options):
    """Search with short lists, so that every step has work to do."""
    options = {"n_anchors": 20, "n_same": 1, "n_others": 6, **options}
    return PrunedSearch(keys, labels, n_labels, **options)


@pytest.mark.parametrize("n_first", [0, 10**6])
@pytest.mark.parametrize("make", DATA)
def test_equals_the_literal_search(make, n_first):
    keys, labels, queries = make(np.random.default_rng(0))
    search = pruned(keys, labels, n_first=n_first)
    every = literal(keys, queries, 60)
    for k in (1, 17, 60):
        distances, indices = search.kneighbors(queries, k)
        expected, nearest = (part[:, :k] for part in every)
        assert indices.tolist() == nearest.tolist()
        assert distances == pytest.approx(expected, rel=1e-6)
        assert search.count_votes(queries, k).tolist() == (
            votes_of(nearest, np.asarray(labels), N_LABELS).tolist()
        )


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(1, 200),
    st.integers(1, 6),
    st.integers(0, 30),
    st.integers(1, 20),
    st.sampled_from([0.0, 1e-3, 1.0]),
    st.sampled_from([0, 10**6]),
)
def test_any_shape(seed, n_keys, width, n_queries, k, noise, n_first):
    rng = np.random.default_rng(seed)
    keys = rng.integers(0, 3, (n_keys, width)) + noise * rng.normal(size=(n_keys, width))
    queries = rng.integers(0, 3, (n_queries, width)) + noise * rng.normal(size=(n_queries, width))
    labels = rng.integers(0, N_LABELS, n_keys)
    expected, nearest = literal(keys, queries, k)
    search = pruned(keys, labels, n_first=n_first)
    distances, indices = search.kneighbors(queries, k)
    assert indices.tolist() == nearest.tolist()
    assert distances == pytest.approx(expected, rel=1e-6)
    assert search.count_votes(queries, k).tolist() == votes_of(nearest, labels, 5).tolist()


@pytest.mark.parametrize(
    ("n_first", "calls", "has_index"),
    [
        (0, [], True),
        (10, [], False),
        (10, [10], False),
        (10, [4, 6], False),
        (10, [11], True),
        (10, [6, 5], True),
    ],
)
def test_the_index_is_built_after_the_first_queries(n_first, calls, has_index):
    keys, labels, queries = clustered(np.random.default_rng(0))
    search = pruned(keys, labels, n_first=n_first)
    for n in calls:
        search.count_votes(queries[:n], 5)
    assert search.has_index == has_index


@pytest.mark.parametrize("offset", [0, 3000])
@pytest.mark.parametrize("step", [-1e-1, -1e-2, -1e-3, -1e-5, 1e-5, 1e-3, 1e-2, 1e-1])
def test_one_key_of_another_label_at_the_edge(step, offset):
    """Just nearer than the 17th key of a query, or just farther: it votes, or it does not.

    The queries are far more than the others listed, and each has a key of its own at its edge.
    """
    rng = np.random.default_rng(7)
    keys = rng.normal(size=(1500, 6)) * [3, 2, 1, 1, 0.5, 0.1] + offset
    queries = rng.normal(size=(150, 6)) * [3, 2, 1, 1, 0.5, 0.1] + offset
    to_17th = literal(keys, queries, 17)[0][:, 16]
    aside = rng.normal(size=queries.shape)
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    edge = queries + (1 + step) * to_17th[:, None] * aside
    labels = np.zeros(1500 + len(edge), dtype=int)
    labels[1500:] = 1
    keys = np.concatenate([keys, edge])
    nearest = literal(keys, queries, 17)[1]
    votes = votes_of(nearest, labels, N_LABELS).tolist()
    for n_others in (0, 6, 200):
        assert pruned(keys, labels, n_others=n_others).count_votes(queries, 17).tolist() == votes


@pytest.mark.parametrize("seed", range(3))
def test_winning_label_equals_scikit_learn(seed):
    keys, labels, queries = clustered(np.random.default_rng(seed), mixed=0.3)
    theirs = KNeighborsClassifier(n_neighbors=17, algorithm="brute").fit(keys, labels)
    for kind in (BruteSearch, PrunedSearch):
        ours = kind(keys, labels, N_LABELS).count_votes(queries, 17).argmax(axis=1)
        assert ours.tolist() == theirs.predict(queries).tolist()


def test_most_votes_are_decided_without_the_blocks():
    """The lists do the work: without that, the search is exact but slow."""
    keys, labels, queries = clustered(np.random.default_rng(0), mixed=0.002)
    search = PrunedSearch(keys, labels, N_LABELS, n_threads=1)
    asked = []
    nearest = search._nearest
    search._nearest = lambda some, *rest: asked.append(len(some)) or nearest(some, *rest)
    search.count_votes(queries, 17)
    assert sum(asked) < 0.2 * len(queries)


def test_few_keys_are_compared_exactly(monkeypatch):
    """The blocks leave out most keys, and of equal keys only so many as can be neighbors stay."""
    keys, labels, queries = clustered(np.random.default_rng(0))
    taken = []
    add = pruned_module.NearestPairs.add
    monkeypatch.setattr(
        pruned_module.NearestPairs, "add", lambda *pairs: taken.append(len(pairs[1])) or add(*pairs)
    )
    PrunedSearch(keys, labels, N_LABELS).kneighbors(queries, 17)
    assert 17 * len(queries) <= sum(taken) < 0.1 * len(queries) * len(keys)
    assert len(pruned(np.ones((500, 3)), np.zeros(500, int)).index.order) == MOST_NEIGHBORS


@pytest.mark.parametrize("make", [clustered, duplicated, with_outliers])
@pytest.mark.parametrize("few", [0, 10_000])
def test_portions_threads_and_passes_change_nothing(make, few, monkeypatch):
    keys, labels, queries = make(np.random.default_rng(0))
    queries = np.tile(queries, (4, 1))[:130]
    one = pruned(keys, labels, n_threads=1)
    plain = one.kneighbors(queries, 17), one.count_votes(queries, 17)
    for name, value in {
        "QUERIES": 40,
        "PARALLEL": 1,
        "PRODUCTS": 64,
        "KEYS": 8,
        "FEW": few,
    }.items():
        monkeypatch.setattr(pruned_module, name, value)
    monkeypatch.setattr(pruned_module.NearestPairs.__init__, "__defaults__", (50,))
    several = pruned(keys, labels, n_threads=3)
    for before, after in zip(plain[0], several.kneighbors(queries, 17), strict=True):
        assert before.tolist() == after.tolist()
    assert plain[1].tolist() == several.count_votes(queries, 17).tolist()


def test_one_query_at_a_time_gives_the_same():
    keys, labels, queries = clustered(np.random.default_rng(0), mixed=0.3)
    search = PrunedSearch(keys, labels, N_LABELS)
    votes = [search.count_votes(query[None], 17)[0].tolist() for query in queries]
    assert votes == search.count_votes(queries, 17).tolist()


def test_searches_side_by_side():
    keys, labels, queries = clustered(np.random.default_rng(0))
    search = pruned(keys, labels, n_threads=2)
    with ThreadPoolExecutor(4) as pool:
        votes = list(pool.map(lambda _: search.count_votes(queries, 17).tolist(), range(8)))
    assert votes == [search.count_votes(queries, 17).tolist()] * 8


def _count_in_child(search, queries, result):
    result.put(search.count_votes(queries, 17).tolist())


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork")
def test_searches_in_a_forked_process():
    """`nlp.pipe` with several processes forks after a search with threads in the parent."""
    keys, labels, queries = clustered(np.random.default_rng(0))
    search = pruned(keys, labels, n_threads=2)
    votes = search.count_votes(queries, 17)
    context = multiprocessing.get_context("fork")
    result = context.Queue()
    child = context.Process(target=_count_in_child, args=(search, queries, result))
    child.start()
    assert result.get(timeout=60) == votes.tolist()
    child.join(timeout=60)
    assert child.exitcode == 0
