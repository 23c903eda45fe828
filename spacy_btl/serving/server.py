"""Start a service, and end it when the process is asked to."""

import asyncio
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ..util.messages import LOGGER, is_debug, set_up_logging
from .batching import Batcher
from .guard import error_body
from .model import ModelFacts, ServedPipeline
from .settings import ServeSettings

if TYPE_CHECKING:
    from uvicorn import Config
    from uvicorn.protocols.http.h11_impl import H11Protocol

NEEDED = ("fastapi", "fastapi_offline", "uvicorn", "cassis")
"""Modules that the extra brings."""

GRACE = 5
"""Seconds that requests get to end beyond their own timeout."""

BACKLOG = 100
"""Connections that are accepted at once."""

OTHER_FILES = 150
"""Files that the process may need beside its connections, those of `BACKLOG` included."""


def serve(model: str | Path, settings: ServeSettings | None = None) -> None:
    """Serve a pipeline until the process gets SIGTERM or SIGINT.

    Requests that are under way are answered then, and new ones refused. No text is logged, whatever
    the level; debug mode is switched off, as tracebacks may quote texts.

    Args:
        model: Folder of a pipeline, or name of an installed package.
        settings: Address, token and limits.

    Raises:
        ValueError: If the extra is not installed, or if the pipeline cannot be run.
        OSError: If the pipeline or the certificate cannot be read, or the address is taken.
    """
    settings = settings or ServeSettings()
    if any(find_spec(name) is None for name in NEEDED):
        raise ValueError("to serve: pip install 'spacy-btl[serve]'")
    import uvicorn

    _set_up_logs(settings)
    _check_files(settings)
    batcher = Batcher(partial(ServedPipeline, model, settings), settings)
    pipeline = batcher.start()
    assert isinstance(pipeline, ServedPipeline)
    try:
        server = uvicorn.Server(server_config(batcher, pipeline.facts, settings))
        with _quiet_end():
            try:
                server.run()
            except SystemExit:  # uvicorn has logged why, such as an address that is taken
                raise OSError(f"cannot listen on {settings.host}, port {settings.port}") from None
    finally:
        batcher.stop()


def server_config(batcher: Batcher, facts: ModelFacts, settings: ServeSettings) -> "Config":
    """Return the configuration of uvicorn.

    Args:
        batcher: Answers, with its pipeline loaded.
        facts: Public facts of the pipeline.
        settings: Address and limits.
    """
    from uvicorn import Config

    from .app import make_app

    return Config(
        make_app(batcher, facts, settings),
        host=settings.host,
        port=settings.port,
        backlog=BACKLOG,
        http=connection_class(settings),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,  # it would hold paths and queries
        server_header=False,
        timeout_graceful_shutdown=int(settings.timeout) + GRACE,
        ssl_certfile=settings.certificate,
        ssl_keyfile=settings.key,
    )


def connection_class(settings: ServeSettings) -> "type[H11Protocol]":
    """Return the class of connections, uvicorn's own with limits of time.

    A connection is closed if the header of its next request does not arrive in time, if its client
    does not read an answer, or if there are as many others as the process can have open. `Guard`
    waits for the body.

    Args:
        settings: The time limits.
    """
    import h11  # all here, as it comes with the extra
    from uvicorn.protocols.http.h11_impl import H11Protocol

    most = most_connections()

    class Connection(H11Protocol):
        """A connection with one timer, that of the limit that applies."""

        _timer: asyncio.TimerHandle | None = None

        def _after(self, seconds: float, action: Callable[[], None]) -> None:
            self._stop_timer()
            self._timer = self.loop.call_later(seconds, action)

        def _stop_timer(self) -> None:
            if self._timer is not None:
                self._timer.cancel()

        def _is_answering(self) -> bool:
            return self.cycle is not None and not self.cycle.response_complete

        def _close(self) -> None:
            self.transport.close()  # once the client has read what was written
            self._after(settings.timeout, self.transport.abort)

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > most:
                transport.abort()
                return
            self._after(settings.header_timeout, self._close)

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_timer()
            super().connection_lost(exc)

        def handle_events(self) -> None:
            super().handle_events()
            if self._is_answering():
                self._stop_timer()

        def on_response_complete(self) -> None:
            self._after(settings.header_timeout, self._close)
            super().on_response_complete()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._after(settings.timeout, self.transport.abort)

        def resume_writing(self) -> None:
            super().resume_writing()
            if self._is_answering():
                self._stop_timer()

        def send_400_response(self, msg: str) -> None:
            if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):  # it has been answered
                self.transport.close()
                return
            body = error_body("the request is not valid HTTP")
            headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
            headers["Connection"] = "close"
            start = h11.Response(status_code=400, headers=[*headers.items()])
            for event in (start, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
            self.transport.close()

    return Connection


def most_connections() -> int:
    """Return how many connections the process can have open, by its limit of open files."""
    try:
        import resource
    except ImportError:  # Windows, which has no such limit
        return sys.maxsize
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return sys.maxsize if limit == resource.RLIM_INFINITY else max(1, limit - OTHER_FILES)


def _check_files(settings: ServeSettings) -> None:
    """Raise an error for a certificate or a key that cannot be read, by its name."""
    for path in (settings.certificate, settings.key):
        if path is not None:
            with path.open("rb"):
                pass


def _set_up_logs(settings: ServeSettings) -> None:
    """Show the start and end of the server on stderr, and requests if they are wanted."""
    if was_debug := is_debug():
        set_up_logging(debug=False)
        LOGGER.warning("debug mode is off while texts are served: tracebacks may quote them")
    logger = set_up_logging()
    if settings.log_requests or was_debug:
        logger.setLevel(logging.INFO)
    of_server = logging.getLogger("uvicorn.error")
    of_server.setLevel(logging.INFO)
    if not of_server.hasHandlers():
        for handler in logger.handlers:
            of_server.addHandler(handler)


@contextmanager
def _quiet_end() -> Iterator[None]:
    """Let the process go on, and end with status 0, when the server has ended on a signal.

    uvicorn raises the signal again for whoever had a handler before it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ignore(*_: object) -> None:
        return

    before = {each: signal.signal(each, ignore) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
