"""Predicted entities with their scores: in ``doc.spans``, and on each span.

``span._.btl_score`` is the score of a predicted entity, ``span._.btl_calibrated`` whether it was
calibrated on entities of its type; both are None for any other span. Two labels on one span keep a
score each.

spaCy does not move the spans of ``doc.spans`` when tokens are merged or split (``merge_entities``,
``doc.retokenize``): they would be other words from then on. Ours are a `ScoredGroup`, which moves
them itself.
"""

import struct
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import srsly
from spacy.tokens import Doc, Span, SpanGroup

from ..labels.calibration import ScoreCalibration
from ..scoring.scorer import entity_of
from ..scoring.scores import LabeledFragments
from ..util.arrays import Bools1d, Floats1d, Floats2d
from ..util.messages import warn

ATTRIBUTES = ("scores", "calibrated")
"""The attributes of a group of scored spans, one value for each span."""

PLACE = struct.Struct(">QQQllll")
"""A span in the bytes of a `SpanGroup`: id, kb_id, label, start, end, start_char, end_char."""


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

    def calibrate(
        self, calibration: ScoreCalibration, context: Floats2d | None = None
    ) -> "ScoredSpans":
        """Return the same spans with probabilities for raw scores.

        Those of types that the calibration has not seen come from the curve of all types, to be
        compared with the others, and do not count as calibrated.

        Args:
            calibration: The calibration.
            context: (n_spans, 3) of `LabelScheme.context`.
        """
        lengths = np.array([len(span) for span in self.spans], dtype=np.int64)
        scores = calibration.apply(self.scores, self.types, lengths, context)
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


class ScoredGroup(SpanGroup):
    """A group of spans that stay on their characters when the tokens of the document change.

    A span whose ends are inside of merged tokens is left out, with a warning: no span of tokens is
    that entity any more, and its score is that of no other.
    """

    def __init__(
        self,
        doc: Doc,
        *,
        name: str = "",
        attrs: Mapping[str, Any] | None = None,
        spans: Iterable[Span] = (),
    ) -> None:
        super().__init__(doc, name=name, attrs=dict(attrs or {}), spans=list(spans))
        self._n_tokens = -1  # of the document when the spans were last looked at

    @classmethod
    def from_group(cls, group: SpanGroup) -> "ScoredGroup":
        """Return a group of the same spans, which may be off their characters already."""
        ours = cls(group.doc)
        ours.from_bytes(group.to_bytes())
        return ours

    def __len__(self) -> int:
        self._move()
        return super().__len__()

    def __iter__(self) -> Iterator[Span]:
        self._n_tokens = -1  # there may be as many as before, but others: merged here, split there
        return (self[i] for i in range(len(self)))

    def __getitem__(self, i: int) -> Span:
        self._move()
        span = super().__getitem__(i)
        if not _has_characters(self.doc, span.start, span.end, span.start_char, span.end_char):
            self._n_tokens = -1
            self._move()
            span = super().__getitem__(i)
        return span

    def append(self, span: Span) -> None:
        """Add a span."""
        self._move()
        super().append(span)

    def extend(self, spans: Iterable[Span]) -> None:
        """Add spans."""
        self._move()
        super().extend(spans if isinstance(spans, SpanGroup) else list(spans))

    def to_bytes(self) -> bytes:
        """Return the group as bytes, for `SpanGroup`."""
        self._n_tokens = -1
        self._move()
        return super().to_bytes()

    def copy(self, doc: Doc | None = None) -> "ScoredGroup":
        """Return a copy of the group, for this document or another one of the same tokens."""
        self._move()
        copy = super().copy(doc)
        return ScoredGroup(copy.doc, name=copy.name, attrs=copy.attrs, spans=copy)

    def _move(self) -> None:
        """Put the spans onto the tokens that have their characters now."""
        doc = self.doc
        if self._n_tokens == len(doc):
            return
        self._n_tokens = len(doc)
        # Spans of tokens that are gone cannot be asked for, only saved.
        places = [PLACE.unpack(each) for each in srsly.msgpack_loads(super().to_bytes())["spans"]]
        if all(_has_characters(doc, *place[3:]) for place in places):
            return
        moved = [
            doc.char_span(first, last, label, kb_id, span_id=span_id)
            for span_id, kb_id, label, _, _, first, last in places
        ]
        kept = [i for i, span in enumerate(moved) if span is not None]
        attrs = dict(self.attrs)
        if _is_ours(self):
            attrs.update({each: attrs[each][kept] for each in ATTRIBUTES})
        rest = [span for span in moved if span is not None]
        self.from_bytes(SpanGroup(doc, name=self.name, attrs=attrs, spans=rest).to_bytes())
        if len(rest) < len(places):
            warn(
                f'entities are left out of doc.spans["{self.name}"], since tokens were merged that '
                "have one of their ends inside"
            )


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
    spans = [span for span, _, _ in entities]
    doc.spans[key] = ScoredGroup(doc, name=key, spans=spans, attrs=attrs)


def read_scores(group: SpanGroup | None) -> ScoredSpans | None:
    """Return what `write_scores` wrote; None for any other group of spans."""
    if group is None or (ours := _moving(group)) is None:
        return None
    return ScoredSpans(list(ours), ours.attrs["scores"], ours.attrs["calibrated"])


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
    for key, group in list(span.doc.spans.items()):
        if (ours := _moving(group)) is None:
            continue
        if ours is not group:
            span.doc.spans[key] = ours
        try:
            i = _index(ours, span)
        except IndexError:  # some were left out meanwhile, as their tokens are gone
            i = _index(ours, span)
        if i is not None:
            return ours.attrs[attribute][i]
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


def _moving(group: SpanGroup) -> ScoredGroup | None:
    """Return a group that has scores as one that moves, also if it was saved; None for any other.

    A saved group is a plain one when it is loaded.
    """
    if not _is_ours(group):
        return None
    if isinstance(group, ScoredGroup):
        return group
    return ScoredGroup.from_group(group)


def _is_ours(group: SpanGroup) -> bool:
    n = len(group)  # first: ours may lose some spans by it
    values = [group.attrs.get(name) for name in ATTRIBUTES]
    return all(isinstance(value, np.ndarray) and len(value) == n for value in values)


def _has_characters(doc: Doc, start: int, end: int, start_char: int, end_char: int) -> bool:
    """Return whether the tokens ``start:end`` of a document are these characters."""
    if not 0 <= start < end <= len(doc) or doc[start].idx != start_char:
        return False
    last = doc[end - 1]
    return bool(last.idx + len(last) == end_char)


def _bounds(span: Span) -> tuple[int, int]:
    return span.start, span.end


def _place(span: Span) -> tuple[int, int, int]:
    return span.start, span.end, span.label
