"""Fill a component's neighbours from annotated documents, and change them afterwards."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from spacy import util
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import fix_random_seed, set_dropout_rate
from tqdm import tqdm

from .contradiction import contradicted
from .datastore import Datastore
from .labels import MISSING
from .layers import ROW_SEPARATOR
from .listeners import has_listener
from .prediction import NeighborNer
from .scorer import GOLD_KEY

Array = Any


class TokenKeys(NamedTuple):
    """Keys of all tokens of some documents, with what the annotation says of them."""

    keys: Array
    """(n_tokens, width)"""
    gold: Array
    """Gold labels as the reading has them; first axis n_tokens."""
    documents: list[str]
    """Id of each token's document."""
    offsets: Array
    """(n_tokens,) where each token starts, in characters."""


class Edit(NamedTuple):
    """How many neighbours came, how many went."""

    added: int
    removed: int


def document_id(doc: Doc) -> str:
    """The name that the conversion gave a document; else a digest of its text."""
    name = doc.user_data.get(GOLD_KEY, {}).get("name") or doc.user_data.get("name")
    return str(name or hashlib.sha256(doc.text.encode("utf8", "surrogatepass")).hexdigest()[:16])


def examples_for(nlp: Language, pipe: NeighborNer, examples: Sequence[Example]) -> list[Example]:
    """The examples with predictions as the component meets them: all before it have read them.

    The component looks its shared encoder up in this pipeline from now on.
    """
    pipe.join(nlp)
    examples = list(examples)
    docs = [example.predicted for example in examples]
    for _, proc in nlp.pipeline:
        if proc is pipe:
            break
        docs = list(proc.pipe(docs)) if hasattr(proc, "pipe") else [proc(doc) for doc in docs]
    return [Example(doc, example.reference) for doc, example in zip(docs, examples, strict=True)]


def collect_keys(
    pipe: NeighborNer,
    examples: Sequence[Example],
    *,
    types: Sequence[str],
    dropout: float = 0.0,
    passes: int = 1,
    batch_size: int = 32,
    seed: int = 0,
    progress: bool = False,
) -> TokenKeys:
    """Keys and gold labels of all tokens of the examples, batch by batch.

    types: entity types of the labels. dropout: rate under which the keys are made; with one, each
    of several ``passes`` gives a token another key. Raises ValueError where there is no document or
    no pass, and for dropout with a shared encoder, which is out of its reach.
    """
    if not examples:
        raise ValueError("no document to fit the neighbours on")
    if passes < 1:
        raise ValueError(f"a token gets its keys in at least one pass, not in {passes}")
    if dropout and has_listener(pipe.model):
        raise ValueError(
            f'"{pipe.name}" takes the token vectors of a shared encoder, which runs without '
            "dropout here: fit the neighbours without it, or after nlp.replace_listeners"
        )
    keys, gold, documents, offsets = [], [], [], []
    if dropout:
        fix_random_seed(seed)
    shown = tqdm(
        total=len(examples) * passes, desc="neighbours", unit=" docs", disable=not progress
    )
    # Pass by pass: no batch holds a document twice, which spacy-transformers would mix up.
    minibatch: Any = util.minibatch
    for batch in chain.from_iterable(minibatch(examples, batch_size) for _ in range(passes)):
        docs = [example.predicted for example in batch]
        keys.append(_keys_with_dropout(pipe, docs, dropout) if dropout else _keys(pipe, docs))
        gold.append(pipe.gold(batch, types))
        for example in batch:
            documents += [document_id(example.reference)] * len(example.predicted)
            offsets += [token.idx for token in example.predicted]
        shown.update(len(batch))
    shown.close()
    return TokenKeys(np.concatenate(keys), np.concatenate(gold), documents, np.array(offsets))


def to_datastore(pipe: NeighborNer, tokens: TokenKeys) -> Datastore:
    """A new datastore of the labelled ones among these tokens.

    Raises ValueError where no token has a label.
    """
    if (fingerprint := pipe.fingerprint()) is None:
        raise ValueError(
            f'"{pipe.name}" takes the token vectors of a shared encoder whose pipeline is gone: '
            "spacy_btl.fitting.examples_for(nlp, pipe, examples) makes the new one known"
        )
    pipe.reading.set_arrays({})
    labels, names = pipe.reading.neighbor_labels(tokens.gold, pipe.cfg["labels"])
    known = np.flatnonzero(labels != MISSING)
    if not len(known):
        raise ValueError("no labelled token to fit the neighbours on")
    ids = list(dict.fromkeys(tokens.documents[i] for i in known))
    index = {name: i for i, name in enumerate(ids)}
    return Datastore(
        keys=tokens.keys[known],
        labels=labels[known],
        label_names=tuple(names),
        documents=tuple(ids),
        document_of_key=np.array([index[tokens.documents[i]] for i in known], dtype=np.int32),
        offsets=tokens.offsets[known],
        fingerprint=fingerprint,
        key_kind=pipe.keys,
        extras=pipe.reading.get_arrays(),
    )


