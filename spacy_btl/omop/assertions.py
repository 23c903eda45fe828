"""Assertions about entities by other components: negated, historical, uncertain and so on.

medspaCy's ConText sets an attribute only where it is true, and another library may register the
same attribute without a component that sets it. So a default counts only where a component of the
pipeline has looked at the entity; nothing said is not "exists".
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from spacy.language import Language
from spacy.tokens import Span

from ..util.messages import LOGGER

MEANINGS = ("negated", "historical", "hypothetical", "uncertain", "family")
"""Meanings of an attribute; "family" is about a relative, not about the patient."""

CONTEXT = {
    "negated": "is_negated",
    "historical": "is_historical",
    "hypothetical": "is_hypothetical",
    "uncertain": "is_uncertain",
    "family": "is_family",
}
"""The attributes of medspaCy's ConText."""

NEGEX = "negex"
"""The attribute of negspaCy, unless its component has another one."""

CONTEXT_FACTORY, NEGEX_FACTORY = "medspacy_context", "negex"
"""The components that set them."""


class Terms(NamedTuple):
    """The columns of NOTE_NLP that say what is the case; None where no component has said it.

    Attributes:
        term_exists: "Y", or "N" if it is negated, hypothetical, or about a relative.
        term_temporal: "past" or "present".
        term_modifiers: All that was said, by the names of the CDM.
    """

    term_exists: str | None
    term_temporal: str | None
    term_modifiers: str | None


class _Source(NamedTuple):
    """An attribute, and the entities whose default counts.

    Attributes:
        meaning: One of `MEANINGS`.
        attribute: Name of the extension attribute.
        looked: Whether a component of the pipeline looks at the entities.
        allowed: The labels that it looks at, all if empty.
        excluded: The labels that it passes over.
        given: Whether the user has named the attribute.
    """

    meaning: str
    attribute: str
    looked: bool = False
    allowed: frozenset[str] = frozenset()
    excluded: frozenset[str] = frozenset()
    given: bool = False


class Assertions:
    """Reads what the components of a pipeline say of an entity.

    Args:
        nlp: The pipeline.
        key: Key of ``doc.spans`` where the entities are, None for ``doc.ents``.
        given: Attributes that a user has named, by what they mean; they count for all entities.

    Raises:
        ValueError: If no component has registered an attribute that a user has named.
    """

    def __init__(
        self, nlp: Language, key: str | None = None, given: Mapping[str, str] | None = None
    ) -> None:
        given = given or {}
        for name in given.values():
            if not Span.has_extension(name):
                raise ValueError(
                    f'no component of the pipeline has registered the attribute "{name}"'
                )
        sources = [_Source(*pair) for pair in CONTEXT.items()]
        sources += [_Source("negated", NEGEX), *_sources(nlp, key)]
        self._sources = [source for source in sources if source.meaning not in given]
        self._sources += [_Source(*pair, looked=True, given=True) for pair in given.items()]

    def said(self, span: Span) -> dict[str, bool]:
        """Return what was said, by meaning; if several components differ, one "true" is enough.

        Raises:
            ValueError: If an attribute that a user has named is neither true, false nor None.
        """
        found: dict[str, bool] = {}
        for source in self._sources:
            value = self._value(span, source)
            if value is not None:
                found[source.meaning] = found.get(source.meaning, False) or value
        return found

    def terms(self, span: Span) -> Terms:
        """Return the columns of an entity."""
        return to_terms(self.said(span))

    def _value(self, span: Span, source: _Source) -> bool | None:
        """Return the value of an attribute, None if nobody has set it."""
        name = source.attribute
        if not Span.has_extension(name):
            return None
        label = span.label_
        looked = source.looked and label not in source.excluded
        looked = looked and (not source.allowed or label in source.allowed)
        # As spaCy stores the value of an attribute that was set.
        place: object = ("._.", name, span.start_char, span.end_char)
        if not looked and place not in span.doc.user_data:
            return None
        value = span._.get(name)
        if source.given and not isinstance(value, bool | None):
            raise ValueError(f'the attribute "{name}" is neither true nor false')
        return None if value is None else bool(value)


def to_terms(said: Mapping[str, bool]) -> Terms:
    """Return the columns for what was said, by the rules of the CDM.

    Negated, hypothetical (its "conditional") and about a relative each make ``term_exists`` "N".
    Uncertain does not: ConText says it of what is possible, and the CDM only of very low certainty.
    """
    exists = None
    if said.get("negated") or said.get("hypothetical") or said.get("family"):
        exists = "N"
    elif "negated" in said:
        exists = "Y"
    temporal = None
    if "historical" in said:
        temporal = "past" if said["historical"] else "present"
    words = {
        "negated": ("Negation=false", "Negation=true"),
        "family": ("Subject=patient", "Subject=family"),
        "hypothetical": ("Conditional=false", "Conditional=true"),
        "uncertain": ("Uncertain=false", "Uncertain=true"),
        "historical": ("History=false", "History=true"),
    }
    modifiers = "; ".join(pair[said[name]] for name, pair in words.items() if name in said)
    return Terms(exists, temporal, modifiers or None)


def _sources(nlp: Language, key: str | None) -> Iterator[_Source]:
    """Yield the attributes that components of the pipeline set for the entities."""
    metas = [nlp.get_pipe_meta(name) for name in nlp.pipe_names]
    last = max((i for i, meta in enumerate(metas) if "doc.ents" in meta.assigns), default=-1)
    for i, (name, meta) in enumerate(zip(nlp.pipe_names, metas, strict=True)):
        config = nlp.get_pipe_config(name)
        if meta.factory not in (CONTEXT_FACTORY, NEGEX_FACTORY):
            continue
        if i < last:
            LOGGER.warning(
                "%s runs before %s sets entities; what it does not set counts as not said",
                name,
                nlp.pipe_names[last],
            )
        elif meta.factory == NEGEX_FACTORY:
            if key is None or key in (config.get("span_keys") or ()):
                attribute = str(config.get("extension_name") or NEGEX)
                yield _Source("negated", attribute, True, _labels(config.get("ent_types")))
        elif config.get("span_attrs", "default") == "default":
            group = config.get("span_group_name", "medspacy_spans")
            if key == (group if config.get("input_span_type") == "group" else None):
                allowed, excluded = (
                    _labels(config.get(f"{word}_types")) for word in ("allowed", "excluded")
                )
                for pair in CONTEXT.items():
                    yield _Source(*pair, True, allowed, excluded)


def _labels(value: object) -> frozenset[str]:
    """Return the labels that a component is set to, none if it is set to none."""
    return frozenset(map(str, value)) if isinstance(value, list | tuple | set) else frozenset()
