"""Find the words of entities in a text that was changed after its annotation.

A change moves all that comes after it by the same number of characters. The surface texts show by
how many, as long as the words of several entities, or one that the text has once, are found at the
same distance. Entities that may be somewhere else as well are dropped.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple, TypeAlias

from ..brat import Fragments, Offsets
from .surfaces import information, is_whole, occurrences, pattern_of

_CHANGE = 2
"""Letters that a further change of the text must explain, or there was none."""

_EVIDENCE, _UNIQUE, _ALONE = 8, 5, 9
"""Letters of words that show the distance after a change: of several, of words that the text has
once, and of such that alone show it."""

_COMMON, _SHIFTS = 50, 40
"""Words that are found more often give no distance; as many distances are tried for all."""

_WORK = 1_000_000_000
"""Characters that are searched at most: words times length of the text."""


class Mention(NamedTuple):
    """An entity, or a fragment of one.

    Attributes:
        start: Its first character, as the offsets say.
        end: The end of it, as the offsets say.
        words: Its surface text, "" where it cannot be searched for.
        fits: Whether they are at these offsets.
    """

    start: int
    end: int
    words: str
    fits: bool


class _Chain(NamedTuple):
    """Mentions put at distances that explain them: the last one, and those before it."""

    score: int
    end: int  # of all of them, as the offsets say
    found_end: int  # of all of them, where they are
    mention: int
    shift: int
    before: "_Chain | None"


_Places: TypeAlias = dict[int, int]
"""The ends of the places where a mention may be, by their distance from its offsets."""


def realign(text: str, mentions: Sequence[Mention]) -> list[Offsets | None]:
    """Return where the words of mentions are, None for those whose place is not certain.

    Args:
        text: The text.
        mentions: Its mentions, in any order.
    """
    order = sorted(range(len(mentions)), key=lambda i: mentions[i][:2])
    ordered = [mentions[i] for i in order]
    places, found = _candidates(text, ordered)
    chain = _best_chain(ordered, places)
    result: list[Offsets | None] = [None] * len(mentions)
    for i, shift in _certain(text, ordered, places, found, chain):
        result[order[i]] = ordered[i].start + shift, places[i][shift]
    return result


def between(place: Fragments, shifts: Sequence[tuple[int, int | None]]) -> Fragments:
    """Return a place without words moved as far as its neighbors, none where they disagree.

    Args:
        place: The fragments of an entity without surface text.
        shifts: The start of each mention with words and how far it was moved, None if it was not
            found; by start.
    """
    moved = []
    for start, end in place:
        at = bisect_left(shifts, start, key=lambda pair: pair[0])
        near = {shift for _, shift in shifts[max(at - 1, 0) : at + 1]}
        if len(near) != 1 or (shift := near.pop()) is None:
            return ()
        moved.append((start + shift, end + shift))
    return tuple(moved)


def _candidates(
    text: str, mentions: Sequence[Mention]
) -> tuple[list[_Places], dict[str, list[Offsets]]]:
    """Return the places where each mention may be, and the first occurrences of all words."""
    searched = {m.words for m in mentions if m.words}
    if len(searched) * len(text) > _WORK:
        return [{0: m.end} if m.fits else {} for m in mentions], {}
    found = {words: occurrences(words, text, _COMMON + 1) for words in searched}
    votes: Counter[int] = Counter()
    for m in mentions:
        if len(own := found.get(m.words, ())) <= _COMMON:
            weight = information(m.words)
            votes.update({start - m.start: weight for start, _ in own})
    common = [shift for shift, _ in votes.most_common(_SHIFTS) if shift]
    result: list[_Places] = []
    for m in mentions:
        places = {0: m.end} if m.fits else {}
        if m.words:
            pattern = pattern_of(m.words)
            for shift in common:
                at = m.start + shift
                if at >= 0 and (match := pattern.match(text, at)):
                    places[shift] = match.end()
            if len(own := found[m.words]) <= 3:
                places |= {start - m.start: end for start, end in own if start != m.start}
        if not m.fits:
            places.pop(0, None)
        result.append(places)
    return result, found


def _best_chain(mentions: Sequence[Mention], places: Sequence[_Places]) -> list[tuple[int, int]]:
    """Return mentions and their distances that explain most with fewest changes, in order."""
    best: dict[int, _Chain] = {}  # by the distance of the last mention
    for i, (m, own) in enumerate(zip(mentions, places, strict=True)):
        gain = max(1, information(m.words))
        new: dict[int, _Chain] = {}
        for shift, found_end in own.items():
            options: list[tuple[int, _Chain | None]] = [(-_CHANGE if shift else 0, None)]
            for other, chain in best.items():
                if other == shift:
                    options.append((chain.score, chain))
                # Nothing overlaps across a change, and the order stays.
                elif m.start >= chain.end and m.start + shift >= chain.found_end:
                    options.append((chain.score - _CHANGE, chain))
            score, before = max(options, key=lambda option: option[0])
            end = max(m.end, before.end if before else 0)
            found_end = max(found_end, before.found_end if before else 0)
            new[shift] = _Chain(score + gain, end, found_end, i, shift, before)
        best |= new
        if len(best) > 2 * _SHIFTS:
            ranked = sorted(best.items(), key=lambda item: -item[1].score)
            best = dict(ranked[:_SHIFTS])
    link = max(best.values(), key=lambda chain: chain.score, default=None)
    result = []
    while link:
        result.append((link.mention, link.shift))
        link = link.before
    return result[::-1]


def _certain(
    text: str,
    mentions: Sequence[Mention],
    places: Sequence[_Places],
    found: dict[str, list[Offsets]],
    chain: Sequence[tuple[int, int]],
) -> list[tuple[int, int]]:
    """Return the part of a chain that can be nowhere else.

    The words next to a change may themselves have been changed, and be found at their distance by
    chance: those between it and enough evidence are left out. So is a single word that alone gives
    its distance, as it may be another one of its kind.
    """
    doubtful: set[int] = set()
    spots = [
        mentions[i]._replace(fits=is_whole(((mentions[i].start + shift, places[i][shift]),), text))
        for i, shift in chain
    ]
    runs = [list(run) for _, run in groupby(range(len(chain)), key=lambda k: chain[k][1])]
    shifts = [0, *(chain[run[0]][1] for run in runs)]
    for number, run in enumerate(runs):
        shift = shifts[number + 1]
        elsewhere = set.intersection(*(set(places[chain[k][0]]) for k in run)) - {0, shift}
        if shift and elsewhere:
            doubtful.update(run)
        once = {k for k in run if spots[k].fits and _is_once(found, spots[k].words)}
        seen = _evidence([spots[k] for k in run])
        if shift and (seen[-1][0] < 2 or seen[-1][1] < _EVIDENCE):
            doubtful.update(k for k in run if k not in once or not _is_plain(spots[k].words))
        before, after = shifts[number], shifts[number + 2] if number + 2 < len(shifts) else shift
        for outside, step in ((before, 1), (after, -1)):
            edge = run[::step] if outside != shift else []
            seen = _evidence([spots[k] for k in edge])
            alike = True
            for k, (_, letters) in zip(edge, seen, strict=True):
                alike = alike and outside in places[chain[k][0]]
                if alike or (shift and letters < _EVIDENCE and k not in once):
                    doubtful.add(k)
    return [pair for k, pair in enumerate(chain) if k not in doubtful]


def _evidence(mentions: Sequence[Mention]) -> list[tuple[int, int]]:
    """Return how many mentions and letters there are up to each.

    Overlapping places count once; those that cut a word do not count.
    """
    result: list[tuple[int, int]] = []
    count = letters = 0
    taken: list[Offsets] = []
    for m in mentions:
        if m.fits and not any(m.start < end and start < m.end for start, end in taken[-20:]):
            count += 1
            letters += information(m.words)
        taken.append((m.start, m.end))
        result.append((count, letters))
    return result


def _is_once(found: dict[str, list[Offsets]], words: str) -> bool:
    """Return whether a text has words once, and they say enough to be known by that."""
    return len(found.get(words, ())) == 1 and information(words) >= _UNIQUE


def _is_plain(words: str) -> bool:
    """Return whether words are unlikely to be there by chance: more than one, and long."""
    return information(words) >= _ALONE and (" " in words or not words.isascii())
