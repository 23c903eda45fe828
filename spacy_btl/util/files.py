"""Replace folders and files without ever being left with neither the old nor the new one.

Everything new is built beside its target, on the same file system, and takes the target's place
when it is complete. A folder cannot be replaced in one step: the old one is first renamed to
``.NAME.old``. A process that is killed between the two renames leaves both folders complete, and
`restore_folder` puts the old one back.
"""

import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from glob import escape
from pathlib import Path, PureWindowsPath
from typing import BinaryIO, TypeAlias

Content: TypeAlias = bytes | bytearray | memoryview | Path
"""Bytes, or the path of a file that contains them."""

_BLOCK = 2**20
_DAY = 24 * 60 * 60


@contextmanager
def replacing_folder(target: Path, *, flush: bool = True) -> Iterator[Path]:
    """Yield a new, empty folder that takes the place of `target` at the end of the block.

    If the block fails, the new folder is removed, and the target is as it was.

    Args:
        target: The folder to replace; it need not exist. A link to a folder stays a link.
        flush: Whether the new files reach the disk before the old ones go, which a machine that
            loses its power needs. Many small files that are easily made again are not worth the
            time, some 5 ms for each.

    Raises:
        NotADirectoryError: The target is a file.
        OSError: As in `replace_folder`.
    """
    target = Path(os.path.realpath(target))
    target.parent.mkdir(parents=True, exist_ok=True)
    restore_folder(target)
    if target.exists() and not target.is_dir():
        raise NotADirectoryError(f"{target} is a file: name a folder")
    new = _sibling(target, "new")
    new.mkdir()
    try:
        yield new
        if flush:
            _flush(new)
    except BaseException:
        _discard(new)
        raise
    replace_folder(new, target)


def replace_folder(new: Path, target: Path) -> None:
    """Move a complete folder to the place of another one, which is removed.

    Files left beside the target by killed processes are removed too, if older than a day.

    Args:
        new: The folder to move, on the file system of the target.
        target: The folder to replace; it need not exist.

    Raises:
        OSError: The target could not be replaced. The text says where the new folder is; the target
            is as it was, or, if even that failed, the text says where the old folder is.
    """
    target = Path(os.path.realpath(target))
    restore_folder(target)
    old = _old(target)
    try:
        replaces = target.exists()
        if replaces:
            shutil.copymode(target, new)
            target.rename(old)
        try:
            new.rename(target)
        except BaseException:
            restore_folder(target)
            raise
    except OSError as error:
        also = f" The old one is in {old}." if old.exists() else ""
        raise OSError(
            f"{target} could not be replaced ({error.strerror or error}). The new one is complete "
            f"in {new}: move it by hand.{also}"
        ) from error
    if replaces:
        _discard(old)
    _discard_leftovers(target)


def restore_folder(target: Path) -> None:
    """Put back the old folder that a killed `replace_folder` had moved aside, if there is one.

    Raises:
        OSError: The old folder cannot be moved.
    """
    target = Path(os.path.realpath(target))
    old = _old(target)
    if not old.exists():
        return
    if target.exists():  # the kill came later: the new folder is in place
        _discard(old)
    else:
        old.rename(target)


