"""Datastores for tests: an empty one to add to, and how often each label is in one."""

from collections import Counter
from collections.abc import Iterable

import numpy as np

from spacy_btl.neighbors.datastore import Datastore


def empty_store(
    width: int = 2,
    *,
    fingerprint: str = "f0",
    key_kind: str = "logits",
    label_names: Iterable[str] = (),
) -> Datastore:
    return Datastore(
        keys=np.zeros((0, width), np.float32),
        labels=np.zeros(0, np.int64),
        label_names=tuple(label_names),
        documents=(),
        document_of_key=np.zeros(0, np.int32),
        offsets=np.zeros(0, np.int64),
        fingerprint=fingerprint,
        key_kind=key_kind,
    )


def counts_by_label(store: Datastore) -> Counter[str]:
    return Counter(store.label_names[label] for label in store.labels)
