import multiprocessing
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier
from threadpoolctl import threadpool_info, threadpool_limits

from spacy_btl.neighbors import pruned as search_pruned
from spacy_btl.neighbors.brute import BruteSearch, votes_of
from spacy_btl.neighbors.classifier import make_search
from spacy_btl.neighbors.gpu import TorchSearch
from spacy_btl.neighbors.index import one_blas_thread, run_all
from spacy_btl.neighbors.pruned import MOST_NEIGHBORS, PrunedSearch

N_LABELS = 5


def literal(keys, queries, k):
    """One query at a time, in float64; the lowest index first on a tie."""
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
    """Clusters of one label each, but for a few keys in the midst of them."""
    centres = 8 * rng.normal(size=(12, 10))
    scales = np.geomspace(1, 0.05, 10)
    of = rng.integers(0, 12, 1500)
    vectors = centres[of] + scales * rng.normal(size=(1500, 10))
    labels = np.where(rng.random(1500) < mixed, rng.integers(0, N_LABELS, 1500), of % N_LABELS)
    return vectors[:1300], labels[:1300], vectors[1300:]


def duplicated(rng):
    """Copies in numbers above and below any k, with several labels, far apart in the order."""
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
    """Float32 leaves few digits to the differences."""
    keys, labels, queries = clustered(rng)
    return 1e4 + keys, labels, 1e4 + queries


def with_outliers(rng):
    keys, labels, queries = clustered(rng)
    keys[::100] *= 1e5
    return keys, labels, np.concatenate([queries, keys[::100] + 1])


DATA = (
    *(random, clustered, duplicated, on_a_grid, constant, one_label, one_key, ten_keys),
    *(one_column, far_away, huge, far_from_zero, with_outliers),
)


def pruned(keys, labels, n_labels=N_LABELS, **options):
    """With short lists, so that every step of the search has work to do."""
    options = {"n_anchors": 20, "n_same": 1, "n_others": 6, **options}
    return PrunedSearch(keys, labels, n_labels, **options)


@pytest.mark.parametrize("kind", [pruned, TorchSearch])
@pytest.mark.parametrize("make", DATA)
def test_equals_the_literal_search(make, kind):
    keys, labels, queries = make(np.random.default_rng(0))
    search = kind(keys, labels, N_LABELS)
    every = literal(keys, queries, 60)
    for k in (1, 17, 60):
        distances, indices = search.kneighbors(queries, k)
        expected, nearest = (part[:, :k] for part in every)
        assert indices.tolist() == nearest.tolist()
        assert distances == pytest.approx(expected, rel=1e-6)
        assert search.count_votes(queries, k).tolist() == (
            votes_of(nearest, np.asarray(labels), N_LABELS).tolist()
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


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(1, 200),
    st.integers(1, 6),
    st.integers(0, 30),
    st.integers(1, 20),
    st.sampled_from([0.0, 1e-3, 1.0]),
)
def test_any_shape(seed, n_keys, width, n_queries, k, noise):
    rng = np.random.default_rng(seed)
    keys = rng.integers(0, 3, (n_keys, width)) + noise * rng.normal(size=(n_keys, width))
    queries = rng.integers(0, 3, (n_queries, width)) + noise * rng.normal(size=(n_queries, width))
    labels = rng.integers(0, N_LABELS, n_keys)
    expected, nearest = literal(keys, queries, k)
    for kind in (pruned, TorchSearch):
        search = kind(keys, labels, N_LABELS)
        distances, indices = search.kneighbors(queries, k)
        assert indices.tolist() == nearest.tolist()
        assert distances == pytest.approx(expected, rel=1e-6)
        assert search.count_votes(queries, k).tolist() == votes_of(nearest, labels, 5).tolist()


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
    for kind in (BruteSearch, PrunedSearch, TorchSearch):
        ours = kind(keys, labels, N_LABELS).count_votes(queries, 17).argmax(axis=1)
        assert ours.tolist() == theirs.predict(queries).tolist()


