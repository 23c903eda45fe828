import numpy as np
import pytest

from experiments.rows import spread_over_runs


def test_spread_over_runs():
    spread = spread_over_runs([[0.5, 0.2], [0.6, 0.2], [0.7, 0.2]])
    np.testing.assert_allclose(spread.mean, [0.6, 0.2])
    np.testing.assert_allclose(spread.sd, [0.1, 0], atol=1e-12)


def test_spread_of_one_run_and_of_none():
    spread = spread_over_runs([[0.5]])
    assert spread.mean.tolist() == [0.5]
    assert np.isnan(spread.sd).all()
    with pytest.raises(ValueError, match="no run"):
        spread_over_runs([])
