"""Threads that work side by side, and torch's own threads."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
import torch

from spacy_btl.util.threads import one_torch_thread, run_all, run_all_in_torch, usable_threads


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("run", [run_all, run_all_in_torch])
@pytest.mark.parametrize("n_threads", [1, 2, 5])
@pytest.mark.parametrize("n", [0, 1, 2, 7])
def test_results_in_order(run: Callable[..., list[int]], n_threads: int, n: int) -> None:
    assert run([partial(pow, i, 2) for i in range(n)], n_threads) == [i * i for i in range(n)]


@pytest.mark.parametrize("run", [run_all, run_all_in_torch])
def test_two_tasks_run_at_the_same_time(run: Callable[..., Any]) -> None:
    meeting = threading.Barrier(2, timeout=30)
    assert sorted(run([meeting.wait] * 2, 2)) == [0, 1]


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("n_tasks", [1, 2])
def test_torch_has_one_thread_in_a_task(n_threads: int, n_tasks: int) -> None:
    assert run_all_in_torch([torch.get_num_threads] * n_tasks, n_threads) == [1] * n_tasks
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize("n_threads", [1, 2])
def test_an_error_is_the_callers(n_threads: int) -> None:
    with pytest.raises(ZeroDivisionError):
        run_all_in_torch([lambda: 1 // 0, lambda: 1], n_threads)
    assert torch.get_num_threads() == 3


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
