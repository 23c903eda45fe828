"""Labelled keys with their provenance: what a token is compared with, and where that came from.

Pure arrays: knows nothing of spaCy or of what made the keys. A key is the vector of one training
token. Its label, its document and its place there are kept, its text is not.
"""

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .checked_file import array_to_texts, pack, texts_to_array, unpack

# --- from datastore_checks

Array = npt.NDArray[Any]


def distinct(what: str, names: Iterable[str]) -> tuple[str, ...]:
    """The names; ValueError where one is no text, is empty, stands twice, or cannot be saved."""
    names = tuple(names)
    if wrong := [name for name in names if not isinstance(name, str) or not name]:
        raise ValueError(f"{wrong[0]!r} in {what} is no name: each must be a text, not empty")
    if len(set(names)) < len(names):
        twice = [name for name, count in Counter(names).items() if count > 1]
        raise ValueError(f"twice in {what}: {quoted(twice)}")
    try:
        texts_to_array(names)
    except ValueError as error:
        raise ValueError(f"in {what}, {error}") from None
    return names


def quoted(names: Sequence[str]) -> str:
    """A few names, for a message."""
    more = len(names) - 3
    return ", ".join(map(repr, names[:3])) + (f" and {more} more" if more > 0 else "")


def one_each(names: str | Sequence[str], n: int) -> list[str]:
    """A name for each of n keys, from one for all of them or from as many."""
    return [names] * n if isinstance(names, str) else list(names)


def positions(names: Iterable[str]) -> dict[str, int]:
    """Index of each name."""
    return {name: i for i, name in enumerate(names)}


