"""The facts of a model card: plain values, from a pipeline and from the files of its making."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from spacy.language import Language

from ..evaluation.evaluate import (
    TRAINED_ON_DEV,
    LabelSetFacts,
    Machine,
    Metrics,
    PipelineName,
    SystemComparison,
)
from ..joint.start import STAGES
from ..pipeline.component import component_of
from ..pipeline.tuning import current_setting
from ..scoring.reliability import ReliabilityFigures
from ..scoring.scores import Scores
from ..scoring.summary import ComparedScore, Intervals
from .saving import without_training_texts

BEGAN_WITH = "began_with"
"""The key of a pipeline's meta for name and version of the one that its training began with."""

TRAINING = ("optimizer", "batcher", "dropout", "accumulate_gradient", "max_steps", "max_epochs")
"""Settings of a training that a card lists."""


SURE = 0.05
"""Corrected p of a type below which it counts as better or worse."""

LEVEL = (
    "Span scores are strict: label and all bounds must agree with the annotation as it was before "
    "conversion. Micro counts entities, macro is the mean over the types. Token scores count "
    "tokens. Intervals are 95%, by bootstrap over documents."
)


class DataFacts(TypedDict):
    """Facts on the annotated documents; empty values where they are not known.

    Attributes:
        title: The name of the data.
        license: The license of the data.
        citation: The publication to cite.
        doi: The DOI of the data.
        documents: Number of documents of each part of the split.
        split_seed: The seed of the split.
        entities: Number of entities: "input", and those that the conversion kept, moved, ...
        policies: The rules of the conversion.
    """

    title: str
    license: str
    citation: str
    doi: str
    documents: dict[str, int]
    split_seed: int | None
    entities: dict[str, int]
    policies: dict[str, str]


class LabelFacts(TypedDict):
    """Number of entities of a type in training (None if not known) and in the test part."""

    train: int | None
    test: int


class EvaluatedFacts(TypedDict):
    """The size of the test part; ``label_sets`` is None where all documents annotate all types."""

    documents: int
    tokens: int
    gold_entities: int
    predicted_entities: int
    label_sets: LabelSetFacts | None


class DevFacts(TypedDict, total=False):
    """Number of settings that were tried on dev, and scores of this one and of the model alone."""

    settings: int
    micro_f: float
    macro_f: float
    alone_micro_f: float
    alone_macro_f: float


class OptionalPipelineFacts(TypedDict, total=False):
    """Number of documents of dev that the pipeline was trained on, where it was."""

    dev_documents: int


class PipelineFacts(OptionalPipelineFacts):
    """Facts on the pipeline itself.

    Attributes:
        settings: Settings of the component, as text.
        training: Settings of the training, as text.
        vote: How neighbors vote: the keys of a trial.
        decision: The settings that decide on the labels, as text.
        calibrated: Whether the scores of entities are calibrated.
        thresholds: The least score of entities, by label.
        seed: The seed of the training.
        neighbors: Number of stored tokens.
        neighbor_documents: Number of documents that they come from.
        other_strings: Number of other strings in the vocabulary, such as words of training texts.
    """

    settings: dict[str, str]
    training: dict[str, str]
    vote: dict[str, Any]
    decision: str
    calibrated: bool
    thresholds: dict[str, float]
    seed: int
    neighbors: int
    neighbor_documents: int
    other_strings: int


class PreviousFacts(PipelineName):
    """The version before, and how this one differs from it on the test part.

    Attributes:
        figures: Scores of this version (first) and of the one before (second), their difference
            with its interval, and p, by name of the score.
        better: Types whose strict F1 is better, p corrected for their number below 0.05.
        worse: Types whose strict F1 is worse.
    """

    figures: dict[str, ComparedScore]
    better: list[str]
    worse: list[str]


class OptionalCardFacts(TypedDict, total=False):
    """The pipeline that a training began with, and the comparison with it, where they are known."""

    began_with: PipelineName
    previous: PreviousFacts


class EncoderFacts(TypedDict):
    """The pretrained encoder, "" if there is none, and the license of its weights."""

    name: str
    license: str


