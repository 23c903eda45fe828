"""Prediction in other people's pipelines: odd texts, components beside ours, scores, processes."""

import multiprocessing
import os
import pickle
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from spacy.util import fix_random_seed

from spacy_btl.labels.calibration import ScoreCalibration
from spacy_btl.pipeline.component import BtlKnnNer, component_of
from spacy_btl.pipeline.fitting import examples_for
from tests.helpers.sentences import LABELS, SENTENCES, entities, make_examples

ROOT = Path(__file__).parents[3]
NAME = "btl_knn_ner"
TEXTS = [text for text, _ in SENTENCES]
GOLD = [[(text[s:e], label) for s, e, label in ents] for text, ents in SENTENCES]
BERT = "spacy-btl.TransformerModel.v1"


def train(config: dict[str, Any] | None = None) -> Language:
    fix_random_seed(0)
    nlp = spacy.blank("xx")
    nlp.add_pipe(NAME, config=config or {})
    optimizer = nlp.initialize(lambda: make_examples(nlp))
    optimizer.learn_rate = 0.01 if config else 0.001
    for _ in range(60):
        nlp.update(make_examples(nlp), sgd=optimizer)
    return nlp


@pytest.fixture(scope="module")
def trained() -> bytes:
    return train().to_bytes()


@pytest.fixture
def nlp(trained: bytes) -> Language:
    nlp = spacy.blank("xx")
    nlp.add_pipe(NAME, config={"neighbors": {"n_neighbors": 1}})
    return nlp.from_bytes(trained)


@pytest.fixture(scope="module", params=["model", "neighbors", "transformer"])
def each_way(request: pytest.FixtureRequest, trained: bytes, tiny_bert: Path) -> Language:
    """Return pipelines that use the model, neighbors, and a pretrained encoder."""
    if request.param == "transformer":
        tok2vec = {"@architectures": BERT, "name": str(tiny_bert), "precision": "float32"}
        model = {"@architectures": "spacy-btl.TokenClassifier.v1", "tok2vec": tok2vec}
        return train({"model": model})
    nlp = spacy.blank("xx")
    nlp.add_pipe(NAME, config={"neighbors": {"n_neighbors": 1}})
    nlp.from_bytes(trained)
    if request.param == "neighbors":
        component_of(nlp).fit_neighbors(make_examples(nlp))
    return nlp


ODD = {
    "nothing": "",
    "white space": "  \n\t\u00a0\u2003\u200a ",
    "emoji": "\u2764\ufe0f \U0001f468\u200d\U0001f469\u200d\U0001f467 fever\U0001f912 \U0001f3f3",
    "right to left": "\u05d7\u05d5\u05dd \u202bfever\u202c \u0645\u0631\u062d\u0628\u0627 \u200f",
    "control characters": "\x01\x07 fever\x1b[0m \x7f\u0085\u2028 \ufeff\ufffe\uffff",
    "NUL": "a\x00b \x00 fever\x00",
    "combining marks": "fe\u0301ver" + "\u0301" * 500 + " a",
    "one long word": "x" * 100_000,
    "a long word in a sentence": "She had " + "9y" * 50_000 + " and fever",
    "many short words": "a " * 3_000 + "fever",
}


@pytest.mark.parametrize("text", ODD.values(), ids=ODD.keys())
def test_odd_texts(each_way: Language, text: str) -> None:
    """Nothing raises, nothing is altered, and entities are made of whole tokens of the text."""
    doc = each_way(text)
    assert doc.text == text
    for ent in doc.ents:
        assert ent.text.strip()
        assert ent.text == text[ent.start_char : ent.end_char]
    assert [entities(each) for each in each_way.pipe([TEXTS[0], text, TEXTS[2]])] == [
        GOLD[0],
        entities(doc),
        GOLD[2],
    ]


@pytest.mark.parametrize("text", ["\ud800 fever", "fever\udc80"])
def test_lone_surrogates_are_refused_by_spacy_itself(nlp: Language, text: str) -> None:
    """No document with one comes into being."""
    with pytest.raises(UnicodeEncodeError):
        nlp.make_doc(text)


