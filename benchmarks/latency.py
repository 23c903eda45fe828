"""Latency, rate, start, memory and size of our pipelines beside those of others, in turns.

    python benchmarks/rivals.py corpus/train.spacy training/rivals
    python benchmarks/latency.py corpus/test.spacy training/model-knn --rivals training/rivals

Each pipeline has a process of its own, in each round a fresh one, and only one works at a time.
First each starts: the imports, the loading, the first note after it (cold). Then they take turns:
one note of 200 words after another, one of 12 words after another, all documents at once. Notes
are cut from the documents, no two alike. Files are in the cache of the operating system.

The rivals (`rivals.py`) run as they come: Hugging Face and spaCy in float32, EDS-NLP in float32 one
at a time and in bfloat16 in batches, ours with precision "auto". ``--python edsnlp=PATH`` names
the Python of a rival that has an environment of its own. ``--float32`` adds ours in float32,
``--busy 1`` keeps another process busy meanwhile. Memory is read from /proc (Linux).
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

LONG, SHORT = 200, 12  # words
BATCH = 16

MODULES = {  # all that loading needs, so that it imports nothing
    "ours": "spacy torch transformers.models.bert.modeling_bert transformers.models.bert."
    "tokenization_bert_fast spacy_btl.pipeline.component spacy_btl.ml.transformer spacy_btl.ml."
    "token_classifier spacy_btl.training.binary_token_labels spacy_btl.scoring.scorer spacy_btl."
    "training.optimizer spacy_btl.data.tokenizer",
    "spacy": "spacy torch transformers.models.bert.modeling_bert transformers.models.bert."
    "tokenization_bert_fast spacy_transformers spacy.pipeline.ner spacy.ml.models.parser spacy_btl."
    "data.tokenizer",
    "huggingface": "torch transformers.pipelines.token_classification transformers.models.bert."
    "modeling_bert transformers.models.bert.tokenization_bert_fast",
    "edsnlp": "edsnlp torch transformers.models.bert.modeling_bert transformers.models.bert."
    "tokenization_bert_fast edsnlp.pipes.trainable.ner_crf.ner_crf edsnlp.pipes.trainable."
    "embeddings.transformer.transformer edsnlp.pipes.trainable.embeddings.text_cnn.text_cnn",
}

Run = Callable[[list[str]], int]
"""Annotates texts; returns the number of entities."""


def load_spacy(path: str, **overrides: Any) -> tuple[Run, Run]:
    """Return what annotates a text and what annotates many; the same for ours and for spaCy's."""
    import spacy

    nlp = spacy.load(path, config=overrides)
    return (
        lambda texts: sum(len(nlp(text).ents) for text in texts),
        lambda texts: sum(len(doc.ents) for doc in nlp.pipe(texts)),
    )


def load_single(path: str) -> tuple[Run, Run]:
    return load_spacy(path, **{"components.btl_knn_ner.model.tok2vec.precision": "float32"})


def load_huggingface(path: str) -> tuple[Run, Run]:
    from transformers import pipeline

    find: Any = pipeline(
        "token-classification", model=path, aggregation_strategy="simple", stride=128
    )
    return (
        lambda texts: sum(len(find(text)) for text in texts),
        lambda texts: sum(map(len, find(texts, batch_size=BATCH))),
    )


def load_edsnlp(path: str) -> tuple[Run, Run]:
    import edsnlp
    import torch

    nlp = edsnlp.load(path)

    def one_by_one(texts: list[str]) -> int:
        with torch.inference_mode():
            return sum(len(nlp(text).ents) for text in texts)

    return one_by_one, lambda texts: sum(len(doc.ents) for doc in nlp.pipe(texts))


LOADERS = {
    "ours": load_spacy,
    "ours, float32": load_single,
    "spacy": load_spacy,
    "huggingface": load_huggingface,
    "edsnlp": load_edsnlp,
}


