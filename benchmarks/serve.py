"""Load of `spacy btl serve`: rate and latency by number of clients, memory, and a kill under load.

    python benchmarks/serve.py training/model-knn

Starts the service on a free port of 127.0.0.1, and sends it notes from assets/sample, each with a
new random word. Every answer is compared with its request: it has the id of the request, and its
entities are the words at their offsets. All phases are bounded by a number of requests and, with
``--seconds``, in time. Memory is read from /proc (Linux).
"""

import argparse
import asyncio
import os
import random
import re
import signal
import socket
import statistics
import string
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).parent))

import machine

SAMPLE = Path(__file__).parents[1] / "assets" / "sample"
START = 300.0  # most seconds of a start
PAUSE = 0.05  # before a request is sent again


class Service:
    """A process that serves a pipeline, which can be killed and started again."""

    def __init__(self, model: str, port: int, log: Path) -> None:
        self.model, self.port, self.log = model, port, log
        self.url = f"http://127.0.0.1:{port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start the process, and return the seconds until the first answer."""
        begin = time.perf_counter()
        command = [sys.executable, "-m", "spacy", "btl", "serve", self.model]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--port", str(self.port)], stdout=log, stderr=log
            )
        while time.perf_counter() - begin < START:
            if self.process.poll() is not None:
                raise SystemExit(f"the service ended: {self.log.read_text()}")
            try:
                httpx.get(f"{self.url}/health").raise_for_status()
            except httpx.HTTPError:
                time.sleep(0.1)
            else:
                return time.perf_counter() - begin
        raise SystemExit("the service does not start")

    def end(self, sent: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, and return the exit status."""
        assert self.process is not None
        self.process.send_signal(sent)
        return self.process.wait(START)

    def memory(self) -> float:
        """Return the resident memory in MiB."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+)", status)
        return int(found[1]) / 1024 if found else 0.0


class Load:
    """Clients of a service, and a count of their answers.

    Attributes:
        latencies: Seconds of each answer.
        sent: Number of requests.
        wrong: Number of answers that belong to another request, or have another form.
        retried: Number of requests that were sent again.
    """

    def __init__(self, url: str, notes: list[str], words: int, end: float) -> None:
        self.url, self.notes, self.words, self.end = url, notes, words, end
        self.random = random.Random(0)
        self.latencies: list[float] = []
        self.sent = self.wrong = self.retried = 0

    def text(self) -> str:
        """Return a note with a word that none had before."""
        words = self.random.choice(self.notes).split()
        at = self.random.randrange(max(len(words) - self.words, 0) + 1)
        words = words[at : at + self.words]
        new = "".join(self.random.choices(string.ascii_lowercase, k=12))
        words.insert(self.random.randrange(len(words) + 1), new)
        return " ".join(words)

    async def ask(self, client: httpx.AsyncClient, *, retry: bool = False) -> None:
        """Send one request and check its answer; with ``retry``, until there is one."""
        name, text = f"r{self.sent}", self.text()
        self.sent += 1
        body = {"records": [{"id": name, "text": text}], "with_text": True}
        while True:
            begin = time.perf_counter()
            try:
                response = await client.post(f"{self.url}/annotate", json=body)
            except httpx.TransportError:
                if not retry:
                    raise
            else:
                if response.status_code != 503 or not retry:
                    break
            if time.perf_counter() > self.end:
                return  # it is lost
            self.retried += 1
            await asyncio.sleep(PAUSE)
        self.latencies.append(time.perf_counter() - begin)
        self.wrong += not is_right(response, name, text)

    async def run(self, clients: int, requests: int, **options: Any) -> float:
        """Send requests by several clients, and return the seconds that they take."""
        left = requests

        async def work(client: httpx.AsyncClient) -> None:
            nonlocal left
            while left > 0 and time.perf_counter() < self.end:
                left -= 1
                await self.ask(client, **options)

        begin = time.perf_counter()
        limits = httpx.Limits(max_connections=clients)
        async with httpx.AsyncClient(limits=limits, timeout=120) as client:
            await asyncio.gather(*(work(client) for _ in range(clients)))
        return time.perf_counter() - begin


