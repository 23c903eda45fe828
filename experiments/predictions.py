"""Entities that a trained pipeline predicts, read in each way that it can be read."""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import srsly
from spacy.language import Language
from spacy.training import Example

from experiments.documents import name_of
from spacy_btl.evaluation.evaluate import read_examples
from spacy_btl.labels.bio import labels_to_spans
from spacy_btl.pipeline.component import BtlKnnNer, component_of
from spacy_btl.pipeline.entities import ScoredSpans
from spacy_btl.pipeline.tuning import Dev, Setting, best, grid
from spacy_btl.scoring.scorer import predicted_entities
from spacy_btl.util.files import write_file

Entities = list[tuple[str, tuple[tuple[int, int], ...]]]
Predictions = dict[str, Any]
"""``{"settings": {way: setting}, "seconds": {way: seconds for 1,000 words}, "dev": {way: {document:
entities}}, "test": the same}``"""

SEVENTEEN = Setting(17, "uniform", 1.0, 1.0)
ALONE = SEVENTEEN._replace(neighbor_weight=0.0)


def predict(nlp: Language, corpus: Path, train: str = "train.spacy") -> Predictions:
    """Return entities on dev and test: of a component of ours in four ways, else as they are.

    argmax: the most probable label of each word by the model alone, read as BIO the lenient way (an
    I after another type begins an entity). All others take the most probable of the
    well-formed label sequences, as the component does. model: by the model alone. neighbors: by 17
    neighbors, a vote each. mixed: by both, with the votes and the share of the neighbors that do
    best on dev. The neighbors are the tokens of ``train``.
    """
    examples = {part: read_examples(corpus / f"{part}.spacy", nlp) for part in ("dev", "test")}
    if not any(isinstance(pipe, BtlKnnNer) for _, pipe in nlp.pipeline):
        return {
            "settings": {"model": {}},
            "seconds": {"model": seconds_per_1000_words(nlp, examples["test"])},
            **{part: {"model": _as_they_are(nlp, each)} for part, each in examples.items()},
        }
    pipe = component_of(nlp)
    seconds = {"model": seconds_per_1000_words(nlp, examples["test"])}
    pipe.fit_neighbors(read_examples(corpus / train, nlp))
    seconds["neighbors"] = seconds_per_1000_words(nlp, examples["test"])
    settings = grid(SEVENTEEN)
    most = max(setting.n_neighbors for setting in settings)
    parts = {part: Dev(pipe, each, most=most) for part, each in examples.items()}
    mixed = [setting for setting in settings if 0 < setting.neighbor_weight < 1]
    ways = {
        "model": ALONE,
        "neighbors": SEVENTEEN,
        "mixed": best(map(parts["dev"].trial, mixed)).setting,
    }
    found = {
        part: {
            "argmax": _argmax(examples[part], each.probabilities(ALONE), pipe.labels),
            **{way: _by_document(examples[part], each.find(s)) for way, s in ways.items()},
        }
        for part, each in parts.items()
    }
    chosen = {"argmax": ALONE, **ways}
    settings_of = {way: setting._asdict() for way, setting in chosen.items()}
    return {"settings": settings_of, "seconds": seconds, **found}


def seconds_per_1000_words(nlp: Language, examples: list[Example]) -> float:
    """Return the median seconds of three runs for 1,000 words, without tokenization."""
    words, spent = sum(len(example.predicted) for example in examples), []
    for _ in range(4):
        docs = [nlp.make_doc(example.text) for example in examples]
        start = time.perf_counter()
        for _doc in nlp.pipe(docs):
            pass
        spent.append(time.perf_counter() - start)
    return 1000 * median(spent[1:]) / words  # the first warms caches


def _as_they_are(nlp: Language, examples: list[Example]) -> dict[str, Entities]:
    names = [name_of(example.reference) for example in examples]
    docs = nlp.pipe([example.predicted for example in examples])
    return dict(zip(names, map(predicted_entities, docs), strict=True))


def _argmax(
    examples: list[Example], probabilities: Iterable[Any], types: Sequence[str]
) -> dict[str, Entities]:
    found = {}
    for example, values in zip(examples, probabilities, strict=True):
        words = [token for token in example.predicted if not token.is_space]
        labels = values[[token.i for token in words]].argmax(axis=1)
        found[name_of(example.reference)] = [
            (types[kind], ((words[start].idx, words[end - 1].idx + len(words[end - 1])),))
            for start, end, kind in labels_to_spans(labels)
        ]
    return found


def _by_document(examples: list[Example], found: list[ScoredSpans]) -> dict[str, Entities]:
    return {
        name_of(example.reference): each.entities
        for example, each in zip(examples, found, strict=True)
    }


def write(predictions: Predictions, path: Path) -> None:
    """Write them as JSON: no text, only labels and offsets."""
    write_file(path, srsly.json_dumps(predictions))
