"""Write the tables of docs/config.md from signatures and docstrings of the registered functions.

    python docs/render_config.py

A section whose title is a registered name is written anew; all other text of the page stays.
"""

import importlib
import inspect
import json
import re
import types
import typing
from collections.abc import Callable
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import tomllib
from thinc.api import Model
from thinc.types import Generator

from spacy_btl.neighbors.classifier import NeighborSearch, SearchKind
from spacy_btl.pipeline.component import DEFAULT_CONFIG
from spacy_btl.training.class_weights import ClassWeights
from spacy_btl.training.losses import TokenLoss

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "config.md"
# Where a configuration names a registered function. A factory has the key "factory".
KEYS = {
    "spacy_factories": "factory",
    "spacy_architectures": "@architectures",
    "spacy_misc": "@misc",
    "spacy_scorers": "@scorers",
    "spacy_tokenizers": "@tokenizers",
    "spacy_readers": "@readers",
    "spacy_batchers": "@batchers",
    "spacy_callbacks": "@callbacks",
    "thinc_losses": "@losses",
    "thinc_optimizers": "@optimizers",
}
# A value of these types is a block of its own, of this registry.
REGISTRY_OF = {
    type(None): "null",
    Generator: "schedule",
    Model: "architecture",
    TokenLoss: "loss",
    ClassWeights: "misc",
    NeighborSearch: "misc",
}
# spaCy passes these to a factory. They are not settings.
GIVEN_BY_SPACY = ("nlp", "name")


def render_page(page: str) -> str:
    """Return the page with the section of each registered name written anew.

    Raises:
        ValueError: If a registered name has no section, or a setting is in no docstring.
    """
    sections = {name: render_section(key, name, load(value)) for key, name, value in registered()}
    parts = re.split(r"(^#+ .*\n)", page, flags=re.MULTILINE)
    for i in range(1, len(parts), 2):
        named = re.fullmatch(r"#+ `([\w.-]+)`\n", parts[i])
        if named and named[1] in sections:
            parts[i + 1] = sections.pop(named[1])
    if sections:
        raise ValueError(f"{PAGE} has no section for {', '.join(sorted(sections))}")
    return "".join(parts).rstrip() + "\n"


def registered() -> list[tuple[str, str, str]]:
    """Return the key in a configuration, the name, and the place of each registered function."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]
    return [
        (KEYS[group], name, value)
        for group, functions in project["entry-points"].items()
        if group in KEYS
        for name, value in functions.items()
    ]


def load(value: str) -> Callable[..., Any]:
    """Return the function or class at MODULE:NAME."""
    module, _, name = value.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


def render_section(key: str, name: str, function: Callable[..., Any]) -> str:
    """Return the text under the title of a registered function, with a table of its settings."""
    description, meanings = read_docstring(inspect.getdoc(function) or "")
    rows = []
    for setting, (kind, default) in read_signature(name, function).items():
        if setting not in meanings:
            raise ValueError(f"the docstring of {name} does not explain its setting {setting}")
        rows.append(f"| `{setting}` | {kind} | {default} | {meanings[setting]} |")
    head = ["| setting | type | default | meaning |", "|---|---|---|---|"] if rows else []
    paragraphs = [f"`{key}`. {description}", "\n".join(head + rows)]
    return "\n" + "\n\n".join(filter(None, paragraphs)) + "\n\n"


def read_docstring(docstring: str) -> tuple[str, dict[str, str]]:
    """Return the description, and the meaning of each argument or attribute, as Markdown."""
    parts = re.split(r"^(\w+):\n", docstring, flags=re.MULTILINE)
    meanings = {}
    for title, body in zip(parts[1::2], parts[2::2], strict=True):
        if title in ("Args", "Attributes"):
            entries = re.split(r"^    (\*?\w+): ", body, flags=re.MULTILINE)
            names, texts = entries[1::2], entries[2::2]
            meanings |= {
                setting.lstrip("*"): as_markdown(text).replace("|", "\\|")
                for setting, text in zip(names, texts, strict=True)
            }
    paragraphs = parts[0].strip().split("\n\n")
    return "\n\n".join(as_markdown(paragraph) for paragraph in paragraphs), meanings


def as_markdown(text: str) -> str:
    """Return text of a docstring on one line, with the code marks of Markdown and null for None."""
    marked = re.sub(r"``(.+?)``", r"`\1`", " ".join(text.split()))
    return re.sub(r"\bNone\b", "null", marked)


def read_signature(name: str, function: Callable[..., Any]) -> dict[str, tuple[str, str]]:
    """Return the type and the default of each setting of a registered function."""
    hinted = function.__init__ if isinstance(function, type) else function
    hints = typing.get_type_hints(hinted, localns={"SearchKind": SearchKind})
    defaults = {key: each.default for key, each in signature(function).parameters.items()}
    if name == "btl_knn_ner":
        defaults = {key: DEFAULT_CONFIG[key] for key in defaults if key not in GIVEN_BY_SPACY}
    return {
        key: (type_text(hints[key], key), default_text(default))
        for key, default in defaults.items()
    }


def type_text(hint: Any, name: str) -> str:
    """Return a type in the words of a configuration."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return ", ".join(f'`"{value}"`' for value in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(type_text(argument, name) for argument in arguments)
    if origin is Callable:
        return name  # A setting that takes a function is named for its registry.
    if isinstance(origin, type) and issubclass(origin, typing.Mapping):
        return "table" if arguments[1] is Any else f"table of {type_text(arguments[1], name)}"
    if origin is list:
        return f"list of {type_text(arguments[0], name)}"
    return REGISTRY_OF.get(origin or hint) or hint.__name__


def default_text(value: Any) -> str:
    """Return a default in the words of a configuration."""
    if value is Parameter.empty:
        return "required"
    names = [value[key] for key in value if key[0] == "@"] if isinstance(value, dict) else []
    return f"`{names[0]}`" if names else f"`{json.dumps(value)}`"


if __name__ == "__main__":
    PAGE.write_text(render_page(PAGE.read_text(encoding="utf8")), encoding="utf8")