class CardFacts(OptionalCardFacts):
    """The facts of a model card, as JSON values.

    Attributes:
        name: The name of the package, with the language.
        version: The version of the package.
        language: The language of the pipeline.
        author: Author of the pipeline.
        license: The license of the pipeline.
        encoder: The pretrained encoder.
        heading: The heading that a report on the data must carry.
        data: The annotated documents.
        stages: Number of documents of each corpus, stage by stage, of a training on named corpora.
        labels: Entities in training and in the test part, by label.
        test: The size of the test part.
        level: An explanation of the scores.
        scores: Scores on the test part.
        intervals: Their intervals.
        reliability: Reliability of the scores of entities on the test part, by kind of score.
        dev: The choice of the settings on dev.
        updates: Number of updates of the weights, by component.
        machine: The machine of the evaluation.
        versions: Versions of packages at the evaluation.
        size: Bytes by part.
        pipeline: The pipeline itself.
    """

    name: str
    version: str
    language: str
    author: str
    license: str
    encoder: EncoderFacts
    heading: str
    data: DataFacts
    stages: list[dict[str, int]]
    labels: dict[str, LabelFacts]
    test: EvaluatedFacts
    level: str
    scores: Scores
    intervals: Intervals
    reliability: dict[str, ReliabilityFigures]
    dev: DevFacts
    updates: dict[str, int]
    machine: Machine
    versions: dict[str, str]
    size: dict[str, int]
    pipeline: PipelineFacts


def card_facts(
    *,
    meta: Mapping[str, Any],
    metrics: Metrics,
    source: Mapping[str, str],
    account: Mapping[str, Any],
    split: Mapping[str, Any],
    trials: Sequence[Mapping[str, Any]],
    labels: Sequence[str],
    pipeline: PipelineFacts,
    size: Mapping[str, int],
    comparison: SystemComparison | None = None,
    encoder_license: str = "",
) -> CardFacts:
    """Return the facts of a card. Mappings are empty where their facts are not known.

    Args:
        meta: The meta of the pipeline.
        metrics: The figures of an evaluation.
        source: The corpus.json of the corpus.
        account: The account of the conversion.
        split: The split of the conversion.
        trials: The settings that were tried on dev, the first with the model alone.
        labels: The labels of the component.
        pipeline: The facts of `pipeline_facts`.
        size: Bytes by part.
        comparison: The comparison of the evaluated pipeline with the version before; None without.
        encoder_license: The license of the encoder's weights.

    Raises:
        KeyError: A mapping that is not empty lacks a value.
        ValueError: The comparison is not one of the evaluated pipeline.
    """
    by_type = metrics["scores"]["ents_per_type"] or {}
    trained_on = metrics.get("train_counts")
    facts: CardFacts = {
        "name": f"{meta['lang']}_{meta['name']}",
        "version": meta["version"],
        "language": meta["lang"],
        "author": meta.get("author", ""),
        "license": meta["license"],
        "encoder": {
            "name": pipeline["settings"].get("model.tok2vec.name", ""),
            "license": encoder_license,
        },
        "heading": metrics["heading"],
        "data": _data_facts(source, account, split),
        "stages": meta.get(STAGES, []),
        "labels": {
            label: {
                "train": trained_on.get(label, 0) if trained_on else None,
                "test": by_type.get(label, {}).get("support", 0),
            }
            for label in labels
        },
        "test": {
            "documents": metrics["documents"],
            "tokens": metrics["tokens"],
            "gold_entities": metrics["gold_entities"],
            "predicted_entities": metrics["predicted_entities"],
            "label_sets": metrics.get("label_sets"),
        },
        "level": LEVEL,
        "scores": {**metrics["scores"], "ents_per_type": by_type},
        "intervals": metrics["intervals"],
        "reliability": {
            kind: {
                "entities": figures["entities"],
                "error": figures["error"],
                "chance": figures["chance"],
                "brier": figures["brier"],
            }
            for kind, figures in metrics["reliability"].items()
        },
        "dev": _choice(trials, pipeline["vote"]),
        "updates": metrics["updates"],
        "machine": metrics["machine"],
        "versions": metrics["versions"],
        "size": dict(size),
        "pipeline": pipeline,
    }
    if began_with := meta.get(BEGAN_WITH):
        facts["began_with"] = {"name": began_with["name"], "version": began_with["version"]}
    if comparison is not None:
        facts["previous"] = _previous(comparison, metrics)
    rounded: CardFacts = _rounded(facts)
    return rounded


