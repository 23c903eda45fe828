"""Entities with their scores in documents: written, read again, looked up from a span."""

import pickle
from typing import Any, ClassVar

import numpy as np
import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc, DocBin, Span, SpanGroup

from spacy_btl.labels.calibration import ScoreCalibration
from spacy_btl.pipeline.entities import ScoredSpans, read_scores, set_span_extensions, write_scores

VOCAB = spacy.blank("xx").vocab
N_TOKENS = 6
PLACES = st.tuples(st.integers(0, N_TOKENS - 1), st.integers(1, 3), st.sampled_from("AB"))

set_span_extensions()


def make_doc(n_tokens: int = N_TOKENS) -> Doc:
    return Doc(VOCAB, words=["word"] * n_tokens)


def found_in(doc: Doc, *entities: tuple[int, int, str, float, bool]) -> ScoredSpans:
    """Return (start, end, label, score, calibrated) each."""
    spans = [Span(doc, start, end, label=label) for start, end, label, _, _ in entities]
    return ScoredSpans(
        spans, np.array([e[3] for e in entities]), np.array([e[4] for e in entities])
    )


def told(spans: Any) -> list[tuple[int, int, str, float | None, bool | None]]:
    return [(s.start, s.end, s.label_, s._.btl_score, s._.btl_calibrated) for s in spans]


def literal_look_up(doc: Doc, start: int, end: int, label: str) -> float | None:
    """Return the score of the first such span in the first group that has one."""
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
        spacy.blank("xx").add_pipe("btl_knn_ner")
        assert make_doc()[0:1]._.btl_score == "theirs"
        assert make_doc()[0:1]._.btl_calibrated is None
    finally:
        Span.set_extension("btl_score", getter=getter, force=True)


