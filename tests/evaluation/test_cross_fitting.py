"""Cross-fitting: what each fold trains and predicts, and that it leaves no trace."""

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from spacy.language import Language
from spacy.training import Example
from spacy.util import fix_random_seed

from spacy_btl.evaluation.cross_fitting import cross_predict, train_anew
from spacy_btl.pipeline.component import component_of
from tests.helpers.sentences import LABELS, SENTENCES, make_examples

NAME = "btl_knn_ner"
TEXTS = [text for text, _ in SENTENCES]
LISTENER = {
    "@architectures": "spacy-btl.TokenClassifier.v1",
    "tok2vec": {"@architectures": "spacy.Tok2VecListener.v1", "width": 16},
}


def examples_with_tags(nlp: Language) -> list[Example]:
    examples = make_examples(nlp)
    for example in examples:
        for token in example.reference:
            token.tag_ = "UPPER" if token.is_title else "LOWER"
    return examples


def untrained(frozen: Sequence[str] = ()) -> Language:
    """Return a shared encoder, a tagger and the component."""
    nlp = spacy.blank("xx")
    encoder = {
        "@architectures": "spacy.HashEmbedCNN.v2",
        "width": 16,
        "depth": 1,
        "embed_size": 50,
        "window_size": 1,
        "maxout_pieces": 2,
        "subword_features": True,
        "pretrained_vectors": None,
    }
    nlp.add_pipe("tok2vec", config={"model": encoder})
    nlp.add_pipe("tagger")
    nlp.add_pipe(NAME, config={"model": LISTENER})
    annotating = [name for name in frozen if name == "tok2vec"]
    nlp.config["training"].update(frozen_components=list(frozen), annotating_components=annotating)
    return nlp


def make_pipeline(frozen: Sequence[str] = ()) -> Language:
    """Return trained together; then some are frozen."""
    fix_random_seed(0)
    nlp = untrained(frozen)
    examples = examples_with_tags(nlp)
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(3):
        nlp.update(examples, sgd=optimizer)
    return nlp


def retrained(nlp: Language, steps: int = 2, **settings: Any) -> Language:
    return train_anew(nlp, examples_with_tags(nlp), steps=steps, labels=LABELS, **settings)


def is_same(name: str, *pipelines: Language) -> bool:
    pipes: list[Any] = [nlp.get_pipe(name) for nlp in pipelines]
    ours, theirs = (pipe.model.to_bytes() for pipe in pipes)
    return bool(ours == theirs)


def random_states() -> tuple[Any, ...]:
    numpy_state = np.random.get_state()
    return random.getstate(), tuple(numpy_state[1]), numpy_state[2], torch.get_rng_state().tolist()


class TestPredictions:
    def test_one_for_each_document(self) -> None:
        nlp = make_pipeline()
        examples = examples_with_tags(nlp)
        predictions = cross_predict(nlp, iter(examples), n_folds=2, max_steps=30)
        assert [each.doc.text for each in predictions] == TEXTS
        assert sorted(each.fold for each in predictions) == [0, 0, 1, 1]
        for example, each in zip(examples, predictions, strict=True):
            assert each.doc.vocab is nlp.vocab
            assert each.probabilities.shape == (len(example.reference), 1 + 2 * len(LABELS))
            np.testing.assert_allclose(each.probabilities.sum(axis=1), 1, atol=1e-5)
            group = each.doc.spans[NAME]
            assert [span.label_ for span in group] == [ent.label_ for ent in each.doc.ents]
            assert all(0 <= span._.btl_score <= 1 for span in group)

    def test_by_a_model_that_has_not_seen_the_document(self) -> None:
        """A text that is annotated nowhere else is labeled in training only."""
        nlp = make_pipeline()
        text, new = "Zzz qqq", [(0, 7, "Dosage")]
        tags = {"entities": new, "tags": ["LOWER", "LOWER"]}
        examples = [Example.from_dict(nlp.make_doc(text), tags), *examples_with_tags(nlp)]
        (prediction, *_) = cross_predict(nlp, examples, n_folds=5, max_steps=60)
        trained = train_anew(nlp, examples, steps=60, labels=LABELS)
        assert [ent.label_ for ent in trained(text).ents] == ["Dosage"]
        assert [ent.label_ for ent in prediction.doc.ents] != ["Dosage"]

    def test_documents_of_one_name_are_in_one_fold(self) -> None:
        nlp = make_pipeline()
        examples = [*examples_with_tags(nlp), *examples_with_tags(nlp)]
        predictions = cross_predict(nlp, examples, n_folds=4, max_steps=1)
        folds = [each.fold for each in predictions]
        assert folds[:4] == folds[4:]
        assert sorted(folds[:4]) == [0, 1, 2, 3]

    @pytest.mark.parametrize("labels", [None, ["Sign_symptom", "Dosage", "Medication", "Age"]])
    def test_a_pipeline_that_was_never_trained(self, labels: list[str] | None) -> None:
        nlp = untrained()
        predictions = cross_predict(
            nlp, examples_with_tags(nlp), n_folds=2, max_steps=1, labels=labels
        )
        n_types = len(labels or LABELS)
        assert {each.probabilities.shape[1] for each in predictions} == {1 + 2 * n_types}
        assert component_of(nlp).label_data == []

    def test_the_same_seed_predicts_the_same(self) -> None:
        nlp = make_pipeline()
        ours, same, other = (
            cross_predict(nlp, examples_with_tags(nlp), n_folds=2, max_steps=2, seed=seed)
            for seed in (0, 0, 1)
        )
        values = [np.concatenate([p.probabilities for p in each]) for each in (ours, same, other)]
        np.testing.assert_array_equal(values[0], values[1])
        assert (values[0] != values[2]).any()

    def test_special_cases_of_the_tokenizer_are_taken_over(self) -> None:
        nlp = make_pipeline()
        nlp.tokenizer.add_special_case("warfarin", [{"ORTH": "war"}, {"ORTH": "farin"}])
        predictions = cross_predict(nlp, examples_with_tags(nlp), n_folds=2, max_steps=1)
        assert [token.text for token in predictions[3].doc] == ["She", "took", "war", "farin"]


