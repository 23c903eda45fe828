"""Text from outside: harmless on a terminal, in Markdown and in tables."""

import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_btl.util.text import cell, counted, csv_table, markdown_table, printable


@pytest.mark.parametrize(
    ("number", "words", "expected"),
    [
        (1, ("document",), "1 document"),
        (0, ("document",), "0 documents"),
        (1200, ("document",), "1,200 documents"),
        (1, ("entity", "entities"), "1 entity"),
        (2, ("entity", "entities"), "2 entities"),
        (1, ("file is", "files are"), "1 file is"),
    ],
)
def test_a_number_with_its_noun(number: int, words: tuple[str, ...], expected: str) -> None:
    assert counted(number, *words) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5 mg", "5 mg"),
        ("a\tb\r\nc\u2028d\x85e", "a b  c d e"),
        ("\x1b[31mred\x00\x7f", "\ufffd[31mred\ufffd\ufffd"),
        ("a\u202eb\u2066c", "a\ufffdb\ufffdc"),
        ("a\ud800b", "a\ufffdb"),
        ("חום 👩\u200d⚕️ é", "חום 👩\u200d⚕️ é"),
    ],
)
def test_printable(text: str, expected: str) -> None:
    assert printable(text) == expected
    assert len(printable(text)) == len(text)


@pytest.mark.parametrize(
    "word",
    ["Sign_symptom", "B-Age", "0.25 (±0.1) * 3", "< 0.001", "a & b > c", "Größe", "症状"],
)
def test_harmless_words_stay_as_they_are(word: str) -> None:
    assert cell(word) == word


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, "3"),
        ("a|b", r"a\|b"),
        (r"a\|b", r"a\\\|b"),
        ("`code", r"\`code"),
        ("![x](http://example.org)", r"!\[x](http://example.org)"),
        ("<b>", "&lt;b>"),
        ("</b><!-- ?", "&lt;/b>&lt;!-- ?"),
        ("two\nlines", "two lines"),
        ("\x1b[31m\u202e", "\ufffd\\[31m\ufffd"),
    ],
)
def test_harmful_words_are_escaped(value: object, expected: str) -> None:
    assert cell(value) == expected


def test_table() -> None:
    assert markdown_table(["type", "n"], [["Age", 1], ["Sign|x", 200]]) == [
        "| type    |   n |",
        "| ------- | --: |",
        r"| Age     |   1 |",
        r"| Sign\|x | 200 |",
    ]


@pytest.mark.parametrize("rows", [[], [["", ""]], [["a", 1]]])
def test_the_rule_of_a_narrow_table_is_one(rows: list[list[object]]) -> None:
    """A column of one character must still have a dash beside its colon."""
    assert markdown_table(["", "n"], rows)[1] == "| - | -: |"


@pytest.mark.parametrize("row", [[], ["a"], ["a", "b", "c"]])
def test_a_row_of_another_length_is_refused(row: list[str]) -> None:
    with pytest.raises(ValueError, match="zip"):
        markdown_table(["type", "n"], [row])


@given(st.lists(st.lists(st.text(max_size=6), min_size=2, max_size=2), max_size=4))
def test_every_line_has_its_cells(rows: list[list[str]]) -> None:
    lines = markdown_table(["a", "b"], rows)
    assert len(lines) == len(rows) + 2
    assert len(set(map(len, lines))) == 1
    for line in lines:
        assert re.sub(r"\\.", "", line).count("|") == 3


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("=1+2", "'=1+2"),
        ("+1 (555)", "'+1 (555)"),
        ("-cmd", "'-cmd"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("a=1", "a=1"),
        ("case-1", "case-1"),
        ("-0.5", "-0.5"),
        ("+3e2", "+3e2"),
        (-0.5, "-0.5"),
        (None, ""),
        ('a "b", c', 'a "b", c'),
    ],
)
def test_no_cell_of_a_csv_is_a_formula(value: object, expected: str) -> None:
    """A spreadsheet runs what begins so, and names of documents come from outside."""
    text = csv_table(["name", "n"], [[value, 1]])
    assert list(csv.reader(io.StringIO(text, newline=""))) == [["name", "n"], [expected, "1"]]
