"""Guess in which format a file or folder is, from names and first lines."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from ..brat.folder import ANNOTATION_SUFFIXES
from .bioc import looks_like_bioc
from .columns import Columns, looks_like_columns
from .files import DataFile, Format, data_files, read_lines
from .json_documents import looks_like_json
from .pubtator import looks_like_pubtator

TITLES: Mapping[Format, str] = {
    "brat": "BRAT",
    "pubtator": "PubTator",
    "conll": "CoNLL, a token a line",
    "json": "JSON",
    "bioc": "BioC XML",
    "docbin": "DocBin",
}
"""The names of the formats in messages."""

_JSON = (".json", ".jsonl", ".ndjson")
_TEXTS = ("", ".txt", ".tsv", ".csv", ".conll", ".iob", ".iob2", ".bio", ".tag", ".tags", ".dat")
_SUFFIXES: Mapping[Format, tuple[str, ...]] = {
    "pubtator": (*_TEXTS, ".pubtator"),
    "conll": _TEXTS,
    "json": _JSON,
    "bioc": (".xml",),
    "docbin": (".spacy",),
}
"""Suffixes that files of a format may have, where the format is given and not guessed."""

_HEAD = 2**16
_LINES = 200


class Guess(NamedTuple):
    """The format of a corpus, its files, and other files that are passed over."""

    format: Format
    files: list[DataFile]
    others: list[Path]


def guess_format(path: Path, wanted: Format | None = None, columns: Columns | None = None) -> Guess:
    """Return the format of a file, or of a folder with its sub-folders.

    A folder with an .ann, .a1 or .a2 is BRAT, whatever else is in it.

    Args:
        path: The file or folder.
        wanted: The format, if it is known.
        columns: Where the tokens and tags of CoNLL files are, if that is known.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        ValueError: If files are of several formats, or a file is of none that is known.
        OSError: If a folder cannot be read.
    """
    files = data_files(path)
    if wanted == "brat" or (path.is_dir() and _has_brat(files, wanted)):
        return Guess("brat", files, [])
    if path.is_file() and wanted:
        return Guess(wanted, files, [])
    kinds = {file: _format_of(file, columns or Columns()) for file in files}
    found = Counter(kind for kind in kinds.values() if kind)
    if wanted:
        kinds = {
            file: wanted if kind == wanted or (not kind and _may_be(file, wanted)) else None
            for file, kind in kinds.items()
        }
    elif len(found) > 1:
        numbers = ", ".join(f"{TITLES[kind]} {number}" for kind, number in found.most_common())
        raise ValueError(
            f"{path} has files of several formats ({numbers}): name one with --format "
            f"{' or '.join(sorted(found))}"
        )
    wanted = wanted or next(iter(found), None)
    chosen = [file for file, kind in kinds.items() if kind and kind == wanted]
    if wanted and chosen:
        return Guess(wanted, chosen, [f.path for f, kind in kinds.items() if kind != wanted])
    names = ", ".join(name for name in TITLES if name != "brat")
    if path.is_dir() and not wanted:
        if files and not any(file.path.suffix.lower() == ".txt" for file in files):
            raise ValueError(
                f"no file in {path} is in a format that is plain, such as {files[0].name}: name it "
                f"with --format ({names}), or give .txt files with .ann (BRAT)"
            )
        return Guess("brat", files, [])  # its reader says what is missing
    if wanted:
        raise ValueError(f"no file in {path} can be {TITLES[wanted]}")
    raise ValueError(
        f"{path} is not a folder, and its format is not clear: name it with --format ({names})"
    )


def _has_brat(files: Sequence[DataFile], wanted: Format | None) -> bool:
    return not wanted and any(file.path.suffix.lower() in ANNOTATION_SUFFIXES for file in files)


def _may_be(file: DataFile, wanted: Format) -> bool:
    """Return whether a file of no known format may be one whose format is given."""
    return file.path.suffix.lower() in _SUFFIXES[wanted]


def _format_of(file: DataFile, columns: Columns) -> Format | None:
    """Return the format of a file; None if it is not plain."""
    suffix = file.path.suffix.lower()
    if suffix == ".spacy":
        return "docbin"
    try:
        with file.path.open("rb") as stream:
            head = stream.read(_HEAD)
    except OSError:
        return None
    if suffix in _JSON:
        return "json" if looks_like_json(read_lines(file).text or "") else None
    if suffix == ".xml":
        return "bioc" if looks_like_bioc(head) else None
    if b"\0" in head and not head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return None
    text = read_lines(file).text or ""
    lines = list(islice((line for line in text[:_HEAD].split("\n") if line.strip()), _LINES))
    if looks_like_pubtator(lines):
        return "pubtator"
    # The last line may be cut off.
    whole = lines if len(text) <= _HEAD or len(lines) == _LINES else lines[:-1]
    return "conll" if looks_like_columns(whole, columns) else None
