import numpy as np
import pytest

from spacy_btl.contradiction import contradicted

NEW = [[0.0], [1.0], [10.0]]  # distances to the nearest other new one: 1, 1, 9; median 1


@pytest.mark.parametrize(
    ("outside", "rest", "gone"),
    [
        ([[0.5]], [], True),
        ([[2.0]], [], True),  # as far from a new one as they are from each other
        ([[2.1]], [], False),
        ([[9.5]], [], True),
        ([[0.5]], [[0.4]], False),  # nearer to a token that is not of the new type
        ([[0.5]], [[3.0]], True),
        ([[-5.0], [0.0]], [], [False, True]),
        (np.zeros((0, 1)), [[3.0]], []),
    ],
)
def test_keys_outside_that_are_in_truth_of_the_new_type(outside, rest, gone):
    added = np.array([*NEW, *rest])
    is_new = np.arange(len(added)) < len(NEW)
    result = contradicted(np.array(outside), added, is_new, chunk=1)
    assert result.tolist() == np.atleast_1d(gone).tolist()


@pytest.mark.parametrize("n_new", [0, 1])
def test_less_than_two_new_ones_say_nothing(n_new):
    added = np.array([[0.0], [1.0], [2.0]])
    assert not contradicted(np.zeros((3, 1)), added, np.arange(3) < n_new).any()
