"""A fingerprint of a model's weights, to tell whether stored vectors were made by them."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from thinc.api import Model

AnyModel = Model[Any, Any]


def weights_fingerprint(
    model: AnyModel, substitutes: Mapping[AnyModel, AnyModel] | None = None
) -> str:
    """32 hexadecimal digits over all weights of a model, on whatever device they lie.

    Covers the parameters of every layer and of the torch modules that layers wrap. substitutes:
    models outside, by the layer that stands for them (a listener): the fingerprint is that of the
    model with them in its place.
    """
    digest = hashlib.blake2b(digest_size=16)

    def add(name: str, array: Any) -> None:
        array = np.ascontiguousarray(array)
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.view(np.uint8).data if array.size else b"")

    for i, node in enumerate(_walk(model, substitutes or {})):
        for name in node.param_names:
            if node.has_param(name):
                ops: Any = node.ops
                add(f"{i} {name}", ops.to_numpy(node.get_param(name)))
        for shim in node.shims:
            module = getattr(shim, "_model", None)
            for name, tensor in module.state_dict().items() if module is not None else ():
                add(f"{i} {name}", tensor.detach().cpu().float().numpy())
    return digest.hexdigest()


def _walk(model: AnyModel, substitutes: Mapping[AnyModel, AnyModel]) -> Iterator[AnyModel]:
    """All layers in the order of ``model.walk()``, breadth first, with substitutes in place."""
    queue, seen = [model], set()
    for each in queue:
        node = substitutes.get(each, each)
        if id(node) not in seen:
            seen.add(id(node))
            queue.extend(node.layers)
            yield node
