"""A run that fills OMOP's NOTE_NLP, loaded into DuckDB and PostgreSQL with the table of the CDM."""

import json
import os
import re
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc, Span

from spacy_btl.annotate import AnnotationSettings, RunSummary, annotate_files
from spacy_btl.omop.settings import OmopSettings
from tests.helpers import commands
from tests.helpers.annotating import RECORDS, make_rules, train, write
from tests.helpers.files import tree
from tests.helpers.omop import Postgres, load, running_postgres

MOMENT = datetime(2026, 3, 1, 12, 30)
TERMS = ("exists", "temporal", "modifiers")
NOTES = [(str(7 * i), text) for i, (_, text) in enumerate(RECORDS)]
CONCEPTS = """label,text,concept_id,source_concept_id
Medication,Warfarin,1310149,44816492
Sign_symptom,,441840,
"""


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_rules(tmp_path_factory.mktemp("rules") / "model")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write(tmp_path / "in.jsonl", NOTES)


def run(model: Path, source: Path, output: Path, **settings: Any) -> RunSummary:
    """Annotate with settings of a run or of its table."""
    names = (
        "table",
        "concepts",
        "sections",
        "section_attribute",
        "snippet",
        "first_id",
        "assertions",
        "moment",
    )
    omop = {name: settings.pop(name) for name in names if name in settings}
    more = {"to": "omop", "shard_size": 5, "omop": OmopSettings(**{"moment": MOMENT, **omop})}
    all_settings: Any = {**more, **settings}
    return annotate_files(model, source, output, AnnotationSettings(**all_settings))


def table(output: Path, kind: str = "csv") -> list[dict[str, Any]]:
    return load(output / "annotations" / f"note_nlp.{kind}")


def found(model: Path) -> list[tuple[int, str, str]]:
    """Return note, offset and text of each entity that the pipeline finds."""
    nlp = spacy.load(model)
    ents = [(int(name), ent) for name, text in NOTES for ent in nlp(text).ents]
    assert len(ents) > 20
    return [(name, str(ent.start_char), ent.text) for name, ent in ents]


def errors(output: Path) -> dict[str, str]:
    rows = [json.loads(line) for line in (output / "errors.jsonl").read_text().splitlines()]
    return {row["id"]: row["error"] for row in rows}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_database_has_what_the_pipeline_found(
    rules: Path, source: Path, tmp_path: Path, kind: str
) -> None:
    if kind == "parquet":
        pytest.importorskip("pyarrow", reason="needs the extra parquet")
    (tmp_path / "concepts.csv").write_text(CONCEPTS)
    summary = run(rules, source, tmp_path / "out", table=kind, concepts=tmp_path / "concepts.csv")
    rows = table(tmp_path / "out", kind)
    assert found(rules) == [(r["note_id"], r["offset"], r["lexical_variant"]) for r in rows]
    assert [row["note_nlp_id"] for row in rows] == list(range(1, len(rows) + 1))
    concepts = {"warfarin": (1310149, 44816492), "aspirin": (0, 0), "fever": (441840, 0)}
    for row in rows:
        ids = row["note_nlp_concept_id"], row["note_nlp_source_concept_id"]
        assert ids == concepts[row["lexical_variant"]]
    aspirin = sum(row["lexical_variant"] == "aspirin" for row in rows)
    assert summary.unmapped == {"Medication": aspirin} and aspirin
    assert {
        "section_concept_id": None,
        "snippet": None,
        "nlp_system": "xx_pipeline 0.0.0",
        "nlp_date": date(2026, 3, 1),
        "nlp_datetime": MOMENT,
        "term_exists": None,  # no component has said so
        "term_temporal": None,
        "term_modifiers": None,
    }.items() <= rows[0].items()
    names = {path.name for path in (tmp_path / "out" / "annotations").iterdir()}
    assert names == {f"note_nlp.{kind}"}


