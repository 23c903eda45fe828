"""A list of the files of a folder with sizes and SHA-256, to find out whether one has changed.

A pipeline is many files, and in most of them a changed bit gives another answer and no error. A
sealed folder carries the list as ``btl_seal.json``. Where a folder inside has a seal of its own,
this one stands for its files in the outer list, so that none is read twice.

A seal finds damage and mix-ups. It is no signature: who can write the folder can seal it anew.
"""

import json
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from .files import sha256_of, write_file

SEAL = "btl_seal.json"
KIND, VERSION = "spacy-btl seal", 1
MAX_SEAL = 2**22
"""Most bytes of a list: what parsing it takes stays small whatever stands in its place."""

CONFIG = "config.cfg"
"""What the folder of a pipeline has."""

LEFT_OUT = ("meta.json", "README.md", "LICENSE", "LICENSES_SOURCES")
"""Files at the top that ``spacy package`` writes or replaces; no prediction depends on them."""

_ADVICE = "take it from a backup, or make it anew; after a change that was wanted: "


def write_seal(folder: Path) -> int:
    """Seal a folder as it is now, with the sealed folders in it; the number of files listed.

    Hidden files and `LEFT_OUT` are not listed, links to folders not followed. Raises OSError where
    the folder cannot be read or written to, ValueError where it holds too many files.
    """
    for inner in list(_sealed_inside(folder)):
        write_seal(inner)
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
        raise ValueError(f"{folder} holds {len(files):,} files, too many for a pipeline")
    write_file(folder / SEAL, text)
    return len(files)


def check_seal(folder: Path, exclude: Collection[str] = ()) -> bool:
    """Whether a folder has a seal; ValueError where a file is not what its seal says.

    exclude: files and folders at the top that need not be as they were. Files that are not listed
    are not looked at.
    """
    seal = folder / SEAL
    if not seal.is_file():
        return False
    advice = _advice(folder)
    for name, (size, digest) in _read(seal).items():
        if PurePosixPath(name).parts[0] in exclude:
            continue
        path = folder / name
        if not path.is_file():
            raise ValueError(f"{path} is missing, though {SEAL} lists it: {advice}")
        if (now := path.stat().st_size) != size:
            raise ValueError(f"{path} has {now:,} bytes, but was sealed with {size:,}: {advice}")
        if sha256_of(path) != digest:
            raise ValueError(f"{path} has changed since it was sealed: {advice}")
    return True


def check_seals(folder: Path) -> bool:
    """`check_seal` of a folder, after that of all sealed folders in it."""
    for inner in _sealed_inside(folder):
        check_seals(inner)
    return check_seal(folder)


def remove_seal(folder: Path) -> None:
    """Take the seal of a folder away, if it has one: its files are about to change."""
    (folder / SEAL).unlink(missing_ok=True)


def _listed(folder: Path) -> Iterator[Path]:
    for path in _visible(folder):
        if path.is_file():
            yield path
        elif (path / SEAL).is_file():
            yield path / SEAL
        else:
            yield from _listed(path)


def _sealed_inside(folder: Path) -> Iterator[Path]:
    """The outermost sealed folders in a folder."""
    for path in _visible(folder):
        if (path / SEAL).is_file():
            yield path
        elif path.is_dir():
            yield from _sealed_inside(path)


def _visible(folder: Path) -> Iterator[Path]:
    """Files and folders in a folder; none that is hidden, the seal, or a link to a folder."""
    for path in sorted(folder.iterdir()):
        is_passed_over = path.name.startswith(".") or path.name == SEAL
        if not is_passed_over and (path.is_file() or (path.is_dir() and not path.is_symlink())):
            yield path


def _read(seal: Path) -> dict[str, tuple[int, str]]:
    """Size and SHA-256 by name; ValueError for what is no seal, or one that leads elsewhere."""
    try:
        with seal.open("rb") as file:
            data = file.read(MAX_SEAL + 1)
        if len(data) > MAX_SEAL:
            raise ValueError(f"it has more than {MAX_SEAL:,} bytes")
        content = json.loads(data)
        if (content["kind"], content["version"]) != (KIND, VERSION):
            raise ValueError(f"it is not of version {VERSION}")
        return {_inside(name): _entry(entry) for name, entry in content["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{seal} is no list of files that can be read ({type(error).__name__}: {error}): "
            f"{_advice(seal.parent)}"
        ) from None


def _advice(folder: Path) -> str:
    """What to do; the folder of a component is sealed with the pipeline that it is in."""
    in_pipeline = not (folder / CONFIG).is_file() and (folder.parent / CONFIG).is_file()
    return f"{_ADVICE}python -m spacy btl seal {folder.parent if in_pipeline else folder}"


def _inside(name: str) -> str:
    """A name that stays in the folder on any system."""
    path = PureWindowsPath(name)  # which knows both slashes and drives
    if path.drive or path.root or not path.parts or ".." in path.parts or "\0" in name:
        raise ValueError(f"{name!r} is no file in the folder")
    return name


def _entry(entry: Any) -> tuple[int, str]:
    size, digest = entry["size"], entry["sha256"]
    if type(size) is not int or not isinstance(digest, str):
        raise ValueError("an entry lacks its size or its SHA-256")
    return size, digest
