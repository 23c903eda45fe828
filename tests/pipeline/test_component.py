"""The component in a pipeline: it behaves as spaCy's own do."""

import warnings
from typing import Any

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.util import fix_random_seed
from thinc.api import Config

from spacy_btl.pipeline.component import BtlKnnNer
from tests.helpers.sentences import LABELS, SENTENCES, entities, make_examples

NAME = "btl_knn_ner"
TEXTS = [text for text, _ in SENTENCES]
CHEST = [("chest", "Sign_symptom")]
GOLD = [[(text[s:e], label) for s, e, label in ents] for text, ents in SENTENCES]


def train(steps: int = 60, *, seed: int = 0, config: dict[str, Any] | None = None) -> Language:
    fix_random_seed(seed)
    nlp = spacy.blank("xx")
    nlp.add_pipe(NAME, config=config or {})
    examples = make_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(steps):
        nlp.update(examples, sgd=optimizer)
    return nlp


@pytest.fixture(scope="module")
def trained() -> bytes:
    """Return a pipeline that knows the sentences by heart, as bytes for each test to load."""
    return train().to_bytes()


@pytest.fixture
def nlp(trained: bytes) -> Language:
    nlp = spacy.blank("xx")
    nlp.add_pipe(NAME, config={"neighbors": {"n_neighbors": 3}})
    return nlp.from_bytes(trained)


def pipe_of(nlp: Language) -> BtlKnnNer:
    pipe = nlp.get_pipe(NAME)
    assert isinstance(pipe, BtlKnnNer)
    return pipe


def test_overfits_the_sentences(nlp: Language) -> None:
    assert [entities(nlp(text)) for text in TEXTS] == GOLD
    scores = nlp.evaluate(make_examples(nlp))
    assert (scores["ents_f"], scores["ents_macro_f"], scores["token_macro_r"]) == (1.0, 1.0, 1.0)


def test_pipe_equals_calling(nlp: Language) -> None:
    texts = [*TEXTS, "", "   ", *TEXTS]
    assert [entities(doc) for doc in nlp.pipe(texts, batch_size=3)] == [
        entities(nlp(text)) for text in texts
    ]


def test_two_runs_give_the_same_bits() -> None:
    assert train(3, seed=7).to_bytes() == train(3, seed=7).to_bytes()
    assert train(3, seed=7).to_bytes() != train(3, seed=8).to_bytes()


def test_n_process(nlp: Language) -> None:
    docs = nlp.pipe(TEXTS, n_process=2, batch_size=2)
    assert [entities(doc) for doc in docs] == GOLD


@pytest.mark.parametrize("fitted", [False, True])
@pytest.mark.parametrize("way", ["bytes", "disk"])
def test_round_trip(nlp: Language, tmp_path: Any, way: str, fitted: bool) -> None:
    if fitted:
        pipe_of(nlp).fit_neighbors(make_examples(nlp))
    if way == "disk":
        nlp.to_disk(tmp_path / "model")
        other = spacy.load(tmp_path / "model")
    else:
        other = spacy.blank("xx")
        other.add_pipe(NAME, config={"neighbors": {"n_neighbors": 3}})
        other.from_bytes(nlp.to_bytes())
    assert pipe_of(other).has_neighbors == fitted
    assert pipe_of(other).labels == LABELS
    assert pipe_of(other).state == pipe_of(nlp).state
    for text in [*TEXTS, "She took 7 mg of aspirin for fever"]:
        ours, theirs = (pipe_of(each).predict([each.make_doc(text)])[0] for each in (nlp, other))
        np.testing.assert_array_equal(ours, theirs)


