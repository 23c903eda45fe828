"""Figures of two annotators, held to published tools on made-up cases, and their properties."""

import doctest
import json
import random
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

import spacy_btl.curation.agreement
from spacy_btl.brat import Fragments
from spacy_btl.conversion.reading import Reading
from spacy_btl.curation.agreement import (
    MEASURES,
    Agreement,
    agreement_of,
    cohen_kappa,
    compare_annotators,
)
from spacy_btl.curation.annotators import Annotations, Pair
from tests.helpers.annotators import ANNA, BEN, TEXT, agreement_on, two_folders, version

Entities = list[tuple[str, Fragments]]

WORDS = "aa bb cc dd ee ff gg hh ii jj"
"""Ten tokens of two characters."""


def flat(*entities: tuple[str, int, int]) -> Entities:
    """Return entities from their first word to the one after the last."""
    return [(label, ((3 * start, 3 * end - 1),)) for label, start, end in entities]


@pytest.fixture
def case(tmp_path: Path) -> Agreement:
    return compare_annotators(*two_folders(tmp_path))


def test_the_example_of_the_docstring() -> None:
    assert doctest.testmod(spacy_btl.curation.agreement).failed == 0


def test_bratiaa_agrees(case: Agreement) -> None:
    r"""Its F1Agreement of both evaluations, tokens being `re.finditer(r"\\w+|[^\\w\\s]", text)`.

    With pip install bratiaa==0.1.4 matplotlib, the two folders in one, and an annotation.conf of
    the four types: F1Agreement(partial(input_generator, folder), labels, eval_func=...,
    token_func=...).mean_sd_per_label() and .mean_sd_total().
    """
    strict = {"Dose": 0.0, "Drug": 0.0, "History": 0.0, "Problem": 0.66666667}
    token = {"Dose": 0.0, "Drug": 0.4, "History": 0.85714286, "Problem": 0.83333333}
    assert case.overall.strict == pytest.approx(0.4)
    assert case.overall.token == pytest.approx(0.6923076923076923)
    assert {label: own.strict for label, own in case.by_type.items()} == pytest.approx(strict)
    assert {label: own.token for label, own in case.by_type.items()} == pytest.approx(token)


def test_the_other_figures_of_this_case(case: Agreement) -> None:
    overall = case.overall
    assert (overall.a, overall.b, overall.agreed) == (8, 7, 3)
    assert (overall.found_by_b, overall.found_by_a) == (3 / 8, 3 / 7)
    # of bounds that differ: asthma's history, the salbutamol, chest pain
    assert overall.partial == pytest.approx((3 + 3 / 2) * 2 / 15)
    assert overall.overlap == pytest.approx(6 * 2 / 15)
    # 5 mg has the same bounds in both
    assert case.any_type == pytest.approx({"exact": 4 * 2 / 15, "partial": 5.5 * 2 / 15})
    assert case.macro["strict"] == pytest.approx(2 / 3 / 4)
    assert [*case.by_type] == ["Problem", "Drug", "History", "Dose"]
    assert case.tokens == (25, 14)
    kinds = case.to_json()["kinds"]
    assert kinds == {
        "agreed": 3,
        "other type": 1,
        "other bounds": 3,
        "other type and bounds": 0,
        "only a": 1,
        "only b": 0,
    }
    assert case.to_json()["confusion"]["Dose"] == {"Drug": 1}


