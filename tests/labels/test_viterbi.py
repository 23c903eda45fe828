import itertools
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_btl.labels.bio import n_columns
from spacy_btl.labels.viterbi import MIN_PROBABILITY, best_paths, make_well_formed, viterbi

OUT, B_A, I_A, B_C, I_C = range(5)


def is_well_formed(path):
    """Return whether every I- (even column) follows the B- or the I- of its own type."""
    before = [OUT, *path]
    return all(
        label % 2 or label == OUT or previous in (label, label - 1)
        for previous, label in zip(before, path, strict=False)
    )


@cache
def well_formed(length, columns):
    """Return all well-formed sequences, ordered by their last columns."""
    paths = [p[::-1] for p in itertools.product(range(columns), repeat=length)]
    return np.array([p for p in paths if is_well_formed(p)]).reshape(-1, length)


def exhaustive(scores):
    """Return the best of all well-formed sequences, tried one by one."""
    paths = well_formed(*scores.shape)
    return paths[scores[np.arange(len(scores)), paths].sum(axis=1).argmax()]


def log_scores(doc, closed=None):
    """Return log-probabilities as the search sees them."""
    scores = np.log(np.maximum(doc.astype(np.float64), MIN_PROBABILITY))
    if closed is not None:
        scores[closed, 1:] = -np.inf
    return scores


def total(scores, path):
    return scores[np.arange(len(path)), path].sum()


def plain(scores):
    """Return Viterbi over the whole document, without any short cut."""
    scores = scores.copy()
    scores[:1, 2::2] = -np.inf
    return viterbi(scores[:, None])[:, 0]


def in_one_call(docs):
    """Return the best well-formed sequences, and the number of tokens that the search asked for.

    Scores are of shape (n_docs, n_tokens, columns).
    """
    n_docs, n_tokens, columns = docs.shape
    flat, asked = docs.reshape(-1, columns), []
    labels = flat.argmax(axis=1)

    def scores_of(tokens):
        assert (np.diff(tokens) > 0).all(), "in order, none twice"
        asked.extend(tokens)
        return flat[tokens].astype(np.float64)

    make_well_formed(labels, np.arange(n_docs) * n_tokens, scores_of)
    return labels.reshape(n_docs, n_tokens), len(asked)


def rows(seed, length, n_types, share_of_zeros=0.0):
    """Return random probabilities, some of them 0."""
    rng = np.random.default_rng(seed)
    p = rng.exponential(size=(length, n_columns(n_types))) ** 2
    p[rng.random(p.shape) < share_of_zeros] = 0.0
    p[p.sum(axis=1) == 0, 0] = 1.0
    return p / p.sum(axis=1, keepdims=True)


def sure(*labels, p=0.6, columns=5):
    """Return a document whose argmax is this, the rest of the probability spread evenly."""
    result = np.full((len(labels), columns), (1 - p) / (columns - 1))
    result[np.arange(len(labels)), labels] = p
    return result


lengths = st.lists(st.integers(0, 5), min_size=1, max_size=4)
tens = st.integers(0, 10**6)


@pytest.mark.parametrize(("n_tokens", "columns"), [(1, 5), (2, 5), (3, 3)])
def test_every_pattern_of_three_scores(n_tokens, columns):
    """Whole numbers add up without rounding, so that ties are ties: the path has to be the same."""
    docs = np.array(list(itertools.product([-2, -1, 0], repeat=n_tokens * columns)))
    docs = docs.reshape(-1, n_tokens, columns)
    paths = well_formed(n_tokens, columns)
    best = docs[:, np.arange(n_tokens), paths].sum(axis=2).argmax(axis=1)
    assert (in_one_call(docs)[0] == paths[best]).all()


@given(st.integers(1, 6), st.integers(1, 2), st.integers(1, 30), tens)
def test_ties_go_to_the_lowest_column_from_the_last_token_on(n_tokens, n_types, n_docs, seed):
    shape = (n_docs, n_tokens, n_columns(n_types))
    docs = np.random.default_rng(seed).integers(-4, 1, shape)
    for doc, path in zip(docs, in_one_call(docs)[0], strict=True):
        assert path.tolist() == exhaustive(doc).tolist() == plain(doc.astype(float)).tolist()


