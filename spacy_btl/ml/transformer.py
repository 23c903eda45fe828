"""The pretrained transformer as a Thinc layer: documents in, one vector a token out.

Word pieces are made token by token, so that a piece never spans two tokens. A token's vector is
the mean over its pieces; a token without a piece (white space) gets a vector of zeros.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import srsly
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from spacy.tokens import Doc
from spacy_transformers.data_classes import HFObjects
from spacy_transformers.layers.hf_shim import HFShim
from thinc.api import ArgsKwargs, Model, get_torch_default_device, torch2xp, xp2torch
from thinc.types import Floats2d
from transformers import AutoConfig, AutoModel, AutoTokenizer

from . import forking  # noqa: F401
from .half_precision import compact
from .pretrained import (
    CHOICES,
    NO_CODE,
    SpecialTokens,
    attention_setting,
    find_encoder,
    leaves_out_space,
    load_encoder,
    most_positions,
    special_tokens,
)
from .windows import Batch, make_batches

# transformers has no types; these are all that is called of it by name.
_load_tokenizer: Any = AutoTokenizer.from_pretrained
_make_transformer: Any = AutoModel.from_config

WIDTH_MULTIPLE = 16
"""Batches are padded to a multiple of so many pieces. On a CPU, torch keeps a kernel for each shape
of a product that it meets: few shapes take less memory and time (benchmarks/soak.py)."""

Precision = Literal["auto", "float32", "bfloat16", "float16"]
InOut = tuple[list[Floats2d], Callable[[list[Floats2d]], list[Doc]]]


def build_transformer_model(
    name: str,
    *,
    window: int = 128,
    overlap: int = 16,
    max_batch_pieces: int = 2048,
    precision: Precision = "auto",
    keep_vectors: bool = False,
    tokenizer_config: dict[str, Any] | None = None,
    transformer_config: dict[str, Any] | None = None,
) -> Model[list[Doc], list[Floats2d]]:
    """A pretrained transformer; output shape (n_tokens, width) a document.

    name: a folder, an installed distribution or a hub model, looked up when the pipeline is
        initialized (a saved pipeline carries its weights and looks nothing up).
    window, overlap: word pieces that the encoder sees at once, special tokens included, and those
        that neighbouring windows share. No piece is ever left out.
    max_batch_pieces: bound on the padded word pieces that the encoder holds at once; what suits a
        CPU's cache is little for a GPU.
    precision: of the encoder's matrix products; "auto" takes bfloat16 where the device multiplies
        it natively, else float32. Weights are kept in float32 in any case.
    keep_vectors: leave the token vectors of a prediction with the document, as ``doc.tensor``;
        they are let go of otherwise.
    tokenizer_config, transformer_config: further settings for ``from_pretrained``.
    """
    shim = EncoderShim(
        HFObjects(None, None, None, dict(tokenizer_config or {}), dict(transformer_config or {})),
        precision=precision,
    )
    return Model(
        "btl_transformer",
        _forward,
        init=_init,
        dims={"nO": None},
        shims=[shim],
        attrs={
            "name": name,
            "window": window,
            "overlap": overlap,
            "max_batch_pieces": max_batch_pieces,
            "keep_vectors": keep_vectors,
        },
    )


class EncoderShim(HFShim):
    """The transformer with its tokenizer, saved as JSON and safetensors, run in mixed precision."""

    def __init__(self, hf_model: HFObjects, *, precision: Precision) -> None:
        super().__init__(hf_model)
        self.precision = precision

    @property
    def tokenizer(self) -> Any:
        """The tokenizer, None before the weights are loaded."""
        return self._hfmodel.tokenizer

    def set_encoder(self, hf_model: HFObjects) -> None:
        """Take this transformer and tokenizer.

        Raises ValueError for a tokenizer that is no fast one, or that leaves out the space before
        a word.
        """
        if not hf_model.tokenizer.is_fast:
            raise ValueError(
                f"{type(hf_model.tokenizer).__name__} does not tell which word a piece belongs to; "
                "choose an encoder with a fast tokenizer (tokenizer.json)"
            )
        if leaves_out_space(hf_model.tokenizer):
            raise ValueError(
                f"{type(hf_model.tokenizer).__name__} takes each word for the end of a longer one; "
                "leave add_prefix_space out of tokenizer_config, or set it to true"
            )
        self._hfmodel = hf_model
        self._model = hf_model.transformer

    def predict(self, inputs: ArgsKwargs) -> torch.Tensor:
        """Token vectors (n_tokens, width), without gradient."""
        self._model.eval()
        with torch.no_grad():
            return self._encode(*inputs.args)

    def begin_update(self, inputs: ArgsKwargs) -> tuple[torch.Tensor, Callable[..., None]]:
        """Token vectors (n_tokens, width) and the function that takes their gradient."""
        self._model.train()
        output = self._encode(*inputs.args)
        return output, lambda gradient: torch.autograd.backward(output, gradient)

    @contextmanager
    def use_params(self, params: dict[tuple[int, str], Any]) -> Iterator[None]:
        """Averaged weights of an optimizer in place of the last ones, for as long as it is open.

        Thinc's own version looks for names that its optimizers do not give, and leaves the encoder
        as it is while the other layers take their averages.
        """
        weights = dict(self._model.named_parameters()) if self._model is not None else {}
        weights = {name: each for name, each in weights.items() if (self.id, name) in params}
        last = {name: weight.data for name, weight in weights.items()}
        try:
            for name, weight in weights.items():
                weight.data = xp2torch(params[self.id, name], device=weight.device)
            yield
        finally:
            for name, weight in weights.items():
                weight.data = last[name]

    def _encode(
        self,
        batches: list[tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]],
        token_of_piece: torch.Tensor,
        n_tokens: int,
    ) -> torch.Tensor:
        """Run the windows, batch by batch, and pool the pieces of each token."""
        width = self._model.config.hidden_size
        dtype = autocast_dtype(self.precision, self.device.type)
        sums = torch.zeros((n_tokens, width), device=self.device)
        # One context for all batches: the weights are cast once.
        with torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None):
            for inputs, keep, pieces in batches:
                vectors = self._model(**inputs).last_hidden_state[keep].float()
                sums.index_add_(0, token_of_piece[pieces], vectors)
        n_pieces = torch.bincount(token_of_piece, minlength=n_tokens).clamp(min=1)
        return sums / n_pieces[:, None]

    def to_bytes(self) -> bytes:
        """Configuration, tokenizer files and weights; before initialization only the settings."""
        hf = self._hfmodel
        if hf.transformer is None:
            settings = [hf._init_tokenizer_config, hf._init_transformer_config]
            return bytes(srsly.msgpack_dumps({"settings": settings}))
        # Where the weights once came from is a path of some machine, and of no use to a reader.
        config = {k: v for k, v in hf.transformer.config.to_dict().items() if k != "_name_or_path"}
        with tempfile.TemporaryDirectory() as folder:
            # One file: not the vocabulary once more in the form of the slow tokenizer.
            hf.tokenizer.save_pretrained(folder, legacy_format=False)
            files = {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}
        weights = {k: compact(v) for k, v in hf.transformer.state_dict().items()}
        message = {"config": config, "tokenizer": files, "weights": save_tensors(weights)}
        return bytes(srsly.msgpack_dumps(message))

    def from_bytes(self, bytes_data: bytes) -> "EncoderShim":
        """Take over what `to_bytes` gave, without any look outside of it."""
        message = srsly.msgpack_loads(bytes_data)
        if "weights" not in message:
            self._hfmodel = HFObjects(None, None, None, *message["settings"])
            self._model = None
            return self
        with tempfile.TemporaryDirectory() as folder:
            for file, content in message["tokenizer"].items():
                (Path(folder) / Path(file).name).write_bytes(content)
            tokenizer = _load_tokenizer(folder, local_files_only=True, **NO_CODE)
        config = AutoConfig.for_model(message["config"].pop("model_type"), **message["config"])
        transformer = _make_transformer(config, **attention_setting(), **NO_CODE)
        transformer.load_state_dict(load_tensors(message["weights"]))
        transformer.to(get_torch_default_device())
        self.set_encoder(HFObjects(tokenizer, transformer, None))
        return self


def autocast_dtype(precision: Precision, device: str) -> torch.dtype | None:
    """Type of the matrix products on this kind of device, None for the weights' own float32."""
    if precision == "auto":
        if device == "cpu":
            native = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
        else:
            native = device == "cuda" and torch.cuda.is_bf16_supported()
        return torch.bfloat16 if native else None
    if precision not in ("float32", "bfloat16", "float16"):
        raise ValueError(
            f'precision is "{precision}", but must be auto, float32, bfloat16, float16'
        )
    return None if precision == "float32" else getattr(torch, precision)


