"""Seal the folder of a pipeline: list its files with sizes and SHA-256, and find what has changed.

A pipeline is many files, and in most of them a changed bit gives another answer and no error. The
list is ``btl_seal.json`` in the folder. It finds damage and mix-ups. It is not a signature: anyone
who can write to the folder can seal it anew.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from .files import inside, sha256_of, write_file

SEAL = "btl_seal.json"
KIND, VERSION = "spacy-btl seal", 1
MAX_SEAL = 2**22
"""Most bytes of a list, so that parsing it takes little whatever the file contains."""

CONFIG = "config.cfg"
"""A file that the folder of every pipeline has."""

LEFT_OUT = ("meta.json", "README.md", "LICENSE", "LICENSES_SOURCES")
"""Files at the top that ``spacy package`` writes or replaces; no prediction depends on them."""


def write_seal(folder: Path) -> int:
    """Seal a folder as it is now, and return the number of files listed.

    Hidden files, other seals and `LEFT_OUT` are not listed, links to folders not followed.

    Raises:
        OSError: If the folder cannot be read or written to.
        ValueError: If it has too many files.
    """
    files = {
        path.relative_to(folder).as_posix(): {
            "size": path.stat().st_size,
            "sha256": sha256_of(path),
        }
        for path in _listed(folder)
        if path.parent != folder or path.name not in LEFT_OUT
    }
    text = json.dumps({"kind": KIND, "version": VERSION, "files": files}, indent=1)
    if len(text) > MAX_SEAL:
        raise ValueError(f"{folder} has {len(files):,} files, too many for a pipeline")
    write_file(folder / SEAL, text)
    return len(files)


def check_seal(folder: Path) -> bool:
    """Compare a folder with its seal, and return whether it has one.

    Files that are not listed are not read.

    Raises:
        ValueError: If a file is not as its seal says, or the seal cannot be read.
        OSError: If a file cannot be read.
    """
    seal = folder / SEAL
    if not seal.is_file():
        return False
    advice = _advice(folder)
    for name, (size, digest) in _read(seal).items():
        path = folder / name
        if not path.is_file():
            raise ValueError(f"{path} is missing, though {SEAL} lists it: {advice}")
        if (now := path.stat().st_size) != size:
            raise ValueError(f"{path} has {now:,} bytes, but was sealed with {size:,}: {advice}")
        if sha256_of(path) != digest:
            raise ValueError(f"{path} has changed since it was sealed: {advice}")
    return True


def remove_seal(folder: Path) -> None:
    """Remove the seal of a folder, if it has one: its files are about to change."""
    (folder / SEAL).unlink(missing_ok=True)


def _listed(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder, in order."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name == SEAL:
            continue
        if path.is_file():
            yield path
        elif path.is_dir() and not path.is_symlink():
            yield from _listed(path)


def _read(seal: Path) -> dict[str, tuple[int, str]]:
    """Return size and SHA-256 by name; ValueError if it is not a seal, or names other folders."""
    try:
        with seal.open("rb") as file:
            data = file.read(MAX_SEAL + 1)
        if len(data) > MAX_SEAL:
            raise ValueError(f"it has more than {MAX_SEAL:,} bytes")
        content = json.loads(data)
        if (content["kind"], content["version"]) != (KIND, VERSION):
            raise ValueError(f"it is not of version {VERSION}")
        return {inside(name): _entry(entry) for name, entry in content["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{seal} is not a readable list of files ({type(error).__name__}: {error}): "
            f"{_advice(seal.parent)}"
        ) from None


def _advice(folder: Path) -> str:
    return (
        "take it from a backup, or make it anew; after a change that was wanted: "
        f"python -m spacy btl seal {folder}"
    )


def _entry(entry: dict[str, object]) -> tuple[int, str]:
    size, digest = entry["size"], entry["sha256"]
    if type(size) is not int or not isinstance(digest, str):
        raise ValueError("an entry lacks its size or its SHA-256")
    return size, digest
