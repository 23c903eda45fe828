"""Two ways to read entities as labels and labels as entities: flat, and one layer a type.

The component asks its reading for gold labels, for probabilities out of logits or votes, for the
entities in them, and to write these into documents; it knows of neither way itself.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from spacy.tokens import Doc, Span
from spacy.training import Example

from ..labels.bio import MISSING, OUTSIDE, column_names, labels_to_spans, n_columns
from ..labels.bio import Span as LabelSpan
from ..labels.confidence import layer_span_scores, span_scores
from ..labels.layers import (
    best_layer_paths,
    distinct_rows,
    layers_to_spans,
    row_names,
    row_votes_to_layers,
    spans_to_layers,
)
from ..labels.viterbi import best_paths
from ..training.binary_token_labels import BinaryTokenLabels, TokenLoss
from .entities import Found

# --- from annotations

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


# --- from readings

Array = Any


class Reading(Protocol):
    """What the component asks of a reading; ``types`` are the entity types, in column order."""

    def entity_labels(self, example: Example) -> set[str]:
        """Types of the gold entities that training would take."""

    def gold(self, example: Example, types: Sequence[str]) -> Array:
        """Gold labels on the tokens of the prediction; first axis n_tokens."""

    def label_counts(self, gold: Array, types: Sequence[str]) -> Array:
        """Tokens of each column; shape (n_columns,)."""

    def neighbor_labels(self, gold: Array, types: Sequence[str]) -> tuple[Array, list[str]]:
        """Labels (n_tokens,) under which tokens become neighbours, `MISSING` for none; their names.

        Labels that were given before keep their number.
        """

    def from_logits(self, loss: TokenLoss, logits: Array, n_types: int, **lengths: Any) -> Array:
        """Probabilities by the model itself, 0 for types it has no column for; axis 0 n_tokens."""

    def from_votes(self, votes: Array, n_types: int) -> Array:
        """Probabilities by the votes (n_tokens, n) for the labels of `neighbor_labels`."""

    def mix(self, votes: Array, own: Array, weight: float, n_own: int) -> Array:
        """Probabilities of votes and of the model, which has the share ``1 - weight``.

        Types after the first ``n_own`` are unknown to the model: they get all of their votes.
        """

    def find(
        self, docs: Sequence[Doc], probabilities: Sequence[Array], types: Sequence[str]
    ) -> list[Found]:
        """Entities of the most probable labels of each document, with their raw scores."""

    def write(self, doc: Doc, found: Found) -> None:
        """Add the entities that fit beside each other to ``doc.ents``."""

    def get_arrays(self) -> dict[str, Array]:
        """What belongs to the neighbours' labels and is saved with them."""

    def set_arrays(self, arrays: Mapping[str, Array]) -> None:
        """Take over what `get_arrays` gave; from nothing, forget."""


class FlatReading:
    """One label a token, from ``doc.ents`` and back."""

    def entity_labels(self, example: Example) -> set[str]:
        """Types in ``doc.ents`` of the reference."""
        return {ent.label_ for ent in example.reference.ents}

    def gold(self, example: Example, types: Sequence[str]) -> Array:
        """Columns (n_tokens,) of the gold labels."""
        return gold_labels(example, types)

    def label_counts(self, gold: Array, types: Sequence[str]) -> Array:
        """Tokens of each column; shape (n_columns,)."""
        return np.bincount(gold[gold != MISSING], minlength=n_columns(len(types)))

    def neighbor_labels(self, gold: Array, types: Sequence[str]) -> tuple[Array, list[str]]:
        """The columns themselves."""
        return gold, column_names(types)

    def from_logits(self, loss: TokenLoss, logits: Array, n_types: int, **lengths: Any) -> Array:
        """Probabilities (n_tokens, n_columns)."""
        return _padded(loss.probabilities(logits, **lengths), n_columns(n_types))

    def from_votes(self, votes: Array, n_types: int) -> Array:
        """The votes as they are (n_tokens, n_columns)."""
        return _padded(votes, n_columns(n_types))

    def mix(self, votes: Array, own: Array, weight: float, n_own: int) -> Array:
        """Probabilities (n_tokens, n_columns); the model has its share of what new types leave."""
        new = votes[:, n_columns(n_own) :]
        mixed = weight * votes + (1 - weight) * (1 - new.sum(axis=1, keepdims=True)) * own
        mixed[:, n_columns(n_own) :] = new
        return mixed

    def find(
        self, docs: Sequence[Doc], probabilities: Sequence[Array], types: Sequence[str]
    ) -> list[Found]:
        """Entities of the best well-formed label sequence, beside what ``doc.ents`` has."""
        paths = best_paths(probabilities, [taken_tokens(doc) for doc in docs])
        found = []
        for doc, values, path in zip(docs, probabilities, paths, strict=True):
            tokens = labels_to_spans(path)
            scores = span_scores(values, tokens)
            spans = [trimmed_span(doc, start, end, types[kind]) for start, end, kind in tokens]
            found.append(_without_blanks(spans, scores))
        return found

    def write(self, doc: Doc, found: Found) -> None:
        """Add them all to ``doc.ents``."""
        add_entities(doc, found.spans)

    def get_arrays(self) -> dict[str, Array]:
        """Nothing."""
        return {}

    def set_arrays(self, arrays: Mapping[str, Array]) -> None:
        """Nothing to take over."""


