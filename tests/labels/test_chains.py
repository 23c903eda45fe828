"""Chains of layer labels, against every sequence written down."""

import numpy as np
import pytest
from hypothesis import given

from spacy_btl.labels import chains
from spacy_btl.labels.chains import Chains, by_position
from tests.helpers.chains import N_TYPES, layer_batches, marginals_of


@pytest.mark.parametrize(
    ("lengths", "rows", "n_docs"),
    [
        (None, [0, 1, 2], [1, 1, 1]),
        ([3], [0, 1, 2], [1, 1, 1]),
        ([1, 2], [1, 0, 2], [2, 1]),
        ([0, 1, 0, 2], [1, 0, 2], [2, 1]),
        ([1, 1, 1], [0, 1, 2], [3]),
    ],
)
def test_tokens_by_position(lengths: list[int] | None, rows: list[int], n_docs: list[int]) -> None:
    found = by_position(3, lengths)
    assert (found[0].tolist(), found[1]) == (rows, n_docs)


@pytest.mark.parametrize("lengths", [[], [0], [0, 0], None])
def test_no_token_has_no_position(lengths: list[int] | None) -> None:
    rows, n_docs = by_position(0, lengths)
    assert (rows.shape, n_docs) == ((0,), [])


def test_lengths_that_do_not_add_up() -> None:
    with pytest.raises(ValueError, match="2 tokens, but documents of 3"):
        by_position(2, [1, 2])


@pytest.mark.parametrize("block", [1, 4, 2**18])
@given(batch=layer_batches())
def test_marginals_are_those_of_all_sequences(block: int, batch: tuple) -> None:  # type: ignore[type-arg]
    logits, _, lengths = batch
    rng = np.random.default_rng(0)
    transitions, start = rng.normal(size=(N_TYPES, 3, 3)), rng.normal(size=(N_TYPES, 3))
    rows, n_docs = by_position(len(logits), lengths)
    emissions = np.stack([logits[rows, 1::2], logits[rows, 2::2]]) - logits[rows, :1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chains, "BLOCK", block)
        made = Chains(n_docs, transitions.transpose(2, 1, 0), start.T)
        found = np.empty((len(logits), N_TYPES, 3))
        found[rows] = made.marginals(emissions).transpose(1, 2, 0)
    ends = np.cumsum(lengths)
    for first, end in zip(ends - lengths, ends, strict=True):
        for kind in range(N_TYPES):
            own = logits[first:end, [0, 1 + 2 * kind, 2 + 2 * kind]]
            if len(own):
                expected = marginals_of(own, transitions[kind], start[kind])
                np.testing.assert_allclose(found[first:end, kind], expected, atol=1e-9)
