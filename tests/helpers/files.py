"""Folders of files, as values."""

from collections.abc import Mapping
from pathlib import Path


def tree(folder: Path) -> dict[str, bytes]:
    """Return the content of all files below a folder, by relative path."""
    paths = (path for path in Path(folder).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def write_tree(folder: Path, files: Mapping[str, bytes | str]) -> Path:
    """Write files, given by relative path, and return their folder."""
    for name, content in files.items():
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder
