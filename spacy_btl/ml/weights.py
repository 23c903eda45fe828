"""Weights of a model: their fingerprint, rounding to 16 bits, and loading.

Rounding comes before the neighbors are fitted, so that fingerprint, keys, settings and calibration
are those of the rounded weights. Saving never rounds: a tensor is stored in 16 bits only where that
loses nothing. Weights are float32 in memory in any case.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import srsly
import torch
from thinc.api import Model
from thinc.util import convert_recursive, is_xp_array
from torch import nn

from ..util.checks import one_of
from ..util.files import Content, sha256_of

AnyModel: TypeAlias = Model[Any, Any]
"""A Thinc layer, whatever it takes and returns."""

Half: TypeAlias = Literal["float16", "bfloat16"]
HALVES: dict[str, torch.dtype] = {"float16": torch.float16, "bfloat16": torch.bfloat16}


def weights_fingerprint(
    model: AnyModel, substitutes: Mapping[AnyModel, AnyModel] | None = None
) -> str:
    """Return 32 hexadecimal digits over all weights of a model, on whatever device they are.

    Covers the parameters of every layer and of the torch modules that layers wrap.

    Args:
        model: The model.
        substitutes: Models outside, by the layer (a listener) that takes their output. The
            fingerprint is that of the model with them in its place.
    """
    return sha256_of(_weights(model, substitutes or {}))[:32]


def _weights(model: AnyModel, substitutes: Mapping[AnyModel, AnyModel]) -> Iterator[Content]:
    """Yield a line on each array of weights, and its bytes."""

    def described(name: str, array: npt.NDArray[np.generic]) -> tuple[Content, Content]:
        array = np.ascontiguousarray(array)
        line = f"{name} {array.dtype} {array.shape}\n".encode()
        return line, array.reshape(-1).view(np.uint8).data

    for i, node in enumerate(_walk(model, substitutes)):
        for name in node.param_names:
            if node.has_param(name):
                ops: Any = node.ops
                yield from described(f"{i} {name}", ops.to_numpy(node.get_param(name)))
        for module in modules_of(node):
            for name, tensor in module.state_dict().items():
                yield from described(f"{i} {name}", tensor.detach().cpu().float().numpy())


def _walk(model: AnyModel, substitutes: Mapping[AnyModel, AnyModel]) -> Iterator[AnyModel]:
    """Yield all layers in the order of ``model.walk()``, breadth first, with substitutes."""
    queue, seen = [model], set()
    for each in queue:
        node = substitutes.get(each, each)
        if id(node) not in seen:
            seen.add(id(node))
            queue.extend(node.layers)
            yield node


def modules_of(node: AnyModel) -> Iterator[nn.Module]:
    """Yield the torch modules that a layer wraps."""
    for shim in node.shims:
        if isinstance(module := getattr(shim, "_model", None), nn.Module):
            yield module


def read_model(model: AnyModel, parts: dict[str, bytes]) -> None:
    """Take the saved bytes of a model out of ``parts["model"]``, and their content over into it.

    As ``model.from_bytes``, which holds the bytes until all weights are made, a third of the memory
    that loading takes beside the weights.
    """
    ops: Any = model.ops
    message: Any = convert_recursive(
        is_xp_array, ops.asarray, srsly.msgpack_loads(parts.pop("model"))
    )
    model.from_dict(message)


def _floats(model: AnyModel) -> Iterator[npt.NDArray[np.floating]]:
    """Yield all weights of a layer in a fixed order."""
    for node in model.walk():
        for name in node.param_names:
            if node.has_param(name):
                ops: Any = node.ops
                yield ops.to_numpy(node.get_param(name))
        for module in modules_of(node):
            for tensor in _float_tensors(module):
                yield tensor.detach().cpu().numpy()


def _float_tensors(module: nn.Module) -> list[torch.Tensor]:
    return [each for each in module.state_dict().values() if each.is_floating_point()]


def compact(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor in float16 or bfloat16 if one of them has all of its values, else itself."""
    if tensor.dtype == torch.float32:
        for dtype in HALVES.values():
            half = tensor.to(dtype)
            if torch.equal(half.float(), tensor):
                return half.contiguous()
    return tensor.contiguous()


def round_weights(module: nn.Module, precision: Half) -> float:
    """Round the weights of a torch module in place.

    Returns:
        The largest change of a tensor, relative to its norm.

    Raises:
        ValueError: If there is no such precision, or if a weight would become infinite. No weight
            is changed then.
    """
    dtype = HALVES[one_of("precision", precision, tuple(HALVES))]
    floats = {k: v for k, v in module.state_dict().items() if v.is_floating_point()}
    rounded = {name: tensor.to(dtype).to(tensor.dtype) for name, tensor in floats.items()}
    for name, tensor in rounded.items():
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{name} has values that {precision} cannot represent; use bfloat16")
    change = 0.0
    with torch.no_grad():
        for name, tensor in floats.items():
            if norm := float(tensor.norm()):
                change = max(change, float((rounded[name] - tensor).norm()) / norm)
            tensor.copy_(rounded[name])
    return change


def round_encoder(model: AnyModel, precision: Half) -> float:
    """Round the weights of the torch modules in a model in place; see `round_weights`.

    Raises:
        ValueError: If there is none, as where the encoder is another component's; and as
            `round_weights` does.
    """
    modules = [module for node in model.walk() for module in modules_of(node)]
    if not modules:
        raise ValueError(
            "the component has no encoder of its own whose weights could be rounded; "
            "nlp.replace_listeners gives it a copy of a shared one"
        )
    return max(round_weights(module, precision) for module in modules)


def buffer_names(module: nn.Module) -> set[str]:
    """Return the names of the saved tensors of a torch module that are not parameters."""
    return set(module.state_dict()) - {
        name for name, _ in module.named_parameters(remove_duplicate=False)
    }


def load_weights(
    module: nn.Module, weights: Mapping[str, torch.Tensor], buffers: Collection[str] = ()
) -> None:
    """Load saved weights into a torch module, whatever buffers versions of its class have.

    A buffer (such as the ``position_ids`` of BERT before transformers 4.31) that only one side has
    is passed over: the module has made its own.

    Args:
        module: The module.
        weights: Saved parameters and buffers by name.
        buffers: Names of those that were buffers when they were saved.

    Raises:
        ValueError: If a parameter is missing or unknown, or if a tensor has another shape. Nothing
            is loaded then.
    """
    own, own_buffers = module.state_dict(), buffer_names(module)
    faults = {
        "missing": own.keys() - weights.keys() - own_buffers,
        "unknown": weights.keys() - own.keys() - set(buffers),
        "of a different shape": {
            k for k in own.keys() & weights.keys() if own[k].shape != weights[k].shape
        },
    }
    if any(faults.values()):
        raise ValueError(
            "; ".join(
                f"weights {fault}: {_listed(names)}" for fault, names in faults.items() if names
            )
        )
    taken = {name: weights[name].to(own[name].dtype) for name in own.keys() & weights.keys()}
    # The tensors themselves, without a copy, where no two names share one of the module's.
    unshared = len({tensor.data_ptr() for tensor in own.values()}) == len(own)
    module.load_state_dict(taken, strict=False, assign=unshared)


def _listed(names: Collection[str]) -> str:
    """Return the first of some names, and the number of the rest."""
    shown = sorted(names)[:5]
    rest = len(names) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")
