"""The folder of a run: whole files, one run at a time, the same settings."""

import errno
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from spacy_btl.annotate.folder import Outcome, RunFolder
from spacy_btl.annotate.outputs import FORMATS

SETTINGS = {"input": "x", "to": "jsonl", "shard_size": 200}
OUTCOME = Outcome(3, 2, {"Age": 1}, [{"file": "a", "line": 1, "id": "", "error": "not JSON"}])


def start(folder: RunFolder, **changed: Any) -> None:
    """Begin a run, which ends at once."""
    with folder.started({**SETTINGS, **changed}):
        pass


def test_a_shard_is_done_once_it_is_marked(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "out", "jsonl")
    start(folder)
    assert not folder.is_done(3)
    folder.write_shard([(".jsonl", b"{}\n")], OUTCOME)
    assert folder.is_done(3)
    assert list(folder.outcomes()) == [OUTCOME]
    assert folder.finish() == (2, {"Age": 1}, {"not JSON": 1}, {}, 0, {})
    names = {path.relative_to(folder.path).as_posix() for path in folder.path.rglob("*.*")}
    assert names == {
        "run.json",
        "run.lock",
        "errors.jsonl",
        "annotations/shard-00003.jsonl",
        "done/shard-00003.json",
    }
    (folder.path / "annotations" / "shard-00003.jsonl").unlink()
    assert not folder.is_done(3)


@pytest.mark.parametrize("to", FORMATS)
def test_files_appear_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str
) -> None:
    folder = RunFolder(tmp_path / "out", to)
    start(folder)

    def killed(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        folder.write_shard([("x", b"half of it")], OUTCOME)
    left = [path for path in folder.path.rglob("*") if path.is_file()]
    left.remove(folder.path / "run.json")
    left.remove(folder.path / "run.lock")
    assert left == []
    monkeypatch.undo()
    (folder.path / "partial" / "x").write_bytes(b"what a killed run had begun")
    start(folder)
    assert not (folder.path / "partial").exists() or not any(folder.path.glob("partial/*"))


def test_other_settings_are_refused(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "out", "jsonl")
    start(folder, to="brat")
    start(folder)  # nothing was done with the others
    folder.write_shard([(".jsonl", b"")], OUTCOME)
    start(folder)
    message = r"other settings \(input, shard_size 200, now 100\): give the same"
    with pytest.raises(ValueError, match=message):
        start(folder, input="y", shard_size=100)


def test_one_run_at_a_time(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "out", "jsonl")
    with folder.started(SETTINGS):
        folder.write("partial/half", b"half of it")
        with pytest.raises(ValueError, match=r"another run writes to .*out: wait for its end"):
            start(folder)
        assert (folder.path / "partial" / "half").is_file()
    with pytest.raises(KeyError), folder.started(SETTINGS):
        raise KeyError
    start(folder)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("mine")
    for path in (tmp_path, tmp_path / "note.txt"):
        with pytest.raises(ValueError, match="is not empty and contains no run"):
            start(RunFolder(path, "jsonl"))
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]


HOLD = """
import sys, time
from pathlib import Path
from spacy_btl.annotate.folder import RunFolder
with RunFolder(Path(sys.argv[1]), "jsonl").started({}):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", HOLD, str(tmp_path / "out")]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match="another run writes to"):
            start(RunFolder(tmp_path / "out", "jsonl"))
        process.send_signal(signal.SIGKILL)
    start(RunFolder(tmp_path / "out", "jsonl"))
    assert (tmp_path / "out" / "run.lock").read_bytes() == b""


@pytest.mark.skipif(sys.platform == "win32", reason="no flock")
@pytest.mark.parametrize("answer", [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK])
def test_a_file_system_without_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: int
) -> None:
    """Nothing is held, and nothing is left that would keep the next run out."""
    import fcntl

    def refuse(*_: object) -> None:
        raise OSError(answer, "no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    folder = RunFolder(tmp_path / "out", "jsonl")
    with folder.started(SETTINGS), RunFolder(tmp_path / "out", "jsonl").started(SETTINGS):
        pass
    assert {path.name for path in folder.path.iterdir()} == {"partial", "run.json", "run.lock"}
    assert (folder.path / "run.lock").read_bytes() == b""


@pytest.mark.skipif(sys.platform == "win32", reason="no flock")
def test_a_lock_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "the disk is broken")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(OSError, match="the disk is broken"):
        start(RunFolder(tmp_path / "out", "jsonl"))
