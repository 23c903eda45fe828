"""Choose on dev how the neighbors vote and their weight beside the model, and calibrate the scores.

The dev documents are read once. Every setting is then tried on their logits and nearest keys, as
the pipeline itself would decide with it.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from spacy import util
from spacy.tokens import Doc
from spacy.training import Example

from ..data.label_sets import label_set_of
from ..labels.calibration import cross_validated, fit_calibration
from ..neighbors.classifier import Votes, label_shares, vote_weights
from ..scoring.scorer import gold_entities, unannotated, unjudged
from ..scoring.scores import strict_span_scores
from ..util.arrays import Bools1d, Floats1d, Floats2d, FloatsXd, Ints1d
from ..util.messages import warn
from ..util.text import counted
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
    """Settings of label probabilities; the fields are those of the configuration."""

    n_neighbors: int
    votes: Votes
    temperature: float
    neighbor_weight: float


class Trial(NamedTuple):
    """A setting with its strict span F1 on dev."""

    setting: Setting
    micro_f: float
    macro_f: float

    @property
    def score(self) -> float:
        """The mean of micro and macro F1, by which settings are compared as in training."""
        return (self.micro_f + self.macro_f) / 2


FEW = 10
"""With fewer correct, or fewer wrong, entities on dev, a warning calls calibrated scores rough."""


@dataclass(frozen=True, slots=True, eq=False)
class ScoredEntities:
    """Entities found in documents, with the gold annotation's verdict on each.

    Attributes:
        scores: (n_entities,) raw scores of the component.
        types: Type of each entity.
        lengths: (n_entities,) in tokens.
        correct: (n_entities,) whether the gold annotation has an entity of the same label and
            bounds.
        documents: (n_entities,) index of the document.
        context: (n_entities, 3) what is around each.
        n_gold: Number of gold entities by type.
    """

    scores: Floats1d
    types: list[str]
    lengths: Ints1d
    correct: Bools1d
    documents: Ints1d
    context: Floats2d
    n_gold: dict[str, int]

    @property
    def n_rarer(self) -> tuple[int, str]:
        """The number of correct or of wrong entities, whichever are fewer, and which they are."""
        n_correct = int(self.correct.sum())
        return min((n_correct, "correct"), (len(self.correct) - n_correct, "wrong"))

    @property
    def why_raw(self) -> str:
        """The reason why no calibration can be fitted on these entities; "" where one can."""
        n, (n_rarer, rarer) = len(self.correct), self.n_rarer
        if not self.n_gold:
            return "dev has no annotated entity"
        if not n:
            return "no entity was predicted on dev"
        if not n_rarer:
            kind = "wrong" if rarer == "correct" else "correct"
            predicted = counted(n, "predicted entity of dev is", "predicted entities of dev are")
            return f"{predicted} {kind}, none is {rarer}"
        if len(np.unique(self.documents)) < 2:
            return "entities were predicted in only one document of dev"
        return ""


@dataclass(frozen=True, slots=True, eq=False)
class DevChoice:
    """The outcome of `choose_on_dev`.

    Attributes:
        trials: All trials in their order, the first one with the model alone.
        before: The trial of the settings that the component had.
        chosen: The trial of the settings that it has now.
        entities: Entities on dev with raw scores, under the chosen settings.
        calibrated: (n_entities,) their calibrated scores, each by a calibration on the other
            documents; None where dev has too little to calibrate on, and scores stay raw.
    """

    trials: list[Trial]
    before: Trial
    chosen: Trial
    entities: ScoredEntities
    calibrated: Floats1d | None


def choose_on_dev(
    pipe: "BtlKnnNer", examples: Sequence[Example], *, fixed: bool = False
) -> DevChoice:
    """Choose how the neighbors vote by strict span F1 on dev, and calibrate the scores.

    The component takes the settings over; its configuration in the pipeline is another matter
    (`spacy_btl.pipeline.workflow.store_settings`). If no setting finds an entity, the settings stay
    as they are. Scores stay raw if dev has no gold entity, or predicted ones in fewer than two
    documents, or if these are all correct or all wrong. Thresholds stay as they are and have no
    part in the choice.

    Args:
        pipe: The component.
        examples: Annotated dev documents, as from `spacy_btl.pipeline.fitting.examples_for`.
        fixed: Whether to keep the settings and only calibrate.

    Raises:
        ValueError: If there is no document, or the neighbors have other settings than `Setting`.
    """
    current = current_setting(pipe)
    alone = current._replace(neighbor_weight=0.0)
    settings = list(dict.fromkeys([alone, current])) if fixed else grid(current)
    dev = Dev(pipe, examples, most=max(setting.n_neighbors for setting in settings))
    trials = [dev.trial(setting) for setting in settings]
    before, chosen = trials[settings.index(current)], best(trials)
    if fixed or not chosen.score:
        chosen = before
    apply_setting(pipe, chosen.setting)
    entities = dev.scored(chosen.setting)
    calibrated = None
    pipe.calibration = None  # for the settings just chosen, by which train-final knows that
    if not entities.why_raw:
        n_rarer, kind = entities.n_rarer
        if n_rarer < FEW:
            warn(
                f"the scores are calibrated on only {n_rarer} {kind} of "
                f"{len(entities.correct)} predicted entities on dev, and are rough: use them to "
                "rank entities, or give a larger dev part"
            )
        sample = (entities.scores, entities.types, entities.lengths, entities.correct)
        pipe.calibration = fit_calibration(*sample, entities.documents, entities.context)
        calibrated = cross_validated(*sample, entities.documents, entities.context)
    return DevChoice(trials, before, chosen, entities, calibrated)


def grid(current: Setting) -> list[Setting]:
    """Return all settings to try: the model alone, the current one, and the product of the lists.

    Args:
        current: The setting of the component.
    """
    first = [current._replace(neighbor_weight=0.0), current]
    rest = [
        Setting(k, votes, temperature, weight)
        for k, (votes, temperature), weight in itertools.product(
            N_NEIGHBORS, VOTES, NEIGHBOR_WEIGHTS
        )
        if k > 1 or votes == "uniform"  # a single vote is not weighed against any other
    ]
    return list(dict.fromkeys([*first, *rest]))


def best(trials: Iterable[Trial]) -> Trial:
    """Return the trial of the highest score; of equal ones the first."""
    return max(trials, key=lambda trial: trial.score)


def current_setting(pipe: "BtlKnnNer") -> Setting:
    """Return the setting of the component.

    Raises:
        ValueError: If its neighbors have other settings.
    """
    settings = {**pipe.neighbors.settings, "neighbor_weight": pipe.neighbor_weight}
    if missing := [name for name in Setting._fields if name not in settings]:
        raise ValueError(
            f'the neighbors of "{pipe.name}" ({type(pipe.neighbors).__name__}) have no setting '
            f"{', '.join(missing)}, so dev cannot choose how they vote; use "
            "spacy-btl.KNearestNeighbors.v1, or fit them without dev"
        )
    return Setting(*(settings[name] for name in Setting._fields))


def apply_setting(pipe: "BtlKnnNer", setting: Setting) -> None:
    """Let the component decide by this setting from now on."""
    values = setting._asdict()
    pipe.neighbor_weight = values.pop("neighbor_weight")
    for name, value in values.items():
        setattr(pipe.neighbors, name, value)


class Dev:
    """Annotated documents with their logits and nearest keys, on which many settings can be tried.

    Args:
        pipe: The component.
        examples: Annotated documents; the predicted ones have been read by all components before.
        most: The largest number of neighbors that will be tried.

    Raises:
        ValueError: If there is no document.
    """

    def __init__(self, pipe: "BtlKnnNer", examples: Sequence[Example], *, most: int) -> None:
        if not examples:
            raise ValueError("there are no dev documents to choose the settings on")
        self.pipe = pipe
        self.docs = [example.predicted for example in examples]
        self.gold = [set(gold_entities(eg.reference, pipe.spans_key)) for eg in examples]
        self.unannotated = [unannotated(eg, pipe.spans_key) for eg in examples]
        self.types = [label_set_of(example.reference) for example in examples]
        self.ends = np.cumsum([len(doc) for doc in self.docs])[:-1]
        parts = [pipe.token_vectors(docs) for docs in _batches(self.docs)]
        logits, keys = (np.concatenate(each) for each in zip(*parts, strict=True))
        self.own = pipe.model_probabilities(self.docs, logits)
        if pipe.has_neighbors:
            self.distances, nearest = pipe.neighbors.kneighbors(keys, most)
            assert pipe.neighbors.datastore is not None
            self.labels = pipe.neighbors.datastore.labels[nearest]
            self.n_labels = len(pipe.neighbors.datastore.label_names)

    def probabilities(self, setting: Setting) -> list[FloatsXd]:
        """Return the label probabilities of each document; the first axis is n_tokens."""
        k, weight = setting.n_neighbors, setting.neighbor_weight
        votes = None
        if self.pipe.has_neighbors and (weight or self.pipe.state.added_labels):
            weights = vote_weights(self.distances[:, :k], setting.votes, setting.temperature)
            votes = label_shares(self.labels[:, :k], weights, self.n_labels)
        return np.split(self.pipe.mixed(self.own, votes, weight), self.ends)

    def find(self, setting: Setting) -> list[ScoredSpans]:
        """Return the entities of each document with their raw scores, whatever the thresholds.

        Those that touch tokens without annotation are left out, and those of types that their
        document does not annotate: nobody knows if they are correct.
        """
        return self._find(self.probabilities(setting))

    def _find(self, probabilities: Sequence[FloatsXd]) -> list[ScoredSpans]:
        """Return the entities of each document that its label probabilities give."""
        every = self.pipe.scheme.find(self.docs, probabilities, self.pipe.labels)
        return [
            found.without(unjudged(found.entities, tokens, types)) if tokens or types else found
            for found, tokens, types in zip(every, self.unannotated, self.types, strict=True)
        ]

    def trial(self, setting: Setting) -> Trial:
        """Return the scores of a setting."""
        entities = [found.entities for found in self.find(setting)]
        scores = strict_span_scores(self.gold, entities)
        return Trial(setting, scores["ents_f"] or 0.0, scores["ents_macro_f"] or 0.0)

    def scored(self, setting: Setting) -> ScoredEntities:
        """Return all entities that a setting finds, with raw scores."""
        probabilities = self.probabilities(setting)
        every = self._find(probabilities)
        context = [
            self.pipe.scheme.context(values, found, self.pipe.labels)
            for values, found in zip(probabilities, every, strict=True)
        ]
        spans = [span for found in every for span in found.spans]
        pairs = zip(self.gold, (found.entities for found in every), strict=True)
        return ScoredEntities(
            np.concatenate([found.scores for found in every]),
            [span.label_ for span in spans],
            np.array([len(span) for span in spans], dtype=np.int64),
            np.array([each in gold for gold, entities in pairs for each in entities], dtype=bool),
            np.repeat(np.arange(len(every)), [len(found.spans) for found in every]),
            np.concatenate(context),
            dict(Counter(label for gold in self.gold for label, _ in gold)),
        )


def _batches(docs: Sequence[Doc]) -> Iterator[list[Doc]]:
    return util.minibatch(docs, 32)  # type: ignore[no-untyped-call, no-any-return]
