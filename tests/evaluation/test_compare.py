"""Two systems on the same documents."""

import pytest

from spacy_btl.evaluation.compare import compare_evaluations, count_changes, document_f, verdict

NOTHING = {"spans": {}, "pairs": {"exact": 0, "partial": 0, "type": 0}, "tokens": {}}


def counts(**spans):
    return NOTHING | {"spans": spans}


def rows(*documents):
    return [{"name": name, "counts": c} for name, c in zip("xyz", documents, strict=False)]


@pytest.mark.parametrize(
    ("spans", "f"),
    [
        ({}, 1.0),
        ({"A": [1, 1, 1]}, 1.0),
        ({"A": [0, 1, 0]}, 0.0),
        ({"A": [1, 0, 0]}, 0.0),
        ({"A": [1, 2, 1], "B": [1, 0, 0]}, 0.5),
    ],
)
def test_document_f(spans, f):
    assert document_f(counts(**spans)) == f


def test_documents_without_any_entity_count_as_right():
    gold = counts(A=[1, 1, 1])
    comparison = compare_evaluations(
        rows(NOTHING, gold), rows(counts(A=[0, 1, 0]), gold), ("a", "b"), samples=100
    )
    assert comparison["systems"] == ["a", "b"]
    assert comparison["documents"] == [
        {"name": "x", "first": 1.0, "second": 0.0, "difference": 1.0},
        {"name": "y", "first": 1.0, "second": 1.0, "difference": 0.0},
    ]
    assert count_changes(comparison) == (1, 0)


def test_other_documents_are_refused():
    with pytest.raises(ValueError, match="cannot be compared"):
        compare_evaluations(rows(NOTHING), rows(NOTHING, NOTHING), ("a", "b"))


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (0.01, 0.05, "better than"),
        (-0.05, -0.01, "worse than"),
        (-0.01, 0.05, "not clearly different from"),
        (0.0, 0.05, "not clearly different from"),
    ],
)
def test_a_verdict_by_the_interval(low, high, word):
    row = {"difference": 0.02, "interval": [low, high]}
    undefined = {"difference": None, "interval": [None, None]}
    comparison = {"systems": ["new", "old"], "figures": {"ents_f": row, "ents_macro_f": undefined}}
    assert verdict(comparison) == [
        f"strict micro F1: new is {word} old, +0.020 ({low:+.3f} to {high:+.3f})",
        "strict macro F1: not defined",
    ]
