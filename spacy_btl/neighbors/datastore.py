"""Labeled keys of training tokens with their provenance, and the file that contains them.

Arrays only: nothing here knows of spaCy or of what made the keys. A key is the vector of one
training token. Its label, its document and its place there are kept; its text is not.

A file is the SHA-256 of all bytes that follow (32 bytes), then a safetensors file with the arrays,
whose header contains everything else as one JSON string. The digest is compared before anything is
parsed, so that changed, missing or added bytes are found first. It finds damage; it does not prove
who wrote the file.
"""

import difflib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ..util.arrays import AnyArray, Bools1d, Float32s2d, Ints1d
from ..util.files import sha256_of

Scalar = TypeVar("Scalar", bound=np.generic)

VERSION = 2
"""Of the file's format. In version 1 the digest was inside the safetensors file."""

MAX_HEADER = 100_000_000
"""Bytes of a header that safetensors reads back."""

_DIGEST_BYTES = 32
_EXTRA = "extra."  # before the name of an extra array in a file
_INDEX_DTYPES: dict[str, type[np.integer]] = {
    "labels": np.int64,
    "document_of_key": np.int32,
    "offsets": np.int64,
}
_DTYPES: dict[str, type[np.generic]] = {"keys": np.float32, **_INDEX_DTYPES}