def test_exclude_leaves_a_part_out(nlp: Language, tmp_path: Any) -> None:
    pipe = pipe_of(nlp)
    pipe.to_disk(tmp_path / "pipe", exclude=["model", "vocab"])
    names = sorted(path.name for path in (tmp_path / "pipe").iterdir())
    assert names == ["cfg", "neighbors"]
    blank = spacy.blank("xx").add_pipe(NAME)
    assert isinstance(blank, BtlKnnNer)
    blank.from_bytes(pipe.to_bytes(exclude=["cfg"]), exclude=["cfg"])
    assert blank.labels == ()


def test_exclude_may_be_read_once(nlp: Language, tmp_path: Any) -> None:
    pipe, blank = pipe_of(nlp), spacy.blank("xx").add_pipe(NAME)
    assert isinstance(blank, BtlKnnNer)
    pipe.to_disk(tmp_path, exclude=iter(["vocab", "model"]))
    assert not (tmp_path / "model").exists()
    pipe.to_disk(tmp_path)
    blank.from_disk(tmp_path, exclude=iter(["vocab", "model", "cfg"]))
    assert blank.labels == ()
    blank.from_bytes(pipe.to_bytes(exclude=iter(["vocab", "model"])), exclude=iter(["cfg"]))
    assert blank.labels == ()


def test_serializes_before_initialize() -> None:
    nlp = spacy.blank("xx")
    nlp.add_pipe(NAME)
    pipe_of(nlp).add_label("Age")
    other = spacy.blank("xx")
    other.add_pipe(NAME)
    assert pipe_of(other.from_bytes(nlp.to_bytes())).labels == ("Age",)


class TestLabels:
    """Sources of labels, and labels that are refused."""

    def initialize(self, labels: list[str] | None, examples: list[Example] | None = None) -> Any:
        nlp = spacy.blank("xx")
        pipe = nlp.add_pipe(NAME)
        examples = make_examples(nlp) if examples is None else examples
        pipe.initialize(lambda: examples, nlp=nlp, labels=labels)
        return pipe

    def test_from_the_examples_sorted(self) -> None:
        assert self.initialize(None).labels == LABELS

    def test_given_in_their_order_with_ones_never_seen(self) -> None:
        labels = ["Mass", *reversed(LABELS)]
        pipe = self.initialize(labels)
        assert pipe.labels == tuple(labels)
        assert pipe.label_data == labels
        assert pipe.model.get_ref("output_layer").get_dim("nO") == 1 + 2 * 4

    def test_none_at_all(self) -> None:
        nlp = spacy.blank("xx")
        doc = nlp.make_doc("Nothing here")
        with pytest.raises(ValueError, match="no labels: the training data contains no entity"):
            self.initialize(None, [Example(doc, doc.copy())])

    def test_data_with_others_than_given(self) -> None:
        with pytest.raises(ValueError, match="not given: Medication, Sign_symptom"):
            self.initialize(["Dosage"])

    def test_new_one_after_initialization(self) -> None:
        pipe = self.initialize(None)
        assert (pipe.add_label("Dosage"), pipe.add_label("Mass")) == (0, 1)
        assert pipe.labels == (*LABELS, "Mass")
        assert pipe.model.get_ref("output_layer").get_dim("nO") == 1 + 2 * 4

    @pytest.mark.parametrize("label", ["", 3, None])
    def test_no_string(self, label: Any) -> None:
        with pytest.raises(ValueError, match="non-empty string"):
            spacy.blank("xx").add_pipe(NAME).add_label(label)

    def test_unknown_one_in_an_update(self, nlp: Language) -> None:
        example = Example.from_dict(nlp.make_doc("Mass effect"), {"entities": [(0, 4, "Mass")]})
        with pytest.raises(ValueError, match='"Mass" is not one of the trained labels'):
            nlp.update([example])


