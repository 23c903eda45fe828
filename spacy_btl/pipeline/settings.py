"""The settings of components as they are now, in the configuration of their pipeline.

A pipeline is saved with the configuration that its components were made from. Settings that have
changed since (dev has chosen others, or a user has set an attribute) must be written into it, or
the saved pipeline decides otherwise than the one in memory. spaCy has no documented way to change
the configuration of a component: `Language.get_pipe_config` returns the dict that spaCy itself
uses, but does not promise to. `current_config` therefore makes a configuration without relying on
it, and is what `spacy_btl.packaging.saving.save_pipeline` saves.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from spacy.language import Language
from thinc.api import Config

from ..util.messages import warn
from .component import BtlKnnNer

if TYPE_CHECKING:
    from collections.abc import Iterator


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
    interpolated = nlp.config.interpolate()["components"]
    for name, pipe in _components(nlp):
        _update(config["components"][name], interpolated[name], component_settings(pipe))
    return config


def store_settings(nlp: Language) -> None:
    """Write the settings of the components as of now into the configuration of their pipeline.

    ``nlp.to_disk`` saves them from now on. Where spaCy does not allow that, a warning says so:
    `spacy_btl.save_pipeline` saves them all the same.
    """
    for name, pipe in _components(nlp):
        interpolated = nlp.config.interpolate()["components"][name]
        _update(nlp.get_pipe_config(name), interpolated, component_settings(pipe))
    if nlp.config["components"] != current_config(nlp)["components"]:
        warn(
            "this version of spaCy keeps the settings that the components were made with: save "
            "the pipeline with spacy_btl.save_pipeline(nlp, folder), not with nlp.to_disk(folder)"
        )


def _components(nlp: Language) -> "Iterator[tuple[str, BtlKnnNer]]":
    names = nlp.component_names  # those that are disabled are saved too
    pipes = ((name, nlp.get_pipe(name)) for name in names)
    return ((name, pipe) for name, pipe in pipes if isinstance(pipe, BtlKnnNer))


def _update(config: Any, interpolated: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Set the values in the block of a component that differ from those there are.

    Args:
        config: The block, possibly with variables.
        interpolated: The same block without variables.
        values: As from `component_settings`.
    """
    for name, value in values.items():
        if name == "neighbors":
            # A search of another kind may have settings that its block does not name.
            value = interpolated[name] | {k: v for k, v in value.items() if k in interpolated[name]}
        if interpolated.get(name) == value:
            continue
        if isinstance(config.get(name), dict) and name == "neighbors":
            known = interpolated[name]
            config[name].update({k: v for k, v in value.items() if known[k] != v})
        else:
            config[name] = value
