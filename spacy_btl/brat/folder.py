"""Read folders of documents: a .txt with an .ann, or with the .a1 and .a2 of BioNLP."""

import codecs
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, TypeAlias

from ..util.text import counted, printable
from .problems import Fault, Problem, check_parts, find_fault
from .records import Entity, Record, Standoff
from .standoff import BYTE_ORDER_MARK, loads, without_swallowed

ANNOTATION_SUFFIXES = (".ann", ".a1", ".a2")


@dataclass(frozen=True)
class Document:
    """A text with its annotation.

    Attributes:
        name: The path relative to the folder, with "/" and without suffix.
        path: The .txt, or where there is none the annotation.
        text: The text, or None where it is missing.
        parts: The records of each annotation file, after its path relative to the folder.
        problems: What is wrong with its files and records.
    """

    name: str
    path: Path
    text: str | None
    parts: tuple[tuple[str, Standoff], ...]
    problems: tuple[Problem, ...]

    @cached_property
    def standoff(self) -> Standoff:
        """The records of all its files, in order, each file's last line ended."""
        records: list[Record] = []
        for _, part in self.parts:
            if records and not records[-1].raw.endswith("\n"):
                records[-1] = records[-1]._replace(raw=f"{records[-1].raw}\n")
            records += part.records
        return Standoff(tuple(records))


def read_folder(path: str | os.PathLike[str]) -> Iterator[Document]:
    """Yield the documents of a folder and its sub-folders, by name.

    A document is a .txt with an .ann of the same name, or with BioNLP's .a1 and .a2, whose records
    follow each other; `scan_folder` says which names are the same. A missing file is among the
    problems of its document. UTF-16 is read as such; otherwise each byte that is not UTF-8 becomes
    one U+FFFD. A byte order mark is left out of the text unless the offsets count it.

    Raises:
        FileNotFoundError: If there is no such folder.
        NotADirectoryError: If the path is not a folder.
        ValueError: If the folder has no document.
    """
    root = Path(path)
    documents, others = scan_folder(root)
    hints = _hints(root, documents, others)
    if not documents:
        names = ", ".join(other.relative_to(root).as_posix() for other in others[:3])
        raise ValueError(
            f"no .txt, .ann, .a1 or .a2 file in {root} or its sub-folders; "
            f"{counted(len(others), 'other file')}{': ' if others else ''}{names}"
        )
    return (_read_document(root, name, documents[name], hints) for name in sorted(documents))


def other_files(path: str | os.PathLike[str]) -> list[Path]:
    """Return the files of a folder that `read_folder` passes over; errors as there."""
    return scan_folder(Path(path))[1]


def scan_folder(root: Path) -> tuple[dict[str, dict[str, Path]], list[Path]]:
    """Return the files of each document by name and suffix, and all other files.

    A suffix may be in capitals, unless the same file exists with the suffix in small letters.
    Where a text and an annotation have no partner of the very same name, those whose names differ
    only in Unicode form, case, or white space are one document, and so are ``x.txt`` and
    ``x.txt.ann`` (or ``x.ann.txt``); none if more than one text or annotation could be meant.
    Links to folders, pipes, sockets and broken links are among the other files, and not opened.

    Raises:
        FileNotFoundError: If there is no such folder.
        NotADirectoryError: If the path is not a folder.
        OSError: If a folder in it cannot be read.
    """
    if not root.exists():
        raise FileNotFoundError(f"the folder {root} does not exist")
    if not root.is_dir():
        raise NotADirectoryError(f"{root} is not a folder of .txt and .ann files")
    documents: dict[str, dict[str, Path]] = {}
    found, others = _walk(root)
    for path in sorted(found, key=lambda path: path.suffix != path.suffix.lower()):
        inside = path.relative_to(root)
        # Hidden files, such as the ._x.txt that macOS puts into archives, are not documents.
        hidden = any(part.startswith((".", "__MACOSX")) for part in inside.parts)
        suffix, name = path.suffix.lower(), relative_name(path.with_suffix(""), root)
        known = suffix in (".txt", *ANNOTATION_SUFFIXES) and suffix not in documents.get(name, {})
        if hidden or not known:
            others.append(path)
        else:
            documents.setdefault(name, {})[suffix] = path
    documents = pair_names(documents)
    for files in documents.values():
        if ".ann" in files:
            others += [files.pop(suffix) for suffix in (".a1", ".a2") if suffix in files]
    return documents, sorted(others)


