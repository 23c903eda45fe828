from types import SimpleNamespace

import numpy as np
import pytest
import spacy

from spacy_btl.evaluation.corpus_stats import label_weights
from spacy_btl.training.class_weights import ClassWeights
from spacy_btl.training.losses import AllTokenLabels
from tests.helpers.sentences import make_examples

NAMES = ["O", "B-Age", "I-Age", "B-Non-x", "I-Non-x"]


@pytest.mark.parametrize(
    ("settings", "counts", "weights"),
    [
        ({}, [60, 30, 10], [0.4, 0.7, 0.9]),
        ({}, [3, 0, 1], [0.25, 1.0, 0.75]),  # a label without tokens weighs 1
        ({}, [5, 0, 0], [0.0, 1.0, 1.0]),  # the only label of the corpus weighs nothing
        ({}, [0, 0], [1.0, 1.0]),
        ({}, [1], [0.0]),
        ({}, [], []),
        ({"scheme": "none"}, [60, 30, 0], [1, 1, 1]),
        ({"scheme": "inverse_frequency"}, [8, 2], [10 / 16, 10 / 4]),
        ({"scheme": "inverse_frequency"}, [8, 1, 0], [9 / 16, 9 / 2, 9 / 2]),
        ({"scheme": "inverse_frequency", "power": 0.5}, [9, 1], [10 / 12, 10 / 4]),
        ({"scheme": "inverse_frequency", "power": 0}, [9, 1, 0], [1, 1, 1]),
        ({"scheme": "inverse_frequency"}, [0, 0], [1, 1]),
        ({"scheme": "inverse_frequency"}, [], []),
        # (1 - 0.5) / (1 - 0.5^n) is 1, 2/3, 4/7 for 1, 2, 3 tokens, here over their mean
        ({"scheme": "effective_number", "beta": 0.5}, [1, 3], np.array([1, 4 / 7]) * 4 / (19 / 7)),
        ({"scheme": "effective_number", "beta": 0.5}, [2, 0], [1, 1.5]),
        ({"scheme": "effective_number", "beta": 0}, [9, 1, 0], [1, 1, 1]),
        ({"scheme": "effective_number"}, [0], [1]),
    ],
)
def test_weights_of_counts(settings, counts, weights):
    result = ClassWeights(**settings).from_counts(np.array(counts, dtype=np.int64))
    assert result == pytest.approx(np.array(weights))
    assert result.shape == (len(counts),)
    assert result.dtype == np.float64


@pytest.mark.parametrize("scheme", ["inverse_frequency", "effective_number"])
def test_mean_over_the_tokens_is_1(scheme):
    counts = np.array([10**6, 5, 0, 7000])
    weights = ClassWeights(scheme=scheme).from_counts(counts)
    assert (counts * weights).sum() / counts.sum() == pytest.approx(1)
    assert np.isfinite(weights).all()


def test_effective_number_nears_the_inverse_frequency():
    counts = np.array([900, 90, 10])
    inverse = ClassWeights(scheme="inverse_frequency").from_counts(counts)
    effective = ClassWeights(scheme="effective_number", beta=1 - 1e-9).from_counts(counts)
    assert effective == pytest.approx(inverse, rel=1e-5)


@pytest.mark.parametrize("scheme", ["complement", "none", "inverse_frequency", "effective_number"])
def test_rows_are_corpora_of_their_own(scheme):
    counts = np.array([[90, 10, 0], [0, 0, 0], [5, 5, 1]])
    weighting = ClassWeights(scheme=scheme)
    expected = [weighting.from_counts(row) for row in counts]
    assert weighting.from_counts(counts) == pytest.approx(np.array(expected))


def test_large_counts_keep_rare_labels_apart():
    weights = ClassWeights().from_counts(np.array([10**12, 2, 1]))
    assert 0 < weights[0] < weights[1] < weights[2] < 1


@pytest.mark.parametrize(
    ("table", "weights"),
    [
        ({"O": 0.1, "Age": 2, "Non-x": 3}, [0.1, 2, 2, 3, 3]),
        ({"O": 0, "Age": 2, "B-Age": 5, "B-Non-x": 1, "I-Non-x": 4}, [0, 5, 2, 1, 4]),
    ],
)
def test_table(table, weights):
    weighting = ClassWeights(scheme="table", table=table)
    assert weighting.from_counts(np.zeros(5), NAMES).tolist() == weights


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"O": 1, "Age": 1, "Non-x": 1, "Mass": 1}, "has Mass, which is not a label: O,"),
        ({"O": 1, "Age": 1, "Non-x": 1, "B-Mass": 1}, "has B-Mass"),
        ({"O": 1, "Age": 1}, "lacks B-Non-x, I-Non-x"),
        ({"O": 1, "Age": 1, "B-Non-x": 1}, "lacks I-Non-x"),
        ({"Age": 1, "Non-x": 1}, "lacks O"),
        ({}, "lacks O, B-Age"),
    ],
)
def test_table_that_does_not_fit(table, message):
    with pytest.raises(ValueError, match=message):
        ClassWeights(scheme="table", table=table).from_counts(np.ones(5), NAMES)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scheme": "no"}, "scheme is 'no'"),
        ({"counted_on": "no"}, "counted_on is 'no'"),
        ({"power": -1}, "power is -1"),
        ({"power": float("nan")}, "power is nan"),
        ({"beta": 1.0}, "beta is 1.0"),
        ({"beta": -0.1}, "beta is -0.1"),
        ({"scheme": "table"}, 'needs scheme = "table"'),
        ({"table": {"O": 1}}, 'needs scheme = "table"'),
        ({"scheme": "table", "table": {"O": -1}}, 'weight of "O" is -1'),
        ({"scheme": "table", "table": {"Age": float("inf")}}, 'weight of "Age" is inf'),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        ClassWeights(**settings)


