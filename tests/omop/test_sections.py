"""The section of an entity: what counts as one, and what the table makes of it."""

from collections.abc import Iterator

import pytest
import spacy
from spacy.tokens import Span

from spacy_btl.omop.sections import NOWHERE, Placed, Sections

CONCEPTS = {"past medical history": 4083, "plan": 0}


@pytest.fixture
def span() -> Iterator[Span]:
    Span.set_extension("btl_test_part", default=None)
    yield spacy.blank("en")("fever")[:]
    Span.remove_extension("btl_test_part")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (None, NOWHERE),
        ("", NOWHERE),
        (" \n", NOWHERE),
        ("past medical history", Placed(4083, "known")),
        ("Past Medical\nHISTORY ", Placed(4083, "known")),
        ("plan", Placed(0, "unknown")),
        ("past_medical_history", Placed(0, "unknown")),
    ],
)
def test_places(span: Span, name: str | None, expected: Placed) -> None:
    span._.btl_test_part = name
    assert Sections(CONCEPTS, "btl_test_part").place(span) == expected


@pytest.mark.parametrize("value", [True, 7, ["plan"], b"plan"])
def test_what_is_no_name(span: Span, value: object) -> None:
    span._.btl_test_part = value
    with pytest.raises(ValueError, match='attribute "btl_test_part" is neither text nor None'):
        Sections(CONCEPTS, "btl_test_part").place(span)


def test_no_such_attribute() -> None:
    with pytest.raises(ValueError, match='has registered the attribute "btl_no_such"'):
        Sections(CONCEPTS, "btl_no_such")
