"""A block under a seed of its own: reproducible inside, without a trace outside."""

import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from spacy_btl.util.random_state import fixed_random_state


def states() -> list[Any]:
    """The states of all generators, and the flags that belong to a seed."""
    cudnn = torch.backends.cudnn
    name, keys, *rest = np.random.get_state()
    return [
        random.getstate(),
        (name, tuple(keys), *rest),
        torch.get_rng_state().tolist(),
        torch.initial_seed(),
        (cudnn.deterministic, cudnn.benchmark),
    ]


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.random()), float(torch.rand(1))


def test_a_block_draws_the_same_under_one_seed() -> None:
    drawn = []
    for seed in (1, 1, 2):
        with fixed_random_state(seed):
            drawn.append(draws())
    assert drawn[0] == drawn[1]
    assert all(ours != theirs for ours, theirs in zip(drawn[0], drawn[2], strict=True))


@pytest.mark.parametrize("fails", [False, True])
def test_the_program_goes_on_as_if_the_block_had_not_run(fails: bool) -> None:
    draws()
    before = states()
    try:
        with fixed_random_state(7):
            draws()
            if fails:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert states() == before


def test_blocks_within_each_other() -> None:
    with fixed_random_state(3):
        draws()
        expected = draws()
    with fixed_random_state(3):
        draws()
        with fixed_random_state(4):
            draws()
        assert draws() == expected


def test_gpus_that_start_later_get_the_seed_of_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a GPU is used its seed is only noted, and the last one noted would count."""
    noted: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", noted.append)
    with fixed_random_state(5):
        pass
    assert noted[-1] == torch.initial_seed() != 5


def test_the_generator_of_cupy_is_put_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    generators: list[object] = [object()]
    used: list[object] = []
    fake = SimpleNamespace(
        random=SimpleNamespace(
            get_random_state=lambda: generators[-1],
            set_random_state=generators.append,
            RandomState=object,
            seed=lambda seed: used.append(generators[-1]),
        )
    )
    for module in ("thinc.compat", "thinc.util"):
        monkeypatch.setattr(f"{module}.cupy", fake)
        monkeypatch.setattr(f"{module}.has_cupy_gpu", True)
    with fixed_random_state(0):
        pass
    assert used and used[0] is not generators[0]
    assert generators[-1] is generators[0]