class Source(NamedTuple):
    """Origin of a key; ``offset`` is in characters from the start of the document."""

    document: str
    offset: int
    label: str


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Datastore:
    """Labeled keys of training tokens. A value: `added` and `removed` return a new one.

    Arrays of the right type are not copied. They are read-only here, and must not be changed
    through other names.

    Attributes:
        keys: (n_keys, width).
        labels: (n_keys,), indices into ``label_names``.
        label_names: Names of the labels ("O", "B-Age", ...), each once.
        documents: Ids of the documents that have keys, each once, in order of first appearance.
        document_of_key: (n_keys,), indices into ``documents``.
        offsets: (n_keys,), where each token starts, in characters from the document's start.
        fingerprint: Identifies the weights that made the keys.
        key_kind: What the keys are ("logits", "hidden").
        extras: Further arrays that belong to the labels, by name; the store only keeps them.

    Raises:
        ValueError: If the fields do not fit each other, a key is not finite, an index is out of
            range, or a name is empty, given twice or not Unicode.
    """

    keys: Float32s2d
    labels: Ints1d
    label_names: tuple[str, ...]
    documents: tuple[str, ...]
    document_of_key: npt.NDArray[np.int32]
    offsets: Ints1d
    fingerprint: str
    key_kind: str
    extras: Mapping[str, AnyArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        label_names = _distinct("label_names", self.label_names)
        documents = _distinct("documents", self.documents)
        for name, text in (("fingerprint", self.fingerprint), ("key_kind", self.key_kind)):
            if not isinstance(text, str):
                raise ValueError(f"{name} must be a text, not {type(text).__name__}")
            _check_unicode(name, text)
        keys = _as_float32(self.keys)
        if keys.ndim != 2 or not keys.shape[1]:
            raise ValueError(f"keys must have the shape (n_keys, width), not {keys.shape}")
        checked: dict[str, object] = {
            "label_names": label_names,
            "documents": documents,
            "keys": _read_only(keys),
            "extras": {name: _extra(name, array) for name, array in self.extras.items()},
        }
        limits = {
            "labels": len(label_names),
            "document_of_key": len(documents),
            "offsets": 2**63,
        }
        for name, below in limits.items():
            values = _indices(getattr(self, name), name, below, _INDEX_DTYPES[name])
            if len(values) != len(keys):
                raise ValueError(f"{name} are {len(values)}, but keys are {len(keys)}")
            checked[name] = _read_only(values)
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        if idle := [name for name, count in self.counts_by_document().items() if not count]:
            raise ValueError(f"documents without a key: {quoted(idle)}; leave their ids out")
        # The extremes show any NaN or infinity without a second array as large as the keys.
        if keys.size and not np.isfinite((keys.min(), keys.max())).all():
            first = int(np.flatnonzero(~np.isfinite(keys).all(axis=1))[0])
            raise ValueError(
                f"key {first} (document {self.source(first).document!r}, character "
                f"{self.source(first).offset}) is not finite: check the model's output for it"
            )

    def __len__(self) -> int:
        return len(self.keys)

    def __repr__(self) -> str:
        return (
            f"Datastore({len(self)} keys ({self.key_kind}) of width {self.width}, "
            f"{len(self.label_names)} labels, {len(self.documents)} documents)"
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Datastore):
            return NotImplemented
        ours, theirs = self._arrays(), other._arrays()
        return (
            self._metadata() == other._metadata()
            and ours.keys() == theirs.keys()
            and all(array.dtype == theirs[name].dtype for name, array in ours.items())
            and all(np.array_equal(array, theirs[name]) for name, array in ours.items())
        )

    @property
    def width(self) -> int:
        """Return the length of a key."""
        return int(self.keys.shape[1])

    def source(self, key: int) -> Source:
        """Return document, offset and label of a key, given by its index."""
        document = self.documents[self.document_of_key[key]]
        return Source(document, int(self.offsets[key]), self.label_names[self.labels[key]])

    def check_source(self, key_kind: str, fingerprint: str | None, name: str) -> None:
        """Raise ValueError if the keys are of another kind, or were made by other weights.

        Args:
            key_kind: Kind of the vectors that are searched, "logits" or "hidden".
            fingerprint: Fingerprint of the weights that make them; None if it is not known.
            name: Name of the component, for the message.
        """
        refit = "fit them again: python -m spacy btl fit-knn MODEL TRAIN OUT"
        if self.key_kind != key_kind:
            raise ValueError(
                f'the neighbors of "{name}" are {self.key_kind}, but its keys are {key_kind}; '
                f'set keys = "{self.key_kind}", or {refit}'
            )
        if fingerprint is not None and self.fingerprint != fingerprint:
            raise ValueError(
                f'the neighbors of "{name}" were fitted on other weights (fingerprint '
                f"{self.fingerprint}, the model has {fingerprint}); {refit}"
            )

    def counts_by_document(self) -> dict[str, int]:
        """Return the number of keys of each document."""
        counts = np.bincount(self.document_of_key, minlength=len(self.documents))
        return dict(zip(self.documents, counts.tolist(), strict=True))

    def added(
        self,
        keys: npt.ArrayLike,
        labels: str | Sequence[str],
        documents: str | Sequence[str],
        offsets: npt.ArrayLike,
    ) -> "Datastore":
        """Return a store with further keys after those of this one.

        Args:
            keys: (n, width), by the same model; the caller makes sure of that.
            labels: Name of each key's label, or one name for all. New names go after the old ones.
            documents: Id of each key's document, or one id for all.
            offsets: (n,), where each token starts in its document.

        Raises:
            ValueError: If lengths or width differ, a document has keys already (no token may be
                there twice), or a value is one that `Datastore` refuses.
        """
        keys, offsets = _as_float32(keys), _indices(offsets, "offsets", 2**63)
        if keys.ndim != 2 or keys.shape[1] != self.width:
            raise ValueError(f"keys must be (n_keys, {self.width}), not {keys.shape}")
        n = len(keys)
        labels = [labels] * n if isinstance(labels, str) else list(labels)
        ids = [documents] * n if isinstance(documents, str) else list(documents)
        if not n == len(labels) == len(ids) == len(offsets):
            raise ValueError(
                f"{n} keys, {len(labels)} labels, {len(ids)} documents and {len(offsets)} "
                "offsets do not fit: give one of each for a token"
            )
        known = set(self.documents)
        if twice := [name for name in dict.fromkeys(ids) if name in known]:
            raise ValueError(
                f"already in the datastore: {quoted(twice)}; remove first what is to be replaced, "
                "so that no token is in it twice"
            )
        label_names = tuple(dict.fromkeys((*self.label_names, *labels)))
        all_documents = tuple(dict.fromkeys((*self.documents, *ids)))
        label_of, document_of = _positions(label_names), _positions(all_documents)
        return replace(
            self,
            keys=_joined(self.keys, keys),
            labels=_joined(self.labels, [label_of[label] for label in labels]),
            label_names=label_names,
            documents=all_documents,
            document_of_key=_joined(self.document_of_key, [document_of[name] for name in ids]),
            offsets=_joined(self.offsets, offsets),
        )

    def removed(self, documents: str | Iterable[str]) -> "Datastore":
        """Return a store without the keys and the ids of these documents. Label names stay.

        Args:
            documents: One id, or several.

        Raises:
            ValueError: If an id is unknown.
        """
        ids = [documents] if isinstance(documents, str) else list(documents)
        position_of = _positions(self.documents)
        if unknown := [name for name in dict.fromkeys(ids) if name not in position_of]:
            close = difflib.get_close_matches(str(unknown[0]), self.documents)
            raise ValueError(
                f"not among the {len(self.documents):,} documents of the datastore: "
                f"{quoted(unknown)}" + (f"; there is {quoted(close)}" if close else "")
            )
        stays = np.ones(len(self.documents), dtype=np.bool_)
        stays[[position_of[name] for name in ids]] = False
        return self._subset(stays[self.document_of_key])

    def _subset(self, kept: Bools1d) -> "Datastore":
        """Return a store of the keys that are kept, (n_keys,), and of their documents."""
        left = np.bincount(self.document_of_key[kept], minlength=len(self.documents)) > 0
        new_position = np.cumsum(left) - 1
        return replace(
            self,
            keys=self.keys[kept],
            labels=self.labels[kept],
            documents=tuple(compress(self.documents, left)),
            document_of_key=new_position[self.document_of_key[kept]],
            offsets=self.offsets[kept],
        )

    def to_bytes(self) -> bytes:
        """Return the bytes of a file; equal stores have equal bytes.

        Raises:
            ValueError: If labels and document ids together are too long for the file's header.
        """
        metadata = json.dumps({"version": VERSION, **self._metadata()}, ensure_ascii=False)
        content = save(self._arrays(), {"datastore": metadata})
        if int.from_bytes(content[:8], "little") > MAX_HEADER:
            raise ValueError(
                f"labels and ids of {len(self.documents):,} documents take more than "
                f"{MAX_HEADER:,} bytes: use shorter ids"
            )
        return bytes.fromhex(sha256_of(content)) + content

    @classmethod
    def from_bytes(cls, data: bytes) -> "Datastore":
        """Return the store whose `to_bytes` gave these bytes.

        Raises:
            ValueError: For anything else: bytes that are damaged, foreign or of another version.
        """
        arrays, metadata = _read(data)
        try:
            for name, dtype in _DTYPES.items():
                if arrays[name].dtype != dtype:
                    raise ValueError(f"{name} are {arrays[name].dtype}, not {dtype.__name__}")
            return cls(
                keys=arrays["keys"],
                labels=arrays["labels"],
                label_names=metadata["label_names"],
                documents=metadata["documents"],
                document_of_key=arrays["document_of_key"],
                offsets=arrays["offsets"],
                fingerprint=metadata["fingerprint"],
                key_kind=metadata["key_kind"],
                extras={
                    name.removeprefix(_EXTRA): array
                    for name, array in arrays.items()
                    if name.startswith(_EXTRA)
                },
            )
        except (ValueError, KeyError, TypeError) as error:
            what = f"it lacks {error}" if isinstance(error, KeyError) else error
            raise ValueError(
                f"the datastore file is not valid ({what}): fit the neighbors again"
            ) from None

    def _metadata(self) -> dict[str, object]:
        """Return everything except the arrays, as JSON values."""
        return {
            "fingerprint": self.fingerprint,
            "key_kind": self.key_kind,
            "label_names": list(self.label_names),
            "documents": list(self.documents),
        }

    def _arrays(self) -> dict[str, AnyArray]:
        """Return the arrays of the file. safetensors takes them as they lie in memory."""
        extras = {_EXTRA + name: array for name, array in self.extras.items()}
        arrays = {name: getattr(self, name) for name in _DTYPES} | extras
        return {name: np.asarray(array, order="C") for name, array in arrays.items()}


def quoted(names: Sequence[str]) -> str:
    """Return up to three names for a message, and how many more there are."""
    more = len(names) - 3
    return ", ".join(map(repr, names[:3])) + (f" and {more} more" if more > 0 else "")


def _read(data: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return arrays and metadata of a file; its digest, format and version are right then."""
    content = memoryview(data)[_DIGEST_BYTES:]
    if bytes.fromhex(sha256_of(content)) != data[:_DIGEST_BYTES]:
        raise ValueError(
            f"the datastore file ({len(data):,} bytes) does not match its checksum: it was changed "
            "or truncated, comes from an earlier spacy-btl, or is a different file; restore "
            "it from a backup, or fit the neighbors again"
        )
    try:
        arrays = load(bytes(content))
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")].tobytes())
        metadata = json.loads(header["__metadata__"]["datastore"])
        version = metadata["version"]
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"the datastore file is unreadable ({type(error).__name__}: {error}): "
            "fit the neighbors again"
        ) from None
    if version != VERSION:
        raise ValueError(
            f"the datastore file is of format version {version}, but this spacy-btl reads version "
            f"{VERSION}: fit the neighbors again, or use the spacy-btl that wrote it"
        )
    return arrays, metadata


def _distinct(what: str, names: Iterable[str]) -> tuple[str, ...]:
    """Return the names; raise ValueError if one is empty, given twice, or cannot be saved."""
    if isinstance(names, str):
        raise ValueError(f"{what} must be a list of names, not a string")
    names = tuple(names)
    if wrong := [name for name in names if not isinstance(name, str) or not name]:
        raise ValueError(f"{wrong[0]!r} in {what} is not a name: each must be a non-empty string")
    if len(set(names)) < len(names):
        twice = [name for name, count in Counter(names).items() if count > 1]
        raise ValueError(f"twice in {what}: {quoted(twice)}")
    for name in names:
        _check_unicode(what, name)
    return names


def _check_unicode(what: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"in {what}, {text!r} is not Unicode: it contains a lone surrogate; replace it"
        ) from None


def _extra(name: str, array: AnyArray) -> AnyArray:
    """Return an extra array, read-only and in the machine's byte order."""
    array = np.asarray(array)
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise ValueError(f"the extra {name!r} is of type {array.dtype}, which cannot be saved")
    _check_unicode("extras", name)
    return _read_only(array.astype(array.dtype.newbyteorder("="), copy=False))


def _positions(names: Iterable[str]) -> dict[str, int]:
    """Return the index of each name."""
    return {name: i for i, name in enumerate(names)}


def _as_float32(keys: npt.ArrayLike) -> Float32s2d:
    """Return the keys as float32; a value that is too large becomes infinite."""
    with np.errstate(over="ignore"):  # infinities are found later, with those that were there
        return np.asarray(keys, dtype=np.float32)


def _indices(
    values: npt.ArrayLike, name: str, below: int, dtype: type[np.integer] = np.int64
) -> npt.NDArray[np.integer]:
    """Return whole numbers along one axis; raise ValueError unless all are in [0, below)."""
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ValueError(
            f"{name} must be whole numbers along one axis, not {array.dtype} {array.shape}"
        )
    if array.size and not 0 <= int(array.min()) <= int(array.max()) < below:
        raise ValueError(
            f"{name} must be at least 0 and below {below}, but are from {array.min()} "
            f"to {array.max()}"
        )
    return array.astype(dtype, copy=False)


def _read_only(array: AnyArray) -> AnyArray:
    """Return the same numbers under a name through which they cannot be changed."""
    view = array.view()
    view.setflags(write=False)
    return view


def _joined(old: npt.NDArray[Scalar], new: npt.ArrayLike) -> npt.NDArray[Scalar]:
    """Return the new values after the old ones, in their type; no copy if there are no old ones."""
    values = np.asarray(new, dtype=old.dtype)
    return np.concatenate((old, values)) if len(old) else values
