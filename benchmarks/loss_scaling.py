"""The cost of Binary Token Labels beside standard training, by number of entity types.

    python benchmarks/loss_scaling.py [--encoder NAME] [--types 5 41 200 1000] [--runs 5]

One training step is a forward and a backward pass of encoder and head and the loss, without the
optimizer. Side by side, in turns, on the same pieces: all labels at once (ATL); Binary Token Labels
in one pass; and the same copies really made, each with a loss of its own, on one encoder pass ("K
losses") and, for few types, with an encoder pass each ("K passes"), one for each type in the batch.

Then the loss alone: its time, the memory that it takes beside the logits at its peak, and the ratio
of the steps that follows from it, the step of ATL with this loss in the place of its own. On a busy
machine, where whole steps differ by more than a loss takes, this is the ratio to read.

Without --encoder the encoder is a BERT of MiniLM's size (6 layers, width 384) with random weights,
so that nothing is fetched. Medians; the ratio is that of the medians. On the CPU, in float32.
"""

import argparse
import os
import statistics
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from transformers import AutoModel, BertConfig, BertModel

from spacy_btl.training.binary_token_labels import BinaryTokenLabels
from spacy_btl.training.losses import AllTokenLabels, TokenLoss

Loss = Callable[[np.ndarray, np.ndarray], Any]
LENGTH = 128  # pieces in a row
SHARE_OF_ENTITIES = 0.3


def fused_losses() -> dict[str, TokenLoss]:
    return {
        "ATL": AllTokenLabels(),
        "BTL": BinaryTokenLabels(),
    }


def make_encoder(name: str | None) -> torch.nn.Module:
    if name:
        return AutoModel.from_pretrained(name).train()
    config = BertConfig(
        hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536
    )
    return BertModel(config).train()


def make_labels(n_tokens: int, n_types: int) -> np.ndarray:
    """Return BIO columns; types are drawn with shares that fall as 1 / rank."""
    rng = np.random.default_rng(0)
    shares = 1 / np.arange(1, n_types + 1)
    types = rng.choice(n_types, size=n_tokens, p=shares / shares.sum())
    columns = 1 + 2 * types + rng.integers(0, 2, n_tokens)
    return np.where(rng.random(n_tokens) < SHARE_OF_ENTITIES, columns, 0)


def copies(labels: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return columns and targets of the copy of each type that the labels hold."""
    made = []
    for kind in np.unique((labels[labels > 0] - 1) // 2):
        own = 1 + 2 * kind
        targets = np.where((labels == own) | (labels == own + 1), labels - own + 1, 0)
        made.append((np.array([0, own, own + 1]), targets))
    return made


def losses_of_copies(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the result of `BinaryTokenLabels`, from copies that are made one by one."""
    gradient, total, one = np.zeros_like(logits), 0.0, AllTokenLabels()
    for columns, targets in copies(labels):
        d_copy, loss = one(np.ascontiguousarray(logits[:, columns]), targets)
        gradient[:, columns] += d_copy
        total += loss
    return gradient, total


class Step:
    """A training step on pieces that stay the same."""

    def __init__(self, encoder: torch.nn.Module, n_tokens: int, n_types: int) -> None:
        torch.manual_seed(0)
        self.encoder = encoder
        self.head = torch.nn.Linear(encoder.config.hidden_size, 1 + 2 * n_types)
        self.pieces = torch.randint(0, encoder.config.vocab_size, (n_tokens // LENGTH, LENGTH))
        self.labels = make_labels(self.pieces.numel(), n_types)

    def __call__(self, loss: Loss, labels: np.ndarray | None = None) -> None:
        """Run one step, with other labels than those of the batch."""
        logits = self.head(self.encoder(self.pieces).last_hidden_state).flatten(0, 1)
        gradient, _ = loss(logits.detach().numpy(), self.labels if labels is None else labels)
        logits.backward(torch.from_numpy(gradient))
        self.encoder.zero_grad()
        self.head.zero_grad()

    def for_each_copy(self) -> None:
        """Run a step for each type, with no other type than O."""
        loss = BinaryTokenLabels()
        for columns, targets in copies(self.labels):
            self(loss, columns[targets])


def seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def in_turns(arms: dict[str, Callable[[], Any]], runs: int) -> dict[str, float]:
    """Return median seconds of each arm; one run of each more goes before and is not counted."""
    times: dict[str, list[float]] = {name: [] for name in arms}
    for turn in range(runs + 1):
        for name, call in arms.items():
            taken = seconds(call)
            if turn:
                times[name].append(taken)
    return {name: statistics.median(each) for name, each in times.items()}


def peak_bytes(call: Callable[[], Any]) -> int:
    """Return memory of numpy arrays (and other Python objects) that the call takes at its peak."""
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def compare_steps(step: Step, n_types: int, args: argparse.Namespace) -> float:
    """Print the medians; return that of ATL."""
    arms: dict[str, Callable[[], Any]] = {
        name: lambda loss=loss: step(loss) for name, loss in fused_losses().items()
    }
    arms["K losses"] = lambda: step(losses_of_copies)
    if n_types <= args.whole_passes:
        arms["K passes"] = step.for_each_copy
    medians = in_turns(arms, args.runs)
    shown = (f"{name} {t:8.3f} s ({t / medians['ATL']:.3f})" for name, t in medians.items())
    print(f"{n_types:5} types, K = {len(copies(step.labels))} | " + " | ".join(shown), flush=True)
    return medians["ATL"]


def compare_losses(step: Step, n_types: int, runs: int, step_seconds: float) -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(len(step.labels), 1 + 2 * n_types)).astype(np.float32)
    arms = {**fused_losses(), "K losses": losses_of_copies}
    calls = {name: lambda loss=loss: loss(logits, step.labels) for name, loss in arms.items()}
    medians = in_turns(calls, runs)
    shown = (
        f"{name} {1000 * medians[name]:8.1f} ms {peak_bytes(call) / 2**20:7.1f} MiB "
        f"({1 + (medians[name] - medians['ATL']) / step_seconds:.3f})"
        for name, call in calls.items()
    )
    size = logits.nbytes / 2**20
    print(f"{n_types:5} types, logits {size:5.1f} MiB | " + " | ".join(shown), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--encoder", help="folder or hub name; default: random weights")
    parser.add_argument("--types", type=int, nargs="+", default=[5, 41, 200, 1000])
    parser.add_argument("--tokens", type=int, default=4096, help=f"in rows of {LENGTH}")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--whole-passes", type=int, default=5, help="K passes up to so many types")
    args = parser.parse_args()
    encoder = make_encoder(args.encoder)
    steps = {n_types: Step(encoder, args.tokens, n_types) for n_types in args.types}
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"{torch.get_num_threads()} threads, {os.cpu_count()} CPUs, load {load:.1f} before")
    print("One step, seconds (ratio to ATL)")
    of_atl = {n_types: compare_steps(step, n_types, args) for n_types, step in steps.items()}
    print("The loss alone, time and memory at its peak beside the logits (ratio of steps)")
    for n_types, step in steps.items():
        compare_losses(step, n_types, 4 * args.runs, of_atl[n_types])


if __name__ == "__main__":
    main()
