"""Places of the words of one edition of a text in another, given both texts.

White space does not count: line ends, indentation and line breaks may differ in any way. Where
other characters differ, the words are aligned (`difflib`), and a place that an edit touches is in
no other edition. `realignment` is for texts with only the words of the entities known.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import accumulate, takewhile
from typing import NamedTuple

from ..brat import Fragments

_WORK = 25_000_000
"""Pairs of words that are compared at most; beyond, all between the first and the last edit is
taken to be edited."""


class _Block(NamedTuple):
    """Characters that are the same in both texts, counted without white space."""

    old: int
    new: int
    size: int


class Editions:
    """The places of a text in another edition of it.

    Attributes:
        old: The text whose places are known.
        new: The text in which they are looked for.
        likeness: The share of the longer text, without white space, that both have in common; 1.0
            where they have the same characters.
    """

    def __init__(self, old: str, new: str) -> None:
        self.old = old
        self.new = new
        self._old_at = [i for i, character in enumerate(old) if not character.isspace()]
        self._new_at = [i for i, character in enumerate(new) if not character.isspace()]
        self._blocks = [*self._find_blocks()]
        longer = max(len(self._old_at), len(self._new_at))
        common = sum(block.size for block in self._blocks)
        self.likeness = common / longer if longer else 1.0

    def first_difference(self) -> tuple[int, int]:
        """Return the first character that differs, and its line, from 1; of the old text.

        White space counts only where nothing else differs.
        """
        if len(self._blocks) == 1 and self.likeness == 1.0:
            alike = takewhile(
                lambda pair: pair[0] == pair[1], zip(self.old, self.new, strict=False)
            )
            at = sum(1 for _ in alike)
        else:
            first = self._blocks[0] if self._blocks else _Block(0, 0, 0)
            bare = first.size if first.old == first.new == 0 else 0
            at = self._old_at[bare] if bare < len(self._old_at) else len(self.old)
        return at, self.old.count("\n", 0, at) + 1

    def place(self, fragments: Fragments) -> Fragments:
        """Return where fragments of the old text are in the new one, without white space at ends.

        Empty where an edit touches one of them, or one is white space only.
        """
        found = []
        for start, end in fragments:
            first, last = bisect_left(self._old_at, start), bisect_left(self._old_at, end) - 1
            at = bisect_left(self._blocks, first + 1, key=lambda block: block.old) - 1
            if first > last or at < 0:
                return ()
            block = self._blocks[at]
            if last >= block.old + block.size:
                return ()
            shift = block.new - block.old
            found.append((self._new_at[first + shift], self._new_at[last + shift] + 1))
        return tuple(found)

    def _find_blocks(self) -> Iterator[_Block]:
        """Yield the blocks in order."""
        bare_old = "".join(self.old.split())
        if bare_old == "".join(self.new.split()):
            if bare_old:
                yield _Block(0, 0, len(bare_old))
            return
        old, new = self.old.split(), self.new.split()
        before = _common(old, new)
        rest = min(len(old), len(new)) - before
        after = min(_common(old[::-1], new[::-1]), rest)
        middle_old, middle_new = old[before : len(old) - after], new[before : len(new) - after]
        matching = [(0, 0, before)]
        if len(middle_old) * len(middle_new) <= _WORK:
            found = SequenceMatcher(None, middle_old, middle_new, autojunk=False)
            matching += [
                (before + i, before + j, size) for i, j, size in found.get_matching_blocks()
            ]
        matching.append((len(old) - after, len(new) - after, after))
        starts_old, starts_new = ([0, *accumulate(map(len, words))] for words in (old, new))
        last = _Block(0, 0, 0)
        for i, j, size in matching:
            block = _Block(starts_old[i], starts_new[j], starts_old[i + size] - starts_old[i])
            if (last.old + last.size, last.new + last.size) == (block.old, block.new):
                last = last._replace(size=last.size + block.size)
            elif size:
                if last.size:
                    yield last
                last = block
        if last.size:
            yield last


def _common(old: Sequence[str], new: Sequence[str]) -> int:
    """Return how many words, or characters, are the same from the start on."""
    pairs = zip(old, new, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
