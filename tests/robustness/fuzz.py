"""Feed hostile bytes to the readers of this package and count what becomes of them.

    python -m tests.robustness.fuzz --target brat --seconds 600
    python -m tests.robustness.fuzz --target datastore --seconds 600
    python -m tests.robustness.fuzz --target model --model training/model-knn --flips 1000

The first two mutate valid files, guided by coverage where atheris is installed
(https://github.com/google/atheris), else at random. The third seals a copy of a pipeline, damages
one file at a time (--flips bits, then every file cut short at --cuts places), and loads it with
spacy.load: an error, or the same answer. An input that breaks a promise is saved in --crashers, or
its place is printed, and the exit status is 1.
"""

import argparse
import faulthandler
import gc
import hashlib
import os
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

TEXT = "She took 5 mg of warfarin daily for chest pain; no fever. Blood pressure was 120/80 mmHg."

SLOW = 2.0
"""Seconds after which an input of at most `MAX_LENGTH` bytes counts as one that never ends."""
MAX_LENGTH = 1 << 14
LONG = "a word\n" * 50_000  # fragments of a few bytes can name all of it, many times
KEPT = 5  # inputs saved of each kind of failure

BRAT_SEEDS = [
    "T1\tAge 0 11\t58-year-old\nT2\tSex 12 15;18 20\tman ab\n",
    "T1\tEvent 0 3\tfoo\nE1\tEvent:T1 Theme:T2 Theme2:E1\nR1\tBefore Arg1:E1 Arg2:T1  \n",
    "A1\tNegation E1\nM1\tCertainty E1 very low \nN1\tReference T1 UMLS:C001\tdiabetes\n",
    "*\tEquiv T1 T2 T3\n#1\tAnnotatorNotes T1\ta note\t more\n\n",
    "\ufeffT1\tAge 0 999999999999999999\tx\r\nT2\tAge 5 3\t\r\nnone\r\nT3\tAge 0 9\ta\nbc\nd\n",
    "T1\tAge 0 12\tone\ntwo\nthree\u2009\u0085\u2028\n\0\n",
    "N1\tReference Annotation:T1 Referent:UMLS:C1\n#1\tNote T1\n",
]


def check_brat(data: bytes) -> str:
    """Check that reading keeps every byte, and that new records raise only ValueError."""
    from spacy_btl import brat

    text = data.decode("utf-8", "replace")
    standoff = brat.loads(text)
    assert brat.dumps(standoff) == text, "not read back as it stood"
    problems = brat.check(standoff, text[:200])
    brat.check(standoff, LONG)
    brat.check(standoff, None)
    left, _ = brat.without_references(standoff.records, [r.id for r in standoff.records[:1]])
    bare = brat.Standoff(tuple(record._replace(line=0, raw="") for record in left))
    try:
        written = brat.dumps(bare)
    except ValueError:
        return "read, but not writable without its own lines"
    brat.loads(written)
    return "read, problems: " + (", ".join(sorted({p.reason for p in problems})) or "none")


def datastore_seeds() -> list[bytes]:
    import numpy as np

    from spacy_btl.neighbors.datastore import Datastore

    empty = Datastore(
        keys=np.zeros((0, 3)),
        labels=np.zeros(0, int),
        label_names=("O", "B-Age"),
        documents=(),
        document_of_key=np.zeros(0, int),
        offsets=np.zeros(0, int),
        fingerprint="f",
        key_kind="logits",
    )
    rng = np.random.default_rng(0)
    full = empty.added(
        rng.normal(size=(6, 3)), ["O", "B-Age"] * 3, ["a", "a", "b"] * 2, range(0, 60, 10)
    )
    return [empty.to_bytes(), full.to_bytes()]


def check_datastore(data: bytes) -> str:
    """Check that damage gives a ValueError or a whole store, even with a forged checksum.

    The first byte says what the rest is: a file; a file whose checksum is set right; or the arrays
    of a file with a header and a checksum that are right.
    """
    from spacy_btl.neighbors.classifier import make_search
    from spacy_btl.neighbors.datastore import Datastore

    kind, data = data[0] % 3 if data else 0, data[1:]
    forged = kind > 0
    if kind == 2:
        whole = SEEDS["datastore"][-1]
        header = 40 + int.from_bytes(whole[32:40], "little")
        data = (whole[:header] + data + whole[header + len(data) :])[: len(whole)]
    if forged:
        data = hashlib.sha256(data[32:]).digest() + data[32:]
    try:
        store = Datastore.from_bytes(data)
    except ValueError as error:
        words = str(error).partition("(")[2] if "unreadable" in str(error) else str(error)
        return "ValueError: " + " ".join(w for w in words.split()[:6] if w.isalpha())
    assert forged or data in SEEDS["datastore"], "bytes that nobody wrote were taken"
    assert Datastore.from_bytes(store.to_bytes()) == store, "not equal after a round trip"
    store.counts_by_document()
    if len(store):
        store.source(len(store) - 1)
        try:
            search = make_search("auto", store.keys, store.labels, len(store.label_names))
            search.kneighbors(store.keys[:1], 2)
        except ValueError:
            return "read, but its keys are too large to search"
    return "read" + (" with a forged checksum" if forged else "")


