"""Read files with a token a line, its tags in columns: CoNLL, IOB, IOB2, IOBES.

A blank line ends a sentence, a line ``-DOCSTART-`` begins a document. The text is made from the
tokens: a space between two, a line feed between sentences. A file without ``-DOCSTART-`` does not
say where its documents end: some sentences in a row make one.

Tags follow the schemes IOB1, IOB2 or IOBES; BILOU, BMEWO and BMES are IOBES with other letters. A
tag that does not follow the one before it is taken as the beginning of an entity, and reported:
nothing is lost by it.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

from ..brat import Document
from .files import DataFile, Draft, Names, Read, no_document, read_lines

SENTENCES = 10
"""Sentences of a document where a file does not say: as many as an abstract has (9.2 on average in
NCBI-disease), so that neighbors in an article mostly stay in one document, and in one part."""

DOCUMENT_START = "-DOCSTART-"

Scheme: TypeAlias = Literal["IOB1", "IOB2", "IOBES"]
"""Tagging schemes of entities.

"IOB1": I-, and B- only right after an entity of the same type; IO is IOB1 that does not separate
such entities. "IOB2": B- begins every entity. "IOBES": E- ends it, and S- is a single token.
"""

UNTYPED = "ENTITY"
"""The label of tags without a type, B and I alone."""

_split_spaces = re.compile(" +").split
_after_prefix = re.compile("^[A-Za-z]?[-_:]").split
_tag = re.compile(r"([BIESLUMW])(?:-(\S(?:.*\S)?))?").fullmatch
_SAME = {"L": "E", "M": "I", "U": "S", "W": "S"}


class Tag(NamedTuple):
    """A tag.

    Attributes:
        kind: "B", "I", "E", "S" or "O".
        label: The type, "" for "O".
    """

    kind: str
    label: str = ""


OUTSIDE = Tag("O")


class TagSpan(NamedTuple):
    """An entity in a sentence: its first token, the one after its last, and its type."""

    start: int
    end: int
    label: str


class Misfit(NamedTuple):
    """A tag that does not follow the one before it: its token, what is wrong, and its type."""

    token: int
    detail: str
    label: str


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns of token and tags; negative numbers count from the last column.

    Attributes:
        token: The column of the token, from 0.
        tags: Those of the tags; the entities of each are found for themselves.
    """

    token: int = 0
    tags: tuple[int, ...] = (-1,)

    @classmethod
    def parse(cls, text: str) -> "Columns":
        """Return the columns that a text names, such as "token,_,_,tag"; "" for the default.

        Raises:
            ValueError: If it names no token or no tag, two tokens, or anything else.
        """
        if not text:
            return cls()
        names = [name.strip() for name in text.split(",")]
        tags = tuple(i for i, name in enumerate(names) if name == "tag")
        if names.count("token") != 1 or not tags or {*names} - {"token", "tag", "_", ""}:
            raise ValueError(
                f'the columns are "{text}", but must name one "token" and at least one "tag", '
                'with "_" for any other, as in token,_,_,tag'
            )
        return cls(names.index("token"), tags)

    def of(self, cells: Sequence[str]) -> tuple[str, list[str]]:
        """Return the token and the tags of a line, "" for what it does not have.

        The token is never its own tag.
        """
        token = cells[self.token] if self.token < len(cells) else ""
        places = [i if i >= 0 else len(cells) + i for i in self.tags]
        return token, [cells[i] if self.token != i < len(cells) else "" for i in places]


DEFAULT = Columns()


class _Row(NamedTuple):
    """A token: its line, itself, its tags (None for an invalid one), and these as written."""

    line: int
    token: str
    tags: tuple[Tag | None, ...]
    written: Sequence[str]


_Sentences: TypeAlias = list[list[_Row]]
"""The sentences of a document."""


