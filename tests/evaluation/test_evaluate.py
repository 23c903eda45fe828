"""What an evaluation tells, and the report on it."""

import json
import re

import pytest
import spacy
from spacy.training import Example

from spacy_btl.evaluation.evaluate import evaluate
from spacy_btl.evaluation.report import render_report
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


def test_report(metrics):
    report = render_report(metrics)
    assert "exact span F1: bounds alone" in report
    assert (
        "1 correct, 1 wrong type, 1 wrong bounds, 1 wrong type and bounds, 1 missed, 1 spurious."
        in report
    )
    low, high = metrics["intervals"]["ents_per_type"]["Drug"]["f"]
    (row,) = (line for line in report.splitlines() if line.startswith("| Drug"))
    assert row.endswith(f"{low:.3f} to {high:.3f} |")
    assert "| Food" in report
    assert "in training" not in report
    report = re.sub(" +", " ", render_report({**metrics, "train_counts": {"Drug": 7}}))
    assert "| Drug | 7 | 1 | 4 |" in report
    assert "| Food | 0 | 1 | 0 |" in report


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


def test_report_without_gold():
    nlp = spacy.blank("en")
    metrics = evaluate(nlp, [Example(nlp.make_doc("No"), nlp.make_doc("No"))])
    assert metrics["scores"]["ents_f"] is None
    assert metrics["intervals"] == {}
    report = re.sub(" +", " ", render_report(metrics))
    assert "| strict span F1, micro | - | |" in report
    assert "| token unweighted accuracy, with O | - | |" in report
