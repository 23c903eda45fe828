"""The pass of one worker against torch's own: gradients, dropout from a seed, embeddings."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from spacy_btl.ml.training_pass import (
    Rows,
    SeededDropout,
    TrainingPass,
    add_gradients,
    torch_seed,
)


class Reader(nn.Module):
    """Two embeddings, one with padding, with dropout, a layer, and an unused weight."""

    def __init__(self, p: float = 0.0) -> None:
        super().__init__()
        self.words, self.kinds = nn.Embedding(50, 8, padding_idx=0), nn.Embedding(2, 8)
        self.dropout, self.layer, self.unused = nn.Dropout(p), nn.Linear(8, 8), nn.Linear(1, 1)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        hidden = self.dropout(self.words(batch) + self.kinds(batch % 2))
        vectors: torch.Tensor = self.dropout(torch.tanh(self.layer(hidden)))
        return vectors


BATCHES = [torch.tensor([[3, 7, 0], [3, 3, 49]]), torch.tensor([[1, 0]]), torch.tensor([[7]])]


def reader(p: float = 0.0) -> Reader:
    torch.manual_seed(0)
    return Reader(p)


def gradients_of(module: nn.Module) -> dict[str, torch.Tensor]:
    return {
        name: weight.grad for name, weight in module.named_parameters() if weight.grad is not None
    }


def own_gradients(
    module: nn.Module, n_kept: int, seeded: Any, n_workers: int = 1
) -> tuple[list[torch.Tensor], dict[str, torch.Tensor]]:
    """Return vectors and gradients of their sum of squares by passes over `BATCHES`."""
    weights = list(module.parameters())
    passes = [
        TrainingPass(
            module, BATCHES[i::n_workers], range(i, 3, n_workers), n_kept=n_kept, seeded=seeded
        )
        for i in range(n_workers)
    ]
    every = [each.forward() for each in passes]
    found = [
        each.backward([2 * v for v in vectors], weights)
        for each, vectors in zip(passes, every, strict=True)
    ]
    add_gradients(passes, found, weights)
    return [vectors for part in every for vectors in part], gradients_of(module)


@pytest.mark.parametrize("n_workers", [1, 2])
@pytest.mark.parametrize("n_kept", [0, 1, 2, 3])
@pytest.mark.parametrize("seeded", [SeededDropout, torch_seed])
def test_gradients_without_dropout_are_torchs(n_kept: int, seeded: Any, n_workers: int) -> None:
    module, other = reader(), reader()
    vectors, gradients = own_gradients(module, n_kept, seeded, n_workers)
    expected = [other(batch) for batch in BATCHES]
    torch.stack([(each**2).sum() for each in expected]).sum().backward()
    if n_workers == 1:
        for ours, theirs in zip(vectors, expected, strict=True):
            torch.testing.assert_close(ours, theirs.detach())
    theirs = gradients_of(other)
    learned = {"words.weight", "kinds.weight", "layer.weight", "layer.bias"}
    assert set(gradients) == set(theirs) == learned
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, theirs[name])
    assert not gradients["words.weight"][0].any()  # the padding


@pytest.mark.parametrize("seeded", [SeededDropout, torch_seed])
def test_a_batch_that_runs_again_leaves_the_same_out(seeded: Any) -> None:
    vectors, gradients = own_gradients(reader(0.4), 3, seeded)
    for n_kept in (0, 1, 2):
        again, parts = own_gradients(reader(0.4), n_kept, seeded)
        for one, two in zip(vectors, again, strict=True):
            assert torch.equal(one, two)
        for name, gradient in gradients.items():
            torch.testing.assert_close(parts[name], gradient)


def test_gradients_add_up_until_they_are_taken() -> None:
    module = reader()
    _, once = own_gradients(module, 1, SeededDropout)
    once = {name: gradient.clone() for name, gradient in once.items()}
    _, twice = own_gradients(module, 1, SeededDropout)
    for name, gradient in once.items():
        torch.testing.assert_close(twice[name], 2 * gradient)


def test_a_module_without_weights_to_learn() -> None:
    module = reader()
    module.requires_grad_(requires_grad=False)
    one = TrainingPass(module, BATCHES, [0, 1, 2], n_kept=1, seeded=SeededDropout)
    vectors = one.forward()
    assert one.backward(vectors, []) == []


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_keeps_its_share_and_its_mean(p: float, dtype: torch.dtype) -> None:
    ones = torch.ones(400, 501, dtype=dtype)
    with SeededDropout(1, []):
        found = functional.dropout(ones, p)
    kept = found != 0
    assert float(kept.float().mean()) == pytest.approx(1 - p, abs=0.005)
    assert found[kept].float().unique().tolist() == pytest.approx([1 / (1 - p)], rel=0.01)
    rows = kept.float().mean(dim=1)
    assert float(rows.std()) == pytest.approx((p * (1 - p) / 501) ** 0.5, rel=0.2)


@pytest.mark.parametrize(
    ("p", "training", "expected"), [(0.0, True, 1.0), (0.5, False, 1.0), (1.0, True, 0.0)]
)
def test_dropout_at_the_edges(p: float, training: bool, expected: float) -> None:
    with SeededDropout(0, []):
        found = functional.dropout(torch.ones(3, 3), p, training=training)
    assert (found == expected).all()


def test_dropout_has_the_gradient_of_what_it_kept() -> None:
    values = torch.ones(40, 7, requires_grad=True)
    with SeededDropout(0, []):
        found = functional.dropout(values.mT, 0.5)
    (gradient,) = torch.autograd.grad(found.sum(), values)
    assert torch.equal(gradient.mT, found.detach())


def test_a_seed_gives_one_dropout() -> None:
    values = torch.ones(50, 50)

    def drawn(seed: int) -> torch.Tensor:
        with SeededDropout(seed, []):
            return torch.stack([functional.dropout(values), functional.dropout(values)])

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))
    assert not torch.equal(*drawn(1))  # each call draws anew


@pytest.mark.parametrize(
    ("settings", "is_leaf"),
    [({}, True), ({"max_norm": 1.0}, False), ({"scale_grad_by_freq": True}, False)],
)
def test_embeddings_that_are_read_as_leaves(settings: dict[str, Any], is_leaf: bool) -> None:
    rows: list[Rows] = []
    table = nn.Embedding(5, 2, **settings)
    with SeededDropout(0, rows):
        vectors = table(torch.tensor([1, 1]))
        with torch.no_grad():
            table(torch.tensor([2]))
    assert [each.indices.tolist() for each in rows] == [[1, 1]] * is_leaf
    assert vectors.is_leaf is is_leaf
