"""Change a component's neighbours after they were fitted; the weights stay as they are."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from spacy.training import Example

from .contradiction import contradicted
from .datastore import Datastore
from .fitting import TokenKeys, collect_keys
from .labels import MISSING
from .layers import ROW_SEPARATOR
from .neighbors import scaled
from .prediction import NeighborNer

Array = Any


class Edit(NamedTuple):
    """How many neighbours came, how many went."""

    added: int
    removed: int


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
    settings: those of `collect_keys`. A calibration that the neighbours have a part in is given up.

    Raises ValueError for a document that has neighbours already, where the component has no
    neighbours at all, and as `collect_keys`.
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
        kept = _without_contradicted(pipe, kept, tokens, labels, new)
    if weight is None:
        has_unknown = not seen <= set(pipe.cfg["labels"])
        weight = pipe.neighbors.settings.get("n_neighbors", 1) // 2 + 1 if has_unknown else 1
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
    _exchange(pipe, store, added)
    return Edit(int(known.sum()), len(store) - len(kept))


def remove_documents(pipe: NeighborNer, documents: Iterable[str]) -> int:
    """Take all neighbours of these documents out; returns their number.

    A calibration that the neighbours have a part in is given up. Raises ValueError for a document
    without neighbours.
    """
    store = pipe.neighbors.datastore
    if store is None:
        raise ValueError(f'"{pipe.name}" has no neighbours: run fit-knn first')
    rest = store.removed(documents)
    _exchange(pipe, store, rest)
    return len(store) - len(rest)


def _exchange(pipe: NeighborNer, before: Datastore, after: Datastore) -> None:
    pipe.set_neighbors(after)
    if after != before:
        pipe.void_calibration()


def _without_contradicted(
    pipe: NeighborNer, store: Datastore, tokens: TokenKeys, labels: Array, new: Sequence[str]
) -> Datastore:
    """Without the keys outside of entities that lie among the tokens of new types.

    labels: (n_tokens,) of the tokens, in the store's numbers.
    """
    parts = [name.split(ROW_SEPARATOR) for name in store.label_names]
    is_new = np.array([any(part[2:] in new for part in each) for each in parts])
    is_outside = np.array([name == "O" for name in store.label_names])
    outside = np.flatnonzero(is_outside[store.labels])
    labelled = np.flatnonzero(labels != MISSING)
    metric = pipe.neighbors.settings.get("metric", "euclidean")
    gone = contradicted(
        scaled(store.keys[outside], metric),
        scaled(tokens.keys[labelled], metric),
        is_new[labels[labelled]],
        [tokens.documents[i] for i in labelled],
    )
    return store.without_keys(outside[gone])
