"""Exports of annotation tools, according to their documentation, for given tasks.

Every prediction is accepted as it is.
"""

import json
from typing import Any

import pytest


def tasks_of(content: str) -> list[dict[str, Any]]:
    """Return the tasks of a file: the items of a list, or an object a line."""
    if content.startswith("["):
        tasks: list[dict[str, Any]] = json.loads(content)
        return tasks
    return [json.loads(line) for line in content.splitlines()]


def label_studio_export(content: str) -> str:
    """Return an export as JSON: https://labelstud.io/guide/export#Label-Studio-JSON-format.

    Task and annotation have numbers of their own; what was given is in ``data``.
    """
    exported = []
    for number, task in enumerate(tasks_of(content), 41):
        (prediction,) = task["predictions"]
        kept = ("id", "from_name", "to_name", "type", "value")
        result = [
            {**{k: each[k] for k in kept}, "origin": "manual"} for each in prediction["result"]
        ]
        annotation = {"id": number + 100, "completed_by": 1, "result": result}
        annotation |= {"was_cancelled": False, "ground_truth": False, "lead_time": 7.5}
        one = {"id": number, "annotations": [annotation], "predictions": [], "meta": {}}
        exported.append({**one, "file_upload": "a.json", "data": task["data"], "project": 1})
    return json.dumps(exported, indent=2, ensure_ascii=False)


def label_studio_min_export(content: str) -> str:
    """Return an export as JSON-MIN: https://labelstud.io/guide/export#JSON-MIN.

    The number of the task takes the place of a field "id"; without entities there is no "label".
    """
    exported = []
    for number, task in enumerate(tasks_of(content), 41):
        (prediction,) = task["predictions"]
        found = {"label": [each["value"] for each in prediction["result"]]}
        one = {**task["data"], "id": number, **(found if prediction["result"] else {})}
        exported.append({**one, "annotator": 1, "annotation_id": number + 100})
    return json.dumps(exported, ensure_ascii=False)


def doccano_export(content: str) -> str:
    """Return an export as JSONL: https://doccano.github.io/doccano/tutorial/#export-the-dataset.

    doccano gives its own number, over which the metadata go.
    """
    exported = []
    for number, task in enumerate(tasks_of(content), 41):
        meta = {key: value for key, value in task.items() if key not in ("text", "label")}
        label = sorted(task["label"])
        exported.append(
            {"id": number, "text": task["text"], **meta, "label": label, "Comments": []}
        )
    return "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in exported)


def prodigy_export(content: str) -> str:
    """Return what ``db-out`` writes: https://prodi.gy/docs/api-interfaces#ner_manual.

    Spans that the annotator has seen lose nothing; a task without spans has no such key.
    """
    exported = []
    for number, task in enumerate(tasks_of(content)):
        task = {**task, "_input_hash": number, "_task_hash": -number, "_is_binary": False}
        if not task["spans"]:
            del task["spans"]
        exported.append({**task, "_view_id": "ner_manual", "answer": "accept"})
    return "".join(json.dumps(each) + "\n" for each in exported)


def inception_export(content: str) -> str:
    """Return a document as INCEpTION exports it in UIMA CAS JSON 0.4.0, written by dkpro-cassis.

    INCEpTION adds sentences and tokens, and the file's name as the title of the document.
    """
    cassis = pytest.importorskip("cassis", reason="needs the extra serve")
    cas = cassis.load_cas_from_json(content)
    segmentation = "de.tudarmstadt.ukp.dkpro.core.api.segmentation.type."
    for name in ("Sentence", "Token"):
        cas.typesystem.create_type(segmentation + name, "uima.tcas.Annotation")
    metadata = cas.typesystem.create_type(
        "de.tudarmstadt.ukp.dkpro.core.api.metadata.type.DocumentMetaData",
        "uima.tcas.DocumentAnnotation",
    )
    cas.typesystem.create_feature(metadata, "documentTitle", "uima.cas.String")
    end = len(cas.sofa_string)
    cas.add(metadata(begin=0, end=end, documentTitle="note.json", language="en"))
    for name in ("Sentence", "Token"):
        cas.add(cas.typesystem.get_type(segmentation + name)(begin=0, end=end))
    exported: str = cas.to_json()
    return exported


EXPORTS = {
    "label-studio": label_studio_export,
    "label-studio, JSON-MIN": label_studio_min_export,
    "doccano": doccano_export,
    "prodigy": prodigy_export,
}
"""By tool, and for Label Studio by the format of the export."""


def given_name(task: dict[str, Any]) -> str:
    """Return the id that a task of any tool has."""
    for fields in (task, task.get("data", {}), task.get("meta", {})):
        for key in ("name", "id"):
            if key in fields:
                return str(fields[key])
    raise ValueError("a task without an id")
