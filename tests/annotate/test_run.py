"""Whole runs: any input and output, records set aside, and runs that are resumed."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import spacy

import spacy_btl.cli  # noqa: F401  (its commands are spaCy's then)
from spacy_btl.annotate.inputs import Fields
from spacy_btl.annotate.outputs import FORMATS
from spacy_btl.annotate.run import AnnotationSettings, find_model, folder_digest
from spacy_btl.annotate.worker import PROBE
from spacy_btl.conversion.tasks import TOOLS
from spacy_btl.omop.settings import OmopSettings
from tests.helpers import commands
from tests.helpers.annotating import (
    RECORDS,
    annotate,
    by_pipeline,
    found,
    make_rules,
    train,
    write,
)
from tests.helpers.files import tree
from tests.pipeline.test_nested import CONFIG, KEY, make_examples

OWN_FORMATS = [name for name in FORMATS if name != "omop"]  # see integration/test_omop.py


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("trained") / "model")


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_rules(tmp_path_factory.mktemp("rules") / "model")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write(tmp_path / "in.jsonl")


@pytest.mark.parametrize("name", ["in.jsonl", "in.csv", "in.parquet", "in"])
@pytest.mark.parametrize("to", OWN_FORMATS)
def test_all_kinds_in_and_all_formats_out(rules: Path, tmp_path: Path, name: str, to: str) -> None:
    if to == "parquet":
        pytest.importorskip("pyarrow", reason="needs the extra parquet")
    summary = annotate(rules, write(tmp_path / name), tmp_path / "out", to=to, shard_size=5)
    assert found(tmp_path / "out", to) == by_pipeline(rules, to)
    assert (summary.records, summary.set_aside, summary.resumed) == (23, 0, 0)
    assert set(summary.entities) == {"Medication", "Sign_symptom"}
    assert (tmp_path / "out" / "errors.jsonl").read_bytes() == b""
    again = annotate(rules, tmp_path / name, tmp_path / "out", to=to, shard_size=5)
    assert (again.records, again.entities, again.resumed) == (23, summary.entities, 23)


def test_scores_are_those_of_the_pipeline(model: Path, source: Path, tmp_path: Path) -> None:
    annotate(model, source, tmp_path / "out", with_text=False)
    nlp = spacy.load(model)
    lines = (tmp_path / "out" / "annotations" / "shard-00000.jsonl").read_text().splitlines()
    for (name, text), line in zip(RECORDS, lines, strict=True):
        entities = [
            {
                "start": ent.start_char,
                "end": ent.end_char,
                "label": ent.label_,
                "score": pytest.approx(ent._.btl_score),
                "calibrated": False,
            }
            for ent in nlp(text).ents
        ]
        assert json.loads(line) == {"id": name, "entities": entities}


@pytest.mark.parametrize("to", TOOLS)
def test_a_project_gets_all_labels_of_the_pipeline(rules: Path, tmp_path: Path, to: str) -> None:
    """Those that were not found too."""
    source = write(tmp_path / "in.jsonl", [("a", "No fever")])
    summary = annotate(rules, source, tmp_path / "out", to=to)
    assert set(summary.entities) == {"Sign_symptom"}
    name, content = TOOLS[to]
    written = (tmp_path / "out" / "annotations" / name).read_text(encoding="utf-8")
    assert written == content(["Medication", "Sign_symptom"])


class TestSetAside:
    def test_broken_records_leave_the_others_alone(self, rules: Path, tmp_path: Path) -> None:
        folder = tmp_path / "in"
        folder.mkdir()
        good = '{"id": "%s", "text": "No fever"}'
        lines = [
            good % "one",
            '{"id": "two", "text": "Mrs Secretperson, no JSON',
            '{"id": "three", "text": "Mrs Secretperson has fever"}',
            good % "one",
            '{"id": "five"}',
        ]
        (folder / "a.jsonl").write_text("\n".join(lines))
        (folder / "b.jsonl").write_bytes(b'{"id": "six", "text": "Secretperson \xe9"}\n')
        (folder / "c.jsonl").symlink_to(tmp_path / "nowhere")
        (folder / "d.jsonl").write_text(good % "last")
        output = run(rules, folder, tmp_path / "out", "--shard-size", 2)
        errors = [json.loads(line) for line in tree(tmp_path / "out")["errors.jsonl"].splitlines()]
        where = "ValueError in helpers/annotating.py:"
        not_utf8 = "not UTF-8; if it is Windows-1252, --encoding windows-1252 reads it"
        assert errors[1].pop("error").startswith(where)
        assert errors == [
            {"file": "a.jsonl", "line": 2, "id": "", "error": "not JSON"},
            {"file": "a.jsonl", "line": 3, "id": "three"},
            {
                "file": "a.jsonl",
                "line": 4,
                "id": "one",
                "error": "its id came before in the input",
            },
            {"file": "a.jsonl", "line": 5, "id": "five", "error": 'no field "text", only id'},
            {"file": "b.jsonl", "line": 1, "id": "", "error": not_utf8},
            {
                "file": "c.jsonl",
                "line": 1,
                "id": "",
                "error": "cannot be read on: No such file or directory",
            },
        ]
        assert [name for name, _ in found(tmp_path / "out", "jsonl")] == ["last", "one"]
        assert "2 records, 2 entities" in output
        assert "6 records set aside" in output
        assert "not JSON (1); ValueError in helpers/annotating.py:" in output
        written = b"".join(tree(tmp_path / "out").values()).decode() + output
        assert "Secretperson" not in written

    @pytest.mark.parametrize(
        ("name", "data", "message"),
        [
            ("a.csv", b"\xef\xbb\xbfid;text\n1;fever\n", "--delimiter ';' finds both (1)"),
            ("a.csv", b"note_id,text\n1,fever\n", "it has note_id, text (--id-field"),
            ("a.csv", b"id,text\n,fever\n,fever\n", "none of 2 records could be annotated: no id"),
            ("a.jsonl", b'[{"id": 1, "text": "fever"}]', "write an object a line (1)"),
            ("a.jsonl", b'{"note": "fever"}\n', 'no field "id", only note (1)'),
            ("a.jsonl", "{}".encode("utf-16"), "UTF-16, where UTF-8 is read; see --encoding (1)"),
            ("a.txt", b"\xff\xfef\0", "UTF-16, where UTF-8 is read; see --encoding (1)"),
            ("a.txt", b"{\\rtf1 No fever}", "RTF, where plain text is read: convert it to text"),
            ("a.txt", b"<p>No fever</p>", "HTML, where plain text is read: take the text out"),
            ("a.txt", b"<a><b>fever</b></a>", "where plain text is read: take the text out first"),
            ("a.txt", b"PK\x03\x04\x14", "a .docx, a workbook or another ZIP archive, where"),
            ("a.txt", b"f\xe9vrier", "not UTF-8, the first time at byte 1; if it is Windows-1252"),
            ("a.jsonl", b"", "a.jsonl has no records: its files are empty"),
            ("a.csv", b"id,text\n", "a.csv has no records: its files are empty"),
        ],
    )
    def test_nothing_annotated_is_a_failure_with_a_hint(
        self, rules: Path, tmp_path: Path, name: str, data: bytes, message: str
    ) -> None:
        (tmp_path / name).write_bytes(data)
        output = run(rules, tmp_path / name, tmp_path / "out", expect=1)
        assert message in output
        assert (tmp_path / "out" / "errors.jsonl").is_file()

    def test_no_entity_at_all_is_worth_a_warning(self, rules: Path, tmp_path: Path) -> None:
        folder = write(tmp_path / "in", [("a", ""), ("b", "")])
        assert "No entity in any of them" in run(rules, folder, tmp_path / "out")

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
    def test_pipes_and_sockets_are_listed_and_never_opened(
        self, rules: Path, tmp_path: Path
    ) -> None:
        folder = write(tmp_path / "in", [("a", "fever"), ("z", "fever")])
        os.mkfifo(folder / "b.txt")
        (folder / "c.txt").symlink_to("/dev/zero")
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(os.path.relpath(folder / "d.txt"))
        summary = annotate(rules, folder, tmp_path / "out")
        assert (summary.records, summary.set_aside) == (5, 3)
        assert dict(summary.reasons) == {"a pipe, a socket or a device, not a regular file": 3}
        rows = [json.loads(line) for line in tree(tmp_path / "out")["errors.jsonl"].splitlines()]
        assert [row["file"] for row in rows] == ["b.txt", "c.txt", "d.txt"]
        assert [name for name, _ in found(tmp_path / "out", "jsonl")] == ["a", "z"]

    def test_text_files_and_ids_that_name_no_file(self, rules: Path, tmp_path: Path) -> None:
        folder = write(tmp_path / "in", [("a", "fever"), ("sub/b", "fever")])
        (folder / "c.txt").write_bytes(b"fever \xff")
        annotate(rules, folder, tmp_path / "out", to="brat")
        assert [name for name, _ in found(tmp_path / "out", "brat")] == ["a", "sub/b"]
        names = set(tree(tmp_path / "out" / "annotations"))
        assert names == {
            "a.ann",
            "a.txt",
            "sub/b.ann",
            "sub/b.txt",
            "annotation.conf",
            "visual.conf",
        }
        assert b'"file": "c.txt", "id": "c"' in tree(tmp_path / "out")["errors.jsonl"]
        source = write(tmp_path / "in.csv", [("../a", "fever"), ("A", "x"), ("a", "y")])
        assert annotate(rules, source, tmp_path / "csv", to="brat").set_aside == 2
        assert set(tree(tmp_path)) & {"a.txt", "csv/a.txt"} == set()

    def test_a_pipeline_that_fails_for_any_text_ends_the_run(
        self, rules: Path, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Otherwise a GPU that is lost in the middle would set aside all that follows."""
        with source.open("a") as file:
            file.write('\n{"id": "x", "text": "Secretperson"}')
        monkeypatch.setattr("spacy_btl.annotate.worker.PROBE", "Secretperson too")
        with pytest.raises(ValueError, match="cannot cope"):
            annotate(rules, source, tmp_path / "out")
        assert set(tree(tmp_path / "out")) == {"run.json", "run.lock"}


