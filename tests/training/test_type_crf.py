"""A CRF for each type, against every sequence written down and finite differences."""

import json
from typing import Any

import numpy as np
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.language import Language
from spacy.tokens import Span
from spacy.training import Example
from spacy.util import fix_random_seed
from thinc.api import SGD

from spacy_btl.labels.bio import MISSING
from spacy_btl.labels.layers import best_layer_paths
from spacy_btl.pipeline.component import component_of
from spacy_btl.training import type_crf
from spacy_btl.training.binary_token_labels import BinaryTokenLabels
from spacy_btl.training.class_weights import ClassWeights
from spacy_btl.training.type_crf import TypeCrfLoss
from tests.helpers.chains import (
    N_COLUMNS,
    N_TYPES,
    layer_batches,
    scores_of,
    sequences,
    weighted_loss,
)
from tests.helpers.losses import assert_rows_are_probabilities
from tests.helpers.sentences import SENTENCES, entities, make_examples

NAN = MISSING
WEIGHTS = np.array([0.3, 0.9, 0.8, 1.5, 0.0])
PARAMETERS = ("transitions", "start")


def make_loss(seed: int = 0, **settings: Any) -> TypeCrfLoss:
    rng, loss = np.random.default_rng(seed), TypeCrfLoss(**settings)
    loss.transitions = rng.normal(size=(N_TYPES, 3, 3)).astype(np.float32)
    loss.start = rng.normal(size=(N_TYPES, 3)).astype(np.float32)
    return loss


def of_type(logits: Any, kind: int) -> Any:
    return logits[:, [0, 1 + 2 * kind, 2 + 2 * kind]]


def literal(loss: TypeCrfLoss, logits: Any, layers: Any, lengths: list[int]) -> float:
    """Return the sum over types and documents, with the divisors and weights of BTL."""
    assert loss.transitions is not None and loss.start is not None
    weights = np.ones(N_COLUMNS) if loss.class_weights is None else loss.class_weights
    total = 0.0
    for kind in range(N_TYPES):
        of_labels = weights[[0, 1 + 2 * kind, 2 + 2 * kind]]
        known = layers[:, kind][layers[:, kind] != MISSING]
        if not (known > 0).any():
            continue  # no copy
        divisors = {"weights": of_labels[known].sum() or 1.0, "mean": len(known), "sum": 1.0}
        summed = 0.0
        for end, length in zip(np.cumsum(lengths), lengths, strict=True):
            rows = slice(end - length, end)
            summed += weighted_loss(
                of_type(logits[rows], kind),
                layers[rows, kind],
                of_labels,
                loss.transitions[kind],
                loss.start[kind],
            )
        total += summed / divisors[loss.reduction]
    return total


def differences(loss: TypeCrfLoss, changed: Any, call: Any, step: float = 1e-5) -> Any:
    """Return the slope of the loss for each number of an array, which is changed in place."""
    found = np.zeros(changed.shape)
    for at in np.ndindex(changed.shape):
        kept, sides = changed[at], []
        for side in (step, -step):
            changed[at] = kept + side
            sides.append(call()[1])
        changed[at] = kept
        found[at] = (sides[0] - sides[1]) / (2 * step)
    loss._gradients = {}
    return found


@given(
    layer_batches(),
    st.sampled_from(["weights", "mean", "sum"]),
    st.sampled_from([None, WEIGHTS]),
)
def test_the_loss_is_that_of_all_sequences(batch: Any, reduction: Any, weights: Any) -> None:
    logits, layers, lengths = batch
    loss = make_loss(reduction=reduction)
    loss.class_weights = weights
    gradient, value = loss(logits, layers, lengths)
    expected = literal(loss, logits, layers, lengths)
    assert value == pytest.approx(expected, rel=1e-8, abs=1e-8)
    np.testing.assert_allclose(gradient.sum(axis=1), 0.0, atol=1e-9)


