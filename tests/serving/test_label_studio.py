"""The routes of an ML backend, with requests as Label Studio 1.23 makes them."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from typing import Any

import pytest

from spacy_btl.conversion.tasks import label_studio_labels
from spacy_btl.serving.guard import RefusalError
from spacy_btl.serving.label_studio import read_interface
from tests.helpers.serving import SECRET, TEXT, Client, client_of, words_of

LABELS = ("Dosage", "Medication")
INTERFACE = label_studio_labels(LABELS)


@pytest.fixture
def studio() -> Iterator[Client]:
    with client_of(words_of()) as client:
        yield client


def request_of(*texts: Any, interface: str = INTERFACE, field: str = "text") -> dict[str, Any]:
    """Make a request for predictions, with all that Label Studio sends."""
    tasks = [
        {"id": 10 + i, "data": {field: text, "name": f"d{i}"}, "meta": {}, "project": 1}
        for i, text in enumerate(texts)
    ]
    params = {"login": None, "password": None, "context": None}
    own = {"tasks": tasks, "project": "1.1700000000", "label_config": interface}
    return {**own, "params": params}


def test_a_backend_is_connected(studio: Client, caplog: pytest.LogCaptureFixture) -> None:
    assert studio.get("/label-studio/health").json() == {"status": "UP"}
    setup = {"project": "1.17", "schema": INTERFACE, "hostname": "http://localhost:8080"}
    setup |= {"access_token": "secret", "extra_params": None}  # type: ignore[dict-item]
    response = studio.post("/label-studio/setup", setup)
    assert response.status_code == 200
    assert response.json() == {"model_version": "en_test 1.2.3"}
    assert studio.get("/label-studio/versions").json() == {"versions": ["en_test 1.2.3"]}
    assert caplog.text == ""


def test_predictions(studio: Client) -> None:
    texts = [TEXT, "Nothing there", "😀 aspirin"]
    response = studio.post("/label-studio/predict", request_of(*texts))
    assert response.status_code == 200
    first, second, third = response.json()["results"]
    (region,) = first["result"]
    assert region == {
        "id": "e1",
        "from_name": "label",
        "to_name": "text",
        "type": "labels",
        "value": {"start": 17, "end": 24, "text": "aspirin", "labels": ["Medication"]},
        "score": 0.75,
    }
    assert (first["score"], first["model_version"]) == (0.75, "en_test 1.2.3")
    assert second["result"] == []
    assert third["result"][0]["value"]["start"] == 2


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ('<Label value="Medication"/>', "Medication"),
        ('<Label value="MEDICATION"/>', "MEDICATION"),
        ('<Label value="Drug" predicted_values="medication, Medication"/>', "Drug"),
        ('<Label value="Medication"/><Label value="Drug" predicted_values="Medication"/>', "Drug"),
        ('<Choice><Label value="Medication"/></Choice>', "Medication"),
        ('<Label value="Other"/>', None),
        ("", None),
    ],
)
def test_labels_of_the_project(labels: str, expected: str | None, studio: Client) -> None:
    interface = (
        f'<View><Header value="Note"/><Labels name="ner" toName="note">{labels}</Labels>'
        '<Text name="note" value="$report"/></View>'
    )
    body = request_of(TEXT, interface=interface, field="report")
    (prediction,) = studio.post("/label-studio/predict", body).json()["results"]
    found = [(r["value"]["labels"], r["from_name"], r["to_name"]) for r in prediction["result"]]
    assert found == ([] if expected is None else [([expected], "ner", "note")])


def test_a_label_that_the_project_lacks_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with client_of(words_of()) as client:
        for _ in range(2):
            client.post("/label-studio/setup", {"schema": label_studio_labels(["Medication"])})
    assert caplog.text.count("no label for Dosage: entities of these types are left out") == 1


@pytest.mark.parametrize(
    ("interface", "error"),
    [
        ("", "is not XML"),
        ("<View>", "is not XML"),
        ("<View/>", "has no <Labels"),
        (
            '<View><Choices name="a" toName="text"/><Text name="text" value="$t"/></View>',
            "no <Labels",
        ),
        ('<View><Labels name="a" toName="b"/><Text name="text" value="$t"/></View>', "no <Labels"),
        ('<View><Labels name="a" toName="b"/><Text name="b" value="fixed"/></View>', "no <Labels"),
        (
            '<View><Labels name="a" toName="b"/><Text name="b" value="$t" valueType="url"/></View>',
            "URLs in place of texts",
        ),
        ('<!DOCTYPE a [<!ENTITY b "c">]><View>&b;</View>', "document type"),
        (f"<View>{' ' * 2**20}</View>", "too long"),
    ],
)
def test_interfaces_that_are_refused(interface: str, error: str) -> None:
    with pytest.raises(RefusalError, match=error) as caught:
        read_interface(interface, LABELS)
    assert caught.value.status == 422


def test_comments_in_an_interface_are_nothing() -> None:
    assert read_interface(f"<!-- note -->{INTERFACE}", LABELS) == read_interface(INTERFACE, LABELS)
    assert ElementTree.fromstring(INTERFACE).tag == "View"


@pytest.mark.parametrize("text", [None, 5, ["a"], {"a": SECRET}])
def test_a_task_without_text(studio: Client, text: Any) -> None:
    response = studio.post("/label-studio/predict", request_of("fine", text))
    assert response.status_code == 422
    assert response.json()["error"] == "task 1 has no text in the field of the interface"


def test_nothing_is_learned(studio: Client) -> None:
    event = {"action": "ANNOTATION_CREATED", "annotation": {"result": [SECRET]}}
    assert studio.post("/label-studio/webhook", event).status_code == 201
    training = studio.post("/label-studio/webhook", {"action": "START_TRAINING", "project": {}})
    assert training.status_code == 501
    assert "does not train" in training.json()["error"]
    assert studio.post("/label-studio/train", {"annotations": []}).status_code == 501
