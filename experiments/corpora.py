"""Splits of the corpora by document: ten parts of alike types, two of them to test on."""

import os
import re
from collections import defaultdict
from hashlib import sha256
from pathlib import Path
from typing import Any

from spacy.tokens import Doc, DocBin

from experiments.documents import name_of, read_docs
from experiments.subtypes import relabel
from spacy_btl.conversion.convert import read_brat
from spacy_btl.conversion.reading import Reading
from spacy_btl.data.duplicates import duplicates_of, joining
from spacy_btl.data.split import join_sets, split_documents

PARTS = 10
SEED = 0
"""Of the parts, the same for all runs: a run's seed says which of them it tests on."""

VARIED = ("train_documents", "n_types")
"""Settings that make a corpus a point of a curve, see ``curves.py``."""


def prepare(settings: dict[str, Any], source: Path, work: Path, seed: int) -> Path:
    """Return the folder with train, dev and test.spacy of a run's seed, made where it is missing.

    settings: ``folder`` below ``source``; ``group``, a regular expression whose match in a name is
    what documents that belong together have in common, so that they stay in one part, as do
    documents of one text (``duplicates: anywhere`` deals those out as in older runs). Five seeds
    test on all documents once: with seed s, the parts 2s and 2s + 1 (of ten) are the test part and
    the one after them is dev.

    ``train_documents`` takes so many of the training documents, by a hash of their names: those of
    a smaller number are among those of a greater. Nothing is done to keep rare types, as somebody
    who annotates ten reports cannot choose what is in them. ``n_types`` makes so many types of
    those that there are (``subtypes.py``). Neither changes which documents are dev and test.
    """
    target = work / str(seed)
    if (target / "test.spacy").is_file():
        return target
    whole = work / "all.spacy"
    if not whole.is_file():
        docs, _ = read_brat(source / settings["folder"])
        work.mkdir(parents=True, exist_ok=True)
        _write(docs, whole)
    docs = read_docs(whole)
    together = settings.get("duplicates", "together") == "together"
    parts = _parts(docs, settings.get("group", ".*"), together=together)
    first = 2 * seed % PARTS
    test = {first, first + 1}
    dev = {(first + 2) % PARTS}
    members: dict[str, list[Doc]] = {
        "train": [doc for i, part in enumerate(parts) if i not in test | dev for doc in part],
        "dev": [doc for i in sorted(dev) for doc in parts[i]],
        "test": [doc for i in sorted(test) for doc in parts[i]],
    }
    if "train_documents" in settings:
        members["train"] = _some(members["train"], settings["train_documents"])
    if "n_types" in settings:
        relabel(docs, settings["n_types"])
    target.mkdir(parents=True, exist_ok=True)
    for name, part in members.items():
        _write(part, target / f"{name}.spacy")
    return target


def prepare_source(settings: dict[str, Any], source: Path, work: Path) -> Path:
    """Return the DocBin of all documents of another corpus, made where it is missing.

    settings: ``path`` below ``source``; ``names``, the new names of its types, "" to leave one out.
    """
    path = work / "all.spacy"
    if not path.is_file():
        reading = Reading(label_map=settings.get("names", {}))
        docs, _ = read_brat(source / settings["path"], reading=reading)
        work.mkdir(parents=True, exist_ok=True)
        _write(docs, path)
    return path


def _write(docs: list[Doc], path: Path) -> None:
    """Write documents whole or not at all: runs side by side make and read the same files."""
    partial = path.with_suffix(f".{os.getpid()}.part")
    DocBin(docs=docs, store_user_data=True).to_disk(partial)
    partial.replace(path)


def _some(docs: list[Doc], n: int) -> list[Doc]:
    """Return the first n in the order of a hash of their names."""
    if n > len(docs):
        raise ValueError(f"train_documents: {n} are asked for, and {len(docs)} are there")
    return sorted(docs, key=lambda doc: sha256(name_of(doc).encode()).digest())[:n]


def _parts(docs: list[Doc], group: str, *, together: bool) -> list[list[Doc]]:
    """Return the documents of each part, in the order of their names."""
    groups: dict[str, list[Doc]] = defaultdict(list)
    key_of: dict[str, str] = {}
    for doc in sorted(docs, key=name_of):
        match = re.search(group, name_of(doc))
        key_of[name_of(doc)] = key = match.group() if match else name_of(doc)
        groups[key].append(doc)
    if together:
        grouped = len(groups) < len(docs)
        alike = joining(duplicates_of(docs), grouped=grouped)
        same = [[key_of[name] for name in names] for names in alike]
        joined = join_sets(sorted(groups), same)
        groups = {keys[0]: [doc for key in keys for doc in groups[key]] for keys in joined}
    types = {
        name: [ent.label_ for doc in each for ent in doc.ents] for name, each in groups.items()
    }
    names = split_documents(types, [1 / PARTS] * PARTS, SEED)
    return [[doc for name in part for doc in groups[name]] for part in names]
