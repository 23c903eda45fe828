"""What a model card takes from a pipeline and from the files of its making."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spacy.language import Language

from ..pipeline.component import component_of
from ..pipeline.tuning import current_setting
from .saving import without_training_texts


def pipeline_values(nlp: Language) -> dict[str, Any]:
    """What `packaging.card.card_facts` wants to know of a pipeline that was just loaded.

    Raises ValueError where it has not one component ``btl_knn_ner``.
    """
    pipe = component_of(nlp)
    config = nlp.config.interpolate()
    store = pipe.neighbors.datastore
    own = {k: v for k, v in config["components"][pipe.name].items() if k != "thresholds"}
    return {
        "labels": list(pipe.labels),
        "settings": dict(sorted(_flat(own).items())),
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


def read_values(path: Path | None) -> Any:
    """The content of a JSON file, numbers to the last digit; an empty mapping without a file.

    Raises ValueError, with the file's name and nothing of its content, for what is no JSON.
    """
    if path is None:
        return {}
    try:
        return json.loads(path.read_text(encoding="utf8"))
    except ValueError:
        raise ValueError(f"{path} is no JSON file") from None


def split_of(account: Path | None) -> Path | None:
    """The ``split.json`` beside an account, where there is one."""
    path = account.parent / "split.json" if account else None
    return path if path and path.is_file() else None


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Settings by their names with dots, a registered function by the name of its block.

    Of a path on the machine of the training only the last part is told.
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
