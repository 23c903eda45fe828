"""Two schemes for entities as labels: flat, and one layer for each type.

The component uses its scheme for gold labels, for label probabilities, for the entities in them,
and to write these into documents. It does not depend on either scheme.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from spacy.tokens import Doc, Span
from spacy.training import Example

from ..data.gold import check_annotated
from ..data.label_sets import label_set_of
from ..labels.bio import MISSING, OUTSIDE, LabelSpan, column_names, labels_to_spans, n_columns
from ..labels.calibration import ScoreCalibration
from ..labels.confidence import (
    layer_span_context,
    layer_span_scores,
    span_context,
    span_scores,
)
from ..labels.layers import (
    BEGIN,
    INSIDE,
    OPEN,
    best_layer_paths,
    distinct_rows,
    layers_to_spans,
    row_names,
    row_votes_to_layers,
    spans_to_layers,
)
from ..labels.open_votes import VoteLabels, label_tokens, plain_labels, votes_to_columns
from ..labels.viterbi import best_paths
from ..training.losses import TokenLoss
from ..util.arrays import (
    Bools1d,
    Bools2d,
    Float32s2d,
    Floats1d,
    Floats2d,
    Floats3d,
    FloatsXd,
    Ints1d,
    Ints2d,
    IntsXd,
)
from .entities import ScoredSpans

# Values of Token.ent_iob; a begin without a type is a blocked token.
IOB_INSIDE, IOB_BEGIN = 1, 3

Arrays = Mapping[str, Any]
"""Arrays by name, as a datastore keeps them."""


class LabelScheme(Protocol):
    """The correspondence of entities and labels; ``types`` are entity types in column order."""

    def entity_labels(self, example: Example) -> set[str]:
        """Return the types of the gold entities that training would take."""

    def gold(self, example: Example, types: Sequence[str]) -> IntsXd:
        """Return gold labels on the tokens of the prediction; the first axis is n_tokens."""

    def label_counts(self, gold: IntsXd, types: Sequence[str]) -> Ints1d:
        """Return the number of tokens of each column; shape (n_columns,)."""

    def neighbor_labels(
        self, gold: IntsXd, types: Sequence[str], annotated: Bools2d | None = None
    ) -> tuple[Ints1d, list[str]]:
        """Return labels (n_tokens,) for tokens that become neighbors, and the labels' names.

        Tokens with `MISSING` do not become neighbors. Labels that were given before keep their
        number.

        Args:
            gold: Gold labels; the first axis is n_tokens.
            types: Entity types in column order.
            annotated: (n_tokens, n_types) bool, the types that the token's document annotates; None
                for all. A token does not vote on others.
        """

    def from_logits(self, loss: TokenLoss, logits: Floats2d, lengths: Sequence[int]) -> FloatsXd:
        """Return the probabilities that logits mean; the first axis is n_tokens."""

    def mixed(
        self,
        own: FloatsXd | None,
        votes: Floats2d | None,
        weight: float,
        n_own: int,
        n_types: int,
    ) -> FloatsXd:
        """Mix the model's probabilities and the votes; the first axis is n_tokens.

        Args:
            own: Probabilities of `from_logits` for the first ``n_own`` types; may be None if
                ``weight`` is 1.
            votes: (n_tokens, n_labels), for the labels of `neighbor_labels`; may be None if
                ``weight`` is 0 and there are no further types.
            weight: Share of the votes; the rest is the model's. Types after the first ``n_own`` are
                unknown to the model: they get all of their votes.
            n_own: Number of types that the model knows.
            n_types: Number of all types.
        """

    def find(
        self, docs: Sequence[Doc], probabilities: Sequence[FloatsXd], types: Sequence[str]
    ) -> list[ScoredSpans]:
        """Return the entities of the most probable labels of each document, with raw scores."""

    def context(
        self, probabilities: FloatsXd, found: ScoredSpans, types: Sequence[str]
    ) -> Float32s2d:
        """Return what is around the entities of a document (n_entities, 3), for their calibration.

        Args:
            probabilities: Label probabilities of the document; the first axis is n_tokens.
            found: Its entities.
            types: Entity types in column order.
        """

    def write(self, doc: Doc, scored: ScoredSpans) -> None:
        """Add the entities that fit beside each other to ``doc.ents``."""

    def get_arrays(self) -> Arrays:
        """Return what belongs to the neighbors' labels and is saved with them."""

    def set_arrays(self, arrays: Arrays) -> None:
        """Take over what `get_arrays` returned; from nothing, forget."""


