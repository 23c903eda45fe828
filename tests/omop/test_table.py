"""A table is what a database reads back, in the types of the CDM."""

import io
from datetime import date, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spacy_btl.omop.table import (
    COLUMNS,
    MAX_INTEGER,
    NoteRow,
    note_id_error,
    note_id_key,
    snippet,
    stored,
    write_table,
)
from tests.helpers.omop import load

MOMENT = datetime(2026, 3, 1, 23, 59, 58)
ROW = NoteRow(12, None, "7", "fever", 437663, 0, "Y", None, None)
TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8).map(stored)
ROWS = st.builds(
    NoteRow,
    note_id=st.integers(-(2**31), MAX_INTEGER),
    snippet=st.none() | TEXTS,
    offset=st.integers(0, 10**6).map(str),
    lexical_variant=TEXTS,
    note_nlp_concept_id=st.integers(0, MAX_INTEGER),
    note_nlp_source_concept_id=st.integers(0, MAX_INTEGER),
    term_exists=st.sampled_from(["Y", "N", None]),
    term_temporal=st.sampled_from(["past", "present", None]),
    term_modifiers=st.none() | st.just("Negation=true; Subject=patient"),
    section_concept_id=st.none() | st.integers(0, MAX_INTEGER),
)


def write(path: Path, rows: list[NoteRow], first_id: int = 1, system: str = "en_x 1.0") -> Path:
    with path.open("wb") as file:
        write_table(file, path.suffix[1:], rows, system, MOMENT, first_id)
    return path


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=st.lists(ROWS, max_size=5))
def test_a_database_reads_what_was_written(tmp_path: Path, kind: str, rows: list[NoteRow]) -> None:
    if kind == "parquet":
        pytest.importorskip("pyarrow", reason="needs the extra parquet")
    found = load(write(tmp_path / f"note_nlp.{kind}", rows, 5))
    same = {
        "nlp_system": "en_x 1.0",
        "nlp_date": date(2026, 3, 1),
        "nlp_datetime": MOMENT,
    }
    assert found == [
        {"note_nlp_id": i, **same, **row._asdict()} for i, row in enumerate(rows, start=5)
    ]
    assert not found or tuple(found[0]) == COLUMNS


def test_the_types_of_parquet(tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet", reason="needs the extra parquet")
    schema = pq.read_schema(write(tmp_path / "note_nlp.parquet", []))
    types = {name: str(schema.field(name).type) for name in COLUMNS}
    assert schema.names == list(COLUMNS)
    assert {types.pop(name) for name in COLUMNS if name.endswith("_id")} == {"int32"}
    assert (types.pop("nlp_date"), types.pop("nlp_datetime")) == ("date32[day]", "timestamp[us]")
    assert set(types.values()) == {"string"}
    needed = {name for name in COLUMNS if not schema.field(name).nullable}
    assert needed == {"note_nlp_id", "note_id", "lexical_variant", "nlp_date"}


def test_a_csv_as_it_stands(tmp_path: Path) -> None:
    high = ROW._replace(lexical_variant='high,\n"very" high', snippet=" x ")
    rows = [ROW, high, ROW._replace(lexical_variant="a\rb")]
    text = write(tmp_path / "note_nlp.csv", rows).read_bytes().decode()
    when = "en_x 1.0,2026-03-01,2026-03-01 23:59:58,Y,,"
    assert text == (
        ",".join(COLUMNS) + f"\n1,12,,,7,fever,437663,0,{when}\n"
        f'2,12,, x ,7,"high,\n""very"" high",437663,0,{when}\n'
        f'3,12,,,7,"a\rb",437663,0,{when}\n'
    )


def test_a_long_name_of_a_pipeline_is_cut(tmp_path: Path) -> None:
    (row,) = load(write(tmp_path / "note_nlp.csv", [ROW], system="x" * 300))
    assert row["nlp_system"] == "x" * 250


def test_no_number_is_greater_than_an_integer() -> None:
    write_table(io.BytesIO(), "csv", [ROW], "x", MOMENT, MAX_INTEGER)
    with pytest.raises(ValueError, match="note_nlp_id would be greater than 2147483647"):
        write_table(io.BytesIO(), "csv", [ROW] * 2, "x", MOMENT, MAX_INTEGER)


@pytest.mark.parametrize(
    ("name", "error", "key"),
    [
        ("12", "", "12"),
        ("0012", "", "12"),
        ("-7", "", "-7"),
        ("2147483647", "", "2147483647"),
        ("2147483648", "the id is too great", "2147483648"),
        ("-2147483649", "the id is too great", "-2147483649"),
        ("9" * 5000, "the id is too great", "9" * 5000),
        ("", "the id is not a whole number", ""),
        ("d12", "the id is not a whole number", "d12"),
        ("1.5", "the id is not a whole number", "1.5"),
        ("1_000", "the id is not a whole number", "1_000"),
        ("\u0663", "the id is not a whole number", "\u0663"),
    ],
)
def test_ids_of_notes(name: str, error: str, key: str) -> None:
    assert note_id_error(name).startswith(error)
    assert bool(note_id_error(name)) == bool(error)
    assert note_id_key(name) == key


@pytest.mark.parametrize(
    ("start", "end", "size", "expected"),
    [
        (4, 6, 2, "45"),
        (4, 6, 4, "3456"),
        (4, 6, 5, "34567"),
        (4, 6, 1, "4"),
        (0, 2, 6, "012345"),
        (8, 10, 6, "456789"),
        (4, 6, 50, "0123456789"),
        (0, 10, 3, "012"),
    ],
)
def test_a_snippet_has_the_entity_in_its_middle(
    start: int, end: int, size: int, expected: str
) -> None:
    assert snippet("0123456789", start, end, size) == expected


@given(TEXTS, st.data())
def test_a_snippet_has_the_entity_or_its_beginning(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    size = data.draw(st.integers(1, 12))
    found = snippet(text, start, end, size)
    assert found in text and len(found) == min(size, len(text))
    assert text[start:end][:size] in found
