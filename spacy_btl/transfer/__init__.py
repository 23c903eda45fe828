"""Transfer between corpora: trainings that begin on another corpus, and predictors of their gain.

After Akdemir and Shibuya 2020 (arXiv 2011.00425), whose predictors are in `predictors`, beside one
by type.
"""

from .correlation import Correlation, correlate
from .matrix import Matrix, Schedule, transfer_matrix
from .page import write_page
from .training import Corpus

__all__ = [
    "Corpus",
    "Correlation",
    "Matrix",
    "Schedule",
    "correlate",
    "transfer_matrix",
    "write_page",
]
