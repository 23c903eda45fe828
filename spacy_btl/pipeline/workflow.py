"""Work on a whole pipeline: fit and drop neighbors, explain entities, round weights.

These are the functions behind the commands ``fit-knn``, ``explain``, ``drop-neighbors`` and
``round-weights``. Where a function of the component takes documents that all earlier components
have read, these take the pipeline, and see to that and to its configuration.

A pipeline is saved with the configuration that its components were made from. Settings that have
changed since (dev has chosen others, or a user has set an attribute) must be written into it, or
the saved pipeline decides otherwise than the one in memory. spaCy has no documented way to change
the configuration of a component: `Language.get_pipe_config` returns the dict that spaCy itself
uses, but does not promise to. `current_config` therefore makes a configuration without relying on
it, and is what `spacy_btl.save_pipeline` saves.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Config

from ..data.gold import document_ids, heading_of
from ..explain.evidence import EntityEvidence
from ..explain.page import render_page
from ..explain.passages import Corpus, corpus_document
from ..explain.text import evidence_to_json, render_text
from ..labels.config_keys import to_config_keys
from ..ml.weights import Half, round_encoder
from ..util.messages import warn
from .component import BtlKnnNer, KeyKind, component_of
from .fitting import examples_for, fit_neighbors, warn_of_few
from .tuning import DevChoice, choose_on_dev, current_setting


@dataclass(frozen=True, slots=True, eq=False)
class FittedNeighbors:
    """The outcome of `fit_knn`.

    Attributes:
        n_tokens: Number of tokens that vote.
        choice: What dev has chosen; None without dev.
    """

    n_tokens: int
    choice: DevChoice | None


def fit_knn(
    nlp: Language,
    train: Iterable[Example],
    dev: Iterable[Example] | None = None,
    *,
    fixed: bool = False,
    keys: KeyKind | None = None,
    dropout: float = 0.0,
    passes: int = 1,
    seed: int = 0,
    progress: bool | None = None,
) -> FittedNeighbors:
    """Fit the neighbors of a trained pipeline, choose their settings on dev, calibrate the scores.

    The pipeline is changed in place; where fitting fails, its neighbors stay as they were. Save it
    with `spacy_btl.save_pipeline`. `BtlKnnNer.fit_neighbors` is the first step alone.

    Args:
        nlp: The pipeline, with one component ``btl_knn_ner``.
        train: Annotated documents whose tokens become the neighbors, as from
            `spacy_btl.read_examples`.
        dev: Annotated documents for the choice; None to keep the settings and raw scores.
        fixed: Whether dev only calibrates the scores, and the settings stay.
        keys: "logits" or "hidden" states; None for the setting of the component.
        dropout: Dropout rate under which the keys are made, 0 for none.
        passes: Keys of each token; with dropout they differ from pass to pass.
        seed: Seed of the dropout. The random states of the program do not change.
        progress: Whether to show a progress bar; None to show it in a terminal only.

    Returns:
        The number of tokens that vote, and the settings chosen on dev.

    Raises:
        ValueError: If there is no document in ``train`` or ``dev``, a setting is out of its range,
            documents of the same name differ, or the neighbor search has other settings than dev
            chooses.
    """
    pipe, held_out = component_of(nlp), _held_out(dev)
    if held_out is not None:
        current_setting(pipe)  # refuses what dev cannot choose, before the work
    elif fixed:
        raise ValueError("fixed needs dev documents: they calibrate the scores")
    before = pipe.keys
    try:
        pipe.set_key_kind(before if keys is None else keys)
        examples = examples_for(nlp, pipe, train)
        n_tokens = fit_neighbors(
            pipe, examples, dropout=dropout, passes=passes, seed=seed, progress=progress
        )
    except BaseException:
        pipe.keys = before
        raise
    choice = None
    if held_out is not None:
        choice = choose_on_dev(pipe, examples_for(nlp, pipe, held_out), fixed=fixed)
    warn_of_few(pipe)
    store_settings(nlp)
    return FittedNeighbors(n_tokens, choice)


def drop_neighbors(nlp: Language, dev: Iterable[Example] | None = None) -> DevChoice | None:
    """Remove all neighbors from a pipeline, so that it holds no vector of a training token.

    From now on the model decides alone. Explanations, types that only the neighbors know and the
    names of documents are gone. A calibration of the model alone stays.

    Args:
        nlp: The pipeline, which is changed in place.
        dev: Annotated documents to calibrate the scores of the model alone on.

    Returns:
        The trial of the model alone on dev; None without dev.

    Raises:
        ValueError: If ``dev`` has no document.
    """
    pipe, held_out = component_of(nlp), _held_out(dev)
    examples = None if held_out is None else examples_for(nlp, pipe, held_out)
    is_chosen = not pipe.neighbor_weight and pipe.state.calibrated_for == pipe.decision
    calibration = pipe.calibration
    pipe.forget_neighbors()
    pipe.neighbor_weight = 0.0
    if is_chosen:
        pipe.calibration = calibration
    choice = None if examples is None else choose_on_dev(pipe, examples, fixed=True)
    store_settings(nlp)
    return choice


def round_weights(nlp: Language, precision: Half = "float16") -> float:
    """Round the weights of a pipeline's encoder to 16 bits, which halves their size when saved.

    Neighbors are dropped, with their calibration: they belong to the old weights. Weights
    are float32 in memory and in training as before.

    Args:
        nlp: The pipeline, which is changed in place.
        precision: "float16" or "bfloat16".

    Returns:
        The largest change of a weight tensor, relative to its norm.

    Raises:
        ValueError: If the component has no encoder of its own, or a weight would become infinite.
    """
    pipe = component_of(nlp)
    change = round_encoder(pipe.model, precision)
    pipe.forget_neighbors()
    return change


def make_add_labels(
    labels: list[str], component: str = "btl_knn_ner"
) -> Callable[[Language], Language]:
    """Return a callback for ``[initialize.after_init]`` that adds labels to a component.

    ``spacy train`` does not initialize a component that comes with its weights from another
    pipeline (``source``), so that nothing else gives it the labels of new documents.

    Args:
        labels: Entity types; those that are there already are left alone.
        component: Name of the component in its pipeline.
    """

    def add_labels(nlp: Language) -> Language:
        pipes = dict(_components(nlp))
        if component not in pipes:
            raise ValueError(
                f'labels cannot be added to "{component}": it is not a btl_knn_ner of this '
                f"pipeline, which has {', '.join(nlp.component_names)}"
            )
        for label in labels:
            pipes[component].add_label(label)
        return nlp

    return add_labels


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """The entities of a document with the neighbors behind them, and their sentences if at hand.

    Attributes:
        text: The document.
        entities: Its entities with their evidence.
        labels: Entity types of the pipeline.
        corpus: The documents of the neighbors by name, whose sentences are shown; None to show
            names and offsets only.
        heading: A notice that the corpus demands of every report on it, or "".
    """

    text: str
    entities: list[EntityEvidence]
    labels: tuple[str, ...]
    corpus: Corpus | None
    heading: str

    def to_text(self, *, n_examples: int = 5) -> str:
        """Return the explanation for a terminal, with ``n_examples`` neighbors for each entity."""
        return render_text(
            self.text, self.entities, self.corpus, n_examples=n_examples, heading=self.heading
        )

    def to_json(self, *, n_examples: int = 5) -> dict[str, object]:
        """Return the explanation as JSON values, with ``n_examples`` neighbors for each entity."""
        return evidence_to_json(
            self.text, self.entities, self.corpus, n_examples=n_examples, heading=self.heading
        )

    def to_html(self, title: str, *, n_examples: int = 5) -> str:
        """Return the explanation as a page, with ``n_examples`` neighbors for each entity."""
        return render_page(
            self.text,
            self.entities,
            self.corpus,
            title=title,
            heading=self.heading,
            labels=self.labels,
            n_examples=n_examples,
        )


def explain_entities(
    nlp: Language, text: str | Doc, corpus: Iterable[Doc] | None = None
) -> Explanation:
    """Annotate a document and return its entities with the neighbors behind each.

    `BtlKnnNer.explain` returns the evidence alone.

    Args:
        nlp: The pipeline, with one component ``btl_knn_ner`` that has neighbors.
        text: The document, or its text.
        corpus: The documents that the neighbors come from; None to name them only.

    Returns:
        The document and its entities. ``to_text()``, ``to_html()`` and ``to_json()`` show them.

    Raises:
        ValueError: If the component has no neighbors, or those of other weights.
    """
    pipe = component_of(nlp)
    doc = nlp(text)
    entities = pipe.explain(doc)
    shown, heading = None, ""
    if corpus is not None:
        docs = list(corpus)
        ids = document_ids(docs, pipe.spans_key)
        shown = {
            name: corpus_document(each, pipe.spans_key)
            for name, each in zip(ids, docs, strict=True)
        }
        heading = heading_of(docs)
    return Explanation(doc.text, entities, pipe.labels, shown, heading)


def _held_out(dev: Iterable[Example] | None) -> list[Example] | None:
    """Return the dev documents as a list; raise ValueError, before any work, if there is none."""
    if dev is None:
        return None
    if examples := list(dev):
        return examples
    raise ValueError("there are no dev documents to choose the settings on")


def component_settings(pipe: BtlKnnNer) -> dict[str, Any]:
    """Return the settings of a component that can change after it was made.

    Returns:
        ``keys``, ``neighbor_weight``, ``thresholds`` and ``neighbors``, in which the settings of
        the neighbor search are named as in its block of the configuration. Labels are keys as
        `labels.to_config_key` has them.
    """
    return {
        "keys": pipe.keys,
        "neighbor_weight": pipe.neighbor_weight,
        "thresholds": to_config_keys(pipe.thresholds),
        "neighbors": dict(pipe.neighbors.settings),
    }


def current_config(nlp: Language) -> Config:
    """Return a copy of the pipeline's configuration with the settings of its components as of now.

    Variables of the configuration stay where their value is still right.
    """
    config: Config = nlp.config.copy()
    present = nlp.config.interpolate()["components"]
    for name, pipe in _components(nlp):
        _update(config["components"][name], present[name], component_settings(pipe))
    return config


def store_settings(nlp: Language) -> None:
    """Write the settings of the components as of now into the configuration of their pipeline.

    ``nlp.to_disk`` saves them from now on. Where spaCy does not allow that, a warning says so:
    `spacy_btl.save_pipeline` saves them all the same.
    """
    present = nlp.config.interpolate()["components"]
    for name, pipe in _components(nlp):
        _update(nlp.get_pipe_config(name), present[name], component_settings(pipe))
    if nlp.config["components"] != current_config(nlp)["components"]:
        warn(
            "this version of spaCy keeps the settings that the components were made with: save "
            "the pipeline with spacy_btl.save_pipeline(nlp, folder), not with nlp.to_disk(folder)"
        )


def _components(nlp: Language) -> Iterator[tuple[str, BtlKnnNer]]:
    """Yield our components with their names, those that are disabled as well."""
    for name in nlp.component_names:
        pipe = nlp.get_pipe(name)
        if isinstance(pipe, BtlKnnNer):
            yield name, pipe


def _update(block: Any, present: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Set those settings in the block of a component that have another value there.

    Args:
        block: The block, possibly with variables.
        present: The same block without variables.
        settings: As from `component_settings`.
    """
    changed = {name: value for name, value in settings.items() if present.get(name) != value}
    search = changed.pop("neighbors", {})
    block.update(changed)
    # A search of another kind may have settings that its block does not name.
    named = {k: v for k, v in search.items() if present["neighbors"].get(k, v) != v}
    if named:
        # The block may be a reference to another one, which others may refer to as well.
        own = block["neighbors"]
        block["neighbors"] = {**(own if isinstance(own, dict) else present["neighbors"]), **named}
