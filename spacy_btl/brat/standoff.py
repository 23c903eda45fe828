"""Read and write annotations in the standoff format of the brat annotation tool.

The format (https://brat.nlplab.org/standoff.html) has one record a line, its fields separated by
tabs:

====  =========================================  ==============================================
T1    ``type start end[;start end]*`` TAB text   an entity, or the trigger of an event
E1    ``type:trigger [role:id]*``                an event; BioNLP has some without a trigger
R1    ``type role:id role:id``                   a relation
A1    ``type id [value]`` (older files: M1)      an attribute
N1    ``type id reference`` TAB text             a normalization to an entry of a database
``*``  ``type id id [id]*``                      an equivalence or another symmetric relation
#1    ``type id`` TAB text                       a note of the annotator
====  =========================================  ==============================================

Offsets count the characters of the text from 0, the end excluded, a CRLF as two. The variants of
other tools are read as well (`lines`). Reading loses nothing: a line of no known form becomes an
`Unknown`, and ``dumps(loads(text)) == text`` for any text. Only a line feed ends a line for sure,
and carriage returns before it belong to the ending: surface texts contain other white space, such
as U+2009 or U+0085, at which `str.splitlines` would cut.
"""

import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise

from .lines import SEPARATORS, numbered_lines, read_entity, swallowed_lines
from .records import (
    Attribute,
    Entity,
    Equivalence,
    Event,
    Fragments,
    Normalization,
    Note,
    Record,
    Relation,
    Standoff,
    Unknown,
    flat_text,
    surface_agreement,
)

BYTE_ORDER_MARK = "\ufeff"
_CUT_OFF = "cut off: no surface text and no line end, which the lines before it have"

# The patterns are ASCII, so that \s leaves U+2009 and its like alone, and \d the digits of other
# scripts. Offsets have at most 18 digits, as `int` refuses thousands of them. BioNLP's .a2 files
# name the parts of N and M records, brat's own files do not.
_PREFIX = re.compile(r"([A-Za-z#]\d\S*|\*)\t", re.ASCII).match
_PAIRS = re.compile(r"([^\s:]+):(\S+)", re.ASCII).findall
_WORDS = re.compile(r"\S+", re.ASCII).findall
_T = re.compile(
    r"(T\d\S*)\t(\S+) (\d{1,18}) (\d{1,18})((?:;\d{1,18} \d{1,18})*)\t(.*)", re.ASCII | re.DOTALL
).fullmatch
# A label may have colons ("PHI:NAME:T5"), but T and a digit behind one begin the trigger.
_E = re.compile(
    r"(E\d\S*)\t([^\s:]+(?::(?!T\d)[^\s:]+)*):(\S+)((?: +[^\s:]+:\S+)*)[ \t]*", re.ASCII
).fullmatch
_E_BARE = re.compile(r"(E\d\S*)\t([^\s:]+)((?: +[^\s:]+:\S+)+)[ \t]*", re.ASCII).fullmatch
_R = re.compile(r"(R\d\S*)\t(\S+)((?: +[^\s:]+:\S+)+)[ \t]*", re.ASCII).fullmatch
_A = re.compile(
    r"([AM]\d\S*)\t(\S+) (?:Annotation:)?(\S+)(?: +(\S(?:[^\t]*[^\t\s])?))?[ \t]*(?:\t.*)?",
    re.ASCII,
).fullmatch
_N = re.compile(
    r"(N\d\S*)\t(\S+) +(?:Annotation:)?(\S+) +(?:Referent:)?"
    r"(?:(\S(?:[^\t]*[^\t\s])?) *\t(.*)|(\S+) *(.*))",
    re.ASCII,
).fullmatch
_STAR = re.compile(r"\*\t(\S+)((?: +\S+)+)[ \t]*", re.ASCII).fullmatch
_LINE_ENDS = re.compile("\r\n|\n|\r").findall
_NOTE = re.compile(r"(#\d\S*)\t(\S+) (\S+) *\t?(.*)", re.ASCII).fullmatch


def _entity(body: str, line: int, raw: str) -> Entity | None:
    if not (found := _T(body)):
        fields = read_entity(body)
        return Entity(*fields, line, raw) if fields else None
    record_id, label, start, end, more, text = found.groups()
    fragments: Fragments = ((int(start), int(end)),)
    if more:
        pairs = (pair.split(" ") for pair in more[1:].split(";"))
        fragments += tuple((int(start), int(end)) for start, end in pairs)
    return Entity(record_id, label, fragments, text, line, raw)


def _event(body: str, line: int, raw: str) -> Event | None:
    if found := _E(body):
        record_id, kind, trigger, args = found.groups()
        return Event(record_id, kind, trigger, tuple(_PAIRS(args)) if args else (), line, raw)
    if found := _E_BARE(body):
        return Event(found[1], found[2], "", tuple(_PAIRS(found[3])), line, raw)
    return None


