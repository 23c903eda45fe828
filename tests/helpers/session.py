"""Settings of a whole run of the tests."""

import os
from collections.abc import Sequence
from importlib.metadata import EntryPoint

import catalogue
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
    catalogue.AVAILABLE_ENTRY_POINTS = entry_points_by_group()
    slow = [HealthCheck.too_slow]
    settings.register_profile("busy", deadline=None, suppress_health_check=slow)
    settings.load_profile("busy")


def entry_points_by_group() -> dict[str, Sequence[EntryPoint]]:
    """Return the entry points of all packages as a dictionary, which spaCy's registries read too.

    For each name in a configuration it goes through those of all packages otherwise.
    """
    found = catalogue.AVAILABLE_ENTRY_POINTS
    if type(found) is dict:  # a second call
        return found
    return {group: list(found.select(group=group)) for group in found.groups}
