import csv
import json
import os
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spacy_btl.annotate.inputs import Fields, RecordError, Row, Source, to_row
from spacy_btl.annotate.shards import Shard, Slice, find_files, fingerprint, make_shards

FIELDS = Fields()
TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
RECORDS = st.lists(st.tuples(TEXTS.filter(bool), TEXTS), max_size=30)
FEW = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def write(path: Path, records: list[tuple[str, str]]) -> Path:
    if path.suffix == ".jsonl":
        lines = [json.dumps({"id": name, "text": text}) + "\n" for name, text in records]
        path.write_text("".join(lines), encoding="utf-8")
    elif path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "id"), *(pair[::-1] for pair in records)])
    else:
        pa = pytest.importorskip("pyarrow", reason="needs the extra parquet")
        pq = pytest.importorskip("pyarrow.parquet")
        names = {"text": [text for _, text in records], "id": [name for name, _ in records]}
        schema = pa.schema([("text", pa.string()), ("id", pa.string())])
        pq.write_table(pa.table(names, schema=schema), path, row_group_size=7)
    return path


def rows(path: Path, fields: Fields = FIELDS) -> list[Row]:
    kind = path.suffix.removeprefix(".")
    return list(Source(path, kind, fields).rows(""))


def content(path: Path, data: bytes) -> list[tuple[int, str, str, str]]:
    path.write_bytes(data)
    return [row[1:] for row in rows(path)]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
@FEW
@given(records=RECORDS, data=st.data())
def test_reads_what_was_written_from_any_place(
    tmp_path: Path, suffix: str, records: list[tuple[str, str]], data: st.DataObject
) -> None:
    path = write(tmp_path / f"some{suffix}", records)
    read = rows(path)
    assert [(row.id, row.text, row.error) for row in read] == [(*pair, "") for pair in records]
    source = Source(path, suffix[1:], FIELDS)
    for i in data.draw(st.lists(st.integers(0, len(read) - 1), max_size=4)) if read else ():
        n = data.draw(st.integers(1, len(read)))
        assert list(islice(source.rows("", *read[i][:2]), n)) == read[i : i + n]
    ids = [row.id for row in source.rows("", ids_only=True)]
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
    row = to_row(7, 2, name, text)
    assert (row.at, row.number, row.error) == (7, 2, error)
    assert (row.id, row.text) == (str(name), text) or error


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
    (row,) = rows(tmp_path / "a.csv", Fields("ROW", "NOTE", ";"))
    assert (row.id, row.text) == ("7", "a;b")


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


