"""Read PubTator files: documents of a title and an abstract, and a line for each entity.

    8701013|t|Famotidine-associated delirium.
    8701013|a|Famotidine is a histamine antagonist ...
    8701013	0	10	Famotidine	Chemical	D015738
    8701013	CID	D015738	D003693

Offsets count title, one character, and abstract; that character becomes a line feed here. The entry
of a database (the last column) becomes a normalization, as brat has it. Relations are between
entries and not between entities: they are counted, and not kept.
"""

# `bioc` reads this format too, but an entity without an entry of a database (3,166 in GNormPlus)
# becomes a relation there, a broken offset ends the file, a line that it cannot read is printed,
# and nothing has a line number; `bconv` raises at the first broken line.

import re
from collections.abc import Iterable, Iterator, Sequence

from ..brat import Document
from .files import DataFile, Draft, Names, Read, no_document, read_lines

_text_line = re.compile(r"([^|\s]+)\|([a-z])\|(.*)", re.ASCII).fullmatch
_is_offset = re.compile(r"[0-9]{1,18}").fullmatch
_is_relation = re.compile(r"[A-Za-z][\w-]{2,}", re.ASCII).fullmatch


def looks_like_pubtator(lines: Iterable[str]) -> bool:
    """Return whether the first line with content is the title or abstract of a document."""
    first = next((line for line in lines if line.strip()), "")
    found = _text_line(first.rstrip("\r\n"))
    return bool(found and found[2] in "ta")


def read_pubtator(files: Sequence[DataFile]) -> Read:
    """Return the documents of PubTator files."""
    names = Names()
    relations = 0
    documents = []
    for file in files:
        text, problems = read_lines(file)
        reader = _Reader(file, names)
        reader.read((text or "").split("\n"))
        if not reader.blocks:
            documents.append(no_document(file, names, problems))
        elif problems:
            reader.blocks[0].draft.problems[:0] = problems
        documents += [block.finish() for block in reader.blocks]
        relations += reader.relations
    return Read(documents, {"relations passed over": relations} if relations else {})


class _Block:
    """A document and the pieces of its text."""

    def __init__(self, own_id: str, draft: Draft) -> None:
        self.id = own_id
        self.draft = draft
        self.pieces: list[str] = []
        self.annotated = False

    def finish(self) -> Document:
        """Return the document; without any piece of text it has none."""
        return self.draft.finish("\n".join(self.pieces) if self.pieces else None)


class _Reader:
    """The documents of one file."""

    def __init__(self, file: DataFile, names: Names) -> None:
        self.file = file
        self.names = names
        self.blocks: list[_Block] = []
        self.relations = 0
        self._latest: dict[str, _Block] = {}
        self._types: set[str] = set()

    def read(self, lines: Iterable[str]) -> None:
        """Read all lines of the file."""
        for number, line in enumerate(lines, 1):
            line = line.rstrip("\r")
            if found := _text_line(line):
                own_id, kind, piece = found.groups()
                self._block_of_text(own_id, kind).pieces.append(piece)
            elif line.strip():
                self._read_annotation(number, line)

    def _block_of_text(self, own_id: str, kind: str) -> _Block:
        """Return the document that a piece of text belongs to, a new one if need be."""
        block = self.blocks[-1] if self.blocks else None
        if block is None or block.id != own_id or kind == "t" or block.annotated:
            return self._new_block(own_id)
        return block

    def _new_block(self, own_id: str) -> _Block:
        block = _Block(own_id, Draft(self.file, self.names.new(self.file, own_id)))
        self.blocks.append(block)
        self._latest[own_id] = block
        return block

    def _read_annotation(self, number: int, line: str) -> None:
        fields = line.split("\t")
        own_id = fields[0].strip()
        if len(fields) == 1:
            block = self.blocks[-1] if self.blocks else self._new_block("")
            words = line.split()
            if words[0] == block.id and len(words) > 4:  # its tabs have become spaces
                block.draft.add_broken(number, "no tabs between its columns", line)
            else:
                detail = f"no form of PubTator, {len(line)} characters"
                block.draft.note(number, "unreadable", detail)
            return
        # The last column of a relation is an entry, or says whether it is novel.
        is_type = fields[-1].strip() in self._types
        if len(fields) in (4, 5) and _is_relation(fields[1]) and not is_type:
            self.relations += 1
            return
        if (known := self._latest.get(own_id)) is None:
            known = self._new_block(own_id)
            known.draft.note(number, "no-text", "no title or abstract before it has its id")
        known.annotated = True
        if label := _add_entity(known.draft, number, fields, line):
            self._types.add(label)


def _add_entity(draft: Draft, number: int, fields: Sequence[str], line: str) -> str:
    """Add the entity of a line, and return its type; "" if it cannot be read."""
    start, end = (field.strip() for field in (*fields[1:3], "", "")[:2])
    label = fields[4].strip() if len(fields) > 4 else ""
    if len(fields) < 5:
        reason = f"{len(fields)} columns, but an entity has five or six"
    elif not (_is_offset(start) and _is_offset(end)):
        reason = "an offset is not a number"
    else:
        surface, rest = fields[3], fields[4:]
        if (size := int(end) - int(start)) != len(surface):
            surface, rest = next(_with_tabs(fields[3:], size), (surface, rest))
        label, concept = (field.strip() for field in (*rest, "")[:2])
        if label:
            concept = "" if concept == "-" else concept
            draft.add(label, ((int(start), int(end)),), surface, number, concept)
            return label
        reason = "no type"
    draft.add_broken(number, reason, line, label)
    return ""


def _with_tabs(fields: Sequence[str], size: int) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield a surface text of a size that has tabs in it, and the columns after it."""
    for n in range(2, len(fields)):
        surface = "\t".join(fields[:n])
        if len(surface) == size:
            yield surface, fields[n:]
