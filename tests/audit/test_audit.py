"""An audit from files to files: what it finds, refuses and writes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc, DocBin, SpanGroup
from thinc.api import Config

from spacy_btl.audit import predictions
from spacy_btl.audit.audit import AuditSettings, audit_documents
from spacy_btl.audit.files import audit_files
from spacy_btl.data.label_sets import set_label_set
from spacy_btl.pipeline.component import component_of
from tests.helpers.files import write_tree
from tests.helpers.reports import DRUGS, PROBLEMS, report

QUICK = AuditSettings(n_folds=2, updates=2, least=0.0)


@pytest.fixture
def files(config: Config, reports: list[Doc], tmp_path: Path) -> Path:
    """Return a folder with the configuration, and the reports in two DocBins."""
    config.to_disk(tmp_path / "small.cfg")
    for name, part in (("train", reports[:12]), ("dev", reports[12:])):
        DocBin(docs=part, store_user_data=True).to_disk(tmp_path / f"{name}.spacy")
    return tmp_path


def audit(files: Path, **settings: Any) -> Any:
    data = [files / "train.spacy", files / "dev.spacy"]
    settings.setdefault("settings", QUICK)
    return audit_files(data, files / "out", config=files / "small.cfg", **settings)


def test_an_error_is_found(nlp: Language) -> None:
    """A drug that is called a problem, by models that have learned what the others are called."""
    docs = [report(number) for number in range(32)]
    drug, problem = docs[5].ents
    docs[5].set_ents([Doc.char_span(docs[5], drug.start_char, drug.end_char, "Problem"), problem])
    found = audit_documents(nlp, docs, settings=AuditSettings(n_folds=2, updates=40))
    first = found.rows()[0]
    assert (first["document"], first["kind"]) == ("case-05", "wrong type")
    assert first["annotated"]["label"] == "Problem"
    assert first["suggested"]["label"] == "Drug"
    start, end = first["annotated"]["start"], first["annotated"]["end"]
    assert docs[5].text[start:end] == drug.text
    assert first["words_elsewhere"] == {"Drug": 7}
    example = first["example"]
    assert example["document"] != "case-05"
    place = docs[int(example["document"][-2:])].text[example["start"] : example["end"]]
    assert place == drug.text
    assert first["probability"] > 2 * found.rows()[1]["probability"] or len(found.rows()) == 1


def test_files(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Text is on the page only, and a second audit trains nothing."""
    first = audit(files)
    out = files / "out"
    assert {path.name for path in out.iterdir()} == {
        *("audit.html", "audit.json", "findings.jsonl", "folds"),
    }
    words = [*DRUGS, *(word for words in PROBLEMS for word in words.split())]
    for path in out.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            has_text = [word for word in words if word.encode() in content]
            assert bool(has_text) == (path.name == "audit.html"), (path.name, has_text)
    rows = [json.loads(line) for line in (out / "findings.jsonl").read_text().splitlines()]
    assert rows == first.rows()
    figures = json.loads((out / "audit.json").read_text())
    assert figures["entities"] == 32
    assert figures["by_type"]["Drug"]["mentions"] == 16
    assert sum(figures["findings"].values()) == len(rows)
    monkeypatch.setattr(predictions, "train_fold", None)
    assert audit(files).rows() == first.rows()


def test_a_folder_that_convert_reads(config: Config, tmp_path: Path) -> None:
    texts = [report(number) for number in range(4)]
    tree = {}
    for i, doc in enumerate(texts):
        tree[f"case-{i}.txt"] = doc.text
        tree[f"case-{i}.ann"] = "".join(
            f"T{n}\t{ent.label_} {ent.start_char} {ent.end_char}\t{ent.text}\n"
            for n, ent in enumerate(doc.ents, 1)
        )
    folder = write_tree(tmp_path / "brat", tree)
    (folder / "corpus.json").write_text('{"heading": "made-up reports"}')
    config.to_disk(tmp_path / "small.cfg")
    found = audit_files([folder], tmp_path / "out", config=tmp_path / "small.cfg", settings=QUICK)
    assert found.names == [f"case-{i}" for i in range(4)]
    assert found.heading == "made-up reports"


