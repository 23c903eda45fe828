"""Forward and backward pass of a transformer over the windows of one worker, in one thread.

Several of these run at once. torch's own dropout would draw from one generator, in whatever order
the threads come to it; here each batch of windows has a seed of its own, so that a seed of the
training gives the same weights again. And torch's gradient of an embedding is as large as its table
of tens of thousands of rows, for a few hundred that were read; here it has the size of these rows.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

STEPS = 2**16
"""The probability of dropout is rounded to a multiple of one over this number."""


class Rows(NamedTuple):
    """Rows of an embedding that were read.

    Attributes:
        table: The weights of the embedding, (n_rows, width).
        indices: Index of each row that was read, of any shape.
        vectors: These rows, a leaf of the graph of gradients, in the shape of the indices; or the
            gradient of this leaf.
        padding: Index of the row whose gradient is always 0; None for no such row.
    """

    table: nn.Parameter
    indices: torch.Tensor
    vectors: torch.Tensor
    padding: int | None


Seeded: TypeAlias = Callable[[int, list[Rows]], AbstractContextManager[object]]
"""From a seed to a context in which all dropout comes from it. The list takes rows that are read as
leaves; what is not in it is differentiated as usual."""


class SeededDropout(TorchFunctionMode):
    """While entered, dropout draws from a seed, and embeddings read rows that are leaves.

    It holds for the thread that enters it, and for what a module calls as ``nn.functional.dropout``
    and ``nn.functional.embedding``, which `torch.nn.Dropout` and `torch.nn.Embedding` do.

    Args:
        seed: Seed of the dropout.
        rows: The list that takes the rows of embeddings.
    """

    def __init__(self, seed: int, rows: list[Rows]) -> None:
        super().__init__()
        self._generator = np.random.Generator(np.random.SFC64(seed))
        self._rows = rows

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Return what the function returns, or its substitute."""
        kwargs = kwargs or {}
        if function is functional.dropout:
            return self._dropout(*args, **kwargs)
        if function is functional.embedding:
            return self._embedding(*args, **kwargs)
        return function(*args, **kwargs)

    def _dropout(
        self, input: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
    ) -> torch.Tensor:
        """Return the input times 0 or, for the kept positions, times one over their share."""
        n_dropped = round(p * STEPS)
        if not training or not n_dropped:
            return input
        if n_dropped == STEPS:
            return input * 0
        words = self._generator.integers(0, 2**64, -(-input.numel() // 4), dtype=np.uint64)
        draws = torch.from_numpy(words.view(np.int16))[: input.numel()].view(input.shape)
        factors = torch.empty_like(input, memory_format=torch.contiguous_format)
        torch.ge(draws, n_dropped - STEPS // 2, out=factors.detach())
        return input * factors.mul_(STEPS / (STEPS - n_dropped))

    def _embedding(
        self,
        input: torch.Tensor,
        weight: torch.Tensor,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> torch.Tensor:
        """Return the rows of an embedding, a leaf where only their sum makes its gradient."""
        is_learned = isinstance(weight, nn.Parameter) and weight.requires_grad
        if (
            not (is_learned and torch.is_grad_enabled())
            or max_norm is not None
            or scale_grad_by_freq
        ):
            return functional.embedding(
                input, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse
            )
        vectors = functional.embedding(input, weight.detach()).requires_grad_()
        self._rows.append(Rows(cast(nn.Parameter, weight), input, vectors, padding_idx))
        return vectors


@contextmanager
def torch_seed(seed: int, rows: list[Rows]) -> Iterator[None]:
    """Let torch's own generators draw from a seed while inside, for a worker that is the only one.

    Args:
        seed: Seed of all of torch's generators.
        rows: Stays empty.
    """
    devices = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        yield


class TrainingPass:
    """The pass over a few batches of windows: forward, and backward once their gradient is known.

    Args:
        run_batch: Function from a batch to its vectors (n_kept, width).
        batches: Batches of windows, which are run one after another.
        seeds: Seeds of the dropout of each batch.
        n_kept: Number of batches that keep what their backward pass needs. It runs each of the
            others once more, so that memory does not grow with a document.
        seeded: `SeededDropout`, or `torch_seed`.
    """

    def __init__(
        self,
        run_batch: Callable[[Any], torch.Tensor],
        batches: Sequence[Any],
        seeds: Sequence[int],
        *,
        n_kept: int,
        seeded: Seeded,
    ) -> None:
        self._run_batch, self._seeded, self._n_kept = run_batch, seeded, n_kept
        self._batches, self._seeds = batches, seeds
        self._kept: list[torch.Tensor] = []
        self._rows_of_kept: list[Rows] = []
        self.d_rows: list[Rows] = []

    def forward(self) -> list[torch.Tensor]:
        """Return the vectors of each batch, without their graph."""
        with torch.enable_grad():
            self._kept = [self._run(i, self._rows_of_kept) for i in self._range[: self._n_kept]]
        with torch.no_grad():
            rest = [self._run(i, []) for i in self._range[self._n_kept :]]
        return [*(vectors.detach() for vectors in self._kept), *rest]

    def backward(
        self, d_vectors: Sequence[torch.Tensor], weights: Sequence[nn.Parameter]
    ) -> list[torch.Tensor | None]:
        """Return the gradient of each of the weights, None for those without any.

        The gradients of the rows that were read are left in ``d_rows``.

        Args:
            d_vectors: Gradient of the vectors of each batch.
            weights: The weights that have a gradient.
        """
        n = len(self._kept)
        total = self._differentiate(self._kept, self._rows_of_kept, d_vectors[:n], weights)
        self._kept, self._rows_of_kept = [], []
        for i in self._range[n:]:
            rows: list[Rows] = []
            with torch.enable_grad():
                vectors = self._run(i, rows)
            total = _sums(total, self._differentiate([vectors], rows, [d_vectors[i]], weights))
        return total

    @property
    def _range(self) -> range:
        return range(len(self._batches))

    def _run(self, i: int, rows: list[Rows]) -> torch.Tensor:
        with self._seeded(self._seeds[i], rows):
            return self._run_batch(self._batches[i])

    def _differentiate(
        self,
        vectors: Sequence[torch.Tensor],
        rows: Sequence[Rows],
        d_vectors: Sequence[torch.Tensor],
        weights: Sequence[nn.Parameter],
    ) -> list[torch.Tensor | None]:
        leaves = [*weights, *(each.vectors for each in rows)]
        if not leaves:
            return []
        gradients = torch.autograd.grad(vectors, leaves, d_vectors, allow_unused=True)
        for each, gradient in zip(rows, gradients[len(weights) :], strict=True):
            if gradient is not None:
                self.d_rows.append(each._replace(vectors=gradient))
        return list(gradients[: len(weights)])


def add_gradients(
    passes: Sequence[TrainingPass],
    gradients: Sequence[Sequence[torch.Tensor | None]],
    weights: Sequence[nn.Parameter],
) -> None:
    """Add the gradients of several passes to those of the weights, in the order of the passes.

    Args:
        passes: Passes whose backward pass is over.
        gradients: What it has returned, for each pass.
        weights: The weights that were given to it.
    """
    for weight, *parts in zip(weights, *gradients, strict=True):
        for part in parts:
            if part is not None and weight.grad is None:
                weight.grad = part.clone()  # two weights may share what autograd returns
            elif part is not None:
                assert weight.grad is not None
                weight.grad.add_(part)
    for rows in (rows for each in passes for rows in each.d_rows):
        if rows.table.grad is None:
            rows.table.grad = torch.zeros_like(rows.table)
        indices, vectors = rows.indices.flatten(), rows.vectors.flatten(end_dim=-2)
        if rows.padding is not None:
            is_read = indices != rows.padding
            indices, vectors = indices[is_read], vectors[is_read]
        rows.table.grad.index_add_(0, indices, vectors.to(rows.table.dtype))


def _sums(
    left: Sequence[torch.Tensor | None], right: Sequence[torch.Tensor | None]
) -> list[torch.Tensor | None]:
    """Return the sum of each two gradients; either may be None."""
    return [a if b is None else b if a is None else a + b for a, b in zip(left, right, strict=True)]