@given(layer_batches(), st.sampled_from([None, WEIGHTS]))
def test_gradients_against_finite_differences(batch: Any, weights: Any) -> None:
    logits, layers, lengths = batch
    logits = logits / max(1.0, np.abs(logits).max(initial=0.0) / 5)
    loss = make_loss(reduction="sum")
    loss.class_weights = weights
    for name in PARAMETERS:  # in double precision, for the differences
        setattr(loss, name, np.asarray(getattr(loss, name), dtype=np.float64))

    def call() -> Any:
        return loss(logits, layers, lengths)

    expected = differences(loss, logits, call)
    of_parameters = {name: differences(loss, getattr(loss, name), call) for name in PARAMETERS}
    gradient, _ = call()
    np.testing.assert_allclose(gradient, expected, atol=1e-6)
    for name in PARAMETERS:
        found = loss._gradients.get(name, 0.0)
        np.testing.assert_allclose(found, of_parameters[name], atol=1e-5)


@given(layer_batches())
def test_types_in_blocks_and_documents_alone_give_the_same(batch: Any) -> None:
    logits, layers, lengths = batch
    loss, blocked = make_loss(reduction="sum"), make_loss(reduction="sum")
    gradient, value = loss(logits, layers, lengths)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type_crf, "BLOCK", 1)
        d_blocked, of_blocked = blocked(logits, layers, lengths)
    assert of_blocked == pytest.approx(value)
    np.testing.assert_allclose(d_blocked, gradient, atol=1e-12)
    # A type without an entity in the batch has no copy: those of each document alone are others.
    has_copy = [(layers[:, kind] > 0).any() for kind in range(N_TYPES)]
    for end, length in zip(np.cumsum(lengths), lengths, strict=True):
        rows = slice(end - length, end)
        probabilities = loss.layer_probabilities(logits, lengths)[rows]
        alone = loss.layer_probabilities(logits[rows])
        np.testing.assert_allclose(probabilities, alone, atol=1e-9)
        d_alone, _ = make_loss(reduction="sum")(logits[rows], layers[rows])
        for kind in range(N_TYPES):
            if has_copy[kind] and (layers[rows, kind] > 0).any():
                columns = [1 + 2 * kind, 2 + 2 * kind]
                np.testing.assert_allclose(
                    gradient[rows][:, columns], d_alone[:, columns], atol=1e-9
                )


@given(layer_batches())
def test_flat_labels_are_layers_in_which_other_types_are_outside(batch: Any) -> None:
    logits, layers, lengths = batch
    first = np.where((layers == MISSING).any(axis=0), 0, layers) * [1, 0]  # the first type alone
    for weights in (None, WEIGHTS):
        losses = make_loss(), make_loss()
        for loss in losses:
            loss.class_weights = weights
        ours = losses[0](logits, first[:, 0], lengths)
        theirs = losses[1](logits, first, lengths)
        assert ours[1] == pytest.approx(theirs[1])
        np.testing.assert_allclose(ours[0], theirs[0], atol=1e-12)


def test_without_anything_to_continue_it_is_binary_token_labels() -> None:
    """Documents of one token have no transitions: B or O, as I cannot be at the start."""
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(6, N_COLUMNS)), np.array([0, 1, 3, 0, 1, NAN])
    logits[:, 2::2] = -1e9
    for reduction in ("weights", "mean", "sum"):
        crf, btl = TypeCrfLoss(reduction=reduction), BinaryTokenLabels(reduction=reduction)  # type: ignore[arg-type]
        crf.class_weights = btl.class_weights = WEIGHTS
        ours, theirs = crf(logits, labels, [1] * 6), btl(logits, labels)
        assert ours[1] == pytest.approx(theirs[1])
        np.testing.assert_allclose(ours[0], theirs[0], atol=1e-12)
        np.testing.assert_allclose(
            crf.layer_probabilities(logits, [1] * 6), btl.layer_probabilities(logits), atol=1e-12
        )


def test_what_is_not_annotated_has_no_gradient() -> None:
    """Neither the type in the whole document, nor transitions; the other document counts."""
    rng = np.random.default_rng(1)
    logits, lengths = rng.normal(size=(5, N_COLUMNS)).astype(np.float32), [3, 2]
    flat = np.array([1, 2, 0, 3, 1])
    annotated = np.array([[True, False]] * 3 + [[True, True]] * 2)
    layers = np.array([[1, NAN], [2, NAN], [0, NAN], [0, 1], [1, 0]])
    losses = make_loss(), make_loss()
    ours = losses[0](logits, flat, lengths, annotated)
    theirs = losses[1](logits, layers, lengths)
    np.testing.assert_array_equal(ours[0], theirs[0])
    assert not ours[0][:3, 3:].any()
    assert ours[0][3:, 3:].any()
    alone = make_loss()
    alone(logits[3:], layers[3:])
    for name in PARAMETERS:
        of_type_1 = [loss._gradients[name][1] for loss in (losses[0], alone)]
        np.testing.assert_allclose(*of_type_1, atol=1e-6)
    with pytest.raises(ValueError, match="a type that its document does not annotate"):
        make_loss()(logits, flat, lengths, ~annotated)


