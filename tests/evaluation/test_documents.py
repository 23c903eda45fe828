"""Documents side by side: the text is whole, and each entity is marked once on its side."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_btl.evaluation.documents import MatchedDocument, side_by_side, text_rows
from spacy_btl.scoring.matching import match_entities
from tests.helpers.evaluated import RULES, TEXTS, evaluated


def sides(text, gold, predicted):
    """Return the cells of the gold and of the predicted side."""
    document = MatchedDocument("x", text, match_entities(gold, predicted))
    (shown,) = side_by_side([document])
    return zip(*shown.rows, strict=True)


def marks(cells):
    return [piece for cell in cells for piece in (*cell.pieces, *cell.also) if piece.kind]


@pytest.mark.parametrize(
    ("text", "entities", "rows"),
    [
        ("", [], [""]),
        ("one", [], ["one"]),
        ("one\ntwo\n", [], ["one", "two"]),
        ("one\n \n\ntwo", [], ["one", "two"]),
        ("one\ntwo\nsix", [("A", ((2, 5),))], ["one\ntwo", "six"]),
        ("one\ntwo\nsix", [("A", ((0, 1), (8, 9)))], ["one\ntwo\nsix"]),
        ("one\n \ntwo", [("A", ((4, 5),))], ["one", " ", "two"]),
        ("one", [("A", ((7, 9),))], ["one"]),
    ],
)
def test_text_rows(text, entities, rows):
    assert [text[start:end] for start, end in text_rows(text, entities)] == rows


def test_overlapping_and_outlying_entities_are_listed_below():
    gold = [("A", ((0, 9),)), ("B", ((4, 9),)), ("C", ((2, 3), (12, 13))), ("D", ((90, 95),))]
    (cell,), _ = sides("one two\nthree four", gold, [])
    assert [piece.note[0] for piece in cell.pieces if piece.kind] == ["A"]
    assert [piece.note[0] for piece in cell.also] == ["C", "B", "D"]
    assert cell.also[0].text == "e … e"


def test_fragments_are_marked_with_one_full_note():
    (cell,), _ = sides("one two three", [("A", ((0, 3), (8, 13)))], [])
    found = [(piece.text, piece.note) for piece in cell.pieces]
    assert found == [("", ""), ("one", "…"), (" two ", ""), ("three", "A · missed"), ("", "")]


def test_names_and_errors():
    _, documents = evaluated(RULES)
    shown = side_by_side([*documents, MatchedDocument("", "", [])])
    assert [document.name for document in shown] == [
        "case-0",
        "case-1",
        "case-2",
        "case-3",
        "document 5",
    ]
    assert shown[0].errors == "1 correct, 1 wrong type and bounds"
    assert shown[-1].errors == "no entity"


def test_the_text_is_whole_on_both_sides():
    _, documents = evaluated(RULES)
    for (text, _), shown in zip(TEXTS, side_by_side(documents), strict=True):
        for cells in zip(*shown.rows, strict=True):
            lines = ["".join(piece.text for piece in cell.pieces) for cell in cells]
            assert "\n".join(lines) == text.replace("\n\n", "\n")


anything = st.text(st.characters(), max_size=12)
bounds = st.tuples(st.integers(0, 9), st.integers(1, 5)).map(lambda at: (at[0], sum(at)))
entities = st.lists(st.tuples(anything, bounds.map(lambda at: (at,))), max_size=4)


@settings(max_examples=40, deadline=None)
@given(anything, entities, entities)
def test_any_text_and_any_bounds(text, gold, predicted):
    for cells, given_entities in zip(sides(text, gold, predicted), (gold, predicted), strict=True):
        assert len(marks(cells)) == len(set(given_entities))
        shown = "".join(piece.text for cell in cells for piece in cell.pieces)
        assert shown.replace("\n", "").split() == text.replace("\n", "").split() or "\n" in text
