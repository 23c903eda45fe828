"""The files of a corpus, and documents as they are drafted from their lines.

Every reader of this room makes `brat.Document` values with one part, the file that the document is
in; a record has the line of that file. Entities are numbered (T1, T2, ...) within their document,
and have no line of their own: brat would write its own form of a T record for them.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from ..brat import (
    Document,
    Entity,
    Fault,
    Fragments,
    Normalization,
    Problem,
    Record,
    Standoff,
    Unknown,
    check_parts,
    decode_file,
    scan_folder,
)
from ..brat.folder import relative_name

Format: TypeAlias = Literal["brat", "pubtator", "conll", "json", "bioc", "docbin"]
"""A format of annotated documents."""

_BYTE_ORDER_MARK = "\ufeff"
_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff<>:\"|?*\\]+")
_BREAKS = re.compile(r"[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")
_SURROGATES = re.compile("[\ud800-\udfff]")


class DataFile(NamedTuple):
    """A file of a corpus.

    Attributes:
        path: Where it is.
        name: Its path relative to the folder, with "/".
        stem: What the names of its documents start with: its name without suffix and with a final
            "/"; "" for a file that is the whole corpus.
    """

    path: Path
    name: str
    stem: str


@dataclass(frozen=True, slots=True)
class Read:
    """The result of reading files.

    Attributes:
        documents: The documents.
        settings: What the account says of the reading, by name.
    """

    documents: list[Document]
    settings: dict[str, str | int] = field(default_factory=dict)


def data_files(path: Path) -> list[DataFile]:
    """Return a file, or the files of a folder and its sub-folders, sorted and without hidden ones.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        OSError: If a folder cannot be read.
    """
    if path.is_file():
        return [DataFile(path, relative_name(path, path.parent), "")]
    if not path.exists():
        raise FileNotFoundError(f"the folder or file {path} does not exist")
    documents, others = scan_folder(path)
    found = sorted({*others, *(file for files in documents.values() for file in files.values())})
    return [
        DataFile(file, relative_name(file, path), relative_name(file.with_suffix(""), path) + "/")
        for file in found
        if file.is_file() and not _is_hidden(file.relative_to(path))
    ]


def _is_hidden(inside: Path) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in inside.parts)


class Names:
    """The names of the documents of a corpus, each given once."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def new(self, file: DataFile, wanted: str) -> str:
        """Return a name for a document: that of its file and its own, with a number if needed.

        Args:
            file: Its file.
            wanted: Its own name; characters that no file name should have become "_".
        """
        own = "/".join(
            part for each in wanted.split("/") if (part := _UNFIT.sub("_", each).strip(" ."))
        )
        return self.unique(file.stem + (own or "document"))

    def unique(self, base: str) -> str:
        """Return a name with a number, if need be, that no other document has."""
        name, number = base, 1
        while name in self._given:
            number += 1
            name = f"{base}-{number}"
        self._given.add(name)
        return name


class Draft:
    """A document that is being read.

    Attributes:
        file: The file that it is in.
        name: Its name.
        problems: Everything found wrong so far, except for the places of its entities.
    """

    def __init__(self, file: DataFile, name: str, problems: Iterable[Problem] = ()) -> None:
        self.file = file
        self.name = name
        self.problems = list(problems)
        self._records: list[Record] = []
        self._count = 0

    def add(
        self, label: str, fragments: Fragments, surface: str, line: int, concept: str = ""
    ) -> None:
        """Add an entity.

        Args:
            label: Its type; white space in it becomes single spaces.
            fragments: Its offsets.
            surface: Its surface text, "" where the file has none.
            line: Its line in the file.
            concept: The entry of a database that it is, "" for none.
        """
        self._count += 1
        name = f"T{self._count}"
        label, surface = " ".join(_without_surrogates(label).split()), _without_surrogates(surface)
        self._records.append(Entity(name, label, fragments, surface, line))
        if concept:
            entry = Normalization(f"N{self._count}", "Reference", name, concept, surface, line)
            self._records.append(entry)

    def add_broken(self, line: int, reason: str, content: str, label: str = "") -> None:
        """Add what is meant as an entity but cannot be read, as the T record that it would be.

        In the account it is a dropped entity, and brat shows it as a line to be mended.

        Args:
            line: Its line in the file.
            reason: What is wrong with it, without words of the document.
            content: What the file has.
            label: The label that it seems to have, or "".
        """
        self._count += 1
        text = f"T{self._count}\t{' '.join(label.split()) or '?'} ? ?\t{_BREAKS.sub(' ', content)}"
        record = Unknown(_without_surrogates(text), f"T{self._count}", reason, line)
        self._records.append(record)

    def note(self, line: int, reason: Fault, detail: str, label: str = "") -> None:
        """Add a problem that is not about an entity of its own."""
        self.problems.append(Problem("", line, label, reason, detail, self.file.name))

    def finish(self, text: str | None) -> Document:
        """Return the document.

        Args:
            text: Its text; None if there is none, which is a problem.
        """
        if text is not None and _SURROGATES.search(text):
            text, count = _SURROGATES.subn("\ufffd", text)
            self.note(0, "encoding", f"halves of characters in {self.name}: {count}")
        if text is None and not any(p.reason == "no-text" for p in self.problems):
            self.note(0, "no-text", f"no text of the document {self.name}")
        parts = ((self.file.name, Standoff(tuple(self._records))),)
        problems = (*self.problems, *check_parts(parts, text))
        return Document(self.name, self.file.path, text, parts, problems)


def _without_surrogates(text: str) -> str:
    """Return a text without halves of characters, which JSON may have and UTF-8 has not."""
    return _SURROGATES.sub("\ufffd", text)


class Lines(NamedTuple):
    """The text of a file.

    Attributes:
        text: It, without byte order mark, each line ended by a line feed; None if it cannot be
            read.
        problems: What is wrong with its bytes.
    """

    text: str | None
    problems: list[Problem]


def read_lines(file: DataFile, declared: Callable[[bytes], str] = lambda _: "") -> Lines:
    """Return the text of a file; what is wrong with its bytes is reported with its line.

    Args:
        file: The file.
        declared: Returns the encoding that its content declares, "" for none.
    """
    text, detail, line = decode_file(file.path, declared)
    if text is None:
        return Lines(None, [Problem("", 0, "", "no-text", detail, file.name)])
    problems = [Problem("", line, "", "encoding", detail, file.name)] if detail else []
    if text.startswith(_BYTE_ORDER_MARK):
        text = text.removeprefix(_BYTE_ORDER_MARK)
        problems.append(Problem("", 0, "", "bom", "left out", file.name))
    text = text.replace("\r\n", "\n")
    if "\n" not in text:  # a carriage return alone may be a part of a text
        text = text.replace("\r", "\n")
    return Lines(text, problems)


def no_document(file: DataFile, names: Names, problems: Iterable[Problem]) -> Document:
    """Return a document without a text, for a file in which there is none."""
    draft = Draft(file, names.new(file, file.path.stem if not file.stem else ""), problems)
    if not draft.problems or all(p.level == "warning" for p in draft.problems):
        draft.note(0, "no-text", "no document in it")
    return draft.finish(None)
