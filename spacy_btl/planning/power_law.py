"""Learning curves as power laws: a score by the number of documents, and how far it may be off.

    score(n) = a - b * (n / m) ** -c,    with 0 <= a <= 1, b >= 0

where ``m`` is the geometric mean of the sizes, which only scales ``b``. Scores of few sizes hardly
determine the exponent, so that it is held near `EXPONENT` with a spread of `SPREAD` (in its
logarithm): with two sizes it is this assumption, and with more it gives way to them. Power laws fit
learning curves of named entity recognition well (Figueroa et al. 2012, "Predicting sample size
required for classification performance", for the weighted fit in clinical text; Viering and Loog
2022, "The shape of learning curves: a review", for where they do not).

An interval comes from many fits: to the scores on documents drawn with replacement, with the noise
of trainings added, and with the exponent held near another value each time. The last makes the
interval as wide as the assumption is uncertain. Arrays only.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..util.arrays import Float64s1d, Float64s2d, Floats1d, Floats2d

EXPONENT = 0.5
"""Value that the exponent is held near."""

SPREAD = 0.5
"""Standard deviation of the exponent's logarithm: with 0.5, 95 of 100 are between 0.19 and 1.33."""

LEAST_DEVIATION = 0.01
"""Standard deviation of a score that is assumed at least: no curve is a power law exactly, and two
trainings on the same documents do not score the same."""

_BOUNDS = ((0.0, 0.0, math.log(0.02)), (1.0, 1.0, math.log(4.0)))


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """A learning curve.

    Attributes:
        a: The score that it tends to.
        b: What is missing from it with ``m`` documents.
        c: The exponent.
        m: The geometric mean of the sizes that it was fitted to.
    """

    a: float
    b: float
    c: float
    m: float

    def __call__(self, n: npt.ArrayLike) -> Float64s1d:
        """Return the scores with these numbers of documents."""
        return np.asarray(self.a - self.b * (np.asarray(n, dtype=np.float64) / self.m) ** -self.c)

    def size_for(self, score: float) -> float:
        """Return how many documents reach a score; infinity if none do."""
        missing = self.a - score
        if self.b == 0:
            return 0.0 if missing >= 0 else math.inf
        if missing <= 0:
            return math.inf
        power = math.log(self.b / missing) / self.c
        return self.m * math.exp(power) if power < 700 else math.inf


def fit_power_law(
    sizes: Sequence[float],
    scores: Floats1d,
    deviations: Floats1d,
    *,
    exponent: float = EXPONENT,
) -> PowerLaw:
    """Return the power law that is nearest to scores.

    Args:
        sizes: (n_points,) numbers of documents, of two different values or more.
        scores: (n_points,) between 0 and 1.
        deviations: (n_points,) standard deviations of the scores; smaller ones than
            `LEAST_DEVIATION` count as that.
        exponent: Value that the exponent is held near.

    Raises:
        ValueError: If there are fewer than two sizes, one is not above 0, or the lengths differ.
    """
    from scipy.optimize import least_squares

    n = np.asarray(sizes, dtype=np.float64)
    y = np.asarray(scores, dtype=np.float64)
    if len(np.unique(n)) < 2 or not (n > 0).all():
        raise ValueError("a learning curve needs two different sizes or more, all above 0")
    if not len(n) == len(y) == len(deviations):
        raise ValueError(f"{len(n)} sizes, {len(y)} scores and {len(deviations)} deviations differ")
    m = float(np.exp(np.log(n).mean()))
    x = np.log(n / m)
    spread = np.maximum(deviations, LEAST_DEVIATION)

    def residuals(values: Float64s1d) -> Float64s1d:
        a, b, log_c = values
        misses = (a - b * np.exp(-np.exp(log_c) * x) - y) / spread
        return np.append(misses, (log_c - math.log(exponent)) / SPREAD)

    rise = float(np.clip(y[n.argmax()] - y[n.argmin()], 0.01, 0.9))
    start = [float(np.clip(y.max() + rise, 0.02, 0.98)), rise, math.log(exponent)]
    a, b, log_c = least_squares(residuals, np.clip(start, *_BOUNDS), bounds=_BOUNDS).x.tolist()
    return PowerLaw(a, b, math.exp(log_c), m)


