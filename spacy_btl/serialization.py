"""Saving a component part by part: to bytes and to a folder, with ``exclude``."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from spacy import util
from spacy.pipeline import TrainablePipe

Part = tuple[Callable[[], bytes], Callable[[bytes], Any]]
Self = TypeVar("Self", bound="SavedByParts")


class SavedByParts(TrainablePipe):  # type: ignore[misc]
    """A component whose state is a few named parts beside the vocabulary."""

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """Serialize the component, neighbours included."""
        writers = {key: write for key, (write, _) in self._parts().items()}
        writers["vocab"] = lambda: self.vocab.to_bytes(exclude=exclude)
        return bytes(util.to_bytes(writers, exclude))

    def from_bytes(self: Self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> Self:
        """Take over what `to_bytes` gave."""
        readers = {key: read for key, (_, read) in self._parts().items()}
        readers["vocab"] = lambda data: self.vocab.from_bytes(data, exclude=exclude)
        util.from_bytes(bytes_data, readers, exclude)
        return self

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Save the component to a folder, neighbours included."""
        folder = util.ensure_path(path)
        folder.mkdir(parents=True, exist_ok=True)
        for key, (write, _) in self._parts().items():
            if key not in exclude:
                (folder / key).write_bytes(write())
        if "vocab" not in exclude:
            self.vocab.to_disk(folder / "vocab", exclude=exclude)

    def from_disk(self: Self, path: str | Path, *, exclude: Iterable[str] = ()) -> Self:
        """Load the component from a folder that `to_disk` wrote."""
        folder = util.ensure_path(path)
        for key, (_, read) in self._parts().items():
            if key not in exclude:
                try:
                    read((folder / key).read_bytes())
                except ValueError as error:
                    raise ValueError(f"{folder / key}: {error}") from error
        if "vocab" not in exclude:
            self.vocab.from_disk(folder / "vocab", exclude=exclude)
        return self

    def _parts(self) -> dict[str, Part]:
        """What is saved of the component: for each name how to write it and how to read it."""
        raise NotImplementedError
