"""The torch side of a pretrained encoder: its forward pass, its averages, its bytes.

Thinc's `PyTorchShim` hands the weights to the optimizer and moves them between devices. The rest is
written here: Thinc's forward pass takes no batches and pools no word pieces, its averages ignore
the keys of its own optimizers, and its bytes are a pickle.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar, cast, get_args

import srsly
import torch
import transformers
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from thinc.api import (
    ArgsKwargs,
    Optimizer,
    PyTorchShim,
    get_torch_default_device,
    torch2xp,
    xp2torch,
)
from torch import nn

from ..util.checks import one_of
from ..util.process import return_free_memory, run_all_in_torch, usable_threads
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
from .training_pass import SeededDropout, TrainingPass, add_gradients, torch_seed
from .weights import buffer_names, compact, load_weights

Precision: TypeAlias = Literal["auto", "float32", "bfloat16", "float16"]
PRECISIONS: tuple[str, ...] = get_args(Precision)

Result = TypeVar("Result")


UPDATES_BETWEEN_TRIMS = 10
"""Updates after which free memory goes back to the system."""


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
        n_workers: Workers that share the batches; an even share of them each, see `n_workers`.
        kept_pieces: Padded pieces for which training keeps all that the backward pass needs.
    """

    batches: list[EncoderBatch]
    token_of_piece: torch.Tensor
    n_tokens: int
    n_workers: int
    kept_pieces: int


class CastModule(NamedTuple):
    """A transformer with cast weights, and the state of the weights that they were cast from."""

    state: tuple[object, ...]
    module: nn.Module


