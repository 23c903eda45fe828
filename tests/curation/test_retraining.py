"""Corrected documents join those of before, and a training goes on from the old weights."""

import json
from pathlib import Path

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span
from thinc.util import gpu_is_available

from spacy_btl.curation.retraining import merge_documents, retrain
from spacy_btl.data.docbin import read_docbin
from spacy_btl.data.label_sets import set_label_set
from spacy_btl.ml.weights import weights_fingerprint
from spacy_btl.pipeline.component import component_of
from tests.helpers.commands import invoke
from tests.helpers.sentences import LABELS, make_examples

NLP = spacy.blank("en")
LONG = "He had a fever for nine long days and then took two small pills"


def document(name: str, text: str, label: str = "") -> Doc:
    """Return a document whose last token is an entity, if a label is given."""
    doc = NLP.make_doc(text)
    doc.user_data["name"] = name
    doc.set_ents([Span(doc, len(doc) - 1, len(doc), label=label)] if label else [])
    return doc


def names(docs: list[Doc]) -> list[str]:
    return [doc.user_data["name"] for doc in docs]


def test_the_last_version_of_a_text_stays() -> None:
    old = [document("a", "No fever"), document("b", "She took aspirin")]
    new = [document("a", "No fever", "Sign"), document("c", "she took  ASPIRIN.", "Drug")]
    merged = merge_documents({"old": old, "new": new})
    assert [(doc.user_data["name"], len(doc.ents)) for doc in merged.docs] == [("a", 1), ("c", 1)]
    assert merged.taken == {"old": 0, "new": 2}
    assert merged.replaced == [("old: a", "new: a"), ("old: b", "new: c")]
    assert "no document of old is left" in merged.warnings()


@pytest.mark.parametrize(
    ("held_out", "left"),
    [
        ("no FEVER", ["long"]),
        (LONG + " again", ["short"]),  # nearly the same
        ("Another report", ["short", "long"]),
    ],
)
def test_texts_of_dev_and_test_are_left_out(held_out: str, left: list[str]) -> None:
    docs = [document("short", "No fever", "Sign"), document("long", LONG, "Drug")]
    merged = merge_documents({"all": docs}, [document("test", held_out)])
    assert names(merged.docs) == left
    assert set(merged.left_out) == {"short", "long"} - set(left)


def test_types_that_only_one_source_has() -> None:
    sources = {"old": [document("a", "No fever", "Sign")], "new": [document("b", "Five", "Dose")]}
    told = merge_documents(sources).warnings()
    assert [text.split(".")[0] for text in told] == [
        "old has no entity of Dose",
        "new has no entity of Sign",
    ]
    sources["none"] = [document("c", "A cough")]
    assert merge_documents(sources).warnings()[-1].startswith("none has no entity of Dose, Sign")
    del sources["none"]
    set_label_set(sources["old"][0], ["Sign", "Dose"])
    assert len(merge_documents(sources).warnings()) == 1


@pytest.mark.parametrize(
    ("old", "new", "held_out", "message"),
    [
        ("No fever", "A cough", [], 'two documents are called "a", in old and in new'),
        ("No fever", "No fever", ["No fever"], "no document is left"),
    ],
)
def test_bad_sources(old: str, new: str, held_out: list[str], message: str) -> None:
    sources = {"old": [document("a", old)], "new": [document("a", new)]}
    with pytest.raises(ValueError, match=message):
        merge_documents(sources, [document("x", text) for text in held_out])