def _relation(body: str, line: int, raw: str) -> Relation | None:
    if not (found := _R(body)):
        return None
    record_id, kind, args = found.groups()
    return Relation(record_id, kind, tuple(_PAIRS(args)), line, raw)


def _attribute(body: str, line: int, raw: str) -> Attribute | None:
    if not (found := _A(body)):
        return None
    return Attribute(found[1], found[2], found[3], found[4], line, raw)


def _normalization(body: str, line: int, raw: str) -> Normalization | None:
    if not (found := _N(body)):
        return None
    reference, text = found[4] or found[6], found[5] or found[7] or ""
    return Normalization(found[1], found[2], found[3], reference, text, line, raw)


def _equivalence(body: str, line: int, raw: str) -> Equivalence | None:
    if not (found := _STAR(body)):
        return None
    return Equivalence(found[1], tuple(_WORDS(found[2])), line, raw)


def _note(body: str, line: int, raw: str) -> Note | None:
    if not (found := _NOTE(body)):
        return None
    return Note(found[1], found[2], found[3], found[4], line, raw)


_READERS: dict[str, Callable[[str, int, str], Record | None]] = {
    **{"T": _entity, "E": _event, "R": _relation, "A": _attribute, "M": _attribute},
    **{"N": _normalization, "*": _equivalence, "#": _note},
}


def _read(line: str, number: int) -> Record:
    """Return the record in a line, or in the lines of a record that spills over."""
    body = line.removesuffix("\n").rstrip("\r")
    if number == 1:
        body = body.removeprefix(BYTE_ORDER_MARK)
    bare = body.lstrip(SEPARATORS)
    reader = _READERS.get(bare[:1])
    prefix = _PREFIX(bare)
    if reader:
        if record := reader(bare, number, line):
            return record
        # Tabs and more than one space between the parts, in records without free text.
        if prefix and bare[0] in "ERAM*":
            spaced = f"{prefix[0]}{' '.join(bare[prefix.end() :].split())}"
            if record := reader(spaced, number, line):
                return record
    reason = "no known kind of record" if body.strip() else ""
    if reader:
        reason = f"not the form of a record that starts with {bare[0]}"
    return Unknown(body, prefix[1] if prefix else "", reason, number, line)


def _missing(entity: Entity) -> int:
    """Return by how many characters the surface text is shorter than its offsets say."""
    start, end = entity.fragments[0]
    size = end - start - len(entity.text)
    for start, end in entity.fragments[1:]:
        size += 1 + end - start
    return size


def _settle(held: Sequence[str], first: int, missing: int) -> list[Record]:
    """Return one T record for all lines if they give its length, else one record for each line.

    One character for each newline may be missing: the text may end its lines with CRLF.
    """
    if 0 <= missing < len(held):
        return [_read("".join(held), first)]
    return [_read(line, number) for number, line in enumerate(held, first)]


def iter_records(lines: Iterable[str]) -> Iterator[Record]:
    r"""Yield the records of lines, one at a time.

    A T record whose surface text is shorter than its offsets say goes on in the next lines, as long
    as none starts with an id and a tab, if together they give the right length.

    Args:
        lines: Lines with their endings, as a file opened with ``newline="\n"`` gives them.
    """
    held: list[str] = []
    first = missing = 0
    for number, line in numbered_lines(lines):
        if held:
            spills = not _PREFIX(line)
            if spills:
                held.append(line)
                missing -= len(flat_text(line.removesuffix("\n"))) + 1
                if missing > 0:
                    continue
            yield from _settle(held, first, missing)
            held = []
            if spills:
                continue
        record = _read(line, number)
        goes_on = type(record) is Entity and (record.text or line.rstrip("\r\n").endswith("\t"))
        if goes_on and type(record) is Entity and (missing := _missing(record)) > 0:
            held, first = [line], number
            continue
        yield record
    if held:
        yield from _settle(held, first, missing)


def loads(text: str) -> Standoff:
    """Return the records of the text of an annotation file.

    No text is an error here; `brat.check` finds what is wrong with the records.
    """
    records = list(iter_records(io.StringIO(text, newline="\n")))
    if records and _is_cut_off(records[-1], records[:-1]):
        last = records[-1]
        records[-1] = Unknown(last.raw, last.id, _CUT_OFF, last.line, last.raw)
    return Standoff(tuple(records))


def _is_cut_off(last: Record, others: Iterable[Record]) -> bool:
    """Return whether the last offset of a file may lack digits."""
    if not isinstance(last, Entity) or last.raw.endswith(("\n", "\r", "\t")) or last.text:
        return False
    return any(isinstance(other, Entity) and other.text for other in others)


