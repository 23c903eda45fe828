"""Start a service, and end it when the process is asked to."""

import logging
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from ..util.messages import LOGGER, is_debug, set_up_logging
from .batching import Batcher
from .model import Answer, Question, ServedPipeline
from .settings import ServeSettings

NEEDED = ("fastapi", "fastapi_offline", "uvicorn", "cassis")
"""Modules that the extra brings."""

MAX_CONNECTIONS = 256
"""Most connections at a time: each may hold a whole body in memory."""

GRACE = 5
"""Seconds that requests get to end beyond their own timeout."""


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

    from .app import make_app

    _set_up_logs(settings)
    _check_files(settings)
    batcher, pipeline = start_pipeline(model, settings)
    try:
        config = uvicorn.Config(
            make_app(batcher, pipeline.facts, settings),
            host=settings.host,
            port=settings.port,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,  # it would hold paths and queries
            server_header=False,
            limit_concurrency=max(MAX_CONNECTIONS, 2 * settings.max_waiting),
            timeout_graceful_shutdown=int(settings.timeout) + GRACE,
            ssl_certfile=settings.certificate,
            ssl_keyfile=settings.key,
        )
        server = uvicorn.Server(config)
        with _quiet_end():
            try:
                server.run()
            except SystemExit:  # uvicorn has logged why, such as an address that is taken
                raise OSError(f"cannot listen on {settings.host}, port {settings.port}") from None
    finally:
        batcher.stop()


def start_pipeline(model: str | Path, settings: ServeSettings) -> tuple[Batcher, ServedPipeline]:
    """Return a batcher whose thread has loaded a pipeline, and the pipeline.

    Args:
        model: Folder of a pipeline, or name of an installed package.
        settings: The limits.

    Raises:
        ValueError: If the pipeline cannot be run.
        OSError: If it cannot be read.
    """
    loaded: list[ServedPipeline] = []

    def make() -> Callable[[Sequence[Question]], list[Answer | str]]:
        loaded.append(ServedPipeline(model, settings))
        return loaded[0]

    batcher = Batcher(make, settings)
    batcher.start()
    return batcher, loaded[0]


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
