import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_btl.data.placement import Policies, Tokens, place_entities

#        0         1         2
#        0123456789012345678901234567
TEXT = "left and right arm  in pain."
FREQUENCY = {"Common": 9, "Rare": 1}


def tokens(text):
    """Words, full stops and white space but for single blanks are tokens, as in spaCy."""
    found = list(re.finditer(r"\w+|[^\w\s]|(?<=\s)\s+", text))
    words = [(i, m) for i, m in enumerate(found) if not m[0].isspace()]
    return Tokens([i for i, _ in words], [m.start() for _, m in words], [m.end() for _, m in words])


def place(*entities, text=TEXT, overlap="rarest", discontinuous="envelope", alignment="expand"):
    policies = Policies(overlap, discontinuous, alignment)
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
