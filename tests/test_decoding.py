import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_btl.decoding import MIN_PROBABILITY, best_paths
from spacy_btl.labels import n_columns

OUT, B_A, I_A, B_C, I_C = range(5)


def is_well_formed(path):
    """Every I- (even column) follows the B- or the I- of its own type."""
    before = [OUT, *path]
    return all(
        label % 2 or label == OUT or previous in (label, label - 1)
        for previous, label in zip(before, path, strict=False)
    )


def score(path, probabilities):
    rows = np.arange(len(path))
    return np.log(np.maximum(probabilities, MIN_PROBABILITY))[rows, list(path)].sum()


def exhaustive(probabilities, outside):
    """Score of the best among all well-formed sequences, tried one by one."""
    columns = range(probabilities.shape[1])
    choices = [[OUT] if closed else columns for closed in outside]
    paths = filter(is_well_formed, itertools.product(*choices))
    return max(score(path, probabilities) for path in paths)


def rows(seed, length, n_types, share_of_zeros=0.0):
    """Random probabilities, some of them 0."""
    rng = np.random.default_rng(seed)
    p = rng.exponential(size=(length, n_columns(n_types))) ** 2
    p[rng.random(p.shape) < share_of_zeros] = 0.0
    p[p.sum(axis=1) == 0, 0] = 1.0
    return p / p.sum(axis=1, keepdims=True)


def sure(*labels, p=0.6, columns=5):
    """A document whose argmax is this, the rest of the probability spread evenly."""
    result = np.full((len(labels), columns), (1 - p) / (columns - 1))
    result[np.arange(len(labels)), labels] = p
    return result


lengths = st.lists(st.integers(0, 4), min_size=1, max_size=4)


@given(lengths, st.integers(1, 2), st.integers(0, 10**6), st.sampled_from([0.0, 0.5]))
def test_equals_exhaustive_search(lengths, n_types, seed, zeros):
    docs = [rows(seed + i, length, n_types, zeros) for i, length in enumerate(lengths)]
    rng = np.random.default_rng(seed)
    outside = [rng.random(length) < 0.2 for length in lengths]
    for doc, closed, path in zip(docs, outside, best_paths(docs, outside), strict=True):
        assert path.shape == (len(doc),)
        assert is_well_formed(path)
        assert not path[closed].any()
        assert score(path, doc) == pytest.approx(exhaustive(doc, closed), abs=1e-9)


@given(st.lists(st.integers(0, 30), max_size=8), st.integers(0, 10**6))
def test_each_document_alone_gives_the_same(lengths, seed):
    docs = [rows(seed + i, length, 3, 0.3) for i, length in enumerate(lengths)]
    for doc, path in zip(docs, best_paths(docs), strict=True):
        assert path.tolist() == best_paths([doc])[0].tolist()


def test_batches_that_do_not_fit_together():
    docs = [rows(i, length, 2) for i, length in enumerate([20_000, 3, 0, 15_000, 20_000, 40_000])]
    for doc, path in zip(docs, best_paths(docs), strict=True):
        assert path.tolist() == best_paths([doc])[0].tolist()
        assert is_well_formed(path)


@pytest.mark.parametrize(
    ("argmax", "path"),
    [
        ([OUT, OUT], [OUT, OUT]),
        ([B_A, I_A, OUT], [B_A, I_A, OUT]),
        ([B_A, B_A], [B_A, B_A]),
        ([B_A, I_A, B_C, I_C], [B_A, I_A, B_C, I_C]),
        # Impossible ones: the nearest sequence that is well-formed. Where several are equally
        # near, the tie goes to the lowest column, from the last token to the first.
        ([I_A], [OUT]),
        ([I_A, I_A], [B_A, I_A]),
        ([I_A, I_A, I_A], [B_A, I_A, I_A]),
        ([OUT, I_A], [OUT, OUT]),
        ([OUT, I_A, I_A], [OUT, B_A, I_A]),
        ([B_A, I_C], [B_A, OUT]),
        ([B_A, I_C, I_C], [B_A, B_C, I_C]),
        ([B_A, I_C, I_A], [B_A, B_A, I_A]),
        ([B_A, OUT, I_A], [B_A, OUT, OUT]),
        ([B_A, OUT, I_A, I_A], [B_A, OUT, B_A, I_A]),
        ([OUT, I_A, OUT, I_C, OUT], [OUT, OUT, OUT, OUT, OUT]),
    ],
)
def test_odd_argmax_sequences(argmax, path):
    assert best_paths([sure(*argmax)])[0].tolist() == path


@pytest.mark.parametrize(
    ("outside", "path"),
    [
        ([False, False, False], [B_A, I_A, I_A]),
        ([True, False, False], [OUT, B_A, I_A]),
        ([False, True, False], [B_A, OUT, B_A]),
        ([False, False, True], [B_A, I_A, OUT]),
        ([True, True, True], [OUT, OUT, OUT]),
    ],
)
def test_outside_is_respected_even_where_o_has_no_probability(outside, path):
    doc = sure(B_A, I_A, I_A)
    doc[:, OUT] = 0.0
    assert best_paths([doc], [np.array(outside)])[0].tolist() == path


def test_all_equal_is_all_outside():
    assert not best_paths([np.full((6, 7), 1 / 7)])[0].any()


def test_one_token_voted_down_makes_no_path_impossible():
    votes = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    assert best_paths([votes])[0].tolist() == [OUT, B_A, I_A]


def test_long_document():
    pattern = [OUT, B_A, I_A, B_C, I_C]
    doc = sure(*pattern * 2000)
    assert best_paths([doc, doc[:7]])[0].tolist() == pattern * 2000


@pytest.mark.parametrize("docs", [[], [np.zeros((0, 5))], [np.zeros((0, 5)), np.zeros((0, 5))]])
def test_nothing_to_decode(docs):
    assert [path.tolist() for path in best_paths(docs)] == [[] for _ in docs]
    assert all(path.dtype == np.int64 for path in best_paths(docs))


def test_no_types_at_all():
    assert best_paths([np.ones((3, 1))])[0].tolist() == [OUT, OUT, OUT]


def test_inputs_stay_as_they_are():
    doc, closed = sure(B_A, I_A), np.array([True, False])
    before = doc.copy()
    (path,) = best_paths([doc.astype(np.float32)], [closed])
    best_paths([doc], [closed])
    assert (doc == before).all()
    assert path.dtype == np.int64
