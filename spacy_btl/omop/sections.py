"""The section that an entity lies in, as another component has found it."""

from collections.abc import Mapping
from typing import NamedTuple

from spacy.tokens import Span

from .concepts import normalized

CATEGORY = "section_category"
"""The attribute that medspaCy's sectionizer sets."""


class Placed(NamedTuple):
    """The section of an entity.

    Attributes:
        concept_id: Its concept, 0 if the table has none, None outside of sections.
        where: "known", "unknown" (to the table), or "none" outside of sections.
    """

    concept_id: int | None
    where: str


NOWHERE = Placed(None, "none")


class Sections:
    """Concepts of the sections that a component of a pipeline has found.

    Args:
        concepts: Concept ids by name of the section, as `concepts.read_sections` returns them.
        attribute: Extension attribute of spans with the name of the section. None or an empty name
            means no section.

    Raises:
        ValueError: If no component has registered the attribute.
    """

    def __init__(self, concepts: Mapping[str, int], attribute: str = CATEGORY) -> None:
        if not Span.has_extension(attribute):
            raise ValueError(
                f'no component of the pipeline has registered the attribute "{attribute}", which '
                "should name the section of an entity"
            )
        self._concepts, self._attribute = concepts, attribute

    def place(self, span: Span) -> Placed:
        """Return the section of an entity.

        Raises:
            ValueError: If the attribute is neither text nor None.
        """
        name = span._.get(self._attribute)
        if not isinstance(name, str | None):
            raise ValueError(f'the attribute "{self._attribute}" is neither text nor None')
        if not name or name.isspace():
            return NOWHERE
        concept_id = self._concepts.get(normalized(name), 0)
        return Placed(concept_id, "known" if concept_id else "unknown")
