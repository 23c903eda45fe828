"""Settings of a service: what is refused, and who needs a token."""

from pathlib import Path
from typing import Any

import pytest

from spacy_btl.serving.settings import TOKEN_VARIABLE, ServeSettings, is_loopback, read_token
from tests.helpers.serving import TOKEN


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"port": 65_536}, "port is 65536, but must be at most 65535"),
        ({"port": -1}, "port is -1"),
        ({"max_characters": 0}, "max_characters is 0"),
        ({"max_texts": 1.5}, "max_texts is 1.5"),
        ({"max_body": 0}, "max_body is 0"),
        ({"max_waiting": 0}, "max_waiting is 0"),
        ({"batch_texts": 0}, "batch_texts is 0"),
        ({"timeout": 0}, "timeout is 0"),
        ({"timeout": float("nan")}, "timeout is nan"),
        ({"header_timeout": 0}, "header_timeout is 0"),
        ({"gpu_id": -2}, "gpu_id is -2"),
        ({"key": Path("key.pem")}, "a key is given without its certificate"),
        ({"token": "short"}, "the token has 5 characters, but needs 16 or more"),
        ({"token": "with white space in it"}, "no white space"),
        ({"token": "ümläute-ümläute-ümläute"}, "ASCII characters only"),
        ({"host": "0.0.0.0"}, "0.0.0.0 can be reached from other machines"),
        ({"host": "::"}, "so clients must send a token: put one of 16 or more characters into"),
        ({"host": "ward-7.example.org"}, "or listen on 127.0.0.1"),
        ({"host": ""}, "can be reached from other machines"),
    ],
)
def test_what_is_refused(settings: dict[str, Any], error: str) -> None:
    with pytest.raises(ValueError, match=error.replace(".", r"\.")):
        ServeSettings(**settings)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_hosts_without_a_token(host: str) -> None:
    assert is_loopback(host)
    assert ServeSettings(host=host).token is None


def test_with_a_token_any_host_goes_and_the_token_is_not_shown() -> None:
    settings = ServeSettings(host="0.0.0.0", token=TOKEN)
    assert TOKEN not in repr(settings)


@pytest.mark.parametrize(
    ("value", "token"),
    [(None, None), ("", None), ("  ", None), (TOKEN, TOKEN), (f" {TOKEN}\n", TOKEN)],
)
def test_a_token_of_the_environment(value: str | None, token: str | None) -> None:
    assert read_token(None, {} if value is None else {TOKEN_VARIABLE: value}) == token


def test_a_token_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    assert read_token(file, {TOKEN_VARIABLE: "another-one-of-16"}) == TOKEN


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "has 0 characters"),
        (b"tooshort", "has 8 characters, but needs 16"),
        (f"{TOKEN} {TOKEN}".encode(), "no white space"),
        (b"\xff" * 20, "ASCII"),
        (b"x" * 5000, "more than 4096 bytes, too many for a token"),
    ],
)
def test_a_file_that_is_no_token_is_named_and_not_shown(
    tmp_path: Path, content: bytes, error: str
) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=error) as caught:
        read_token(file)
    assert "tooshort" not in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_token(tmp_path / "token")
