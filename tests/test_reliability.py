import math
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_btl.reliability import (
    error_by_chance,
    expected_calibration_error,
    reliability_by_type,
    reliability_table,
    render_reliability,
    wilson_interval,
)
from spacy_btl.reliability_svg import plot_reliability, reliability_svg

SVG = "{http://www.w3.org/2000/svg}"


def votes(seed, n=400):
    """Scores as votes give them, on few values, and outcomes less sure than they."""
    rng = np.random.default_rng(seed)
    scores = rng.binomial(5, 0.8, n) / 5
    return scores, rng.random(n) < 0.7 * scores


@pytest.mark.parametrize(
    ("correct", "count", "low", "high"),
    [
        (0, 0, 0.0, 1.0),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (5, 10, 0.2366, 0.7634),
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, table I
        (15, 148, 0.0624, 0.1605),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval(correct, count, low, high):
    assert wilson_interval(correct, count) == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize(
    ("scores", "correct", "n_bins", "rows"),
    [
        # each row: lowest, highest, mean score, share correct, entities
        ([], [], 10, []),
        ([0.4], [True], 10, [(0.4, 0.4, 0.4, 1.0, 1)]),
        ([0.1, 0.3, 0.6, 0.8], [0, 1, 1, 1], 2, [(0.1, 0.3, 0.2, 0.5, 2), (0.6, 0.8, 0.7, 1.0, 2)]),
        ([0.8, 0.1, 0.6, 0.3], [1, 0, 1, 1], 2, [(0.1, 0.3, 0.2, 0.5, 2), (0.6, 0.8, 0.7, 1.0, 2)]),
        ([0.1, 0.3, 0.6, 0.8], [0, 1, 1, 0], 1, [(0.1, 0.8, 0.45, 0.5, 4)]),
        # Equal scores stay together, even if that leaves bins empty.
        (
            [0.5, 1.0, 1.0, 1.0],
            [0, 1, 0, 1],
            4,
            [(0.5, 0.5, 0.5, 0.0, 1), (1.0, 1.0, 1.0, 2 / 3, 3)],
        ),
        ([1.0] * 6, [1, 1, 1, 0, 0, 0], 3, [(1.0, 1.0, 1.0, 0.5, 6)]),
    ],
)
def test_table(scores, correct, n_bins, rows):
    table = reliability_table(scores, np.array(correct, dtype=bool), n_bins)
    found = [(r.low, r.high, r.mean_score, r.fraction_correct, r.n_entities) for r in table]
    assert len(found) == len(rows)
    for ours, expected in zip(found, rows, strict=True):
        assert ours == pytest.approx(expected)
    for row in table:
        n_correct = round(row.fraction_correct * row.n_entities)
        assert row.interval == wilson_interval(n_correct, row.n_entities)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(1, 12))
def test_bins_hold_all_in_order_and_none_is_far_too_large(seed, n, n_bins):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 18, n) / 17
    correct = rng.random(n) < 0.5
    table = reliability_table(scores, correct, n_bins)
    assert sum(row.n_entities for row in table) == n
    assert sum(row.fraction_correct * row.n_entities for row in table) == pytest.approx(
        correct.sum()
    )
    assert all(a.high < b.low for a, b in pairwise(table))
    most = max(np.unique(scores, return_counts=True)[1])
    assert max(row.n_entities for row in table) <= math.ceil(n / n_bins) + most
    shuffled = rng.permutation(n)
    again = reliability_table(scores[shuffled], correct[shuffled], n_bins)
    assert [row.n_entities for row in again] == [row.n_entities for row in table]
    assert expected_calibration_error(scores[shuffled], correct[shuffled], n_bins) == pytest.approx(
        expected_calibration_error(scores, correct, n_bins)
    )


@pytest.mark.parametrize(
    ("scores", "correct", "error"),
    [
        ([1.0, 1.0], [True, True], 0.0),
        ([1.0, 1.0], [True, False], 0.5),
        ([0.5, 0.5], [True, False], 0.0),
        ([0.2, 0.8], [True, False], 0.8),
        ([0.2] * 5 + [0.9] * 5, [True, *[False] * 4, *[False] * 5], 0.45),
    ],
)
def test_expected_calibration_error(scores, correct, error):
    assert expected_calibration_error(scores, correct) == pytest.approx(error)


def test_nothing_to_measure():
    assert math.isnan(expected_calibration_error([], []))
    assert math.isnan(error_by_chance([]))
    assert reliability_by_type([], [], []) == {}


@pytest.mark.parametrize("n", [200, 2000])
def test_error_by_chance_is_what_true_probabilities_show(n):
    rng = np.random.default_rng(n)
    scores = rng.beta(2, 1, n)
    drawn = [expected_calibration_error(scores, rng.random(n) < scores) for _ in range(200)]
    assert error_by_chance(scores) == pytest.approx(np.mean(drawn), rel=0.1)


def test_sure_scores_leave_nothing_to_chance():
    assert error_by_chance([0.0, 1.0, 1.0]) == 0.0


def test_by_type():
    scores = np.array([0.9] * 60 + [0.2] * 40 + [0.5] * 29)
    types = ["A"] * 60 + ["B"] * 40 + ["C"] * 29
    correct = np.array([True] * 30 + [False] * 30 + [True] * 8 + [False] * 32 + [True] * 29)
    found = reliability_by_type(scores, types, correct)
    assert list(found) == ["A", "B"]
    assert found["A"][:2] == pytest.approx((0.9, 0.5))
    assert found["A"].interval == wilson_interval(30, 60)
    assert [found[name].n_entities for name in "AB"] == [60, 40]
    assert [found[name].error for name in "AB"] == pytest.approx([0.4, 0.0])
    assert found["B"].chance == pytest.approx(math.sqrt(2 / math.pi * 0.2 * 0.8 / 40))
    assert list(reliability_by_type(scores, types, correct, min_count=1)) == ["A", "B", "C"]


