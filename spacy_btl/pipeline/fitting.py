"""Fill a component's neighbors from annotated documents, and add or remove some later.

Every labeled token of the documents becomes a key, the vector that the model makes of it, with its
label, document and offset. No text is stored, and the weights stay as they are.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from spacy import util
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Model, set_dropout_rate
from tqdm import tqdm

from ..data.gold import document_ids
from ..data.label_sets import label_set_of
from ..labels.bio import MISSING
from ..labels.open_votes import is_outside
from ..ml.shared_encoder import has_listener
from ..neighbors.datastore import Datastore, quoted
from ..util.arrays import Bools2d, Floats2d, Ints1d, IntsXd
from ..util.checks import between, whole_number
from ..util.messages import warn
from ..util.process import fixed_random_state
from .schemes import annotated_types

if TYPE_CHECKING:
    from .component import BtlKnnNer

BATCH_SIZE = 32
"""Documents whose keys are made together."""

MOST_SHOWN = 10
"""Pairs of documents that an error lists."""


@dataclass(frozen=True, slots=True, eq=False)
class TokenKeys:
    """The keys of all tokens of some documents, with their annotation.

    Attributes:
        keys: (n_tokens, width) vectors.
        gold: Gold labels as the component's label scheme encodes them; the first axis is n_tokens.
        documents: Id of each token's document, n_tokens of them.
        offsets: (n_tokens,) start of each token in its document, in characters.
        annotated: (n_tokens, n_types) bool, the types that its document annotates; None for all.
    """

    keys: Floats2d
    gold: IntsXd
    documents: list[str]
    offsets: Ints1d
    annotated: Bools2d | None = None


def examples_for(nlp: Language, pipe: "BtlKnnNer", examples: Iterable[Example]) -> list[Example]:
    """Return the examples with predicted documents that all components before ours have read.

    From now on, the component looks its shared encoder up in this pipeline.

    Args:
        nlp: The pipeline.
        pipe: The component, which is part of it.
        examples: Annotated documents, with predicted documents that no component has read.
    """
    examples = list(examples)
    docs = read_before(nlp, pipe, [example.predicted for example in examples])
    return [Example(doc, example.reference) for doc, example in zip(docs, examples, strict=True)]


def read_before(nlp: Language, pipe: "BtlKnnNer", docs: Iterable[Doc]) -> list[Doc]:
    """Return the documents as all components before ours leave them.

    From now on, the component looks its shared encoder up in this pipeline.

    Args:
        nlp: The pipeline.
        pipe: The component, which is part of it.
        docs: Documents that no component has read.
    """
    pipe.join(nlp)
    docs = list(docs)
    for _, component in nlp.pipeline:
        if component is pipe:
            break
        if hasattr(component, "pipe"):
            docs = list(component.pipe(docs))
        else:
            docs = [component(doc) for doc in docs]
    return docs


def distinct_documents(
    pipe: "BtlKnnNer", examples: Iterable[Example], types: Sequence[str]
) -> list[tuple[str, Example]]:
    """Return the examples with their ids, each document once, so that no token votes twice.

    Documents without a name are all kept where their annotation differs (`document_ids`). Repeated
    documents are left out with a warning. Documents without tokens are all kept.

    Args:
        pipe: The component; its label scheme decides the gold labels.
        examples: Annotated documents.
        types: Entity types of the labels.

    Raises:
        ValueError: If documents of the same name differ in text or labels.
    """
    examples = list(examples)
    first: dict[str, tuple[int, Example]] = {}
    kept, repeated, differing = [], [], []
    ids = document_ids((example.reference for example in examples), pipe.spans_key)
    for number, (name, example) in enumerate(zip(ids, examples, strict=True), 1):
        if not len(example.predicted) or name not in first:
            kept.append((name, example))
            first.setdefault(name, (number, example))
            continue
        before, other = first[name]
        same_types = label_set_of(other.reference) == label_set_of(example.reference)
        if (
            same_types
            and other.predicted.text == example.predicted.text
            and np.array_equal(pipe.gold([other], types), pipe.gold([example], types))
        ):
            repeated.append(name)
        else:
            differing.append(f'documents {before} and {number} are both named "{name}"')
    if differing:
        more = len(differing) - MOST_SHOWN
        raise ValueError(
            f"{'; '.join(differing[:MOST_SHOWN])}{f'; and {more} more pairs' * (more > 0)}; they "
            "differ in text or annotation: leave one of each pair out, or give each its own name "
            '(doc.user_data["name"])'
        )
    if repeated:
        warn(
            f"{len(repeated)} of {len(kept) + len(repeated)} documents are repeated "
            f"({quoted(list(dict.fromkeys(repeated)))}) and left out: each document votes once"
        )
    return kept


def collect_keys(
    pipe: "BtlKnnNer",
    examples: Sequence[Example],
    *,
    types: Sequence[str] | None = None,
    dropout: float = 0.0,
    passes: int = 1,
    seed: int = 0,
    progress: bool | None = None,
) -> TokenKeys:
    """Return keys and gold labels of all tokens of the examples, of each document once.

    Args:
        pipe: The component.
        examples: Annotated documents, as from `examples_for`.
        types: Entity types of the labels; None for those that the model was trained on.
        dropout: Dropout rate under which the keys are made, 0 for none.
        passes: Keys of each token; with dropout they differ from pass to pass.
        seed: Seed of the dropout. The random states of the program do not change.
        progress: Whether to show a progress bar; None to show it in a terminal only.

    Raises:
        ValueError: If there is no document, ``passes`` or ``dropout`` is out of range, there is
            dropout but a shared encoder (which would run without it), or documents of the same
            name differ.
    """
    whole_number("passes", passes, 1)
    between("dropout", dropout, 0, 1, high_itself=False)
    if not examples:
        raise ValueError("there are no documents to fit the neighbors on")
    if dropout and has_listener(pipe.model):
        raise ValueError(
            f'"{pipe.name}" takes the token vectors of a shared encoder, which runs without '
            "dropout here: fit the neighbors without dropout, or after nlp.replace_listeners"
        )
    types = pipe.label_data if types is None else types
    named = distinct_documents(pipe, examples, types)
    keys, gold, documents, offsets = [], [], [], []
    with ExitStack() as stack:
        if dropout:
            stack.enter_context(fixed_random_state(seed))
            stack.enter_context(_dropout_rate(pipe.model, dropout))
        total, disable = len(named) * passes, None if progress is None else not progress
        bar = stack.enter_context(
            tqdm(total=total, desc="neighbors", unit=" docs", disable=disable)
        )
        # Pass by pass: a batch that has a document twice would mix up spacy-transformers.
        for part in (part for _ in range(passes) for part in _batches(named)):
            batch = [example for _, example in part]
            docs = [example.predicted for example in batch]
            keys.append(_training_keys(pipe, docs) if dropout else pipe.token_vectors(docs)[1])
            gold.append(pipe.gold(batch, types))
            for name, example in part:
                documents += [name] * len(example.predicted)
                offsets += [token.idx for token in example.predicted]
            bar.update(len(batch))
    starts = np.array(offsets, dtype=np.int64)
    mask = annotated_types([example for _, example in named], types)
    annotated = None if mask is None else np.tile(mask, (passes, 1))
    return TokenKeys(np.concatenate(keys), np.concatenate(gold), documents, starts, annotated)


def to_datastore(pipe: "BtlKnnNer", tokens: TokenKeys) -> Datastore:
    """Return a new datastore of the tokens that have a label; the component stays as it is.

    Raises:
        ValueError: If no token has a label, or the pipeline of a shared encoder is gone.
    """
    if (fingerprint := pipe.fingerprint()) is None:
        raise ValueError(
            f'"{pipe.name}" takes the token vectors of a shared encoder whose pipeline is gone: '
            "spacy_btl.pipeline.fitting.examples_for(nlp, pipe, examples) names the new one"
        )
    before = pipe.scheme.get_arrays()
    pipe.scheme.set_arrays({})
    try:
        labels, names = pipe.scheme.neighbor_labels(tokens.gold, pipe.label_data, tokens.annotated)
        extras = pipe.scheme.get_arrays()
    finally:
        pipe.scheme.set_arrays(before)  # they belong to the neighbors that still vote
    known = np.flatnonzero(labels != MISSING)
    if not len(known):
        raise ValueError("there are no labeled tokens to fit the neighbors on")
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
        extras=extras,
    )


def fit_neighbors(
    pipe: "BtlKnnNer",
    examples: Iterable[Example],
    *,
    dropout: float = 0.0,
    passes: int = 1,
    seed: int = 0,
    progress: bool | None = None,
) -> int:
    """Let the labeled tokens of the examples vote, and no others; return their number.

    Settings and calibration are not chosen here; see `spacy_btl.pipeline.workflow.fit_knn`.

    Args:
        pipe: The component.
        examples: Annotated documents, as from `examples_for`.
        dropout: Dropout rate under which the keys are made, 0 for none.
        passes: Keys of each token; with dropout they differ from pass to pass.
        seed: Seed of the dropout. The random states of the program do not change.
        progress: Whether to show a progress bar; None to show it in a terminal only.

    Raises:
        ValueError: As `collect_keys` and `to_datastore`.
    """
    tokens = collect_keys(
        pipe, list(examples), dropout=dropout, passes=passes, seed=seed, progress=progress
    )
    store = to_datastore(pipe, tokens)
    pipe.forget_neighbors()
    pipe.set_neighbors(store)
    return len(store)


def warn_of_few(pipe: "BtlKnnNer") -> None:
    """Warn where no more tokens vote than ``n_neighbors``: then all vote on every token."""
    n, wanted = len(pipe.neighbors.datastore or ()), pipe.neighbors.settings.get("n_neighbors", 0)
    if 0 < n <= wanted and pipe.neighbor_weight:
        warn(
            f'only {n} tokens vote, no more than n_neighbors of "{pipe.name}" ({wanted}): all of '
            "them vote on every token, so that the most frequent label wins and entities are "
            "missed. Fit on more documents, or set a lower n_neighbors"
        )


def _batches(examples: Sequence[tuple[str, Example]]) -> Iterator[list[tuple[str, Example]]]:
    """Yield the examples in batches of `BATCH_SIZE`."""
    return util.minibatch(examples, BATCH_SIZE)  # type: ignore[no-untyped-call, no-any-return]


@contextmanager
def _dropout_rate(model: Model[Any, Any], rate: float) -> Iterator[None]:
    """Set the dropout rate of all layers, and afterwards what each of them had."""
    name = "dropout_rate"
    before = [(node, node.attrs[name]) for node in model.walk() if name in node.attrs]
    set_dropout_rate(model, rate)
    try:
        yield
    finally:
        for node, value in before:
            node.attrs[name] = value


def _training_keys(pipe: "BtlKnnNer", docs: list[Doc]) -> Floats2d:
    """Return keys (n_tokens, width) as the model makes them in training, with dropout."""
    model: Any = pipe.model if pipe.keys == "logits" else pipe.model.get_ref("tok2vec")
    ops: Any = pipe.model.ops
    vectors, _ = model(docs, is_train=True)
    return np.asarray(ops.to_numpy(ops.flatten(vectors)))


@dataclass(frozen=True, slots=True)
class Edit:
    """The outcome of `add_examples`.

    Attributes:
        added: Tokens that vote from now on.
        new_labels: Entity types that the component has not known before.
    """

    added: int
    new_labels: tuple[str, ...] = ()


def add_examples(
    pipe: "BtlKnnNer",
    examples: Iterable[Example],
    *,
    only_entities: bool = False,
    weight: int | None = None,
    dropout: float = 0.0,
    passes: int = 1,
    seed: int = 0,
) -> Edit:
    """Let the labeled tokens of further documents vote too.

    Their entities may be of types that the model has never seen, which become labels of the
    component. A calibration in which the neighbors have a part is dropped.

    Args:
        pipe: The component, with fitted neighbors.
        examples: Annotated documents, as from `examples_for`.
        only_entities: Whether to leave out their tokens outside of entities.
        weight: Votes of each added token. None for one or, where the model does not know a type,
            for as many as give the nearest such token the majority.
        dropout: Dropout rate under which the keys are made, 0 for none.
        passes: Keys of each token; with dropout they differ from pass to pass.
        seed: Seed of the dropout.

    Raises:
        ValueError: If a document has neighbors already, the component has no neighbors at all,
            ``weight`` is less than 1, and as `collect_keys`.
    """
    examples, store = list(examples), pipe.neighbors.datastore
    if weight is not None:
        whole_number("weight", weight, 1)
    if store is None:
        raise ValueError(f'"{pipe.name}" has no neighbors to add to: run fit-knn first')
    pipe.check_neighbors()
    seen = {label for example in examples for label in pipe.scheme.entity_labels(example)}
    new = tuple(sorted(seen - set(pipe.labels)))
    types = [*pipe.labels, *new]
    tokens = collect_keys(pipe, examples, types=types, dropout=dropout, passes=passes, seed=seed)
    labels, names = pipe.scheme.neighbor_labels(tokens.gold, types, tokens.annotated)
    extras = pipe.scheme.get_arrays()
    pipe.scheme.set_arrays(store.extras)  # should anything fail below, all is as before
    known = labels != MISSING
    if only_entities:
        known &= np.array([not is_outside(name) for name in names])[labels]
    weight = _default_weight(pipe, seen) if weight is None else weight
    rows = np.repeat(np.flatnonzero(known), weight)
    # All labels at once: their order is that of the columns, whichever of them occur.
    with_all_labels = replace(store, label_names=tuple(names), extras=extras)
    added = with_all_labels.added(
        tokens.keys[rows],
        [names[label] for label in labels[rows]],
        [tokens.documents[i] for i in rows],
        tokens.offsets[rows],
    )
    pipe.state.added_labels = types[len(pipe.label_data) :]
    for label in types:
        pipe.vocab.strings.add(label)
    _exchange(pipe, store, added)
    return Edit(int(known.sum()), new)


def remove_documents(pipe: "BtlKnnNer", documents: Iterable[str]) -> int:
    """Remove all neighbors of these documents and return their number.

    A calibration in which the neighbors have a part is dropped.

    Args:
        pipe: The component, with fitted neighbors.
        documents: Names of documents, as `spacy_btl.data.gold.document_ids` gives them.

    Raises:
        ValueError: If a document has no neighbors.
    """
    store = pipe.neighbors.datastore
    if store is None:
        raise ValueError(f'"{pipe.name}" has no neighbors: run fit-knn first')
    rest = store.removed(documents)
    _exchange(pipe, store, rest)
    return len(store) - len(rest)


def _default_weight(pipe: "BtlKnnNer", types: set[str]) -> int:
    """Return the majority of all votes if the model does not know one of the types, else 1."""
    if types <= set(pipe.label_data):
        return 1
    return int(pipe.neighbors.settings.get("n_neighbors", 1)) // 2 + 1


def _exchange(pipe: "BtlKnnNer", before: Datastore, after: Datastore) -> None:
    """Replace the neighbors, and drop a calibration in which they have a part."""
    pipe.set_neighbors(after)
    warn_of_few(pipe)
    if after != before and pipe.state.calibration_needs_neighbors:
        pipe.state.calibration, pipe.state.calibrated_for = None, ""
        warn(
            f'the scores of "{pipe.name}" were calibrated with the neighbors before this edit and '
            "are raw from now on. To calibrate them, fit the neighbors again on the edited "
            "documents: python -m spacy btl fit-knn MODEL TRAIN OUT --dev DEV"
        )