def test_marginals_decode_to_well_formed_paths_and_sure_ones_to_the_best() -> None:
    rng = np.random.default_rng(2)
    loss = make_loss()
    assert loss.transitions is not None and loss.start is not None
    logits = rng.normal(size=(5, N_COLUMNS)) * 30
    paths = best_layer_paths(loss.layer_probabilities(logits))
    for kind in range(N_TYPES):
        scores = scores_of(of_type(logits, kind), loss.transitions[kind], loss.start[kind])
        assert sequences(5)[scores.argmax()] == tuple(paths[:, kind])


def test_flat_probabilities() -> None:
    loss = make_loss()
    logits = np.random.default_rng(3).normal(size=(7, N_COLUMNS)).astype(np.float32) * 4
    flat, layers = loss.probabilities(logits), loss.layer_probabilities(logits)
    assert flat.dtype == layers.dtype == np.float32
    assert_rows_are_probabilities(flat)
    own = layers[:, :, 1:].reshape(7, -1)
    fits = own.sum(axis=1) < 1
    np.testing.assert_allclose(flat[fits, 1:], own[fits], atol=1e-6)


COUNTS = np.array([60, 10, 20, 8, 2])
ODDS = np.array([1.0, 10 / 70, 20 / 70, 8 / 90, 2 / 90])
"""Tokens of each label, and the odds of a label among those of its type and those outside it."""


@pytest.fixture
def adjusted_and_plain() -> list[TypeCrfLoss]:
    losses = [make_loss(tau=0.5), make_loss()]
    for loss in losses:
        before = [getattr(loss, name) for name in PARAMETERS]
        loss.prepare(COUNTS, ["O", "B-x", "I-x", "B-y", "I-y"])
        loss.transitions, loss.start = before
    return losses


def test_logit_adjustment_adds_the_log_odds_of_the_labels_in_their_layer(
    adjusted_and_plain: list[TypeCrfLoss],
) -> None:
    adjusted, plain = adjusted_and_plain
    logits, labels = np.random.default_rng(4).normal(size=(3, 5)), np.array([1, 2, 3])
    ours, theirs = adjusted(logits, labels), plain(logits + 0.5 * np.log(ODDS), labels)
    assert ours[1] == pytest.approx(theirs[1])
    np.testing.assert_allclose(ours[0], theirs[0], atol=1e-9)
    with pytest.raises(ValueError, match=r"call nlp\.initialize"):
        make_loss(tau=0.5)(logits, labels)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_adjusted_probabilities_are_those_of_the_chains_divided_by_the_prior(
    adjusted_and_plain: list[TypeCrfLoss], dtype: str
) -> None:
    """The prior is taken out once for each token, not once more for each token of its entity."""
    adjusted, plain = adjusted_and_plain
    logits = np.random.default_rng(5).normal(size=(7, 5)).astype(dtype)
    chains = logits + (0.5 * np.log(ODDS)).astype(dtype)
    flat = plain.probabilities(chains) / np.sqrt(COUNTS)
    flat /= flat.sum(axis=1, keepdims=True)
    ours = adjusted.probabilities(logits)
    assert ours.dtype == dtype
    np.testing.assert_allclose(ours, flat, rtol=1e-4)
    layers = plain.layer_probabilities(chains)
    layers[:, :, 1:] /= np.sqrt(ODDS[1:]).reshape(2, 2)
    layers /= layers.sum(axis=2, keepdims=True)
    np.testing.assert_allclose(adjusted.layer_probabilities(logits), layers, rtol=1e-4)


