"""The work on texts: one that fails does not take the others along, and its traceback is logged."""

import logging
import traceback
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc

from spacy_btl.annotate.inputs import Fields, RecordError
from spacy_btl.annotate.outputs import JsonLinesWriter
from spacy_btl.annotate.shards import Shard, Slice
from spacy_btl.annotate.worker import Job, ShardAnnotator, annotate_texts, entity_labels, failure
from tests.helpers.annotating import RECORDS, annotate, fails_on_secrets, make_rules, write

SECRET = "Mrs Secretperson has fever"


@pytest.fixture
def nlp() -> Language:
    nlp = spacy.blank("en")
    nlp.add_pipe("fails_on_secrets")
    return nlp


def test_a_text_that_fails_leaves_the_others_alone(nlp: Language) -> None:
    one, two, three = annotate_texts(nlp, ["No fever", SECRET, "Pain"])
    assert [str(one), str(three)] == ["No fever", "Pain"]
    assert isinstance(two, ValueError)
    assert failure(two).startswith("ValueError in helpers/annotating.py:")


def test_a_pipeline_that_fails_for_a_plain_sentence_too(
    nlp: Language, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spacy_btl.annotate.worker.PROBE", "Secretperson too")
    texts = ["Secretperson in hospital"]
    with pytest.raises(ValueError, match="Secretperson too") as caught:
        annotate_texts(nlp, texts)
    assert "hospital" not in "".join(traceback.format_exception(caught.value))


def test_a_text_too_long_for_the_pipeline(nlp: Language) -> None:
    nlp.max_length = 60
    doc, error = annotate_texts(nlp, ["No fever", "x" * 61])
    assert isinstance(doc, Doc)
    assert isinstance(error, RecordError)
    assert failure(error) == "61 characters, the pipeline takes 60"


class OnlyAlone:
    """A component with a bug in its ``pipe``."""

    def __call__(self, doc: Doc) -> Doc:
        return doc

    def pipe(self, docs: Any, **_: Any) -> Any:
        texts = [doc.text for doc in docs]
        raise KeyError(f"a bug, with {texts}")


def test_a_bug_that_shows_in_batches_only(
    nlp: Language, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The documents are whole, and the message to the user does not quote the text."""
    monkeypatch.delenv("SPACY_BTL_DEBUG", raising=False)
    Language.component("btl_test_only_alone", func=OnlyAlone())
    nlp.add_pipe("btl_test_only_alone")
    with caplog.at_level(logging.WARNING, logger="spacy_btl"):
        docs = annotate_texts(nlp, ["No fever", "Pain"])
    assert [str(doc) for doc in docs] == ["No fever", "Pain"]
    (record,) = caplog.records
    assert "fails for 2 texts together (KeyError in annotate/test_worker.py:" in caplog.text
    assert "fever" not in caplog.text
    assert record.levelno == logging.WARNING


@pytest.fixture
def annotator(tmp_path: Path) -> ShardAnnotator:
    source = write(tmp_path / "in.jsonl", [("a", "No fever"), ("b", SECRET), ("c", "Pain")])
    model = make_rules(tmp_path / "model")
    job = Job(str(model), str(source), str(tmp_path / "out"), "jsonl", "jsonl", Fields())
    return ShardAnnotator(job)


SHARD = Shard(0, (Slice("", 0, 1, 3),))


@pytest.mark.parametrize("debug", [True, False])
def test_the_traceback_of_a_record_set_aside_shows_in_debug_mode_only(
    annotator: ShardAnnotator,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    debug: bool,
) -> None:
    monkeypatch.setenv("SPACY_BTL_DEBUG", str(int(debug)))
    with caplog.at_level(logging.DEBUG, logger="spacy_btl"):
        outcome = annotator(SHARD)
    (row,) = outcome.errors
    assert row.pop("error").startswith("ValueError in helpers/annotating.py:")
    assert row == {"file": "in.jsonl", "line": 2, "id": "b"}
    assert "in.jsonl, line 2 failed" in caplog.text
    assert (fails_on_secrets.__name__ in caplog.text) is debug
    assert (SECRET in caplog.text) is debug


@pytest.mark.parametrize(("size", "shown"), [(200, 200), (201, 0)])
def test_an_id_that_may_be_a_text_is_not_repeated(tmp_path: Path, size: int, shown: int) -> None:
    source = write(tmp_path / "in.jsonl", [("x" * size, SECRET)])
    model = make_rules(tmp_path / "model")
    job = Job(str(model), str(source), str(tmp_path / "out"), "jsonl", "jsonl", Fields())
    (row,) = ShardAnnotator(job)(Shard(0, (Slice("", 0, 1, 1),))).errors
    assert row["id"] == "x" * shown and row["line"] == 1


def test_a_bug_of_a_writer_is_not_set_aside(
    annotator: ShardAnnotator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise TypeError("a bug")

    monkeypatch.setattr(JsonLinesWriter, "add", broken)
    with pytest.raises(TypeError, match="a bug"):
        annotator(SHARD)


def test_a_file_that_has_become_shorter(annotator: ShardAnnotator) -> None:
    outcome = annotator(Shard(0, (Slice("", 0, 1, 5),)))
    assert outcome.records == 5
    errors = [row["error"] for row in outcome.errors[1:]]
    assert errors == ["the file ends before it"] * 2


def test_labels_are_those_of_components_that_write_entities() -> None:
    nlp = spacy.blank("en")
    assert entity_labels(nlp) == []
    nlp.add_pipe("tagger").add_label("Letter")  # type: ignore[attr-defined]
    nlp.add_pipe("sentencizer")
    nlp.add_pipe("span_ruler").add_patterns([{"label": "B c", "pattern": [{"LOWER": "b"}]}])  # type: ignore[attr-defined]
    nlp.add_pipe("ner").add_label("A")  # type: ignore[attr-defined]
    assert entity_labels(nlp) == ["A", "B c"]


def test_spans_that_the_pipeline_does_not_write(tmp_path: Path) -> None:
    model = make_rules(tmp_path / "model")
    job = Job(str(model), "in", "out", "jsonl", "jsonl", Fields(), spans="found")
    with pytest.raises(ValueError, match=r'writes no doc.spans\["found"\], only none'):
        ShardAnnotator(job)


def test_a_failure_is_described_without_its_message() -> None:
    with pytest.raises(ValueError) as caught:
        int("Secretperson")
    assert failure(caught.value).startswith("ValueError in annotate/test_worker.py:")
    assert failure(RecordError("not JSON")) == "not JSON"


class TestCode:
    """A pipeline with a component that only a Python file makes known."""

    @pytest.fixture
    def model(self, tmp_path: Path) -> Path:
        nlp = spacy.blank("en")
        nlp.add_pipe("merge_entities")
        nlp.to_disk(tmp_path / "model")
        config = tmp_path / "model" / "config.cfg"
        factory = 'factory = "{}"'.format
        known, unknown = factory("merge_entities"), factory("btl_test_from_code")
        config.write_text(config.read_text().replace(known, unknown))
        return tmp_path / "model"

    def test_workers_run_it(self, model: Path, tmp_path: Path) -> None:
        code, source = tmp_path / "code.py", write(tmp_path / "in.jsonl")
        with pytest.raises(ValueError, match=r"factory for 'btl_test_from_code'.*--code"):
            annotate(model, source, tmp_path / "out")
        code.write_text(
            "from spacy.language import Language\n"
            "from spacy.tokens import Span\n"
            "@Language.component('btl_test_from_code')\n"
            "def find(doc):\n"
            "    doc.ents = [Span(doc, 0, 1, label='First')] if len(doc) else []\n"
            "    return doc\n"
        )
        summary = annotate(model, source, tmp_path / "coded", code=code, n_process=2)
        assert summary.entities == {"First": sum(bool(text) for _, text in RECORDS)}
        code.write_text(code.read_text() + "# changed\n")
        with pytest.raises(ValueError, match=r"other settings \(code\)"):
            annotate(model, source, tmp_path / "coded", code=code, n_process=2)

    def test_code_that_fails(self, model: Path, tmp_path: Path) -> None:
        code, source = tmp_path / "code.py", write(tmp_path / "in.jsonl")
        code.write_text("import btl_no_such_package\n")
        with pytest.raises(
            ValueError, match=r"code.py fails: ModuleNotFoundError: No module named"
        ):
            annotate(model, source, tmp_path / "out", code=code)
        with pytest.raises(FileNotFoundError, match="no Python file"):
            annotate(model, source, tmp_path / "out", code=tmp_path / "no.py")
