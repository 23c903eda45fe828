"""Two ways to read entities as labels and labels as entities: flat, and one layer a type.

The component asks its reading for gold labels, for probabilities out of logits or votes, and to
write entities into documents; it knows of neither way itself.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from spacy.tokens import Doc, SpanGroup
from spacy.training import Example

from .annotations import add_entities, gold_labels, gold_layers, taken_tokens, trimmed_span
from .decoding import best_paths
from .labels import MISSING, labels_to_spans, n_columns
from .layers import (
    best_layer_paths,
    distinct_rows,
    layers_to_spans,
    row_votes_to_layers,
)
from .losses import BinaryTokenLabels, TokenLoss

Array = Any


class Reading(Protocol):
    """What the component asks of a reading; ``types`` are the entity types, in column order."""

    def entity_labels(self, example: Example) -> set[str]:
        """Types of the gold entities that training would take."""

    def gold(self, example: Example, types: Sequence[str]) -> Array:
        """Gold labels on the tokens of the prediction; first axis n_tokens."""

    def label_counts(self, gold: Array, types: Sequence[str]) -> Array:
        """Tokens of each column; shape (n_columns,)."""

    def neighbor_labels(self, gold: Array, types: Sequence[str]) -> tuple[Array, int]:
        """Labels (n_tokens,) under which tokens become neighbours, `MISSING` for none; how many."""

    def from_logits(self, loss: TokenLoss, logits: Array, **lengths: Any) -> Array:
        """Probabilities by the model itself; first axis n_tokens."""

    def from_votes(self, votes: Array) -> Array:
        """Probabilities by the votes (n_tokens, n) for the labels of `neighbor_labels`."""

    def annotate(
        self, docs: Sequence[Doc], probabilities: Sequence[Array], types: Sequence[str]
    ) -> None:
        """Write the entities into the documents."""

    def get_arrays(self) -> dict[str, Array]:
        """What belongs to the neighbours' labels and is saved with them."""

    def set_arrays(self, arrays: dict[str, Array]) -> None:
        """Take over what `get_arrays` gave."""


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

    def neighbor_labels(self, gold: Array, types: Sequence[str]) -> tuple[Array, int]:
        """The columns themselves."""
        return gold, n_columns(len(types))

    def from_logits(self, loss: TokenLoss, logits: Array, **lengths: Any) -> Array:
        """Probabilities (n_tokens, n_columns)."""
        return loss.probabilities(logits, **lengths)

    def from_votes(self, votes: Array) -> Array:
        """The votes as they are (n_tokens, n_columns)."""
        return votes

    def annotate(
        self, docs: Sequence[Doc], probabilities: Sequence[Array], types: Sequence[str]
    ) -> None:
        """Add the entities of the best well-formed label sequences to ``doc.ents``."""
        paths = best_paths(probabilities, [taken_tokens(doc) for doc in docs])
        for doc, path in zip(docs, paths, strict=True):
            spans = [trimmed_span(doc, s, e, types[kind]) for s, e, kind in labels_to_spans(path)]
            add_entities(doc, [span for span in spans if span is not None])

    def get_arrays(self) -> dict[str, Array]:
        """Nothing."""
        return {}

    def set_arrays(self, arrays: dict[str, Array]) -> None:
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

    def neighbor_labels(self, gold: Array, types: Sequence[str]) -> tuple[Array, int]:
        """Indices of the distinct rows of layer labels, kept as ``rows``."""
        self.rows, indices = distinct_rows(gold)
        return indices, len(self.rows)

    def from_logits(self, loss: TokenLoss, logits: Array, **lengths: Any) -> Array:
        """Probabilities (n_tokens, n_types, 3)."""
        assert isinstance(loss, BinaryTokenLabels)  # the component has seen to it
        return loss.layer_probabilities(logits)

    def from_votes(self, votes: Array) -> Array:
        """Probabilities (n_tokens, n_types, 3)."""
        return row_votes_to_layers(votes, self.rows)

    def annotate(
        self, docs: Sequence[Doc], probabilities: Sequence[Array], types: Sequence[str]
    ) -> None:
        """Write all entities with their ``scores`` into ``doc.spans[key]``, the best into ``ents``.

        ``doc.ents`` keeps what was there, and gets the entities of highest score that fit beside.
        """
        for doc, values in zip(docs, probabilities, strict=True):
            scored = [
                (span, score)
                for (start, end, kind), score in layers_to_spans(best_layer_paths(values), values)
                if (span := trimmed_span(doc, start, end, types[kind])) is not None
            ]
            scores = np.array([score for _, score in scored], dtype=np.float32)
            spans = [span for span, _ in scored]
            doc.spans[self.key] = SpanGroup(
                doc, name=self.key, spans=spans, attrs={"scores": scores}
            )
            taken, chosen = taken_tokens(doc), []
            for span, _ in sorted(scored, key=lambda item: -item[1]):
                if not taken[span.start : span.end].any():
                    taken[span.start : span.end] = True
                    chosen.append(span)
            add_entities(doc, chosen)

    def get_arrays(self) -> dict[str, Array]:
        """The distinct rows of layer labels."""
        return {"rows": self.rows}

    def set_arrays(self, arrays: dict[str, Array]) -> None:
        """Take over what `get_arrays` gave."""
        self.rows = arrays.get("rows", self.rows)
