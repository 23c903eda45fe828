"""Texts of concurrent requests, annotated together by one thread.

While the pipeline works, requests gather; the next batch takes one text of each in turn, so that a
request with one text does not wait for all of one with a hundred. A thread of its own loads the
pipeline and is the only one that calls it: neither the vocabulary of spaCy nor the operations of
Thinc on a GPU are made for several.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from threading import Condition, Thread

from ..annotate.contents import markup_error
from ..util.messages import LOGGER, describe
from .guard import BusyError, RefusalError
from .model import Answer, Question
from .settings import ServeSettings

Answerer = Callable[[Sequence[Question]], Sequence[Answer | str]]
"""Returns an answer for each question, or why there is none, in words that quote nothing of it."""


@dataclass(slots=True)
class _Job:
    """The questions of a request, and the answers so far."""

    questions: Sequence[Question]
    future: "Future[list[Answer]]" = field(default_factory=Future)
    answers: dict[int, Answer] = field(default_factory=dict)
    asked: int = 0


class Batcher:
    """Answers questions in batches, on a thread of its own.

    Args:
        make: Loads the pipeline and returns what answers; called once, on that thread.
        settings: The limits.
    """

    def __init__(self, make: Callable[[], Answerer], settings: ServeSettings) -> None:
        self._make, self._settings = make, settings
        self._changed = Condition()
        self._jobs: deque[_Job] = deque()  # with questions that nobody has asked yet
        self._n_open = 0
        self._is_stopping = False
        self._loaded: Future[Answerer] = Future()
        self._thread = Thread(target=self._run, name="pipeline", daemon=True)

    def start(self) -> Answerer:
        """Load the pipeline and return it; raise whatever loading raises."""
        self._thread.start()
        return self._loaded.result()

    def stop(self) -> None:
        """Take no further request, answer those that wait, and end the thread."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify()
        self._thread.join()

    @property
    def is_alive(self) -> bool:
        """True while requests are answered."""
        return self._thread.is_alive() and not self._is_stopping

    def submit(self, questions: Sequence[Question]) -> "Future[list[Answer]]":
        """Return a future with the answers, in order; canceled, its questions are not asked.

        Raises:
            RefusalError: If the service ends or too many requests wait (503).
        """
        job = _Job(questions)
        with self._changed:
            if self._is_stopping:
                raise RefusalError(503, "the service is shutting down")
            if self._n_open >= self._settings.max_waiting:
                raise BusyError(self._n_open)
            if questions:
                self._n_open += 1
                self._jobs.append(job)
                job.future.add_done_callback(self._closed)
                self._changed.notify()
            else:
                job.future.set_result([])
        return job.future

    async def ask(
        self, texts: Sequence[str], *, evidence: bool = False, max_texts: int | None = None
    ) -> list[Answer]:
        """Return the answer for each text.

        Args:
            texts: The texts of a request.
            evidence: Whether the neighbors behind each entity are asked for.
            max_texts: Most texts, None for any number.

        Raises:
            RefusalError: For too many texts or one that is too long (413), one that is not
                plain text (422), a service that is busy, ends (503) or is too slow (504), and a
                text that the pipeline fails for (500).
        """
        self._check(texts, max_texts)
        waiting = asyncio.wrap_future(self.submit([Question(text, evidence) for text in texts]))
        try:
            return await asyncio.wait_for(waiting, self._settings.timeout)
        except (asyncio.TimeoutError, TimeoutError):
            seconds = f"{self._settings.timeout:g}"
            raise RefusalError(
                504, f"no answer within {seconds} s: send fewer or shorter texts"
            ) from None

    def _check(self, texts: Sequence[str], max_texts: int | None) -> None:
        if max_texts is not None and len(texts) > max_texts:
            raise RefusalError(
                413, f"{len(texts):,} texts, but at most {max_texts:,} are taken at once"
            )
        most = self._settings.max_characters
        for number, text in enumerate(texts):
            if len(text) > most:
                raise RefusalError(
                    413,
                    f"text {number} has {len(text):,} characters, but at most {most:,} are taken",
                )
            if why := markup_error(text) or unicode_error(text):
                raise RefusalError(422, f"text {number} is {why}")

    def _closed(self, _: "Future[list[Answer]]") -> None:
        with self._changed:
            self._n_open -= 1

    def _run(self) -> None:
        try:
            answer = self._make()
        except BaseException as error:  # raised again in the thread that waits for it
            self._loaded.set_exception(error)
            return
        self._loaded.set_result(answer)
        while batch := self._next_batch():
            jobs = [job for job, _ in batch]
            try:
                answers = answer([job.questions[i] for job, i in batch])
                if len(answers) != len(batch):
                    raise RuntimeError("the pipeline has left a text out")
            except Exception as error:  # of the pipeline; its message may quote a text
                LOGGER.error("the pipeline failed: %s", describe(error))
                for job in jobs:
                    _fail(job, RefusalError(500, f"the pipeline failed: {describe(error)}"))
                continue
            for (job, i), given in zip(batch, answers, strict=True):
                _take(job, i, given)

    def _next_batch(self) -> list[tuple[_Job, int]]:
        """Return the next questions, each as its job and its number; none if the service ends."""
        batch: list[tuple[_Job, int]] = []
        size = 0
        with self._changed:
            while not batch:
                while not self._jobs:
                    if self._is_stopping:
                        return []
                    self._changed.wait()
                while (
                    self._jobs
                    and len(batch) < self._settings.batch_texts
                    and size < self._settings.batch_characters
                ):
                    job = self._jobs.popleft()
                    if job.future.done():  # timed out, or failed for another text
                        continue
                    batch.append((job, job.asked))
                    size += len(job.questions[job.asked].text)
                    job.asked += 1
                    if job.asked < len(job.questions):
                        self._jobs.append(job)
        return batch


def unicode_error(text: str) -> str:
    """Return what a text with half of a pair of surrogates is, "" for any other."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return "not Unicode: it has half of a surrogate pair"
    return ""


def _take(job: _Job, i: int, given: Answer | str) -> None:
    """Keep the answer to a question of a job, and end the job with its last one."""
    if isinstance(given, str):
        _fail(job, RefusalError(500, f"text {i} could not be annotated: {given}"))
        return
    job.answers[i] = given
    if len(job.answers) == len(job.questions):
        try:
            job.future.set_result([job.answers[i] for i in range(len(job.questions))])
        except InvalidStateError:  # timed out meanwhile
            return


def _fail(job: _Job, refusal: RefusalError) -> None:
    try:
        job.future.set_exception(refusal)
    except InvalidStateError:  # timed out, or failed before
        return