def _init(model: Model[list[Doc], list[Floats2d]], X: Any = None, Y: Any = None) -> None:
    shim = _shim(model)
    if shim.tokenizer is not None:
        return
    name, hf = model.attrs["name"], shim._hfmodel
    source = find_encoder(name)
    try:
        loaded = load_encoder(source, hf._init_tokenizer_config, hf._init_transformer_config)
    except OSError as error:
        raise ValueError(f'the encoder "{name}" cannot be loaded ({error}); {CHOICES}') from error
    shim.set_encoder(loaded)
    model.set_dim("nO", loaded.transformer.config.hidden_size)


def _forward(model: Model[list[Doc], list[Floats2d]], docs: list[Doc], is_train: bool) -> InOut:
    shim, ops = _shim(model), cast(Any, model.ops)
    vectors, torch_backprop = shim(_convert_inputs(model, docs), is_train)
    output = ops.unflatten(torch2xp(vectors.detach(), ops=ops), [len(doc) for doc in docs])
    if model.attrs["keep_vectors"] and not is_train:
        for doc, tensor in zip(docs, output, strict=True):
            doc.tensor = ops.to_numpy(tensor)

    def backprop(d_output: list[Floats2d]) -> list[Doc]:
        torch_backprop(xp2torch(ops.flatten(d_output), device=shim.device))
        return docs

    return output, backprop


