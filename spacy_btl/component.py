"""The spaCy component: logits, their reading as label probabilities, and ``doc.ents``."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import srsly
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays
from spacy import util
from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.vocab import Vocab
from thinc.api import Model, Optimizer
from thinc.types import Floats2d
from tqdm import tqdm

from .labels import MISSING, column_names, n_columns
from .losses import TokenLoss
from .neighbors import NeighborSearch
from .readings import FlatReading, LayeredReading, Reading
from .scorer import score_ner
from .weights import ClassWeights

Logits = list[Floats2d]
Probabilities = list[npt.NDArray[np.floating]]


class BtlKnnNer(TrainablePipe):  # type: ignore[misc]
    """Named entity recognition from token logits, read by the model itself or by its neighbours.

    model: documents to logits (n_tokens, 1 + 2 * n_types) each.
    loss: logits and labels to gradient and loss; it also reads logits as probabilities.
    class_weights: how the loss weighs the labels; None for no weights.
    neighbors: classifies logits once `fit_neighbors` has filled it; until then, and again after
        any update of the weights, the model's own probabilities decide.
    spans_key: None for entities that do not overlap, in ``doc.ents``. A key for entities of unlike
        types that may overlap: they are learned from ``doc.spans[spans_key]`` of the reference and
        written there, with ``attrs["scores"]``, and ``doc.ents`` gets the best that fit.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Model[list[Doc], Logits],
        name: str = "btl_knn_ner",
        *,
        loss: TokenLoss,
        class_weights: ClassWeights | None = None,
        neighbors: NeighborSearch,
        scorer: Callable[..., dict[str, Any]] | None = score_ner,
        spans_key: str | None = None,
    ) -> None:
        if spans_key is not None and not getattr(loss, "has_layers", False):
            raise ValueError(
                f'"{name}" cannot learn the overlapping entities of doc.spans["{spans_key}"] with '
                'this loss; take spacy-btl.BinaryTokenLabels.v1 with softmax = "pair", or leave '
                "spans_key out"
            )
        self.vocab = vocab
        self.model = model
        self.name = name
        self.loss = loss
        self.loss.weighting = class_weights
        self.neighbors = neighbors
        self.scorer = scorer
        self.spans_key = spans_key
        self.reading: Reading = LayeredReading(spans_key) if spans_key else FlatReading()
        self.cfg: dict[str, Any] = {"labels": [], "updates": 0}

    @property
    def labels(self) -> tuple[str, ...]:
        """Entity types, in the order of their columns."""
        return tuple(self.cfg["labels"])

    @property
    def label_data(self) -> list[str]:
        """Entity types, as `initialize` takes them."""
        return list(self.labels)

    def add_label(self, label: str) -> int:
        """Add an entity type before initialization; 1 if it is new, else 0.

        Raises ValueError for a label that is no string, or once the head has its columns.
        """
        if not isinstance(label, str) or not label:
            raise ValueError(f"a label must be a non-empty string, not {label!r}")
        if label in self.labels:
            return 0
        if self.model.get_ref("output_layer").has_dim("nO"):
            raise ValueError(
                f'"{label}" cannot be added to "{self.name}": its head has columns for '
                f"{len(self.labels)} labels already. Initialize and train again with all labels."
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
            counts += self.reading.label_counts(self._gold([example]), self.labels)
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
        """As any component's; neighbours fitted on the weights before are given up."""
        if self.neighbors.is_fitted:
            warnings.warn(
                f'the neighbours of "{self.name}" belong to the weights before this update and are '
                "dropped; run fit-knn again after training",
                stacklevel=2,
            )
            self.neighbors.reset()
        losses: dict[str, float] = super().update(examples, **kwargs)
        return losses

    def finish_update(self, sgd: Optimizer) -> None:
        """Let the optimizer change the weights, and count it: ``cfg["updates"]``."""
        super().finish_update(sgd)
        if hasattr(self.loss, "finish_update"):  # it has parameters of its own
            self.loss.finish_update(sgd)
        self.cfg["updates"] += 1

    def get_loss(self, examples: Iterable[Example], scores: Logits) -> tuple[float, Logits]:
        """Loss of the logits and their gradient, document by document."""
        examples = list(examples)
        validate_examples(examples, "BtlKnnNer.get_loss")
        ops: Any = self.model.ops
        gold = ops.asarray(self._gold(examples))
        docs = [example.predicted for example in examples]
        d_logits, loss = self.loss(ops.flatten(scores), gold, **self._lengths(docs))
        return loss, ops.unflatten(d_logits, [len(doc) for doc in docs])

    def fit_neighbors(
        self, examples: Iterable[Example], *, batch_size: int = 32, progress: bool = False
    ) -> int:
        """Fill the neighbour search with the logits of all labelled tokens; returns their number.

        Raises ValueError where no token has a label.
        """
        keys, gold = [], []
        shown = tqdm(examples, desc="neighbours", unit=" docs", disable=not progress)
        for batch in util.minibatch(shown, batch_size):  # type: ignore[no-untyped-call]
            keys.append(self._flat_logits([example.predicted for example in batch]))
            gold.append(self._gold(batch))
        if not keys:
            raise ValueError("no document to fit the neighbours on")
        all_gold = np.concatenate(gold)
        labels, n_labels = self.reading.neighbor_labels(all_gold, self.labels)
        known = labels != MISSING
        self.neighbors.fit(np.concatenate(keys)[known], labels[known], n_labels)
        return int(known.sum())

    def predict(self, docs: Iterable[Doc]) -> Probabilities:
        """Label probabilities (n_tokens, n_columns) of each document.

        They are the votes of the neighbours where these are fitted, else the model's own.
        """
        docs = list(docs)
        logits: Any = self._flat_logits(docs)
        if self.neighbors.is_fitted:
            flat: Any = self.reading.from_votes(self.neighbors.predict_proba(logits))
        else:
            flat = self.reading.from_logits(self.loss, logits, **self._lengths(docs))
        return np.split(flat, np.cumsum([len(doc) for doc in docs])[:-1])[: len(docs)]

    def set_annotations(self, docs: Iterable[Doc], scores: Probabilities) -> None:
        """Write the entities of the best well-formed label sequences into ``doc.ents``.

        Entities that are there already, and tokens blocked by another component, stay as they are.
        """
        self.reading.annotate(list(docs), scores, self.labels)

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """Serialize the component, neighbours included."""
        writers = {key: write for key, (write, _) in self._parts().items()}
        writers["vocab"] = lambda: self.vocab.to_bytes(exclude=exclude)
        return bytes(util.to_bytes(writers, exclude))

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> "BtlKnnNer":
        """Take over what `to_bytes` gave."""
        readers = {key: read for key, (_, read) in self._parts().items()}
        readers["vocab"] = lambda data: self.vocab.from_bytes(data, exclude=exclude)
        util.from_bytes(bytes_data, readers, exclude)
        return self

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Save the component to a folder, neighbours included."""
        folder = util.ensure_path(path)
        folder.mkdir(parents=True, exist_ok=True)
        for key, (write, _) in self._parts().items():
            if key not in exclude:
                (folder / key).write_bytes(write())
        if "vocab" not in exclude:
            self.vocab.to_disk(folder / "vocab", exclude=exclude)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> "BtlKnnNer":
        """Load the component from a folder that `to_disk` wrote."""
        folder = util.ensure_path(path)
        for key, (_, read) in self._parts().items():
            if key not in exclude:
                read((folder / key).read_bytes())
        if "vocab" not in exclude:
            self.vocab.from_disk(folder / "vocab", exclude=exclude)
        return self

    def _parts(self) -> dict[str, tuple[Callable[[], bytes], Callable[[bytes], Any]]]:
        """What is saved of the component: for each name how to write it and how to read it."""

        def write_cfg() -> bytes:
            cfg = {**self.cfg, "loss": self.loss.get_state()}
            return str(srsly.json_dumps(cfg, indent=2)).encode("utf8")

        def read_cfg(data: bytes) -> None:
            cfg = srsly.json_loads(data)
            self.loss.set_state(cfg.pop("loss"))
            self.cfg.update(cfg)

        def write_neighbors() -> bytes:
            arrays = self.neighbors.get_arrays()
            return save_arrays(arrays | self.reading.get_arrays() if arrays else arrays)

        def read_neighbors(data: bytes) -> None:
            arrays = load_arrays(data)
            self.reading.set_arrays(arrays)
            self.neighbors.set_arrays(arrays)

        return {
            "cfg": (write_cfg, read_cfg),
            "model": (self.model.to_bytes, self.model.from_bytes),
            "neighbors": (write_neighbors, read_neighbors),
        }

    def _lengths(self, docs: list[Doc]) -> dict[str, Any]:
        """What a loss over whole documents must know beside their tokens."""
        if getattr(self.loss, "needs_lengths", False):
            return {"lengths": [len(doc) for doc in docs]}
        return {}

    def _flat_logits(self, docs: list[Doc]) -> npt.NDArray[np.floating]:
        """Logits of all tokens of all documents, on the CPU; shape (n_tokens, n_columns)."""
        if not any(len(doc) for doc in docs):
            return np.zeros((0, n_columns(len(self.labels))), dtype=np.float32)
        ops: Any = self.model.ops
        return np.asarray(ops.to_numpy(ops.flatten(self.model.predict(docs))))

    def _gold(self, examples: Iterable[Example]) -> Any:
        """Gold labels of all tokens of all examples, as the reading has them."""
        return np.concatenate([self.reading.gold(example, self.labels) for example in examples])
