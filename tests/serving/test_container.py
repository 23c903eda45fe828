"""The container file: what it names is there, and its commands work."""

import json
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from spacy_btl.serving.settings import TOKEN_VARIABLE, ServeSettings
from tests.helpers.commands import invoke

ROOT = Path(__file__).parents[2]
FILE = ROOT / "assets" / "container" / "Containerfile"
LINES = FILE.read_text(encoding="utf-8").replace("\\\n", "")
STEPS = [
    (line.split(None, 1)[0], line.split(None, 1)[1])
    for line in LINES.splitlines()
    if line and not line.startswith("#")
]
KNOWN = {"FROM", "ARG", "COPY", "RUN", "ENV", "USER", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD"}
VENV = "/opt/btl"


def step(name: str, number: int = -1) -> str:
    """Return the arguments of an instruction, by default the last of its kind."""
    return [rest for kind, rest in STEPS if kind == name][number]


def exec_form(text: str) -> list[str]:
    """Return the command in an instruction, which has to be a JSON list: no shell runs it."""
    command = json.loads(text[text.index("[") :])
    assert all(isinstance(part, str) for part in command)
    return list(command)


def test_every_instruction_is_known_and_the_image_runs_without_rights() -> None:
    kinds = [kind for kind, _ in STEPS]
    assert set(kinds) == KNOWN
    assert int(step("USER")) > 0
    assert kinds.index("USER") < kinds.index("ENTRYPOINT") < kinds.index("CMD")
    assert kinds[-2:] == ["ENTRYPOINT", "CMD"]
    assert "RUN" not in kinds[kinds.index("USER") :]


def test_the_environment_is_made_and_copied_under_one_name() -> None:
    assert exec_form(step("RUN", 0)) == ["python", "-m", "venv", VENV]
    assert step("COPY") == f"--from=build {VENV} {VENV}"
    python = f"{VENV}/bin/python"
    install = shlex.split(step("RUN", 1))
    assert install[:4] == [python, "-m", "pip", "install"]
    assert exec_form(step("ENTRYPOINT"))[0] == exec_form(step("HEALTHCHECK"))[0] == python


def test_the_installed_extra_is_one_of_the_package() -> None:
    tomllib = pytest.importorskip("tomllib", reason="needs Python 3.11")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (extra,) = re.findall(rf"{project['name']}\[(\w+)\]", step("RUN", 1))
    assert extra in project["optional-dependencies"]


def test_files_that_are_copied_exist() -> None:
    assert "/wheels/constraints.txt" in step("RUN", 1)
    assert "cp constraints.txt packages/*.whl" in FILE.read_text(encoding="utf-8")
    assert (ROOT / "constraints.txt").is_file()
    assert FILE.relative_to(ROOT).as_posix() in FILE.read_text(encoding="utf-8")


def test_the_command_is_serve_with_options_that_it_has() -> None:
    command = [*exec_form(step("ENTRYPOINT")), *exec_form(step("CMD"))]
    assert command[1:5] == ["-m", "spacy", "btl", "serve"]
    status, text = invoke("serve", "--help")
    assert status == 0
    for option in command[5::2]:
        assert option in text
    variable, _, value = step("ENV").partition(" ")[0].partition("=")
    assert variable in text
    assert value == "${PIPELINE}"
    assert TOKEN_VARIABLE in FILE.read_text(encoding="utf-8")


def test_the_ports_are_one() -> None:
    port = int(step("EXPOSE"))
    assert port == ServeSettings().port
    assert f"'127.0.0.1', {port}," in exec_form(step("HEALTHCHECK"))[2]


@pytest.mark.parametrize(("line", "status"), [("200 OK", 0), ("503 Busy", 1), ("", 1)])
def test_the_check_of_health(line: str, status: int) -> None:
    """Run it against a socket that answers, or only closes the connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = exec_form(step("HEALTHCHECK"))[2].replace(step("EXPOSE"), str(port))
        checking = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
        connection, _ = server.accept()
        assert connection.recv(1000).startswith(b"GET /health ")
        if line:
            connection.sendall(f"HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n".encode())
        connection.close()
    assert checking.wait(60) == status
