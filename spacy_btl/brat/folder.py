"""Read folders of documents: a .txt with an .ann, or with BioNLP's .a1 and .a2."""

import codecs
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from .problems import BOM, ENCODING, NO_ANNOTATION, NO_TEXT, Problem, check_parts, find_fault
from .standoff import BOM as BYTE_ORDER_MARK
from .standoff import Entity, Standoff, loads

_ANNOTATION = (".ann", ".a1", ".a2")


@dataclass(frozen=True)
class Document:
    """A text (None where it is missing) with its annotation.

    `name` is the path relative to the folder, with "/" and without suffix; `path` leads to the
    .txt, or where there is none to the annotation. `parts` holds the records of each annotation
    file, its path relative to the folder before them.
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


def _decode(path: Path) -> tuple[str | None, str]:
    """Return a file's text, its line endings kept, and what was wrong with its bytes, or ""."""
    data = path.read_bytes()
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return None, "UTF-16, where UTF-8 is read"
    try:
        return data.decode("utf-8"), ""
    except UnicodeDecodeError as error:
        # One character a bad byte, as in the 8-bit encoding it came from, so that offsets hold.
        # Not the lone surrogates themselves: no UTF-8 can be made of them later.
        text, count = re.subn("[\udc80-\udcff]", "\ufffd", data.decode("utf-8", "surrogateescape"))
        return text, f"{count} bytes are not UTF-8, the first at byte {error.start}"


def _drop_bom(text: str, entities: Sequence[Entity]) -> str:
    """Return a text without its byte order mark, unless more surface texts match with it."""
    bare = text.removeprefix(BYTE_ORDER_MARK)
    if bare == text:
        return text
    faults_bare, faults = (sum(bool(find_fault(e, t)) for e in entities) for t in (bare, text))
    return text if faults < faults_bare else bare


def _read_document(root: Path, name: str, files: dict[str, Path]) -> Document:
    problems: list[Problem] = []

    def note(file: str, reason: str, detail: str) -> None:
        problems.append(Problem("", 0, "", reason, detail, file))

    parts: list[tuple[str, Standoff]] = []
    text = None
    for suffix in (*_ANNOTATION, ".txt"):  # the text last: the entities judge its BOM
        if suffix not in files:
            continue
        file = files[suffix].relative_to(root).as_posix()
        content, detail = _decode(files[suffix])
        if content is None:
            note(file, NO_TEXT if suffix == ".txt" else NO_ANNOTATION, detail)
            continue
        if detail:
            note(file, ENCODING, detail)
        if suffix == ".txt":
            text = _drop_bom(content, [entity for _, part in parts for entity in part.entities])
        else:
            # Of several files, only the first line of the whole may keep a byte order mark.
            parts.append((file, loads(content.removeprefix(BYTE_ORDER_MARK) if parts else content)))
        if content.startswith(BYTE_ORDER_MARK):
            note(file, BOM, "kept, as the offsets count it" if text == content else "left out")
    if ".txt" not in files:
        note(name + ".txt", NO_TEXT, "no such file")
    if not files.keys() - {".txt"}:
        note(name + ".ann", NO_ANNOTATION, "no such file, nor an .a1 or .a2")
    path = files.get(".txt") or next(iter(files.values()))
    return Document(name, path, text, tuple(parts), (*problems, *check_parts(parts, text)))


def scan_folder(root: Path) -> tuple[dict[str, dict[str, Path]], list[Path]]:
    """Return the files of each document by name and suffix, and all other files.

    A suffix may be in capitals, unless there is the same file with it in small letters.
    Raises FileNotFoundError or NotADirectoryError for a path that is no folder.
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
        # Hidden files hold no documents, such as the ._x.txt that macOS puts into archives.
        hidden = any(part.startswith((".", "__MACOSX")) for part in inside.parts)
        suffix, name = path.suffix.lower(), inside.with_suffix("").as_posix()
        known = suffix in (".txt", *_ANNOTATION) and suffix not in documents.get(name, {})
        if hidden or not known:
            others.append(path)
        else:
            documents.setdefault(name, {})[suffix] = path
    for files in documents.values():
        if ".ann" in files:
            others += [files.pop(suffix) for suffix in (".a1", ".a2") if suffix in files]
    return documents, sorted(others)


def other_files(path: str | os.PathLike[str]) -> list[Path]:
    """Return the files under a folder that `read_folder` passes over; errors as there."""
    return scan_folder(Path(path))[1]


def read_folder(path: str | os.PathLike[str]) -> Iterator[Document]:
    """Read the documents of a folder and its sub-folders one at a time, by name.

    A document is a .txt with an .ann of the same name, or with BioNLP's .a1 and .a2, whose records
    follow each other. What is wrong with one is in its `problems`, a missing file too. Bytes that
    are not UTF-8 become one U+FFFD each; a byte order mark is left out of the text, unless the
    offsets count it. Raises FileNotFoundError or NotADirectoryError for a path that is no folder,
    ValueError for a folder without documents.
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
