"""Entities with their scores in documents: written, read again, looked up from a span."""

from typing import Any

import numpy as np
import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc, Span, SpanGroup

from spacy_btl.labels.calibration import ScoreCalibration
from spacy_btl.pipeline.entities import ScoredSpans, read_scores, set_span_extensions, write_scores

VOCAB = spacy.blank("en").vocab
N_TOKENS = 6
PLACES = st.tuples(st.integers(0, N_TOKENS - 1), st.integers(1, 3), st.sampled_from("AB"))

set_span_extensions()


def make_doc(n_tokens: int = N_TOKENS) -> Doc:
    return Doc(VOCAB, words=["word"] * n_tokens)


def found_in(doc: Doc, *entities: tuple[int, int, str, float, bool]) -> ScoredSpans:
    """(start, end, label, score, calibrated) each."""
    spans = [Span(doc, start, end, label=label) for start, end, label, _, _ in entities]
    return ScoredSpans(
        spans, np.array([e[3] for e in entities]), np.array([e[4] for e in entities])
    )


def told(spans: Any) -> list[tuple[int, int, str, float | None, bool | None]]:
    return [(s.start, s.end, s.label_, s._.btl_score, s._.btl_calibrated) for s in spans]


def literal_look_up(doc: Doc, start: int, end: int, label: str) -> float | None:
    """The score of the first such span in the first group that has one."""
    for group in doc.spans.values():
        for span, score in zip(group, group.attrs["scores"], strict=True):
            if (span.start, span.end, span.label_) == (start, end, label):
                return float(score)
    return None


@settings(max_examples=60, deadline=None)
@given(
    places=st.lists(
        PLACES, max_size=12, unique_by=lambda at: (at[0], min(sum(at[:2]), N_TOKENS), at[2])
    ),
    asked=st.lists(PLACES, max_size=5),
    order=st.sampled_from(["as written", "by score", "in two groups"]),
    seed=st.integers(0, 9),
)
def test_each_span_has_its_own_score(places: Any, asked: Any, order: str, seed: int) -> None:
    doc = make_doc()
    scores = np.random.default_rng(seed).random(len(places))
    entities = [
        (start, min(start + length, N_TOKENS), label, score, score > 0.5)
        for (start, length, label), score in zip(places, scores, strict=True)
    ]
    if order == "in two groups":
        write_scores(doc, "one", found_in(doc, *entities[::2]))
        write_scores(doc, "two", found_in(doc, *entities[1::2]))
    else:
        write_scores(doc, "one", found_in(doc, *entities))
    if order == "by score":
        group = doc.spans["one"]
        by_score = np.argsort(group.attrs["scores"])
        attrs = {name: values[by_score] for name, values in group.attrs.items()}
        spans = list(group)
        doc.spans["one"] = SpanGroup(doc, spans=[spans[i] for i in by_score], attrs=attrs)
    for start, length, label in [*places, *asked]:
        end = min(start + length, N_TOKENS)
        span = Span(doc, start, end, label=label)
        assert span._.btl_score == literal_look_up(doc, start, end, label)
        assert (span._.btl_calibrated is None) == (span._.btl_score is None)


def test_few_spans_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """All spans of a long document can be asked: that takes no square of their number."""
    from spacy_btl.pipeline import entities as found

    n = 500
    doc = make_doc(n)
    write_scores(doc, "one", found_in(doc, *((i, i + 1, "A", i / n, True) for i in range(n))))
    looks: list[Span] = []
    bounds = found._bounds
    monkeypatch.setattr(found, "_bounds", lambda span: looks.append(span) or bounds(span))
    monkeypatch.setattr(found, "_place", lambda s: looks.append(s) or (s.start, s.end, s.label))
    assert [span._.btl_score for span in doc.spans["one"]] == pytest.approx(np.arange(n) / n)
    assert len(looks) < 20 * n


@pytest.mark.parametrize(
    "attrs",
    [
        {},
        {"scores": np.array([0.5])},  # as spancat writes it
        {"scores": [0.5], "calibrated": False},
        {"scores": np.array([0.5, 0.5]), "calibrated": np.array([True, True])},  # of another length
    ],
)
def test_groups_that_are_not_ours(attrs: dict[str, Any]) -> None:
    doc = make_doc()
    doc.spans["one"] = SpanGroup(doc, spans=[Span(doc, 0, 1, label="A")], attrs=attrs)
    assert read_scores(doc.spans["one"]) is None
    assert told(doc.spans["one"]) == [(0, 1, "A", None, None)]
    assert read_scores(None) is None


def test_entities_of_an_earlier_run_keep_their_scores() -> None:
    doc = make_doc()
    write_scores(doc, "one", found_in(doc, (0, 1, "A", 0.25, False), (4, 5, "B", 0.5, True)))
    doc.ents = [Span(doc, 4, 5, label="B")]  # the other has gone since
    write_scores(doc, "one", found_in(doc, (2, 3, "A", 0.75, True)))
    expected = [(2, 3, "A", 0.75, True), (4, 5, "B", 0.5, True)]
    assert told(doc.spans["one"]) == expected
    write_scores(doc, "one", found_in(doc, (4, 5, "B", 0.125, False)))
    assert told(doc.spans["one"]) == [(4, 5, "B", 0.125, False)]
    back = Doc(VOCAB).from_bytes(doc.to_bytes())
    assert told(back.spans["one"]) == told(doc.spans["one"])


def test_types_that_the_calibration_has_not_seen() -> None:
    """Their scores are on the scale of the others, and no probabilities."""
    calibration = ScoreCalibration(0.0, 0.5, 98, 9, {"A": 0.0})
    doc = make_doc()
    raw = found_in(doc, (0, 1, "A", 0.9, False), (2, 3, "B", 0.9, False))
    found = raw.calibrate(calibration)
    assert found.calibrated.tolist() == [True, False]
    assert found.scores[0] == found.scores[1] != np.float32(0.9)
    kept = found.kept({"A": 2.0})
    assert [span.label_ for span in kept.spans] == ["B"]
    assert kept.calibrated.tolist() == [False]


def test_an_extension_of_the_host_program_stays() -> None:
    """The component neither overwrites nor needs it."""
    getter = Span.get_extension("btl_score")[2]
    Span.set_extension("btl_score", getter=lambda span: "theirs", force=True)
    try:
        spacy.blank("en").add_pipe("btl_knn_ner")
        assert make_doc()[0:1]._.btl_score == "theirs"
        assert make_doc()[0:1]._.btl_calibrated is None
    finally:
        Span.set_extension("btl_score", getter=getter, force=True)