def is_right(response: httpx.Response, name: str, text: str) -> bool:
    """Return whether an answer belongs to a request."""
    if response.status_code != 200:
        return False
    (document,) = response.json()["documents"]
    found = document["entities"]
    return document["id"] == name and all(text[e["start"] : e["end"]] == e["text"] for e in found)


def row(*cells: object) -> None:
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def rates(make: Callable[[], Load], levels: list[int], requests: int) -> None:
    """Print rate and latency for each number of clients."""
    row("clients", "requests", "requests/s", "median, ms", "p95, ms", "wrong")
    row("---:", "---:", "---:", "---:", "---:", "---:")
    for clients in levels:
        load = make()
        seconds = asyncio.run(load.run(clients, requests))
        ms = sorted(1000 * each for each in load.latencies)
        p95 = ms[int(0.95 * (len(ms) - 1))]
        rate = f"{len(ms) / seconds:.1f}"
        row(clients, len(ms), rate, f"{statistics.median(ms):.0f}", f"{p95:.0f}", load.wrong)


def memory(service: Service, make: Callable[[], Load], requests: int, steps: int = 10) -> None:
    """Print the memory of the service over many requests with new words."""
    row("requests", "memory, MiB")
    row("---:", "---:")
    load = make()
    row(0, f"{service.memory():.0f}")
    for _ in range(steps):
        asyncio.run(load.run(8, requests // steps))
        row(load.sent, f"{service.memory():.0f}")
    print(f"\n{load.wrong} wrong answers of {load.sent}\n", flush=True)


def killed(service: Service, make: Callable[[], Load], requests: int) -> None:
    """Print what becomes of requests while the service is killed, and started again."""
    load = make()

    async def run() -> None:
        clients = asyncio.ensure_future(load.run(8, requests, retry=True))
        while len(load.latencies) < requests // 4 and not clients.done():
            await asyncio.sleep(PAUSE)
        service.end(signal.SIGKILL)
        seconds = await asyncio.to_thread(service.start)
        print(f"killed under load; answers again after {seconds:.1f} s", flush=True)
        while len(load.latencies) < requests // 2 and not clients.done():
            await asyncio.sleep(PAUSE)
        status = await asyncio.to_thread(service.end, signal.SIGTERM)
        seconds = await asyncio.to_thread(service.start)
        print(f"SIGTERM under load: exit status {status}; again after {seconds:.1f} s", flush=True)
        await clients

    asyncio.run(run())
    lost = load.sent - len(load.latencies)
    print(f"{load.sent} requests, {load.retried} times sent again, {lost} lost, {load.wrong} wrong")


@contextmanager
def started(model: str) -> Iterator[Service]:
    """Start a service on a free port, and end it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        service = Service(model, port, Path(folder, "log"))
        try:
            print(f"\nstarts in {service.start():.1f} s\n", flush=True)
            yield service
            print(f"\nexit status after SIGTERM: {service.end()}")
        finally:
            if service.process is not None and service.process.poll() is None:
                service.process.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("model", help="pipeline: a folder or an installed package")
    parser.add_argument("--notes", type=Path, default=SAMPLE, help="folder with .txt files")
    parser.add_argument("--words", type=int, default=100, help="words of a note")
    parser.add_argument("--clients", type=int, nargs="*", default=[1, 8, 32])
    parser.add_argument("--requests", type=int, default=500, help="for each number of clients")
    parser.add_argument("--memory", type=int, default=10_000, help="requests of the memory test")
    parser.add_argument("--kill", type=int, default=400, help="requests while it is killed")
    parser.add_argument("--seconds", type=float, default=3600, help="most seconds of the load")
    options = parser.parse_args()
    notes = [path.read_text(encoding="utf-8") for path in sorted(options.notes.glob("*.txt"))]
    print(machine.describe())
    end = time.perf_counter() + options.seconds
    with started(options.model) as service:

        def make() -> Load:
            return Load(service.url, notes, options.words, end)

        asyncio.run(make().run(2, 10))  # the first requests are slower
        if options.requests:
            rates(make, options.clients, options.requests)
        if options.memory:
            print()
            memory(service, make, options.memory)
        if options.kill:
            killed(service, make, options.kill)


if __name__ == "__main__":
    os.environ.pop("SPACY_BTL_TOKEN", None)
    main()
