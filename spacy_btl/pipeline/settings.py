"""The settings of components as they are now, in the configuration of their pipeline.

A pipeline is saved with the configuration that its components were made from. Settings that have
changed since (dev has chosen others, or a user has set an attribute) must be written into it, or
the saved pipeline decides otherwise than the one in memory. spaCy has no documented way to change
the configuration of a component: `Language.get_pipe_config` returns the dict that spaCy itself
uses, but does not promise to. `current_config` therefore makes a configuration without relying on
it, and is what `spacy_btl.packaging.saving.save_pipeline` saves.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from spacy.language import Language
from thinc.api import Config

from ..util.messages import warn
from .component import BtlKnnNer


def component_settings(pipe: BtlKnnNer) -> dict[str, Any]:
    """Return the settings of a component that can change after it was made.

    Returns:
        ``keys``, ``neighbor_weight``, ``thresholds`` and ``neighbors``, in which the settings of
        the neighbor search are named as in its block of the configuration.
    """
    return {
        "keys": pipe.keys,
        "neighbor_weight": pipe.neighbor_weight,
        "thresholds": dict(pipe.thresholds),
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