@pytest.mark.parametrize(
    ("scores", "correct", "n_bins", "message"),
    [
        ([0.5, 0.5], [True], 10, "do not fit"),
        ([[0.5]], [[True]], 10, "do not fit"),
        ([1.5], [True], 10, "between 0 and 1"),
        ([float("nan")], [True], 10, "between 0 and 1"),
        ([0.5], [True], 0, "0 bins"),
    ],
)
def test_inputs_that_do_not_fit(scores, correct, n_bins, message):
    for function in (reliability_table, expected_calibration_error):
        with pytest.raises(ValueError, match=message):
            function(scores, correct, n_bins)
    with pytest.raises(ValueError, match=message):
        reliability_svg({"raw": scores}, correct, n_bins=n_bins)


def test_types_that_do_not_fit():
    with pytest.raises(ValueError, match="2 scores and 1 types"):
        reliability_by_type([0.5, 0.5], ["A"], [True, True])


def test_rendered_tables():
    raw = [1.0, 1.0, 1.0, 0.4]
    correct = [True, True, False, False]
    series = {"raw": raw, "calibrated": [0.6, 0.6, 0.6, 0.2]}
    text = render_reliability(series, ["A", "A", "B", "A"], correct, min_count=3, n_bins=2)
    lines = text.splitlines()
    assert lines[0].split("|")[1].strip() == "score"
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert ["raw", "0.350", "0.098", "0.290"] in cells
    assert ["1.000 to 1.000", "3", "1.000", "0.667", "0.208 to 0.939"] in cells
    assert ["0.200 to 0.200", "1", "0.200", "0.000", "0.000 to 0.793"] in cells
    assert ["A", "3", "0.467", "0.667", "0.208 to 0.939", "0.200", "0.213"] in cells
    assert [row[0] for row in cells if row].count("B") == 0
    assert text.endswith("|\n")


def test_rendered_without_any_entity():
    text = render_reliability({"raw": []}, [], [])
    assert "| raw   |               nan |" in text


@pytest.mark.parametrize("names", [["raw"], ["raw", "calibrated"], ["<a> & b", "raw", "third"]])
def test_picture_shows_each_bin_of_each_series_within_its_frame(names):
    scores, correct = votes(0)
    series = {name: scores * (1 - 0.3 * i) for i, name in enumerate(names)}
    root = ElementTree.fromstring(reliability_svg(series, correct))
    width, height = float(root.get("width")), float(root.get("height"))
    n_rows = [len(reliability_table(s, correct)) for s in series.values()]
    assert len(root.findall(f"{SVG}circle")) == n_rows[0] + 1  # and one in the legend
    texts = [element.text for element in root.findall(f"{SVG}text")]
    for name, s in series.items():
        assert f"{name}: calibration error {expected_calibration_error(s, correct):.3f}" in texts
        assert f"entities by {name} score" in texts
    for element in root.iter():
        for key in ("x", "x1", "x2", "cx"):
            assert 0 <= float(element.get(key, 0)) <= width
        for key in ("y", "y1", "y2", "cy"):
            assert 0 <= float(element.get(key, 0)) <= height


def test_picture_can_be_read_without_being_seen():
    root = ElementTree.fromstring(reliability_svg({"raw": [0.25, 0.75]}, [False, True], n_bins=2))
    assert root.get("role") == "img"
    named = {element.get("id"): element for element in root.iter() if element.get("id")}
    assert [named[key].tag for key in root.get("aria-labelledby").split()] == [
        f"{SVG}title",
        f"{SVG}desc",
    ]
    description = root.find(f"{SVG}desc").text
    assert "2 entities" in description
    assert "0.25 is correct in 0.00" in description
    assert "0.75 is correct in 1.00" in description


def test_point_lies_where_score_and_share_say():
    root = ElementTree.fromstring(reliability_svg({"raw": [0.5] * 4}, [1, 0, 0, 0]))
    point = root.findall(f"{SVG}circle")[-1]
    bar = [line for line in root.findall(f"{SVG}line") if line.get("stroke") == "#0072B2"]
    assert float(point.get("cx")) == pytest.approx(64 + 320 * 0.5)
    assert float(point.get("cy")) == pytest.approx(64 + 320 * 0.75)
    low, high = wilson_interval(1, 4)
    assert [float(bar[0].get(key)) for key in ("y1", "y2")] == pytest.approx(
        [64 + 320 * (1 - low), 64 + 320 * (1 - high)], abs=0.06
    )


@pytest.mark.parametrize("n_series", [0, 4])
def test_picture_of_none_or_too_many(n_series):
    with pytest.raises(ValueError, match=f"not {n_series}"):
        reliability_svg({str(i): [0.5] for i in range(n_series)}, [True])


def test_picture_of_no_entity():
    root = ElementTree.fromstring(reliability_svg({"raw": []}, []))
    assert "0 entities" in root.find(f"{SVG}desc").text


def test_picture_to_file(tmp_path):
    scores, correct = votes(1)
    plot_reliability(tmp_path / "reliability.svg", {"raw": scores}, correct)
    text = (tmp_path / "reliability.svg").read_text(encoding="utf-8")
    assert text == reliability_svg({"raw": scores}, correct)
    with pytest.raises(ValueError, match=r"should end in \.svg"):
        plot_reliability(tmp_path / "reliability.png", {"raw": scores}, correct)
