"""Counts of a document, compared with counts made one token at a time."""

import doctest
import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spacy_btl.scoring.counts
from spacy_btl.scoring.counts import count_tables, document_counts
from spacy_btl.scoring.scores import NO_LABEL, corpus_scores, split_counts, strict_span_scores

TOKENS = [(0, 3), (4, 7), (8, 9), (9, 12), (15, 20)]


def ent(label, *bounds):
    return label, tuple(pairwise(bounds))[::2]


def labels_of(token, entities):
    """Return labels of all entities with which a token shares a character."""
    inside = set(range(*token))
    return {
        label
        for label, fragments in entities
        if any(inside & set(range(start, end)) for start, end in fragments)
    }


def literal_token_counts(gold, predicted, tokens):
    counts = {NO_LABEL: [0, 0, 0]}
    for token in tokens:
        sides = [labels_of(token, gold) or {NO_LABEL}, labels_of(token, predicted) or {NO_LABEL}]
        for i, side in enumerate([*sides, sides[0] & sides[1]]):
            for label in side:
                counts.setdefault(label, [0, 0, 0])[i] += 1
    return counts


def some_entities(labels="ABC"):
    bounds = st.lists(st.integers(0, 22), min_size=2, max_size=4, unique=True).map(sorted)
    one = st.builds(lambda label, at: ent(label, *at), st.sampled_from(labels), bounds)
    return st.lists(one, max_size=5)


@pytest.mark.parametrize(
    ("gold", "predicted", "spans", "tokens"),
    [
        ([], [], {}, {"": [5, 5, 5]}),
        ([ent("A", 0, 7)], [ent("A", 0, 7)], {"A": [1, 1, 1]}, {"": [3, 3, 3], "A": [2, 2, 2]}),
        ([ent("A", 0, 7)], [], {"A": [1, 0, 0]}, {"": [3, 5, 3], "A": [2, 0, 0]}),
        ([], [ent("A", 0, 7)], {"A": [0, 1, 0]}, {"": [5, 3, 3], "A": [0, 2, 0]}),
        ([ent("A", 0, 7)], [ent("A", 0, 3)], {"A": [1, 1, 0]}, {"": [3, 4, 3], "A": [2, 1, 1]}),
        (
            [ent("A", 0, 3)],
            [ent("B", 0, 3)],
            {"A": [1, 0, 0], "B": [0, 1, 0]},
            {"": [4, 4, 4], "A": [1, 0, 0], "B": [0, 1, 0]},
        ),
        # A token with two labels counts for each; found is one of them.
        (
            [ent("A", 0, 7), ent("B", 4, 7)],
            [ent("A", 0, 7)],
            {"A": [1, 1, 1], "B": [1, 0, 0]},
            {"": [3, 3, 3], "A": [2, 2, 2], "B": [1, 0, 0]},
        ),
        # Two entities of one label on a token count once there.
        ([ent("A", 0, 7), ent("A", 4, 7)], [], {"A": [2, 0, 0]}, {"": [3, 5, 3], "A": [2, 0, 0]}),
        # A part of a token is the token; between fragments there is nothing.
        ([ent("A", 5, 6)], [ent("A", 4, 7)], {"A": [1, 1, 0]}, {"": [4, 4, 4], "A": [1, 1, 1]}),
        ([ent("A", 0, 3, 9, 12)], [], {"A": [1, 0, 0]}, {"": [3, 5, 3], "A": [2, 0, 0]}),
        # White space, or outside of the text: no token to count.
        ([ent("A", 12, 15)], [], {"A": [1, 0, 0]}, {"": [5, 5, 5]}),
        ([ent("A", 90, 95)], [], {"A": [1, 0, 0]}, {"": [5, 5, 5]}),
        ([ent("A", 9, 3)], [], {"A": [1, 0, 0]}, {"": [5, 5, 5]}),
        # Repeated entities count once.
        ([ent("A", 0, 3)] * 2, [ent("A", 0, 3)] * 3, {"A": [1, 1, 1]}, {"": [4] * 3, "A": [1] * 3}),
    ],
)
def test_document(gold, predicted, spans, tokens):
    counts = document_counts(gold, predicted, TOKENS)
    assert (counts["spans"], counts["tokens"]) == (spans, tokens)
    assert json.loads(json.dumps(counts)) == counts


