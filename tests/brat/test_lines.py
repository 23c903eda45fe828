import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_btl import brat
from spacy_btl.brat.lines import numbered_lines, read_entity, swallowed_lines

A, B = ((8, 14),), ((0, 5), (8, 14))
# A line that brat does not write, and what it says: label, fragments, surface text.
READ = {
    "two spaces": ("T1\tDisease  8  14\tasthma", ("Disease", A, "asthma")),
    "space before the tab": ("T1\tDisease 8 14 \tasthma", ("Disease", A, "asthma")),
    "space before the label": ("T1\t Disease 8 14\tasthma", ("Disease", A, "asthma")),
    "two tabs after the id": ("T1\t\tDisease 8 14\tasthma", ("Disease", A, "asthma")),
    "tab for the first space": ("T1\tDisease\t8 14\tasthma", ("Disease", A, "asthma")),
    "tab for the second space": ("T1\tDisease 8\t14\tasthma", ("Disease", A, "asthma")),
    "tabs only": ("T1\tDisease\t8\t14\tasthma", ("Disease", A, "asthma")),
    "space for the last tab": ("T1\tDisease 8 14 asthma", ("Disease", A, "asthma")),
    "spaces only": ("T1 Disease 8 14 asthma", ("Disease", A, "asthma")),
    "many spaces only": ("T1    Disease 8 14    asthma", ("Disease", A, "asthma")),
    "numbers in the text": ("T1 Dose 8 13 20 mg", ("Dose", ((8, 13),), "20 mg")),
    "no-break spaces": ("T1\tDisease\u00a08\u00a014\tasthma", ("Disease", A, "asthma")),
    "thin spaces": ("T1\tDisease\u20098\u200914\tasthma", ("Disease", A, "asthma")),
    "mark without width": ("T1\tDisease \u200b8 14\tasthma", ("Disease", A, "asthma")),
    "label of two words": ("T1\tSign Symptom 8 14\tasthma", ("Sign Symptom", A, "asthma")),
    "label with two spaces": ("T1\tSign  Symptom 8 14\tasthma", ("Sign Symptom", A, "asthma")),
    "label and text of words": ("T1\tMy own 8 14\tit was", ("My own", A, "it was")),
    "label with a number": ("T1\tGrade 1 8 14\tasthma", ("Grade 1", A, "asthma")),
    "label with numbers": ("T1\tType 2 DM 8 14\tasthma", ("Type 2 DM", A, "asthma")),
    "another text": ("T1\tSign Symptom 8 14\tfever", ("Sign Symptom", A, "fever")),
    "no tab, no text": ("T1\tDisease 8 14", ("Disease", A, "")),
    "a space, no text": ("T1\tDisease 8 14 ", ("Disease", A, "")),
    "label of two words, no text": ("T1\tSign Symptom 8 14", ("Sign Symptom", A, "")),
    "tabs only, no text": ("T1\tDisease\t8\t14", ("Disease", A, "")),
    "fragments, no text": ("T1\tDisease 0 5;8 14", ("Disease", B, "")),
    "space after the semicolon": ("T1\tX 0 5; 8 14\thello asthma", ("X", B, "hello asthma")),
    "spaces around it": ("T1\tX 0 5 ; 8 14\thello asthma", ("X", B, "hello asthma")),
    "fragments, spaces only": ("T1 X 0 5;8 14 hello asthma", ("X", B, "hello asthma")),
    "semicolon between start and end": ("T1\tX 8;14\tasthma", ("X", A, "asthma")),
    "comma": ("T1\tX 8,14\tasthma", ("X", A, "asthma")),
    "hyphen": ("T1\tX 8-14\tasthma", ("X", A, "asthma")),
    "semicolon at the end": ("T1\tX 8 14;\tasthma", ("X", A, "asthma")),
    "whole floats": ("T1\tX 8.0 14.0\tasthma", ("X", A, "asthma")),
    "zeros, two spaces": ("T1\tX  008 014\tasthma", ("X", A, "asthma")),
    "back to front": ("T1\tMy X 14 8\tasthma", ("My X", ((14, 8),), "asthma")),
}
UNREAD = {
    "id only": "T1",
    "no offsets": "T1\tDisease",
    "one offset": "T1\tDisease 8",
    "one offset and a text": "T1\tDisease 8\tasthma",
    "no label": "T1\t8 14",
    "no label, a text": "T1\t 8 14\tasthma",
    "text of another length": "T1 Disease 8 14 fever",
    "no text, spaces only": "T1 Disease 8 14",
    "prose": "T1 weighted images 20 30 mg",
    "prose with an article": "The dose 8 14 asthma",
    "pairs without a semicolon": "T1\tX 0 5 8 14\thello asthma",
    "pairs in the label": "T1\tX 0 5 and more 8 14\tasthma",
    "pairs with a comma": "T1\tX 0 5, 8 14\thello asthma",
    "three numbers, no text": "T1\tX 2 8 14",
    "three numbers in tabs": "T1\tX\t2\t8\t14\tfever",
    "half a fragment": "T1\tX 8 14;20\tx",
    "floats": "T1\tX 8.5 14.5\tasthma",
    "negative": "T1\tX -8 14\tasthma",
    "other digits": "T1\tX \u0668 \u0669\tx",
    "too many digits": f"T1\tX 0 {'9' * 5000}\tx",
    "a label without end": f"T1\t{'my label ' * 20}8 14\tasthma",
    "very many numbers": "T1 X " + "1 2 " * 5000,
    "commas for tabs": "T1,Disease,8,14,asthma",
}


