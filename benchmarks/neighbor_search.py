"""Speed of the search for the nearest keys, and a check of its results.

    python benchmarks/neighbor_search.py MODEL DATA.spacy    keys of a pipeline, tokens of DATA
    python benchmarks/neighbor_search.py --arrays FILE.npz   arrays keys, labels and queries
    python benchmarks/neighbor_search.py                     made up: clusters of keys
    python benchmarks/neighbor_search.py ... --growth 10000 100000 1000000
    python benchmarks/neighbor_search.py --labels 5 50 200 1000
    python benchmarks/neighbor_search.py ... --constants

Side by side, in turns: scikit-learn's brute force, the neighbors of the pruned search, and its
counts of votes, which are all that a prediction needs. Median and fastest of the rounds; the ratio
is that of the medians. Then the queries whose counts, or whose winning label, differ from those of
scikit-learn, and those whose k-th and next neighbor tie within float32 (which of the two votes then
depends on rounding, or on the order of the keys).

--growth draws keys from those given, with replacement, and moves each a little (--jitter times the
median distance of a query and its k-th neighbor), so that the queries stay what they are. Memory
is what the process takes at its peak beyond what it took before the index was built, and includes
the search; times are those of the CPU, in all threads. --labels makes up keys with so many columns
and labels. Both end with the exponents of growth: the slope of a line through all rows, on
logarithmic axes.

--busy N does any of it beside N other processes that each keep a core busy.

--constants compares the tuning constants of `spacy_btl.neighbors` with a smaller and a larger value
each, in turns with the search as it is, by CPU time; a ratio above 1 is in favor of the value as it
is.
"""

import argparse
import resource
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from spacy_btl.neighbors import index, lists, pairs, pruned
from spacy_btl.neighbors.brute import BruteSearch, KeySearch, votes_of
from spacy_btl.neighbors.pruned import PrunedSearch

CONSTANTS: dict[str, tuple[float, ...]] = {
    "KEPT_VARIANCE": (0.96, 0.98, 0.99),
    "SAMPLE": (25_000, 50_000, 100_000),
    "ROWS": (8192, 16_384, 32_768),
    "MOST_NEIGHBORS": (32, 64, 128),
    "MOST_ANCHORS": (256, 1024, 2048),
    "ELECTORS": (9, 17, 33),
    "LISTED": (64, 128, 256),
    "QUERIES": (2048, 4096, 8192),
    "PRODUCTS": (2**15, 2**16, 2**17),
    "KEYS": (256, 512, 1024),
    "FEW": (0, 64, 256),
    "PAIRS": (4096, 8192, 16_384),
}
"""A smaller value, the value as it is, and a larger one."""

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]  # keys, labels, queries


def of_pipeline(model: Path, data: Path) -> Arrays:
    import spacy
    from spacy.tokens import DocBin

    from spacy_btl.pipeline.component import component_of

    nlp = spacy.load(model)
    component = component_of(nlp)
    store = component.neighbors.datastore
    if store is None:
        raise SystemExit(f"{model} has no neighbors; fit them: python -m spacy btl fit-knn")
    docs = list(DocBin().from_disk(data).get_docs(nlp.vocab))
    queries = [component.token_vectors(docs[i : i + 32])[1] for i in range(0, len(docs), 32)]
    return store.keys, store.labels, np.concatenate(queries)


def made_up(n_keys: int = 70_000, n_queries: int = 8_000, n_labels: int = 83) -> Arrays:
    """Return clusters with a few wide and many narrow directions; half of the keys have label 0."""
    rng = np.random.default_rng(0)
    n_clusters, n = 300, n_keys + n_queries
    axes = np.linalg.qr(rng.normal(size=(n_labels, n_labels)))[0]
    scales = 6 / np.arange(1, n_labels + 1) ** 0.7
    of = rng.choice(n_clusters, n, p=rng.dirichlet(np.ones(n_clusters)))
    centers = rng.normal(size=(n_clusters, n_labels)) * scales
    vectors = (centers[of] + 0.35 * rng.normal(size=(n, n_labels)) * scales) @ axes
    label_of = np.where(rng.random(n_clusters) < 0.5, 0, rng.integers(0, n_labels, n_clusters))
    labels = np.where(rng.random(n) < 0.01, rng.integers(0, n_labels, n), label_of[of])
    vectors = vectors.astype(np.float32)
    return vectors[:n_keys], labels[:n_keys], vectors[n_keys:]