def work(kind: str, path: str) -> None:
    """Answer the orders of the other process, a line of JSON each."""
    answers = sys.stdout
    sys.stdout = sys.stderr  # whatever else a library prints

    def answer(value: object) -> None:
        print(json.dumps(value), file=answers, flush=True)

    notes = json.loads(sys.stdin.readline())
    start = time.perf_counter()
    for name in MODULES[kind.partition(",")[0]].split():
        import_module(name)
    imported = time.perf_counter()
    one, many = LOADERS[kind](path)
    loaded, held = time.perf_counter(), memory("VmRSS")
    one(notes["cold"])
    cold = time.perf_counter()
    answer({"imports": imported - start, "load": loaded - imported, "cold": 1000 * (cold - loaded)})
    entities = 0
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "memory":
            answer({"held": held, "peak": memory("VmHWM"), "entities": entities})
            continue
        run = many if order["do"] == "batch" else one
        texts = notes[order["do"]]
        some = texts if run is many else texts[order["first"] : order["first"] + order["n"]]
        times = []
        for group in [some] if run is many else [[text] for text in some]:
            start = time.perf_counter()
            found = run(group)
            times.append(time.perf_counter() - start)
            entities = found if run is many else entities
        answer(times)


def memory(name: str) -> float:
    """Return a figure of /proc/self/status in MiB: VmRSS is memory now, VmHWM its peak."""
    found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(found[1]) / 1024 if found else float("nan")


class Worker:
    """A process with one pipeline."""

    def __init__(self, kind: str, path: Path, python: str, notes: dict[str, list[str]]) -> None:
        command = [python, __file__, "--work", kind, str(path)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
        )
        self._send(notes)
        self.start: dict[str, float] = self._receive()

    def __call__(self, do: str, first: int = 0, n: int = 0) -> Any:
        """Return the seconds of each note, or of all documents together."""
        self._send({"do": do, "first": first, "n": n})
        return self._receive()

    def _send(self, value: object) -> None:
        assert self._process.stdin is not None
        print(json.dumps(value), file=self._process.stdin, flush=True)

    def _receive(self) -> Any:
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            raise ChildProcessError(f"{self._process.args} ended")
        return json.loads(line)

    def end(self) -> None:
        """Let the process end."""
        self._process.communicate()


@contextmanager
def nothing() -> Iterator[None]:
    yield


def make_notes(data: Path, documents: int) -> tuple[dict[str, list[str]], int]:
    """Return notes of each kind, and the number of tokens of the documents of a batch."""
    import spacy
    from spacy.tokens import DocBin

    docs = list(DocBin().from_disk(data).get_docs(spacy.blank("en").vocab))
    words = [doc.text.split() for doc in docs]

    def cut(size: int) -> list[str]:
        return [" ".join(w[i : i + size]) for w in words for i in range(0, len(w) - size, size)]

    batch = docs[:documents]
    notes = {"long": cut(LONG)[1:], "cold": cut(LONG)[:1], "short": cut(SHORT)}
    notes["batch"] = [doc.text for doc in batch]
    return notes, sum(len(doc) for doc in batch)