@pytest.mark.parametrize(("line", "expected"), READ.values(), ids=READ)
def test_what_other_tools_write_is_read(line, expected):
    fields = read_entity(line)
    assert fields is not None
    assert fields == ("T1", *expected)


@pytest.mark.parametrize("line", UNREAD.values(), ids=UNREAD)
def test_what_is_in_doubt_is_not_read(line):
    assert read_entity(line) is None


@pytest.mark.parametrize(
    "name", ["T0", "T007", "T1a", "T12-b", "TA", "TB12", "Tabc-1", "T1.2", "T1:", "T\u00e9"]
)
def test_ids_of_any_form(name):
    for line in (f"{name}\tX 8 14\tasthma", f"{name}\tX  8 14\tasthma"):
        (entity,) = brat.loads(line).records
        assert (entity.id, entity.label, entity.fragments) == (name, "X", A)


@pytest.mark.parametrize(("line", "expected"), READ.values(), ids=READ)
def test_a_line_in_another_form_is_written_back_as_it_was(line, expected):
    standoff = brat.loads(f"T9\tX 0 1\t\n{line}\n")
    entity = standoff.entities[1]
    assert brat.dumps(standoff) == f"T9\tX 0 1\t\n{line}\n"
    assert brat.own_line(entity) in ("", line)
    if not brat.own_line(entity):  # so close to brat's own that only white space at the end differs
        made = brat.Standoff((entity._replace(raw="", line=0),))
        assert brat.dumps(made).rstrip() == line.rstrip()


# Lines: the file, and the ids with the line numbers of what is found in it.
LINES = {
    "LF": ("T1\tX 0 1\ta\nT2\tX 0 1\ta\n", [("T1", 1), ("T2", 2)]),
    "CRLF": ("T1\tX 0 1\ta\r\nT2\tX 0 1\ta\r\n", [("T1", 1), ("T2", 2)]),
    "CR": ("T1\tX 0 1\ta\rT2\tX 0 1\ta\r", [("T1", 1), ("T2", 2)]),
    "CR, then LF": ("T1\tX 0 1\ta\rT2\tX 0 1\ta\nT3\tX 0 1\ta", [("T1", 1), ("T2", 2), ("T3", 3)]),
    "CR CR LF": ("T1\tX 0 1\ta\r\r\nT2\tX 0 1\ta\r\r\n", [("T1", 1), ("T2", 2)]),
    "CR before other records": (
        "T1\tX 0 1\ta\rA1\tN T1\r*\tEq T1 T1\r#1\tNote T1\tx\rT2\tX 0 1\ta",
        [("T1", 1), ("A1", 2), ("", 3), ("#1", 4), ("T2", 5)],
    ),
    "CR before spaces only": ("T1\tX 0 1\ta\rT2 X 0 1 a", [("T1", 1), ("T2", 2)]),
    "CR after a note": ("#1\tNote T1\tx\rT2", [("#1", 1), ("", 2)]),
    "NEL": ("T1\tX 0 1\ta\x85T2\tX 0 1\ta\n", [("T1", 1), ("T2", 1)]),
    "line separator": ("T1\tX 0 1\ta\u2028T2\tX 0 1\ta\n", [("T1", 1), ("T2", 1)]),
    "form feed": ("T1\tX 0 1\ta\fT2\tX 0 1\ta\n", [("T1", 1), ("T2", 1)]),
    "no line end": ("T1\tX 0 1\taT2\tX 0 1\ta\nT3\tX 0 1\ta", [("T1", 1), ("T2", 1), ("T3", 2)]),
    "BOM": ("\ufeffT1\tX 0 1\ta\n\ufeffT2\tX 0 1\ta\n", [("T1", 1), ("T2", 2)]),
    "indented": ("  T1\tX 0 1\ta\n\tT2\tX 0 1\ta\n", [("T1", 1), ("T2", 2)]),
    "CR of the surface text": ("T1\tX 0 3\ta\rb\nT2\tX 0 1\ta", [("T1", 1), ("T2", 2)]),
    "a note that quotes a record": ("#1\tNote T1\tsee T2\tX 0 1\ta", [("#1", 1)]),
}


