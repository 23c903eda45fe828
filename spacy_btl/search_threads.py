"""Threads for many small matrix products: one product a thread, many at the same time."""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any


def usable_threads() -> int:
    """Threads that the search should take in this process: as many as torch does.

    torch knows ``OMP_NUM_THREADS`` (which Ray and joblib set in their workers), what the program
    has set with ``torch.set_num_threads``, and that a forked process has one
    (`spacy_btl.forking`). Never more than the CPUs that the process may use, and one in a process
    that `multiprocessing` has started: others work beside it.
    """
    if multiprocessing.parent_process() is not None:
        return 1
    import torch

    has_affinity = hasattr(os, "sched_getaffinity")
    n_cpus = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    return min(n_cpus, torch.get_num_threads())


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
    with _lock:
        if not _inside:
            _limit = _controller().limit(limits=1, user_api="blas")
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                _limit.restore_original_limits()


_lock = Lock()
_inside = 0
_limit: Any = None


def _begin_anew() -> None:
    """In a forked process: the threads that were inside, or held the lock, are not in it."""
    global _lock, _inside
    _lock, _inside = Lock(), 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


@cache
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