@contextmanager
def replacing_file(path: Path, *, build_in: Path | None = None) -> Iterator[BinaryIO]:
    """Yield a new binary file that takes the place of `path` at the end of the block.

    Readers find the old file until then, and after a crash. An existing path that is neither file
    nor folder, such as a pipe, is written to directly.

    Args:
        path: The file to replace; it need not exist. A link to a file stays a link.
        build_in: A folder on the same file system to build the file in, by default its own.

    Raises:
        OSError: The file could not be written; the old one is as it was.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        with path.open("wb") as file:
            yield file
        return
    path = Path(os.path.realpath(path))
    new = _sibling(path, "new") if build_in is None else build_in / secrets.token_hex(8)
    try:
        with new.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if path.is_file():
            shutil.copymode(path, new)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    if build_in is None:
        _discard_leftovers(path)


def write_file(path: Path, content: bytes | str, *, build_in: Path | None = None) -> None:
    """Write a file whole or not at all, a text as UTF-8; see `replacing_file`."""
    data = content.encode("utf-8") if isinstance(content, str) else content
    with replacing_file(path, build_in=build_in) as file:
        file.write(data)


def write_files(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write several files, which replace those of the same names only when all are complete.

    Args:
        folder: The folder of the files, which is made if it does not exist. Others in it stay.
        contents: Contents by name.

    Raises:
        OSError: The files could not be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        for name, content in contents.items():
            file = stack.enter_context(replacing_file(folder / name))
            file.write(content)
            file.flush()  # so that a full disk is noticed before the first file is replaced


def check_apart(
    output: Path | str, inputs: Iterable[Path | str | None], *, names: Iterable[str] | None = None
) -> None:
    """Raise ValueError if writing an output could destroy or change what is read.

    The output may not be an input, nor be in a folder that is one.

    Args:
        output: The file or folder to write.
        inputs: Files and folders that are read; None is passed over.
        names: Files that are written into the folder; others in it may be inputs. None if the
            folder is replaced as a whole, so that no input may be in it.
    """
    target = Path(output).resolve()
    for path in inputs:
        if path is None:
            continue
        source = Path(path).resolve()
        if source == target:
            raise ValueError(f"{output} is an input too, and would be lost: name another output")
        if source in target.parents:
            raise ValueError(f"{output} is in the input {path}: name an output outside of it")
        inner = source.relative_to(target).parts[0] if target in source.parents else ""
        if inner and (names is None or inner in names):
            raise ValueError(f"the input {path} is in {output}, and would be lost: name another")


def check_new_files(
    paths: Iterable[Path | None], inputs: Iterable[Path | str | None], *, force: bool
) -> None:
    """Make the folders of files, and check that these can be written, before the work for them.

    Args:
        paths: The files; None is passed over.
        inputs: Files and folders that are read; see `check_apart`.
        force: Whether a file that is there may be replaced. A pipe is written to in any case.

    Raises:
        ValueError: If a file is an input or in one, or two of them are the same.
        OSError: If there is a folder or, without ``force``, a file in its place.
    """
    seen, inputs = set[Path](), tuple(inputs)
    for path in filter(None, paths):
        check_apart(path, inputs)
        if path.is_dir():
            raise IsADirectoryError(f"{path} is a folder: name a file")
        if path.is_file() and not force:
            raise FileExistsError(f"{path} already exists; --force replaces it")
        if path.resolve() in seen:
            raise ValueError(f"{path} is named twice: name two files")
        seen.add(path.resolve())
        path.parent.mkdir(parents=True, exist_ok=True)


def sha256_of(contents: Content | Iterable[Content]) -> str:
    """Return the SHA-256 of bytes and files, one after the other, as 64 hexadecimal digits.

    Raises:
        OSError: A file cannot be read.
    """
    digest = hashlib.sha256()
    if isinstance(contents, bytes | bytearray | memoryview | Path):
        contents = (contents,)
    for content in contents:
        if isinstance(content, Path):
            with content.open("rb") as file:
                while block := file.read(_BLOCK):
                    digest.update(block)
        else:
            digest.update(content)
    return digest.hexdigest()


def _old(target: Path) -> Path:
    return target.with_name(f".{target.name}.old")


def _sibling(path: Path, kind: str) -> Path:
    """Return a hidden name beside a path that nothing has yet."""
    return path.with_name(f".{path.name}.{kind}-{secrets.token_hex(4)}")


def _discard(folder: Path) -> None:
    """Remove a folder, under another name: what is left of it must not pass for a whole one."""
    doomed = _sibling(folder, "removed")
    with suppress(OSError):
        folder.rename(doomed)
        folder = doomed
    shutil.rmtree(folder, ignore_errors=True)


def _discard_leftovers(target: Path) -> None:
    """Remove what killed processes left beside a target, unless somebody may still write to it."""
    for kind in ("new", "removed"):
        for path in target.parent.glob(f".{escape(target.name)}.{kind}-{'[0-9a-f]' * 8}"):
            with suppress(OSError):  # another process may be doing the same
                if time.time() - path.stat().st_ctime < _DAY:
                    continue
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()


def _flush(folder: Path) -> None:
    """Make the files of a folder reach the disk (some file systems fail only then)."""
    flags = os.O_RDONLY if os.name == "posix" else os.O_RDWR
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            descriptor = os.open(path, flags)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def inside(name: str) -> str:
    """Return the name of a file relative to a folder, if it stays inside on any system.

    Raises:
        ValueError: If it does not, or is not a file name.
    """
    path = PureWindowsPath(name)  # which knows both slashes and drives
    if path.drive or path.root or not path.parts or ".." in path.parts or "\0" in name:
        raise ValueError(f"{name!r} is outside the folder, or is not a file in it")
    return name
