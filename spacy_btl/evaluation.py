"""Score a pipeline on annotated documents: figures, their spread, and the machine behind them."""

import os
import platform
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from spacy.language import Language
from spacy.tokens import DocBin
from spacy.training import Example
from tqdm import tqdm

from .docbin import heading_of
from .scorer import gold_entities, predicted_entities, score_ner
from .scores import bootstrap_intervals

PACKAGES = ("spacy-btl", "spacy", "spacy-transformers", "torch", "transformers", "scikit-learn")


def read_examples(path: Path, nlp: Language) -> list[Example]:
    """Gold documents of a DocBin beside unannotated ones on the tokens of ``nlp``.

    Raises FileNotFoundError where there is no such file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no DocBin {path}; python -m spacy btl convert writes one")
    docs = DocBin().from_disk(path).get_docs(nlp.vocab)
    return [Example(nlp.make_doc(doc.text), doc) for doc in docs]


def evaluate(nlp: Language, examples: list[Example], *, seed: int = 0) -> dict[str, Any]:
    """All figures of the scorer on these documents, as JSON values.

    Entities are those of ``doc.ents``, or of ``doc.spans`` where a component writes overlapping
    ones there.

    Beside the scores: ``intervals`` (95 %, bootstrap over documents), ``documents``, ``tokens``,
    ``gold_entities``, ``predicted_entities``, ``heading`` (that a report must carry), ``seconds``
    of prediction, ``updates`` behind the weights by component, ``machine`` and ``versions``.
    """
    start = time.monotonic()
    docs = nlp.pipe([example.predicted for example in examples])
    for example, doc in zip(
        examples, tqdm(docs, desc="predict", unit=" docs", total=len(examples)), strict=True
    ):
        example.predicted = doc
    seconds = time.monotonic() - start
    keys = [getattr(pipe, "spans_key", None) for _, pipe in nlp.pipeline]
    key = next((key for key in keys if key is not None), None)
    gold = [gold_entities(example.reference, key) for example in examples]
    predicted = [predicted_entities(example.predicted, key) for example in examples]
    return {
        "heading": heading_of(example.reference for example in examples),
        "scores": score_ner(examples, spans_key=key),
        "intervals": bootstrap_intervals(gold, predicted, seed=seed),
        "documents": len(examples),
        "tokens": sum(len(example.predicted) for example in examples),
        "gold_entities": sum(map(len, gold)),
        "predicted_entities": sum(map(len, predicted)),
        "seconds": round(seconds, 2),
        "updates": {
            name: cfg["updates"]
            for name, pipe in nlp.pipeline
            if "updates" in (cfg := getattr(pipe, "cfg", {}))
        },
        "machine": {
            "cpus": os.cpu_count(),
            "memory_gib": _memory_gib(),
            "processor": platform.machine(),
            "python": platform.python_version(),
        },
        "versions": {name: version(name) for name in PACKAGES},
    }


def label_counts(path: Path, nlp: Language) -> dict[str, int]:
    """Entities of each label in ``doc.ents`` of a DocBin, such as the one trained on."""
    docs = DocBin().from_disk(path).get_docs(nlp.vocab)
    return dict(Counter(ent.label_ for doc in docs for ent in doc.ents).most_common())


def _memory_gib() -> float | None:
    """Memory of the machine, None where the system does not tell."""
    try:
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
    return float(np.round(pages / 2**30, 1))
