"""Settings of a service."""

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..util.checks import above_0, python_file, whole_number

TOKEN_VARIABLE = "SPACY_BTL_TOKEN"
"""The environment variable that holds the token."""

LEAST_TOKEN = 16
"""Least number of characters of a token, so that it cannot be guessed."""

MAX_TOKEN_FILE = 4096
"""Most bytes that are read of a token's file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServeSettings:
    """Address, token and limits of a service.

    Attributes:
        host: Address to listen on, by default reached from this machine only.
        port: Port to listen on; 0 for any free one.
        token: What every client must send; needed for any host but a loopback address.
        spans: Key of ``doc.spans`` to take instead of ``doc.ents``.
        max_characters: Most characters of a text.
        max_texts: Most texts of a request to ``/annotate``.
        max_body: Most bytes of a request.
        max_waiting: Most requests that wait for the pipeline or are worked on.
        timeout: Most seconds for the body of a request to arrive, for its answer, and for the
            client to read that.
        header_timeout: Most seconds for the header of a request to arrive, from the start of a
            connection or the answer before; then the connection is closed.
        batch_texts: Most texts that the pipeline takes at once.
        batch_characters: Characters from which on a batch is full.
        gpu_id: GPU, or -1 for the CPU.
        code: Python file that is run before the pipeline is loaded, such as one that imports the
            package of a component.
        certificate: Certificate of the server (PEM), for TLS without a reverse proxy.
        key: Private key of the certificate (PEM).
        log_requests: Whether each request is logged: method, route, status, milliseconds.

    Raises:
        ValueError: If a setting is out of its range, if the code is not Python, or if a host that
            other machines reach has no token.
        FileNotFoundError: If there is no such Python file.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = field(default=None, repr=False)
    spans: str | None = None
    max_characters: int = 100_000
    max_texts: int = 100
    max_body: int = 2**23
    max_waiting: int = 64
    timeout: float = 60.0
    header_timeout: float = 10.0
    batch_texts: int = 32
    batch_characters: int = 50_000
    gpu_id: int = -1
    code: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    log_requests: bool = False

    def __post_init__(self) -> None:
        if whole_number("port", self.port, 0) > 65_535:
            raise ValueError(f"port is {self.port}, but must be at most 65535")
        counts = ("max_characters", "max_texts", "max_body", "max_waiting")
        for name in (*counts, "batch_texts", "batch_characters"):
            whole_number(name, getattr(self, name), 1)
        above_0("timeout", self.timeout)
        above_0("header_timeout", self.header_timeout)
        whole_number("gpu_id", self.gpu_id, -1)
        if self.code is not None:
            python_file(self.code)
        if self.key is not None and self.certificate is None:
            raise ValueError("a key is given without its certificate")
        if self.token is not None:
            _check_token(self.token, "the token")
        elif not is_loopback(self.host):
            raise ValueError(
                f"{self.host} can be reached from other machines, so clients must send a token: "
                f"put one of {LEAST_TOKEN} or more characters into the environment variable "
                f"{TOKEN_VARIABLE} or into a file for --token-file, or listen on 127.0.0.1"
            )


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, which may mean anything
        return False


def read_token(file: Path | None = None, environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the token in a file or, without a file, in the environment; None if there is none.

    Args:
        file: A file with the token in its only line.
        environment: Where `TOKEN_VARIABLE` is looked up.

    Raises:
        ValueError: If it is too short, or holds white space or characters that are not ASCII.
        OSError: If the file cannot be read.
    """
    if file is None:
        token = environment.get(TOKEN_VARIABLE, "").strip()
        return _check_token(token, TOKEN_VARIABLE) if token else None
    with file.open("rb") as opened:
        content = opened.read(MAX_TOKEN_FILE + 1)
    if len(content) > MAX_TOKEN_FILE:
        raise ValueError(f"{file} has more than {MAX_TOKEN_FILE} bytes, too many for a token")
    return _check_token(content.decode("utf-8", "replace").strip(), str(file))


def _check_token(token: str, place: str) -> str:
    """Return a token; ValueError, which does not quote it, if it cannot be one."""
    if len(token) < LEAST_TOKEN:
        raise ValueError(
            f"{place} has {len(token)} characters, but needs {LEAST_TOKEN} or more, as from "
            'python -c "import secrets; print(secrets.token_urlsafe(32))"'
        )
    if not all("!" <= character <= "~" for character in token):
        raise ValueError(f"{place} may hold ASCII characters only, and no white space")
    return token
