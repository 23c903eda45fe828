"""Raw scores of entities to probabilities: a logistic regression fitted on held-out documents.

With ``r`` the raw score of an entity of type k with n tokens (see `labels.confidence`),

    score = sigmoid(intercept + offset_k + slope * logit(r ** (1 / (n + 1)))).

A raw score is a product of ``n + 1`` factors; their geometric mean keeps long and short entities
comparable, and with it the length itself adds nothing that holds on further documents. The logistic
on a log-odds scale with targets short of 0 and 1 is that of Platt 1999 ("Probabilistic outputs for
support vector machines"). The offset of a type is shrunk towards 0 (ridge), so that a type with few
entities gets the score of all, and a frequent one its own. ``slope >= 0``: of two entities of one
type and length, the one with the higher raw score never scores lower. Pure arrays.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Floats1d = npt.NDArray[np.floating]
Ints1d = npt.NDArray[np.int64]
Bools1d = npt.NDArray[np.bool_]

CLIP = 1e-3
"""Geometric means are kept this far from 0 and 1, where votes often lie and log-odds have no end.
Between 1e-4 and 1e-2 the choice hardly matters."""

RIDGE = 1.0
"""Weight of the squared offsets: offsets are taken to spread by a standard deviation of
``1 / sqrt(RIDGE)`` in log-odds over the types. Values from 0.3 to 4 do about as well."""

WEAK_RIDGE = 1e-6
"""Keeps intercept and slope determined where all raw scores are the same."""

DIGITS = 6
"""Decimals of the fitted parameters: few enough that JSON writers return what was written."""

FORM = "logit of the geometric mean, type offsets"


@dataclass(frozen=True)
class ScoreCalibration:
    """Fitted parameters, and how many entities of how many documents they were fitted on."""

    intercept: float
    slope: float
    n_entities: int
    n_documents: int
    offsets: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        values = np.array([self.intercept, self.slope, *self.offsets.values()], dtype=np.float64)
        if not np.isfinite(values).all():
            raise ValueError("a calibration needs finite parameters")
        if self.slope < 0 or self.n_entities < 1 or self.n_documents < 1:
            raise ValueError(
                "a calibration needs a slope of at least 0 and at least one entity and document, "
                f"not {self.slope}, {self.n_entities} and {self.n_documents}"
            )

    def apply(self, raw: npt.ArrayLike, types: Sequence[str], lengths: npt.ArrayLike) -> Floats1d:
        """Calibrated scores (n,), float32, of entities with these raw scores, types and lengths.

        types unseen in fitting have the offset 0. lengths: number of tokens.

        A score keeps ``1 / (n_entities + 2)`` away from 0 and 1: no more certainty than so many
        entities can support (Laplace's rule of succession). Raises ValueError where lengths do not
        fit each other, a raw score is no probability or an entity has no token.
        """
        log_odds = _log_odds(raw, types, lengths)
        offsets = np.array([self.offsets.get(name, 0.0) for name in types], dtype=np.float64)
        scores = _sigmoid(self.intercept + offsets + self.slope * log_odds)
        margin = 1.0 / (self.n_entities + 2)
        return np.clip(scores, margin, 1.0 - margin).astype(np.float32)

    def has_seen(self, types: Sequence[str]) -> Bools1d:
        """Whether it was fitted on entities of each of these types; (n,)."""
        return np.array([name in self.offsets for name in types], dtype=np.bool_)

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `from_json`."""
        return {
            "form": FORM,
            "intercept": self.intercept,
            "slope": self.slope,
            "offsets": dict(self.offsets),
            "n_entities": self.n_entities,
            "n_documents": self.n_documents,
        }

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> "ScoreCalibration":
        """The calibration that `to_json` gave; ValueError where it is none of this form."""
        names = ("intercept", "slope", "offsets", "n_entities", "n_documents")
        if missing := [name for name in names if name not in state]:
            raise ValueError(f"the calibration of the scores lacks {', '.join(missing)}")
        if state.get("form") != FORM:
            raise ValueError(
                f'a calibration of the form "{state.get("form")}" is not known here, only '
                f'"{FORM}"; fit it again'
            )
        return cls(
            intercept=float(state["intercept"]),
            slope=float(state["slope"]),
            offsets={str(name): float(value) for name, value in state["offsets"].items()},
            n_entities=int(state["n_entities"]),
            n_documents=int(state["n_documents"]),
        )


def fit_calibration(
    raw: npt.ArrayLike,
    types: Sequence[str],
    lengths: npt.ArrayLike,
    correct: npt.ArrayLike,
    documents: npt.ArrayLike,
) -> ScoreCalibration:
    """The calibration of highest penalized likelihood on these predicted entities; all (n,).

    correct: whether an annotator has marked exactly this entity. documents: index of its document.
    The documents must not be those that the model, or its neighbours, were fitted on.

    With ``c`` of ``n`` entities correct, those count as ``(c + 1) / (c + 2)`` and the others as
    ``1 / (n - c + 2)``: where all are correct, or none, scores stay short of 1, or of 0. Raises
    ValueError where there is no entity, or where the arrays do not fit each other.
    """
    log_odds = _log_odds(raw, types, lengths)
    is_correct, docs = np.asarray(correct, dtype=bool), np.asarray(documents)
    _check_fit(len(log_odds), correct=is_correct, documents=docs)
    if not len(log_odds):
        raise ValueError(
            "no predicted entity to calibrate the scores on: give documents on which the pipeline "
            "predicts some"
        )
    names, kinds = np.unique(np.asarray(types, dtype=str), return_inverse=True)
    n_correct = int(is_correct.sum())
    targets = np.where(
        is_correct, (n_correct + 1) / (n_correct + 2), 1 / (len(log_odds) - n_correct + 2)
    )
    centre = log_odds.mean()
    (shared, slope), offsets = _fit_logistic(log_odds - centre, kinds, targets)
    if slope < 0:  # the likelihood is concave: its maximum under slope >= 0 lies at slope = 0
        (shared, slope), offsets = _fit_logistic(np.zeros_like(log_odds), kinds, targets)
    return ScoreCalibration(
        intercept=round(float(shared - slope * centre), DIGITS),
        slope=max(round(float(slope), DIGITS), 0.0),
        offsets={str(n): round(float(o), DIGITS) for n, o in zip(names, offsets, strict=True)},
        n_entities=len(log_odds),
        n_documents=len(np.unique(docs)),
    )


def cross_validated(
    raw: npt.ArrayLike,
    types: Sequence[str],
    lengths: npt.ArrayLike,
    correct: npt.ArrayLike,
    documents: npt.ArrayLike,
    *,
    n_folds: int = 10,
) -> Floats1d:
    """Scores (n,), each by a calibration that was fitted without the entity's document.

    For figures on the documents that `fit_calibration` sees; its own scores on them flatter. The
    documents with entities are dealt out to the folds in turn, by index, so that the outcome is
    always the same. Raises ValueError for fewer than two folds or documents, and as
    `fit_calibration` does.
    """
    r, n, c = np.asarray(raw), np.asarray(lengths), np.asarray(correct, dtype=bool)
    labels, docs = np.asarray(types, dtype=str), np.asarray(documents)
    _check_fit(len(r), types=labels, lengths=n, correct=c, documents=docs)
    found, ranks = np.unique(docs, return_inverse=True)
    if n_folds < 2 or len(found) < 2:
        raise ValueError(
            f"{len(found)} documents with entities in {n_folds} folds: cross-validation needs at "
            "least two of both"
        )
    scores = np.zeros(len(r), dtype=np.float32)
    for fold in range(min(n_folds, len(found))):
        held = ranks % n_folds == fold
        rest = ~held
        fitted = fit_calibration(r[rest], labels[rest].tolist(), n[rest], c[rest], docs[rest])
        scores[held] = fitted.apply(r[held], labels[held].tolist(), n[held])
    return scores


def _log_odds(raw: npt.ArrayLike, types: Sequence[str], lengths: npt.ArrayLike) -> Floats1d:
    """Log-odds (n,) of the geometric means of the factors, with errors as `apply` has them."""
    r, n = np.asarray(raw, dtype=np.float64), np.asarray(lengths, dtype=np.float64)
    _check_fit(len(r), types=types, lengths=n)
    if not ((r >= 0) & (r <= 1)).all():  # not a number fails, too
        raise ValueError("raw scores must lie between 0 and 1")
    if not (n >= 1).all():
        raise ValueError("an entity has at least one token")
    means = np.clip(r ** (1 / (n + 1)), CLIP, 1 - CLIP)
    return np.asarray(np.log(means) - np.log1p(-means))


def _check_fit(n: int, **arrays: Any) -> None:
    """ValueError where an array has not ``n`` entries."""
    for name, array in arrays.items():
        if len(array) != n:
            raise ValueError(f"{n} raw scores, but {len(array)} {name}")


def _fit_logistic(x: Floats1d, kinds: Ints1d, targets: Floats1d) -> tuple[Floats1d, Floats1d]:
    """Intercept and slope (2,), and offsets (n_kinds,), of least penalized cross-entropy.

    x, kinds, targets: (n,) feature, index of the offset, probability to reach.

    Newton's method with halved steps. The offsets' block of the Hessian is diagonal, so it is
    eliminated, and the cost is linear in entities and types.
    """
    n_kinds = int(kinds.max()) + 1
    design = np.stack((np.ones_like(x), x))
    shared, offsets = np.zeros(2), np.zeros(n_kinds)

    def objective(shared: Floats1d, offsets: Floats1d) -> float:
        z = shared @ design + offsets[kinds]
        penalty = WEAK_RIDGE * shared @ shared + RIDGE * offsets @ offsets
        return float((np.logaddexp(0.0, z) - targets * z).sum() + penalty / 2)

    value = objective(shared, offsets)
    for _ in range(100):
        p = _sigmoid(shared @ design + offsets[kinds])
        weight, error = p * (1 - p), p - targets
        of_shared = design @ error + WEAK_RIDGE * shared
        of_offsets = np.bincount(kinds, error, n_kinds) + RIDGE * offsets
        diagonal = np.bincount(kinds, weight, n_kinds) + RIDGE
        cross = np.stack([np.bincount(kinds, weight * row, n_kinds) for row in design])
        hessian = (design * weight) @ design.T + WEAK_RIDGE * np.eye(2)
        reduced = hessian - (cross / diagonal) @ cross.T
        step = np.linalg.solve(reduced, of_shared - cross @ (of_offsets / diagonal))
        offset_step = (of_offsets - step @ cross) / diagonal
        size = 1.0
        while size > 1e-6:
            new = objective(shared - size * step, offsets - size * offset_step)
            if new <= value:
                break
            size /= 2
        else:
            break  # no step lowers it any more: as exact as the digits allow
        shared, offsets = shared - size * step, offsets - size * offset_step
        value = new
        if max(np.abs(step).max(), np.abs(offset_step).max()) < 1e-9:
            break
    return shared, offsets


def _sigmoid(z: Floats1d) -> Floats1d:
    """``1 / (1 + exp(-z))``, without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * z)))
