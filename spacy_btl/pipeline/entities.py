"""Predicted entities with their scores: in ``doc.spans``, and on each span.

``span._.btl_score`` is the score of a predicted entity, ``span._.btl_calibrated`` whether it was
calibrated on entities of its type; both are None for any other span. Two labels on one span keep a
score each.
"""

from bisect import bisect_left
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from spacy.tokens import Doc, Span, SpanGroup

from ..labels.calibration import ScoreCalibration
from ..scoring.scorer import entity_of
from ..scoring.scores import LabeledFragments
from ..util.arrays import Bools1d, Floats1d


class ScoredSpans(NamedTuple):
    """Predicted entities of a document, in order of their start."""

    spans: list[Span]
    scores: Floats1d
    """(n_spans,) score of each span."""
    calibrated: Bools1d
    """(n_spans,) whether the score was calibrated on entities of its type."""

    @property
    def types(self) -> list[str]:
        """Type of each span."""
        return [span.label_ for span in self.spans]

    @property
    def entities(self) -> list[LabeledFragments]:
        """Type and characters of each span, as `scoring.scores` takes them."""
        return [entity_of(span) for span in self.spans]

    def calibrate(self, calibration: ScoreCalibration) -> "ScoredSpans":
        """Return the same spans with probabilities for raw scores.

        Those of types that the calibration has not seen come from the curve of all types, to be
        compared with the others, and do not count as calibrated.
        """
        lengths = np.array([len(span) for span in self.spans], dtype=np.int64)
        scores = calibration.apply(self.scores, self.types, lengths)
        return ScoredSpans(self.spans, scores, calibration.has_seen(self.types))

    def kept(self, thresholds: Mapping[str, float]) -> "ScoredSpans":
        """Return the spans that reach the threshold of their type; types without one keep all."""
        least = np.array([thresholds.get(name, 0.0) for name in self.types], dtype=np.float64)
        return self.without(self.scores.astype(np.float64) < least)

    def without(self, left_out: npt.ArrayLike) -> "ScoredSpans":
        """Return the spans for which ``left_out`` (n_spans,) is False."""
        kept = ~np.asarray(left_out, dtype=np.bool_)
        spans = [span for span, stays in zip(self.spans, kept, strict=True) if stays]
        return ScoredSpans(spans, self.scores[kept], self.calibrated[kept])


def write_scores(doc: Doc, key: str, scored: ScoredSpans) -> None:
    """Write ``doc.spans[key]`` with ``attrs["scores"]`` and ``attrs["calibrated"]``.

    Entities that an earlier run wrote there, and that ``doc.ents`` still has, keep theirs.
    """
    entities = list(zip(*scored, strict=True))
    if (before := read_scores(doc.spans.get(key))) is not None:
        kept = {_place(each) for each in doc.ents} - {_place(each) for each in scored.spans}
        entities += [each for each in zip(*before, strict=True) if _place(each[0]) in kept]
    entities.sort(key=lambda each: _bounds(each[0]))
    attrs = {
        "scores": np.array([score for _, score, _ in entities], dtype=np.float32),
        "calibrated": np.array([calibrated for _, _, calibrated in entities], dtype=np.bool_),
    }
    doc.spans[key] = SpanGroup(doc, name=key, spans=[span for span, _, _ in entities], attrs=attrs)


def read_scores(group: SpanGroup | None) -> ScoredSpans | None:
    """Return what `write_scores` wrote; None for any other group of spans."""
    if group is None or not _is_ours(group):
        return None
    return ScoredSpans(list(group), group.attrs["scores"], group.attrs["calibrated"])


def set_span_extensions() -> None:
    """Register ``span._.btl_score`` and ``span._.btl_calibrated`` with spaCy.

    An extension of that name that the host program has set stays as it is.
    """
    for name, getter in (("btl_score", _score), ("btl_calibrated", _calibrated)):
        if not Span.has_extension(name):
            Span.set_extension(name, getter=getter)


def _score(span: Span) -> float | None:
    score = _look_up(span, "scores")
    return None if score is None else float(score)


def _calibrated(span: Span) -> bool | None:
    calibrated = _look_up(span, "calibrated")
    return None if calibrated is None else bool(calibrated)


def _look_up(span: Span, attribute: str) -> Any:
    """Return the value of the first scored entity with these bounds and this label, or None."""
    for group in span.doc.spans.values():
        if _is_ours(group) and (i := _index(group, span)) is not None:
            return group.attrs[attribute][i]
    return None


def _index(group: SpanGroup, span: Span) -> int | None:
    """Return where a group has a span with these bounds and this label, or None.

    In the order of `write_scores`, only a few of the spans are looked at, since all spans of a long
    document can be asked for their scores. In any other order, all are.
    """
    place, bounds = _place(span), _bounds(span)
    at = bisect_left(group, bounds, key=_bounds)
    while at < len(group) and _bounds(group[at]) == bounds:
        if _place(group[at]) == place:
            return at
        at += 1
    return next((i for i, each in enumerate(group) if _place(each) == place), None)


def _is_ours(group: SpanGroup) -> bool:
    values = [group.attrs.get(name) for name in ("scores", "calibrated")]
    return all(isinstance(value, np.ndarray) and len(value) == len(group) for value in values)


def _bounds(span: Span) -> tuple[int, int]:
    return span.start, span.end


def _place(span: Span) -> tuple[int, int, int]:
    return span.start, span.end, span.label