def test_trains_on_odd_texts(nlp: Language) -> None:
    examples = [Example.from_dict(nlp.make_doc(text), {"entities": []}) for text in ODD.values()]
    losses = nlp.update([*make_examples(nlp), *examples], sgd=nlp.create_optimizer())
    assert np.isfinite(losses[NAME])


class TestBesideOthers:
    @pytest.mark.parametrize(
        ("where", "overwrite", "expected"),
        [
            ({"before": NAME}, False, [("She had", "RULE"), ("pain and", "RULE"), GOLD[1][1]]),
            ({"after": NAME}, False, [("She had", "RULE"), *GOLD[1]]),
            ({"after": NAME}, True, [("She had", "RULE"), ("pain and", "RULE"), GOLD[1][1]]),
        ],
    )
    def test_entity_ruler(
        self,
        nlp: Language,
        where: dict[str, str],
        overwrite: bool,
        expected: list[tuple[str, str]],
    ) -> None:
        ruler: Any = nlp.add_pipe("entity_ruler", config={"overwrite_ents": overwrite}, **where)
        ruler.add_patterns([{"label": "RULE", "pattern": p} for p in ("She had", "pain and")])
        doc = nlp(TEXTS[1])
        cut = [("chest", "Sign_symptom")] if "before" in where else []
        assert entities(doc) == [expected[0], *cut, *expected[1:]]
        assert all((ent._.btl_score is None) == (ent.label_ == "RULE") for ent in doc.ents)

    def test_two_of_ours(self, nlp: Language, tmp_path: Path) -> None:
        """Each with its own name, types, scores and neighbors; the first goes first."""
        config = {"scores_key": "other", "neighbors": {"n_neighbors": 3}}
        nlp.add_pipe(NAME, name="other", config=config)
        other, first = component_of(nlp, "other"), component_of(nlp, NAME)
        examples = []
        for text in TEXTS:
            subject = [(0, text.index(" "), "Subject"), *word_at(text, "fever", "Symptom")]
            examples.append(Example.from_dict(nlp.make_doc(text), {"entities": subject}))
        other.initialize(lambda: examples, nlp=nlp)
        optimizer = nlp.resume_training()
        for _ in range(60):
            losses = nlp.update(examples, sgd=optimizer, exclude=[NAME])
        assert losses.keys() == {"other"}
        assert first.labels == LABELS
        assert other.labels == ("Subject", "Symptom")
        first.fit_neighbors(make_examples(nlp))
        other.fit_neighbors(examples_for(nlp, other, examples))
        nlp.to_disk(tmp_path)
        for each in (nlp, spacy.load(tmp_path)):
            doc = each(TEXTS[1])
            assert entities(doc) == [("She", "Subject"), *GOLD[1]]
            assert {key: entities_of(doc.spans[key]) for key in doc.spans} == {
                NAME: GOLD[1],
                "other": [("She", "Subject")],
            }
            assert None not in [ent._.btl_score for ent in doc.ents]
        with pytest.raises(ValueError, match="2 components"):
            component_of(nlp)


def test_sourced_into_another_pipeline(nlp: Language, tmp_path: Path) -> None:
    """Neighbors, a type that only they know, and another name."""
    source = component_of(nlp)
    source.fit_neighbors(make_examples(nlp))
    age = Example.from_dict(nlp.make_doc("forty years"), {"entities": [(0, 11, "Age")]})
    source.add_examples([age])
    other = spacy.blank("xx")
    pipe = other.add_pipe(NAME, name="clinical", source=nlp)
    assert isinstance(pipe, BtlKnnNer)
    assert (pipe.name, pipe.labels) == ("clinical", (*LABELS, "Age"))
    assert {*LABELS, "Age"} <= {*other.vocab.strings}
    other.to_disk(tmp_path)
    for each in (other, spacy.load(tmp_path)):
        assert [entities(doc) for doc in each.pipe(TEXTS)] == GOLD
        assert entities(each("forty years")) == [("forty years", "Age")]
        assert each.config["components"].keys() == {"clinical"}


def word_at(text: str, word: str, label: str) -> list[tuple[int, int, str]]:
    start = text.find(word)
    return [(start, start + len(word), label)] if start >= 0 else []


