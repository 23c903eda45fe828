"""Errors put into an annotation on purpose, at random, and what a ranking of places makes of them.

Pure functions on tokens and spans: `audit.py` knows the corpora and the models.
"""

import random
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from spacy_btl.labels.bio import LabelSpan

KINDS = ("missed", "surplus", "wrong type", "wrong bounds", "inconsistent")
"""An entity taken away; one made up; one given another type; one with an end moved by one or two
tokens; and one given another type whose words have its type in at least two other documents."""

LONGEST_SURPLUS = 3
MOST_MOVED = 2
RECURRING = 2


class Text(NamedTuple):
    """A document: its tokens, "" for white space, and its entities, which do not overlap."""

    words: Sequence[str]
    entities: Sequence[LabelSpan]


class Damage(NamedTuple):
    """An entity of a document before and after the damage, None for none."""

    kind: str
    document: int
    before: LabelSpan | None
    after: LabelSpan | None

    def touches(self, start: int, end: int) -> bool:
        """Return whether tokens share one with the entity before or after."""
        return any(span[0] < end and start < span[1] for span in (self.before, self.after) if span)


def damage(
    texts: Sequence[Text], share: float, seed: int
) -> tuple[list[list[LabelSpan]], list[Damage]]:
    """Return the entities of each document with errors put in, and the errors.

    There are as many errors as ``share`` of the entities. The kinds of `KINDS` take turns. Types
    are drawn as often as they occur. No error touches, or adjoins, another one.
    """
    rng = random.Random(seed)
    n_types = Counter(kind for text in texts for _, _, kind in text.entities)
    pool = [kind for kind, n in sorted(n_types.items()) for _ in range(n)]
    wanted = round(share * len(pool))
    entities = [sorted(text.entities) for text in texts]
    places = [(i, span) for i, text in enumerate(texts) for span in text.entities]
    recurring = _recurring(texts)
    taken: list[set[int]] = [set() for _ in texts]
    done: list[Damage] = []
    for number in range(wanted):
        kind = KINDS[number % len(KINDS)]
        for _ in range(1000):  # a corpus of one type has no other one, and no text is endless
            found = _one(kind, rng, texts, entities, places, recurring, pool)
            if found is None or any(
                token in taken[found.document]
                for span in (found.before, found.after)
                if span
                for token in range(span[0] - 1, span[1] + 1)
            ):
                continue
            own = entities[found.document]
            if found.before:
                own.remove(found.before)
            if found.after:
                own.append(found.after)
            for span in (found.before, found.after):
                if span:
                    taken[found.document].update(range(span[0] - 1, span[1] + 1))
            done.append(found)
            break
    return [sorted(own) for own in entities], done


def _one(
    kind: str,
    rng: random.Random,
    texts: Sequence[Text],
    entities: Sequence[Sequence[LabelSpan]],
    places: Sequence[tuple[int, LabelSpan]],
    recurring: Sequence[tuple[int, LabelSpan]],
    pool: Sequence[int],
) -> Damage | None:
    """Return one error of a kind at a random place; None where it cannot be made there."""
    if kind == "surplus":
        i = rng.randrange(len(texts))
        length = rng.randint(1, LONGEST_SURPLUS)
        start = rng.randrange(max(len(texts[i].words), 1))
        after = (start, start + length, rng.choice(pool))
        return Damage(kind, i, None, after) if _is_free(texts[i], entities[i], after) else None
    candidates = recurring if kind == "inconsistent" else places
    if not candidates:
        return None
    i, before = rng.choice(candidates)
    if before not in entities[i]:
        return None
    if kind == "missed":
        return Damage(kind, i, before, None)
    start, end, label = before
    if kind == "wrong bounds":
        by = rng.choice([-1, 1]) * rng.randint(1, MOST_MOVED)
        after = (start + by, end, label) if rng.random() < 0.5 else (start, end + by, label)
        others = [span for span in entities[i] if span != before]
        added = [t for t in range(after[0], after[1]) if not start <= t < end]
        fits = 0 <= after[0] < after[1] and all(
            _is_free(texts[i], others, (t, t + 1, label)) for t in added
        )
        return Damage(kind, i, before, after) if fits else None
    after = (start, end, rng.choice(pool))
    return Damage(kind, i, before, after) if after[2] != label else None


def _is_free(text: Text, entities: Iterable[LabelSpan], span: LabelSpan) -> bool:
    """Return whether tokens are words, at least one with a letter, and in no entity."""
    start, end, _ = span
    words = text.words[start:end]
    if end > len(text.words) or not all(words):
        return False
    if not any(letter.isalpha() for word in words for letter in word):
        return False
    return not any(first < end and start < last for first, last, _ in entities)


def _recurring(texts: Sequence[Text]) -> list[tuple[int, LabelSpan]]:
    """Return entities whose words have the same type in at least `RECURRING` other documents."""
    documents: dict[tuple[tuple[str, ...], int], set[int]] = {}
    for i, text in enumerate(texts):
        for start, end, kind in text.entities:
            documents.setdefault((tuple(text.words[start:end]), kind), set()).add(i)
    return [
        (i, span)
        for i, text in enumerate(texts)
        for span in text.entities
        if len(documents[tuple(text.words[span[0] : span[1]]), span[2]] - {i}) >= RECURRING
    ]


class Place(NamedTuple):
    """Tokens that a ranking puts forward."""

    document: int
    start: int
    end: int


def hits(ranking: Iterable[Place], damages: Sequence[Damage]) -> Iterator[bool]:
    """Return whether each place is an error, in order.

    A place that touches only errors that were found before is passed over: nobody looks at the
    same words twice.
    """
    by_document: dict[int, list[int]] = {}
    for n, each in enumerate(damages):
        by_document.setdefault(each.document, []).append(n)
    found: set[int] = set()
    for place in ranking:
        touched = {
            n
            for n in by_document.get(place.document, ())
            if damages[n].touches(place.start, place.end)
        }
        if touched and touched <= found:
            continue
        found |= touched
        yield bool(touched)


def figures(
    ranking: Iterable[Place], damages: Sequence[Damage], at: Collection[int] = (50, 100, 200)
) -> dict[str, float]:
    """Return precision at some ranks, and the average precision over all errors."""
    outcomes = list(hits(ranking, damages))
    right, total = 0, 0.0
    values = {}
    for rank, is_hit in enumerate(outcomes, 1):
        right += is_hit
        total += is_hit * right / rank
        if rank in at:
            values[f"p{rank}"] = right / rank
    for rank in at:  # a ranking that ends before has nothing more to offer
        values.setdefault(f"p{rank}", right / rank)
    return {**values, "ap": total / len(damages) if damages else 0.0}


def recall_by_kind(ranking: Sequence[Place], damages: Sequence[Damage]) -> dict[str, float]:
    """Return the share of the errors of each kind that the places touch."""
    found: Counter[str] = Counter()
    for each in damages:
        found[each.kind] += any(
            place.document == each.document and each.touches(place.start, place.end)
            for place in ranking
        )
    every = Counter(each.kind for each in damages)
    return {kind: found[kind] / every[kind] for kind in KINDS if every[kind]}
