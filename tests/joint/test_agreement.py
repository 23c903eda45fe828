"""Agreement of two corpora on the meaning of a type."""

import pytest
import spacy
from spacy.tokens import Doc, Span

from spacy_btl.joint.agreement import (
    FEWEST,
    Agreement,
    Uses,
    agreements,
    compare_names,
    forms_by_type,
    uses_of,
)

NLP = spacy.blank("en")


def annotated(text: str, *entities: tuple[str, str], overlapping: bool = False) -> Doc:
    """Return a document in which each surface is an entity wherever it occurs."""
    doc = NLP.make_doc(text)
    spans = []
    for surface, label in entities:
        start = text.index(surface)
        spans.append(doc.char_span(start, start + len(surface), label=label))
    if overlapping:
        doc.spans["brat"] = spans
    else:
        doc.ents = spans
    return doc


def test_agreement_from_counts() -> None:
    forms = {"a": {"X": {("p",), ("q", "r"), ("s",)}, "Y": {("p",)}}, "b": {"X": {("p",)}}}
    uses = {
        "a": {("p",): Uses(2, {"X": 1, "Y": 2}, 0)},
        "b": {("p",): Uses(4, {"X": 1, "Z": 2}, 1), ("q", "r"): Uses(1, {"X": 1}, 0)},
    }
    assert agreements(forms, uses) == [
        Agreement("X", "a", "b", 3, 2, 0.625, 0.25, 0.125),
        Agreement("X", "b", "a", 1, 1, 0.5, 0.5, 0.0),
    ]
    assert agreements({"a": {"X": set()}, "b": {"X": set()}}, {"a": {}, "b": {}}) == [
        Agreement("X", "a", "b", 0, 0, 0.0, 0.0, 0.0),
        Agreement("X", "b", "a", 0, 0, 0.0, 0.0, 0.0),
    ]


@pytest.mark.parametrize(
    ("n_found", "same", "is_doubtful"),
    [(FEWEST, 0.49, True), (FEWEST, 0.5, False), (FEWEST - 1, 0.0, False), (0, 0.0, False)],
)
def test_few_forms_give_no_doubt(n_found: int, same: float, is_doubtful: bool) -> None:
    assert Agreement("X", "a", "b", 99, n_found, same, 0.1, 0.2).is_doubtful is is_doubtful


def test_forms_are_words_without_case_and_white_space() -> None:
    docs = [
        annotated("Chest  pain and FEVER", ("Chest  pain", "Sign"), ("FEVER", "Sign")),
        annotated("chest pain", ("chest pain", "History"), overlapping=True),
        annotated("a b c d e f g", ("a b c d e f g", "Long")),
    ]
    assert forms_by_type(docs) == {
        "Sign": {("chest", "pain"), ("fever",)},
        "History": {("chest", "pain")},
        "Long": set(),
    }


def test_uses_of_forms() -> None:
    docs = [
        annotated("No fever, some chest pain", ("some chest pain", "Sign")),
        annotated("Fever of the chest \n pain", ("Fever", "Sign")),
    ]
    assert uses_of(docs, {("fever",), ("chest", "pain"), ("cough",)}) == {
        ("fever",): Uses(2, {"Sign": 1}, 1),
        ("chest", "pain"): Uses(2, {"Sign": 1}, 1),
    }
    assert uses_of([], {("fever",)}) == uses_of(docs, set()) == {}


def test_names_of_corpora() -> None:
    same = annotated("fever", ("fever", "Sign"))
    other = annotated("fever and rash", ("fever", "Test"), ("rash", "Sign"))
    found = compare_names({"a": [same], "b": [other]})
    assert found == [
        Agreement("Sign", "a", "b", 1, 1, 0.0, 1.0, 0.0),
        Agreement("Sign", "b", "a", 1, 0, 0.0, 0.0, 0.0),
    ]
    assert str(found[0]) == (
        '"Sign": of 1 forms that mentions have in a, 1 occur in b; there 0% of the places are '
        "annotated as Sign, 100% as another type, 0% not at all"
    )
    assert compare_names({"a": [same]}) == compare_names({}) == []


def test_spans_that_overlap_count_too() -> None:
    doc = annotated("old fever", ("fever", "Sign"))
    doc.spans["brat"] = [Span(doc, 0, 2, "History"), Span(doc, 1, 2, "Sign")]
    assert uses_of([doc], {("fever",)}) == {("fever",): Uses(1, {"Sign": 1, "History": 1}, 0)}
