"""Make torch safe in forked processes, as ``nlp.pipe(n_process=2)`` starts them."""

import os

import torch

# The threads of torch's pool do not survive a fork, and the child would wait for them for ever
# (spaCy issues 4667 and 6662). A process of a pool of processes needs no second thread anyway.
if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))
