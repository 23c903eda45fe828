"""Standoffs, surface texts and fragments."""

import pytest

from spacy_btl import brat


def test_lookup_by_id():
    standoff = brat.loads("T1\tX 0 1\ta\nT1\tY 0 1\ta\n*\tEquiv T1 T1\nE1\tX:T1\nT7\tbad\n\n")
    assert standoff.get("T1") is standoff.records[0]
    assert standoff.get("E1") is standoff.records[3]
    assert standoff.get("T7") is standoff.records[4]
    assert [standoff.get(absent) for absent in ("T2", "*", "")] == [None] * 3


@pytest.mark.parametrize(
    ("fragments", "text", "joined"),
    [
        ((), "", ()),
        (((0, 1),), "a", ((0, 1),)),
        (((0, 1), (2, 3)), "a\nb", ((0, 3),)),
        (((0, 1), (3, 4)), "a\r\nb", ((0, 4),)),
        (((0, 1), (4, 5)), "a \n\u2005b", ((0, 5),)),
        (((0, 1), (2, 3)), "a b", ((0, 1), (2, 3))),
        (((0, 1), (4, 5)), "a\nx\nb", ((0, 1), (4, 5))),
        (((2, 3), (0, 1)), "a\nb", ((0, 3),)),
        (((4, 5), (0, 1)), "a or b", ((0, 1), (4, 5))),
        (((0, 1), (2, 3), (4, 5), (6, 7)), "a\nb\nc d", ((0, 5), (6, 7))),
        (((0, 2), (2, 4)), "a\n\nb", ((0, 2), (2, 4))),
        (((0, 3), (1, 2)), "abc", ((0, 3), (1, 2))),
    ],
)
def test_fragments_are_sorted_and_joined_over_line_breaks(fragments, text, joined):
    assert brat.join_fragments(fragments, text) == joined


@pytest.mark.parametrize(
    ("fragments", "surface"),
    [
        ((), ""),
        (((0, 4),), "left"),
        (((0, 4), (10, 13)), "left and"),
        (((5, 13),), "arm and"),
        (((5, 99),), "arm and leg"),
    ],
)
def test_surface_text(fragments, surface):
    text = "left arm\r\nand leg"
    assert brat.surface_text(fragments, text) == surface
    entity = brat.Entity("T1", "X", fragments, surface)
    assert brat.surface_agreement(entity, text) == (len(surface), True)


@pytest.mark.parametrize(
    ("surface", "agree"), [("left leg", 5), ("lef", 3), ("left arms", 8), ("right arm", 0)]
)
def test_surface_text_that_differs(surface, agree):
    entity = brat.Entity("T1", "X", ((0, 8),), surface)
    assert brat.surface_agreement(entity, "left arm\r\nand leg") == (agree, False)