def _walk(root: Path) -> tuple[list[Path], list[Path]]:
    """Return all regular files below a folder, sorted, and whatever is neither file nor folder."""

    def fail(error: OSError) -> None:
        """Raise the error: documents in an unreadable folder would be missing silently."""
        raise error

    files: list[Path] = []
    others: list[Path] = []
    for folder, folders, names in os.walk(root, onerror=fail):
        others += [path for name in folders if (path := Path(folder, name)).is_symlink()]
        for name in names:
            path = Path(folder, name)
            (files if path.is_file() else others).append(path)
    return sorted(files), others


Files: TypeAlias = dict[str, Path]
"""The files of a document by suffix, in small letters."""


def pair_names(documents: dict[str, Files]) -> dict[str, Files]:
    """Join documents that lack a text or annotation with those whose names mean the same.

    Args:
        documents: Files by name and suffix.

    Returns:
        The same files, a document by the name of its text.
    """
    for name, files in list(documents.items()):
        match = re.fullmatch(r"(.+)(\.ann|\.a1|\.a2)", name, re.IGNORECASE | re.DOTALL)
        if match and [*files] == [*documents.get(match[1], {})] == [".txt"]:
            documents[match[1]][match[2].lower()] = documents.pop(name)[".txt"]
    for key in (_same_name, _without_second_suffix, _loose_name):
        groups: dict[str, list[str]] = {}
        for name, files in documents.items():
            groups.setdefault(key(name, files), []).append(name)
        for names in groups.values():
            if len(names) > 1 and (joined := _join([documents[name] for name in names])):
                kept = min(names, key=lambda name: (".txt" not in documents[name], name))
                for name in names:
                    del documents[name]
                documents[kept] = joined
    return documents


def _join(parts: Sequence[Files]) -> Files | None:
    """Return the files of one document; None if they cannot be those of one."""
    files = {suffix: path for part in parts for suffix, path in part.items()}
    if len(files) < sum(map(len, parts)) or (".ann" in files and len(files) > 2):
        return None
    return files


def _same_name(name: str, files: Files) -> str:
    return unicodedata.normalize("NFC", name)


def _without_second_suffix(name: str, files: Files) -> str:
    """Return ``x`` for ``x.txt.ann``."""
    name = _same_name(name, files)
    return name if ".txt" in files else re.sub(r"\.txt$", "", name, flags=re.IGNORECASE)


def _loose_name(name: str, files: Files) -> str:
    name = unicodedata.normalize("NFKC", _without_second_suffix(name, files)).casefold()
    return "/".join(" ".join(part.split()) for part in name.split("/"))


def _hints(root: Path, documents: Mapping[str, Files], others: Iterable[Path]) -> dict[str, str]:
    """Return files that may have been meant, for documents without a text or annotation."""
    incomplete = {name: files for name, files in documents.items() if _lacks(files)}
    if not incomplete:
        return {}
    last = {name: _loose_name(name.rpartition("/")[2], incomplete[name]) for name in incomplete}
    namesakes: dict[str, list[str]] = {}
    for name, own in last.items():
        namesakes.setdefault(own, []).append(name)
    beside: dict[str, list[Path]] = {}
    for path in others:
        beside.setdefault(relative_name(path.parent, root), []).append(path)
    hints = {}
    for name, files in incomplete.items():
        start = name.rpartition("/")[2] + "."
        near = [p for p in beside.get(_folder(name), ()) if p.name.lstrip("#").startswith(start)]
        other = next(
            (n for n in namesakes[last[name]] if _lacks(incomplete[n]) != _lacks(files)), ""
        )
        if near:
            kind = "" if near[0].is_file() else ", which is not a regular file"
            hints[name] = f"; is it {printable(near[0].name)}{kind}?"
        elif other:
            file = relative_name(next(iter(incomplete[other].values())), root)
            hints[name] = f"; {file} has its name: a text and its annotation must be in one folder"
    return hints


def _folder(name: str) -> str:
    return name.rpartition("/")[0] or "."


def _lacks(files: Files) -> str:
    """Return "text" or "annotation", "" where there are both."""
    return "text" if ".txt" not in files else "annotation" if len(files) == 1 else ""


