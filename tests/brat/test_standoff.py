import ast
import itertools
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spacy_btl import brat
from spacy_btl.brat import (
    Attribute,
    Entity,
    Equivalence,
    Event,
    Normalization,
    Note,
    Relation,
    Standoff,
    Unknown,
)


def bare(record):
    """Return the record without its place in the file."""
    return record._replace(line=0, raw="")


def read_one(line):
    (record,) = brat.loads(line).records
    return record


@pytest.mark.parametrize("path", sorted(Path(brat.__file__).parent.glob("*.py")))
def test_needs_only_the_standard_library(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom) and not node.level
            else []
        )
    }
    assert imported <= sys.stdlib_module_names


# One line, one record.

LINES = [
    ("T1\tAge 8 19\t28-year-old", Entity("T1", "Age", ((8, 19),), "28-year-old")),
    ("T2\tNon-query-able 0 2\tas", Entity("T2", "Non-query-able", ((0, 2),), "as")),
    ("T3\tX 5 7;0 2\tab cd", Entity("T3", "X", ((5, 7), (0, 2)), "ab cd")),
    ("T007\tX 0 2;3 4;6 8\ta b c", Entity("T007", "X", ((0, 2), (3, 4), (6, 8)), "a b c")),
    ("T4\tX 9 3\tback to front", Entity("T4", "X", ((9, 3),), "back to front")),
    ("T5\tX 0 0\t", Entity("T5", "X", ((0, 0),), "")),
    ("T6\tMasse_Größe 0 1\tö", Entity("T6", "Masse_Größe", ((0, 1),), "ö")),
    ("E1\tClinical_event:T4 ", Event("E1", "Clinical_event", "T4")),
    ("E1\tClinical_event:T4", Event("E1", "Clinical_event", "T4")),
    ("E1\tPHI:NAME:T5 Theme:T1", Event("E1", "PHI:NAME", "T5", (("Theme", "T1"),))),
    ("E1\ta:b:E5", Event("E1", "a:b", "E5")),
    ("E1\tBinding:T3:Theme:T1", Event("E1", "Binding", "T3:Theme:T1")),
    ("E3\tBinding Theme:T1", Event("E3", "Binding", "", (("Theme", "T1"),))),
    (
        "E2\tBinding:T3 Theme:T1 Theme2:E1",
        Event("E2", "Binding", "T3", (("Theme", "T1"), ("Theme2", "E1"))),
    ),
    (
        "R1\tIDENTICAL Arg1:E5 Arg2:E4\t",
        Relation("R1", "IDENTICAL", (("Arg1", "E5"), ("Arg2", "E4"))),
    ),
    ("R2\tPart Arg1:T1 Arg2:T2", Relation("R2", "Part", (("Arg1", "T1"), ("Arg2", "T2")))),
    ("A1\tNegation E1", Attribute("A1", "Negation", "E1")),
    ("A1\tNegation E1 ", Attribute("A1", "Negation", "E1")),
    ("A2\tPOLARITY E35 NEG", Attribute("A2", "POLARITY", "E35", "NEG")),
    ("A3\tCertainty T1 very likely", Attribute("A3", "Certainty", "T1", "very likely")),
    ("A4\tConfidence T1 0.5\ta tail", Attribute("A4", "Confidence", "T1", "0.5")),
    ("A5\tNegation  E1", Attribute("A5", "Negation", "E1")),
    ("M1\tSpeculation E2", Attribute("M1", "Speculation", "E2")),
    ("M2\tNegation Annotation:E1", Attribute("M2", "Negation", "E1")),
    ("R3\tPart\tArg1:T1\tArg2:T2", Relation("R3", "Part", (("Arg1", "T1"), ("Arg2", "T2")))),
    ("R4\tPart  Arg1:T1", Relation("R4", "Part", (("Arg1", "T1"),))),
    (
        "N1\tReference T1 UMLS:C0011849\tDiabetes mellitus",
        Normalization("N1", "Reference", "T1", "UMLS:C0011849", "Diabetes mellitus"),
    ),
    ("N2\tReference T1 MeSH:D003920", Normalization("N2", "Reference", "T1", "MeSH:D003920")),
    (
        "N3\tOntoBiotope Annotation:T4 Referent:OBT:000427",
        Normalization("N3", "OntoBiotope", "T4", "OBT:000427"),
    ),
    (
        "N4\tReference T1 MYDB:ID 12 34\tAsthma, unspecified",
        Normalization("N4", "Reference", "T1", "MYDB:ID 12 34", "Asthma, unspecified"),
    ),
    ("N5\tReference  T1 MeSH:D1\tx", Normalization("N5", "Reference", "T1", "MeSH:D1", "x")),
    ("*\tOVERLAP E3 E4 E5", Equivalence("OVERLAP", ("E3", "E4", "E5"))),
    ("#1\tAnnotatorNotes E12\ta note", Note("#1", "AnnotatorNotes", "E12", "a note")),
    ("#2\tAnnotatorNotes R2\ttabs\tin it", Note("#2", "AnnotatorNotes", "R2", "tabs\tin it")),
    ("#3\tAnnotatorNotes T1", Note("#3", "AnnotatorNotes", "T1")),
    ("", Unknown("")),
    (" \t ", Unknown(" \t ")),
]


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"], ids=["none", "lf", "crlf"])
@pytest.mark.parametrize(("line", "expected"), LINES, ids=[line[:12] for line, _ in LINES])
def test_line_is_read(line, expected, ending):
    if not line + ending:
        assert brat.loads("").records == ()
        return
    record = read_one(line + ending)
    assert type(record) is type(expected)
    assert bare(record) == expected
    assert (record.line, record.raw) == (1, line + ending)


