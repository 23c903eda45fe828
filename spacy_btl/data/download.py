"""Download MACCROBAT from its publisher: ask for the file list, fetch, resume, verify."""

import hashlib
import http.client
import json
import re
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

MAX_BYTES = 1 << 30  # the publisher's file has a few MB
_CHUNK = 1 << 16


class DownloadError(ValueError):
    """The publisher's file did not arrive whole; the text says why."""


@dataclass(frozen=True)
class RemoteFile:
    """A file as the publisher describes it."""

    name: str
    size: int  # bytes
    md5: str
    url: str


@contextmanager
def _network_errors(url: str) -> Iterator[None]:
    """Turn whatever a connection can raise into a DownloadError that says what failed."""
    try:
        yield
    # Refused, unknown host, timeout, HTTP status, proxy and TLS failures are all OSErrors.
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DownloadError(f"{url}: {type(error).__name__}: {error}") from error


def _open(url: str, timeout: float, start: int = 0) -> Any:
    headers = {"User-Agent": "spacy-btl"}
    if start:
        headers["Range"] = f"bytes={start}-"
    with _network_errors(url):
        # A fresh opener, as the shared one keeps the proxies of its first use.
        request = urllib.request.Request(url, headers=headers)
        return urllib.request.build_opener().open(request, timeout=timeout)


def ask_publisher(
    url: str, pick: Callable[[Iterable[str]], str | None], timeout: float
) -> RemoteFile:
    """The file of an article of figshare that `pick` chooses from the names; or DownloadError."""
    with _open(url, timeout) as response, _network_errors(url):
        body = response.read(4 << 20)  # a file list has some KB
    try:
        data = json.loads(body)
    except ValueError as error:
        raise DownloadError(f"{url}: the answer is not JSON, it begins {body[:40]!r}") from error
    files = data.get("files") if isinstance(data, dict) else None
    named = {
        file["name"]: file
        for file in (files if isinstance(files, list) else [])
        if isinstance(file, dict) and isinstance(file.get("name"), str)
    }
    name = pick(named)
    if name is None:
        raise DownloadError(f"{url}: lists no MACCROBAT zip, only {sorted(named)}")
    file = named[name]
    size, link = file.get("size"), file.get("download_url")
    md5 = file.get("computed_md5") or file.get("supplied_md5")
    if (
        not re.fullmatch(r"[\w.-]+", name)
        or not (isinstance(size, int) and 0 < size <= MAX_BYTES)
        or not (isinstance(link, str) and link.startswith(("http://", "https://")))
        or not (isinstance(md5, str) and re.fullmatch(r"[0-9a-fA-F]{32}", md5))
    ):
        raise DownloadError(f"{url}: the entry of {name!r} lacks a usable name, size, md5 or link")
    return RemoteFile(name, size, md5.lower(), link)


def fetch(remote: RemoteFile, folder: Path, timeout: float) -> Path:
    """Download into `folder`, resuming at what an earlier try left; whole or DownloadError."""
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{remote.name}.part"
    start = part.stat().st_size if part.exists() else 0
    if start < remote.size:
        _append(remote, part, start, timeout)
    done = part.stat().st_size
    if done < remote.size:
        raise DownloadError(
            f"{remote.url}: broke off after {done} of {remote.size} bytes; the next run resumes"
        )
    digest = hashlib.md5(usedforsecurity=False)
    with part.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    if done > remote.size or digest.hexdigest() != remote.md5:
        part.unlink()
        raise DownloadError(
            f"{remote.url}: size or md5 is wrong ({done} bytes, {digest.hexdigest()}; expected "
            f"{remote.size}, {remote.md5}); the download was deleted"
        )
    return part.replace(folder / remote.name)


def _append(remote: RemoteFile, part: Path, start: int, timeout: float) -> None:
    with _open(remote.url, timeout, start) as response:
        resumed = (response.headers.get("Content-Range") or "").startswith(f"bytes {start}-")
        if response.status != 200 and not (start and response.status == 206 and resumed):
            raise DownloadError(f"{remote.url}: unexpected answer, HTTP {response.status}")
        done = start if response.status == 206 else 0
        bar = tqdm(
            desc=remote.name,
            initial=done,
            total=remote.size,
            unit="B",
            unit_scale=True,
            disable=None,
        )
        with part.open("ab" if done else "wb") as file, bar:
            while done <= remote.size:  # a body that is too long is noticed by its size
                with _network_errors(remote.url):
                    chunk = response.read1(_CHUNK)
                if not chunk:
                    break
                file.write(chunk)
                done += len(chunk)
                bar.update(len(chunk))
