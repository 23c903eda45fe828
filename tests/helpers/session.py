"""Settings of a whole run of the tests."""

import torch
from hypothesis import HealthCheck, settings


def set_up() -> None:
    """Let torch use one thread, and Hypothesis take its time: the machine may be busy."""
    # The models here are tiny: a second thread would only wait for the first.
    torch.set_num_threads(1)
    slow = [HealthCheck.too_slow]
    settings.register_profile("busy", deadline=None, suppress_health_check=slow)
    settings.load_profile("busy")
