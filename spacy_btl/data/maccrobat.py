"""Find or fetch a corpus: a folder of BRAT pairs, MACCROBAT2020, or the bundled sample.

The result is one folder of .txt and .ann (or .a1 and .a2) files, copied byte for byte, since BRAT
offsets count every character, and ``corpus.json``, which says where they came from.

No digest of the published file is pinned: the publisher gives an MD5 only, together with the file's
address. A corpus is pinned by the SHA-256 of its documents, wherever they come from.
"""

import json
import os
import re
import shutil
import sys
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, TypeAlias, get_args

from ..brat.folder import ANNOTATION_SUFFIXES, scan_folder
from ..util.checks import one_of
from ..util.files import inside, replacing_folder, sha256_of
from ..util.messages import warn
from .gold import INFO_NAME

Sample: TypeAlias = Literal["allow", "never"]
"""Whether the bundled sample may take the place of MACCROBAT."""

FIGSHARE_URL = "https://api.figshare.com/v2/articles/9764942/versions/2"
"""The publisher's list of files."""

TIMEOUT = 10.0
"""Seconds to wait for a connection, and for each piece of an answer."""

SAMPLE_HEADING = "bundled sample: scores say nothing about MACCROBAT"
MACCROBAT = {
    "title": "MACCROBAT2020",
    "doi": "10.6084/m9.figshare.9764942.v2",
    "license": "CC BY 4.0",
    "citation": "Caufield et al. 2018, Sci Data 5:180258",
}
SAMPLE = {"title": "bundled sample of spacy-btl", "doi": "", "license": "MIT", "citation": ""}
MAX_UNPACKED = 1 << 28
"""Most bytes of an unpacked zip; the publisher's has a few MB."""


class CorpusError(ValueError):
    """No corpus could be found, fetched or written; the text says why and what to do."""


@dataclass(frozen=True)
class CorpusInfo:
    """Source of the documents of a folder: the content of its ``corpus.json``.

    Attributes:
        source: "folder", "assets", "zip", "download" or "sample".
        title: Title of the corpus; like the next three, "" if not known.
        doi: DOI of the corpus.
        license: License of the corpus.
        citation: Citation of the corpus.
        documents: Number of texts with annotation.
        unpaired: Number of texts without annotation, which are not copied.
        sha256: Over names and contents, the same wherever the same documents are found.
        bundled_sample: Whether they are the bundled sample.
        heading: What a report on them must carry, or "".
    """

    source: str
    title: str
    doi: str
    license: str
    citation: str
    documents: int
    unpaired: int
    sha256: str
    bundled_sample: bool
    heading: str


def read_info(folder: Path) -> CorpusInfo:
    """Return the ``corpus.json`` of a folder that `prepare_corpus` made.

    Raises:
        CorpusError: If there is none.
    """
    try:
        data = json.loads((folder / INFO_NAME).read_bytes())
    except (OSError, ValueError) as error:
        raise CorpusError(f"{folder}: no readable {INFO_NAME}: {error}") from error
    if not isinstance(data, dict) or set(data) != {field.name for field in fields(CorpusInfo)}:
        raise CorpusError(f"{folder}: {INFO_NAME} does not describe a prepared corpus")
    return CorpusInfo(**data)


