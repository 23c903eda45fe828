"""Number and order of readings of each corpus."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_btl.joint.sampling import interleaved, repeated, repetitions


@pytest.mark.parametrize(
    ("sizes", "smoothing", "times"),
    [
        ({"a": 400, "b": 100}, 1.0, {"a": 1.0, "b": 1.0}),
        ({"a": 400, "b": 100}, 0.0, {"a": 1.0, "b": 4.0}),
        ({"a": 400, "b": 100}, 0.5, {"a": 1.0, "b": 2.0}),
        ({"a": 400, "b": 0}, 0.5, {"a": 1.0, "b": 1.0}),
        ({"a": 7}, 0.0, {"a": 1.0}),
        ({}, 0.5, {}),
    ],
)
def test_repetitions(sizes: dict[str, int], smoothing: float, times: dict[str, float]) -> None:
    assert repetitions(sizes, smoothing) == pytest.approx(times)


@given(
    st.dictionaries(st.text(max_size=3), st.integers(1, 10**6), min_size=1),
    st.floats(0, 1),
)
def test_shares_are_proportional_to_a_power_of_the_sizes(
    sizes: dict[str, int], smoothing: float
) -> None:
    times = repetitions(sizes, smoothing)
    assert min(times.values()) == pytest.approx(1.0)
    words = {name: times[name] * sizes[name] for name in sizes}
    for name in sizes:
        share = sizes[name] ** smoothing / sum(size**smoothing for size in sizes.values())
        assert words[name] / sum(words.values()) == pytest.approx(share)


@given(st.integers(0, 30), st.floats(1, 5))
def test_every_document_is_read_as_often_as_any_other_or_once_more(
    n_docs: int, times: float
) -> None:
    indices = repeated(n_docs, times, np.random.default_rng(0))
    counts = np.bincount(indices, minlength=n_docs)
    assert abs(len(indices) - times * n_docs) <= 0.5 + 1e-9
    assert set(counts) <= {int(times), int(times) + 1}
    assert indices[:n_docs].tolist() == list(range(n_docs))


@given(st.lists(st.integers(0, 20), max_size=4))
def test_sequences_keep_their_order_and_are_spread(lengths: list[int]) -> None:
    order = interleaved(lengths)
    for i, length in enumerate(lengths):
        assert [item for sequence, item in order if sequence == i] == list(range(length))
        before = 0
        for place, (sequence, _) in enumerate(order):
            # Of the first part of a pass, a corpus has its share, give or take one of each.
            assert abs(before - place * length / len(order)) <= len(lengths)
            before += sequence == i
    if len(lengths) == 1:
        assert order == [(0, item) for item in range(lengths[0])]
