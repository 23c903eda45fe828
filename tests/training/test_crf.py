"""The CRF, against the enumeration of all label sequences and against finite differences."""

import itertools
import json
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from spacy.language import Language
from spacy.util import fix_random_seed
from thinc.api import SGD, Adam

from spacy_btl.labels.bio import MISSING
from spacy_btl.training.crf import CrfLoss
from tests.helpers.sentences import SENTENCES, entities, make_examples

COLUMNS = 5  # O, B-x, I-x, B-y, I-y
NAN = MISSING


def is_well_formed(path: tuple[int, ...]) -> bool:
    return all(
        label in (0, 1, 3) or before in (label - 1, label)
        for before, label in zip((0, *path), path, strict=False)
    )


def enumerate_paths(
    loss: CrfLoss, logits: np.ndarray, gold: list[int] | None = None
) -> list[tuple[tuple[int, ...], float]]:
    """Return the well-formed sequences that agree with the gold labels, with exp of scores."""
    transitions, start = loss.transitions, loss.start
    assert transitions is not None and start is not None
    paths = []
    for path in itertools.product(range(logits.shape[1]), repeat=len(logits)):
        if not is_well_formed(path):
            continue
        if gold is not None and any(g not in (NAN, p) for g, p in zip(gold, path, strict=True)):
            continue
        score = start[path[0]] + sum(logits[t, label] for t, label in enumerate(path))
        score += sum(transitions[pair] for pair in itertools.pairwise(path))
        paths.append((path, float(np.exp(score))))
    return paths


def make_loss(seed: int = 0, **settings: Any) -> CrfLoss:
    rng, loss = np.random.default_rng(seed), CrfLoss(**settings)
    loss.transitions = rng.normal(size=(COLUMNS, COLUMNS)).astype(np.float32)
    loss.start = rng.normal(size=COLUMNS).astype(np.float32)
    return loss


def make_logits(n_tokens: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 2, (n_tokens, COLUMNS)).astype(np.float32)


@pytest.mark.parametrize("n_tokens", [1, 2, 3, 5])
def test_marginals_are_those_of_all_sequences(n_tokens: int) -> None:
    loss, logits = make_loss(), make_logits(n_tokens)
    expected = np.zeros((n_tokens, COLUMNS))
    for path, weight in enumerate_paths(loss, logits):
        expected[np.arange(n_tokens), path] += weight
    expected /= expected.sum(axis=1, keepdims=True)
    got = loss.probabilities(logits)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.mark.parametrize(
    "gold",
    [
        [0],
        [3],
        [0, 0, 0, 0],
        [1, 2, 0, 3],
        [1, 2, 2, 1],
        [1, 3, 4, 0],
        [NAN, 2, 0, 0],  # the token before can only be B-x
        [0, NAN, NAN, 4],
        [NAN, 0, NAN, NAN],
    ],
)
def test_loss_is_minus_the_log_probability_of_what_agrees(gold: list[int]) -> None:
    loss, logits = make_loss(reduction="sum"), make_logits(len(gold))
    agrees = sum(weight for _, weight in enumerate_paths(loss, logits, gold))
    everything = sum(weight for _, weight in enumerate_paths(loss, logits))
    _, got = loss(logits, np.array(gold))
    assert got == pytest.approx(-np.log(agrees / everything), rel=1e-6)


LENGTHS = [3, 0, 1, 5, 3]
GOLD = np.array([0, 1, 2, NAN, 3, 4, NAN, 0, 1, NAN, 0, NAN])


def test_documents_stand_alone() -> None:
    """Documents of any length together give what each gives alone, in their order."""
    loss, logits = make_loss(reduction="sum"), make_logits(sum(LENGTHS))
    gradient, total = loss(logits, GOLD, LENGTHS)
    together = loss.probabilities(logits, LENGTHS)
    pairs = loss._gradients["transitions"]
    alone, at = make_loss(reduction="sum"), 0
    for length in LENGTHS:
        rows = slice(at, at := at + length)
        part, one = alone(logits[rows], GOLD[rows])
        np.testing.assert_allclose(gradient[rows], part, atol=1e-6)
        np.testing.assert_allclose(together[rows], alone.probabilities(logits[rows]), atol=1e-6)
        total -= one
    assert total == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(pairs, alone._gradients["transitions"], atol=1e-6)


