"""Add documents to a component's neighbors, or remove some; the weights stay as they are."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from spacy.training import Example

from ..labels.bio import MISSING
from ..neighbors.datastore import Datastore
from ..util.messages import warn
from .fitting import collect_keys

if TYPE_CHECKING:
    from .component import BtlKnnNer


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
        examples: Annotated documents, as from `spacy_btl.pipeline.fitting.examples_for`.
        only_entities: Whether to leave out their tokens outside of entities.
        weight: Votes of each added token. None for one or, where the model does not know a type,
            for as many as give the nearest such token the majority.
        dropout: Dropout rate under which the keys are made, 0 for none.
        passes: Keys of each token; with dropout they differ from pass to pass.
        seed: For the dropout.

    Raises:
        ValueError: If a document has neighbors already, the component has no neighbors at all,
            ``weight`` is less than 1, and as `spacy_btl.pipeline.fitting.collect_keys`.
    """
    examples, store = list(examples), pipe.neighbors.datastore
    if weight is not None and weight < 1:
        raise ValueError(f"weight is {weight}, but an added token has at least one vote")
    if store is None:
        raise ValueError(f'"{pipe.name}" has no neighbors to add to: run fit-knn first')
    pipe.check_neighbors()
    seen = {label for example in examples for label in pipe.reading.entity_labels(example)}
    new = tuple(sorted(seen - set(pipe.labels)))
    types = [*pipe.labels, *new]
    tokens = collect_keys(pipe, examples, types=types, dropout=dropout, passes=passes, seed=seed)
    labels, names = pipe.reading.neighbor_labels(tokens.gold, types)
    extras = pipe.reading.get_arrays()
    pipe.reading.set_arrays(store.extras)  # should anything fail below, all is as before
    known = labels != MISSING
    if only_entities:
        known &= np.array([name != "O" for name in names])[labels]
    rows = np.repeat(
        np.flatnonzero(known), _default_weight(pipe, seen) if weight is None else weight
    )
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
        documents: Names of documents, as `spacy_btl.data.gold.document_id` gives them.

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
    pipe.set_neighbors(after)
    if after != before and pipe.state.calibration_needs_neighbors:
        pipe.state.calibration = None
        warn(
            f'the scores of "{pipe.name}" were calibrated with the neighbors before this edit and '
            "are raw from now on. To calibrate them, fit the neighbors again on the edited "
            "documents: python -m spacy btl fit-knn MODEL TRAIN OUT --dev DEV"
        )
