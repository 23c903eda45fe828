"""Between label columns and spaCy's annotation: gold labels out of examples, entities into docs."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from spacy.tokens import Doc, Span
from spacy.training import Example

from .labels import MISSING, OUTSIDE, labels_to_spans, n_columns

Ints1d = npt.NDArray[np.int64]


def gold_labels(example: Example, types: Sequence[str]) -> Ints1d:
    """Columns of the gold labels on the tokens of the prediction; shape (n_tokens,).

    A token whose label is missing, or cannot be aligned, gets `MISSING`. Raises ValueError for an
    entity whose label is none of ``types``.
    """
    first = {label: n_columns(i) for i, label in enumerate(types)}
    gold = np.full(len(example.predicted), MISSING, dtype=np.int64)
    for i, tag in enumerate(example.get_aligned_ner()):
        if tag == "O":
            gold[i] = OUTSIDE
        elif tag not in (None, "-"):
            prefix, label = tag[0], tag[2:]
            if label not in first:
                raise ValueError(f'"{label}" is none of the labels trained: {", ".join(first)}')
            gold[i] = first[label] + (prefix in "IL")
    return gold


def taken_tokens(doc: Doc) -> npt.NDArray[np.bool_]:
    """Tokens that are in an entity already, or blocked for entities; shape (n_tokens,)."""
    return np.array([token.ent_iob in (1, 3) for token in doc], dtype=bool)


def add_entities(doc: Doc, path: Ints1d, types: Sequence[str]) -> None:
    """Add the entities of a label sequence to ``doc.ents``, without white space at their ends.

    Entities that are there already, and blocked tokens, stay as they are; the sequence must be
    ``O`` on them.
    """
    found = []
    for start, end, kind in labels_to_spans(path):
        while start < end and doc[start].is_space:
            start += 1
        while start < end and doc[end - 1].is_space:
            end -= 1
        if start < end:
            found.append(Span(doc, start, end, label=types[kind]))
    blocked = [doc[t.i : t.i + 1] for t in doc if t.ent_iob == 3 and not t.ent_type]
    doc.set_ents([*doc.ents, *found], blocked=blocked, default="outside")