@pytest.mark.parametrize(
    ("line", "record_id"),
    [
        ("T1\tAge 8\tx", "T1"),
        ("T1\tAge -1 2\tabc", "T1"),
        ("T1\tAge 1.0 2\tabc", "T1"),
        ("T1\tAge ٣ ٤\tx", "T1"),  # digits, but of another script
        (f"T1\tAge 0 {'9' * 5000}\tx", "T1"),  # more digits than int() takes
        ("T1\tAge 8 19;\tx", "T1"),
        ("T1\tAge 8 19;20\tx", "T1"),
        ("T1\t 8 19\tx", "T1"),
        ("T1 Age 8 19 x", ""),
        ("T\tAge 8 19\tx", ""),
        ("E1\tBinding", "E1"),
        ("E1\tBinding:T1 T2", "E1"),
        ("R1\tPart", "R1"),
        ("A1\tNegation", "A1"),
        ("N1\tReference T1", "N1"),
        ("*\tEquiv", "*"),
        ("#1\tAnnotatorNotes", "#1"),
        ("# a comment", ""),
        ("X1\twhat is this", "X1"),
        ("just words", ""),
    ],
)
def test_malformed_line_is_kept_and_reported(line, record_id):
    standoff = brat.loads(f"T9\tX 0 1\ta\n{line}\nT8\tX 0 1\ta\n")
    assert [entity.id for entity in standoff.entities] == ["T9", "T8"]
    record = standoff.records[1]
    assert isinstance(record, Unknown)
    assert (record.text, record.id, record.line, record.raw) == (line, record_id, 2, line + "\n")
    assert [(p.record_id, p.line, p.reason) for p in brat.check(standoff, "a")] == [
        (record_id, 2, "unreadable")
    ]


@pytest.mark.parametrize(
    "char", list("\u200a\u2005\u2009\u200b\u00a0\u3000\x85\u2028\u2029\x0b\x0c\x1c\x1d\x1e\r")
)
def test_only_a_line_feed_ends_a_line_and_no_other_space_is_eaten(char):
    text = f"{char}a{char}b{char}c"
    ann = f"T1\tX 0 6\t{text}\n#1\tAnnotatorNotes T1\t{text}\nT2\tX 0 6\t{text}\n"
    standoff = brat.loads(ann)
    assert [record.text for record in standoff.records] == [text] * 3
    assert brat.dumps(standoff) == ann


def test_odd_space_at_the_end_of_a_surface_text_is_kept():
    standoff = brat.loads("T1\tDosage 0 5\t8\u2005mg\u2005\n")
    assert standoff.entities[0].text == "8\u2005mg\u2005"
    assert brat.check(standoff, "8\u2005mg\u2005 daily") == []


def test_tab_in_a_surface_text_is_kept():
    standoff = brat.loads("T1\tDosage 0 4\t8\tmg\nT2\tX 0 1\t8\n")
    assert [entity.text for entity in standoff.entities] == ["8\tmg", "8"]
    assert brat.check(standoff, "8\tmg") == []


# Records over several lines.

