"""Choose on dev how the neighbours vote, and how much they count beside the model."""

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from spacy import util
from spacy.training import Example

from ..neighbors.classifier import Votes, label_shares, vote_weights
from ..scoring.scorer import gold_entities, touching, unannotated
from ..scoring.scores import strict_span_scores
from .entities import ScoredSpans

if TYPE_CHECKING:
    from .component import BtlKnnNer

N_NEIGHBORS = (1, 3, 5, 9, 17, 33, 65)
VOTES: tuple[tuple[Votes, float], ...] = (
    ("uniform", 1.0),
    ("softmax", 0.3),
    ("softmax", 1.0),
    ("softmax", 3.0),
)
NEIGHBOR_WEIGHTS = (0.25, 0.5, 0.75, 1.0)


class Setting(NamedTuple):
    """How label probabilities come about; the fields are those of the configuration."""

    n_neighbors: int
    votes: Votes
    temperature: float
    neighbor_weight: float


class Trial(NamedTuple):
    """A setting with what it brings, strict span F1."""

    setting: Setting
    micro_f: float
    macro_f: float

    @property
    def score(self) -> float:
        """What decides: the mean of both, as in training."""
        return (self.micro_f + self.macro_f) / 2


class ScoredEntities(NamedTuple):
    """Entities found in documents, and which of them are in the gold annotation."""

    scores: Any
    """(n_entities,) as the component gives them."""
    types: list[str]
    lengths: Any
    """(n_entities,) in tokens."""
    correct: Any
    """(n_entities,) bool: label and all bounds agree."""
    documents: Any
    """(n_entities,) index of the document."""
    n_gold: dict[str, int]
    """Gold entities by type."""


def grid(current: Setting) -> list[Setting]:
    """All settings to try: the model alone, the current one, and the product of the lists above."""
    first = [current._replace(neighbor_weight=0.0), current]
    rest = [
        Setting(k, votes, temperature, weight)
        for k, (votes, temperature), weight in itertools.product(
            N_NEIGHBORS, VOTES, NEIGHBOR_WEIGHTS
        )
        if k > 1 or votes == "uniform"  # a single vote has no other to be weighed against
    ]
    return list(dict.fromkeys([*first, *rest]))


def current_setting(pipe: "BtlKnnNer") -> Setting:
    """That of the component. Raises ValueError where its neighbours have other settings."""
    settings = {**pipe.neighbors.settings, "neighbor_weight": pipe.neighbor_weight}
    if missing := [name for name in Setting._fields if name not in settings]:
        raise ValueError(
            f'the neighbours of "{pipe.name}" ({type(pipe.neighbors).__name__}) have no setting '
            f"{', '.join(missing)}, so that dev cannot choose how they vote; take "
            "spacy-btl.KNearestNeighbors.v1, or fit them without dev"
        )
    return Setting(*(settings[name] for name in Setting._fields))


class Dev:
    """Annotated documents with their logits and nearest keys, to try many settings on.

    examples: with predictions that hold what components before this one have set. Raises
    ValueError where there is none.
    """

    def __init__(self, pipe: "BtlKnnNer", examples: Sequence[Example], *, most: int) -> None:
        if not examples:
            raise ValueError("no document on dev to choose the settings on")
        self.pipe = pipe
        self.docs = [example.predicted for example in examples]
        self.gold = [set(gold_entities(eg.reference, pipe.spans_key)) for eg in examples]
        self.unannotated = [unannotated(eg, pipe.spans_key) for eg in examples]
        self.ends = np.cumsum([len(doc) for doc in self.docs])[:-1]
        parts = [pipe.token_vectors(docs) for docs in _batches(self.docs)]
        logits, keys = (np.concatenate(each) for each in zip(*parts, strict=True))
        self.own = pipe.model_probabilities(self.docs, logits)
        if pipe.has_neighbors:
            self.distances, nearest = pipe.neighbors.kneighbors(keys, most)
            assert pipe.neighbors.datastore is not None
            self.labels = pipe.neighbors.datastore.labels[nearest]
            self.n_labels = len(pipe.neighbors.datastore.label_names)

    def probabilities(self, setting: Setting) -> list[Any]:
        """Label probabilities of each document."""
        k, weight = setting.n_neighbors, setting.neighbor_weight
        votes = None
        if self.pipe.has_neighbors and (weight or self.pipe.state.added_labels):
            weights = vote_weights(self.distances[:, :k], setting.votes, setting.temperature)
            votes = label_shares(self.labels[:, :k], weights, self.n_labels)
        return np.split(self.pipe.mixed(self.own, votes, weight), self.ends)

    def find(self, setting: Setting) -> list[ScoredSpans]:
        """Entities of each document with their raw scores, whatever the thresholds.

        Those that touch what is not annotated are left out: whether they are right is not known.
        """
        every = self.pipe.reading.find(self.docs, self.probabilities(setting), self.pipe.labels)
        return [
            found.without(touching(found.entities, tokens)) if tokens else found
            for found, tokens in zip(every, self.unannotated, strict=True)
        ]

    def trial(self, setting: Setting) -> Trial:
        """What a setting brings here."""
        entities = [found.entities for found in self.find(setting)]
        scores = strict_span_scores(self.gold, entities)
        return Trial(setting, scores["ents_f"] or 0.0, scores["ents_macro_f"] or 0.0)

    def scored(self, setting: Setting) -> ScoredEntities:
        """All entities with their raw scores, and whether they are right."""
        every = self.find(setting)
        spans = [span for found in every for span in found.spans]
        pairs = zip(self.gold, (found.entities for found in every), strict=True)
        return ScoredEntities(
            np.concatenate([found.scores for found in every]),
            [span.label_ for span in spans],
            np.array([len(span) for span in spans], dtype=np.int64),
            np.array([each in gold for gold, entities in pairs for each in entities], dtype=bool),
            np.repeat(np.arange(len(every)), [len(found.spans) for found in every]),
            dict(Counter(label for gold in self.gold for label, _ in gold)),
        )


def best(trials: Iterable[Trial]) -> Trial:
    """The trial of the highest score; of equal ones the first."""
    return max(trials, key=lambda trial: trial.score)


def apply_setting(pipe: "BtlKnnNer", config: dict[str, Any], setting: Setting) -> None:
    """Let the component decide by this setting, now and, by its configuration, when loaded."""
    values = setting._asdict()
    pipe.neighbor_weight = config["neighbor_weight"] = values.pop("neighbor_weight")
    for name, value in values.items():
        setattr(pipe.neighbors, name, value)
        config["neighbors"][name] = value


def _batches(docs: Sequence[Any], size: int = 32) -> Iterable[list[Any]]:
    return util.minibatch(docs, size)  # type: ignore[no-untyped-call, no-any-return]
