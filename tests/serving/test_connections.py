"""Connections that say nothing, half of a request, or no HTTP, and others beside them."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest
import uvicorn

from spacy_btl.serving.server import server_config
from spacy_btl.serving.settings import ServeSettings
from tests.helpers.serving import FACTS, SECRET, running, words_of

WAIT = 30  # seconds, which no test takes
HEADER = b"POST /annotate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
BODY = b'{"text": "aspirin"}'
WHOLE = HEADER + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY


class Service:
    """A server on the loopback, in a thread."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    @contextmanager
    def connected(self, *parts: bytes) -> Iterator[socket.socket]:
        """Open a connection and send parts of a request, with pauses between them."""
        with socket.create_connection(("127.0.0.1", self.port), WAIT) as made:
            for part in parts:
                made.sendall(part)
                time.sleep(0.05)
            yield made

    def answer(self, *parts: bytes) -> bytes:
        """Return all that comes until the server closes the connection."""
        with self.connected(*parts) as made:
            return rest_of(made)


def rest_of(made: socket.socket) -> bytes:
    """Return all that comes until the server closes a connection."""
    parts = []
    try:
        while part := made.recv(4096):
            parts.append(part)
    except ConnectionResetError:
        parts.append(b"RESET")
    return b"".join(parts)


def read(made: socket.socket, end: bytes = b"}", times: int = 1) -> bytes:
    """Return what comes until something has come so many times."""
    found = b""
    while found.count(end) < times:
        part = made.recv(4096)
        assert part, found
        found += part
    return found


@contextmanager
def serving(keep_alive: int = 5, **settings: Any) -> Iterator[Service]:
    """Run a server; `keep_alive` is the limit of uvicorn."""
    with running(words_of(), **settings) as batcher:
        config = server_config(batcher, FACTS, ServeSettings(port=0, **settings))
        config.timeout_keep_alive = keep_alive
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        try:
            yield Service(server.servers[0].sockets[0].getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(WAIT)


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [b"POST /anno"],
        [HEADER],
        [b"POST /annotate HTTP/1.1\r\n", *[b"X-Slow: 1\r\n"] * 3],
    ],
    ids=["nothing", "half a line", "half a header", "a header line by line"],
)
def test_a_connection_without_a_whole_header_is_closed(parts: list[bytes]) -> None:
    with serving(header_timeout=0.3) as service:
        begin = time.monotonic()
        assert service.answer(*parts) == b""
        assert 0.25 < time.monotonic() - begin < WAIT


def test_a_header_that_drips_is_no_reason_to_wait_longer() -> None:
    with serving(header_timeout=0.3) as service, service.connected(HEADER) as made:
        with pytest.raises(ConnectionError):
            for _ in range(WAIT * 20):
                made.sendall(b"X-Slow: 1\r\n")
                time.sleep(0.05)
        assert rest_of(made) in (b"", b"RESET")


def test_a_slow_request_is_answered() -> None:
    """The limits are those of the header and of the body, each from its own beginning."""
    cut = len(WHOLE) - len(BODY)
    header, body = WHOLE[:cut], WHOLE[cut:]
    parts = [header[:20], header[20:60], header[60:], body[:5], *[b""] * 20, body[5:]]
    with serving(header_timeout=1) as service, service.connected(*parts) as made:
        assert b'"label":"Medication"' in read(made, b"]}]}")


def test_a_body_that_does_not_arrive_is_answered_with_408() -> None:
    with serving(timeout=0.2) as service, service.connected(WHOLE[:-1]) as made:
        assert read(made).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    ("first", "status"),
    [(WHOLE, b"200"), (WHOLE[:-1], b"408"), (b"PUT / HTTP/1.1\r\n\r\n", b"400")],
)
def test_a_connection_is_closed_some_time_after_its_answer(first: bytes, status: bytes) -> None:
    """Also if the client goes on with what nobody reads, as uvicorn's own limit is for silence."""
    with serving(header_timeout=0.3, timeout=0.2) as service, service.connected(first) as made:
        assert read(made).startswith(b"HTTP/1.1 " + status)
        with pytest.raises(ConnectionError):
            for _ in range(WAIT * 20):
                made.sendall(b"POST")
                time.sleep(0.05)


def test_a_connection_is_used_again_while_requests_come() -> None:
    with serving(header_timeout=1) as service, service.connected() as made:
        for _ in range(12):
            made.sendall(WHOLE)
            assert read(made, b"]}]}").startswith(b"HTTP/1.1 200 ")
            time.sleep(0.1)
        made.sendall(WHOLE * 2)  # pipelined
        assert read(made, b"]}]}", 2).count(b"HTTP/1.1 200 ") == 2
        assert rest_of(made) == b""


def test_an_idle_connection_is_closed_by_uvicorn_after_a_request() -> None:
    with serving(1, header_timeout=WAIT) as service, service.connected(WHOLE) as made:
        begin = time.monotonic()
        assert rest_of(made).startswith(b"HTTP/1.1 200 ")
        assert time.monotonic() - begin < WAIT / 2


def test_many_idle_connections_leave_the_service_free() -> None:
    with serving() as service, ExitStack() as stack:
        for number in range(300):
            stack.enter_context(service.connected(*([b"POST /anno"] if number % 20 == 0 else [])))
        response = httpx.post(f"{service.url}/annotate", json={"text": "aspirin"}, timeout=WAIT)
        assert response.status_code == 200


def test_too_many_bodies_on_their_way_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spacy_btl.serving.guard.MAX_BODIES", 2)
    with serving(max_waiting=1) as service, ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(service.connected(WHOLE[:-1]))
        refused = httpx.post(f"{service.url}/annotate", json={"text": "a"}, timeout=WAIT)
        assert refused.status_code == 503
        assert refused.headers["Retry-After"] == "1"
        assert "2 requests wait already" in refused.json()["error"]
        assert httpx.get(f"{service.url}/health", timeout=WAIT).status_code == 200
        stack.close()
        while (again := httpx.post(f"{service.url}/annotate", json={"text": "a"})).is_error:
            time.sleep(0.05)
        assert again.status_code == 200


def test_an_answer_that_nobody_reads_ends_the_connection() -> None:
    path = b"/static-offline-docs/swagger-ui-bundle.js"  # more than the buffers of a socket hold
    request = b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path
    with serving(timeout=0.3) as service, service.connected(request * 9) as made:
        time.sleep(1.5)
        assert rest_of(made).count(b"HTTP/1.1 200 ") < 9


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ([f"{SECRET} had fever\r\n\r\n".encode()], b"400"),
        ([f"GET / HTTP/1.1\r\nHost: x\r\n{SECRET} had fever\r\n\r\n".encode()], b"400"),
        ([HEADER + b"Transfer-Encoding: chunked\r\n\r\n", f"{SECRET}\r\n\r\n".encode()], b"400"),
        (
            [
                b"POST /annotate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
                f"{SECRET}\r\n\r\n".encode(),
            ],
            b"415",
        ),
    ],
    ids=["line", "header", "chunk", "chunk after an answer"],
)
def test_what_is_not_http_is_refused_and_not_logged(
    parts: list[bytes], status: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with serving() as service:
        answer = service.answer(*parts)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b'{"error": "' in answer
    assert SECRET not in caplog.text
    assert "Traceback" not in caplog.text
