"""A client of the service without a socket, and pipelines for it."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from spacy.language import Language
from spacy.tokens import Doc

from spacy_btl.conversion.tasks import EntityRow
from spacy_btl.serving.batching import Answerer, Batcher
from spacy_btl.serving.model import Answer, ModelFacts, Question
from spacy_btl.serving.settings import ServeSettings

SECRET = "Secretperson"
"""A word of which no answer to a bad request, no log and no output may have anything."""

TOKEN = "0123456789abcdef"
TEXT = "She took 5 mg of aspirin daily"
FACTS = ModelFacts("en_test", "1.2.3", "", ("Dosage", "Medication"), False, False, None)


@Language.component("waits_in_a_folder")
def waits_in_a_folder(doc: Doc) -> Doc:
    """Say by a file that a text has begun, and go on when there is another file."""
    if "wait" in doc.text:
        folder = Path(os.environ["BTL_TEST_FOLDER"])
        (folder / "begun").touch()
        while not (folder / "go").exists():
            time.sleep(0.02)
    return doc


class Client:
    """Sends requests to an ASGI application."""

    def __init__(self, app: Any, **headers: str) -> None:
        self.app, self.headers = app, headers

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.send("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        if body is not None:
            options["json"] = body
        return self.send("POST", path, **options)

    def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self.together([(method, path, options)])[0]

    def together(self, requests: Sequence[tuple[str, str, dict[str, Any]]]) -> list[httpx.Response]:
        """Send several requests at the same time."""

        async def run() -> list[httpx.Response]:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://test", headers=self.headers, timeout=60
            ) as client:
                return await asyncio.gather(
                    *(client.request(method, path, **options) for method, path, options in requests)
                )

        return asyncio.run(run())


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    """Yield a body whose size no header gives."""
    for part in parts:
        yield part


@contextmanager
def running(answerer: Answerer, **settings: Any) -> Iterator[Batcher]:
    """Run a batcher around a function."""
    batcher = Batcher(lambda: answerer, ServeSettings(**settings))
    batcher.start()
    try:
        yield batcher
    finally:
        batcher.stop()


@contextmanager
def client_of(
    answerer: Answerer, facts: ModelFacts = FACTS, token: str = "", **settings: Any
) -> Iterator[Client]:
    """Make a client of the application around a function, with a token if there is one."""
    from spacy_btl.serving.app import make_app

    if token:
        settings["token"] = token
    with running(answerer, **settings) as batcher:
        app = make_app(batcher, facts, ServeSettings(**settings))
        yield Client(app, **({"Authorization": f"Bearer {token}"} if token else {}))


def words_of(label: str = "Medication") -> Callable[[Sequence[Question]], list[Answer | str]]:
    """Make a pipeline that finds "aspirin", and fails for a Secretperson."""

    def answer(questions: Sequence[Question]) -> list[Answer | str]:
        answers: list[Answer | str] = []
        for text, _ in questions:
            at = text.find("aspirin")
            row = EntityRow(at, at + 7, label, "aspirin", 0.75, True)
            failed = "ValueError in some/place.py:1"
            answers.append(failed if SECRET in text else Answer([row] if at >= 0 else []))
        return answers

    return answer
