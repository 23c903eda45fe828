"""A run that fills OMOP's NOTE_NLP, loaded into DuckDB with the table definition of the CDM."""

import json
import os
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
from tests.helpers.omop import load

MOMENT = datetime(2026, 3, 1, 12, 30)
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
    names = ("table", "concepts", "snippet", "first_id", "assertions", "moment")
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
        "nlp_system": "en_pipeline 0.0.0",
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
