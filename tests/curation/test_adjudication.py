"""One folder of BRAT from two annotators: what both have once, what they differ in twice."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from spacy_btl import brat, read_brat
from spacy_btl.conversion.reading import Reading
from spacy_btl.curation.adjudication import merge, write_adjudication
from spacy_btl.curation.agreement import compare_annotators
from tests.curation.test_agreement import WORDS, Entities, entities
from tests.helpers.annotators import TEXT, agreement_on, two_folders
from tests.helpers.files import tree

T1 = "T1\tProblem 26 32\tasthma\n"
T2 = "T2\tDrug 59 69\tsalbutamol\n"


def adjudicate(
    folder: Path, anna: str | None = None, ben: str | None = None, text: str = TEXT, **options: Any
) -> tuple[list[str], Any]:
    """Return the lines of the merged document, and the report."""
    folders = two_folders(
        folder,
        None if anna is None else {"case": (text, anna)},
        None if ben is None else {"case": (text, ben)},
    )
    report = write_adjudication(compare_annotators(*folders, **options), folder / "out")
    (document,) = brat.read_folder(folder / "out")
    assert not document.problems
    assert document.text == text
    return (folder / "out" / "case.ann").read_bytes().decode().splitlines(), report


def test_the_example_of_the_docs(tmp_path: Path) -> None:
    lines, report = adjudicate(tmp_path)
    assert lines == [
        "T1\tHistory 15 32\thistory of asthma",
        "T2\tHistory 10 32\tlong history of asthma",
        "#1\tAnnotatorNotes T1\tanna: other bounds, ben has T2",
        "#2\tAnnotatorNotes T2\tben: other bounds, anna has T1",
        "T3\tProblem 26 32\tasthma",
        "T4\tProblem 37 42\tfever",
        "T5\tDose 54 58\t5 mg",
        "T6\tDrug 54 58\t5 mg",
        "#3\tAnnotatorNotes T5\tanna: other type, ben has T6",
        "#4\tAnnotatorNotes T6\tben: other type, anna has T5",
        "T7\tDrug 59 69\tsalbutamol",
        "T8\tDrug 59 75\tsalbutamol daily",
        "#5\tAnnotatorNotes T7\tanna: other bounds, ben has T8",
        "#6\tAnnotatorNotes T8\tben: other bounds, anna has T7",
        "T9\tProblem 80 86\tasthma",
        "T10\tProblem 91 96\tcough",
        "#7\tAnnotatorNotes T10\tonly anna",
        "T11\tProblem 100 110\tchest pain",
        "T12\tProblem 88 90;100 110\tno chest pain",
        "#8\tAnnotatorNotes T11\tanna: other bounds, ben has T12",
        "#9\tAnnotatorNotes T12\tben: other bounds, anna has T11",
    ]
    assert report == json.loads((tmp_path / "out" / "adjudication.json").read_text())
    assert {key: report[key] for key in ("documents", "agreed", "candidates")} == {
        "documents": 1,
        "agreed": 3,
        "candidates": 9,
    }
    assert {*tree(tmp_path / "out")} == {
        "adjudication.json", "annotation.conf", "case.ann", "case.txt", "visual.conf"
    }  # fmt: skip
    docs, _ = read_brat(tmp_path / "out")
    assert len(docs[0].spans["brat"]) == 12


OTHERS = {
    # what anna has besides T1 and T2, what ben has, what becomes of it
    "the same": (
        "N1\tReference T1 UMLS:C1\tasthma\nR1\tTreats Arg1:T2 Arg2:T1\n",
        "R7\tTreats Arg1:T2 Arg2:T1\nN2\tReference T1 UMLS:C1\tasthma\n",
        ["N1\tReference T1 UMLS:C1\tasthma", "R1\tTreats Arg1:T2 Arg2:T1"],
    ),
    "other concepts": (
        "N1\tReference T1 UMLS:C1\tasthma\n",
        "N1\tReference T1 UMLS:C2\tasthma\n",
        [
            "N1\tReference T1 UMLS:C1\tasthma",
            "N2\tReference T1 UMLS:C2\tasthma",
            "#1\tAnnotatorNotes T1\tonly anna has N1",
            "#2\tAnnotatorNotes T1\tonly ben has N2",
        ],
    ),
    "an attribute of one": (
        "",
        "M1\tNegated T1\n",
        ["A1\tNegated T1", "#1\tAnnotatorNotes T1\tonly ben has A1"],
    ),
    "a relation of one": (
        "R1\tTreats Arg1:T2 Arg2:T1\n",
        "",
        ["R1\tTreats Arg1:T2 Arg2:T1", "#1\tAnnotatorNotes R1\tonly anna"],
    ),
    "an event with an attribute": (
        "E1\tDrug:T2 For:T1\nA1\tPast E1\n",
        "E4\tDrug:T2 For:T1\nA9\tPast E4\n",
        ["E1\tDrug:T2 For:T1", "A1\tPast E1"],
    ),
    "events that are arguments of each other": (
        "E1\tDrug:T2 For:E2\nE2\tProblem:T1 By:E1\n",
        "",
        [
            "E1\tDrug:T2 For:E2",
            "E2\tProblem:T1 By:E1",
            "#1\tAnnotatorNotes E1\tonly anna",
            "#2\tAnnotatorNotes E2\tonly anna",
        ],
    ),
    "notes, and what belongs together": (
        "#1\tAnnotatorNotes T1\tsure?\n*\tEquiv T1 T2\n",
        "*\tEquiv T1 T2\n",
        ["#1\tAnnotatorNotes T1\tsure?", "*\tEquiv T1 T2"],
    ),
}


@pytest.mark.parametrize(("anna", "ben", "expected"), OTHERS.values(), ids=OTHERS)
def test_other_records(tmp_path: Path, anna: str, ben: str, expected: list[str]) -> None:
    lines, report = adjudicate(tmp_path, T1 + T2 + anna, T1 + T2 + ben)
    assert [line.strip() for line in lines[2:]] == expected
    assert report["left_out"] == []


def test_records_follow_the_version_that_they_belong_to(tmp_path: Path) -> None:
    anna = T1 + "N1\tReference T1 UMLS:C1\tasthma\n"
    ben = "T5\tHistory 26 32\tasthma\nN1\tReference T5 UMLS:C2\tasthma\n"
    lines, _ = adjudicate(tmp_path, anna, ben)
    assert [line for line in lines if line.startswith(("T", "N"))] == [
        "T1\tProblem 26 32\tasthma",
        "T2\tHistory 26 32\tasthma",
        "N1\tReference T1 UMLS:C1\tasthma",
        "N2\tReference T2 UMLS:C2\tasthma",
    ]


def test_what_cannot_be_kept_is_listed(tmp_path: Path) -> None:
    anna = T1 + "T3\tDrug 59 9999\tsalbutamol\nR1\tTreats Arg1:T3 Arg2:T1\nR2 not a relation\n"
    _, report = adjudicate(tmp_path, anna, T1)
    assert report["left_out"] == [
        {"document": "case", "annotator": "anna", "id": "", "kind": "Unknown"},
        {"document": "case", "annotator": "anna", "id": "R1", "kind": "Relation"},
    ]


def test_types_that_one_was_not_asked_for_stay_without_a_note(tmp_path: Path) -> None:
    lines, report = adjudicate(tmp_path, T1 + T2, T1, reading_b=Reading(labels=["Problem"]))
    assert lines == [T1.strip(), T2.strip()]
    assert (report["agreed"], report["candidates"]) == (2, 0)


def test_labels_and_line_breaks_are_written_as_brat_reads_them(tmp_path: Path) -> None:
    spans = [{"start": 0, "end": 7, "label": "Side effect"}]
    row = {"text": "one\ntwo", "spans": spans, "id": "case"}
    for name in ("anna", "ben"):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row))
    found = compare_annotators(tmp_path / "anna.jsonl", tmp_path / "ben.jsonl")
    report = write_adjudication(found, tmp_path / "out")
    (path,) = (tmp_path / "out").glob("*.ann")
    assert path.read_text() == "T1\tSide_effect 0 3;4 7\tone two\n"
    assert report["labels"] == {"Side effect": "Side_effect"}


def test_documents_that_are_not_compared_are_named(tmp_path: Path) -> None:
    folders = two_folders(
        tmp_path,
        {"a": (TEXT, T1), "b": (TEXT, T1), "x/y.z": (TEXT, T1)},
        {"b": ("Not this.", ""), "c": (TEXT, T1), "x/y.z": (TEXT, T1)},
    )
    report = write_adjudication(compare_annotators(*folders), tmp_path / "out")
    assert report["not_written"].keys() == {"a", "b", "c"}
    assert report["not_written"]["c"] == "only ben has it"
    assert {"x/y.z.txt", "x/y.z.ann"} <= {*tree(tmp_path / "out")}


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    found = compare_annotators(*two_folders(tmp_path))
    with pytest.raises(ValueError, match="is not empty: its files are not overwritten"):
        write_adjudication(found, tmp_path / "anna")


@settings(deadline=None, max_examples=40)
@given(entities(), entities())
def test_each_version_can_be_had_by_deleting_the_other(a: Entities, b: Entities) -> None:
    found = agreement_on(WORDS.replace(" ", "x"), a, b)  # white space at ends is left out
    (document,), (pair,) = found.documents, found.annotations.pairs
    merged = merge(pair, document.matches, found)
    notes = {r.target: r.text for r in merged.standoff.records if isinstance(r, brat.Note)}
    for name, own in (("anna", a), ("ben", b)):
        kept = [
            (e.label, e.fragments)
            for e in merged.standoff.entities
            if notes.get(e.id, "only " + name).startswith((f"{name}: ", f"only {name}"))
        ]
        assert sorted(kept) == sorted(own)
    assert merged.candidates == len(notes)
    assert merged.agreed == len({*a} & {*b})
