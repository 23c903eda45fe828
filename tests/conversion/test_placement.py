"""Offsets on tokens, the flat choice, and what becomes of each entity, as truth tables."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_btl.conversion.placement import (
    Policies,
    Tokens,
    align_to_tokens,
    choose_flat,
    is_aligned,
    place_entities,
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
    ("policy", "one", "two", "equal"),
    [
        ("envelope", ((3, 5),), ((0, 9),), ((0, 9),)),
        ("longest-fragment", ((3, 5),), ((4, 9),), ((0, 2),)),
        ("split", ((3, 5),), ((0, 2), (4, 9)), ((0, 2), (7, 9))),
        ("drop", ((3, 5),), (), ()),
    ],
)
def test_discontinuous_entity_becomes_contiguous(policy, one, two, equal):
    assert resolve_fragments(((3, 5),), policy) == one
    assert resolve_fragments(((0, 2), (4, 9)), policy) == two
    assert resolve_fragments(((0, 2), (7, 9)), policy) == equal


#        0123456789
WORDS = "ab cd  efg"
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
        (((0, 2),), True),
        (((0, 5),), True),
        (
            (
                (0, 2),
                (7, 10),
            ),
            True,
        ),
        (((2, 6),), True),  # white space at its ends
        (((5, 7),), True),  # nothing else
        (((0, 1),), False),
        (((4, 5),), False),
        (
            (
                (0, 2),
                (7, 9),
            ),
            False,
        ),
        (((7, 99),), False),
    ],
)
def test_is_aligned(fragments, expected):
    assert is_aligned(WORDS, fragments, set(STARTS), set(ENDS)) is expected


COUNTS = {"common": 10, "rare": 2, "rarer": 1}
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
    assert {p: choose_flat(spans, p, COUNTS) for p in by_policy} == by_policy


UNKNOWN = [
    # what is asked for                     what the error says
    (lambda: Policies(overlap="widest"), "overlap is 'widest', but must be one of rarest, longest"),
    (
        lambda: Policies(discontinuous="longest_fragment"),
        "discontinuous is 'longest_fragment', but must be one of envelope, longest-fragment, split",
    ),
    (lambda: Policies(alignment="Expand"), "alignment is 'Expand', but must be one of expand, con"),
    (lambda: Policies(None), "overlap is None"),
    (lambda: choose_flat([], "widest", {}), "overlap is 'widest'"),
    (lambda: resolve_fragments(((0, 1), (2, 3)), "join"), "discontinuous is 'join'"),
    (lambda: resolve_fragments(((0, 1),), "join"), "discontinuous is 'join'"),
    (lambda: align_to_tokens(0, 1, [0], [1], "grow"), "alignment is 'grow'"),
]


@pytest.mark.parametrize(("ask", "message"), UNKNOWN, ids=[u[1] for u in UNKNOWN])
def test_unknown_policies_are_refused_and_lose_nothing(ask, message):
    with pytest.raises(ValueError, match=message):
        ask()


SPANS = st.lists(
    st.tuples(st.integers(0, 9), st.integers(1, 5), st.sampled_from(["common", "rare"])).map(
        lambda span: (span[0], span[0] + span[1], span[2])
    )
)


@given(SPANS, st.sampled_from(["longest", "shortest", "rarest", "first"]))
def test_choice_is_flat_and_every_loser_names_a_winner_it_overlaps(spans, policy):
    lost_to = choose_flat(spans, policy, COUNTS)
    pairs = list(zip(spans, lost_to, strict=True))
    taken = [t for span, other in pairs if other is None for t in range(*span[:2])]
    assert len(taken) == len(set(taken))
    for span, other in pairs:
        if other is not None:
            assert lost_to[other] is None
            assert set(range(*span[:2])) & set(range(*spans[other][:2]))


# -- entities of a document -----------------------------------------------------------------------

#        0         1         2
#        0123456789012345678901234567
TEXT = "left and right arm  in pain."
FREQUENCY = {"Common": 9, "Rare": 1}


def tokens(text):
    """Return words, full stops, and white space except single blanks as tokens, as in spaCy."""
    found = list(re.finditer(r"\w+|[^\w\s]|(?<=\s)\s+", text))
    words = [(i, m) for i, m in enumerate(found) if not m[0].isspace()]
    return Tokens([i for i, _ in words], [m.start() for _, m in words], [m.end() for _, m in words])


def place(*entities, text=TEXT, overlap="rarest", discontinuous="envelope", alignment="expand"):
    policies = Policies(overlap, discontinuous, alignment)
    entities = [(label, tuple(fragments)) for label, fragments in entities]
    return place_entities(entities, text, tokens(text), policies, FREQUENCY)


# Tokens: 0 left, 1 and, 2 right, 3 arm, 4 a blank, 5 in, 6 pain, 7 the full stop.
ALONE = [
    # fragments, policies, status, reason, spans
    ([(0, 4)], {}, "kept", "", [(0, 1)]),
    ([(15, 22)], {}, "kept", "", [(3, 6)]),
    ([(4, 9)], {}, "moved", "white space at its ends", [(1, 2)]),
    ([(18, 22)], {}, "moved", "white space at its ends", [(5, 6)]),
    ([(1, 4)], {}, "moved", "cuts a token", [(0, 1)]),
    ([(1, 8)], {"alignment": "contract"}, "moved", "cuts a token", [(1, 2)]),
    ([(16, 22)], {"alignment": "contract"}, "moved", "cuts a token", [(5, 6)]),
    ([(1, 4)], {"alignment": "contract"}, "dropped", "cuts a token", []),
    ([(1, 8)], {"alignment": "strict"}, "dropped", "cuts a token", []),
    ([(0, 8)], {"alignment": "strict"}, "kept", "", [(0, 2)]),
    ([(18, 20)], {}, "dropped", "white space only", []),
    ([(20, 29)], {}, "dropped", "offsets outside the text", []),
    ([(0, 4), (20, 29)], {}, "dropped", "offsets outside the text", []),
    ([(4, 4)], {}, "dropped", "ends where it starts, or before", []),
    ([(9, 4)], {}, "dropped", "ends where it starts, or before", []),
    ([(0, 4), (15, 18)], {}, "moved", "discontinuous", [(0, 4)]),
    ([(0, 4), (9, 14)], {"discontinuous": "longest-fragment"}, "moved", "discontinuous", [(2, 3)]),
    ([(0, 4), (15, 18)], {"discontinuous": "split"}, "moved", "discontinuous", [(0, 1), (3, 4)]),
    ([(0, 4), (15, 18)], {"discontinuous": "drop"}, "dropped", "discontinuous", []),
    ([(0, 2), (3, 4)], {"discontinuous": "split"}, "moved", "discontinuous", [(0, 1)]),
    ([(0, 6), (3, 4)], {"discontinuous": "split"}, "moved", "discontinuous", [(0, 2)]),
    ([(0, 4), (18, 20)], {"discontinuous": "drop"}, "moved", "discontinuous", [(0, 1)]),
    (
        [(0, 4), (16, 17)],
        {"discontinuous": "split", "alignment": "contract"},
        "moved",
        "discontinuous",
        [(0, 1)],
    ),
]


@pytest.mark.parametrize(("fragments", "policies", "status", "reason", "spans"), ALONE)
def test_entity_alone(fragments, policies, status, reason, spans):
    (placed,) = place(("Rare", fragments), **policies)
    assert (placed.status, placed.reason, list(placed.spans)) == (status, reason, spans)
    assert placed.chosen == placed.spans
    assert placed.by is None


TOGETHER = {
    # entities, policies, (status, reason, by) of each
    "nested": (
        [("Common", [(0, 8)]), ("Rare", [(0, 4)])],
        {},
        [("flattened", "overlaps another entity", 1), ("kept", "", None)],
    ),
    "nested, longest": (
        [("Common", [(0, 8)]), ("Rare", [(0, 4)])],
        {"overlap": "longest"},
        [("kept", "", None), ("flattened", "overlaps another entity", 0)],
    ),
    "same tokens": (
        [("Common", [(0, 4)]), ("Rare", [(0, 4)])],
        {},
        [("flattened", "another label on the same tokens", 1), ("kept", "", None)],
    ),
    "same tokens by expansion": (
        [("Common", [(1, 4)]), ("Rare", [(0, 4)])],
        {},
        [("flattened", "another label on the same tokens", 1), ("kept", "", None)],
    ),
    "twice": (
        [("Rare", [(0, 4)]), ("Rare", [(0, 4)])],
        {},
        [("kept", "", None), ("flattened", "the same entity again", 0)],
    ),
    "an envelope over another": (
        [("Common", [(0, 4), (15, 18)]), ("Rare", [(9, 14)])],
        {},
        [("flattened", "overlaps another entity", 1), ("kept", "", None)],
    ),
    "fragments around another": (
        [("Common", [(0, 4), (15, 18)]), ("Rare", [(9, 14)])],
        {"discontinuous": "split"},
        [("moved", "discontinuous", None), ("kept", "", None)],
    ),
    "one of two fragments is lost": (
        [("Common", [(0, 4), (15, 18)]), ("Rare", [(15, 18)])],
        {"discontinuous": "split"},
        [("moved", "a fragment of it overlaps another entity", 1), ("kept", "", None)],
    ),
    "both fragments are lost": (
        [("Common", [(0, 4), (15, 18)]), ("Rare", [(0, 18)])],
        {"discontinuous": "split"},
        [("flattened", "overlaps another entity", 1), ("kept", "", None)],
    ),
    "beside one that is dropped": (
        [("Rare", [(0, 99)]), ("Common", [(0, 4)]), ("Common", [(0, 4)])],
        {},
        [
            ("dropped", "offsets outside the text", None),
            ("kept", "", None),
            ("flattened", "the same entity again", 1),
        ],
    ),
}


@pytest.mark.parametrize(("entities", "policies", "expected"), TOGETHER.values(), ids=TOGETHER)
def test_entities_together(entities, policies, expected):
    assert [(p.status, p.reason, p.by) for p in place(*entities, **policies)] == expected


ENTITIES = st.lists(
    st.tuples(
        st.sampled_from(["Common", "Rare"]),
        st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=3).map(
            sorted
        ),
    ),
    max_size=8,
)


@given(
    ENTITIES,
    st.sampled_from(["longest", "shortest", "rarest", "first"]),
    st.sampled_from(["envelope", "longest-fragment", "split", "drop"]),
    st.sampled_from(["expand", "contract", "strict"]),
)
def test_every_entity_has_one_fate_and_the_choice_is_flat(entities, overlap, several, alignment):
    placed = place(*entities, overlap=overlap, discontinuous=several, alignment=alignment)
    assert len(placed) == len(entities)
    taken = [token for p in placed for span in p.chosen for token in range(*span)]
    assert len(taken) == len(set(taken))
    assert 4 not in [edge for p in placed for start, end in p.spans for edge in (start, end - 1)]
    for p in placed:
        assert bool(p.chosen) == (p.status in ("kept", "moved"))
        assert bool(p.spans) == (p.status != "dropped")
        assert bool(p.reason) == (p.status != "kept")
        assert (p.status != "flattened") or placed[p.by].chosen
