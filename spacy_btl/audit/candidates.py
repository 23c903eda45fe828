"""Spans that could be entities, and what speaks for each: features of model, neighbors and words.

A candidate is a span of tokens with a type. Which spans are candidates, and what their features
are, never depends on how their own document is annotated. A judge is fitted on the candidates of
other documents: its probability that an annotator would mark exactly this span can therefore be
held against what the annotator of this document has done. Arrays only.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from ..util.arrays import Bools1d, Float64s1d, Float64s2d, Floats2d, Floats3d, Ints1d, Ints2d

Candidates: TypeAlias = Ints2d
"""(n_candidates, 3): first token, token after the last, index of the type; all different."""

LEAST = 0.01
"""Raw score of the model, or of the neighbors, from which on a span is a candidate."""

LONGEST = 60
"""Tokens of the longest candidate that is found; annotated ones may be longer."""

TINY = 1e-6
"""Floor under probabilities: neighbors often give none at all."""

N_JUDGES = 5
"""Parts of the documents: each is judged by what was fitted on the others."""

RIDGE = 1.0
"""Inverse strength of the penalty on the judge's weights."""


class Beliefs(NamedTuple):
    """Probabilities (n_tokens, n_types) that an entity of a type begins at a token, or goes on."""

    begin: Floats2d
    inside: Floats2d

    @classmethod
    def of(cls, probabilities: Floats2d | Floats3d) -> "Beliefs":
        """Return those of label probabilities: flat, or with a layer for each type."""
        if probabilities.ndim == 3:
            return cls(probabilities[:, :, 1], probabilities[:, :, 2])
        return cls(probabilities[:, 1::2], probabilities[:, 2::2])


def find_candidates(beliefs: Beliefs, least: float = LEAST) -> Candidates:
    """Return all spans whose raw score reaches a bound, by start, end and type.

    The raw score is that of `labels.confidence`: the product of the probabilities that the entity
    begins, goes on, and ends.

    Args:
        beliefs: Probabilities of one document.
        least: The bound.
    """
    begin, inside = (np.asarray(each, dtype=np.float64) for each in beliefs)
    n_tokens = len(begin)
    starts, kinds = np.nonzero(begin >= least)
    ends, products = starts + 1, begin[starts, kinds]
    found = []
    for _ in range(LONGEST):
        if not len(starts):
            break
        last = ends >= n_tokens
        goes_on = np.where(last, 0.0, inside[np.minimum(ends, n_tokens - 1), kinds])
        kept = products * (1.0 - goes_on) >= least
        found.append(np.stack([starts[kept], ends[kept], kinds[kept]], axis=1))
        products = products * goes_on
        going = products >= least
        starts, ends, kinds, products = (
            starts[going],
            ends[going] + 1,
            kinds[going],
            products[going],
        )
    return distinct(np.concatenate(found) if found else np.zeros((0, 3), dtype=np.int64))


def distinct(*parts: Candidates) -> Candidates:
    """Return all candidates of several parts, each once, by start, end and type."""
    every = np.concatenate([np.asarray(part, dtype=np.int64).reshape(-1, 3) for part in parts])
    return np.unique(every, axis=0)


def log_odds(beliefs: Beliefs, candidates: Candidates) -> Float64s1d:
    """Return the log-odds (n_candidates,) of the geometric means of the factors of raw scores.

    These are what `labels.calibration` makes of raw scores too.
    """
    begin, inside = beliefs
    n_tokens = len(begin)
    found = np.zeros(len(candidates))
    log_begin, log_inside = (np.log(np.maximum(each, TINY)) for each in (begin, inside))
    # Sums over the tokens of a span are differences of running sums.
    running = np.concatenate([np.zeros((1, begin.shape[1])), np.cumsum(log_inside, axis=0)])
    starts, ends, kinds = candidates.T
    found = log_begin[starts, kinds] + running[ends, kinds] - running[starts + 1, kinds]
    goes_on = np.where(ends < n_tokens, inside[np.minimum(ends, n_tokens - 1), kinds], 0.0)
    found += np.log(np.maximum(1.0 - goes_on, TINY))
    mean = np.exp(found / (ends - starts + 1))
    mean = np.clip(mean, TINY, 1 - TINY)
    return np.asarray(np.log(mean) - np.log1p(-mean))


