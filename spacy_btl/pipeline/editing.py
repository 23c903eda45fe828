"""Change a component's neighbours after they were fitted; the weights stay as they are."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from spacy.training import Example

from ..labels.bio import MISSING
from ..labels.layers import ROW_SEPARATOR
from ..neighbors.classifier import scaled
from ..neighbors.datastore import Datastore
from .fitting import TokenKeys, collect_keys

if TYPE_CHECKING:
    from .component import BtlKnnNer

# --- from contradiction

Floats1d = npt.NDArray[np.floating]
Floats2d = npt.NDArray[np.floating]
Ints1d = npt.NDArray[np.int64]
Bools1d = npt.NDArray[np.bool_]


REACH = 0.9
"""Share of the new keys that lie within reach of those of another document. On MACCROBAT, 57 to
85 % of the mentions of four types left unannotated are found at 0.9, at a precision of 0.8 to 0.97
for three of them (0.3 for the fourth); at 1 precision falls to 0.5 to 0.9
(`benchmarks/new_type.py`)."""

BLOCK = 2**22
"""Distances that are held at once, 32 MiB."""


def contradicted(
    outside: Floats2d,
    added: Floats2d,
    is_new: Bools1d,
    documents: Sequence[str],
    *,
    reach: float = REACH,
    block: int = BLOCK,
) -> Bools1d:
    """Which of the keys outside (n,) the added ones say to be of a new type.

    outside: (n, width) stored keys labelled ``O``. added: (m, width) keys of all tokens of the
    further documents; is_new: (m,) which of them are of a type that is new; documents: (m,) ids of
    their documents. block: distances held at once, at least m.

    They are those whose nearest added key is of a new type, and no farther away than new keys are
    from the nearest one of another document, for the share ``reach`` of them. With new keys in
    fewer than two documents there are none.
    """
    new, rest = added[is_new], added[~is_new]
    _, ids = np.unique(np.asarray(documents, dtype=str)[is_new], return_inverse=True)
    if len(np.unique(ids)) < 2:
        return np.zeros(len(outside), dtype=np.bool_)
    within = np.quantile(_nearest(new, new, block, apart=ids), reach)
    to_new, to_rest = _nearest(outside, new, block), _nearest(outside, rest, block)
    return np.asarray((to_new < to_rest) & (to_new <= within))


def _nearest(a: Floats2d, b: Floats2d, block: int, *, apart: Ints1d | None = None) -> Floats1d:
    """Euclidean distance of each of a (n, width) to the nearest of b (m, width); (n,).

    Infinite where there is none. block: distances held at once, at least m. apart: (m,) document of
    each, where a and b are the same; then that of the nearest in another document.
    """
    from sklearn.metrics import euclidean_distances

    result = np.full(len(a), np.inf)
    rows = max(1, block // max(1, len(b)))
    for start in range(0, len(a) if len(b) else 0, rows):
        part = slice(start, start + rows)
        distances = euclidean_distances(a[part], b)
        if apart is not None:
            distances[apart[part, None] == apart] = np.inf
        result[part] = distances.min(axis=1)
    return result


# --- from editing

Array = Any


class Edit(NamedTuple):
    """How many neighbours came, how many went."""

    added: int
    removed: int


def add_examples(
    pipe: "BtlKnnNer",
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
        has_unknown = not seen <= set(pipe.state.labels)
        weight = pipe.neighbors.settings.get("n_neighbors", 1) // 2 + 1 if has_unknown else 1
    rows = np.repeat(np.flatnonzero(known), weight)
    added = kept.added(
        tokens.keys[rows],
        [names[label] for label in labels[rows]],
        [tokens.documents[i] for i in rows],
        tokens.offsets[rows],
    )
    pipe.state.added_labels = types[len(pipe.state.labels) :]
    for label in types:
        pipe.vocab.strings.add(label)
    _exchange(pipe, store, added)
    return Edit(int(known.sum()), len(store) - len(kept))


def remove_documents(pipe: "BtlKnnNer", documents: Iterable[str]) -> int:
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


def _exchange(pipe: "BtlKnnNer", before: Datastore, after: Datastore) -> None:
    pipe.set_neighbors(after)
    if after != before and pipe.state.calibration_needs_neighbors:
        pipe.state.calibration = None
        warnings.warn(
            f'the scores of "{pipe.name}" were calibrated with the neighbors before this edit and '
            "are raw from now on. To calibrate them, fit the neighbors again on the edited "
            "documents: python -m spacy btl fit-knn MODEL TRAIN OUT --dev DEV",
            stacklevel=4,
        )


def _without_contradicted(
    pipe: "BtlKnnNer", store: Datastore, tokens: TokenKeys, labels: Array, new: Sequence[str]
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
