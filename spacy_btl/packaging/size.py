"""What a saved pipeline consists of: its size by part, and what stands in it twice.

Works on the files of a folder or of a wheel alike, and looks into those that hold others (the
messages that models are saved as, and the tensors in them).
"""

import json
import re
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import srsly

File = tuple[str, bytes]
"""Name with its folders, "/" between them, and content."""

LEAST = 16 * 1024
"""Bytes from which equal content is a double: biases and norms are often equal by nature."""

PARTS = {
    "tokenizer": r"/tokenizer(/|$)",
    "encoder": r"/shims/",
    "head": r"/params/",
    "neighbours": r"/neighbors$",
    "vocabulary": r"/vocab/",
}
"""Parts, each by a pattern of its names, of which the first decides; what fits none is "rest"."""

VOCABULARIES = ("vocab.txt", "vocab.json", "merges.txt", "spiece.model", "sentencepiece.bpe.model")
"""Files of tokenizers that hold again what tokenizer.json holds."""


def files_of(folder: Path) -> Iterator[File]:
    """All files of a folder, by their names in it."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield f"/{path.relative_to(folder).as_posix()}", path.read_bytes()


def pieces(files: Iterable[File]) -> Iterator[File]:
    """The files, or the pieces they consist of, where these have names of their own."""
    for name, data in files:
        yield from _pieces(name, data)


def sizes(files: Iterable[File]) -> dict[str, int]:
    """Bytes of each part; those that the pieces do not account for count as "rest"."""
    counts = dict.fromkeys([*PARTS, "rest"], 0)
    for file in files:
        inner = 0
        for name, data in _pieces(*file):
            part = next((part for part, at in PARTS.items() if re.search(at, name)), "rest")
            counts[part] += len(data)
            inner += len(data)
        counts["rest"] += len(file[1]) - inner
    return counts


def stored_twice(files: Iterable[File]) -> list[tuple[str, ...]]:
    """Names of what stands there more than once.

    Pieces of the same content, vocabularies of a tokenizer beside its tokenizer.json, and more than
    one store of strings.
    """
    groups: dict[bytes, list[str]] = {}
    names = []
    for name, data in pieces(files):
        names.append(name)
        if len(data) >= LEAST:
            groups.setdefault(data, []).append(name)
    found = [tuple(group) for group in groups.values() if len(group) > 1]
    for name in names:
        folder, _, file = name.rpartition("/")
        if file in VOCABULARIES and f"{folder}/tokenizer.json" in names:
            found.append((f"{folder}/tokenizer.json", name))
    strings = tuple(name for name in names if name.endswith("vocab/strings.json"))
    return [*found, strings] if len(strings) > 1 else found


def _pieces(name: str, value: Any) -> Iterator[File]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _pieces(f"{name}/{key}", inner)
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _pieces(f"{name}/{i}", inner)
    elif isinstance(value, np.ndarray):
        yield name, value.tobytes()
    elif isinstance(value, bytes):
        message = _message(name, value)
        if message is None:
            yield name, value
        else:
            yield from _pieces(name, message)


def _message(name: str, data: bytes) -> dict[str, Any] | None:
    """The parts of a saved model, or of the encoder in it; None for anything else."""
    if not re.search(r"/model(/|$)", name):
        return None
    if (tensors := _tensors(data)) is not None:
        return tensors
    try:
        message = srsly.msgpack_loads(data)
    except Exception:  # whatever msgpack finds wrong with bytes that are no message
        return None
    return message if isinstance(message, dict) else None


def _tensors(data: bytes) -> dict[str, Any] | None:
    """The bytes of each tensor of a safetensors file (format: huggingface/safetensors)."""
    if len(data) < 8 or data[8:9] != b"{":
        return None
    (length,) = struct.unpack_from("<Q", data)
    try:
        header = json.loads(data[8 : 8 + length])
    except ValueError:
        return None
    header.pop("__metadata__", None)
    start = 8 + length
    return {
        name: data[start + info["data_offsets"][0] : start + info["data_offsets"][1]]
        for name, info in header.items()
    }
