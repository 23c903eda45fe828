"""The command annotate: what it passes on, prints and refuses."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from spacy_btl.annotate import run as annotate_run
from spacy_btl.annotate.inputs import Fields
from spacy_btl.annotate.run import AnnotationSettings, RunSummary
from spacy_btl.omop.settings import OmopSettings
from tests.cli.conftest import Run

OMOP = ("--to", "omop", "--table", "parquet", "--concepts", "concepts.csv")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], AnnotationSettings()),
        (["--to", "docbin", "--from", "txt"], AnnotationSettings(to="docbin", kind="txt")),
        (
            ["--text-field", "note", "--id-field", "key", "--delimiter", ";"],
            AnnotationSettings(fields=Fields("key", "note", ";")),
        ),
        (["--delimiter", r"\t"], AnnotationSettings(fields=Fields(delimiter="\t"))),
        (["--spans", "sc", "--no-text"], AnnotationSettings(spans="sc", with_text=False)),
        (["--encoding", "windows-1252"], AnnotationSettings(encoding="windows-1252")),
        (["--to", "omop"], AnnotationSettings(to="omop")),
        (["--to", "label-studio"], AnnotationSettings(to="label-studio")),
        (
            [*OMOP, "--snippet", "80", "--first-id", "9", "--assertion", "negated=denied"],
            AnnotationSettings(
                to="omop",
                omop=OmopSettings(
                    table="parquet",
                    concepts=Path("concepts.csv"),
                    snippet=80,
                    first_id=9,
                    assertions={"negated": "denied"},
                ),
            ),
        ),
        (["-n", "2", "--shard-size", "9"], AnnotationSettings(n_process=2, shard_size=9)),
    ],
)
def test_options_are_passed_on(
    run: Run, monkeypatch: pytest.MonkeyPatch, options: list[str], expected: AnnotationSettings
) -> None:
    passed: list[Any] = []

    def annotate_files(*arguments: Any) -> RunSummary:
        passed.extend(arguments)
        return RunSummary(records=5, entities=Counter(Dosage=3), set_aside=1, resumed=2)

    monkeypatch.setattr(annotate_run, "annotate_files", annotate_files)
    output = run("annotate", "fitted", "report.txt", "out", *options)
    assert passed == ["fitted", Path("report.txt"), Path("out"), expected]
    assert "2 of 5 records were done before" in output
    assert "4 records, 3 entities" in output
    assert "1 record set aside" in output
    assert ("label_config.xml" in output) == ("label-studio" in options)


def test_a_file(run: Run, tmp_path: Path) -> None:
    output = run("annotate", "fitted", "report.txt", tmp_path / "out")
    assert "1 record, 1 entity" in output
    assert "set aside" not in output


@pytest.mark.parametrize(
    ("arguments", "message", "status"),
    [
        (["no-model", "report.txt", "out"], "no-model", 1),
        (["fitted", "no-such.txt", "out"], "no-such.txt", 1),
        (["fitted", "report.txt", "out", "--delimiter", ";;"], "one character", 1),
        (["fitted", "report.txt", "out", "--shard-size", "0"], "shard_size is 0", 1),
        (["fitted", "report.txt", "out", "--to", "xml"], "xml", 2),
        (["fitted", "report.txt", "out", "--encoding", "utf8000"], "encoding is 'utf8000'", 1),
        (["fitted", "report.txt", "out", "--snippet", "80"], "settings of OMOP are given", 1),
        (
            ["fitted", "report.txt", "out", *OMOP],
            "the table of concepts concepts.csv does not exist",
            1,
        ),
        (["fitted", "report.txt", "out", "--to", "omop", "--assertion", "x"], "must look like", 1),
    ],
)
def test_refused(run: Run, stage: Path, arguments: list[str], message: str, status: int) -> None:
    assert message in run("annotate", *arguments, expect=status)
    assert not (stage / "out").exists()