def looks_like_columns(lines: Iterable[str], columns: Columns = DEFAULT) -> bool:
    """Return whether most of some lines have a token and a tag; no prose has."""
    found = total = 0
    for line in lines:
        if line.strip() and not line.startswith(("#", DOCUMENT_START)):
            token, tags = columns.of(_cells(line))
            found += bool(token) and all(map(parse_tag, tags))
            total += 1
    return found > 0 and found >= 0.75 * total


def read_columns(
    files: Sequence[DataFile], columns: Columns = DEFAULT, sentences: int = SENTENCES
) -> Read:
    """Return the documents of files with a token a line.

    Args:
        files: The files, all of one scheme.
        columns: Where token and tags are.
        sentences: Number of sentences of a document, in a file without ``-DOCSTART-``; 0 for all of
            the file.

    Raises:
        ValueError: If the first column, which nobody has named, numbers the tokens.
    """
    names = Names()
    parsed = []
    for file in files:
        text, problems = read_lines(file)
        found, starts = _parse((text or "").split("\n"), columns)
        if columns == DEFAULT and _is_numbered(found):
            raise ValueError(
                f"{file.name}: the first column numbers the tokens of each sentence, and would be "
                "their text: name the columns, such as --columns _,token,tag"
            )
        parsed.append((file, problems, found, starts))
    schemes: list[Scheme] = [
        find_scheme(
            [row.tags[column] or OUTSIDE for row in sentence]
            for _, _, found, _ in parsed
            for document in found
            for sentence in document
        )
        for column in range(len(columns.tags))
    ]
    documents: list[Document] = []
    grouped = False
    for file, problems, found, starts in parsed:
        if not starts and sentences:
            every = found[0]
            grouped = grouped or len(every) > sentences
            found = [every[i : i + sentences] for i in range(0, len(every), sentences)]
        found = [document for document in found if document]
        if not found:
            documents.append(no_document(file, names, problems))
        digits = max(5, len(str(len(found))))
        for number, document in enumerate(found, 1):
            draft = Draft(file, names.new(file, f"{number:0{digits}}"), problems)
            problems = []
            documents.append(_document(draft, document, schemes))
    settings: dict[str, str | int] = {"tags": ", ".join(schemes)}
    if grouped:
        settings["sentences of a document"] = sentences
    return Read(documents, settings)


def _is_numbered(documents: Iterable[_Sentences]) -> bool:
    """Return whether the tokens of all sentences are the numbers from 1 on."""
    sentences = [sentence for document in documents for sentence in document]
    numbers = [[str(i) for i in range(1, len(sentence) + 1)] for sentence in sentences]
    tokens = [[row.token for row in sentence] for sentence in sentences]
    return tokens == numbers and any(len(sentence) > 1 for sentence in sentences)


def _parse(lines: Iterable[str], columns: Columns) -> tuple[list[_Sentences], bool]:
    """Return the sentences of each document, and whether the file says where documents start."""
    documents: list[_Sentences] = [[]]
    sentence: list[_Row] = []
    starts = False
    for number, line in enumerate(lines, 1):
        if not line.strip():
            sentence = []
            continue
        cells = _cells(line)
        token, written = columns.of(cells)
        if DOCUMENT_START in (cells[0], token):
            starts = True
            documents.append([])
            sentence = []
            continue
        row = _Row(number, token, *_parse_tags(tuple(written)))
        if not sentence:
            # A comment is between sentences; a token "#" has a tag or nothing after it.
            if line.startswith("#") and len(line.strip()) > 1 and None in row.tags:
                continue
            documents[-1].append(sentence)
        sentence.append(row)
    return documents, starts


@lru_cache(maxsize=10_000)
def _parse_tags(written: tuple[str, ...]) -> tuple[tuple[Tag | None, ...], tuple[str, ...]]:
    """Return the tags of a token, and these as written: the same objects for many tokens."""
    return tuple(map(parse_tag, written)), written


