import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from spacy_btl.labels.calibration import (
    CLIP,
    RIDGE,
    ScoreCalibration,
    cross_validated,
    fit_calibration,
)
from spacy_btl.scoring.reliability import error_by_chance, expected_calibration_error


def entities(seed, n=600, n_types=4, n_documents=12, slope=0.5, intercept=-0.5, offsets=None):
    """Return entities whose probability of being correct is a logistic of the documented form."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 6, n)
    means = rng.beta(4, 1, n)
    kinds = rng.integers(n_types, size=n)
    offsets = np.zeros(n_types) if offsets is None else np.asarray(offsets)
    log_odds = np.log(means.clip(CLIP, 1 - CLIP)) - np.log1p(-means.clip(CLIP, 1 - CLIP))
    p = 1 / (1 + np.exp(-(intercept + offsets[kinds] + slope * log_odds)))
    types = [f"T{k}" for k in kinds]
    data = means ** (lengths + 1), types, lengths, rng.random(n) < p
    return (*data, rng.integers(n_documents, size=n)), p


def few(raw, correct, types=None, documents=None):
    """Return entities of one token each."""
    n = len(raw)
    return raw, types or ["A"] * n, [1] * n, correct, documents or list(range(n))


def log_loss(p, correct):
    return -np.log(np.where(correct, p, 1 - p)).mean()


def test_finds_the_parameters_that_made_the_data():
    data, _ = entities(0, n=60_000, offsets=[1.0, 0.0, -0.5, -0.5])
    fitted = fit_calibration(*data)
    assert fitted.slope == pytest.approx(0.5, abs=0.03)
    assert fitted.intercept == pytest.approx(-0.5, abs=0.06)
    assert [fitted.offsets[f"T{k}"] for k in range(4)] == pytest.approx([1, 0, -0.5, -0.5], abs=0.1)
    assert (fitted.n_entities, fitted.n_documents) == (60_000, 12)


@pytest.mark.parametrize("seed", range(4))
def test_is_the_maximum_that_a_general_optimizer_finds(seed):
    (raw, types, lengths, correct, documents), _ = entities(seed, n=150, offsets=[2, 0, -1, 0])
    fitted = fit_calibration(raw, types, lengths, correct, documents)
    means = (raw ** (1 / (lengths + 1))).clip(CLIP, 1 - CLIP)
    x, kinds = np.log(means / (1 - means)), np.array([int(name[1:]) for name in types])
    c, n = correct.sum(), len(correct)
    targets = np.where(correct, (c + 1) / (c + 2), 1 / (n - c + 2))

    def objective(v):
        z = v[0] + v[1] * x + v[2:][kinds]
        return (np.logaddexp(0, z) - targets * z).sum() + RIDGE / 2 * (v[2:] ** 2).sum()

    bounds = [(None, None), (0, None)] + [(None, None)] * 4
    best = minimize(objective, np.zeros(6), method="L-BFGS-B", bounds=bounds, tol=1e-12)
    ours = [fitted.intercept, fitted.slope, *(fitted.offsets[f"T{k}"] for k in range(4))]
    assert objective(np.array(ours)) <= best.fun + 1e-4
    assert ours == pytest.approx(best.x.tolist(), abs=2e-3)


@pytest.mark.parametrize(("seed", "n", "n_types"), [(0, 150, 4), (1, 60, 12), (2, 2000, 40)])
def test_is_the_maximum_that_newtons_method_finds(seed, n, n_types):
    """The whole Hessian, to the last digit but one that is kept."""
    data, _ = entities(seed, n=n, n_types=n_types)
    raw, types, lengths, correct, _ = data
    fitted = fit_calibration(*data)
    means = (raw ** (1 / (lengths + 1))).clip(CLIP, 1 - CLIP)
    names, kinds = np.unique(types, return_inverse=True)
    design = np.column_stack((np.ones(n), np.log(means / (1 - means)), np.eye(len(names))[kinds]))
    c = correct.sum()
    targets = np.where(correct, (c + 1) / (c + 2), 1 / (n - c + 2))
    ridge = np.array([1e-6, 1e-6, *[RIDGE] * len(names)])
    v = np.zeros(len(ridge))
    for _ in range(50):
        p = 1 / (1 + np.exp(-design @ v))
        hessian = (design.T * (p * (1 - p))) @ design + np.diag(ridge)
        v -= np.linalg.solve(hessian, design.T @ (p - targets) + ridge * v)
    ours = [fitted.intercept, fitted.slope, *(fitted.offsets[str(name)] for name in names)]
    assert ours == pytest.approx(v.tolist(), abs=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_scores_of_other_documents_become_probabilities(seed):
    data, _ = entities(seed, n=3000, offsets=[1.0, 0.0, -0.5, -0.5])
    (raw, types, lengths, correct, _), p = entities(
        seed + 9, n=3000, offsets=[1.0, 0.0, -0.5, -0.5]
    )
    scores = fit_calibration(*data).apply(raw, types, lengths)
    assert np.abs(scores - p).mean() < 0.04
    assert expected_calibration_error(scores, correct) < 2 * error_by_chance(scores)
    assert expected_calibration_error(raw, correct) > 5 * error_by_chance(scores)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40), st.sampled_from([-2.0, 0.0, 1.0, 50.0]))
def test_higher_raw_scores_never_score_lower_and_none_is_sure(seed, n, slope):
    data, _ = entities(seed, n=n, slope=slope)
    fitted = fit_calibration(*data)
    raw = np.concatenate(([0.0], np.sort(np.random.default_rng(seed).random(30)), [1.0]))
    for name in ("T0", "unseen"):
        for length in (1, 7):
            scores = fitted.apply(raw, [name] * 32, np.full(32, length))
            assert (np.diff(scores) >= 0).all()
            assert ((scores > 0) & (scores < 1)).all()


@pytest.mark.parametrize("n", [1, 5, 200])
@pytest.mark.parametrize("all_correct", [True, False])
def test_all_correct_or_none(n, all_correct):
    raw = np.random.default_rng(n).random(n)
    fitted = fit_calibration(*few(raw, [all_correct] * n))
    share = (n + 1) / (n + 2)  # the rule of succession
    expected = share if all_correct else 1 - share
    scores = fitted.apply(raw, ["A"] * n, [1] * n)
    assert fitted.slope == pytest.approx(0, abs=1e-3)
    assert scores == pytest.approx(expected, abs=0.02)
    assert scores.max() <= share + 1e-6
    assert scores.min() >= 1 - share - 1e-6


@pytest.mark.parametrize(
    ("raw", "correct"),
    [
        ([0.1] * 5 + [0.9] * 5, [False] * 5 + [True] * 5),  # perfectly separated
        ([0.5] * 8, [True] * 4 + [False] * 4),  # nothing to tell them apart by
        ([0.0, 0.0, 1.0, 1.0], [False, True, False, True]),
        ([1.0], [True]),
    ],
)
def test_data_without_a_plain_maximum(raw, correct):
    fitted = fit_calibration(*few(raw, correct))
    scores = fitted.apply(raw, ["A"] * len(raw), [1] * len(raw))
    assert np.isfinite(scores).all()
    assert scores.mean() == pytest.approx(np.mean(correct), abs=0.35)
    assert fitted.slope >= 0


def test_scores_that_rank_the_wrong_way_round_are_not_turned_about():
    fitted = fit_calibration(*few([0.1] * 30 + [0.9] * 30, [True] * 30 + [False] * 30))
    assert fitted.slope == 0
    assert fitted.apply([0.1, 0.9], ["A", "A"], [1, 1]) == pytest.approx([0.5, 0.5], abs=0.01)


def test_rare_types_borrow_from_all_and_frequent_ones_stand_for_themselves():
    types = ["often"] * 400 + ["rest"] * 400 + ["rare"] * 2
    correct = [True] * 360 + [False] * 40 + [True, False] * 200 + [False, False]
    raw, n = [0.5] * 802, [1] * 802
    scores = fit_calibration(raw, types, n, correct, range(802)).apply
    often, rest, rare, unseen = scores([0.5] * 4, ["often", "rest", "rare", "new"], [1] * 4)
    assert often == pytest.approx(0.9, abs=0.01)
    assert rest == pytest.approx(0.5, abs=0.01)
    assert 0.4 < rare < unseen < often  # two wrong ones do not condemn a type


def test_long_and_short_entities_with_the_same_mean_factor_score_the_same():
    data, _ = entities(1)
    scores = fit_calibration(*data).apply([0.9**2, 0.9**9], ["T0", "T0"], [1, 8])
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)


def test_cross_validation_leaves_the_document_out():
    data, _ = entities(2, n=120, n_documents=4)
    raw, types, lengths, correct, documents = data
    scores = cross_validated(*data)
    for document in range(4):
        held = documents == document
        rest = [i for i in range(120) if not held[i]]
        fitted = fit_calibration(
            raw[rest], [types[i] for i in rest], lengths[rest], correct[rest], documents[rest]
        )
        of_held = [types[i] for i in np.flatnonzero(held)]
        assert (scores[held] == fitted.apply(raw[held], of_held, lengths[held])).all()


def test_cross_validation_does_not_flatter_as_the_fit_itself_does():
    own, others = [], []
    for seed in range(10):
        data, _ = entities(seed, n=100, n_types=20, slope=0.2)
        own.append(log_loss(fit_calibration(*data).apply(*data[:3]), data[3]))
        others.append(log_loss(cross_validated(*data), data[3]))
    assert np.mean(own) < np.mean(others)


@pytest.mark.parametrize(("documents", "n_folds"), [([3, 3, 3], 5), ([0, 1, 2], 1)])
def test_cross_validation_needs_two_documents_and_folds(documents, n_folds):
    data = few([0.2, 0.5, 0.9], [False, True, True], documents=documents)
    with pytest.raises(ValueError, match="at least two of both"):
        cross_validated(*data, n_folds=n_folds)


def test_json_and_back_scores_exactly_the_same():
    data, _ = entities(3)
    fitted = fit_calibration(*data)
    state = json.loads(json.dumps(fitted.to_json()))
    # The writer of component settings keeps ten decimals.
    rounded = json.loads(json.dumps(state), parse_float=lambda text: round(float(text), 10))
    for read in (state, rounded):
        assert ScoreCalibration.from_json(read) == fitted
    assert (ScoreCalibration.from_json(state).apply(*data[:3]) == fitted.apply(*data[:3])).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"slope": None}, "lacks slope"),
        ({"offsets": None, "n_entities": None}, "lacks offsets, n_entities"),
        ({"form": "isotonic"}, "fit the calibration again"),
        ({"form": None}, "lacks form"),
        ({"a_prior": 0.5}, "unknown a_prior"),
        ({"slope": "1.0"}, "the slope of a calibration is '1.0', but must be 0 or more"),
        ({"n_entities": True}, "number of entities of a calibration is True"),
        ({"offsets": {"A": "0.1"}}, "the offset of \"A\" of a calibration is '0.1', but must be"),
        ({"offsets": [0.1]}, "must be a table of numbers"),
        ({"slope": -0.1}, "slope of a calibration is -0.1, but must be 0 or more"),
        ({"slope": float("inf")}, "slope of a calibration is inf"),
        ({"n_entities": 0}, "number of entities of a calibration is 0, but must be"),
        ({"n_entities": 5.5}, "number of entities of a calibration is 5.5, but must be"),
        ({"n_documents": 0}, "number of documents of a calibration is 0"),
        ({"intercept": float("nan")}, "intercept of a calibration is nan"),
        ({"offsets": {"A": float("inf")}}, 'offset of "A" of a calibration is inf'),
        ({"context": [0.0]}, "has 1 weights of the context, but there have to be 3"),
        ({"context": [0.0, float("nan"), 0.0]}, 'weight of "after" of a calibration is nan'),
    ],
)
def test_states_that_are_none(change, message):
    state = ScoreCalibration(0.0, 1.0, 5, 2, {"A": 0.1}).to_json() | change
    state = {name: value for name, value in state.items() if value is not None}
    with pytest.raises(ValueError, match=message):
        ScoreCalibration.from_json(state)


def with_context(seed, n, weights):
    """Return entities whose log-odds of being correct depend on their context, too."""
    rng = np.random.default_rng(seed)
    context = rng.normal(-3, 2, (n, 3))
    x = rng.normal(1, 1, n)
    p = 1 / (1 + np.exp(-(x + (context + 3) @ weights)))
    raw = (1 / (1 + np.exp(-x))) ** 2
    data = raw, ["A"] * n, np.ones(n, int), rng.random(n) < p, rng.integers(9, size=n), context
    return data, p


def test_finds_the_weights_of_the_context():
    data, p = with_context(0, 60_000, [-0.4, -0.8, 0.2])
    fitted = fit_calibration(*data)
    assert fitted.context == pytest.approx([-0.4, -0.8, 0.2], abs=0.03)
    raw, types, lengths, _, _, context = data
    assert np.abs(fitted.apply(raw, types, lengths, context) - p).mean() < 0.01
    with pytest.raises(ValueError, match="fitted with a context, and needs one"):
        fitted.apply(raw, types, lengths)
    assert ScoreCalibration.from_json(json.loads(json.dumps(fitted.to_json()))) == fitted


def test_other_documents_are_scored_by_their_context():
    data, _ = with_context(1, 3000, [-0.4, -0.8, 0.2])
    correct, plain = data[3], data[:5]
    assert log_loss(cross_validated(*data), correct) < log_loss(cross_validated(*plain), correct)


def test_few_entities_give_the_context_little_weight():
    few_data, _ = with_context(2, 20, [-0.4, -0.8, 0.2])
    many_data, _ = with_context(2, 5000, [-0.4, -0.8, 0.2])
    few_weights, many = (np.abs(fit_calibration(*d).context) for d in (few_data, many_data))
    assert few_weights.max() < many.max()


def test_without_context_it_has_no_weight():
    (*plain, _), _ = with_context(3, 200, [-0.4, -0.8, 0.2])
    fitted = fit_calibration(*plain)
    assert fitted.context == (0.0, 0.0, 0.0)
    with pytest.raises(ValueError, match=r"the context \(1, 2\) is not \(1, 3\)"):
        fitted.apply([0.5], ["A"], [1], [[0.0, 0.0]])


def test_a_calibration_from_before_there_was_a_context():
    state = ScoreCalibration(0.1, 1.0, 5, 2, {"A": 0.1}).to_json()
    del state["context"]
    state["form"] = "logit of the geometric mean, type offsets"
    read = ScoreCalibration.from_json(state)
    assert read == ScoreCalibration(0.1, 1.0, 5, 2, {"A": 0.1})
    assert read.to_json()["context"] == [0.0, 0.0, 0.0]


def test_nothing_to_fit():
    with pytest.raises(ValueError, match="no predicted entities"):
        fit_calibration([], [], [], [], [])


def test_nothing_to_score():
    scores = ScoreCalibration(0.0, 1.0, 5, 2).apply([], [], [])
    assert scores.shape == (0,)
    assert scores.dtype == np.float32


@pytest.mark.parametrize(
    ("raw", "types", "lengths", "message"),
    [
        ([0.5], ["A", "A"], [1], "1 raw scores, but 2 types"),
        ([0.5], ["A"], [1, 1], "1 raw scores, but 2 lengths"),
        ([1.1], ["A"], [1], "between 0 and 1"),
        ([-0.1], ["A"], [1], "between 0 and 1"),
        ([float("nan")], ["A"], [1], "between 0 and 1"),
        ([0.5], ["A"], [0], "at least one token"),
    ],
)
def test_inputs_that_do_not_fit(raw, types, lengths, message):
    with pytest.raises(ValueError, match=message):
        ScoreCalibration(0.0, 1.0, 5, 2).apply(raw, types, lengths)
    with pytest.raises(ValueError, match=message):
        fit_calibration(raw, types, lengths, [True] * len(raw), [0] * len(raw))


@pytest.mark.parametrize(("correct", "documents"), [([True], [0, 1]), ([True, False], [0])])
def test_outcomes_that_do_not_fit(correct, documents):
    data = [0.5, 0.5], ["A", "A"], [1, 1], correct, documents
    with pytest.raises(ValueError, match="2 raw scores, but 1 "):
        fit_calibration(*data)
    with pytest.raises(ValueError, match="2 raw scores, but 1 "):
        cross_validated(*data)
