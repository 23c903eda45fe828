"""Predictions for documents by models that have not seen them, and the nearest tokens in others.

Cross-fitted predictions are kept in a folder, a file for each fold, so that a fold is trained once:
probabilities, indices and places, no text. A file belongs to the documents, the configuration and
the settings that its key was made of; another one is made anew.
"""

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from spacy.language import Language
from spacy.tokens import Doc, Span, SpanGroup
from spacy.training import Example
from spacy.util import minibatch

from ..data.duplicates import LEAST_WORDS, find_duplicates
from ..data.gold import document_id, document_ids
from ..data.label_sets import label_set_of
from ..evaluation.cross_fitting import FoldPlan, plan_folds, train_fold
from ..neighbors.classifier import label_shares
from ..pipeline.component import BtlKnnNer, component_of
from ..pipeline.fitting import examples_for
from ..util.arrays import AnyArray, Bools2d, FloatsXd, Ints2d
from ..util.files import sha256_of, write_file

VERSION = "1"
"""Of the files and of what is in them."""

BATCH_SIZE = 32
"""Documents that are predicted together."""

SPARE = 4
"""How many times as many neighbors are looked up where those of the same document do not count."""


class TokenPrediction(NamedTuple):
    """Prediction for the tokens of a document by a model that has not seen it.

    Attributes:
        own: Label probabilities of the model, (n_tokens, 1 + 2 * n_types) or (n_tokens, n_types,
            3), as `BtlKnnNer.predict` gives them.
        votes: The same of the nearest tokens in other documents.
        nearest: (n_tokens, n_neighbors, 2) index of the document and first character of these
            tokens, the nearest first; -1 where there is none.
    """

    own: FloatsXd
    votes: FloatsXd
    nearest: AnyArray