@pytest.mark.parametrize("what", ["logits", "transitions", "start"])
@pytest.mark.parametrize("reduction", ["weights", "mean", "sum"])
def test_gradient_against_finite_differences(what: str, reduction: Any) -> None:
    loss, logits = make_loss(reduction=reduction), make_logits(sum(LENGTHS)).astype(np.float64)
    changed = logits if what == "logits" else getattr(loss, what).astype(np.float64)
    if what != "logits":
        setattr(loss, what, changed)
    expected = np.zeros_like(changed)
    for at in np.ndindex(changed.shape):
        kept, sides = changed[at], []
        for step in (1e-4, -1e-4):
            changed[at] = kept + step
            sides.append(loss(logits, GOLD, LENGTHS)[1])
        changed[at] = kept
        expected[at] = (sides[0] - sides[1]) / 2e-4
    loss._gradients.clear()
    gradient, _ = loss(logits, GOLD, LENGTHS)
    got = gradient if what == "logits" else loss._gradients[what]
    np.testing.assert_allclose(got, expected, atol=1e-6)
    assert np.abs(expected).max() > 0.01


@pytest.mark.parametrize(("reduction", "divisor"), [("weights", 8), ("mean", 8), ("sum", 1)])
def test_reduction(reduction: Any, divisor: int) -> None:
    """Per labeled token: 8 of the 12 have a label."""
    logits = make_logits(sum(LENGTHS))
    summed, total = make_loss(reduction="sum")(logits, GOLD, LENGTHS)
    gradient, loss = make_loss(reduction=reduction)(logits, GOLD, LENGTHS)
    assert loss == pytest.approx(total / divisor)
    np.testing.assert_allclose(gradient, summed / divisor, atol=1e-6)


@pytest.mark.parametrize(("labels", "lengths"), [([], []), ([], [0, 0]), ([NAN, NAN], [1, 1])])
def test_nothing_to_learn_from(labels: list[int], lengths: list[int]) -> None:
    loss, logits = make_loss(), make_logits(len(labels))
    gradient, value = loss(logits, np.array(labels, dtype=int), lengths)
    assert (gradient.shape, gradient.any(), value) == (logits.shape, False, 0.0)
    assert loss.probabilities(logits, lengths).shape == logits.shape
    assert loss._gradients == {}


def test_long_documents_and_sure_logits_stay_exact() -> None:
    """5000 tokens, gaps of 100 between the logits, one label that the model rules out."""
    gold = np.tile([0, 1, 2, 2, 0], 1000)
    logits = np.where(np.arange(COLUMNS) == gold[:, None], 100.0, 0.0).astype(np.float32)
    logits[7] = -logits[7]
    loss = CrfLoss(reduction="sum")
    gradient, value = loss(logits, gold)
    marginals = loss.probabilities(logits)
    # Token 7 is between B-x and I-x: a second B-x there beats the I-x by 100, and nothing else
    # allows the I-x after it.
    assert value == pytest.approx(100.0, abs=1e-6)
    assert np.isfinite(gradient).all()
    np.testing.assert_allclose(marginals.sum(axis=1), 1.0, atol=1e-6)
    np.testing.assert_array_equal(np.flatnonzero(marginals.argmax(axis=1) != gold), [7])


@pytest.mark.parametrize(
    ("labels", "lengths", "match"),
    [
        ([0, 2], None, "an I- has no B-"),
        ([1, 4], None, "an I- has no B-"),
        ([2, 0], None, "an I- has no B-"),
        ([1, 2], [1, 1], "an I- has no B-"),  # the entity would go on into the next document
        ([0, 5], None, "between -1 and 4"),
        ([0], None, "do not match"),
        ([0, 0], [1, 2], "2 tokens, but documents of 3"),
    ],
)
def test_what_does_not_fit(labels: list[int], lengths: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        make_loss()(make_logits(2), np.array(labels), lengths)


def test_other_refusals() -> None:
    loss = make_loss()
    loss.class_weights = np.linspace(0, 1, COLUMNS)
    with pytest.raises(ValueError, match="set class_weights = null"):
        loss(make_logits(2), np.array([0, 0]))
    with pytest.raises(ValueError, match="reduction is 'max'"):
        CrfLoss(reduction="max")  # type: ignore[arg-type]
    for factor in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match=f"rate_factor is {factor}, but must be above 0"):
            CrfLoss(rate_factor=factor)
    with pytest.raises(ValueError, match="3 columns do not match the 5 that the CRF has learned"):
        make_loss().probabilities(np.zeros((2, 3)))