def entities_of(spans: Any) -> list[tuple[str, str]]:
    return [(span.text, span.label_) for span in spans]


class TestScoresOfDocuments:
    @pytest.mark.parametrize("calibrated", [False, True])
    @pytest.mark.parametrize("way", ["docbin", "bytes", "disk", "copy"])
    def test_survive(self, nlp: Language, tmp_path: Path, way: str, calibrated: bool) -> None:
        if calibrated:
            component_of(nlp).calibration = ScoreCalibration(0.0, 0.5, 98, 9, {"Sign_symptom": 0.0})
        doc = nlp(TEXTS[1])
        if way == "docbin":
            data = DocBin(docs=[doc], store_user_data=True).to_bytes()
            (back,) = DocBin().from_bytes(data).get_docs(spacy.blank("xx").vocab)
        elif way == "bytes":
            back = Doc(spacy.blank("xx").vocab).from_bytes(doc.to_bytes())
        elif way == "disk":
            doc.to_disk(tmp_path / "doc")
            back = Doc(spacy.blank("xx").vocab).from_disk(tmp_path / "doc")
        else:
            back = doc.copy()
        assert entities_of(back.spans[NAME]) == entities(back) == GOLD[1]
        scores = [span._.btl_score for span in doc.ents]
        assert [span._.btl_score for span in back.ents] == scores
        assert {span._.btl_calibrated for span in back.spans[NAME]} == {calibrated}

    def test_a_second_run_changes_nothing(self, nlp: Language) -> None:
        doc = nlp(TEXTS[1])
        first = doc.to_bytes()
        assert nlp(doc).to_bytes() == first

    def test_a_second_run_after_an_edit(self, nlp: Language) -> None:
        """A score goes with its entity; a new one takes its place."""
        doc = nlp(TEXTS[1])
        score = doc.ents[1]._.btl_score
        doc.set_ents([Span(doc, 3, 4, "MINE"), doc.ents[1]], default="missing")
        doc = nlp(doc)
        assert entities(doc) == [("chest", "Sign_symptom"), ("pain", "MINE"), GOLD[1][1]]
        assert entities_of(doc.spans[NAME]) == [("chest", "Sign_symptom"), GOLD[1][1]]
        assert [ent._.btl_score for ent in doc.ents][1:] == [None, score]

    def test_scores_of_two_kinds_are_told_apart(self, nlp: Language) -> None:
        doc = nlp(TEXTS[1])
        component_of(nlp).calibration = ScoreCalibration(0.0, 0.5, 98, 9, {"Sign_symptom": 0.0})
        doc.ents = doc.ents[:1]
        doc = nlp(doc)
        assert entities_of(doc.spans[NAME]) == entities(doc) == GOLD[1]
        assert [span._.btl_calibrated for span in doc.spans[NAME]] == [False, True]


class TestProcesses:
    @pytest.fixture(autouse=True)
    def no_hang(self) -> Iterator[None]:
        def give_up(*_: Any) -> None:
            for process in multiprocessing.active_children():
                process.kill()
            raise TimeoutError("the processes hang")

        before = signal.signal(signal.SIGALRM, give_up)
        signal.alarm(60)
        yield
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
    def test_threads_after_a_fork(self, each_way: Language) -> None:
        """Threads of torch that ran before the fork are not there after it."""
        threads = torch.get_num_threads()
        torch.set_num_threads(2)
        try:
            large = torch.ones(600, 600)
            assert float((large @ large)[0, 0]) == 600
            docs = each_way.pipe([*TEXTS, *TEXTS], n_process=2, batch_size=3)
            assert [entities(doc) for doc in docs] == [*GOLD, *GOLD]
        finally:
            torch.set_num_threads(threads)

    def test_spawned_processes_get_a_copy(self, each_way: Language) -> None:
        """Spawned processes, unlike forked ones, get the component pickled."""
        pipe: Any = pickle.loads(pickle.dumps(component_of(each_way)))
        assert isinstance(pipe, BtlKnnNer)
        docs = [each_way.make_doc(text) for text in TEXTS]
        assert [entities(doc) for doc in pipe.pipe(docs)] == GOLD
