"""Passages: the sentence around a place of a document."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc, Span
from spacy.vocab import Vocab

from spacy_btl.explain.passages import (
    CorpusDocument,
    clip,
    corpus_document,
    entity_at,
    find_passage,
    token_at,
)
from tests.helpers.evidence import LONG, document


@pytest.mark.parametrize(
    ("offset", "token"), [(-1, None), (0, (0, 2)), (1, (0, 2)), (2, None), (3, (3, 6)), (99, None)]
)
def test_token_at(offset, token):
    assert token_at(document("He was"), offset) == token


def test_token_beyond_the_text_is_none():
    assert token_at(CorpusDocument("He", [(0, 5)], []), 1) is None
    assert token_at(CorpusDocument("He", [], []), 0) is None


@pytest.mark.parametrize(
    ("offset", "label", "found"),
    [
        (0, "Dosage", (0, 199, "Dosage")),
        (99, "O", (0, 199, "Dosage")),
        (199, "Dosage", None),
        (202, "Date", (202, 205, "Date")),
        (202, "Time", (202, 203, "Time")),
        (202, "O", (202, 203, "Time")),
        (204, "Time", (202, 205, "Date")),
    ],
)
def test_entity_at(offset, label, found):
    assert entity_at(LONG, offset, label) == found


@pytest.mark.parametrize(
    ("word", "width", "clipped"),
    [
        ("one", 99, "one two three four five six"),
        ("one", 27, "one two three four five six"),
        ("one", 26, "one two three four five"),
        ("one", 8, "one two"),
        ("one", 7, "one two"),
        ("one", 6, "one"),
        ("one", 3, "one"),
        ("one", 2, "on"),
        ("six", 12, "four five six"[5:]),
        ("six", 13, "four five six"),
        ("six", 3, "six"),
        ("three", 13, "two three"),
        ("three", 15, "two three four"),
        ("three", 6, "three"),
    ],
)
def test_clip_at_word_borders(word, width, clipped):
    text = "one two three four five six"
    start = text.index(word)
    left, right = clip(text, (0, len(text)), (start, start + len(word)), width)
    assert text[left:right].strip() == clipped
    assert right - left <= width


@settings(max_examples=80)
@given(st.text(alphabet="ab \n", min_size=1, max_size=60), st.data())
def test_clip_holds_its_focus(text, data):
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    first = data.draw(st.integers(start, end - 1))
    last = data.draw(st.integers(first + 1, end))
    width = data.draw(st.integers(1, 70))
    left, right = clip(text, (start, end), (first, last), width)
    assert start <= left <= first < right <= end
    assert right - left <= max(width, 0)
    assert right >= min(last, first + width)


def marked(passage):
    """Return text with the entity in braces and the tokens in brackets; … where it is cut."""
    assert passage is not None
    signs = {}
    for start, end in passage.tokens:
        signs[start] = signs.get(start, "") + "["
        signs[end] = "]" + signs.get(end, "")
    if passage.entity:
        start, end, _ = passage.entity
        signs[start] = "{" + signs.get(start, "")
        signs[end] = signs.get(end, "") + "}"
    text = passage.text
    inner = "".join(signs.get(i, "") + text[i : i + 1] for i in range(len(text) + 1))
    return "…" * passage.cut_before + inner + "…" * passage.cut_after


THREE = "No fever. Gave 5 mg  of it.  He left.\n\nLast line"
SENTENCES = [(0, 9), (10, 29), (29, 38)]


@pytest.mark.parametrize(
    ("offsets", "sentences", "width", "expected"),
    [
        ([15], SENTENCES, 160, "Gave {[5] mg}  of it."),
        ([15, 17], SENTENCES, 160, "Gave {[5] [mg]}  of it."),
        ([16 + 1], SENTENCES, 160, "Gave {5 [mg]}  of it."),
        ([0], SENTENCES, 160, "[No] fever."),
        ([29], SENTENCES, 160, "[He] left."),
        ([45], SENTENCES, 160, "Last [line]"),  # in no sentence: the line
        ([15], [], 160, "No fever. Gave {[5] mg}  of it.  He left."),
        ([0, 3], [], 160, "[No] [fever.] Gave 5 mg  of it.  He left."),
        ([0, 45], [], 160, "[No] fever. Gave 5 mg  of it.  He left."),
        ([15], [], 9, "…{[5] mg}…"),
        ([15], [], 14, "…Gave {[5] mg}  of…"),
        ([15], [], 4, "…{[5] mg}…"),
        ([15], [], 2, "…{[5]}…"),
        ([17], [], 2, "…{[mg]}…"),
        ([3], [], 2, "…[fe]…"),
        ([0, 99], [], 160, "[No] fever. Gave 5 mg  of it.  He left."),
        ([9], [], 160, None),  # between tokens
        ([99], [], 160, None),
        ([-1], [], 160, None),
    ],
)
def test_passages(offsets, sentences, width, expected):
    doc = document(THREE, ("5 mg", "Dosage"), sentences=sentences)
    passage = find_passage(doc, offsets, "Dosage", width=width)
    assert (passage and marked(passage)) == expected


def test_entity_that_leaves_the_sentence_is_marked_as_far_as_it_is_in_it():
    doc = document(THREE, ("fever. Gave 5", "Dosage"), sentences=SENTENCES)
    assert marked(find_passage(doc, [15], "Dosage")) == "{Gave [5]} mg  of it."
    assert marked(find_passage(doc, [3], "Dosage")) == "No {[fever.]}"


def test_long_sentence_is_clipped_around_its_entity():
    words = " ".join(f"word{i}" for i in range(200))
    passage = find_passage(
        document(words, ("word100 word101", "Dosage")), [words.index("word100")], ""
    )
    assert passage.cut_before
    assert passage.cut_after
    assert 140 <= len(passage.text) <= 160
    assert set(passage.text.split()) <= set(words.split())
    assert passage.text[slice(*passage.entity[:2])] == "word100 word101"


def test_corpus_document_of_spacy():
    doc = Doc(Vocab(), words=["He", "took", "5", "mg", ".", "Good", "."], spaces=[True] * 7)
    assert corpus_document(doc).sentences == []
    doc[5].is_sent_start = True
    doc.ents = [Span(doc, 2, 4, label="Dosage")]
    doc.spans["all"] = [Span(doc, 3, 4, label="Unit"), Span(doc, 2, 4, label="Dosage")]
    found = corpus_document(doc)
    assert found.text == doc.text
    assert found.tokens[2:4] == [(8, 9), (10, 12)]
    assert found.entities == [(8, 12, "Dosage")]
    assert found.sentences == [(0, 14), (15, 21)]
    assert corpus_document(doc, "all").entities == [(8, 12, "Dosage"), (10, 12, "Unit")]
    assert corpus_document(doc, "none").entities == []
