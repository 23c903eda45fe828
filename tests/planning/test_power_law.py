"""Power laws are found again, and intervals contain what comes later about as often as they say."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_btl.planning.power_law import (
    LEAST_DEVIATION,
    PowerLaw,
    fit_power_law,
    forecast_curve,
    training_noise,
)

SIZES = [10, 20, 40, 80]


@pytest.mark.parametrize("a", [0.5, 0.9])
@pytest.mark.parametrize("c", [0.3, 0.5, 1.0])
def test_an_exact_curve_is_found_again(a: float, c: float) -> None:
    true = PowerLaw(a, 0.2, c, 28.3)
    found = fit_power_law(SIZES, true(SIZES), np.full(4, 0.001))
    assert found(SIZES) == pytest.approx(true(SIZES), abs=0.01)
    assert float(found(160)) == pytest.approx(float(true(160)), abs=0.03)


def test_two_sizes_take_the_assumed_exponent() -> None:
    found = fit_power_law([10, 40], np.array([0.4, 0.6]), np.zeros(2))
    assert found.c == pytest.approx(0.5, abs=0.05)
    assert found([10, 40]) == pytest.approx([0.4, 0.6], abs=0.01)


def test_scores_that_fall_give_a_flat_curve() -> None:
    found = fit_power_law(SIZES, np.array([0.5, 0.4, 0.4, 0.3]), np.full(4, 0.02))
    assert found.b == pytest.approx(0, abs=1e-3)
    assert float(found(1000)) == pytest.approx(0.4, abs=0.01)


@pytest.mark.parametrize(
    ("law", "score", "size"),
    [
        (PowerLaw(0.8, 0.2, 0.5, 100), 0.7, 400),
        (PowerLaw(0.8, 0.2, 0.5, 100), 0.6, 100),
        (PowerLaw(0.8, 0.2, 0.5, 100), 0.8, math.inf),
        (PowerLaw(0.8, 0.2, 0.5, 100), 0.9, math.inf),
        (PowerLaw(0.8, 0.0, 0.5, 100), 0.7, 0),
        (PowerLaw(0.8, 0.0, 0.5, 100), 0.9, math.inf),
        (PowerLaw(0.8, 0.5, 0.001, 100), 0.7999, math.inf),
    ],
)
def test_documents_for_a_score(law: PowerLaw, score: float, size: float) -> None:
    assert law.size_for(score) == pytest.approx(size)


@given(st.floats(0.3, 0.9), st.floats(0.05, 0.3), st.floats(0.1, 1.5), st.floats(0.001, 0.1))
def test_documents_for_a_score_reach_it(a: float, b: float, c: float, gain: float) -> None:
    law = PowerLaw(a, b, c, 50)
    size = law.size_for(float(law(50)) + gain)
    assert size == math.inf or float(law(size)) == pytest.approx(float(law(50)) + gain)


@pytest.mark.parametrize(
    ("sizes", "scores", "message"),
    [
        ([10], [0.5], "two different sizes"),
        ([10, 10], [0.5, 0.6], "two different sizes"),
        ([0, 10], [0.5, 0.6], "above 0"),
        ([5, 10], [0.5], "2 sizes, 1 scores and 1 deviations differ"),
    ],
)
def test_bad_points(sizes: list[float], scores: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_power_law(sizes, np.array(scores), np.zeros(len(scores)))


@pytest.mark.parametrize(
    ("sizes", "scores", "noise"),
    [
        ([10, 20], [0.1, 0.2], 0),
        ([10, 10, 20], [0.1, 0.3, 0.2], math.sqrt(0.02)),
        ([10, 10, 20, 20], [0.1, 0.3, 0.2, 0.2], 0.1),
    ],
)
def test_noise_of_trainings(sizes: list[float], scores: list[float], noise: float) -> None:
    assert training_noise(sizes, np.array(scores)) == pytest.approx(noise)


def test_intervals_contain_what_comes_later() -> None:
    """Curves as they are assumed: 95 of 100 intervals should contain the later score."""
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(40):
        law = PowerLaw(rng.uniform(0.5, 0.9), 0.15, 0.5 * math.exp(rng.normal(0, 0.5)), 28)
        observed = law(SIZES) + rng.normal(0, 0.01, 4)
        forecast = forecast_curve(SIZES, observed, np.tile(observed, (40, 1)), 0.01)
        _, low, high = forecast.score(160)
        inside += low <= float(law(160)) + rng.normal(0, 0.01) <= high
    assert inside >= 34


def test_more_documents_for_a_gain() -> None:
    law = PowerLaw(0.8, 0.2, 0.5, 100)
    sizes = [25, 50, 100]
    resampled = np.random.default_rng(0).normal(law(sizes), 0.01, (60, 3))
    forecast = forecast_curve(sizes, law(sizes), resampled, 0.0)
    assert forecast.noise == LEAST_DEVIATION
    more, low, high = forecast.more_for(0.05, 100)
    assert low <= more <= high
    assert more == pytest.approx(100 * (0.2 / 0.15) ** 2 - 100, rel=0.3)
    assert forecast.more_for(0.5, 100)[0] == math.inf
    expected, low, high = forecast.score(100)
    assert low <= expected <= high
