"""One BIO layer a type: overlapping entities as labels and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spacy_btl.labels.bio import MISSING, labels_to_spans
from spacy_btl.labels.layers import (
    best_layer_paths,
    distinct_rows,
    layers_to_spans,
    row_names,
    row_votes_to_layers,
    spans_to_layers,
)
from spacy_btl.labels.viterbi import MIN_PROBABILITY, viterbi

A, B = 0, 1


def total(probabilities: np.ndarray, path: np.ndarray) -> float:
    """Return log-probability of the labels of one layer."""
    floored = np.log(np.maximum(probabilities, MIN_PROBABILITY))
    return float(floored[np.arange(len(path)), path].sum())


def plain_paths(probabilities: np.ndarray) -> np.ndarray:
    """Return Viterbi over each whole layer."""
    scores = np.log(np.maximum(probabilities, MIN_PROBABILITY))
    scores[:1, :, 2] = -np.inf
    return viterbi(scores)


def well_formed(path: np.ndarray) -> bool:
    return all(here != 2 or before for before, here in zip([0, *path], path, strict=False))


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
    assert sorted([*layers_to_spans(layers), *lost]) == sorted(spans)


@given(
    st.integers(1, 40),
    st.integers(1, 4),
    st.integers(0, 10**6),
    st.sampled_from([None, 1, 2, 17]),
    st.sampled_from([0.3, 1.0, 4.0]),
)
def test_scores_as_much_as_the_plain_search(
    n_tokens: int, n_types: int, seed: int, n_votes: int | None, outside: float
) -> None:
    """Neither the quiet layers nor the unbroken parts need a search."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet([outside, 0.3, 0.3], (n_tokens, n_types))
    if n_votes:
        probabilities = rng.multinomial(n_votes, probabilities) / n_votes
    ours, theirs = best_layer_paths(probabilities), plain_paths(probabilities)
    assert ours.shape == (n_tokens, n_types)
    for kind in range(n_types):
        assert well_formed(ours[:, kind])
        layer = probabilities[:, kind]
        assert total(layer, ours[:, kind]) == pytest.approx(total(layer, theirs[:, kind]))


@pytest.mark.parametrize(
    ("layer_a", "layer_b", "path_a", "path_b"),
    [
        ("....", "....", "....", "...."),
        ("Bi..", ".Bii", "Bi..", ".Bii"),
        # An entity at the end of one layer is not continued in the next.
        ("...B", "i...", "...B", "...."),
        ("...B", "ii..", "...B", "Bi.."),
        ("iiii", ".iii", "Biii", ".Bii"),
        ("i..i", "Biii", "....", "Biii"),
    ],
)
def test_odd_layers(layer_a: str, layer_b: str, path_a: str, path_b: str) -> None:
    layers = np.array([[".Bi".index(c) for c in layer] for layer in (layer_a, layer_b)]).T
    paths = best_layer_paths(np.eye(3)[layers] * 0.7 + 0.1)
    assert ["".join(".Bi"[label] for label in path) for path in paths.T] == [path_a, path_b]


@pytest.mark.parametrize("shape", [(0, 3), (4, 0), (0, 0)])
def test_nothing_to_decode(shape: tuple[int, int]) -> None:
    paths = best_layer_paths(np.zeros((*shape, 3)))
    assert paths.shape == shape
    assert layers_to_spans(paths) == []


@given(
    arrays(np.int64, st.tuples(st.integers(0, 9), st.integers(0, 4)), elements=st.integers(-1, 2))
)
def test_spans_of_each_layer_are_those_of_its_labels(layers: np.ndarray) -> None:
    """Well-formed or not: an I- that continues nothing starts an entity, `MISSING` is O."""
    plain = [
        (start, end, kind)
        for kind, layer in enumerate(layers.T)
        for start, end, _ in labels_to_spans(layer)
    ]
    spans = layers_to_spans(layers)
    assert spans == sorted(plain, key=lambda span: (span[0], -span[1], span[2]))
    assert all(type(number) is int for span in spans for number in span)


def test_rows_of_labels_are_the_neighbors_labels() -> None:
    layers = np.array([[0, 0], [1, 2], [0, 0], [MISSING, 1], [1, 2]])
    rows, indices = distinct_rows(layers)
    assert rows.tolist() == [[0, 0], [1, 2]]
    assert indices.tolist() == [0, 1, 0, -1, 1]
    assert row_names(rows, ["A", "C"]) == ["O", "B-A + I-C"]
    votes = np.array([[0.25, 0.75]])
    expected = [[[0.25, 0.75, 0.0], [0.25, 0.0, 0.75]]]
    np.testing.assert_allclose(row_votes_to_layers(votes, rows), expected)


def test_known_rows_keep_their_number() -> None:
    """Even with a type more, and where they do not occur again."""
    rows, indices = distinct_rows(np.array([[2, 0, 1], [1, 0, 0]]), np.array([[0, 2], [1, 0]]))
    assert rows.tolist() == [[0, 2, 0], [1, 0, 0], [2, 0, 1]]
    assert indices.tolist() == [2, 1]