def relative_name(path: Path, root: Path) -> str:
    """Return a path in a folder with "/"; bytes that are not UTF-8 as in Latin-1."""
    name = path.relative_to(root).as_posix()
    return re.sub("[\udc80-\udcff]", lambda found: chr(ord(found[0]) - 0xDC00), name)


def _read_document(root: Path, name: str, files: Files, hints: Mapping[str, str]) -> Document:
    hint = hints.get(name, "")
    problems: list[Problem] = []

    def note(file: str, reason: Fault, detail: str) -> None:
        problems.append(Problem("", 0, "", reason, detail, file))

    parts: list[tuple[str, Standoff]] = []
    text = None
    for suffix in (*ANNOTATION_SUFFIXES, ".txt"):  # the text last: the entities judge its BOM
        if suffix not in files:
            continue
        file = relative_name(files[suffix], root)
        content, detail, _ = decode_file(files[suffix])
        if content is None:
            note(file, "no-text" if suffix == ".txt" else "no-annotation", detail)
            continue
        if detail:
            note(file, "encoding", detail)
        if suffix == ".txt":
            text = _drop_bom(content, [entity for _, part in parts for entity in part.entities])
        else:
            # Of several files, only the first line of the whole may keep a byte order mark.
            parts.append((file, loads(content.removeprefix(BYTE_ORDER_MARK) if parts else content)))
        if content.startswith(BYTE_ORDER_MARK):
            note(file, "bom", "the offsets count it" if text == content else "left out")
    if ".txt" not in files:
        note(name + ".txt", "no-text", f"no such file{hint}")
    if not files.keys() - {".txt"}:
        note(name + ".ann", "no-annotation", f"no such file, nor an .a1 or .a2{hint}")
    parts = [(file, without_swallowed(part, text)) for file, part in parts]
    path = files.get(".txt") or next(iter(files.values()))
    return Document(name, path, text, tuple(parts), (*problems, *check_parts(parts, text)))


class Decoded(NamedTuple):
    """The content of a file.

    Attributes:
        text: Its text, the line endings kept; None if it cannot be read.
        detail: What is wrong with its bytes, or "".
        line: The first line that is wrong, from 1; 0 for none, or the whole file.
    """

    text: str | None
    detail: str = ""
    line: int = 0


def decode_file(path: Path, declared: Callable[[bytes], str] = lambda _: "") -> Decoded:
    """Return the text of a file in UTF-8 or UTF-16, or in the encoding that it declares.

    Each byte that is not UTF-8 becomes one U+FFFD, so that the offsets of an 8-bit encoding hold.

    Args:
        path: The file.
        declared: Returns the encoding that the content of the file declares, "" for none.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        return Decoded(None, f"it cannot be read: {error.strerror or type(error).__name__}")
    if wide := _utf16(data):
        return Decoded(data.decode(wide, "replace"), "UTF-16, read as such")
    if encoding := declared(data):
        with suppress(LookupError, UnicodeError):  # it is unknown, or not that of the file
            return Decoded(data.decode(encoding))
    try:
        return Decoded(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        # Not the lone surrogates themselves: no UTF-8 can be made of them later.
        text, count = re.subn("[\udc80-\udcff]", "\ufffd", data.decode("utf-8", "surrogateescape"))
        said = counted(count, "byte is", "bytes are")
        detail = f"{said} not UTF-8, the first at byte {error.start}"
        return Decoded(text, detail, data.count(b"\n", 0, error.start) + 1)


def _utf16(data: bytes) -> str:
    """Return the name of the UTF-16 that bytes are in, "" for another encoding."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    # Without a mark: of the two bytes of most characters, the same one is zero, and that one alone.
    size = len(data) // 2
    first, second = (data[: 2 * size][i::2].count(0) for i in (0, 1))
    if second > 0.8 * size and first < 0.2 * size:
        return "utf-16-le"
    return "utf-16-be" if first > 0.8 * size and second < 0.2 * size else ""


def _drop_bom(text: str, entities: Sequence[Entity]) -> str:
    """Return a text without its byte order mark, unless more surface texts agree with it."""
    bare = text.removeprefix(BYTE_ORDER_MARK)
    if bare == text:
        return text
    faults_bare, faults = (sum(bool(find_fault(e, t)) for e in entities) for t in (bare, text))
    return text if faults < faults_bare else bare
