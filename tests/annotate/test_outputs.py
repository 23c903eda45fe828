"""Annotated documents in each format."""

import io
import json
from typing import Any

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc, DocBin, Span

from spacy_btl import brat
from spacy_btl.annotate.inputs import RecordError
from spacy_btl.annotate.outputs import EntityRow, entities_of, id_error, id_key, make_writer
from spacy_btl.conversion.export import file_key, name_error
from spacy_btl.conversion.tasks import inception_document
from spacy_btl.pipeline.entities import ScoredSpans, set_span_extensions, write_scores

TEXT = "She took warfarin, naïvely.\r\n"
WARFARIN = EntityRow(9, 17, "Medication", "warfarin", 0.75, True)
SHE = EntityRow(0, 3, "Subject", "She", None, None)


@pytest.fixture
def doc() -> Doc:
    doc = spacy.blank("en")(TEXT)
    drug = Span(doc, 2, 3, label="Medication")
    doc.ents = [Span(doc, 0, 1, label="Subject"), drug]
    write_scores(doc, "found", ScoredSpans([drug], np.array([0.75]), np.array([True])))
    return doc


def files(to: str, doc: Doc | None, key: str | None = None, **options: Any) -> dict[str, bytes]:
    writer = make_writer(to, key, **{"with_text": True, **options})
    if doc is not None:
        writer.add("a/b", doc)
        assert sum(writer.counts.values()) == (2 if key is None else 1)
    return dict(writer.files())


def test_entities_have_their_scores(doc: Doc) -> None:
    assert entities_of(doc) == [SHE, WARFARIN]
    assert entities_of(doc, "found") == [WARFARIN]
    assert entities_of(doc, "missing") == []
    set_span_extensions()
    assert WARFARIN.score == doc.ents[1]._.btl_score


@pytest.mark.parametrize("with_text", [True, False])
def test_json_lines(doc: Doc, with_text: bool) -> None:
    (data,) = files("jsonl", doc, "found", with_text=with_text).values()
    entity = {"start": 9, "end": 17, "label": "Medication", "score": 0.75, "calibrated": True}
    text = {"text": TEXT} if with_text else {}
    assert json.loads(data) == {"id": "a/b", **text, "entities": [entity]}
    assert data.endswith(b"\n")
    assert data.count(b"\n") == 1


@pytest.mark.parametrize("with_text", [True, False])
def test_parquet_has_a_row_an_entity(doc: Doc, with_text: bool) -> None:
    pq = pytest.importorskip("pyarrow.parquet", reason="needs the extra parquet")
    (data,) = files("parquet", doc, with_text=with_text).values()
    rows = pq.read_table(io.BytesIO(data)).to_pylist()
    expected = [{"id": "a/b", **entity._asdict()} for entity in (SHE, WARFARIN)]
    if not with_text:
        expected = [{k: v for k, v in row.items() if k != "text"} for row in expected]
    assert rows == expected
    (empty,) = files("parquet", None, with_text=with_text).values()
    assert pq.read_schema(io.BytesIO(empty)) == pq.read_schema(io.BytesIO(data))


def test_tasks_are_a_list_for_label_studio_and_lines_for_others(doc: Doc) -> None:
    (data,) = files("label-studio", doc, "found", model="en_model 1.0").values()
    (task,) = json.loads(data)
    assert task["data"] == {"text": TEXT, "name": "a/b"}
    (prediction,) = task["predictions"]
    assert (prediction["model_version"], prediction["score"]) == ("en_model 1.0", 0.75)
    assert json.loads(files("label-studio", None)[".json"]) == []
    for to in ("doccano", "prodigy"):
        (data,) = files(to, doc).values()
        assert data.isascii()
        assert data.count(b"\n") == 1
        assert json.loads(data)["text"] == TEXT
        assert files(to, None)[".jsonl"] == b""


def test_inception_has_a_file_for_each_document(doc: Doc) -> None:
    ((name, data),) = files("inception", doc).items()
    assert name == "documents/a/b.json"
    assert data.isascii()
    assert json.loads(data) == inception_document(TEXT, [SHE, WARFARIN])
    assert files("inception", None) == {}
    with pytest.raises(RecordError, match="it leaves the folder"):
        make_writer("inception", None, with_text=True).add("..", doc)
    assert id_key("inception", "a/b") == id_key("inception", "c/B") != id_key("inception", "b/a")


