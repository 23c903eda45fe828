import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_btl.labels.thresholds import KEEP_ALL, KEEP_NONE, best_thresholds
from spacy_btl.pipeline.entities import is_kept


def one_type(scores, correct, n_gold, **settings):
    """Threshold of the only type."""
    found = best_thresholds(
        scores, ["A"] * len(scores), correct, {"A": n_gold}, min_support=1, **settings
    )
    assert list(found) == ["A"]
    return found["A"]


def f1(keep, correct, n_gold):
    return 2 * (keep & correct).sum() / max(keep.sum() + n_gold, 1)


def precision(keep, correct):
    return (keep & correct).sum() / keep.sum()


SCORES = [0.1, 0.2, 0.4, 0.6, 0.8]


@pytest.mark.parametrize(
    ("correct", "n_gold", "objective", "threshold"),
    [
        # all correct: nothing to leave out
        ([1, 1, 1, 1, 1], 5, "f1", KEEP_ALL),
        # the lowest ones wrong: the middle between the last wrong and the first right one
        ([0, 1, 1, 1, 1], 4, "f1", 0.15),
        ([0, 0, 1, 1, 1], 3, "f1", 0.3),
        ([0, 0, 0, 0, 1], 1, "f1", 0.7),
        # one right one below three wrong ones is worth keeping when little is gold, not else
        ([1, 0, 0, 0, 1], 2, "f1", 0.7),
        ([1, 0, 0, 0, 1], 20, "f1", KEEP_ALL),
        # ties go to the lowest: F1 is 2/4 with all five, and with the best one (2/4 = 4/8)
        ([1, 0, 0, 0, 1], 3, "f1", KEEP_ALL),
        ([0, 0, 0, 0, 0], 0, "f1", KEEP_ALL),
        ([0, 0, 0, 0, 0], 7, "f1", KEEP_ALL),
        # wanted precision
        ([0, 0, 1, 1, 1], 3, 0.6, KEEP_ALL),
        ([0, 0, 1, 1, 1], 3, 0.61, 0.15),
        ([0, 0, 1, 1, 1], 3, 1.0, 0.3),
        ([0, 1, 0, 1, 0], 9, 0.5, 0.15),
        ([0, 1, 0, 1, 0], 9, 0.51, KEEP_NONE),
        ([0, 0, 0, 0, 0], 3, 0.1, KEEP_NONE),
    ],
)
def test_thresholds_of_one_type(correct, n_gold, objective, threshold):
    outcomes = np.array(correct, dtype=bool)
    found = one_type(SCORES, outcomes, n_gold, objective=objective)
    assert found == pytest.approx(threshold)
    order = [3, 1, 4, 0, 2]
    shuffled = one_type(np.array(SCORES)[order], outcomes[order], n_gold, objective=objective)
    assert shuffled == found


@settings(max_examples=80)
@given(st.integers(0, 10**6), st.integers(1, 25), st.sampled_from(["f1", 0.3, 0.7, 1.0]))
def test_equals_a_search_through_all_thresholds(seed, n, objective):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 9, n) / 8
    correct = rng.random(n) < scores
    n_gold = int(correct.sum() + rng.integers(0, 5))
    tried = [0.0, *np.unique(scores).tolist()]
    if objective == "f1":
        values = [f1(scores >= t, correct, n_gold) for t in tried]
        best = tried[int(np.argmax(values))]  # the first, so the lowest
    else:
        reached = [t for t in tried if precision(scores >= t, correct) >= objective]
        best = reached[0] if reached else 9.0
    found = one_type(scores, correct, n_gold, objective=objective)
    assert ((scores >= found) == (scores >= best)).all()


def test_equal_scores_are_kept_or_left_out_together():
    assert one_type([0.5] * 4 + [0.9], [1, 0, 0, 0, 1], 2) == pytest.approx(0.7)


@pytest.mark.parametrize("gap", [1e-4, 1e-6, 1e-7, 1e-12])
def test_scores_that_lie_close_together_are_still_told_apart(gap):
    scores = np.array([0.5 - gap, 0.5])
    found = one_type(scores, [False, True], 1)
    assert (scores >= found).tolist() == [False, True]


