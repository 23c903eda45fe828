import pytest

from spacy_btl.offsets.surfaces import (
    fold,
    is_at,
    is_nearly_at,
    is_retyped,
    is_whole,
    occurrences,
    words_of,
)

# surface text, text at its offsets
SAME = {
    "the same": ("left arm", "left arm"),
    "no-break space": ("left arm", "left\u00a0arm"),
    "line break": ("left arm", "left\r\narm"),
    "line break, escaped": (r"left\narm", "left\narm"),
    "no space": ("leftarm", "left arm"),
    "spaces at the ends": (" left arm ", "left arm"),
    "soft hyphen": ("asthma", "asth\u00adma"),
    "case": ("LEFT arm", "Left Arm"),
    "normalization": ("e\u0301tat", "\u00e9tat"),
    "ligature": ("fibrosis", "\ufb01brosis"),
    "quotes and dashes": ("Crohn's 5-10", "Crohn\u2019s 5\u201310"),
    "quoted": ('"left arm"', "left arm"),
    "escaped for XML": ("&lt;5 mg", "<5 mg"),
    "lost in an encoding": ("caf?", "caf\u00e9"),
    "replaced by an encoding": ("caf\u00e9", "caf\ufffd"),
}
OTHER = {
    "another word": ("left arm", "left leg"),
    "shorter": ("left", "left arm"),
    "longer": ("left arm", "left"),
    "one letter on": ("asthma", "sthma "),
    "question mark for a letter": ("caf?", "cafe"),
    "all lost": ("??", "\u00e9\u00e9"),
    "empty": ("x", ""),
}


@pytest.mark.parametrize(("surface", "here"), SAME.values(), ids=SAME)
def test_harmless_differences(surface, here):
    text = f"ab {here} cd"
    assert is_at(fold(surface), ((3, 3 + len(here)),), text)


@pytest.mark.parametrize(("surface", "here"), OTHER.values(), ids=OTHER)
def test_other_words(surface, here):
    assert not is_at(fold(surface), ((3, 3 + len(here)),), f"ab {here} cd")


@pytest.mark.parametrize(
    ("surface", "here", "expected"),
    [
        ("no fever", "no fever\nnor cough", True),
        ("no fever", "no fever nor cough", False),
        ("no fever...", "no fever nor cough", True),
        ("8 mg\tcheck", "8 mg", True),
        ("8 mg\tcheck", "9 mg", False),
        ("a" * 40, "a" * 50, True),
        ("", "no fever", False),
    ],
)
def test_cut_short_or_with_a_comment(surface, here, expected):
    assert is_nearly_at(surface, ((2, 2 + len(here)),), f"x {here} y") is expected


def test_full_stops_at_the_end_are_no_cut_where_a_word_is_cut():
    assert is_nearly_at("her fever...", ((0, 15),), "her fever, high today")
    assert not is_nearly_at("her fever...", ((0, 13),), "her fever… edema")
    assert not is_nearly_at("her fever...", ((0, 12),), "her fever… a cough")


@pytest.mark.parametrize(
    ("surface", "here", "before", "expected"),
    [
        ("primary care unit", "intensive care unit", "the ", False),  # less than half
        ("first surveillance site", "other surveillance site", "the ", True),
        ("surveillance site", "other surveillance site", "the ", False),  # a boundary, no word
        ("first surveillance site", "other surveillance site", "an", False),  # cuts a word
    ],
)
def test_retyped(surface, here, before, expected):
    text = f"{before}{here}."
    assert is_retyped(surface, ((len(before), len(before) + len(here)),), text) is expected


@pytest.mark.parametrize(
    ("fragments", "expected"),
    [(((0, 4),), True), (((0, 3),), False), (((5, 8), (0, 4)), True), (((5, 9),), True),
     (((9, 10),), True), (((10, 11),), True), (((5, 90),), False)],
)  # fmt: skip
def test_whole_words(fragments, expected):
    assert is_whole(fragments, "left arm.\u7cd6\u5c3f x"[:12]) is expected


def test_occurrences():
    assert occurrences("no  no", "no no\nno", 9) == [(0, 5), (3, 8)]
    assert occurrences("no", "no no no", 2) == [(0, 2), (3, 5)]
    assert occurrences(" ", "a b", 9) == []


@pytest.mark.parametrize(
    ("surface", "place", "words"),
    [
        ("left arm", ((3, 11),), ["left arm"]),
        ("left leg", ((0, 4), (9, 12)), ["left", "leg"]),
        ("left leg", ((0, 4), (9, 11)), ["", ""]),
    ],
)
def test_words_of_fragments(surface, place, words):
    assert words_of(surface, place) == words
