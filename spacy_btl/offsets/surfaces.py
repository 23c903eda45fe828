"""Compare surface texts with a text, as people's files have them, and find their words in it."""

import html
import re
from functools import cache
from itertools import accumulate, pairwise
from unicodedata import normalize

from ..brat import Fragments, Offsets

_BLANK = re.compile(r"(?:[\s\"\x00-\x1f\x7f-\x9f\xad\u200b-\u200f\u2060\ufeff]|\\[nrt])+")
_ALIKE = str.maketrans("‘’‚‛´`“”„‟«»‐‑‒–—―−", "''''''" + '""""""' + "-" * 7)
_UNKNOWN = "?\ufffd"
"""The replacement of a character that an encoding does not have."""

# Scripts without spaces between words have no borders to respect.
_LETTER = re.compile(r"[^\W\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]").match


def fold(text: str) -> str:
    """Return a text without what surface texts have otherwise: spaces, case, quotes, dashes."""
    if not text.isascii():
        text = normalize("NFKC", text.translate(_ALIKE))
    if "&" in text:
        text = html.unescape(text)
    return _BLANK.sub("", text).casefold()


def is_inside(fragments: Fragments, text: str) -> bool:
    """Return whether each fragment is a piece of a text, with a character at least."""
    return all(0 <= start < end <= len(text) for start, end in fragments)


def is_whole(fragments: Fragments, text: str) -> bool:
    """Return whether fragments of a text neither start nor end inside of a word."""
    return is_inside(fragments, text) and not any(
        0 < at < len(text) and _LETTER(text[at - 1]) and _LETTER(text[at])
        for fragment in fragments
        for at in fragment
    )


def is_at(folded: str, fragments: Fragments, text: str) -> bool:
    """Return whether a surface text, after `fold`, is that of fragments of a text."""
    if not is_inside(fragments, text):
        return False
    if sum(end - start for start, end in fragments) > 4 * len(folded) + 1000:
        return False
    found = fold("\n".join(text[start:end] for start, end in fragments))
    return found == folded or _differ_by_encoding(found, folded)


def is_nearly_at(surface: str, fragments: Fragments, text: str) -> bool:
    """Return whether a surface text is that of fragments, but cut short, or with a comment.

    Such differences are tolerated, and say nothing about the offsets.
    """
    if not is_inside(fragments, text):
        return False
    if sum(end - start for start, end in fragments) > 100 * len(surface) + 1000:
        return False
    here = "\n".join(text[start:end] for start, end in fragments)
    found, folded = fold(here), fold(surface)
    short = fold(surface.rstrip(" .…"))
    if surface.rstrip().endswith(("...", "…")) and short and found.startswith(short):
        # Where the end cuts a word, or nothing is cut, the full stops are those of a text that has
        # changed.
        return len(here) > len(surface.rstrip()) and is_whole(fragments, text)
    if "\t" in surface and fold(surface.partition("\t")[0]) == found:
        return True
    lines = re.split(r"[\r\n]+", here)[:20]
    if any(fold("".join(lines[:k])) == folded for k in range(1, len(lines))):
        return True
    return len(folded) >= 30 and found.startswith(folded)


def is_retyped(surface: str, fragments: Fragments, text: str) -> bool:
    """Return whether an entity, of one fragment, starts or ends with the words of its surface text.

    The rest of both must be other words: the annotator typed something else than the text has.
    """
    if len(fragments) != 1 or not is_inside(fragments, text):
        return False
    ((start, end),) = fragments
    if end - start > 4 * len(surface) + 64 or any(
        text[at - 1 : at + 1].isalnum() for at in (start, end) if 0 < at < len(text)
    ):
        return False
    found, folded = fold(text[start:end]), fold(surface)
    alike = max(_alike(found, folded), _alike(found[::-1], folded[::-1]))
    shorter, longer = sorted((len(found), len(folded)))
    return 8 <= alike < shorter and 2 * alike > longer


def _alike(a: str, b: str) -> int:
    """Return how many characters two texts have in common at their starts."""
    pairs = enumerate(zip(a, b, strict=False))
    return next((n for n, (x, y) in pairs if x != y), min(len(a), len(b)))


def _differ_by_encoding(a: str, b: str) -> bool:
    """Return whether two texts differ only in characters that an encoding did not have."""
    if len(a) != len(b):
        return False
    pairs = [(x, y) for x, y in zip(a, b, strict=True) if x != y]
    lost = all(
        (x in _UNKNOWN and not y.isascii()) or (y in _UNKNOWN and not x.isascii()) for x, y in pairs
    )
    return lost and 2 * len(pairs) <= len(a)


def information(words: str) -> int:
    """Return how much a surface text says: letters and digits, those that are not ASCII twice."""
    return sum(1 + (not c.isascii()) for c in words if c.isalnum())


def occurrences(words: str, text: str, limit: int) -> list[Offsets]:
    """Return the first places of words in a text, with any white space between them."""
    pattern = pattern_of(words)
    found: list[Offsets] = []
    at = pattern.search(text) if words.strip() else None
    while at and len(found) < limit:
        found.append(at.span())
        at = pattern.search(text, at.start() + 1)
    return found


def words_of(surface: str, place: Fragments) -> list[str]:
    """Return the surface text of each fragment, "" where it is unknown."""
    if len(place) == 1:
        return [surface]
    starts = list(accumulate((1 + end - start for start, end in place), initial=0))
    if starts[-1] != len(surface) + 1:
        return [""] * len(place)
    return [surface[start : end - 1] for start, end in pairwise(starts)]


@cache
def pattern_of(words: str) -> re.Pattern[str]:
    """Return a pattern of words with any white space between them, in either normalization."""
    forms = dict.fromkeys((words, normalize("NFC", words), normalize("NFD", words)))
    return re.compile("|".join(r"\s+".join(map(re.escape, form.split())) for form in forms))