class FlatScheme:
    """One label for each token, from ``doc.ents`` and back.

    Neighbors have the columns as labels. Where documents do not annotate all types, there are
    further ones for their ``O`` (`labels.open_votes`).
    """

    def __init__(self) -> None:
        self.votes: VoteLabels | None = None

    def entity_labels(self, example: Example) -> set[str]:
        """Return the types in ``doc.ents`` of the reference."""
        return {ent.label_ for ent in example.reference.ents}

    def gold(self, example: Example, types: Sequence[str]) -> Ints1d:
        """Return the columns (n_tokens,) of the gold labels.

        A token whose label is missing, or cannot be aligned, gets `MISSING`.

        Raises:
            ValueError: If the label of an entity is not one of ``types``, or not annotated.
        """
        check_annotated(example.reference, self.entity_labels(example))
        first = {label: n_columns(i) for i, label in enumerate(types)}
        gold = np.full(len(example.predicted), MISSING, dtype=np.int64)
        for i, tag in enumerate(example.get_aligned_ner()):
            if tag == "O":
                gold[i] = OUTSIDE
            elif tag not in (None, "-"):
                prefix, label = tag[0], tag[2:]
                if label not in first:
                    raise ValueError(_unknown_label(label, types))
                gold[i] = first[label] + (prefix in "IL")
        return gold

    def label_counts(self, gold: IntsXd, types: Sequence[str]) -> Ints1d:
        """Return the number of tokens of each column; shape (n_columns,)."""
        return np.bincount(gold[gold != MISSING], minlength=n_columns(len(types)))

    def neighbor_labels(
        self, gold: IntsXd, types: Sequence[str], annotated: Bools2d | None = None
    ) -> tuple[Ints1d, list[str]]:
        """Return the columns themselves, as long as all types are annotated."""
        if annotated is None and self.votes is None:
            return gold, column_names(types)
        if annotated is None:
            annotated = np.ones((len(gold), len(types)), dtype=bool)
        known = self.votes or plain_labels(len(types))
        self.votes, labels = label_tokens(gold, annotated, known)
        return labels, self.votes.names(types)

    def from_logits(self, loss: TokenLoss, logits: Floats2d, lengths: Sequence[int]) -> Floats2d:
        """Return probabilities (n_tokens, n_columns)."""
        probabilities: Floats2d = loss.probabilities(logits, lengths=lengths)
        return probabilities

    def mixed(
        self,
        own: FloatsXd | None,
        votes: Floats2d | None,
        weight: float,
        n_own: int,
        n_types: int,
    ) -> Floats2d:
        """Return probabilities (n_tokens, n_columns); the model shares what new types leave."""
        columns, known = n_columns(n_types), n_columns(n_own)
        if votes is None:
            assert own is not None
            return _padded(own, columns)
        if self.votes is not None:
            votes = votes_to_columns(votes, self.votes, n_types)
        votes = _padded(votes, columns)
        if own is None:
            return votes
        new = votes[:, known:]
        mixed: Floats2d = weight * votes
        mixed += (1 - weight) * (1 - new.sum(axis=1, keepdims=True)) * _padded(own, columns)
        mixed[:, known:] = new
        return mixed

    def find(
        self, docs: Sequence[Doc], probabilities: Sequence[FloatsXd], types: Sequence[str]
    ) -> list[ScoredSpans]:
        """Return the entities of the best well-formed label sequence, beside ``doc.ents``."""
        paths = best_paths(probabilities, [taken_tokens(doc) for doc in docs])
        found = []
        for doc, values, path in zip(docs, probabilities, paths, strict=True):
            tokens = labels_to_spans(path)
            found.append(_to_entities(doc, tokens, span_scores(values, tokens), types))
        return found

    def context(
        self, probabilities: FloatsXd, found: ScoredSpans, types: Sequence[str]
    ) -> Float32s2d:
        """Return what is around the entities (n_entities, 3)."""
        return span_context(probabilities, _tokens_of(found, types))

    def write(self, doc: Doc, scored: ScoredSpans) -> None:
        """Add all entities to ``doc.ents``."""
        add_entities(doc, scored.spans)

    def get_arrays(self) -> Arrays:
        """Return the labels of the neighbors, nothing where these are the columns."""
        if self.votes is None:
            return {}
        return {"columns": self.votes.columns, "annotated": self.votes.annotated}

    def set_arrays(self, arrays: Arrays) -> None:
        """Take over what `get_arrays` returned; from nothing, forget."""
        self.votes = None
        if "columns" in arrays:
            self.votes = VoteLabels(arrays["columns"], arrays["annotated"].astype(bool))


