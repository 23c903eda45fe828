"""Neighbors in the component: where they come from, who they serve, how they are changed."""

import dataclasses
import random
import warnings
from typing import Any

import numpy as np
import pytest
import spacy
import srsly
import torch
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_btl.data.gold import document_id
from spacy_btl.labels.bio import MISSING
from spacy_btl.labels.calibration import ScoreCalibration
from spacy_btl.pipeline.component import BtlKnnNer, component_of
from spacy_btl.pipeline.entities import ScoredSpans, write_scores
from spacy_btl.pipeline.fitting import Edit, collect_keys, remove_documents, to_datastore
from spacy_btl.pipeline.tuning import Dev, current_setting
from spacy_btl.pipeline.workflow import fit_knn
from tests.helpers.datastores import counts_by_label
from tests.helpers.sentences import LABELS, SENTENCES, entities, make_examples

NAME = "btl_knn_ner"
TEXTS = [text for text, _ in SENTENCES]
SURE = ScoreCalibration(0.0, 0.5, 98, 9, offsets=dict.fromkeys(LABELS, 0.0))


def load(trained: bytes, **config: Any) -> Language:
    nlp = spacy.blank("xx")
    nlp.add_pipe(NAME, config={"neighbors": {"n_neighbors": 1}, **config})
    return nlp.from_bytes(trained)


@pytest.fixture
def nlp(trained: bytes) -> Language:
    return load(trained)


@pytest.fixture
def pipe(nlp: Language) -> BtlKnnNer:
    pipe = component_of(nlp)
    assert pipe.fit_neighbors(named_examples(nlp)) == 18
    return pipe


def named_examples(nlp: Language) -> list[Example]:
    """Return the sentences as documents "case-0", "case-1", ..."""
    examples = make_examples(nlp)
    for i, example in enumerate(examples):
        example.reference.user_data["brat"] = {"name": f"case-{i}", "entities": [], "records": []}
    return examples


def example_of(nlp: Language, text: str, *found: tuple[int, int, str], name: str = "") -> Example:
    example = Example.from_dict(nlp.make_doc(text), {"entities": list(found)})
    if name:
        example.reference.user_data["name"] = name
    return example


class TestFewTokens:
    """If no more tokens are stored than vote, a warning says that votes are meaningless."""

    @pytest.mark.parametrize(
        ("n_neighbors", "weight", "warns"),
        [(17, 1.0, False), (18, 1.0, True), (40, 1.0, True), (40, 0.5, True), (40, 0.0, False)],
    )
    @pytest.mark.parametrize("by", ["component", "fit_knn", "add_examples"])
    def test_warning(
        self, trained: bytes, n_neighbors: int, weight: float, warns: bool, by: str
    ) -> None:
        nlp = load(trained, neighbors={"n_neighbors": n_neighbors}, neighbor_weight=weight)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            if by == "component":
                component_of(nlp).fit_neighbors(named_examples(nlp))
            elif by == "fit_knn":
                fit_knn(nlp, named_examples(nlp))
            else:
                component_of(nlp).fit_neighbors(named_examples(nlp)[:3])
                caught.clear()
                component_of(nlp).add_examples(named_examples(nlp)[3:])
        text = f'only 18 tokens vote, no more than n_neighbors of "{NAME}" ({n_neighbors})'
        assert [str(each.message)[: len(text)] for each in caught] == [text] * warns


