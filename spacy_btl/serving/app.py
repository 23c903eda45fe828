"""The web application: annotation of texts as JSON, and what else a service shows of itself.

No answer and no log repeats a request: where FastAPI would show the input that it refuses, the
place of the fault is shown instead.
"""

from collections.abc import Mapping, Sequence
from inspect import signature
from typing import Any, Literal

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .. import __version__
from ..annotate.outputs import entity_values
from ..formats.json_documents import UTF16
from . import inception, label_studio
from .batching import Batcher, unicode_error
from .guard import Guard, RefusalError, error_body
from .model import Answer, ModelFacts
from .settings import ServeSettings

DESCRIPTION = """
Entities of clinical texts, with calibrated scores. Every refusal is `{"error": ...}` with a status
of 400 to 504, and repeats nothing of the request. 503 means: come again after `Retry-After`.
"""

PROBLEMS_SHOWN = 10
"""Faults of a request that an answer lists."""

FIELDS = frozenset(
    (
        *("text", "texts", "records", "id", "evidence", "with_text", "offsets"),
        *("tasks", "data", "label_config", "schema", "action"),
        *("document", "metadata", "xmi", "typeSystem", "layer", "feature"),
    )
)
"""Names of fields that an error may show; any other may be part of a text."""


class Record(BaseModel):
    """A text with its id."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: str | int
    text: str


class AnnotateRequest(BaseModel):
    """One of ``text``, ``texts`` and ``records``, and how the answer is wanted."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: str | None = Field(None, description="One text.")
    texts: list[str] | None = Field(None, description="Several texts.")
    records: list[Record] | None = Field(None, description="Texts with ids, which come back.")
    evidence: bool = Field(False, description="Show the training examples behind each entity.")
    with_text: bool = Field(False, description="Repeat the words of each entity.")
    offsets: Literal["characters", "utf16"] = Field(
        "characters",
        description="Count Unicode characters (Python) or UTF-16 code units (JavaScript, Java).",
    )


class Model(BaseModel):
    """The pipeline that has annotated."""

    name: str
    version: str


class Entity(BaseModel):
    """An entity of a text."""

    start: int = Field(description="Its first character, from 0.")
    end: int = Field(description="The character after its last one.")
    label: str
    score: float | None = Field(
        description="Probability that an annotator would have marked exactly this entity."
    )
    calibrated: bool | None = Field(
        description="Whether the score is calibrated; if not, it only ranks entities."
    )
    text: str | None = Field(None, description="Its words, with `with_text` only.")
    evidence: dict[str, Any] | None = Field(
        None, description="The vote behind it, with `evidence` only."
    )


class Document(BaseModel):
    """The entities of a text."""

    id: str | int | None = Field(None, description="Its id, for `records` only.")
    entities: list[Entity]


class AnnotateResponse(BaseModel):
    """A document for each text, in the order of the request."""

    model: Model
    documents: list[Document]


def make_app(batcher: Batcher, facts: ModelFacts, settings: ServeSettings) -> FastAPI:
    """Return the ASGI application of a service.

    Args:
        batcher: Answers, with its pipeline loaded.
        facts: Public facts of the pipeline.
        settings: Token and limits.
    """
    app: FastAPI = FastAPIOffline(
        redoc_url=None,
        redirect_slashes=False,  # a redirection would repeat the query
        title="spacy-btl",
        version=__version__,
        description=DESCRIPTION,
        **_without_telemetry(),
    )
    app.add_middleware(Guard, settings=settings)
    app.add_exception_handler(HTTPException, _not_served)
    app.add_exception_handler(RequestValidationError, _invalid)
    model = {"name": facts.name, "version": facts.version}

    async def annotate(request: AnnotateRequest) -> Response:
        """Return the entities of one text or of many."""
        ids, texts = _texts_of(request)
        if request.evidence and not facts.has_evidence:
            raise RefusalError(422, "evidence is not to be had: the pipeline has no neighbors")
        answers = await batcher.ask(texts, evidence=request.evidence, max_texts=settings.max_texts)
        documents = [
            _document(request, name, text, answer)
            for name, text, answer in zip(ids, texts, answers, strict=True)
        ]
        return JSONResponse({"model": model, "documents": documents})

    async def health() -> Response:
        """Return 200 while texts are annotated, else 503."""
        is_up = batcher.is_alive
        return JSONResponse({"status": "UP" if is_up else "DOWN"}, 200 if is_up else 503)

    async def describe_model() -> Response:
        """Return the pipeline, its model card, and the limits of the service."""
        limits = ("max_characters", "max_texts", "max_body", "max_waiting", "timeout")
        own = facts._asdict() | {"limits": {name: getattr(settings, name) for name in limits}}
        return JSONResponse(own)

    app.add_api_route(
        "/annotate",
        annotate,
        methods=["POST"],
        response_model=AnnotateResponse,
        response_model_exclude_unset=True,
    )
    for path in ("/health", "/label-studio/health"):
        app.add_api_route(path, health, methods=["GET"], response_model=dict[str, str])
    app.add_api_route("/model", describe_model, methods=["GET"], response_model=dict[str, Any])
    app.include_router(label_studio.make_router(batcher, facts), prefix="/label-studio")
    app.include_router(inception.make_router(batcher, facts), prefix="/inception")
    return app