@given(st.integers(1, 80), st.integers(1, 6), st.integers(1, 8), tens, st.sampled_from([2, 4, 40]))
def test_whole_scores_give_the_path_of_the_plain_search(n_tokens, n_types, n_docs, seed, spread):
    shape = (n_docs, n_tokens, n_columns(n_types))
    docs = np.random.default_rng(seed).integers(-spread, 1, shape)
    for doc, path in zip(docs, in_one_call(docs)[0], strict=True):
        assert path.tolist() == plain(doc.astype(float)).tolist()


@given(lengths, st.integers(1, 2), tens, st.sampled_from([0.0, 0.5]))
def test_equals_exhaustive_search(lengths, n_types, seed, zeros):
    docs = [rows(seed + i, length, n_types, zeros) for i, length in enumerate(lengths)]
    rng = np.random.default_rng(seed)
    outside = [rng.random(length) < 0.2 for length in lengths]
    for doc, closed, path in zip(docs, outside, best_paths(docs, outside), strict=True):
        assert path.shape == (len(doc),)
        assert is_well_formed(path)
        assert not path[closed].any()
        scores = log_scores(doc, closed)
        best = exhaustive(scores) if len(doc) else []
        assert total(scores, path) == pytest.approx(total(scores, best), abs=1e-9)


@given(
    st.lists(st.integers(0, 200), max_size=6),
    st.integers(1, 5),
    tens,
    st.sampled_from([None, 1, 3, 17]),
    st.sampled_from([np.float32, np.float64]),
)
def test_scores_as_much_as_the_plain_search(lengths, n_types, seed, n_votes, dtype):
    """On probabilities, and on votes of few neighbors, which tie often."""
    rng = np.random.default_rng(seed)
    docs = [rows(seed + i, length, n_types, 0.3) for i, length in enumerate(lengths)]
    if n_votes:
        docs = [rng.multinomial(n_votes, doc) / n_votes for doc in docs]
    docs = [doc.astype(dtype) for doc in docs]
    outside = [rng.random(length) < 0.1 for length in lengths]
    for doc, closed, path in zip(docs, outside, best_paths(docs, outside), strict=True):
        assert is_well_formed(path)
        assert not path[closed].any()
        if len(doc):
            scores = log_scores(doc, closed)
            assert total(scores, path) == pytest.approx(total(scores, plain(scores)), abs=1e-8)


@given(st.integers(1, 60), st.integers(1, 5), tens)
def test_what_is_well_formed_is_not_searched(n_tokens, n_types, seed):
    docs = np.log(rows(seed, n_tokens, n_types))[None]
    docs[:, :, 2::2] -= 100
    paths, asked = in_one_call(docs)
    assert (paths == docs.argmax(axis=2)).all()
    assert asked == 0


def test_only_what_stands_around_a_break_is_searched():
    around = [OUT, B_A, B_C] * 30
    docs = np.log(sure(*around, B_A, I_C, I_C, *around, OUT, I_A))[None]
    paths, asked = in_one_call(docs)
    assert paths[0].tolist() == [*around, B_A, B_C, I_C, *around, OUT, OUT]
    assert asked == 3 + 2


@pytest.mark.parametrize("n_tokens", [2, 3, 10, 300, 307, 700])
def test_break_upon_break_back_to_the_start(n_tokens):
    """Each token would rather be an I- before the I- at the end, and joins one segment more."""
    doc = np.tile([0.5, 0.001, 0.499], (n_tokens, 1))
    doc[-1] = [1e-6, 1e-6, 1.0]
    (path,) = best_paths([doc])
    assert path.tolist() == [OUT] * (n_tokens - 2) + [B_A, I_A]
    _, asked = in_one_call(log_scores(doc)[None])
    assert asked <= 4 * n_tokens
    assert path.tolist() == plain(log_scores(doc)).tolist()


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
        ([B_A, B_C, I_A], [B_A, B_C, OUT]),
        ([B_A, I_A, I_C], [B_A, I_A, OUT]),
        ([I_A, B_A, I_A], [OUT, B_A, I_A]),
        ([I_A, I_C, I_A], [OUT, B_A, I_A]),
        ([I_A] * 50, [B_A] + [I_A] * 49),
        ([B_C, *[I_A] * 50], [B_C, B_A] + [I_A] * 49),
        ([OUT, *[I_A] * 20, *[I_C] * 20], [OUT, B_A, *[I_A] * 19, B_C, *[I_C] * 19]),
    ],
)
def test_odd_argmax_sequences(argmax, path):
    assert best_paths([sure(*argmax)])[0].tolist() == path


