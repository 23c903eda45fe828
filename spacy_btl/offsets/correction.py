"""Find out how the offsets of a document were counted, by its surface texts, and correct them.

Tools count UTF-16 code units or bytes, count a text with other line ends or in another Unicode
normalization, or count from 1; and texts are edited after their annotation. Where the surface texts
of a document contradict its offsets, these are the explanations that are tried. An entity that none
puts at its words is refused: it is never placed at other words.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Literal, TypeAlias

from ..brat import Entity, Fragments, flat_text, surface_text
from .counting import AS_WRITTEN, Counting, displaced_countings, known_countings
from .realignment import Mention, between, realign
from .surfaces import (
    fold,
    information,
    is_at,
    is_inside,
    is_nearly_at,
    is_retyped,
    is_whole,
    occurrences,
    words_of,
)

Misfit: TypeAlias = Literal[
    "its surface text is not at its offsets",
    "it has no surface text, and others contradict the offsets",
]
"""Why an entity is refused."""

_LITTLE, _MUCH = 3, 8
"""Letters that are evidence for a known way of counting, and for any shift."""


@dataclass(frozen=True, slots=True)
class Correction:
    """The entities of a document with offsets in the characters of its text.

    Attributes:
        counting: How the offsets were counted; `AS_WRITTEN` if in characters, or not known.
        entities: All entities, in the order given.
        moved: Indices of those that have other offsets than were written.
        realigned: Indices of those of them that were found by their words, as the text was changed
            after the annotation.
        refused: Why an entity cannot be placed, by its index; it keeps the offsets as written.
    """

    counting: Counting
    entities: tuple[Entity, ...]
    moved: frozenset[int] = frozenset()
    realigned: frozenset[int] = frozenset()
    refused: Mapping[int, Misfit] = field(default_factory=dict)


def check_offsets(offsets: str) -> str:
    """Return the value of the setting ``offsets`` of `correct_offsets`.

    Raises:
        ValueError: If it can have no such value.
    """
    if offsets not in ("auto", "unchecked"):
        Counting.parse(offsets)
    return offsets


def correct_offsets(text: str, entities: Sequence[Entity], offsets: str = "auto") -> Correction:
    """Return the entities of a document with offsets that count the characters of its text.

    Args:
        text: The text of the document.
        entities: Its entities, in any order.
        offsets: "auto" finds out by the surface texts how the offsets were counted; "unchecked"
            takes them as they are, whatever the surface texts; else the name of a `Counting`, by
            which an entity has its surface text or is refused.

    Raises:
        ValueError: If ``offsets`` is not one of these.
    """
    check_offsets(offsets)
    document = _Document(text, entities)
    if offsets == "unchecked" or (offsets == "auto" and document.fits(document.written)):
        return Correction(AS_WRITTEN, tuple(entities))
    if offsets == "auto":
        return document.explain() or document.align()
    counting = Counting.parse(offsets)
    places = document.places(counting)
    wrong = document.misfits(places)
    sure = {i: p for i, p in enumerate(places) if i not in wrong or document.nearly(i, p)}
    return document.correction(counting, sure)


class _Document:
    """A text and its entities, as they are compared again and again."""

    def __init__(self, text: str, entities: Sequence[Entity]) -> None:
        self.text = text
        self.entities = entities
        self.written = [entity.fragments for entity in entities]
        self.folded = [fold(entity.text) for entity in entities]
        self.positions = cache(lambda base: base.positions(text))

    def places(self, counting: Counting) -> list[Fragments]:
        """Return the fragments of all entities in characters."""
        if counting == AS_WRITTEN:
            return self.written
        positions = self.positions(replace(counting, shift=0, end_included=False))
        return [counting.correct(fragments, positions) for fragments in self.written]

    def fits(self, places: Sequence[Fragments]) -> bool:
        """Return whether all surface texts are at these places."""
        return all(map(self.agrees, range(len(places)), places))

    def misfits(self, places: Sequence[Fragments]) -> set[int]:
        """Return the indices of the entities whose surface texts are not at these places."""
        return {i for i, place in enumerate(places) if not self.agrees(i, place)}

    def agrees(self, i: int, place: Fragments) -> bool:
        """Return whether an entity has no surface text, or its words are at a place."""
        return not self.folded[i] or is_at(self.folded[i], place, self.text)

    def nearly(self, i: int, place: Fragments) -> bool:
        """Return whether a surface text that is not at a place may differ without harm."""
        surface = self.entities[i].text
        return is_nearly_at(surface, place, self.text) or (
            is_retyped(surface, place, self.text) and not occurrences(surface, self.text, 1)
        )

    def correction(
        self,
        counting: Counting,
        sure: Mapping[int, Fragments],
        realigned: frozenset[int] = frozenset(),
    ) -> Correction:
        """Return a correction by the places that are sure; all other entities are refused."""
        sure = {i: place for i, place in sure.items() if is_inside(place, self.text)}
        moved = {i for i, place in sure.items() if place != self.written[i]}
        entities = tuple(
            entity._replace(fragments=sure[i], raw="") if i in moved else entity
            for i, entity in enumerate(self.entities)
        )
        refused: dict[int, Misfit] = {}
        for i, place in enumerate(self.written):
            # Places outside of the text are refused for that reason.
            if i not in sure and is_inside(place, self.text):
                refused[i] = (
                    "its surface text is not at its offsets"
                    if self.folded[i]
                    else "it has no surface text, and others contradict the offsets"
                )
        return Correction(counting, entities, frozenset(moved), realigned & moved, refused)

    def explain(self) -> Correction | None:
        """Return the correction by a way of counting that explains all surface texts, or None.

        Where several do, an entity must be at the same place in all of them. The evidence for one
        are the surface texts that it puts at their words to the letter and that are not there as
        written: those that are elsewhere, and those with some white space too much or too little,
        as an offset was counted wrongly by one.
        """
        wrong = self.misfits(self.written)
        inexact = set(range(len(self.written))) - self._exact(self.written)
        known, displaced = known_countings(self.text), list(displaced_countings(self.text))
        groups: list[Iterable[Counting]] = [known, displaced, self._shifted(wrong)]
        telling = inexact
        spoken = {self.folded[i] for i in wrong}
        if len(spoken) < 2 or _evidence(spoken) < _MUCH:
            # Any of them may fit by chance, the more so where the words are elsewhere as well.
            groups = [known + displaced]
            telling = {
                i
                for i in inexact
                if len(self.written[i]) > 1
                or len(occurrences(self.entities[i].text, self.text, 2)) == 1
            }
        for countings in groups:
            accepted = [(c, p) for c in countings if self.fits(p := self.places(c))]
            exact = [self._exact(places) for _, places in accepted]
            most = max(map(len, exact), default=0)
            best = [
                pair
                for pair, there in zip(accepted, exact, strict=True)
                if len(there) == most
                and 2 * len(there & wrong) >= len(wrong)
                and _evidence(self.folded[i] for i in telling & there) >= _LITTLE
            ]
            if best:
                counting, places = best[0]
                trimmed = [[self._trim(place) for place in other] for _, other in best]
                alike = [len(set(own)) == 1 for own in zip(*trimmed, strict=True)]
                sure = {i: places[i] for i, same in enumerate(alike) if same}
                return self.correction(counting, sure)
        return None

    def _exact(self, places: Sequence[Fragments]) -> set[int]:
        """Return the indices of the entities whose surface texts match to the letter.

        No surface text has a carriage return: one at an end of a place is a character too many.
        """
        return {
            i
            for i, (entity, place) in enumerate(zip(self.entities, places, strict=True))
            if self.folded[i]
            and flat_text(entity.text) == surface_text(place, self.text)
            and all((piece := self.text[start:end]) == piece.strip("\r") for start, end in place)
        }

    def _trim(self, place: Fragments) -> Fragments:
        """Return a place without white space at its ends."""
        if not is_inside(place, self.text):
            return place
        pieces = [(start, end, self.text[start:end]) for start, end in place]
        return tuple(
            (end - len(piece.lstrip()), start + len(piece.rstrip())) for start, end, piece in pieces
        )

    def _shifted(self, wrong: set[int]) -> Iterator[Counting]:
        """Yield the ways of counting that put the longest surface text at its words.

        An offset that is right as written speaks against a shift of all.
        """
        spoken = {i for i, folded in enumerate(self.folded) if folded}
        single = [i for i in spoken if len(self.written[i]) == 1]
        if not single or spoken - wrong or _evidence(self.folded[i] for i in spoken) < _MUCH:
            return
        i = max(single, key=lambda i: information(self.folded[i]))
        found = occurrences(self.entities[i].text, self.text, 200)
        for base in (AS_WRITTEN, *known_countings(self.text)):
            positions = self.positions(base)
            for start, _ in found:
                yield replace(base, shift=positions[start] - self.written[i][0][0])

    def align(self) -> Correction:
        """Return the correction by where the words of the entities are in a changed text."""
        counting = self._best_base()
        places = self.places(counting)
        wrong = self.misfits(places)
        mentions: list[Mention] = []
        numbers: list[list[int]] = []  # of the mentions of each entity
        for i, place in enumerate(places):
            numbers.append([])
            if not self.folded[i]:
                continue
            fits = i not in wrong or (counting == AS_WRITTEN and self.nearly(i, place))
            words = words_of(self.entities[i].text, place)
            for (start, end), own in zip(place, words, strict=True):
                numbers[i].append(len(mentions))
                mentions.append(Mention(start, end, own, fits))
        found = realign(self.text, mentions)
        shifts = sorted(
            (
                (mention.start, at[0] - mention.start if at else None)
                for mention, at in zip(mentions, found, strict=True)
            ),
            key=lambda pair: pair[0],
        )
        sure: dict[int, Fragments] = {}
        for i, place in enumerate(places):
            own_places = tuple(at for n in numbers[i] if (at := found[n]))
            if not self.folded[i]:
                own_places = between(place, shifts)
            if len(own_places) == len(place):
                sure[i] = own_places
        realigned = frozenset(i for i, place in sure.items() if place != places[i])
        return self.correction(counting, sure, realigned)

    def _best_base(self) -> Counting:
        """Return the way of counting that explains clearly more than that as written."""
        wrong = self.misfits(self.written)
        as_written = self._exact(self.written)
        best, most = AS_WRITTEN, sum(map(bool, self.folded)) - (len(wrong) + 1) // 2
        for counting in (*known_countings(self.text), *displaced_countings(self.text)):
            exact = self._exact(self.places(counting))
            new = exact - as_written
            if len(exact) > most and _evidence(self.folded[i] for i in new) >= _MUCH:
                best, most = counting, len(exact)
        return best


def _evidence(surfaces: Iterable[str]) -> int:
    """Return how many letters different surface texts have."""
    return sum(map(information, set(surfaces)))


def cuts_words(text: str, entities: Sequence[Entity]) -> bool:
    """Return whether entities without any surface text are hardly where they were meant.

    More than half of them begin or end inside of a word, or are not in the text.
    """
    if any(fold(entity.text) for entity in entities):
        return False
    return 2 * sum(not is_whole(entity.fragments, text) for entity in entities) > len(entities)
