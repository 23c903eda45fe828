"""Spans as labels, the plain way."""

from collections.abc import Iterable

import numpy as np


def spans_to_labels(spans: Iterable[tuple[int, int, int]], n_tokens: int) -> np.ndarray:
    """Return columns (n_tokens,) of spans that do not overlap: start, end, index of the type."""
    labels = np.zeros(n_tokens, dtype=np.int64)
    for start, end, kind in spans:
        assert 0 <= start < end <= n_tokens
        assert not labels[start:end].any()
        labels[start:end] = 2 + 2 * kind
        labels[start] = 1 + 2 * kind
    return labels