def test_docbin_keeps_ids_and_scores(doc: Doc) -> None:
    (data,) = files("docbin", doc).values()
    (read,) = DocBin().from_bytes(data).get_docs(spacy.blank("en").vocab)
    assert (read.text, read.user_data["name"]) == (TEXT, "a/b")
    assert entities_of(read) == [SHE, WARFARIN]
    assert len(DocBin().from_bytes(files("docbin", None)[".spacy"])) == 0


def test_a_document_that_cannot_be_stored_leaves_nothing_of_itself(doc: Doc) -> None:
    writer = make_writer("docbin", None, with_text=True)
    broken = doc.copy()
    broken.user_data["what"] = object()
    with pytest.raises(RecordError, match=r"cannot store its user data \(TypeError\)"):
        writer.add("broken", broken)
    writer.add("whole", doc)
    ((_, data),) = writer.files()
    (read,) = DocBin().from_bytes(data).get_docs(spacy.blank("en").vocab)
    assert read.user_data["name"] == "whole"
    assert writer.counts == {"Subject": 1, "Medication": 1}


def test_brat_has_the_text_after_its_annotation(doc: Doc) -> None:
    written = files("brat", doc)
    assert list(written) == ["a/b.ann", "a/b.txt"]
    assert written["a/b.txt"] == TEXT.encode()
    entities = brat.loads(written["a/b.ann"].decode()).entities
    assert [e[1:4] for e in entities] == [
        ("Subject", ((0, 3),), "She"),
        ("Medication", ((9, 17),), "warfarin"),
    ]


def test_white_space_in_a_label_is_written_as_underscore(doc: Doc) -> None:
    doc.ents = [Span(doc, 0, 1, label="two words")]
    writer = make_writer("brat", None, with_text=True)
    writer.add("a", doc)
    (entity,) = brat.loads(dict(writer.files())["a.ann"].decode()).entities
    assert entity.label == "two_words"
    assert writer.counts == {"two words": 1}  # the counts have the labels of the pipeline


def test_labels_that_brat_cannot_tell_apart(doc: Doc) -> None:
    doc.ents = [Span(doc, 0, 1, label="two words"), Span(doc, 1, 2, label="two_words")]
    with pytest.raises(RecordError, match="is its label one that brat can read"):
        make_writer("brat", None, with_text=True).add("a", doc)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("a", ""),
        ("a.b/c d.txt", ""),
        ("é" * 125, ""),
        ("../a", "leaves the folder"),
        ("a/../../b", "leaves the folder"),
        ("/a", "cannot name a file"),
        ("C:a", "cannot name a file"),
        ("a\0", "cannot name a file"),
        (".", "cannot name a file"),
        ("é" * 126, "too long"),
        (".a", "hidden"),
        ("a/.b/c", "hidden"),
        ("a.txt/b", "named like one"),
    ],
)
def test_ids_as_names_of_files(name: str, error: str, doc: Doc) -> None:
    assert error in name_error(name)
    assert bool(error) == bool(name_error(name))
    if error:
        with pytest.raises(RecordError, match=error):
            make_writer("brat", None, with_text=True).add(name, doc)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("a/b", "a//b", True),
        ("a/b", "a\\b", True),
        ("A", "a", True),
        ("\u00e9", "e\u0301", True),
        ("a", "b", False),
    ],
)
def test_ids_whose_files_would_be_the_same(one: str, other: str, same: bool) -> None:
    assert (file_key(one) == file_key(other)) == same


@pytest.mark.parametrize(
    ("to", "name", "error", "key"),
    [
        ("jsonl", "../A", "", "../A"),
        ("brat", ".A", "hidden", ".a"),
        ("omop", "0012", "", "12"),
        ("omop", "A", "the id is not a whole number", "A"),
    ],
)
def test_ids_that_a_format_takes(to: str, name: str, error: str, key: str) -> None:
    assert error in id_error(to, name)
    assert bool(error) == bool(id_error(to, name))
    assert id_key(to, name) == key
