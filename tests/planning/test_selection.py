"""Choice of reports, by each of the reasons alone and by all together."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_btl.planning.selection import (
    Reports,
    SelectionSettings,
    select,
    standalone_values,
    type_gains,
)

PLAIN = SelectionSettings(novelty=0, diversity=0, reading_words=0)


def reports(expected, doubt=None, words=None, distances=None, vectors=None):
    """Return reports that differ only in what is given."""
    expected = np.array(expected, dtype=float)
    n = len(expected)
    return Reports(
        np.full(n, 100) if words is None else np.array(words),
        expected,
        expected / 2 if doubt is None else np.array(doubt, dtype=float),
        np.full(n, math.nan) if distances is None else np.array(distances, dtype=float),
        np.zeros((n, 2)) if vectors is None else np.array(vectors, dtype=float),
    )


def order(pool, known, settings=PLAIN, n=99):
    return [choice.report for choice in select(pool, np.array(known, dtype=float), n, settings)]


@pytest.mark.parametrize(
    ("pool", "known", "settings", "expected"),
    [
        pytest.param(reports([[1], [3], [2]]), [5], PLAIN, [1, 2, 0], id="more mentions"),
        pytest.param(
            reports([[9], [9]], doubt=[[0.5], [2]]), [5000], PLAIN, [1, 0], id="more doubt"
        ),
        pytest.param(
            reports([[9], [3]], doubt=[[0.1], [0.5]]), [5000], PLAIN, [1, 0],
            id="of a frequent type doubt counts, not mentions",
        ),
        pytest.param(
            reports([[9], [3]], doubt=[[0.1], [0.5]]), [0], PLAIN, [0, 1],
            id="of a type without mentions these count",
        ),
        pytest.param(
            reports([[4, 0], [0, 1]], doubt=[[2, 0], [0, 0.5]]), [900, 3], PLAIN, [1, 0],
            id="rare types first",
        ),
        pytest.param(
            reports([[2], [3]], words=[100, 200]), [9], PLAIN, [0, 1], id="for each word"
        ),
        pytest.param(
            reports([[2], [3]], words=[100, 200]),
            [9],
            SelectionSettings(novelty=0, diversity=0, reading_words=1000),
            [1, 0],
            id="opening a report costs more than its words",
        ),
        pytest.param(
            reports([[2], [2]], distances=[1, 2]),
            [9],
            SelectionSettings(diversity=0),
            [1, 0],
            id="far from what is known",
        ),
        pytest.param(reports([[2], [2]], distances=[1, 2]), [9], PLAIN, [0, 1], id="novelty 0"),
        pytest.param(
            reports([[3], [3], [2]], vectors=[[9, 1], [9, 1], [9, -2]]),
            [9],
            SelectionSettings(novelty=0),
            [0, 2, 1],
            id="no second report like the first",
        ),
        pytest.param(
            reports([[8, 0], [7, 0], [0, 6]]), [9, 9], PLAIN, [0, 2, 1],
            id="what the first brings is known then",
        ),
        pytest.param(reports([[0], [0]], words=[9, 5]), [1], PLAIN, [1, 0], id="nothing to gain"),
        pytest.param(reports([[1]]), [1], SelectionSettings(), [0], id="one report"),
    ],
)  # fmt: skip
def test_order(pool, known, settings, expected) -> None:
    assert order(pool, known, settings) == expected


def test_reasons_of_a_choice() -> None:
    pool = reports([[2, 2], [1, 0]], vectors=[[1, 0], [0, 1]])
    first, second = select(pool, np.array([0.0, 60.0]), 2, SelectionSettings(novelty=0))
    gains = type_gains(pool.expected[:1], pool.doubt[:1], np.array([0, 60]), 20)[0]
    # Of 60 known mentions and 20 that are half, a quarter of what is expected and 3/4 of the doubt.
    assert gains == pytest.approx([math.log(1 + 2 / 20), math.log(1 + (0.5 + 0.75) / 80)])
    assert first.gain == pytest.approx(gains.sum())
    assert first.by_type == pytest.approx(gains / gains.sum())
    assert first.similarity == 0
    # Two reports have no mean that they could be compared by.
    assert second.similarity == 0
    assert second.by_type == pytest.approx([1, 0])


@pytest.mark.parametrize("n", [0, -1, 1.5, True])
def test_a_number_that_is_none(n) -> None:
    with pytest.raises(ValueError, match=r"n is .* a whole number, 1 or more"):
        select(reports([[1]]), np.ones(1), n)


def test_arrays_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="not of the same reports and types"):
        select(reports([[1]]), np.ones(2), 1)


@pytest.mark.parametrize(
    ("name", "value"),
    [("familiar", 0), ("novelty", -1), ("diversity", 1.1), ("reading_words", float("nan"))],
)
def test_settings_out_of_range(name, value) -> None:
    with pytest.raises(ValueError, match=f"{name} is "):
        SelectionSettings(**{name: value})


numbers = st.floats(0, 50, allow_nan=False)


@given(
    st.lists(st.tuples(numbers, numbers, st.integers(1, 900)), min_size=1, max_size=12),
    st.integers(1, 15),
    st.integers(0, 1000),
)
def test_each_report_once_and_the_best_first(rows, n, known) -> None:
    expected = [[a, b] for a, b, _ in rows]
    pool = reports(expected, words=[words for *_, words in rows], distances=[1.0] * len(rows))
    settings = SelectionSettings()
    choices = select(pool, np.array([known, 3.0]), n, settings)
    assert len({choice.report for choice in choices}) == len(choices) == min(n, len(rows))
    values = standalone_values(pool, np.array([known, 3.0]), settings)
    assert values[choices[0].report] == pytest.approx(values.max())
    assert all(0 <= choice.similarity <= 1 and choice.gain >= 0 for choice in choices)


@given(st.integers(0, 500), st.floats(0.01, 20), st.floats(0, 1))
def test_a_mention_is_worth_less_the_more_are_known(known, expected, share) -> None:
    few, more = (
        type_gains(np.array([[expected]]), np.array([[expected * share]]), np.array([n]), 20.0)
        for n in (known, known + 1)
    )
    assert more <= few
