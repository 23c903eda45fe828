"""The literal method: each copy of a batch is a batch, and trains as the summed loss says."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Corpus, Example
from spacy.training.batchers import configure_minibatch, configure_minibatch_by_words
from spacy.training.loop import train
from spacy.util import fix_random_seed, registry
from thinc.api import SGD, Config

from spacy_btl.conversion.convert import read_brat
from spacy_btl.data.label_sets import set_label_set
from spacy_btl.labels.bio import MISSING
from spacy_btl.pipeline.schemes import FlatScheme
from spacy_btl.training.paper import make_one_class_batches
from tests.helpers.sentences import LABELS, make_examples

NLP = spacy.blank("en")
TYPES = ("A", "B", "C")


def make_example(tags: str) -> Example:
    """Return an example of one token a letter: capitals begin an entity, ``?`` is missing."""
    words = [f"{letter.lower()}{i}" for i, letter in enumerate(tags)]
    iob = {
        "O": "O",
        "?": "",
        **{x: f"B-{x}" for x in TYPES},
        **{x.lower(): f"I-{x}" for x in TYPES},
    }
    spaces = [False] * len(tags)
    reference = Doc(NLP.vocab, words=words, spaces=spaces, ents=[iob[tag] for tag in tags])
    return Example(Doc(NLP.vocab, words=words, spaces=spaces), reference)


def gold_of(batch: list[Example]) -> list[str]:
    """Return the gold labels of a batch, in the letters of `make_example`."""
    letters = ["O", *(letter for kind in TYPES for letter in (kind, kind.lower()))]
    return [
        "".join("?" if g == MISSING else letters[g] for g in FlatScheme().gold(eg, TYPES))
        for eg in batch
    ]


PAIRS = configure_minibatch(2)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [["AaOO", "O?"], ["OOOB", "O?"], ["OO", "A"]]),
        ({"other_classes": "mask"}, [["AaO?", "O?"], ["??OB", "O?"], ["OO", "A"]]),
        ({"labels": ["C", "B", "A"]}, [["OOOB", "O?"], ["AaOO", "O?"], ["OO", "A"]]),
        (
            {"classes": "all"},
            [["AaOO", "O?"], ["OOOB", "O?"], ["OO", "A"], ["OO", "O"]],
        ),
        (
            {"classes": "all", "labels": ["A", "C"], "only": slice(2, 4)},
            [["OO", "A"], ["OO", "O"]],
        ),
    ],
)
def test_copies(settings: dict[str, Any], expected: list[list[str]]) -> None:
    """Two documents a batch, A and B in the first, A alone in the second."""
    only = settings.pop("only", slice(None))
    examples = [make_example(tags) for tags in ("AaOB", "O?", "OO", "A")][only]
    batches = make_one_class_batches(batcher=PAIRS, **settings)(examples)
    assert [gold_of(batch) for batch in batches] == expected


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [["AaOO"], ["OOOB", "O"], ["B"]]),
        ({"classes": "all"}, [["AaOO"], ["OOOB", "O"], ["B"]]),
        ({"classes": "all", "labels": ["C", "A"]}, [["OOOO"], ["AaOO"]]),
    ],
)
def test_a_copy_has_no_document_that_does_not_annotate_its_class(
    settings: dict[str, Any], expected: list[list[str]]
) -> None:
    tags = ("AaOO", "O") if "labels" in settings else ("AaOB", "O", "B")
    examples = [make_example(each) for each in tags]
    for example, types in zip(examples, (None, ["B"], ["B", "C"]), strict=False):
        set_label_set(example.reference, types)
    batches = make_one_class_batches(batcher=PAIRS, **settings)(examples)
    assert [gold_of(batch) for batch in batches] == expected


def test_a_batch_without_an_entity() -> None:
    examples = [make_example(tags) for tags in ("O", "OO", "B")]
    one = configure_minibatch(1)
    assert [gold_of(b) for b in make_one_class_batches(batcher=one)(examples)] == [["B"]]
    everywhere = make_one_class_batches(batcher=one, classes="all")(examples)
    assert [gold_of(b) for b in everywhere] == [["O"], ["OO"], ["B"]]


@pytest.mark.parametrize(("other_classes", "expected"), [("outside", "OO??B"), ("mask", "????B")])
def test_what_does_not_fit_the_tokens_has_no_label(other_classes: Any, expected: str) -> None:
    """The summed loss has no label there either: an end of the entity is inside of a token."""
    example = make_example("AaOAaB")
    example.predicted = Doc(NLP.vocab, words=["a0", "a1", "o2a3", "a4", "b5"], spaces=[False] * 5)
    assert gold_of([example]) == ["Aa??B"]
    (_, copy) = make_one_class_batches(batcher=PAIRS, other_classes=other_classes)([example])
    assert gold_of(copy) == [expected]


def test_the_examples_stay_as_they_are_and_copies_share_no_document() -> None:
    examples = [make_example("AaOB"), make_example("C")]
    examples[0].reference.user_data["brat"] = {"entities": [{"id": "T1"}]}
    before = [(eg.predicted.to_bytes(), eg.reference.to_bytes()) for eg in examples]
    copies = list(make_one_class_batches(batcher=PAIRS)(examples))
    for batch in copies:
        for copy, example in zip(batch, examples, strict=True):
            assert copy.predicted.text == example.predicted.text
            assert copy.reference.user_data == example.reference.user_data
            copy.reference.user_data["brat"] = None
            copy.predicted.ents = [Span(copy.predicted, 0, 1, label="X")]
    assert [(eg.predicted.to_bytes(), eg.reference.to_bytes()) for eg in examples] == before
    docs = [
        id(doc) for b in (*copies, examples) for eg in b for doc in (eg.predicted, eg.reference)
    ]
    assert len(docs) == len(set(docs))


def test_sizes_are_those_of_the_wrapped_batcher() -> None:
    examples = [make_example("A" * n) for n in (3, 3, 7, 1, 2)]
    wrapped = configure_minibatch_by_words(
        size=6, tolerance=0.0, discard_oversize=True, get_length=lambda eg: len(eg.reference)
    )
    sizes = [[len(eg) for eg in batch] for batch in wrapped(examples)]
    assert sizes == [[3, 3], [1, 2]]
    copies = make_one_class_batches(batcher=wrapped)(examples)
    assert [[len(eg) for eg in batch] for batch in copies] == sizes


def test_the_default_batch_is_about_500_words() -> None:
    examples = [make_example("A" + "O" * 99) for _ in range(11)]
    sizes = [len(batch) for batch in make_one_class_batches()(examples)]
    assert sizes == [5, 6]  # up to half more, where a batch would be left nearly empty


@pytest.mark.parametrize(
    ("settings", "data", "match"),
    [
        ({"classes": "some"}, ["A"], "classes is 'some', but must be one of present, all"),
        ({"other_classes": "no"}, ["A"], "other_classes is 'no', but must be one of outside, mask"),
        ({"labels": ["A"]}, ["ABC"], "labels of the batcher are A, but the data also have B, C"),
        ({"classes": "all"}, iter(["A"]), "set the labels of the batcher"),
        ({}, ["OO", "?"], "no example has an entity"),
    ],
)
def test_refusals(settings: dict[str, Any], data: Any, match: str) -> None:
    is_stream = not isinstance(data, list)
    examples = (make_example(tags) for tags in data)
    with pytest.raises(ValueError, match=match):
        list(make_one_class_batches(**settings)(examples if is_stream else list(examples)))


def test_pickles_and_resolves_from_a_config() -> None:
    config = """
    [batcher]
    @batchers = "spacy-btl.OneClassBatches.v1"
    classes = "all"
    other_classes = "mask"

    [batcher.batcher]
    @batchers = "spacy.batch_by_sequence.v1"
    size = 1
    """
    batcher = registry.resolve(Config().from_str(config))["batcher"]
    examples = [make_example("AO"), make_example("B")]
    for each in (batcher, pickle.loads(pickle.dumps(batcher))):
        assert [gold_of(b) for b in each(examples)] == [["AO"], ["?O"], ["?"], ["B"]]


# Gradients of the copies, next to the summed loss on the same weights.

SUMMED = {"@losses": "spacy-btl.PaperBinaryTokenLabels.v1", "softmax": "pair"}
ENCODER = {
    "@architectures": "spacy.HashEmbedCNN.v2",
    "width": 16,
    "depth": 1,
    "embed_size": 500,
    "window_size": 1,
    "maxout_pieces": 3,
    "subword_features": True,
    "pretrained_vectors": None,
}
LITERAL = {
    "pair": SUMMED,
    "all": {"@losses": "spacy-btl.AllTokenLabels.v1"},
}


def make_pipeline(loss: dict[str, Any], *, counted_on: str = "training") -> Language:
    """Return a pipeline without dropout: the copies must see the same vectors."""
    fix_random_seed(0)
    nlp = spacy.blank("en")
    tok2vec = {**ENCODER, "width": 32}
    model = {"@architectures": "spacy-btl.TokenClassifier.v1", "tok2vec": tok2vec}
    config = {"model": model, "loss": loss, "class_weights": {"counted_on": counted_on}}
    nlp.add_pipe("btl_knn_ner", config=config)
    nlp.initialize(lambda: make_examples(nlp))
    return nlp


def weights(nlp: Language) -> dict[str, np.ndarray]:
    """Return all parameters of the component: those of Thinc's layers and those of torch."""
    pipe: Any = nlp.get_pipe("btl_knn_ner")
    found = {}
    for i, node in enumerate(pipe.model.walk()):
        found.update({f"{i} {name}": node.get_param(name).copy() for name in node.param_names})
        for shim in node.shims:
            found.update(
                {
                    f"{i} {name}": p.detach().numpy().copy()
                    for name, p in shim._model.named_parameters()
                }
            )
    return found


