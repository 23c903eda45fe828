"""Score a run, and add it to the store: a summary, and the counts of each document."""

import os
import platform
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import srsly
from spacy.tokens import Doc

from experiments.documents import name_of, read_docs
from experiments.plan import Plan, Run
from experiments.store import Store
from experiments.subtypes import endings
from spacy_btl.evaluation.evaluate import PACKAGES
from spacy_btl.ml.pretrained import find_encoder
from spacy_btl.scoring.counts import DocumentCounts, document_counts
from spacy_btl.scoring.scorer import gold_entities
from spacy_btl.scoring.summary import score_documents

PARTS = ("dev", "test")
SHOWN = ("ents_f", "ents_macro_f", "ents_p", "ents_r", "token_macro_r", "token_macro_f")


def write_record(plan: Plan, run: Run, corpus: Path, work: Path, store: Store) -> None:
    """Score the predictions in ``work`` and add the run to the store."""
    found = srsly.read_json(work / "predictions.json")
    counts = {part: _counts(corpus / f"{part}.spacy", found[part]) for part in PARTS}
    log = list(srsly.read_jsonl(work / "log.jsonl"))
    sizes = {part: len(next(iter(counts[part].values()))) for part in PARTS}
    curve = log
    if plan.arms[run.arm].get("with_dev"):
        # Dev was seen: its scores say nothing, nor does what it chooses.
        counts, curve = {"dev": {}, "test": {"model": counts["test"]["model"]}}, []
    spent = srsly.read_json(work / "trained.json")
    summary = {
        "run": {**vars(run), "title": plan.arms[run.arm]["title"]},
        "settings": plan.settings(run),
        **({"stages": stages} if (stages := plan.stages(run)) else {}),
        "config": _config(plan, run, corpus, work),
        "updates": log[-1]["updates"],
        "seconds": spent["seconds"],
        "peak_mib": spent.get("peak_mib"),
        "documents": sizes,
        "training": _training(corpus),
        "on_dev_while_training": [
            {key: round(row[key], 4) for key in ("updates", "seconds", "ents_f", "ents_macro_f")}
            for row in curve
        ],
        "read": found["settings"],
        "seconds_per_1000_words": {
            way: round(value, 4) for way, value in found.get("seconds", {}).items()
        },
        "scores": {part: {w: _scores(each) for w, each in counts[part].items()} for part in PARTS},
        "machine": {"cpus": os.cpu_count(), "processor": platform.machine()},
        "versions": {name: version(name) for name in PACKAGES},
    }
    store.add(run, summary, counts)


def _training(corpus: Path) -> dict[str, float]:
    """Return the training part's size, and the share of test entities known from it."""
    train, test = (read_docs(corpus / f"{part}.spacy") for part in ("train", "test"))
    known = {ending for doc in train for ending in endings(doc).values()}
    asked = [ending for doc in test for ending in endings(doc).values()]
    return {
        "documents": len(train),
        "entities": sum(len(doc.ents) for doc in train),
        "types": len({ent.label_ for doc in train for ent in doc.ents}),
        "known_endings": round(sum(ending in known for ending in asked) / max(len(asked), 1), 4),
    }


def _config(plan: Plan, run: Run, corpus: Path, work: Path) -> list[str]:
    """Return lines of the configuration, folders of this machine by what they hold.

    Of a script: its name, and what it requires.
    """
    if "script" in (arm := plan.arms[run.arm]):
        return [arm["script"], *arm.get("requirements", [])]
    text = (work / "config.cfg").read_text(encoding="utf8")
    encoder = {**plan.encoders[run.encoder]["with"], **arm.get("with", {})}["encoder"]
    folders = {str(corpus): "corpus", str(work): "work", str(work.parents[3]): "training"}
    if isinstance(encoder, str):
        folders[find_encoder(encoder)] = encoder
    for folder, name in folders.items():
        text = text.replace(folder, name)
    return text.splitlines()


def _counts(data: Path, ways: dict[str, Any]) -> dict[str, dict[str, DocumentCounts]]:
    docs = read_docs(data)
    return {
        way: {
            name_of(doc): document_counts(
                gold_entities(doc), _entities(found[name_of(doc)]), _tokens(doc)
            )
            for doc in docs
        }
        for way, found in ways.items()
    }


def _entities(values: Iterable[Any]) -> list[Any]:
    return [(label, tuple((start, end) for start, end in fragments)) for label, fragments in values]


def _tokens(doc: Doc) -> list[tuple[int, int]]:
    return [(token.idx, token.idx + len(token)) for token in doc if not token.is_space]


def _scores(documents: dict[str, DocumentCounts]) -> dict[str, float]:
    scores = score_documents(list(documents.values()))
    return {key: round(scores[key], 4) for key in SHOWN}
