import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_btl.data.placement import (
    align_to_tokens,
    choose_flat,
    is_aligned,
    resolve_fragments,
    trim,
)


@pytest.mark.parametrize(
    ("text", "offsets", "expected"),
    [
        ("ab", (0, 2), (0, 2)),
        (" ab ", (0, 4), (1, 3)),
        ("\u2009a\n", (0, 3), (1, 2)),
        ("a b", (0, 3), (0, 3)),
        ("   ", (0, 3), (3, 3)),
        ("ab", (1, 1), (1, 1)),
    ],
)
def test_trim(text, offsets, expected):
    assert trim(text, *offsets) == expected


@pytest.mark.parametrize(
    ("policy", "one", "two", "out_of_order", "equal"),
    [
        ("envelope", [(3, 5)], [(0, 9)], [(0, 9)], [(0, 9)]),
        ("longest-fragment", [(3, 5)], [(4, 9)], [(4, 9)], [(0, 2)]),
        ("split", [(3, 5)], [(0, 2), (4, 9)], [(0, 2), (4, 9)], [(0, 2), (7, 9)]),
        ("drop", [(3, 5)], [], [], []),
    ],
)
def test_discontinuous_entity_becomes_contiguous(policy, one, two, out_of_order, equal):
    assert resolve_fragments([(3, 5)], policy) == one
    assert resolve_fragments([(0, 2), (4, 9)], policy) == two
    assert resolve_fragments([(4, 9), (0, 2)], policy) == out_of_order
    assert resolve_fragments([(0, 2), (7, 9)], policy) == equal


#        0123456789
TEXT = "ab cd  efg"
STARTS, ENDS = [0, 3, 7], [2, 5, 10]


@pytest.mark.parametrize(
    ("offsets", "expand", "contract", "strict"),
    [
        ((0, 2), (0, 1), (0, 1), (0, 1)),
        ((0, 5), (0, 2), (0, 2), (0, 2)),
        ((0, 10), (0, 3), (0, 3), (0, 3)),
        ((1, 5), (0, 2), (1, 2), None),
        ((0, 4), (0, 2), (0, 1), None),
        ((1, 4), (0, 2), None, None),
        ((1, 9), (0, 3), (1, 2), None),
        ((8, 9), (2, 3), None, None),
        ((5, 7), None, None, None),  # between the tokens
        ((4, 4), None, None, None),
        ((4, 3), None, None, None),
    ],
)
def test_offsets_on_tokens(offsets, expand, contract, strict):
    found = [align_to_tokens(*offsets, STARTS, ENDS, p) for p in ("expand", "contract", "strict")]
    assert found == [expand, contract, strict]


@pytest.mark.parametrize(
    ("fragments", "expected"),
    [
        ([(0, 2)], True),
        ([(0, 5)], True),
        ([(0, 2), (7, 10)], True),
        ([(2, 6)], True),  # white space at its ends
        ([(5, 7)], True),  # nothing else
        ([(0, 1)], False),
        ([(4, 5)], False),
        ([(0, 2), (7, 9)], False),
        ([(7, 99)], False),
    ],
)
def test_is_aligned(fragments, expected):
    assert is_aligned(TEXT, fragments, set(STARTS), set(ENDS)) is expected


FREQUENCY = {"common": 10, "rare": 2, "rarer": 1}
WHO_WINS = {
    # spans; index of the winner (None) or of the one lost to, by policy
    "apart": (
        [(0, 1, "rare"), (1, 2, "rare")],
        {"longest": [None, None], "shortest": [None, None], "rarest": [None, None]},
    ),
    "nested": (
        [(0, 3, "common"), (1, 2, "rare")],
        {"longest": [None, 0], "shortest": [1, None], "rarest": [1, None], "first": [None, 0]},
    ),
    "same tokens": (
        [(0, 2, "common"), (0, 2, "rare")],
        {"longest": [None, 0], "shortest": [None, 0], "rarest": [1, None], "first": [None, 0]},
    ),
    "crossing, the longer one later": (
        [(0, 2, "rare"), (1, 4, "rare")],
        {"longest": [1, None], "shortest": [None, 0], "rarest": [1, None], "first": [None, 0]},
    ),
    "equal but for the place": (
        [(1, 3, "rare"), (0, 2, "rare")],
        {"longest": [1, None], "shortest": [1, None], "rarest": [1, None], "first": [None, 0]},
    ),
    "chain": (
        [(0, 2, "common"), (1, 3, "rare"), (2, 5, "common")],
        {
            "longest": [None, 0, None],
            "shortest": [None, 0, None],
            "rarest": [1, None, 1],
            "first": [None, 0, None],
        },
    ),
    "a label that is nowhere counted": (
        [(0, 3, "rarer"), (1, 2, "new")],
        {"rarest": [1, None]},
    ),
    "none": ([], {"longest": []}),
}


@pytest.mark.parametrize(("spans", "by_policy"), WHO_WINS.values(), ids=WHO_WINS)
def test_flat_choice(spans, by_policy):
    assert {p: choose_flat(spans, p, FREQUENCY) for p in by_policy} == by_policy


def test_unknown_policy_is_refused():
    with pytest.raises(ValueError, match='"widest" is no policy'):
        choose_flat([], "widest", {})


SPANS = st.lists(
    st.tuples(st.integers(0, 9), st.integers(1, 5), st.sampled_from(["common", "rare"])).map(
        lambda span: (span[0], span[0] + span[1], span[2])
    )
)


@given(SPANS, st.sampled_from(["longest", "shortest", "rarest", "first"]))
def test_choice_is_flat_and_every_loser_names_a_winner_it_overlaps(spans, policy):
    lost_to = choose_flat(spans, policy, FREQUENCY)
    pairs = list(zip(spans, lost_to, strict=True))
    taken = [t for span, other in pairs if other is None for t in range(*span[:2])]
    assert len(taken) == len(set(taken))
    for span, other in pairs:
        if other is not None:
            assert lost_to[other] is None
            assert set(range(*span[:2])) & set(range(*spans[other][:2]))
