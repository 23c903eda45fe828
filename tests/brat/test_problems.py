import pytest

from spacy_btl import brat

TEXT = "left arm\r\nand leg \u2005x"

CHECKS = {
    "all well": ("T1\tX 0 8\tleft arm\n", []),
    "discontinuous": ("T1\tX 0 4;14 17\tleft leg\n", []),
    "fragments out of order": ("T1\tX 14 17;0 4\tleg left\n", []),
    "fragments out of order, text in order": ("T1\tX 14 17;0 4\tleft leg\n", ["surface"]),
    "newline as a space": ("T1\tX 5 13\tarm and\n", []),
    "newline as brat writes it": ("T1\tX 5 13\tarm\r and\n", []),
    "newline as it is": ("T1\tX 5 13\tarm\r\nand\n", []),
    "newline as a bar": ("T1\tX 5 13\tarm|and\n", ["surface"]),
    "one space for an odd one": ("T1\tX 14 20\tleg   x\n", ["surface"]),
    "two spaces between fragments": ("T1\tX 0 4;14 17\tleft  leg\n", ["surface"]),
    "white space after it": ("T1\tX 0 4\tleft \t\n", []),
    "white space before it": ("T1\tX 0 4\t\tleft\n", []),
    "white space of the text left out": ("T1\tX 4 8\tarm\n", []),
    "no surface text": ("T1\tX 0 4\t\n", []),
    "no surface text, no tab": ("T1\tX 0 4\n", []),
    "no surface text, outside": ("T1\tX 0 99\t\n", ["outside"]),
    "event without a trigger": ("T1\tX 0 4\tleft\nE1\tX Who:T1\nM1\tN Annotation:E1\n", []),
    "other case": ("T1\tX 0 4\tLeft\n", ["surface"]),
    "what could not be decoded": ("T1\tX 14 20\tleg \ufffdx\n", []),
    "what could not be decoded, for a letter": ("T1\tX 0 4\tl\ufffdft\n", ["surface"]),
    "end of the text": ("T1\tX 19 20\tx\n", []),
    "beyond the text": ("T1\tX 19 21\tx\n", ["outside"]),
    "second fragment beyond": ("T1\tX 0 4;90 93\tleft leg\n", ["outside"]),
    "empty": ("T1\tX 3 3\t\n", ["empty"]),
    "end before start": ("T1\tX 8 5\tarm\n", ["empty"]),
    "duplicate id": ("T1\tX 0 4\tleft\nT1\tX 0 4\tleft\n", ["duplicate-id"]),
    "duplicate of an unreadable one": (
        "T1\tX\nT1\tX 0 4\tleft\n",
        ["unreadable", "duplicate-id"],
    ),
    "two equivalences": ("T1\tX 0 4\tleft\n*\tEq T1 T1\n*\tEq T1 T1\n", []),
    "gaps in the numbers": ("T9\tX 0 4\tleft\nT3\tX 0 4\tleft\n", []),
    "no records": ("", []),
    "blank lines": ("\n\r\n \n", []),
    "note on a relation": (
        "T1\tX 0 4\tleft\nR1\tR Arg1:T1 Arg2:T1\n#1\tAnnotatorNotes R1\twhy\n",
        [],
    ),
    "trigger missing": ("E1\tX:T1\n", ["missing-reference"]),
    "arguments missing, one problem": (
        "T1\tX 0 4\tleft\nE1\tX:T1 A:T2 B:T3\n",
        ["missing-reference"],
    ),
    "relation's argument missing": (
        "T1\tX 0 4\tleft\nR1\tR Arg1:T1 Arg2:T2\n",
        ["missing-reference"],
    ),
    "attribute's target missing": ("A1\tX E1\n", ["missing-reference"]),
    "normalization's target missing": ("N1\tX T1 DB:1\ta\n", ["missing-reference"]),
    "note's target missing": ("#1\tAnnotatorNotes T1\ta\n", ["missing-reference"]),
    "member missing": ("*\tEq T1 T2\n", ["missing-reference"]),
    "reference forward": ("E1\tX:T1\nT1\tX 0 4\tleft\n", []),
    "reference to an unreadable one": ("T1\tX 0\nA1\tX T1\n", ["unreadable"]),
}


@pytest.mark.parametrize(("ann", "reasons"), CHECKS.values(), ids=CHECKS)
def test_check(ann, reasons):
    assert [problem.reason for problem in brat.check(brat.loads(ann), TEXT)] == reasons


def test_problem_says_where_and_what():
    (problem,) = brat.check(brat.loads("\nT1\tBody 0 4\tright\n"), TEXT)
    assert (problem.record_id, problem.line, problem.label) == ("T1", 2, "Body")
    assert problem.detail == (
        "the text at 0-4 is not the annotated one: 4 characters there, 5 annotated, the first 0 "
        "equal"
    )
    assert (problem.file, problem.level) == ("", "error")


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("T1\tBody 0 4\tSECRET\n", "T1"),
        ("T1\tBody 0 99\tSECRET\n", "T1"),
        ("SECRET\n", ""),
        ("S7SECRET\tSECRET\n", ""),
        ("T7\tSECRET\n", "T7"),
        ("R1\tNext a:SECRET b:T0\n", "R1"),
        ("#1\tNote SECRET\tSECRET\n", "#1"),
    ],
)
def test_problem_quotes_no_text(line, name):
    (problem,) = brat.check(brat.loads(line), TEXT)
    assert problem.record_id == name
    assert "SECRET" not in repr(problem)


@pytest.mark.parametrize(
    ("line", "label"),
    [
        ("E1\tEv:T0", "Ev"),
        ("R1\tRel a:T0", "Rel"),
        ("A1\tAtt T0", "Att"),
        ("*\tEq T0", "Eq"),
        ("bad", ""),
    ],
)
def test_problem_names_the_label(line, label):
    assert [problem.label for problem in brat.check(brat.loads(line), "")] == [label]


def test_check_without_a_text_leaves_out_what_needs_it():
    standoff = brat.loads("T1\tX 0 99\tany\nT2\tX 4 4\t\nE1\tX:T9\n")
    assert [p.reason for p in brat.check(standoff, None)] == [
        "empty",
        "missing-reference",
    ]
