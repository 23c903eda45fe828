"""``spacy btl evaluate`` on a small pipeline: its files, with and without pictures and text."""

import json
import re
import sys

import pytest
import spacy
from spacy.tokens import DocBin

from spacy_btl.evaluation import plots
from tests.helpers.commands import run
from tests.helpers.html_pages import check_report
from tests.helpers.sentences import make_examples

FILES = ["documents.jsonl", "metrics.json", "report.html", "report.md"]
PICTURES = [f"{name}.png" for name in plots.PICTURES]


@pytest.fixture(scope="module")
def stage(trained, tmp_path_factory):
    """Return a folder with the sentences, a pipeline that has learned them, and a poor one."""
    folder = tmp_path_factory.mktemp("stage")
    nlp = spacy.blank("en")
    nlp.add_pipe("btl_knn_ner")
    nlp.from_bytes(trained).to_disk(folder / "model")
    poor = spacy.blank("en")
    ruler = poor.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "Medication", "pattern": "aspirin"}])
    poor.to_disk(folder / "poor")
    docs = [example.reference for example in make_examples(nlp)]
    for i, doc in enumerate(docs):
        doc.user_data["brat"] = {
            "name": f"case-{i}",
            "heading": "Made up",
            "entities": [
                {"id": "T", "label": ent.label_, "fragments": [[ent.start_char, ent.end_char]]}
                for ent in doc.ents
            ],
            "records": [],
        }
    DocBin(docs=docs, store_user_data=True).to_disk(folder / "test.spacy")
    return folder


def evaluate(stage, output, *options):
    printed = run("evaluate", stage / "model", stage / "test.spacy", "--output", output, *options)
    return printed, sorted(path.name for path in output.iterdir())


def words_of_the_documents(stage):
    docs = DocBin().from_disk(stage / "test.spacy").get_docs(spacy.blank("en").vocab)
    return {token.text for doc in docs for token in doc if len(token) > 4}


def test_files_and_no_text(stage, tmp_path):
    pytest.importorskip("matplotlib")
    printed, files = evaluate(stage, tmp_path, "--train", stage / "test.spacy")
    assert files == sorted([*FILES, *PICTURES])
    assert (tmp_path / "report.md").read_text(encoding="utf8") in printed
    page = check_report((tmp_path / "report.html").read_text(encoding="utf8"))
    assert page.text("h1") == "Evaluation of model on test.spacy"
    assert "Made up" in page.text("p", **{"class": "warning"})
    assert page.tags.count("svg") == 2
    names = {path: path.read_text(encoding="utf8") for path in tmp_path.glob("*.[jmh]*")}
    secret = words_of_the_documents(stage)
    assert {"aspirin", "warfarin", "fever", "daily"} <= secret
    leaked = {word for text in names.values() for word in secret & set(re.findall(r"\w+", text))}
    assert leaked == set()


def test_with_documents(stage, tmp_path):
    evaluate(stage, tmp_path, "--documents")
    page = check_report((tmp_path / "report.html").read_text(encoding="utf8"))
    assert "contains the text" in page.text("p", **{"class": "warning"})
    assert words_of_the_documents(stage) <= set(re.findall(r"\w+", page.text("table")))
    assert "aspirin" not in (tmp_path / "metrics.json").read_text(encoding="utf8")
    evaluate(stage, tmp_path)
    assert "aspirin" not in (tmp_path / "report.html").read_text(encoding="utf8")


def test_comparison(stage, tmp_path):
    printed, files = evaluate(stage, tmp_path, "--compare", stage / "poor")
    assert "comparison.json" in files
    comparison = json.loads((tmp_path / "comparison.json").read_text(encoding="utf8"))
    metrics = json.loads((tmp_path / "metrics.json").read_text(encoding="utf8"))
    assert comparison["systems"] == [str(stage / "model"), str(stage / "poor")]
    row = comparison["figures"]["ents_f"]
    assert row["first"] == pytest.approx(metrics["scores"]["ents_f"])
    assert row["second"] < row["first"]
    assert f"| {row['difference']:+.3f} |" in re.sub(" +", " ", printed)
    page = check_report((tmp_path / "report.html").read_text(encoding="utf8"))
    assert "Comparison" in page.text("h2")
    _, files = evaluate(stage, tmp_path)  # nothing of an earlier run stays
    assert "comparison.json" not in files


def test_without_matplotlib(stage, tmp_path, monkeypatch):
    (tmp_path / "recall.png").write_bytes(b"of an earlier run")
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # as if it were not installed
    printed, files = evaluate(stage, tmp_path, "--train", stage / "test.spacy")
    assert files == FILES
    assert "pip install 'spacy-btl[plots]'" in " ".join(printed.split())
    page = check_report((tmp_path / "report.html").read_text(encoding="utf8"))
    assert "svg" not in page.tags
    assert "mean recall" in page.text("thead")


def test_scores_that_are_not_calibrated_are_called_so(stage, tmp_path):
    evaluate(stage, tmp_path)
    metrics = json.loads((tmp_path / "metrics.json").read_text(encoding="utf8"))
    figures = metrics["reliability"]["not calibrated"]
    assert list(metrics["reliability"]) == ["not calibrated"]
    assert figures["entities"] == metrics["predicted_entities"] == sum(figures["histogram"])
    correct = sum(row["fraction_correct"] * row["n_entities"] for row in figures["bins"])
    assert correct == pytest.approx(metrics["errors"]["correct"])
