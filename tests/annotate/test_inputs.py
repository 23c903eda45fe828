"""Records of each kind of file, from any place in it."""

import gzip
import os
from decimal import Decimal
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
CP1252 = "; if it is Windows-1252, --encoding windows-1252 reads it"
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
        (float("nan"), "x", "no id, or one that is neither text nor a whole number"),
        (float("inf"), "x", "no id, or one that is neither text nor a whole number"),
        (Decimal("1.5"), "x", "no id, or one that is neither text nor a whole number"),
        (["a"], "x", "no id, or one that is neither text nor a whole number"),
        ("a", float("nan"), "no text, or not a string"),
        ("a", {"b": "c"}, "no text, or not a string"),
        ("a", b"\xff", f"the text is not UTF-8{CP1252}"),
        (b"\xff", "x", "the id is not UTF-8"),
        ("a", None, "no text, or not a string"),
        ("a", 5, "no text, or not a string"),
        ("a", "\ud800", "the text is not UTF-8"),
        ("\ud800", "x", "the id is not UTF-8"),
    ],
)
def test_what_a_record_must_have(name: Any, text: Any, error: str) -> None:
    record = to_record(7, 2, name, text)
    assert (record.at, record.number, record.error) == (7, 2, error)
    assert (record.id, record.text) == (str(name), text) or error


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (1.0, "1"),
        (-2.0, "-2"),
        (0.0, "0"),
        (2.0**53, "9007199254740992"),
        (Decimal("7"), "7"),
        (Decimal("7.00"), "7"),
        ("1.0", "1.0"),  # text is taken as it is
        (b"n1", "n1"),  # as some programs write text into Parquet
    ],
)
def test_ids_of_other_types(name: Any, expected: str) -> None:
    assert to_record(0, 1, name, b"x") == Record(0, 1, expected, "x")


