"""The facts of a model card, as JSON values; `packaging.card_text` makes Markdown of them.

Plain values in, plain values out.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from .card_text import LEVEL, NOT_STATED, description


def card_facts(
    *,
    meta: Mapping[str, Any],
    license: str,
    metrics: Mapping[str, Any],
    source: Mapping[str, Any],
    account: Mapping[str, Any],
    split: Mapping[str, Any],
    trials: Sequence[Mapping[str, Any]],
    pipeline: Mapping[str, Any],
    size: Mapping[str, int],
) -> dict[str, Any]:
    """What the card tells, as JSON values. Where a value is unknown its mapping is empty.

    meta: of the pipeline. license: of the pipeline. metrics: what ``evaluate`` wrote. source: the
    ``corpus.json`` of the corpus. account, split: what ``convert`` wrote. trials: the settings that
    ``fit-knn`` tried on dev. pipeline: ``labels``, ``settings`` (texts by name), ``vote`` (the
    keys of a trial), ``decision``, ``calibrated``, ``thresholds``, ``seed``, ``neighbors``,
    ``neighbor_documents`` and ``other_strings``, such as words of the training texts (counts).
    size: bytes by part.
    """
    by_type = metrics["scores"]["ents_per_type"] or {}
    trained_on = metrics.get("train_counts", {})
    parts = split.get("parts", {})
    facts = {
        "name": f"{meta['lang']}_{meta['name']}",
        "version": meta["version"],
        "language": meta["lang"],
        "license": license,
        "heading": metrics["heading"],
        "data": {
            **{key: source.get(key, "") for key in ("title", "licence", "citation", "doi")},
            "documents": {name: len(names) for name, names in parts.items()},
            "split_seed": split.get("seed"),
            "entities": account.get("totals", {}),
            "policies": {
                key: value
                for key, value in account.get("settings", {}).items()
                if key in ("overlap", "discontinuous", "alignment")
            },
        },
        "labels": {
            label: {
                "train": trained_on.get(label, 0) if trained_on else None,
                "test": by_type.get(label, {}).get("support", 0),
            }
            for label in pipeline["labels"]
        },
        "test": {
            key: metrics[key]
            for key in ("documents", "tokens", "gold_entities", "predicted_entities")
        },
        "level": LEVEL,
        "scores": {**metrics["scores"], "ents_per_type": by_type},
        "intervals": metrics["intervals"],
        "dev": _choice(trials, pipeline["vote"]),
        "updates": metrics["updates"],
        "machine": metrics["machine"],
        "versions": metrics["versions"],
        "size": dict(size),
        "pipeline": {key: value for key, value in pipeline.items() if key != "labels"},
    }
    rounded: dict[str, Any] = _rounded(facts)
    return rounded


def card_meta(meta: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """The pipeline's meta with the facts, under the keys that spaCy has for them and in full.

    ``performance`` holds the scores of the test part from now on, those of dev before.
    """
    data = facts["data"]
    author, url = data["citation"], f"https://doi.org/{data['doi']}" if data["doi"] else ""
    sources = [{"name": data["title"] or NOT_STATED, "author": author, "url": url}]
    if data["licence"]:
        sources[0]["license"] = data["licence"]
    return {
        **meta,
        "description": meta.get("description") or description(facts),
        "license": facts["license"],
        "sources": sources,
        "performance": dict(facts["scores"]),
        "model_card": dict(facts),
    }


def _choice(trials: Sequence[Mapping[str, Any]], vote: Mapping[str, Any]) -> dict[str, Any]:
    """How many settings were tried on dev; the figures of this one, and of the model alone.

    vote: the setting of the pipeline, with the keys of a trial. The first trial is the model alone.
    """
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
    """With 6 digits behind the point, which every writer and reader of JSON on the way keeps."""
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, Mapping):
        return {key: _rounded(inner) for key, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list | tuple) else value