class LayeredScheme:
    """A BIO layer for each type, from ``doc.spans[key]`` and back; ``doc.ents`` gets a flat choice.

    Entities of different types may overlap. Neighbors are labeled with the whole row of a token's
    layer labels; a corpus has a few hundred of them.
    """

    def __init__(self, key: str) -> None:
        self.key = key
        self.rows: Ints2d = np.zeros((0, 0), dtype=np.int64)

    def entity_labels(self, example: Example) -> set[str]:
        """Return the types in ``doc.spans[key]`` of the reference."""
        return {span.label_ for span in example.reference.spans.get(self.key, [])}

    def gold(self, example: Example, types: Sequence[str]) -> Ints2d:
        """Return layer labels (n_tokens, n_types) of the gold spans, which may overlap.

        The tokens of a span that cannot be aligned, or that shares a token with a longer one of its
        type, get `MISSING` in its layer, and keep what they have of the other span. All
        tokens in the layer of a type that the document does not annotate get `MISSING`, too.

        Raises:
            ValueError: If a label is not one of ``types`` or not annotated, or the reference has no
                spans under the key.
        """
        doc, reference = example.predicted, example.reference
        if self.key not in reference.spans:
            raise ValueError(
                f'a training document has no spans under "{self.key}" (doc.spans["{self.key}"])'
            )
        check_annotated(reference, self.entity_labels(example))
        index = {label: i for i, label in enumerate(types)}
        spans: list[LabelSpan] = []
        lost: list[LabelSpan] = []
        for span in reference.spans[self.key]:
            if span.label_ not in index:
                raise ValueError(_unknown_label(span.label_, types))
            exact = doc.char_span(span.start_char, span.end_char)
            near = exact or doc.char_span(span.start_char, span.end_char, alignment_mode="expand")
            if near is not None:
                (spans if exact else lost).append((near.start, near.end, index[span.label_]))
        layers, crowded = spans_to_layers(spans, len(doc), len(types))
        for start, end, kind in [*lost, *crowded]:
            part = layers[start:end, kind]
            part[part == OUTSIDE] = MISSING
        if (known := _annotated(example, types)) is not None:
            layers[:, ~known] = MISSING
        return layers

    def label_counts(self, gold: IntsXd, types: Sequence[str]) -> Ints1d:
        """Return the tokens of each column, those in no layer as ``O``; shape (n_columns,)."""
        counts = np.zeros(n_columns(len(types)), dtype=np.int64)
        counts[0] = (gold == OUTSIDE).all(axis=1).sum()
        counts[1::2], counts[2::2] = (gold == BEGIN).sum(axis=0), (gold == INSIDE).sum(axis=0)
        return counts

    def neighbor_labels(
        self, gold: IntsXd, types: Sequence[str], annotated: Bools2d | None = None
    ) -> tuple[Ints1d, list[str]]:
        """Return indices of the distinct rows of layer labels, which are kept as ``rows``."""
        if annotated is not None:
            gold = np.where(annotated, gold, OPEN)
        self.rows, indices = distinct_rows(gold, self.rows)
        return indices, row_names(self.rows, types)

    def from_logits(self, loss: TokenLoss, logits: Floats2d, lengths: Sequence[int]) -> Floats3d:
        """Return probabilities (n_tokens, n_types, 3)."""
        probabilities: Floats3d = loss.layer_probabilities(logits, lengths=lengths)
        return probabilities

    def mixed(
        self,
        own: FloatsXd | None,
        votes: Floats2d | None,
        weight: float,
        n_own: int,
        n_types: int,
    ) -> Floats3d:
        """Return probabilities (n_tokens, n_types, 3), mixed layer by layer."""
        if votes is None:
            assert own is not None
            return _padded_layers(own, n_types)
        shares = _padded_layers(row_votes_to_layers(votes, self.rows), n_types)
        if own is None:
            return shares
        mixed: Floats3d = weight * shares + (1 - weight) * _padded_layers(own, n_types)
        mixed[:, n_own:] = shares[:, n_own:]
        return mixed

    def find(
        self, docs: Sequence[Doc], probabilities: Sequence[FloatsXd], types: Sequence[str]
    ) -> list[ScoredSpans]:
        """Return the entities of the best well-formed label sequence of each layer."""
        found = []
        for doc, values in zip(docs, probabilities, strict=True):
            tokens = layers_to_spans(best_layer_paths(values))
            found.append(_to_entities(doc, tokens, layer_span_scores(values, tokens), types))
        return found

    def context(
        self, probabilities: FloatsXd, found: ScoredSpans, types: Sequence[str]
    ) -> Float32s2d:
        """Return what is around the entities (n_entities, 3), layer by layer."""
        return layer_span_context(probabilities, _tokens_of(found, types))

    def write(self, doc: Doc, scored: ScoredSpans) -> None:
        """Add the entities of highest score that fit beside each other to ``doc.ents``."""
        taken, chosen = taken_tokens(doc), []
        for i in np.argsort(-scored.scores, kind="stable"):
            span = scored.spans[i]
            if not taken[span.start : span.end].any():
                taken[span.start : span.end] = True
                chosen.append(span)
        add_entities(doc, chosen)

    def get_arrays(self) -> Arrays:
        """Return the distinct rows of layer labels."""
        return {"rows": self.rows}

    def set_arrays(self, arrays: Arrays) -> None:
        """Take over what `get_arrays` returned; from nothing, forget."""
        self.rows = arrays.get("rows", np.zeros((0, 0), dtype=np.int64))


