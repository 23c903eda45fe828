"""Tasks of annotation tools, and their way back: predicted, accepted, exported, converted."""

import json
import tempfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc, Span

from spacy_btl.conversion.reading import Reading, read_source
from spacy_btl.conversion.tasks import (
    TOOLS,
    EntityRow,
    Task,
    doccano_labels,
    doccano_task,
    inception_document,
    inception_layer,
    label_studio_labels,
    label_studio_task,
    prodigy_labels,
    prodigy_task,
)
from tests.helpers.tasks import EXPORTS, inception_export

NLP = spacy.blank("en")
TEXT = "No 😀 fever.\r\nShe took aspirin."
FEVER = EntityRow(5, 10, "Sign symptom", "fever", 0.75, True)
ASPIRIN = EntityRow(22, 29, "Drug", "aspirin", None, None)
LABELS = ["Age", "two words", "with:colon", "Q\"uo'te", "a & <b>", "é𝒳"]


def task_of(tool: str, name: str, doc: Doc, entities: list[EntityRow]) -> Task:
    if tool.startswith("label-studio"):
        return label_studio_task(name, doc.text, entities, "en_model 1.0")
    if tool == "doccano":
        return doccano_task(name, doc.text, entities)
    return prodigy_task(name, doc, entities)


def content_of(tool: str, tasks: list[Task]) -> str:
    if tool.startswith("label-studio"):
        return json.dumps(tasks)
    return "".join(json.dumps(task) + "\n" for task in tasks)


def convert(content: str, **options: Any) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "export.json")
        path.write_text(content, encoding="utf-8")
        return read_source(path, Reading(**options)).documents


def test_label_studio() -> None:
    task = label_studio_task("a/b", TEXT, [FEVER, ASPIRIN], "en_model 1.0")
    common = {"from_name": "label", "to_name": "text", "type": "labels"}
    fever = {"start": 5, "end": 10, "text": "fever", "labels": ["Sign symptom"]}
    aspirin = {"start": 22, "end": 29, "text": "aspirin", "labels": ["Drug"]}
    assert task == {
        "data": {"text": TEXT, "name": "a/b"},
        "predictions": [
            {
                "model_version": "en_model 1.0",
                "score": 0.75,
                "result": [
                    {"id": "e1", **common, "value": fever, "score": 0.75},
                    {"id": "e2", **common, "value": aspirin},
                ],
            }
        ],
    }
    empty = label_studio_task("a", "", [], "m")["predictions"]
    assert empty == [{"model_version": "m", "result": []}]


def test_doccano_counts_utf16_units() -> None:
    assert doccano_task("a/b", TEXT, [FEVER, ASPIRIN]) == {
        "id": "a/b",
        "text": TEXT,
        "label": [(6, 11, "Sign symptom"), (23, 30, "Drug")],
        "scores": [(6, 11, "Sign symptom", 0.75)],
        "offsets": "utf16",
    }


def test_prodigy_has_the_tokens_of_the_pipeline() -> None:
    doc = NLP("She took  aspirin.")
    aspirin = EntityRow(4, 17, "Drug", "took  aspirin", 0.5, False)
    task = prodigy_task("a/b", doc, [aspirin])
    assert "answer" not in task
    assert task["meta"] == {"id": "a/b"}
    span = {"start": 4, "end": 17, "token_start": 1, "token_end": 3, "label": "Drug", "score": 0.5}
    assert task["spans"] == [span]
    tokens: Any = task["tokens"]
    assert [token["id"] for token in tokens] == [0, 1, 2, 3, 4]
    assert [(t["start"], t["end"]) for t in tokens] == [(0, 3), (4, 8), (9, 10), (10, 17), (17, 18)]
    assert "".join(t["text"] + " " * t["ws"] for t in tokens) == doc.text


def test_inception_counts_utf16_units() -> None:
    document: Any = inception_document(TEXT, [FEVER, ASPIRIN])
    layer = "webanno.custom.ClinicalEntity"
    sofa, *annotations = document["%FEATURE_STRUCTURES"]
    assert sofa["sofaString"] == TEXT
    common = {"%TYPE": layer, "@sofa": 1}
    fever = {"begin": 6, "end": 11, "label": "Sign symptom", "score": 0.75}
    assert annotations == [
        {"%ID": 2, **common, **fever},
        {"%ID": 3, **common, "begin": 23, "end": 30, "label": "Drug"},
    ]
    assert document["%VIEWS"] == {"_InitialView": {"%SOFA": 1, "%MEMBERS": [2, 3]}}
    cassis = pytest.importorskip("cassis", reason="needs the extra serve")
    cas = cassis.load_cas_from_json(json.dumps(document))
    found = [(each.get_covered_text(), each.label, each.score) for each in cas.select(layer)]
    assert found == [("fever", "Sign symptom", 0.75), ("aspirin", "Drug", None)]


def test_the_layer_of_inception_is_that_of_its_documents() -> None:
    (layer,) = json.loads(inception_layer(LABELS))
    ((name, written),) = inception_document("", [])["%TYPES"].items()  # type: ignore[attr-defined]
    assert layer["name"] == name
    ranges = {key: each["%RANGE"] for key, each in written.items() if not key.startswith("%")}
    assert {each["name"]: each["type"] for each in layer["features"]} == ranges
    tag_sets = [each["tag_set"] for each in layer["features"] if each["tag_set"]]
    assert [[tag["tag_name"] for tag in each["tags"]] for each in tag_sets] == [LABELS]
    assert (layer["anchoring_mode"], layer["overlap_mode"]) == ("CHARACTERS", "ANY_OVERLAP")


