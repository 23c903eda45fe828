r"""Find the lines of an annotation file, and read the T lines that other tools write.

A file may have lost some of its line ends: a carriage return alone, another line separator of
Unicode, or nothing may separate a record from the next one. brat's own form of a T
line is in `standoff`. Here are the forms of converters and of hands: two spaces, a tab or a
no-break space for a space, a label with spaces, no surface text. Where a line can be read in two
ways, or in none for sure, it is not read: it is for the caller to count it.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

from .records import Fragments

SEPARATORS = (
    " \t\r\v\f\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008"
    "\u2009\u200a\u200b\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"
)
"""White space of Unicode but the line feed, and the marks that have no width."""

LONGEST_LABEL = 100
MOST_READINGS = 50

CR = "\r"
_BREAK = r"[\r\v\f\x1c-\x1e\x85\u2028\u2029]"
_SPACE = rf"[{SEPARATORS}]"
_WORD = rf"[^{SEPARATORS}\n]"
_PAIR = rf"([0-9]{{1,18}}){_SPACE}+([0-9]{{1,18}})"
_PAIRS = rf"{_PAIR}(?:{_SPACE}*;{_SPACE}*[0-9]{{1,18}}{_SPACE}+[0-9]{{1,18}})*"
_ODD_PAIR = (
    rf"([0-9]{{1,18}})(?:\.0+)?(?:{_SPACE}+|{_SPACE}*[-\u2013,:;]{_SPACE}*)"
    r"([0-9]{1,18})(?:\.0+)?[;,]?"
)

_find_breaks = re.compile(rf"{_BREAK}+").finditer
_find_pair = re.compile(_PAIR).finditer
_is_record = re.compile(
    rf"(?:(?:[ERAMN#]|T[A-Za-z]{{0,5}})[0-9]\S*|\*)\t|T[0-9]{_WORD}*{_SPACE}+{_WORD}+{_SPACE}+[0-9]+{_SPACE}+[0-9]"
).match
_find_glued = re.compile(r"T[0-9]+\t[^\s]+ [0-9]+ [0-9]+(?:;[0-9]+ [0-9]+)*\t", re.ASCII).finditer
_find_swallowed = re.compile(rf"(?<=[\r\n])(?=[{SEPARATORS.replace(CR, '')}]*T)").finditer
_spaces = re.compile(rf"{_SPACE}*").match
_start = re.compile(rf"(T{_WORD}+)({_SPACE}+)").match
_is_numbered = re.compile(r"T[0-9]\w*").fullmatch
_head = re.compile(rf"({_WORD}(?:.*?{_WORD})?){_SPACE}+({_PAIRS}){_SPACE}*").fullmatch
_pairs_in = re.compile(rf"(?<={_SPACE})(?=({_PAIRS})(?:{_SPACE}|$))").finditer
_odd_pairs_in = re.compile(rf"(?<={_SPACE})(?=({_ODD_PAIR})(?:{_SPACE}|$))").finditer
_words = re.compile(rf"{_WORD}+").findall
_is_number = re.compile(r"[0-9.,;:+-]+").fullmatch


class EntityFields(NamedTuple):
    """The content of a T line, as in `records.Entity`."""

    id: str
    label: str
    fragments: Fragments
    text: str


def is_entity_like(line: str) -> bool:
    """Return whether a line could be meant as an entity: it starts with T, white space aside."""
    return line.lstrip(SEPARATORS).startswith("T")


def numbered_lines(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    r"""Yield the lines of a file, each for itself and with its number from 1.

    A carriage return alone ends a line where a record follows it. Records without any line end
    between them keep the number of the line that they are in. Joined, the lines are what was given.

    Args:
        lines: Lines with their endings, as a file opened with ``newline="\n"`` gives them.
    """
    number = 0
    for line in lines:
        number += 1
        for i, piece in enumerate(pieces := _cut(line, _ends(line))):
            number += bool(i and pieces[i - 1].endswith("\r"))
            yield number, piece


def swallowed_lines(lines: str) -> list[str]:
    """Return the text of a record, cut where a line in it could be meant as an entity."""
    return _cut(lines, [found.start() for found in _find_swallowed(lines)])


def _cut(line: str, ends: Iterable[int]) -> list[str]:
    places = [0]
    for end in sorted(set(ends)):
        # White space before a line belongs to it.
        before = line[places[-1] : end]
        if before.endswith("\r") or before.strip(SEPARATORS):
            places.append(end)
    return [line[a:b] for a, b in pairwise([*places, len(line)])]


def _ends(line: str) -> Iterator[int]:
    """Yield the places in a line at which another one begins."""
    bare = line.rstrip("\r\n")
    begin = 0
    for found in _find_breaks(bare):
        after = _first_word(bare, found.end())
        # In the surface text of an entity, a carriage return may be that of the text.
        in_entity = bare.startswith("T", _first_word(bare, begin))
        if _is_record(bare, after) or (not in_entity and bare.startswith("T", after)):
            begin = found.start() + found[0].rfind("\r") + 1
            yield begin
    if bare.count("\t") > 1:
        for found in _find_glued(bare):
            # Before it is a record, or else it is a part of an id.
            before = bare[bare.rfind("\r", 0, found.start()) + 1 : found.start()].lstrip(SEPARATORS)
            if "\t" in before and not before.startswith("#"):
                yield found.start()


def _first_word(text: str, start: int) -> int:
    """Return the first place from a start on that is not white space."""
    return found.end() if (found := _spaces(text, start)) else start


def read_entity(body: str) -> EntityFields | None:
    """Return what a T line says that is not in brat's own form; None where that is in doubt.

    Args:
        body: The line, from its T on and without its ending.
    """
    if not (found := _start(body)):
        return None
    record_id, rest = found[1], body[found.end() :]
    tabbed = "\t" in found[2]
    if tabbed:
        head, _, text = rest.partition("\t")
        if len(head) <= 100 * LONGEST_LABEL and (parts := _head(head)):
            label, fragments = _label(parts[1]), _fragments(parts[2])
            # A number at the end of a label may be an offset that lost its partner.
            if label and (not _is_number(label.split(" ")[-1]) or _fits(fragments, text)):
                return EntityFields(record_id, label, fragments, text)
    elif not _is_numbered(record_id):
        return None
    found_fields = _readings(record_id, rest, tabbed=tabbed)
    return found_fields[0] if len(found_fields) == 1 else None


def _readings(record_id: str, rest: str, *, tabbed: bool) -> list[EntityFields]:
    """Return all that a line may say whose surface text is as long as its offsets are apart.

    Without any such reading, return those without a surface text, if a tab follows the id.
    """
    fitting: dict[tuple[str, Fragments], EntityFields] = {}
    blank: dict[tuple[str, Fragments], EntityFields] = {}
    for offsets in (_pairs_in, _odd_pairs_in):
        odd = offsets is _odd_pairs_in
        for n, found in enumerate(offsets(rest)):
            if n == MOST_READINGS:
                return []
            label = _label(rest[: found.start()])
            fragments = ((int(found[2]), int(found[3])),) if odd else _fragments(found[1])
            after = rest[found.end(1) :]
            if not label:
                continue
            text = next(
                (t for t in (after[1:], after.strip(SEPARATORS)) if _fits(fragments, t)), ""
            )
            if text and not (odd and _is_number(label.split(" ")[-1])):
                fitting[label, fragments] = EntityFields(record_id, label, fragments, text)
            elif tabbed and " " not in label and not odd and not _words(after):
                blank[label, fragments] = EntityFields(record_id, label, fragments, "")
    return list((fitting or blank).values())


def _label(text: str) -> str:
    """Return the label before the offsets, with single spaces; "" if it is not one."""
    text = text.strip(SEPARATORS)
    words = _words(text)
    label = " ".join(words)
    numbers = [bool(_is_number(word)) for word in words]
    if "\t" in text or len(label) > LONGEST_LABEL or all(numbers):
        return ""
    # Two numbers in a row are offsets, and the words after them a surface text.
    return "" if any(a and b for a, b in pairwise(numbers)) else label


def _fragments(pairs: str) -> Fragments:
    return tuple((int(found[1]), int(found[2])) for found in _find_pair(pairs))


def _fits(fragments: Fragments, text: str) -> bool:
    """Return whether a surface text has the length that its offsets say."""
    return bool(text) and len(text) == sum(1 + end - start for start, end in fragments) - 1


def label_in_line(line: str, known: Collection[str]) -> str:
    """Return the label in a T line that cannot be read, "" unless it is one of those known.

    An unknown one may be a word of the document.
    """
    found = _start(line.lstrip(SEPARATORS))
    words = _words(line.lstrip(SEPARATORS)[found.end() :])[:20] if found else []
    labels = (" ".join(words[:n]) for n in range(len(words), 0, -1))
    return next((label for label in labels if label in known), "")
