"""Places of the words of one edition of a text in another."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_btl.offsets import editions
from spacy_btl.offsets.editions import Editions

OLD = "She has asthma and fever.\nShe takes salbutamol 5 mg for asthma."
CASES = [
    # new text, words, how often they occur before, the words there; "" where they are not
    (OLD, "fever", 0, "fever"),
    (OLD.replace("\n", "\r\n"), "salbutamol 5 mg", 0, "salbutamol 5 mg"),
    (OLD.replace("\n", " \n\n  "), "fever.\nShe", 0, "fever. \n\n  She"),
    ("Report:\n" + OLD, "asthma", 1, "asthma"),
    (OLD.replace("She has", "She is 40 and has"), "asthma", 0, "asthma"),
    (OLD.replace("fever", "high fever"), "and fever.", 0, ""),
    (OLD.replace("fever", "high fever"), "fever.", 0, "fever."),
    (OLD.replace("asthma and ", ""), "asthma", 0, ""),
    (OLD.replace("asthma and ", ""), "asthma", 1, "asthma"),
    (OLD.replace("salbutamol", "terbutaline"), "salbutamol", 0, ""),
    (OLD.replace("salbutamol", "terbutaline"), "5 mg", 0, "5 mg"),
    (OLD.replace("5 mg", "5mg"), "5 mg", 0, "5mg"),
    (OLD + " And more.", "asthma.", 0, "asthma."),
    ("", "fever", 0, ""),
    (OLD, "\n", 0, ""),
]


@pytest.mark.parametrize(("new", "words", "before", "found"), CASES)
def test_places(new: str, words: str, before: int, found: str) -> None:
    at = -1
    for _ in range(before + 1):
        at = OLD.index(words, at + 1)
    place = Editions(OLD, new).place(((at, at + len(words)),))
    assert "".join(new[start:end] for start, end in place) == found
    if before:
        assert place[0][0] == new.rindex(words)


def test_several_fragments_are_found_together_or_not_at_all() -> None:
    edited = Editions(OLD, OLD.replace("fever", "high fever"))
    assert edited.place(((8, 14), (36, 46))) == ((8, 14), (41, 51))
    assert Editions(OLD, OLD.replace("fever", "pain")).place(((8, 14), (19, 24))) == ()


@pytest.mark.parametrize(
    ("new", "place"),
    [
        (OLD + " ", (len(OLD), 2)),
        (OLD.replace("\n", "\r\n"), (25, 1)),
        (OLD.replace("salbutamol", "terbutaline"), (36, 2)),
        ("x" + OLD, (0, 1)),
        (OLD + " And more.", (len(OLD), 2)),
        (OLD[:20], (19, 1)),
        ("", (0, 1)),
    ],
)
def test_the_first_difference(new: str, place: tuple[int, int]) -> None:
    assert Editions(OLD, new).first_difference() == place


def test_likeness() -> None:
    assert Editions(OLD, OLD.replace("\n", "  ")).likeness == 1.0
    assert Editions("", "").likeness == 1.0
    assert Editions("", OLD).likeness == 0.0
    assert Editions("one two", "one six").likeness == 0.5


def test_texts_that_are_too_long_are_aligned_at_both_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(editions, "_WORK", 3)
    edited = Editions("a b c d e f", "a b x d y f")
    assert edited.place(((2, 3),)) == ((2, 3),)
    assert edited.place(((6, 7),)) == ()
    assert edited.place(((10, 11),)) == ((10, 11),)


@settings(deadline=None)
@given(st.integers(0, 2**32))
def test_what_is_found_are_the_same_words(seed: int) -> None:
    """After random edits of words and white space; and all is found where only that differs."""
    rng = random.Random(seed)
    words = [rng.choice(["a", "bb", "ccc", "the", "of"]) for _ in range(rng.randrange(1, 30))]
    edited = [w for w in words if rng.random() < 0.9 or rng.random() < 0.5]
    if rng.random() < 0.5:
        edited = [f"{w}x" if rng.random() < 0.1 else w for w in edited]
    old = " ".join(words)
    new = "".join(w + rng.choice([" ", "\n", " \r\n"]) for w in edited)
    both = Editions(old, new), Editions(new, old)
    for start in range(len(old)):
        end = min(len(old), start + rng.randrange(1, 9))
        there = both[0].place(((start, end),))
        if there:
            here = "".join(old[start:end].split())
            assert "".join(new[slice(*there[0])].split()) == here
            assert not new[there[0][0]].isspace()
            assert words != edited or both[1].place(there)[0] == _trimmed(old, start, end)
        elif words == edited:
            assert not old[start:end].strip()


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    inside = text[start:end]
    left = len(inside) - len(inside.lstrip())
    return start + left, end - (len(inside) - len(inside.rstrip()))