def _previous(comparison: SystemComparison, metrics: Metrics) -> PreviousFacts:
    """Return the facts on the version before; ValueError if they are of another evaluation."""
    figures, by_type = comparison["figures"], comparison["ents_per_type"]
    if figures["ents_f"]["first"] != metrics["scores"]["ents_f"]:
        raise ValueError(
            "the comparison is not of the pipeline in metrics.json: give the comparison.json that "
            "the same run of evaluate --compare has written beside it"
        )
    sure = {
        label: row["difference"] or 0.0
        for label, row in by_type.items()
        if row["p_holm"] is not None and row["p_holm"] < SURE
    }
    return {
        **comparison["pipelines"][1],
        "figures": {key: figures[key] for key in ("ents_f", "ents_macro_f")},
        "better": sorted(label for label, difference in sure.items() if difference > 0),
        "worse": sorted(label for label, difference in sure.items() if difference < 0),
    }


def pipeline_facts(nlp: Language) -> PipelineFacts:
    """Return the facts on a pipeline that was just loaded.

    Raises:
        ValueError: It does not have one component ``btl_knn_ner``.
    """
    pipe = component_of(nlp)
    config = nlp.config.interpolate()
    store = pipe.neighbors.datastore
    own = {k: v for k, v in config["components"][pipe.name].items() if k != "thresholds"}
    facts: PipelineFacts = {
        "settings": dict(sorted(_flat(own).items())),
        "training": _flat({key: config["training"].get(key) for key in TRAINING}),
        "vote": current_setting(pipe)._asdict(),
        "decision": pipe.decision,
        "calibrated": pipe.calibration is not None,
        "thresholds": dict(pipe.thresholds),
        "seed": config["training"]["seed"],
        "neighbors": len(store) if store is not None else 0,
        "neighbor_documents": len(store.documents) if store is not None else 0,
        "other_strings": len(
            set(nlp.vocab.strings) - set(without_training_texts(nlp).vocab.strings)
        ),
    }
    if n_dev := int(nlp.meta.get(TRAINED_ON_DEV, 0)):
        facts["dev_documents"] = n_dev
    return facts


def _data_facts(
    source: Mapping[str, str], account: Mapping[str, Any], split: Mapping[str, Any]
) -> DataFacts:
    totals, policies = account.get("totals", {}), account.get("settings", {})
    return {
        "title": source.get("title", ""),
        "license": source.get("license", ""),
        "citation": source.get("citation", ""),
        "doi": source.get("doi", ""),
        "documents": {name: len(names) for name, names in split.get("parts", {}).items()},
        "split_seed": split.get("seed"),
        "entities": {"input": totals["input"], **totals} if totals else {},
        "policies": {
            key: policies[key]
            for key in ("overlap", "discontinuous", "alignment")
            if key in policies
        },
    }


def _choice(trials: Sequence[Mapping[str, Any]], vote: Mapping[str, Any]) -> DevFacts:
    """Return the scores on dev of a setting (``vote``) and of the first trial, the model alone."""
    own = [trial for trial in trials if vote.items() <= trial.items()]
    if not vote["neighbor_weight"]:
        own = list(trials[:1])
    if not own:
        return {}
    return {
        "settings": len(trials),
        "micro_f": own[0]["micro_f"],
        "macro_f": own[0]["macro_f"],
        "alone_micro_f": trials[0]["micro_f"],
        "alone_macro_f": trials[0]["macro_f"],
    }


def _rounded(value: Any) -> Any:
    """Return JSON values with 6 decimals, which every writer and reader of JSON keeps."""
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, Mapping):
        return {key: _rounded(inner) for key, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list | tuple) else value


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return settings by their names with dots, a registered function by the name of its block.

    Of a path on the machine of the training only the last part is kept.
    """
    flat: dict[str, str] = {}
    for key, value in values.items():
        if key.startswith("@"):
            flat[prefix.rstrip(".")] = str(value)
        elif isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        elif value is not None:
            is_path = isinstance(value, str) and Path(value).is_absolute()
            flat[prefix + key] = Path(value).name if is_path else str(value)
    return flat
