from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_btl.ml.windows import Window, make_batches, split_windows

PREFIX, SUFFIX, PAD = [101], [102, 103], 7


@st.composite
def sizes(draw):
    """Return (n_pieces, length, overlap) that fit each other."""
    length = draw(st.integers(1, 12))
    return draw(st.integers(0, 60)), length, draw(st.integers(0, length - 1))


def batches(
    docs,
    length=8,
    overlap=3,
    max_batch_pieces=40,
    prefix=PREFIX,
    suffix=SUFFIX,
    multiple=1,
    n_workers=1,
):
    return make_batches(
        docs,
        length=length,
        overlap=overlap,
        prefix=prefix,
        suffix=suffix,
        pad_id=PAD,
        max_batch_pieces=max_batch_pieces,
        multiple=multiple,
        n_workers=n_workers,
    )


def numbered(lengths):
    """Return documents whose pieces are numbered through, from 1000 on."""
    ids = np.arange(1000, 1000 + sum(lengths))
    return np.split(ids, np.cumsum(lengths)[:-1]) if lengths else []


@pytest.mark.parametrize(
    ("n_pieces", "windows"),
    [
        (0, []),
        (1, [(0, 1, 0, 1)]),
        (4, [(0, 4, 0, 4)]),
        (5, [(0, 4, 0, 2), (1, 5, 2, 5)]),
        (6, [(0, 4, 0, 3), (2, 6, 3, 6)]),
        (7, [(0, 4, 0, 2), (1, 5, 2, 4), (3, 7, 4, 7)]),
        (8, [(0, 4, 0, 3), (2, 6, 3, 5), (4, 8, 5, 8)]),
        (9, [(0, 4, 0, 2), (1, 5, 2, 4), (3, 7, 4, 6), (5, 9, 6, 9)]),
    ],
)
def test_windows_of_4_that_share_2(n_pieces, windows):
    assert split_windows(n_pieces, 4, 2) == [Window(*window) for window in windows]


@pytest.mark.parametrize(("length", "overlap"), [(4, 4), (4, 5), (4, -1), (0, 0), (1, 1), (-1, -2)])
def test_overlap_must_leave_a_step(length, overlap):
    with pytest.raises(ValueError, match="overlap"):
        split_windows(10, length, overlap)


@given(sizes())
def test_each_piece_is_kept_once_by_a_window_that_reads_it(case):
    n_pieces, length, overlap = case
    windows = split_windows(*case)
    kept = [i for window in windows for i in range(window.keep_start, window.keep_end)]
    assert kept == list(range(n_pieces))
    for start, end, keep_start, keep_end in windows:
        assert start <= keep_start < keep_end <= end
        assert end - start <= min(length, n_pieces)
    for before, after in pairwise(windows):
        assert before.end - after.start >= overlap
    if n_pieces:  # as few as can be, and of one size
        assert len(windows) == max(-(-(n_pieces - overlap) // (length - overlap)), 1)
        assert len({window.end - window.start for window in windows}) == 1


@given(sizes())
def test_each_piece_is_kept_where_it_stands_farthest_from_an_inner_edge(case):
    n_pieces = case[0]
    windows = split_windows(*case)

    def room(window, piece):
        """Return pieces between this one and the nearest edge at which the document goes on."""
        left = piece - window.start if window.start else n_pieces
        right = window.end - 1 - piece if window.end < n_pieces else n_pieces
        return min(left, right)

    for window in windows:
        for piece in range(window.keep_start, window.keep_end):
            rooms = [room(w, piece) for w in windows if w.start <= piece < w.end]
            assert room(window, piece) == max(rooms)


@given(
    st.lists(st.integers(0, 40), max_size=8),
    st.integers(1, 12),
    st.integers(0, 60),
    st.sampled_from([([], []), (PREFIX, SUFFIX)]),
    st.data(),
)
def test_vectors_come_back_in_order(lengths, length, budget, special, data):
    overlap = data.draw(st.integers(0, length - 1))
    prefix, suffix = special
    multiple, n_workers = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 4))
    docs = numbered(lengths)
    vectors = np.full(sum(lengths), -1)
    for batch in batches(docs, length, overlap, budget, prefix, suffix, multiple, n_workers):
        shape = batch.input_ids.shape
        assert batch.attention_mask.shape == batch.keep.shape == shape
        assert shape[0] * shape[1] <= budget or shape[0] == 1
        assert shape[1] <= length + len(prefix) + len(suffix)
        for ids, mask in zip(batch.input_ids, batch.attention_mask, strict=True):
            used = mask.sum()
            assert mask.tolist() == [1] * used + [0] * (len(mask) - used)
            assert ids[: len(prefix)].tolist() == prefix
            assert ids[used - len(suffix) : used].tolist() == suffix
            assert (ids[used:] == PAD).all()
        assert (vectors[batch.pieces] == -1).all(), "no piece is written twice"
        vectors[batch.pieces] = batch.input_ids[batch.keep]
    assert vectors.tolist() == [piece for doc in docs for piece in doc.tolist()]