class TestFiles:
    def make(self, root: Path, *names: str) -> Path:
        for name in names:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text("")
        return root

    def test_of_one_kind_in_order_with_sub_folders(self, tmp_path: Path) -> None:
        names = ("b.txt", "a.TXT", "a.ann", "sub/c.d.txt", ".hidden.txt", ".git/e.txt", "z.md")
        expected = ("txt", ["a.TXT", "b.txt", "sub/c.d.txt"])
        assert find_files(self.make(tmp_path, *names)) == expected
        assert find_files(tmp_path / "b.txt") == ("txt", [""])

    @pytest.mark.parametrize(
        ("names", "kind", "message"),
        [
            (["a.md"], None, "none; choose"),
            (["a.md"], "csv", "no .csv file"),
            (["a.csv", "b.csv", "c.txt"], None, "2 .csv, 1 .txt; choose one by --from"),
        ],
    )
    def test_what_leaves_it_open(
        self, tmp_path: Path, names: list[str], kind: str | None, message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            find_files(self.make(tmp_path, *names), kind)

    def test_kind_chooses(self, tmp_path: Path) -> None:
        assert find_files(self.make(tmp_path, "a.csv", "b.txt"), "csv") == ("csv", ["a.csv"])
        assert find_files(tmp_path / "b.txt", "csv") == ("csv", [""])

    def test_nothing_there(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="no-such"):
            find_files(tmp_path / "no-such")

    def test_fingerprint_tells_files_apart(self, tmp_path: Path) -> None:
        self.make(tmp_path, "a.txt", "b.txt")
        before = fingerprint(tmp_path, ["a.txt", "b.txt"])
        assert fingerprint(tmp_path, ["a.txt", "b.txt"]) == before
        assert fingerprint(tmp_path, ["a.txt"]) != before
        os.utime(tmp_path / "a.txt", (1, 1))
        assert fingerprint(tmp_path, ["a.txt", "b.txt"]) != before


class TestShards:
    def shards(self, root: Path, size: int, kind: str | None = None, **options: Any) -> list[Shard]:
        kind, files = find_files(root, kind)
        return list(make_shards(Source(root, kind, FIELDS), files, size, **options))

    @pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
    def test_hold_all_records_once_across_files(self, tmp_path: Path, size: int) -> None:
        write(tmp_path / "a.jsonl", [(f"a{i}", "x") for i in range(5)])
        (tmp_path / "b.jsonl").write_bytes(b'no\n\n{"id": "b", "text": "y"}\n')
        (tmp_path / "c.jsonl").write_bytes(b"")
        shards = self.shards(tmp_path, size)
        assert [shard.number for shard in shards] == list(range(len(shards)))
        assert [shard.n_records for shard in shards[:-1]] == [size] * (len(shards) - 1)
        source = Source(tmp_path, "jsonl", FIELDS)
        read = []
        for part in (part for shard in shards for part in shard.slices):
            found = list(source.rows(part.file, part.at, part.number))[: part.n_records]
            read += [row.id or row.error for row in found]
        assert read == ["a0", "a1", "a2", "a3", "a4", "not JSON", "b"]
        assert [Shard.from_json(shard.to_json()) for shard in shards] == shards

    def test_repeated_ids_are_found_across_shards(self, tmp_path: Path) -> None:
        write(tmp_path / "a.jsonl", [(name, "") for name in ("a", "b", "a", "A", "b")])
        assert [s.repeated for s in self.shards(tmp_path, 2)] == [(), (0,), (0,)]
        assert [s.repeated for s in self.shards(tmp_path, 2, key=str.lower)] == [(), (0, 1), (0,)]

    def test_a_file_that_cannot_be_read_stands_for_one_record(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text("name\nx\n")
        (tmp_path / "b.csv").symlink_to(tmp_path / "nowhere")
        write(tmp_path / "c.csv", [("c", "x")])
        (shard,) = self.shards(tmp_path, 10)
        assert shard.slices == (
            Slice("a.csv", 0, 1, 1, 'no fields "id" in the header'),
            Slice("b.csv", 0, 1, 1, "cannot be read on: No such file or directory"),
            Slice("c.csv", 9, 2, 1),
        )

    def test_parquet(self, tmp_path: Path) -> None:
        write(tmp_path / "a.parquet", [(f"a{i}", "x") for i in range(20)])
        (tmp_path / "b.parquet").write_bytes(b"PAR1 no more")
        one, two = self.shards(tmp_path, 15)
        assert one.slices == (Slice("a.parquet", 0, 1, 15),)
        assert two.slices[0] == Slice("a.parquet", 15, 16, 5)
        assert two.slices[1].error.startswith("cannot be read on: ")

    def test_a_folder_that_is_closed_is_told(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(tmp_path / "a.jsonl", [("a", "")])
        (tmp_path / "closed").mkdir()
        real = os.scandir

        def scandir(path: Any) -> Any:
            if str(path).endswith("closed"):
                raise PermissionError(13, "Permission denied", str(path))
            return real(path)

        monkeypatch.setattr(os, "scandir", scandir)
        (shard,) = self.shards(tmp_path, 10, "jsonl")
        assert shard.slices[0] == Slice("a.jsonl", 0, 1, 1)
        assert (shard.slices[1].file, shard.n_records) == ("closed", 2)
        assert shard.slices[1].error.startswith("cannot be read on: ")