@pytest.mark.parametrize(
    ("preset", "blocked", "expected"),
    [
        ([], [], [("chest pain", "Sign_symptom"), ("fever", "Sign_symptom")]),
        ([(3, 5, "ORG")], [], [*CHEST, ("pain and", "ORG"), ("fever", "Sign_symptom")]),
        ([(0, 6, "ORG")], [], [("She had chest pain and fever", "ORG")]),
        ([(5, 6, "Sign_symptom")], [], [("chest pain", "Sign_symptom"), ("fever", "Sign_symptom")]),
        ([], [(5, 6)], [("chest pain", "Sign_symptom")]),
        ([], [(0, 6)], []),
    ],
)
def test_keeps_what_others_have_set(
    nlp: Language,
    preset: list[tuple[int, int, str]],
    blocked: list[tuple[int, int]],
    expected: list[tuple[str, str]],
) -> None:
    doc = nlp.make_doc("She had chest pain and fever")
    doc.set_ents(
        [Span(doc, *span) for span in preset],
        blocked=[doc[start:end] for start, end in blocked],
        default="missing",
    )
    doc = pipe_of(nlp)(doc)
    assert entities(doc) == expected
    for start, end in blocked:
        assert all(token.ent_iob == 3 and not token.ent_type for token in doc[start:end])


def test_respects_entities_as_spacys_own_ner_does() -> None:
    """Both keep the bounds, the label and the identifiers of an entity set before."""
    nlp = train(5)
    ner = nlp.add_pipe("ner")
    ner.add_label("Dosage")
    ner.initialize(lambda: make_examples(nlp), nlp=nlp)
    for pipe in (pipe_of(nlp), ner):
        doc = nlp.make_doc("She had chest pain and fever")
        doc.ents = [Span(doc, 1, 3, label="ORG", kb_id="Q1", span_id="T1")]
        kept = pipe(doc).ents
        assert [(e.start, e.end, e.label_, e.kb_id_, e.id_) for e in kept if e.label_ == "ORG"] == [
            (1, 3, "ORG", "Q1", "T1")
        ]


def test_odd_labels_cost_no_entity(nlp: Language) -> None:
    """An impossible label in the middle is mended; the rest of the document stays."""
    pipe, doc = pipe_of(nlp), nlp.make_doc("She had chest pain and fever")
    inside_medication, begin_sign, inside_sign = 4, 5, 6
    probabilities = np.full((6, 7), 0.001)
    for token, label in enumerate([0, 0, begin_sign, inside_medication, 0, inside_sign]):
        probabilities[token, label] = 0.6
    probabilities[3, inside_sign] = 0.3
    probabilities[5, begin_sign] = 0.2
    pipe.set_annotations([doc], [probabilities])
    assert entities(doc) == [("chest pain", "Sign_symptom"), ("fever", "Sign_symptom")]


def test_no_entity_starts_or_ends_with_white_space(nlp: Language) -> None:
    doc = Doc(nlp.vocab, words=["\n", "chest", "\u200a", "pain", "\n"], spaces=[False] * 5)
    probabilities = np.full((5, 7), 0.001)
    probabilities[:, 6] = 0.9
    probabilities[0, 5] = 0.9
    pipe_of(nlp).set_annotations([doc], [probabilities])
    assert [(ent.start, ent.end) for ent in doc.ents] == [(1, 4)]


class TestNeighbors:
    """Fitting the neighbors changes who decides, an update of the weights changes it back."""

    def test_predict_with_the_votes(self, nlp: Language) -> None:
        pipe = pipe_of(nlp)
        pipe.neighbors.n_neighbors = 1
        tokens = pipe.fit_neighbors(make_examples(nlp))
        assert tokens == sum(len(nlp.make_doc(text)) for text in TEXTS)
        votes = pipe.predict([nlp.make_doc(TEXTS[0])])[0]
        assert set(np.unique(votes)) == {0.0, 1.0}
        assert [entities(nlp(text)) for text in TEXTS] == GOLD

    def test_update_drops_them_with_a_warning(self, nlp: Language) -> None:
        pipe = pipe_of(nlp)
        pipe.fit_neighbors(make_examples(nlp))
        with pytest.warns(UserWarning, match="run fit-knn again"):
            nlp.update(make_examples(nlp))
        assert not pipe.has_neighbors
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            nlp.update(make_examples(nlp))

    def test_nothing_to_fit_on(self, nlp: Language) -> None:
        with pytest.raises(ValueError, match="no document"):
            pipe_of(nlp).fit_neighbors([])
        doc = nlp.make_doc("Nothing known")
        with pytest.raises(ValueError, match="no labeled tokens"):
            pipe_of(nlp).fit_neighbors([Example(doc, doc.copy())])


