"""Chains of layer labels as they are written down: every sequence, one after the other."""

import itertools
from typing import Any

import numpy as np
from hypothesis import strategies as st

from spacy_btl.labels.bio import MISSING

N_TYPES = 2
N_COLUMNS = 1 + 2 * N_TYPES


def sequences(n_tokens: int) -> list[tuple[int, ...]]:
    """Return all well-formed sequences of ``O``, begin and inside."""
    every = itertools.product(range(3), repeat=n_tokens)
    return [
        path
        for path in every
        if all(label != 2 or before for before, label in zip((0, *path), path, strict=False))
    ]


def scores_of(logits: Any, transitions: Any, start: Any) -> Any:
    """Return the score of each of `sequences`.

    logits: (n_tokens, 3) of one type.
    """
    found = []
    transitions, start = (np.asarray(each, dtype=np.float64) for each in (transitions, start))
    for path in sequences(len(logits)):
        score = start[path[0]] if path else 0.0
        score += sum(logits[t, label] for t, label in enumerate(path))
        found.append(score + sum(transitions[pair] for pair in itertools.pairwise(path)))
    return np.array(found, dtype=np.float64)


def log_sum(scores: Any) -> float:
    top = scores.max(initial=-np.inf)
    return float(top + np.log(np.exp(scores - top).sum())) if len(scores) else -np.inf


def marginals_of(logits: Any, transitions: Any, start: Any) -> Any:
    """Return the probability of each label (n_tokens, 3)."""
    found = np.zeros(logits.shape)
    scores = scores_of(logits, transitions, start)
    for path, score in zip(sequences(len(logits)), scores, strict=True):
        found[np.arange(len(logits)), path] += np.exp(score - scores.max())
    return found / found.sum(axis=1, keepdims=True)


def weighted_loss(logits: Any, labels: Any, weights: Any, transitions: Any, start: Any) -> float:
    """Return each label's ``-log p``, given those before it and all logits, times its weight.

    labels: (n_tokens,) with `MISSING`.
    """
    scores, paths = scores_of(logits, transitions, start), sequences(len(logits))
    logs = []
    for n in range(len(labels) + 1):
        agrees = [all(labels[t] in (MISSING, path[t]) for t in range(n)) for path in paths]
        logs.append(log_sum(scores[agrees]))
    known = [t for t, label in enumerate(labels) if label != MISSING]
    return float(sum(weights[labels[t]] * (logs[t] - logs[t + 1]) for t in known))


@st.composite
def layer_batches(draw: st.DrawFn) -> tuple[Any, Any, list[int]]:
    """Draw logits, well-formed layer labels, and the lengths of short documents."""
    lengths = draw(st.lists(st.integers(0, 4), min_size=1, max_size=3))
    layers = np.zeros((sum(lengths), N_TYPES), dtype=np.int64)
    for end, length in zip(np.cumsum(lengths), lengths, strict=True):
        for kind in range(N_TYPES):
            path = draw(st.sampled_from(sequences(length)))
            hidden = draw(st.sampled_from(["none", "none", "some", "all"]))
            for t, label in enumerate(path):
                is_missing = hidden == "all" or (hidden == "some" and draw(st.booleans()))
                layers[end - length + t, kind] = MISSING if is_missing else label
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    size = draw(st.sampled_from([0.1, 2.0, 20.0]))
    return rng.normal(size=(sum(lengths), N_COLUMNS)) * size, layers, lengths
