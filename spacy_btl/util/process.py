"""Settings of the whole process for a block of code: seeds and threads.

Training and dropout draw from the global generators of Python, numpy, torch and CuPy. A library
that seeds them for its own work would decide every later draw of the program that calls it.

torch and BLAS share each of their operations among their threads, which wait for each other at its
end. On a machine that does other work too, that wait is as long as the system takes to give a core
to the last of them: milliseconds, for an operation of microseconds. Tasks that run side by side
here have one thread each, from end to end.
"""

import ctypes
import multiprocessing
import os
import random
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from threading import Lock
from typing import TypeVar

import numpy as np

Result = TypeVar("Result")


def compute_on(gpu_id: int) -> None:
    """Compute on this GPU from now on; on what is set already for a negative number.

    spaCy's own functions for training leave that to its command line.

    Raises:
        ValueError: If there is no such GPU.
    """
    if gpu_id >= 0:
        import spacy

        spacy.require_gpu(gpu_id)  # type: ignore[attr-defined]


@contextmanager
def fixed_random_state(seed: int) -> Iterator[None]:
    """Run a block under a seed of its own; afterwards all generators go on as if it had not run.

    Args:
        seed: Seed of the generators of Python, numpy, torch (CPU and GPUs) and CuPy.
    """
    from thinc.api import fix_random_seed

    python_state, numpy_state = random.getstate(), np.random.get_state()
    with _torch_kept(), _cupy_kept():
        fix_random_seed(seed)
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)


@contextmanager
def _torch_kept() -> Iterator[None]:
    """Restore torch's generators after a block, and the flags that Thinc sets with a seed."""
    import torch

    cudnn = torch.backends.cudnn
    flags = cudnn.deterministic, cudnn.benchmark
    has_gpu_states = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    gpus = range(torch.cuda.device_count()) if has_gpu_states else ()
    try:
        with torch.random.fork_rng(devices=gpus, device_type="cuda"):
            yield
    finally:
        cudnn.deterministic, cudnn.benchmark = flags
        if not has_gpu_states:  # the GPUs would start from the seed of the block
            torch.cuda.manual_seed_all(torch.initial_seed())


@contextmanager
def _cupy_kept() -> Iterator[None]:
    """Let a block draw from another CuPy generator than the program; do nothing without a GPU."""
    from thinc.compat import cupy, has_cupy_gpu

    if not has_cupy_gpu:
        yield
        return
    # The state of a CuPy generator cannot be read: the generator itself is put aside.
    generator = cupy.random.get_random_state()
    cupy.random.set_random_state(cupy.random.RandomState())
    try:
        yield
    finally:
        cupy.random.set_random_state(generator)


def usable_threads() -> int:
    """Return how many threads should work in this process: as many as torch has.

    torch obeys ``OMP_NUM_THREADS`` (which Ray and joblib set in their workers) and
    ``torch.set_num_threads``. The result never exceeds the CPUs that the process may use. It is 1
    in a process that `multiprocessing` has started, because others work beside it.
    """
    if multiprocessing.parent_process() is not None:
        return 1
    has_affinity = hasattr(os, "sched_getaffinity")
    n_cpus = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    return min(n_cpus, _torch_threads())


def run_all(tasks: Iterable[Callable[[], Result]], n_threads: int) -> list[Result]:
    """Return what each task returns, in order; each task runs in one thread.

    The threads end with this call: threads that are kept would not survive a fork.
    """
    tasks = list(tasks)
    if n_threads == 1 or len(tasks) < 2:
        return [task() for task in tasks]
    with ThreadPoolExecutor(min(n_threads, len(tasks))) as pool:
        return [done.result() for done in [pool.submit(task) for task in tasks]]


def run_all_in_torch(tasks: Iterable[Callable[[], Result]], n_threads: int) -> list[Result]:
    """Return what `run_all` returns, with one thread for each of torch's operations in a task."""
    import torch

    def alone(task: Callable[[], Result]) -> Result:
        torch.set_num_threads(1)  # of this thread, which ends with its tasks
        return task()

    with one_torch_thread():
        return run_all([partial(alone, task) for task in tasks], n_threads)


def return_free_memory() -> None:
    """Give memory that is free in the process back to the system, where glibc can (Linux).

    glibc keeps free memory for each thread apart. Memory that passes over long documents leave
    there adds up to more than a training needs at any time.
    """
    trim = getattr(_c_library(), "malloc_trim", None)
    if trim is not None:
        trim(0)


@cache
def _c_library() -> object:
    """Return the C library of the process, None where there is no such thing."""
    try:
        return ctypes.CDLL(None)
    except (OSError, TypeError):  # TypeError on Windows
        return None


_lock = Lock()
_n_inside = 0
_before = 1


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Let torch compute each operation in the thread that asks for it, while inside.

    A part of torch's setting belongs to the thread, another part to the process (as that of MKL,
    and that of threads to come). Both have their previous number again afterward.
    """
    import torch

    global _n_inside, _before
    with _lock:
        if not _n_inside:
            _before = torch.get_num_threads()
        _n_inside += 1
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            _n_inside -= 1
            # If another thread is still inside, its products of MKL are shared from here on, which
            # is slower, but as right. This thread would keep one thread for good otherwise.
            torch.set_num_threads(_before)


def _torch_threads() -> int:
    """Return the number of torch's threads outside `one_torch_thread`."""
    import torch

    with _lock:
        return _before if _n_inside else torch.get_num_threads()


def _reset_after_fork() -> None:
    """Forget the threads that were inside or held the lock: a forked process does not have them."""
    global _lock, _n_inside
    _lock, _n_inside = Lock(), 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)
