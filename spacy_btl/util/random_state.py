"""A random seed for a block of code, without a trace in the program around it.

Training and dropout draw from the global generators of Python, numpy, torch and CuPy. A library
that seeds them for its own work would decide every later draw of the program that calls it.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def fixed_random_state(seed: int) -> Iterator[None]:
    """Run a block under a seed of its own; afterwards all generators go on as if it had not run.

    Args:
        seed: For the generators of Python, numpy, torch (CPU and GPUs) and CuPy.
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
