"""Checks of every request: token, kind and size of the body, errors without a text."""

import asyncio
import base64
import logging
from collections.abc import Sequence
from typing import Any

import pytest

from spacy_btl.serving.model import Question
from tests.helpers.serving import SECRET, TEXT, TOKEN, Client, chunks, client_of, words_of

JSON = {"Content-Type": "application/json"}


def basic(password: str, user: str = "btl") -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (None, 401),
        ("", 401),
        (f"Bearer {TOKEN}", 200),
        (f"bearer  {TOKEN}", 200),
        (f"Bearer {TOKEN}x", 401),
        (f"Bearer {TOKEN[:-1]}", 401),
        (TOKEN, 401),
        (basic(TOKEN), 200),
        (basic(TOKEN, user=""), 200),
        (basic("wrong"), 401),
        ("Basic §§§", 401),
        ("Basic AAA", 401),
        (f"Digest {TOKEN}", 401),
    ],
)
def test_the_token(header: str | None, status: int) -> None:
    with client_of(words_of(), token=TOKEN) as made:
        client = Client(made.app)
        headers = {} if header is None else {"Authorization": header.encode()}
        response = client.post("/annotate", {"text": TEXT}, headers=headers)
        assert response.status_code == status
        assert (response.headers.get("www-authenticate") == "Bearer") == (status == 401)
        assert TOKEN not in response.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health", 200),
        ("GET", "/label-studio/health", 200),
        ("GET", "/openapi.json", 200),
        ("GET", "/docs", 200),
        ("GET", "/static-offline-docs/swagger-ui.css", 200),
        ("GET", "/static-offline-docs/../model", 401),
        ("GET", "/model", 401),
        ("GET", "/label-studio/versions", 401),
        ("POST", "/health", 401),
        ("POST", "/label-studio/predict", 401),
        ("POST", "/inception/predict", 401),
        ("GET", "/nowhere", 401),
    ],
)
def test_paths_without_a_token(method: str, path: str, status: int) -> None:
    with client_of(words_of(), token=TOKEN) as made:
        assert Client(made.app).send(method, path).status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (JSON, 200),
        ({"Content-Type": "application/json; charset=utf-8"}, 200),
        ({"Content-Type": "Application/JSON"}, 200),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({}, 415),
        ({**JSON, "Content-Encoding": "gzip"}, 415),
        ({**JSON, "Content-Encoding": "identity"}, 200),
    ],
)
def test_the_kind_of_a_body(headers: dict[str, str], status: int) -> None:
    with client_of(words_of()) as client:
        content = b'{"text": "No fever"}'
        response = client.send("POST", "/annotate", content=content, headers=headers)
        assert response.status_code == status
        assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("size", [199, 200, 201, 500])
@pytest.mark.parametrize("with_length", [True, False])
def test_the_size_of_a_body(size: int, with_length: bool) -> None:
    """Bytes are counted, whether or not a header says how many there are."""
    start, end = b'{"text": "', b'"}'
    body = start + b"x" * (size - len(start) - len(end)) + end
    content: Any = body if with_length else chunks(body[:100], body[100:150], body[150:])
    with client_of(words_of(), max_body=200) as client:
        response = client.send("POST", "/annotate", content=content, headers=JSON)
    assert response.status_code == (200 if size <= 200 else 413)
    if size > 200:
        assert "more than 200 bytes" in response.json()["error"]


def test_a_body_that_does_not_arrive() -> None:
    async def slow() -> Any:
        yield b"{"
        await asyncio.sleep(60)

    with client_of(words_of(), timeout=0.05) as client:
        response = client.send("POST", "/annotate", content=slow(), headers=JSON)
    assert response.status_code == 408


@pytest.mark.parametrize(
    "content",
    [
        f'{{"text": "{SECRET}"',
        f'{{"{SECRET}": 1}}',
        f'{{"text": ["{SECRET}"]}}',
        f'{{"texts": "{SECRET}"}}',
        f'{{"text": "{SECRET}", "offsets": "{SECRET}"}}',
        f'{{"records": [{{"id": {{"{SECRET}": 1}}, "text": 5}}]}}',
        f'{{"text": "{SECRET} \\ud800"}}',
        f'{{"text": "<html>{SECRET}</html>"}}',
        f'{{"text": "{SECRET} is too long"}}',
        f'["{SECRET}"]',
        f'"{SECRET}"',
        "[" * 100_000 + SECRET,
        f'{{"text": {"9" * 5000}, "{SECRET}": 1}}',
    ],
)
def test_no_error_and_no_log_repeats_a_request(
    content: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), client_of(words_of(), max_characters=40) as client:
        path = f"/annotate?note={SECRET}"
        response = client.send("POST", path, content=content.encode(), headers=JSON)
    assert response.status_code in (400, 413, 422, 500)
    assert response.json()["error"]
    assert SECRET not in response.text
    ours = [r.getMessage() for r in caplog.records if r.name.startswith(("spacy_btl", "uvicorn"))]
    assert SECRET not in str(ours)


def test_bytes_that_are_not_utf8() -> None:
    with client_of(words_of()) as client:
        content = b'{"text": "\xff"}'
        response = client.send("POST", "/annotate", content=content, headers=JSON)
    assert (response.status_code, response.json()) == (
        400,
        {"error": "the body is not JSON in UTF-8"},
    )


def test_a_failure_of_the_pipeline_is_described_by_type_and_place(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(questions: Sequence[Question]) -> Any:
        raise KeyError(questions[0].text)

    with caplog.at_level(logging.DEBUG), client_of(fail) as client:
        response = client.post("/annotate", {"text": SECRET})
        assert response.status_code == 500
        assert "KeyError in serving/test_guard.py:" in response.json()["error"]
        assert client.get("/health").status_code == 200
    assert SECRET not in response.text + caplog.text
    assert "the pipeline failed: KeyError" in caplog.text


def test_a_failure_of_a_route(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError(SECRET)

    monkeypatch.setattr("spacy_btl.serving.app.entity_values", fail)
    with caplog.at_level(logging.DEBUG), client_of(words_of()) as client:
        response = client.post("/annotate", {"text": TEXT})
    assert response.status_code == 500
    assert "RuntimeError in serving/test_guard.py:" in response.json()["error"]
    assert SECRET not in response.text + caplog.text


def test_the_log_of_requests_names_routes_only(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("spacy_btl"), "propagate", True)  # whatever ran before
    with (
        caplog.at_level(logging.INFO, logger="spacy_btl"),
        client_of(words_of(), log_requests=True) as client,
    ):
        client.get(f"/{SECRET}?{SECRET}")
        client.get(f"/model?{SECRET}")
        client.post("/annotate", {"text": TEXT})
        client.get("/label-studio/versions")
        client.send(SECRET, "/annotate")
        assert client.post(f"/annotate/?{SECRET}", {"text": TEXT}).status_code == 404
    lines = [r.getMessage() for r in caplog.records if r.name == "spacy_btl"]
    assert [line.rsplit(" ", 2)[0] for line in lines] == [
        "GET - 404",
        "GET /model 200",
        "POST /annotate 200",
        "GET /label-studio/versions 200",
        "? /annotate 405",
        "POST - 404",
    ]


def test_requests_are_not_logged_by_default(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "spacy_btl"), client_of(words_of()) as client:
        client.get("/model")
    assert [r for r in caplog.records if r.name == "spacy_btl"] == []
