from itertools import pairwise

import numpy as np
import pytest

from spacy_btl.scores import (
    OUTSIDE,
    bootstrap_intervals,
    precision_recall_f,
    strict_span_scores,
    token_scores,
)


def ent(label, *bounds):
    """("A", 0, 3, 5, 7): label A, fragments 0 to 3 and 5 to 7."""
    return label, tuple(pairwise(bounds))[::2]


A1, A2, A3 = ent("A", 0, 3), ent("A", 4, 7), ent("A", 8, 9)
B1, B2, C1 = ent("B", 0, 3), ent("B", 4, 7), ent("C", 10, 12)


def one(gold, predicted):
    return strict_span_scores([gold], [predicted])


def figures(scores, prefix="ents_"):
    return [scores[f"{prefix}{key}"] for key in "prf"]


def random_documents(seed, n_docs=12, n_labels=4):
    """Gold, and predictions of which about half agree."""
    rng = np.random.default_rng(seed)
    gold, predicted = [], []
    for _ in range(n_docs):
        entities = [
            ent("LMNOP"[rng.integers(n_labels)], int(start), int(start) + 3)
            for start in rng.integers(0, 50, rng.integers(1, 9))
        ]
        gold.append(entities)
        predicted.append([e for e in entities if rng.random() < 0.6])
        predicted[-1].append(ent("MPQ"[rng.integers(3)], 90, 95))
    return gold, predicted


def merged(docs):
    """One document that holds the entities of all, each as a fragment of its own place."""
    return [[ent(label, i, i, *bounds[0]) for i, doc in enumerate(docs) for label, bounds in doc]]


@pytest.mark.parametrize(
    ("correct", "predicted", "gold", "p", "r", "f"),
    [
        (0, 0, 0, 0.0, 0.0, 0.0),
        (0, 3, 0, 0.0, 0.0, 0.0),
        (0, 0, 3, 0.0, 0.0, 0.0),
        (0, 2, 3, 0.0, 0.0, 0.0),
        (2, 2, 2, 1.0, 1.0, 1.0),
        (1, 2, 4, 1 / 2, 1 / 4, 1 / 3),
    ],
)
def test_precision_recall_f(correct, predicted, gold, p, r, f):
    assert precision_recall_f(correct, predicted, gold) == pytest.approx({"p": p, "r": r, "f": f})


@pytest.mark.parametrize(
    ("gold", "predicted", "micro", "macro"),
    [
        ([A1], [A1], [1, 1, 1], [1, 1, 1]),
        ([A1], [], [0, 0, 0], [0, 0, 0]),
        ([A1, A2], [A1], [1, 1 / 2, 2 / 3], [1, 1 / 2, 2 / 3]),
        ([A1], [A1, A2], [1 / 2, 1, 2 / 3], [1 / 2, 1, 2 / 3]),
        ([A1], [B1], [0, 0, 0], [0, 0, 0]),  # bounds without the label
        ([A1], [ent("A", 0, 2)], [0, 0, 0], [0, 0, 0]),  # label without the bounds
        ([A1], [ent("A", 1, 3)], [0, 0, 0], [0, 0, 0]),
        ([A1, B1], [B1, A1], [1, 1, 1], [1, 1, 1]),  # one span, two labels
        # The macro means differ from the micro ones: A 2 of 3, B all wrong, C not predicted.
        (
            [A1, A2, A3, B1, C1],
            [A1, A2, B2],
            [2 / 3, 2 / 5, 1 / 2],
            [1 / 3, 2 / 9, 4 / 15],
        ),
        # A label that is only predicted costs micro precision, but has no share in the macro mean.
        ([A1], [A1, B2, C1], [1 / 3, 1, 1 / 2], [1, 1, 1]),
        # What stands twice counts once.
        ([A1, A1, A2], [A1], [1, 1 / 2, 2 / 3], [1, 1 / 2, 2 / 3]),
        ([A1, A2], [A1, A1, A1], [1, 1 / 2, 2 / 3], [1, 1 / 2, 2 / 3]),
        # Discontinuous entities: all fragments must agree.
        ([ent("A", 0, 3, 5, 7)], [ent("A", 0, 7)], [0, 0, 0], [0, 0, 0]),
        ([ent("A", 0, 3, 5, 7)], [ent("A", 0, 3), ent("A", 5, 7)], [0, 0, 0], [0, 0, 0]),
        ([ent("A", 0, 3, 5, 7)], [ent("A", 0, 3, 5, 7)], [1, 1, 1], [1, 1, 1]),
    ],
)
def test_spans_of_one_document(gold, predicted, micro, macro):
    scores = one(gold, predicted)
    assert figures(scores) == pytest.approx(micro)
    assert figures(scores, "ents_macro_") == pytest.approx(macro)


@pytest.mark.parametrize(
    ("gold", "predicted"), [([], []), ([[]], [[]]), ([[]], [[A1]]), ([[], []], [[A1], []])]
)
def test_without_gold_all_is_none(gold, predicted):
    scores = strict_span_scores(gold, predicted)
    assert set(scores) == {
        *("ents_p", "ents_r", "ents_f", "ents_macro_p", "ents_macro_r", "ents_macro_f"),
        "ents_per_type",
    }
    assert set(scores.values()) == {None}


def test_per_type():
    per_type = one([A1, A2, A2, B1], [A1, C1, C1])["ents_per_type"]
    assert per_type == {
        "A": {"p": 1, "r": 1 / 2, "f": pytest.approx(2 / 3), "support": 2, "predicted": 1},
        "B": {"p": 0, "r": 0, "f": 0, "support": 1, "predicted": 0},
        "C": {"p": 0, "r": 0, "f": 0, "support": 0, "predicted": 1},
    }


