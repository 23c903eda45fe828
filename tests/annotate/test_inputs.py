"""Records of each kind of file, from any place in it."""

from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spacy_btl.annotate.inputs import (
    Fields,
    InputReader,
    Record,
    RecordError,
    read_errors,
    to_record,
)
from tests.helpers.annotating import write_table

FIELDS = Fields()
TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
RECORDS = st.lists(st.tuples(TEXTS.filter(bool), TEXTS), max_size=30)
FEW = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def read(path: Path, fields: Fields = FIELDS) -> list[Record]:
    kind = path.suffix.removeprefix(".")
    return list(InputReader(path, kind, fields).records(""))


def content(path: Path, data: bytes) -> list[tuple[int, str, str, str]]:
    path.write_bytes(data)
    return [record[1:] for record in read(path)]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
@FEW
@given(records=RECORDS, data=st.data())
def test_reads_what_was_written_from_any_place(
    tmp_path: Path, suffix: str, records: list[tuple[str, str]], data: st.DataObject
) -> None:
    path = write_table(tmp_path / f"some{suffix}", records)
    found = read(path)
    assert [(row.id, row.text, row.error) for row in found] == [(*pair, "") for pair in records]
    reader = InputReader(path, suffix[1:], FIELDS)
    for i in data.draw(st.lists(st.integers(0, len(found) - 1), max_size=4)) if found else ():
        n = data.draw(st.integers(1, len(found)))
        assert list(islice(reader.records("", *found[i][:2]), n)) == found[i : i + n]
    ids = [row.id for row in reader.records("", ids_only=True)]
    assert ids == [name for name, _ in records]


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        ("a", "", ""),
        (12, "x", ""),
        ("", "x", "no id, or one that is neither text nor a whole number"),
        (None, "x", "no id, or one that is neither text nor a whole number"),
        (True, "x", "no id, or one that is neither text nor a whole number"),
        (1.5, "x", "no id, or one that is neither text nor a whole number"),
        ("a", None, "no text, or one that is none"),
        ("a", 5, "no text, or one that is none"),
        ("a", "\ud800", "the text is not UTF-8"),
        ("\ud800", "x", "the id is not UTF-8"),
    ],
)
def test_what_a_record_must_have(name: Any, text: Any, error: str) -> None:
    record = to_record(7, 2, name, text)
    assert (record.at, record.number, record.error) == (7, 2, error)
    assert (record.id, record.text) == (str(name), text) or error


JSONL_ERRORS = [
    (b'{"id": "a", "text": "x"}', [(1, "a", "x", "")]),  # no newline at the end
    (b'\xef\xbb\xbf{"id": "a", "text": "x"}\r\n', [(1, "a", "x", "")]),
    (b'\n  \n{"id": 3, "text": "x"}\n', [(3, "3", "x", "")]),
    (b'{"id": "a", "text": "x"\n{"id": "b", "text": ""}\n', [(1, "", "", "not JSON")]),
    (b'{"id": "a", "text": "\xe9"}\n{"id": "b", "text": ""}\n', [(1, "", "", "not UTF-8")]),
    (b'["a"]\n{"id": "b", "text": ""}\n', [(1, "", "", "JSON, but no object")]),
    (b'{"id": "a"}\n', [(1, "a", "", "no text, or one that is none")]),
    (b"[" * 100_000 + b'\n{"id": "b", "text": ""}\n', [(1, "", "", "not JSON")]),
]


@pytest.mark.parametrize(("data", "expected"), JSONL_ERRORS)
def test_a_broken_line_leaves_the_others_alone(
    tmp_path: Path, data: bytes, expected: list[Any]
) -> None:
    after = [(2, "b", "", "")] if b'"b"' in data else []
    assert content(tmp_path / "a.jsonl", data) == expected + after


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"id,text\na,x\n", [(2, "a", "x", "")]),
        (b'\xef\xbb\xbfid,text\r\na,"x\r\ny"\r\nb,', [(2, "a", "x\r\ny", ""), (4, "b", "", "")]),
        (b"id,text\n\na,x\n", [(3, "a", "x", "")]),
        (b"id,text\na,\xe9\nb,x\n", [(2, "a", "", "the text is not UTF-8"), (3, "b", "x", "")]),
        (b"id,text\na\nb,x\n", [(2, "", "", "1 fields, the header has 2"), (3, "b", "x", "")]),
        (b"n,id,text\n1,a,x,y\n", [(2, "", "", "4 fields, the header has 3")]),
        (
            b'id,text\na,"x\nb,y\n',
            [(2, "", "", "not CSV, lines 2 to 3: unexpected end of data")],
        ),
        (
            b'id,text\na,"x"y\nb,z\n',
            [(2, "", "", "not CSV, lines 2 to 2: ',' expected after '\"'"), (3, "b", "z", "")],
        ),
    ],
)
def test_csv(tmp_path: Path, data: bytes, expected: list[Any]) -> None:
    assert content(tmp_path / "a.csv", data) == expected


def test_a_long_csv_field(tmp_path: Path) -> None:
    text = "x" * 300_000  # Python's csv module stops at 131,072 unless told otherwise
    assert content(tmp_path / "a.csv", f"id,text\na,{text}\n".encode()) == [(2, "a", text, "")]


@pytest.mark.parametrize(
    "data", [b"", b"a,some name\n", b"id,id,text\n", "id,text".encode("utf-16")]
)
def test_a_csv_without_the_fields_quotes_nothing_of_it(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(RecordError, match=r'^(no|2) fields "id" in the header$'):
        content(tmp_path / "a.csv", data)


def test_fields_and_delimiter_have_names(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('NOTE;"ROW"\n"a;b";7\n')
    (record,) = read(tmp_path / "a.csv", Fields("ROW", "NOTE", ";"))
    assert (record.id, record.text) == ("7", "a;b")


@pytest.mark.parametrize(
    ("data", "text", "error"),
    [
        (b"a\r\nb", "a\r\nb", ""),
        (b"\xef\xbb\xbfa", "a", ""),
        (b"", "", ""),
        (b"ab\xff", "", "not UTF-8, the first time at byte 2"),
        ("ab".encode("utf-16"), "", "UTF-16, where UTF-8 is read"),
    ],
)
def test_text_files(tmp_path: Path, data: bytes, text: str, error: str) -> None:
    assert content(tmp_path / "some.note.txt", data) == [(0, "some.note", text, error)]


def test_a_parquet_file_that_is_cut_short(tmp_path: Path) -> None:
    """It fails with one of the exceptions that set a file aside, others are bugs."""
    path = write_table(tmp_path / "a.parquet", [(f"a{i}", "x" * 50) for i in range(50)])
    data = path.read_bytes()
    for size in (0, 3, 8, len(data) // 2, len(data) - 9, len(data) - 1):
        path.write_bytes(data[:size])
        with pytest.raises(read_errors()):
            read(path)
    path.write_bytes(data[:4] + b"\xff" * 40 + data[44:])
    with pytest.raises(read_errors()):
        read(path)


def test_bugs_are_no_faults_of_a_file() -> None:
    for bug in (TypeError, KeyError, AttributeError, ImportError, MemoryError):
        assert not issubclass(bug, read_errors())
