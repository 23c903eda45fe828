"""Prediction: logits, their reading as label probabilities, entities in the document."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import srsly
from spacy import util
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.vocab import Vocab
from thinc.api import Model
from thinc.types import Floats2d

from .calibration import ScoreCalibration
from .datastore import Datastore
from .fingerprint import weights_fingerprint
from .found import Found, set_span_extensions, write_scores
from .labels import n_columns
from .listeners import PipelineReference, check_read, shared_encoders
from .losses import TokenLoss
from .neighbors import NeighborSearch
from .readings import FlatReading, LayeredReading, Reading
from .scorer import score_ner
from .serialization import Part, SavedByParts
from .streaming import annotated
from .weights import ClassWeights

Logits = list[Floats2d]
Vectors = npt.NDArray[np.floating]
Probabilities = list[npt.NDArray[np.floating]]
KeyKind = Literal["logits", "hidden"]


class NeighborNer(SavedByParts):
    """Entities from token logits, read by the model itself or by its neighbours.

    model: documents to logits (n_tokens, 1 + 2 * n_types) each.
    loss: logits and labels to gradient and loss; it also reads logits as probabilities.
    class_weights: how the loss weighs the labels; None for no weights.
    neighbors: classifies keys once it has a datastore (`spacy_btl.fitting`); until then, and again
        after any update of the weights, the model's own probabilities decide.
    keys: what is searched: the logits, or the hidden states before the last layer.
    neighbor_weight: share of the neighbours in the label probabilities, the rest is the model's:
        ``p = w * p_neighbors + (1 - w) * p_model`` (kNN-NER, arXiv 2203.17103).
    thresholds: least score of an entity, by type; types without one keep all.
    scores_key: key of ``doc.spans`` for the entities with their scores; None for no such group.
    spans_key: None for entities that do not overlap, in ``doc.ents``. A key for entities of unlike
        types that may overlap: they are learned from ``doc.spans[spans_key]`` of the reference and
        written there (instead of under ``scores_key``), and ``doc.ents`` gets the best that fit.
    nlp: the pipeline that the component is made for, where a shared encoder is looked up.
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
        keys: str = "logits",
        neighbor_weight: float = 1.0,
        thresholds: Mapping[str, float] | None = None,
        scorer: Callable[..., dict[str, Any]] | None = score_ner,
        scores_key: str | None = "btl_knn_ner",
        spans_key: str | None = None,
        nlp: Language | None = None,
    ) -> None:
        if spans_key is not None and not getattr(loss, "has_layers", False):
            raise ValueError(
                f'"{name}" cannot learn the overlapping entities of doc.spans["{spans_key}"] with '
                'this loss; take spacy-btl.BinaryTokenLabels.v1 with softmax = "pair", or leave '
                "spans_key out"
            )
        if not 0 <= neighbor_weight <= 1:
            raise ValueError(f"neighbor_weight must lie between 0 and 1, not {neighbor_weight}")
        self.vocab = vocab
        self.model = model
        self.name = name
        self.loss = loss
        self.loss.weighting = class_weights
        self.neighbors = neighbors
        self.set_key_kind(keys)
        self.neighbor_weight = neighbor_weight
        self.thresholds = dict(thresholds or {})
        self.scorer = scorer
        self.scores_key = spans_key or scores_key
        self.spans_key = spans_key
        self.reading: Reading = LayeredReading(spans_key) if spans_key else FlatReading()
        self.cfg: dict[str, Any] = {"labels": [], "updates": 0}
        self._pipeline = PipelineReference(nlp)
        self._rehearsal_model: Any = None  # a copy of the model, set by nlp.resume_training
        self.forget_neighbors()
        set_span_extensions()

    @property
    def labels(self) -> tuple[str, ...]:
        """Entity types, in the order of their columns, those that only neighbours know last."""
        return (*self.cfg["labels"], *self.cfg["added_labels"])

    @property
    def label_data(self) -> list[str]:
        """Entity types of the head, as `initialize` takes them."""
        return list(self.cfg["labels"])

    @property
    def has_neighbors(self) -> bool:
        """Whether there is a neighbour to ask."""
        return self.neighbors.datastore is not None and len(self.neighbors.datastore.labels) > 0

    @property
    def decision(self) -> str:
        """The settings that label probabilities depend on, as text."""
        if not self.has_neighbors or not self.neighbor_weight:
            return "model alone"
        own = {"neighbor_weight": self.neighbor_weight, "keys": self.keys}
        return ", ".join(f"{k} {v}" for k, v in {**own, **self.neighbors.settings}.items())

    @property
    def has_calibration(self) -> bool:
        """Whether scores are probabilities: a calibration was fitted for the settings now."""
        state = self.cfg["calibration"]
        return state is not None and state["decision"] == self.decision

    @property
    def calibration(self) -> ScoreCalibration | None:
        """From raw scores to probabilities; None without `has_calibration`."""
        state = self.cfg["calibration"]
        return ScoreCalibration.from_json(state["scores"]) if self.has_calibration else None

    @calibration.setter
    def calibration(self, calibration: ScoreCalibration) -> None:
        self.cfg["calibration"] = {"decision": self.decision, "scores": calibration.to_json()}

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
            flat = self.reading.from_votes(self.neighbors.predict_proba(keys), len(self.labels))
            if own is not None:
                flat = self.reading.mix(flat, own, weight, len(self.cfg["labels"]))
        return np.split(flat, np.cumsum([len(doc) for doc in docs])[:-1])[: len(docs)]

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
            write_scores(doc, self.scores_key, found, calibrated=self.has_calibration)

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Annotate a stream, batch by batch; see `spacy_btl.streaming` for what fails."""
        for docs in util.minibatch(stream, batch_size):  # type: ignore[no-untyped-call]
            yield from annotated(self, docs)

    def find(self, docs: Sequence[Doc], probabilities: Probabilities) -> list[Found]:
        """Entities with their scores, those under the threshold of their type left out."""
        every = self.reading.find(docs, probabilities, self.labels)
        if (calibration := self.calibration) is not None:
            every = [found.calibrated(calibration) for found in every]
        return [found.kept(self.thresholds) for found in every] if self.thresholds else every

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

    def set_key_kind(self, keys: str) -> None:
        """Search logits or hidden states from now on; ValueError for any other word."""
        if keys not in ("logits", "hidden"):
            raise ValueError(f'keys is "{keys}", but must be logits or hidden')
        if keys == "hidden" and not self.model.has_ref("tok2vec"):
            raise ValueError(
                f'the model of "{self.name}" does not tell its hidden states (it has no layer '
                '"tok2vec"); set keys = "logits"'
            )
        self.keys = keys

    def set_neighbors(self, datastore: Datastore) -> None:
        """Let these neighbours vote. Raises ValueError where they belong to other weights."""
        self.neighbors.datastore = datastore
        self.reading.set_arrays(datastore.extras)
        self._is_checked = False
        self.check_neighbors()

    def check_neighbors(self) -> None:
        """Raise ValueError where the neighbours were made by other weights, or are other keys."""
        store = self.neighbors.datastore
        if self._is_checked or store is None:
            return
        refit = "fit them anew: python -m spacy btl fit-knn MODEL TRAIN OUT"
        if store.key_kind != self.keys:
            raise ValueError(
                f'the neighbours of "{self.name}" are {store.key_kind}, but its keys are '
                f'{self.keys}; set keys = "{store.key_kind}", or {refit}'
            )
        if (own := self.fingerprint()) is not None and store.fingerprint != own:
            raise ValueError(
                f'the neighbours of "{self.name}" were fitted on other weights (fingerprint '
                f"{store.fingerprint}, the model has {own}); {refit}"
            )
        self._is_checked = True

    def join(self, nlp: Language) -> None:
        """Look shared encoders up in this pipeline; a component from another still knows that."""
        self._pipeline, self._is_checked = PipelineReference(nlp), False

    def fingerprint(self) -> str | None:
        """Of all weights that keys depend on, those of shared encoders included.

        None where such an encoder's pipeline is gone. Raises ValueError where the pipeline has no
        such encoder.
        """
        encoders = shared_encoders(self._pipeline(), self.model, self.name)
        return None if encoders is None else weights_fingerprint(self.model, encoders)

    def forget_neighbors(self) -> None:
        """Let the model decide alone, and drop what belongs to the neighbours."""
        self.neighbors.datastore = None
        self.reading.set_arrays({})
        self.cfg.update(added_labels=[], calibration=None)
        self._is_checked = False

    def _lengths(self, docs: Sequence[Doc]) -> dict[str, Any]:
        """What a loss over whole documents must know beside their tokens."""
        if getattr(self.loss, "needs_lengths", False):
            return {"lengths": [len(doc) for doc in docs]}
        return {}

    def _parts(self) -> dict[str, Part]:
        def write_cfg() -> bytes:
            cfg = {**self.cfg, "loss": self.loss.get_state()}
            return str(srsly.json_dumps(cfg, indent=2)).encode("utf8")

        def read_cfg(data: bytes) -> None:
            cfg = srsly.json_loads(data)
            self.loss.set_state(cfg.pop("loss"))
            self.cfg.update(cfg)

        def read_model(data: bytes) -> None:
            self.model.from_bytes(data)
            self._is_checked = False

        def write_neighbors() -> bytes:
            store = self.neighbors.datastore
            return b"" if store is None else store.to_bytes()

        def read_neighbors(data: bytes) -> None:
            store = Datastore.from_bytes(data) if data else None
            self.reading.set_arrays(store.extras if store is not None else {})
            self.neighbors.datastore = store
            self._is_checked = False

        return {
            "cfg": (write_cfg, read_cfg),
            "model": (self.model.to_bytes, read_model),
            "neighbors": (write_neighbors, read_neighbors),
        }
