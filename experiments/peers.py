"""Shared by the scripts that train a peer: options, batches, scores on dev, the checkpoint."""

import argparse
import copy
import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from spacy.tokens import Doc
from transformers import get_linear_schedule_with_warmup

from experiments.documents import name_of, read_docs
from spacy_btl.ml.encoder_shim import autocast_dtype
from spacy_btl.scoring.scorer import gold_entities
from spacy_btl.scoring.scores import strict_span_scores

WARMUP = 100
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class Peer(Protocol):
    """An entity recognizer that can be trained; ``module`` holds all its weights."""

    module: torch.nn.Module

    def loss(self, docs: list[Doc]) -> torch.Tensor:
        """Return the loss of a batch, to be derived."""

    def predict(self, docs: list[Doc]) -> list[list[Any]]:
        """Return the entities of each document: (type, ((start, end),)) in characters."""


def main(make: Callable[[argparse.Namespace, list[Doc]], Peer], description: str) -> None:
    """Train the peer that ``make`` gives for the options and the training documents.

    AdamW with warm-up and linear decay; batches of about the size of ours, checkpoint as ours.
    Writes log.jsonl and predictions.json.
    """
    options = read_options(description)
    random.seed(options.seed)
    np.random.seed(options.seed)
    torch.manual_seed(options.seed)
    parts = {part: read_docs(options.corpus / f"{part}.spacy") for part in ("train", "dev", "test")}
    peer = make(options, parts["train"])
    train(peer, parts["train"], parts["dev"], options)
    written = {
        "settings": {"model": {}},
        **{part: {"model": predict(peer, parts[part])} for part in ("dev", "test")},
    }
    (options.work / "predictions.json").write_text(json.dumps(written), encoding="utf8")


def read_options(description: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description.split("\n")[0])
    parser.add_argument("corpus", type=Path, help="folder with train, dev and test.spacy")
    parser.add_argument("work", type=Path, help="folder for predictions.json and log.jsonl")
    parser.add_argument("--encoder", required=True)
    parser.add_argument("--learn-rate", type=float, default=3e-4)
    parser.add_argument("--updates", type=int, default=1600)
    parser.add_argument("--evaluate-every", type=int, default=200)
    parser.add_argument("--batch-words", type=int, default=500)
    parser.add_argument("--window", type=int, default=128, help="word pieces read at once")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def train(peer: Peer, train: list[Doc], dev: list[Doc], options: argparse.Namespace) -> None:
    """Leave the peer with the weights that did best on dev, by the mean of micro and macro F1."""
    module = peer.module
    optimizer = torch.optim.AdamW(module.parameters(), lr=options.learn_rate, weight_decay=0.01)
    schedule = get_linear_schedule_with_warmup(optimizer, WARMUP, options.updates)
    start, best, kept = time.monotonic(), -1.0, module.state_dict()
    batches = shuffled_batches(train, options.batch_words)
    with (options.work / "log.jsonl").open("w", encoding="utf8") as log:
        for step in range(1, options.updates + 1):
            module.train()
            with mixed_precision():
                loss = peer.loss(next(batches))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            if step % options.evaluate_every and step != options.updates:
                continue
            scores: Any = strict_span_scores(map(gold_entities, dev), predict(peer, dev).values())
            score = (scores["ents_f"] + scores["ents_macro_f"]) / 2
            figures = {key: scores[key] for key in ("ents_f", "ents_macro_f")}
            seconds = round(time.monotonic() - start, 1)
            row = {"updates": step, "seconds": seconds, "score": score, **figures}
            log.write(json.dumps(row) + "\n")
            log.flush()
            if score > best:
                best, kept = score, copy.deepcopy(module.state_dict())
    module.load_state_dict(kept)


@torch.no_grad()
def predict(peer: Peer, docs: list[Doc]) -> dict[str, list[Any]]:
    """Return entities by the names of the documents, in their order."""
    peer.module.eval()
    names = [name_of(doc) for doc in docs]
    with mixed_precision():
        found = peer.predict(docs)
    return dict(zip(names, found, strict=True))


def mixed_precision() -> torch.autocast:
    """Return matrix products in bfloat16 where ours are; the weights are float32."""
    dtype = autocast_dtype("auto", DEVICE)
    return torch.autocast(DEVICE, dtype=dtype, enabled=dtype is not None)


def shuffled_batches(documents: list[Doc], n_words: int) -> Iterator[list[Doc]]:
    """Yield batches of documents of about as many words, over and over, in ever new order."""
    lengths = {id(doc): sum(not token.is_space for token in doc) for doc in documents}
    documents = list(documents)
    while True:
        random.shuffle(documents)
        batch: list[Doc] = []
        filled = 0
        for doc in documents:
            length = lengths[id(doc)]
            if batch and filled + length > 1.5 * n_words:
                yield batch
                batch, filled = [], 0
            batch.append(doc)
            filled += length
            if filled >= n_words:
                yield batch
                batch, filled = [], 0
        if batch:
            yield batch