CHECKS: dict[str, Callable[[bytes], str]] = {"brat": check_brat, "datastore": check_datastore}
SEEDS: dict[str, list[bytes]] = {}


class Run:
    """Counts what became of the inputs, and keeps those that broke a promise."""

    def __init__(self, target: str, seconds: float, crashers: Path) -> None:
        self.target, self.crashers = target, crashers
        self.outcomes, self.failures = Counter[str](), Counter[str]()
        self.longest, self.started = 0.0, time.monotonic()
        self.deadline = self.started + seconds

    def one(self, data: bytes) -> None:
        """Check an input."""
        start = time.monotonic()
        try:
            outcome = CHECKS[self.target](data)
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            self.fail(f"{type(error).__name__} in {Path(frame.filename).name}:{frame.lineno}", data)
            outcome = "FAILED"
        seconds = time.monotonic() - start
        if seconds > SLOW:
            self.fail("slow", data)
        self.longest = max(self.longest, seconds)
        self.outcomes[outcome] += 1

    def fail(self, kind: str, data: bytes) -> None:
        """Count a failure, and save the input of the first few of its kind."""
        self.failures[kind] += 1
        if self.failures[kind] <= KEPT:
            self.crashers.mkdir(parents=True, exist_ok=True)
            name = f"{self.target}-{hashlib.sha256(data).hexdigest()[:16]}"
            (self.crashers / name).write_bytes(data)
            print(f"{kind}: {self.crashers / name}", flush=True)

    def report(self) -> int:
        """Print the counts; the exit status."""
        count, seconds = self.outcomes.total(), time.monotonic() - self.started
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        print(
            f"\n{self.target}: {count:,} inputs in {seconds:.0f} s, longest {self.longest:.3f} s,"
        )
        print(f"memory {memory} MiB at most, {len(self.outcomes)} kinds of outcome:")
        for outcome, number in self.outcomes.most_common(25):
            print(f"{number:>12,}  {outcome}")
        print(f"broken promises: {dict(self.failures) or 'none'}", flush=True)
        return 1 if self.failures else 0