def fit_neighbors(pipe: NeighborNer, examples: Iterable[Example], **settings: Any) -> int:
    """Let all labelled tokens of the examples vote, and no others; returns their number.

    settings: those of `collect_keys`. Raises ValueError where no token has a label.
    """
    tokens = collect_keys(pipe, list(examples), types=pipe.cfg["labels"], **settings)
    pipe.forget_neighbors()
    pipe.set_neighbors(to_datastore(pipe, tokens))
    return len(pipe.neighbors.datastore or ())


def add_examples(
    pipe: NeighborNer,
    examples: Iterable[Example],
    *,
    only_entities: bool = False,
    replace_outside: bool = False,
    weight: int | None = None,
    **settings: Any,
) -> Edit:
    """Let the labelled tokens of further examples vote too; the weights stay as they are.

    Their entities may be of types that the model has never seen, which become labels of the
    component. only_entities: leave their tokens outside of entities out. replace_outside: see
    `contradicted`. weight: how many votes each added token has; None for one, or, where the model
    does not know a type, for so many that the nearest such token alone has the majority.
    settings: those of `collect_keys`.

    Raises ValueError for a document that has neighbours already, and where the component has no
    neighbours at all.
    """
    examples, store = list(examples), pipe.neighbors.datastore
    if weight is not None and weight < 1:
        raise ValueError(f"an added token has at least one vote, not {weight}")
    if store is None:
        raise ValueError(f'"{pipe.name}" has no neighbours to add to: run fit-knn first')
    pipe.check_neighbors()
    seen = {label for example in examples for label in pipe.reading.entity_labels(example)}
    new = sorted(seen - set(pipe.labels))
    types = [*pipe.labels, *new]
    tokens = collect_keys(pipe, examples, types=types, **settings)
    labels, names = pipe.reading.neighbor_labels(tokens.gold, types)
    extras = pipe.reading.get_arrays()
    pipe.reading.set_arrays(store.extras)  # of before, should anything fail below
    known = labels != MISSING
    if only_entities:
        known &= np.array([name != "O" for name in names])[labels]
    # All labels at once: their order is that of the columns, whichever occur.
    kept = replace(store, label_names=tuple(names), extras=extras)
    if replace_outside:
        kept = _without_contradicted(kept, tokens, labels, new)
    if weight is None:
        is_ours = not seen <= set(pipe.cfg["labels"])
        weight = pipe.neighbors.settings["n_neighbors"] // 2 + 1 if is_ours else 1
    rows = np.repeat(np.flatnonzero(known), weight)
    added = kept.added(
        tokens.keys[rows],
        [names[label] for label in labels[rows]],
        [tokens.documents[i] for i in rows],
        tokens.offsets[rows],
    )
    pipe.cfg["added_labels"] = types[len(pipe.cfg["labels"]) :]
    for label in types:
        pipe.vocab.strings.add(label)
    pipe.set_neighbors(added)
    return Edit(int(known.sum()), len(store) - len(kept))


def remove_documents(pipe: NeighborNer, documents: Iterable[str]) -> int:
    """Take all neighbours of these documents out; returns their number.

    Raises ValueError for a document without neighbours.
    """
    store = pipe.neighbors.datastore
    if store is None:
        raise ValueError(f'"{pipe.name}" has no neighbours: run fit-knn first')
    rest = store.removed(documents)
    pipe.set_neighbors(rest)
    return len(store) - len(rest)


def _without_contradicted(
    store: Datastore, tokens: TokenKeys, labels: Array, new: Sequence[str]
) -> Datastore:
    """Without the keys outside of entities that lie among the tokens of new types.

    labels: (n_tokens,) of the tokens, in the store's numbers.
    """
    parts = [name.split(ROW_SEPARATOR) for name in store.label_names]
    is_new = np.array([any(part[2:] in new for part in each) for each in parts])
    is_outside = np.array([name == "O" for name in store.label_names])
    outside = np.flatnonzero(is_outside[store.labels])
    labelled = np.flatnonzero(labels != MISSING)
    gone = contradicted(
        store.keys[outside],
        tokens.keys[labelled],
        is_new[labels[labelled]],
        [tokens.documents[i] for i in labelled],
    )
    return store.without_keys(outside[gone])


def _keys(pipe: NeighborNer, docs: Sequence[Doc]) -> Array:
    return pipe.token_vectors(docs)[1]


def _keys_with_dropout(pipe: NeighborNer, docs: Sequence[Doc], rate: float) -> Array:
    """Keys as the model makes them in training; they differ from call to call."""
    model: Any = pipe.model if pipe.keys == "logits" else pipe.model.get_ref("tok2vec")
    ops: Any = pipe.model.ops
    set_dropout_rate(pipe.model, rate)
    vectors, _ = model(list(docs), is_train=True)
    return np.asarray(ops.to_numpy(ops.flatten(vectors)))
