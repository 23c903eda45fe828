"""The annotation of the same words in other documents is counted."""

import pytest

from spacy_btl.audit.consistency import (
    AnnotatedTokens,
    Elsewhere,
    make_lexicon,
    normalized,
    type_use,
)
from spacy_btl.labels.bio import LabelSpan

A, B = 0, 1


def text(words: str, *entities: LabelSpan, types: frozenset[int] | None = None) -> AnnotatedTokens:
    return AnnotatedTokens([normalized(word) for word in words.split(" ")], entities, types)


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("Pain", "pain"),
        ("10MG", "10mg"),
        ("\u00a0\n", ""),
        ("\ufb01x", "fix"),
        ("Stra\u00dfe", "strasse"),
    ],
)
def test_normalized(token: str, expected: str) -> None:
    assert normalized(token) == expected


DOCUMENTS = [
    text("no chest pain", (1, 3, A)),
    text("Chest  pain and pain", (0, 3, B)),  # white space between the words does not count
    text("chest pain or chest pain", (3, 5, A)),
    text("pain", (0, 1, A)),
    text("severe chest pain here", (0, 3, A)),
]


@pytest.mark.parametrize(
    ("words", "kind", "document", "expected"),
    [
        ("chest pain", A, 0, Elsewhere(1, 1, 1)),  # inside of a longer entity: not at all
        ("chest pain", B, 0, Elsewhere(1, 1, 1)),
        ("chest pain", A, 1, Elsewhere(2, 0, 1)),
        ("chest pain", A, 2, Elsewhere(1, 1, 0)),
        ("pain", A, 3, Elsewhere(0, 0, 2)),  # in "chest pain" of no entity, and alone
        ("pain", A, 0, Elsewhere(1, 0, 2)),
        ("fever", A, 0, Elsewhere(0, 0, 0)),
    ],
)
def test_elsewhere(words: str, kind: int, document: int, expected: Elsewhere) -> None:
    lexicon = make_lexicon(DOCUMENTS)
    assert lexicon.elsewhere(tuple(words.split()), kind, document) == expected


def test_words_that_are_asked_for_are_looked_up() -> None:
    lexicon = make_lexicon(DOCUMENTS, [("and",)])
    assert lexicon.elsewhere(("and",), A, 0) == Elsewhere(0, 0, 1)


def test_a_document_says_nothing_on_types_that_it_does_not_annotate() -> None:
    documents = [text("pain", (0, 1, A)), text("pain", types=frozenset([B]))]
    lexicon = make_lexicon(documents)
    assert lexicon.elsewhere(("pain",), A, 0) == Elsewhere(0, 0, 0)
    assert lexicon.elsewhere(("pain",), B, 0) == Elsewhere(0, 0, 1)


def test_an_example_is_in_another_document() -> None:
    lexicon = make_lexicon(DOCUMENTS)
    words = ("chest", "pain")
    assert lexicon.example(words, A, 0) == (2, 3, 5)
    assert lexicon.example(words, A, 2) == (0, 1, 3)
    assert lexicon.example(words, -1, 0) == (2, 0, 2)
    assert lexicon.example(words, -1, 2) is None
    assert lexicon.labels_elsewhere(words, 0) == {A: 1, B: 1, -1: 1}


def test_use_of_types() -> None:
    documents = [
        text("pain and fever", (0, 1, A), (2, 3, B)),
        text("pain and fever", (0, 1, A), (2, 3, A)),
        text("pain alone", (1, 2, B)),
    ]
    first, second, third = type_use(make_lexicon(documents), 3)
    # pain, twice: A 1, none 1; fever as A: B 1.
    assert first[:5] == (3, 3, pytest.approx(1 / 3), pytest.approx(1 / 3), pytest.approx(1 / 3))
    assert first.rival == B
    # fever as B: A 1; alone occurs nowhere else.
    assert second == (2, 1, 0.0, 1.0, 0.0, A)
    assert third == (0, 0, None, None, None, None)