def rivals(candidates: Candidates, values: Float64s1d, *, layered: bool = False) -> Float64s1d:
    """Return the highest value among other candidates that share a token with each of them.

    Args:
        candidates: Candidates of one document.
        values: (n_candidates,)
        layered: Whether entities of different types may overlap, and so are not rivals.

    Returns:
        (n_candidates,), minus infinity where there is no other.
    """
    found = np.full(len(candidates), -np.inf)
    order = np.argsort(candidates[:, 0], kind="stable")
    starts, ends, kinds = candidates[order].T
    own = values[order]
    reach = np.maximum.accumulate(ends) if len(ends) else ends
    for i in range(len(order)):
        first = int(np.searchsorted(reach, starts[i], side="right"))
        last = int(np.searchsorted(starts, ends[i], side="left"))
        near = np.arange(first, last)
        near = near[(ends[near] > starts[i]) & (near != i)]
        if layered:
            near = near[kinds[near] == kinds[i]]
        if len(near):
            found[order[i]] = own[near].max()
    return found


def emptiness(beliefs: Beliefs, candidates: Candidates) -> Float64s1d:
    """Return the mean log probability (n_candidates,) that a token of the span is in no entity.

    Of layers, in none of the span's own type.
    """
    begin, inside = beliefs
    starts, ends, kinds = candidates.T
    none = np.log(np.maximum(1.0 - np.asarray(begin + inside, dtype=np.float64), TINY))
    running = np.concatenate([np.zeros((1, none.shape[1])), np.cumsum(none, axis=0)])
    return np.asarray((running[ends, kinds] - running[starts, kinds]) / (ends - starts))


class Judge:
    """A logistic regression from features of a candidate to the probability that it is annotated.

    Args:
        features: (n, n_features)
        targets: (n,) whether the candidate is annotated.
    """

    def __init__(self, features: Float64s2d, targets: Bools1d) -> None:
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        self._rate = float(targets.mean()) if len(targets) else 0.0
        self._fitted: Any = None
        if 0 < targets.sum() < len(targets):
            regression = LogisticRegression(C=RIDGE, max_iter=1000)
            self._fitted = make_pipeline(StandardScaler(), regression).fit(features, targets)

    def log_odds(self, features: Float64s2d) -> Float64s1d:
        """Return the log-odds (n,) that candidates are annotated."""
        if self._fitted is None:
            rate = min(max(self._rate, TINY), 1 - TINY)
            return np.full(len(features), np.log(rate) - np.log1p(-rate))
        return np.asarray(self._fitted.decision_function(features), dtype=np.float64)


def judge_by_others(
    features: Float64s2d, targets: Bools1d, documents: Ints1d, fit_on: Bools1d
) -> Float64s1d:
    """Return the log-odds (n,) that candidates are annotated, by judges fitted on other documents.

    Args:
        features: (n, n_features)
        targets: (n,) whether the candidate is annotated.
        documents: (n,) index of the document; a document is in one of `N_JUDGES` parts.
        fit_on: (n,) whether judges may be fitted on the candidate.
    """
    found = np.zeros(len(features))
    order = {number: rank for rank, number in enumerate(dict.fromkeys(documents.tolist()))}
    ranks = np.array([order[number] for number in documents.tolist()], dtype=np.int64)
    for part in range(min(N_JUDGES, len(order))):
        held = ranks % N_JUDGES == part
        rest = ~held & fit_on
        found[held] = Judge(features[rest], targets[rest]).log_odds(features[held])
    return found


def parts_of(sizes: Sequence[int]) -> list[slice]:
    """Return the slice of each document in an array of all of them."""
    ends = np.cumsum([0, *sizes]).tolist()
    return [slice(start, end) for start, end in pairwise(ends)]
