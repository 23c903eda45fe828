"""Scores of stored counts, by name."""

import json

import numpy as np
import pytest

from spacy_btl.scoring.counts import document_counts
from spacy_btl.scoring.scores import FIGURES
from spacy_btl.scoring.summary import compare_systems, score_documents, score_intervals


def documents(seed, share=0.6, n=12):
    """Return counts of documents in which about this share of the entities is found."""
    rng = np.random.default_rng(seed)
    tokens = [(4 * i, 4 * i + 3) for i in range(40)]
    counts = []
    for number in range(n):
        at = np.random.default_rng(number).permutation(40)[:8]  # the same for all seeds
        gold = [("ABCD"[i % 4], (tokens[i],)) for i in at]
        found = [(label if rng.random() < share else "B", place) for label, place in gold]
        found = [entity for entity in found if rng.random() < 0.8]
        counts.append(document_counts(gold, [*found, ("E", (tokens[0],))], tokens))
    return counts


def test_all_is_json():
    first, second = documents(0), documents(1)
    for value in (score_documents(first), score_intervals(first), compare_systems(first, second)):
        assert json.loads(json.dumps(value, allow_nan=False)) == value


def test_scores_of_what_was_stored():
    stored = json.loads(json.dumps(documents(0)))
    assert score_documents(stored) == score_documents(documents(0))
    assert set(score_documents(stored)) == {*FIGURES, "ents_per_type"}


def test_every_score_has_an_interval_that_holds_it():
    counts = documents(2, n=30)
    scores, intervals = score_documents(counts), score_intervals(counts)
    assert set(intervals) == {*FIGURES, "ents_per_type"}
    for key in FIGURES:
        low, high = intervals[key]
        assert low <= scores[key] <= high
    assert set(intervals["ents_per_type"]) == set("ABCD")  # E has no gold
    for label, rows in intervals["ents_per_type"].items():
        for key, (low, high) in rows.items():
            assert low <= scores["ents_per_type"][label][key] <= high


@pytest.mark.parametrize(
    "counts",
    [[], [document_counts([], [], [(0, 3)])], [document_counts([], [("A", ((0, 3),))], [])]],
)
def test_no_interval_without_gold(counts):
    assert score_intervals(counts) == {}


def test_only_what_is_defined_has_an_interval():
    """Entities without any token: there are span scores, and no token scores."""
    intervals = score_intervals([document_counts([("A", ((0, 3),))], [], [])])
    assert intervals["ents_f"] == [0, 0]
    assert not [key for key in intervals if key.startswith("token")]


def test_comparison():
    first, second = documents(0, share=0.9), documents(1, share=0.3)
    outcome = compare_systems(first, second, samples=500)
    scores = score_documents(first), score_documents(second)
    assert list(outcome) == [*FIGURES, "ents_per_type"]
    for key in FIGURES:
        row = outcome[key]
        assert (row["first"], row["second"]) == (scores[0][key], scores[1][key])
        assert row["difference"] == pytest.approx(row["first"] - row["second"])
        assert row["interval"][0] <= row["difference"] <= row["interval"][1]
    assert outcome["ents_f"]["p"] < 0.05
    assert outcome["ents_f"]["effect"] > 0.5
    # Bounds are equally good in both.
    assert outcome["ents_exact_f"]["p"] > 0.05


def test_comparison_by_type():
    first, second = documents(0, share=0.9), documents(1, share=0.3)
    by_type = compare_systems(first, second, samples=500)["ents_per_type"]
    assert list(by_type) == list("ABCD")
    rows = score_documents(first)["ents_per_type"]
    assert [by_type[label]["first"] for label in "ABCD"] == [rows[label]["f"] for label in "ABCD"]
    for row in by_type.values():
        assert row["p"] <= row["p_holm"] <= min(4 * row["p"], 1)


def test_the_other_way_round():
    first, second = documents(0), documents(1)
    one, other = compare_systems(first, second), compare_systems(second, first)
    for key in FIGURES:
        assert one[key]["difference"] == pytest.approx(-other[key]["difference"])
        assert one[key]["p"] == pytest.approx(other[key]["p"], abs=0.02)
        low, high = one[key]["interval"]
        assert other[key]["interval"] == pytest.approx([-high, -low])


def test_other_documents_cannot_be_compared():
    with pytest.raises(ValueError, match="12 and 11 documents cannot be compared"):
        compare_systems(documents(0), documents(0, n=11))
