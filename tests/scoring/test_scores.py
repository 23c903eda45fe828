from itertools import pairwise

import numpy as np
import pytest

from spacy_btl.scoring.scores import (
    FIGURES,
    corpus_scores,
    figure_array,
    figures,
    precision_recall_f,
    split_counts,
    strict_span_scores,
    type_array,
)


def ent(label, *bounds):
    """Return ("A", 0, 3, 5, 7) as label A, fragments 0 to 3 and 5 to 7."""
    return label, tuple(pairwise(bounds))[::2]


A1, A2, A3 = ent("A", 0, 3), ent("A", 4, 7), ent("A", 8, 9)
B1, B2, C1 = ent("B", 0, 3), ent("B", 4, 7), ent("C", 10, 12)


def one(gold, predicted):
    return strict_span_scores([gold], [predicted])


def p_r_f(scores, prefix="ents_"):
    return [scores[f"{prefix}{key}"] for key in "prf"]


@pytest.mark.parametrize(
    ("correct", "predicted", "gold", "p", "r", "f"),
    [
        (0, 0, 0, 0.0, 0.0, 0.0),
        (0, 3, 0, 0.0, 0.0, 0.0),
        (0, 0, 3, 0.0, 0.0, 0.0),
        (0, 2, 3, 0.0, 0.0, 0.0),
        (2, 2, 2, 1.0, 1.0, 1.0),
        (1, 2, 4, 1 / 2, 1 / 4, 1 / 3),
    ],
)
def test_precision_recall_f(correct, predicted, gold, p, r, f):
    assert precision_recall_f(correct, predicted, gold) == pytest.approx({"p": p, "r": r, "f": f})


@pytest.mark.parametrize(
    ("gold", "predicted", "micro", "macro"),
    [
        ([A1], [A1], [1, 1, 1], [1, 1, 1]),
        ([A1], [], [0, 0, 0], [0, 0, 0]),
        ([A1, A2], [A1], [1, 1 / 2, 2 / 3], [1, 1 / 2, 2 / 3]),
        ([A1], [A1, A2], [1 / 2, 1, 2 / 3], [1 / 2, 1, 2 / 3]),
        ([A1], [B1], [0, 0, 0], [0, 0, 0]),  # bounds without the label
        ([A1], [ent("A", 0, 2)], [0, 0, 0], [0, 0, 0]),  # label without the bounds
        ([A1], [ent("A", 1, 3)], [0, 0, 0], [0, 0, 0]),
        ([A1, B1], [B1, A1], [1, 1, 1], [1, 1, 1]),  # one span, two labels
        # The macro means differ from the micro ones: A 2 of 3, B all wrong, C not predicted.
        (
            [A1, A2, A3, B1, C1],
            [A1, A2, B2],
            [2 / 3, 2 / 5, 1 / 2],
            [1 / 3, 2 / 9, 4 / 15],
        ),
        # A label that is only predicted costs micro precision, but has no share in the macro mean.
        ([A1], [A1, B2, C1], [1 / 3, 1, 1 / 2], [1, 1, 1]),
        # Repeated entities count once.
        ([A1, A1, A2], [A1], [1, 1 / 2, 2 / 3], [1, 1 / 2, 2 / 3]),
        ([A1, A2], [A1, A1, A1], [1, 1 / 2, 2 / 3], [1, 1 / 2, 2 / 3]),
        # Discontinuous entities: all fragments must agree.
        ([ent("A", 0, 3, 5, 7)], [ent("A", 0, 7)], [0, 0, 0], [0, 0, 0]),
        ([ent("A", 0, 3, 5, 7)], [ent("A", 0, 3), ent("A", 5, 7)], [0, 0, 0], [0, 0, 0]),
        ([ent("A", 0, 3, 5, 7)], [ent("A", 0, 3, 5, 7)], [1, 1, 1], [1, 1, 1]),
    ],
)
def test_spans_of_one_document(gold, predicted, micro, macro):
    scores = one(gold, predicted)
    assert p_r_f(scores) == pytest.approx(micro)
    assert p_r_f(scores, "ents_macro_") == pytest.approx(macro)


@pytest.mark.parametrize(
    ("gold", "predicted"), [([], []), ([[]], [[]]), ([[]], [[A1]]), ([[], []], [[A1], []])]
)
def test_without_gold_all_is_none(gold, predicted):
    scores = strict_span_scores(gold, predicted)
    assert set(scores) == {
        *("ents_p", "ents_r", "ents_f", "ents_macro_p", "ents_macro_r", "ents_macro_f"),
        "ents_per_type",
    }
    assert set(scores.values()) == {None}


def test_per_type():
    per_type = one([A1, A2, A2, B1], [A1, C1, C1])["ents_per_type"]
    assert per_type == {
        "A": {"p": 1, "r": 1 / 2, "f": pytest.approx(2 / 3), "support": 2, "predicted": 1},
        "B": {"p": 0, "r": 0, "f": 0, "support": 1, "predicted": 0},
        "C": {"p": 0, "r": 0, "f": 0, "support": 0, "predicted": 1},
    }


