"""The pretrained transformer as a Thinc layer: documents in, one vector for each token out.

Word pieces are made token by token, so that a piece never spans two tokens. A token's vector is
the mean over its pieces; a token without a piece (white space) gets a vector of zeros.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, cast

import numpy as np
import torch
from spacy.tokens import Doc
from thinc.api import ArgsKwargs, Model, torch2xp, xp2torch

from ..util.checks import one_of, whole_number
from .encoder_shim import (
    PRECISIONS,
    EncoderBatch,
    EncoderInputs,
    EncoderShim,
    Precision,
    n_workers,
    use_one_thread_after_fork,
)
from .pretrained import (
    CHOICES,
    Encoder,
    Settings,
    SpecialTokens,
    check_tokenizer,
    find_encoder,
    hidden_width,
    load_encoder,
    most_positions,
    special_tokens,
)
from .token_classifier import TokenModel, TokenVectors
from .windows import Batch, make_batches

WIDTH_MULTIPLE = 16
"""Batches are padded to a multiple of this number of pieces. On a CPU, torch keeps a kernel for
each shape of a product that it meets: few shapes take less memory and time (benchmarks/soak.py)."""

KEPT_BATCHES = 1
"""Full batches that keep in training what their backward pass needs, all workers together. Pieces
beyond them are computed once more there, so that memory does not grow with a document."""

Backprop: TypeAlias = Callable[[TokenVectors], list[Doc]]


def build_transformer_model(
    name: str,
    *,
    window: int = 128,
    overlap: int = 16,
    max_batch_pieces: int = 1024,
    workers: int | None = None,
    precision: Precision = "auto",
    keep_vectors: bool = False,
    tokenizer_config: Settings | None = None,
    transformer_config: Settings | None = None,
) -> TokenModel:
    """Return a layer from documents to the token vectors of a pretrained transformer.

    Its tokenizer must be a fast one. BERT, ALBERT, XLNet, ELECTRA, RoBERTa, DistilBERT, MPNet,
    DeBERTa, and ModernBERT are tested.

    Args:
        name: A local folder, else an installed package with weights, else a hub model. It is looked
            up when the pipeline is initialized; a saved pipeline contains its weights.
        window: Word pieces per window, special tokens included.
        overlap: Word pieces that neighboring windows share. No piece is ever left out.
        max_batch_pieces: Padded word pieces that each worker reads at once; set more for a GPU. In
            training, further pieces are computed again in the backward pass, so that memory does
            not grow with a document.
        workers: CPU threads that share the windows; None for as many as torch has
            (``OMP_NUM_THREADS``). Other numbers give other weights for the same seed.
        precision: Number format of the encoder's matrix products. "auto" is bfloat16 where the
            device multiplies it natively, else float32. "float16" cannot train. Weights are kept in
            float32 in any case.
        keep_vectors: Keep the token vectors of a prediction in ``doc.tensor``.
        tokenizer_config: More arguments for the tokenizer's ``from_pretrained``.
        transformer_config: More arguments for the model's ``from_pretrained``.

    Returns:
        A layer whose output has shape (n_tokens, width) for each document. Its width is known once
        it is initialized.

    Raises:
        ValueError: If a setting is out of its range.
    """
    one_of("precision", precision, PRECISIONS)
    whole_number("window", window, 1)
    whole_number("overlap", overlap, 0)
    whole_number("max_batch_pieces", max_batch_pieces, 1)
    if workers is not None:
        whole_number("workers", workers, 1)
    if overlap >= window:
        raise ValueError(
            f"overlap is {overlap}, but must be below window, which is {window}; an eighth of the "
            "window is a good value"
        )
    model: TokenModel = Model(
        "btl_transformer",
        _forward,
        init=_init,
        dims={"nO": None},
        shims=[EncoderShim(precision, tokenizer_config or {}, transformer_config or {})],
        attrs={
            "name": name,
            "window": window,
            "overlap": overlap,
            "max_batch_pieces": max_batch_pieces,
            "workers": workers,
            "keep_vectors": keep_vectors,
        },
    )
    return model


def _init(model: TokenModel, X: object = None, Y: object = None) -> None:
    """Load the encoder, unless the layer has one, and set the width."""
    shim = _shim(model)
    if shim.encoder is None:
        shim.set_encoder(_load(model))
    encoder = cast(Encoder, shim.encoder)
    _window_length(model, encoder, special_tokens(encoder.tokenizer))
    model.set_dim("nO", hidden_width(encoder.transformer))


def _load(model: TokenModel) -> Encoder:
    """Return the encoder that the layer names."""
    use_one_thread_after_fork()
    name = model.attrs["name"]
    source = find_encoder(name)
    try:
        encoder = load_encoder(source, *_shim(model).load_settings)
    except OSError as error:
        raise ValueError(f'the encoder "{name}" cannot be loaded ({error}); {CHOICES}') from error
    check_tokenizer(encoder.tokenizer)
    return encoder


def _forward(model: TokenModel, docs: list[Doc], is_train: bool) -> tuple[TokenVectors, Backprop]:
    """Return the token vectors and the function that takes their gradient."""
    shim, ops = _shim(model), cast(Any, model.ops)
    vectors, torch_backprop = shim(ArgsKwargs(tuple(_inputs(model, docs)), {}), is_train)
    output = ops.unflatten(torch2xp(vectors.detach(), ops=ops), [len(doc) for doc in docs])
    if model.attrs["keep_vectors"] and not is_train:
        for doc, tensor in zip(docs, output, strict=True):
            doc.tensor = ops.to_numpy(tensor)

    def backprop(d_output: TokenVectors) -> list[Doc]:
        torch_backprop(xp2torch(ops.flatten(d_output), device=shim.device))
        return docs

    return output, backprop


def _shim(model: TokenModel) -> EncoderShim:
    """Return the torch side of the layer."""
    return cast(EncoderShim, model.shims[0])


def _window_length(model: TokenModel, encoder: Encoder, special: SpecialTokens) -> int:
    """Return the most word pieces of a window, special tokens not counted.

    Raises:
        ValueError: If the overlap leaves no step between windows of this length.
    """
    n_special = len(special.prefix) + len(special.suffix)
    limits = (
        model.attrs["window"],
        encoder.tokenizer.model_max_length,
        most_positions(encoder.transformer),
    )
    length = int(min(limits)) - n_special
    if model.attrs["overlap"] >= length:
        raise ValueError(
            f'overlap is {model.attrs["overlap"]}, but the encoder "{model.attrs["name"]}" reads '
            f"{max(length, 0)} word pieces at once (window {model.attrs['window']}, "
            f"{n_special} special tokens not counted); use a smaller overlap or a larger window"
        )
    return length


def _inputs(model: TokenModel, docs: Sequence[Doc]) -> EncoderInputs:
    """Return the windows of documents, and the token that each of their word pieces belongs to."""
    shim = _shim(model)
    encoder = shim.encoder
    if encoder is None:
        raise ValueError(
            f'the encoder "{model.attrs["name"]}" is not loaded; call nlp.initialize, or load a '
            "trained pipeline"
        )
    ids, token_of_piece, n_tokens = [], [], 0
    for doc in docs:
        encoding = encoder.tokenizer(
            [token.text for token in doc],
            is_split_into_words=True,
            add_special_tokens=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        ids.append(np.asarray(encoding["input_ids"], dtype=np.int64))
        token_of_piece.append(np.asarray(encoding.word_ids(), dtype=np.int64) + n_tokens)
        n_tokens += len(doc)
    special = special_tokens(encoder.tokenizer)
    workers = n_workers(model.attrs["workers"], shim.device.type)
    budget = model.attrs["max_batch_pieces"]
    batches = make_batches(
        ids,
        length=_window_length(model, encoder, special),
        overlap=model.attrs["overlap"],
        prefix=special.prefix,
        suffix=special.suffix,
        pad_id=encoder.tokenizer.pad_token_id or 0,
        max_batch_pieces=budget,
        multiple=WIDTH_MULTIPLE,
        n_workers=workers,
    )
    pieces = np.concatenate(token_of_piece) if token_of_piece else np.zeros(0, dtype=np.int64)
    tensors = [_to_tensors(batch, special, shim.device) for batch in batches]
    token_of = torch.from_numpy(pieces).to(shim.device)
    return EncoderInputs(tensors, token_of, n_tokens, workers, KEPT_BATCHES * budget)


def _to_tensors(batch: Batch, special: SpecialTokens, device: torch.device) -> EncoderBatch:
    """Return a batch on a device, with token types if the special tokens have any."""
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    if any((*special.prefix_types, *special.suffix_types)):  # as XLNet's; 0 is the default
        types = np.zeros_like(batch.input_ids)
        types[:, : len(special.prefix)] = special.prefix_types
        rows, ends = np.arange(len(types)), batch.attention_mask.sum(axis=1)
        for i, kind in enumerate(reversed(special.suffix_types), start=1):
            types[rows, ends - i] = kind
        inputs["token_type_ids"] = types
    tensors = {name: torch.from_numpy(array).to(device) for name, array in inputs.items()}
    keep, pieces = (torch.from_numpy(array).to(device) for array in (batch.keep, batch.pieces))
    return EncoderBatch(tensors, keep, pieces)
