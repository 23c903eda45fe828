"""Tables of concepts: what is found, and what is refused with its line."""

import re
from pathlib import Path

import pytest

from spacy_btl.omop.concepts import (
    UNKNOWN,
    Concept,
    Concepts,
    normalized,
    read_concepts,
    read_sections,
)

TABLE = """label,text,concept_id,source_concept_id
Medication,,21600001,
Medication,Warfarin  Sodium,1310149,44816492
Medication,"aspirin, 100 mg",1112807,
"""


def read(tmp_path: Path, content: str | bytes, name: str = "concepts.csv") -> Concepts:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_concepts(path)


@pytest.mark.parametrize(
    ("label", "text", "expected"),
    [
        ("Medication", "heparin", Concept(21600001)),
        ("Medication", "warfarin sodium", Concept(1310149, 44816492)),
        ("Medication", " WARFARIN\n\tSodium ", Concept(1310149, 44816492)),
        ("Medication", "Aspirin, 100 mg", Concept(1112807)),
        ("medication", "heparin", UNKNOWN),  # labels are those of the pipeline
        ("Sign_symptom", "warfarin sodium", UNKNOWN),
    ],
)
def test_the_text_goes_before_the_label(
    tmp_path: Path, label: str, text: str, expected: Concept
) -> None:
    assert read(tmp_path, TABLE).find(label, text) == expected


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "label,concept_id\nAge,7\n"),
        ("a.csv", "\ufeffconcept_id;label\r\n7;Age\r\n\r\n"),
        ("a.tsv", "label\ttext\tconcept_id\nAge\t\t7\n"),
        ("a.csv", "label,concept_id\nAge,7\n Age , 7 \n"),  # twice, with the same id
    ],
)
def test_ways_to_write_a_table(tmp_path: Path, name: str, content: str) -> None:
    assert read(tmp_path, content, name).by_text == {("Age", ""): Concept(7)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", 'line 1: no column "label"; a table of concepts has label, concept_id and, if'),
        ("label,text\nAge,x\n", 'line 1: no column "concept_id"'),
        ("label,concept_id,vocabulary\nAge,7,x\n", 'line 1: the unknown column "vocabulary"'),
        ("label,label,concept_id\nAge,Age,7\n", 'line 1: 2 columns "label"'),
        ("label,concept_id\nAge\n", "line 2: 1 cells, but the header has 2"),
        ("label,concept_id\n,7\n", "line 2: label is missing"),
        ("label,concept_id\nAge,\n", "line 2: concept_id is '', but must be a whole number"),
        ("label,concept_id\nAge,7.0\n", "line 2: concept_id is '7.0', but must be a whole"),
        ("label,concept_id\nAge,-7\n", "line 2: concept_id is '-7', but must be a whole"),
        ("label,concept_id\nAge,2147483648\n", "line 2: concept_id is '2147483648', but must"),
        ("label,concept_id,source_concept_id\nAge,7,x\n", "line 2: source_concept_id is 'x'"),
        (
            "label,concept_id\nAge,7\n\nAge,8\n",
            "line 4: the same entry as line 2, with different ids",
        ),
        (
            "label,text,concept_id\nAge,Two  YEARS,7\nAge,two years,8\n",
            "line 3: the same entry as line 2, with different ids",
        ),
        ('label,concept_id\n"Age"x,7\n', "line 2: "),
        (b"label,concept_id\n\xe9,7\n", "is not UTF-8, from byte 17"),
    ],
)
def test_what_is_refused(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(ValueError) as raised:
        read(tmp_path, content)
    assert f"concepts.csv{'' if message.startswith('is') else ','} {message}" in str(raised.value)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"the table of concepts .* does not exist"):
        read_concepts(tmp_path / "no.csv")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("section,concept_id\nPast  Medical History,4083\nplan,0\n", {"plan": 0}),
        ("concept_id;section\n4083;past_medical_history\n", {"past_medical_history": 4083}),
        ("section,concept_id\nPlan,7\nPLAN,7\n", {"plan": 7}),
        (
            "section,concept_id\nPlan,7\nPLAN,8\n",
            "line 3: the same entry as line 2, with different ids",
        ),
        ("section,concept_id\n,7\n", "line 2: section is missing"),
        ("section,concept_id\nPlan,\n", "line 2: concept_id is '', but must be a whole number"),
        ("label,concept_id\nPlan,7\n", 'no column "section"; a table of sections has section, con'),
        ("section,concept_id,text\nPlan,7,x\n", 'the unknown column "text"'),
    ],
)
def test_sections(tmp_path: Path, content: str, expected: dict[str, int] | str) -> None:
    path = tmp_path / "sections.csv"
    path.write_text(content)
    if isinstance(expected, str):
        with pytest.raises(ValueError, match=re.escape(expected)):
            read_sections(path)
    else:
        found = read_sections(path)
        assert expected.items() <= found.items()
        assert all(name == normalized(name) for name in found)
    with pytest.raises(FileNotFoundError, match=r"the table of sections .* does not exist"):
        read_sections(tmp_path / "no.csv")


def test_forms_of_one_text() -> None:
    assert normalized(" Caf\u00e9\u00a0 AU\nlait") == normalized("cafe\u0301 au lait")