@dataclass(frozen=True, slots=True)
class CurveForecast:
    """A fitted curve, and others that could be it as well.

    Attributes:
        law: The fitted curve.
        draws: Fits to what could have been observed.
        noise: Standard deviation of the score of one training.
    """

    law: PowerLaw
    draws: Sequence[PowerLaw]
    noise: float

    def score(self, n: float, level: float = 0.95) -> tuple[float, float, float]:
        """Return the expected score of a training on ``n`` documents, and its interval.

        Args:
            n: Number of documents.
            level: Share of the draws inside the interval.
        """
        rng = np.random.default_rng(0)
        values = np.array([law(n) for law in self.draws]) + rng.normal(
            0.0, self.noise, len(self.draws)
        )
        low, high = np.clip(_interval(values, level), 0.0, 1.0)
        return float(np.clip(self.law(n), 0.0, 1.0)), float(low), float(high)

    def more_for(self, gain: float, n: int, level: float = 0.95) -> tuple[float, float, float]:
        """Return how many more documents than ``n`` gain so much in score, and the interval.

        Each curve gains from its own score at ``n``. Infinite where a curve never gets there.

        Args:
            gain: Difference in score.
            n: Number of documents that are there.
            level: Share of the draws inside the interval.
        """
        more = [_more(law, gain, n) for law in self.draws]
        low, high = _interval(np.array(more), level)
        return _more(self.law, gain, n), low, high


def forecast_curve(
    sizes: Sequence[float],
    scores: Floats1d,
    resampled: Floats2d,
    noise: float,
    *,
    seed: int = 0,
) -> CurveForecast:
    """Return a fitted curve with its draws.

    Args:
        sizes: (n_points,) numbers of documents, one for each training.
        scores: (n_points,) the score of each training.
        resampled: (n_draws, n_points) the same scores on documents drawn with replacement, the same
            documents in all trainings of a draw.
        noise: Standard deviation of the score of one training; `LEAST_DEVIATION` at the least.
        seed: Seed of the draws.

    Raises:
        ValueError: As in `fit_power_law`.
    """
    rng = np.random.default_rng(seed)
    noise = max(noise, LEAST_DEVIATION)
    deviations = np.full(len(sizes), noise)
    law = fit_power_law(sizes, scores, deviations)
    # A macro mean over the types of fewer documents is higher: only the spread counts.
    spread: Float64s2d = resampled - resampled.mean(axis=0) + scores
    spread += rng.normal(0.0, noise, spread.shape)
    exponents = EXPONENT * np.exp(rng.normal(0.0, SPREAD, len(spread)))
    draws = [
        fit_power_law(sizes, values, deviations, exponent=exponent)
        for values, exponent in zip(spread, exponents.tolist(), strict=True)
    ]
    return CurveForecast(law, draws, noise)


def training_noise(sizes: Sequence[float], scores: Floats1d) -> float:
    """Return the standard deviation of scores of trainings of the same size, 0 if each is alone."""
    values, groups = np.asarray(scores, dtype=np.float64), np.asarray(sizes)
    squares, freedom = 0.0, 0
    for size in np.unique(groups):
        own = values[groups == size]
        squares += float(((own - own.mean()) ** 2).sum())
        freedom += len(own) - 1
    return math.sqrt(squares / freedom) if freedom else 0.0


def _more(law: PowerLaw, gain: float, n: int) -> float:
    return max(law.size_for(float(law(n)) + gain) - n, 0.0)


def _interval(values: Float64s1d, level: float) -> tuple[float, float]:
    """Return percentiles that are values themselves, so that infinite ones are allowed."""
    tail = (1 - level) / 2
    low, high = np.quantile(values, [tail, 1 - tail], method="inverted_cdf")
    return float(low), float(high)
