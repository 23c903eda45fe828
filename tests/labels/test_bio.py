import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_btl.labels.bio import (
    MISSING,
    OUTSIDE,
    column_names,
    column_types,
    labels_to_spans,
    n_columns,
    span_bounds,
)
from tests.helpers.labels import spans_to_labels

OUT, B_A, I_A, B_C, I_C = range(5)


def read_one_by_one(labels):
    """Return the spans of a sequence of columns, token by token."""
    spans, owners = [], column_types(9)
    for i, label in enumerate(labels):
        kind = -1 if label == MISSING else owners[label]
        if kind >= 0 and label % 2 == 0 and spans and spans[-1][1:] == (i, kind):
            spans[-1] = (spans[-1][0], i + 1, kind)
        elif kind >= 0:
            spans.append((i, i + 1, kind))
    return spans


@st.composite
def documents(draw):
    """Return non-overlapping spans in order, and a number of tokens that holds them."""
    spans, at = [], 0
    for gap, length, kind in draw(
        st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4), st.integers(0, 3)), max_size=8)
    ):
        spans.append((at + gap, at + gap + length, kind))
        at += gap + length
    return spans, at + draw(st.integers(0, 3))


@pytest.mark.parametrize(
    ("types", "names", "owners"),
    [
        ([], ["O"], [-1]),
        (["A"], ["O", "B-A", "I-A"], [-1, 0, 0]),
        (["A", "C"], ["O", "B-A", "I-A", "B-C", "I-C"], [-1, 0, 0, 1, 1]),
    ],
)
def test_columns(types, names, owners):
    assert n_columns(len(types)) == len(names)
    assert column_names(types) == names
    assert column_types(len(names)).tolist() == owners


@pytest.mark.parametrize("columns", [-1, 0, 2, 4])
def test_column_types_refuses_other_numbers(columns):
    with pytest.raises(ValueError, match="columns"):
        column_types(columns)


@pytest.mark.parametrize(
    ("labels", "spans"),
    [
        ([], []),
        ([OUT, OUT], []),
        ([MISSING, MISSING], []),
        ([B_A], [(0, 1, 0)]),
        ([B_A, I_A], [(0, 2, 0)]),
        ([B_A, B_A], [(0, 1, 0), (1, 2, 0)]),
        # Not well-formed: each I- that continues nothing of its type starts an entity of its own.
        ([I_A], [(0, 1, 0)]),
        ([I_A, I_A], [(0, 2, 0)]),
        ([OUT, I_A], [(1, 2, 0)]),
        ([OUT, I_A, B_A], [(1, 2, 0), (2, 3, 0)]),
        ([B_A, OUT, I_A], [(0, 1, 0), (2, 3, 0)]),
        ([B_A, MISSING, I_A], [(0, 1, 0), (2, 3, 0)]),
        ([B_A, I_C], [(0, 1, 0), (1, 2, 1)]),
        ([B_A, I_C, I_A], [(0, 1, 0), (1, 2, 1), (2, 3, 0)]),
        ([I_A, I_C, I_C, B_C], [(0, 1, 0), (1, 3, 1), (3, 4, 1)]),
    ],
)
def test_labels_to_spans(labels, spans):
    assert labels_to_spans(labels) == spans
    assert labels_to_spans(np.array(labels, dtype=np.int32)) == spans


@given(documents())
def test_spans_come_back_from_labels(document):
    spans, n_tokens = document
    assert labels_to_spans(spans_to_labels(spans, n_tokens)) == spans


@given(st.lists(st.integers(MISSING, 8), max_size=30) | st.lists(st.integers(OUT, I_A)))
def test_as_read_token_by_token(labels):
    spans = labels_to_spans(labels)
    assert spans == read_one_by_one(labels)
    assert all(type(number) is int for span in spans for number in span)
    arrays = span_bounds(np.array(labels, dtype=np.int64))
    assert [array.tolist() for array in arrays] == [[span[i] for span in spans] for i in range(3)]


@given(st.lists(st.integers(MISSING, 8), max_size=30))
def test_nothing_labeled_is_thrown_away(labels):
    spans = labels_to_spans(labels)
    types = [-1] * len(labels)
    for start, end, kind in spans:
        assert types[start:end] == [-1] * (end - start), "no two spans share a token"
        types[start:end] = [kind] * (end - start)
    owners = column_types(9)
    assert types == [-1 if label == MISSING else owners[label] for label in labels]
    assert {i for i, label in enumerate(labels) if label > OUTSIDE and label % 2} <= {
        start for start, _, _ in spans
    }, "each B- starts a span"
    assert spans_to_labels(spans, len(labels)).shape == (len(labels),)


@given(st.lists(st.integers(MISSING, 8), max_size=30))
def test_reading_labels_twice_changes_nothing(labels):
    spans = labels_to_spans(labels)
    assert labels_to_spans(spans_to_labels(spans, len(labels))) == spans
