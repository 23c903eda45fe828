"""Prediction: logits, their reading as label probabilities, entities in the document."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from spacy import util
from spacy.tokens import Doc
from spacy.training import Example

from ..labels.bio import n_columns
from .entities import Found, write_scores
from .shared_encoder import check_read
from .state import ComponentState
from .streaming import annotated

Vectors = npt.NDArray[np.floating]
Probabilities = list[npt.NDArray[np.floating]]


class NeighborNer(ComponentState):
    """Entities from token logits, read by the model itself or by its neighbours."""

    def predict(self, docs: Iterable[Doc]) -> Probabilities:
        """Label probabilities of each document; first axis n_tokens.

        They are the votes of the neighbours and the model's own, mixed by ``neighbor_weight``; of
        types that the neighbours alone know, their votes count in full. Raises ValueError
        where the neighbours belong to other weights.
        """
        docs = list(docs)
        logits, keys = self.token_vectors(docs)
        weight = self.neighbor_weight if self.has_neighbors else 0.0
        own = self.model_probabilities(docs, logits) if weight < 1 else None
        flat: Any = own
        if weight > 0 or (self.has_neighbors and self.cfg["added_labels"]):
            self.check_neighbors()
            flat = self.mixed(self.neighbors.predict_proba(keys), own, weight)
        return np.split(flat, np.cumsum([len(doc) for doc in docs])[:-1])[: len(docs)]

    def mixed(self, shares: Any, own: Any, weight: float) -> Any:
        """Label probabilities by the votes and by the model; first axis n_tokens.

        shares: (n_tokens, n_neighbor_labels) of the vote. own: the model's probabilities, which may
        be None where ``weight``, the share of the votes, is 1.
        """
        votes = self.reading.from_votes(shares, len(self.labels))
        n_own = len(self.cfg["labels"])
        return votes if own is None else self.reading.mix(votes, own, weight, n_own)

    def set_annotations(self, docs: Iterable[Doc], scores: Probabilities) -> None:
        """Write the entities of the best well-formed label sequences into the documents.

        Entities that are there already, and tokens blocked by another component, stay as they are.
        """
        docs = list(docs)
        for doc, found in zip(docs, self.find(docs, scores), strict=True):
            self.write(doc, found)

    def write(self, doc: Doc, found: Found) -> None:
        """Write entities with their scores into a document."""
        self.reading.write(doc, found)
        if self.scores_key is not None:
            write_scores(doc, self.scores_key, found)

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Annotate a stream, batch by batch; see `pipeline.streaming` for what fails."""
        for docs in util.minibatch(stream, batch_size):  # type: ignore[no-untyped-call]
            yield from annotated(self, docs)

    def find(self, docs: Sequence[Doc], probabilities: Probabilities) -> list[Found]:
        """Entities with their scores, those under the threshold of their type left out."""
        every = self.reading.find(docs, probabilities, self.labels)
        if (calibration := self.calibration) is not None:
            every = [found.calibrate(calibration) for found in every]
        thresholds = self.thresholds
        if lapsed := self.lapsed_thresholds:
            warnings.warn(
                f'the scores of "{self.name}" are not calibrated as they were when dev chose its '
                f"thresholds for {', '.join(sorted(lapsed))}, which therefore do not apply. Choose "
                "anew (python -m spacy btl fit-knn MODEL TRAIN OUT --dev DEV --thresholds f1), or "
                "set other values by hand",
                stacklevel=2,
            )
            thresholds = {name: v for name, v in thresholds.items() if name not in lapsed}
        return [found.kept(thresholds) for found in every] if thresholds else every

    def token_vectors(self, docs: Sequence[Doc]) -> tuple[Vectors, Vectors]:
        """Logits (n_tokens, n_columns) and keys (n_tokens, width) of all tokens, on the CPU."""
        if not any(len(doc) for doc in docs):
            columns = n_columns(len(self.cfg["labels"]))
            head = self.model.get_ref("output_layer")
            width = columns if self.keys == "logits" else head.maybe_get_dim("nI") or 0
            return np.zeros((0, columns), np.float32), np.zeros((0, width), np.float32)
        check_read(self.model, docs, self.name)
        ops: Any = self.model.ops
        if self.keys == "logits":
            logits = np.asarray(ops.to_numpy(ops.flatten(self.model.predict(list(docs)))))
            return logits, logits
        hidden: Any = ops.flatten(self.model.get_ref("tok2vec").predict(list(docs)))
        output = self.model.get_ref("output_layer").predict(hidden)
        return np.asarray(ops.to_numpy(output)), np.asarray(ops.to_numpy(hidden))

    def model_probabilities(self, docs: Sequence[Doc], logits: Vectors) -> Any:
        """What the model itself makes of its logits; first axis n_tokens."""
        lengths = self._lengths(docs)
        return self.reading.from_logits(self.loss, logits, len(self.labels), **lengths)

    def gold(self, examples: Iterable[Example], types: Sequence[str] | None = None) -> Any:
        """Gold labels of all tokens, as the reading has them; of the head's types by default."""
        types = self.cfg["labels"] if types is None else types
        return np.concatenate([self.reading.gold(example, types) for example in examples])

    def _lengths(self, docs: Sequence[Doc]) -> dict[str, Any]:
        """What a loss over whole documents must know beside their tokens."""
        if getattr(self.loss, "needs_lengths", False):
            return {"lengths": [len(doc) for doc in docs]}
        return {}
