"""Fill a component's neighbours from annotated documents."""

import warnings
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from spacy import util
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import fix_random_seed, set_dropout_rate
from tqdm import tqdm

from ..data.gold import document_id
from ..labels.bio import MISSING
from ..ml.shared_encoder import has_listener
from ..neighbors.datastore import Datastore, quoted

if TYPE_CHECKING:
    from .component import BtlKnnNer

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


def examples_for(nlp: Language, pipe: "BtlKnnNer", examples: Sequence[Example]) -> list[Example]:
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


def distinct_documents(
    pipe: "BtlKnnNer", examples: Iterable[Example], types: Sequence[str]
) -> list[Example]:
    """The examples with each document once, so that no token votes twice; a warning tells of more.

    types: entity types of the labels. Raises ValueError where documents of one name
    (`document_id`) differ in text or labels.
    """
    first: dict[str, Example] = {}
    kept, again = [], []
    for example in examples:
        name = document_id(example.reference)
        if not len(example.predicted) or name not in first:
            kept.append(example)
            first.setdefault(name, example)
            continue
        other = first[name]
        if other.predicted.text != example.predicted.text or not np.array_equal(
            pipe.gold([other], types), pipe.gold([example], types)
        ):
            raise ValueError(
                f'two documents are named "{name}", but differ in text or annotation; leave one '
                'out, or give each a name of its own (doc.user_data["name"])'
            )
        again.append(name)
    if again:
        warnings.warn(
            f"{len(again)} of {len(kept) + len(again)} documents occur again "
            f"({quoted(list(dict.fromkeys(again)))}) and are left out: each votes once",
            stacklevel=2,
        )
    return kept


def collect_keys(
    pipe: "BtlKnnNer",
    examples: Sequence[Example],
    *,
    types: Sequence[str],
    dropout: float = 0.0,
    passes: int = 1,
    batch_size: int = 32,
    seed: int = 0,
    progress: bool = False,
) -> TokenKeys:
    """Keys and gold labels of all tokens of the examples, batch by batch; of each document once.

    types: entity types of the labels. dropout: rate under which the keys are made; with one, each
    of several ``passes`` gives a token another key. Raises ValueError where there is no document or
    no pass, for dropout with a shared encoder, which is out of its reach, and as
    `distinct_documents`.
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
    examples = distinct_documents(pipe, examples, types)
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
        keys.append(
            _keys_with_dropout(pipe, docs, dropout) if dropout else pipe.token_vectors(docs)[1]
        )
        gold.append(pipe.gold(batch, types))
        for example in batch:
            documents += [document_id(example.reference)] * len(example.predicted)
            offsets += [token.idx for token in example.predicted]
        shown.update(len(batch))
    shown.close()
    return TokenKeys(np.concatenate(keys), np.concatenate(gold), documents, np.array(offsets))


def to_datastore(pipe: "BtlKnnNer", tokens: TokenKeys) -> Datastore:
    """A new datastore of the labelled ones among these tokens.

    Raises ValueError where no token has a label.
    """
    if (fingerprint := pipe.fingerprint()) is None:
        raise ValueError(
            f'"{pipe.name}" takes the token vectors of a shared encoder whose pipeline is gone: '
            "spacy_btl.pipeline.fitting.examples_for(nlp, pipe, examples) makes the new one known"
        )
    pipe.reading.set_arrays({})
    labels, names = pipe.reading.neighbor_labels(tokens.gold, pipe.state.labels)
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


def fit_neighbors(pipe: "BtlKnnNer", examples: Iterable[Example], **settings: Any) -> int:
    """Let all labelled tokens of the examples vote, and no others; returns their number.

    settings: those of `collect_keys`. Raises ValueError where no token has a label.
    """
    tokens = collect_keys(pipe, list(examples), types=pipe.state.labels, **settings)
    pipe.forget_neighbors()
    pipe.set_neighbors(to_datastore(pipe, tokens))
    return len(pipe.neighbors.datastore or ())


def _keys_with_dropout(pipe: "BtlKnnNer", docs: Sequence[Doc], rate: float) -> Array:
    """Keys as the model makes them in training; they differ from call to call."""
    model: Any = pipe.model if pipe.keys == "logits" else pipe.model.get_ref("tok2vec")
    ops: Any = pipe.model.ops
    set_dropout_rate(pipe.model, rate)
    vectors, _ = model(list(docs), is_train=True)
    return np.asarray(ops.to_numpy(ops.flatten(vectors)))
