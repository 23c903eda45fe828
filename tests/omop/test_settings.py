"""Settings of a table: those that are refused, and assertions of the command line."""

from datetime import datetime, timezone
from typing import Any

import pytest

from spacy_btl.omop.settings import OmopSettings, parse_assertions


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"table": "xlsx"}, "table is 'xlsx', but must be one of csv, parquet"),
        ({"snippet": 251}, "snippet is 251, but must be at least 0 and at most 250"),
        ({"snippet": -1}, "snippet is -1, but must be a whole number, 0 or more"),
        ({"snippet": 1.5}, "snippet is 1.5, but must be a whole number"),
        ({"first_id": 0}, "first_id is 0, but must be a whole number, 1 or more"),
        ({"first_id": 2**31}, "first_id is 2147483648, but must be at least 1 and at most"),
        ({"assertions": {"denied": "x"}}, "an assertion is 'denied', but must be one of negated"),
        ({"assertions": {"negated": ""}}, "the assertion negated names no attribute"),
        ({"section_attribute": ""}, "section_attribute is empty, but must name an attribute"),
        ({"section_attribute": "part"}, "section_attribute is given without a table of sections"),
        ({"moment": datetime.now(timezone.utc)}, "moment has a time zone"),
    ],
)
def test_settings_out_of_range(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OmopSettings(**settings)


def test_assertions_of_the_command_line() -> None:
    assert parse_assertions([]) == {}
    given = ["negated=negation", "family=is_relative"]
    assert parse_assertions(given) == {"negated": "negation", "family": "is_relative"}
    with pytest.raises(ValueError, match="assertion is 'negation', but must look like"):
        parse_assertions(["negation"])
    with pytest.raises(ValueError, match="the assertion negated is given twice"):
        parse_assertions(["negated=a", "negated=b"])
