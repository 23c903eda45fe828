"""Routes of an external recommender of INCEpTION, version 1 of its protocol.

The URL to give in a project is that of the service and ``/inception``. INCEpTION sends a document
with all its annotations as XMI, and the type system that they follow; it takes back the same with
the predictions in it. XMI counts offsets in UTF-16 code units, which dkpro-cassis converts.

https://inception-project.github.io/releases/36.0/docs/developer-guide.html#_external_recommender
"""

from typing import Any, NamedTuple

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from ..conversion.tasks import EntityRow
from ..util.messages import LOGGER, describe
from .batching import Batcher
from .guard import RefusalError
from .label_studio import NOT_TRAINED
from .model import ModelFacts

STRING = "uima.cas.String"
"""Type of a feature that can take a label."""

PREDICTED = "inception_internal_predicted"
"""Feature of an annotation by which INCEpTION knows a prediction."""


RANGES = {"_score": "uima.cas.Double", "_score_explanation": STRING}
"""Types of the features beside that of the label, which INCEpTION adds."""


class Metadata(BaseModel):
    """The layer to predict, and the feature of it that takes the label."""

    layer: str
    feature: str


class XmiDocument(BaseModel):
    """A document."""

    xmi: str


class PredictRequest(BaseModel):
    """A document, what to predict in it, and its type system."""

    metadata: Metadata
    document: XmiDocument
    typeSystem: str  # noqa: N815  # INCEpTION's name


class Target(NamedTuple):
    """A document in the form of UIMA, with the type of its predictions."""

    cas: Any
    type: Any
    text: str


def make_router(batcher: Batcher, facts: ModelFacts) -> APIRouter:
    """Return the routes.

    Args:
        batcher: Answers.
        facts: Public facts of the pipeline.
    """
    router = APIRouter(tags=["INCEpTION"])

    async def predict(request: PredictRequest) -> Response:
        """Return the document with a prediction for each entity."""
        target = await run_in_threadpool(read_document, request)
        (answer,) = await batcher.ask([target.text])
        feature = request.metadata.feature
        xmi = await run_in_threadpool(
            with_predictions, target, feature, answer.entities, facts.system
        )
        return JSONResponse({"document": xmi})

    async def train() -> Response:
        """Return 501."""
        raise RefusalError(501, NOT_TRAINED)

    router.add_api_route("/predict", predict, methods=["POST"], response_model=dict[str, str])
    router.add_api_route("/train", train, methods=["POST"], response_model=dict[str, str])
    return router


def read_document(request: PredictRequest) -> Target:
    """Return the document of a request.

    Raises:
        RefusalError: If it cannot be read, has no text, or has no such layer and feature.
    """
    from cassis import load_cas_from_xmi, load_typesystem

    name, feature = request.metadata.layer, request.metadata.feature
    if any("<!DOCTYPE" in xml for xml in (request.typeSystem, request.document.xmi)):
        raise RefusalError(422, "a document type is not allowed in XMI")
    try:
        types = load_typesystem(request.typeSystem)
        cas = load_cas_from_xmi(request.document.xmi, types)
        text = cas.sofa_string
    except Exception as error:  # of parsers, on any damage; their messages may quote the text
        LOGGER.warning("a document of INCEpTION cannot be read: %s", describe(error))
        why = f"the XMI or its type system cannot be read ({type(error).__name__})"
        raise RefusalError(422, why) from None
    if not isinstance(text, str):
        raise RefusalError(422, "the document has no text")
    if not types.contains_type(name):
        raise RefusalError(422, "the type system has no such layer")
    layer = types.get_type(name)
    if any(layer.get_feature(each) is None for each in (feature, PREDICTED, "begin", "end")):
        raise RefusalError(422, f"the layer lacks the feature, or {PREDICTED}")
    if layer.get_feature(feature).rangeType.name != STRING:
        raise RefusalError(422, "the feature does not take a text: choose one of type String")
    return Target(cas, layer, text)


def with_predictions(target: Target, feature: str, entities: list[EntityRow], system: str) -> str:
    """Return a document as XMI, with a prediction for each entity.

    Args:
        target: The document.
        feature: The feature that takes the label; its score and an explanation are added where the
            layer has features for them.
        entities: The entities.
        system: Name and version of the pipeline.
    """
    for entity in entities:
        values: dict[str, Any] = {
            "begin": entity.start,
            "end": entity.end,
            feature: entity.label,
            PREDICTED: True,
        }
        if entity.score is not None:
            kind = "calibrated probability" if entity.calibrated else "score, not calibrated"
            more = {"_score": entity.score, "_score_explanation": f"{system}: {kind}"}
            for suffix, value in more.items():
                own = target.type.get_feature(f"{feature}{suffix}")
                if own is not None and own.rangeType.name == RANGES[suffix]:
                    values[f"{feature}{suffix}"] = value
        target.cas.add(target.type(**values))
    xmi: str = target.cas.to_xmi()
    return xmi