def read(args: argparse.Namespace) -> Arrays:
    if args.arrays:
        with np.load(args.arrays) as arrays:
            return arrays["keys"], arrays["labels"], arrays["queries"]
    if args.model:
        return of_pipeline(args.model, args.data)
    return made_up()


def seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def cpu_seconds(call: Callable[[], Any]) -> float:
    """Return CPU time of all threads, which other programs disturb less."""
    start = time.process_time()
    call()
    return time.process_time() - start


def peak_mib() -> float:
    """Return largest memory of the process so far."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def compare(keys: np.ndarray, labels: np.ndarray, queries: np.ndarray, k: int, rounds: int) -> None:
    n_labels = int(labels.max()) + 1
    brute = BruteSearch(keys, labels, n_labels)
    start = time.perf_counter()
    pruned = PrunedSearch(keys, labels, n_labels)
    print(f"index built in {time.perf_counter() - start:.2f} s, {pruned.n_threads} threads\n")
    arms: dict[str, Callable[[], Any]] = {
        "brute, neighbors (scikit-learn)": lambda: brute.kneighbors(queries, k),
        "pruned, neighbors": lambda: pruned.kneighbors(queries, k),
        "pruned, votes": lambda: pruned.count_votes(queries, k),
    }
    times: dict[str, list[float]] = {name: [] for name in arms}
    for call in arms.values():
        call()
    for _ in range(rounds):
        for name, call in arms.items():
            times[name].append(seconds(call))
    first = statistics.median(times["brute, neighbors (scikit-learn)"])
    print("| search | queries/s, median | fastest | microseconds a query | ratio |")
    print("|---|---|---|---|---|")
    for name, each in times.items():
        median, n = statistics.median(each), len(queries)
        print(
            f"| {name} | {n / median:,.0f} | {n / min(each):,.0f} | {1e6 * median / n:.1f} "
            f"| {first / median:.1f} |"
        )
    print()
    report_differences(brute, pruned, queries, k)
    print("\nfewer queries at once, votes, microseconds a query (median):")
    for n in (20, 200, 2000):
        some = [queries[i : i + n] for i in range(0, min(len(queries), 40 * n) - n + 1, n)]
        if some:
            taken = statistics.median(seconds(lambda q=q: pruned.count_votes(q, k)) for q in some)
            print(f"{n:6}: {1e6 * taken / n:.1f}")


def report_differences(brute: BruteSearch, pruned: KeySearch, queries: np.ndarray, k: int) -> None:
    distances, nearest = brute.kneighbors(queries, k + 1)
    theirs = votes_of(nearest[:, :k], brute.labels, brute.n_labels)
    ours = pruned.count_votes(queries, k)
    own_distances, own_nearest = pruned.kneighbors(queries, k)
    edge = np.isclose(distances[:, k - 1], distances[:, -1], rtol=1e-6, atol=1e-6)
    differ = (ours != theirs).any(axis=1)
    off = np.abs(own_distances - distances[:, :k]).max()
    print(f"{len(queries)} queries, {len(brute.keys)} keys, k = {k}")
    print(f"{edge.sum()} queries whose neighbors {k} and {k + 1} tie within float32")
    print(f"{differ.sum()} with other counts than scikit-learn's, {(differ & ~edge).sum()} untied")
    print(f"{(ours.argmax(1) != theirs.argmax(1)).sum()} with another winning label")
    own_votes = votes_of(own_nearest, brute.labels, brute.n_labels)
    print(f"{(ours != own_votes).any(1).sum()} whose counts are not those of our own neighbors")
    print(f"largest difference of a distance: {off:.1e}")


def grown(
    keys: np.ndarray, labels: np.ndarray, n: int, jitter: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return keys drawn from those given, moved by about ``jitter``, with their labels."""
    rng = np.random.default_rng(n)
    chosen = rng.integers(0, len(keys), n)
    moved = np.empty((n, keys.shape[1]), dtype=np.float32)
    for start in range(0, n, 50_000):
        some = chosen[start : start + 50_000]
        noise = rng.standard_normal((len(some), keys.shape[1]), dtype=np.float32)
        noise *= jitter / keys.shape[1] ** 0.5
        np.add(keys[some], noise, out=moved[start : start + 50_000])
    return moved, labels[chosen]