SPILLS = {
    "two lines": ("T1\tX 0 3\ta\nb\n", ["a\nb"], []),
    "three lines, one blank": ("T1\tX 0 4\ta\n\nb\n", ["a\n\nb"], []),
    "tab after the newline": ("T1\tX 0 5\ta\nb\tc\n", ["a\nb\tc"], []),
    "a record follows": ("T1\tX 0 3\ta\nb\nT2\tX 0 1\ta\n", ["a\nb", "a"], []),
    "CRLF in text and ann": ("T1\tX 0 4\ta\r\nb\r\n", ["a\r\nb"], []),
    "CRLF in the text, LF in the ann": ("T1\tX 0 4\ta\nb\nT2\tX 0 1\ta\n", ["a\nb", "a"], []),
    "CRLF in the ann, LF in the text": ("T1\tX 0 3\ta\r\nb\r\n", ["a\r\nb"], []),
    "fragments": ("T1\tX 0 3;5 6\ta\nb c\n", ["a\nb c"], []),
    "ends with a newline": ("T1\tX 0 2\ta\n\n", ["a\n"], []),
    "no final newline": ("T1\tX 0 3\ta\nb", ["a\nb"], []),
    "spaces end the file": ("T1\tX 0 5\ta\nb  ", ["a\nb  "], []),
    "long enough already": ("T1\tX 0 1\ta\nb\n", ["a"], ["b"]),
    "next line is a record": ("T1\tX 0 9\ta\nE1\tX:T1\n", ["a"], []),
    "next line is an equivalence": ("T1\tX 0 9\ta\n*\tEquiv T1 T1\n", ["a"], []),
    "next line is too long": ("T1\tX 0 3\ta\nno part of it\n", ["a"], ["no part of it"]),
    "never long enough": ("T1\tX 0 99\ta\nb\nc\n", ["a"], ["b", "c"]),
}


@pytest.mark.parametrize(("ann", "texts", "unknown"), SPILLS.values(), ids=SPILLS)
def test_record_over_several_lines(ann, texts, unknown):
    standoff = brat.loads(ann)
    assert [entity.text for entity in standoff.entities] == texts
    assert [r.text for r in standoff.records if isinstance(r, Unknown)] == unknown
    assert brat.dumps(standoff) == ann


def test_lines_are_counted_through_a_record_over_several():
    standoff = brat.loads("T1\tX 0 3\ta\nb\nT2\tX 0 1\ta\n\nT3\tX 0 9\ta\nno\n")
    assert [record.line for record in standoff.records] == [1, 3, 4, 5, 6]
    assert standoff.records[0].raw == "T1\tX 0 3\ta\nb\n"


def test_records_stream():
    lines = (f"T{i}\tX 0 1\ta\n" for i in itertools.count(1))
    first = list(itertools.islice(brat.iter_records(lines), 3))
    assert [record.id for record in first] == ["T1", "T2", "T3"]
    assert next(lines).startswith("T4\t")


# Round trip.

ANY_TEXT = st.one_of(
    st.text(),
    st.text("TER#*1 2\t\n\r:;abX\u2005\u2028\ufeff"),
    st.lists(
        st.sampled_from(
            [*(line for line, _ in LINES), "T1\tX 0 5\ta", "b", "\n", "\r\n", "\r", "\ufeff", "\t"]
        )
    ).map("".join),
)


@given(ANY_TEXT)
def test_any_text_comes_back_as_it_was(text):
    assert brat.dumps(brat.loads(text)) == text


@given(ANY_TEXT)
def test_no_text_makes_the_check_fail(text):
    standoff = brat.loads(text)
    problems = brat.check(standoff, "abc")
    unreadable = [r.line for r in standoff.records if isinstance(r, Unknown) and r.reason]
    assert [p.line for p in problems if p.reason == "unreadable"] == unreadable


NUMBERS = st.integers(0, 10**6)
NAMES = st.text("abcXYZ_-é\u2005", min_size=1)
SURFACES = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]))
REFERENCES = st.builds("{}{}".format, st.sampled_from("TER"), NUMBERS)
ARGUMENTS = st.lists(st.tuples(NAMES, REFERENCES), min_size=1).map(tuple)


def ids(letter):
    return NUMBERS.map(lambda number: f"{letter}{number}")


RECORDS = st.one_of(
    st.builds(
        Entity,
        ids("T"),
        NAMES,
        st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1).map(tuple),
        SURFACES,
    ),
    st.builds(Event, ids("E"), NAMES, REFERENCES, ARGUMENTS | st.just(())),
    st.builds(Event, ids("E"), NAMES, st.just(""), ARGUMENTS),
    st.builds(Relation, ids("R"), NAMES, ARGUMENTS),
    st.builds(Attribute, ids("A"), NAMES, REFERENCES, NAMES | st.none()),
    st.builds(Normalization, ids("N"), NAMES, REFERENCES, NAMES, SURFACES),
    st.builds(Equivalence, NAMES, st.lists(REFERENCES, min_size=1).map(tuple)),
    st.builds(Note, ids("#"), NAMES, REFERENCES, SURFACES),
).map(bare)


