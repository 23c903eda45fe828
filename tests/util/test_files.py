"""A replaced folder or file is the old or the new one, whole, whatever fails or is killed."""

import errno
import hashlib
import os
import shutil
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from spacy_btl.util import files
from spacy_btl.util.files import (
    check_apart,
    check_new_files,
    inside,
    replace_folder,
    replacing_file,
    replacing_folder,
    restore_folder,
    sha256_of,
    write_file,
    write_files,
)
from tests.helpers.files import tree

OLD = {"a": b"old", "sub/b": b"old too"}
NEW = {"a": b"new", "sub/c": b"new too"}
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def fill(folder: Path, content: dict[str, bytes]) -> Path:
    for name, data in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return fill(tmp_path / "target", OLD)


def failing_rename(monkeypatch: pytest.MonkeyPatch, *fails: int) -> None:
    """Make the renames of these numbers fail, counted from 1."""
    rename, count = Path.rename, 0

    def counted(self: Path, to: Path) -> Path:
        nonlocal count
        count += 1
        if count in fails:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", counted)


def could_not_be_replaced(target: Path) -> str:
    """Return what the error says."""
    with (
        pytest.raises(OSError, match="could not be replaced") as caught,
        replacing_folder(target) as new,
    ):
        fill(new, NEW)
    return str(caught.value)


# -- folders ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [None, {}, OLD])
def test_a_folder_is_replaced_whole(tmp_path: Path, before: dict[str, bytes] | None) -> None:
    target = tmp_path / "deep" / "target"
    if before is not None:
        target.mkdir(parents=True)
        fill(target, before)
    with replacing_folder(target) as new:
        assert tree(new) == {}
        fill(new, NEW)
        assert not before or tree(target) == OLD
    assert tree(target) == NEW
    assert names(target.parent) == {"target"}


def test_a_link_stays_a_link(tmp_path: Path, target: Path) -> None:
    (tmp_path / "link").symlink_to(target)
    with replacing_folder(tmp_path / "link") as new:
        fill(new, NEW)
    assert (tmp_path / "link").is_symlink()
    assert tree(target) == NEW


def test_who_may_read_the_old_folder_may_read_the_new_one(target: Path) -> None:
    target.chmod(0o700)
    with replacing_folder(target) as new:
        fill(new, NEW)
    assert stat.S_IMODE(target.stat().st_mode) == 0o700


def test_a_file_is_not_replaced_by_a_folder(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"mine")
    with (
        pytest.raises(NotADirectoryError, match="target is a file"),
        replacing_folder(tmp_path / "target"),
    ):
        pass
    assert tree(tmp_path) == {"target": b"mine"}


@pytest.mark.parametrize("error", [FULL, ValueError("of the caller"), KeyboardInterrupt()])
def test_a_block_that_fails_leaves_the_old_folder(target: Path, error: BaseException) -> None:
    with pytest.raises(type(error)), replacing_folder(target) as new:
        fill(new, NEW)
        raise error
    assert tree(target) == OLD
    assert names(target.parent) == {"target"}


