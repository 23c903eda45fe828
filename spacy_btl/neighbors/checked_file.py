"""Named arrays in a safetensors file that carries a checksum of itself.

Pure arrays and bytes. Any reader of safetensors opens such a file (the format:
https://github.com/huggingface/safetensors#format); ours also finds every changed, missing or added
byte, looks at nothing before it has, and gives arrays that lie in the bytes it was given.

The header begins with the metadata, and these with the SHA-256 of the whole file, taken with
zeros in place of its own digits. It finds damage; it is no proof of who wrote the file.
"""

import hashlib
import json
import math
import os
import struct
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

MAX_HEADER = 2**20
"""Most bytes of a header: names, shapes and metadata need far less, and what parsing them takes
stays small whatever stands in a file."""

DTYPES = {
    "BOOL": np.dtype("bool"),
    "U8": np.dtype("uint8"),
    "I8": np.dtype("int8"),
    "U16": np.dtype("<u2"),
    "I16": np.dtype("<i2"),
    "U32": np.dtype("<u4"),
    "I32": np.dtype("<i4"),
    "U64": np.dtype("<u8"),
    "I64": np.dtype("<i8"),
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
}
"""The names that safetensors has for types of numbers, those that numpy knows too."""

_CODES = {dtype: code for code, dtype in DTYPES.items()}
_RESERVED = ("sha256", "kind", "version")
_START = b'{"__metadata__":{"sha256":"'  # from byte 8 on: the length of the header stands before
_DIGEST = slice(8 + len(_START), 8 + len(_START) + 64)
_ZEROS = b"0" * 64


def pack(
    arrays: Mapping[str, Array], metadata: Mapping[str, str], *, kind: str, version: int
) -> bytes:
    """The bytes of a file; the same input gives the same bytes.

    arrays: by name; of any shape, of the types in `DTYPES`, in either byte order.
    metadata: by name; "sha256", "kind" and "version" are taken.
    kind, version: what the file holds, and the number of the layout it holds it in.

    Raises ValueError for a name that is taken, for another type of array, for text that is not
    Unicode (lone surrogates), and for a header of more than `MAX_HEADER` bytes.
    """
    if taken := [name for name in _RESERVED if name in metadata]:
        raise ValueError(f"metadata must not be named {', '.join(taken)}: these are set by pack")
    if wrong := [name for name, text in metadata.items() if not isinstance(text, str)]:
        raise ValueError(f"metadata must be texts, but {', '.join(wrong)} is none")
    if "__metadata__" in arrays:
        raise ValueError("an array must not be named __metadata__: safetensors has it for its own")
    contiguous = {name: _little_endian(name, array) for name, array in arrays.items()}
    fixed = {"sha256": _ZEROS.decode(), "kind": kind, "version": str(version)}
    header: dict[str, Any] = {"__metadata__": {**fixed, **metadata}}
    parts, end = [], 0
    # Wide types first, so that every array begins at a multiple of its own width.
    for name in sorted(contiguous, key=lambda name: (-contiguous[name].itemsize, name)):
        array = contiguous[name]
        start, end = end, end + array.nbytes
        header[name] = {
            "dtype": _CODES[array.dtype],
            "shape": array.shape,
            "data_offsets": (start, end),
        }
        parts.append(array.reshape(-1).view(np.uint8).data)
    encoded = _encoded(header)
    encoded += b" " * (-len(encoded) % 8)
    if len(encoded) > MAX_HEADER:
        raise ValueError(
            f"names and metadata take {len(encoded):,} bytes, more than {MAX_HEADER:,}: "
            "store long texts as arrays (texts_to_array)"
        )
    before = struct.pack("<Q", len(encoded)) + encoded
    digest = hashlib.sha256(before)
    for part in parts:
        digest.update(part)
    before = before[: _DIGEST.start] + digest.hexdigest().encode() + before[_DIGEST.stop :]
    return b"".join((before, *parts))