def test_without_the_text_a_label_stands_in_its_place(
    rules: Path, source: Path, tmp_path: Path
) -> None:
    run(rules, source, tmp_path / "out", with_text=False)
    labels = {row["lexical_variant"] for row in table(tmp_path / "out")}
    assert labels == {"Medication", "Sign_symptom"}
    written = b"".join(tree(tmp_path / "out").values())
    assert [word for word in (b"fever", b"warfarin", b"aspirin") if word in written] == []


def test_a_snippet_is_written_where_it_is_asked_for(rules: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", [("1", "She has had fever \0since Monday")])
    run(rules, source, tmp_path / "out", snippet=11)
    (row,) = table(tmp_path / "out")
    assert row["snippet"] == "ad fever \ufffds"
    with pytest.raises(ValueError, match="a snippet is text"):
        run(rules, source, tmp_path / "other", snippet=11, with_text=False)


def test_ids_that_are_no_note_id_are_set_aside(rules: Path, tmp_path: Path) -> None:
    names = ["12", "n12", "0012", "1.0", "3000000000", "-1"]
    source = write(tmp_path / "in.jsonl", [(name, "fever") for name in names])
    summary = run(rules, source, tmp_path / "out")
    assert errors(tmp_path / "out") == {
        "n12": "the id is not a whole number, as OMOP's note_id must be",
        "0012": "its id came before in the input",
        "1.0": "the id is not a whole number, as OMOP's note_id must be",
        "3000000000": "the id is too great for note_id of OMOP, an integer of 32 bits",
    }
    assert (summary.records, summary.set_aside) == (6, 4)
    assert [row["note_id"] for row in table(tmp_path / "out")] == [12, -1]


@Language.component("btl_test_one_entity")
def one_entity(doc: Doc) -> Doc:
    """Return the whole text is an entity, and denied if it begins with "no"."""
    doc.ents = [Span(doc, 0, len(doc), label="Finding")] if len(doc) else []
    if not Span.has_extension("btl_test_denied"):
        Span.set_extension("btl_test_denied", default=None)
    for ent in doc.ents:
        ent._.btl_test_denied = doc.text.startswith("no ")
    return doc


@Language.component("btl_test_sections")
def set_sections(doc: Doc) -> Doc:
    """Take the text before the first colon for the title of a section."""
    if not Span.has_extension("btl_test_section"):
        Span.set_extension("btl_test_section", default=None)
    title, colon, _ = doc.text.partition(":")
    for ent in doc.ents:
        ent._.btl_test_section = title if colon else None
    return doc


@pytest.fixture
def whole_texts(tmp_path: Path) -> Path:
    nlp = spacy.blank("en")
    nlp.add_pipe("btl_test_one_entity")
    nlp.to_disk(tmp_path / "model")
    return tmp_path / "model"


def test_a_long_entity_is_cut_and_counted(whole_texts: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", [("1", "x" * 250), ("2", "y" * 251), ("3", "")])
    summary = run(whole_texts, source, tmp_path / "out", snippet=250)
    assert [row["lexical_variant"] for row in table(tmp_path / "out")] == ["x" * 250, "y" * 250]
    assert summary.shortened == 1


def test_what_a_component_says_by_an_attribute(whole_texts: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", [("1", "no fever"), ("2", "fever")])
    run(whole_texts, source, tmp_path / "out", assertions={"negated": "btl_test_denied"})
    rows = table(tmp_path / "out")
    assert [row["term_exists"] for row in rows] == ["N", "Y"]
    assert [row["term_modifiers"] for row in rows] == ["Negation=true", "Negation=false"]
    with pytest.raises(ValueError, match='has registered the attribute "no_such"'):
        run(whole_texts, source, tmp_path / "other", assertions={"negated": "no_such"})


class TestOneTable:
    """However it comes about."""

    def test_by_two_processes(self, source: Path, tmp_path: Path) -> None:
        model = train(tmp_path / "model")
        run(model, source, tmp_path / "one")
        run(model, source, tmp_path / "two", n_process=2)
        assert tree(tmp_path / "two") == tree(tmp_path / "one")
        rows = table(tmp_path / "two")
        assert [(r["note_id"], r["offset"], r["lexical_variant"]) for r in rows] == found(model)

    def test_after_a_crash_at_any_write(
        self, rules: Path, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """There is no table before the end, and then it is that of a run that went through."""
        run(rules, source, tmp_path / "whole", shard_size=9)
        expected = tree(tmp_path / "whole")
        n_files = len(expected) - 1  # without run.lock
        real = os.fsync
        for fatal in range(n_files):
            left = [fatal]

            def fsync(file: int, left: list[int] = left) -> None:
                left[0] -= 1
                if left[0] < 0:
                    raise KeyboardInterrupt
                real(file)

            output = tmp_path / f"out-{fatal}"
            monkeypatch.setattr(os, "fsync", fsync)
            with pytest.raises(KeyboardInterrupt):
                run(rules, source, output, shard_size=9)
            monkeypatch.undo()
            written = tree(output)
            assert ("annotations/note_nlp.csv" in written) == (fatal == n_files - 1)
            run(rules, source, output, shard_size=9)
            assert tree(output) == expected

    def test_its_time_is_that_of_the_first_run(
        self, rules: Path, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Clock(datetime):
            hour_now = 9

            @classmethod
            def now(cls, tz: Any = None) -> "Clock":
                return cls(2026, 3, 1, cls.hour_now, 30, 15, 999)

        monkeypatch.setattr("spacy_btl.annotate.run.datetime", Clock)
        run(rules, source, tmp_path / "out", moment=None)
        before = tree(tmp_path / "out")
        Clock.hour_now = 23
        (tmp_path / "out" / "done" / "shard-00001.json").unlink()
        run(rules, source, tmp_path / "out", moment=None)
        assert tree(tmp_path / "out") == before
        times = {row["nlp_datetime"] for row in table(tmp_path / "out")}
        assert times == {datetime(2026, 3, 1, 9, 30, 15)}

    def test_only_with_the_same_settings(self, rules: Path, source: Path, tmp_path: Path) -> None:
        concepts = tmp_path / "concepts.csv"
        concepts.write_text(CONCEPTS)
        run(rules, source, tmp_path / "out", concepts=concepts)
        run(rules, source, tmp_path / "out", concepts=concepts)
        changes: list[dict[str, Any]] = [{"first_id": 8}, {"snippet": 9}, {"table": "parquet"}]
        for change in (
            *changes,
            {"assertions": {"negated": "x"}},
            {"moment": datetime(2026, 3, 2)},
        ):
            with pytest.raises(ValueError, match="contains a run with other settings"):
                run(rules, source, tmp_path / "out", concepts=concepts, **change)
        concepts.write_text(CONCEPTS.replace("441840", "441841"))
        with pytest.raises(ValueError, match=r"other settings \(concepts\)"):
            run(rules, source, tmp_path / "out", concepts=concepts)

    def test_numbers_go_on_from_another_table(
        self, rules: Path, source: Path, tmp_path: Path
    ) -> None:
        run(rules, source, tmp_path / "out", first_id=2**31 - 40)
        numbers = [row["note_nlp_id"] for row in table(tmp_path / "out")]
        assert numbers == list(range(2**31 - 40, 2**31 - 40 + len(numbers)))
        with pytest.raises(ValueError, match="note_nlp_id would be greater than 2147483647"):
            run(rules, source, tmp_path / "other", first_id=2**31 - 4)
        assert not (tmp_path / "other" / "annotations" / "note_nlp.csv").exists()


def test_the_command(rules: Path, source: Path, tmp_path: Path) -> None:
    (tmp_path / "concepts.tsv").write_text("label\tconcept_id\nSign_symptom\t441840\n")
    options = ["--to", "omop", "--concepts", tmp_path / "concepts.tsv", "--first-id", 100]
    shown = commands.run("annotate", rules, source, tmp_path / "out", *options)
    rows = table(tmp_path / "out")
    medication = sum(row["note_nlp_concept_id"] == 0 for row in rows)
    shown = " ".join(shown.split())
    assert f"{medication} entities without a concept (0), of 1 label" in shown
    assert f"Medication ({medication})" in shown
    assert rows[0]["note_nlp_id"] == 100


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        ids = (0, 1310149, 44816492, 441840, 4083)
        server.run(*(f"INSERT INTO concept VALUES ({each})" for each in ids))
        yield server


def page_copy() -> str:
    """Return the command of docs/annotate.md that loads a table into PostgreSQL."""
    page = (Path(__file__).parents[2] / "docs" / "annotate.md").read_text(encoding="utf8")
    (command,) = re.findall(r"^\\copy .*$", page, flags=re.MULTILINE)
    return str(command)


class TestPostgres:
    """The table of the CDM with its lengths and keys, and texts that a CSV file may break at."""

    ODD = (
        *('say "no"', '"', '""', "a,b", "a\nb", "a\r\nb", "a\rb", "\n", " fever", "\t"),
        *(
            "\\N",
            "\\.",
            "a\\nb",
            "NULL",
            "null",
            "a\0b",
            "\U0001f912 fever",
            "caf\u00e9",
            "\ufeff",
        ),
        *("x" * 250, "\U0001f912" * 250, "y" * 300),
    )

    @pytest.mark.parametrize("encoding", ["UTF8", "LATIN1"])
    def test_odd_texts(
        self, postgres: Postgres, whole_texts: Path, tmp_path: Path, encoding: str
    ) -> None:
        """Also where psql takes files for Latin 1, as it does under some locales."""
        source = write(tmp_path / "in.jsonl", [(str(i), text) for i, text in enumerate(self.ODD)])
        output = tmp_path / "annotated"
        summary = run(whole_texts, source, output, snippet=250)
        assert (summary.records, summary.set_aside) == (len(self.ODD), 0)
        rows = postgres.load(output / "annotations" / "note_nlp.csv", page_copy(), encoding)
        expected = [text.replace("\0", "\ufffd")[:250] for text in self.ODD]
        assert [row["lexical_variant"] for row in rows] == expected
        assert [row["snippet"] for row in rows] == expected
        assert rows == table(output)

    def test_the_mark_of_an_end(
        self, postgres: Postgres, whole_texts: Path, tmp_path: Path
    ) -> None:
        """A backslash and a period in a line end a file before PostgreSQL 18; the load fails."""
        text = "a\n\\.\nb"
        run(whole_texts, write(tmp_path / "in.jsonl", [("1", text)]), tmp_path / "annotated")
        path = tmp_path / "annotated" / "annotations" / "note_nlp.csv"
        if int(postgres.run("SHOW server_version_num")) < 180_000:
            with pytest.raises(ValueError, match="unterminated CSV quoted field"):
                postgres.load(path, page_copy())
        else:
            assert [r["lexical_variant"] for r in postgres.load(path, page_copy())] == [text]

    def test_what_the_pipeline_found(
        self, postgres: Postgres, rules: Path, source: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "concepts.csv").write_text(CONCEPTS)
        output = tmp_path / "annotated"
        run(rules, source, output, concepts=tmp_path / "concepts.csv")
        rows = postgres.load(output / "annotations" / "note_nlp.csv", page_copy())
        assert rows == table(output)
        assert found(rules) == [(r["note_id"], r["offset"], r["lexical_variant"]) for r in rows]
        empty = {name for name in rows[0] if all(row[name] is None for row in rows)}
        assert empty == {"section_concept_id", "snippet", *(f"term_{n}" for n in TERMS)}

    def test_an_id_that_is_no_concept_is_refused(
        self, postgres: Postgres, rules: Path, source: Path, tmp_path: Path
    ) -> None:
        """The keys are in force: the other tests would not pass with any ids."""
        (tmp_path / "concepts.csv").write_text(CONCEPTS.replace("441840", "5"))
        output = tmp_path / "annotated"
        run(rules, source, output, concepts=tmp_path / "concepts.csv")
        with pytest.raises(ValueError, match=r"\(note_nlp_concept_id\)=\(5\) is not present"):
            postgres.load(output / "annotations" / "note_nlp.csv", page_copy())


class TestSections:
    """Sections set by `btl_test_sections`, as by a sectionizer."""

    TEXTS = ("Past  Medical History: fever", "PLAN: fever", "fever", " : fever")
    TABLE = "section,concept_id\npast medical history,4083\n"

    @pytest.fixture
    def model(self, tmp_path: Path) -> Path:
        nlp = spacy.blank("en")
        ruler = nlp.add_pipe("entity_ruler")
        ruler.add_patterns([{"label": "Finding", "pattern": "fever"}])  # type: ignore[attr-defined]
        nlp.add_pipe("btl_test_sections")
        nlp.to_disk(tmp_path / "model")
        return tmp_path / "model"

    @pytest.fixture
    def source(self, tmp_path: Path) -> Path:
        return write(tmp_path / "in.jsonl", [(str(i), t) for i, t in enumerate(self.TEXTS)])

    @pytest.mark.parametrize("kind", ["csv", "parquet"])
    def test_concepts_of_sections(
        self, model: Path, source: Path, tmp_path: Path, kind: str
    ) -> None:
        if kind == "parquet":
            pytest.importorskip("pyarrow", reason="needs the extra parquet")
        (tmp_path / "sections.csv").write_text(self.TABLE)
        given = {"sections": tmp_path / "sections.csv", "section_attribute": "btl_test_section"}
        summary = run(model, source, tmp_path / "out", table=kind, **given)
        rows = table(tmp_path / "out", kind)
        assert [row["section_concept_id"] for row in rows] == [4083, 0, None, None]
        assert summary.sections == {"known": 1, "unknown": 1, "none": 2}
        run(model, source, tmp_path / "without")
        rows = table(tmp_path / "without")
        assert [row["section_concept_id"] for row in rows] == [None] * 4

    def test_in_postgres(
        self, postgres: Postgres, model: Path, source: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "sections.csv").write_text(self.TABLE)
        given = {"sections": tmp_path / "sections.csv", "section_attribute": "btl_test_section"}
        run(model, source, tmp_path / "annotated", **given)
        path = tmp_path / "annotated" / "annotations" / "note_nlp.csv"
        rows = postgres.load(path, page_copy())
        assert [row["section_concept_id"] for row in rows] == [4083, 0, None, None]

    def test_the_command(self, model: Path, source: Path, tmp_path: Path) -> None:
        (tmp_path / "sections.csv").write_text(self.TABLE)
        options = ["--to", "omop", "--sections", tmp_path / "sections.csv"]
        options += ["--section-attribute", "btl_test_section"]
        shown = " ".join(
            commands.run("annotate", model, source, tmp_path / "out", *options).split()
        )
        assert "1 entity in sections that" in shown
        (tmp_path / "in.jsonl").write_text('{"id": 1, "text": "fever"}\n')
        shown = " ".join(commands.run("annotate", model, source, tmp_path / "b", *options).split())
        assert "No entity is in a section" in shown

    def test_a_run_is_resumed_only_with_the_same_table(
        self, model: Path, source: Path, tmp_path: Path
    ) -> None:
        sections = tmp_path / "sections.csv"
        given = {"sections": sections, "section_attribute": "btl_test_section"}
        sections.write_text(self.TABLE)
        run(model, source, tmp_path / "out", **given)
        run(model, source, tmp_path / "out", **given)
        sections.write_text(self.TABLE.replace("4083", "4084"))
        with pytest.raises(ValueError, match=r"other settings \(sections\)"):
            run(model, source, tmp_path / "out", **given)

    def test_no_component_sets_them(self, rules: Path, source: Path, tmp_path: Path) -> None:
        (tmp_path / "sections.csv").write_text(self.TABLE)
        given = {"sections": tmp_path / "sections.csv", "section_attribute": "btl_no_such"}
        with pytest.raises(ValueError, match='has registered the attribute "btl_no_such"'):
            run(rules, source, tmp_path / "out", **given)