def test_documents_stay_apart():
    assert figures(strict_span_scores([[A1], []], [[], [A1]])) == [0, 0, 0]
    assert figures(strict_span_scores([[A1], [A1]], [[A1], []])) == pytest.approx([1, 1 / 2, 2 / 3])


@pytest.mark.parametrize("score", [strict_span_scores, bootstrap_intervals, token_scores])
def test_numbers_must_agree(score):
    with pytest.raises(ValueError, match="zip"):
        score(["A"], [])


@pytest.mark.parametrize("seed", range(4))
def test_bootstrap_of_one_document_is_its_score(seed):
    """Every draw is the document itself, so the formula over draws can be held to the plain one."""
    gold, predicted = (merged(docs) for docs in random_documents(seed))
    intervals = bootstrap_intervals(gold, predicted, samples=3)
    scores = strict_span_scores(gold, predicted)
    assert 0 < scores["ents_f"] < 1
    assert scores["ents_macro_f"] != pytest.approx(scores["ents_f"], abs=1e-3)
    for key in ("ents_f", "ents_macro_f"):
        assert intervals[key] == pytest.approx((scores[key], scores[key]))


def test_bootstrap_equals_draws_one_by_one():
    gold, predicted = random_documents(0)
    rng = np.random.default_rng(5)
    draws = rng.multinomial(len(gold), np.full(len(gold), 1 / len(gold)), size=60)
    plain = {"ents_f": [], "ents_macro_f": []}
    for draw in draws:
        chosen = [i for i, times in enumerate(draw) for _ in range(times)]
        scores = strict_span_scores([gold[i] for i in chosen], [predicted[i] for i in chosen])
        for key, values in plain.items():
            values.append(scores[key])
    intervals = bootstrap_intervals(gold, predicted, samples=60, level=0.8, seed=5)
    for key, values in plain.items():
        assert intervals[key] == pytest.approx(tuple(np.percentile(values, [10, 90])))


def test_interval_holds_the_score_and_narrows_with_the_level():
    gold, predicted = random_documents(1, n_docs=40)
    scores = strict_span_scores(gold, predicted)
    wide = bootstrap_intervals(gold, predicted, level=0.99)
    narrow = bootstrap_intervals(gold, predicted, level=0.5)
    for key in ("ents_f", "ents_macro_f"):
        (low, high), (inner_low, inner_high) = wide[key], narrow[key]
        assert 0 < low < inner_low < scores[key] < inner_high < high < 1


def test_bootstrap_is_set_by_its_seed():
    documents = random_documents(2)
    again = bootstrap_intervals(*documents, seed=3)
    assert bootstrap_intervals(*documents, seed=3) == again
    assert bootstrap_intervals(*documents, seed=4) != again


@pytest.mark.parametrize(
    ("gold", "predicted", "interval"),
    [
        ([], [], None),
        ([[], []], [[A1], []], None),
        ([[A1], [A1, B1]], [[A1], [B1, A1]], (1, 1)),
        ([[A1], [B1]], [[], []], (0, 0)),
        # Draws without any gold have no score, and are no reason for a 0.
        ([[A1], []], [[A1], []], (1, 1)),
        # Only label A has gold in a draw of the first document alone.
        ([[A1], [B1]], [[A1], [B1]], (1, 1)),
    ],
)
def test_degenerate_bootstraps(gold, predicted, interval):
    expected = {} if interval is None else {"ents_f": interval, "ents_macro_f": interval}
    assert bootstrap_intervals(gold, predicted) == expected


def test_no_draw_with_gold_gives_no_interval():
    gold = [[A1]] + [[] for _ in range(200)]
    outcomes = [bootstrap_intervals(gold, gold, samples=1, seed=seed) for seed in range(20)]
    assert {} in outcomes
    assert {"ents_f": (1, 1), "ents_macro_f": (1, 1)} in outcomes


@pytest.mark.parametrize("options", [{"samples": 0}, {"level": 0}, {"level": 1}, {"level": 95}])
def test_bootstrap_refuses(options):
    with pytest.raises(ValueError, match="interval"):
        bootstrap_intervals([[A1]], [[A1]], **options)


@pytest.mark.parametrize(
    ("gold", "predicted", "macro_r", "with_o", "macro_f", "micro_f"),
    [
        ("AA", "AA", 1, 1, 1, 1),
        ("AA..", "AA..", 1, 1, 1, 1),
        ("AA..", "....", 0, 1 / 2, 0, 0),
        ("AA..", "A...", 1 / 2, 3 / 4, 2 / 3, 2 / 3),
        ("AA..", "AAAA", 1, 1 / 2, 2 / 3, 2 / 3),
        ("AB..", "BA..", 0, 1 / 3, 0, 0),
        ("AAAB.", "AAA..", 1 / 2, 2 / 3, 1 / 2, 6 / 7),  # the rare type weighs as much
        ("AA..", "AAC.", 1, 3 / 4, 1, 4 / 5),  # C is only predicted: micro alone pays
    ],
)
def test_token_scores(gold, predicted, macro_r, with_o, macro_f, micro_f):
    gold, predicted = ([OUTSIDE if c == "." else c for c in text] for text in (gold, predicted))
    assert token_scores(gold, predicted) == pytest.approx(
        {
            "token_macro_r": macro_r,
            "token_macro_r_with_o": with_o,
            "token_macro_f": macro_f,
            "token_micro_f": micro_f,
        }
    )


@pytest.mark.parametrize("n_tokens", [0, 3])
def test_token_scores_without_gold(n_tokens):
    scores = token_scores([OUTSIDE] * n_tokens, ["A"] * n_tokens)
    assert len(scores) == 4
    assert set(scores.values()) == {None}