def prepare_corpus(
    source: str,
    out_dir: Path,
    *,
    assets_dir: Path,
    sample: Sample = "allow",
    sha256: str | None = None,
) -> CorpusInfo:
    """Fill a folder with the documents of a source, all of them or none.

    Args:
        source: A folder, or "maccrobat": documents in ``assets_dir/maccrobat``, or else the
            publisher's zip there, in ``assets_dir`` or of an earlier download, or else a download,
            or else, with a notice on stderr, the sample in ``assets_dir/sample``.
        out_dir: The folder to fill; what an earlier call made there is replaced.
        assets_dir: See ``source``.
        sample: Whether the sample may be taken.
        sha256: What `CorpusInfo.sha256` must be; None to accept whatever is found.

    Raises:
        CorpusError: If there are no documents, or others than ``sha256`` says; if the download
            fails and the sample may not be taken; if a zip is broken or hostile; if ``out_dir`` was
            made by something else, or overlaps with the source; if a file cannot be read or
            written.
        ValueError: If ``sample`` has none of its values.
    """
    one_of("sample", sample, get_args(Sample))
    out_dir = out_dir.resolve()
    try:
        if source == "maccrobat":
            _check_replaceable(out_dir)  # before a download
            kind, origin = _locate_maccrobat(assets_dir, sample)
        elif source and (Path(source).is_dir() or Path(source).expanduser().is_dir()):
            origin = Path(source) if Path(source).is_dir() else Path(source).expanduser()
            kind = "folder"
        else:
            raise CorpusError(f'The source {source!r} is neither "maccrobat" nor a folder')
        resolved = origin.resolve()
        if out_dir in (resolved, *resolved.parents) or resolved in out_dir.parents:
            raise CorpusError(f"The source {origin} and the target {out_dir} must not overlap")
        _check_replaceable(out_dir)
        with TemporaryDirectory() as unpacked, replacing_folder(out_dir, flush=False) as new:
            if origin.is_file():
                _unpack(origin, Path(unpacked))
            info = _copy_documents(origin if origin.is_dir() else Path(unpacked), new, kind)
            if not info.documents:
                raise CorpusError(
                    f"{origin}: it has no .txt file with a .ann, .a1 or .a2 file beside it"
                )
            if sha256 not in (None, info.sha256):
                raise CorpusError(
                    f"{origin}: the documents have SHA-256 {info.sha256}, not {sha256}"
                )
    except OSError as error:
        raise CorpusError(f"The corpus could not be prepared: {error}") from error
    if kind == "download" and sha256 is None:
        warn(
            f"whether the download is the published corpus was not verified; {info.sha256} is the "
            "SHA-256 of its documents"
        )
    return info


def _locate_maccrobat(assets: Path, sample: Sample) -> tuple[str, Path]:
    """Return the kind of source, and the folder or zip that it is."""
    given, downloads = assets / "maccrobat", assets / ".download"
    if _pairs(given)[0]:
        return "assets", given
    for kind, folder in (("zip", given), ("zip", assets), ("download", downloads)):
        if name := _pick_zip(path.name for path in folder.glob("*") if path.is_file()):
            return kind, folder / name
    try:
        return "download", _download(downloads)
    # A failed connection is an OSError; an answer of another form gives one of the others.
    except (OSError, ValueError, LookupError, TypeError) as error:
        cause = f"MACCROBAT could not be fetched: {FIGSHARE_URL}: {type(error).__name__}: {error}"
        choices = [
            f"put its .txt and .ann files, or the publisher's zip (doi {MACCROBAT['doi']}), "
            f"into {given}",
            "pass a folder of .txt/.ann pairs as the source",
        ]
        bundled = bool(_pairs(assets / "sample")[0])
        if bundled and sample == "allow":
            choices.append("refuse the sample (--sample never)")
            lines = ["THIS IS NOT MACCROBAT", SAMPLE_HEADING, cause, "To change that:"]
            lines += [f"- {choice}" for choice in choices]
            frame = "#" * 96
            print("\n".join(["", frame, *(f"# {line}" for line in lines), frame]), file=sys.stderr)
            return "sample", assets / "sample"
        choices += ["allow the bundled sample (--sample allow)"] if bundled else []
        listed = "".join(f"\n  - {choice}" for choice in choices)
        raise CorpusError(f"{cause}\nYou can{listed}") from error


def _download(folder: Path) -> Path:
    """Return the publisher's zip, downloaded to a folder and compared with the MD5 in its list."""
    import pooch
    import requests

    listed = requests.get(FIGSHARE_URL, timeout=TIMEOUT)
    listed.raise_for_status()
    files = {file["name"]: file for file in listed.json()["files"]}
    if (name := _pick_zip(files)) is None or not re.fullmatch(r"[\w.-]+", name):
        raise LookupError(f"no MACCROBAT zip is among {sorted(files)}")
    download = pooch.HTTPDownloader(timeout=TIMEOUT, progressbar=sys.stderr.isatty())
    known_hash, link = f"md5:{files[name]['computed_md5']}", files[name]["download_url"]
    return Path(pooch.retrieve(link, known_hash, fname=name, path=folder, downloader=download))


