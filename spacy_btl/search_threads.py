"""Threads for many small matrix products: one product a thread, many at the same time."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any


def n_cpus() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_all(tasks: Iterable[Callable[[], Any]], n_threads: int) -> list[Any]:
    """What each task returns, in order; each runs to its end in one thread.

    The threads are those of this call alone: kept ones would not survive a fork.
    """
    tasks = list(tasks)
    with one_blas_thread():
        if n_threads == 1 or len(tasks) == 1:
            return [task() for task in tasks]
        with ThreadPoolExecutor(min(n_threads, len(tasks))) as pool:
            return [done.result() for done in [pool.submit(task) for task in tasks]]


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """A matrix product of numpy runs in the thread that asks for it, in all of the process.

    On a busy machine, threads of BLAS wait for each other longer than a small product takes. What
    was set before is set again when the last of all threads has left. Some versions of OpenBLAS
    take this setting from the main thread alone; from another, products are as right but slower.
    """
    global _inside, _limit
    with _LOCK:
        if not _inside:
            _limit = _controller().limit(limits=1, user_api="blas")
        _inside += 1
    try:
        yield
    finally:
        with _LOCK:
            _inside -= 1
            if not _inside:
                _limit.restore_original_limits()


_LOCK = Lock()
_inside = 0
_limit: Any = None


@cache
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
