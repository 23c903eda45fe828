"""The runs that were performed: a compressed file for each corpus.

A run has a summary and, by part of the corpus and way of reading, the counts of each document
behind its scores (`spacy_btl.scoring.counts`). A file contains, compressed by xz: the length of a
header in 8 bytes, the header (JSON: summaries, labels, documents, and their gold counts, which are
the same in all runs), and the other counts as numbers of 4 bytes, little-endian. Adjacent numbers
are of one label in the documents of a part: they take a sixth of what JSON under gzip took.
"""

import json
import lzma
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from experiments.plan import Run
from spacy_btl.scoring.counts import DocumentCounts
from spacy_btl.scoring.scores import NO_LABEL
from spacy_btl.util.files import write_file

Parts = dict[str, dict[str, dict[str, DocumentCounts]]]
"""Counts by part of the corpus, way of reading and name of the document."""

KINDS = ("spans", "tokens")
NUMBER = np.dtype("<u4")


@dataclass
class Corpus:
    """The content of the file of a corpus, by the rest of the run's key (encoder/arm/seed)."""

    summaries: dict[str, dict[str, Any]] = field(default_factory=dict)
    counts: dict[str, Parts] = field(default_factory=dict)


class Store:
    """The runs in a folder.

    Args:
        folder: Has a file ``<corpus>.xz`` for each corpus; it need not exist yet.

    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def summary(self, run: Run) -> dict[str, Any] | None:
        """Return the summary of a run, None if it is not there."""
        return deepcopy(self._read(run.corpus).summaries.get(_name(run)))

    def counts(self, run: Run, part: str) -> dict[str, dict[str, DocumentCounts]]:
        """Return the counts of each document of a part, by the way of reading.

        Raises:
            KeyError: The run is not there.

        """
        return self._read(run.corpus).counts[_name(run)][part]

    def add(self, run: Run, summary: dict[str, Any], counts: Parts) -> None:
        """Add a run, or replace it; processes may do so side by side."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / ".lock"):
            path = self._path(run.corpus)
            old = decode(path.read_bytes()) if path.is_file() else Corpus()
            new = Corpus({**old.summaries, _name(run): summary}, {**old.counts, _name(run): counts})
            write_file(path, encode(new))

    def _path(self, corpus: str) -> Path:
        return self.folder / f"{corpus}.xz"

    def _read(self, corpus: str) -> Corpus:
        path = self._path(corpus)
        if not path.is_file():
            return Corpus()
        state = path.stat()
        return _decoded(path, (state.st_mtime_ns, state.st_ino, state.st_size))


def encode(corpus: Corpus) -> bytes:
    """Return the content of a file; the same runs give the same bytes, whatever their order."""
    names = sorted(corpus.summaries)
    every = [each for name in names for _, _, each in _readings(corpus.counts[name])]
    labels = sorted({a for each in every for d in each.values() for k in KINDS for a in d[k]})
    gold: dict[str, list[list[int]]] = {}
    for each in every:
        for document, counts in each.items():
            own = [[counts[kind].get(label, (0,))[0] for label in labels] for kind in KINDS]
            if gold.setdefault(document, own) != own:
                raise ValueError(f"document {document} has other gold counts in another run")
    header = {
        "summaries": {name: corpus.summaries[name] for name in names},
        "labels": labels,
        "documents": list(gold),
        "gold": list(gold.values()),
        "pairs": next((list(d["pairs"]) for each in every for d in each.values()), []),
        "readings": {
            name: {part: [list(ways), _numbers(ways, gold)] for part, ways in parts.items()}
            for name in names
            for parts in [corpus.counts[name]]
        },
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    arrays = b"".join(_to_array(each, labels).tobytes() for each in every)
    data = len(text).to_bytes(8, "little") + text + arrays
    return lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)


def decode(data: bytes) -> Corpus:
    """Return what `encode` was given."""
    plain = lzma.decompress(data)
    start = 8 + int.from_bytes(plain[:8], "little")
    header = json.loads(plain[8:start])
    numbers = np.frombuffer(plain, dtype=NUMBER, offset=start)
    gold = dict(zip(header["documents"], header["gold"], strict=True))
    found = Corpus(header["summaries"])
    for name, parts in header["readings"].items():
        found.counts[name] = {}
        for part, (ways, indices) in parts.items():
            documents = [header["documents"][i] for i in indices]
            found.counts[name][part] = {}
            for way in ways:
                n = len(documents) * (4 * len(header["labels"]) + len(header["pairs"]))
                found.counts[name][part][way] = _from_array(numbers[:n], documents, gold, header)
                numbers = numbers[n:]
    return found


@lru_cache(maxsize=16)
def _decoded(path: Path, state: tuple[int, ...]) -> Corpus:
    return decode(path.read_bytes())


def _name(run: Run) -> str:
    return run.key.partition("/")[2]


def _readings(parts: Parts) -> Iterator[tuple[str, str, dict[str, DocumentCounts]]]:
    for part, ways in parts.items():
        for way, documents in ways.items():
            yield part, way, documents


def _numbers(ways: Mapping[str, Mapping[str, Any]], gold: Mapping[str, Any]) -> list[int]:
    """Return the documents of a part by their place among all; every way has the same."""
    first, *others = [list(documents) for documents in ways.values()] or [[]]
    if any(other != first for other in others):
        raise ValueError("the ways of reading a part have other documents, or in another order")
    places = {document: i for i, document in enumerate(gold)}
    return [places[document] for document in first]


def _to_array(
    documents: Mapping[str, DocumentCounts], labels: list[str]
) -> npt.NDArray[np.unsignedinteger]:
    """Return predicted and correct spans and tokens by label, then the pairs, by document."""
    rows = [
        [
            counts[kind].get(label, (0, 0, 0))[which]
            for kind in KINDS
            for which in (1, 2)
            for label in labels
        ]
        + list(counts["pairs"].values())
        for counts in documents.values()
    ]
    return np.array(rows, dtype=NUMBER).T


def _from_array(
    numbers: npt.NDArray[np.unsignedinteger],
    documents: list[str],
    gold: Mapping[str, list[list[int]]],
    header: Mapping[str, Any],
) -> dict[str, DocumentCounts]:
    labels, pairs = header["labels"], header["pairs"]
    rows = numbers.reshape(-1, len(documents)).T.tolist()
    found: dict[str, DocumentCounts] = {}
    for document, row in zip(documents, rows, strict=True):
        own: DocumentCounts = {}
        for i, kind in enumerate(KINDS):
            first = 2 * i * len(labels)
            predicted, correct = row[first : first + len(labels)], row[first + len(labels) :]
            own[kind] = {
                label: [n_gold, n_predicted, n_correct]
                for label, n_gold, n_predicted, n_correct in zip(
                    labels, gold[document][i], predicted, correct, strict=False
                )
                if n_gold or n_predicted or (kind, label) == ("tokens", NO_LABEL)
            }
        own["pairs"] = dict(zip(pairs, row[4 * len(labels) :], strict=True))
        found[document] = own
    return found
