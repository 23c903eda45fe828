from pathlib import Path

import pytest

from experiments.files import write_atomically


def test_write_atomically(tmp_path: Path) -> None:
    path = tmp_path / "result"
    for data in (b"old", b"new", b""):
        write_atomically(path, data)
        assert path.read_bytes() == data
        assert list(tmp_path.iterdir()) == [path]


def test_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "result"
    write_atomically(path, b"old")
    with pytest.raises(TypeError):
        write_atomically(path, "no bytes")  # type: ignore[arg-type]
    with pytest.raises(OSError, match="folder"):
        write_atomically(tmp_path / "folder" / "result", b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
