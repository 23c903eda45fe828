"""Ensembles of trained pipelines: what they predict, what they keep, what is refused."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Span
from spacy.training import Example
from spacy.util import fix_random_seed

from spacy_btl.packaging.ensembles import make_ensemble
from spacy_btl.packaging.saving import load_pipeline, save_pipeline
from spacy_btl.pipeline.component import BtlKnnNer, component_of
from spacy_btl.pipeline.workflow import explain_entities, fit_knn
from tests.helpers.dev import dev_examples
from tests.helpers.sentences import LABELS, SENTENCES, entities, make_examples

TEXTS = [*(text for text, _ in SENTENCES), "", "He had 5 mg warfarin for the pain"]
ATL = {"loss": {"@losses": "spacy-btl.AllTokenLabels.v1"}}
TYPE_CRF = {"loss": {"@losses": "spacy-btl.TypeCrfLoss.v1"}}
CRF = {"loss": {"@losses": "spacy-btl.CrfLoss.v1"}, "class_weights": None}
PAPER = {"loss": {"@losses": "spacy-btl.PaperBinaryTokenLabels.v1"}}
NARROW = {
    "model": {
        "@architectures": "spacy-btl.TokenClassifier.v1",
        "tok2vec": {
            "@architectures": "spacy.HashEmbedCNN.v2",
            "width": 32,
            "depth": 1,
            "embed_size": 100,
            "window_size": 1,
            "maxout_pieces": 2,
            "subword_features": True,
            "pretrained_vectors": None,
        },
    }
}


def train(
    seed: int = 0,
    config: dict[str, Any] | None = None,
    labels: Sequence[str] | None = None,
    updates: int = 12,
) -> Language:
    fix_random_seed(seed)
    nlp = spacy.blank("en")
    nlp.add_pipe("btl_knn_ner", config=config or {})
    nlp.config["initialize"]["components"]["btl_knn_ner"] = {"labels": labels}
    examples = make_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    for update in range(updates):
        if update == 2:
            fix_random_seed(seed + 10 * updates)  # trainings that part on their way
        nlp.update(examples, sgd=optimizer, drop=0.2)
    return nlp


@cache
def member(kind: str) -> Language:
    """Return a pipeline that is trained once; tests leave it as it is."""
    reverse = tuple(reversed(LABELS))
    return {
        "plain": lambda: train(),
        "other seed": lambda: train(1),
        "longer": lambda: train(updates=15),  # shares its start with plain
        "narrow": lambda: train(2, NARROW),
        "reverse": lambda: train(3, NARROW, reverse),
        "ATL": lambda: train(0, ATL),
        "ATL longer": lambda: train(0, ATL, updates=15),
        "CRF": lambda: train(0, CRF),
        "type CRF": lambda: train(0, TYPE_CRF),
        "CRF longer": lambda: train(0, CRF, reverse, updates=15),
        "paper": lambda: train(0, PAPER, updates=1),
    }[kind]()


def members(*kinds: str) -> list[Language]:
    return [member(kind) for kind in kinds]


def probabilities(nlp: Language, labels: Sequence[str] = LABELS) -> list[Any]:
    """Label probabilities of the texts, with the columns of these labels."""
    pipe = component_of(nlp)
    columns = [0]
    for label in labels:
        i = pipe.labels.index(label)
        columns += [1 + 2 * i, 2 + 2 * i]
    return [each[:, columns] for each in pipe.predict([nlp.make_doc(text) for text in TEXTS])]


def check_mean(nlp: Language, of: Sequence[Language]) -> None:
    literal = zip(*(probabilities(each) for each in of), strict=True)
    for ours, theirs in zip(probabilities(nlp), literal, strict=True):
        np.testing.assert_allclose(ours, np.mean(theirs, axis=0), atol=1e-5)


@pytest.mark.parametrize(
    "kinds",
    [
        ("plain", "other seed"),
        ("other seed", "plain"),
        ("plain", "narrow", "longer"),
        ("plain", "reverse", "narrow"),
        ("ATL", "ATL longer"),
    ],
)
def test_probabilities_are_the_mean_of_the_members(kinds: tuple[str, ...]) -> None:
    made = make_ensemble(members(*kinds))
    check_mean(made, members(*kinds))
    pipe = component_of(made)
    assert pipe.label_data == component_of(member(kinds[0])).label_data
    assert pipe.state.updates == sum(component_of(each).state.updates for each in members(*kinds))


@pytest.mark.parametrize("kind", ["plain", "ATL", "CRF", "type CRF"])
def test_copies_of_one_pipeline_are_the_pipeline(kind: str) -> None:
    own = member(kind)
    made = make_ensemble([own, own, own])
    check_mean(made, [own])
    for text in TEXTS:
        assert entities(made(text)) == entities(own(text))


def test_a_crf_gives_sequences_the_geometric_mean() -> None:
    """The mean of the scores: of the logits, of the transitions and of the first labels."""
    both = members("CRF", "CRF longer")
    made = make_ensemble(both)
    own, other = (component_of(each) for each in both)
    assert own.label_data == list(reversed(other.label_data))
    order = [0, *(c for i in reversed(range(len(LABELS))) for c in (1 + 2 * i, 2 + 2 * i))]
    docs = [made.make_doc(text) for text in TEXTS]
    logits = [pipe.token_vectors(docs)[0] for pipe in (own, other, component_of(made))]
    np.testing.assert_allclose(logits[2], (logits[0] + logits[1][:, order]) / 2, atol=1e-5)
    losses: list[Any] = [pipe.loss for pipe in (own, other, component_of(made))]
    mean = (losses[0].transitions + losses[1].transitions[np.ix_(order, order)]) / 2
    np.testing.assert_allclose(losses[2].transitions, mean, atol=1e-6)
    np.testing.assert_allclose(
        losses[2].start, (losses[0].start + losses[1].start[order]) / 2, atol=1e-6
    )


def test_entities_that_overlap() -> None:
    def annotated(nlp: Language) -> list[Example]:
        examples = make_examples(nlp)
        for example in examples:
            doc = example.reference
            doc.spans["all"] = [*doc.ents, *(Span(doc, e.start, e.end, "Any") for e in doc.ents)]
        return examples

    pipelines = []
    for seed in range(2):
        fix_random_seed(seed)
        nlp = spacy.blank("en")
        nlp.add_pipe("btl_knn_ner", config={"spans_key": "all"})
        optimizer = nlp.initialize(lambda nlp=nlp: annotated(nlp))  # type: ignore[misc]
        for _ in range(20):
            nlp.update(annotated(nlp), sgd=optimizer)
        pipelines.append(nlp)
    made = make_ensemble(pipelines)
    docs = [made.make_doc(text) for text in TEXTS]
    found = [component_of(nlp).predict(docs) for nlp in [made, *pipelines]]
    for ours, *theirs in zip(*found, strict=True):
        assert ours.shape[1:] == (4, 3)
        np.testing.assert_allclose(ours, np.mean(theirs, axis=0), atol=1e-5)
    with pytest.raises(ValueError, match=r"pipeline 2 has other labels .* besides Any"):
        make_ensemble([member("plain"), pipelines[0]])


def test_members_stay_as_they_are_and_nothing_of_their_neighbors_is_taken() -> None:
    own = spacy.blank("en")
    own.add_pipe("btl_knn_ner", config={"neighbors": {"n_neighbors": 1}})
    own.from_bytes(member("plain").to_bytes())
    fit_knn(own, make_examples(own), dev_examples(own))
    before = own.to_bytes()
    pipe = component_of(make_ensemble([own, own]))
    assert not pipe.has_neighbors
    assert pipe.calibration is None
    assert pipe.neighbors.settings == component_of(own).neighbors.settings
    assert own.to_bytes() == before


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ensembles") / "two"
    save_pipeline(make_ensemble(members("plain", "reverse")), folder)
    return folder


class TestOneLoadablePipeline:
    def test_saved_and_loaded_twice(self, folder: Path, tmp_path: Path) -> None:
        again = tmp_path / "again"
        save_pipeline(load_pipeline(folder), again)
        for model in (folder, again):
            check_mean(spacy.load(model), members("plain", "reverse"))
        read = [(model / "btl_knn_ner" / "model").read_bytes() for model in (folder, again)]
        assert read[0] == read[1]
        assert not list(folder.rglob("*.pkl"))

    def test_it_says_so(self, folder: Path) -> None:
        meta = spacy.load(folder).meta
        assert meta["description"] == "The averaged label probabilities of 2 trained pipelines."
        assert not meta["performance"]
        config = spacy.load(folder).config["components"]["btl_knn_ner"]["model"]
        assert (config["@architectures"], config["averaging"]) == ("spacy-btl.Ensemble.v1", "pairs")
        assert list(config["*"]) == ["member_1", "member_2"]

    def test_several_processes(self, folder: Path) -> None:
        nlp = spacy.load(folder)
        one = [entities(doc) for doc in nlp.pipe(TEXTS)]
        assert [entities(doc) for doc in nlp.pipe(TEXTS, n_process=2, batch_size=2)] == one

    @pytest.mark.parametrize("keys", ["logits", "hidden"])
    @pytest.mark.parametrize("dropout", [0.0, 0.3])
    def test_neighbors_and_calibration(
        self, folder: Path, tmp_path: Path, keys: Any, dropout: float
    ) -> None:
        nlp = load_pipeline(folder)
        examples = make_examples(nlp)
        fit_knn(nlp, examples, dev_examples(nlp), keys=keys, dropout=dropout)
        pipe = component_of(nlp)
        assert pipe.has_neighbors
        assert pipe.calibration is not None
        width = {"logits": 7, "hidden": 96 + 32}[keys]
        assert pipe.neighbors.datastore is not None
        assert pipe.neighbors.datastore.keys.shape[1] == width
        save_pipeline(nlp, tmp_path / "fitted")
        loaded = load_pipeline(tmp_path / "fitted")
        for text in TEXTS:
            assert entities(loaded(text)) == entities(nlp(text))
        assert explain_entities(loaded, SENTENCES[0][0]).entities

    @pytest.mark.parametrize(
        "call",
        [
            lambda nlp: nlp.initialize(lambda: make_examples(nlp)),
            lambda nlp: nlp.update(make_examples(nlp)),
            lambda nlp: component_of(nlp).add_label("Finding"),
            lambda nlp: (nlp.resume_training(), nlp.rehearse(make_examples(nlp))),
        ],
    )
    def test_it_is_not_trained(self, folder: Path, call: Callable[[Language], Any]) -> None:
        nlp = spacy.load(folder)
        with pytest.raises(ValueError, match=r"is an ensemble, which is not trained: train its"):
            call(nlp)
        check_mean(nlp, members("plain", "reverse"))

    def test_an_ensemble_is_no_member(self, folder: Path) -> None:
        with pytest.raises(ValueError, match=r"model of pipeline 2 cannot be averaged"):
            make_ensemble([member("plain"), spacy.load(folder)])


def test_pretrained_encoders(tiny_bert: Path, tmp_path: Path) -> None:
    def pretrained(seed: int) -> Language:
        encoder = {"@architectures": "spacy-btl.TransformerModel.v1", "name": str(tiny_bert)}
        model = {"@architectures": "spacy-btl.TokenClassifier.v1", "tok2vec": encoder}
        return train(seed, {"model": model}, updates=3)

    ours = [pretrained(0), pretrained(1)]
    mixed = [*ours, member("plain")]
    save_pipeline(make_ensemble(mixed), tmp_path / "three")
    check_mean(load_pipeline(tmp_path / "three"), mixed)


def with_pipe(change: Callable[[Language, BtlKnnNer], Any]) -> Language:
    nlp = spacy.blank("en")
    nlp.add_pipe("btl_knn_ner")
    nlp.from_bytes(member("plain").to_bytes())
    change(nlp, component_of(nlp))
    return nlp


def listening() -> Language:
    nlp = spacy.blank("en")
    nlp.add_pipe("tok2vec")
    listener = {"@architectures": "spacy.Tok2VecListener.v1", "width": 96, "upstream": "tok2vec"}
    model = {"@architectures": "spacy-btl.TokenClassifier.v1", "tok2vec": listener}
    nlp.add_pipe("btl_knn_ner", config={"model": model})
    nlp.initialize(lambda: make_examples(nlp))
    return nlp


def untrained() -> Language:
    nlp = spacy.blank("en")
    nlp.add_pipe("btl_knn_ner")
    return nlp


@pytest.mark.parametrize(
    ("others", "message"),
    [
        (lambda: [], r"two pipelines or more, not of 1"),
        (lambda: [untrained()], r"pipeline 2 is not trained"),
        (lambda: [listening()], r'pipeline 2 takes .* shared .* "btl_knn_ner", \["model'),
        (
            lambda: [with_pipe(lambda nlp, pipe: pipe.state.labels.__setitem__(0, "Dose"))],
            r"pipeline 2 has other labels .*: it lacks Dosage and has besides Dose",
        ),
        (
            lambda: [with_pipe(lambda nlp, pipe: setattr(nlp.tokenizer, "rules", {}))],
            r"pipeline 2 has another tokenizer",
        ),
        (
            lambda: [
                with_pipe(
                    lambda nlp, pipe: nlp.vocab.set_vector("pain", np.ones(4, dtype="float32"))
                )
            ],
            r"pipeline 2 has other word vectors",
        ),
        (lambda: [member("ATL")], r"BinaryTokenLabels and AllTokenLabels .* read logits"),
        (lambda: [member("paper")], r"PaperBinaryTokenLabels differs from training"),
    ],
)
def test_refused(others: Callable[[], list[Language]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_ensemble([member("plain"), *others()])
