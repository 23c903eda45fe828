"""Score a pipeline on annotated documents: figures, their spread, and the machine behind them."""

import os
import platform
import time
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from spacy.language import Language
from spacy.training import Example
from tqdm import tqdm

from ..data.docbin import read_docbin
from ..data.gold import GOLD_KEY, heading_of
from ..pipeline.component import BtlKnnNer
from ..pipeline.entities import read_scores
from ..scoring.matching import Match, confusion, count_kinds, count_kinds_by_type, match_entities
from ..scoring.reliability import reliability_figures
from ..scoring.scorer import ExampleEntities, entity_of, example_entities
from ..scoring.summary import score_documents, score_intervals

PACKAGES = ("spacy-btl", "spacy", "spacy-transformers", "torch", "transformers", "scikit-learn")


class MatchedDocument(NamedTuple):
    """A document and what became of each of its entities. It holds the text."""

    name: str
    text: str
    matches: list[Match]


def read_examples(path: Path, nlp: Language) -> list[Example]:
    """Gold documents of a DocBin beside unannotated ones on the tokens of ``nlp``.

    Raises what `read_docbin` does.
    """
    return [Example(nlp.make_doc(doc.text), doc) for doc in read_docbin(path, nlp.vocab)]


def evaluate(nlp: Language, examples: list[Example], *, seed: int = 0) -> dict[str, Any]:
    """All figures of the scorer on these documents, as JSON values.

    Entities are those of ``doc.ents``, or of ``doc.spans`` where a component writes overlapping
    ones there.

    Beside the ``scores``: their ``intervals`` (95 %, bootstrap over documents), ``errors``
    (entities by `scoring.matching.KINDS`), ``errors_by_type``, ``confusion`` of types,
    ``reliability`` of the scores of entities, of calibrated ones and others
    (`scoring.reliability.reliability_figures`), ``documents``, ``tokens``, ``gold_entities``,
    ``predicted_entities``, ``heading`` (that a report must carry), ``seconds`` of prediction,
    ``updates`` behind the weights by component, ``machine`` and ``versions``. ``by_document`` lists
    ``name``, ``counts`` (`scoring.counts.document_counts`) and ``errors``. No text of a document
    is in any of them. The predictions stay in ``examples``.
    """
    start = time.monotonic()
    docs = nlp.pipe([example.predicted for example in examples])
    for example, doc in zip(
        examples, tqdm(docs, desc="predict", unit=" docs", total=len(examples)), strict=True
    ):
        example.predicted = doc
    seconds = time.monotonic() - start
    key = _spans_key(nlp)
    entities = [example_entities(example, key) for example in examples]
    counts = [each.counts() for each in entities]
    matched = _match(examples, entities)
    together = [match for document in matched for match in document.matches]
    return {
        "heading": heading_of(example.reference for example in examples),
        "scores": score_documents(counts),
        "intervals": score_intervals(counts, seed=seed),
        "errors": count_kinds(together),
        "errors_by_type": count_kinds_by_type(together),
        "reliability": _reliability(examples, entities),
        "confusion": confusion(together),
        "documents": len(examples),
        "tokens": sum(len(example.predicted) for example in examples),
        "gold_entities": sum(len(each.gold) for each in entities),
        "predicted_entities": sum(len(each.judged) for each in entities),
        "seconds": round(seconds, 2),
        "updates": {
            name: pipe.state.updates for name, pipe in nlp.pipeline if isinstance(pipe, BtlKnnNer)
        },
        "machine": {
            "cpus": os.cpu_count(),
            "memory_gib": _memory_gib(),
            "processor": platform.machine(),
            "python": platform.python_version(),
        },
        "versions": {name: version(name) for name in PACKAGES},
        "by_document": [
            {"name": document.name, "counts": own, "errors": count_kinds(document.matches)}
            for document, own in zip(matched, counts, strict=True)
        ],
    }


def matched_documents(nlp: Language, examples: Sequence[Example]) -> list[MatchedDocument]:
    """The documents with their text, gold and predicted entities, after `evaluate`."""
    key = _spans_key(nlp)
    return _match(examples, [example_entities(example, key) for example in examples])


def _match(
    examples: Sequence[Example], entities: Sequence[ExampleEntities]
) -> list[MatchedDocument]:
    return [
        MatchedDocument(
            example.reference.user_data.get(GOLD_KEY, {}).get("name", ""),
            example.predicted.text,
            match_entities(own.gold, own.judged),
        )
        for example, own in zip(examples, entities, strict=True)
    ]


def label_counts(path: Path, nlp: Language) -> dict[str, int]:
    """Entities of each label in ``doc.ents`` of a DocBin, such as the one trained on."""
    docs = read_docbin(path, nlp.vocab)
    return dict(Counter(ent.label_ for doc in docs for ent in doc.ents).most_common())


def _spans_key(nlp: Language) -> str | None:
    """Where a component writes overlapping entities; None where all are in ``doc.ents``."""
    keys = [getattr(pipe, "spans_key", None) for _, pipe in nlp.pipeline]
    return next((key for key in keys if key is not None), None)


def _reliability(
    examples: Sequence[Example], entities: Sequence[ExampleEntities]
) -> dict[str, Any]:
    """By "calibrated" and "not calibrated", as far as there are such scores."""
    outcomes: dict[bool, list[tuple[float, bool]]] = {True: [], False: []}
    for example, own in zip(examples, entities, strict=True):
        gold, predicted = set(own.gold), set(own.judged)
        of_entity = {}
        for group in example.predicted.spans.values():
            for span, score, calibrated in zip(*(read_scores(group) or ([], [], [])), strict=True):
                of_entity[entity_of(span)] = float(score), bool(calibrated)
        for entity, (score, calibrated) in of_entity.items():
            if entity in predicted:
                outcomes[calibrated].append((score, entity in gold))
    names = {True: "calibrated", False: "not calibrated"}
    return {
        names[which]: reliability_figures([s for s, _ in pairs], [c for _, c in pairs])
        for which, pairs in outcomes.items()
        if pairs
    }


def _memory_gib() -> float | None:
    """Memory of the machine, None where the system does not tell."""
    try:
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
    return float(np.round(pages / 2**30, 1))