def without_swallowed(standoff: Standoff, text: str | None) -> Standoff:
    """Return records whose surface texts contain no line that could be meant as an entity.

    Such a line stays in a surface text if that is the text at the offsets. Otherwise it gets a
    record of its own, most often an `Unknown`.
    """
    records: list[Record] = []
    for record in standoff.records:
        pieces = swallowed_lines(record.raw) if isinstance(record, Entity | Unknown) else []
        if len(pieces) < 2 or (isinstance(record, Entity) and _agrees(record, text)):
            records.append(record)
            continue
        number = record.line
        for piece in pieces:
            records.append(_read(piece, number))
            number += len(_LINE_ENDS(piece))
    return Standoff(tuple(records))


def _agrees(entity: Entity, text: str | None) -> bool:
    return text is not None and surface_agreement(entity, text)[1]


def _canonical(record: Record) -> str:
    match record:
        case Entity():
            spans = ";".join(f"{start} {end}" for start, end in record.fragments)
            return f"{record.id}\t{record.label} {spans}\t{flat_text(record.text)}"
        case Event():
            kind = f"{record.type}:{record.trigger}" if record.trigger else record.type
            return " ".join([f"{record.id}\t{kind}", *(f"{a}:{b}" for a, b in record.args)])
        case Relation():
            pairs = record.args
            return " ".join([f"{record.id}\t{record.type}", *(f"{a}:{b}" for a, b in pairs)])
        case Attribute():
            value = "" if record.value is None else f" {record.value}"
            return f"{record.id}\t{record.name} {record.target}{value}"
        case Normalization():
            start = f"{record.id}\t{record.type} {record.target} {record.reference}"
            return f"{start}\t{flat_text(record.text)}"
        case Equivalence():
            return " ".join([f"*\t{record.type}", *record.members])
        case Note():
            return f"{record.id}\t{record.type} {record.target}\t{flat_text(record.text)}"
        case Unknown():
            return record.text


def _render(record: Record) -> str:
    if isinstance(record, Unknown) and record.reason == _CUT_OFF:
        return record.text  # on its own it would be read
    # The line as read is written only while it says what the fields say.
    if record.raw and _read(record.raw, record.line) == record:
        return record.raw
    line = _canonical(record) + "\n"
    read = _read(line, 0)
    expected = record._replace(line=0, raw=line)
    if isinstance(expected, Entity | Normalization | Note):
        expected = expected._replace(text=flat_text(expected.text))
    elif isinstance(read, Unknown) and isinstance(expected, Unknown):
        expected = expected._replace(id=read.id, reason=read.reason)
    if read != expected or "\n" in line[:-1]:
        what = f"{type(record).__name__} {record.id}".strip()  # no more: errors quote no text
        raise ValueError(f"the record {what} would not be read back from its line")
    return line


def dumps(standoff: Standoff) -> str:
    """Return the text of an annotation file.

    Records that were read are written as they were, those made or altered in code in brat's own
    form, in which newlines of a surface text become spaces.

    Raises:
        ValueError: If a record would not be read back from its line, such as one with a tab in
            its label. The text gives its kind and id, no more.
    """
    lines = [_render(record) for record in standoff.records]
    for i, (record, after) in enumerate(pairwise(standoff.records)):
        # Only the last line of a file may lack its ending, and one that shares its line with the
        # next record; records may have been added after it.
        as_read = lines[i] == record.raw and lines[i + 1] == after.raw
        if not lines[i].endswith("\n") and not (as_read and _are_together(record, after)):
            lines[i] += "\n"
    return "".join(lines)


def _are_together(record: Record, after: Record) -> bool:
    """Return whether a record was read that goes on where another one ends, without a line feed."""
    if record.raw.endswith("\r"):
        return True
    if not 0 < after.line <= record.line + 1 + record.raw.count("\n"):
        return False
    pieces = [record.raw.rpartition("\n")[2], after.raw.partition("\n")[0]]
    return [piece for _, piece in numbered_lines(["".join(pieces)])] == pieces


def own_line(record: Record) -> str:
    """Return a record's line as read, without its ending, if brat would write another one.

    White space at the end of a record without free text does not count. "" for a record that goes
    over several lines, one made in code, and an `Unknown`, which is its line.
    """
    line = record.raw.rstrip("\r\n").lstrip("\r\v\f\x1c\x1d\x1e\x85\u2028\u2029\ufeff")
    if not line or isinstance(record, Unknown) or "\n" in line or "\r" in line:
        return ""
    ends = "" if isinstance(record, Entity) else " \t"
    return "" if line.rstrip(ends) == _canonical(record).rstrip(ends) else line