@pytest.mark.parametrize(
    ("scheme", "counted_on", "is_fixed"),
    [
        ("complement", "training", True),
        ("complement", "batch", False),
        ("complement", "copy", False),
        ("none", "copy", True),
    ],
)
def test_is_fixed(scheme, counted_on, is_fixed):
    assert ClassWeights(scheme=scheme, counted_on=counted_on).is_fixed == is_fixed


@pytest.mark.parametrize(
    ("weighting", "weights"),
    [
        (None, {"O": 1, "B-Age": 1, "I-Age": 1}),
        (ClassWeights(), {"O": 0.2, "B-Age": 0.9, "I-Age": 0.9}),
        (ClassWeights(counted_on="batch"), None),
    ],
)
def test_label_weights(weighting, weights):
    loss = AllTokenLabels()
    loss.weighting = weighting
    component = SimpleNamespace(labels=("Age",), loss=loss)
    assert label_weights(component) == (None if weighting else weights)
    loss.prepare(np.array([8, 1, 1]), ["O", "B-Age", "I-Age"])
    assert label_weights(component) == (weights and pytest.approx(weights))


def initialized(config):
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("btl_knn_ner", config=config)
    examples = make_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    return nlp, pipe, optimizer, examples


def weights_config(**settings):
    return {"class_weights": {"@misc": "spacy-btl.class_weights.v1", **settings}}


COUNTS = [10, 1, 1, 2, 0, 3, 1]  # O and three types in the sentences of conftest.py


@pytest.mark.parametrize(
    "settings",
    [
        {"scheme": "none"},
        {"scheme": "inverse_frequency", "power": 0.5},
        {"scheme": "effective_number", "beta": 0.9},
    ],
)
def test_component_takes_its_weights_from_the_training_data(settings):
    _, pipe, _, _ = initialized(weights_config(**settings))
    expected = ClassWeights(**settings).from_counts(np.array(COUNTS))
    assert pipe.loss.class_weights == pytest.approx(expected)
    assert list(label_weights(pipe).values()) == pytest.approx(expected)


def test_component_takes_a_table():
    table = {"O": 0.5, "Dosage": 2.0, "Medication": 3.0, "Sign_symptom": 1.0, "B-Dosage": 4.0}
    nlp, pipe, _, _ = initialized(weights_config(scheme="table", table=table))
    assert label_weights(pipe) == {
        "O": 0.5,
        "B-Dosage": 4.0,
        "I-Dosage": 2.0,
        "B-Medication": 3.0,
        "I-Medication": 3.0,
        "B-Sign_symptom": 1.0,
        "I-Sign_symptom": 1.0,
    }
    other = spacy.blank("en")
    other.add_pipe("btl_knn_ner")
    other.from_bytes(nlp.to_bytes())
    assert label_weights(other.get_pipe("btl_knn_ner")) == label_weights(pipe)
    with pytest.raises(ValueError, match="has Mass"):
        initialized(weights_config(scheme="table", table={**table, "Mass": 1.0}))
    with pytest.raises(ValueError, match="lacks O"):
        initialized(weights_config(scheme="table", table={"Dosage": 1.0}))


@pytest.mark.parametrize(
    ("loss", "counted_on"),
    [
        ("spacy-btl.BinaryTokenLabels.v1", "batch"),
        ("spacy-btl.AllTokenLabels.v1", "batch"),
        ("spacy-btl.PaperBinaryTokenLabels.v1", "batch"),
        ("spacy-btl.PaperBinaryTokenLabels.v1", "copy"),
    ],
)
def test_component_with_weights_of_each_batch(loss, counted_on):
    config = {"loss": {"@losses": loss}, **weights_config(counted_on=counted_on)}
    nlp, pipe, optimizer, examples = initialized(config)
    assert pipe.loss.class_weights is None
    assert label_weights(pipe) is None
    before, after = {}, {}
    nlp.update(examples, losses=before, sgd=optimizer)
    for _ in range(20):
        after = {}
        nlp.update(examples, losses=after, sgd=optimizer)
    assert after["btl_knn_ner"] < before["btl_knn_ner"]


def test_component_refuses_weights_of_copies_that_are_not_made():
    with pytest.raises(ValueError, match="BinaryTokenLabels makes no copies"):
        initialized(weights_config(counted_on="copy"))
