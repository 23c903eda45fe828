"""Weights in half the bytes: rounded once to numbers of 16 bits, and saved as such.

Rounding comes before the neighbours are fitted, so that fingerprint, keys, settings and calibration
are those of the rounded weights. Saving never rounds: a tensor is stored in 16 bits only where that
loses nothing. Weights are float32 in memory in any case.
"""

from typing import Any, Literal

import torch
from thinc.api import Model

Half = Literal["float16", "bfloat16"]
HALVES: dict[str, torch.dtype] = {"float16": torch.float16, "bfloat16": torch.bfloat16}


def compact(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor in float16 or bfloat16 if one of them holds all of its values, else as it is."""
    if tensor.dtype == torch.float32:
        for dtype in HALVES.values():
            half = tensor.to(dtype)
            if torch.equal(half.float(), tensor):
                return half.contiguous()
    return tensor.contiguous()


def round_weights(module: Any, precision: Half) -> float:
    """Round the weights of a torch module in place; the largest relative change of a tensor.

    Relative to the norm of the tensor. Raises ValueError for another precision, and for a weight
    that would become infinite, before any of them is changed.
    """
    if precision not in HALVES:
        raise ValueError(f'weights are rounded to float16 or bfloat16, not to "{precision}"')
    floats = {k: v for k, v in module.state_dict().items() if v.is_floating_point()}
    rounded = {k: v.to(HALVES[precision]).to(v.dtype) for k, v in floats.items()}
    for name, tensor in rounded.items():
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{name} has values that {precision} cannot hold; take bfloat16")
    change = 0.0
    with torch.no_grad():
        for name, tensor in floats.items():
            norm = float(tensor.norm())
            if norm:
                change = max(change, float((rounded[name] - tensor).norm()) / norm)
            tensor.copy_(rounded[name])
    return change


def round_encoder(model: Model[Any, Any], precision: Half) -> float:
    """Round the weights of the torch modules in a model in place; see `round_weights`.

    Raises ValueError where there is none, as where the encoder is another component's.
    """
    modules = [
        module
        for node in model.walk()
        for shim in node.shims
        if (module := getattr(shim, "_model", None)) is not None
    ]
    if not modules:
        raise ValueError(
            "the component has no encoder of its own whose weights could be rounded; "
            "nlp.replace_listeners gives it a copy of a shared one"
        )
    return max(round_weights(module, precision) for module in modules)
