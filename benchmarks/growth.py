"""Time and memory of ``spacy btl annotate`` by number of documents and of types.

    python benchmarks/growth.py training/model-knn
    python benchmarks/growth.py training/model-knn --documents 100 1000 10000 100000
    python benchmarks/growth.py --types 5 41 200 1000

Each row is the command in a process of its own, on made-up documents of --words words in one file
of JSON Lines; a tenth of the words has not been seen before (`soak.py`). Wall time, CPU seconds and
peak memory are those of that process as the operating system counts them. The exponents are the
slopes of a straight line through the logarithms (least squares): 1 is linear, 0 is constant. They
are given for the whole and for what is beside loading, for which the fewest documents are taken.

--types trains and runs a pipeline of spaCy's small convolution with so many types: one update on
64 documents, ``nlp.pipe`` over them, the peak of the process. The encoder is small on purpose, so
that what depends on the types is not hidden; `loss_scaling.py` has the loss with an encoder of full
size.
"""

import argparse
import json
import math
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from machine import describe
from soak import make_texts

UPDATES = 4


class Cost(NamedTuple):
    """Time and memory of a process."""

    wall: float
    cpu: float
    mib: float


def run(command: list[str], environment: dict[str, str] | None = None) -> tuple[Cost, str]:
    """Run a command; return what it took and what it printed."""
    with tempfile.TemporaryFile("w+") as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=os.environ | (environment or {})
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        printed = output.read()
    if process.returncode:
        raise ChildProcessError(f"{command} ended with {process.returncode}: {printed[-2000:]}")
    mib = usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return Cost(wall, usage.ru_utime + usage.ru_stime, mib), printed


def exponent(sizes: list[int], values: list[float]) -> float:
    """Return the slope of the logarithms of values by those of sizes; NaN for a single one."""
    pairs = [(math.log(x), math.log(y)) for x, y in zip(sizes, values, strict=True) if y > 0]
    if len(pairs) < 2:
        return float("nan")
    mean_x, mean_y = (statistics.mean(column) for column in zip(*pairs, strict=True))
    spread = sum((x - mean_x) ** 2 for x, _ in pairs)
    return sum((x - mean_x) * (y - mean_y) for x, y in pairs) / spread


def table(columns: dict[str, list[float]], sizes: list[int], of: str, digits: int = 1) -> None:
    """Print a row a size, and the exponents of the columns."""
    print(f"| {of} | {' | '.join(columns)} |\n|---:|{'---:|' * len(columns)}")
    for i, size in enumerate(sizes):
        print(f"| {size:,} | {' | '.join(f'{v[i]:,.{digits}f}' for v in columns.values())} |")
    slopes = (f"{exponent(sizes, values):.2f}" for values in columns.values())
    print(f"| exponent | {' | '.join(slopes)} |", flush=True)


def annotate(pipeline: Path, options: argparse.Namespace) -> None:
    """Annotate so many documents, and all over again what is done already."""
    rows: dict[str, list[float]] = {}
    for n in options.documents:
        with tempfile.TemporaryDirectory() as folder:
            source, output = Path(folder) / "notes.jsonl", Path(folder) / "out"
            with source.open("w", encoding="utf8") as file:
                for i, text in enumerate(make_texts(n, options.words)):
                    file.write(json.dumps({"id": f"note-{i}", "text": text}) + "\n")
            command = [sys.executable, "-m", "spacy", "btl", "annotate", str(pipeline)]
            command += [str(source), str(output), "--shard-size", str(options.shard_size)]
            cost, _ = run(command)
            files = [path for path in output.rglob("*") if path.is_file()]
            written = sum(path.stat().st_size for path in files)
            again, _ = run(command)
            figures = {
                "wall, s": cost.wall,
                "CPU, s": cost.cpu,
                "peak, MiB": cost.mib,
                "MiB read": source.stat().st_size / 2**20,
                "MiB written": written / 2**20,
                "files": len(files),
                "once more, done before: CPU, s": again.cpu,
                "its peak, MiB": again.mib,
            }
        for name, value in figures.items():
            rows.setdefault(name, []).append(value)
        print(f"{n:,} documents: {cost.wall:.0f} s", file=sys.stderr, flush=True)
    print(f"\nannotate, {options.words} words a document, {options.shard_size} records a shard\n")
    table(rows, options.documents, "documents")
    sizes, cpu = options.documents, rows["CPU, s"]
    if len(sizes) > 2:
        beside = [seconds - cpu[0] for seconds in cpu[1:]]
        print(f"CPU beside that of the fewest: exponent {exponent(sizes[1:], beside):.2f}")


def one_number_of_types(n_types: int) -> dict[str, float]:
    """Train and run a pipeline with so many types in this process."""
    import spacy
    from spacy.training import Example
    from thinc.api import Adam

    nlp, draw = spacy.blank("en"), random.Random(0)
    examples = []
    for text in make_texts(64, 200):
        doc = nlp.make_doc(text)
        spans = [doc.char_span(doc[i].idx, doc[i].idx + len(doc[i])) for i in range(0, len(doc), 4)]
        for span in spans:
            span.label_ = f"T{draw.randrange(n_types)}"
        gold = doc.copy()
        gold.ents = [span for span in spans if span is not None]
        examples.append(Example(nlp.make_doc(text), gold))
    component: Any = nlp.add_pipe("btl_knn_ner")
    for i in range(n_types):
        component.add_label(f"T{i}")
    nlp.initialize(lambda: examples)
    optimizer, texts = Adam(1e-3), [example.reference.text for example in examples]

    def median(call: Callable[[], Any]) -> float:
        times = []
        for _ in range(UPDATES + 1):
            start = time.process_time()
            call()
            times.append(time.process_time() - start)
        return 1000 * statistics.median(times[1:])

    step = median(lambda: nlp.update(examples, sgd=optimizer))
    pipe = median(lambda: list(nlp.pipe(texts)).clear())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "update, ms of CPU": step,
        "nlp.pipe, ms of CPU": pipe,
        "peak, MiB": peak / (2**20 if sys.platform == "darwin" else 2**10),
    }


def types(numbers: list[int]) -> None:
    """Do so for several numbers of types, each in a process of its own."""
    rows: dict[str, list[float]] = {}
    for n_types in numbers:
        command = [sys.executable, __file__, "--one-number-of-types", str(n_types)]
        _, printed = run(command, {"OMP_NUM_THREADS": "1"})
        for name, value in json.loads(printed.splitlines()[-1]).items():
            rows.setdefault(name, []).append(value)
    print("\n64 documents of 200 words, an entity every fourth token\n")
    table(rows, numbers, "types", 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pipeline", type=Path, nargs="?", help="trained pipeline, for annotate")
    parser.add_argument("--documents", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--words", type=int, default=20, help="of a document, in the mean")
    parser.add_argument("--shard-size", type=int, default=200)
    parser.add_argument("--types", type=int, nargs="+", help="numbers of types")
    parser.add_argument("--one-number-of-types", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one_number_of_types:
        print(json.dumps(one_number_of_types(options.one_number_of_types)))
        return
    if shutil.which(sys.executable) is None or not hasattr(os, "wait4"):
        parser.error("a system with wait4 is needed, such as Linux or macOS")
    print(describe())
    if options.pipeline is not None:
        annotate(options.pipeline, options)
    if options.types:
        types(options.types)


if __name__ == "__main__":
    main()
