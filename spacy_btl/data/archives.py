"""Unpack zip archives of documents, and refuse those that are broken, hostile or absurd."""

import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PureWindowsPath

# The publisher's archives hold a few MB in some hundred members: far more is no corpus.
MAX_BYTES = 1 << 30
MAX_MEMBERS = 20_000


class ArchiveError(ValueError):
    """An archive that cannot be unpacked, or should not; the text names it and says why."""


def unpack(archive: Path, label: str, target: Path, suffixes: tuple[str, ...]) -> None:
    """Unpack the members with one of `suffixes` into the new folder `target`.

    `label` is what errors call the archive. Raises ArchiveError, with `target` half filled.
    """
    target.mkdir()
    try:
        with zipfile.ZipFile(archive) as opened:
            for info, parts in _checked_members(label, opened.infolist()):
                if parts[-1].endswith(suffixes):
                    path = target.joinpath(*parts)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with opened.open(info) as member, path.open("xb") as file:
                        shutil.copyfileobj(member, file)
    except ArchiveError:
        raise
    # RuntimeError: encrypted, or a method unknown here. ValueError: names that are no UTF-8.
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError) as error:
        raise ArchiveError(
            f"{label}: cannot be unpacked ({type(error).__name__}: {error}). "
            "Delete it and fetch it again."
        ) from error


def _checked_members(
    label: str, members: list[zipfile.ZipInfo]
) -> list[tuple[zipfile.ZipInfo, tuple[str, ...]]]:
    """Files of an archive and the parts of their names; ArchiveError if any member is hostile."""
    # zipfile itself stops reading a member at its declared size, so the declared sum is a bound.
    if len(members) > MAX_MEMBERS or sum(info.file_size for info in members) > MAX_BYTES:
        raise ArchiveError(f"{label}: more than {MAX_MEMBERS} members or {MAX_BYTES} bytes")
    checked = {}
    for info in members:
        # As a Windows path: that knows both slashes and drives, and equality ignores case.
        path = PureWindowsPath(info.filename)
        mode = stat.S_IFMT(info.external_attr >> 16)
        # Windows drops trailing dots and spaces, so ".. " climbs as well.
        climbs = any(not part.strip(". ") for part in path.parts)
        if path.drive or path.root or climbs or not path.parts:
            raise ArchiveError(f"{label}: the member {info.filename!r} leaves the folder")
        if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise ArchiveError(f"{label}: the member {info.filename!r} is a link or a device")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ArchiveError(
                f"{label}: the member {info.filename!r} is neither stored nor deflated"
            )
        if path in checked:
            raise ArchiveError(f"{label}: the member {info.filename!r} is there twice")
        checked[path] = info
    return [(info, path.parts) for path, info in checked.items() if not info.is_dir()]
