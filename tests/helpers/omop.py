"""NOTE_NLP in DuckDB, as the OMOP CDM 5.4 defines it."""

from pathlib import Path
from typing import Any

import pytest

NOTE_NLP = """
CREATE TABLE note_nlp (
    note_nlp_id integer NOT NULL PRIMARY KEY,
    note_id integer NOT NULL,
    section_concept_id integer,
    snippet varchar(250) CHECK (length(snippet) <= 250),
    "offset" varchar(50) CHECK (length("offset") <= 50),
    lexical_variant varchar(250) NOT NULL CHECK (length(lexical_variant) <= 250),
    note_nlp_concept_id integer,
    note_nlp_source_concept_id integer,
    nlp_system varchar(250) CHECK (length(nlp_system) <= 250),
    nlp_date date NOT NULL,
    nlp_datetime timestamp,
    term_exists varchar(1) CHECK (length(term_exists) <= 1),
    term_temporal varchar(50) CHECK (length(term_temporal) <= 50),
    term_modifiers varchar(2000) CHECK (length(term_modifiers) <= 2000)
)
"""
"""Columns, types and NOT NULL of the CDM. DuckDB keeps to no length, so checks do."""


def load(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a table in CSV or Parquet, by way of the table of the CDM."""
    duckdb = pytest.importorskip("duckdb", reason="DuckDB is not installed")
    with duckdb.connect() as db:
        db.execute(NOTE_NLP)
        if path.suffix == ".csv":
            db.execute(f"COPY note_nlp FROM '{path}' (FORMAT csv, HEADER, AUTO_DETECT false)")
        else:
            db.execute(f"COPY note_nlp FROM '{path}' (FORMAT parquet)")
        rows = db.execute("SELECT * FROM note_nlp ORDER BY note_nlp_id")
        names = [column[0] for column in rows.description]
        return [dict(zip(names, row, strict=True)) for row in rows.fetchall()]
