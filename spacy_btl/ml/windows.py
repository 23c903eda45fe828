"""Word pieces to padded windows: arithmetic on lengths, without a model and without spaCy.

A document longer than a window is read in overlapping windows. Each piece takes its vector from the
window in which it is farthest from an inner edge, so every piece is used exactly once.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ..util.arrays import Bools2d, Ints1d, Ints2d


class Window(NamedTuple):
    """Pieces ``start:end`` of a document are read; of these ``keep_start:keep_end`` are used."""

    start: int
    end: int
    keep_start: int
    keep_end: int


class Batch(NamedTuple):
    """Padded windows, one in each row.

    Attributes:
        input_ids: Ids of the word pieces and special tokens, (n_windows, width).
        attention_mask: 1 for these, 0 for padding, (n_windows, width).
        keep: True for the positions whose vectors are used, (n_windows, width).
        pieces: Index of the piece at each of these positions, row by row, counted over all
            documents, (n_kept,).
    """

    input_ids: Ints2d
    attention_mask: Ints2d
    keep: Bools2d
    pieces: Ints1d


class _Row(NamedTuple):
    """A window with its special tokens, the positions in it that are used, and their pieces."""

    ids: Ints1d
    keep: slice
    pieces: Ints1d


def split_windows(n_pieces: int, length: int, overlap: int) -> list[Window]:
    """Return the fewest windows that cover a document, all of one size.

    Args:
        n_pieces: Number of word pieces of the document.
        length: Most pieces of a window.
        overlap: Least number of pieces that neighboring windows share. Half of them are used from
            either window.

    Raises:
        ValueError: If the overlap is negative or not below the length.
    """
    if not 0 <= overlap < length:
        raise ValueError(
            f"an overlap of {overlap} is too large for windows of {length} word pieces"
        )
    if not n_pieces:
        return []
    n_windows = max(math.ceil((n_pieces - overlap) / (length - overlap)), 1)
    size = math.ceil((n_pieces + (n_windows - 1) * overlap) / n_windows)
    last = n_pieces - size  # the start of the last window
    starts = [i * last // max(n_windows - 1, 1) for i in range(n_windows)]
    inner = [(start + size + following) // 2 for start, following in pairwise(starts)]
    keeps = [0, *inner, n_pieces]
    return [
        Window(start, start + size, *keep)
        for start, keep in zip(starts, pairwise(keeps), strict=True)
    ]


def make_batches(
    docs: Sequence[Ints1d],
    *,
    length: int,
    overlap: int,
    prefix: Sequence[int],
    suffix: Sequence[int],
    pad_id: int,
    max_batch_pieces: int,
    multiple: int = 1,
    n_workers: int = 1,
) -> list[Batch]:
    """Return the windows over the word pieces of documents, packed by length.

    Args:
        docs: Ids of the word pieces of each document, without special tokens.
        length: Most pieces of a window, special tokens not counted.
        overlap: As in `split_windows`.
        prefix: Ids of the special tokens before a window.
        suffix: Ids of the special tokens after a window.
        pad_id: Id of the padding.
        max_batch_pieces: Largest padded size of a batch. A single window may be longer: it makes a
            batch of its own.
        multiple: The width of a batch is a multiple of this number (of half of it up to four times
            the number), unless that is more than the longest window and its special tokens.
        n_workers: Workers that share the batches. If they would not have about the same to do,
            batches are made smaller.

    Raises:
        ValueError: As `split_windows` does.
    """
    rows = _frame(docs, length, overlap, prefix, suffix)
    rows.sort(key=lambda row: len(row.ids))  # stable: ties keep their order
    longest = length + len(prefix) + len(suffix)
    widths = [min(_padded(len(row.ids), multiple), longest) for row in rows]
    fewest = len(_cut(widths, max_batch_pieces, 1))
    n_batches = math.ceil(fewest / n_workers) * n_workers
    return [  # the last row of a batch is its longest
        _pad(rows[start:end], widths[end - 1], pad_id)
        for start, end in _cut(widths, max_batch_pieces, n_batches)
    ]


def _padded(length: int, multiple: int) -> int:
    """Return the width of a batch; a short note has less padding, as it is often read alone."""
    step = multiple if length > 4 * multiple else max(multiple // 2, 1)
    return math.ceil(length / step) * step


def _cut(widths: Sequence[int], most: int, n: int) -> list[tuple[int, int]]:
    """Return start and end of batches of rows in order, about this number of about the same size.

    Args:
        widths: Padded width of each row, ascending.
        most: Largest padded size of a batch.
        n: Number of batches, more if they would be too large; 1 for as few as possible.
    """
    cuts, done, whole = [0], 0, sum(widths)
    for i, width in enumerate(widths):
        is_full = (i + 1 - cuts[-1]) * width > most
        has_share = (done + width / 2) * n >= len(cuts) * whole
        if i and (is_full or has_share):
            cuts.append(i)
        done += width
    return list(pairwise([*cuts, len(widths)])) if widths else []


def _frame(
    docs: Sequence[Ints1d],
    length: int,
    overlap: int,
    prefix: Sequence[int],
    suffix: Sequence[int],
) -> list[_Row]:
    """Return the windows of all documents with their special tokens, in order."""
    before, after = np.array(prefix, dtype=np.int64), np.array(suffix, dtype=np.int64)
    rows, first = [], 0
    for ids in docs:
        for start, end, keep_start, keep_end in split_windows(len(ids), length, overlap):
            framed, shift = np.concatenate((before, ids[start:end], after)), len(before) - start
            pieces = np.arange(first + keep_start, first + keep_end)
            rows.append(_Row(framed, slice(keep_start + shift, keep_end + shift), pieces))
        first += len(ids)
    return rows


def _pad(rows: Sequence[_Row], width: int, pad_id: int) -> Batch:
    """Return windows as one batch, padded to a width."""
    shape = (len(rows), width)
    input_ids = np.full(shape, pad_id, dtype=np.int64)
    attention_mask = np.zeros(shape, dtype=np.int64)
    keep = np.zeros(shape, dtype=np.bool_)
    for i, row in enumerate(rows):
        input_ids[i, : len(row.ids)] = row.ids
        attention_mask[i, : len(row.ids)] = 1
        keep[i, row.keep] = True
    return Batch(input_ids, attention_mask, keep, np.concatenate([row.pieces for row in rows]))
