"""Read folders of documents: a .txt with an .ann, or with the .a1 and .a2 of BioNLP."""

import codecs
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from .problems import Fault, Problem, check_parts, find_fault
from .records import Entity, Standoff
from .standoff import BYTE_ORDER_MARK, loads

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
        """The records of all its files, in order."""
        return Standoff(tuple(record for _, part in self.parts for record in part.records))


def read_folder(path: str | os.PathLike[str]) -> Iterator[Document]:
    """Yield the documents of a folder and its sub-folders, by name.

    A document is a .txt with an .ann of the same name, or with BioNLP's .a1 and .a2, whose records
    follow each other. A missing file is among the problems of its document. Each byte that is not
    UTF-8 becomes one U+FFFD. A byte order mark is left out of the text unless the offsets count it.

    Raises:
        FileNotFoundError: If there is no such folder.
        NotADirectoryError: If the path is no folder.
        ValueError: If the folder has no document.
    """
    root = Path(path)
    documents, others = scan_folder(root)
    if not documents:
        names = ", ".join(other.relative_to(root).as_posix() for other in others[:3])
        raise ValueError(
            f"no .txt, .ann, .a1 or .a2 file in {root} or its sub-folders; "
            f"{len(others)} other files{': ' if others else ''}{names}"
        )
    return (_read_document(root, name, documents[name]) for name in sorted(documents))


def other_files(path: str | os.PathLike[str]) -> list[Path]:
    """Return the files of a folder that `read_folder` passes over; errors as there."""
    return scan_folder(Path(path))[1]


def scan_folder(root: Path) -> tuple[dict[str, dict[str, Path]], list[Path]]:
    """Return the files of each document by name and suffix, and all other files.

    A suffix may be in capitals, unless the same file exists with the suffix in small letters.

    Raises:
        FileNotFoundError: If there is no such folder.
        NotADirectoryError: If the path is no folder.
    """
    if not root.exists():
        raise FileNotFoundError(f"no folder {root}: looked there for .txt and .ann files")
    if not root.is_dir():
        raise NotADirectoryError(f"{root} is no folder: looked there for .txt and .ann files")
    documents: dict[str, dict[str, Path]] = {}
    others: list[Path] = []
    found = sorted(path for path in root.rglob("*") if path.is_file())
    for path in sorted(found, key=lambda path: path.suffix != path.suffix.lower()):
        inside = path.relative_to(root)
        # Hidden files are no documents, such as the ._x.txt that macOS puts into archives.
        hidden = any(part.startswith((".", "__MACOSX")) for part in inside.parts)
        suffix, name = path.suffix.lower(), inside.with_suffix("").as_posix()
        known = suffix in (".txt", *ANNOTATION_SUFFIXES) and suffix not in documents.get(name, {})
        if hidden or not known:
            others.append(path)
        else:
            documents.setdefault(name, {})[suffix] = path
    for files in documents.values():
        if ".ann" in files:
            others += [files.pop(suffix) for suffix in (".a1", ".a2") if suffix in files]
    return documents, sorted(others)


def _read_document(root: Path, name: str, files: dict[str, Path]) -> Document:
    problems: list[Problem] = []

    def note(file: str, reason: Fault, detail: str) -> None:
        problems.append(Problem("", 0, "", reason, detail, file))

    parts: list[tuple[str, Standoff]] = []
    text = None
    for suffix in (*ANNOTATION_SUFFIXES, ".txt"):  # the text last: the entities judge its BOM
        if suffix not in files:
            continue
        file = files[suffix].relative_to(root).as_posix()
        content, detail = _decode(files[suffix])
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
            note(file, "bom", "kept, as the offsets count it" if text == content else "left out")
    if ".txt" not in files:
        note(name + ".txt", "no-text", "no such file")
    if not files.keys() - {".txt"}:
        note(name + ".ann", "no-annotation", "no such file, nor an .a1 or .a2")
    path = files.get(".txt") or next(iter(files.values()))
    return Document(name, path, text, tuple(parts), (*problems, *check_parts(parts, text)))


def _decode(path: Path) -> tuple[str | None, str]:
    """Return a file's text, its line endings kept, and what was wrong with its bytes, or ""."""
    data = path.read_bytes()
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return None, "UTF-16, where UTF-8 is read"
    try:
        return data.decode("utf-8"), ""
    except UnicodeDecodeError as error:
        # One character for each bad byte, as in the 8-bit encoding it came from, so that offsets
        # hold. Not the lone surrogates themselves: no UTF-8 can be made of them later.
        text, count = re.subn("[\udc80-\udcff]", "\ufffd", data.decode("utf-8", "surrogateescape"))
        return text, f"{count} bytes are not UTF-8, the first at byte {error.start}"


def _drop_bom(text: str, entities: Sequence[Entity]) -> str:
    """Return a text without its byte order mark, unless more surface texts agree with it."""
    bare = text.removeprefix(BYTE_ORDER_MARK)
    if bare == text:
        return text
    faults_bare, faults = (sum(bool(find_fault(e, t)) for e in entities) for t in (bare, text))
    return text if faults < faults_bare else bare