class TestProvenance:
    def test_every_token_is_stored_with_document_and_offset(self, pipe: BtlKnnNer) -> None:
        store = pipe.neighbors.datastore
        assert store is not None
        sources = [store.source(i) for i in range(len(store))]
        assert sources[:4] == [
            ("case-0", 0, "O"),
            ("case-0", 3, "O"),
            ("case-0", 8, "B-Dosage"),
            ("case-0", 10, "I-Dosage"),
        ]
        assert store.counts_by_document() == {"case-0": 7, "case-1": 6, "case-2": 2, "case-3": 3}

    def test_unlabeled_tokens_are_not(self, nlp: Language) -> None:
        reference = nlp.make_doc("She had chest pain")
        reference.set_ents([Span(reference, 2, 4, label="Sign_symptom")], default="missing")
        pipe = component_of(nlp)
        assert pipe.fit_neighbors([Example(nlp.make_doc(reference.text), reference)]) == 2

    @pytest.mark.parametrize(
        ("user_data", "expected"),
        [
            ({"brat": {"name": "case-1"}}, "case-1"),
            ({"name": "note 7"}, "note 7"),
            ({"brat": {"name": ""}, "name": "note 7"}, "note 7"),
            ({}, "83513275c0753b42"),
        ],
    )
    def test_id_of_a_document(self, user_data: dict[str, Any], expected: str) -> None:
        doc = spacy.blank("xx").make_doc("No fever")
        doc.user_data.update(user_data)
        assert document_id(doc) == expected

    @pytest.mark.parametrize("passes", [1, 3])
    def test_dropout_makes_keys_that_differ_from_pass_to_pass(
        self, nlp: Language, passes: int
    ) -> None:
        pipe, examples = component_of(nlp), named_examples(nlp)
        assert pipe.fit_neighbors(examples, dropout=0.3, passes=passes) == 18 * passes
        keys = pipe.neighbors.datastore.keys
        assert len(np.unique(keys, axis=0)) == 18 * passes
        assert pipe.fit_neighbors(examples, dropout=0.3, passes=passes) == 18 * passes
        np.testing.assert_array_equal(pipe.neighbors.datastore.keys, keys)
        with pytest.raises(ValueError, match="passes is 0, but must be a whole number, 1 or more"):
            pipe.fit_neighbors(examples, passes=0)
        plain = pipe.token_vectors([example.predicted for example in examples])[1]
        assert not np.allclose(plain, keys[:18])


class TestDropout:
    def test_the_program_and_the_layers_stay_as_they_are(self, nlp: Language) -> None:
        """Neither random states nor dropout rates are those of the fitting afterwards."""
        pipe = component_of(nlp)
        layers = [node for node in pipe.model.walk() if "dropout_rate" in node.attrs]
        assert layers
        for i, layer in enumerate(layers):
            layer.attrs["dropout_rate"] = 0.01 * i
        random.seed(1), np.random.seed(2), torch.manual_seed(3)
        expected = random.random(), np.random.random(), float(torch.rand(1))
        random.seed(1), np.random.seed(2), torch.manual_seed(3)
        pipe.fit_neighbors(make_examples(nlp), dropout=0.5, passes=2)
        assert (random.random(), np.random.random(), float(torch.rand(1))) == expected
        assert [layer.attrs["dropout_rate"] for layer in layers] == [
            0.01 * i for i in range(len(layers))
        ]

    def test_also_where_fitting_fails(self, nlp: Language, monkeypatch: pytest.MonkeyPatch) -> None:
        pipe = component_of(nlp)
        layers = [node for node in pipe.model.walk() if "dropout_rate" in node.attrs]
        before = [layer.attrs["dropout_rate"] for layer in layers], random.getstate()

        def fail(*arguments: Any) -> None:
            raise RuntimeError

        monkeypatch.setattr(pipe, "gold", fail)
        with pytest.raises(RuntimeError):
            pipe.fit_neighbors(make_examples(nlp)[:1], dropout=0.5)
        assert ([layer.attrs["dropout_rate"] for layer in layers], random.getstate()) == before

    @pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
    def test_rates_out_of_range(self, nlp: Language, rate: float) -> None:
        with pytest.raises(
            ValueError, match=f"dropout is {rate}, but must be at least 0 and below 1"
        ):
            component_of(nlp).fit_neighbors(make_examples(nlp), dropout=rate)