def saved_size(folder: Path) -> tuple[float, float]:
    """Return MiB of the files of a pipeline, and of a ZIP of them, as a wheel is one."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    with TemporaryFile() as target:
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in files:
                archive.write(path, path.relative_to(folder))
        packed = target.tell()
    return sum(path.stat().st_size for path in files) / 2**20, packed / 2**20


def one_round(
    systems: dict[str, tuple[str, Path, str]], notes: dict[str, list[str]], options: Any
) -> dict[str, dict[str, float]]:
    """Start all, let them take turns, end them; return the figures of each."""
    workers = {name: Worker(*of, notes) for name, of in systems.items()}
    times: dict[str, dict[str, list[float]]] = {
        name: {do: [] for do in ("long", "short", "batch")} for name in workers
    }
    for turn in range(options.turns + 1):
        for name, worker in workers.items():
            n_long, n_short = options.notes, 2 * options.notes
            long = worker("long", turn * n_long % (len(notes["long"]) - n_long), n_long)
            short = worker("short", turn * n_short % (len(notes["short"]) - n_short), n_short)
            if turn:  # the first one warms up
                times[name]["long"] += long
                times[name]["short"] += short
    for turn in range(options.batches + 1):
        for name, worker in workers.items():
            (seconds,) = worker("batch")
            times[name]["batch"] += [seconds] if turn else []
    figures = {}
    for name, worker in workers.items():
        figures[name] = worker.start | worker("memory")
        for do in ("long", "short"):
            each = sorted(1000 * t for t in times[name][do])
            figures[name][do] = statistics.median(each)
            figures[name][f"{do}, p95"] = each[int(0.95 * (len(each) - 1))]
        figures[name]["batch"] = statistics.median(times[name]["batch"])
        worker.end()
    return figures


COLUMNS = {
    "cold": ("200 words, cold, ms", 0),
    "long": ("warm, median", 1),
    "long, p95": ("p95", 1),
    "short": ("12 words, median", 1),
    "short, p95": ("p95", 1),
    "batch": ("tokens/s in batch", 0),
    "imports": ("imports, s", 2),
    "load": ("load, s", 2),
    "held": ("MiB loaded", 0),
    "peak": ("MiB at peak", 0),
}


def show(rounds: list[dict[str, dict[str, float]]], sizes: dict[str, tuple[float, float]]) -> None:
    """Print the medians over the rounds, the least and the largest, and ratios to the first."""
    first = next(iter(rounds[0]))
    names = [title for title, _ in COLUMNS.values()]
    print(f"| | {' | '.join(names)} | MiB saved, packed | entities |")
    print(f"|---|{'---:|' * (len(COLUMNS) + 2)}")
    for system in rounds[0]:
        cells = []
        for key, (_, digits) in COLUMNS.items():
            values = [each[system][key] for each in rounds]
            cells.append(
                f"{statistics.median(values):,.{digits}f} "
                f"({min(values):,.{digits}f} to {max(values):,.{digits}f})"
            )
        plain, packed = sizes[system]
        entities = f"{rounds[0][system]['entities']:.0f}"
        print(f"| {system} | {' | '.join(cells)} | {plain:.1f}, {packed:.1f} | {entities} |")
    print(f"\nRatios to {first}, round by round")
    for system in rounds[0]:
        cells = []
        for key in COLUMNS:
            ratios = [each[system][key] / each[first][key] for each in rounds]
            cells.append(
                f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            )
        print(f"| {system} | {' | '.join(cells)} |")


def main() -> None:
    if sys.argv[1:2] == ["--work"]:
        work(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, help="DocBin")
    parser.add_argument("ours", type=Path, nargs="+", help="trained pipelines of this package")
    parser.add_argument("--rivals", type=Path, help="folder that rivals.py has made")
    parser.add_argument("--python", action="append", default=[], metavar="RIVAL=PATH")
    parser.add_argument("--float32", action="store_true", help="ours in float32 too")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--notes", type=int, default=5, help="long notes a turn; twice short ones")
    parser.add_argument("--batches", type=int, default=2, help="turns with all documents")
    parser.add_argument("--documents", type=int, default=8, help="of a batch")
    parser.add_argument("--busy", type=int, default=0, help="other processes kept busy")
    options = parser.parse_args()
    from machine import busy, describe

    print(describe(), f"{options.busy} busy processes beside", sep=", ")
    notes, n_tokens = make_notes(options.data, options.documents)
    pythons = dict(each.split("=", 1) for each in options.python)
    systems = {f"ours, {path.name}": ("ours", path, sys.executable) for path in options.ours}
    if options.float32:
        path = options.ours[0]
        systems[f"ours, {path.name}, float32"] = ("ours, float32", path, sys.executable)
    for name in ("spacy", "huggingface", "edsnlp"):
        if options.rivals and (options.rivals / name).is_dir():
            python = pythons.get(name, sys.executable)
            systems[name] = (name, options.rivals / name, python)
    rounds = []
    with busy(options.busy) if options.busy else nothing():
        for _ in range(options.rounds):
            rounds.append(one_round(systems, notes, options))
            for figures in rounds[-1].values():
                figures["batch"] = n_tokens / figures["batch"]
    show(rounds, {name: saved_size(path) for name, (_, path, _) in systems.items()})


if __name__ == "__main__":
    main()
