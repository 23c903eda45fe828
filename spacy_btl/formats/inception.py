"""Read a document of INCEpTION in UIMA CAS JSON 0.4.0, and know the layer that it is written with.

A layer is a type of feature structures, and its label one of their features. Offsets count UTF-16
code units, as in Java.

https://github.com/apache/uima-uimaj-io-jsoncas/blob/main/SPECIFICATION.adoc
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from ..util.text import printable

Json: TypeAlias = Any
"""Any value of JSON."""

LAYER = "webanno.custom.ClinicalEntity"
"""The type of the entities that `annotate` writes. INCEpTION itself names layers like this."""

LABEL = "label"
"""The feature of it with their type."""

STRUCTURES, TYPES, TYPE = "%FEATURE_STRUCTURES", "%TYPES", "%TYPE"
SOFA, VIEW = "uima.cas.Sofa", "_InitialView"

_NAMED_ENTITY = "de.tudarmstadt.ukp.dkpro.core.api.ner.type.NamedEntity"
_CUSTOM = ("webanno.custom.", "custom.")
_USUAL = (LABEL, "value")
"""Features that are the label, whatever other texts an annotation has; the second is that of
INCEpTION's own layer of named entities."""

_MARKS = ("%", "@", "^", "#")
"""First characters of keys other than plain features: keywords, references, anchors, odd floats."""


class CasContent(NamedTuple):
    """The content of a document.

    Attributes:
        text: Its text, None if it has none.
        spans: Start, end and label of its entities; None if it is not plain what they are.
        layer: The layer and the feature that were read, "" if there is no entity.
        why: Why it is not plain, "" if it is.
    """

    text: str | None
    spans: list[Json] | None
    layer: str = ""
    why: str = ""


def is_cas(value: Json) -> bool:
    """Return whether a value is a document in UIMA CAS JSON."""
    return isinstance(value, dict) and isinstance(value.get(STRUCTURES), list | dict)


def read_cas(value: Mapping[str, Json], layer: str = "") -> CasContent:
    """Return the content of a document.

    Args:
        value: The document, see `is_cas`.
        layer: The layer of the entities and its feature with their label, such as
            "custom.Entity:label"; "" for the only layer that has annotations.
    """
    found = list(_structures(value[STRUCTURES]))
    sofas = [each for each in found if each.get(TYPE) == SOFA]
    first = next((each for each in sofas if each.get("sofaID") == VIEW), None)
    text = (first or {}).get("sofaString")
    text = text if isinstance(text, str) else None
    by_type: dict[str, list[Mapping[str, Json]]] = {}
    for each in found:
        if _is_span(each) and _is_wanted(each[TYPE], layer):
            by_type.setdefault(each[TYPE], []).append(each)
    options = {
        f"{name}:{feature}": (own, feature)
        for name, own in by_type.items()
        for feature in ([layer.rpartition(":")[2]] if layer else _labels(own))
    }
    if len(options) > 1:
        names = printable(", ".join(options))
        why = f"several layers could have the entities ({names}): name one with --layer"
        return CasContent(text, None, why=why)
    if layer and not options and layer.rpartition(":")[0] not in (value.get(TYPES) or ()):
        return CasContent(text, None, why=f"no layer {printable(layer.rpartition(':')[0])}")
    name, (own, feature) = next(iter(options.items()), ("", ([], "")))
    spans = [
        {"start": _offset(each, "begin"), "end": _offset(each, "end"), "label": each.get(feature)}
        for each in own
    ]
    return CasContent(text, spans, name)


def _structures(values: Json) -> Iterator[Mapping[str, Json]]:
    """Yield the feature structures of a list, or of a table by their ids."""
    for each in values.values() if isinstance(values, dict) else values:
        if isinstance(each, dict) and isinstance(each.get(TYPE), str):
            yield each


def _is_span(structure: Mapping[str, Json]) -> bool:
    """Return whether a feature structure is an annotation of text, and no relation of two."""
    return "@sofa" in structure and "@Dependent" not in structure and structure[TYPE] != SOFA


def _is_wanted(name: str, layer: str) -> bool:
    """Return whether a type is the given layer, or, without one, may be a layer of entities."""
    if layer:
        return name == layer.rpartition(":")[0]
    return name == _NAMED_ENTITY or name.startswith(_CUSTOM)


def _labels(structures: list[Mapping[str, Json]]) -> list[str]:
    """Return the features of a layer that may be the label, at least one."""
    texts = {
        key: None
        for each in structures
        for key, own in each.items()
        if isinstance(own, str) and not key.startswith(_MARKS)
    }
    return next(([name] for name in _USUAL if name in texts), list(texts) or [LABEL])


def _offset(structure: Mapping[str, Json], name: str) -> Json:
    """Return an offset; the specification marks such a feature, its implementations do not."""
    return structure.get(name, structure.get(f"^{name}"))
