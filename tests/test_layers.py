"""One BIO layer a type: overlapping entities as labels and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spacy_btl.decoding import best_paths
from spacy_btl.labels import MISSING
from spacy_btl.layers import (
    best_layer_paths,
    distinct_rows,
    layers_to_spans,
    row_votes_to_layers,
    spans_to_layers,
)

A, B = 0, 1


def certain(layers: np.ndarray) -> np.ndarray:
    """Probabilities that leave no doubt about these labels."""
    return np.eye(3)[layers]


@pytest.mark.parametrize(
    ("spans", "layer_a", "layer_b", "lost"),
    [
        ([], "....", "....", []),
        ([(0, 2, A), (1, 4, B)], "Bi..", ".Bii", []),
        ([(0, 4, A), (1, 2, B)], "Biii", ".B..", []),
        ([(1, 3, A), (1, 3, B)], ".Bi.", ".Bi.", []),
        ([(0, 2, A), (2, 4, A)], "BiBi", "....", []),
        ([(1, 2, A), (0, 3, A)], "Bii.", "....", [(1, 2, A)]),
        ([(0, 2, A), (1, 3, A)], "Bi..", "....", [(1, 3, A)]),
        ([(0, 2, A), (0, 2, A)], "Bi..", "....", [(0, 2, A)]),
    ],
)
def test_spans_to_layers(
    spans: list[tuple[int, int, int]], layer_a: str, layer_b: str, lost: list[tuple[int, int, int]]
) -> None:
    layers, not_fitting = spans_to_layers(spans, 4, 2)
    assert ["".join(".Bi"[label] for label in layer) for layer in layers.T] == [layer_a, layer_b]
    assert not_fitting == lost


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(1, 4), st.integers(0, 2))))
def test_what_fits_comes_back(raw: list[tuple[int, int, int]]) -> None:
    spans = [(start, start + length, kind) for start, length, kind in raw]
    layers, lost = spans_to_layers(spans, 12, 3)
    back = [span for span, score in layers_to_spans(layers, certain(layers)) if score == 1.0]
    assert sorted([*back, *lost]) == sorted(spans)


@given(arrays(np.float64, (6, 3, 3), elements=st.floats(0.01, 1.0)))
def test_the_short_cut_over_quiet_layers_changes_nothing(raw: np.ndarray) -> None:
    probabilities = raw / raw.sum(axis=2, keepdims=True)
    plain = best_paths([probabilities[:, kind] for kind in range(3)])
    ours, theirs = best_layer_paths(probabilities), np.stack(plain, axis=1)
    total = [
        np.log(np.take_along_axis(probabilities, path[:, :, None], axis=2)).sum(axis=(0, 2))
        for path in (ours, theirs)
    ]
    np.testing.assert_allclose(*total)  # the same, or of the same probability


def test_scores_are_the_mean_over_the_tokens() -> None:
    probabilities = certain(np.array([[1], [2], [0]]))
    probabilities[1, 0] = [0.25, 0.25, 0.5]
    assert layers_to_spans(np.array([[1], [2], [0]]), probabilities) == [((0, 2, 0), 0.75)]


def test_an_odd_label_starts_an_entity() -> None:
    layers = np.array([[0, 2], [2, 0]])
    assert [span for span, _ in layers_to_spans(layers, certain(layers))] == [(0, 1, 1), (1, 2, 0)]


def test_rows_of_labels_are_the_neighbours_labels() -> None:
    layers = np.array([[0, 0], [1, 2], [0, 0], [MISSING, 1], [1, 2]])
    rows, indices = distinct_rows(layers)
    assert rows.tolist() == [[0, 0], [1, 2]]
    assert indices.tolist() == [0, 1, 0, -1, 1]
    votes = np.array([[0.25, 0.75]])
    expected = [[[0.25, 0.75, 0.0], [0.25, 0.0, 0.75]]]
    np.testing.assert_allclose(row_votes_to_layers(votes, rows), expected)