def cross_fitted(
    nlp: Language,
    examples: Sequence[Example],
    folder: Path | None,
    *,
    n_folds: int = 3,
    max_steps: int = 0,
    labels: Sequence[str] | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> list[TokenPrediction]:
    """Return for each document what a model that was trained without it makes of its tokens.

    Documents of the same text, or nearly, are in one fold. The neighbors are the tokens that the
    model was trained on.

    Args:
        nlp: The pipeline, with one component ``btl_knn_ner``; it need not be trained.
        examples: Annotated documents.
        folder: Where the predictions of each fold are kept, and looked for; None to keep none.
        n_folds: Number of trainings.
        max_steps: Updates of each; 0 for the number in the configuration, reduced by the share of
            documents that are left out.
        labels: Entity types in the order of their columns; None for those of `cross_predict`.
        seed: For the folds and for each training.
        progress: Whether to show progress bars; None to show them in a terminal only.

    Raises:
        ValueError: As `plan_folds` and `pipeline.fitting.collect_keys`.
        OSError: If the folder cannot be written to.
    """
    plan = plan_folds(
        nlp,
        examples,
        n_folds=n_folds,
        max_steps=max_steps,
        labels=labels,
        seed=seed,
        names=_groups(examples),
    )
    key = _key(nlp, examples, plan)
    found: dict[int, TokenPrediction] = {}
    for number in range(n_folds):
        members = plan.members(number)
        path = folder and folder / f"fold-{number}.safetensors"
        kept = path and _read(path, key, len(members))
        if not kept:
            trained = train_fold(nlp, examples, plan, number, progress=progress)
            kept = _predict_fold(trained, examples, plan, number, progress)
            if path:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_file(path, _to_bytes(kept, key))
        found.update(zip(members, kept, strict=True))
    return [found[i] for i in range(len(examples))]


def predicted_by(
    nlp: Language, examples: Sequence[Example], *, progress: bool | None = None
) -> list[TokenPrediction]:
    """Return for each document what a pipeline that has not seen it makes of its tokens.

    The neighbors are the tokens of the other documents: those that the pipeline had are replaced.

    Args:
        nlp: A trained pipeline.
        examples: Annotated documents.
        progress: Whether to show progress bars; None to show them in a terminal only.

    Raises:
        ValueError: If the pipeline has neighbors of one of the documents: it has seen it.
    """
    pipe = component_of(nlp)
    check_unseen(pipe, _docs(examples))
    known = set(pipe.label_data)
    own = [
        Example(eg.predicted, _without_others(eg.reference, known, pipe.spans_key))
        for eg in examples
    ]
    read = _read_before(nlp, pipe, own)
    pipe.forget_neighbors()
    pipe.fit_neighbors(read, progress=progress)
    index = {name: i for i, name in enumerate(document_ids(_docs(own), pipe.spans_key))}
    return _predict(pipe, read, index, apart=True)


def check_unseen(pipe: BtlKnnNer, docs: Sequence[Doc]) -> None:
    """Raise ValueError if a component has neighbors of one of some documents.

    Documents without a name are known by a digest of their text. A pipeline without neighbors does
    not know what it was trained on.
    """
    store = pipe.neighbors.datastore
    known = set(store.documents) if store is not None else set()
    seen = [name for name in document_ids(docs, pipe.spans_key) if name in known]
    if seen:
        raise ValueError(
            f"the pipeline was trained on {len(seen)} of the {len(docs)} documents, such as "
            f"{seen[0]}: it repeats their annotation, errors included. Leave the pipeline out, so "
            "that each document is predicted by a training without it"
        )


def _without_others(reference: Doc, types: Collection[str], spans_key: str | None) -> Doc:
    """Return a document without entities of other types; nothing is known of their tokens."""
    spans = reference.ents if spans_key is None else reference.spans.get(spans_key, [])
    if all(span.label_ in types for span in spans):
        return reference
    copy = reference.copy()
    others = [span for span in copy.ents if span.label_ not in types]
    kept = [span for span in copy.ents if span.label_ in types]
    copy.set_ents(kept, missing=others, default="unmodified")
    if spans_key is not None:
        group = [span for span in copy.spans[spans_key] if span.label_ in types]
        copy.spans[spans_key] = SpanGroup(copy, name=spans_key, spans=group)
    return copy


def _docs(examples: Sequence[Example]) -> list[Doc]:
    return [example.reference for example in examples]


def _groups(examples: Sequence[Example]) -> list[str]:
    """Return a name for each document, the same for those of one text, or nearly."""
    names = [document_id(example.reference) for example in examples]
    first = {name: name for name in names}
    for group in find_duplicates([example.reference.text for example in examples]):
        if group.words < LEAST_WORDS:
            continue  # "No fever." of two reports is not a copy
        for member in group.members:
            first[names[member]] = first[names[group.members[0]]]
    return [first[name] for name in names]


def _key(nlp: Language, examples: Sequence[Example], plan: FoldPlan) -> str:
    """Return what the predictions of a fold depend on, as 64 hexadecimal digits."""
    pipe = component_of(nlp)
    settings = [VERSION, nlp.config.to_str(), plan.folds, plan.steps, plan.labels, plan.seed]
    documents = [
        [
            example.reference.text,
            [token.idx for token in example.predicted],
            [token.ent_iob for token in example.reference],
            [(span.start_char, span.end_char, span.label_) for span in _spans(pipe, example)],
            sorted(label_set_of(example.reference) or ()),
        ]
        for example in examples
    ]
    text = json.dumps([settings, documents])
    return sha256_of(text.encode("utf8", "surrogatepass"))


def _spans(pipe: BtlKnnNer, example: Example) -> Sequence[Span]:
    doc = example.reference
    return doc.ents if pipe.spans_key is None else list(doc.spans.get(pipe.spans_key, []))


def _predict_fold(
    trained: Language,
    examples: Sequence[Example],
    plan: FoldPlan,
    number: int,
    progress: bool | None,
) -> list[TokenPrediction]:
    """Return the predictions for the documents of a fold by a pipeline trained on all others."""
    pipe = component_of(trained)
    rest = plan.members(number, inside=False)
    ids = document_ids([examples[i].reference for i in rest], pipe.spans_key)
    own = _read_before(trained, pipe, [examples[i] for i in rest])
    pipe.fit_neighbors(own, progress=progress)
    held_out = _read_before(trained, pipe, [examples[i] for i in plan.members(number)])
    return _predict(pipe, held_out, dict(zip(ids, rest, strict=True)))


def _read_before(nlp: Language, pipe: BtlKnnNer, examples: Sequence[Example]) -> list[Example]:
    raw = [Example(nlp.tokenizer(eg.reference.text), eg.reference) for eg in examples]
    return examples_for(nlp, pipe, raw)


def _predict(
    pipe: BtlKnnNer, examples: Sequence[Example], index: dict[str, int], *, apart: bool = False
) -> list[TokenPrediction]:
    """Return the predictions of a component with neighbors.

    Args:
        pipe: The component.
        examples: Documents that all components before ours have read.
        index: The numbers of the documents of neighbors.
        apart: Whether the examples are these documents, in their order, and no token has neighbors
            of its own one.
    """
    store = pipe.neighbors.datastore
    assert store is not None
    numbers = np.array([index.get(name, -1) for name in store.documents], dtype=np.int32)
    k = int(pipe.neighbors.settings.get("n_neighbors", 17))
    found: list[TokenPrediction] = []
    for batch in minibatch(examples, BATCH_SIZE):  # type: ignore[no-untyped-call]
        docs = [example.predicted for example in batch]
        logits, keys = pipe.token_vectors(docs)
        own = pipe.model_probabilities(docs, logits)
        ends = np.cumsum([len(doc) for doc in docs])[:-1]
        for doc_own, doc_keys in zip(np.split(own, ends), np.split(keys, ends), strict=True):
            distances, nearest = pipe.neighbors.kneighbors(doc_keys, k * SPARE if apart else k)
            documents = numbers[store.document_of_key[nearest]]
            own_document = len(found) if apart else -2
            order = _first(documents != own_document, k)
            rows = np.arange(len(order))[:, None]
            nearest, documents = nearest[rows, order], documents[rows, order]
            counts = documents != own_document
            documents = np.where(counts, documents, -1)
            weights = pipe.neighbors.weigh(distances[rows, order]) * counts
            weights /= np.maximum(weights.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
            shares = label_shares(store.labels[nearest], weights, len(store.label_names))
            places = np.stack([documents, store.offsets[nearest].astype(np.int32)], axis=2)
            votes = pipe.mixed(None, shares, 1.0)
            found.append(TokenPrediction(doc_own, np.asarray(votes, np.float16), places))
    return found


def _first(kept: Bools2d, k: int) -> Ints2d:
    """Return the first ``k`` columns of each row that are kept; others follow if there are fewer.

    Args:
        kept: (n_tokens, n)
        k: Columns of the result.
    """
    return np.argsort(~kept, axis=1, kind="stable")[:, :k]


def _to_bytes(found: Sequence[TokenPrediction], key: str) -> bytes:
    arrays = {
        f"{name}.{i}": np.ascontiguousarray(array)
        for i, each in enumerate(found)
        for name, array in each._asdict().items()
    }
    return save(arrays, metadata={"key": key})


def _read(path: Path, key: str, n_documents: int) -> list[TokenPrediction] | None:
    """Return the predictions in a file; None if there is no such file, or one of another key."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            if (file.metadata() or {}).get("key") != key:
                return None
            names = TokenPrediction._fields
            return [
                TokenPrediction(*(file.get_tensor(f"{name}.{i}") for name in names))
                for i in range(n_documents)
            ]
    except (SafetensorError, OSError):
        return None  # cut short or damaged: the fold is trained anew