class TestNoTrace:
    @pytest.mark.parametrize("frozen", [[], ["tok2vec", "tagger"]])
    def test_the_pipeline_and_the_program_stay_as_they_are(self, frozen: list[str]) -> None:
        nlp = make_pipeline(frozen)
        before, states = nlp.to_bytes(), random_states()
        cross_predict(nlp, examples_with_tags(nlp), n_folds=2, max_steps=2)
        assert nlp.to_bytes() == before
        assert random_states() == states


class TestTraining:
    @pytest.mark.parametrize("frozen", [[], ["tok2vec"], ["tagger"], ["tok2vec", "tagger"]])
    def test_frozen_components_are_taken_as_they_are(self, frozen: list[str]) -> None:
        """This is what spacy train does; the others start anew."""
        nlp = make_pipeline(frozen)
        trained = retrained(nlp)
        for name in nlp.pipe_names:
            assert is_same(name, nlp, trained) == (name in frozen)
        if "tagger" in frozen and "tok2vec" in frozen:
            assert [t.tag_ for t in trained(TEXTS[0])] == [t.tag_ for t in nlp(TEXTS[0])]
            assert {t.tag_ for t in trained(TEXTS[0])} <= {"UPPER", "LOWER"}

    def test_folds_on_a_frozen_encoder(self) -> None:
        nlp = make_pipeline(["tok2vec", "tagger"])
        predictions = cross_predict(nlp, make_examples(nlp), n_folds=2, max_steps=2)
        values = np.concatenate([each.probabilities for each in predictions])
        assert len(np.unique(values, axis=0)) > 10

    def test_further_settings_of_initialize_are_kept(self) -> None:
        """The labels of other components, for one."""
        nlp = make_pipeline()
        nlp.config["initialize"]["components"] = {"tagger": {"labels": ["LOWER", "UPPER", "OTHER"]}}
        trained = retrained(nlp, steps=1)
        assert trained.pipe_labels["tagger"] == ["LOWER", "UPPER", "OTHER"]
        assert NAME not in nlp.config["initialize"]["components"]

    def test_averaged_weights_are_those_that_stay(self) -> None:
        """spacy train saves these; without averages the last weights differ from them."""
        heads = {}
        for averaged in (False, True):
            nlp = make_pipeline()
            nlp.config["training"]["optimizer"]["use_averages"] = averaged
            head = component_of(retrained(nlp, steps=6)).model.get_ref("output_layer")
            heads[averaged] = np.array(head.get_param("W"))
        assert not np.allclose(heads[True], heads[False])


class TestRefused:
    def test_a_component_that_is_frozen_itself(self) -> None:
        nlp = make_pipeline([NAME])
        with pytest.raises(ValueError, match=r"frozen_components .* no fold would train it"):
            cross_predict(nlp, make_examples(nlp), n_folds=2, max_steps=2)

    @pytest.mark.parametrize("n_folds", [0, 1, 5])
    def test_folds_that_cannot_be(self, n_folds: int) -> None:
        nlp = untrained()
        with pytest.raises(ValueError, match=f"4 documents cannot be split into {n_folds} folds"):
            cross_predict(nlp, make_examples(nlp), n_folds=n_folds, max_steps=2)

    def test_training_without_a_limit(self) -> None:
        nlp = untrained()
        nlp.config["training"]["max_steps"] = 0
        with pytest.raises(ValueError, match="no max_steps: give max_steps"):
            cross_predict(nlp, make_examples(nlp), n_folds=2)
