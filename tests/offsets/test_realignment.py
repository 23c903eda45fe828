"""Places of the words of entities in a text that was edited after the annotation."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_btl.brat import Entity, surface_text
from spacy_btl.offsets import correct_offsets
from spacy_btl.offsets.realignment import Mention, realign

OLD = "She has asthma and fever. She takes salbutamol 5 mg for asthma, no cough or chest pain."
ENTITIES = ["asthma", "fever", "salbutamol", "5 mg", "cough", "chest pain"]

EDITS = {
    # what is replaced by what; the entities that are lost
    "insertion in the middle": (("She takes", "She is 40. She takes"), []),
    "insertion between all": ((" and fever", " and a high fever"), []),
    "deletion in the middle": ((" She takes", " "), []),
    "deletion with an entity": ((" and fever", ""), ["fever"]),
    "insertion at the start": (("She has", "Report:\n\nShe has"), []),
    "a word is another": (("salbutamol", "terbutaline"), ["salbutamol", "5 mg"]),
    "insertion before a single word at the end": ((" or chest pain", " or any chest pain"), []),
    "the end is gone": ((", no cough or chest pain.", "."), ["cough", "chest pain"]),
    "all is gone": ((OLD, "No text."), ENTITIES),
}


@pytest.mark.parametrize(("change", "lost"), EDITS.values(), ids=EDITS)
def test_edited_texts(change, lost):
    new = OLD.replace(*change)
    entities = []
    for i, word in enumerate(ENTITIES):
        at = OLD.index(word)
        entities.append(Entity(f"T{i}", "X", ((at, at + len(word)),), word))
    correction = correct_offsets(new, entities)
    for i, (word, e) in enumerate(zip(ENTITIES, correction.entities, strict=True)):
        ((start, end),) = e.fragments
        gone = i in correction.refused or end > len(new)
        assert gone == (word in lost), word
        assert gone or new[start:end] == word


ALIGNED = {
    # text, mentions as start, words and whether they fit; where they are
    "nothing moved": ("fever, cough", [(0, "fever", True), (7, "cough", True)], [0, 7]),
    "two moved": ("a new fever, cough", [(0, "fever", False), (7, "cough", False)], [6, 13]),
    "one word alone": ("a new fever", [(0, "fever", False)], [None]),
    "some words alone": ("new chest pain, left", [(0, "chest pain, left", False)], [4]),
    "words alone, twice": ("chest pain left, chest pain left", [(3, "chest pain left", False)],
                           [None]),
    "either of two": ("fever cough fever cough", [(4, "fever", False), (10, "cough", False)],
                      [None, None]),
    "inside of a word": ("xx unfevered coughs", [(0, "fever", False), (8, "cough", False)],
                         [None, None]),
    "out of order": ("cough fever", [(0, "fever", False), (6, "cough", False)], [None, None]),
    "not there": ("fever", [(0, "fever", True), (6, "cough", False)], [0, None]),
    "no words to look for": ("fever", [(0, "", True), (6, "", False)], [0, None]),
    "none": ("fever", [], []),
}  # fmt: skip


@pytest.mark.parametrize(("text", "mentions", "places"), ALIGNED.values(), ids=ALIGNED)
def test_realign(text, mentions, places):
    found = realign(text, [Mention(at, at + len(own), own, fits) for at, own, fits in mentions])
    assert [at and at[0] for at in found] == places


WORDS = [
    "no",
    "a",
    "of",
    "mg",
    "pain",
    "fever",
    "cough",
    "left",
    "arm",
    "rash",
    "asthma",
    "iron",
    "with",
    "the",
    "and",
    "on",
    "day",
    "two",
    "years",
    "old",
    "history",
    "salbutamol",
    "patient",
    "was",
    "given",
    "dose",
    "lung",
    "heart",
    "failure",
    "acute",
    "chronic",
    "renal",
    "blood",
    "pressure",
    "severe",
    "mild",
    "since",
    "last",
    "week",
    "normal",
    "skin",
    "liver",
    "kidney",
    "right",
    "lower",
    "upper",
    "lobe",
    "cancer",
]


def where(old, new, start, end):
    """Return the places of characters that one edit allows."""
    moved = len(new) - len(old)
    places = {(start, end)} if old[:end] == new[:end] else set()
    if old[start:] == new[start + moved :] and start + moved >= 0:
        places.add((start + moved, end + moved))
    return places


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.integers(0, 10**6))
def test_no_entity_is_moved_to_other_words(seed):
    """Words are there again and again, also in what is inserted."""
    draw = random.Random(seed)
    spans, old = [], ""
    for word in draw.choices(WORDS, k=draw.randint(3, 80)):
        spans.append((len(old), len(old) + len(word)))
        old += word + draw.choice([" "] * 6 + [", ", ". ", "\n"])
    places = []
    for _ in range(draw.randint(1, 20)):
        first = draw.randrange(len(spans))
        last = min(len(spans) - 1, first + draw.choice([0, 0, 0, 1, 2]))
        places.append((spans[first][0], spans[last][1]))
    start = draw.randint(0, len(old))
    end = min(len(old), start + draw.choice([0, 0, draw.randint(0, 10), draw.randint(0, 60)]))
    inserted = "".join(f"{word} " for word in draw.choices(WORDS, k=draw.choice([0, 1, 2, 9])))
    new = old[:start] + inserted + old[end:]
    entities = [Entity(f"T{i}", "X", (p,), surface_text((p,), old)) for i, p in enumerate(places)]
    correction = correct_offsets(new, entities)
    for i in correction.moved:
        ((start, end),) = correction.entities[i].fragments
        end = start + len(new[start:end].rstrip())
        assert (start, end) in where(old, new, *places[i])