def step(nlp: Language, batches: list[list[Example]]) -> dict[str, np.ndarray]:
    """Return the weights after one step of gradient descent on all batches."""
    pipe: Any = nlp.get_pipe("btl_knn_ner")
    for batch in batches:
        nlp.update(batch, sgd=False)  # type: ignore[arg-type]
    pipe.finish_update(SGD(0.1, grad_clip=0.0, L2=0.0))
    return weights(nlp)


@pytest.mark.parametrize("counted_on", ["training", "copy"])
@pytest.mark.parametrize("reduction", ["weights", "mean", "sum"])
@pytest.mark.parametrize("other_classes", ["outside", "mask"])
@pytest.mark.parametrize("softmax", ["pair", "all"])
def test_gradients_of_the_copies_sum_to_that_of_the_summed_loss(
    softmax: str, other_classes: Any, reduction: str, counted_on: str
) -> None:
    """Class weights that the summed loss counts on its copies are counted on the batch here."""
    on_batch = "batch" if counted_on == "copy" else counted_on
    literal = make_pipeline({**LITERAL[softmax], "reduction": reduction}, counted_on=on_batch)
    settings = {"softmax": softmax, "other_classes": other_classes, "reduction": reduction}
    summed = make_pipeline({**SUMMED, **settings}, counted_on=counted_on)
    start, examples = weights(summed), make_examples(summed)
    copies = list(make_one_class_batches(other_classes=other_classes)(make_examples(literal)))
    assert len(copies) == len(LABELS)
    theirs, ours = step(summed, [examples]), step(literal, copies)
    assert max(np.abs(theirs[name] - start[name]).max() for name in start) > 1e-3
    for name, array in theirs.items():
        np.testing.assert_allclose(ours[name], array, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("other_classes", ["outside", "mask"])
@pytest.mark.parametrize("softmax", ["pair", "all"])
def test_first_step_is_that_of_the_summed_loss_where_only_this_copy_is_made(
    softmax: str, other_classes: Any, label: str
) -> None:
    """The summed loss makes only this copy if the gold, as given by hand, has no other class."""
    literal = make_pipeline(LITERAL[softmax])
    summed = make_pipeline({**SUMMED, "softmax": softmax, "other_classes": other_classes})
    by_hand = []
    for example in make_examples(summed):
        doc = example.reference
        others = [ent for ent in doc.ents if ent.label_ != label]
        left_out = others if other_classes == "mask" else []
        doc.set_ents([ent for ent in doc.ents if ent.label_ == label], missing=left_out)
        by_hand.append(example)
    batcher = make_one_class_batches(other_classes=other_classes)
    copy = list(batcher(make_examples(literal)))[LABELS.index(label)]
    theirs, ours = step(summed, [by_hand]), step(literal, [copy])
    for name, array in theirs.items():
        np.testing.assert_allclose(ours[name], array, atol=1e-6, err_msg=name)


TRAINING = """
[nlp]
lang = "en"
pipeline = ["btl_knn_ner"]

[components]

[components.btl_knn_ner]
factory = "btl_knn_ner"

[components.btl_knn_ner.model]
@architectures = "spacy-btl.TokenClassifier.v1"

[components.btl_knn_ner.model.tok2vec]
@architectures = "spacy.HashEmbedCNN.v2"
width = 16
depth = 1
embed_size = 500
window_size = 1
maxout_pieces = 3
subword_features = true
pretrained_vectors = null

[corpora]

[corpora.train]
@readers = "spacy.Corpus.v1"

[corpora.dev]
@readers = "spacy.Corpus.v1"

[training]
max_epochs = 1
eval_frequency = 1000

[training.batcher]
@batchers = "spacy-btl.OneClassBatches.v1"

[training.batcher.batcher]
@batchers = "spacy.batch_by_sequence.v1"
size = 1
"""


def test_each_copy_is_an_update_of_a_training_run(tmp_path: Path) -> None:
    """On documents of the conversion, under spaCy's own loop: an update a class a document."""
    root = Path(__file__).parents[2] / "assets" / "sample"
    for name in ("case-01", "case-02"):
        for suffix in (".txt", ".ann"):
            (tmp_path / name).with_suffix(suffix).write_bytes(
                (root / name).with_suffix(suffix).read_bytes()
            )
    docs, _ = read_brat(tmp_path)
    data = spacy.tokens.DocBin(store_user_data=True, docs=docs)
    data.to_disk(tmp_path / "data.spacy")
    config = Config().from_str(TRAINING)
    for corpus in ("train", "dev"):
        config["corpora"][corpus]["path"] = str(tmp_path / "data.spacy")
    nlp = spacy.util.load_model_from_config(config, auto_fill=True)
    nlp.initialize(lambda: Corpus(tmp_path / "data.spacy")(nlp))
    train(nlp)
    pipe: Any = nlp.get_pipe("btl_knn_ner")
    assert pipe.state.updates == sum(len({ent.label for ent in doc.ents}) for doc in docs)