def test_pairs_have_their_names():
    counts = document_counts([ent("A", 0, 3)], [ent("B", 0, 3)], TOKENS)
    assert counts["pairs"] == {"exact": 1, "partial": 0, "type": 0}


@settings(max_examples=100, deadline=None)
@given(some_entities(), some_entities())
def test_tokens_are_counted_as_one_by_one(gold, predicted):
    counts = document_counts(gold, predicted, TOKENS)["tokens"]
    assert counts == literal_token_counts(gold, predicted, TOKENS)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(some_entities("AB"), some_entities("BC")), min_size=1, max_size=4))
def test_strict_scores_are_those_of_the_entities(documents):
    counts = [document_counts(*both, TOKENS) for both in documents]
    labels, (table,) = count_tables(json.loads(json.dumps(counts)))
    scores = corpus_scores(labels, table.sum(axis=0))
    strict = strict_span_scores(*zip(*documents, strict=True))
    assert {key: scores[key] for key in strict} == strict


def test_usual_token_scores_where_nothing_overlaps():
    """Against scikit-learn, which knows one label a token."""
    from sklearn.metrics import f1_score, recall_score

    rng = np.random.default_rng(0)
    tokens = [(3 * i, 3 * i + 2) for i in range(300)]
    gold, predicted = rng.integers(0, 4, (2, 300))
    predicted[:150] = gold[:150]
    documents = [
        [ent("-ABC"[label], *at) for label, at in zip(side, tokens, strict=True) if label]
        for side in (gold, predicted)
    ]
    labels, (table,) = count_tables([document_counts(*documents, tokens)])
    scores = corpus_scores(labels, table[0])
    options = {"labels": [1, 2, 3], "average": "macro"}
    with_o = options | {"labels": [0, 1, 2, 3]}
    micro = options | {"average": "micro"}
    assert scores["token_macro_r"] == pytest.approx(recall_score(gold, predicted, **options))
    assert scores["token_macro_r_with_o"] == pytest.approx(recall_score(gold, predicted, **with_o))
    assert scores["token_macro_f"] == pytest.approx(f1_score(gold, predicted, **options))
    assert scores["token_micro_f"] == pytest.approx(f1_score(gold, predicted, **micro))


FIRST = document_counts([ent("B", 0, 3)], [ent("C", 0, 3)], TOKENS)
SECOND = document_counts([ent("B", 0, 7)], [ent("B", 0, 7), ent("A", 8, 9)], TOKENS)


def test_tables_share_their_labels():
    labels, (one, other) = count_tables([FIRST, SECOND], [FIRST, {**SECOND, **FIRST}])
    assert labels == ["A", "B", "C"]
    assert one.shape == other.shape == (2, 24)
    spans, pairs, tokens = split_counts(one)
    assert spans[1].tolist() == [[0, 1, 0], [1, 1, 0], [0, 1, 0]]
    assert pairs.tolist() == [[1, 0, 0], [1, 0, 1]]
    assert tokens[0].tolist() == [[4, 0, 1, 0], [4, 0, 0, 1], [4, 0, 0, 0]]


def test_no_documents():
    labels, (table,) = count_tables([])
    assert (labels, table.shape) == ([], (0, 6))


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        ([FIRST], [], "1 and 0 documents cannot be compared"),
        ([FIRST, FIRST], [FIRST, SECOND], None),
        (
            [FIRST, FIRST],
            [FIRST, document_counts([], [], TOKENS)],
            "document 2 has different gold entities",
        ),
    ],
)
def test_systems_must_have_the_same_documents(one, other, message):
    if message is None:
        count_tables(one, other)
    else:
        with pytest.raises(ValueError, match=message):
            count_tables(one, other)


def test_examples_in_the_docstrings():
    result = doctest.testmod(spacy_btl.scoring.counts)
    assert (result.failed, result.attempted > 0) == (0, True)
