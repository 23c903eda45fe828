"""The files of an input, and which records are annotated together."""

import os
from pathlib import Path
from typing import Any

import pytest

from spacy_btl.annotate.inputs import Fields, InputReader
from spacy_btl.annotate.shards import Shard, Slice, files_digest, find_files, make_shards
from tests.helpers.annotating import write_table


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
            (
                ["a.md", "b.md", "c.gz", "d"],
                None,
                "none; it has other files: 2 .md, 1 .gz, 1 without",
            ),
            ([".hidden", "Smith, John. 4 may"], None, "none; it has other files: 2 without suffix"),
            (["a.rtf"], None, "none; it has other files: 1 .rtf; convert documents to text first"),
            ([], None, "none; it is empty"),
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

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
    def test_a_pipe_is_no_input(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "a.jsonl")
        with pytest.raises(ValueError, match="neither a file nor a folder"):
            find_files(tmp_path / "a.jsonl")

    def test_the_digest_differs_with_the_files(self, tmp_path: Path) -> None:
        self.make(tmp_path, "a.txt", "b.txt")
        before = files_digest(tmp_path, ["a.txt", "b.txt"])
        assert files_digest(tmp_path, ["a.txt", "b.txt"]) == before
        assert files_digest(tmp_path, ["a.txt"]) != before
        os.utime(tmp_path / "a.txt", (1, 1))
        assert files_digest(tmp_path, ["a.txt", "b.txt"]) != before


class TestShards:
    def shards(self, root: Path, size: int, kind: str | None = None, **options: Any) -> list[Shard]:
        kind, files = find_files(root, kind)
        return list(make_shards(InputReader(root, kind, Fields()), files, size, **options))

    @pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
    def test_all_records_once_across_files(self, tmp_path: Path, size: int) -> None:
        write_table(tmp_path / "a.jsonl", [(f"a{i}", "x") for i in range(5)])
        (tmp_path / "b.jsonl").write_bytes(b'no\n\n{"id": "b", "text": "y"}\n')
        (tmp_path / "c.jsonl").write_bytes(b"")
        shards = self.shards(tmp_path, size)
        assert [shard.number for shard in shards] == list(range(len(shards)))
        assert [shard.n_records for shard in shards[:-1]] == [size] * (len(shards) - 1)
        reader = InputReader(tmp_path, "jsonl", Fields())
        read = []
        for part in (part for shard in shards for part in shard.slices):
            found = list(reader.records(part.file, part.at, part.number))[: part.n_records]
            read += [row.id or row.error for row in found]
        assert read == ["a0", "a1", "a2", "a3", "a4", "not JSON", "b"]
        assert [Shard.from_json(shard.to_json()) for shard in shards] == shards

    def test_repeated_ids_are_found_across_shards(self, tmp_path: Path) -> None:
        write_table(tmp_path / "a.jsonl", [(name, "") for name in ("a", "b", "a", "A", "b")])
        assert [s.repeated for s in self.shards(tmp_path, 2)] == [(), (0,), (0,)]
        assert [s.repeated for s in self.shards(tmp_path, 2, key=str.lower)] == [(), (0, 1), (0,)]

    def test_a_file_that_cannot_be_read_counts_as_one_record(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text("name\nx\n")
        (tmp_path / "b.csv").symlink_to(tmp_path / "nowhere")
        write_table(tmp_path / "c.csv", [("c", "x")])
        (shard,) = self.shards(tmp_path, 10)
        assert shard.slices == (
            Slice(
                "a.csv",
                0,
                1,
                1,
                'no fields "id" in the header of 1; it has name (--id-field, --text-field)',
            ),
            Slice("b.csv", 0, 1, 1, "cannot be read on: No such file or directory"),
            Slice("c.csv", 9, 2, 1),
        )

    def test_parquet(self, tmp_path: Path) -> None:
        write_table(tmp_path / "a.parquet", [(f"a{i}", "x") for i in range(20)])
        (tmp_path / "b.parquet").write_bytes(b"PAR1 no more")
        one, two = self.shards(tmp_path, 15)
        assert one.slices == (Slice("a.parquet", 0, 1, 15),)
        assert two.slices[0] == Slice("a.parquet", 15, 16, 5)
        assert two.slices[1].error.startswith("cannot be read on: ")

    def test_a_folder_that_cannot_be_read_is_listed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_table(tmp_path / "a.jsonl", [("a", "")])
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

    def test_a_bug_of_a_reader_is_not_set_aside(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_table(tmp_path / "a.jsonl", [("a", "")])

        def broken(*_: Any) -> Any:
            raise TypeError("a bug")

        monkeypatch.setattr("spacy_btl.annotate.inputs.to_record", broken)
        with pytest.raises(TypeError, match="a bug"):
            self.shards(tmp_path, 10)