NO_ID = "no id, or one that is neither text nor a whole number"
JSONL_ERRORS = [
    (b'{"id": "a", "text": "x"}', [(1, "a", "x", "")]),  # no newline at the end
    (b'\xef\xbb\xbf{"id": "a", "text": "x"}\r\n', [(1, "a", "x", "")]),
    (b'\n  \n{"id": 3, "text": "x"}\n', [(3, "3", "x", "")]),
    (b'{"id": "a", "text": "x"\n{"id": "b", "text": ""}\n', [(1, "", "", "not JSON")]),
    (
        b'{"id": "a", "text": "\xe9"}\n{"id": "b", "text": ""}\n',
        [(1, "", "", f"not UTF-8{CP1252}")],
    ),
    (b'["a"]\n{"id": "b", "text": ""}\n', [(1, "", "", "JSON, but no object")]),
    (b'{"id": "a"}\n', [(1, "a", "", 'no field "text", only id')]),
    (b'{"note_id": 1, "John Doe": ""}\n', [(1, "", "", 'no field "id", only note_id')]),
    (b'{"id": 1.0, "text": "x"}\n', [(1, "1", "x", "")]),
    (b'{"id": "a", "text": NaN}\n', [(1, "a", "", "no text, or not a string")]),
    (b'{"id": null, "text": "x"}\n{"id": "b", "text": ""}\n', [(1, "", "", NO_ID)]),
    (b'{"id": "a", "text": "x\0"}\n', [(1, "", "", "not JSON")]),
    (b"# comment\n", [(1, "", "", "not JSON")]),
    (b"", []),
    (b"\n\r\n", []),
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
        (
            b"id,text\na,\xe9\nb,x\n",
            [(2, "a", "", f"the text is not UTF-8{CP1252}"), (3, "b", "x", "")],
        ),
        (b"id,text\na\nb,x\n", [(2, "", "", "1 fields, the header has 2"), (3, "b", "x", "")]),
        (b"id,text\n1.0,x\n2.50,x\n", [(2, "1", "x", ""), (3, "2.50", "x", "")]),
        (b"\r\n id , text\nv1.0,x\n,y\n", [(3, "v1.0", "x", ""), (4, "", "", NO_ID)]),
        (b"id,text\na,x\0y\n", [(2, "a", "x\0y", "")]),
        (b"", []),
        (b"\n\n", []),
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
    text = "x" * 300_000  # Python's csv module stops at 131,072 by default
    assert content(tmp_path / "a.csv", f"id,text\na,{text}\n".encode()) == [(2, "a", text, "")]


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"a,some name\n", 'no fields "id" in the header of 2'),
        (b"Smith,fever\nid,text\n", 'no fields "id" in the header of 2'),
        (b'"a\nid,text\n', 'no fields "id" in the header of 1'),
        (b"id,id,text\n", '2 fields "id" in the header of 3'),
        (b"id,fever\n", 'no fields "text" in the header of 2; it has id'),
        (
            b"\nNOTE_ID,x,Note Text\n",
            'no fields "id" in the header of 3; it has NOTE_ID, Note Text',
        ),
        (b"id;text\n1;a\n", "no fields \"id\" in the header of 1; --delimiter ';' finds both"),
        (b"\xef\xbb\xbftext\tid\n", "no fields \"id\" in the header of 1; --delimiter '\\t'"),
        (b"id,text\ra,x\r", "its lines end with a carriage return alone"),
        ("id,text".encode("utf-16"), "UTF-16, where UTF-8 is read"),
        ("id,text".encode("utf-16-le"), "UTF-16, where UTF-8 is read"),
        ("id,text".encode("utf-16-be"), "UTF-16, where UTF-8 is read"),
        (gzip.compress(b"id,text\n", mtime=0), "a compressed file, where plain text is read"),
        (b"PK\x03\x04\x14", "a .docx, a workbook or another ZIP archive, where plain text"),
        (b"PAR1\x15", "a Parquet file; see --from"),
    ],
)
def test_a_csv_without_the_fields_quotes_no_data_of_it(
    tmp_path: Path, data: bytes, error: str
) -> None:
    with pytest.raises(RecordError) as raised:
        content(tmp_path / "a.csv", data)
    assert str(raised.value).startswith(error)
    assert "some" not in str(raised.value) and "fever" not in str(raised.value)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b'[{"id": "a", "text": "x"}]', "JSON over several lines, or in an array"),
        (b'\xef\xbb\xbf[\n{"id": "a", "text": "x"}]\n', "JSON over several lines, or in an array"),
        (b'[\r\n  {"id": "a"}\r\n]\r\n', "JSON over several lines, or in an array"),
        (b'{\n  "id": "a"\n}\n', "JSON over several lines, or in an array"),
        (b'{"id": "a", "text": "x"}\r{"id": "b", "text": "x"}', "its lines end with a carriage"),
        ('{"id": "a"}'.encode("utf-16"), "UTF-16, where UTF-8 is read"),
        ('{"id": "a"}'.encode("utf-16-le"), "UTF-16, where UTF-8 is read"),
        (gzip.compress(b"{}", mtime=0), "a compressed file, where plain text is read"),
    ],
)
def test_what_is_no_json_lines_at_all(tmp_path: Path, data: bytes, error: str) -> None:
    with pytest.raises(RecordError, match=f"^{error}"):
        content(tmp_path / "a.jsonl", data)


def test_parquet_columns(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="needs the extra parquet")
    parquet = pytest.importorskip("pyarrow.parquet")

    def records(**columns: Any) -> list[tuple[str, str, str]]:
        parquet.write_table(pa.table(columns), tmp_path / "a.parquet")
        return [record[2:] for record in read(tmp_path / "a.parquet")]

    texts = ["x", None]
    assert records(id=[1.0, 2.5], text=texts) == [("1", "x", ""), ("", "", NO_ID)]
    assert records(id=pa.array([b"a", b"\xff"]), text=[b"x", b"y"]) == [
        ("a", "x", ""),
        ("", "", "the id is not UTF-8"),
    ]
    assert records(id=pa.array(["a", "b"]).dictionary_encode(), text=texts) == [
        ("a", "x", ""),
        ("b", "", "no text, or not a string"),
    ]
    with pytest.raises(RecordError, match=r'^no column "id", only note_id, text$'):
        records(note_id=[1], text=["x"], **{"a name": [1]})


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.csv", "a.parquet"])
@pytest.mark.parametrize("ids_only", [False, True])
def test_a_pipe_is_never_opened(tmp_path: Path, name: str, ids_only: bool) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(RecordError, match=r"^a pipe, a socket or a device"):
        InputReader(tmp_path, name[2:], FIELDS).records(name, ids_only=ids_only)


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
        (b"ab\xff", "", f"not UTF-8, the first time at byte 2{CP1252}"),
        ("ab".encode("utf-16"), "", "UTF-16, where UTF-8 is read; see --encoding"),
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