@settings(suppress_health_check=[HealthCheck.too_slow])  # a busy machine is slow at characters
@given(st.lists(RECORDS))
def test_records_made_in_code_are_read_back_equal(records):
    text = brat.dumps(Standoff(tuple(records)))
    read = brat.loads(text).records
    assert [bare(record) for record in read] == records
    assert [record.line for record in read] == list(range(1, len(records) + 1))


@pytest.mark.parametrize(
    ("record", "line"),
    [
        (Entity("T1", "X", ((0, 1), (3, 5)), "a bc"), "T1\tX 0 1;3 5\ta bc\n"),
        (Entity("T1", "X", ((0, 4),), "a\r\nb"), "T1\tX 0 4\ta b\n"),
        (Entity("T1", "Body part", ((0, 1),), "a"), "T1\tBody part 0 1\ta\n"),
        (Event("E1", "X", "T1", (("Theme", "T2"),)), "E1\tX:T1 Theme:T2\n"),
        (Event("E1", "X", "", (("Theme", "T2"),)), "E1\tX Theme:T2\n"),
        (Relation("R1", "X", (("Arg1", "T1"), ("Arg2", "T2"))), "R1\tX Arg1:T1 Arg2:T2\n"),
        (Attribute("A1", "X", "T1"), "A1\tX T1\n"),
        (Attribute("A1", "X", "T1", "v"), "A1\tX T1 v\n"),
        (Normalization("N1", "X", "T1", "DB:1", "a"), "N1\tX T1 DB:1\ta\n"),
        (Equivalence("X", ("T1", "T2")), "*\tX T1 T2\n"),
        (Note("#1", "X", "T1", "a"), "#1\tX T1\ta\n"),
        (Unknown("anything"), "anything\n"),
        (Unknown(""), "\n"),
    ],
)
def test_record_made_in_code_is_written_in_brats_form(record, line):
    assert brat.dumps(Standoff((record,))) == line


@pytest.mark.parametrize(
    "record",
    [
        Entity("T1", "Body\tpart", ((0, 1),), "a"),
        Entity("T1", "1 2", ((0, 1),), "a"),
        Entity("T1", "Body  part", ((0, 1),), "a"),
        Entity("T1", "", ((0, 1),), "a"),
        Entity("T1", "X", (), "a"),
        Entity("T1", "X", ((-1, 1),), "a"),
        Entity("1", "X", ((0, 1),), "a"),
        Event("E1", "a:T2", "T1"),
        Relation("R1", "X", ()),
        Attribute("A1", "X", "T1", ""),
        Attribute("A1", "X", "T1", "v\nT1\tX 0 1\ta"),
        Normalization("N1", "X", "T1", "", "a"),
        Equivalence("X", ()),
        Note("#1", "X", "T 1", "a"),
        Unknown("two\nlines"),
        Unknown("T1\tX 0 1\ta"),
    ],
)
def test_record_that_would_not_be_read_back_is_not_written(record):
    with pytest.raises(ValueError, match="would not be read back") as caught:
        brat.dumps(Standoff((record,)))
    assert "lines" not in str(caught.value)  # errors quote no text


def test_altered_record_is_written_with_its_new_fields():
    standoff = brat.loads("E1\tX:T1 \nT1\tX 0 1\ta\r\n")
    event, entity = standoff.records
    altered = Standoff((event, entity._replace(label="Y")))
    assert brat.dumps(altered) == "E1\tX:T1 \nT1\tY 0 1\ta\n"


def test_record_added_after_a_line_without_ending_starts_a_new_line():
    standoff = brat.loads("T1\tX 0 1\ta")
    longer = Standoff((*standoff.records, Attribute("A1", "X", "T1")))
    assert brat.dumps(longer) == "T1\tX 0 1\ta\nA1\tX T1\n"


def test_byte_order_mark_before_the_first_record():
    ann = "\ufeffT1\tX 0 1\ta\nT2\tX 0 1\ta\n"
    standoff = brat.loads(ann)
    assert [entity.id for entity in standoff.entities] == ["T1", "T2"]
    assert brat.dumps(standoff) == ann
