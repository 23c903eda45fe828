"""Seeds and threads of the process: set for a block of code, and as before afterwards."""

import random
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from spacy_btl.util import process
from spacy_btl.util.process import (
    fixed_random_state,
    one_torch_thread,
    return_free_memory,
    run_all,
    run_all_in_torch,
    usable_threads,
)


def states() -> list[Any]:
    """Return the states of all generators, and the flags that belong to a seed."""
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


@pytest.fixture
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize("run", [run_all, run_all_in_torch])
@pytest.mark.parametrize("n_threads", [1, 2, 5])
@pytest.mark.parametrize("n", [0, 1, 2, 7])
def test_results_in_order(run: Callable[..., list[int]], n_threads: int, n: int) -> None:
    assert run([partial(pow, i, 2) for i in range(n)], n_threads) == [i * i for i in range(n)]


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize("run", [run_all, run_all_in_torch])
def test_two_tasks_run_at_the_same_time(run: Callable[..., Any]) -> None:
    meeting = threading.Barrier(2, timeout=30)
    assert sorted(run([meeting.wait] * 2, 2)) == [0, 1]


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("n_tasks", [1, 2])
def test_torch_has_one_thread_in_a_task(n_threads: int, n_tasks: int) -> None:
    assert run_all_in_torch([torch.get_num_threads] * n_tasks, n_threads) == [1] * n_tasks
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize("n_threads", [1, 2])
def test_an_error_is_the_callers(n_threads: int) -> None:
    with pytest.raises(ZeroDivisionError):
        run_all_in_torch([lambda: 1 // 0, lambda: 1], n_threads)
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("three_threads")
def test_the_number_of_threads_returns_to_each_thread() -> None:
    """The second thread comes while the first is inside, and leaves after it."""
    is_inside, may_leave = threading.Event(), threading.Event()

    def second() -> tuple[int, int, int]:
        before = usable_threads()
        with one_torch_thread():
            inside = torch.get_num_threads()
            is_inside.set()
            may_leave.wait(30)
        return before, inside, torch.get_num_threads()

    with ThreadPoolExecutor(1) as pool:
        with one_torch_thread():
            future = pool.submit(second)
            assert is_inside.wait(30)
        may_leave.set()
        before, inside, after = future.result()
    assert before == usable_threads()
    assert (inside, after, torch.get_num_threads()) == (1, 3, 3)


@pytest.mark.parametrize("has_trim", [True, False])
def test_free_memory_goes_back_where_the_c_library_can(
    monkeypatch: pytest.MonkeyPatch, has_trim: bool
) -> None:
    calls: list[int] = []
    library = SimpleNamespace(malloc_trim=calls.append) if has_trim else None
    monkeypatch.setattr(process, "_c_library", lambda: library)
    return_free_memory()
    assert calls == [0] * has_trim


def test_the_c_library_of_this_process() -> None:
    return_free_memory()
    assert (process._c_library() is None) == (sys.platform == "win32")