@pytest.mark.parametrize(("ann", "expected"), LINES.values(), ids=LINES)
def test_lines_whose_ends_are_broken_are_read(ann, expected):
    standoff = brat.loads(ann)
    assert [(record.id, record.line) for record in standoff.records] == expected
    assert all(entity.text in ("a", "a\rb") for entity in standoff.entities)
    assert brat.dumps(standoff) == ann


@given(st.lists(st.text("T1 \t\r\n\u2028\ufeffX0;a")))
def test_lines_join_to_what_was_given(lines):
    assert "".join(piece for _, piece in numbered_lines(lines)) == "".join(lines)


@given(st.text("T1 \t\r\n\u2028\ufeffX0;a"))
def test_swallowed_lines_join_to_what_was_given(text):
    pieces = swallowed_lines(text)
    assert "".join(pieces) == text
    assert all(brat.is_entity_like(piece) for piece in pieces[1:])


@given(st.text("TAX0123 \t;.-,:\u00a0ab"))
def test_a_strict_reading_is_never_replaced(tail):
    line = f"T1\tX 8 14\t{tail}"
    (entity, *_) = brat.loads(line).records
    assert entity[:3] == ("T1", "X", A)


@given(st.text("TAX0123 \t;.-,:\u00a0ab"))
def test_what_is_read_has_a_label_and_offsets_of_its_line(tail):
    fields = read_entity(f"T1{tail}")
    if fields:
        assert fields.label
        assert fields.label.replace(" ", "") in re.sub(r"\s", "", tail)
        assert all(str(n) in re.sub(r"\b0+(?=\d)", "", tail) for f in fields.fragments for n in f)


SWALLOWED = {
    # the text, the annotation, the ids of what is read and the reasons of what is not
    "CR and a cut line": ("a b", "T1\tX 0 1\ta\rT2\tX\n", ["T1"], 1),
    "spilled cut line": ("a b", "T1\tX 0 3\ta\nT\n", ["T1"], 1),
    "spilled line of the text": ("a\nT2 b", "T1\tX 0 4\ta\nT2\n", ["T1"], 0),
    "CR of the text": ("a\rT b", "T1\tX 0 3\ta\rT\n", ["T1"], 0),
}


@pytest.mark.parametrize(("text", "ann", "entities", "lost"), SWALLOWED.values(), ids=SWALLOWED)
def test_a_line_in_a_surface_text_stays_only_if_it_is_the_text(tmp_path, text, ann, entities, lost):
    (tmp_path / "d.txt").write_bytes(text.encode())
    (tmp_path / "d.ann").write_bytes(ann.encode())
    (document,) = brat.read_folder(tmp_path)
    assert [e.id for e in document.standoff.entities] == entities
    unread = [r for r in document.standoff.records if isinstance(r, brat.Unknown)]
    assert sum(brat.is_entity_like(record.text) for record in unread) == lost
    assert brat.dumps(document.standoff) == ann


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("T1\tX", True),
        ("T", True),
        ("  T1", True),
        ("\ufeffT1", True),
        ("The", True),
        ("t1\tX", False),
        ("", False),
        ("E1\tX:T1", False),
        ("#1\tNote T1", False),
    ],
)
def test_what_could_be_meant_as_an_entity(line, expected):
    assert brat.is_entity_like(line) == expected


@pytest.mark.parametrize(
    ("line", "label"),
    [
        ("T1\tX", "X"),
        ("T1\tX 8", "X"),
        ("T1\tSign Symptom 8", "Sign Symptom"),
        ("T1 X 8 14 fever", "X"),
        ("T1\tMr Smith 8", ""),
        ("T1", ""),
        ("The X", "X"),
        ("", ""),
    ],
)
def test_only_a_known_label_is_named(line, label):
    assert brat.label_in_line(line, {"X", "Sign Symptom"}) == label


@pytest.mark.parametrize(
    ("ann", "read"),
    [
        ("T1\tX 0 1\ta\nT2\tX 0 1", ["T1"]),  # "0 1" may be the start of "0 12"
        ("T1\tX 0 1\ta\nT2\tX 0 1\n", ["T1", "T2"]),
        ("T1\tX 0 1\ta\nT2\tX 0 1\t", ["T1", "T2"]),
        ("T1\tX 0 1\nT2\tX 0 1", ["T1", "T2"]),
        ("T1\tX 0 1", ["T1"]),
    ],
)
def test_a_last_line_that_may_be_cut_off_is_not_read(ann, read):
    standoff = brat.loads(ann)
    assert [entity.id for entity in standoff.entities] == read
    assert brat.dumps(standoff) == ann