class TestResume:
    @pytest.mark.parametrize("to", OWN_FORMATS)
    def test_after_a_crash_at_any_write(
        self, rules: Path, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str
    ) -> None:
        """The folder ends up as that of a run that was never stopped, to the last byte."""
        if to == "parquet":
            pytest.importorskip("pyarrow", reason="needs the extra parquet")
        options: dict[str, Any] = {"to": to, "shard_size": 12}
        annotate(rules, source, tmp_path / "whole", **options)
        expected = tree(tmp_path / "whole")
        # But for run.lock and, at the end, errors.jsonl and what brat or another tool needs.
        n_files = len(expected) - 1 - (to == "brat") * 2 - (to in TOOLS)
        real = os.fsync
        for fatal in range(0, n_files, 9 if to in ("brat", "inception") else 1):
            left = [fatal]

            def fsync(file: int, left: list[int] = left) -> None:
                left[0] -= 1
                if left[0] < 0:
                    raise KeyboardInterrupt
                real(file)

            output = tmp_path / f"out-{fatal}"
            monkeypatch.setattr(os, "fsync", fsync)
            if fatal < n_files - 1:
                with pytest.raises(KeyboardInterrupt):
                    annotate(rules, source, output, **options)
            monkeypatch.undo()
            seen = {name: data for name, data in tree(output).items() if "partial" not in name}
            assert seen.items() <= expected.items()
            annotate(rules, source, output, **options)
            assert tree(output) == expected

    def test_only_with_the_same_settings_and_files(
        self, rules: Path, model: Path, source: Path, tmp_path: Path
    ) -> None:
        output = tmp_path / "out"
        annotate(rules, source, output, shard_size=5)
        for changed in ({"shard_size": 6}, {"to": "brat"}, {"with_text": False}):
            with pytest.raises(ValueError, match="contains a run with other settings"):
                annotate(rules, source, output, **{"shard_size": 5, **changed})
        with pytest.raises(ValueError, match=r"other settings \(model\)"):
            annotate(model, source, output, shard_size=5)
        os.utime(source, (1, 1))
        with pytest.raises(ValueError, match=r"other settings \(input\)"):
            annotate(rules, source, output, shard_size=5)


