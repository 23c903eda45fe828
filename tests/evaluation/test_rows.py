"""Figures as rows of text."""

from itertools import pairwise

import pytest

from spacy_btl.evaluation.rows import (
    BANDS,
    FIGURE_NAMES,
    MACRO_NOTE,
    MOST_CONFUSIONS,
    band_rows,
    compared_figures,
    confusion_matrix,
    confusion_rows,
    interval_note,
    overall_rows,
    recall_bands,
    signed,
    spread,
    types_by_support,
)


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        (None, ""),
        ([], ""),
        ([0.5, 0.5], ""),
        ([0.25, 0.5], "0.250 to 0.500"),
        ((0, 1), "0.000 to 1.000"),
    ],
)
def test_spread(interval, text):
    assert spread(interval) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.000"), (0.0004, "0.000"), (-0.0004, "0.000"), (0.25, "+0.250"), (-0.25, "-0.250")],
)
def test_signed(value, text):
    assert signed(value) == text


def test_scores_that_are_not_defined_have_a_dash():
    rows = overall_rows(
        {"scores": {"ents_f": 0.5, "ents_p": None}, "intervals": {"ents_f": [0, 1]}}
    )
    assert rows[0] == ["strict span precision, micro", "-", ""]
    assert rows[2] == ["strict span F1, micro", "0.500", "0.000 to 1.000"]


FEW_NOTE = "3 documents: too few for intervals; these figures are not certain."


@pytest.mark.parametrize(
    ("documents", "intervals", "note"),
    [
        (3, {}, FEW_NOTE),
        (3, {"ents_f": [1.0, 1.0], "ents_macro_f": [1.0, 1.0]}, FEW_NOTE),
        (1, {}, FEW_NOTE.replace("3 documents", "1 document")),
        (3, {"ents_f": [0.5, 1.0]}, ""),
        (3, {"ents_f": [0.5, 1.0], "ents_macro_f": [1.0, 1.0]}, MACRO_NOTE),
        (10, {}, ""),
        (10, {"ents_macro_f": [1.0, 1.0]}, MACRO_NOTE),  # all is correct, in many documents
    ],
)
def test_what_is_said_of_the_intervals(documents, intervals, note):
    assert interval_note({"scores": {"ents_f": 1.0}, "intervals": intervals}, documents) == note


def test_types_by_support():
    support = {"A": 1, "B": 3, "C": 3}
    by_type = {label: {"support": count} for label, count in support.items()}
    assert types_by_support({"ents_per_type": by_type}) == ["B", "C", "A"]
    assert types_by_support({"ents_per_type": None}) == []


def scores(*types):
    """Return scores of types (support, recall)."""
    return {"ents_per_type": {f"T{i}": {"support": n, "r": r} for i, (n, r) in enumerate(types)}}


def test_bands_have_the_types_with_gold_by_frequency():
    trained_on = {"T1": 9, "T2": 1, "T3": 1000, "T4": 5}
    bands = recall_bands(scores((2, 0.0), (1, 1.0), (3, 0.5), (4, 0.25), (0, 0.0)), trained_on)
    assert [(band.low, band.high, band.recalls, band.support) for band in bands] == [
        (0, 0, [0.0], 2),
        (1, 9, [1.0, 0.5], 4),
        (1000, 1000, [0.25], 4),
    ]
    other = recall_bands(scores((2, 1.0), (1, 0.0), (3, 0.0), (4, 0.75)), trained_on)
    assert band_rows(bands, other) == [
        ["0", "1", "2", "0.000", "1.000"],
        ["1 to 9", "2", "4", "0.750", "0.000"],
        ["1,000", "1", "4", "0.250", "0.750"],
    ]


def test_bands_leave_no_gap():
    assert all(low == before + 1 for (_, before), (low, _) in pairwise(BANDS))


@pytest.mark.parametrize(
    ("confusion", "order", "names", "counts"),
    [
        ({}, [], [], [[0]]),
        ({"A": {"A": 2, "": 1}}, ["A"], ["A"], [[0, 0], [1, 2]]),
        (
            {"": {"C": 4}, "A": {"B": 2}},
            ["B", "A", "Z"],
            ["B", "A", "C"],
            [[0, 0, 0, 4], [0, 0, 0, 0], [0, 2, 0, 0], [0, 0, 0, 0]],
        ),
    ],
)
def test_confusion_matrix(confusion, order, names, counts):
    assert confusion_matrix(confusion, order) == (["spurious", *names], ["missed", *names], counts)


def test_the_most_frequent_confusions_come_first():
    confusion = {"": {"A": 9}, "A": {"A": 9, "": 9, "B": 2}, "B": {"A": 3}}
    assert confusion_rows(confusion) == [["B → A", "3"], ["A → B", "2"]]
    many = {f"T{i:02}": {"A": 1} for i in range(30)}
    assert len(confusion_rows(many)) == MOST_CONFUSIONS


@pytest.mark.parametrize(
    ("changes", "cells"),
    [
        ({}, ["0.500", "0.250", "+0.250", "+0.100 to +0.400", "0.040"]),
        ({"p": 0.0004}, ["0.500", "0.250", "+0.250", "+0.100 to +0.400", "< 0.001"]),
        ({"interval": [None, None]}, ["0.500", "0.250", "+0.250", "", "0.040"]),
        ({"p": None}, ["-"] * 5),
        ({"first": None, "second": None, "difference": None, "p": None}, ["-"] * 5),
    ],
)
def test_compared_figures(changes, cells):
    row = {"first": 0.5, "second": 0.25, "difference": 0.25, "interval": [0.1, 0.4], "p": 0.04}
    every = dict.fromkeys(FIGURE_NAMES, row | changes)
    assert compared_figures({"figures": every})[0][1:] == cells