@pytest.mark.parametrize("spans_key", [None, "sc"])
def test_neighbors_stay_where_fitting_anew_fails(trained: bytes, spans_key: str | None) -> None:
    """With the meaning of their labels: with overlapping types, rows of the layers of all types."""
    nlp = load(trained, spans_key=spans_key)
    pipe, examples = component_of(nlp), make_examples(nlp)
    for example in examples:
        example.reference.spans["sc"] = list(example.reference.ents)
    docs = [nlp.make_doc(text) for text in TEXTS]
    pipe.fit_neighbors(examples)
    before = pipe.predict(docs)
    with pytest.raises(ValueError, match="no documents to fit"):
        pipe.fit_neighbors([])
    tokens = collect_keys(pipe, examples)
    with pytest.raises(ValueError, match="no labeled tokens"):
        to_datastore(pipe, dataclasses.replace(tokens, gold=np.full_like(tokens.gold, MISSING)))
    for ours, theirs in zip(pipe.predict(docs), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


class TestDecision:
    @pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
    def test_mixes_votes_with_the_model(self, trained: bytes, weight: float) -> None:
        nlp = load(trained, neighbor_weight=weight)
        pipe, docs = component_of(nlp), [nlp.make_doc("He took 9 mg"), nlp.make_doc("No pain")]
        own = pipe.predict(docs)
        pipe.fit_neighbors(make_examples(nlp))
        _, keys = pipe.token_vectors(docs)
        votes = pipe.neighbors.predict_proba(keys)
        for mixed, alone, vote in zip(pipe.predict(docs), own, np.split(votes, [4]), strict=True):
            np.testing.assert_allclose(mixed, weight * vote + (1 - weight) * alone, atol=1e-6)

    def test_hidden_states_as_keys(self, trained: bytes) -> None:
        nlp = load(trained, keys="hidden")
        pipe = component_of(nlp)
        pipe.fit_neighbors(make_examples(nlp))
        assert pipe.neighbors.datastore.width == 96
        assert [entities(nlp(text)) for text in TEXTS] == [
            entities(load(trained)(text)) for text in TEXTS
        ]
        reloaded = load(nlp.to_bytes(), keys="hidden")
        assert [entities(reloaded(text)) for text in TEXTS] == [entities(nlp(t)) for t in TEXTS]

    @pytest.mark.parametrize("keys", ["logits", "hidden"])
    def test_documents_without_tokens(self, trained: bytes, keys: str) -> None:
        """Alone, and as many as fill a batch of their own."""
        nlp = load(trained, keys=keys)
        pipe = component_of(nlp)
        empty = Example.from_dict(nlp.make_doc(""), {"entities": []})
        assert pipe.fit_neighbors([*[empty] * 32, *make_examples(nlp)]) == 18
        assert not nlp("").ents
        assert pipe.predict([]) == []
        assert entities(list(nlp.pipe(["", TEXTS[2]], batch_size=1))[1]) == [
            ("fever", "Sign_symptom")
        ]
        dev = Dev(pipe, [*[empty] * 32, *make_examples(nlp)], most=3)
        assert [len(found.spans) for found in dev.find(current_setting(pipe))[:32]] == [0] * 32

    @pytest.mark.parametrize("settings", [{"keys": "logit"}, {"neighbor_weight": 1.5}])
    def test_settings_that_are_none(self, settings: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=r"must|is not"):
            spacy.blank("xx").add_pipe(NAME, config=settings)

    def test_other_weights_are_refused(self, nlp: Language, pipe: BtlKnnNer) -> None:
        other = spacy.blank("xx")
        other.add_pipe(NAME, config={"neighbors": {"n_neighbors": 1}})
        other.initialize(lambda: make_examples(other))
        theirs = component_of(other)
        theirs.from_bytes(pipe.to_bytes(exclude=["model"]), exclude=["model"])
        with pytest.raises(ValueError, match=r"fitted on other weights .* fit-knn MODEL TRAIN OUT"):
            other("No fever")
        theirs.from_bytes(pipe.to_bytes(exclude=["neighbors"]), exclude=["neighbors"])
        assert entities(other("No fever")) == [("fever", "Sign_symptom")]

    def test_other_keys_are_refused(self, nlp: Language, pipe: BtlKnnNer) -> None:
        other = load(nlp.to_bytes(), keys="hidden")
        with pytest.raises(ValueError, match='are logits, but its keys are hidden; set keys = "l'):
            other("No fever")

    def test_refused_neighbors_are_not_kept(self, nlp: Language, pipe: BtlKnnNer) -> None:
        store, before = pipe.neighbors.datastore, entities(nlp(TEXTS[0]))
        for other in (
            dataclasses.replace(store, fingerprint="f" * 32),
            dataclasses.replace(store, key_kind="hidden"),
        ):
            with pytest.raises(ValueError, match="fit-knn MODEL TRAIN OUT"):
                pipe.set_neighbors(other)
            assert pipe.neighbors.datastore is store
            assert entities(nlp(TEXTS[0])) == before

    def test_a_damaged_file_is_told_by_name(
        self, nlp: Language, pipe: BtlKnnNer, tmp_path: Any
    ) -> None:
        nlp.to_disk(tmp_path)
        file = tmp_path / NAME / "neighbors"
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
        with pytest.raises(ValueError, match=r"neighbors cannot be read: it is damaged"):
            spacy.load(tmp_path)


class TestScores:
    def test_raw_ones_say_so(self, nlp: Language, pipe: BtlKnnNer) -> None:
        doc = nlp(TEXTS[1])
        group = doc.spans[NAME]
        assert [(span.text, span.label_) for span in group] == entities(doc)
        assert group.attrs["calibrated"].tolist() == [False, False]
        assert [span._.btl_score for span in doc.ents] == group.attrs["scores"].tolist()
        assert {span._.btl_calibrated for span in doc.ents} == {False}
        assert doc[:2]._.btl_score is None

    def test_calibrated_ones_are_never_certain(self, nlp: Language, pipe: BtlKnnNer) -> None:
        pipe.calibration = SURE
        scores = [span._.btl_score for span in load(nlp.to_bytes())(TEXTS[1]).ents]
        assert scores == pytest.approx([0.969, 0.969], abs=0.001)
        assert nlp(TEXTS[1]).spans[NAME].attrs["calibrated"].tolist() == [True, True]

    def test_a_calibration_holds_for_its_settings(self, nlp: Language, pipe: BtlKnnNer) -> None:
        pipe.calibration = SURE
        pipe.neighbors.n_neighbors = 3
        assert pipe.calibration is None
        assert nlp(TEXTS[1]).spans[NAME].attrs["calibrated"].tolist() == [False, False]
        pipe.neighbors.n_neighbors = 1
        assert pipe.calibration == SURE

    @pytest.mark.parametrize(
        ("thresholds", "kept"),
        [
            ({}, ["Dosage", "Medication"]),
            ({"Dosage": 1.0}, ["Medication"]),
            ({"Medication": 1.0, "Dosage": 0.5}, ["Dosage"]),
            ({"Sign_symptom": 1.0}, ["Dosage", "Medication"]),
        ],
    )
    def test_thresholds(
        self, trained: bytes, thresholds: dict[str, float], kept: list[str]
    ) -> None:
        nlp = load(trained, thresholds=thresholds)
        doc = nlp(TEXTS[0])
        assert [ent.label_ for ent in doc.ents] == kept
        assert [span.label_ for span in doc.spans[NAME]] == kept

    def test_thresholds_apply_to_raw_and_to_calibrated_scores(
        self, nlp: Language, pipe: BtlKnnNer
    ) -> None:
        pipe.thresholds = {"Dosage": 1.0}
        assert [ent.label_ for ent in nlp(TEXTS[0]).ents] == ["Dosage", "Medication"]  # raw: 1.0
        pipe.calibration = SURE
        assert [ent.label_ for ent in nlp(TEXTS[0]).ents] == ["Medication"]

    @pytest.mark.parametrize("value", [0.3, 0.7, 0.123457, 1 / 3])
    def test_settings_are_recognized_after_saving(
        self, nlp: Language, pipe: BtlKnnNer, value: float
    ) -> None:
        pipe.neighbors.temperature = value
        pipe.calibration = SURE
        # As configurations were written and read before confection 1.0.
        rounded = srsly.json_loads(srsly.json_dumps(value))
        for read in (value, rounded):
            again = component_of(load(nlp.to_bytes()))
            again.neighbors.temperature = read
            assert again.calibration == SURE
            again.neighbors.n_neighbors = 3
            assert again.calibration is None

    def test_two_labels_on_one_span_keep_a_score_each(self, nlp: Language) -> None:
        doc = nlp.make_doc("No fever")
        spans = [Span(doc, 1, 2, label=label) for label in ("History", "Sign_symptom")]
        write_scores(doc, "sc", ScoredSpans(spans, np.array([0.25, 0.75]), np.array([False, True])))
        copy = Doc(nlp.vocab).from_bytes(doc.to_bytes())
        found = [
            (span.label_, span._.btl_score, span._.btl_calibrated) for span in copy.spans["sc"]
        ]
        assert found == [("History", 0.25, False), ("Sign_symptom", 0.75, True)]

    def test_no_group_where_none_is_wanted(self, trained: bytes) -> None:
        doc = load(trained, scores_key=None)(TEXTS[0])
        assert len(doc.ents) == 2
        assert not doc.spans
        assert doc.ents[0]._.btl_score is None


class TestEditing:
    TEXT = "He was forty years old"

    def test_a_new_type_is_found_without_training(self, nlp: Language, pipe: BtlKnnNer) -> None:
        weights = pipe.model.to_bytes()
        assert entities(nlp(self.TEXT)) == []
        added = example_of(nlp, self.TEXT, (7, 22, "Age"), name="new")
        assert pipe.add_examples([added]) == Edit(5, ("Age",))
        assert pipe.labels == (*LABELS, "Age")
        assert pipe.label_data == list(LABELS)
        assert entities(nlp(self.TEXT)) == [("forty years old", "Age")]
        assert [entities(nlp(text)) for text in TEXTS] == [
            [(text[s:e], label) for s, e, label in ents] for text, ents in SENTENCES
        ]
        assert pipe.model.to_bytes() == weights
        again = load(nlp.to_bytes())
        assert entities(again(self.TEXT)) == [("forty years old", "Age")]
        assert component_of(again).labels == pipe.labels

    def test_only_entities(self, nlp: Language, pipe: BtlKnnNer) -> None:
        added = example_of(nlp, self.TEXT, (7, 22, "Age"))
        assert pipe.add_examples([added], only_entities=True).added == 3
        assert counts_by_label(component_of(nlp).neighbors.datastore)["O"] == 10

    @pytest.mark.parametrize("weight", [0.0, 0.4, 1.0])
    def test_whatever_the_weight_of_the_neighbors(self, trained: bytes, weight: float) -> None:
        """The model knows nothing of a new type: its share is of what the new type leaves."""
        nlp = load(trained, neighbor_weight=weight)
        pipe = component_of(nlp)
        pipe.fit_neighbors(make_examples(nlp))
        pipe.add_examples([example_of(nlp, self.TEXT, (7, 22, "Age"))])
        probabilities = pipe.predict([nlp.make_doc(self.TEXT)])[0]
        assert probabilities.shape == (5, 1 + 2 * 4)
        assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
        assert entities(nlp(self.TEXT)) == [("forty years old", "Age")]
        assert entities(nlp(TEXTS[1])) == [
            ("chest pain", "Sign_symptom"),
            ("fever", "Sign_symptom"),
        ]
        told = pipe.explain(nlp(self.TEXT)) + pipe.explain(nlp(TEXTS[1]))
        assert [entity.neighbor_weight for entity in told] == [1.0, weight, weight]

    @pytest.mark.parametrize(
        ("weight", "added", "is_voided"),
        [
            (1.0, ("No fever today", (3, 8, "Sign_symptom")), True),
            (0.5, ("No fever today", (3, 8, "Sign_symptom")), True),
            (0.0, ("No fever today", (3, 8, "Sign_symptom")), False),
            (1.0, (TEXT, (7, 22, "Age")), True),
            (0.0, (TEXT, (7, 22, "Age")), False),
            (1.0, None, True),
            (0.0, None, False),
        ],
    )
    def test_an_edit_voids_a_calibration_with_neighbors(
        self, nlp: Language, pipe: BtlKnnNer, weight: float, added: Any, is_voided: bool
    ) -> None:
        """Scores of the model alone are what they were."""
        pipe.neighbor_weight = weight
        pipe.calibration = SURE
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            if added is None:
                pipe.remove_documents(["case-3"])
            else:
                pipe.add_examples([example_of(nlp, added[0], added[1])])
        assert [str(w.message)[:16] for w in told] == ['the scores of "b'] * is_voided
        assert not is_voided or "fit-knn MODEL TRAIN OUT --dev DEV" in str(told[0].message)
        assert (pipe.calibration is None) == is_voided
        pipe.neighbor_weight = 1.0 - weight  # the settings of then, on another datastore
        pipe.neighbor_weight = weight
        assert {s._.btl_calibrated for s in nlp(TEXTS[1]).ents} == {not is_voided}

    def test_no_calibration_has_seen_an_added_type(self, nlp: Language, pipe: BtlKnnNer) -> None:
        pipe.neighbor_weight = 0.0
        pipe.calibration = SURE
        pipe.add_examples([example_of(nlp, f"{self.TEXT} had fever", (7, 22, "Age"))])
        doc = nlp(f"{self.TEXT} had fever")
        expected = [("Age", False), ("Sign_symptom", True)]
        assert [(ent.label_, ent._.btl_calibrated) for ent in doc.ents] == expected
        assert [(e.label, e.calibrated) for e in pipe.explain(doc)] == expected
        # One that has seen it does not outlive the next edit, as the neighbors alone know it.
        pipe.calibration = ScoreCalibration(0.0, 0.5, 98, 9, {"Age": 0.0, "Sign_symptom": 0.0})
        assert [ent._.btl_calibrated for ent in nlp(doc.text).ents] == [True, True]
        with pytest.warns(UserWarning, match="calibrated with the neighbors before this edit"):
            pipe.remove_documents(["case-3"])
        assert [ent._.btl_calibrated for ent in nlp(doc.text).ents] == [False, False]

    @pytest.mark.parametrize("is_method", [True, False])
    def test_a_warning_points_to_the_line_that_called(
        self, nlp: Language, pipe: BtlKnnNer, is_method: bool
    ) -> None:
        """The line is found through calls inside the package and through spaCy."""
        pipe.calibration = SURE
        examples = make_examples(nlp)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            if is_method:
                pipe.remove_documents(["case-3"])
                pipe.fit_neighbors([*examples, examples[0]])
                pipe.update(examples)
            else:
                remove_documents(pipe, ["case-3"])
                fit_knn(nlp, [*examples, examples[0]])
                nlp.update(examples)
        assert [warning.filename for warning in told] == [__file__] * 3

    def test_nothing_removed_voids_nothing(self, pipe: BtlKnnNer) -> None:
        pipe.calibration = SURE
        assert pipe.remove_documents([]) == 0
        assert pipe.calibration == SURE

    @pytest.mark.parametrize("way", ["fit", "add"])
    def test_a_document_given_twice_votes_once(
        self, nlp: Language, pipe: BtlKnnNer, way: str
    ) -> None:
        def take(*examples: Example) -> int:
            if way == "add":
                return pipe.add_examples(list(examples), weight=1).added
            return pipe.fit_neighbors(list(examples))

        text, found = "She took aspirin", (9, 16, "Medication")
        with pytest.warns(
            UserWarning, match=r"1 of 3 documents are repeated .*each document votes once"
        ):
            n = take(
                example_of(nlp, text, found),
                example_of(nlp, "No pain"),
                example_of(nlp, text, found),
            )
        assert n == 5
        unlike = [
            (example_of(nlp, text, found, name="x"), example_of(nlp, "No", name="x")),
            (example_of(nlp, text, found, name="x"), example_of(nlp, text, name="x")),
        ]
        for pair in unlike:
            message = 'documents 1 and 2 are both named "x"; they differ in text or annotation'
            with pytest.raises(ValueError, match=message):
                take(*pair)
        many = [example_of(nlp, f"{i} mg", name="x") for i in range(14)]
        with pytest.raises(ValueError, match=r'1 and 11 are both named "x"; and 3 more pairs;'):
            take(*many)

    def test_unnamed_documents_of_one_text_all_vote_where_they_differ(self, nlp: Language) -> None:
        pipe, text = component_of(nlp), "She took aspirin"
        with pytest.warns(UserWarning, match=r"1 of 4 documents are repeated"):
            n = pipe.fit_neighbors(
                [
                    example_of(nlp, text, (9, 16, "Medication")),
                    example_of(nlp, text),
                    example_of(nlp, text, (9, 16, "Medication")),
                    example_of(nlp, text, (9, 16, "Dosage")),
                ]
            )
        store = pipe.neighbors.datastore
        assert store is not None and n == 9
        first = document_id(nlp.make_doc(text))
        assert store.documents == (first, f"{first}-2", f"{first}-3")
        counts = counts_by_label(store)
        assert (counts["B-Medication"], counts["B-Dosage"], counts["O"]) == (1, 1, 7)
        assert pipe.remove_documents([f"{first}-2"]) == 3

    def test_a_document_does_not_stand_twice(self, nlp: Language, pipe: BtlKnnNer) -> None:
        again = named_examples(nlp)[1:2]
        with pytest.raises(ValueError, match="'case-1'; remove first"):
            pipe.add_examples(again)
        assert pipe.remove_documents(["case-1"]) == 6
        assert pipe.add_examples(again) == Edit(6)

    def test_removed_documents_are_in_no_explanation(self, nlp: Language, pipe: BtlKnnNer) -> None:
        let_the_nearest_decide(pipe, 18)
        doc = nlp(TEXTS[1])
        assert documents_told(pipe, doc) == {"case-0", "case-1", "case-2", "case-3"}
        assert pipe.remove_documents(["case-1", "case-3"]) == 9
        assert documents_told(pipe, nlp(TEXTS[1])) == {"case-0", "case-2"}
        assert b"case-1" not in nlp.to_bytes()
        assert documents_told(component_of(load(nlp.to_bytes())), doc) <= {"case-0", "case-2"}

    def test_without_any_document_the_model_decides(self, nlp: Language, pipe: BtlKnnNer) -> None:
        pipe.remove_documents([f"case-{i}" for i in range(4)])
        assert not pipe.has_neighbors
        assert [entities(nlp(text)) for text in TEXTS] == [
            entities(load(nlp.to_bytes())(text)) for text in TEXTS
        ]
        assert len(nlp(TEXTS[0]).ents) == 2

    def test_nothing_to_edit(self, nlp: Language) -> None:
        pipe = component_of(nlp)
        with pytest.raises(ValueError, match="run fit-knn first"):
            pipe.add_examples(make_examples(nlp))
        with pytest.raises(ValueError, match="run fit-knn first"):
            pipe.remove_documents(["case-0"])

    def test_an_update_drops_added_types(self, nlp: Language, pipe: BtlKnnNer) -> None:
        pipe.add_examples([example_of(nlp, self.TEXT, (7, 22, "Age"))])
        with pytest.warns(UserWarning, match="run fit-knn again"):
            nlp.update(make_examples(nlp))
        assert pipe.labels == LABELS


def let_the_nearest_decide(pipe: BtlKnnNer, n_neighbors: int) -> None:
    """Check the number of neighbors, and that the nearest has nearly all of the vote."""
    pipe.neighbors.n_neighbors = n_neighbors
    pipe.neighbors.votes, pipe.neighbors.temperature = "softmax", 0.01


def documents_told(pipe: BtlKnnNer, doc: Doc) -> set[str]:
    """Return documents of all neighbors that explain the entities of a document."""
    return {
        neighbor.document
        for entity in pipe.explain(doc)
        for token in entity.tokens
        for neighbor in token.neighbors
    }


class TestExplaining:
    def test_each_token_has_its_neighbors(self, nlp: Language, pipe: BtlKnnNer) -> None:
        let_the_nearest_decide(pipe, 3)
        doc = nlp(TEXTS[1])
        pain, fever = pipe.explain(doc)
        assert (pain.label, pain.start, pain.end) == ("Sign_symptom", 8, 18)
        assert (pain.score, pain.calibrated) == (doc.ents[0]._.btl_score, False)
        assert [(t.start, t.end, t.label) for t in pain.tokens] == [
            (8, 13, "B-Sign_symptom"),
            (14, 18, "I-Sign_symptom"),
        ]
        first = pain.tokens[0].neighbors
        assert first[0][2:4] == ("case-1", 8)
        assert first[0].distance == pytest.approx(0, abs=1e-3)
        assert [n.share for n in first] == pytest.approx([1, 0, 0], abs=1e-3)
        assert [n.distance for n in first] == sorted(n.distance for n in first)
        assert fever.tokens[0].neighbors[0].label == "B-Sign_symptom"

    def test_a_document_not_read_yet_stays_as_it_is(self, nlp: Language, pipe: BtlKnnNer) -> None:
        doc = nlp.make_doc(TEXTS[1])
        assert [entity.label for entity in pipe.explain(doc)] == ["Sign_symptom", "Sign_symptom"]
        assert not doc.ents
        assert not doc.spans

    @pytest.mark.parametrize("text", ["", "   ", "the the"])
    def test_no_entity(self, nlp: Language, pipe: BtlKnnNer, text: str) -> None:
        assert pipe.explain(nlp(text)) == [] == pipe.explain(nlp.make_doc(text))

    def test_nobody_to_ask(self, nlp: Language) -> None:
        with pytest.raises(ValueError, match="no neighbors to explain its entities by"):
            component_of(nlp).explain(nlp(TEXTS[0]))


@pytest.mark.parametrize("k", [17, 1000])
def test_fewer_keys_than_neighbors(trained: bytes, k: int) -> None:
    nlp = load(trained, neighbors={"n_neighbors": k})
    component_of(nlp).fit_neighbors(make_examples(nlp)[:2])
    assert {span.label_ for text in TEXTS for span in nlp(text).ents} <= set(LABELS)
    probabilities = component_of(nlp).predict([nlp.make_doc("")])
    assert [each.shape for each in probabilities] == [(0, 7)]


def test_one_label_only(trained: bytes) -> None:
    nlp = load(trained)
    example = example_of(nlp, "fever", (0, 5, "Sign_symptom"))
    assert component_of(nlp).fit_neighbors([example]) == 1
    assert entities(nlp("She took warfarin")) == [
        (word, "Sign_symptom") for word in ("She", "took", "warfarin")
    ]


def test_n_process_with_neighbors(nlp: Language, pipe: BtlKnnNer) -> None:
    docs = list(nlp.pipe([*TEXTS, ""], n_process=2, batch_size=2))
    assert [entities(doc) for doc in docs] == [entities(nlp(text)) for text in [*TEXTS, ""]]
    assert (
        docs[1].spans[NAME].attrs["scores"].tolist()
        == nlp(TEXTS[1]).spans[NAME].attrs["scores"].tolist()
    )