def calibrated(
    scheme: LabelScheme,
    probabilities: Sequence[FloatsXd],
    every: Sequence[ScoredSpans],
    types: Sequence[str],
    calibration: ScoreCalibration,
) -> list[ScoredSpans]:
    """Return the entities of each document with probabilities for their raw scores.

    Args:
        scheme: The scheme that has found them.
        probabilities: Label probabilities of each document; the first axis is n_tokens.
        every: The entities of each document.
        types: Entity types in column order.
        calibration: The calibration.
    """
    return [
        found.calibrate(calibration, scheme.context(values, found, types))
        for values, found in zip(probabilities, every, strict=True)
    ]


def count_labels(scheme: LabelScheme, examples: Iterable[Example], types: Sequence[str]) -> Ints1d:
    """Return the number of tokens of each column (n_columns,) over all examples.

    A token counts as ``O`` if it is in no entity of the types that its document annotates.
    """
    counts = np.zeros(n_columns(len(types)), dtype=np.int64)
    for example in examples:
        gold = scheme.gold(example, types)
        if gold.ndim == 2 and (known := _annotated(example, types)) is not None:
            gold[:, ~known] = OUTSIDE
        counts += scheme.label_counts(gold, types)
    return counts


def annotated_types(
    examples: Sequence[Example], types: Sequence[str], unseen: Collection[str] = ()
) -> Bools2d | None:
    """Return which types are annotated (n_tokens, n_types) on the tokens of the predictions.

    None where all documents annotate all of these types, whatever else their label sets name.

    Args:
        examples: Annotated documents.
        types: Entity types in column order.
        unseen: Types that only documents with an entity of them annotate, where these have no
            label set.
    """
    masks = [_annotated(example, types, unseen) for example in examples]
    if all(mask is None for mask in masks):
        return None
    every = np.ones(len(types), dtype=bool)
    rows = np.stack([every if mask is None else mask for mask in masks])
    return np.repeat(rows, [len(example.predicted) for example in examples], axis=0)