PARAMETERS = ("transitions", "start")


def summed_gradients(logits: np.ndarray, golds: tuple[list[int], ...]) -> dict[str, np.ndarray]:
    """Return the gradients of the parameters, of each gold sequence on its own."""
    found: dict[str, Any] = dict.fromkeys(PARAMETERS, 0.0)
    for gold in golds:
        single = make_loss(reduction="sum")
        single(logits, np.array(gold))
        for name in PARAMETERS:
            found[name] = found[name] + single._gradients[name]
    return found


def descend(key: tuple[int, str], weights: Any, gradient: Any) -> tuple[Any, Any]:
    """Return plain gradient descent, as a function that knows no factor of its rate."""
    return weights - 0.1 * gradient, gradient * 0


def descend_in_place(key: tuple[int, str], weights: Any, gradient: Any) -> tuple[Any, Any]:
    """Call it as thinc's optimizer does."""
    weights -= 0.1 * gradient
    return weights, gradient


@pytest.mark.parametrize("sgd", [SGD(0.1), descend, descend_in_place])
def test_parameters_follow_any_optimizer_and_gather_over_batches(sgd: Any) -> None:
    """One step of plain gradient descent after two calls takes both gradients."""
    loss, logits = make_loss(reduction="sum", rate_factor=3.0), make_logits(2)
    before = {name: getattr(loss, name).copy() for name in PARAMETERS}
    golds = ([1, 2], [0, 3])
    for gold in golds:
        loss(logits, np.array(gold))
    loss.finish_update(sgd)
    for name, gradient in summed_gradients(logits, golds).items():
        np.testing.assert_allclose(getattr(loss, name), before[name] - 0.3 * gradient, atol=1e-6)


def test_nothing_new_to_learn_from_is_no_step_not_even_by_momentum() -> None:
    loss, adam = make_loss(), Adam(0.1)
    loss(make_logits(2), np.array([0, 0]))
    loss.finish_update(adam)
    after = [getattr(loss, name).copy() for name in PARAMETERS]
    loss.finish_update(adam)
    for name, array in zip(PARAMETERS, after, strict=True):
        np.testing.assert_array_equal(getattr(loss, name), array)


def test_a_function_that_only_keeps_gradients_changes_nothing_yet() -> None:
    """``nlp.rehearse`` passes such; the optimizer then works on the arrays handed over."""
    loss, kept = make_loss(reduction="sum"), {}

    def keep(key: Any, weights: Any, gradient: Any) -> tuple[Any, Any]:
        kept[key[1]] = weights, gradient
        return weights, gradient

    loss(make_logits(2), np.array([1, 2]))
    expected = summed_gradients(make_logits(2), ([1, 2],))
    loss.finish_update(keep)
    for name in PARAMETERS:
        np.testing.assert_array_equal(getattr(loss, name), getattr(make_loss(), name))
        np.testing.assert_array_equal(kept[name][1], expected[name])
        assert kept[name][0] is getattr(loss, name)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_gradients_are_made_whatever_mode_the_program_is_in(mode: Any) -> None:
    loss, logits, gold = make_loss(), make_logits(4), np.array([1, 2, 0, 3])
    (d_expected, expected), read = loss(logits, gold), loss.probabilities(logits)
    with mode():
        gradient, value = loss(logits, gold)
        np.testing.assert_array_equal(loss.probabilities(logits), read)
    np.testing.assert_array_equal(gradient, d_expected)
    assert value == expected


def test_parameters_come_back_to_the_last_bit() -> None:
    loss, logits = make_loss(), make_logits(3)
    copy = CrfLoss()
    copy.set_state(json.loads(json.dumps(loss.get_state())))
    for name in PARAMETERS:
        np.testing.assert_array_equal(getattr(copy, name), getattr(loss, name))
        assert getattr(copy, name).dtype == np.float32
    np.testing.assert_array_equal(copy.probabilities(logits), loss.probabilities(logits))
    copy.set_state(CrfLoss().get_state())
    assert copy.transitions is None


