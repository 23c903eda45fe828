"""Requests that wait together: what is asked together, in which order, and who is turned away."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from threading import Event
from typing import Any

import pytest

from spacy_btl.serving.batching import Batcher
from spacy_btl.serving.guard import RefusalError
from spacy_btl.serving.model import Answer, Question
from spacy_btl.serving.settings import ServeSettings
from tests.helpers.serving import SECRET, running

WAIT = 30  # seconds, which no test takes


class Gate:
    """Answers nothing until it is opened; remembers which texts it was asked together."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.begun, self.opened = Event(), Event()

    def __call__(self, questions: Sequence[Question]) -> list[Answer | str]:
        self.batches.append([question.text for question in questions])
        self.begun.set()
        assert self.opened.wait(WAIT)
        return [
            "ValueError in x/y.py:1" if SECRET in question.text else Answer([], [{"of": question}])
            for question in questions
        ]


def texts_of(future: "Future[list[Answer]]") -> list[str]:
    """Return the texts that the answers of a request belong to."""
    return [answer.evidence[0]["of"].text for answer in future.result(WAIT)]  # type: ignore[index]


def ask(texts: str) -> list[Question]:
    return [Question(text) for text in texts.split()]


def occupied(batcher: Batcher, gate: Gate) -> "Future[list[Answer]]":
    """Give the pipeline something to do."""
    first = batcher.submit(ask("first"))
    assert gate.begun.wait(WAIT)
    return first


@pytest.mark.parametrize(
    ("settings", "requests", "batches"),
    [
        ({}, ["a", "b", "c"], [["a", "b", "c"]]),
        ({}, ["a1 a2 a3", "b1"], [["a1", "b1", "a2", "a3"]]),
        ({"batch_texts": 2}, ["a1 a2 a3", "b1"], [["a1", "b1"], ["a2", "a3"]]),
        ({"batch_texts": 1}, ["a1 a2", "b1"], [["a1"], ["b1"], ["a2"]]),
        ({"batch_characters": 4}, ["a1 a2 a3", "b1 b2"], [["a1", "b1"], ["a2", "b2"], ["a3"]]),
        ({"batch_characters": 1}, ["long", "b"], [["long"], ["b"]]),
    ],
)
def test_requests_that_wait_are_asked_together_and_in_turn(
    settings: dict[str, Any], requests: list[str], batches: list[list[str]]
) -> None:
    gate = Gate()
    with running(gate, **settings) as batcher:
        occupied(batcher, gate)
        futures = [batcher.submit(ask(request)) for request in requests]
        gate.opened.set()
        assert [texts_of(future) for future in futures] == [r.split() for r in requests]
    assert gate.batches == [["first"], *batches]


def test_too_many_requests_are_turned_away_and_the_others_answered() -> None:
    gate = Gate()
    with running(gate, max_waiting=3) as batcher:
        futures = [occupied(batcher, gate), *(batcher.submit(ask("a b")) for _ in range(2))]
        with pytest.raises(RefusalError, match="3 requests wait already") as caught:
            batcher.submit(ask("c"))
        assert (caught.value.status, caught.value.headers) == (503, {"Retry-After": "1"})
        gate.opened.set()
        assert [texts_of(future) for future in futures] == [["first"], ["a", "b"], ["a", "b"]]
        assert texts_of(batcher.submit(ask("c"))) == ["c"]


def test_a_request_that_is_given_up_is_not_asked_and_makes_room() -> None:
    gate = Gate()
    with running(gate, timeout=0.05, max_waiting=2) as batcher:
        first = occupied(batcher, gate)
        for _ in range(3):
            with pytest.raises(RefusalError, match=r"no answer within 0\.05 s") as caught:
                asyncio.run(batcher.ask(["slow"]))
            assert caught.value.status == 504
        last = batcher.submit(ask("last"))
        gate.opened.set()
        assert (texts_of(first), texts_of(last)) == (["first"], ["last"])
    assert gate.batches == [["first"], ["last"]]


def test_a_text_that_fails_fails_its_request_only() -> None:
    gate = Gate()
    with running(gate) as batcher:
        occupied(batcher, gate)
        bad, good = batcher.submit(ask(f"a {SECRET} b")), batcher.submit(ask("c"))
        gate.opened.set()
        with pytest.raises(RefusalError, match="text 1 could not be annotated: ValueError in"):
            bad.result(WAIT)
        assert texts_of(good) == ["c"]
        assert texts_of(batcher.submit(ask("d"))) == ["d"]


def test_stopping_answers_those_that_wait_and_refuses_others() -> None:
    gate = Gate()
    batcher = Batcher(lambda: gate, ServeSettings())
    batcher.start()
    futures = [occupied(batcher, gate), batcher.submit(ask("a b"))]
    assert batcher.is_alive
    with_gate_open = asyncio.run(_stop(batcher, gate))
    assert "shutting down" in with_gate_open
    assert [texts_of(future) for future in futures] == [["first"], ["a", "b"]]
    assert not batcher.is_alive


async def _stop(batcher: Batcher, gate: Gate) -> str:
    """Stop while the pipeline works; why a further request is refused."""
    stopped = asyncio.get_running_loop().run_in_executor(None, batcher.stop)
    while batcher.is_alive:
        await asyncio.sleep(0)
    with pytest.raises(RefusalError) as caught:
        await batcher.ask(["late"])
    assert caught.value.status == 503
    gate.opened.set()
    await stopped
    return caught.value.message


def test_no_text_no_question() -> None:
    def never(_: Sequence[Question]) -> Any:
        raise AssertionError

    with running(never) as batcher:
        assert asyncio.run(batcher.ask([])) == []


def test_what_loading_raises_is_raised() -> None:
    def fail() -> Any:
        raise OSError("no pipeline there")

    with pytest.raises(OSError, match="no pipeline there"):
        Batcher(fail, ServeSettings()).start()


@pytest.mark.parametrize("answers", [[], [Answer([])] * 2])
def test_a_pipeline_that_leaves_texts_out(answers: list[Answer]) -> None:
    with running(lambda _: answers) as batcher:
        future = batcher.submit(ask("a"))
        with pytest.raises(RefusalError, match="the pipeline failed: RuntimeError") as caught:
            future.result(WAIT)
        assert caught.value.status == 500


@pytest.mark.parametrize(
    ("texts", "status", "error"),
    [
        (["a"] * 4, 413, "4 texts, but at most 3"),
        (["ok", "x" * 21], 413, "text 1 has 21 characters, but at most 20"),
        (["<html>a</html>"], 422, "text 0 is HTML, where plain text is read"),
        (["{\\rtf1 a"], 422, "text 0 is RTF"),
        (["half \ud800"], 422, "text 0 is not Unicode: it has half of a surrogate pair"),
    ],
)
def test_texts_that_are_refused(texts: list[str], status: int, error: str) -> None:
    with running(lambda _: [], max_characters=20) as batcher:
        with pytest.raises(RefusalError, match=error) as caught:
            asyncio.run(batcher.ask(texts, max_texts=3))
        assert caught.value.status == status