def _cells(line: str) -> list[str]:
    """Return the columns of a line, between tabs or else spaces.

    Other white space may be a part of a token.
    """
    if "\t" in line:
        first, *others = line.rstrip("\r\t ").split("\t")
        return [first, *(cell.strip() for cell in others)]
    return _split_spaces(line.strip(" \r"))


def _document(draft: Draft, document: _Sentences, schemes: Sequence[Scheme]) -> Document:
    """Return a document with the entities of all its columns of tags."""
    text = ""
    for sentence in document:
        text += "\n" if text else ""
        places: list[tuple[int, int]] = []
        for row in sentence:
            text += " " if places and row.token else ""
            places.append((len(text), len(text) + len(row.token)))
            text += row.token
        for column, scheme in enumerate(schemes):
            tags = [(row.tags[column] if row.token else None) or OUTSIDE for row in sentence]
            spans, misfits = spans_of(tags, scheme)
            for span in spans:
                start, end = places[span.start][0], places[span.end - 1][1]
                draft.add(span.label, ((start, end),), text[start:end], sentence[span.start].line)
            for misfit in misfits:
                draft.note(sentence[misfit.token].line, "tag", misfit.detail, misfit.label)
    for row in (row for sentence in document for row in sentence):
        _report(draft, row)
    return draft.finish(text)


def _report(draft: Draft, row: _Row) -> None:
    """Report a line without a token, or with something else than a tag."""
    for tag, written in zip(row.tags, row.written, strict=True):
        if row.token and tag:
            continue
        reason = (
            "no token" if not row.token else "something else than a tag" if written else "no tag"
        )
        if written and tag != OUTSIDE:
            draft.add_broken(row.line, reason, row.token, _after_prefix(written)[-1])
        else:
            draft.note(row.line, "unreadable", reason)


def parse_tag(text: str) -> Tag | None:
    """Return what a tag says; None if it is not a tag."""
    if text == "O":
        return OUTSIDE
    if not (found := _tag(text)):
        return None
    return Tag(_SAME.get(found[1], found[1]), found[2] or UNTYPED)


def find_scheme(sentences: Iterable[Sequence[Tag]]) -> Scheme:
    """Return the scheme of the tags of a corpus.

    It is IOBES where a tag is E- or S-; IOB1 where no entity begins with B- but right after one of
    its type, and one begins with I-; and otherwise IOB2.
    """
    begins_inside = begins = False
    for tags in sentences:
        before = OUTSIDE
        for tag in tags:
            if tag.kind in "ES":
                return "IOBES"
            if tag.label != before.label:
                begins = begins or tag.kind == "B"
                begins_inside = begins_inside or tag.kind == "I"
            before = tag
    return "IOB1" if begins_inside and not begins else "IOB2"


def spans_of(tags: Sequence[Tag], scheme: Scheme) -> tuple[list[TagSpan], list[Misfit]]:
    """Return the entities of a sentence, in order, and the tags that do not follow."""
    spans: list[TagSpan] = []
    misfits: list[Misfit] = []
    start, label = 0, ""  # of the entity that is open, if it has a label

    def close(end: int, *, ended: bool = False) -> None:
        nonlocal label
        if label:
            spans.append(TagSpan(start, end, label))
            if scheme == "IOBES" and not ended:
                misfits.append(Misfit(end - 1, "no E- ends the entity: taken as its end", label))
        label = ""

    for i, tag in enumerate(tags):
        if tag.kind in "IE" and label == tag.label:
            if tag.kind == "E":
                close(i + 1, ended=True)
            continue
        close(i)
        if tag.kind == "O":
            continue
        if tag.kind in "IE" and scheme != "IOB1":
            detail = f"{tag.kind}- follows no tag of its type: taken as a beginning"
            misfits.append(Misfit(i, detail, tag.label))
        start, label = i, tag.label
        if tag.kind in "ES":
            close(i + 1, ended=True)
    close(len(tags))
    return spans, misfits
