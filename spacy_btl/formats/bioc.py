"""Read BioC XML: documents of passages, with entities in them or in their sentences.

Offsets count the characters of the document, that of each passage given; the passages are joined by
line feeds here, whatever was between them. A file is read in the encoding that it declares. Each
document is parsed on its own, so that an invalid one does not affect the others.
"""

# The package `bioc` gives no line numbers, and loses the file at the first offset that is not
# a number.

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from xml.parsers import expat

from ..brat import Document
from .files import DataFile, Draft, Names, Read, no_document, read_lines

_documents = re.compile(r"<document\b.*?(?:</document\s*>|(?=<document\b)|\Z)", re.DOTALL).finditer
_encoding = re.compile(
    rb"""\s*<\?xml\s[^>]{0,200}?encoding\s*=\s*["']([A-Za-z][A-Za-z0-9._-]{0,40})["']"""
).match
_is_number = re.compile(r"[0-9]{1,18}").fullmatch


def looks_like_bioc(head: bytes) -> bool:
    """Return whether a file that begins so is BioC."""
    return b"<collection" in head or b'"BioC.dtd"' in head


def read_bioc(files: Sequence[DataFile]) -> Read:
    """Return the documents of BioC XML files."""
    names = Names()
    documents: list[Document] = []
    for file in files:
        text, problems = read_lines(file, _declared)
        found = list(_documents(text or ""))
        if not found:
            documents.append(no_document(file, names, problems))
        line = counted = 0
        for each in found:
            line, counted = line + (text or "").count("\n", counted, each.start()), each.start()
            documents.append(_Parser(file, line).read(each[0], names))
            if problems and each is found[0]:
                first = documents[-1]
                documents[-1] = Document(
                    first.name, first.path, first.text, first.parts, (*problems, *first.problems)
                )
    return Read(documents)


def _declared(data: bytes) -> str:
    """Return the encoding that XML declares, "" for none."""
    found = _encoding(data)
    return found[1].decode("ascii") if found else ""


class _Piece(NamedTuple):
    """The text of a passage or sentence: its offset, its place in our text, and its length."""

    offset: int
    start: int
    size: int


class _Annotation(NamedTuple):
    """An entity as it is written: its line, type, words, and the offset and length of each part."""

    line: int
    label: str
    surface: str
    places: list[tuple[str, str]]


class _Parser:
    """The state of reading one document."""

    def __init__(self, file: DataFile, line: int) -> None:
        self.file = file
        self.line = line  # before the document
        self.draft = Draft(file, "")
        self.id = ""
        self.path: list[str] = []
        self.content = ""
        self.text = ""
        self.offset = 0  # of the passage or sentence
        self.pieces: list[_Piece] = []
        self.annotations: list[_Annotation] = []
        self.infon = ""
        self.label = self.surface = ""
        self.places: list[tuple[str, str]] = []
        self.at = 0  # the line of the annotation
        self.parser = expat.ParserCreate()

    def read(self, xml: str, names: Names) -> Document:
        """Return the document."""
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        broken = False
        try:
            self.parser.Parse(xml.encode("utf-8", "replace"), True)
        except expat.ExpatError as error:
            broken = True
            detail = f"no XML: {expat.errors.messages[error.code]}, column {error.offset + 1}"
            self.draft.note(self.line + error.lineno, "no-text", detail)
        self.draft.name = names.new(self.file, self.id)
        for annotation in self.annotations:
            self._add_entity(annotation)
        return self.draft.finish(self.text if self.pieces and not broken else None)

    def _start(self, name: str, attributes: Mapping[str, str]) -> None:
        self.path.append(name)
        self.content = ""
        if name == "annotation":
            self.label = self.surface = ""
            self.places = []
            self.at = self.line + self.parser.CurrentLineNumber
        elif name == "infon":
            self.infon = attributes.get("key", "")
        elif name == "location":
            self.places.append((attributes.get("offset", ""), attributes.get("length", "")))

    def _characters(self, data: str) -> None:
        self.content += data

    def _end(self, name: str) -> None:
        self.path.pop()
        parent = self.path[-1] if self.path else ""
        content = self.content
        if name == "annotation":
            self.annotations.append(_Annotation(self.at, self.label, self.surface, self.places))
        elif name == "id" and parent == "document":
            self.id = content.strip()
        elif parent == "annotation" and name == "infon" and self.infon == "type":
            self.label = content.strip()
        elif parent == "annotation" and name == "text":
            self.surface = content
        elif parent in ("passage", "sentence") and name == "offset":
            self.offset = int(content) if _is_number(content.strip()) else 0
        elif parent in ("passage", "sentence") and name == "text":
            self.text += "\n" if self.pieces else ""
            self.pieces.append(_Piece(self.offset, len(self.text), len(content)))
            self.text += content
        self.content = ""

    def _add_entity(self, annotation: _Annotation) -> None:
        line, label, surface, places = annotation
        numbers = [
            (int(start), int(size))
            for start, size in places
            if _is_number(start) and _is_number(size)
        ]
        fragments = tuple(
            (at, at + size) for start, size in numbers if (at := self._place(start)) >= 0
        )
        if not label:
            reason = "no type"
        elif not numbers or len(numbers) < len(places):
            reason = "no location, or one that is not a number"
        elif len(fragments) < len(numbers):
            reason = "an offset before all passages"
        else:
            self.draft.add(label, fragments, surface, line)
            return
        self.draft.add_broken(line, reason, surface, label)

    def _place(self, offset: int) -> int:
        """Return the place in the text of an offset in the document; below 0 for none."""
        before = [piece for piece in self.pieces if piece.offset <= offset]
        around = [piece for piece in before if offset < piece.offset + piece.size]
        if not before:
            return -1
        piece = (around or before)[-1]
        return offset - piece.offset + piece.start