class EncoderShim(PyTorchShim):
    """A transformer with its tokenizer, run in mixed precision, saved as JSON and safetensors.

    Args:
        precision: Number format of the matrix products, see `autocast_dtype`.
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
        self._cast: CastModule | None = None
        self._n_updates = 0

    @property
    def encoder(self) -> Encoder | None:
        """The tokenizer and the transformer, None before they are loaded."""
        return None if self.tokenizer is None else Encoder(self.tokenizer, self._model)

    def set_encoder(self, encoder: Encoder) -> None:
        """Take this transformer and tokenizer, which `check_tokenizer` has passed."""
        self.tokenizer, self._model = encoder

    def predict(self, inputs: ArgsKwargs) -> torch.Tensor:
        """Return the token vectors (n_tokens, width) of `EncoderInputs`, without gradient."""
        read = EncoderInputs(*inputs.args)
        if self._model.training:  # the call goes through all modules, a tenth of a short note
            self._model.eval()
        module = self._cast_module()

        def run(batch: EncoderBatch) -> torch.Tensor:
            with torch.no_grad():
                return self._vectors(batch, module)

        tasks = [partial(run, batch) for batch in read.batches]
        return self._means(read, self._run_all(tasks, read.n_workers))

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
        read = EncoderInputs(*inputs.args)
        self._model.train()
        self._cast = None
        n_workers = read.n_workers
        seeds = torch.randint(2**62, (len(read.batches),)).tolist()
        passes = [
            TrainingPass(
                partial(self._vectors, module=self._model),
                read.batches[i::n_workers],
                seeds[i::n_workers],
                n_kept=_n_kept(read.batches[i::n_workers], read.kept_pieces // n_workers),
                seeded=SeededDropout if self.device.type == "cpu" else torch_seed,
            )
            for i in range(min(n_workers, len(read.batches)))
        ]
        parts = self._run_all([each.forward for each in passes], n_workers)
        output = self._means(read, _dealt_back(parts))

        def backprop(d_output: torch.Tensor) -> None:
            d_output = d_output / self._n_pieces(read)[:, None]
            d_vectors = [d_output[read.token_of_piece[batch.pieces]] for batch in read.batches]
            weights = [weight for weight in self._model.parameters() if weight.requires_grad]
            tasks = [
                partial(each.backward, d_vectors[i::n_workers], weights)
                for i, each in enumerate(passes)
            ]
            add_gradients(passes, self._run_all(tasks, n_workers), weights)

        return output, backprop

    def finish_update(self, optimizer: Optimizer) -> None:
        """Let the optimizer change the weights.

        Thinc's own version makes a new tensor of each array of weights, which keeps the one before
        it alive, and so on: an object more for each array and update.
        """
        self._cast = None  # numpy's writes leave no trace in torch's versions
        for name, weight in self._model.named_parameters():
            if weight.grad is not None:
                before: Any = torch2xp(weight.data)
                after, _ = optimizer((self.id, name), before, cast(Any, torch2xp(weight.grad)))
                if after is not before:
                    weight.data.copy_(xp2torch(after, device=weight.device))
                weight.grad.zero_()
        self._n_updates += 1
        if self._n_updates % UPDATES_BETWEEN_TRIMS == 0:
            return_free_memory()

    def _run_all(self, tasks: Sequence[Callable[[], Result]], n_workers: int) -> list[Result]:
        """Return what the tasks return, which share the CPU's cores or run one after another."""
        use_one_thread_after_fork()
        if self.device.type == "cpu":
            return run_all_in_torch(tasks, n_workers)
        return [task() for task in tasks]

    def _cast_module(self) -> nn.Module:
        """Return the transformer with the weights of its linear layers in its precision.

        autocast would cast them at each call, which takes a third of the time of a short note.
        """
        dtype = autocast_dtype(self.precision, self.device.type)
        if dtype is None:
            return cast(nn.Module, self._model)
        weights: dict[int, Any] = {id(each): each for each in self._model.parameters()}
        state = (dtype, *((each.data_ptr(), each._version) for each in weights.values()))
        if self._cast is None or self._cast.state != state:
            for layer in self._model.modules():
                if isinstance(layer, nn.Linear):
                    half = layer.weight.detach().to(dtype)
                    weights[id(layer.weight)] = nn.Parameter(half, requires_grad=False)
            # The copy shares with the original everything that it finds in the memo.
            self._cast = CastModule(state, deepcopy(self._model, weights))
        return self._cast.module

    def __deepcopy__(self, memo: dict[int, Any]) -> "EncoderShim":
        """Return a copy that makes cast weights of its own."""
        copied = self.__class__.__new__(self.__class__)
        memo[id(self)] = copied
        for name, value in self.__dict__.items():
            setattr(copied, name, None if name == "_cast" else deepcopy(value, memo))
        return copied

    def _vectors(self, batch: EncoderBatch, module: nn.Module) -> torch.Tensor:
        """Return the vectors of a batch that are used (n_kept, width)."""
        dtype = autocast_dtype(self.precision, self.device.type)
        with torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None):
            hidden = module(**batch.inputs).last_hidden_state
        vectors: torch.Tensor = hidden[batch.keep].float()
        return vectors

    def _means(self, read: EncoderInputs, vectors: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the mean (n_tokens, width) of the vectors of the pieces of each token."""
        sums = torch.zeros((read.n_tokens, hidden_width(self._model)), device=self.device)
        for batch, each in zip(read.batches, vectors, strict=True):
            sums.index_add_(0, read.token_of_piece[batch.pieces], each)
        return sums / self._n_pieces(read)[:, None]

    @staticmethod
    def _n_pieces(read: EncoderInputs) -> torch.Tensor:
        """Return the number of pieces of each token, at least 1, (n_tokens,)."""
        return torch.bincount(read.token_of_piece, minlength=read.n_tokens).clamp(min=1)

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


def n_workers(setting: int | None, device: str) -> int:
    """Return how many workers share the batches on a kind of device.

    Args:
        setting: Their number; None for as many as torch has threads.
        device: Type of a torch device, such as "cpu" or "cuda". Any other than the CPU has one.
    """
    if device != "cpu":
        return 1
    use_one_thread_after_fork()
    return usable_threads() if setting is None else setting


def _n_kept(batches: Sequence[EncoderBatch], most: int) -> int:
    """Return how many batches come to this number of padded pieces; at least the first."""
    n = size = 0
    while n < len(batches) and (size := size + batches[n].keep.numel()) <= most:
        n += 1
    return max(n, 1)


def _dealt_back(parts: Sequence[Sequence[Result]]) -> list[Result]:
    """Return items in order that were dealt one by one to several hands."""
    longest = len(parts[0]) if parts else 0
    return [parts[j][i] for i in range(longest) for j in range(len(parts)) if i < len(parts[j])]


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
            # torch can compute as on an older CPU (ATEN_CPU_CAPABILITY).
            native = native and torch.backends.cpu.get_cpu_capability() == "AVX512"
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