def no_entity(docs: list[Doc]) -> list[Doc]:
    for doc in docs:
        doc.set_ents([])
    return docs


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda docs: [], "0 documents have a text, and an audit needs at least 2"),
        (lambda docs: docs[:1], "1 document has a text"),
        (lambda docs: [Doc(docs[0].vocab)] * 3, "0 documents have a text"),
        (no_entity, "none of the 16 documents has an entity"),
        (lambda docs: [*docs, docs[0]], "1 name of more than one document: case-00"),
    ],
)
def test_documents_that_cannot_be_audited(
    nlp: Language, reports: list[Doc], change: Callable[[list[Doc]], list[Doc]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        audit_documents(nlp, change(reports), settings=QUICK)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_folds": 1}, "n_folds is 1"),
        ({"updates": -1}, "updates is -1"),
        ({"error_rate": 0}, "error_rate is 0"),
        ({"least": 1.5}, "least is 1.5"),
    ],
)
def test_settings_out_of_their_range(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AuditSettings(**settings)


def test_a_type_that_is_not_there(nlp: Language, reports: list[Doc]) -> None:
    settings = AuditSettings(n_folds=2, updates=1, labels=["Dose"])
    with pytest.raises(ValueError, match="no entity has the type Dose; there are Drug, Problem"):
        audit_documents(nlp, reports, settings=settings)


@pytest.mark.parametrize("both", [True, False])
def test_either_a_configuration_or_a_pipeline(files: Path, both: bool) -> None:
    settings = {"config": files / "small.cfg", "model": files} if both else {}
    with pytest.raises(ValueError, match="and not both"):
        audit_files([files / "train.spacy"], files / "out", **settings)


def test_types_that_matter(nlp: Language, reports: list[Doc]) -> None:
    settings = AuditSettings(n_folds=2, updates=2, least=0.0, labels=["Drug"])
    for row in audit_documents(nlp, reports, settings=settings).rows():
        assert "Drug" in [place["label"] for place in (row["annotated"], row["suggested"]) if place]


def test_one_type(nlp: Language, reports: list[Doc]) -> None:
    for doc in reports:
        doc.set_ents([ent for ent in doc.ents if ent.label_ == "Drug"])
    found = audit_documents(nlp, reports, settings=QUICK)
    assert found.types == ["Drug"]
    assert "wrong type" not in {row["kind"] for row in found.rows()}


def test_types_that_are_not_annotated_are_never_findings(nlp: Language, reports: list[Doc]) -> None:
    for doc in reports[::2]:
        doc.set_ents([ent for ent in doc.ents if ent.label_ == "Drug"])
        set_label_set(doc, ["Drug"])
    settings = AuditSettings(n_folds=2, updates=30, least=0.0)
    rows = audit_documents(nlp, reports, settings=settings).rows()
    partly = {doc.user_data["name"] for doc in reports[::2]}
    labels = {
        place["label"]
        for row in rows
        if row["document"] in partly
        for place in (row["annotated"], row["suggested"])
        if place
    }
    assert labels == {"Drug"}
    assert any(row["document"] not in partly for row in rows)


def test_entities_under_others_are_no_findings(nlp: Language, reports: list[Doc]) -> None:
    """The flat annotation lacks what the original has beneath: which is not an error."""
    for doc in reports:
        problem = next(ent for ent in doc.ents if ent.label_ == "Problem")
        doc.user_data["brat"] = {
            "name": doc.user_data["name"],
            "heading": "",
            "entities": [
                {"id": f"T{i}", "label": ent.label_, "fragments": [[ent.start_char, ent.end_char]]}
                for i, ent in enumerate(doc.ents)
            ],
            "records": [],
        }
        doc.set_ents([ent for ent in doc.ents if ent != problem])
    found = audit_documents(nlp, reports, settings=QUICK)
    missed = [row for row in found.rows() if row["kind"] == "missed"]
    assert not [row for row in missed if row["suggested"]["label"] == "Problem"]
    warning = "not audited, because others cover them or they were dropped: 16 entities"
    assert warning in found.warnings


def test_entities_that_overlap(config: Config, reports: list[Doc]) -> None:
    layered = config.copy()
    layered["components"]["btl_knn_ner"]["spans_key"] = "sc"
    nlp = spacy.util.load_model_from_config(layered, auto_fill=True)
    for doc in reports:
        drug, problem = doc.ents
        whole = doc.char_span(drug.start_char, problem.end_char, "Problem")
        doc.spans["sc"] = SpanGroup(doc, name="sc", spans=[drug, whole])
    found = audit_documents(nlp, reports, settings=QUICK)
    assert sum(use.mentions for use in found.findings.use) == 32
    assert len([row for row in found.rows() if row["annotated"]]) == 32


class TestTrainedPipeline:
    def saved(self, nlp: Language, files: Path, docs: list[Doc]) -> Path:
        examples = [spacy.training.Example(nlp.make_doc(doc.text), doc) for doc in docs]
        optimizer = nlp.initialize(lambda: examples)
        for _ in range(2):
            nlp.update(examples, sgd=optimizer)
        component_of(nlp).fit_neighbors(examples)
        nlp.to_disk(files / "model")
        return files / "model"

    def test_it_predicts(self, nlp: Language, files: Path) -> None:
        model = self.saved(nlp, files, [report(number) for number in range(40, 48)])
        found = audit_files([files / "train.spacy"], files / "out", model=model, settings=QUICK)
        assert len(found.names) == 12
        assert not (files / "out" / "folds").exists()
        assert any("trained on these documents" in warning for warning in found.warnings)

    def test_it_must_not_have_seen_them(
        self, nlp: Language, files: Path, reports: list[Doc]
    ) -> None:
        model = self.saved(nlp, files, reports)
        with pytest.raises(ValueError, match="was trained on 12 of the 12 documents"):
            audit_files([files / "train.spacy"], files / "out", model=model, settings=QUICK)
