import json

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc, Span

from spacy_btl import brat
from spacy_btl.data.gold import (
    check_annotated,
    document_id,
    document_ids,
    entity_from_json,
    entity_to_json,
    record_from_json,
    record_to_json,
    spans_from_json,
)
from spacy_btl.data.label_sets import set_label_set

TEXT = "left arm\r\nand leg"

ENTITIES = [
    # line, fragments in ascending order, what else is stored
    ("T1\tX 0 8\tleft arm", [[0, 8]], {}),
    ("T1\tX 0 4;14 17\tleft leg", [[0, 4], [14, 17]], {}),
    ("T1\tX 14 17;0 4\tleg left", [[0, 4], [14, 17]], {"written": [[14, 17], [0, 4]]}),
    ("T1\tX 5 8;10 13\tarm and", [[5, 13]], {"written": [[5, 8], [10, 13]]}),
    ("T1\tX 5 13\tarm and", [[5, 13]], {}),
    ("T1\tX 0 4\tright", [[0, 4]], {"text": "right"}),
    ("T1\tX 0 99\tleft", [[0, 99]], {"text": "left"}),
    ("T1\tX 9 3\t", [[9, 3]], {}),
]


@pytest.mark.parametrize(("line", "fragments", "more"), ENTITIES, ids=[e[0] for e in ENTITIES])
def test_entity_as_json_and_back(line, fragments, more):
    (entity,) = brat.loads(line).entities
    own = tuple(tuple(pair) for pair in fragments)
    assert brat.join_fragments(entity.fragments, TEXT) == own
    value = entity_to_json(entity, TEXT, own, placed=own)
    assert value == {"id": "T1", "label": "X", "fragments": fragments, **more}
    assert (
        entity_from_json(json.loads(json.dumps(value)), TEXT)._replace(raw=line, line=1) == entity
    )


def test_entity_that_was_dropped_says_why():
    (entity,) = brat.loads("T1\tX 0 4\tleft").entities
    value = entity_to_json(entity, TEXT, ((0, 4),), placed=(), dropped="cuts a token")
    assert (value["dropped"], spans_from_json(value)) == ("cuts a token", ())


@pytest.mark.parametrize(
    ("placed", "stored"),
    [(((0, 4),), {}), (((0, 8),), {"placed": [[0, 8]]})],
    ids=["kept", "moved"],
)
def test_spans_of_an_entity(placed, stored):
    (entity,) = brat.loads("T1\tX 0 4\tleft").entities
    value = entity_to_json(entity, TEXT, ((0, 4),), placed=placed)
    assert value == {"id": "T1", "label": "X", "fragments": [[0, 4]], **stored}
    assert spans_from_json(value) == placed


RECORDS = [
    "E1\tBinding:T3 Theme:T1 Theme2:E1",
    "E2\tBinding:T3",
    "R1\tPart Arg1:T1 Arg2:T2",
    "A1\tNegation E1",
    "A2\tPOLARITY E1 NEG",
    "N1\tReference T1 UMLS:C1\tname",
    "*\tOVERLAP E3 E4 E5",
    "#1\tAnnotatorNotes E12\ta note",
    "what is this",
    "",
]


@given(st.sampled_from(RECORDS))
def test_record_as_json_and_back(line):
    (record,) = brat.loads(line + "\n").records
    value = record_to_json(record)
    assert value["kind"] == type(record).__name__
    assert not value.keys() & {"raw", "line"}
    back = record_from_json(json.loads(json.dumps(value)))
    assert back == record._replace(raw="", line=0)
    assert type(back) is type(record)


def test_unknown_kind_of_record_is_refused():
    with pytest.raises(ValueError, match='"Entity" is not a kind of record: Event, '):
        record_from_json({"kind": "Entity"})


def test_ids_tell_unnamed_documents_of_one_text_apart_by_their_annotation() -> None:
    nlp = spacy.blank("en")

    def doc(text: str, label: str = "", name: str = "", key: str = "") -> Doc:
        made = nlp.make_doc(text)
        spans = [Span(made, 0, 1, label)] if label else []
        if key:
            made.spans[key] = spans
        else:
            made.set_ents(spans)
        made.user_data["name"] = name
        return made

    one, two = (document_id(doc(text)) for text in ("No fever.", "Pain."))
    cases = [
        (doc("No fever.", "Sign"), one),
        (doc("No fever."), f"{one}-2"),
        (doc("Pain."), two),
        (doc("No fever.", "Sign"), one),
        (doc("No fever.", "Drug"), f"{one}-3"),
        (doc("No fever."), f"{one}-2"),
        (doc("No fever.", "Drug", name="x"), "x"),
        (doc("No fever.", name="x"), "x"),
        (nlp.make_doc("No fever."), f"{one}-4"),  # where nothing is known
    ]
    assert document_ids(doc for doc, _ in cases) == [expected for _, expected in cases]
    layered = [doc("Pain.", "Sign", key="brat"), doc("Pain.", "Drug", key="brat")]
    assert document_ids(layered, "brat") == [two, f"{two}-2"]
    assert document_ids(layered) == [two, two]
    assert document_ids([]) == []


def test_documents_of_one_text_and_two_label_sets_have_two_ids():
    nlp = spacy.blank("en")
    docs = [nlp("She is well") for _ in range(3)]
    set_label_set(docs[1], ["Drug"])
    first, second, third = document_ids(docs)
    assert (second, third) == (f"{first}-2", first)


def test_entities_of_types_that_are_not_annotated_are_refused_by_document_and_label():
    doc = spacy.blank("en")("She is well")
    doc.user_data["name"] = "case-7"
    check_annotated(doc, ["Age", "Drug"])
    set_label_set(doc, ["Age", "Sex"])
    check_annotated(doc, ["Age"])
    with pytest.raises(ValueError, match=r'"case-7" has .* types Drug, which.*Age, Sex'):
        check_annotated(doc, ["Age", "Drug"])