def _shim(model: Model[list[Doc], list[Floats2d]]) -> EncoderShim:
    return cast(EncoderShim, model.shims[0])


def _convert_inputs(model: Model[list[Doc], list[Floats2d]], docs: Sequence[Doc]) -> ArgsKwargs:
    """Tensors of the windows, the token that each word piece belongs to, the number of tokens."""
    shim = _shim(model)
    tokenizer, device = shim.tokenizer, shim.device
    ids, token_of_piece, n_tokens = [], [], 0
    for doc in docs:
        encoding = tokenizer(
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
    special = special_tokens(tokenizer)
    limits = (model.attrs["window"], tokenizer.model_max_length, most_positions(shim._model))
    batches = make_batches(
        ids,
        length=int(min(limits)) - len(special.prefix) - len(special.suffix),
        overlap=model.attrs["overlap"],
        prefix=special.prefix,
        suffix=special.suffix,
        pad_id=tokenizer.pad_token_id or 0,
        max_batch_pieces=model.attrs["max_batch_pieces"],
        multiple=WIDTH_MULTIPLE,
    )
    pieces = np.concatenate(token_of_piece) if token_of_piece else np.zeros(0, dtype=np.int64)
    tensors = [_to_tensors(batch, special, device) for batch in batches]
    return ArgsKwargs(args=(tensors, torch.from_numpy(pieces).to(device), n_tokens), kwargs={})


def _to_tensors(
    batch: Batch, special: SpecialTokens, device: torch.device
) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]:
    """What the encoder takes by name, `Batch.keep` and `Batch.pieces`."""
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    if any((*special.prefix_types, *special.suffix_types)):  # as XLNet's; 0 goes without saying
        types = np.zeros_like(batch.input_ids)
        types[:, : len(special.prefix)] = special.prefix_types
        rows, ends = np.arange(len(types)), batch.attention_mask.sum(axis=1)
        for i, kind in enumerate(reversed(special.suffix_types), start=1):
            types[rows, ends - i] = kind
        inputs["token_type_ids"] = types
    tensors = {name: torch.from_numpy(array).to(device) for name, array in inputs.items()}
    keep, pieces = (torch.from_numpy(array).to(device) for array in (batch.keep, batch.pieces))
    return tensors, keep, pieces
