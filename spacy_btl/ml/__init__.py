"""Encoder and head as Thinc layers: documents in, the logits of their tokens out.

The encoder is a pretrained transformer, a layer of spaCy, or a listener to a shared encoder.
"""

from typing import TYPE_CHECKING

from .token_classifier import build_token_classifier
from .weights import round_encoder, weights_fingerprint

if TYPE_CHECKING:
    from .pretrained import find_encoder
    from .transformer import build_transformer_model

__all__ = [
    "build_token_classifier",
    "build_transformer_model",
    "find_encoder",
    "round_encoder",
    "weights_fingerprint",
]

_OF_TRANSFORMERS = {
    "build_transformer_model": ".transformer",
    "find_encoder": ".pretrained",
}


def __getattr__(name: str) -> object:
    """Import what needs transformers, which takes seconds, only when it is asked for (PEP 562)."""
    if name not in _OF_TRANSFORMERS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_OF_TRANSFORMERS[name], __name__), name)