class TestRetokenized:
    """Tokens that are merged or split later: a span keeps its characters and its score, or goes."""

    @pytest.mark.filterwarnings("ignore:entities are left out of")
    @settings(max_examples=80, deadline=None)
    @given(
        places=st.lists(PLACES, min_size=1, max_size=8, unique=True),
        changes=st.lists(
            st.tuples(st.booleans(), st.integers(0, 5), st.integers(2, 3)), max_size=4
        ),
        looks=st.lists(st.booleans(), min_size=4, max_size=4),
        loaded=st.booleans(),
    )
    def test_any_changes(self, places: Any, changes: Any, looks: Any, loaded: bool) -> None:
        doc = Doc(VOCAB, words=["abcd", "ef", "ghi", "jk", "lmnop", "q"], spaces=[1, 1, 0, 1, 0, 1])
        found = [
            (start, min(start + length, N_TOKENS), label, i / 8, i % 2 == 0)
            for i, (start, length, label) in enumerate(places)
            if start + length <= N_TOKENS
        ]
        write_scores(doc, "one", found_in(doc, *found))
        if loaded:  # a plain group of spaCy's
            doc = Doc(VOCAB).from_bytes(doc.to_bytes())
        before = [(s.start_char, s.end_char, s.label_, s._.btl_score) for s in doc.spans["one"]]
        if loaded:
            doc = Doc(VOCAB).from_bytes(doc.to_bytes())
        for (is_merge, at, length), look in zip(changes, looks, strict=False):
            with doc.retokenize() as retokenizer:
                token = doc[at % len(doc)]
                if is_merge and token.i + length <= len(doc):
                    retokenizer.merge(doc[token.i : token.i + length])
                elif not is_merge and len(token) > 1 and " " not in token.text:
                    parts = [token.text[:1], token.text[1:]]
                    retokenizer.split(token, parts, heads=[(token, 0), (token, 0)])
            if look and not loaded:
                len(doc.spans["one"])
        scored = read_scores(doc.spans["one"])
        assert scored is not None
        after = [
            (s.start_char, s.end_char, s.label_, pytest.approx(score))
            for s, score, _ in zip(*scored, strict=True)
        ]
        # The others were not a span of whole tokens at some time.
        assert [each for each in before if each in after] == after
        fits = [each for each in before if doc.char_span(each[0], each[1]) is not None]
        if not any(looks[:-1]) or loaded:
            assert after == fits
        for start, end, label, score in after:
            span = doc.char_span(start, end, label=label)
            assert span.text == doc.text[start:end]
            assert span._.btl_score == score

    @pytest.fixture
    def doc(self) -> Doc:
        """Return two entities of one token and two of two, and the first merges all it can."""
        doc = Doc(VOCAB, words=["no", "chest", "pain", "and", "fever", "today"])
        found = [(1, 3, "A", 0.25, True), (2, 3, "B", 0.5, True), (4, 5, "A", 0.75, False)]
        write_scores(doc, "one", found_in(doc, *found))
        with doc.retokenize() as retokenizer:
            retokenizer.merge(doc[1:3])
        return doc

    EXPECTED: ClassVar[list[Any]] = [(1, 2, "A", 0.25, True), (3, 4, "A", 0.75, False)]

    def test_an_entity_that_is_no_token_any_more_is_left_out(self, doc: Doc) -> None:
        with pytest.warns(UserWarning, match=r'left out of doc.spans\["one"\], since tokens were'):
            assert len(doc.spans["one"]) == 2
        assert told(doc.spans["one"]) == self.EXPECTED

    @pytest.mark.filterwarnings("ignore:entities are left out of")
    @pytest.mark.parametrize(
        "way",
        [
            lambda doc: doc,
            lambda doc: doc.copy(),
            lambda doc: pickle.loads(pickle.dumps(doc)),
            lambda doc: next(DocBin(docs=[doc]).get_docs(VOCAB)),
            lambda doc: Doc.from_docs([doc]),
        ],
    )
    def test_each_way_out_of_the_document(self, doc: Doc, way: Any) -> None:
        back = way(doc)
        expected = self.EXPECTED
        if "scores" not in back.spans["one"].attrs:  # Doc.from_docs makes groups anew
            expected = [(*each[:3], None, None) for each in expected]
        assert told(back.spans["one"]) == expected

    @pytest.mark.filterwarnings("ignore:entities are left out of")
    def test_what_a_group_can_do(self, doc: Doc) -> None:
        group = doc.spans["one"]
        assert [s["start"] for s in doc.to_json()["spans"]["one"]] == [3, 18]
        assert not group.has_overlap
        group.append(Span(doc, 0, 1, label="C"))
        group.extend([Span(doc, 3, 4, label="C")])
        assert [span.text for span in group] == ["chest pain", "fever", "no", "fever"]
        assert group[-1].label_ == "C"
        assert read_scores(group) is None  # it has spans without a score
        with doc.retokenize() as retokenizer:
            retokenizer.merge(doc[2:4])
        assert [span.text for span in group] == ["chest pain", "no"]
        with pytest.raises(IndexError):
            group[2]

    def test_as_many_tokens_as_before(self) -> None:
        """One merged, one split: their number says nothing."""
        doc = Doc(VOCAB, words=["ab", "cd", "ef", "gh"])
        write_scores(doc, "one", found_in(doc, (3, 4, "A", 0.5, True), (1, 2, "B", 0.5, True)))
        assert told(doc.spans["one"]) == [(1, 2, "B", 0.5, True), (3, 4, "A", 0.5, True)]
        with doc.retokenize() as retokenizer:
            retokenizer.merge(doc[0:2])
        with doc.retokenize() as retokenizer:
            retokenizer.split(doc[1], ["e", "f"], heads=[(doc[1], 0), (doc[1], 0)])
        with pytest.warns(UserWarning, match="left out"):
            assert Span(doc, 3, 4, label="A")._.btl_score == 0.5
        assert told(doc.spans["one"]) == [(3, 4, "A", 0.5, True)]
