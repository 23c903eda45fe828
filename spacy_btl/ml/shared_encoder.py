"""Encoders that a component shares with others, and the listeners that take their output.

A listener is a layer with an ``upstream_name``, as ``spacy.Tok2VecListener.v1`` and
``spacy-transformers.TransformerListener.v1`` make it. It takes the token vectors that a component
earlier in the pipeline has left with the document.
"""

import weakref
from collections.abc import Callable, Iterable
from inspect import signature

from spacy.language import Language
from spacy.pipeline.tok2vec import Tok2VecListener
from spacy.tokens import Doc

from .weights import AnyModel


class PipelineReference:
    """A weak reference to the pipeline that a component belongs to; a copy refers to none."""

    def __init__(self, nlp: Language | None = None) -> None:
        self._get: Callable[[], Language | None] = _no_pipeline if nlp is None else weakref.ref(nlp)

    def __call__(self) -> Language | None:
        """Return the pipeline, or None if there is none or it is gone."""
        return self._get()

    def __reduce__(self) -> tuple[type["PipelineReference"], tuple[()]]:
        return PipelineReference, ()


def _no_pipeline() -> None:
    """Return no pipeline."""


def has_listener(model: AnyModel) -> bool:
    """Return whether the model takes the token vectors of a shared encoder."""
    return bool(_listeners(model))


def check_read(model: AnyModel, docs: Iterable[Doc], name: str) -> None:
    """Raise ValueError for a document with tokens that a shared encoder has not read.

    Listeners would return zeros for the document.

    Args:
        model: The model of a component.
        docs: Documents to predict.
        name: Name of the component.
    """
    for listener in _listeners(model):
        for doc in docs:
            if isinstance(listener, Tok2VecListener):
                is_read = doc.tensor.size > 0
            else:
                is_read = not doc.has_extension("trf_data") or doc._.trf_data is not None
            if len(doc) and not is_read:
                raise ValueError(
                    f'"{name}" takes the token vectors of a shared encoder '
                    f"({_described(listener)}), which has not read this document; let it run "
                    f'before "{name}" (to fit neighbors from Python: '
                    "spacy_btl.pipeline.fitting.examples_for)"
                )


def shared_encoders(
    nlp: Language | None, model: AnyModel, name: str
) -> dict[AnyModel, AnyModel] | None:
    """Return the layer that ``nlp.replace_listeners`` would copy, for each listener of a model.

    Args:
        nlp: The pipeline in which the encoders are looked up.
        model: The model of a component.
        name: Name of the component.

    Returns:
        Encoders by listener; None if there are listeners, but no pipeline.

    Raises:
        ValueError: If the pipeline has no such encoder.
    """
    found = _listeners(model)
    if nlp is None:
        return None if found else {}
    return {listener: _shared_encoder(nlp, listener, name) for listener in found}


def _listeners(model: AnyModel) -> list[AnyModel]:
    """Return the layers of a model that are listeners."""
    return [node for node in model.walk() if hasattr(node, "upstream_name")]


def encoder_of(nlp: Language | None, model: AnyModel, name: str) -> tuple[AnyModel, str | None]:
    """Return the layer that gives a model its token vectors, and the component that shares it.

    Args:
        nlp: The pipeline; components that are disabled are found as well.
        model: The model of a component, with a layer "tok2vec".
        name: Name of the component.

    Returns:
        The layer; and the name of the component that it belongs to, None if that is this one.

    Raises:
        ValueError: If the pipeline has no such encoder.
    """
    layer = model.get_ref("tok2vec")
    for listener in _listeners(layer):
        for upstream, proc in [] if nlp is None else nlp.components:
            if listener in getattr(proc, "listeners", ()):
                return _replacement(proc.model), upstream  # type: ignore[attr-defined]
        raise ValueError(_no_encoder(listener, name))
    return layer, None


def _shared_encoder(nlp: Language, listener: AnyModel, name: str) -> AnyModel:
    """Return the encoder that a listener takes its vectors from, as `shared_encoders` does."""
    for _, proc in nlp.pipeline:
        if listener in getattr(proc, "listeners", ()):
            return _replacement(proc.model)  # type: ignore[attr-defined]
    raise ValueError(_no_encoder(listener, name))


def _replacement(encoder: AnyModel) -> AnyModel:
    """Return the layer that would take the place of the listeners to an encoder."""
    wrap = encoder.attrs.get("replace_listener")
    if wrap is not None and len(signature(wrap).parameters) == 1:
        replacement: AnyModel = wrap(encoder)
        return replacement
    return encoder


def _no_encoder(listener: AnyModel, name: str) -> str:
    return (
        f'"{name}" takes the token vectors of a shared encoder ({_described(listener)}), which the '
        "pipeline does not have; bring it along before the component (nlp.add_pipe(..., "
        "source=...)), or give the component a copy of its own where it comes from "
        "(nlp.replace_listeners)"
    )


def _described(listener: AnyModel) -> str:
    """Return the name of a listener and of the component that it listens to."""
    return f'{listener.name} to "{getattr(listener, "upstream_name", "")}"'
