import numpy as np
import pytest

from spacy_btl.weights import complement_of_frequency, make_complement_of_frequency


@pytest.mark.parametrize(
    ("counts", "weights"),
    [
        ([60, 30, 10], [0.4, 0.7, 0.9]),
        ([3, 0, 1], [0.25, 1.0, 0.75]),  # a label without tokens weighs 1
        ([5, 0, 0], [0.0, 1.0, 1.0]),  # the only label of the corpus weighs nothing
        ([0, 0], [1.0, 1.0]),
        ([1], [0.0]),
        ([], []),
    ],
)
def test_complement_of_frequency(counts, weights):
    result = make_complement_of_frequency()(np.array(counts, dtype=np.int64))
    assert result == pytest.approx(np.array(weights))
    assert result.shape == (len(counts),)
    assert result.dtype == np.float64


def test_large_counts_keep_rare_labels_apart():
    weights = complement_of_frequency([10**12, 2, 1])
    assert 0 < weights[0] < weights[1] < weights[2] < 1