def test_long_documents_and_sure_logits_stay_exact() -> None:
    gold = np.tile([0, 1, 2, 2, 0], 1000)
    logits = np.zeros((5000, N_COLUMNS), dtype=np.float32)
    logits[np.arange(5000), gold] = 100.0
    logits[7] = -logits[7]  # a second begin beats the inside there by 100
    loss = TypeCrfLoss(reduction="sum")
    gradient, value = loss(logits, gold)
    marginals = loss.layer_probabilities(logits)
    assert np.isfinite(gradient).all()
    assert value == pytest.approx(100.0, abs=1e-4)
    np.testing.assert_allclose(marginals.sum(axis=2), 1.0, atol=1e-6)
    assert np.flatnonzero(marginals[:, 0].argmax(axis=1) != gold).tolist() == [7]


@pytest.mark.parametrize("size", [1e4, 1e30])
def test_enormous_logits(size: float) -> None:
    rng = np.random.default_rng(5)
    logits = rng.choice([-size, 0.0, size], size=(7, 5)).astype(np.float32)
    loss = make_loss()
    gradient, value = loss(logits, np.array([0, 1, 2, 3, 4, 0, NAN]))
    assert np.isfinite(gradient).all()
    assert np.isfinite(value) and value >= 0
    assert_rows_are_probabilities(loss.probabilities(logits))


@pytest.mark.parametrize(("n_tokens", "lengths"), [(0, []), (0, [0, 0]), (3, [1, 2]), (3, None)])
def test_nothing_to_learn_from(n_tokens: int, lengths: Any) -> None:
    logits = np.ones((n_tokens, N_COLUMNS), np.float32)
    for truths in (np.full(n_tokens, NAN), np.full((n_tokens, N_TYPES), NAN)):
        loss = make_loss()
        gradient, value = loss(logits, truths, lengths)
        assert (gradient.shape, gradient.dtype) == (logits.shape, np.float32)
        assert (gradient.any(), value, loss._gradients) == (False, 0.0, {})
        loss.finish_update(lambda *_: pytest.fail("nothing to update"))
    assert loss.probabilities(logits, lengths).shape == logits.shape
    assert loss.layer_probabilities(logits, lengths).shape == (n_tokens, N_TYPES, 3)


def test_a_head_of_outside_alone() -> None:
    logits = np.ones((3, 1), np.float32)
    gradient, value = TypeCrfLoss()(logits, np.zeros(3, dtype=np.int64))
    assert (gradient.any(), value) == (False, 0.0)
    assert TypeCrfLoss().probabilities(logits).tolist() == [[1], [1], [1]]


@pytest.mark.parametrize(
    ("labels", "lengths", "match"),
    [
        ([0, 2], None, "an I- has no B-"),
        ([1, 4], None, "an I- has no B-"),
        ([2, 0], None, "an I- has no B-"),
        ([1, 2], [1, 1], "an I- has no B-"),
        ([[0, 2], [0, 0]], None, "an I- has no B-"),
        ([0, 5], None, "between -1 and 4"),
        ([[0, 3], [0, 0]], None, "between -1 and 2"),
        ([0], None, "do not match"),
        ([[0], [0]], None, "do not match"),
        ([0, 0], [1, 2], "2 tokens, but documents of 3"),
    ],
)
def test_what_does_not_fit(labels: Any, lengths: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        make_loss()(np.zeros((2, N_COLUMNS)), np.array(labels), lengths)


def test_settings_and_shapes_are_checked() -> None:
    for setting in ({"rate_factor": 0.0}, {"reduction": "max"}, {"tau": -1.0}):
        with pytest.raises(ValueError, match=next(iter(setting))):
            TypeCrfLoss(**setting)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="1 types do not match the 2 that the CRF has learned"):
        make_loss().layer_probabilities(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="4 class weights"):
        loss = make_loss()
        loss.class_weights = np.ones(4)
        loss(np.zeros((1, N_COLUMNS)), np.array([1]))
    with pytest.raises(ValueError, match='counted on "training", or not at all'):
        loss = make_loss()
        loss.weighting = ClassWeights(counted_on="batch")
        loss(np.zeros((1, N_COLUMNS)), np.array([[0, 0]]))


# Learned transitions.


def test_parameters_follow_the_optimizer_and_stay_forbidden() -> None:
    loss, logits = make_loss(reduction="sum", rate_factor=3.0), np.zeros((2, N_COLUMNS))
    before = {name: np.array(getattr(loss, name)) for name in PARAMETERS}
    loss(logits, np.array([1, 2]))
    gradients = {name: loss._gradients[name].copy() for name in PARAMETERS}
    loss.finish_update(SGD(0.1))
    for name in PARAMETERS:
        np.testing.assert_allclose(
            getattr(loss, name), before[name] - 0.3 * gradients[name], atol=1e-6
        )
        assert gradients[name][0].any() and not gradients[name][1].any()  # no copy of the second
    assert not gradients["transitions"][:, 0, 2].any()
    assert not gradients["start"][:, 2].any()