def random_sides(
    rng: random.Random, n_words: int = 10, labels: str = "ABC"
) -> tuple[Entities, Entities]:
    """Return flat entities of two annotators who often agree."""
    sides: list[Entities] = []
    for _ in range(2):
        cuts = sorted(rng.sample(range(n_words + 1), 2 * rng.randrange(n_words // 2)))
        pairs = zip(cuts[::2], cuts[1::2], strict=True)
        sides.append(flat(*((rng.choice(labels), start, end) for start, end in pairs)))
    a, b = sides
    for label, fragments in a:
        free = not any(fragments[0][0] < e and s < fragments[0][1] for _, ((s, e),) in b)
        if free and rng.random() < 0.7:
            b.append((label, fragments))
    return a, sorted(b, key=lambda each: each[1])


@pytest.mark.parametrize("seed", range(30))
def test_nervaluate_agrees(seed: int) -> None:
    """Strict, exact and partial; its matching by type depends on the order (see test_matching)."""
    evaluator = pytest.importorskip("nervaluate").Evaluator
    a, b = random_sides(random.Random(seed))
    if not a and not b:
        return
    documents = [
        [[{"label": label, "start": at[0][0], "end": at[0][1] - 1} for label, at in each]]
        for each in (a, b)
    ]
    theirs = evaluator(*documents, tags=["A", "B", "C"], loader="dict").evaluate()["overall"]
    ours = agreement_on(WORDS, a, b)
    assert ours.overall.strict == pytest.approx(theirs["strict"].f1)
    assert ours.any_type["exact"] == pytest.approx(theirs["exact"].f1)
    assert ours.any_type["partial"] == pytest.approx(theirs["partial"].f1)
    assert (ours.overall.found_by_b or 0.0) == pytest.approx(theirs["strict"].recall)
    assert (ours.overall.found_by_a or 0.0) == pytest.approx(theirs["strict"].precision)


@pytest.mark.parametrize("seed", range(30))
def test_scikit_learn_agrees_on_kappa(seed: int) -> None:
    """Kappa of all tokens, of those that one has marked, and of each type."""
    a, b = random_sides(random.Random(seed))
    ours = agreement_on(WORDS, a, b)
    tags = []
    for side in (a, b):
        own = ["O"] * 10
        for label, ((start, end),) in side:
            own[start // 3 : (end + 1) // 3] = [label] * ((end + 1 - start) // 3)
        tags.append(own)
    marked = [pair for pair in zip(*tags, strict=True) if set(pair) != {"O"}]
    assert ours.tokens == (10, len(marked))
    check_kappa(ours.overall.kappa, *tags)
    check_kappa(ours.kappa_marked, *map(list, zip(*marked, strict=True))) if marked else None
    for label, own in ours.by_type.items():
        check_kappa(own.kappa, *([tag == label for tag in side] for side in tags))


def check_kappa(ours: float | None, a: list[object], b: list[object]) -> None:
    if len({*a, *b}) < 2:  # theirs is NaN
        assert ours is None
    else:
        theirs = cohen_kappa_score([str(x) for x in a], [str(x) for x in b])
        assert ours == pytest.approx(theirs)


@pytest.mark.parametrize(
    ("pairs", "kappa"),
    [
        ({}, None),
        ({("a", "a"): 3}, None),
        ({("a", "b"): 3}, 0.0),
        ({("a", "a"): 1, ("b", "b"): 1}, 1.0),
        ({("a", "b"): 1, ("b", "a"): 1}, -1.0),
        ({("a", "a"): 1, ("b", "a"): 1}, 0.0),
    ],
)
def test_kappa(pairs: dict[tuple[str, str], int], kappa: float | None) -> None:
    assert cohen_kappa(pairs) == kappa


def entities() -> st.SearchStrategy[Entities]:
    """Return entities that may overlap, be discontinuous, and cut tokens."""
    bounds = st.lists(st.integers(0, 28), min_size=2, max_size=4, unique=True).map(sorted)

    def fragments(at: list[int]) -> Fragments:
        return tuple(zip(at[::2], at[1::2], strict=False))

    one = st.tuples(st.sampled_from("AB"), bounds.map(fragments))
    return st.lists(one, max_size=6, unique=True)


@settings(deadline=None, max_examples=40)
@given(entities())
def test_an_annotator_agrees_with_herself(own: Entities) -> None:
    found = agreement_on(WORDS, own, own)
    assert {match.kind for match in found.matches} <= {"correct"}
    expected = 1.0 if own else None
    assert {getattr(found.overall, measure) for measure in MEASURES[:3]} == {expected}
    assert found.overall.kappa in (1.0, None)
    assert found.kappa_marked in (1.0, None)
    assert {*found.macro.values()} <= {expected, None}  # None: white space is not a token


@settings(deadline=None, max_examples=40)
@given(entities(), entities())
def test_the_order_of_the_annotators_does_not_count(a: Entities, b: Entities) -> None:
    one, other = agreement_on(WORDS, a, b), agreement_on(WORDS, b, a)
    assert one.macro == pytest.approx(other.macro)
    assert one.any_type == other.any_type
    assert one.kappa_marked == pytest.approx(other.kappa_marked)
    assert one.by_type.keys() == other.by_type.keys()
    pairs = [(one.overall, other.overall)]
    pairs += [(own, other.by_type[label]) for label, own in one.by_type.items()]
    for figures, swapped in pairs:
        expected = swapped._replace(a=swapped.b, b=swapped.a)
        assert figures._asdict() == pytest.approx(expected._asdict())
        assert figures.found_by_b == swapped.found_by_a


@settings(deadline=None, max_examples=40)
@given(entities().filter(bool), st.randoms(use_true_random=False))
def test_leaving_out_entities_lowers_recall_only(own: Entities, rng: random.Random) -> None:
    fewer = rng.sample(own, rng.randrange(len(own)))
    found = agreement_on(WORDS, own, fewer).overall
    assert found.found_by_b == len(fewer) / len(own) < 1
    assert found.found_by_a == (1.0 if fewer else None)
    assert found.strict is not None and found.strict < 1


def test_figures_of_several_documents_are_those_of_their_sums(tmp_path: Path) -> None:
    rng = random.Random(0)
    pairs = [(f"d{i}", *random_sides(rng)) for i in range(6)]
    read = Annotations(
        ("a", "b"), [Pair(name, WORDS, version(a), version(b)) for name, a, b in pairs]
    )
    together = agreement_of(read)
    single = [agreement_on(WORDS, a, b) for _, a, b in pairs]
    for key in ("a", "b", "agreed"):
        assert getattr(together.overall, key) == sum(getattr(one.overall, key) for one in single)
    overall = together.overall
    assert overall.strict == pytest.approx(2 * overall.agreed / (overall.a + overall.b))
    assert [doc.strict for doc in together.documents] == [one.overall.strict for one in single]
    assert together.intervals.keys() == set(MEASURES)
    for measure, (low, high) in together.intervals.items():
        assert 0 <= low <= getattr(overall, measure) <= high <= 1
    counts = Counter(match.kind for one in single for match in one.matches)
    assert counts == Counter(match.kind for match in together.matches)


def test_tokens_in_several_entities_have_a_category_of_their_own() -> None:
    """The token's type among those of both annotators counts by type, not in kappa."""
    a = flat(("A", 0, 1), ("B", 0, 1), ("A", 4, 5))
    b = flat(("A", 0, 1), ("A", 4, 5))
    found = agreement_on(WORDS, a, b)
    tags = [["A+B", *"OOOA", *"OOOOO"], ["A", *"OOOA", *"OOOOO"]]
    assert found.overall.kappa == pytest.approx(cohen_kappa_score(*tags))
    assert found.by_type["A"].kappa == 1.0
    assert found.by_type["B"].kappa == 0.0


def test_nothing_marked_gives_no_figure() -> None:
    found = agreement_on(WORDS, [], [])
    assert found.overall[:8] == (0, 0, 0, None, None, None, None, None)
    assert found.macro == dict.fromkeys(MEASURES)
    assert found.kappa_marked is None
    assert "neither anna nor ben has marked an entity" in found.warnings()
    assert json.loads(json.dumps(found.to_json()))["overall"]["strict"] is None


def test_the_warnings_name_what_was_not_compared(tmp_path: Path) -> None:
    t1 = "T1\tProblem 26 32\tasthma\n"
    drug = "T2\tDrug 59 69\tsalbutamol\n"
    anna, ben = two_folders(
        tmp_path,
        {"x": (TEXT, t1 + drug), "edited": (TEXT, t1), "own": (TEXT, ""), "bad": (TEXT, t1)},
        {
            "x": (TEXT, t1 + "T2\tDrug x\ty\n"),
            "edited": ("Report. " + TEXT, t1.replace("26 32", "34 40")),
            "bad": ("Not this.", ""),
        },
    )
    warnings = compare_annotators(anna, ben).warnings()
    assert warnings[0] == "documents that only anna has: 1; own"
    assert warnings[1] == "documents of both that are not compared: 1"
    assert warnings[2].startswith("bad: the texts of anna and ben have too little in common")
    assert warnings[3].endswith("between anna and ben, now aligned: 1; edited")
    assert warnings[4] == "entities of ben that have no place, and are not compared: 1"
    assert warnings[5] == "x.ann:2 T2: its line cannot be read"
    assert warnings[6].startswith("types that only anna has: Drug 1. If ben was not asked")
    assert warnings[6].endswith("(--labels-b)")
    assert len(warnings) == 7
    asked = compare_annotators(anna, ben, reading_b=Reading(labels=["Problem"])).warnings()
    assert "not compared, as only anna was asked for them: Drug 1" in asked
    assert not any("types that only" in warning for warning in asked)


def test_the_json_has_no_text(case: Agreement) -> None:
    written = json.dumps(case.to_json())
    words = {word for word in TEXT.split() if len(word) > 4}
    assert len(words) > 5
    assert not [word for word in words if word in written]
    assert case.to_json()["by_document"]["case"]["strict"] == pytest.approx(0.4)


@pytest.mark.parametrize(("a", "b"), [*combinations([ANNA, BEN, ""], 2)])
def test_it_can_be_repeated(tmp_path: Path, a: str, b: str) -> None:
    folders = two_folders(
        tmp_path, {"x": (TEXT, a), "y": (TEXT, b)}, {"x": (TEXT, b), "y": (TEXT, a)}
    )
    first, second = (compare_annotators(*folders).to_json() for _ in range(2))
    assert first == second
    assert np.isfinite(first["overall"]["strict"])