def float32(keys: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """The keys as float32; what is too large becomes infinite."""
    with np.errstate(over="ignore"):  # infinities are found later, with those that were there
        return np.asarray(keys, dtype=np.float32)


def checked_indices(values: npt.ArrayLike, name: str, below: int, dtype: type = np.int64) -> Array:
    """Whole numbers from 0 to below a bound, along one axis."""
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ValueError(
            f"{name} must be whole numbers along one axis, not {array.dtype} {array.shape}"
        )
    if array.size and not 0 <= int(array.min()) <= int(array.max()) < below:
        raise ValueError(
            f"{name} must lie from 0 to below {below}, but lie from {array.min()} to {array.max()}"
        )
    return array.astype(dtype, copy=False)


def read_only(array: Array) -> Array:
    """The same numbers under a name of their own, through which they cannot be changed."""
    view = np.asarray(array).view()
    view.setflags(write=False)
    return view


def joined(old: Array, new: npt.ArrayLike) -> Array:
    """Both behind each other, in the type of the old; without a copy where that is empty."""
    new = np.asarray(new, dtype=old.dtype)
    return np.concatenate((old, new)) if len(old) else new


# --- from datastore

Array = npt.NDArray[Any]
Floats2d = npt.NDArray[np.float32]
Ints1d = npt.NDArray[np.int64]

KIND, VERSION = "datastore", 1
_EXTRA = "extra."  # before the name of an extra array in a file
_DTYPES: dict[str, type] = {
    "keys": np.float32,
    "labels": np.int64,
    "document_of_key": np.int32,
    "offsets": np.int64,
}


class Source(NamedTuple):
    """Where a key comes from: ``offset`` is in characters from the start of the document."""

    document: str
    offset: int
    label: str


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Datastore:
    """Labelled keys of training tokens. A value: `added` and `removed` give a new one.

    keys: shape (n_keys, width).
    labels: shape (n_keys,), indices into ``label_names``.
    label_names: what the labels stand for ("O", "B-Age", ...), each once.
    documents: ids of the documents that have keys, each once, in order of first appearance.
    document_of_key: shape (n_keys,), indices into ``documents``.
    offsets: shape (n_keys,), where each token starts, in characters from the document's start.
    fingerprint: of what made the keys, to tell keys of another model; not looked at here.
    key_kind: what the keys are ("logits", "hidden"); not looked at here.
    extras: further arrays that belong to the labels, by name; not looked at here.

    Arrays of the right type are taken as they are, not copied, and are read-only here: do not
    change them through other names. Raises ValueError where they do not fit each other, where a key
    is not finite, and for an index out of range.
    """

    keys: Floats2d
    labels: Ints1d
    label_names: tuple[str, ...]
    documents: tuple[str, ...]
    document_of_key: npt.NDArray[np.int32]
    offsets: Ints1d
    fingerprint: str
    key_kind: str
    extras: Mapping[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        checked: dict[str, Any] = {
            "label_names": distinct("label_names", self.label_names),
            "documents": distinct("documents", self.documents),
            "extras": {name: read_only(array) for name, array in self.extras.items()},
        }
        keys = float32(self.keys)
        if keys.ndim != 2 or not keys.shape[1]:
            raise ValueError(f"keys must have the shape (n_keys, width), not {keys.shape}")
        for name, below in (
            ("labels", len(checked["label_names"])),
            ("document_of_key", len(checked["documents"])),
            ("offsets", 2**63),
        ):
            values = checked_indices(getattr(self, name), name, below, _DTYPES[name])
            if len(values) != len(keys):
                raise ValueError(f"{name} are {len(values)}, but keys are {len(keys)}")
            checked[name] = read_only(values)
        checked["keys"] = read_only(keys)
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        if idle := [name for name, count in self.counts_by_document().items() if not count]:
            raise ValueError(f"documents without a key: {quoted(idle)}; leave their ids out")
        # The extremes tell of any NaN or infinity without a second array as large as the keys.
        if keys.size and not np.isfinite((keys.min(), keys.max())).all():
            first = int(np.flatnonzero(~np.isfinite(keys).all(axis=1))[0])
            raise ValueError(
                f"key {first} (document {self.source(first).document!r}, character "
                f"{self.source(first).offset}) is not finite: look for what the model made of it"
            )

    @classmethod
    def empty(
        cls, width: int, *, fingerprint: str, key_kind: str, label_names: Iterable[str] = ()
    ) -> "Datastore":
        """A store without keys, to begin with."""
        return cls(
            keys=np.zeros((0, width), np.float32),
            labels=np.zeros(0, np.int64),
            label_names=tuple(label_names),
            documents=(),
            document_of_key=np.zeros(0, np.int32),
            offsets=np.zeros(0, np.int64),
            fingerprint=fingerprint,
            key_kind=key_kind,
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
            (self.fingerprint, self.key_kind) == (other.fingerprint, other.key_kind)
            and ours.keys() == theirs.keys()
            and all(array.dtype == theirs[name].dtype for name, array in ours.items())
            and all(np.array_equal(array, theirs[name]) for name, array in ours.items())
        )

    @property
    def width(self) -> int:
        """Numbers in a key."""
        return int(self.keys.shape[1])

    def source(self, key: int) -> Source:
        """Document, offset and label of a key, by its index."""
        document = self.documents[self.document_of_key[key]]
        return Source(document, int(self.offsets[key]), self.label_names[self.labels[key]])

    def counts_by_document(self) -> dict[str, int]:
        """Number of keys of each document."""
        counts = np.bincount(self.document_of_key, minlength=len(self.documents))
        return dict(zip(self.documents, counts.tolist(), strict=True))

    def counts_by_label(self) -> dict[str, int]:
        """Number of keys of each label, labels without a key as well."""
        counts = np.bincount(self.labels, minlength=len(self.label_names))
        return dict(zip(self.label_names, counts.tolist(), strict=True))

    def added(
        self,
        keys: npt.ArrayLike,
        labels: str | Sequence[str],
        documents: str | Sequence[str],
        offsets: npt.ArrayLike,
    ) -> "Datastore":
        """A store with further keys, behind those of this one.

        keys, offsets: as in the store; by the same model, which the caller sees to.
        labels: the name of each key's label, or one for all; new names go behind those there are.
        documents: the id of each key's document, or one for all.

        Raises ValueError where the lengths or the width differ, for what the store itself refuses,
        and for a document that has keys already: no token may stand twice.
        """
        keys, offsets = float32(keys), checked_indices(offsets, "offsets", 2**63)
        if keys.ndim != 2 or keys.shape[1] != self.width:
            raise ValueError(f"keys must be (n_keys, {self.width}), not {keys.shape}")
        labels, ids = one_each(labels, len(keys)), one_each(documents, len(keys))
        if not len(keys) == len(labels) == len(ids) == len(offsets):
            raise ValueError(
                f"{len(keys)} keys, {len(labels)} labels, {len(ids)} documents and {len(offsets)} "
                "offsets do not fit: give one of each for a token"
            )
        known = set(self.documents)
        if twice := [name for name in dict.fromkeys(ids) if name in known]:
            raise ValueError(
                f"already in the datastore: {quoted(twice)}; remove first what is to be replaced, "
                "so that no token stands twice"
            )
        label_names = tuple(dict.fromkeys((*self.label_names, *labels)))
        all_documents = tuple(dict.fromkeys((*self.documents, *ids)))
        label_of, document_of = positions(label_names), positions(all_documents)
        return replace(
            self,
            keys=joined(self.keys, keys),
            labels=joined(self.labels, [label_of[label] for label in labels]),
            label_names=label_names,
            documents=all_documents,
            document_of_key=joined(self.document_of_key, [document_of[name] for name in ids]),
            offsets=joined(self.offsets, offsets),
        )

    def removed(self, documents: str | Iterable[str]) -> "Datastore":
        """A store without any key of these documents, and without their ids.

        documents: one id, or several. Label names stay. Raises ValueError for an unknown id.
        """
        ids = [documents] if isinstance(documents, str) else list(documents)
        position_of = positions(self.documents)
        if unknown := [name for name in dict.fromkeys(ids) if name not in position_of]:
            close = difflib.get_close_matches(str(unknown[0]), self.documents)
            raise ValueError(
                f"not among the {len(self.documents):,} documents of the datastore: "
                f"{quoted(unknown)}" + (f"; there is {quoted(close)}" if close else "")
            )
        stays = np.ones(len(self.documents), dtype=np.bool_)
        stays[[position_of[name] for name in ids]] = False
        return self._kept(stays[self.document_of_key])

    def without_keys(self, keys: npt.ArrayLike) -> "Datastore":
        """A store without these keys, and without the ids of documents that have no other.

        keys: indices of keys. Raises ValueError for one out of range.
        """
        stays = np.ones(len(self), dtype=np.bool_)
        stays[checked_indices(keys, "indices of keys", len(self))] = False
        return self._kept(stays)

    def _kept(self, kept: npt.NDArray[np.bool_]) -> "Datastore":
        """A store of some of the keys, (n_keys,) True, and of their documents."""
        left = np.bincount(self.document_of_key[kept], minlength=len(self.documents)) > 0
        moved = np.cumsum(left) - 1
        return replace(
            self,
            keys=self.keys[kept],
            labels=self.labels[kept],
            documents=tuple(compress(self.documents, left)),
            document_of_key=moved[self.document_of_key[kept]],
            offsets=self.offsets[kept],
        )

    def to_bytes(self) -> bytes:
        """A safetensors file with a checksum (`neighbors.checked_file`)."""
        metadata = {"fingerprint": self.fingerprint, "key_kind": self.key_kind}
        return pack(self._arrays(), metadata, kind=KIND, version=VERSION)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Datastore":
        """What `to_bytes` gave. The keys lie in ``data``, which is kept alive.

        Raises ValueError, and nothing else, for a file that is damaged, of another kind or of
        another version, and for arrays that do not fit each other.
        """
        arrays, metadata = unpack(data, kind=KIND, versions=(VERSION,))
        try:
            for name, dtype in _DTYPES.items():
                if arrays[name].dtype != dtype:
                    raise ValueError(f"{name} are {arrays[name].dtype}, not {dtype.__name__}")
            return cls(
                keys=arrays["keys"],
                labels=arrays["labels"],
                label_names=tuple(array_to_texts(arrays["label_names"])),
                documents=tuple(array_to_texts(arrays["documents"])),
                document_of_key=arrays["document_of_key"],
                offsets=arrays["offsets"],
                fingerprint=metadata["fingerprint"],
                key_kind=metadata["key_kind"],
                # Copies of these small ones do not keep the file in memory when the keys have gone.
                extras={
                    name.removeprefix(_EXTRA): array.copy()
                    for name, array in arrays.items()
                    if name.startswith(_EXTRA)
                },
            )
        except (ValueError, KeyError) as error:
            what = f"it lacks {error}" if isinstance(error, KeyError) else error
            raise ValueError(f"the datastore file is not valid ({what}): fit it anew") from None

    def _arrays(self) -> dict[str, Array]:
        """The arrays of the file."""
        return {
            "keys": self.keys,
            "labels": self.labels,
            "label_names": texts_to_array(self.label_names),
            "documents": texts_to_array(self.documents),
            "document_of_key": self.document_of_key,
            "offsets": self.offsets,
            **{_EXTRA + name: array for name, array in self.extras.items()},
        }
