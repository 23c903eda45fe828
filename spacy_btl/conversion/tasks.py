"""Documents as tasks of annotation tools, which show the predictions for correction.

The formats are those that the tools say they import:

- Label Studio, a JSON list of tasks: https://labelstud.io/guide/predictions
- doccano, a JSON object a line: https://doccano.github.io/doccano/tutorial/
- Prodigy, a JSON object a line: https://prodi.gy/docs/api-interfaces#ner_manual
- INCEpTION, a file for each document, in UIMA CAS JSON 0.4.0, with a layer that the project needs:
  https://inception-project.github.io/releases/35.0/docs/user-guide.html

`formats.read_json` reads what the tools export. It finds the id of a document where a task has it,
and knows offsets that are not those of Python by `OFFSETS_KEY`.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias
from xml.sax.saxutils import quoteattr

from spacy.tokens import Doc

from ..formats.inception import LABEL, LAYER, SOFA, STRUCTURES, TYPE, TYPES, VIEW
from ..formats.json_documents import OFFSETS_KEY, UTF16

Task: TypeAlias = dict[str, object]
"""A JSON object that a tool takes as one document."""


class EntityRow(NamedTuple):
    """An entity of a document.

    Attributes:
        start: Its first character, from 0.
        end: The character after its last one.
        label: Its type.
        text: Its text.
        score: Its score, None if it has none.
        calibrated: Whether the score is a calibrated probability, None without a score.
    """

    start: int
    end: int
    label: str
    text: str
    score: float | None
    calibrated: bool | None


def label_studio_task(name: str, text: str, entities: Sequence[EntityRow], model: str) -> Task:
    """Return a task of Label Studio, with a prediction.

    The id goes by "name", as an export in JSON-MIN puts Label Studio's own number over a field
    "id".
    """
    prediction = label_studio_prediction(entities, model)
    return {"data": {"text": text, "name": name}, "predictions": [prediction]}


def label_studio_prediction(
    entities: Sequence[EntityRow], model: str, from_name: str = "label", to_name: str = "text"
) -> Task:
    """Return a prediction of Label Studio for a text.

    Its score, by which the tool can sort tasks, is the mean of those of the entities. Offsets count
    code points, as the tests of Label Studio have it for texts with emoji.

    Args:
        entities: The entities.
        model: Name and version of the pipeline, which Label Studio shows.
        from_name: Name of the ``Labels`` of the project.
        to_name: Name of its ``Text``.
    """
    result = [
        {
            "id": f"e{number}",
            "from_name": from_name,
            "to_name": to_name,
            "type": "labels",
            "value": {"start": e.start, "end": e.end, "text": e.text, "labels": [e.label]},
            **_scored(e),
        }
        for number, e in enumerate(entities, 1)
    ]
    prediction: Task = {"model_version": model, "result": result}
    if scores := [e.score for e in entities if e.score is not None]:
        prediction["score"] = sum(scores) / len(scores)
    return prediction


def doccano_task(name: str, text: str, entities: Sequence[EntityRow]) -> Task:
    """Return an example of doccano, whose labels have no scores: those are metadata.

    Offsets count UTF-16 code units, as the pages of doccano do (its issue 2290), unless a project
    counts graphemes. All fields but text and label are metadata, which an export has again.
    """
    places = UTF16.positions(text)
    spans = [(places[e.start], places[e.end], e.label) for e in entities]
    return {
        "id": name,
        "text": text,
        "label": spans,
        "scores": [
            (*span, e.score) for span, e in zip(spans, entities, strict=True) if e.score is not None
        ],
        OFFSETS_KEY: str(UTF16),
    }


def prodigy_task(name: str, doc: Doc, entities: Sequence[EntityRow]) -> Task:
    """Return a task of Prodigy for ``ner.manual`` or ``spans.manual``, with the document's tokens.

    Hashes are left to Prodigy, and the answer to the annotator.
    """
    first = {token.idx: token.i for token in doc}
    last = {token.idx + len(token): token.i for token in doc}
    return {
        "text": doc.text,
        "meta": {"id": name},
        "tokens": [
            {
                "text": token.text,
                "start": token.idx,
                "end": token.idx + len(token),
                "id": token.i,
                "ws": bool(token.whitespace_),
            }
            for token in doc
        ],
        "spans": [
            {
                "start": e.start,
                "end": e.end,
                "token_start": first[e.start],
                "token_end": last[e.end],
                "label": e.label,
                **_scored(e),
            }
            for e in entities
        ],
    }


SCORE = "score"
"""The feature of INCEpTION's annotations with the score of a prediction."""