def test_files_of_labels() -> None:
    root = ElementTree.fromstring(label_studio_labels(LABELS))
    assert [each.get("value") for each in root.iter("Label")] == LABELS
    (labels,), (text,) = root.iter("Labels"), root.iter("Text")
    assert (labels.get("name"), labels.get("toName")) == ("label", text.get("name"))
    assert text.get("value") == "$text"
    assert [each["text"] for each in json.loads(doccano_labels(LABELS))] == LABELS
    assert prodigy_labels(LABELS).splitlines() == LABELS
    assert {name for name, _ in TOOLS.values()} == {
        "label_config.xml",
        "label_config.json",
        "labels.txt",
        "layer.json",
    }


ODD = st.sampled_from(
    ["\r\n", "\n", "😀", "👨🏻‍🚒", "𝒳", "e\u0301", "\u2028", "\x85", '"', "\\n", "\t", "  "]
)


@st.composite
def documents(draw: st.DrawFn) -> Doc:
    pieces = draw(st.lists(st.text(st.characters(exclude_categories=["Cs"])) | ODD, max_size=9))
    doc = NLP("".join(pieces) + " end")
    entities, at = [], 0
    while at < len(doc):
        size = draw(st.integers(0, 3))
        if size and doc[at : at + size].text.strip():
            entities.append(Span(doc, at, min(at + size, len(doc)), draw(st.sampled_from(LABELS))))
        at += size or 1
    doc.ents = entities
    return doc


@pytest.mark.parametrize("tool", EXPORTS)
@settings(max_examples=60, deadline=None)
@given(docs=st.lists(documents(), min_size=1, max_size=3))
def test_accepted_predictions_come_back(tool: str, docs: list[Doc]) -> None:
    rows = [
        [EntityRow(e.start_char, e.end_char, e.label_, e.text, 0.5, True) for e in doc.ents]
        for doc in docs
    ]
    tasks = [
        task_of(tool, f"sub/note-{i}", doc, own)
        for i, (doc, own) in enumerate(zip(docs, rows, strict=True))
    ]
    back = convert(EXPORTS[tool](content_of(tool, tasks)))
    assert [document.name for document in back] == [f"sub/note-{i}" for i in range(len(docs))]
    for document, doc, own in zip(back, docs, rows, strict=True):
        assert document.text == doc.text
        found = [(*e.fragments[0], e.label) for e in document.standoff.entities]
        assert found == [(e.start, e.end, e.label) for e in own]


@settings(max_examples=60, deadline=None)
@given(doc=documents())
def test_documents_of_inception_come_back(doc: Doc) -> None:
    rows = [EntityRow(e.start_char, e.end_char, e.label_, e.text, 0.5, True) for e in doc.ents]
    nested = [EntityRow(0, len(doc.text), "Drug", doc.text, None, None), *rows]
    content = inception_export(json.dumps(inception_document(doc.text, nested)))
    (document,) = convert(content)
    assert (document.name, document.text, document.problems) == ("export", doc.text, ())
    found = sorted((*e.fragments[0], e.label) for e in document.standoff.entities)
    assert found == sorted((e.start, e.end, e.label) for e in nested)


@pytest.mark.parametrize("tool", EXPORTS)
def test_overlapping_entities_come_back(tool: str) -> None:
    nested = [FEVER, EntityRow(3, 10, "Drug", "😀 fever", 0.5, False), ASPIRIN]
    task = task_of(tool, "a", NLP(TEXT), nested)
    (document,) = convert(EXPORTS[tool](content_of(tool, [task])))
    found = sorted((*e.fragments[0], e.label) for e in document.standoff.entities)
    assert found == sorted((e.start, e.end, e.label) for e in nested)


def test_what_the_annotator_changed_is_what_counts() -> None:
    """Bounds drawn over a line break: the page of Label Studio writes that as a backslash and n."""
    task = label_studio_task("a", TEXT, [FEVER], "m")
    (exported,) = json.loads(EXPORTS["label-studio"](json.dumps([task])))
    value = {"start": 5, "end": 16, "text": "fever.\\n\\nShe", "labels": ["Other"]}
    exported["annotations"][0]["result"] = [
        {"id": "x", "from_name": "label", "to_name": "text", "type": "labels", "value": value}
    ]
    (document,) = convert(json.dumps([exported]))
    assert document.problems == ()
    assert [(*e.fragments[0], e.label) for e in document.standoff.entities] == [(5, 16, "Other")]


def test_a_task_that_nobody_has_annotated_is_no_annotation() -> None:
    task = label_studio_task("a", TEXT, [FEVER], "m")
    assert list(convert(json.dumps([task]), format="json")) == []


@pytest.mark.parametrize(
    ("fields", "places"),
    [
        ({"offsets": "utf16"}, (5, 10)),
        ({"offsets": "characters"}, (6, 11)),
        ({"offsets": 3}, (6, 11)),
        ({}, (6, 11)),
    ],
)
def test_offsets_count_as_the_document_says(
    fields: dict[str, object], places: tuple[int, int]
) -> None:
    (document,) = convert(json.dumps({"text": TEXT, "label": [[6, 11, "Sign"]], **fields}))
    assert [e.fragments[0] for e in document.standoff.entities] == [places]
