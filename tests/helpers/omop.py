"""The table NOTE_NLP in DuckDB and in PostgreSQL, as the OMOP CDM 5.4 defines it."""

import json
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

NOTE_NLP = """
CREATE TABLE note_nlp (
    note_nlp_id integer NOT NULL PRIMARY KEY,
    note_id integer NOT NULL,
    section_concept_id integer,
    snippet varchar(250),
    "offset" varchar(50),
    lexical_variant varchar(250) NOT NULL,
    note_nlp_concept_id integer,
    note_nlp_source_concept_id integer,
    nlp_system varchar(250),
    nlp_date date NOT NULL,
    nlp_datetime timestamp,
    term_exists varchar(1),
    term_temporal varchar(50),
    term_modifiers varchar(2000)
)
"""
"""Columns, types and NOT NULL of the CDM."""

CHECKED = re.sub(r"(\S+) (varchar\((\d+)\))", r"\1 \2 CHECK (length(\1) <= \3)", NOTE_NLP)
"""The same where a database keeps to no length, as DuckDB."""

FOREIGN_KEYS = """
CREATE TABLE concept (concept_id integer NOT NULL PRIMARY KEY);
ALTER TABLE note_nlp ADD FOREIGN KEY (section_concept_id) REFERENCES concept (concept_id);
ALTER TABLE note_nlp ADD FOREIGN KEY (note_nlp_concept_id) REFERENCES concept (concept_id);
ALTER TABLE note_nlp ADD FOREIGN KEY (note_nlp_source_concept_id) REFERENCES concept (concept_id);
"""


def load(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a table in CSV or Parquet, by way of the table of the CDM in DuckDB."""
    duckdb = pytest.importorskip("duckdb", reason="DuckDB is not installed")
    with duckdb.connect() as db:
        db.execute(CHECKED)
        if path.suffix == ".csv":
            db.execute(f"COPY note_nlp FROM '{path}' (FORMAT csv, HEADER, AUTO_DETECT false)")
        else:
            db.execute(f"COPY note_nlp FROM '{path}' (FORMAT parquet)")
        rows = db.execute("SELECT * FROM note_nlp ORDER BY note_nlp_id")
        names = [column[0] for column in rows.description]
        return [dict(zip(names, row, strict=True)) for row in rows.fetchall()]


class Postgres:
    """A server with the tables NOTE_NLP and CONCEPT, reached by a socket in its folder.

    Args:
        programs: Folder of psql.
        folder: Folder of the socket.
    """

    def __init__(self, programs: Path, folder: Path) -> None:
        self._psql, self._folder = programs / "psql", folder

    def run(self, *commands: str, encoding: str = "UTF8", folder: Path | None = None) -> str:
        """Run commands in psql, with an encoding of the client, and return its output."""
        where = {"PGHOST": str(self._folder), "PGUSER": "omop", "PGDATABASE": "postgres"}
        options = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]
        options += [part for command in commands for part in ("-c", command)]
        env = {**os.environ, **where, "PGCLIENTENCODING": encoding}
        done = subprocess.run([self._psql, *options], env=env, cwd=folder, capture_output=True)
        if done.returncode:
            raise ValueError(done.stderr.decode())
        return done.stdout.decode()

    def load(self, path: Path, command: str, encoding: str = "UTF8") -> list[dict[str, Any]]:
        """Copy a CSV file into the emptied table by a command, and return its rows."""
        self.run("TRUNCATE note_nlp", command, encoding=encoding, folder=path.parents[2])
        query = "SELECT coalesce(json_agg(t ORDER BY note_nlp_id), '[]') FROM note_nlp t"
        rows: list[dict[str, Any]] = json.loads(self.run(query))
        types = {"nlp_date": date, "nlp_datetime": datetime}
        for row in rows:
            row |= {name: kind.fromisoformat(row[name]) for name, kind in types.items()}
        return rows


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Start a server of its own, on a socket only; skip the test without PostgreSQL."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    if not found and not on_path:
        pytest.skip("no server of PostgreSQL is installed (apt-get install postgresql)")
    programs = found[-1].parent if found else Path(str(on_path)).resolve().parent
    folder = Path(tempfile.mkdtemp(prefix="pg"))  # a short path: the name of a socket is bounded
    other: dict[str, Any] = {}
    if os.geteuid() == 0:  # a server refuses to run as root
        user = pwd.getpwnam("nobody")
        os.chown(folder, user.pw_uid, user.pw_gid)
        other = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

    def run(*command: object) -> None:
        done = subprocess.run(
            [str(part) for part in command],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # the server keeps a pipe open
            stderr=subprocess.DEVNULL,
            **other,
        )
        log = folder / "log"
        assert not done.returncode, log.read_text() if log.exists() else command

    try:
        data = folder / "data"
        init = ["-A", "trust", "-U", "omop", "--encoding=UTF8", "--no-locale", "--no-sync"]
        run(programs / "initdb", "-D", data, *init)
        options = f"-k {folder} -c listen_addresses= -c fsync=off"
        control = programs / "pg_ctl"
        run(control, "-D", data, "-l", folder / "log", "-o", options, "-w", "start")
        try:
            server = Postgres(programs, folder)
            server.run(NOTE_NLP, FOREIGN_KEYS)
            yield server
        finally:
            run(control, "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
