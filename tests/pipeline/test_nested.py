"""Entities that overlap: trained on ``doc.spans``, written there with scores."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.tokens import DocBin, Span
from spacy.training import Example
from spacy.util import fix_random_seed

from spacy_btl.labels.bio import MISSING
from spacy_btl.pipeline.component import BtlKnnNer

KEY = "brat"
TEXTS = {
    "History of severe asthma": [(0, 4, "History"), (2, 3, "Severity"), (3, 4, "Disease")],
    "She has asthma and asthma": [(2, 3, "Disease"), (2, 3, "History"), (4, 5, "Disease")],
    "Nothing else": [],
}
CONFIG: dict[str, Any] = {
    "spans_key": KEY,
    "scorer": {"@scorers": "spacy-btl.ner_scorer.v1", "spans_key": KEY},
    "neighbors": {"n_neighbors": 1},
}


def make_examples(nlp: Language) -> list[Example]:
    examples = []
    for text, spans in TEXTS.items():
        reference = nlp.make_doc(text)
        reference.spans[KEY] = [Span(reference, *span) for span in spans]
        examples.append(Example(nlp.make_doc(text), reference))
    return examples


def found(doc: spacy.tokens.Doc) -> list[tuple[int, int, str]]:
    return sorted((span.start, span.end, span.label_) for span in doc.spans[KEY])


@pytest.fixture(scope="module")
def nlp() -> Language:
    fix_random_seed(0)
    nlp = spacy.blank("xx")
    nlp.add_pipe("btl_knn_ner", config=CONFIG)
    optimizer = nlp.initialize(lambda: make_examples(nlp))
    for _ in range(60):
        nlp.update(make_examples(nlp), sgd=optimizer)
    return nlp


def test_learns_and_writes_all_of_them_with_scores(nlp: Language) -> None:
    for text, spans in TEXTS.items():
        doc = nlp(text)
        assert found(doc) == sorted(spans)
        scores = np.asarray(doc.spans[KEY].attrs["scores"])
        assert len(scores) == len(spans)
        assert ((scores > 0.5) & (scores < 1)).all()


def test_ents_are_a_flat_choice_of_them(nlp: Language) -> None:
    doc = nlp("History of severe asthma")
    chosen = [(ent.start, ent.end, ent.label_) for ent in doc.ents]
    assert chosen
    assert set(chosen) <= set(found(doc))
    doc = nlp.make_doc("History of severe asthma")
    doc.ents = [Span(doc, 3, 4, label="ORG")]
    doc = nlp.get_pipe("btl_knn_ner")(doc)
    assert (3, 4, "ORG") in [(ent.start, ent.end, ent.label_) for ent in doc.ents]


def test_scores_survive_a_docbin(nlp: Language) -> None:
    doc = nlp("History of severe asthma")
    (back,) = DocBin().from_bytes(DocBin(docs=[doc]).to_bytes()).get_docs(nlp.vocab)
    np.testing.assert_array_equal(back.spans[KEY].attrs["scores"], doc.spans[KEY].attrs["scores"])


def test_scored_by_what_overlaps_too(nlp: Language) -> None:
    scores = nlp.evaluate(make_examples(nlp))
    assert scores["ents_f"] == 1.0
    assert scores["ents_per_type"]["Disease"]["support"] == 3


def test_neighbors_vote_for_all_layers_at_once(nlp: Language, tmp_path: Path) -> None:
    other = spacy.blank("xx")
    other.add_pipe("btl_knn_ner", config=CONFIG)
    other.from_bytes(nlp.to_bytes())
    pipe = other.get_pipe("btl_knn_ner")
    assert isinstance(pipe, BtlKnnNer)
    assert pipe.fit_neighbors(make_examples(other)) == 11
    other.to_disk(tmp_path / "model")
    loaded = spacy.load(tmp_path / "model")
    for text, spans in TEXTS.items():
        assert found(other(text)) == found(loaded(text)) == sorted(spans)


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_a_new_type_in_a_layer_of_its_own(nlp: Language, tmp_path: Path, weight: float) -> None:
    other = spacy.blank("xx")
    other.add_pipe("btl_knn_ner", config={**CONFIG, "neighbor_weight": weight})
    pipe = other.from_bytes(nlp.to_bytes()).get_pipe("btl_knn_ner")
    assert isinstance(pipe, BtlKnnNer)
    pipe.fit_neighbors(make_examples(other))
    reference = other.make_doc("Her ear has asthma")
    spans = [(0, 2, "Ear"), (3, 4, "Disease"), (0, 4, "Complaint")]
    reference.spans[KEY] = [Span(reference, *span) for span in spans]
    assert pipe.add_examples([Example(other.make_doc(reference.text), reference)]).added == 4
    assert pipe.labels[-2:] == ("Complaint", "Ear")
    other.to_disk(tmp_path / "model")
    loaded = spacy.load(tmp_path / "model")
    for each in (other, loaded):
        doc = each(reference.text)
        assert {(0, 2, "Ear"), (0, 4, "Complaint")} <= set(found(doc))
        for text, known in TEXTS.items():
            assert found(each(text)) == sorted(known)
    told = {entity.label: entity for entity in loaded.get_pipe("btl_knn_ner").explain(doc)}
    ear = told["Ear"].tokens[0].neighbors[0]
    assert ear.label == "B-Ear"


def test_a_refused_document_leaves_no_trace(nlp: Language) -> None:
    other = spacy.blank("xx")
    other.add_pipe("btl_knn_ner", config=CONFIG)
    pipe = other.from_bytes(nlp.to_bytes()).get_pipe("btl_knn_ner")
    assert isinstance(pipe, BtlKnnNer)
    pipe.fit_neighbors(make_examples(other))
    labels, before = pipe.labels, {text: found(other(text)) for text in TEXTS}
    (again, *_) = make_examples(other)
    reference = again.reference
    reference.spans[KEY] = [Span(reference, 0, 1, "Ear")]
    with pytest.raises(ValueError, match="already in the datastore"):
        pipe.add_examples([again])
    assert pipe.labels == labels
    assert {text: found(other(text)) for text in TEXTS} == before


def test_what_does_not_fit_one_layer_is_not_taught_as_outside(nlp: Language) -> None:
    pipe = nlp.get_pipe("btl_knn_ner")
    assert isinstance(pipe, BtlKnnNer)
    (example, *_) = make_examples(nlp)
    reference = example.reference
    reference.spans[KEY] = [Span(reference, 0, 3, "History"), Span(reference, 2, 4, "History")]
    history = pipe.scheme.gold(example, pipe.labels)[:, pipe.labels.index("History")]
    assert history.tolist() == [1, 2, 2, MISSING]


def test_a_document_without_the_key_is_an_error(nlp: Language) -> None:
    doc = nlp.make_doc("No spans here")
    with pytest.raises(ValueError, match='no spans under "brat"'):
        nlp.update([Example(doc, doc.copy())])


@pytest.mark.parametrize(
    "loss",
    [
        {"@losses": "spacy-btl.AllTokenLabels.v1"},
        {"@losses": "spacy-btl.PaperBinaryTokenLabels.v1", "softmax": "all"},
    ],
)
def test_other_losses_are_refused(loss: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="or leave spans_key out"):
        spacy.blank("xx").add_pipe("btl_knn_ner", config={**CONFIG, "loss": loss})