def test_other_data_begin_anew() -> None:
    loss = make_loss()
    loss.prepare(np.array([5, 1, 1]), ["O", "B-x", "I-x"])
    np.testing.assert_allclose(loss.probabilities(np.zeros((1, 3))), [[0.5, 0.5, 0.0]])


def make_pipeline() -> Language:
    nlp = spacy.blank("en")
    config = {"loss": {"@losses": "spacy-btl.CrfLoss.v1"}, "class_weights": None}
    nlp.add_pipe("btl_knn_ner", config=config)
    return nlp


def test_component_learns_transitions_and_round_trips() -> None:
    fix_random_seed(0)
    nlp = make_pipeline()
    examples = make_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(60):
        nlp.update(examples, sgd=optimizer)
    expected = [[(text[s:e], label) for s, e, label in ents] for text, ents in SENTENCES]
    texts = [text for text, _ in SENTENCES]
    assert [entities(nlp(text)) for text in texts] == expected
    pipe: Any = nlp.get_pipe("btl_knn_ner")
    assert pipe.loss.transitions.any()
    other = make_pipeline().from_bytes(nlp.to_bytes())
    copy: Any = other.get_pipe("btl_knn_ner")
    for name in PARAMETERS:
        np.testing.assert_array_equal(getattr(pipe.loss, name), getattr(copy.loss, name))
    docs = [nlp.make_doc(text) for text in (*texts, "", " ")]
    for ours, theirs in zip(pipe.predict(docs), copy.predict(docs), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_component_reads_each_document_alone() -> None:
    fix_random_seed(0)
    nlp = make_pipeline()
    nlp.initialize(lambda: make_examples(nlp))
    pipe: Any = nlp.get_pipe("btl_knn_ner")
    pipe.loss.reduction = "sum"
    rng = np.random.default_rng(0)
    pipe.loss.transitions, pipe.loss.start = rng.normal(size=(7, 7)), rng.normal(size=7)
    examples = make_examples(nlp)
    docs = [example.predicted for example in examples]
    logits = pipe.model.predict(docs)
    total, gradients = pipe.get_loss(examples, logits)
    for i, example in enumerate(examples):
        loss, (gradient,) = pipe.get_loss([example], logits[i : i + 1])
        np.testing.assert_allclose(gradient, gradients[i], atol=1e-6)
        np.testing.assert_allclose(pipe.predict(docs)[i], pipe.predict([docs[i]])[0], atol=1e-6)
        total -= loss
    assert total == pytest.approx(0, abs=1e-5)


def test_component_is_rehearsed_without_a_step_of_its_transitions() -> None:
    """Gradients that were gathered before belong to the next update, and none is counted."""
    fix_random_seed(0)
    nlp = make_pipeline()
    examples = make_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    nlp.update(examples, sgd=optimizer)
    pipe: Any = nlp.get_pipe("btl_knn_ner")
    resumed = nlp.resume_training()
    nlp.update(examples, sgd=False)  # type: ignore[arg-type]
    before = [getattr(pipe.loss, name).copy() for name in PARAMETERS]
    gathered = pipe.loss._gradients["transitions"].copy()
    updates = pipe.state.updates
    assert gathered.any()
    nlp.rehearse(examples, sgd=resumed)
    for name, array in zip(PARAMETERS, before, strict=True):
        np.testing.assert_array_equal(getattr(pipe.loss, name), array)
    np.testing.assert_array_equal(pipe.loss._gradients["transitions"], gathered)
    assert pipe.state.updates == updates
    pipe.finish_update(resumed)
    assert (pipe.loss.transitions != before[0]).any()
    assert pipe.state.updates == updates + 1


def test_component_refuses_class_weights() -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("btl_knn_ner", config={"loss": {"@losses": "spacy-btl.CrfLoss.v1"}})
    with pytest.raises(ValueError, match="set class_weights = null"):
        nlp.initialize(lambda: make_examples(nlp))
