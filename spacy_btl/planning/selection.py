"""Choose whole reports to annotate next, by what they are expected to teach for each word read.

A report is known by sums over its candidate mentions, those that a pipeline marks and those that it
does not, each with a probability ``p`` to be right: by type, the expected number of mentions (the
sum of ``p``) and the doubt about them (the sum of ``p (1 - p)``, the variance of that number).

Of a type with ``n`` known mentions, the share ``f = n / (n + familiar)`` is familiar. A sure
mention of a rare type still teaches something, one of a frequent type does not:

    news = (1 - f) * expected + f * doubt,    gain = log(1 + news / (n + familiar))

The gain of a report is the sum over the types, times ``(distance / mean distance) ** novelty``,
times ``1 - diversity * similarity`` to the report chosen before that is most like it. It is divided
by the cost: the words of the report, and those that merely opening one is worth. Reports are chosen
one after the other, and the expected mentions of one that is chosen count as known for the next:
the usual greedy choice where gains diminish (Lin and Bilmes 2011, "A class of submodular functions
for document summarization").

Arrays only.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..util.arrays import Float64s1d, Float64s2d, Floats1d, Floats2d, Ints1d
from ..util.checks import above_0, at_least_0, between, whole_number


@dataclass(frozen=True, kw_only=True, slots=True)
class SelectionSettings:
    """The weights by which a report is worth annotating.

    Attributes:
        familiar: Known mentions of a type after which half of it is familiar. The smaller, the more
            do the rarest types alone decide.
        novelty: Exponent of the distance from the known tokens; 0 leaves distances out.
        diversity: Share of its gain that a report loses if it is like one chosen before, 0 to 1.
        reading_words: Words that opening a report costs beside its own.

    Raises:
        ValueError: If a setting is out of its range.
    """

    familiar: float = 20.0
    novelty: float = 0.5
    diversity: float = 1.0
    reading_words: float = 50.0

    def __post_init__(self) -> None:
        above_0("familiar", self.familiar)
        at_least_0("novelty", self.novelty)
        between("diversity", self.diversity, 0, 1)
        at_least_0("reading_words", self.reading_words)


class Reports(NamedTuple):
    """Reports to choose from.

    Attributes:
        words: (n_reports,) number of words.
        expected: (n_reports, n_types) expected number of mentions.
        doubt: (n_reports, n_types) sum of ``p (1 - p)`` over the candidate mentions.
        distances: (n_reports,) mean distance of candidate mentions from the nearest known token;
            NaN where it is not known, which counts as the mean.
        vectors: (n_reports, width) means of token vectors.
    """

    words: Ints1d
    expected: Floats2d
    doubt: Floats2d
    distances: Floats1d
    vectors: Floats2d


class Choice(NamedTuple):
    """A report that was chosen, and why.

    Attributes:
        report: Its index.
        gain: Its gain when it was chosen; only the order of gains has a meaning.
        by_type: (n_types,) the part of each type in it, which add up to 1; all 0 without gain.
        similarity: To the chosen report before it that is most like it, 0 to 1.
    """

    report: int
    gain: float
    by_type: Float64s1d
    similarity: float


def type_gains(expected: Floats2d, doubt: Floats2d, known: Floats1d, familiar: float) -> Float64s2d:
    """Return what each report teaches of each type (n_reports, n_types); see the module.

    Args:
        expected: (n_reports, n_types), as in `Reports`.
        doubt: (n_reports, n_types), as in `Reports`.
        known: (n_types,) known mentions of each type.
        familiar: As in `SelectionSettings`.
    """
    seen = np.asarray(known, dtype=np.float64) + familiar
    new = familiar / seen
    gains: Float64s2d = np.log1p((new * expected + (1 - new) * doubt) / seen)
    return gains


def standalone_values(reports: Reports, known: Floats1d, settings: SelectionSettings) -> Float64s1d:
    """Return gain over cost of each report if it were chosen first (n_reports,).

    Distances count as they are, not by their mean, so that values of parts of a pool can be
    compared.
    """
    gains = type_gains(reports.expected, reports.doubt, known, settings.familiar).sum(axis=1)
    distances = np.nan_to_num(np.asarray(reports.distances, dtype=np.float64), nan=1.0)
    values: Float64s1d = gains * distances**settings.novelty / _costs(reports, settings)
    return values


def select(
    reports: Reports, known: Floats1d, n: int, settings: SelectionSettings | None = None
) -> list[Choice]:
    """Return the reports to annotate next, the one to begin with first.

    Reports without any gain come last, the shortest first.

    Args:
        reports: The reports to choose from.
        known: (n_types,) known mentions of each type.
        n: How many to choose; all, if there are fewer.
        settings: What makes a report worth annotating; None for the defaults.

    Raises:
        ValueError: If ``n`` is below 1, or the arrays do not fit each other.
    """
    settings = settings or SelectionSettings()
    whole_number("n", n, 1)
    n_reports, n_types = np.shape(reports.expected)
    shapes = (np.shape(reports.doubt), np.shape(reports.words), np.shape(reports.distances))
    if shapes != ((n_reports, n_types), (n_reports,), (n_reports,)) or len(known) != n_types:
        raise ValueError("the arrays are not of the same reports and types")
    costs = _costs(reports, settings)
    far = _relative(reports.distances) ** settings.novelty
    directions = _directions(reports.vectors)
    seen = np.array(known, dtype=np.float64)
    similarity = np.zeros(n_reports)
    left = np.ones(n_reports, dtype=bool)
    choices: list[Choice] = []
    for _ in range(min(n, n_reports)):
        by_type = type_gains(reports.expected, reports.doubt, seen, settings.familiar)
        gains = by_type.sum(axis=1) * far * (1 - settings.diversity * similarity)
        best = int(np.lexsort((costs, -gains / costs, ~left))[0])
        total = by_type[best].sum()
        shares = by_type[best] / total if total > 0 else np.zeros(n_types)
        choices.append(Choice(best, float(gains[best]), shares, float(similarity[best])))
        left[best] = False
        seen += reports.expected[best]
        np.maximum(similarity, np.clip(directions @ directions[best], 0, 1), out=similarity)
    return choices


def _costs(reports: Reports, settings: SelectionSettings) -> Float64s1d:
    """Return the cost of each report in words, 1 or more (n_reports,)."""
    costs: Float64s1d = np.maximum(reports.words + settings.reading_words, 1).astype(np.float64)
    return costs


def _relative(distances: Floats1d) -> Float64s1d:
    """Return distances by their mean; 1 for those that are not known, or if all are 0."""
    distances = np.asarray(distances, dtype=np.float64)
    known = ~np.isnan(distances)
    mean = distances[known].mean() if known.any() else 0.0
    return np.where(known, distances, mean) / mean if mean > 0 else np.ones(len(distances))


def _directions(vectors: Floats2d) -> Float64s2d:
    """Return the vectors minus their mean, scaled to length 1; those at the mean stay 0.

    Mean vectors of texts of one kind all point the same way: only what differs compares them. Two
    reports alone would always be opposites, so that nothing is said of fewer than three.
    """
    vectors = np.asarray(vectors, dtype=np.float64)
    if len(vectors) < 3:
        return np.zeros_like(vectors)
    centered = vectors - vectors.mean(axis=0)
    lengths = np.linalg.norm(centered, axis=1, keepdims=True)
    scale = np.abs(vectors).max(initial=0.0) * 1e-6
    directions: Float64s2d = np.divide(
        centered, lengths, out=np.zeros_like(centered), where=lengths > scale
    )
    return directions
