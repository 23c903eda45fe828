"""A small transformer over hashed word features: trains from nothing, needs no download."""

import math
from collections.abc import Callable
from typing import Any, cast

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from spacy.ml.models import MultiHashEmbed
from spacy.tokens import Doc
from thinc.api import ArgsKwargs, Model, PyTorchWrapper_v3, chain, torch2xp, xp2torch
from thinc.types import Floats2d
from torch import nn

from . import forking  # noqa: F401


def build_hash_embed_transformer(
    *, width: int = 96, depth: int = 2, n_heads: int = 4, window: int = 128, dropout: float = 0.1
) -> Model[list[Doc], list[Floats2d]]:
    """Hashed word features and a transformer encoder over them; (n_tokens, width) a document.

    width, depth, n_heads: size of the vectors, number of layers and of attention heads.
    window: tokens that see each other; a longer document is read in pieces of this length, none of
        its tokens is left out.
    dropout: inside the transformer, while training.
    """
    if width % n_heads:
        raise ValueError(f"width {width} must be a multiple of n_heads {n_heads}")
    embed = MultiHashEmbed(
        width=width,
        attrs=["NORM", "PREFIX", "SUFFIX", "SHAPE"],
        rows=[5000, 1000, 2500, 2500],
        include_static_vectors=False,
    )
    encoder = PyTorchWrapper_v3(
        _WindowEncoder(width, depth, n_heads, window, dropout),
        convert_inputs=_convert_inputs,
        convert_outputs=_convert_outputs,
        serialize_model=_serialize,
        deserialize_model=_deserialize,
    )
    model: Model[list[Doc], list[Floats2d]] = chain(embed, encoder)
    model.set_dim("nO", width)
    return model


class _WindowEncoder(nn.Module):
    """A pre-norm transformer encoder over padded windows with sinusoidal positions."""

    def __init__(self, width: int, depth: int, n_heads: int, window: int, dropout: float) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            width, n_heads, 2 * width, dropout, batch_first=True, norm_first=True
        )
        self.window = window
        self.layers = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        angles = torch.arange(window)[:, None] * torch.exp(
            torch.arange(0, width, 2) * (-math.log(10_000.0) / width)
        )
        positions = torch.stack((angles.sin(), angles.cos()), dim=2).reshape(window, -1)
        self.register_buffer("positions", positions[:, :width], persistent=False)

    def forward(self, tokens: torch.Tensor, lengths: list[int]) -> torch.Tensor:
        """Vectors (n_tokens, width) of documents one after another to such vectors."""
        docs = torch.split(tokens, lengths)
        pieces = [piece for doc in docs for piece in torch.split(doc, self.window) if len(piece)]
        if not pieces:
            return tokens
        sizes = torch.tensor([len(piece) for piece in pieces], device=tokens.device)
        padded = nn.utils.rnn.pad_sequence(pieces, batch_first=True)
        is_token = torch.arange(padded.shape[1], device=tokens.device) < sizes[:, None]
        hidden = padded + self.get_buffer("positions")[: padded.shape[1]]
        hidden = self.layers(hidden, src_key_padding_mask=~is_token)
        normed: torch.Tensor = self.norm(hidden)
        return normed[is_token]


def _serialize(module: nn.Module) -> bytes:
    return bytes(save_tensors(module.state_dict()))


def _deserialize(module: nn.Module, weights: bytes, device: torch.device) -> nn.Module:
    module.load_state_dict(load_tensors(weights))
    return module.to(device)


def _convert_inputs(
    model: Model[Any, Any], docs: list[Floats2d], is_train: bool
) -> tuple[ArgsKwargs, Callable[[ArgsKwargs], list[Floats2d]]]:
    ops, lengths = cast(Any, model.ops), [len(doc) for doc in docs]
    flat = xp2torch(ops.flatten(docs), requires_grad=is_train)

    def backprop(gradient: ArgsKwargs) -> list[Floats2d]:
        return cast(list[Floats2d], ops.unflatten(torch2xp(gradient.args[0], ops=ops), lengths))

    return ArgsKwargs(args=(flat, lengths), kwargs={}), backprop


def _convert_outputs(
    model: Model[Any, Any], inputs_outputs: tuple[Any, torch.Tensor], is_train: bool
) -> tuple[list[Floats2d], Callable[[list[Floats2d]], ArgsKwargs]]:
    docs, output = inputs_outputs
    ops, lengths = cast(Any, model.ops), [len(doc) for doc in docs]

    def backprop(d_docs: list[Floats2d]) -> ArgsKwargs:
        gradient = xp2torch(ops.flatten(d_docs))
        return ArgsKwargs(args=((output,),), kwargs={"grad_tensors": gradient})

    return ops.unflatten(torch2xp(output.detach(), ops=ops), lengths), backprop
