"""Predict each training document by a model that has not seen it: cross-fitting by folds.

A converged model is surer of its training documents than of any others. For each fold of
documents, the pipeline is therefore trained again, from its own configuration, on all other folds.
Predictions of this kind show where annotation and model disagree (label audits), and calibrate
scores or train a smaller model without the optimism of a model that knows the answers.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from spacy.language import Language
from spacy.schemas import ConfigSchemaTraining
from spacy.tokens import Doc
from spacy.training import Example
from spacy.training.loop import create_train_batches, train_while_improving
from spacy.ty import ListenedToComponent
from spacy.util import load_model_from_config, minibatch, registry
from tqdm import tqdm

from ..data.gold import document_id
from ..pipeline.component import BtlKnnNer, component_of
from ..pipeline.fitting import examples_for
from ..training.optimizer import set_max_steps
from ..util.arrays import FloatsXd
from ..util.messages import LOGGER
from ..util.process import fixed_random_state

BATCH_SIZE = 32
"""Documents that are predicted together."""


@dataclass(frozen=True, slots=True, eq=False)
class CrossPrediction:
    """The prediction for one document by a pipeline that was trained without it.

    Attributes:
        doc: The document as the component has annotated it, with entities and raw scores, on the
            vocabulary of the original pipeline.
        probabilities: Label probabilities of the model; the first axis is n_tokens, the columns
            are those of `cross_predict`'s ``labels``.
        fold: Number of the fold, from 0, that was left out of the training.
    """

    doc: Doc
    probabilities: FloatsXd
    fold: int


def cross_predict(
    nlp: Language,
    examples: Iterable[Example],
    *,
    n_folds: int = 5,
    max_steps: int = 0,
    labels: Sequence[str] | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> list[CrossPrediction]:
    """Return a prediction for each document by a pipeline that was trained without it.

    The pipeline itself and the random states of the program do not change. The predictions
    are those of the model alone: no neighbors are fitted.

    Args:
        nlp: The pipeline, with one component ``btl_knn_ner``; it need not be trained.
        examples: Annotated documents, with the annotation that other components in training need.
            Documents of the same name (`document_id`) are in one fold.
        n_folds: Number of trainings, each on about ``1 - 1 / n_folds`` of the documents.
        max_steps: ``training.max_steps`` of each of them; 0 for the number in the configuration,
            reduced by the share of documents that are left out.
        labels: Entity types, in the order of their columns; None for those that the component was
            trained on, or if it has none, all types of the examples.
        seed: Seed of the folds and of each training.
        progress: Whether to show progress bars; None to show them in a terminal only.

    Returns:
        A prediction for each document, in the order of the examples.

    Raises:
        ValueError: If there are fewer documents than folds, the component is frozen in training, or
            neither the configuration nor ``max_steps`` limits the updates.
    """
    examples = list(examples)
    plan = plan_folds(nlp, examples, n_folds=n_folds, max_steps=max_steps, labels=labels, seed=seed)
    predictions: dict[int, CrossPrediction] = {}
    for number in range(n_folds):
        trained = train_fold(nlp, examples, plan, number, progress=progress)
        held_out = plan.members(number)
        found = _predict(trained, component_of(trained), [examples[i] for i in held_out])
        for i, (doc, probabilities) in zip(held_out, found, strict=True):
            data = doc.to_bytes(exclude=["user_data", "tensor"])
            copy = Doc(nlp.vocab).from_bytes(data)
            predictions[i] = CrossPrediction(copy, probabilities, number)
    return [predictions[i] for i in range(len(examples))]


class FoldPlan(NamedTuple):
    """Plan of cross-fitting.

    Attributes:
        folds: The fold of each document, from 0.
        n_folds: Number of folds.
        steps: Updates of each training.
        labels: Entity types, in the order of their columns.
        seed: For each training.
    """

    folds: list[int]
    n_folds: int
    steps: int
    labels: list[str]
    seed: int

    def members(self, number: int, *, inside: bool = True) -> list[int]:
        """Return the indices of the documents in a fold, or of those outside of it."""
        return [i for i, fold in enumerate(self.folds) if (fold == number) == inside]


def plan_folds(
    nlp: Language,
    examples: Sequence[Example],
    *,
    n_folds: int = 5,
    max_steps: int = 0,
    labels: Sequence[str] | None = None,
    seed: int = 0,
    names: Sequence[str] | None = None,
) -> FoldPlan:
    """Return the folds of documents, and the settings of their trainings.

    Args:
        nlp: The pipeline, with one component ``btl_knn_ner``.
        examples: Annotated documents.
        n_folds: Number of trainings.
        max_steps: Updates of each training; 0 for the number in the configuration, reduced by the
            share of documents that are left out.
        labels: Entity types, in the order of their columns; None for those of the component, or
            else all types of the examples.
        seed: Seed of the folds and of each training.
        names: Names of the documents; those of the same name are in one fold. None for
            `document_id`.

    Raises:
        ValueError: If there are fewer documents than folds, the component is frozen in training, or
            neither the configuration nor ``max_steps`` limits the updates.
    """
    pipe = component_of(nlp)
    training = nlp.config.interpolate()["training"]
    if pipe.name in training["frozen_components"]:
        raise ValueError(
            f'"{pipe.name}" is among the frozen_components of [training]: no fold would train it'
        )
    if names is None:
        names = [document_id(example.reference) for example in examples]
    folds = _folds(names, n_folds, seed)
    steps = max_steps or round(training["max_steps"] * (1 - 1 / n_folds))
    if steps < 1:
        raise ValueError(
            "the configuration has no max_steps: give max_steps, the number of updates of each fold"
        )
    own = _labels(pipe, examples) if labels is None else list(labels)
    return FoldPlan(folds, n_folds, steps, own, seed)


def train_fold(
    nlp: Language,
    examples: Sequence[Example],
    plan: FoldPlan,
    number: int,
    *,
    progress: bool | None = None,
) -> Language:
    """Return a pipeline that was trained on all documents but those of a fold; see `train_anew`."""
    rest = [examples[i] for i in plan.members(number, inside=False)]
    title = f"fold {number + 1} of {plan.n_folds}"
    LOGGER.info("%s: training on %d of %d documents", title, len(rest), len(examples))
    return train_anew(
        nlp,
        rest,
        steps=plan.steps,
        labels=plan.labels,
        seed=plan.seed,
        title=title,
        progress=progress,
    )


def train_anew(
    nlp: Language,
    examples: Sequence[Example],
    *,
    steps: int,
    labels: Sequence[str],
    seed: int = 0,
    keep_schedule: bool = False,
    title: str = "train",
    progress: bool | None = None,
) -> Language:
    """Return a pipeline of the same configuration and tokenizer, trained on these examples.

    Frozen components are those of ``nlp``. All others start from their configuration, also those
    that came with weights from another pipeline, which a saved pipeline does not know about. The
    random states of the program stay as they are.

    Args:
        nlp: The pipeline, which stays as it is.
        examples: Annotated documents.
        steps: ``training.max_steps``; the last weights are taken.
        labels: Entity types of the component. A rare type may be missing from the examples.
        seed: Seed of the training.
        keep_schedule: Whether a schedule of the learning rate keeps its length, so that a training
            with fewer steps ends before it does.
        title: Title of the progress bar.
        progress: Whether to show a progress bar; None to show it in a terminal only.
    """
    config = nlp.config.copy()
    if not keep_schedule:
        set_max_steps(config, steps)
    config["training"].update(max_steps=steps, max_epochs=0, patience=0, eval_frequency=steps)
    own = config["initialize"]["components"].setdefault(component_of(nlp).name, {})
    own["labels"] = list(labels)
    with fixed_random_state(seed):
        copy = load_model_from_config(config, auto_fill=True)
        settings = registry.resolve(config.interpolate()["training"], schema=ConfigSchemaTraining)
        _take_over(nlp, copy, settings["frozen_components"])
        disable = None if progress is None else not progress
        with tqdm(desc=title, unit=" updates", total=steps, disable=disable) as bar:
            _train(copy, examples, settings, bar)
    return copy


def _folds(names: Sequence[str], n_folds: int, seed: int) -> list[int]:
    """Return the fold of each document; documents of the same name are in the same fold."""
    distinct = list(dict.fromkeys(names))
    if not 2 <= n_folds <= len(distinct):
        raise ValueError(f"{len(distinct)} documents cannot be split into {n_folds} folds")
    random.Random(seed).shuffle(distinct)
    fold_of = {name: i % n_folds for i, name in enumerate(distinct)}
    return [fold_of[name] for name in names]


def _labels(pipe: BtlKnnNer, examples: Sequence[Example]) -> list[str]:
    seen = {label for example in examples for label in pipe.scheme.entity_labels(example)}
    return pipe.label_data or sorted(seen)


def _take_over(nlp: Language, copy: Language, frozen: Sequence[str]) -> None:
    """Give a pipeline the tokenizer and the frozen components of another."""
    tokenizers: Any = (nlp.tokenizer, copy.tokenizer)
    pairs = [tokenizers, *((nlp.get_pipe(name), copy.get_pipe(name)) for name in frozen)]
    for string in nlp.vocab.strings if frozen else ():
        copy.vocab.strings.add(string)
    for theirs, ours in pairs:
        if hasattr(theirs, "to_bytes"):
            ours.from_bytes(theirs.to_bytes(exclude=["vocab"]), exclude=["vocab"])
    # Before frozen components are disabled, as spacy train does: listeners find enabled ones only.
    components: list[Any] = [component for _, component in copy.pipeline]
    for i, component in enumerate(components):
        if isinstance(component, ListenedToComponent):
            for later in components[i + 1 :]:
                component.find_listeners(later)


def _train(
    nlp: Language, examples: Sequence[Example], settings: dict[str, Any], bar: "tqdm[None]"
) -> None:
    """Initialize and train a pipeline by the resolved settings of its block [training]."""

    def corpus(reader: Language) -> list[Example]:
        return [Example(reader.tokenizer(eg.reference.text), eg.reference) for eg in examples]

    frozen, optimizer, steps = (
        settings[name] for name in ("frozen_components", "optimizer", "max_steps")
    )
    with nlp.select_pipes(disable=frozen):
        nlp.initialize(lambda: corpus(nlp), sgd=optimizer)
    loop = train_while_improving(
        nlp,
        optimizer,
        create_train_batches(nlp, corpus, settings["batcher"], 0),
        lambda: (0.0, {}),  # the last weights are taken, so that nothing is evaluated
        dropout=settings["dropout"],
        eval_frequency=steps,
        accumulate_gradient=settings["accumulate_gradient"],
        patience=0,
        max_steps=steps,
        exclude=frozen,
        annotating_components=settings["annotating_components"],
        before_update=settings["before_update"],
    )
    for _ in loop:
        bar.update()
    if optimizer.averages:
        with nlp.use_params(optimizer.averages):
            averaged = nlp.to_bytes()
        nlp.from_bytes(averaged)  # outside: the end of the block puts the last weights back


def _predict(
    nlp: Language, pipe: BtlKnnNer, examples: Sequence[Example]
) -> list[tuple[Doc, FloatsXd]]:
    """Return each document with the annotation of the component, and its label probabilities."""
    found: list[tuple[Doc, FloatsXd]] = []
    for batch in minibatch(examples, BATCH_SIZE):  # type: ignore[no-untyped-call]
        raw = [Example(nlp.tokenizer(eg.reference.text), eg.reference) for eg in batch]
        docs = [example.predicted for example in examples_for(nlp, pipe, raw)]
        probabilities = pipe.predict(docs)
        pipe.set_annotations(docs, probabilities)
        found += zip(docs, probabilities, strict=True)
    return found
