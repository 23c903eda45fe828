"""Checks of every request before its route: token, kind and size of the body.

The whole body is read here. Bytes are counted as they arrive, as a client need not say how many
there will be, and they have to arrive in time. Exceptions of a route end here. They are logged
without their message, which may quote a text.
"""

import asyncio
import base64
import binascii
import hmac
import json
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any, TypeAlias

from ..util.messages import LOGGER, describe
from .settings import ServeSettings

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN_PATHS = ("/health", "/label-studio/health", "/openapi.json", "/docs")
"""Paths that need no token: they hold nothing of a text or of the pipeline."""

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
"""Methods that a log may show; any other word may be part of a text."""

PREFIXES = ("/label-studio", "/inception")
"""Starts of the paths for annotation tools."""

OPEN_FOLDER = "/static-offline-docs/"
"""Scripts and styles of the page of the interface."""

MAX_BODIES = 256
"""Most requests with a body at a time, as each may hold all of it in memory."""

RETRY_AFTER = 1
"""Seconds after which a client may come again when there are too many requests."""

ALWAYS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
"""Headers of every answer: entities are not for caches."""


class RefusalError(Exception):
    """An answer other than 200, in words that quote nothing of a request.

    Args:
        status: Its status code.
        message: What is wrong, and what to do.
        headers: Further headers.
    """

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, dict(headers or {})


class BusyError(RefusalError):
    """The answer to one request too many.

    Args:
        n: Requests that are under way.
    """

    def __init__(self, n: int) -> None:
        why = f"{n} requests wait already: try again later"
        super().__init__(503, why, {"Retry-After": str(RETRY_AFTER)})


class Guard:
    """The outermost part of the service, an ASGI middleware."""

    def __init__(self, app: App, settings: ServeSettings) -> None:
        self._app, self._settings = app, settings
        self._n_bodies = 0
        self._token = settings.token.encode() if settings.token is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, begin = 0, time.perf_counter()

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *ALWAYS]
            await send(message)

        try:
            self._check(scope)
            if scope["method"] == "POST":
                with self._counted():
                    await self._app(scope, await self._read(receive), send_on)
            else:
                await self._app(scope, receive, send_on)
        except _ClientGoneError:
            status = 499  # as nginx calls it
        except RefusalError as refusal:
            await _answer(send_on, refusal)
        except Exception as error:  # of any route or library; its message may quote a text
            LOGGER.error("a request failed: %s", describe(error))
            if not status:
                await _answer(send_on, RefusalError(500, f"the server failed: {describe(error)}"))
        finally:
            if self._settings.log_requests:
                LOGGER.info(
                    "%s %s %d %.0f ms",
                    scope["method"] if scope["method"] in METHODS else "?",
                    route_of(scope),
                    status,
                    1000 * (time.perf_counter() - begin),
                )

    def _check(self, scope: Scope) -> None:
        """Raise a `RefusalError` for what the first lines of a request show."""
        headers = {name.lower(): value for name, value in scope["headers"]}
        if self._token is not None and not _is_open(scope):
            given = _token_of(headers.get(b"authorization", b""))
            if not hmac.compare_digest(given, self._token):
                why = "wrong token" if given else "no token (Authorization: Bearer TOKEN)"
                raise RefusalError(401, why, {"WWW-Authenticate": "Bearer"})
        if scope["method"] != "POST":
            return
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if kind != b"application/json":
            raise RefusalError(415, "the body must be JSON, with the Content-Type application/json")
        if headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
            raise RefusalError(415, "the body must not be compressed")
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > self._settings.max_body:
            raise self._too_large()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Count a request with a body while it is under way."""
        if self._n_bodies >= max(MAX_BODIES, 2 * self._settings.max_waiting):
            raise BusyError(self._n_bodies)
        self._n_bodies += 1
        try:
            yield
        finally:
            self._n_bodies -= 1

    async def _read(self, receive: Receive) -> Receive:
        """Read a body, and return what gives it to the application."""
        try:
            body = await asyncio.wait_for(self._body(receive), self._settings.timeout)
        except (asyncio.TimeoutError, TimeoutError):
            raise RefusalError(408, "the body did not arrive in time") from None
        is_given = False

        async def give() -> Message:
            nonlocal is_given
            if is_given:
                return await receive()
            is_given = True
            return {"type": "http.request", "body": body, "more_body": False}

        return give

    async def _body(self, receive: Receive) -> bytes:
        parts, size = [], 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _ClientGoneError
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._settings.max_body:
                raise self._too_large()
            if not message.get("more_body", False):
                return b"".join(parts)

    def _too_large(self) -> RefusalError:
        most = f"{self._settings.max_body:,}"
        return RefusalError(
            413, f"the body has more than {most} bytes: send fewer texts, or see --max-body"
        )


class _ClientGoneError(Exception):
    """The client has closed the connection before its request was complete."""


def route_of(scope: Scope) -> str:
    """Return the route of a request, "-" if there is none: a path may hold anything."""
    route = str(getattr(scope.get("route"), "path", "-"))
    # Newer versions of FastAPI leave the prefix of a router out.
    prefix = next((p for p in PREFIXES if scope["path"] == f"{p}{route}"), "")
    return f"{prefix}{route}"


def error_body(message: str, **more: object) -> bytes:
    """Return the body of an answer that refuses something."""
    return json.dumps({"error": message, **more}).encode()


async def _answer(send: Send, refusal: RefusalError) -> None:
    body = error_body(refusal.message)
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    pairs = [(name.encode(), value.encode()) for name, value in (headers | refusal.headers).items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})


def _is_open(scope: Scope) -> bool:
    """Return whether a request needs no token."""
    path = scope["path"]
    is_reading = scope["method"] in ("GET", "HEAD")
    return is_reading and (path in OPEN_PATHS or path.startswith(OPEN_FOLDER))


def _token_of(header: bytes) -> bytes:
    """Return the token that a client has sent, b"" for none.

    Label Studio can send a user and a password, but no other header: the password is the token.
    """
    scheme, _, value = header.partition(b" ")
    if scheme.lower() == b"bearer":
        return value.strip()
    if scheme.lower() == b"basic":
        try:
            return base64.b64decode(value.strip(), validate=True).partition(b":")[2]
        except binascii.Error:
            return b""
    return b""
