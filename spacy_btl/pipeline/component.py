"""The spaCy component: training, and what is asked of its neighbours."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example, validate_examples, validate_get_examples
from thinc.api import Optimizer, set_dropout_rate

from ..explain.evidence import EntityEvidence
from ..labels.bio import column_names, n_columns
from . import editing, explaining, fitting
from .prediction import NeighborNer
from .shared_encoder import has_listener
from .state import Logits


class BtlKnnNer(NeighborNer):
    """Named entity recognition that can be trained; see `pipeline.state` for its settings."""

    def add_label(self, label: str) -> int:
        """Add an entity type before initialization; 1 if it is new, else 0.

        Raises ValueError for a label that is no string, or once the head has its columns.
        """
        if not isinstance(label, str) or not label:
            raise ValueError(f"a label must be a non-empty string, not {label!r}")
        if label in self.cfg["labels"]:
            return 0
        if self.model.get_ref("output_layer").has_dim("nO"):
            raise ValueError(
                f'"{label}" cannot be added to "{self.name}": its head has columns for '
                f"{len(self.cfg['labels'])} labels already. Initialize and train again with all "
                "labels, or add examples to its neighbours (spacy btl add-examples)"
            )
        self.cfg["labels"].append(label)
        self.vocab.strings.add(label)
        return 1

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: Sequence[str] | None = None,
    ) -> None:
        """Take labels and class weights from the examples and set the model's dimensions.

        labels: entity types, in order; where None those added before or, without any, those of the
            examples. Raises ValueError where there is none, or where the examples have others.
        """
        validate_get_examples(get_examples, "BtlKnnNer.initialize")
        self.forget_neighbors()
        seen = {label for eg in get_examples() for label in self.reading.entity_labels(eg)}
        for label in labels if labels is not None else self.labels or sorted(seen):
            self.add_label(label)
        if not self.labels:
            raise ValueError(
                f'"{self.name}" has no labels: the training data holds no entity in doc.ents, and '
                "no labels were given. Check the data (python -m spacy btl convert writes doc.ents)"
            )
        if unknown := seen - set(self.labels):
            raise ValueError(
                f'the training data of "{self.name}" has labels that were not given: '
                f"{', '.join(sorted(unknown))}"
            )
        columns = n_columns(len(self.labels))
        counts = np.zeros(columns, dtype=np.int64)
        for example in get_examples():
            counts += self.reading.label_counts(self.gold([example]), self.labels)
        self.loss.prepare(counts, column_names(self.labels))
        output = self.model.get_ref("output_layer")
        if output.maybe_get_dim("nO") not in (None, columns):
            raise ValueError(
                f'the head of "{self.name}" has {output.get_dim("nO")} columns, but '
                f"{len(self.labels)} labels need {columns}"
            )
        output.set_dim("nO", columns)
        docs = [example.x for example in islice(get_examples(), 10)]
        self.model.initialize(X=[doc for doc in docs if len(doc)] or docs)

    def update(self, examples: Iterable[Example], **kwargs: Any) -> dict[str, float]:
        """As any component's; neighbours fitted on the weights before are given up.

        Raises ValueError before `initialize`.
        """
        if self.model.get_ref("output_layer").maybe_get_dim("nO") is None:
            raise ValueError(
                f'"{self.name}" is not initialized: nlp.initialize(get_examples) before nlp.update'
            )
        self._drop_neighbors()
        losses: dict[str, float] = super().update(examples, **kwargs)
        return losses

    def rehearse(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Callable[..., Any] | None = None,
        losses: dict[str, float] | None = None,
        **config: Any,
    ) -> dict[str, float]:
        """Pull the logits back to what they were at ``nlp.resume_training``; before, do nothing.

        Half the mean over the tokens of the squared distance is minimized; gold labels take no
        part. ``nlp.resume_training`` keeps a copy of the model for it. Raises ValueError where the
        model takes the token vectors of a shared encoder.
        """
        losses, docs = {} if losses is None else losses, [example.predicted for example in examples]
        if self._rehearsal_model is None or not any(len(doc) for doc in docs):
            return losses
        if has_listener(self.model):
            raise ValueError(
                f'"{self.name}" cannot be rehearsed on the token vectors of a shared encoder: '
                f'nlp.replace_listeners gives it a copy, nlp.rehearse(exclude=["{self.name}"]) '
                "leaves it out"
            )
        self._drop_neighbors()
        set_dropout_rate(self.model, drop)
        logits, backprop = self.model.begin_update(docs)
        ops: Any = self.model.ops
        off = ops.flatten(logits) - ops.flatten(self._rehearsal_model.predict(docs))
        backprop(ops.unflatten(off / len(off), [len(doc) for doc in docs]))
        if sgd is not None:
            # spaCy applies the gradients later, when torch has set its own to 0: hand over copies.
            self.finish_update(lambda key, weights, grad: sgd(key, weights, grad.copy()))
        losses[self.name] = losses.get(self.name, 0.0) + float((off**2).sum()) / (2 * len(off))
        return losses

    def finish_update(self, sgd: Optimizer | Callable[..., Any]) -> None:
        """Let the optimizer change the weights, and count it: ``cfg["updates"]``."""
        super().finish_update(sgd)
        if hasattr(self.loss, "finish_update"):  # it has parameters of its own
            self.loss.finish_update(sgd)
        self.cfg["updates"] += 1

    def _drop_neighbors(self) -> None:
        """Neighbours do not outlive a change of the weights."""
        if self.neighbors.datastore is not None:
            warnings.warn(
                f'the neighbours of "{self.name}" belong to the weights before this update and are '
                "dropped; run fit-knn again after training",
                stacklevel=3,
            )
            self.forget_neighbors()

    def get_loss(self, examples: Iterable[Example], scores: Logits) -> tuple[float, Logits]:
        """Loss of the logits and their gradient, document by document."""
        examples = list(examples)
        validate_examples(examples, "BtlKnnNer.get_loss")
        ops: Any = self.model.ops
        gold = ops.asarray(self.gold(examples))
        docs = [example.predicted for example in examples]
        d_logits, loss = self.loss(ops.flatten(scores), gold, **self._lengths(docs))
        return loss, ops.unflatten(d_logits, [len(doc) for doc in docs])

    def fit_neighbors(self, examples: Iterable[Example], **settings: Any) -> int:
        """Let the labelled tokens of these examples vote; see `pipeline.fitting`."""
        return fitting.fit_neighbors(self, examples, **settings)

    def add_examples(self, examples: Iterable[Example], **settings: Any) -> editing.Edit:
        """Let the labelled tokens of further examples vote too; see `pipeline.editing`."""
        return editing.add_examples(self, examples, **settings)

    def remove_documents(self, documents: Iterable[str]) -> int:
        """Take all neighbours of these documents out; returns their number."""
        return editing.remove_documents(self, documents)

    def explain(self, doc: Doc) -> list[EntityEvidence]:
        """The entities of a document, each with the neighbours that speak for it."""
        return explaining.explain(self, doc)


def component_of(nlp: Language, name: str | None = None) -> BtlKnnNer:
    """The component btl_knn_ner of a pipeline, or that of this name; ValueError but for one."""
    pipes = [
        pipe for key, pipe in nlp.pipeline if isinstance(pipe, BtlKnnNer) and name in (None, key)
    ]
    if len(pipes) != 1:
        raise ValueError(f"the pipeline has {len(pipes)} components btl_knn_ner, not one")
    return pipes[0]
