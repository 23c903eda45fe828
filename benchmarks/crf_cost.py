"""Cost of a CRF for each type in training and prediction, next to the losses without chains.

    python benchmarks/crf_cost.py [--types 41] [--words 500] [--documents 1 4 16] [--rounds 15]

On logits drawn at random and well-formed labels: the loss of an update with its gradient, and the
reading of logits as probabilities, of flat labels and of layers. The documents share the words of
an update between them; the loops of a CRF run over the positions of the longest. All in one
process, in turns, in one thread; medians, with the least and the most.
"""

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from spacy_btl.training.binary_token_labels import BinaryTokenLabels
from spacy_btl.training.crf import CrfLoss
from spacy_btl.training.losses import TokenLoss
from spacy_btl.training.type_crf import TypeCrfLoss

LOSSES: dict[str, Callable[[], TokenLoss]] = {
    "BTL": BinaryTokenLabels,
    "a CRF for each type": TypeCrfLoss,
    "one CRF": CrfLoss,
}


def make_labels(n_tokens: int, n_types: int, rng: np.random.Generator) -> np.ndarray:
    """Return columns of entities of one to three tokens, with type shares of 1 / rank."""
    shares = 1 / np.arange(1, n_types + 1)
    labels, at = np.zeros(n_tokens, dtype=np.int64), 0
    while at < n_tokens:
        kind, length = rng.choice(n_types, p=shares / shares.sum()), rng.integers(1, 4)
        labels[at : at + length] = 2 + 2 * kind
        labels[at] -= 1
        at += length + rng.integers(1, 6)
    return labels


def actions(
    loss: TokenLoss, logits: np.ndarray, labels: np.ndarray, lengths: Sequence[int]
) -> dict[str, Callable[[], Any]]:
    found: dict[str, Callable[[], Any]] = {
        "loss": lambda: loss(logits, labels, lengths),
        "probabilities": lambda: loss.probabilities(logits, lengths),
    }
    if loss.has_layers:
        found["layers"] = lambda: loss.layer_probabilities(logits, lengths)
    return found


def compare(n_documents: int, options: argparse.Namespace) -> None:
    rng = np.random.default_rng(0)
    lengths = [options.words // n_documents] * n_documents
    logits = rng.normal(size=(sum(lengths), 1 + 2 * options.types)).astype(np.float32)
    labels = np.concatenate([make_labels(n, options.types, rng) for n in lengths])
    calls = {
        (name, what): call
        for name, make in LOSSES.items()
        for what, call in actions(make(), logits, labels, lengths).items()
    }
    times = defaultdict(list)
    for turn in range(options.rounds + 1):
        for key, call in calls.items():
            start = time.perf_counter()
            call()
            if turn:
                times[key].append(1000 * (time.perf_counter() - start))
    for (name, what), each in times.items():
        middle = statistics.median(each)
        ratio = middle / statistics.median(times["BTL", what])
        print(
            f"| {n_documents} x {lengths[0]} | {name} | {what} | {middle:.1f} | {ratio:.0f} | "
            f"{min(each):.1f} to {max(each):.1f} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--types", type=int, default=41)
    parser.add_argument("--words", type=int, default=500, help="of an update")
    parser.add_argument("--documents", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    from machine import describe

    print(describe(), f"{options.types} types\n", sep=", ")
    print("| documents x words | loss | what | ms | to BTL | from round to round |")
    print("|---|---|---|---:|---:|---:|")
    torch.set_num_threads(1)
    with threadpool_limits(1):
        for n_documents in options.documents:
            compare(n_documents, options)


if __name__ == "__main__":
    main()
