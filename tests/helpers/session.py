"""Settings of a whole run of the tests."""

import os

import threadpoolctl
import torch
from hypothesis import HealthCheck, settings


def set_up() -> None:
    """Compute in one thread, and let Hypothesis take its time: the machine may be busy.

    Arrays and models are tiny here: a second thread of BLAS or torch would only wait for the first,
    and take its core from another test.
    """
    torch.set_num_threads(1)
    threadpoolctl.threadpool_limits(1, user_api="blas")
    # For what is loaded later, and for the processes that tests start.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    slow = [HealthCheck.too_slow]
    settings.register_profile("busy", deadline=None, suppress_health_check=slow)
    settings.load_profile("busy")
