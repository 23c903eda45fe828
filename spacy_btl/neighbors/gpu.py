"""Exact search of the k nearest keys by matrix products of torch, on the CPU or on a GPU."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from .brute import (
    BruteSearch,
    Float32s2d,
    Floats2d,
    Ints1d,
    Ints2d,
    check_keys,
    check_queries,
    votes_of,
)
from .index import ROWS, first_copies, slack
from .pairs import NearestPairs

if TYPE_CHECKING:
    import torch

MOST_NEIGHBORS = 64
"""A larger k is left to `BruteSearch`."""
SPARE = 15
"""Candidates beyond the k nearest, so that rounding seldom leaves one out."""
PRODUCTS = 2**27
"""Products held at once (512 MiB) on a GPU; on the CPU a 32nd of them, which fit its cache."""


class TorchSearch:
    """All distances in float32 by torch, best on a GPU; those of candidates again in float64.

    The result is exact: a product differs from the distance by no more than float32 rounds, and
    where that leaves open which keys are the nearest, all that may be are compared in float64. On a
    tie of distances the lowest index of a key goes first.

    device: of torch, on which the keys are kept.

    Raises what `BruteSearch` does.
    """

    def __init__(
        self, keys: Floats2d, labels: Ints1d, n_labels: int, *, device: str = "cpu"
    ) -> None:
        import torch

        self.keys, self.labels = check_keys(keys, labels, n_labels)
        self.n_labels, self.device = n_labels, torch.device(device)
        self.kept = first_copies(self.keys, MOST_NEIGHBORS)
        self.centre = self.keys[:: max(1, len(keys) // ROWS)].mean(axis=0, dtype=np.float64)
        self.slack = slack(self.keys.shape[1] + 2)
        # (x, (1 - slack) |x|^2, 1), as in `neighbors.index`, of keys less their centre.
        self.lifted = torch.ones(len(self.kept), self.keys.shape[1] + 2, device=self.device)
        for start in range(0, len(self.kept), ROWS):
            rows = self.kept[start : start + ROWS]
            chunk = torch.from_numpy((self.keys[rows] - self.centre).astype(np.float32))
            chunk = chunk.to(self.device)
            self.lifted[start : start + ROWS, :-2] = chunk
            self.lifted[start : start + ROWS, -2] = (1 - self.slack) * chunk.square().sum(dim=1)
        self._plain: BruteSearch | None = None

    def kneighbors(self, queries: Floats2d, k: int) -> tuple[Float32s2d, Ints2d]:
        """As `KeySearch` has it."""
        queries = check_queries(queries, self.keys, k)
        k = min(k, len(self.keys))
        if k > MOST_NEIGHBORS:
            if self._plain is None:
                self._plain = BruteSearch(self.keys, self.labels, self.n_labels)
            return self._plain.kneighbors(queries, k)
        distances = np.zeros((len(queries), k), dtype=np.float32)
        indices = np.zeros((len(queries), k), dtype=np.int64)
        products = PRODUCTS if self.device.type != "cpu" else PRODUCTS // 32
        at_once = int(np.clip(products // len(self.kept), 64, 4096))
        with _full_precision():
            for start in range(0, len(queries), at_once):
                some = slice(start, start + at_once)
                distances[some], indices[some] = self._nearest(queries[some], k, products)
        return distances, indices

    def count_votes(self, queries: Floats2d, k: int) -> Ints2d:
        """As `KeySearch` has it."""
        return votes_of(self.kneighbors(queries, k)[1], self.labels, self.n_labels)

    def _nearest(self, queries: Float32s2d, k: int, products: int) -> tuple[Float32s2d, Ints2d]:
        import torch

        lifted = self._lift(queries)
        best, rows = torch.empty(len(queries), 0), torch.empty(len(queries), 0, dtype=torch.int64)
        best, rows = best.to(self.device), rows.to(self.device)
        for start, part in self._chunks(products // len(queries)):
            lower, near = (lifted @ part.T).topk(min(k + SPARE, len(part)), largest=False)
            best, rows = torch.cat([best, lower], dim=1), torch.cat([rows, near + start], dim=1)
            best, order = best.topk(min(k + SPARE, best.shape[1]), largest=False)
            rows = rows.gather(1, order)
        candidates, limit = self.kept[rows.cpu().numpy()], best[:, -1].cpu().numpy()
        pairs = np.arange(len(queries)).repeat(candidates.shape[1])
        found = NearestPairs(queries, self.keys, k, np.full(len(queries), np.inf))
        found.add(pairs, candidates.ravel(), best.cpu().numpy().ravel())
        distances, indices, _ = found.found()
        distances, indices = distances.reshape(-1, k), indices.reshape(-1, k)
        if candidates.shape[1] < len(self.kept):
            # A key that is no candidate has a lower bound of at least the limit.
            is_open = np.flatnonzero(~(limit > found.bounds))
            if len(is_open):
                distances[is_open], indices[is_open] = self._among_all(
                    queries[is_open], k, found.bounds[is_open], products
                )
        return distances, indices

    def _among_all(
        self, queries: Float32s2d, k: int, bounds: Any, products: int
    ) -> tuple[Float32s2d, Ints2d]:
        """The nearest of all keys that may lie within the bounds."""
        import torch

        lifted = self._lift(queries)
        limits = torch.from_numpy(bounds).to(lifted)[:, None] * (1 + self.slack)
        found = NearestPairs(queries, self.keys, k, bounds)
        for start, part in self._chunks(max(1, products // len(queries) // 16)):
            lower = lifted @ part.T
            rows, near = torch.nonzero(~(lower > limits), as_tuple=True)
            found.add(
                rows.cpu().numpy(),
                self.kept[start + near.cpu().numpy()],
                lower[rows, near].cpu().numpy(),
            )
        distances, indices, _ = found.found()
        return distances.reshape(-1, k), indices.reshape(-1, k)

    def _lift(self, queries: Float32s2d) -> "torch.Tensor":
        """``(-2 q, 1, (1 - slack) |q|^2)``: the product with a key is a lower bound."""
        import torch

        chunk = torch.from_numpy((queries - self.centre).astype(np.float32)).to(self.device)
        lengths = (1 - self.slack) * chunk.square().sum(dim=1, keepdim=True)
        return torch.cat([-2 * chunk, torch.ones_like(lengths), lengths], dim=1)

    def _chunks(self, size: int) -> Iterator[tuple[int, "torch.Tensor"]]:
        size = max(1, size)
        for start in range(0, len(self.lifted), size):
            yield start, self.lifted[start : start + size]


@contextmanager
def _full_precision() -> Iterator[None]:
    """No TF32 or bfloat16 within products of float32, whatever the program has set."""
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
