"""Share of the neighbor head in the time of ``nlp.pipe``: search and votes, decoding, spans.

python benchmarks/head_share.py training/model-knn corpus/test.spacy

The neighbors have the whole vote here (``neighbor_weight = 1``), whatever dev has chosen.
"""

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import spacy
import torch
from spacy.tokens import DocBin

from spacy_btl.pipeline.component import component_of

PARTS = {
    "tokenizer": "make_doc",
    "encoder and logits": "token_vectors",
    "search and votes": "predict_proba",
    "decoding, scores": "find",
    "spans": "write",
}

HEAD = ("search and votes", "decoding, scores", "spans")


def timed(function: Callable[..., Any], seconds: dict[str, float], name: str) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            seconds[name] += time.perf_counter() - start

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pipeline", type=Path, help="fitted pipeline")
    parser.add_argument("data", type=Path, help="DocBin whose texts are read")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--search", default="auto", help="auto, brute or pruned")
    parser.add_argument("--n-neighbors", type=int, default=17)
    parser.add_argument("--precision", help="of the encoder, for that of the pipeline")
    parser.add_argument("--busy", type=int, default=0, help="busy processes beside")
    options = parser.parse_args()
    from machine import busy, describe

    print(describe(), f"{options.busy} busy processes beside", sep=", ")
    nlp = spacy.load(options.pipeline)
    pipe = component_of(nlp)
    if options.precision:
        pipe.model.get_ref("tok2vec").shims[0].precision = options.precision
    pipe.neighbor_weight = 1.0
    pipe.neighbors.n_neighbors, pipe.neighbors.votes = options.n_neighbors, "uniform"
    pipe.neighbors.search = options.search
    texts = [doc.text for doc in DocBin().from_disk(options.data).get_docs(nlp.vocab)]
    docs = list(nlp.pipe(texts))  # builds the index
    seconds: dict[str, float] = defaultdict(float)
    owners = {"make_doc": nlp, "predict_proba": pipe.neighbors}
    for name, method in PARTS.items():
        owner = owners.get(method, pipe)
        setattr(owner, method, timed(getattr(owner, method), seconds, name))
    shares = defaultdict(list)
    rates = []
    tokens = sum(map(len, docs))
    with busy(options.busy):
        for _ in range(options.rounds):
            seconds.clear()
            start = time.perf_counter()
            for _ in nlp.pipe(texts):
                pass
            whole = time.perf_counter() - start
            rates.append(tokens / whole)
            for name in PARTS:
                shares[name].append(seconds[name] / whole)
            shares["the head: the last three"].append(sum(seconds[name] for name in HEAD) / whole)
    keys = len(pipe.neighbors.datastore)
    print(
        f"{len(texts)} documents, {tokens:,} tokens, {keys:,} keys, search {options.search}, "
        f"{torch.get_num_threads()} threads, {statistics.median(rates):,.0f} tokens/s\n"
    )
    print("| part of `nlp.pipe` | share of its time | from round to round |")
    print("|---|---:|---:|")
    for name, values in shares.items():
        print(
            f"| {name} | {statistics.median(values):.1%} | {min(values):.1%} to {max(values):.1%} |"
        )


if __name__ == "__main__":
    main()