def test_state_comes_back_to_the_last_bit() -> None:
    loss, logits = make_loss(), np.random.default_rng(6).normal(size=(4, N_COLUMNS))
    copy = TypeCrfLoss()
    copy.set_state(json.loads(json.dumps(loss.get_state())))
    for name in PARAMETERS:
        np.testing.assert_array_equal(getattr(copy, name), getattr(loss, name))
        assert getattr(copy, name).dtype == np.float32
    np.testing.assert_array_equal(
        copy.layer_probabilities(logits), loss.layer_probabilities(logits)
    )
    loss.prepare(np.array([5, 1, 1]), ["O", "B-x", "I-x"])
    assert loss.transitions is None and loss.start is None


def test_further_types_and_those_of_a_start() -> None:
    loss, source = make_loss(), make_loss(1)
    loss.add_columns(2)
    assert loss.transitions is not None and loss.transitions.shape == (3, 3, 3)
    assert loss.start is not None and not loss.start[2].any()
    assert loss(np.zeros((1, 7)), np.array([5]))[1] > 0
    taken = TypeCrfLoss()
    taken.take_columns(source, np.array([0, 3, 4, -1, -1]))
    assert taken.transitions is not None and source.transitions is not None
    np.testing.assert_array_equal(taken.transitions[0], source.transitions[1])
    assert not taken.transitions[1].any()
    other = TypeCrfLoss()
    other.take_columns(BinaryTokenLabels(), np.array([0, 1, 2]))
    assert other.transitions is None


# In the component.


def make_pipeline(**settings: Any) -> Language:
    nlp = spacy.blank("en")
    nlp.add_pipe(
        "btl_knn_ner", config={"loss": {"@losses": "spacy-btl.TypeCrfLoss.v1"}, **settings}
    )
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
    loss = component_of(nlp).loss
    assert isinstance(loss, TypeCrfLoss) and loss.transitions is not None
    assert loss.transitions.any()
    other = make_pipeline().from_bytes(nlp.to_bytes())
    docs = [nlp.make_doc(text) for text in (*texts, "", " ")]
    for ours, theirs in zip(*(component_of(n).predict(docs) for n in (nlp, other)), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_component_learns_entities_that_overlap() -> None:
    fix_random_seed(0)
    spans = {
        "History of severe asthma": [(0, 4, "History"), (2, 3, "Severity"), (3, 4, "Disease")],
        "She has asthma and asthma": [(2, 3, "Disease"), (2, 3, "History"), (4, 5, "Disease")],
        "Nothing else": [],
    }
    nlp = make_pipeline(spans_key="sc", neighbors={"n_neighbors": 1})
    examples = []
    for text, of_text in spans.items():
        reference = nlp.make_doc(text)
        reference.spans["sc"] = [Span(reference, *span) for span in of_text]
        examples.append(Example(nlp.make_doc(text), reference))
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(60):
        nlp.update(examples, sgd=optimizer)
    pipe = component_of(nlp)
    for fit in (False, True):
        if fit:
            pipe.fit_neighbors(examples)
        for text, expected in spans.items():
            doc = nlp(text)
            found = [(span.start, span.end, span.label_) for span in doc.spans["sc"]]
            assert sorted(found) == sorted(expected)


def test_component_reads_each_document_alone() -> None:
    nlp = make_pipeline()
    fix_random_seed(0)
    nlp.initialize(lambda: make_examples(nlp))
    pipe = component_of(nlp)
    assert isinstance(pipe.loss, TypeCrfLoss)
    rng = np.random.default_rng(0)
    pipe.loss.transitions, pipe.loss.start = rng.normal(size=(3, 3, 3)), rng.normal(size=(3, 3))
    docs = [example.predicted for example in make_examples(nlp)]
    for doc, together in zip(docs, pipe.predict(docs), strict=True):
        np.testing.assert_allclose(together, pipe.predict([doc])[0], atol=1e-6)
