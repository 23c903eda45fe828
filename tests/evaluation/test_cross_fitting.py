"""Cross-fitted keys: what each fold trains, and what it takes as it is."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.training import Example
from spacy.util import fix_random_seed

from spacy_btl.evaluation.cross_fitting import cross_fitted_keys, train_anew
from spacy_btl.pipeline.component import component_of
from tests.helpers.sentences import SENTENCES, make_examples

NAME = "btl_knn_ner"
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


def make_pipeline(frozen: Sequence[str] = ()) -> Language:
    """A shared encoder, a tagger and the component, trained together; then some are frozen."""
    fix_random_seed(0)
    nlp = spacy.blank("en")
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
    examples = examples_with_tags(nlp)
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(3):
        nlp.update(examples, sgd=optimizer)
    annotating = [name for name in frozen if name == "tok2vec"]
    nlp.config["training"].update(frozen_components=list(frozen), annotating_components=annotating)
    return nlp


def is_same(name: str, *pipelines: Language) -> bool:
    pipes: list[Any] = [nlp.get_pipe(name) for nlp in pipelines]
    ours, theirs = (pipe.model.to_bytes() for pipe in pipes)
    return bool(ours == theirs)


@pytest.mark.parametrize("frozen", [[], ["tok2vec"], ["tagger"], ["tok2vec", "tagger"]])
def test_frozen_components_are_taken_as_they_are(frozen: list[str]) -> None:
    """As spacy train does; the others start anew."""
    nlp = make_pipeline(frozen)
    before = nlp.to_bytes()
    trained = train_anew(nlp, component_of(nlp), examples_with_tags(nlp), steps=2)
    for name in nlp.pipe_names:
        assert is_same(name, nlp, trained) == (name in frozen)
    if "tagger" in frozen and "tok2vec" in frozen:
        text = SENTENCES[0][0]
        assert [t.tag_ for t in trained(text)] == [t.tag_ for t in nlp(text)]
        assert {t.tag_ for t in trained(text)} <= {"UPPER", "LOWER"}
    assert nlp.to_bytes() == before


def test_keys_of_folds_on_a_frozen_encoder() -> None:
    nlp = make_pipeline(["tok2vec", "tagger"])
    pipe = component_of(nlp)
    tokens = cross_fitted_keys(nlp, pipe, make_examples(nlp), n_folds=2, max_steps=2)
    assert len(tokens.keys) == 18
    assert len(np.unique(tokens.keys, axis=0)) > 10


def test_a_component_that_is_frozen_itself() -> None:
    nlp = make_pipeline([NAME])
    with pytest.raises(ValueError, match=r"frozen_components .* no fold would train it"):
        cross_fitted_keys(nlp, component_of(nlp), make_examples(nlp), n_folds=2, max_steps=2)


def test_a_document_given_twice_is_in_one_fold() -> None:
    nlp = make_pipeline(["tagger"])
    examples = make_examples(nlp)
    with pytest.warns(UserWarning, match="1 of 5 documents occur again"):
        tokens = cross_fitted_keys(
            nlp, component_of(nlp), [*examples, examples[0]], n_folds=2, max_steps=2
        )
    assert len(tokens.keys) == 18


def test_further_settings_of_initialize_are_kept() -> None:
    """The labels of other components, for one."""
    nlp = make_pipeline()
    nlp.config["initialize"]["components"] = {"tagger": {"labels": ["LOWER", "UPPER", "OTHER"]}}
    trained = train_anew(nlp, component_of(nlp), examples_with_tags(nlp), steps=1)
    assert trained.pipe_labels["tagger"] == ["LOWER", "UPPER", "OTHER"]


def test_averaged_weights_are_those_that_stay() -> None:
    """As spacy train saves them; without averages the last weights differ from them."""
    heads = {}
    for averaged in (False, True):
        nlp = make_pipeline()
        nlp.config["training"]["optimizer"]["use_averages"] = averaged
        trained = train_anew(nlp, component_of(nlp), examples_with_tags(nlp), steps=6)
        head = component_of(trained).model.get_ref("output_layer")
        heads[averaged] = np.array(head.get_param("W"))
    assert not np.allclose(heads[True], heads[False])
