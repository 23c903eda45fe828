"""A lock is held by one, and ends with its process."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from spacy_btl.annotate.file_lock import locked

HOLD = """
import sys, time
from pathlib import Path
from spacy_btl.annotate.file_lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_held_until_its_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with locked(path), locked(tmp_path / "other"), pytest.raises(BlockingIOError, match="is held"):
        locked(path).__enter__()
    with pytest.raises(KeyError), locked(path):
        raise KeyError
    with locked(path):
        pass
    assert path.read_bytes() == b""


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    arguments = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(BlockingIOError), locked(path):
            pass
        process.send_signal(signal.SIGKILL)
    with locked(path):
        pass


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("spacy_btl.annotate.file_lock._lock", refuse)
    with locked(tmp_path / "lock"), locked(tmp_path / "lock"):
        pass
