import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_btl.offsets import Counting
from spacy_btl.offsets.counting import known_countings

E = "\u00e9"  # one character in NFC
ACUTE = "e\u0301"  # two in NFD
SMILE = "\U0001f600"

POSITIONS = {
    # name, text, the offset of each character and of the end
    "ascii": ("bytes", "ab", [0, 1, 2]),
    "utf16": ("utf16", f"a{SMILE}b", [0, 1, 3, 4]),
    "bytes": ("bytes", f"{E}{SMILE}b", [0, 2, 6, 7]),
    "one for a CRLF": ("crlf-as-one", "a\r\nb\rc\nd", [0, 1, 1, 2, 3, 4, 5, 6, 7]),
    "two for an LF": ("crlf-as-two", "a\r\nb\nc", [0, 1, 2, 3, 4, 6, 7]),
    "nfd of an nfc text": ("nfd", f"{E}b", [0, 2, 3]),
    "nfc of an nfd text": ("nfc", f"{ACUTE}b", [0, 0, 1, 2]),
    "bytes of nfd": ("bytes+nfd", f"{E}b", [0, 3, 4]),
    "Hangul": ("nfc", "\u1112\u1161\u11ab.", [0, 0, 0, 1, 2]),
    "bytes and line ends": ("bytes+crlf-as-one", f"{E}\r\nb", [0, 2, 2, 3, 4]),
    "empty": ("utf16+nfd", "", [0]),
}


@pytest.mark.parametrize(("name", "text", "positions"), POSITIONS.values(), ids=POSITIONS)
def test_positions(name, text, positions):
    assert list(Counting.parse(name).positions(text)) == positions


CORRECT = {
    "in characters": ("characters", "abcd", (1, 3), (1, 3)),
    "from 1": ("shift:-1", "abcd", (2, 4), (1, 3)),
    "end included": ("end-included", "abcd", (1, 2), (1, 3)),
    "from 1, end included": ("shift:-1+end-included", "abcd", (2, 3), (1, 3)),
    "after a CRLF": ("crlf-as-one", "a\r\nbc", (2, 4), (3, 5)),
    "up to a CRLF": ("crlf-as-one", "a\r\nbc", (0, 1), (0, 1)),
    "inside of a character": ("bytes", f"a{SMILE}b", (2, 3), (1, 2)),
    "outside": ("utf16", f"{SMILE}a", (2, 9), (1, 8)),
    "before the text": ("shift:-3", "abcd", (1, 3), (-2, 0)),
}


@pytest.mark.parametrize(("name", "text", "written", "place"), CORRECT.values(), ids=CORRECT)
def test_correct(name, text, written, place):
    counting = Counting.parse(name)
    assert counting.correct((written,), counting.positions(text)) == (place,)


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("characters", "characters"),
        ("utf16", "utf16"),
        ("crlf-as-one+utf16", "utf16+crlf-as-one"),
        ("characters+nfd", "nfd"),
        ("end-included+shift:3+bytes", "bytes+shift:3+end-included"),
    ],
)
def test_a_name_in_any_order(name, written):
    assert str(Counting.parse(name)) == written


@pytest.mark.parametrize(
    "name", ["", "auto", "utf8", "utf16+bytes", "shift:", "shift:1+shift:2", "utf16 + nfc", "UTF16"]
)
def test_a_name_of_nothing(name):
    with pytest.raises(ValueError, match="must be auto, unchecked, or some of characters"):
        Counting.parse(name)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", []),
        ("plain", []),
        ("a\r\nb", ["crlf-as-one"]),
        ("a\nb", ["crlf-as-two"]),
        (f"{SMILE}", ["bytes", "utf16"]),
        (f"{E}\n", ["bytes", "bytes+crlf-as-two", "bytes+crlf-as-two+nfd", "bytes+nfd",
                    "crlf-as-two", "crlf-as-two+nfd", "nfd"]),
    ],
)  # fmt: skip
def test_only_ways_of_counting_that_make_a_difference(text, names):
    assert sorted(map(str, known_countings(text))) == names


@given(st.text(st.sampled_from(["a", " ", "\r", "\n", E, "\u0301", SMILE, "\u7cd6"])), st.data())
def test_every_place_is_found_again(text, data):
    """Offsets of whole pieces come back; what normalization joins is one piece."""
    counting = data.draw(st.sampled_from([Counting(), *known_countings(text)]))
    positions = list(counting.positions(text))
    assert len(positions) == len(text) + 1
    first = [i for i, at in enumerate(positions) if at not in positions[:i]]
    start, end = sorted(data.draw(st.tuples(st.sampled_from(first), st.sampled_from(first))))
    written = ((positions[start], positions[end]),)
    assert counting.correct(written, positions) == ((start, end),)
