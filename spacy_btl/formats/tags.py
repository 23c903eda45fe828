"""Tags of tokens in the schemes IOB1, IOB2 and IOBES, and the entities that they say.

BILOU, BMEWO and BMES are IOBES with other letters. A tag that does not follow the one before it is
taken as the beginning of an entity, and reported: nothing is lost by it.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, TypeAlias

Scheme: TypeAlias = Literal["IOB1", "IOB2", "IOBES"]
"""Tagging schemes of entities.

"IOB1": I-, and B- only right after an entity of the same type; IO is IOB1 that does not separate
such entities. "IOB2": B- begins every entity. "IOBES": E- ends it, and S- is a single token.
"""

UNTYPED = "ENTITY"
"""The label of tags without a type, B and I alone."""

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