def mutated(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """Return a few changes: bits, bytes, pieces left out, repeated, or taken from another input."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(len(changed) + 1)
        end = min(at + rng.choice((1, 2, 8, 64)), len(changed))
        kind = rng.randrange(6)
        if kind == 0 and at < len(changed):
            changed[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            changed[at:end] = rng.randbytes(end - at)
        elif kind == 2:
            del changed[at:end]
        elif kind == 3:
            changed[at:at] = changed[at:end] * rng.choice((1, 3, 50))
        elif kind == 4:
            start = rng.randrange(len(other) + 1)
            changed[at:at] = other[start : start + 40]
        else:
            changed[at:end] = rng.choice((b"9" * 18, b"-1", b"0", b"\n", b"\t", b" ", b"[", b"1e9"))
    return bytes(changed[:MAX_LENGTH])


def fuzz(run: Run, seed: int, *, guided: bool) -> int:
    seeds = SEEDS[run.target]
    if guided:
        import atheris

        with tempfile.TemporaryDirectory() as corpus:
            for i, data in enumerate(seeds):
                prefixes = (b"\0", b"\1", b"\2") if run.target == "datastore" else (b"",)
                for j, prefix in enumerate(prefixes):
                    (Path(corpus) / f"seed-{i}-{j}").write_bytes(prefix + data)

            def one(data: bytes) -> None:
                if time.monotonic() > run.deadline:
                    status = run.report()  # libFuzzer would end the process without it
                    shutil.rmtree(corpus)
                    os._exit(status)
                run.one(data)

            options = [f"-max_len={MAX_LENGTH}", f"-seed={seed}", "-verbosity=0", corpus]
            atheris.Setup([sys.argv[0], *options], one)
            atheris.Fuzz()
    rng = random.Random(seed)
    while time.monotonic() < run.deadline:
        data = mutated(rng, rng.choice(seeds), rng.choice(seeds))
        run.one(data if run.target == "brat" else rng.randbytes(1) + data)
    return run.report()


def damages(
    folder: Path, flips: int, cuts: int, seed: int
) -> Iterator[tuple[Path, int, int | None]]:
    """Yield file and place of each damage, with the bit to flip; None to cut the file off there.

    Every other bit is drawn from all bits of the folder alike, else first a file and then a bit of
    it, as most files are small. Cuts are evenly spaced, the first leaves nothing.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    sizes = [path.stat().st_size for path in files]
    rng = random.Random(seed)
    for i in range(flips):
        (path,) = rng.choices(files, sizes if i % 2 else None)
        yield path, rng.randrange(path.stat().st_size), rng.randrange(8)
    for path, size in zip(files, sizes, strict=True):
        for at in sorted({size * i // cuts for i in range(cuts)}):
            yield path, at, None


def answer(folder: Path) -> list[tuple[object, ...]]:
    """Return tokens, entities and their scores in a text, by the pipeline in a folder."""
    import spacy

    doc = spacy.load(folder)(TEXT)
    groups = [(key, span) for key in sorted(doc.spans) for span in doc.spans[key]]
    return [
        *((token.text, token.ent_iob_, token.ent_type_) for token in doc),
        *((key, s.start, s.end, s.label_, s._.btl_score) for key, s in groups),
    ]


def damage_model(model: Path, flips: int, cuts: int, seed: int) -> int:
    from spacy_btl.util.seal import SEAL, write_seal

    faulthandler.enable()
    outcomes, wrong, started = Counter[str](), 0, time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        shutil.copytree(model, folder)
        write_seal(folder)
        expected = answer(folder)
        for path, at, bit in damages(folder, flips, cuts, seed):
            name = path.relative_to(folder).as_posix()
            kind = "cut short" if bit is None else "bit flipped"
            with path.open("r+b") as file:
                file.seek(at)
                lost = file.read(-1 if bit is None else 1)
                file.seek(at)
                if bit is None:
                    file.truncate()
                else:
                    file.write(bytes([lost[0] ^ 1 << bit]))
            try:
                same = answer(folder) == expected
                outcome = "same answer" if same else "WRONG ANSWER"
            except Exception as error:
                ours = isinstance(error, ValueError) and (str(path) in str(error) or SEAL in name)
                outcome = "refused, by name" if ours else f"refused by {type(error).__name__}"
            finally:
                gc.enable()  # srsly leaves it off where a message cannot be read
                with path.open("r+b") as file:
                    file.seek(at)
                    file.write(lost)
            outcomes[f"{kind}: {name}: {outcome}"] += 1
            if outcomes.total() % 100 == 0:
                print(f"{outcomes.total()} loaded", flush=True)
            if outcome == "WRONG ANSWER":
                wrong += 1
                print(f"{kind}, {name}, byte {at}, bit {bit}: another answer", flush=True)
        assert answer(folder) == expected  # all is as it was
    seconds = time.monotonic() - started
    print(f"\nmodel: {outcomes.total():,} damaged copies loaded in {seconds:.0f} s")
    for outcome, number in sorted(outcomes.items()):
        print(f"{number:>8,}  {outcome}")
    print(f"wrong answers: {wrong}", flush=True)
    return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--target", choices=("brat", "datastore", "model"), required=True)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--crashers", type=Path, default=Path("crashers"))
    parser.add_argument("--model", type=Path, default=Path("training/model-knn"))
    parser.add_argument("--flips", type=int, default=1000)
    parser.add_argument("--cuts", type=int, default=100, help="of each file")
    args = parser.parse_args()
    if args.target == "model":
        return damage_model(args.model, args.flips, args.cuts, args.seed)
    guided = True
    try:
        import atheris

        with atheris.instrument_imports(include=["spacy_btl"]):
            import spacy_btl.brat
            import spacy_btl.neighbors.datastore  # noqa: F401
    except ImportError:
        guided = False
        print("atheris is not installed: mutations at random, not guided by coverage")
    SEEDS["brat"] = [text.encode() for text in BRAT_SEEDS]
    SEEDS["datastore"] = datastore_seeds()
    for data in SEEDS[args.target]:
        CHECKS[args.target](b"\1" + data)  # imports what is imported at first use
    return fuzz(Run(args.target, args.seconds, args.crashers), args.seed, guided=guided)


if __name__ == "__main__":
    sys.exit(main())
