"""Encoders that a component shares with others: a listener in its model stands for one of them.

A listener is a layer with an ``upstream_name``, as ``spacy.Tok2VecListener.v1`` and
``spacy-transformers.TransformerListener.v1`` make it: it takes the token vectors that a component
earlier in the pipeline has left with the document.
"""

import weakref
from collections.abc import Iterable, Iterator, Mapping
from inspect import signature
from typing import Any

import numpy as np
from spacy.language import Language
from spacy.pipeline.tok2vec import Tok2VecListener
from spacy.tokens import Doc
from thinc.api import Model

from ..util.files import Content, sha256_of

AnyModel = Model[Any, Any]


class PipelineReference:
    """The pipeline that a component belongs to, as long as it lives; a copy refers to none."""

    def __init__(self, nlp: Language | None = None) -> None:
        self._get = (lambda: None) if nlp is None else weakref.ref(nlp)

    def __call__(self) -> Language | None:
        """The pipeline, or None."""
        return self._get()

    def __reduce__(self) -> tuple[Any, ...]:
        return PipelineReference, ()


def has_listener(model: AnyModel) -> bool:
    """Whether the model takes the token vectors of a shared encoder."""
    return bool(_listeners(model))


def check_read(model: AnyModel, docs: Iterable[Doc], name: str) -> None:
    """Raise ValueError for a document with tokens that a shared encoder has not read.

    name: of the component that the model belongs to. Listeners would give zeros for the document.
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
                    f'({listener.name} to "{_upstream_name(listener)}"), which has not read this '
                    f'document; let it run before "{name}" (to fit neighbours from Python: '
                    "spacy_btl.pipeline.fitting.examples_for)"
                )


def shared_encoders(
    nlp: Language | None, model: AnyModel, name: str
) -> dict[AnyModel, AnyModel] | None:
    """By each listener of a model the layer that ``nlp.replace_listeners`` would copy for it.

    name: of the component that the model belongs to. None where there are listeners, but no
    pipeline. Raises ValueError where the pipeline lacks such an encoder.
    """
    found = _listeners(model)
    if nlp is None:
        return None if found else {}
    return {listener: _shared_encoder(nlp, listener, name) for listener in found}


def _listeners(model: AnyModel) -> list[AnyModel]:
    return [node for node in model.walk() if hasattr(node, "upstream_name")]


def _shared_encoder(nlp: Language, listener: AnyModel, name: str) -> AnyModel:
    for _, proc in nlp.pipeline:
        if listener in getattr(proc, "listeners", ()):
            encoder: AnyModel = proc.model  # type: ignore[attr-defined]
            wrap = encoder.attrs.get("replace_listener")
            if wrap is not None and len(signature(wrap).parameters) == 1:
                encoder = wrap(encoder)
            return encoder
    raise ValueError(
        f'"{name}" takes the token vectors of a shared encoder ({listener.name} to '
        f'"{_upstream_name(listener)}"), which the pipeline does not have; bring it along before '
        "the component (nlp.add_pipe(..., source=...)), or give the component a copy of its own "
        "where it comes from (nlp.replace_listeners)"
    )


def _upstream_name(listener: Any) -> str:
    return str(listener.upstream_name)


def weights_fingerprint(
    model: AnyModel, substitutes: Mapping[AnyModel, AnyModel] | None = None
) -> str:
    """32 hexadecimal digits over all weights of a model, on whatever device they lie.

    Covers the parameters of every layer and of the torch modules that layers wrap. substitutes:
    models outside, by the layer that stands for them (a listener): the fingerprint is that of the
    model with them in its place.
    """
    return sha256_of(_weights(model, substitutes or {}))[:32]


def _weights(model: AnyModel, substitutes: Mapping[AnyModel, AnyModel]) -> Iterator[Content]:
    """Yield a line on each array of weights, and its bytes."""

    def described(name: str, array: Any) -> tuple[Content, Content]:
        array = np.ascontiguousarray(array)
        line = f"{name} {array.dtype} {array.shape}\n".encode()
        return line, array.reshape(-1).view(np.uint8).data

    for i, node in enumerate(_walk(model, substitutes)):
        for name in node.param_names:
            if node.has_param(name):
                ops: Any = node.ops
                yield from described(f"{i} {name}", ops.to_numpy(node.get_param(name)))
        for shim in node.shims:
            module = getattr(shim, "_model", None)
            for name, tensor in module.state_dict().items() if module is not None else ():
                yield from described(f"{i} {name}", tensor.detach().cpu().float().numpy())


def _walk(model: AnyModel, substitutes: Mapping[AnyModel, AnyModel]) -> Iterator[AnyModel]:
    """All layers in the order of ``model.walk()``, breadth first, with substitutes in place."""
    queue, seen = [model], set()
    for each in queue:
        node = substitutes.get(each, each)
        if id(node) not in seen:
            seen.add(id(node))
            queue.extend(node.layers)
            yield node
