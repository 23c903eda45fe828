"""The figures of an evaluation."""

import json

import pytest
import spacy
from spacy.training import Example

from spacy_btl.data.label_sets import set_label_set
from spacy_btl.evaluation.evaluate import evaluate
from spacy_btl.evaluation.report import render_html, render_report, write_report
from spacy_btl.scoring.matching import KINDS
from spacy_btl.scoring.summary import score_documents, score_intervals

# Text, gold (label, start, end); the rules find the words below.
TEXTS = [
    ("He took 5 mg of aspirin daily", [("Dose", 8, 12), ("Drug", 16, 23)]),
    ("She took warfarin", [("Food", 9, 17)]),
    ("Chest pain and fever", [("Sign", 0, 10), ("Sign", 15, 20)]),
    ("No aspirin", []),
]
RULES = [("Drug", "aspirin"), ("Drug", "warfarin"), ("Sign", "pain"), ("Drug", "mg")]


@pytest.fixture(scope="module")
def metrics():
    nlp = spacy.blank("en")
    ruler = nlp.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": label, "pattern": text} for label, text in RULES])
    examples = []
    for i, (text, entities) in enumerate(TEXTS):
        reference = nlp.make_doc(text)
        reference.user_data["brat"] = {
            "name": f"case-{i}",
            "heading": "",
            "entities": [
                {"id": "T1", "label": label, "fragments": [at]} for label, *at in entities
            ],
            "records": [],
        }
        examples.append(Example(nlp.make_doc(text), reference))
    return evaluate(nlp, examples)


def test_all_figures_are_json(metrics):
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics


def test_scores_by_level(metrics):
    scores = metrics["scores"]
    assert scores["ents_r"] == 1 / 5
    assert scores["ents_exact_r"] == 2 / 5
    assert scores["ents_partial_r"] == 3 / 5
    assert scores["ents_type_r"] == 2 / 5
    assert 0 < scores["token_macro_r"] < scores["token_macro_r_with_o"] < 1


def test_errors_and_confusion(metrics):
    assert metrics["errors"] == dict(zip(KINDS, (1, 1, 1, 1, 1, 1), strict=True))
    assert metrics["confusion"] == {
        "": {"Drug": 1},
        "Dose": {"Drug": 1},
        "Drug": {"Drug": 1},
        "Food": {"Drug": 1},
        "Sign": {"": 1, "Sign": 1},
    }


def test_counts_by_document_make_the_scores_again(metrics):
    rows = metrics["by_document"]
    assert [row["name"] for row in rows] == ["case-0", "case-1", "case-2", "case-3"]
    counts = [row["counts"] for row in rows]
    assert score_documents(counts) == metrics["scores"]
    assert score_intervals(counts) == metrics["intervals"]
    assert rows[3]["errors"] == dict(zip(KINDS, (0, 0, 0, 0, 0, 1), strict=True))


def test_what_is_not_annotated_counts_nowhere():
    """In scores, errors, confusion and counts alike."""
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "Sign", "pattern": "pain"}])
    reference = nlp.make_doc("pain and pain")
    reference.set_ents([reference.char_span(9, 13, "Sign")], default="missing")
    metrics = evaluate(nlp, [Example(nlp.make_doc(reference.text), reference)])
    assert metrics["scores"]["ents_f"] == 1
    assert metrics["errors"] == dict(zip(KINDS, (1, 0, 0, 0, 0, 0), strict=True))
    assert metrics["confusion"] == {"Sign": {"Sign": 1}}
    assert (metrics["gold_entities"], metrics["predicted_entities"]) == (1, 1)


@pytest.mark.parametrize(("progress", "is_shown"), [(None, False), (False, False), (True, True)])
def test_the_progress_bar_can_be_turned_off(capsys, progress, is_shown):
    """By default it is shown in a terminal only, which a test is not."""
    nlp = spacy.blank("en")
    evaluate(nlp, [Example(nlp.make_doc("No"), nlp.make_doc("No"))], progress=progress)
    assert ("predict" in capsys.readouterr().err) is is_shown


def test_the_distribution_need_not_be_installed(monkeypatch):
    """A package that is not installed, such as a checkout on the path, has no version."""
    from importlib.metadata import PackageNotFoundError, version

    def missing(name):
        if name == "spacy-btl":
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setitem(evaluate.__globals__, "version", missing)
    nlp = spacy.blank("en")
    versions = evaluate(nlp, [Example(nlp.make_doc("No"), nlp.make_doc("No"))])["versions"]
    assert "spacy-btl" not in versions
    assert versions["spacy"] == version("spacy")


def test_predictions_of_types_that_are_not_annotated_are_passed_over(tmp_path):
    nlp = spacy.blank("en")
    ruler = nlp.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": label, "pattern": text} for label, text in RULES])

    def examples(*label_sets):
        made = []
        for (text, gold), types in zip(TEXTS, label_sets, strict=True):
            reference = nlp.make_doc(text)
            kept = [span for span in gold if types is None or span[0] in types]
            reference.ents = [reference.char_span(at, end, label) for label, at, end in kept]
            set_label_set(reference, types)
            made.append(Example(nlp.make_doc(text), reference))
        return made

    whole = evaluate(nlp, examples(None, None, None, None))
    whole["train_counts"] = {}
    assert "label_sets" not in whole
    assert "label set" not in render_report(whole) + render_html(whole)
    partly = evaluate(nlp, examples(["Dose"], None, ["Drug"], ["Sign", "Dose"]))
    partly["train_counts"] = {}
    assert partly["label_sets"] == {"documents": 3, "passed_over": 4}
    assert partly["predicted_entities"] == whole["predicted_entities"] - 4
    assert partly["errors"]["spurious"] == 0
    assert partly["scores"]["ents_per_type"]["Dose"]["support"] == 1
    note = "3 of 4 documents have a label set: they annotate some types only. 4 predicted entities"
    assert note in render_report(partly)
    assert note in render_html(partly)
    write_report(tmp_path, partly, title="Partly")
    assert json.loads((tmp_path / "metrics.json").read_text())["label_sets"]["passed_over"] == 4