@pytest.mark.parametrize(
    ("lengths", "shapes"),
    [
        ([], []),
        ([0, 0], []),
        ([1], [(1, 4)]),
        ([8], [(1, 11)]),
        ([9], [(2, 9)]),  # two windows of 6 and the special tokens
        ([0, 8, 0, 8, 8, 8], [(2, 11), (2, 11)]),  # 44 with padding do not
        ([8] * 7, [(2, 11), (3, 11), (2, 11)]),
        ([8, 1, 1], [(3, 11)]),  # 33 with padding fit into 40
        ([8, 1, 1, 1], [(3, 4), (1, 11)]),
    ],
)
def test_windows_are_packed_by_length(lengths, shapes):
    assert [batch.input_ids.shape for batch in batches(numbered(lengths))] == shapes


@pytest.mark.parametrize(
    ("lengths", "multiple", "shapes"),
    [
        ([1], 4, [(1, 4)]),
        ([2], 4, [(1, 6)]),  # of half of it, where a note is short
        ([7], 4, [(1, 10)]),
        ([8], 4, [(1, 11)]),  # 12 would be more than a window and its special tokens
        ([1], 100, [(1, 11)]),
        ([8, 1, 1, 1], 4, [(3, 4), (1, 11)]),
        ([8, 2, 2, 2], 4, [(2, 6), (2, 11)]),
        ([2], 1, [(1, 5)]),
    ],
)
def test_widths_are_padded_to_a_multiple(lengths, multiple, shapes):
    found = batches(numbered(lengths), multiple=multiple)
    assert [batch.input_ids.shape for batch in found] == shapes


@pytest.mark.parametrize(
    ("lengths", "n_workers", "shapes"),
    [
        ([], 2, []),
        ([1], 2, [(1, 4)]),
        ([8, 8], 2, [(1, 11), (1, 11)]),
        ([8, 8, 8], 2, [(1, 11), (2, 11)]),
        ([8] * 7, 2, [(2, 11), (1, 11), (2, 11), (2, 11)]),
        ([8] * 7, 4, [(2, 11), (1, 11), (2, 11), (2, 11)]),
        ([8, 1, 1, 1], 2, [(3, 4), (1, 11)]),
        ([1] * 9, 3, [(3, 4)] * 3),
    ],
)
def test_workers_have_about_the_same_to_do(lengths, n_workers, shapes):
    found = batches(numbered(lengths), n_workers=n_workers)
    assert [batch.input_ids.shape for batch in found] == shapes


def test_one_window_as_written_out():
    (batch,) = batches([np.array([5, 6, 9])])
    assert batch.input_ids.tolist() == [[101, 5, 6, 9, 102, 103]]
    assert batch.attention_mask.tolist() == [[1, 1, 1, 1, 1, 1]]
    assert batch.keep.tolist() == [[False, True, True, True, False, False]]
    assert batch.pieces.tolist() == [0, 1, 2]
    assert batch.input_ids.dtype == batch.attention_mask.dtype == batch.pieces.dtype == np.int64


def test_a_window_beyond_the_budget_stands_alone():
    shapes = [b.input_ids.shape for b in batches(numbered([8, 8, 20]), max_batch_pieces=5)]
    assert shapes == [(1, 11)] * len(shapes)
    assert len(shapes) == 2 + len(split_windows(20, 8, 3))


def test_ids_of_any_size_stay_exact():
    ids = np.array([2**31, 2**40, 2**52 + 1])
    (batch,) = batches([ids])
    assert batch.input_ids[batch.keep].tolist() == ids.tolist()