_RANGES = {LABEL: "uima.cas.String", SCORE: "uima.cas.Float"}


def inception_document(text: str, entities: Sequence[EntityRow]) -> Task:
    """Return a document of INCEpTION.

    Tokens and sentences are left to INCEpTION, which makes them where there are none.
    """
    places = UTF16.positions(text)
    sofa = {"%ID": 1, TYPE: SOFA, "sofaNum": 1, "sofaID": VIEW, "mimeType": "text/plain"}
    annotations = [
        {
            "%ID": number,
            TYPE: LAYER,
            "@sofa": 1,
            "begin": places[e.start],
            "end": places[e.end],
            LABEL: e.label,
            **_scored(e),
        }
        for number, e in enumerate(entities, 2)
    ]
    features = {name: {"%NAME": name, "%RANGE": range_} for name, range_ in _RANGES.items()}
    layer = {"%NAME": LAYER, "%SUPER_TYPE": "uima.tcas.Annotation", **features}
    members = [each["%ID"] for each in annotations]
    return {
        TYPES: {LAYER: layer},
        STRUCTURES: [{**sofa, "sofaString": text}, *annotations],
        "%VIEWS": {VIEW: {"%SOFA": 1, "%MEMBERS": members}},
    }


def _scored(entity: EntityRow) -> Mapping[str, float]:
    """Return the score as an item, nothing without one."""
    return {} if entity.score is None else {"score": entity.score}


def label_studio_labels(labels: Iterable[str]) -> str:
    """Return the labeling interface of a project of Label Studio; it keeps white space as it is."""
    lines = "".join(f"    <Label value={quoteattr(label)}/>\n" for label in labels)
    return (
        "<View>\n"
        "  <Style>.htx-text{ white-space: pre-wrap; }</Style>\n"
        f'  <Labels name="label" toName="text">\n{lines}  </Labels>\n'
        '  <Text name="text" value="$text"/>\n'
        "</View>\n"
    )


def doccano_labels(labels: Iterable[str]) -> str:
    """Return the labels for the import on doccano's page of labels."""
    return json.dumps([{"text": label} for label in labels], indent=2) + "\n"


def prodigy_labels(labels: Iterable[str]) -> str:
    """Return the labels for ``--label`` of Prodigy's recipes, one a line."""
    return "".join(f"{label}\n" for label in labels)


def inception_layer(labels: Iterable[str]) -> str:
    """Return the layer of the entities, for the import on INCEpTION's page of layers.

    Entities may begin and end at any character, overlap, and cross sentences, as they may in a
    prediction.
    """
    tags = [{"tag_name": label, "tag_description": ""} for label in labels]
    tag_set = {"name": "Clinical entities", "description": "", "tags": tags, "create_tag": True}
    features = [
        {
            "name": name,
            "uiName": name.capitalize(),
            "type": range_,
            "tag_set": tag_set if name == LABEL else None,
            "enabled": True,
            "visible": True,
            "required": name == LABEL,
            "curatable": name == LABEL,
            "multi_value_mode": "NONE",
            "link_mode": "NONE",
        }
        for name, range_ in _RANGES.items()
    ]
    layer = {
        "name": LAYER,
        "uiName": "Clinical entity",
        "type": "span",
        "features": features,
        "enabled": True,
        "built_in": False,
        "readonly": False,
        "allow_stacking": True,
        "cross_sentence": True,
        "anchoring_mode": "CHARACTERS",
        "overlap_mode": "ANY_OVERLAP",
        "validation_mode": "NEVER",
        "lock_to_token_offset": False,
        "multiple_tokens": False,
        "linked_list_behavior": False,
    }
    return json.dumps([layer], indent=2) + "\n"


TOOLS: Mapping[str, tuple[str, Callable[[Iterable[str]], str]]] = {
    "label-studio": ("label_config.xml", label_studio_labels),
    "doccano": ("label_config.json", doccano_labels),
    "prodigy": ("labels.txt", prodigy_labels),
    "inception": ("layer.json", inception_layer),
}
"""For each tool the file of the labels that a project needs, and what makes its content."""
