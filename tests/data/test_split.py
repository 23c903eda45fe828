"""Documents are split so that each part has the rare types."""

import json
from hashlib import sha256
from itertools import permutations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_btl.data.split import join_sets, keep_parts, parse_shares, split_documents

SHARES = (0.8, 0.1, 0.1)


@pytest.mark.parametrize("text", ["0.8,0.1,0.1", " 0.8, 0.1,0.1 "])
def test_shares(text):
    assert parse_shares(text) == (0.8, 0.1, 0.1)


@pytest.mark.parametrize("text", ["", "0.8", "0.8,0.2", "a,b,c", "0.7,0.1,0.1,0.1", "0.8;0.1;0.1"])
def test_a_text_that_is_no_shares_is_refused(text):
    with pytest.raises(ValueError, match=r"must be three shares such as 0\.8,0\.1,0\.1"):
        parse_shares(text)


def corpus(**documents):
    """Return documents by name, their types as letters."""
    return {name: list(types) for name, types in documents.items()}


def gaps(parts, types):
    """Return types and parts without the type, though it has as many documents as parts."""
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


# -- the same as ever ------------------------------------------------------------------------------


def made_up(n):
    rng = Random(n)
    chances = [("A", 0.9), ("B", 0.5), ("C", 0.2), ("D", 0.08), ("E", 0.03)]
    return {
        f"case-{i:03}": [label for label, p in chances for _ in range(2) if rng.random() < p]
        for i in range(n)
    }


# First digits of the SHA-256 of the parts. Results that were published depend on them.
PUBLISHED = {
    (3, 0): "488d31d18ca4d708", (3, 1): "488d31d18ca4d708",
    (10, 0): "9b2516893c9d0e49", (10, 1): "f13f3a510d94c818",
    (37, 0): "e40bc155fc47c5a0", (37, 1): "af6fcc5c713eee56",
    (200, 0): "5a0e6e64e5805166", (200, 1): "c6fa9a37fc7cfc6b",
}  # fmt: skip


@pytest.mark.parametrize(("n", "seed"), PUBLISHED)
def test_without_groups_the_split_is_the_same_as_ever(n, seed):
    parts = split_documents(made_up(n), SHARES, seed)
    assert sha256(json.dumps(parts).encode()).hexdigest()[:16] == PUBLISHED[n, seed]
    # Sets of one document, and of names that are not there, change nothing.
    assert split_documents(made_up(n), SHARES, seed, [["case-000"], ["gone", "case-001"]]) == parts


# -- what stays together ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("together", "expected"),
    [
        ([], ["a", "b", "c", "d", "e"]),
        (["ab"], ["ab", "c", "d", "e"]),
        (["ac", "ce"], ["ace", "b", "d"]),
        (["ab", "cd", "bd"], ["abcd", "e"]),
        (["x", "xa", "", "dd"], ["a", "b", "c", "d", "e"]),
        (["eba"], ["abe", "c", "d"]),
    ],
)
def test_sets_with_a_name_in_common_are_joined(together, expected):
    assert join_sets("abcde", together) == [list(each) for each in expected]


SETS = st.lists(st.sets(st.sampled_from([f"{i:02}" for i in range(25)])), max_size=6)


@given(CORPORA, SETS, st.integers(0, 3))
def test_what_belongs_together_stays_together(types, together, seed):
    parts = split_documents(types, SHARES, seed, together)
    assert sorted(name for part in parts for name in part) == sorted(types)
    units = join_sets(sorted(types), together)
    for unit in units:
        assert sum(not set(unit).isdisjoint(part) for part in parts) == 1
    if len(units) >= len(parts):
        assert all(parts)
    largest = max(map(len, units), default=0)
    sizes = [len(part) for part in split_documents(dict.fromkeys(types, ()), SHARES, seed)]
    for part, size in zip(parts, sizes, strict=True):
        assert abs(len(part) - size) <= (0 if largest <= 1 else 2 * largest)
    assert split_documents(dict(reversed(types.items())), SHARES, seed, together[::-1]) == parts


@pytest.mark.parametrize(
    ("groups", "sizes"),
    [
        ([40, *[1] * 60], (80, 10, 10)),
        ([2] * 50, (80, 10, 10)),
        ([5] * 20, (80, 10, 10)),
        ([10] * 10, (80, 10, 10)),
        ([97, 1, 1, 1], (97, 2, 1)),
        ([50, 49, 1], (50, 49, 1)),
        ([30, 30, 20, 10, 10], (80, 10, 10)),
        ([7] * 14 + [2], (84, 9, 7)),
    ],
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_sizes_are_as_near_the_shares_as_groups_allow(groups, sizes, seed):
    together = [[f"{i}-{j}" for j in range(size)] for i, size in enumerate(groups)]
    types = {name: ["X"] for each in together for name in each}
    parts = split_documents(types, SHARES, seed, together)
    assert sorted(map(len, parts)) == sorted(sizes)
    assert len(parts[0]) == sizes[0]


@pytest.mark.parametrize("seed", range(10))
def test_rare_types_are_in_every_part_where_groups_allow_it(seed):
    together = [[f"{i}-{j}" for j in range(2 + i % 2)] for i in range(40)]
    types = {name: ["X"] for each in together for name in each}
    for i in (4, 17, 30):
        types[f"{i}-0"] = ["X", "RARE"]
    assert gaps(split_documents(types, SHARES, seed, together), types) == []


def test_a_dev_that_is_not_given_is_dealt_out_of_train():
    types = {f"{i:02}": ["X"] for i in range(20)}
    given_parts = {name: "test" if name < "02" else "train" for name in types}
    parts = keep_parts(types, given_parts, SHARES, 0, [["02", "03", "04"]])
    assert parts[2] == ["00", "01"]
    assert [len(part) for part in parts] == [16, 2, 2]
    assert len({"02", "03", "04"} & set(parts[0])) in (0, 3)