def test_most_votes_are_decided_without_the_blocks():
    """The lists do the work: without that, the search is exact but slow."""
    keys, labels, queries = clustered(np.random.default_rng(0), mixed=0.002)
    search = PrunedSearch(keys, labels, N_LABELS, n_threads=1)
    asked = []
    search._has_others = lambda some: asked.append(len(some)) or np.ones(len(some), dtype=bool)
    search.count_votes(queries, 17)
    assert sum(asked) < 0.2 * len(queries)


def test_few_keys_are_compared_exactly(monkeypatch):
    """The blocks leave out most keys, and of equal keys only so many as can be neighbours stay."""
    keys, labels, queries = clustered(np.random.default_rng(0))
    taken = []
    add = search_pruned.NearestPairs.add
    monkeypatch.setattr(
        search_pruned.NearestPairs, "add", lambda *pairs: taken.append(len(pairs[1])) or add(*pairs)
    )
    PrunedSearch(keys, labels, N_LABELS).kneighbors(queries, 17)
    assert 17 * len(queries) <= sum(taken) < 0.1 * len(queries) * len(keys)
    assert len(pruned(np.ones((500, 3)), np.zeros(500, int)).index.order) == MOST_NEIGHBORS


@pytest.mark.parametrize("make", [clustered, duplicated, with_outliers])
def test_portions_and_threads_change_nothing(make, monkeypatch):
    keys, labels, queries = make(np.random.default_rng(0))
    queries = np.tile(queries, (4, 1))
    one = pruned(keys, labels, n_threads=1)
    plain = one.kneighbors(queries, 17), one.count_votes(queries, 17)
    monkeypatch.setattr(search_pruned, "PIECE", 32)
    monkeypatch.setattr(search_pruned, "HELD", 64)
    monkeypatch.setattr(search_pruned.NearestPairs.__init__, "__defaults__", (50,))
    several = pruned(keys, labels, n_threads=3)
    for before, after in zip(plain[0], several.kneighbors(queries[:130], 17), strict=True):
        assert before[:130].tolist() == after.tolist()
    assert plain[1][:130].tolist() == several.count_votes(queries[:130], 17).tolist()


@pytest.mark.parametrize("kind", [BruteSearch, PrunedSearch, TorchSearch])
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
            (np.zeros((2, 3)), [0], "do not fit"),
            (np.zeros(2), [0, 1], "do not fit"),
            (np.zeros((2, 0)), [0, 1], "do not fit"),
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
            (np.zeros((2, 8)), 17, "do not fit"),
            (np.zeros(9), 17, "do not fit"),
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


@pytest.mark.parametrize(
    ("kind", "made"),
    [
        ("auto", PrunedSearch),
        ("brute", BruteSearch),
        ("pruned", PrunedSearch),
        ("torch", TorchSearch),
    ],
)
def test_make_search(kind, made):
    keys = np.arange(5.0)[:, None]
    search = make_search(kind, keys, np.zeros(5, int), 1)
    assert type(search) is made
    assert search.kneighbors(np.array([[1.2]]), 2)[1].tolist() == [[1, 2]]


def test_make_search_rejects_an_unknown_kind():
    with pytest.raises(ValueError, match="no search 'tree'"):
        make_search("tree", np.zeros((1, 1)), np.zeros(1, int), 1)


def blas_threads():
    return [part["num_threads"] for part in threadpool_info() if part["user_api"] == "blas"]


def test_blas_has_one_thread_within_a_search_and_its_own_again_after():
    with threadpool_limits(3, user_api="blas"):
        before = blas_threads()
        with one_blas_thread():
            within = run_all([blas_threads] * 4, n_threads=2)
            assert set(blas_threads()) == {1}  # the inner context has not ended the outer one
        assert blas_threads() == before
    assert set(np.ravel(within)) == {1}


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
    """As `nlp.pipe` with several processes does, after a search with threads in the parent."""
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
