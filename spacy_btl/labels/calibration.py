"""Raw scores of entities to probabilities: a logistic regression fitted on held-out documents.

With the raw score ``r`` of an entity of type k with n tokens (see `labels.confidence`),

    score = sigmoid(intercept + offset_k + slope * logit(r ** (1 / (n + 1))) + context . w),

where ``context`` has the three log-odds of `labels.confidence.CONTEXT`.

A raw score is a product of ``n + 1`` factors. Their geometric mean makes long and short entities
comparable; beside it, the length itself adds nothing that holds on further documents. The logistic
function of log-odds, with targets short of 0 and 1, is that of Platt 1999 ("Probabilistic outputs
for support vector machines"). The offset of a type is shrunk towards 0 (ridge), so that a type with
few entities gets the score of all, and a frequent type its own. The weights ``w`` of the context
are shrunk, too. With ``slope >= 0``, of two entities of one type, length, and context the one with
the higher raw score never gets the lower score.

The model is written out here, as scikit-learn has none with offsets under a ridge of their own and
with soft targets; scipy fits it. Arrays only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypedDict, cast

import numpy as np
import numpy.typing as npt

from ..util.arrays import Bools1d, Float32s1d, Float64s1d, Float64s2d, Ints1d
from ..util.checks import at_least_0, between, whole_number
from .confidence import CONTEXT

CLIP = 1e-3
"""Geometric means are kept this far from 0 and 1, where votes often lie and log-odds have no end.
Between 1e-4 and 1e-2 the choice hardly matters."""

RIDGE = 1.0
"""Weight of the squared offsets: they are assumed to spread over the types with a standard
deviation
of ``1 / sqrt(RIDGE)`` in log-odds. Values from 0.3 to 4 do about as well."""

CONTEXT_RIDGE = 10.0
"""Weight of the squared weights of the context. Values from 1 to 100 do about as well."""

WEAK_RIDGE = 1e-6
"""Weight of the squared intercept and slope, which keeps them determined if all raw scores are the
same."""

DIGITS = 6
"""Decimals of the fitted parameters: few enough that JSON writers return what was written."""

MOST = 1e6
"""A parameter that is beyond this is damaged: log-odds of 40 are certainty in double precision."""

FORM = "logit of the geometric mean, context, type offsets"
WITHOUT_CONTEXT = "logit of the geometric mean, type offsets"


class CalibrationState(TypedDict):
    """A calibration as plain values."""

    form: str
    intercept: float
    slope: float
    offsets: dict[str, float]
    context: list[float]
    n_entities: int
    n_documents: int


@dataclass(frozen=True)
class ScoreCalibration:
    """A fitted calibration.

    Attributes:
        intercept: Log-odds at a geometric mean of one half.
        slope: Factor of the log-odds of the geometric mean, 0 or more.
        n_entities: Number of entities that it was fitted on.
        n_documents: Number of their documents.
        offsets: What is added to the intercept, by entity type.
        context: Weights of the context, see `labels.confidence.CONTEXT`.

    Raises:
        ValueError: If a parameter is not finite, or a number out of its range.
    """

    intercept: float
    slope: float
    n_entities: int
    n_documents: int
    offsets: Mapping[str, float] = field(default_factory=dict)
    context: Sequence[float] = (0.0,) * len(CONTEXT)

    def __post_init__(self) -> None:
        for name, offset in self.offsets.items():
            between(f'the offset of "{name}" of a calibration', offset, -MOST, MOST)
        if len(self.context) != len(CONTEXT):
            raise ValueError(
                f"a calibration has {len(self.context)} weights of the context, but there have to "
                f"be {len(CONTEXT)}"
            )
        for name, weight in zip(CONTEXT, self.context, strict=True):
            between(f'the weight of "{name}" of a calibration', weight, -MOST, MOST)
        between("the intercept of a calibration", self.intercept, -MOST, MOST)
        at_least_0("the slope of a calibration", self.slope)
        whole_number("the number of entities of a calibration", self.n_entities, 1)
        whole_number("the number of documents of a calibration", self.n_documents, 1)

    def apply(
        self,
        raw: npt.ArrayLike,
        types: Sequence[str],
        lengths: npt.ArrayLike,
        context: npt.ArrayLike | None = None,
    ) -> Float32s1d:
        """Return calibrated scores (n,).

        A score keeps ``1 / (n_entities + 2)`` away from 0 and 1: no more certainty than this number
        of entities can support (Laplace's rule of succession).

        Args:
            raw: (n,) raw scores of entities.
            types: (n,) their types. One that was not seen in the fit has the offset 0.
            lengths: (n,) their numbers of tokens.
            context: (n, 3) of `labels.confidence.span_context`; None if it was fitted without one.

        Raises:
            ValueError: If the lengths of the arrays differ, a raw score is not a probability, an
                entity has no token, or the context is missing.
        """
        if context is None and any(self.context):
            raise ValueError("the calibration was fitted with a context, and needs one")
        log_odds = _log_odds(raw, types, lengths)
        around = _checked_context(context, len(log_odds)) @ np.asarray(self.context)
        offsets = np.array([self.offsets.get(name, 0.0) for name in types], dtype=np.float64)
        scores = _sigmoid(self.intercept + offsets + self.slope * log_odds + around)
        margin = 1.0 / (self.n_entities + 2)
        return np.clip(scores, margin, 1.0 - margin).astype(np.float32)

    def has_seen(self, types: Sequence[str]) -> Bools1d:
        """Return whether it was fitted on entities of each of these types; (n,)."""
        return np.array([name in self.offsets for name in types], dtype=np.bool_)

    def to_json(self) -> CalibrationState:
        """Return plain values, for `from_json`."""
        return {
            "form": FORM,
            "intercept": self.intercept,
            "slope": self.slope,
            "offsets": dict(self.offsets),
            "context": list(self.context),
            "n_entities": self.n_entities,
            "n_documents": self.n_documents,
        }

    @classmethod
    def from_json(cls, state: Mapping[str, object]) -> "ScoreCalibration":
        """Return the calibration that `to_json` wrote, here or before there was a context.

        Raises:
            ValueError: If these are not the values of a calibration of this form.
        """
        if state.get("form") == WITHOUT_CONTEXT:
            state = {**state, "form": FORM, "context": [0.0] * len(CONTEXT)}
        names = CalibrationState.__annotations__
        if missing := [name for name in names if name not in state]:
            raise ValueError(f"the calibration of the scores lacks {', '.join(missing)}")
        if unknown := [name for name in state if name not in names]:
            raise ValueError(f"the calibration of the scores has unknown {', '.join(unknown)}")
        if state["form"] != FORM:
            raise ValueError(
                f'the scores are calibrated in the form "{state["form"]}", but only "{FORM}" is '
                "known; fit the calibration again"
            )
        values = cast(CalibrationState, state)
        if not isinstance(values["offsets"], dict):
            raise ValueError("the offsets of a calibration must be a table of numbers")
        return cls(
            intercept=values["intercept"],
            slope=values["slope"],
            offsets=values["offsets"],
            context=tuple(values["context"]),
            n_entities=values["n_entities"],
            n_documents=values["n_documents"],
        )


def fit_calibration(
    raw: npt.ArrayLike,
    types: Sequence[str],
    lengths: npt.ArrayLike,
    correct: npt.ArrayLike,
    documents: npt.ArrayLike,
    context: npt.ArrayLike | None = None,
) -> ScoreCalibration:
    """Return the calibration of highest penalized likelihood on predicted entities.

    With ``c`` of ``n`` entities correct, these count as ``(c + 1) / (c + 2)`` and the others as
    ``1 / (n - c + 2)``: if all are correct, or none is, scores stay short of 1, or of 0.

    Args:
        raw: (n,) raw scores of the entities.
        types: (n,) their types.
        lengths: (n,) their numbers of tokens.
        correct: (n,) whether an annotator has marked exactly this entity.
        documents: (n,) index of the document. Neither the model nor its neighbors may have been
            fitted on these documents.
        context: (n, 3) as for `ScoreCalibration.apply`; None to fit no weights for it.

    Raises:
        ValueError: If there is no entity, or as `ScoreCalibration.apply` does.
    """
    log_odds = _log_odds(raw, types, lengths)
    is_correct, docs = np.asarray(correct, dtype=bool), np.asarray(documents)
    _check_lengths(len(log_odds), correct=len(is_correct), documents=len(docs))
    if not len(log_odds):
        raise ValueError(
            "there are no predicted entities to calibrate the scores on: give documents in which "
            "the pipeline finds some"
        )
    names, kinds = np.unique(np.asarray(types, dtype=str), return_inverse=True)
    n_correct = int(is_correct.sum())
    targets = np.where(
        is_correct, (n_correct + 1) / (n_correct + 2), 1 / (len(log_odds) - n_correct + 2)
    )
    around = _checked_context(context, len(log_odds))
    center, middle = log_odds.mean(), around.mean(axis=0)
    intercept, slope, offsets, weights = _fit_logistic(
        log_odds - center, kinds, targets, around - middle
    )
    return ScoreCalibration(
        intercept=round(intercept - slope * float(center) - float(weights @ middle), DIGITS),
        slope=round(slope, DIGITS),
        offsets={str(n): round(float(o), DIGITS) for n, o in zip(names, offsets, strict=True)},
        n_entities=len(log_odds),
        n_documents=len(np.unique(docs)),
        context=tuple(round(float(weight), DIGITS) for weight in weights),
    )


def cross_validated(
    raw: npt.ArrayLike,
    types: Sequence[str],
    lengths: npt.ArrayLike,
    correct: npt.ArrayLike,
    documents: npt.ArrayLike,
    context: npt.ArrayLike | None = None,
    *,
    n_folds: int = 10,
) -> Float32s1d:
    """Return scores (n,), each from a calibration fitted without the entity's document.

    They are for figures on the documents that `fit_calibration` sees, whose own scores on them
    flatter. The documents with entities go to the folds in turn, by index, so that the result is
    always the same.

    Args:
        raw: As for `fit_calibration`, like all up to ``documents``.
        types: (n,)
        lengths: (n,)
        correct: (n,)
        documents: (n,)
        context: (n, 3)
        n_folds: Number of folds, 2 or more.

    Raises:
        ValueError: If there are fewer than two folds or documents, or as `fit_calibration` does.
    """
    r, n, c = np.asarray(raw), np.asarray(lengths), np.asarray(correct, dtype=bool)
    labels, docs = np.asarray(types, dtype=str), np.asarray(documents)
    _check_lengths(len(r), types=len(labels), lengths=len(n), correct=len(c), documents=len(docs))
    found, ranks = np.unique(docs, return_inverse=True)
    if n_folds < 2 or len(found) < 2:
        raise ValueError(
            f"{len(found)} documents with entities in {n_folds} folds: cross-validation needs at "
            "least two of both"
        )
    around = _checked_context(context, len(r))
    scores = np.zeros(len(r), dtype=np.float32)
    for fold in range(min(n_folds, len(found))):
        held = ranks % n_folds == fold
        rest = ~held
        sample = (r[rest], labels[rest].tolist(), n[rest], c[rest], docs[rest], around[rest])
        fitted = fit_calibration(*sample)
        scores[held] = fitted.apply(r[held], labels[held].tolist(), n[held], around[held])
    return scores


def _log_odds(raw: npt.ArrayLike, types: Sequence[str], lengths: npt.ArrayLike) -> Float64s1d:
    """Return the log-odds (n,) of the geometric means; errors as `ScoreCalibration.apply` has."""
    r, n = np.asarray(raw, dtype=np.float64), np.asarray(lengths, dtype=np.float64)
    _check_lengths(len(r), types=len(types), lengths=len(n))
    if not ((r >= 0) & (r <= 1)).all():  # not a number fails, too
        raise ValueError("raw scores must be between 0 and 1")
    if not (n >= 1).all():
        raise ValueError("an entity has at least one token")
    means = np.clip(r ** (1 / (n + 1)), CLIP, 1 - CLIP)
    return np.asarray(np.log(means) - np.log1p(-means))


def _checked_context(context: npt.ArrayLike | None, n: int) -> Float64s2d:
    """Return the context of ``n`` entities, 0 without one; ValueError if it has another shape."""
    if context is None:
        return np.zeros((n, len(CONTEXT)))
    values = np.asarray(context, dtype=np.float64)
    if values.shape != (n, len(CONTEXT)):
        raise ValueError(f"the context {values.shape} is not ({n}, {len(CONTEXT)})")
    return values


def _check_lengths(n: int, **lengths: int) -> None:
    """Raise ValueError if one of the lengths is not ``n``."""
    for name, length in lengths.items():
        if length != n:
            raise ValueError(f"{n} raw scores, but {length} {name}")


def _fit_logistic(
    x: Float64s1d, kinds: Ints1d, targets: Float64s1d, context: Float64s2d
) -> tuple[float, float, Float64s1d, Float64s1d]:
    """Return intercept, slope (0 or more), offsets (n_kinds,), and weights of the context (3,).

    They have the least penalized cross-entropy.

    Args:
        x: (n,) the feature.
        kinds: (n,) index of the offset.
        targets: (n,) probability to reach.
        context: (n, 3) further features.
    """
    from scipy.optimize import minimize

    n_kinds, n_context = int(kinds.max()) + 1, context.shape[1]
    scale = float(x.std()) or 1.0  # a feature of unit spread needs fewer steps
    feature = x / scale
    weak = [WEAK_RIDGE, WEAK_RIDGE / scale**2]
    ridge = np.array([*weak, *[RIDGE] * n_kinds, *[CONTEXT_RIDGE] * n_context])

    def objective(values: Float64s1d) -> tuple[float, Float64s1d]:
        offsets, weights = values[2 : 2 + n_kinds], values[2 + n_kinds :]
        z = values[0] + values[1] * feature + offsets[kinds] + context @ weights
        error = _sigmoid(z) - targets
        loss = (np.logaddexp(0.0, z) - targets * z).sum() + (ridge * values**2).sum() / 2
        of_shared = [error.sum(), feature @ error]
        of_types = np.bincount(kinds, error, n_kinds)
        gradient = np.concatenate((of_shared, of_types, error @ context))
        return float(loss), gradient + ridge * values

    bounds = [(None, None), (0.0, None)] + [(None, None)] * (n_kinds + n_context)
    best = minimize(
        objective,
        np.zeros(2 + n_kinds + n_context),
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        # As exact as the digits allow.
        options={"ftol": 0.0, "gtol": 1e-9, "maxiter": 10_000, "maxfun": 20_000, "maxls": 50},
    ).x
    offsets, weights = np.split(best[2:], [n_kinds])
    return float(best[0]), float(best[1] / scale), offsets, weights


def _sigmoid(z: Float64s1d) -> Float64s1d:
    """Return ``1 / (1 + exp(-z))``, without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * z)))
