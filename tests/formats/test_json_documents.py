import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.sources import entities, problems, read_tree


def read(tmp_path, content, name="c.jsonl"):
    return read_tree(tmp_path, {name: content}, format="json")


SPANS = {
    # what stands for the entities of "Man, 28": label and offsets, or the reason of a problem
    "prodigy": ({"spans": [{"start": 0, "end": 3, "label": "Sex"}]}, [("Sex", 0, 3)]),
    "Doc.to_json": ({"ents": [{"start": 0, "end": 3, "label": "Sex"}]}, [("Sex", 0, 3)]),
    "doccano": ({"label": [[0, 3, "Sex"]]}, [("Sex", 0, 3)]),
    "older doccano": ({"labels": [[0, 3, "Sex"]]}, [("Sex", 0, 3)]),
    "doccano objects": (
        {"entities": [{"start_offset": 0, "end_offset": 3, "label": "Sex"}]},
        [("Sex", 0, 3)],
    ),
    "entities": ({"entities": [[5, 7, "Age"]]}, [("Age", 5, 7)]),
    "Label Studio's short form": (
        {"label": [{"start": 0, "end": 3, "text": "Man", "labels": ["Sex", "Who"]}]},
        [("Sex", 0, 3), ("Who", 0, 3)],
    ),
    "whole numbers as floats": ({"label": [[0.0, 3.0, "Sex"]]}, [("Sex", 0, 3)]),
    "none": ({"spans": []}, []),
    "accepted without spans": ({"answer": "accept"}, []),
    "no annotation": ({}, "no-annotation"),
    "null": ({"spans": None}, "no-annotation"),
    "outside": ({"label": [[0, 99, "Sex"]]}, "outside"),
    "empty": ({"label": [[3, 3, "Sex"]]}, "empty"),
    "other words": ({"spans": [{"start": 0, "end": 3, "text": "Boy", "label": "S"}]}, "surface"),
    "an offset of text": ({"label": [["0", 3, "Sex"]]}, "unreadable"),
    "below 0": ({"label": [[-1, 3, "Sex"]]}, "unreadable"),
    "half": ({"label": [[0.5, 3, "Sex"]]}, "unreadable"),
    "true": ({"label": [[True, 3, "Sex"]]}, "unreadable"),
    "no label": ({"label": [[0, 3]]}, "unreadable"),
    "a label that is none": ({"label": [[0, 3, 7]]}, "unreadable"),
    "no list of labels": ({"spans": [{"start": 0, "end": 3, "labels": []}]}, "unreadable"),
    "a word": ({"label": ["Sex"]}, "unreadable"),
}


@pytest.mark.parametrize("name", SPANS)
def test_spans(tmp_path, name):
    keys, wanted = SPANS[name]
    lines = [{"text": "Man, 28", **keys}, {"text": "x", "label": [[0, 1, "X"]]}]
    source = read(tmp_path, "".join(json.dumps(line) + "\n" for line in lines))
    *found, last = entities(source)
    assert last[:4] == ("00002", 2, "X", ((0, 1),))
    if isinstance(wanted, str):
        assert problems(source) == [(1, "error", wanted)]
    else:
        assert [(label, *fragments[0]) for _, _, label, fragments, _ in found] == wanted
        assert problems(source) == []


def test_what_was_not_accepted_is_left_out_and_counted(tmp_path):
    lines = [{"text": "a", "spans": [], "answer": each} for each in ("reject", "accept", "ignore")]
    source = read(tmp_path, "\n".join(map(json.dumps, lines)))
    assert [d.name for d in source.documents] == ["00002"]
    assert source.settings["rejected documents, left out"] == 1
    assert source.settings["ignored documents, left out"] == 1


