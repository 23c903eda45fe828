"""The component ``btl_knn_ner``: entities from token logits and the votes of nearest neighbors.

A prediction goes one way: the model gives logits, they and the neighbors' votes become label
probabilities (`BtlKnnNer.predict`), the best well-formed label sequence becomes spans
(`BtlKnnNer.find`), and these are written into the document (`BtlKnnNer.write`). How labels and
entities correspond, flat or with a layer for each type, is defined in `pipeline.schemes`.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import srsly
from spacy import util
from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc
from spacy.training import Example, validate_examples, validate_get_examples
from thinc.api import Model, Optimizer
from thinc.types import Floats2d

from ..data.tokenizer import warn_of_other_tokens
from ..explain.evidence import EntityEvidence
from ..joint.start import StartFrom, load_start
from ..labels.bio import column_names, n_columns
from ..labels.calibration import ScoreCalibration
from ..ml import token_classifier as head
from ..ml.shared_encoder import PipelineReference, check_read, shared_encoders
from ..ml.weights import read_model, weights_fingerprint
from ..neighbors.classifier import NeighborSearch
from ..neighbors.datastore import Datastore
from ..scoring.scorer import SCORE_WEIGHTS
from ..training import rehearsal
from ..training.class_weights import ClassWeights
from ..training.losses import TokenLoss
from ..training.optimizer import fill_in_optimizer, idle_updates, prepare_training
from ..util.arrays import Float32s2d, FloatsXd, IntsXd
from ..util.checks import one_of
from ..util.messages import warn
from ..util.seal import check_seal, remove_seal
from . import explanation, fitting, schemes
from .entities import ScoredSpans, set_span_extensions, write_scores
from .schemes import FlatScheme, LabelScheme, LayeredScheme, annotated_types, count_labels
from .state import (
    MODEL_ALONE,
    ComponentName,
    ComponentState,
    checked_labels,
    checked_thresholds,
    decision_text,
    read_state,
    readable,
)

KeyKind = Literal["logits", "hidden"]

DEFAULT_CONFIG: dict[str, Any] = {
    "model": {
        "@architectures": "spacy-btl.TokenClassifier.v1",
        "tok2vec": {
            "@architectures": "spacy.HashEmbedCNN.v2",
            "width": 96,
            "depth": 4,
            "embed_size": 2000,
            "window_size": 1,
            "maxout_pieces": 3,
            "subword_features": True,
            "pretrained_vectors": None,
        },
    },
    "loss": {"@losses": "spacy-btl.BinaryTokenLabels.v1"},
    "class_weights": {"@misc": "spacy-btl.class_weights.v1"},
    "neighbors": {
        "@misc": "spacy-btl.KNearestNeighbors.v1",
        "n_neighbors": 17,
        "metric": "euclidean",
        "votes": "uniform",
        "temperature": 1.0,
        "search": "auto",
    },
    "keys": "logits",
    "neighbor_weight": 1.0,
    "thresholds": {},
    "scorer": {"@scorers": "spacy-btl.ner_scorer.v1"},
    "scores_key": "btl_knn_ner",
    "spans_key": None,
}


@Language.factory(
    "btl_knn_ner",
    assigns=["doc.ents", "doc.spans", "token.ent_iob", "token.ent_type"],
    default_config=DEFAULT_CONFIG,
    default_score_weights=SCORE_WEIGHTS,
)
class BtlKnnNer(TrainablePipe):  # type: ignore[misc]
    """Named entity recognition by a token classifier and the nearest neighbors of its tokens.

    Args:
        nlp: The pipeline that the component is made for; a shared encoder is looked up there.
        name: Name of the component in its pipeline.
        model: Model from documents to logits (n_tokens, 1 + 2 * n_types) each.
        loss: Training objective, which also reads logits as probabilities.
        class_weights: How the loss weighs the labels; None for no weights.
        neighbors: Search and votes. Without a datastore (`fit_neighbors`), and after any update of
            the weights, the model's own probabilities decide.
        keys: Vectors to search: the logits, or the hidden states before the last layer.
            ``fit-knn --keys`` sets it.
        neighbor_weight: Share of the neighbors in the label probabilities, from 0 to 1:
            ``p = w * p_neighbors + (1 - w) * p_model`` (kNN-NER, arXiv 2203.17103).
            ``fit-knn --dev`` chooses it.
        thresholds: Lowest score to keep an entity, by type; see `labels.to_config_key` for the keys
            in a file. A type without one keeps all.
        scorer: Scores of ``spacy train`` and ``spacy evaluate``; None for no scores.
        scores_key: Key of ``doc.spans`` for the entities with their scores; None for no such group.
        spans_key: Key of ``doc.spans`` for entities of different types that may overlap. They are
            learned from there and written there, and ``doc.ents`` gets the best ones that do not
            overlap. None for ``doc.ents`` alone.

    Raises:
        ValueError: If a setting is out of its range or does not fit the others.
    """

    name = ComponentName()

    def __init__(
        self,
        nlp: Language,
        name: str,
        model: Model[list[Doc], list[Floats2d]],
        loss: TokenLoss,
        class_weights: ClassWeights | None,
        neighbors: NeighborSearch,
        keys: KeyKind,
        neighbor_weight: float,
        thresholds: dict[str, float],
        scorer: Callable[..., dict[str, Any]] | None,
        scores_key: str | None,
        spans_key: str | None,
    ) -> None:
        if spans_key is not None and not loss.has_layers:
            raise ValueError(
                f'"{name}" cannot learn the overlapping entities of doc.spans["{spans_key}"] with '
                "this loss; use BinaryTokenLabels.v1 or TypeCrfLoss.v1, or leave spans_key out"
            )
        if not 0 <= neighbor_weight <= 1:
            raise ValueError(f"neighbor_weight must be between 0 and 1, not {neighbor_weight}")
        self.vocab = nlp.vocab
        self.model = model
        self.name = name
        self.loss = loss
        self.loss.weighting = class_weights
        self.neighbors = neighbors
        self.set_key_kind(keys)
        self.neighbor_weight = neighbor_weight
        self.thresholds = checked_thresholds(thresholds)
        self.scorer = scorer
        self.scores_key = spans_key or scores_key
        self.spans_key = spans_key
        self.scheme: LabelScheme = LayeredScheme(spans_key) if spans_key else FlatScheme()
        self.state = ComponentState()
        self.cfg: dict[str, Any] = {}  # spacy find-threshold writes what it tries into it
        self._pipeline = PipelineReference(nlp)
        self._are_neighbors_checked = False
        self._kept: frozenset[str] = frozenset()  # types of the start that no document has
        self._idle_updates = 0  # since the learning rate was last above 0
        # A copy of the model, set by nlp.resume_training.
        self._rehearsal_model: Model[list[Doc], list[Floats2d]] | None = None
        set_span_extensions()

    @property
    def labels(self) -> tuple[str, ...]:
        """Entity types in the order of their columns, those that only neighbors know last."""
        return self.state.all_labels

    @property
    def label_data(self) -> list[str]:
        """Entity types of the head, as `initialize` takes them."""
        return list(self.state.labels)

    @property
    def has_neighbors(self) -> bool:
        """True if any neighbor can vote."""
        return self.neighbors.datastore is not None and len(self.neighbors.datastore) > 0

    # Prediction

    def predict(self, docs: Iterable[Doc]) -> list[FloatsXd]:
        """Return the label probabilities of each document, with n_tokens as the first axis.

        The votes of the neighbors and the model's own probabilities are mixed by
        ``neighbor_weight``; for types that only the neighbors know, the votes count in full.

        Raises:
            ValueError: If the neighbors belong to other weights.
        """
        docs = list(docs)
        logits, keys = self.token_vectors(docs)
        weight = self.neighbor_weight if self.has_neighbors else 0.0
        own = self.model_probabilities(docs, logits) if weight < 1 else None
        votes = None
        if weight > 0 or (self.has_neighbors and self.state.added_labels):
            self.check_neighbors()
            votes = self.neighbors.predict_proba(keys)
        ends = np.cumsum([len(doc) for doc in docs])
        return np.split(self.mixed(own, votes, weight), ends[:-1])[: len(docs)]

    def token_vectors(self, docs: Sequence[Doc]) -> tuple[Float32s2d, Float32s2d]:
        """Return logits (n_tokens, n_columns) and keys (n_tokens, width) of all tokens."""
        check_read(self.model, docs, self.name)
        logits, hidden = head.token_vectors(self.model, docs, with_hidden=self.keys == "hidden")
        return logits, logits if hidden is None else hidden

    def model_probabilities(self, docs: Sequence[Doc], logits: Float32s2d) -> FloatsXd:
        """Return the model's own label probabilities, with n_tokens as the first axis."""
        return self.scheme.from_logits(self.loss, logits, [len(doc) for doc in docs])

    def mixed(self, own: FloatsXd | None, votes: Float32s2d | None, weight: float) -> FloatsXd:
        """Mix the model's probabilities and the votes; the first axis of the result is n_tokens.

        Args:
            own: The result of `model_probabilities`; may be None where ``weight`` is 1.
            votes: (n_tokens, n_neighbor_labels) shares of the vote; may be None where ``weight``
                is 0.
            weight: Share of the votes.
        """
        return self.scheme.mixed(own, votes, weight, len(self.state.labels), len(self.labels))

    def find(self, docs: Sequence[Doc], probabilities: Sequence[FloatsXd]) -> list[ScoredSpans]:
        """Return the entities of each document with their scores, without changing it.

        Entities under the threshold of their type are left out.
        """
        every = self.scheme.find(docs, probabilities, self.labels)
        if (calibration := self.calibration) is not None:
            every = schemes.calibrated(self.scheme, probabilities, every, self.labels, calibration)
        return [scored.kept(self.thresholds) for scored in every] if self.thresholds else every

    def set_annotations(self, docs: Iterable[Doc], scores: Sequence[FloatsXd]) -> None:
        """Write the entities into the documents, beside those that are there already."""
        docs = list(docs)
        for doc, scored in zip(docs, self.find(docs, scores), strict=True):
            self.write(doc, scored)

    def write(self, doc: Doc, scored: ScoredSpans) -> None:
        """Write entities with their scores into a document."""
        self.scheme.write(doc, scored)
        if self.scores_key is not None:
            write_scores(doc, self.scores_key, scored)

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Annotate a stream of documents, batch by batch.

        Documents that fail go to the error handler and are left out. Those of a failing batch are
        tried one by one, unless the handler is spaCy's default, which raises.
        """
        for docs in util.minibatch(stream, batch_size):  # type: ignore[no-untyped-call]
            yield from self._annotated(docs)

    def _annotated(self, docs: Sequence[Doc]) -> Iterator[Doc]:
        handle = self.get_error_handler()
        try:
            every = self.find(docs, self.predict(docs))
        except Exception as error:  # any error of any layer is the handler's, as in spaCy
            if len(docs) == 1 or handle is util.raise_error:
                handle(self.name, self, list(docs), error)
                return
            for doc in docs:
                yield from self._annotated([doc])
            return
        for doc, scored in zip(docs, every, strict=True):
            try:
                self.write(doc, scored)
            except Exception as error:  # as above
                handle(self.name, self, [doc], error)
            else:
                yield doc

    # Training

    def update(self, examples: Iterable[Example], **kwargs: Any) -> dict[str, float]:
        """Update the weights. Neighbors fitted on the previous weights are dropped.

        Raises:
            ValueError: Before `initialize`, and for an ensemble.
        """
        head.check_trainable(self.model, self.name)
        if self.model.get_ref("output_layer").maybe_get_dim("nO") is None:
            raise ValueError(
                f'"{self.name}" is not initialized: call nlp.initialize(get_examples) '
                "before nlp.update"
            )
        self._drop_neighbors()
        losses: dict[str, float] = super().update(examples, **kwargs)
        return losses

    def get_loss(
        self, examples: Iterable[Example], scores: list[Floats2d]
    ) -> tuple[float, list[Floats2d]]:
        """Return the loss of the logits, and its gradient for each document."""
        examples = list(examples)
        validate_examples(examples, "BtlKnnNer.get_loss")
        ops: Any = self.model.ops
        lengths = [len(example.predicted) for example in examples]
        gold = ops.asarray(self.gold(examples))
        # A user's own loss may take none.
        mask = annotated_types(examples, self.state.labels, self._kept)
        known = {} if mask is None else {"annotated": ops.asarray(mask)}
        gradient, loss = self.loss(ops.flatten(scores), gold, lengths=lengths, **known)
        return loss, ops.unflatten(gradient, lengths)

    def gold(self, examples: Iterable[Example], types: Sequence[str] | None = None) -> IntsXd:
        """Return the gold labels of all tokens, as the label scheme encodes them.

        Args:
            examples: Annotated documents.
            types: Entity types in the order of their columns; None for those of the head.
        """
        types = self.state.labels if types is None else types
        return np.concatenate([self.scheme.gold(example, types) for example in examples])

    def finish_update(self, sgd: Optimizer) -> None:
        """Let the optimizer change the weights, and count the step in ``state.updates``."""
        super().finish_update(sgd)
        self.loss.finish_update(sgd)
        self.state.updates += 1
        self._idle_updates = idle_updates(self._idle_updates, sgd, self.name)

    def rehearse(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
        **config: Any,
    ) -> dict[str, float]:
        """Pull the logits back to those of ``nlp.resume_training``; before it, do nothing.

        Half the squared distance, averaged over the tokens, is minimized. Gold labels, and
        parameters of the loss, have no part in it.

        Raises:
            ValueError: If the model takes the token vectors of a shared encoder, or is an ensemble.
        """
        losses, docs = {} if losses is None else losses, [example.predicted for example in examples]
        if self._rehearsal_model is None or not any(len(doc) for doc in docs):
            return losses
        rehearsal.check_rehearsable(self.model, self.name)
        self._drop_neighbors()
        loss = rehearsal.rehearse(self.model, self._rehearsal_model, docs, dropout=drop, sgd=sgd)
        losses[self.name] = losses.get(self.name, 0.0) + loss
        return losses

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: Sequence[str] | None = None,
        start_from: StartFrom | None = None,
    ) -> None:
        """Take labels and class weights from the examples and set the dimensions of the model.

        Args:
            get_examples: Returns the annotated documents.
            nlp: The pipeline.
            labels: Entity types, in order; None for those added before or, without any, those of
                the examples, and those of ``start_from`` before them.
            start_from: A trained pipeline whose encoder and head are taken over.

        Raises:
            ValueError: If there is no label, the examples have others, the start does not fit, or
                the model is an ensemble.
        """
        head.check_trainable(self.model, self.name)
        validate_get_examples(get_examples, "BtlKnnNer.initialize")
        prepare_training(nlp)
        self.forget_neighbors()
        warn_of_other_tokens(get_examples(), self.vocab.lang, self.name)
        start = load_start(start_from, component_of)
        seen = {k for eg in start.noting(get_examples()) for k in self.scheme.entity_labels(eg)}
        self._kept = start.kept(seen)
        given = labels if labels is not None else start.labels(self.labels or sorted(seen))
        for label in checked_labels(given, seen, self.name):
            self.add_label(label)
        counts = count_labels(self.scheme, get_examples(), self.labels)
        self.loss.prepare(counts, column_names(self.labels))
        head.set_columns(self.model, n_columns(len(self.labels)), self.name)
        docs = [example.x for example in islice(get_examples(), 10)]
        docs = [doc for doc in docs if len(doc)] or docs
        start.initialize(self, nlp, lambda: self.model.initialize(X=docs))

    def add_label(self, label: str) -> int:
        """Add an entity type; return 1 if it is new, else 0.

        A trained model gets columns for it, which find nothing before the next update. Its other
        columns stay as they are, but neighbors are dropped, with a warning.

        Raises:
            ValueError: If the label is not a non-empty string.
        """
        if not isinstance(label, str) or not label:
            raise ValueError(f"a label must be a non-empty string, not {label!r}")
        if label in self.state.labels:
            return 0
        head.check_trainable(self.model, self.name)
        if self.model.get_ref("output_layer").has_param("W"):
            self._drop_neighbors()
            head.add_columns(self.model, n_columns(1) - n_columns(0))
            self.loss.add_columns(n_columns(1) - n_columns(0))
        self.state.labels.append(label)
        self.vocab.strings.add(label)
        return 1

    def fit_neighbors(self, examples: Iterable[Example], **settings: Any) -> int:
        """Let the labeled tokens of these examples vote, and no others; return their number.

        Settings and calibration are not chosen; `spacy_btl.fit_knn` does this as well.

        Args:
            examples: Annotated documents, as from `spacy_btl.read_examples`.
            settings: ``dropout``, ``passes``, ``seed`` and ``progress``; see `spacy_btl.fit_knn`.

        Raises:
            ValueError: If there is no labeled token, or a setting is out of its range.
        """
        n_tokens = fitting.fit_neighbors(self, examples, **settings)
        fitting.warn_of_few(self)
        return n_tokens

    def add_examples(self, examples: Iterable[Example], **settings: Any) -> fitting.Edit:
        """Let the labeled tokens of further examples vote too, without training.

        Entities may be of types that the model has never seen. A calibration that depends on the
        neighbors is dropped.

        Args:
            examples: Annotated documents, as from `spacy_btl.read_examples`.
            settings: ``only_entities`` to leave out tokens outside of entities; ``weight`` for the
                votes of each token, by default the majority for a new type, or else 1;
                ``dropout``, ``passes`` and ``seed`` as for `spacy_btl.fit_knn`.

        Returns:
            The number of added tokens, and the new types.

        Raises:
            ValueError: If a document has neighbors already, or the component has none at all.
        """
        return fitting.add_examples(self, examples, **settings)

    def remove_documents(self, documents: Iterable[str]) -> int:
        """Remove all neighbors of these documents and return their number."""
        return fitting.remove_documents(self, documents)

    def explain(self, doc: Doc) -> list[EntityEvidence]:
        """Return the entities of a document, each with the neighbors that support it."""
        return explanation.explain(self, doc)

    def set_key_kind(self, keys: str) -> None:
        """Search "logits" or "hidden" states; ValueError if the model has no hidden states."""
        if one_of("keys", keys, ("logits", "hidden")) == "hidden":
            head.check_hidden(self.model, self.name)
        self.keys = keys

    def set_neighbors(self, store: Datastore) -> None:
        """Let these neighbors vote; ValueError, and no change, if they belong to other weights."""
        store.check_source(self.keys, self.fingerprint(), self.name)
        self._take_neighbors(store)
        self._are_neighbors_checked = True

    def check_neighbors(self) -> None:
        """Raise ValueError if the neighbors belong to other weights, or to other keys."""
        if not self._are_neighbors_checked and self.neighbors.datastore is not None:
            self.neighbors.datastore.check_source(self.keys, self.fingerprint(), self.name)
            self._are_neighbors_checked = True

    def forget_neighbors(self) -> None:
        """Let the model decide alone, and drop everything that belongs to the neighbors."""
        self._take_neighbors(None)
        self.state.added_labels, self.state.calibration, self.state.calibrated_for = [], None, ""

    def _take_neighbors(self, store: Datastore | None) -> None:
        self.neighbors.datastore = store
        self.scheme.set_arrays({} if store is None else store.extras)
        self._are_neighbors_checked = False

    def _drop_neighbors(self) -> None:
        """Forget neighbors and calibration of other weights than the next ones, with a warning."""
        if self.neighbors.datastore is None and self.state.calibration is None:
            return
        dropped = "calibrated scores" if self.neighbors.datastore is None else "neighbors"
        warn(
            f'the {dropped} of "{self.name}" belong to the weights before this update and are '
            "dropped; run fit-knn again after training"
        )
        self.forget_neighbors()

    def join(self, nlp: Language) -> None:
        """Look shared encoders up in this pipeline, instead of the one of before."""
        self._pipeline, self._are_neighbors_checked = PipelineReference(nlp), False

    def fingerprint(self) -> str | None:
        """Return a fingerprint of all weights that keys depend on, or None if a pipeline is gone.

        ValueError if the pipeline of a shared encoder does not have such an encoder.
        """
        encoders = shared_encoders(self._pipeline(), self.model, self.name)
        return None if encoders is None else weights_fingerprint(self.model, encoders)

    @property
    def decision(self) -> str:
        """The settings that label probabilities depend on, as text."""
        if not self.has_neighbors or not self.neighbor_weight:
            return MODEL_ALONE
        own = {"neighbor_weight": self.neighbor_weight, "keys": self.keys}
        return decision_text({**own, **self.neighbors.settings})

    @property
    def calibration(self) -> ScoreCalibration | None:
        """From raw scores to probabilities; None unless fitted for the present settings."""
        return self.state.calibration if self.state.calibrated_for == self.decision else None

    @calibration.setter
    def calibration(self, calibration: ScoreCalibration | None) -> None:
        self.state.calibration, self.state.calibrated_for = calibration, self.decision

    # Serialization

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """Return the component as bytes, neighbors included."""
        exclude = tuple(exclude)
        vocab = {"vocab": lambda: self.vocab.to_bytes(exclude=exclude)}
        return bytes(util.to_bytes({**self._writers(), **vocab}, exclude))

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> "BtlKnnNer":
        """Load the component from the bytes of `to_bytes`; ValueError if they are damaged."""
        exclude = tuple(exclude)
        message = readable("the bytes of the component", srsly.msgpack_loads, bytes_data)
        if not isinstance(message, dict) or not message.keys() & {"vocab", *self._writers()}:
            raise ValueError(f'the bytes belong to a component different from "{self.name}"')
        self._read_parts({key: data for key, data in message.items() if key not in exclude})
        if "vocab" in message and "vocab" not in exclude:
            self.vocab.from_bytes(message["vocab"], exclude=exclude)
        return self

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Save the component to a folder, neighbors included.

        The seal of the pipeline around the folder is removed: its files are about to change.
        """
        folder, exclude = util.ensure_path(path), tuple(exclude)
        remove_seal(folder.parent)
        folder.mkdir(parents=True, exist_ok=True)
        for key, write in self._writers().items():
            if key not in exclude:
                (folder / key).write_bytes(write())
        if "vocab" not in exclude:
            self.vocab.to_disk(folder / "vocab", exclude=exclude)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> "BtlKnnNer":
        """Load the component from a folder of `to_disk`.

        Raises:
            ValueError: If a part is damaged, or any file of the sealed pipeline around the folder.
        """
        folder, exclude = util.ensure_path(path), tuple(exclude)
        check_seal(folder.parent)
        keys = [key for key in self._writers() if key not in exclude]
        self._read_parts({key: (folder / key).read_bytes() for key in keys}, folder)
        if "vocab" not in exclude:
            self.vocab.from_disk(folder / "vocab", exclude=exclude)
        return self

    def _writers(self) -> dict[str, Callable[[], bytes]]:
        def write_cfg() -> bytes:
            # Not with srsly, which reads 0.3 as 0.30000000000000004.
            values = {**self.state.to_json(), "loss": self.loss.get_state()}
            return json.dumps(values, indent=2).encode("utf8")

        def write_neighbors() -> bytes:
            store = self.neighbors.datastore
            return b"" if store is None else store.to_bytes()

        return {"cfg": write_cfg, "model": self.model.to_bytes, "neighbors": write_neighbors}

    def _read_parts(self, parts: dict[str, bytes], folder: Path | None = None) -> None:
        """Take over saved parts, once all but the model are readable."""
        names = {key: key if folder is None else str(folder / key) for key in parts}
        cfg, data = parts.get("cfg"), parts.get("neighbors")
        saved = None if cfg is None else readable(names["cfg"], read_state, cfg)
        store = readable(names["neighbors"], Datastore.from_bytes, data) if data else None
        if "model" in parts:
            readable(names["model"], partial(read_model, self.model), parts)
            self._are_neighbors_checked = False
        if saved is not None:
            self.state = saved[0]
            self.loss.set_state(saved[1])
        if data is not None:
            self._take_neighbors(store)
        fill_in_optimizer(self._pipeline())  # for nlp.resume_training and nlp.update


def component_of(nlp: Language, name: str | None = None) -> BtlKnnNer:
    """Return the component btl_knn_ner of a pipeline.

    Args:
        nlp: The pipeline.
        name: Name of the component; None if the pipeline has only one.

    Raises:
        ValueError: If there is no such component, or more than one.
    """
    pipes = [
        pipe for key, pipe in nlp.pipeline if isinstance(pipe, BtlKnnNer) and name in (None, key)
    ]
    if len(pipes) != 1:
        raise ValueError(f"the pipeline has {len(pipes)} components btl_knn_ner, not one")
    return pipes[0]
