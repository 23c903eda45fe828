"""The interface: what a request may ask for, and what the answer has."""

import json
from typing import Any

import pytest

from tests.helpers.serving import SECRET, TEXT, Client, client_of, words_of

KEYS = {"start", "end", "label", "score", "calibrated"}


def entities(text: str, documents: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(text[e["start"] : e["end"]], e["label"]) for e in documents[0]["entities"]]


def test_one_text(client: Client) -> None:
    response = client.post("/annotate", {"text": TEXT})
    assert response.status_code == 200
    answer = response.json()
    assert answer["model"] == {"name": "en_pipeline", "version": "0.0.0"}
    assert entities(TEXT, answer["documents"]) == [("5 mg", "Dosage"), ("aspirin", "Medication")]
    assert all(entity.keys() == KEYS for entity in answer["documents"][0]["entities"])


def test_several_texts_and_records(client: Client) -> None:
    texts = ["No fever", "", "She took warfarin"]
    documents = client.post("/annotate", {"texts": texts}).json()["documents"]
    assert [len(document["entities"]) for document in documents] == [1, 0, 1]
    assert all(document.keys() == {"entities"} for document in documents)
    ids = ["a", 7, "a"]
    records = [{"id": name, "text": text} for name, text in zip(ids, texts, strict=True)]
    named = client.post("/annotate", {"records": records}).json()["documents"]
    assert [document.pop("id") for document in named] == ids
    assert named == documents
    assert client.post("/annotate", {"texts": []}).json()["documents"] == []


def test_evidence_and_words(client: Client) -> None:
    request = {"text": TEXT, "evidence": True, "with_text": True}
    found = client.post("/annotate", request).json()["documents"][0]["entities"]
    assert [entity["text"] for entity in found] == ["5 mg", "aspirin"]
    assert [entity["evidence"]["votes"][0]["label"] for entity in found] == ["Dosage", "Medication"]


@pytest.mark.parametrize(("offsets", "start"), [("characters", 3), ("utf16", 5), (None, 3)])
def test_offsets(offsets: str | None, start: int) -> None:
    request = {"text": "😀😀 aspirin", **({"offsets": offsets} if offsets else {})}
    with client_of(words_of()) as client:
        (entity,) = client.post("/annotate", request).json()["documents"][0]["entities"]
    assert (entity["start"], entity["end"]) == (start, start + 7)


@pytest.mark.parametrize(
    ("request_", "status", "error"),
    [
        ({}, 422, "give one of text, texts and records"),
        ({"text": "a", "texts": ["b"]}, 422, "give one of text, texts and records"),
        ({"texts": ["a"] * 6}, 413, "6 texts, but at most 5 are taken"),
        ({"text": "a" * 2001}, 413, "text 0 has 2,001 characters, but at most 2,000 are taken"),
        ({"text": "<p>a</p><p>b</p>"}, 422, "text 0 is HTML"),
        ({"texts": ["a", f"{SECRET} had fever"]}, 500, "text 1 could not be annotated: ValueError"),
    ],
)
def test_what_is_refused(client: Client, request_: Any, status: int, error: str) -> None:
    response = client.post("/annotate", request_)
    assert response.status_code == status
    assert error in response.json()["error"]
    assert SECRET not in response.text


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ({"text": "\ud83d"}, "text 0 is not Unicode"),
        ({"records": [{"id": "\ud83d", "text": "a"}]}, "the id of record 0 is not Unicode"),
    ],
)
def test_half_a_surrogate_pair(client: Client, request_: Any, error: str) -> None:
    headers = {"Content-Type": "application/json"}
    response = client.send("POST", "/annotate", content=json.dumps(request_), headers=headers)
    assert response.status_code == 422
    assert error in response.json()["error"]


@pytest.mark.parametrize(
    ("request_", "where"),
    [
        ({"text": 5}, "text"),
        ({"texts": ["a", None]}, "texts.1"),
        ({"records": [{"id": "a"}]}, "records.0.text"),
        ({"records": [{"id": 1.5, "text": "a"}]}, "records.0.id.?"),
        ({"text": "a", "evidence": "yes"}, "evidence"),
        ({"text": "a", "offsets": "bytes"}, "offsets"),
        ({"text": "a", SECRET: 1}, "?"),
        ([], "body"),
    ],
)
def test_another_form_is_refused_with_its_place(client: Client, request_: Any, where: str) -> None:
    response = client.post("/annotate", request_)
    assert response.status_code == 422
    assert response.json()["problems"][0]["where"] == where
    assert SECRET not in response.text


TOP = "fields are text, texts, records, evidence, with_text, offsets"


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        ({"text": "a", SECRET: 1}, TOP),
        ({"text": "a", "records": None, "document": 1}, TOP),
        ({"records": [{"id": 1, "text": "a", SECRET: 1}]}, "fields are id, text"),
        ({"records": [{"id": 1, "text": "a", "records": 1}]}, "fields are id, text"),
    ],
)
def test_an_unknown_field_is_answered_with_those_there_are(
    client: Client, request_: Any, why: str
) -> None:
    response = client.post("/annotate", request_)
    assert response.status_code == 422
    (problem,) = response.json()["problems"]
    assert problem["why"] == f"there is no such field; {why}"
    assert SECRET not in response.text


def test_evidence_of_a_pipeline_that_has_none() -> None:
    with client_of(words_of()) as client:
        response = client.post("/annotate", {"text": "a", "evidence": True})
    assert response.status_code == 422
    assert "the pipeline has no neighbors" in response.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/annotate", 405), ("GET", "/nowhere", 404), ("PUT", "/model", 405)],
)
def test_paths_that_are_not_there(client: Client, method: str, path: str, status: int) -> None:
    response = client.send(method, path)
    assert response.status_code == status
    assert "see /docs" in response.json()["error"]


def test_requests_at_the_same_time_get_their_own_answers() -> None:
    with client_of(words_of()) as client:
        texts = ["x" * size + " aspirin" for size in range(40)]
        requests = [("POST", "/annotate", {"json": {"text": text}}) for text in texts]
        responses = client.together(requests)
    starts = [r.json()["documents"][0]["entities"][0]["start"] for r in responses]
    assert starts == [size + 1 for size in range(40)]


def test_a_text_that_fails_leaves_requests_at_the_same_time_alone(client: Client) -> None:
    bad = {"texts": ["No fever", f"{SECRET} had fever"]}
    bodies = [{"text": TEXT}, bad, {"text": TEXT, "evidence": True}, bad, {"texts": ["No fever"]}]
    responses = client.together([("POST", "/annotate", {"json": body}) for body in bodies])
    assert [response.status_code for response in responses] == [200, 500, 200, 500, 200]
    assert "text 1 could not be annotated" in responses[1].json()["error"]


def test_health_and_model(client: Client) -> None:
    assert client.get("/health").json() == {"status": "UP"}
    model = client.get("/model").json()
    assert (model["name"], model["version"]) == ("en_pipeline", "0.0.0")
    assert model["labels"] == ["Dosage", "Medication", "Sign_symptom"]
    assert model["limits"]["max_texts"] == 5
    assert model["card"] is None


def test_the_interface_is_described_and_needs_no_network(client: Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/annotate", "/health", "/model", "/label-studio/predict", "/inception/predict"} <= set(
        paths
    )
    page = client.get("/docs").text
    assert "http://" not in page
    assert "https://" not in page
