"""A real process: it starts, answers, ends on a signal, and says nothing of a text."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
import spacy

from spacy_btl.serving.server import OTHER_FILES
from tests.helpers.annotating import train
from tests.helpers.commands import invoke
from tests.helpers.serving import SECRET, TEXT, TOKEN

ROOT = Path(__file__).parents[2]
WAIT = 120  # seconds; a busy machine starts slowly
CODE = "import tests.helpers.annotating, tests.helpers.serving"
"""Registers the components of the pipelines."""

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs signals of POSIX")


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a pipeline that waits where a text asks for it, and fails for a Secretperson."""
    path = train(tmp_path_factory.mktemp("slow") / "model")
    nlp = spacy.load(path)
    nlp.add_pipe("waits_in_a_folder", first=True)
    nlp.add_pipe("fails_on_secrets")
    nlp.to_disk(path)
    return path


class Service:
    """A process that serves a pipeline, and what it has written."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self.process, self.output = process, output

    def text(self) -> str:
        return self.output.read_text(encoding="utf-8")

    def wait_for(self, pattern: str) -> str:
        """Wait until the process has written something; the first group of it."""
        end = time.monotonic() + WAIT
        while time.monotonic() < end:
            if found := re.search(pattern, self.text()):
                return found[1]
            assert self.process.poll() is None, self.text()
            time.sleep(0.05)
        raise AssertionError(f"no {pattern}: {self.text()}")

    @property
    def url(self) -> str:
        return self.wait_for(r"running on (http://\S+:\d+)")


@contextmanager
def serving(model: Path, folder: Path, *options: str, **variables: str) -> Iterator[Service]:
    """Start the command, on a free port."""
    output, code = folder / "output", folder / "code.py"
    code.write_text(CODE)
    start = [sys.executable, "-m", "spacy", "btl", "serve", str(model)]
    command = [*start, "--port", "0", "--code", str(code), *options]
    environment = {**os.environ, "BTL_TEST_FOLDER": str(folder), **variables}
    with output.open("wb") as file:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT
        )
    try:
        yield Service(process, output)
    finally:
        (folder / "go").touch()
        process.kill()
        process.wait()


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_requests_under_way_are_answered_and_new_ones_refused(
    slow: Path, tmp_path: Path, sent: signal.Signals
) -> None:
    with serving(slow, tmp_path, "--log-requests") as service, ThreadPoolExecutor(1) as pool:
        url = service.url
        answer = httpx.post(f"{url}/annotate", json={"text": TEXT}, timeout=WAIT).json()
        assert len(answer["documents"][0]["entities"]) == 2
        bad = httpx.post(f"{url}/annotate", json={"text": f"{SECRET} took"}, timeout=WAIT)
        assert bad.status_code == 500
        body = {"texts": ["No fever", "Please wait"]}
        under_way = pool.submit(httpx.post, f"{url}/annotate", json=body, timeout=WAIT)
        while not (tmp_path / "begun").exists():
            time.sleep(0.02)
        service.process.send_signal(sent)
        service.wait_for("(Shutting down)")
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url}/health")
        (tmp_path / "go").touch()
        done = under_way.result()
        assert done.status_code == 200
        assert [len(d["entities"]) for d in done.json()["documents"]] == [1, 0]
        assert service.process.wait(WAIT) == 0
        assert SECRET not in service.text() + bad.text
        assert service.text().count("POST /annotate 200") == 2


def test_another_address_needs_a_token_and_debug_mode_shows_no_text(
    slow: Path, tmp_path: Path
) -> None:
    settings = {"SPACY_BTL_TOKEN": TOKEN, "SPACY_BTL_DEBUG": "1"}
    with serving(slow, tmp_path, "--host", "localhost", **settings) as service:
        url = service.url
        assert httpx.get(f"{url}/health").status_code == 200
        assert httpx.get(f"{url}/model").status_code == 401
        headers = {"Authorization": f"Bearer {TOKEN}"}
        response = httpx.post(
            f"{url}/annotate?{SECRET}",
            json={"text": f"{SECRET} took"},
            headers=headers,
            timeout=WAIT,
        )
        assert response.status_code == 500
        service.process.terminate()
        assert service.process.wait(WAIT) == 0
        text = service.text()
    assert "ValueError in helpers/annotating.py" in text
    assert "debug mode is off while texts are served" in text
    assert SECRET not in text + response.text
    assert TOKEN not in text


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--host", "0.0.0.0"], "0.0.0.0 can be reached from other machines"),
        (["--timeout", "0"], "timeout is 0.0, but must be above 0"),
        (["--token-file", "nowhere"], "nowhere"),
        (["--certificate", "nowhere.pem"], "nowhere.pem"),
        (["--key", "nowhere.pem"], "a key is given without its certificate"),
        (["--code", "nowhere.py"], "no Python file nowhere.py"),
        (["--spans", "other"], 'writes no doc.spans["other"]'),
    ],
)
def test_what_cannot_start(
    folder: Path, options: list[str], error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SPACY_BTL_TOKEN", raising=False)
    status, output = invoke("serve", folder, *options)
    assert status == 1
    assert error in output


def test_more_connections_than_files_are_closed_and_log_nothing(
    folder: Path, tmp_path: Path
) -> None:
    import resource  # which Windows lacks

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (OTHER_FILES + 20, hard))
    try:
        with serving(folder, tmp_path) as service, ExitStack() as opened:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            host, port = service.url.removeprefix("http://").split(":")
            for _ in range(OTHER_FILES + 100):
                opened.enter_context(socket.create_connection((host, int(port)), WAIT))
            opened.close()
            assert httpx.get(f"{service.url}/health", timeout=WAIT).status_code == 200
            assert "Traceback" not in service.text()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_port_that_is_taken(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        status, output = invoke("serve", folder, "--port", port)
    assert status == 1
    assert f"cannot listen on 127.0.0.1, port {port}" in output


def test_a_pipeline_that_is_not_there(tmp_path: Path) -> None:
    status, output = invoke("serve", tmp_path / "nowhere")
    assert status == 1
    assert "neither a folder nor an installed package" in output