@pytest.fixture
def stage(trained: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a trained pipeline ``model``, and ``old`` and ``new`` documents."""
    nlp: Language = spacy.blank("en")
    nlp.add_pipe("btl_knn_ner")
    nlp.from_bytes(trained)
    nlp.meta.update(name="clinical", version="1.0.0")
    nlp.config["training"].update(max_steps=3, eval_frequency=3)
    nlp.config["corpora"]["train"]["path"] = nlp.config["corpora"]["dev"]["path"] = "gone.spacy"
    nlp.to_disk(tmp_path / "model")
    docs = [example.reference for example in make_examples(nlp)]
    for i, doc in enumerate(docs):
        doc.user_data["name"] = f"case-{i}"
    DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "old.spacy")
    new = [document("new", "She had a cough", "Finding"), document("x", "No fever", "Sign_symptom")]
    DocBin(docs=new, store_user_data=True).to_disk(tmp_path / "new.spacy")
    DocBin(docs=docs[:2], store_user_data=True).to_disk(tmp_path / "dev.spacy")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_training_begins_with_the_weights_and_keeps_the_types(stage: Path) -> None:
    made = spacy.load(retrain(Path("model"), stage / "new.spacy", stage / "dev.spacy", stage / "o"))
    pipe, before = component_of(made), component_of(spacy.load("model"))
    assert pipe.labels == (*LABELS, "Finding")
    assert made.meta["began_with"] == {"name": "xx_clinical", "version": "1.0.0"}
    assert made.meta["name"] == "clinical"
    assert "start_from" not in made.config.to_str()
    assert weights_fingerprint(pipe.model) != weights_fingerprint(before.model)
    columns = [m.get_ref("output_layer").get_param("W")[:7] for m in (pipe.model, before.model)]
    assert np.abs(columns[0] - columns[1]).max() < 0.1  # four updates away
    assert not pipe.has_neighbors


def test_the_whole_way(stage: Path) -> None:
    commands = [
        "merge old.spacy new.spacy --output merged.spacy --apart-from dev.spacy",
        "retrain model merged.spacy dev.spacy next --updates 4 --seed 1",
        "fit-knn next/model-best merged.spacy next/model-knn --dev dev.spacy",
        "evaluate next/model-knn dev.spacy --output next/scores --compare model",
        "card next/model-knn next/card --metrics next/scores/metrics.json "
        "--comparison next/scores/comparison.json --version 1.1.0",
    ]
    printed = []
    for command in commands:
        status, text = invoke(*command.split())
        assert status == 0, text
        printed.append(text)
    assert "3 documents, 1 of old.spacy, 2 of new.spacy" in printed[0]
    assert "1 document is replaced by a later one: old.spacy: case-2" in printed[0]
    assert "2 documents are left out" in printed[0]
    assert names(read_docbin(Path("merged.spacy"), NLP.vocab)) == ["case-3", "new", "x"]
    assert "strict micro F1: next/model-knn is" in printed[3]
    comparison = json.loads(Path("next/scores/comparison.json").read_text())
    assert comparison["pipelines"] == [
        {"name": "en_clinical", "version": "0.0.0"},
        {"name": "xx_clinical", "version": "1.0.0"},
    ]
    card = Path("next/card/README.md").read_text()
    assert "## Compared with xx_clinical 1.0.0" in card
    assert "The training began with the weights of xx_clinical 1.0.0" in card
    facts = json.loads(Path("next/card/meta.json").read_text())["model_card"]
    figures = comparison["figures"]["ents_f"]
    assert facts["previous"]["figures"]["ents_f"]["second"] == pytest.approx(figures["second"])
    assert str(stage) not in card + json.dumps(facts)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("merge old.spacy", "Missing option '--output'"),
        ("merge missing.spacy --output out.spacy", "the DocBin missing.spacy does not exist"),
        ("merge old.spacy --output new.spacy", "new.spacy already exists; --force replaces it"),
        ("merge old.spacy new.spacy --output new.spacy --force", "new.spacy is an input too"),
        (
            "merge old.spacy --output dev.spacy --apart-from dev.spacy --force",
            "dev.spacy is an input",
        ),
        ("merge old.spacy --output there --force", "there is a folder"),
        ("merge bare.spacy --output out.spacy", "no document in bare.spacy"),
        ("retrain model bare.spacy dev.spacy out", "bare.spacy has no entity in doc.ents"),
        ("retrain model old.spacy bare.spacy out", "bare.spacy has no entity in doc.ents"),
        ("retrain model model/config.cfg dev.spacy out", "is not a DocBin"),
        ("retrain missing old.spacy dev.spacy out", "missing"),
        ("retrain model missing.spacy dev.spacy out", "the DocBin missing.spacy does not exist"),
        ("retrain model old.spacy missing.spacy out", "the DocBin missing.spacy does not exist"),
        ("retrain model old.spacy dev.spacy out --updates -1", "updates is -1"),
        ("retrain model old.spacy dev.spacy there", "already exists; name another folder"),
        ("retrain senter old.spacy dev.spacy out", "also has sentencizer"),
    ],
)
def test_bad_input(stage: Path, command: str, message: str) -> None:
    (stage / "there" / "model-best").mkdir(parents=True)
    DocBin().to_disk(stage / "bare.spacy")
    nlp = spacy.load("model")
    nlp.add_pipe("sentencizer")
    nlp.to_disk("senter")
    before = (stage / "new.spacy").read_bytes()
    status, printed = invoke(*command.split())
    assert status != 0
    assert message in printed
    assert (stage / "new.spacy").read_bytes() == before


@pytest.mark.skipif(gpu_is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_an_error(stage: Path) -> None:
    status, printed = invoke("retrain", "model", "old.spacy", "dev.spacy", "out", "--gpu-id", 0)
    assert status == 1
    assert "Cannot use GPU" in printed
    assert not (stage / "out").exists()


def test_thresholds_are_dropped_with_a_warning(stage: Path) -> None:
    config = spacy.util.load_config(Path("model/config.cfg"))
    config["components"]["btl_knn_ner"]["thresholds"] = {"Dosage": 0.5}
    config.to_disk(Path("model/config.cfg"))
    with pytest.warns(UserWarning, match="the thresholds of model belong to its scores"):
        made = retrain(Path("model"), Path("old.spacy"), Path("dev.spacy"), Path("out"), updates=2)
    assert component_of(spacy.load(made)).thresholds == {}
