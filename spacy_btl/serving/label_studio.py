"""Routes of an ML backend of Label Studio, as its `ml/api_connector.py` calls them.

The URL to give in a project is that of the service and ``/label-studio``. Label Studio sends the
labeling interface of the project with each request: it says which field of a task holds the text,
and which labels there are. Nothing is learned here: annotations are exported, and trained on.
"""

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from ..conversion.tasks import label_studio_prediction
from ..util.messages import LOGGER
from .batching import Batcher
from .guard import RefusalError
from .model import ModelFacts

NOT_TRAINED = "this service does not train: export the annotations and train with spacy train"

MAX_INTERFACE = 2**20
"""Most characters of a labeling interface."""


class Interface(NamedTuple):
    """Place of predictions in a project.

    Attributes:
        from_name: Name of its ``Labels``.
        to_name: Name of its ``Text``.
        field: Field of a task that holds the text.
        labels: The label of the project for each label of the pipeline that it has.
    """

    from_name: str
    to_name: str
    field: str
    labels: Mapping[str, str]


class SetupRequest(BaseModel):
    """Request by which Label Studio connects a backend."""

    interface: str = Field("", alias="schema")


class Task(BaseModel):
    """A task; only its data are read."""

    data: dict[str, Any]


class PredictRequest(BaseModel):
    """Tasks, and the labeling interface of their project."""

    tasks: list[Task]
    label_config: str


class WebhookRequest(BaseModel):
    """An event of a project."""

    action: str = ""


def make_router(batcher: Batcher, facts: ModelFacts) -> APIRouter:
    """Return the routes.

    Args:
        batcher: Answers.
        facts: Public facts of the pipeline.
    """
    router = APIRouter(tags=["Label Studio"])
    known: set[tuple[str, ...]] = set()

    async def setup(request: SetupRequest) -> Response:
        """Check the labeling interface of a project, and return name and version of the model."""
        if request.interface:
            labels = read_interface(request.interface, facts.labels).labels
            missing = tuple(label for label in facts.labels if label not in labels)
            if missing and missing not in known:
                known.add(missing)
                LOGGER.warning(
                    "a project of Label Studio has no label for %s: entities of these types are "
                    "left out",
                    ", ".join(missing),
                )
        return JSONResponse({"model_version": facts.system})

    async def predict(request: PredictRequest) -> Response:
        """Return a prediction for each task."""
        interface = read_interface(request.label_config, facts.labels)
        texts = [_text_of(number, task, interface) for number, task in enumerate(request.tasks)]
        results = []
        for answer in await batcher.ask(texts):
            entities = [
                entity._replace(label=interface.labels[entity.label])
                for entity in answer.entities
                if entity.label in interface.labels
            ]
            names = interface.from_name, interface.to_name
            results.append(label_studio_prediction(entities, facts.system, *names))
        return JSONResponse({"results": results, "model_version": facts.system})

    async def versions() -> Response:
        """Return the only version there is."""
        return JSONResponse({"versions": [facts.system]})

    async def webhook(request: WebhookRequest) -> Response:
        """Take note of an event; 501 if a training is asked for."""
        if request.action == "START_TRAINING":
            raise RefusalError(501, NOT_TRAINED)
        return JSONResponse({"status": "ignored"}, 201)

    async def train() -> Response:
        """Return 501."""
        raise RefusalError(501, NOT_TRAINED)

    router.add_api_route("/setup", setup, methods=["POST"], response_model=dict[str, str])
    router.add_api_route("/predict", predict, methods=["POST"], response_model=dict[str, Any])
    router.add_api_route("/versions", versions, methods=["GET"], response_model=dict[str, Any])
    router.add_api_route("/webhook", webhook, methods=["POST"], response_model=dict[str, str])
    router.add_api_route("/train", train, methods=["POST"], response_model=dict[str, str])
    return router


def read_interface(config: str, labels: Iterable[str]) -> Interface:
    """Return where predictions belong in a project.

    A label of the pipeline belongs to the ``Label`` that names it in ``predicted_values`` or, else,
    has it as its value, in any case of letters; as in Label Studio's own backends.

    Args:
        config: Labeling interface of the project.
        labels: Labels of the pipeline.

    Raises:
        RefusalError: If it cannot be read, or has no ``Labels`` for a ``Text``.
    """
    if len(config) > MAX_INTERFACE or "<!" in config.replace("<!--", ""):
        raise RefusalError(422, "the labeling interface is too long, or has a document type")
    try:
        root = ElementTree.fromstring(config)
    except (ElementTree.ParseError, ValueError):
        raise RefusalError(422, "the labeling interface is not XML") from None
    texts = {tag.get("name"): tag for tag in root.iter("Text")}
    for control in root.iter("Labels"):
        text = texts.get(control.get("toName"))
        if text is None or not (field := text.get("value", "")).startswith("$"):
            continue
        if text.get("valueType", "text") != "text":
            raise RefusalError(422, "the labeling interface has URLs in place of texts")
        names = str(control.get("name")), str(control.get("toName"))
        return Interface(*names, field[1:], _label_map(control, labels))
    raise RefusalError(
        422, 'the labeling interface has no <Labels toName="..."> for a <Text value="$FIELD">'
    )


def _label_map(control: ElementTree.Element, labels: Iterable[str]) -> dict[str, str]:
    """Return the label of the project for each label of the pipeline that it has."""
    predicted: dict[str, str] = {}
    named: dict[str, str] = {}
    for tag in control.iter("Label"):
        value = tag.get("value", "")
        named.setdefault(value.lower(), value)
        for other in tag.get("predicted_values", "").split(","):
            predicted.setdefault(other.strip(), value)
    exact = {value: value for value in named.values()}
    places = {
        label: predicted.get(label) or exact.get(label) or named.get(label.lower())
        for label in labels
    }
    return {label: value for label, value in places.items() if value}


def _text_of(number: int, task: Task, interface: Interface) -> str:
    text = task.data.get(interface.field)
    if not isinstance(text, str):
        raise RefusalError(422, f"task {number} has no text in the field of the interface")
    return text