def _without_telemetry() -> dict[str, Any]:
    """Return the argument that keeps newer versions of FastAPI from recording requests.

    They give failures with their messages to whatever OpenTelemetry exporter the process has.
    """
    if "telemetry" not in signature(FastAPI).parameters:
        return {}
    kinds = ("tracing", "metrics", "logs", "operation_spans", "auto_configure")
    return {"telemetry": dict.fromkeys(kinds, False)}


def _texts_of(request: AnnotateRequest) -> tuple[Sequence[str | int | None], list[str]]:
    """Return ids and texts of a request."""
    given = [request.text, request.texts, request.records]
    if sum(each is not None for each in given) != 1:
        raise RefusalError(422, "give one of text, texts and records")
    if request.records is not None:
        records = request.records
        for number, record in enumerate(records):
            if isinstance(record.id, str) and (why := unicode_error(record.id)):
                raise RefusalError(422, f"the id of record {number} is {why}")
        return [record.id for record in records], [record.text for record in records]
    texts = request.texts if request.texts is not None else [request.text or ""]
    return [None] * len(texts), texts


def _document(
    request: AnnotateRequest, name: str | int | None, text: str, answer: Answer
) -> dict[str, Any]:
    """Return the entities of a text as JSON."""
    entities = [entity_values(e, with_text=request.with_text) for e in answer.entities]
    if request.offsets == "utf16":
        places = UTF16.positions(text)
        for entity, row in zip(entities, answer.entities, strict=True):
            entity.update(start=places[row.start], end=places[row.end])
    if answer.evidence is not None:
        for entity, evidence in zip(entities, answer.evidence, strict=True):
            entity["evidence"] = evidence
    return {**({} if name is None else {"id": name}), "entities": entities}


async def _not_served(_: Request, error: Exception) -> Response:
    """Answer for a path or a method that is not there, or a body that cannot be parsed."""
    assert isinstance(error, HTTPException)
    why = {
        400: "the body is not JSON in UTF-8",
        404: "there is no such path: see /docs",
        405: "the path does not take this method: see /docs",
    }
    message = why.get(error.status_code, "the request cannot be served")
    return _response(error.status_code, message, error.headers)


async def _invalid(_: Request, error: Exception) -> Response:
    """Answer for a body of another form, with the places of its faults and not what they hold."""
    assert isinstance(error, RequestValidationError)
    faults = error.errors()
    if any(fault["type"] == "json_invalid" for fault in faults):
        return _response(400, "the body is not JSON")
    problems = [{"where": _place(f["loc"]), "why": _why(f)} for f in faults[:PROBLEMS_SHOWN]]
    return _response(422, "the request does not have the form shown at /docs", problems=problems)


def _why(fault: Mapping[str, Any]) -> str:
    """Return what is wrong with a field; of one that is not known, which ones are."""
    if fault["type"] != "extra_forbidden":
        return str(fault["msg"])
    model = Record if "records" in fault["loc"][:-1] else AnnotateRequest
    return f"there is no such field; fields are {', '.join(model.model_fields)}"


def _place(steps: Sequence[str | int]) -> str:
    """Return where a fault is; fields that nobody has named here are shown as "?"."""
    shown = [str(s) if isinstance(s, int) or s in FIELDS else "?" for s in steps if s != "body"]
    return ".".join(shown) or "body"


def _response(
    status: int, message: str, headers: Mapping[str, str] | None = None, **more: object
) -> Response:
    return Response(error_body(message, **more), status, headers, "application/json")
