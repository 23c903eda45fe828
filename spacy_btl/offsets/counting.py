"""The ways in which tools count offsets: units, line ends, normalization, first offset, end."""

import re
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, product
from typing import Any, Literal, TypeAlias
from unicodedata import combining, is_normalized, normalize

from ..brat import Fragments

Unit: TypeAlias = Literal["characters", "utf16", "bytes"]
Newlines: TypeAlias = Literal["", "crlf-as-one", "crlf-as-two"]
Form: TypeAlias = Literal["", "nfc", "nfd"]

_PARTS: dict[str, tuple[str, object]] = {
    **{unit: ("unit", unit) for unit in ("characters", "utf16", "bytes")},
    **{name: ("newlines", name) for name in ("crlf-as-one", "crlf-as-two")},
    **{form: ("form", form) for form in ("nfc", "nfd")},
    "end-included": ("end_included", True),
}
_SHIFT = re.compile(r"shift:(-?\d{1,18})", re.ASCII).fullmatch


@dataclass(frozen=True, slots=True)
class Counting:
    """A way in which offsets are counted.

    Attributes:
        unit: Unicode characters, UTF-16 code units as in JavaScript, or bytes of UTF-8.
        newlines: "crlf-as-one" if a CRLF of the text counts once, "crlf-as-two" if an LF counts
            twice.
        form: The Unicode normalization of the text that was counted, where that is another.
        shift: What is to be added to each offset: -1 for offsets from 1.
        end_included: Whether the end of an entity is its last unit, not the one after it.
    """

    unit: Unit = "characters"
    newlines: Newlines = ""
    form: Form = ""
    shift: int = 0
    end_included: bool = False

    def __str__(self) -> str:
        """Return the name that `parse` reads, such as "utf16+crlf-as-one"."""
        unit = "" if self.unit == "characters" else self.unit
        shift = f"shift:{self.shift}" if self.shift else ""
        included = "end-included" if self.end_included else ""
        parts = filter(None, (unit, self.newlines, self.form, shift, included))
        return "+".join(parts) or "characters"

    @classmethod
    def parse(cls, name: str) -> "Counting":
        """Return the way of counting with a name as `str` gives it, its parts in any order.

        Raises:
            ValueError: If there is none of this name.
        """
        values: dict[str, Any] = {}
        for part in name.split("+"):
            shift = _SHIFT(part)
            key, value = ("shift", int(shift[1])) if shift else _PARTS.get(part, ("", None))
            if key in values or not key:
                raise ValueError(
                    f'offsets is "{name}", and must be auto, unchecked, or some of characters, '
                    "utf16, bytes, crlf-as-one, crlf-as-two, nfc, nfd, shift:NUMBER and "
                    'end-included, joined by "+"'
                )
            values[key] = value
        return cls(**values)

    def positions(self, text: str) -> Sequence[int]:
        """Return the offset of each character of a text, and that of its end, without shift."""
        if self.unit == "characters" and not self.newlines and not self.form:
            return range(len(text) + 1)
        sizes = [self._size(character) for character in text]
        if self.form:
            for start, end in _clusters(text):
                # Characters inside a cluster have no offset of their own.
                sizes[start : end - 1] = [0] * (end - 1 - start)
                whole = normalize("NFC" if self.form == "nfc" else "NFD", text[start:end])
                sizes[end - 1] = sum(map(self._size, whole))
        if self.newlines == "crlf-as-one":
            for found in re.finditer("\r\n", text):
                sizes[found.start()] = 0
        elif self.newlines:
            for found in re.finditer("(?<!\r)\n", text):
                sizes[found.start()] = 2
        return array("q", accumulate(sizes, initial=0))

    def _size(self, character: str) -> int:
        if self.unit == "bytes":
            return len(character.encode("utf-8", "surrogatepass"))
        return 1 + (self.unit == "utf16" and character > "\uffff")

    def correct(self, fragments: Fragments, positions: Sequence[int]) -> Fragments:
        """Return fragments in characters, given the `positions` of the text.

        An offset inside of a character takes in the whole of it, one outside of the text stays
        outside.
        """
        return tuple(
            (
                _index(positions, start + self.shift, inside=-1),
                _index(positions, end + self.shift + self.end_included, inside=0),
            )
            for start, end in fragments
        )


AS_WRITTEN = Counting()


def known_countings(text: str) -> list[Counting]:
    """Return the ways of counting that make a difference in a text, the simplest first."""
    units: list[Unit] = ["characters"]
    units += ["utf16"] if text and max(text) > "\uffff" else []
    units += [] if text.isascii() else ["bytes"]
    newlines: list[Newlines] = [""]
    newlines += ["crlf-as-one"] if "\r\n" in text else []
    newlines += ["crlf-as-two"] if re.search("(?<!\r)\n", text) else []
    forms: list[Form] = [""]
    forms += [] if is_normalized("NFC", text) else ["nfc"]
    forms += [] if is_normalized("NFD", text) else ["nfd"]
    countings = [Counting(*parts) for parts in product(units, newlines, forms)]
    return sorted(countings[1:], key=lambda c: (str(c).count("+"), c.form))


def displaced_countings(text: str) -> Iterator[Counting]:
    """Yield ways of counting from 1, with a byte order mark, and of ends that are included."""
    for base in (AS_WRITTEN, *known_countings(text)):
        yield replace(base, shift=-1)
        yield replace(base, end_included=True)
        yield replace(base, shift=-1, end_included=True)
        if base.unit == "bytes":
            yield replace(base, shift=-3)


def _index(positions: Sequence[int], offset: int, inside: int) -> int:
    """Return the number of the character at an offset, moved by ``inside`` from within one."""
    last = positions[-1]
    if not 0 <= offset <= last:
        return offset if offset < 0 else len(positions) - 1 + offset - last
    at = bisect_left(positions, offset)
    return at if positions[at] == offset else at + inside


def _clusters(text: str) -> Iterator[tuple[int, int]]:
    """Yield the bounds of the pieces of a text that may change when it is normalized."""
    start = 0
    for i in range(1, len(text) + 1):
        if i == len(text) or not _joins(text[i - 1], text[i]):
            if i - start > 1 or not text[start].isascii():
                yield start, i
            start = i


def _joins(before: str, character: str) -> bool:
    return character >= "\u0300" and (
        combining(character) > 0
        or "\u1160" <= character <= "\u11ff"  # vowels and finals of Hangul
        or len(normalize("NFC", before + character)) == 1
    )