@pytest.mark.parametrize(
    ("tokens", "path"),
    [
        # I- of another type: what comes second at the one token or at the other decides.
        ([{B_A: 0.6, OUT: 0.4}, {I_C: 0.6, OUT: 0.4}], [B_A, OUT]),
        ([{B_A: 0.6, OUT: 0.4}, {I_C: 0.6, I_A: 0.4}], [B_A, I_A]),
        ([{B_A: 0.6, OUT: 0.4}, {I_C: 0.6, B_C: 0.4}], [B_A, B_C]),
        ([{B_A: 0.5, B_C: 0.4, OUT: 0.1}, {I_C: 0.9, OUT: 0.1}], [B_C, I_C]),
        ([{B_A: 0.5, B_C: 0.4, OUT: 0.1}, {I_C: 0.5, I_A: 0.5}], [B_A, I_A]),
        # The piece that breaks begins best with an I- that continues the piece before it ...
        ([{B_C: 1.0}, {B_A: 0.5, I_C: 0.4, OUT: 0.1}, {I_C: 0.9, OUT: 0.1}], [B_C, I_C, I_C]),
        # ... or does not, and both are searched together.
        ([{B_A: 1.0}, {B_A: 0.5, I_C: 0.4, OUT: 0.1}, {I_C: 0.9, OUT: 0.1}], [B_A, B_A, OUT]),
        (
            [{B_A: 0.6, B_C: 0.4}, {B_A: 0.5, I_C: 0.4, OUT: 0.1}, {I_C: 0.9, OUT: 0.1}],
            [B_C, I_C, I_C],
        ),
        ([{I_A: 1.0}, {B_A: 0.3, I_A: 0.7}], [B_A, I_A]),
        # B- and I- with as many votes.
        ([{B_A: 0.5, I_A: 0.5}], [B_A]),
        ([{OUT: 1.0}, {B_A: 0.5, I_A: 0.5}], [OUT, B_A]),
        ([{B_A: 1.0}, {B_A: 0.5, I_A: 0.5}], [B_A, B_A]),
        ([{OUT: 0.5, I_A: 0.5}, {I_A: 0.5, B_C: 0.5}], [OUT, B_C]),
        ([{OUT: 0.5, I_A: 0.5}, {I_A: 0.6, B_C: 0.4}], [OUT, B_C]),
        # Nothing is known of a token, or only of the others.
        ([{}], [OUT]),
        ([{B_A: 1.0}, {}, {I_A: 1.0}], [B_A, B_A, I_A]),
        ([{B_A: 1.0}, {OUT: 1.0}, {I_A: 1.0}], [B_A, OUT, OUT]),
        ([{B_A: 1.0}, {I_C: 1.0}, {I_A: 1.0}], [B_A, B_A, I_A]),
        ([{}, {I_A: 1.0}], [B_A, I_A]),
        # All below the floor is equal, and one 0 counts less than two of 0.00001.
        ([{B_A: 1e-12}], [OUT]),
        ([{OUT: 1.0}, {I_C: 1e-12}], [OUT, OUT]),
        ([{OUT: 1.0}, {I_C: 1.0, OUT: 1e-5}, {I_C: 1.0, OUT: 1e-5}], [OUT, B_C, I_C]),
    ],
)
def test_what_comes_second_decides(tokens, path):
    doc = np.zeros((len(tokens), 5))
    for row, token in zip(doc, tokens, strict=True):
        row[list(token)] = list(token.values())
    assert best_paths([doc])[0].tolist() == path
    assert plain(log_scores(doc)).tolist() == path


@pytest.mark.parametrize(
    ("outside", "path"),
    [
        ("....", "Biii"),
        ("x...", ".Bii"),
        (".x..", "B.Bi"),
        ("..x.", "Bi.."),
        ("...x", "Bii."),
        ("x.x.", "...."),
        (".xx.", "B..."),
        ("xx..", "..Bi"),
        ("xxxx", "...."),
    ],
)
def test_outside_in_the_middle_of_an_entity(outside, path):
    closed = np.array([c == "x" for c in outside])
    (ours,) = best_paths([sure(B_A, I_A, I_A, I_A)], [closed])
    assert "".join(".Bi"[label] for label in ours) == path


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
