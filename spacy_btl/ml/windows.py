"""Word pieces to padded windows: plain arithmetic on lengths, no model, no spaCy.

A document longer than a window is read in overlapping ones. Each piece takes its vector from the
window in which it stands farthest from an inner edge, so every piece is used exactly once.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Ints1d = npt.NDArray[np.int64]
Ints2d = npt.NDArray[np.int64]


class Window(NamedTuple):
    """Pieces ``start:end`` of a document are read; of these ``keep_start:keep_end`` are used."""

    start: int
    end: int
    keep_start: int
    keep_end: int


class Batch(NamedTuple):
    """Padded windows, one a row.

    ``keep`` marks the positions whose vectors are used, row by row; ``pieces`` tells which piece
    each of them is, counted over all documents.
    """

    input_ids: Ints2d
    attention_mask: Ints2d
    keep: npt.NDArray[np.bool_]
    pieces: Ints1d


def split_windows(n_pieces: int, length: int, overlap: int) -> list[Window]:
    """As few windows as cover ``n_pieces``, of like size, at most ``length`` pieces each.

    Neighbouring windows share at least ``overlap`` pieces, half of them used from either. Raises
    ValueError where the overlap leaves no step.
    """
    if not 0 <= overlap < length:
        raise ValueError(f"an overlap of {overlap} does not fit windows of {length} word pieces")
    if not n_pieces:
        return []
    n_windows = max(math.ceil((n_pieces - overlap) / (length - overlap)), 1)
    size = math.ceil((n_pieces + (n_windows - 1) * overlap) / n_windows)
    last = n_pieces - size  # where the last window starts
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
) -> list[Batch]:
    """Windows over the word pieces of documents, packed by length.

    docs: ids of the word pieces of each document, without special tokens.
    length: most pieces of a window, special tokens not counted.
    prefix, suffix: ids of the special tokens around a window.
    max_batch_pieces: bound on the padded size of a batch (a longer single window stands alone).
    multiple: of which the width of a batch is one, as far as ``length`` allows.
    """
    first_piece = np.concatenate(([0], np.cumsum([len(doc) for doc in docs]))).astype(np.int64)
    windows = [
        (i, window)
        for i, doc in enumerate(docs)
        for window in split_windows(len(doc), length, overlap)
    ]
    windows.sort(key=lambda item: item[1].end - item[1].start)  # stable: ties keep their order
    special = len(prefix) + len(suffix)

    def padded(window: Window) -> int:
        width = window.end - window.start + special
        return min(math.ceil(width / multiple) * multiple, length + special)

    groups: list[list[tuple[int, Window]]] = []
    for i, window in windows:
        width = padded(window)
        if not groups or (len(groups[-1]) + 1) * width > max_batch_pieces:
            groups.append([])
        groups[-1].append((i, window))
    return [
        # The longest window of a group is its last.
        _pad(docs, group, padded(group[-1][1]), first_piece, prefix, suffix, pad_id)
        for group in groups
    ]


def _pad(
    docs: Sequence[Ints1d],
    group: list[tuple[int, Window]],
    width: int,
    first_piece: Ints1d,
    prefix: Sequence[int],
    suffix: Sequence[int],
    pad_id: int,
) -> Batch:
    shape = (len(group), width)
    input_ids = np.full(shape, pad_id, dtype=np.int64)
    attention_mask = np.zeros(shape, dtype=np.int64)
    keep = np.zeros(shape, dtype=np.bool_)
    pieces = []
    for row, (i, window) in enumerate(group):
        ids = np.concatenate((prefix, docs[i][window.start : window.end], suffix))
        input_ids[row, : len(ids)] = ids
        attention_mask[row, : len(ids)] = 1
        shift = len(prefix) - window.start
        keep[row, window.keep_start + shift : window.keep_end + shift] = True
        pieces.append(first_piece[i] + np.arange(window.keep_start, window.keep_end))
    return Batch(input_ids, attention_mask, keep, np.concatenate(pieces))