def _annotated(
    example: Example, types: Sequence[str], unseen: Collection[str] = ()
) -> Bools1d | None:
    """Return which of the types a document annotates (n_types,); None for all of them."""
    known = label_set_of(example.reference)
    if known is None and unseen:
        doc = example.reference
        found = {span.label_ for group in (doc.ents, *doc.spans.values()) for span in group}
        known = frozenset(found.union(types).difference(set(unseen) - found))
    if known is None or known.issuperset(types):
        return None
    return np.array([kind in known for kind in types], dtype=bool)


def taken_tokens(doc: Doc) -> Bools1d:
    """Return which tokens are in an entity already, or blocked for entities; shape (n_tokens,)."""
    iob = doc.to_array("ENT_IOB")
    return np.asarray((iob == IOB_INSIDE) | (iob == IOB_BEGIN))


def trimmed_span(doc: Doc, start: int, end: int, label: str) -> Span | None:
    """Return the span without white space at its ends; None if there is nothing else in it."""
    while start < end and doc[start].is_space:
        start += 1
    while start < end and doc[end - 1].is_space:
        end -= 1
    return Span(doc, start, end, label=label) if start < end else None


def add_entities(doc: Doc, spans: Sequence[Span]) -> None:
    """Add spans that share no token with the entities in ``doc.ents``.

    Entities that are there, and blocked tokens, stay as they are; all other tokens become ``O``.
    """
    iob, kind = doc.to_array(["ENT_IOB", "ENT_TYPE"]).T
    blocked = np.flatnonzero((iob == IOB_BEGIN) & (kind == 0)).tolist()
    doc.set_ents([*doc.ents, *spans], blocked=[doc[i : i + 1] for i in blocked], default="outside")


def _to_entities(
    doc: Doc, tokens: Sequence[LabelSpan], scores: Floats1d, types: Sequence[str]
) -> ScoredSpans:
    """Return spans of tokens as entities, without those that are nothing but white space."""
    spans = [trimmed_span(doc, start, end, types[kind]) for start, end, kind in tokens]
    kept = [i for i, span in enumerate(spans) if span is not None]
    calibrated = np.zeros(len(kept), dtype=np.bool_)
    return ScoredSpans([span for span in spans if span is not None], scores[kept], calibrated)


def _tokens_of(found: ScoredSpans, types: Sequence[str]) -> list[LabelSpan]:
    """Return entities as spans of tokens."""
    index = {label: i for i, label in enumerate(types)}
    return [(span.start, span.end, index[span.label_]) for span in found.spans]


def _unknown_label(label: str, types: Sequence[str]) -> str:
    return (
        f'"{label}" is not one of the trained labels: {", ".join(types)}. To train on with it, '
        "call add_label of the component, or set [initialize.after_init] to "
        "spacy-btl.add_labels.v1"
    )


def _padded(probabilities: Floats2d, columns: int) -> Floats2d:
    """Append columns of zeros for types that were added."""
    missing = columns - probabilities.shape[1]
    return np.pad(probabilities, ((0, 0), (0, missing))) if missing else probabilities


def _padded_layers(probabilities: Floats3d, n_types: int) -> Floats3d:
    """Append layers of nothing but ``O`` for types that were added."""
    missing = n_types - probabilities.shape[1]
    if not missing:
        return probabilities
    padded = np.pad(probabilities, ((0, 0), (0, missing), (0, 0)))
    padded[:, -missing:, 0] = 1
    return padded
