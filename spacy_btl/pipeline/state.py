"""The component's settings and state: model, neighbours, calibration, and what is saved of them."""

import json
import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Literal

from spacy.language import Language
from spacy.tokens import Doc
from spacy.vocab import Vocab
from thinc.api import Model
from thinc.types import Floats2d

from ..labels.calibration import ScoreCalibration
from ..neighbors.classifier import NeighborSearch
from ..neighbors.datastore import Datastore
from ..scoring.scorer import score_ner
from ..training.binary_token_labels import TokenLoss
from ..training.class_weights import ClassWeights
from .entities import set_span_extensions
from .readings import FlatReading, LayeredReading, Reading
from .serialization import Part, SavedByParts
from .shared_encoder import PipelineReference, shared_encoders, weights_fingerprint

Logits = list[Floats2d]
KeyKind = Literal["logits", "hidden"]

MODEL_ALONE = "model alone"
"""The decision that no neighbour has a part in."""


class ComponentState(SavedByParts):
    """What the component is made of, and what its neighbours and scores hold for.

    model: documents to logits (n_tokens, 1 + 2 * n_types) each.
    loss: logits and labels to gradient and loss; it also reads logits as probabilities.
    class_weights: how the loss weighs the labels; None for no weights.
    neighbors: classifies keys once it has a datastore (`pipeline.fitting`); until then, and again
        after any update of the weights, the model's own probabilities decide.
    keys: what is searched: the logits, or the hidden states before the last layer.
    neighbor_weight: share of the neighbours in the label probabilities, the rest is the model's:
        ``p = w * p_neighbors + (1 - w) * p_model`` (kNN-NER, arXiv 2203.17103).
    thresholds: least score of an entity, by type; types without one keep all. Those that dev has
        chosen hold for calibrated scores only.
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
        self.cfg: dict[str, Any] = {"labels": [], "updates": 0, "dev_thresholds": {}}
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
            return MODEL_ALONE
        own = {"neighbor_weight": self.neighbor_weight, "keys": self.keys}
        # Rounded, as not every reader and writer of a configuration keeps the last digits.
        settings = {
            name: round(value, 9) if isinstance(value, float) else value
            for name, value in {**own, **self.neighbors.settings}.items()
        }
        return ", ".join(f"{name} {value}" for name, value in settings.items())

    @property
    def has_calibration(self) -> bool:
        """Whether scores are calibrated: on dev, with the settings and neighbours of now."""
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

    @property
    def lapsed_thresholds(self) -> set[str]:
        """Types whose threshold was chosen on dev for calibrated scores, which they have no more.

        One that was set to another value since is the user's own, and stays.
        """
        chosen = {} if self.has_calibration else self.cfg["dev_thresholds"]
        return {
            label
            for label, least in self.thresholds.items()
            if label in chosen and math.isclose(chosen[label], least, abs_tol=1e-9)
        }

    def void_calibration(self) -> None:
        """Give up a calibration that the neighbours have a part in, with a warning.

        To be called when they have changed. What was calibrated on the model alone stays.
        """
        state = self.cfg["calibration"]
        if state is None or (
            state["decision"] == MODEL_ALONE
            and set(self.cfg["added_labels"]).isdisjoint(state["scores"]["offsets"])
        ):
            return
        self.cfg["calibration"] = None
        warnings.warn(
            f'the scores of "{self.name}" were calibrated with the neighbours before this edit: '
            "they are raw from now on, and thresholds that dev has chosen do not apply. To "
            "calibrate them, fit anew on the edited documents: python -m spacy btl fit-knn MODEL "
            "TRAIN OUT --dev DEV",
            stacklevel=5,
        )

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

    def _parts(self) -> dict[str, Part]:
        def write_cfg() -> bytes:
            cfg = {**self.cfg, "loss": self.loss.get_state()}
            # Not with srsly, whose numbers come back as others: 0.3 as 0.30000000000000004.
            return json.dumps(cfg, indent=2).encode("utf8")

        def read_cfg(data: bytes) -> None:
            cfg = json.loads(data)
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