class LayeredReading:
    """One BIO layer a type, from ``doc.spans[key]`` and back; ``doc.ents`` gets the flat choice.

    Entities of unlike types may overlap. Neighbours are labelled with the whole row of a token's
    layer labels, of which a corpus has a few hundred.
    """

    def __init__(self, key: str) -> None:
        self.key = key
        self.rows: Array = np.zeros((0, 0), dtype=np.int64)

    def entity_labels(self, example: Example) -> set[str]:
        """Types in ``doc.spans[key]`` of the reference."""
        return {span.label_ for span in example.reference.spans.get(self.key, [])}

    def gold(self, example: Example, types: Sequence[str]) -> Array:
        """Layer labels (n_tokens, n_types)."""
        return gold_layers(example, types, self.key)

    def label_counts(self, gold: Array, types: Sequence[str]) -> Array:
        """Tokens of each column, those in no layer as ``O``; shape (n_columns,)."""
        counts = np.zeros(n_columns(len(types)), dtype=np.int64)
        counts[0] = (gold == 0).all(axis=1).sum()
        counts[1::2], counts[2::2] = (gold == 1).sum(axis=0), (gold == 2).sum(axis=0)
        return counts

    def neighbor_labels(self, gold: Array, types: Sequence[str]) -> tuple[Array, list[str]]:
        """Indices of the distinct rows of layer labels, kept as ``rows``."""
        self.rows, indices = distinct_rows(gold, self.rows)
        return indices, row_names(self.rows, types)

    def from_logits(self, loss: TokenLoss, logits: Array, n_types: int, **lengths: Any) -> Array:
        """Probabilities (n_tokens, n_types, 3)."""
        assert isinstance(loss, BinaryTokenLabels)  # the component has seen to it
        return _padded_layers(loss.layer_probabilities(logits), n_types)

    def from_votes(self, votes: Array, n_types: int) -> Array:
        """Probabilities (n_tokens, n_types, 3)."""
        return _padded_layers(row_votes_to_layers(votes, self.rows), n_types)

    def mix(self, votes: Array, own: Array, weight: float, n_own: int) -> Array:
        """Probabilities (n_tokens, n_types, 3), layer by layer."""
        mixed = weight * votes + (1 - weight) * own
        mixed[:, n_own:] = votes[:, n_own:]
        return mixed

    def find(
        self, docs: Sequence[Doc], probabilities: Sequence[Array], types: Sequence[str]
    ) -> list[Found]:
        """Entities of the best well-formed label sequence of each layer."""
        found = []
        for doc, values in zip(docs, probabilities, strict=True):
            tokens = layers_to_spans(best_layer_paths(values))
            scores = layer_span_scores(values, tokens)
            spans = [trimmed_span(doc, start, end, types[kind]) for start, end, kind in tokens]
            found.append(_without_blanks(spans, scores))
        return found

    def write(self, doc: Doc, found: Found) -> None:
        """Add those of highest score that fit beside each other to ``doc.ents``."""
        taken, chosen = taken_tokens(doc), []
        for i in np.argsort(-np.asarray(found.scores), kind="stable"):
            span = found.spans[i]
            if not taken[span.start : span.end].any():
                taken[span.start : span.end] = True
                chosen.append(span)
        add_entities(doc, chosen)

    def get_arrays(self) -> dict[str, Array]:
        """The distinct rows of layer labels."""
        return {"rows": self.rows}

    def set_arrays(self, arrays: Mapping[str, Array]) -> None:
        """Take over what `get_arrays` gave; from nothing, forget."""
        self.rows = arrays.get("rows", np.zeros((0, 0), dtype=np.int64))


def _without_blanks(spans: list[Span | None], scores: Array) -> Found:
    """Without the spans that held nothing but white space."""
    kept = [i for i, span in enumerate(spans) if span is not None]
    raw = np.zeros(len(kept), dtype=bool)
    return Found([span for span in spans if span is not None], np.asarray(scores)[kept], raw)


def _padded(probabilities: Array, columns: int) -> Array:
    """With columns of zeros for types that are added behind."""
    missing = columns - probabilities.shape[1]
    return np.pad(probabilities, ((0, 0), (0, missing))) if missing else probabilities


def _padded_layers(probabilities: Array, n_types: int) -> Array:
    """With layers of nothing but ``O`` for types that are added behind."""
    missing = n_types - probabilities.shape[1]
    if not missing:
        return probabilities
    padded = np.pad(probabilities, ((0, 0), (0, missing), (0, 0)))
    padded[:, -missing:, 0] = 1
    return padded
