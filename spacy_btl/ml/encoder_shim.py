"""The torch side of a pretrained encoder: its forward pass, its averages, its bytes.

Thinc's `PyTorchShim` hands the weights to the optimizer and moves them between devices. The rest is
written here: Thinc's forward pass takes no batches and pools no word pieces, its averages ignore
the keys of its own optimizers, and its bytes are a pickle.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import srsly
import torch
import transformers
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from thinc.api import ArgsKwargs, PyTorchShim, get_torch_default_device, xp2torch
from torch.utils.checkpoint import checkpoint

from ..util.checks import one_of
from .pretrained import (
    Encoder,
    Settings,
    Tokenizer,
    check_tokenizer,
    config_fields,
    hidden_width,
    make_encoder,
    tokenizer_files,
)
from .weights import buffer_names, compact, load_weights

Precision: TypeAlias = Literal["auto", "float32", "bfloat16", "float16"]
PRECISIONS: tuple[str, ...] = get_args(Precision)


KEPT_BATCHES = 2
"""Batches of windows that keep in training what their backward pass needs. Those of a longer
document are computed once more there, so that memory does not grow with the document."""


class EncoderBatch(NamedTuple):
    """Windows on the device of the encoder.

    Attributes:
        inputs: What the encoder takes by name, each of shape (n_windows, width).
        keep: True for the positions whose vectors are used, (n_windows, width).
        pieces: Index of the word piece at each of these positions, over all documents, (n_kept,).
    """

    inputs: dict[str, torch.Tensor]
    keep: torch.Tensor
    pieces: torch.Tensor


class EncoderInputs(NamedTuple):
    """The word pieces of several documents.

    Attributes:
        batches: The windows that they are read in.
        token_of_piece: Index of the token that each piece belongs to, over all documents,
            (n_pieces,).
        n_tokens: Number of tokens of all documents.
    """

    batches: list[EncoderBatch]
    token_of_piece: torch.Tensor
    n_tokens: int


class EncoderShim(PyTorchShim):
    """A transformer with its tokenizer, run in mixed precision, saved as JSON and safetensors.

    Args:
        precision: Of the matrix products, see `autocast_dtype`.
        tokenizer_config: Settings for the tokenizer, for as long as no encoder is loaded.
        transformer_config: Settings for the transformer, for as long as no encoder is loaded.
    """

    def __init__(
        self, precision: Precision, tokenizer_config: Settings, transformer_config: Settings
    ) -> None:
        super().__init__(None)
        self.precision = precision
        self.load_settings = (dict(tokenizer_config), dict(transformer_config))
        self.tokenizer: Tokenizer | None = None

    @property
    def encoder(self) -> Encoder | None:
        """The tokenizer and the transformer, None before they are loaded."""
        return None if self.tokenizer is None else Encoder(self.tokenizer, self._model)

    def set_encoder(self, encoder: Encoder) -> None:
        """Take this transformer and tokenizer, which `check_tokenizer` has passed."""
        self.tokenizer, self._model = encoder

    def predict(self, inputs: ArgsKwargs) -> torch.Tensor:
        """Return the token vectors (n_tokens, width) of `EncoderInputs`, without gradient."""
        self._model.eval()
        with torch.no_grad():
            return self._encode(EncoderInputs(*inputs.args))

    def begin_update(
        self, inputs: ArgsKwargs
    ) -> tuple[torch.Tensor, Callable[[torch.Tensor], None]]:
        """Return the token vectors (n_tokens, width) and the function that takes their gradient.

        Raises:
            ValueError: If the precision is float16.
        """
        if self.precision == "float16":
            raise ValueError(
                'precision = "float16" is for prediction only: small gradients would become 0 in '
                'it; train with "bfloat16", "float32" or "auto"'
            )
        self._model.train()
        output = self._encode(EncoderInputs(*inputs.args))
        return output, lambda gradient: torch.autograd.backward(output, gradient)

    def _encode(self, inputs: EncoderInputs) -> torch.Tensor:
        """Run the windows, batch by batch, and average the vectors of the pieces of each token.

        Where the backward pass runs a batch once more, it does so with the same dropout.
        """
        use_one_thread_after_fork()
        dtype = autocast_dtype(self.precision, self.device.type)
        sums = torch.zeros((inputs.n_tokens, hidden_width(self._model)), device=self.device)
        # One context for all batches: the weights are cast once.
        with torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None):
            for i, batch in enumerate(inputs.batches):
                if i < KEPT_BATCHES or not torch.is_grad_enabled():
                    vectors = self._vectors(batch.keep, batch.inputs)
                else:
                    vectors = checkpoint(
                        self._vectors, batch.keep, batch.inputs, use_reentrant=False
                    )
                sums.index_add_(0, inputs.token_of_piece[batch.pieces], vectors)
        n_pieces = torch.bincount(inputs.token_of_piece, minlength=inputs.n_tokens).clamp(min=1)
        return sums / n_pieces[:, None]

    def _vectors(self, keep: torch.Tensor, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return the vectors of a batch that are used (n_kept, width)."""
        vectors: torch.Tensor = self._model(**inputs).last_hidden_state[keep].float()
        return vectors

    @contextmanager
    def use_params(self, params: dict[tuple[int, str], Any]) -> Iterator[None]:
        """Use the averaged weights of an optimizer instead of the last ones.

        Thinc's own version looks for names that its optimizers do not use, and leaves the encoder
        as it is while the other layers take their averages.

        Args:
            params: Averages by the id of the shim and the name of the weight.
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

    def to_bytes(self) -> bytes:
        """Return configuration, tokenizer files and weights; only settings before initialization.

        Tensors are stored in 16 bits where that loses nothing, see `compact`.
        """
        use_one_thread_after_fork()
        if self.encoder is None:
            return bytes(srsly.msgpack_dumps({"settings": list(self.load_settings)}))
        tokenizer, transformer = self.encoder
        weights = {name: compact(each) for name, each in transformer.state_dict().items()}
        message = {
            "config": config_fields(transformer),
            "tokenizer": tokenizer_files(tokenizer),
            "weights": save_tensors(weights),
            "buffers": sorted(buffer_names(transformer)),
        }
        return bytes(srsly.msgpack_dumps(message))

    def from_bytes(self, bytes_data: bytes) -> "EncoderShim":
        """Take over what `to_bytes` returned; nothing is looked up anywhere else.

        Raises:
            ValueError: If the weights are not those that the installed transformers expects.
        """
        use_one_thread_after_fork()
        message = srsly.msgpack_loads(bytes_data)
        if "weights" not in message:
            tokenizer_config, transformer_config = message["settings"]
            self.load_settings = (tokenizer_config, transformer_config)
            self.tokenizer = self._model = None
            return self
        config, weights = message["config"], load_tensors(message["weights"])
        encoder = make_encoder(config, message["tokenizer"])
        check_tokenizer(encoder.tokenizer)
        # Files of the first versions have no list; the buffers of those encoders are integers.
        integers = (name for name, each in weights.items() if not each.is_floating_point())
        buffers = message.get("buffers", integers)
        try:
            load_weights(encoder.transformer, weights, frozenset(buffers))
        except ValueError as error:
            saved = config.get("transformers_version", "of the version that it was saved with")
            raise ValueError(
                f"the saved encoder does not fit transformers {transformers.__version__}: {error}; "
                f"install transformers {saved}"
            ) from error
        encoder.transformer.to(get_torch_default_device())
        self.set_encoder(encoder)
        return self


def autocast_dtype(precision: Precision, device: str) -> torch.dtype | None:
    """Return the type of the matrix products on a kind of device, None for float32.

    Args:
        precision: "auto" takes bfloat16 where the device multiplies it natively, else float32.
        device: Type of a torch device, such as "cpu" or "cuda".

    Raises:
        ValueError: If there is no such precision.
    """
    one_of("precision", precision, PRECISIONS)
    if precision == "auto":
        if device == "cpu":
            native = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
        else:
            native = device == "cuda" and torch.cuda.is_bf16_supported()
        return torch.bfloat16 if native else None
    return None if precision == "float32" else getattr(torch, precision)


_PROCESS = os.getpid()


def use_one_thread_after_fork() -> None:
    """Let torch compute in one thread if this process was forked since this module was imported.

    The threads of torch's pool do not survive a fork, as of ``nlp.pipe(n_process=2)`` or of a web
    server that loads the pipeline before its workers start. The child would wait for them forever
    (spaCy issues 4667 and 6662). Only a process that runs, loads or saves an encoder is changed.
    """
    if os.getpid() != _PROCESS:
        torch.set_num_threads(1)