def test_partial_annotation_trains_on_what_is_known(nlp: Language) -> None:
    reference = nlp.make_doc("She had chest pain")
    reference.set_ents([Span(reference, 2, 4, label="Sign_symptom")], default="missing")
    logits = pipe_of(nlp).model.predict([reference])
    example = Example(nlp.make_doc(reference.text), reference)
    _, gradient = pipe_of(nlp).get_loss([example], logits)
    assert not gradient[0][:2].any()
    assert gradient[0][2:].any()


def test_empty_batches_change_nothing(nlp: Language) -> None:
    pipe, doc = pipe_of(nlp), nlp.make_doc("")
    assert nlp.update([Example(doc, doc.copy())]) == {NAME: 0.0}
    assert pipe.predict([]) == []
    assert [len(each) for each in pipe.predict([doc, nlp.make_doc("fever"), doc])] == [0, 1, 0]


def test_class_weights_come_from_the_training_data(nlp: Language) -> None:
    """w = 1 - N_c / N over O, B-Dosage, I-Dosage, B-Medication, ...: 18 tokens in the sentences."""
    counts = [10, 1, 1, 2, 0, 3, 1]
    np.testing.assert_allclose(
        pipe_of(nlp).loss.class_weights, 1 - np.array(counts) / sum(counts), rtol=1e-6
    )
    unweighted = train(1, config={"class_weights": None})
    assert pipe_of(unweighted).loss.class_weights is None


def test_counts_its_updates(nlp: Language) -> None:
    assert pipe_of(nlp).state.updates == 60


def test_outside_with_all_columns_is_read_with_its_prior_taken_out() -> None:
    """Plain argmax of this loss finds nothing; what chooses a checkpoint must not rest on it."""
    loss = {"@losses": "spacy-btl.PaperBinaryTokenLabels.v1", "softmax": "all"}
    nlp = train(120, config={"loss": loss, "class_weights": None})
    docs = [nlp.make_doc(text) for text in TEXTS]
    plain = [logits.argmax(axis=1) for logits in pipe_of(nlp).model.predict(docs)]
    assert sum((labels != 0).sum() for labels in plain) == 0
    assert nlp.evaluate(make_examples(nlp))["ents_f"] > 0.8


LISTENING = """
[nlp]
lang = "en"
pipeline = ["tok2vec", "btl_knn_ner"]

[components]

[components.tok2vec]
factory = "tok2vec"

[components.tok2vec.model]
@architectures = "spacy.HashEmbedCNN.v2"
width = 32
depth = 1
embed_size = 200
window_size = 1
maxout_pieces = 2
subword_features = true
pretrained_vectors = null

[components.btl_knn_ner]
factory = "btl_knn_ner"

[components.btl_knn_ner.model]
@architectures = "spacy-btl.TokenClassifier.v1"

[components.btl_knn_ner.model.tok2vec]
@architectures = "spacy.Tok2VecListener.v1"
width = 32
"""


def test_learns_from_a_shared_tok2vec() -> None:
    fix_random_seed(0)
    nlp = spacy.util.load_model_from_config(Config().from_str(LISTENING), auto_fill=True)
    optimizer = nlp.initialize(lambda: make_examples(nlp))
    for _ in range(80):
        nlp.update(make_examples(nlp), sgd=optimizer)
    assert [entities(nlp(text)) for text in TEXTS] == GOLD
