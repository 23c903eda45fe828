"""Between label columns and spaCy's annotation: gold labels out of examples, entities into docs."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from spacy.tokens import Doc, Span
from spacy.training import Example

from .labels import MISSING, OUTSIDE, n_columns
from .labels import Span as LabelSpan
from .layers import spans_to_layers

Ints1d = npt.NDArray[np.int64]

# Values of Token.ent_iob; a begin without a type is a blocked token.
IOB_INSIDE, IOB_BEGIN = 1, 3


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
    iob = doc.to_array("ENT_IOB")
    return np.asarray((iob == IOB_INSIDE) | (iob == IOB_BEGIN))


def gold_layers(example: Example, types: Sequence[str], key: str) -> npt.NDArray[np.int64]:
    """Layer labels (n_tokens, n_types) of the gold spans ``doc.spans[key]``, which may overlap.

    The tokens of a span that cannot be aligned, or shares a token with a longer one of its type,
    get `MISSING` in its layer, and keep what they have of the other span. Raises ValueError for a
    label that is none of ``types``, or where the reference has no spans under this key.
    """
    doc, reference = example.predicted, example.reference
    if key not in reference.spans:
        raise ValueError(f'a training document has no spans under "{key}" (doc.spans["{key}"])')
    index = {label: i for i, label in enumerate(types)}
    spans: list[LabelSpan] = []
    lost: list[LabelSpan] = []
    for span in reference.spans[key]:
        if span.label_ not in index:
            raise ValueError(f'"{span.label_}" is none of the labels trained: {", ".join(types)}')
        exact = doc.char_span(span.start_char, span.end_char)
        near = exact or doc.char_span(span.start_char, span.end_char, alignment_mode="expand")
        if near is not None:
            (spans if exact else lost).append((near.start, near.end, index[span.label_]))
    layers, crowded = spans_to_layers(spans, len(doc), len(types))
    for start, end, kind in [*lost, *crowded]:
        part = layers[start:end, kind]
        part[part == OUTSIDE] = MISSING
    return layers


def trimmed_span(doc: Doc, start: int, end: int, label: str) -> Span | None:
    """The span without white-space tokens at its ends; None where there is nothing else."""
    while start < end and doc[start].is_space:
        start += 1
    while start < end and doc[end - 1].is_space:
        end -= 1
    return Span(doc, start, end, label=label) if start < end else None


def add_entities(doc: Doc, spans: Sequence[Span]) -> None:
    """Add spans that share no token with what ``doc.ents`` holds already.

    Entities that are there, and blocked tokens, stay as they are; all other tokens become ``O``.
    """
    iob, kind = doc.to_array(["ENT_IOB", "ENT_TYPE"]).T
    blocked = np.flatnonzero((iob == IOB_BEGIN) & (kind == 0)).tolist()
    doc.set_ents([*doc.ents, *spans], blocked=[doc[i : i + 1] for i in blocked], default="outside")