def test_names_and_ids_are_kept(tmp_path):
    lines = [{"id": 7}, {"name": "p1/a"}, {"id": 7}, {"id": "../x\n"}, {}]
    content = "\n".join(json.dumps({"text": "a", "spans": [], **line}) for line in lines)
    names = [d.name for d in read(tmp_path, content).documents]
    assert names == ["7", "p1/a", "7-2", "x_", "00005"]


GOOD = '{"text": "a", "label": [[0, 1, "X"]]}'
BROKEN = {
    # content: lines of the entities, and of the problems
    "a line": (f"{GOOD}\n{GOOD[:-5]}\n{GOOD}\n", [1, 3], [2]),
    "the first line": (f"{GOOD[:-5]}\n{GOOD}\n{GOOD}\n", [2, 3], [1]),
    "no object": (f"{GOOD}\n7\n{GOOD}\n", [1, 3], [2, 2]),
    "an item of a list": (f"[\n  {GOOD},\n  {GOOD[:-5]},\n  {GOOD}\n]\n", [2, 4], [3]),
    "a list that is cut off": (f"[\n{GOOD},\n{GOOD},\n", [2, 3], []),
    "a list on one line": (f"[{GOOD}, {GOOD}]", [1, 1], []),
    "objects over several lines": (
        json.dumps(json.loads(GOOD), indent=2) + "\n" + json.dumps(json.loads(GOOD), indent=2),
        [1, 11],
        [],
    ),
    "blank lines": (f"\n{GOOD}\n\n\n{GOOD}", [2, 5], []),
    "nested too deeply": (f"{GOOD}\n{'[' * 100_000}\n{GOOD}\n", [1, 3], [2]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_json_costs_no_other(tmp_path, name):
    content, lines, reported = BROKEN[name]
    source = read(tmp_path, content, "c.json")
    assert [line for _, line, *_ in entities(source)] == lines
    assert [line for line, *_ in problems(source)] == reported


def result(kind="labels", **values):
    span = {"start": 0, "end": 3, "text": "Man", kind: ["Sex"]}
    return {"value": span, "type": kind, **values}


def task(*results, **values):
    annotations = [{"result": list(results or [result()])}]
    return {"id": 1, "data": {"text": "Man, 28"}, "annotations": annotations, **values}


TWO = {"title": "A man", "body": "Man, 28"}
ALIKE = {"title": "Man", "body": "Man, 28"}
THREE = {**TWO, "text": "Boy"}
PLACE = {"start": "/p[1]/text()[1]", "end": "/p[1]/text()[1]", "startOffset": 0, "endOffset": 3}
GLOBAL = {"globalOffsets": {"start": 5, "end": 7}}
HYPERTEXT = {"type": "hypertextlabels"}
AGE = {**PLACE, "text": "28", "hypertextlabels": ["Age"]}
TASKS = {
    # a task of Label Studio: the text and its entities, or the reason of a problem
    "plain": (task(), "Man, 28", ["Sex"]),
    "the only string": (task(data={"x": "Man, 28", "n": 3}), "Man, 28", ["Sex"]),
    "a key named by the results": (task(result(to_name="body"), data=THREE), "Man, 28", ["Sex"]),
    "a key named, as both have the words": (
        task(result(to_name="body"), data=ALIKE),
        "Man, 28",
        ["Sex"],
    ),
    "the name of a control": (task(result(to_name="txt")), "Man, 28", ["Sex"]),
    "the only string with the words": (task(data=TWO), "Man, 28", ["Sex"]),
    "several strings with the words": (task(data=ALIKE), "no-text", []),
    "several strings, nothing found": (
        {"data": TWO, "annotations": [{"result": []}]},
        "no-text",
        [],
    ),
    "results on two strings": (
        task(result(to_name="body"), result(to_name="text"), data={**TWO, "text": "Man"}),
        "Man",
        ["Sex"],
    ),
    "nothing found": (task(annotations=[{"result": []}]), "Man, 28", []),
    "a choice": (task({"type": "choices", "value": {}}), "Man, 28", []),
    "hypertext": (task(result(), {"value": AGE | GLOBAL, **HYPERTEXT}), "Man, 28", ["Sex", "Age"]),
    "hypertext by XPath only": (task({"value": AGE, **HYPERTEXT}), "unreadable", []),
}


@pytest.mark.parametrize("name", TASKS)
def test_tasks_of_label_studio(tmp_path, name):
    values, wanted, labels = TASKS[name]
    source = read(tmp_path, json.dumps([values]), "c.json")
    if wanted in ("no-text", "unreadable"):
        assert problems(source) == [(1, "error", wanted)]
    else:
        assert [label for _, _, label, *_ in entities(source)] == labels
        assert source.documents[0].text == wanted
        assert problems(source) == []


def test_the_problem_names_the_strings_and_an_option_chooses_one(tmp_path):
    content = json.dumps([task(data=ALIKE)])
    (problem,) = read(tmp_path, content, "c.json").documents[0].problems
    assert "(title, body): name one with --text-key" in problem.detail
    (document,) = read_tree(tmp_path, {"c.json": content}, text_key="body").documents
    assert (document.text, document.problems) == ("Man, 28", ())
    lines = json.dumps({"text": "x", "note": "Man, 28", "label": [[0, 3, "Sex"]]})
    (document,) = read_tree(tmp_path, {"c.json": lines}, text_key="note").documents
    assert document.text == "Man, 28"


def test_entities_in_other_texts_are_left_out_and_counted(tmp_path):
    data = {"text": "Man", "body": "Man, 28"}
    values = task(result(to_name="body"), result(to_name="text"), data=data)
    source = read(tmp_path, json.dumps([values]), "c.json")
    assert source.settings["entities in other texts of a document, left out"] == 1


def test_offsets_by_xpath_only_are_accounted_for(tmp_path):
    values = task({"value": AGE, **HYPERTEXT})
    (problem,) = read(tmp_path, json.dumps([values]), "c.json").documents[0].problems
    assert "XPath without globalOffsets" in problem.detail


UNANNOTATED = [
    task(annotations=[], id=7),
    task(annotations=[{"was_cancelled": True, "result": []}], id=9),
]


@pytest.mark.parametrize("tasks", [[task(), *UNANNOTATED], UNANNOTATED], ids=["some", "all"])
def test_tasks_that_nobody_has_annotated_are_set_aside(tmp_path, tasks):
    source = read(tmp_path, json.dumps(tasks), "c.json")
    assert len(source.documents) == len(tasks) - 2
    assert problems(source) == []
    assert source.settings["documents that nobody has annotated, left out"] == 2
    assert source.settings["names of those left out"] == "7, 9"


def test_of_many_that_are_left_out_some_are_named(tmp_path):
    source = read(tmp_path, json.dumps([task(annotations=[], id=i) for i in range(20)]), "c.json")
    assert source.settings["names of those left out"] == "0, 1, 2, 3, 4, 5, 6, 7, ..."


def test_of_several_annotations_the_first_is_taken(tmp_path):
    first = task()["annotations"]
    source = read(tmp_path, json.dumps([task(annotations=[*first, {"result": []}])]), "c.json")
    assert len(entities(source)) == 1
    assert source.settings["documents with several annotations, the first taken"] == 1


KEYS = ["text", "data", "spans", "label", "labels", "entities", "annotations", "result", "value"]
KEYS += ["start", "end", "id", "answer", "type", "name"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(KEYS),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


@settings(max_examples=200, deadline=None)
@given(VALUES)
def test_any_value_is_read_or_reported(value):
    with tempfile.TemporaryDirectory() as folder:
        lines = f"{json.dumps(value)}\n{GOOD}\n"
        source = read(Path(folder), lines)
    *others, last = source.documents
    assert [e.label for e in last.standoff.entities] == ["X"]
    for document in others:
        assert document.text is not None or document.problems
