"""Settings of a NOTE_NLP table."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from ..util.checks import between, one_of, whole_number
from .assertions import MEANINGS
from .sections import CATEGORY
from .table import MAX_INTEGER, MAX_SNIPPET

TableKind: TypeAlias = Literal["csv", "parquet"]
TABLE_KINDS: tuple[str, ...] = get_args(TableKind)


@dataclass(frozen=True, kw_only=True, slots=True)
class OmopSettings:
    """Settings of a NOTE_NLP table.

    Attributes:
        table: Kind of its file.
        concepts: A table of concepts, as `concepts.read_concepts` reads it; without one all concept
            ids are 0.
        sections: A table of sections, as `concepts.read_sections` reads it; without one
            ``section_concept_id`` is empty.
        section_attribute: Extension attribute of spans with the name of their section, by default
            the one of medspaCy's sectionizer.
        snippet: Most characters of the text around an entity, the entity included, that go into
            ``snippet``; 0 leaves it empty.
        first_id: The first ``note_nlp_id``.
        assertions: Extension attributes of spans, by what they mean (one of
            `assertions.MEANINGS`). They take the place of those of medspaCy's ConText and negspaCy
            that mean the same.
        moment: ``nlp_date`` and ``nlp_datetime`` of all rows, in local time; by default when the
            run began.

    Raises:
        ValueError: If a setting is out of its range.
    """

    table: TableKind = "csv"
    concepts: Path | None = None
    sections: Path | None = None
    section_attribute: str = CATEGORY
    snippet: int = 0
    first_id: int = 1
    assertions: Mapping[str, str] = field(default_factory=dict)
    moment: datetime | None = None

    def __post_init__(self) -> None:
        one_of("table", self.table, TABLE_KINDS)
        between("snippet", whole_number("snippet", self.snippet, 0), 0, MAX_SNIPPET)
        between("first_id", whole_number("first_id", self.first_id, 1), 1, MAX_INTEGER)
        if not self.section_attribute:
            raise ValueError("section_attribute is empty, but must name an attribute")
        if self.section_attribute != CATEGORY and self.sections is None:
            raise ValueError("section_attribute is given without a table of sections")
        for meaning, attribute in self.assertions.items():
            one_of("an assertion", meaning, MEANINGS)
            if not attribute:
                raise ValueError(f"the assertion {meaning} names no attribute")
        if self.moment is not None and self.moment.tzinfo is not None:
            raise ValueError("moment has a time zone, but times of the CDM have none")


def parse_assertions(values: list[str]) -> dict[str, str]:
    """Return what each attribute means of a list such as ["negated=negation"].

    Raises:
        ValueError: If a value is not of this form, or a meaning is there twice.
    """
    found: dict[str, str] = {}
    for value in values:
        meaning, equals, attribute = value.partition("=")
        if not equals:
            raise ValueError(f"assertion is {value!r}, but must look like negated=is_negated")
        if meaning in found:
            raise ValueError(f"the assertion {meaning} is given twice")
        found[meaning] = attribute
    return found