def unpack(
    data: bytes | bytearray | memoryview, *, kind: str, versions: Collection[int]
) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays and the metadata that `pack` was given.

    kind, versions: what the caller can read.

    The arrays are read-only and lie in ``data``, which they keep alive. Raises ValueError, and
    nothing else, for whatever is no whole and unchanged file of this kind and of these versions.
    """
    what, advice = f"the {kind} file", "take it from a backup, or make it anew"
    view = memoryview(data).cast("B")
    if not len(view):
        raise ValueError(f"{what} is empty: {advice}")
    if len(view) < _DIGEST.stop or view[8 : _DIGEST.start] != _START:
        raise ValueError(
            f"{what} ({len(view):,} bytes) does not begin like one of spacy-btl: it is something "
            f"else, or damaged; {advice}"
        )
    digest = hashlib.sha256(view[: _DIGEST.start])
    digest.update(_ZEROS)
    digest.update(view[_DIGEST.stop :])
    if view[_DIGEST] != digest.hexdigest().encode():
        raise ValueError(
            f"{what} ({len(view):,} bytes) does not fit its checksum: it was changed or cut short; "
            f"{advice}"
        )
    # All that follows is as somebody wrote it, if not necessarily `pack`.
    try:
        header, body = _split(view)
        metadata = _metadata(header.pop("__metadata__"))
        found, version = metadata.pop("kind"), metadata.pop("version")
    except (ValueError, KeyError, RecursionError) as error:
        raise ValueError(f"{what} has an unreadable header ({error}): {advice}") from None
    if found != kind:
        raise ValueError(f"the file holds {found!r}, but {kind!r} is needed: give the right file")
    if version not in {str(known) for known in versions}:
        known = ", ".join(str(known) for known in sorted(versions))
        raise ValueError(
            f"{what} is of format version {version}, but this spacy-btl reads version {known}: "
            "use the spacy-btl that wrote it, or a later one, or make the file anew"
        )
    try:
        arrays = _arrays(header, body)
    except ValueError as error:
        raise ValueError(f"{what} has an unreadable array ({error}): {advice}") from None
    return arrays, metadata


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: who reads meanwhile, or after a crash, finds the old one.

    Raises OSError where the folder cannot be written to; nothing is left behind then.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def texts_to_array(texts: Sequence[str]) -> npt.NDArray[np.uint8]:
    """Texts as bytes of JSON, shape (n_bytes,). Raises ValueError for lone surrogates."""
    return np.frombuffer(_encoded(list(texts)), dtype=np.uint8)


def array_to_texts(array: Array) -> list[str]:
    """The texts that `texts_to_array` was given. Raises ValueError where it gave no such array."""
    try:
        texts = json.loads(array.tobytes()) if array.dtype == np.uint8 else None
    except (ValueError, RecursionError):
        texts = None
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError("the array does not hold a list of texts")
    return texts


def _encoded(value: Any) -> bytes:
    """JSON in UTF-8."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:
        text = error.object[max(error.start - 20, 0) : error.end]
        raise ValueError(
            f"a text is not Unicode: {text!r} ends in a lone surrogate; replace it"
        ) from None


def _little_endian(name: str, array: Array) -> Array:
    """The array itself where it is contiguous and in the byte order of the file, else a copy."""
    array = np.asarray(array)
    dtype = array.dtype.newbyteorder("<")
    if dtype not in _CODES:
        known = ", ".join(sorted(dtype.name for dtype in _CODES))
        raise ValueError(f"the array {name!r} is of type {array.dtype}, but must be of {known}")
    return np.asarray(array, dtype=dtype, order="C")


def _split(view: memoryview) -> tuple[dict[str, Any], memoryview]:
    """The parsed header, and the bytes of the arrays."""
    (length,) = struct.unpack("<Q", view[:8])
    if length > min(len(view) - 8, MAX_HEADER):
        raise ValueError(f"it should have {length:,} bytes")
    header = json.loads(bytes(view[8 : 8 + length]))
    if not isinstance(header, dict):
        raise ValueError("it is no table")
    return header, view[8 + length :]


def _metadata(found: Any) -> dict[str, str]:
    """The metadata without the checksum."""
    if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
        raise ValueError("its metadata is no table of texts")
    return {name: text for name, text in found.items() if name != "sha256"}


def _arrays(header: dict[str, Any], body: memoryview) -> dict[str, Array]:
    """Views of the arrays, which must follow each other without gaps, as safetensors wants it."""
    arrays, position = {}, 0
    for name, entry in header.items():
        try:
            dtype, shape = DTYPES[entry["dtype"]], entry["shape"]
            start, end = entry["data_offsets"]
            numbers = [*shape, start, end]
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"{name!r} lacks a known type, a shape or a place") from None
        if not all(type(number) is int and 0 <= number <= sys.maxsize for number in numbers):
            raise ValueError(f"shape and place of {name!r} are no sizes")
        size = math.prod(shape) * dtype.itemsize
        if start != position or end - start != size or end > len(body):
            raise ValueError(f"the bytes of {name!r} do not fit its shape {shape}")
        arrays[name] = np.ndarray(shape, dtype, buffer=body, offset=start)
        arrays[name].setflags(write=False)
        position = end
    if position != len(body):
        raise ValueError(f"{len(body) - position:,} bytes belong to none")
    return arrays
