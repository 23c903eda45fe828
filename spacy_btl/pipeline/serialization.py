"""Saving a component part by part: to bytes and to a folder, with ``exclude``.

Both carry checksums of the parts (for a folder see `packaging.seal`), which are looked at before
anything else. What was saved without any is read as it is.
"""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import srsly
from spacy import util
from spacy.pipeline import TrainablePipe

from ..packaging.seal import check_seal, remove_seal, write_seal

Part = tuple[Callable[[], bytes], Callable[[bytes], Any]]
Self = TypeVar("Self", bound="SavedByParts")

SUMS = "sha256"  # in the bytes of a component: the digest of each part


class SavedByParts(TrainablePipe):  # type: ignore[misc]
    """A component whose state is a few named parts beside the vocabulary."""

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """Serialize the component, neighbours included."""
        exclude = tuple(exclude)
        message: dict[str, Any] = {
            key: write() for key, (write, _) in self._parts().items() if key not in exclude
        }
        message[SUMS] = {key: _digest(data) for key, data in message.items()}
        if "vocab" not in exclude:
            message["vocab"] = self.vocab.to_bytes(exclude=exclude)
        return bytes(srsly.msgpack_dumps(message))

    def from_bytes(self: Self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> Self:
        """Take over what `to_bytes` gave; ValueError where it gave something else."""
        exclude = tuple(exclude)
        message = _read("the bytes", srsly.msgpack_loads, bytes_data)
        parts = self._parts()
        sums = message.get(SUMS, {}) if isinstance(message, dict) else None
        if not isinstance(sums, dict) or not message.keys() & {SUMS, *parts}:
            raise ValueError(f'the bytes are none of a component like "{self.name}"')
        wanted = [key for key in parts if key not in exclude and (key in message or key in sums)]
        names = {key: f'the part "{key}" of the bytes' for key in wanted}
        for key in wanted:  # all of them, before any is taken over
            data = message.get(key)
            if key in sums and (not isinstance(data, bytes) or _digest(data) != sums[key]):
                raise ValueError(
                    f"{names[key]} does not fit its checksum: it was changed or cut short"
                )
        for key in wanted:
            _read(names[key], parts[key][1], message[key])
        if "vocab" not in exclude and "vocab" in message:
            self.vocab.from_bytes(message["vocab"], exclude=exclude)
        return self

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Save the component to a folder, neighbours included.

        A seal beside the folder is taken away: it is that of the pipeline before.
        """
        folder, exclude = util.ensure_path(path), tuple(exclude)
        remove_seal(folder.parent)
        folder.mkdir(parents=True, exist_ok=True)
        for key, (write, _) in self._parts().items():
            if key not in exclude:
                (folder / key).write_bytes(write())
        if "vocab" not in exclude:
            self.vocab.to_disk(folder / "vocab", exclude=exclude)
        write_seal(folder)

    def from_disk(self: Self, path: str | Path, *, exclude: Iterable[str] = ()) -> Self:
        """Load the component from a folder that `to_disk` wrote.

        Raises ValueError where a file in it has changed, or in the sealed pipeline around it.
        """
        folder, exclude = util.ensure_path(path), tuple(exclude)
        check_seal(folder.parent)
        check_seal(folder, exclude)
        for key, (_, read) in self._parts().items():
            if key not in exclude:
                _read(str(folder / key), read, (folder / key).read_bytes())
        if "vocab" not in exclude:
            self.vocab.from_disk(folder / "vocab", exclude=exclude)
        return self

    def _parts(self) -> dict[str, Part]:
        """What is saved of the component: for each name how to write it and how to read it."""
        raise NotImplementedError


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _read(what: str, read: Callable[[bytes], Any], data: bytes) -> Any:
    """What a reader makes of the data; ValueError, with the name of the part, where it fails.

    The readers of spaCy, Thinc and torch meet damaged data with whatever error comes up.
    """
    try:
        return read(data)
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from error
    except Exception as error:
        raise ValueError(
            f"{what} cannot be read, it is damaged or of another model "
            f"({type(error).__name__}: {error})"
        ) from error
