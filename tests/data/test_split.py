"""Documents are split so that each part has the rare types."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_btl.data.split import parse_shares, split_documents

SHARES = (0.8, 0.1, 0.1)


@pytest.mark.parametrize("text", ["0.8,0.1,0.1", " 0.8, 0.1,0.1 "])
def test_shares(text):
    assert parse_shares(text) == (0.8, 0.1, 0.1)


@pytest.mark.parametrize("text", ["", "0.8", "0.8,0.2", "a,b,c", "0.7,0.1,0.1,0.1", "0.8;0.1;0.1"])
def test_a_text_that_is_no_shares_is_refused(text):
    with pytest.raises(ValueError, match=r"must be three shares such as 0\.8,0\.1,0\.1"):
        parse_shares(text)


def corpus(**documents):
    """Documents by name, their types as letters."""
    return {name: list(types) for name, types in documents.items()}


def gaps(parts, types):
    """Types and parts where a type with as many documents as parts does not stand in the part."""
    labels = sorted({label for found in types.values() for label in found})
    frequent = [t for t in labels if sum(t in found for found in types.values()) >= len(parts)]
    return [
        (label, i)
        for label in frequent
        for i, part in enumerate(parts)
        if not any(label in types[name] for name in part)
    ]


@pytest.mark.parametrize(
    ("n", "shares", "sizes"),
    [
        (10, (0.8, 0.1, 0.1), (8, 1, 1)),
        (160, (0.8, 0.1, 0.1), (128, 16, 16)),
        (3, (0.8, 0.1, 0.1), (1, 1, 1)),
        (4, (0.8, 0.1, 0.1), (2, 1, 1)),
        (2, (0.8, 0.1, 0.1), (1, 1, 0)),
        (0, (0.8, 0.1, 0.1), (0, 0, 0)),
        (7, (0.5, 0.5), (4, 3)),
        (5, (1.0,), (5,)),
    ],
)
def test_sizes_of_the_parts(n, shares, sizes):
    parts = split_documents({str(i): [] for i in range(n)}, shares, 0)
    assert tuple(map(len, parts)) == sizes


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(
    "types",
    [
        corpus(a="X", b="X", c="X", d="", e="", f="", g="", h="", i="", j=""),
        corpus(a="XY", b="XY", c="XY", d="X", e="X", f="X", g="X", h="X", i="X", j="X"),
        corpus(a="X", b="X", c="X", d="XZ", e="XZ", f="Z", g="", h="", i="", j=""),
        # Four types in three documents each, two parts of one: only documents with all four do.
        corpus(a="WXYZ", b="WXYZ", c="WXYZ", d="V", e="V", f="", g="", h="", i="", j=""),
    ],
    ids=["one rare type", "rare within frequent", "two that cross", "all in the same documents"],
)
def test_a_type_of_three_documents_stands_in_each_part(types, seed):
    assert gaps(split_documents(types, SHARES, seed), types) == []


def test_the_same_seed_gives_the_same_parts_in_any_order_of_documents():
    types = {str(i): ["X"] * (i % 3) + ["Y"] * (i % 5) for i in range(40)}
    parts = split_documents(types, SHARES, 0)
    assert split_documents(dict(reversed(types.items())), SHARES, 0) == parts
    assert split_documents(types, SHARES, 1) != parts


@pytest.mark.parametrize("shares", [(), (0.5, 0.4), (1.5, -0.5), (1.0, 0.0)])
def test_what_is_no_shares_is_refused(shares):
    with pytest.raises(ValueError, match="must be positive and sum to 1"):
        split_documents({"a": []}, shares, 0)


CORPORA = st.lists(st.sets(st.sampled_from("UVWXYZ")), max_size=25).map(
    lambda found: {f"{i:02}": sorted(types) for i, types in enumerate(found)}
)


@given(CORPORA, st.integers(0, 5))
def test_every_document_is_in_one_part_and_no_swap_would_fill_a_gap(types, seed):
    parts = split_documents(types, SHARES, seed)
    assert sorted(name for part in parts for name in part) == sorted(types)
    open_gaps = gaps(parts, types)
    for label, taker in open_gaps:
        for giver, part in enumerate(parts):
            for given_away in [name for name in part if label in types[name] and giver != taker]:
                for taken in parts[taker]:
                    swapped = [list(names) for names in parts]
                    swapped[giver][part.index(given_away)] = taken
                    swapped[taker][parts[taker].index(taken)] = given_away
                    assert len(gaps(swapped, types)) >= len(open_gaps)


@given(st.integers(0, 5))
def test_a_perfect_split_that_exists_is_found(seed):
    types = corpus(a="XY", b="X", c="Y", d="YZ", e="Z", f="XZ")
    shares = (0.5, 0.25, 0.25)
    sizes = [len(part) for part in split_documents(types, shares, seed)]
    cuts = sizes[0], sizes[0] + sizes[1]
    exists = any(
        not gaps([p[: cuts[0]], p[cuts[0] : cuts[1]], p[cuts[1] :]], types)
        for p in permutations(types)
    )
    assert not exists or gaps(split_documents(types, shares, seed), types) == []
