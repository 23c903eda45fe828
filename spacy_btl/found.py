"""Entities found in a document, with their scores: in ``doc.spans``, and on each span.

``span._.btl_score`` is the score of an entity of ours, ``span._.btl_calibrated`` whether it was
calibrated; both are None for any other span. Two labels on one span keep a score each.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from spacy.tokens import Doc, Span, SpanGroup

from .calibration import ScoreCalibration
from .thresholds import is_kept


class Found(NamedTuple):
    """Entities found in a document, in order of their start."""

    spans: list[Span]
    scores: Any
    """Score of each span (n_spans,)."""

    @property
    def types(self) -> list[str]:
        """Type of each span."""
        return [span.label_ for span in self.spans]

    def calibrated(self, calibration: ScoreCalibration) -> "Found":
        """The same with probabilities for raw scores."""
        lengths = np.array([len(span) for span in self.spans], dtype=np.int64)
        return Found(self.spans, calibration.apply(self.scores, self.types, lengths))

    def kept(self, thresholds: Mapping[str, float]) -> "Found":
        """Without the spans below the threshold of their type."""
        kept = np.flatnonzero(is_kept(self.scores, self.types, thresholds))
        return Found([self.spans[i] for i in kept], np.asarray(self.scores)[kept])


def write_scores(doc: Doc, key: str, found: Found, *, calibrated: bool) -> None:
    """Write ``doc.spans[key]`` with ``attrs["scores"]`` and ``attrs["calibrated"]``.

    Entities that an earlier run has written there, and that ``doc.ents`` still has, keep their
    scores, if these are of the same kind.
    """
    spans, scores = list(found.spans), [float(score) for score in found.scores]
    before, was_calibrated = read_scores(doc, key) or (Found([], []), calibrated)
    if before.spans and was_calibrated == calibrated:
        kept = {_place(each) for each in doc.ents} - {_place(each) for each in spans}
        old = [each for each in zip(*before, strict=True) if _place(each[0]) in kept]
        every = sorted([*zip(spans, scores, strict=True), *old], key=lambda each: each[0])
        spans, scores = [span for span, _ in every], [float(score) for _, score in every]
    attrs = {"scores": np.asarray(scores, dtype=np.float32), "calibrated": calibrated}
    doc.spans[key] = SpanGroup(doc, name=key, spans=spans, attrs=attrs)


def read_scores(doc: Doc, key: str) -> tuple[Found, bool] | None:
    """What `write_scores` wrote, and whether it is calibrated; None where nothing stands there."""
    group = doc.spans.get(key)
    if group is None or len(group.attrs.get("scores", ())) != len(group):
        return None
    return Found(list(group), group.attrs["scores"]), bool(group.attrs.get("calibrated"))


def set_span_extensions() -> None:
    """Make ``span._.btl_score`` and ``span._.btl_calibrated`` known to spaCy."""
    for name, getter in (("btl_score", _score), ("btl_calibrated", _calibrated)):
        Span.set_extension(name, getter=getter, force=True)


def _score(span: Span) -> float | None:
    found = _look_up(span)
    return None if found is None else found[0]


def _calibrated(span: Span) -> bool | None:
    found = _look_up(span)
    return None if found is None else found[1]


def _look_up(span: Span) -> tuple[float, bool] | None:
    """Score of an entity with these bounds and this label, whether it is calibrated."""
    for key, group in span.doc.spans.items():
        if "calibrated" in group.attrs and (stored := read_scores(span.doc, key)) is not None:
            found, calibrated = stored
            for each, score in zip(found.spans, found.scores, strict=True):
                if _place(each) == _place(span):
                    return float(score), calibrated
    return None


def _place(span: Span) -> tuple[int, int, int]:
    return span.start, span.end, span.label
