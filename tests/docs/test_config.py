"""The tables of docs/config.md are the signatures of the registered functions."""

import json
import re
import types
import typing
from collections.abc import Callable
from importlib import metadata
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import pytest
from thinc.api import Model
from thinc.types import Generator

from spacy_btl.neighbors.classifier import NeighborSearch, SearchKind
from spacy_btl.pipeline.component import DEFAULT_CONFIG
from spacy_btl.training.class_weights import ClassWeights
from spacy_btl.training.losses import TokenLoss

ROOT = Path(__file__).parents[2]
REGISTERED = {
    point.name: point
    for point in metadata.distribution("spacy-btl").entry_points
    if point.group != "spacy_cli"
}
REGISTRY_OF = {
    type(None): "null",
    Generator: "schedule",
    Model: "architecture",
    TokenLoss: "loss",
    ClassWeights: "misc",
    NeighborSearch: "misc",
}


def documented() -> dict[str, dict[str, tuple[str, str]]]:
    """Return type and default of each setting, by registered name, as the page has them."""
    page = (ROOT / "docs" / "config.md").read_text(encoding="utf8")
    sections = re.split(r"^#+ ", page, flags=re.MULTILINE)
    tables = {}
    for section in sections:
        if named := re.match(r"`([\w.-]+)`\n", section):
            rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \| .+ \|$", section, re.MULTILINE)
            tables[named[1]] = {name: (kind, default) for name, kind, default in rows}
    return tables


def in_code(name: str) -> dict[str, tuple[str, str]]:
    """Return type and default of each setting, as the registered function has them."""
    function = REGISTERED[name].load()
    hinted = function.__init__ if isinstance(function, type) else function
    hints = typing.get_type_hints(hinted, localns={"SearchKind": SearchKind})
    parameters = dict(signature(function).parameters)
    defaults = {name: parameter.default for name, parameter in parameters.items()}
    if name == "btl_knn_ner":  # spaCy gives the first two; the rest have theirs in the factory
        del parameters["nlp"], parameters["name"]
        defaults = DEFAULT_CONFIG
    return {key: (type_text(hints[key], key), default_text(defaults[key])) for key in parameters}


def type_text(hint: Any, name: str) -> str:
    """Return a type as the page writes it."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return ", ".join(f'`"{value}"`' for value in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(type_text(argument, name) for argument in arguments)
    if origin is Callable:
        return name  # a setting that takes a function is named for its registry
    if isinstance(origin, type) and issubclass(origin, typing.Mapping):
        return "table" if arguments[1] is Any else f"table of {type_text(arguments[1], name)}"
    if origin is list:
        return f"list of {type_text(arguments[0], name)}"
    return REGISTRY_OF.get(origin or hint) or hint.__name__


def default_text(value: Any) -> str:
    """Return a default as the page writes it."""
    if value is Parameter.empty:
        return "required"
    registered = [value[key] for key in value if key[0] == "@"] if isinstance(value, dict) else []
    return f"`{registered[0]}`" if registered else f"`{json.dumps(value)}`"


def test_every_registered_name_has_its_table_and_no_other_has_one() -> None:
    assert set(documented()) == set(REGISTERED)


@pytest.mark.parametrize("name", sorted(REGISTERED))
def test_table_has_every_setting_with_type_and_default(name: str) -> None:
    assert documented()[name] == in_code(name)


def test_the_factory_gives_its_neighbors_their_own_defaults() -> None:
    given = DEFAULT_CONFIG["neighbors"]
    table = documented()[given["@misc"]]
    assert {name: f"`{json.dumps(given[name])}`" for name in table} == {
        name: default for name, (_, default) in table.items()
    }
