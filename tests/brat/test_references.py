import pytest

from spacy_btl import brat
from spacy_btl.brat import references, without_references

ANN = """\
E1\tEvent:T1 Theme:T2 Theme2:E2
E2\tEvent:T3
R1\tNext Arg1:T1 Arg2:T2
R2\tNext Arg1:E1 Arg2:E2
A1\tNegation E1
N1\tReference T2 DB:1\tname
*\tEquiv T1 T2 T3
*\tEquiv T1 T2
#1\tAnnotatorNotes R2\ta note
#2\tAnnotatorNotes T9\tof no entity
just words
"""
RECORDS = brat.loads(ANN).records


def line(record):
    return brat.dumps(brat.Standoff((record,))).rstrip("\n")


@pytest.mark.parametrize(
    ("record", "expected"),
    list(zip(
        RECORDS,
        [
            ("T1", "T2", "E2"), ("T3",), ("T1", "T2"), ("E1", "E2"), ("E1",), ("T2",),
            ("T1", "T2", "T3"), ("T1", "T2"), ("R2",), ("T9",), (),
        ],
        strict=True,
    )),
)  # fmt: skip
def test_references(record, expected):
    assert references(record) == expected


@pytest.mark.parametrize(
    ("gone", "kept", "shortened"),
    [
        ((), ["E1", "E2", "R1", "R2", "A1", "N1", "*", "*", "#1", "#2", ""], []),
        (("T7",), ["E1", "E2", "R1", "R2", "A1", "N1", "*", "*", "#1", "#2", ""], []),
        (
            ("T2",),
            ["E1", "E2", "R2", "A1", "*", "#1", "#2", ""],
            ["E1\tEvent:T1 Theme2:E2", "*\tEquiv T1 T3"],
        ),
        # E2 goes, and with it R2, and with that its note.
        (
            ("T3",),
            ["E1", "R1", "A1", "N1", "*", "*", "#2", ""],
            ["E1\tEvent:T1 Theme:T2", "*\tEquiv T1 T2"],
        ),
        (("T1",), ["E2", "N1", "*", "#2", ""], ["*\tEquiv T2 T3"]),
        (("T1", "T2", "T3"), ["#2", ""], []),
    ],
)
def test_records_without_what_they_refer_to(gone, kept, shortened):
    records, losses = without_references(RECORDS, gone)
    names = ["*" if isinstance(r, brat.Equivalence) else r.id for r in records]
    assert names == kept
    assert [line(record) for record in records if record not in RECORDS] == shortened
    assert sum(loss.what == "shortened" for loss in losses) == len(shortened)
    assert sum(loss.what == "left out" for loss in losses) == len(RECORDS) - len(kept)