def print_growth(rows: list[dict[str, float]], of: str) -> None:
    """Print the exponent of every column: its slope over the sizes, in logarithms."""
    sizes = np.log([row[of] for row in rows])
    slopes = {
        name: np.polyfit(sizes, np.log([max(row[name], 1e-9) for row in rows]), 1)[0]
        for name in rows[0]
        if name != of
    }
    print("| exponent | " + " | ".join(f"{slope:.2f}" for slope in slopes.values()) + " |")


def measured(
    keys: np.ndarray, labels: np.ndarray, queries: np.ndarray, n_labels: int, k: int, rounds: int
) -> dict[str, float]:
    """Build a search, check it, and return CPU times of it and of brute force, and memory."""
    before = peak_mib()
    start = time.process_time()
    search = PrunedSearch(keys, labels, n_labels)
    built = time.process_time() - start
    votes = [cpu_seconds(partial(search.count_votes, queries, k)) for _ in range(rounds)]
    groups = [queries[i : i + 20] for i in range(0, min(len(queries), 1000) - 19, 20)]
    few = [cpu_seconds(partial(search.count_votes, group, k)) for group in groups]
    some = queries[:: max(1, len(queries) // 1000)]
    near = [cpu_seconds(partial(search.kneighbors, some, k)) for _ in range(rounds)]
    taken = peak_mib() - before
    brute = BruteSearch(keys, labels, n_labels)
    some_few = some[::10] if len(keys) > 10**6 else some
    plain = cpu_seconds(partial(brute.count_votes, some_few, k))
    counts = brute.count_votes(some[:100], k)
    assert (search.count_votes(some[:100], k) == counts).all(), "the counts differ"
    return {
        "keys, MiB": keys.nbytes / 2**20,
        "build, s": built,
        "index, MiB": taken,
        "votes, us": 1e6 * statistics.median(votes) / len(queries),
        "votes of 20, us": 1e6 * statistics.median(few) / 20,
        "neighbors of 1000, us": 1e6 * statistics.median(near) / len(some),
        "brute, us": 1e6 * plain / len(some_few),
    }


def print_rows(of: str, sized: Iterator[tuple[int, dict[str, float]]]) -> None:
    PrunedSearch(np.zeros((1, 1)), np.zeros(1, dtype=int), 1)  # imports what it needs
    rows: list[dict[str, float]] = []
    for size, row in sized:
        if not rows:
            print(f"| {of} | " + " | ".join(row) + " |\n|" + "---:|" * (1 + len(row)))
        rows.append({of: size, **row})
        figures = (f"{figure:,.{0 if figure >= 100 else 1}f}" for figure in row.values())
        print(f"| {size:,} | " + " | ".join(figures) + " |", flush=True)
    print_growth(rows, of)


def growth(
    arrays: Arrays, sizes: list[int], k: int, rounds: int, jitter: float
) -> Iterator[tuple[int, dict[str, float]]]:
    keys, labels, queries = arrays
    n_labels = int(labels.max()) + 1
    to_kth = BruteSearch(keys, labels, n_labels).kneighbors(queries[:500], k)[0]
    move = jitter * float(np.median(to_kth[:, -1]))
    for n in sizes:
        more, their_labels = grown(keys, labels, n, move)
        yield n, measured(more, their_labels, queries, n_labels, k, rounds)


def growth_of_labels(
    sizes: list[int], k: int, rounds: int
) -> Iterator[tuple[int, dict[str, float]]]:
    for n in sizes:
        keys, labels, queries = made_up(n_queries=2000, n_labels=n)
        row = measured(keys, labels, queries, n, k, rounds)
        del row["index, MiB"]  # making up the keys has a higher peak
        yield n, row


@contextmanager
def constant(name: str, value: float) -> Iterator[float]:
    """Give a constant this value in all modules that know it; yield the value before."""
    modules = [module for module in (index, lists, pairs, pruned) if hasattr(module, name)]
    before = getattr(modules[0], name)
    for module in modules:
        setattr(module, name, value)
    try:
        yield before
    finally:
        for module in modules:
            setattr(module, name, before)


def constants(arrays: Arrays, k: int, rounds: int) -> None:
    keys, labels, queries = arrays
    n_labels = int(labels.max()) + 1
    usual = PrunedSearch(keys, labels, n_labels)
    counts = usual.count_votes(queries, k)
    print("| constant | value | build, s | votes, ratio | neighbors, ratio |")
    print("|---|---|---|---|---|")
    for name, (smaller, as_it_is, larger) in CONSTANTS.items():
        with constant(name, as_it_is) as before:
            assert before == as_it_is, f"{name} is {before} now: change the table"
        for value in (smaller, larger):
            times: dict[str, list[float]] = defaultdict(list)
            with constant(name, value):
                start = time.process_time()
                other = PrunedSearch(keys, labels, n_labels)
                built = time.process_time() - start
                assert (other.count_votes(queries, k) == counts).all(), "the counts differ"
            for _ in range(rounds):
                times["usual votes"].append(cpu_seconds(partial(usual.count_votes, queries, k)))
                times["usual"].append(cpu_seconds(partial(usual.kneighbors, queries, k)))
                with constant(name, value):
                    times["other votes"].append(cpu_seconds(partial(other.count_votes, queries, k)))
                    times["other"].append(cpu_seconds(partial(other.kneighbors, queries, k)))
            median = {what: statistics.median(each) for what, each in times.items()}
            votes = median["other votes"] / median["usual votes"]
            nearest = median["other"] / median["usual"]
            print(f"| {name} | {value:,} | {built:.2f} | {votes:.2f} | {nearest:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", nargs="?", type=Path, help="pipeline with fitted neighbors")
    parser.add_argument("data", nargs="?", type=Path, help="DocBin whose tokens are the queries")
    parser.add_argument("--arrays", type=Path, help=".npz with keys, labels and queries")
    parser.add_argument("--neighbors", type=int, default=17)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--growth", type=int, nargs="+", help="numbers of keys")
    parser.add_argument("--labels", type=int, nargs="+", help="numbers of labels, keys made up")
    parser.add_argument("--busy", type=int, default=0, help="busy processes beside")
    parser.add_argument("--jitter", type=float, default=0.5)
    parser.add_argument("--constants", action="store_true", help="vary the tuning constants")
    args = parser.parse_args()
    if args.model and not args.data:
        parser.error("a pipeline needs a DocBin beside it")
    from machine import busy, describe

    print(describe(), f"{args.busy} busy processes beside", sep=", ")
    with busy(args.busy):
        if args.labels:
            print_rows("labels", growth_of_labels(args.labels, args.neighbors, args.rounds))
            return
        arrays = read(args)
        if args.growth:
            rows = growth(arrays, args.growth, args.neighbors, args.rounds, args.jitter)
            print_rows("keys", rows)
        elif args.constants:
            constants(arrays, args.neighbors, args.rounds)
        else:
            compare(*arrays, args.neighbors, args.rounds)


if __name__ == "__main__":
    main()
