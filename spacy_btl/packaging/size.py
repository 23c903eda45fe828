"""The size of a saved pipeline by part.

The functions take the files of a folder or of a wheel, and look into files that contain others: the
messages that models are saved as, and the tensors in them.
"""

import json
import re
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
import srsly

File: TypeAlias = tuple[str, bytes]
"""The name with its folders, "/" between them, and the content."""

SIZE_PARTS = {
    "tokenizer": r"/tokenizer(/|$)",
    "encoder": r"/shims/",
    "head": r"/params/",
    "neighbors": r"/neighbors$",
    "vocabulary": r"/vocab/",
}
"""Patterns of the names of each part; the first that matches decides, without one it is "rest".

The layers of an encoder of spaCy's own count as part of the head."""


def files_of(folder: Path) -> Iterator[File]:
    """Yield all files of a folder with their names in it."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield f"/{path.relative_to(folder).as_posix()}", path.read_bytes()


def pieces(files: Iterable[File]) -> Iterator[File]:
    """Yield the files, or the pieces in them where these have names of their own."""
    for name, data in files:
        yield from _pieces(name, data)


def sizes(files: Iterable[File]) -> dict[str, int]:
    """Return the bytes of each of `SIZE_PARTS`, and of the "rest", which includes the headers."""
    counts = dict.fromkeys([*SIZE_PARTS, "rest"], 0)
    for file in files:
        inner = 0
        for name, data in pieces([file]):
            part = next((part for part, at in SIZE_PARTS.items() if re.search(at, name)), "rest")
            counts[part] += len(data)
            inner += len(data)
        counts["rest"] += len(file[1]) - inner
    return counts


def _pieces(name: str, value: object) -> Iterator[File]:
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


def _message(name: str, data: bytes) -> dict[str, object] | None:
    """Return the parts of a saved model, or of the encoder in it; None for anything else."""
    if not re.search(r"/model(/|$)", name):
        return None
    if (tensors := _tensors(data)) is not None:
        return tensors
    try:
        message = srsly.msgpack_loads(data)
    except Exception:  # whatever msgpack finds wrong with bytes that are not a message
        return None
    return message if isinstance(message, dict) else None


def _tensors(data: bytes) -> dict[str, object] | None:
    """Return the bytes of each tensor of a safetensors file; None for anything else.

    The format is documented at https://github.com/huggingface/safetensors.
    """
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