def test_written_and_read_thresholds_keep_the_same():
    rng = np.random.default_rng(0)
    scores = rng.random(200).astype(np.float32)
    correct = rng.random(200) < scores**2
    found = best_thresholds(scores, ["A"] * 200, correct, {"A": 150})
    read = json.loads(json.dumps(found), parse_float=lambda text: round(float(text), 10))
    assert 0 < found["A"] < 1
    assert (is_kept(scores, ["A"] * 200, read) == is_kept(scores, ["A"] * 200, found)).all()


@pytest.mark.parametrize(
    ("min_support", "thresholds"),
    [
        # each for itself: A 0.5 (0.1 wrong, 0.9 right), B 0.3 (0.2 wrong, 0.4 right), C none wrong
        (1, {"A": 0.5, "B": 0.3, "C": 0.0}),
        # B and C together: of 0.2 (wrong), 0.3 and 0.4 the first is left out
        (3, {"A": 0.5, "B": 0.25, "C": 0.25}),
        # too few even together: all types, of which 0.1 and 0.2 are wrong
        (100, {"A": 0.25, "B": 0.25, "C": 0.25}),
    ],
)
def test_types_with_few_entities_share_a_threshold(min_support, thresholds):
    scores = [0.1, 0.1, 0.9, 0.9, 0.2, 0.4, 0.3]
    types = ["A"] * 4 + ["B"] * 2 + ["C"]
    correct = [False, False, True, True, False, True, True]
    gold = {"A": 2, "B": 1, "C": 1}
    found = best_thresholds(scores, types, correct, gold, min_support=min_support)
    assert found == pytest.approx(thresholds)


@pytest.mark.parametrize(
    ("types", "gold", "names"),
    [
        (["A", "B"], {}, ["A", "B"]),
        (["B"], {"A": 3}, ["A", "B"]),
        (["B"], {"A": 0}, ["B"]),
        ([], {"A": 3}, ["A"]),
        ([], {}, []),
    ],
)
def test_types_that_get_a_threshold(types, gold, names):
    n = len(types)
    found = best_thresholds([0.5] * n, types, [False] * n, gold)
    assert found == dict.fromkeys(names, KEEP_ALL)


@pytest.mark.parametrize(
    ("name", "score", "kept"),
    [
        ("A", 0.5, True),  # what reaches the threshold is kept
        ("A", 0.49, False),
        ("never", 1.0, False),
        ("always", 0.0, True),
        ("unknown", 0.0, True),
    ],
)
def test_is_kept(name, score, kept):
    thresholds = {"A": 0.5, "never": KEEP_NONE, "always": KEEP_ALL}
    assert is_kept([score], [name], thresholds).tolist() == [kept]


def test_nothing_to_keep():
    assert is_kept([], [], {"A": 0.5}).tolist() == []


@pytest.mark.parametrize(
    ("scores", "types", "correct", "gold", "objective", "message"),
    [
        ([0.5], ["A"], [True, False], {"A": 1}, "f1", "do not fit"),
        ([0.5], ["A", "A"], [True], {"A": 1}, "f1", "do not fit"),
        ([1.5], ["A"], [True], {"A": 1}, "f1", "between 0 and 1"),
        ([float("nan")], ["A"], [True], {"A": 1}, "f1", "between 0 and 1"),
        ([0.5, 0.6], ["A", "A"], [True, True], {"A": 1}, "f1", 'type "A" are correct'),
        ([0.5], ["A"], [True], {}, "f1", "only 0 are gold"),
        ([0.5], ["A"], [True], {"A": 1}, "F2", "objective"),
        ([0.5], ["A"], [True], {"A": 1}, 0, "objective"),
        ([0.5], ["A"], [True], {"A": 1}, 1.1, "objective"),
        ([0.5], ["A"], [True], {"A": 1}, True, "objective"),
        ([0.5], ["A"], [True], {"A": 1}, float("nan"), "objective"),
    ],
)
def test_inputs_that_do_not_fit(scores, types, correct, gold, objective, message):
    with pytest.raises(ValueError, match=message):
        best_thresholds(scores, types, correct, gold, objective=objective)
