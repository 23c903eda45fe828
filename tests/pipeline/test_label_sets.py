"""Documents that annotate some types only: training, neighbors, calibration, scores."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.util import fix_random_seed

from spacy_btl.data.label_sets import set_label_set
from spacy_btl.labels.bio import MISSING
from spacy_btl.labels.layers import OPEN
from spacy_btl.packaging.saving import save_pipeline
from spacy_btl.pipeline.component import component_of
from spacy_btl.pipeline.schemes import (
    FlatScheme,
    LayeredScheme,
    annotated_types,
    count_labels,
)
from spacy_btl.pipeline.tuning import Dev, choose_on_dev, current_setting
from spacy_btl.pipeline.workflow import fit_knn
from spacy_btl.scoring.scorer import example_entities
from tests.helpers.sentences import SENTENCES, entities

KEY = "all"
TYPES = ["Dosage", "Medication", "Sign_symptom"]
DRUGS = ("Dosage", "Medication")
LOSSES = ("BinaryTokenLabels", "PaperBinaryTokenLabels", "AllTokenLabels", "CrfLoss")


def make_example(
    nlp: Language, text: str, gold: list[Any], types: tuple[str, ...] | None, name: str = ""
) -> Example:
    """Return an example with the entities of these types, in ``doc.ents`` and in ``doc.spans``."""
    reference = nlp.make_doc(text)
    spans = [reference.char_span(start, end, label) for start, end, label in gold]
    kept = [span for span in spans if types is None or span.label_ in types]
    reference.set_ents(kept)
    reference.spans[KEY] = kept
    reference.user_data["name"] = name or text
    set_label_set(reference, types)
    return Example(nlp.make_doc(text), reference)


def make_corpora(nlp: Language) -> list[Example]:
    """Return two copies of the sentences: one annotates drugs, the other signs."""
    return [
        make_example(nlp, text, gold, types, f"{i} {text}")
        for i, types in enumerate((DRUGS, ("Sign_symptom", "Unknown_to_all")))
        for text, gold in SENTENCES
    ]


def make_pipeline(loss: str = "BinaryTokenLabels", updates: int = 60, **config: Any) -> Language:
    fix_random_seed(0)
    nlp = spacy.blank("xx")
    config["loss"] = {"@losses": f"spacy-btl.{loss}.v1"}
    if loss == "CrfLoss":
        config["class_weights"] = None
    nlp.add_pipe("btl_knn_ner", config=config)
    examples = make_corpora(nlp)
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(updates):
        nlp.update(examples, sgd=optimizer)
    return nlp


@pytest.mark.parametrize("loss", LOSSES)
def test_two_corpora_teach_one_head_the_types_of_both(loss: str) -> None:
    """Taken for ``O`` in half of the texts, entities would be found with no more than half."""
    nlp = make_pipeline(loss)
    assert component_of(nlp).labels == tuple(TYPES)  # "Unknown_to_all" occurs nowhere
    for text, gold in SENTENCES:
        expected = [(text[start:end], label) for start, end, label in gold]
        assert entities(nlp(text)) == expected


def test_documents_that_annotate_all_types_give_the_same_updates_as_before() -> None:
    weights = []
    for types in (None, (*TYPES, "Another")):
        fix_random_seed(0)
        nlp = spacy.blank("xx")
        nlp.add_pipe("btl_knn_ner")
        examples = [make_example(nlp, text, gold, types) for text, gold in SENTENCES]
        assert annotated_types(examples, TYPES) is None
        optimizer = nlp.initialize(lambda examples=examples: examples)
        for _ in range(3):
            nlp.update(examples, sgd=optimizer)
        weights.append(component_of(nlp).model.to_bytes())
    assert weights[0] == weights[1]


def test_the_mask_and_the_gold_labels_of_documents() -> None:
    nlp = spacy.blank("xx")
    examples = [
        make_example(nlp, "No fever", [(3, 8, "Sign_symptom")], ("Sign_symptom",)),
        make_example(nlp, "He took aspirin", [(8, 15, "Medication")], None),
    ]
    mask = annotated_types(examples, TYPES)
    assert mask is not None
    assert mask.tolist() == [[False, False, True]] * 2 + [[True] * 3] * 3
    flat, layered = FlatScheme(), LayeredScheme(KEY)
    assert flat.gold(examples[0], TYPES).tolist() == [0, 5]
    assert layered.gold(examples[0], TYPES).tolist() == [
        [MISSING, MISSING, 0],
        [MISSING, MISSING, 1],
    ]
    for reading in (flat, layered):
        assert count_labels(reading, examples, TYPES).tolist() == [3, 0, 0, 1, 0, 1, 0]


@pytest.mark.parametrize("reading", [FlatScheme(), LayeredScheme(KEY)], ids=["flat", "layered"])
def test_an_entity_that_is_not_annotated_is_refused_by_name(reading: Any) -> None:
    example = make_example(spacy.blank("xx"), "No fever", [(3, 8, "Sign_symptom")], None, "case-7")
    set_label_set(example.reference, DRUGS)
    with pytest.raises(ValueError, match=r"case-7.*Sign_symptom.*Dosage, Medication"):
        reading.gold(example, TYPES)


# Neighbors.


def votes_of(nlp: Language, docs: list[Doc]) -> Any:
    pipe = component_of(nlp)
    _, keys = pipe.token_vectors(docs)
    votes = pipe.neighbors.predict_proba(keys)
    return pipe.mixed(None, votes, 1.0)


def test_neighbors_vote_on_what_their_documents_annotate(tmp_path: Path) -> None:
    nlp = make_pipeline(neighbors={"n_neighbors": 2})
    pipe = component_of(nlp)
    pipe.fit_neighbors(make_corpora(nlp))
    store = pipe.neighbors.datastore
    assert store is not None
    assert len(store) == 2 * sum(len(nlp.make_doc(text)) for text, _ in SENTENCES)
    assert store.label_names[7:] == (
        "O + ?-Sign_symptom",
        "O + ?-Dosage + ?-Medication",
    ) or store.label_names[7:] == ("O + ?-Dosage + ?-Medication", "O + ?-Sign_symptom")
    docs = [nlp.make_doc(text) for text, _ in SENTENCES]
    # Each token has two neighbors of the same key, one of each corpus: an entity and an open O.
    before = votes_of(nlp, docs)
    gold = np.concatenate(
        [pipe.gold([make_example(nlp, text, gold, None)]) for text, gold in SENTENCES]
    )
    assert before.argmax(axis=1).tolist() == gold.tolist()
    assert before.max(axis=1) == pytest.approx(np.ones(len(gold)))
    save_pipeline(nlp, tmp_path / "saved")
    again = spacy.load(tmp_path / "saved")
    assert votes_of(again, docs).tobytes() == before.tobytes()


def test_the_file_of_neighbors_is_as_before_where_all_types_are_annotated() -> None:
    nlp = make_pipeline(updates=1)
    pipe = component_of(nlp)
    pipe.fit_neighbors([make_example(nlp, text, gold, None) for text, gold in SENTENCES])
    assert pipe.neighbors.datastore is not None
    assert dict(pipe.neighbors.datastore.extras) == {}
    assert len(pipe.neighbors.datastore.label_names) == 7


def test_documents_with_label_sets_and_new_types_are_added_to_neighbors_without() -> None:
    nlp = make_pipeline(neighbors={"n_neighbors": 1})
    pipe = component_of(nlp)
    pipe.fit_neighbors([make_example(nlp, text, gold, None) for text, gold in SENTENCES])
    new = make_example(nlp, "Age unknown", [(0, 3, "Age")], ("Age",))
    edit = pipe.add_examples([new])
    assert (edit.added, edit.new_labels) == (2, ("Age",))
    assert pipe.neighbors.datastore is not None
    assert pipe.neighbors.datastore.label_names == (
        "O",
        *(f"{prefix}-{kind}" for kind in [*TYPES, "Age"] for prefix in "BI"),
        "O + ?-Dosage + ?-Medication + ?-Sign_symptom",
    )
    assert entities(nlp("Age unknown")) == [("Age", "Age")]
    assert entities(nlp("No fever")) == [("fever", "Sign_symptom")]
    [evidence] = pipe.explain(nlp("Age unknown"))
    assert [n.label for n in evidence.tokens[0].neighbors] == ["B-Age"]
    more = make_example(nlp, "Sex unknown", [(0, 3, "Sex")], ("Sex",))
    assert pipe.add_examples([more], only_entities=True).added == 1
    assert pipe.remove_documents(["Age unknown"]) == 2
    assert entities(nlp("No fever")) == [("fever", "Sign_symptom")]


def test_an_explanation_shows_those_who_vote_on_the_type() -> None:
    nlp = make_pipeline(neighbors={"n_neighbors": 2})
    component_of(nlp).fit_neighbors(make_corpora(nlp))
    [evidence] = component_of(nlp).explain(nlp("No fever"))
    [token] = evidence.tokens
    assert [(n.label, n.share) for n in token.neighbors] == [("B-Sign_symptom", 1.0)]


def test_layers_with_open_rows(tmp_path: Path) -> None:
    nlp = make_pipeline(spans_key=KEY, neighbors={"n_neighbors": 2})
    pipe = component_of(nlp)
    pipe.fit_neighbors(make_corpora(nlp))
    rows = pipe.scheme.get_arrays()["rows"]
    assert (rows == OPEN).any()
    docs = [nlp.make_doc(text) for text, _ in SENTENCES]
    layers = votes_of(nlp, docs)
    gold = [pipe.gold([make_example(nlp, text, g, None)]) for text, g in SENTENCES]
    assert layers.argmax(axis=2).tolist() == np.concatenate(gold).tolist()
    assert layers.max(axis=2) == pytest.approx(np.ones(layers.shape[:2]))
    save_pipeline(nlp, tmp_path / "saved")
    again = spacy.load(tmp_path / "saved")
    assert votes_of(again, docs).tobytes() == layers.tobytes()
    for text, spans in SENTENCES:
        doc = again(text)
        found = sorted((s.start_char, s.end_char, s.label_) for s in doc.spans[KEY])
        assert found == sorted(spans)


def test_documents_that_differ_in_their_label_sets_only_are_told_apart() -> None:
    nlp = make_pipeline(updates=1)
    pipe = component_of(nlp)
    pair = [make_example(nlp, "She is well", [], types, "same") for types in (DRUGS, None)]
    with pytest.raises(ValueError, match="documents 1 and 2 are both named"):
        pipe.fit_neighbors(pair)
    for example in pair:
        del example.reference.user_data["name"]
    assert pipe.fit_neighbors(pair) == 6


# Dev.


def test_dev_leaves_out_what_is_not_annotated() -> None:
    nlp = make_pipeline()
    pipe = component_of(nlp)
    examples = [make_example(nlp, text, gold, DRUGS) for text, gold in SENTENCES]
    dev = Dev(pipe, examples, most=1)
    found = dev.find(current_setting(pipe))
    assert {label for each in found for label, _ in each.entities} == set(DRUGS)
    assert dev.trial(current_setting(pipe)).micro_f == 1.0
    wrong = make_example(nlp, "She took warfarin", [(9, 17, "Dosage")], DRUGS, "wrong")
    choice = choose_on_dev(pipe, [*examples, wrong], fixed=True)
    assert set(choice.entities.n_gold) == set(DRUGS)
    assert pipe.calibration is not None
    assert set(pipe.calibration.offsets) == set(DRUGS)


def test_neighbors_are_fitted_and_chosen_on_documents_with_label_sets() -> None:
    nlp = make_pipeline()
    outcome = fit_knn(nlp, make_corpora(nlp), make_corpora(nlp))
    assert outcome.choice is not None
    assert outcome.choice.chosen.micro_f == 1.0


@pytest.mark.parametrize("spans_key", [None, KEY])
def test_the_scores_of_spacy_leave_out_what_is_not_annotated(spans_key: str | None) -> None:
    scorer = {"@scorers": "spacy-btl.ner_scorer.v1", "spans_key": spans_key}
    nlp = make_pipeline(spans_key=spans_key, scorer=scorer)
    for types in (DRUGS, ("Sign_symptom",), None):
        examples = [make_example(nlp, text, gold, types) for text, gold in SENTENCES]
        scores = nlp.evaluate(examples)
        assert (scores["ents_p"], scores["ents_r"]) == (1.0, 1.0)
        assert set(scores["ents_per_type"]) == set(types or TYPES)
        assert scores["token_macro_r_with_o"] == 1.0
    as_outside = [make_example(nlp, text, gold, DRUGS) for text, gold in SENTENCES]
    for example in as_outside:
        set_label_set(example.reference, None)
    assert nlp.evaluate(as_outside)["ents_p"] == pytest.approx(3 / 6)


def test_a_span_of_a_type_without_annotation_hides_no_other() -> None:
    nlp = spacy.blank("xx")
    example = make_example(nlp, "No fever", [], ("Medication",))
    example.predicted.ents = [Span(example.predicted, 1, 2, "Sign_symptom")]
    found = example_entities(example)
    assert (found.predicted, found.judged, found.n_passed_over) == ([], [], 1)
    assert found.counts()["tokens"] == {"": [2, 2, 2]}