# Slow, so that it can be killed in the middle; its worker processes too, which import it.
SLOWLY = """
import sys
import time
from pathlib import Path
from datetime import datetime
from spacy_btl.annotate import AnnotationSettings, annotate_files
from spacy_btl.annotate.folder import RunFolder
from spacy_btl.omop.settings import OmopSettings

write = RunFolder.write

def slowly(*arguments):
    time.sleep(0.05)
    write(*arguments)

RunFolder.write = slowly

if __name__ == "__main__":
    model, source, output, to, n_process = sys.argv[1:]
    omop = OmopSettings(moment=datetime(2026, 3, 1)) if to == "omop" else None
    settings = AnnotationSettings(to=to, shard_size=1, n_process=int(n_process), omop=omop)
    annotate_files(model, source, output, settings)
"""


@pytest.mark.parametrize(
    ("to", "n_process", "killed_after"),
    [("jsonl", 1, (2, 9)), ("brat", 2, (9,)), ("omop", 1, (9,)), ("label-studio", 1, (9,))],
)
def test_after_kill_9(
    model: Path, tmp_path: Path, to: str, n_process: int, killed_after: tuple[int, ...]
) -> None:
    records = [(str(i), text) for i, (_, text) in enumerate(RECORDS)]
    source = write(tmp_path / "in.jsonl", records if to == "omop" else RECORDS)
    options: dict[str, Any] = {"to": to, "shard_size": 1}
    if to == "omop":
        options["omop"] = OmopSettings(moment=datetime(2026, 3, 1))
    annotate(model, source, tmp_path / "whole", **options)
    output, script = tmp_path / "out", tmp_path / "slowly.py"
    script.write_text(SLOWLY)
    arguments = [sys.executable, *map(str, (script, model, source, output, to, n_process))]
    for n_shards in killed_after:
        process = subprocess.Popen(arguments)
        while number_done(output) < n_shards:
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.005)
        with pytest.raises(ValueError, match="another run writes to"):
            annotate(model, source, output, **options)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    if n_process > 1:  # workers end with their parent: nobody writes on
        time.sleep(0.5)
        before = tree(output)
        time.sleep(0.5)
        assert tree(output) == before
    done = number_done(output)
    assert killed_after[-1] <= done < len(RECORDS)
    assert annotate(model, source, output, **options).resumed == done
    if to != "omop":
        assert found(output, to) == by_pipeline(model)
    assert tree(output) == tree(tmp_path / "whole")