def _pick_zip(names: Iterable[str]) -> str | None:
    """Return the best MACCROBAT archive: the edition of 2020, or else a zip that should have it."""
    ranked = []
    for name in sorted(names):
        low = name.lower()
        known = "maccrobat" in low and ("2020" in low or "2018" not in low)
        if low.endswith(".zip") and low[0] != "." and (known or low == "9764942.zip"):
            ranked.append(("2020" not in low, name))
    return min(ranked)[1] if ranked else None


def _unpack(archive: Path, target: Path, *, nested: bool = False) -> None:
    """Unpack the documents of a zip, or of the edition of 2020 that it contains as a zip."""
    suffixes = (".txt", *ANNOTATION_SUFFIXES) if nested else (".txt", *ANNOTATION_SUFFIXES, ".zip")
    try:
        with zipfile.ZipFile(archive) as opened:
            # zipfile reads no more of a member than its declared size.
            if sum(info.file_size for info in opened.infolist()) > MAX_UNPACKED:
                raise CorpusError(
                    f"{archive}: it has more than {MAX_UNPACKED:,} bytes when unpacked"
                )
            for info in opened.infolist():
                if info.is_dir():
                    continue
                try:
                    path = target / inside(info.filename)
                except ValueError as error:
                    raise CorpusError(f"{archive}: the member {error}") from error
                if path.suffix.lower() in suffixes:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with opened.open(info) as member, path.open("wb") as file:
                        shutil.copyfileobj(member, file)
    # Encrypted or of an unknown method: RuntimeError. Names that are not UTF-8: UnicodeError.
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, UnicodeError) as error:
        raise CorpusError(
            f"{archive} cannot be unpacked ({type(error).__name__}: {error}); fetch it again"
        ) from error
    zips = {path.name: path for path in target.rglob("*.zip")}
    if not nested and not _pairs(target)[0] and (name := _pick_zip(zips)):
        _unpack(zips[name], target / "nested", nested=True)


def _copy_documents(root: Path, target: Path, kind: str) -> CorpusInfo:
    """Copy the documents of a folder, out of the folders that an archive wraps them in."""
    if is_maccrobat := kind in ("assets", "zip", "download"):
        # The edition of 2018 may be beside that of 2020, and has the same reports.
        folders = {path.parent for path in _pairs(root)[0] if "2018" not in path.parent.as_posix()}
        root = root / os.path.commonpath(folders) if folders else root
    paths, documents, unpaired = _pairs(root)
    lines = []
    for path in paths:
        copy = target / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / path, copy)
        lines.append(os.fsencode(path.as_posix()) + b"\0" + bytes.fromhex(sha256_of(copy)))
    is_sample = kind == "sample"
    known = MACCROBAT if is_maccrobat else SAMPLE if is_sample else dict.fromkeys(MACCROBAT, "")
    info = CorpusInfo(
        source=kind,
        **known,
        documents=documents,
        unpaired=unpaired,
        sha256=sha256_of(lines),
        bundled_sample=is_sample,
        heading=SAMPLE_HEADING if is_sample else "",
    )
    text = json.dumps(asdict(info), indent=2, ensure_ascii=False) + "\n"
    (target / INFO_NAME).write_text(text, encoding="utf-8")
    return info


def _pairs(folder: Path) -> tuple[list[Path], int, int]:
    """Return the files of all documents as relative paths, their number, that of other texts."""
    documents = list(scan_folder(folder)[0].values()) if folder.is_dir() else []
    texts = [files for files in documents if ".txt" in files]
    pairs = [files for files in texts if len(files) > 1]
    paths = [path.relative_to(folder) for files in pairs for path in files.values()]
    return sorted(paths, key=Path.as_posix), len(pairs), len(texts) - len(pairs)


def _check_replaceable(out_dir: Path) -> None:
    if not out_dir.exists() or (out_dir.is_dir() and not any(out_dir.iterdir())):
        return
    try:
        read_info(out_dir)
    except CorpusError as error:
        raise CorpusError(
            f"{out_dir} exists and was not made by this command, so it is left alone ({error}). "
            "Remove it or choose another folder."
        ) from error