def test_a_disk_that_proves_full_at_the_end(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise FULL

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"), replacing_folder(target) as new:
        fill(new, NEW)
    assert tree(target) == OLD
    assert names(target.parent) == {"target"}


RENAMES = [
    # which renames fail: 1 old aside, 2 new in place, 3 old back    what is at the target
    ((1,), OLD),
    ((2,), OLD),
    ((2, 3), None),
]


@pytest.mark.parametrize(("fails", "there"), RENAMES)
def test_a_rename_that_fails_loses_neither_folder(
    target: Path,
    monkeypatch: pytest.MonkeyPatch,
    fails: tuple[int, ...],
    there: dict[str, bytes] | None,
) -> None:
    failing_rename(monkeypatch, *fails)
    caught = could_not_be_replaced(target)
    new = next(target.parent.glob(".target.new-*"))
    assert tree(new) == NEW
    assert str(new) in caught
    old = target if there else target.with_name(".target.old")
    assert tree(old) == OLD
    assert there or str(old) in caught
    monkeypatch.undo()
    with replacing_folder(target) as again:  # a failure is not an obstacle to the next
        fill(again, {"third": b""})
    assert tree(target) == {"third": b""}


def test_a_rename_that_fails_where_nothing_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_rename(monkeypatch, 1)
    caught = could_not_be_replaced(tmp_path / "target")
    new = next(tmp_path.glob(".target.new-*"))
    assert tree(new) == NEW
    assert str(new) in caught
    assert names(tmp_path) == {new.name}


def test_an_old_folder_that_cannot_be_removed_is_no_failure(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
    with replacing_folder(target) as new:
        fill(new, NEW)
    assert tree(target) == NEW
    assert not target.with_name(".target.old").exists()


@pytest.mark.parametrize(("there", "expected"), [(None, OLD), (NEW, NEW)])
def test_the_next_call_finishes_what_was_killed(
    tmp_path: Path, there: dict[str, bytes] | None, expected: dict[str, bytes]
) -> None:
    target = tmp_path / "target"
    fill(tmp_path / ".target.old", OLD)
    if there:
        fill(target, there)
    restore_folder(target)
    assert tree(target) == expected
    assert names(tmp_path) == {"target"}


def test_what_is_behind_a_link_is_put_back(tmp_path: Path) -> None:
    fill(tmp_path / "in" / ".target.old", OLD)
    (tmp_path / "link").symlink_to(tmp_path / "in" / "target")
    restore_folder(tmp_path / "link")
    assert tree(tmp_path / "in" / "target") == OLD


def test_leftovers_go_after_a_day(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = target.parent
    theirs = {".target.new-0123456", ".target.newer-01234567", ".other.new-01234567"}
    for name in (".target.new-01234567", ".target.removed-89abcdef", *theirs):
        fill(folder / name, NEW)
    (folder / ".file.new-01234567").write_bytes(b"half")

    def replace() -> None:
        with replacing_folder(target) as new:
            fill(new, NEW)
        write_file(folder / "file", b"whole")

    replace()
    assert len(names(folder)) == 8  # they may still be written to
    later = time.time() + 25 * 60 * 60
    monkeypatch.setattr(files.time, "time", lambda: later)
    replace()
    assert names(folder) == {"target", "file", *theirs}


def test_a_folder_that_was_built_elsewhere(tmp_path: Path, target: Path) -> None:
    replace_folder(fill(tmp_path / "built", NEW), target)
    assert tree(target) == NEW
    assert names(tmp_path) == {"target"}


# -- files -----------------------------------------------------------------------------------------


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for data in (b"old", b"newer", "grüße\r\n", b""):
        write_file(path, data)
        assert path.read_bytes() == (data.encode() if isinstance(data, str) else data)
        assert names(tmp_path) == {"file"}


def test_a_file_is_the_old_one_until_the_end_of_the_block(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_file(path, b"old")
    with replacing_file(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"


def test_links_and_modes_of_files_stay(tmp_path: Path) -> None:
    write_file(tmp_path / "file", b"old")
    (tmp_path / "file").chmod(0o600)
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_file(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"new"
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600


def test_a_file_may_be_built_in_another_folder(tmp_path: Path) -> None:
    (tmp_path / "partial").mkdir()
    name = "n" * 255  # no room for a longer name beside it
    with replacing_file(tmp_path / name, build_in=tmp_path / "partial") as file:
        assert len(names(tmp_path / "partial")) == 1
        assert not (tmp_path / name).exists()
        file.write(b"new")
    assert tree(tmp_path) == {name: b"new"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    write_file(tmp_path / "pipe", b"to the reader")
    reader.join()
    assert received == [b"to the reader"]
    assert (tmp_path / "pipe").is_fifo()


def no_bytes(folder: Path) -> None:
    write_file(folder / "file", 7)  # type: ignore[arg-type]


def no_folder(folder: Path) -> None:
    write_file(folder / "missing" / "file", b"new")


def a_folder(folder: Path) -> None:
    write_file(folder, b"new")


@pytest.mark.parametrize(
    ("write", "error"), [(no_bytes, TypeError), (no_folder, OSError), (a_folder, OSError)]
)
def test_a_write_that_fails_leaves_the_old_file(
    tmp_path: Path, write: Callable[[Path], None], error: type[Exception]
) -> None:
    (tmp_path / "in").mkdir()
    write_file(tmp_path / "in" / "file", b"old")
    with pytest.raises(error):
        write(tmp_path / "in")
    assert tree(tmp_path) == {"in/file": b"old"}
    assert names(tmp_path) == {"in"}


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "file"
    write_file(path, b"old")

    def full(*_: object) -> None:
        raise FULL

    monkeypatch.setattr(*{"fsync": (os, "fsync"), "replace": (Path, "replace")}[step], full)
    with pytest.raises(OSError, match="No space left"):
        write_file(path, b"new")
    assert tree(tmp_path) == {"file": b"old"}


def test_several_files_are_replaced_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(tmp_path / "new", {"a": b"old", "b": b"old"})
    monkeypatch.setattr(files, "replacing_file", failing_at("b"))
    with pytest.raises(OSError, match="No space left"):
        write_files(tmp_path / "new", {"a": b"new", "b": b"new"})
    assert tree(tmp_path) == {"new/a": b"old", "new/b": b"old"}
    monkeypatch.undo()
    write_files(tmp_path / "new", {"a": b"new", "b": b"new"})
    assert tree(tmp_path) == {"new/a": b"new", "new/b": b"new"}


def failing_at(name: str) -> Callable[..., object]:
    def replacing(path: Path) -> object:
        if path.name == name:
            raise FULL
        return replacing_file(path)

    return replacing


# -- processes that are killed, and a real limit ---------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
from spacy_btl.util.files import replacing_folder, write_file

target, last = Path(sys.argv[1]), int(sys.argv[2])
seen = 0

def count(event, _):
    global seen
    if event in {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree"}:
        seen += 1
        if seen == last:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(count)
if target.name == "file":
    write_file(target, b"new")
else:
    with replacing_folder(target) as new:
        (new / "a").write_bytes(b"new")
        (new / "sub").mkdir()
        (new / "sub" / "c").write_bytes(b"new too")
"""
"""Replaces the target, and is killed before the step of the given number."""


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        timeout=60,
    )


@pytest.mark.skipif(os.name != "posix", reason="no SIGKILL")
def test_a_folder_survives_a_kill_at_every_step(tmp_path: Path) -> None:
    found = []
    for step in range(1, 100):
        target = fill(tmp_path / str(step) / "target", OLD)
        done = run(KILLED, target, step)
        if not done.returncode:
            break
        assert done.returncode == -9, done.stderr
        restore_folder(target)
        assert tree(target) in (OLD, NEW)
        found.append(tree(target))
        with replacing_folder(target) as new:
            fill(new, {"third": b""})
        assert tree(target) == {"third": b""}
    assert len(found) > 10  # mkdir, writes, renames, removals
    assert OLD in found and NEW in found


@pytest.mark.skipif(os.name != "posix", reason="no SIGKILL")
def test_a_file_survives_a_kill_at_every_step(tmp_path: Path) -> None:
    found = []
    for step in range(1, 20):
        path = tmp_path / str(step) / "file"
        path.parent.mkdir()
        path.write_bytes(b"old")
        done = run(KILLED, path, step)
        if not done.returncode:
            break
        assert done.returncode == -9, done.stderr
        assert path.read_bytes() in (b"old", b"new")
        found.append(path.read_bytes())
        write_file(path, b"third")
        assert path.read_bytes() == b"third"
    assert found[:2] == [b"old", b"old"]


LIMITED = """
import resource, sys
from pathlib import Path
from spacy_btl.util.files import replacing_folder, write_file

target = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    if target.name == "file":
        write_file(target, bytes(1000))
    else:
        with replacing_folder(target) as new:
            (new / "a").write_bytes(b"new")
            (new / "b").write_bytes(bytes(1000))
except OSError as error:
    print(error.strerror)
"""
"""Replaces the target under a limit of the system to the size of files."""


@pytest.mark.skipif(os.name != "posix", reason="no limits")
def test_a_real_limit_to_what_is_written(tmp_path: Path) -> None:
    fill(tmp_path / "target", OLD)
    (tmp_path / "file").write_bytes(b"old")
    for name in ("target", "file"):
        assert "File too large" in run(LIMITED, tmp_path / name).stdout
    assert tree(tmp_path / "target") == OLD
    assert (tmp_path / "file").read_bytes() == b"old"
    assert names(tmp_path) == {"target", "file"}


# -- outputs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("output", "names", "message"),
    [
        ("new", None, ""),
        ("a/../new", None, ""),
        ("a", None, "is an input too"),
        ("new/../a", None, "is an input too"),
        ("a/sub/new", None, "is in the input a"),
        ("link/new", None, "is in the input a"),
        ("b.txt", None, "is an input too"),
        (".", None, "and would be lost"),
        (".", ["b.txt"], "the input b.txt is in ."),
        (".", ["c.txt"], ""),
        ("c", None, "the input c/d/e is in c"),
        ("c", ["d"], "the input c/d/e is in c"),
        ("c", [], ""),
    ],
)
def test_an_output_is_apart_from_the_inputs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    output: str,
    names: list[str] | None,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    fill(tmp_path, {"a/x": b"", "b.txt": b"", "c/d/e": b""})
    (tmp_path / "link").symlink_to(tmp_path / "a")
    inputs = (Path("a"), None, Path("b.txt"), "c/d/e", "a-package")
    if not message:
        check_apart(Path(output), inputs, names=names)
        return
    with pytest.raises(ValueError, match=message):
        check_apart(Path(output), inputs, names=names)


@pytest.mark.parametrize(
    ("paths", "force", "message"),
    [
        (["there"], False, "there already exists; --force replaces it"),
        (["there"], True, ""),
        (["new/sub/a", None, "b"], False, ""),
        (["a", "./a"], True, "is named twice"),
        (["input"], True, "is an input too"),
        (["folder"], True, "is a folder: name a file"),
    ],
)
def test_new_files_are_checked_before_the_work(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    paths: list[str | None],
    force: bool,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    fill(tmp_path, {"there": b"old", "input": b"", "folder/x": b""})
    before = tree(tmp_path)
    files = [path and Path(path) for path in paths]
    if message:
        with pytest.raises((ValueError, OSError), match=message):
            check_new_files(files, [Path("input")], force=force)
    else:
        check_new_files(files, [Path("input")], force=force)
        assert all(path is None or path.parent.is_dir() for path in files)
    assert tree(tmp_path) == before


# -- digests ---------------------------------------------------------------------------------------


def test_a_digest_is_that_of_all_the_bytes_in_order(tmp_path: Path) -> None:
    data = bytes(range(256)) * 10_000  # more than a block
    (tmp_path / "file").write_bytes(data)
    expected = hashlib.sha256(data).hexdigest()
    for contents in (
        data,
        bytearray(data),
        memoryview(data),
        tmp_path / "file",
        [data[:1000], memoryview(data)[1000:]],
        iter([b"", tmp_path / "file"]),
    ):
        assert sha256_of(contents) == expected
    assert sha256_of([]) == hashlib.sha256(b"").hexdigest()


def test_a_file_that_is_missing_has_no_digest(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sha256_of(tmp_path / "file")


@pytest.mark.parametrize("name", ["a", "a/b.txt", "a\\b", "a..b", "..a", "ä b"])
def test_names_that_stay_in_a_folder(name):
    assert inside(name) == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../a", "a/../b", "a\\..\\b", "/a", "\\a", "C:a", "C:/a", "//x/y/z", "a\0"],
)
def test_names_that_leave_a_folder(name):
    with pytest.raises(ValueError, match="is outside the folder, or is not a file in it"):
        inside(name)