def number_done(output: Path) -> int:
    return len(list(output.glob("done/*.json")))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"to": "xml"}, "to is 'xml', but must be one of brat, jsonl, parquet, docbin, omop"),
        ({"encoding": "utf8000"}, "encoding is 'utf8000', but must be one that Python knows"),
        ({"omop": OmopSettings()}, "settings of OMOP are given, but the output is jsonl"),
        ({"kind": "pdf"}, "kind is 'pdf', but must be one of txt, jsonl, csv, parquet"),
        ({"to": "brat", "with_text": False}, "brat cannot be written without the text"),
        ({"to": "doccano", "with_text": False}, "doccano cannot be written without the text"),
        ({"shard_size": 0}, "shard_size is 0, but must be a whole number, 1 or more"),
        ({"n_process": 1.5}, "n_process is 1.5, but must be a whole number"),
        ({"gpu_id": -2}, "gpu_id is -2, but must be a whole number, -1 or more"),
        ({"fields": Fields(delimiter="")}, "delimiter is '', but must be one character"),
        ({"engine": "spark"}, "engine is 'spark', but must be one of local, ray"),
    ],
)
def test_settings_out_of_range(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AnnotationSettings(**settings)


@pytest.mark.parametrize("engine", ["spark", "ray"])
def test_an_engine_that_is_not_there(
    rules: Path, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    """It is refused before the folder is made and before any id is read."""
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setattr("spacy_btl.annotate.run.make_shards", None)
    with pytest.raises(ValueError, match=r"engine is 'spark'|engine ray is not installed: pip"):
        annotate(rules, source, tmp_path / "out", engine=engine)
    assert not (tmp_path / "out").exists()


def test_an_encoding_by_name(rules: Path, tmp_path: Path) -> None:
    """Offsets count characters of the decoded text, and a run goes on with the same encoding."""
    folder = write(tmp_path / "in", [("b", "fever")])
    (folder / "a.txt").write_bytes("naïve – fever".encode("cp1252"))
    assert annotate(rules, folder, tmp_path / "utf8").set_aside == 1
    summary = annotate(rules, folder, tmp_path / "out", encoding="windows-1252")
    assert (summary.records, summary.set_aside) == (2, 0)
    assert found(tmp_path / "out", "jsonl")[0] == ("a", [(8, 13, "Sign_symptom")])
    assert annotate(rules, folder, tmp_path / "out", encoding="cp1252").resumed == 2
    for encoding in ("latin-1", "utf-8"):
        with pytest.raises(ValueError, match=r"other settings \(encoding 'cp1252', now "):
            annotate(rules, folder, tmp_path / "out", encoding=encoding)
    with pytest.raises(ValueError, match=r"now 'cp1252'"):
        annotate(rules, folder, tmp_path / "utf8", encoding="cp1252")
    source = write(tmp_path / "in.csv")
    with pytest.raises(ValueError, match=r"\.csv is read line by line"):
        annotate(rules, source, tmp_path / "csv", encoding="utf-16")


def test_progress_knows_the_total(
    rules: Path, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    annotate(rules, source, tmp_path / "out", shard_size=10, progress=True)
    shown = capsys.readouterr().err
    assert "annotate: 100%" in shown
    assert "23/23" in shown
    (tmp_path / "out" / "done" / "shard-00001.json").unlink()
    annotate(rules, source, tmp_path / "out", shard_size=10, progress=True)
    assert "13/23" in capsys.readouterr().err


def test_spans_instead_of_ents(model: Path, source: Path, tmp_path: Path) -> None:
    annotate(model, source, tmp_path / "out", spans="btl_knn_ner")
    assert found(tmp_path / "out", "jsonl") == by_pipeline(model)
    with pytest.raises(ValueError, match=r'no doc.spans\["x"\], only btl_knn_ner'):
        annotate(model, source, tmp_path / "other", spans="x")


def test_the_models_files_tell_it_apart(rules: Path, tmp_path: Path) -> None:
    assert find_model(str(rules)) == rules
    with pytest.raises(FileNotFoundError, match="no pipeline no-such-model"):
        find_model("no-such-model")
    (tmp_path / "a").write_text("x")
    one = folder_digest(tmp_path)
    (tmp_path / "a").write_text("y")
    assert len({one, folder_digest(tmp_path), folder_digest(rules)}) == 3
    assert "warfarin" in PROBE


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("no-such-model", "in.jsonl", "out"), "no pipeline no-such-model"),
        (("MODEL", "no-such-file", "out"), "no-such-file"),
        (("MODEL", ".", "out"), "out is in the input"),
        (("MODEL", "in.jsonl", "in.jsonl"), "is an input too"),
        (("MODEL", "in.jsonl", "out", "--to", "brat", "--no-text"), "without the text"),
        (("MODEL", "in.jsonl", "out", "--n-process", 0), "n_process is 0, but must be a whole"),
        (("MODEL", "in.jsonl", "out", "--delimiter", ",,"), "one character"),
    ],
)
def test_bad_input_is_told_in_a_sentence(
    arguments: tuple[Any, ...],
    message: str,
    rules: Path,
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(source.parent)
    filled = [rules if argument == "MODEL" else argument for argument in arguments]
    output = run(*filled, expect=1)
    assert message in output
    assert "Traceback" not in output
    assert not Path("out").exists()


def run(*arguments: Any, expect: int = 0) -> str:
    return " ".join(commands.run("annotate", *arguments, expect=expect).split())


@pytest.mark.parametrize("spans", [None, KEY])
def test_entities_that_overlap_are_left_out_with_a_warning_only(
    tmp_path: Path, spans: str | None
) -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("btl_knn_ner", config=CONFIG)
    nlp.initialize(lambda: make_examples(nlp))
    nlp.to_disk(tmp_path / "model")
    source = write(tmp_path / "in.jsonl", [("a", "No fever")])
    with warnings.catch_warnings(record=True) as caught:
        annotate(tmp_path / "model", source, tmp_path / "out", spans=spans)
    said = [str(each.message) for each in caught if "overlap" in str(each.message)]
    assert len(said) == (spans is None)
    assert all(f"--spans {KEY} takes all of them" in each for each in said)