def test_documents_stay_apart():
    assert p_r_f(strict_span_scores([[A1], []], [[], [A1]])) == [0, 0, 0]
    assert p_r_f(strict_span_scores([[A1], [A1]], [[A1], []])) == pytest.approx([1, 1 / 2, 2 / 3])


def test_numbers_must_agree():
    with pytest.raises(ValueError, match="zip"):
        strict_span_scores([[A1]], [])


def vector(spans, pairs, tokens):
    """Return a count vector from counts by label; the first label of the tokens is the outside."""
    parts = [np.array(spans).reshape(-1, 3).T, np.array(pairs), np.array(tokens).T]
    return np.concatenate([part.ravel() for part in parts]).astype(float)


ONE_TYPE = vector([[4, 2, 1]], [1, 1, 2], [[6, 8, 5], [4, 2, 1]])


def test_parts_of_a_vector():
    spans, pairs, tokens = split_counts(vector([[1, 2, 3], [4, 5, 6]], [7, 8, 9], [[0] * 3] * 3))
    assert spans.tolist() == [[1, 4], [2, 5], [3, 6]]
    assert pairs.tolist() == [7, 8, 9]
    assert tokens.shape == (3, 3)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ents_p", 1 / 2),
        ("ents_r", 1 / 4),
        ("ents_f", 1 / 3),
        ("ents_exact_p", 1 / 2),
        ("ents_exact_r", 1 / 4),
        ("ents_partial_p", 3 / 4),
        ("ents_partial_r", 3 / 8),
        ("ents_partial_f", 1 / 2),
        ("ents_type_p", 1),
        ("ents_type_r", 1 / 2),
        ("ents_type_f", 2 / 3),
        ("token_macro_r", 1 / 4),
        ("token_macro_r_with_o", (1 / 4 + 5 / 6) / 2),
        ("token_macro_f", 1 / 3),
        ("token_micro_f", 1 / 3),
    ],
)
def test_figures_of_one_type(key, value):
    assert figures(ONE_TYPE)[key] == pytest.approx(value)


@pytest.mark.parametrize(
    ("tokens", "macro_r", "with_o", "macro_f", "micro_f"),
    [
        # Gold, predicted and correct tokens of O, A, B.
        ([[0, 0, 0], [2, 2, 2], [0, 0, 0]], 1, 1, 1, 1),
        ([[2, 2, 2], [2, 2, 2], [0, 0, 0]], 1, 1, 1, 1),
        ([[2, 4, 2], [2, 0, 0], [0, 0, 0]], 0, 1 / 2, 0, 0),
        ([[2, 3, 2], [2, 1, 1], [0, 0, 0]], 1 / 2, 3 / 4, 2 / 3, 2 / 3),
        ([[2, 0, 0], [2, 4, 2], [0, 0, 0]], 1, 1 / 2, 2 / 3, 2 / 3),
        ([[2, 2, 2], [1, 1, 0], [1, 1, 0]], 0, 1 / 3, 0, 0),
        ([[1, 2, 1], [3, 3, 3], [1, 0, 0]], 1 / 2, 2 / 3, 1 / 2, 6 / 7),  # the rare type as much
        ([[2, 1, 1], [2, 2, 2], [0, 1, 0]], 1, 3 / 4, 1, 4 / 5),  # B only predicted: micro pays
        ([[3, 0, 0], [0, 3, 0], [0, 0, 0]], None, None, None, None),
        ([[0, 0, 0], [0, 0, 0], [0, 0, 0]], None, None, None, None),
    ],
)
def test_token_figures(tokens, macro_r, with_o, macro_f, micro_f):
    sums = vector([[1, 1, 1], [0, 0, 0]], [1, 0, 1], tokens)
    scores = corpus_scores(["A", "B"], sums)
    keys = ("token_macro_r", "token_macro_r_with_o", "token_macro_f", "token_micro_f")
    expected = (macro_r, with_o, macro_f, micro_f)
    assert [scores[key] for key in keys] == [x if x is None else pytest.approx(x) for x in expected]


def test_many_sums_at_once_are_each_of_them():
    rng = np.random.default_rng(0)
    sums = rng.integers(0, 5, (50, 6 * 3 + 6)).astype(float)
    sums[:4, :3] = 0  # no gold at all
    array, by_type = figure_array(sums), type_array(sums)
    assert array.shape == (50, len(FIGURES))
    assert by_type.shape == (50, 3, 3)
    assert np.isnan(array[:4, 0]).all()
    for row, of_types, own in zip(array, by_type, sums, strict=True):
        scores = corpus_scores("ABC", own)
        expected = [np.nan if scores[key] is None else scores[key] for key in FIGURES]
        np.testing.assert_array_equal(row, expected)
        rows = scores["ents_per_type"] or {}
        for label, found in zip("ABC", of_types, strict=True):
            figures_of = rows.get(label)
            if figures_of and figures_of["support"]:
                assert found.tolist() == p_r_f(figures_of, "")
            else:
                assert np.isnan(found).all()


def test_scores_without_gold():
    scores = corpus_scores(["A"], vector([[0, 3, 0]], [0, 0, 0], [[9, 6, 6], [0, 3, 0]]))
    assert set(scores) == {*FIGURES, "ents_per_type"}
    assert set(scores.values()) == {None}
    assert set(corpus_scores([], np.zeros(6)).values()) == {None}
