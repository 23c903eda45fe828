import re
import tracemalloc
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load

from spacy_btl.neighbors.checked_file import pack, texts_to_array, unpack
from spacy_btl.neighbors.datastore import Datastore, Source

NAMES = ("O", "B-Age", "I-Age")


def empty(width=2, **others):
    return Datastore.empty(width, **{"fingerprint": "f0", "key_kind": "logits", **others})


def on_a_line(*rows):
    """A store of keys (x, 0), one row (x, label, document, offset) each."""
    x, labels, documents, offsets = zip(*rows, strict=True)
    keys = np.array([(value, 0) for value in x])
    return empty(label_names=NAMES).added(keys, labels, documents, offsets)


def rows(store):
    """The store as `on_a_line` takes it."""
    return [(store.keys[i, 0], *source(store, i)) for i in range(len(store))]


def source(store, i):
    found = store.source(i)
    return found.label, found.document, found.offset


STORE = on_a_line(
    (0, "O", "a", 0),
    (1, "B-Age", "a", 7),
    (2, "O", "b", 0),
    (3, "I-Age", "b", 3),
    (4, "O", "a", 9),
    (5, "B-Age", "c", 1),
)


def test_fields():
    assert STORE.keys.tolist() == [[x, 0] for x in range(6)]
    assert STORE.labels.tolist() == [0, 1, 0, 2, 0, 1]
    assert STORE.label_names == NAMES
    assert STORE.documents == ("a", "b", "c")
    assert STORE.document_of_key.tolist() == [0, 0, 1, 1, 0, 2]
    assert STORE.offsets.tolist() == [0, 7, 0, 3, 9, 1]
    assert STORE.source(3) == Source(document="b", offset=3, label="I-Age")
    assert STORE.counts_by_document() == {"a": 3, "b": 2, "c": 1}
    assert STORE.counts_by_label() == {"O": 3, "B-Age": 2, "I-Age": 1}
    assert (len(STORE), STORE.width, STORE.fingerprint) == (6, 2, "f0")
    arrays = (STORE.keys, STORE.labels, STORE.document_of_key, STORE.offsets)
    assert [str(array.dtype) for array in arrays] == ["float32", "int64", "int32", "int64"]


def test_repr_names_no_document():
    assert repr(STORE) == "Datastore(6 keys (logits) of width 2, 3 labels, 3 documents)"


@pytest.mark.parametrize(
    ("documents", "left", "left_documents"),
    [
        ([], [0, 1, 2, 3, 4, 5], "abc"),
        (["a"], [2, 3, 5], "bc"),
        ("a", [2, 3, 5], "bc"),
        (["b"], [0, 1, 4, 5], "ac"),
        (["c", "c"], [0, 1, 2, 3, 4], "ab"),
        ({"a", "c"}, [2, 3], "b"),
        (iter(["c", "b"]), [0, 1, 4], "a"),
        (("c", "a", "b"), [], ""),
    ],
)
def test_removed(documents, left, left_documents):
    store = STORE.removed(documents)
    assert rows(store) == [rows(STORE)[i] for i in left]
    assert store.documents == tuple(left_documents)
    assert store.label_names == NAMES
    assert len(STORE) == 6
    assert Datastore.from_bytes(store.to_bytes()) == store


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        (["case-8"], "not among the 2 documents of the datastore: 'case-8'; there is 'case-08'"),
        (["case-08", "x"], "not among the 2 documents of the datastore: 'x'$"),
        ("yzxwv", "not among the 2 documents of the datastore: 'yzxwv'$"),
        (list("vwxyz"), "'v', 'w', 'x' and 2 more$"),
        ([8], "datastore: 8$"),
    ],
)
def test_unknown_documents_are_not_removed(documents, message):
    store = on_a_line((0, "O", "case-08", 0), (1, "O", "report", 0))
    with pytest.raises(ValueError, match=message):
        store.removed(documents)


@pytest.mark.parametrize(
    ("keys", "left", "left_documents"),
    [
        ([], [0, 1, 2, 3, 4, 5], "abc"),
        ([0], [1, 2, 3, 4, 5], "abc"),
        (np.array([5, 5, 1]), [0, 2, 3, 4], "ab"),
        ((3, 2), [0, 1, 4, 5], "ac"),
        ([4, 1, 0], [2, 3, 5], "bc"),
        (range(6), [], ""),
    ],
)
def test_without_keys(keys, left, left_documents):
    store = STORE.without_keys(keys)
    assert rows(store) == [rows(STORE)[i] for i in left]
    assert (store.documents, store.label_names) == (tuple(left_documents), NAMES)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ([6], "indices of keys must lie from 0 to below 6, but lie from 6 to 6"),
        ([0, -1], "indices of keys must lie from 0 to below 6, but lie from -1 to 0"),
        ([True] * 6, "indices of keys must be whole numbers along one axis, not bool"),
    ],
)
def test_keys_that_are_not_there(keys, message):
    with pytest.raises(ValueError, match=message):
        STORE.without_keys(keys)


@pytest.mark.parametrize(
    ("labels", "documents", "label_names", "all_documents", "sources"),
    [
        (["O", "I-Age"], ["d", "d"], NAMES, "abcd", [("O", "d", 4), ("I-Age", "d", 5)]),
        (["O", "O"], ["e", "d"], NAMES, "abced", [("O", "e", 4), ("O", "d", 5)]),
        ("O", "d", NAMES, "abcd", [("O", "d", 4), ("O", "d", 5)]),
        # labels that the store has never seen
        (["B-X", "I-X"], "d", (*NAMES, "B-X", "I-X"), "abcd", [("B-X", "d", 4), ("I-X", "d", 5)]),
        (["I-X", "O"], "d", (*NAMES, "I-X"), "abcd", [("I-X", "d", 4), ("O", "d", 5)]),
    ],
)
def test_added(labels, documents, label_names, all_documents, sources):
    store = STORE.added([[8, 0], [9, 0]], labels, documents, [4, 5])
    assert rows(store)[:6] == rows(STORE)
    assert [source(store, 6), source(store, 7)] == sources
    assert store.keys[6:].tolist() == [[8, 0], [9, 0]]
    assert store.label_names == label_names
    assert store.documents == tuple(all_documents)
    assert (len(STORE), STORE.label_names, STORE.documents) == (6, NAMES, ("a", "b", "c"))
    assert Datastore.from_bytes(store.to_bytes()) == store


def test_nothing_added_changes_nothing():
    assert STORE.added(np.zeros((0, 2)), [], "d", []) == STORE
    assert empty().added(np.zeros((0, 2)), [], [], []) == empty()


def test_removed_and_added_again():
    added = STORE.removed("b").added([[2, 0], [3, 0]], ["O", "I-Age"], "b", [0, 3])
    assert added.documents == ("a", "c", "b")
    assert sorted(rows(added)) == sorted(rows(STORE))
    assert added.removed("b") == STORE.removed("b")


KEYS = [[8.0, 0.0], [9.0, 0.0]]


@pytest.mark.parametrize(
    ("keys", "labels", "documents", "offsets", "message"),
    [
        (KEYS, ["O", "O"], ["d", "a"], [0, 1], "already in the datastore: 'a'; remove first"),
        (KEYS, "O", ["b", "a"], [0, 1], "already in the datastore: 'b', 'a'; remove first"),
        (KEYS, ["O"], "d", [0, 1], "2 keys, 1 labels, 2 documents and 2 offsets do not fit"),
        (KEYS, "O", ["d"], [0, 1], "2 keys, 2 labels, 1 documents and 2 offsets do not fit"),
        (KEYS, "O", "d", [0, 1, 2], "2 keys, 2 labels, 2 documents and 3 offsets do not fit"),
        (KEYS, "O", "d", [0, -1], "offsets must lie from 0 to below .*, but lie from -1 to 0"),
        (KEYS, "O", "d", [0, 1.5], r"offsets must be whole numbers .*, not float64 \(2,\)"),
        (KEYS, "O", "d", [[0], [1]], r"offsets must be whole numbers .*, not int64 \(2, 1\)"),
        (KEYS, "O", "d", [2**63, 2**63], "but lie from 9223372036854775808 to"),
        ([[1.0], [2.0]], "O", "d", [0, 1], r"keys must be \(n_keys, 2\), not \(2, 1\)"),
        ([1.0, 2.0], "O", "d", [0, 1], r"keys must be \(n_keys, 2\), not \(2,\)"),
        ([[1, 0], [0, np.nan]], "O", "d", [0, 7], "key 7 .document 'd', character 7. is not fin"),
        ([[1, np.inf], [0, 0]], "O", "d", [5, 7], "key 6 .document 'd', character 5. is not fin"),
        ([[1, 0], [-1e39, 0]], "O", "d", [0, 7], "key 7 .* is not finite"),  # not in float32
        (KEYS, ["O", ""], "d", [0, 1], "'' in label_names is no name"),
        (KEYS, ["O", 1], "d", [0, 1], "1 in label_names is no name: each must be a text"),
        (KEYS, "O", "", [0, 1], "'' in documents is no name"),
        (KEYS, "O", ["d", None], [0, 1], "None in documents is no name"),
        (KEYS, "O", "x\ud800", [0, 1], "in documents, a text is not Unicode"),
    ],
)
def test_what_cannot_be_added(keys, labels, documents, offsets, message):
    with pytest.raises(ValueError, match=message):
        STORE.added(keys, labels, documents, offsets)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": np.array([0, 1, 0, 3, 0, 1])}, "labels must lie from 0 to below 3, .* 0 to 3"),
        ({"labels": np.array([0, 1, 0, -1, 0, 1])}, "labels must lie from 0 to below 3, .* -1 to"),
        ({"label_names": ()}, "labels must lie from 0 to below 0, but"),
        ({"labels": np.zeros(6)}, r"labels must be whole numbers .*, not float64 \(6,\)"),
        ({"labels": np.zeros(5, int)}, "labels are 5, but keys are 6"),
        ({"document_of_key": np.full(6, 3)}, "document_of_key must lie from 0 to below 3"),
        ({"document_of_key": np.full(6, 2**32)}, "document_of_key must lie from 0 to below 3"),
        ({"offsets": np.zeros(7, int)}, "offsets are 7, but keys are 6"),
        ({"label_names": ("O", "A", "A")}, "twice in label_names: 'A'"),
        ({"documents": ("b", "a", "b")}, "twice in documents: 'b'"),
        (
            {"documents": ("a", "b", "c", "d", "e")},
            "documents without a key: 'd', 'e'; leave their",
        ),
        ({"documents": ("b", "a", "")}, "'' in documents is no name"),
        ({"keys": np.zeros((6, 0))}, r"keys must have the shape \(n_keys, width\), not \(6, 0\)"),
        ({"keys": np.zeros(6)}, r"keys must have the shape \(n_keys, width\), not \(6,\)"),
        ({"keys": np.full((6, 2), np.nan)}, "key 0 .document 'a', character 0. is not finite"),
    ],
)
def test_fields_that_do_not_fit(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(STORE, **changes)


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)
stores = st.builds(
    lambda seed, labels, documents, extra, kind: random_store(seed, labels, documents, extra, kind),
    st.integers(0, 2**32),
    st.lists(texts, min_size=1, max_size=4, unique=True),
    st.dictionaries(texts, st.integers(1, 4), max_size=4),
    st.dictionaries(texts, st.integers(0, 3), max_size=2),
    texts,
)


def random_store(seed, labels, documents, extras, kind):
    """documents, extras: how many keys, how many rows each has. Documents lie mixed."""
    rng = np.random.default_rng(seed)
    ids = rng.permutation(np.repeat(np.arange(len(documents)), list(documents.values())))
    n = len(ids)
    return Datastore(
        keys=rng.normal(size=(n, 3)) * 10.0 ** rng.integers(-3, 4),
        labels=rng.integers(0, len(labels), n),
        label_names=tuple(labels),
        documents=tuple(documents),
        document_of_key=ids,
        offsets=rng.integers(0, 2**63, n),
        fingerprint=kind[::-1],
        key_kind=kind,
        extras={name: rng.integers(0, 3, (size, 2)) for name, size in extras.items()},
    )


@settings(max_examples=50, deadline=None)
@given(stores)
def test_round_trip(store):
    data = store.to_bytes()
    back = Datastore.from_bytes(data)
    assert back == store
    assert back.to_bytes() == data
    assert (back.documents, back.label_names) == (store.documents, store.label_names)
    assert (back.fingerprint, back.key_kind) == (store.fingerprint, store.key_kind)
    assert {n: a.tolist() for n, a in back.extras.items()} == {
        name: array.tolist() for name, array in store.extras.items()
    }


def test_extreme_keys_keep_every_bit():
    limits = np.finfo(np.float32)
    keys = np.array([[limits.max, limits.min], [limits.smallest_subnormal, -0.0]], np.float32)
    store = empty().added(keys, "O", "a", [0, 1])
    assert Datastore.from_bytes(store.to_bytes()).keys.tobytes() == keys.tobytes()


@settings(max_examples=50, deadline=None)
@given(stores, st.data())
def test_removed_documents_leave_nothing(store, data):
    gone = data.draw(st.sets(st.sampled_from(store.documents or ("none",)))) & {*store.documents}
    left = store.removed(gone)
    expected = [source(store, i) for i in range(len(store)) if store.source(i).document not in gone]
    assert [source(left, i) for i in range(len(left))] == expected
    assert [d for d in store.documents if d not in gone] == list(left.documents)
    both = left
    for name in gone:  # the same one after the other, and all back in place
        mine = store.document_of_key == store.documents.index(name)
        labels = [store.label_names[label] for label in store.labels[mine]]
        both = both.added(store.keys[mine], labels, name, store.offsets[mine])
    assert sorted(source(both, i) for i in range(len(both))) == sorted(
        source(store, i) for i in range(len(store))
    )


@pytest.mark.parametrize(
    ("changes", "equal"),
    [
        ({}, True),
        ({"keys": STORE.keys + 0}, True),
        ({"labels": list(STORE.labels)}, True),
        ({"keys": STORE.keys + 1}, False),
        ({"labels": STORE.labels * 0}, False),
        ({"label_names": ("O", "B-Age", "I-Sex")}, False),
        ({"documents": ("a", "b", "d")}, False),
        ({"document_of_key": STORE.document_of_key[::-1]}, False),
        ({"offsets": STORE.offsets + 1}, False),
        ({"fingerprint": "f1"}, False),
        ({"key_kind": "hidden"}, False),
        ({"extras": {"rows": np.zeros((2, 2))}}, False),
    ],
)
def test_equality(changes, equal):
    assert (replace(STORE, **changes) == STORE) is equal
    assert (replace(STORE, **changes).to_bytes() == STORE.to_bytes()) is equal


def test_equality_of_extras_and_with_other_things():
    one, other = (replace(STORE, extras={"rows": np.full((2, 2), i)}) for i in (1, 2))
    as_float = replace(STORE, extras={"rows": np.full((2, 2), 1.0)})
    assert one != other
    assert one != as_float
    assert one != "a datastore"


def test_extras_stay():
    store = replace(STORE, extras={"rows": np.arange(6).reshape(2, 3), "flag": np.array(True)})
    for other in (store.removed("a"), store.added(KEYS, "O", "d", [0, 1])):
        back = Datastore.from_bytes(other.to_bytes())
        assert back.extras["rows"].tolist() == [[0, 1, 2], [3, 4, 5]]
        assert back.extras["flag"].shape == ()


def test_nothing_can_be_changed_in_place():
    store = replace(STORE, extras={"rows": np.zeros(2)})
    for kept in (store, Datastore.from_bytes(store.to_bytes())):
        arrays = (kept.keys, kept.labels, kept.document_of_key, kept.offsets, kept.extras["rows"])
        for array in arrays:
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 0
        with pytest.raises(FrozenInstanceError):
            kept.keys = STORE.keys


def test_arrays_of_the_caller_stay_writable():
    keys = np.zeros((2, 2), dtype=np.float32)
    store = empty().added(keys, "O", "a", [0, 1])
    assert keys.flags.writeable
    assert np.shares_memory(store.keys, keys)


def test_only_the_keys_keep_a_file_in_memory():
    data = replace(STORE, extras={"rows": np.zeros(2)}).to_bytes()
    store, file = Datastore.from_bytes(data), np.frombuffer(data, dtype=np.uint8)
    assert np.shares_memory(store.keys, file)
    left = store.removed("a")
    arrays = (left.keys, left.labels, left.document_of_key, left.offsets, left.extras["rows"])
    assert not any(np.shares_memory(array, file) for array in arrays)


def test_every_flipped_byte_is_found():
    data = STORE.to_bytes()
    for position in range(len(data)):
        for mask in (0x01, 0x20, 0xFF):
            changed = bytearray(data)
            changed[position] ^= mask
            with pytest.raises(ValueError, match="datastore file"):
                Datastore.from_bytes(bytes(changed))


def test_every_truncation_is_found():
    data = STORE.to_bytes()
    for length in range(len(data)):
        with pytest.raises(ValueError, match="datastore file"):
            Datastore.from_bytes(data[:length])


def repacked(arrays=None, *, without=(), version=1, kind="datastore", **metadata):
    """The bytes of STORE with some things another, and a checksum that fits."""
    old, texts = unpack(STORE.to_bytes(), kind="datastore", versions=(1,))
    both = {**old, **(arrays or {})}, {**texts, **metadata}
    kept = [{name: part[name] for name in part if name not in without} for part in both]
    return pack(*kept, kind=kind, version=version)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (repacked(kind="neighbours"), "the file holds 'neighbours', but 'datastore' is needed"),
        (
            repacked(version=2),
            "the datastore file is of format version 2, but .* reads version 1: ",
        ),
        (repacked(without=["keys"]), r"not valid \(it lacks 'keys'\): fit it anew"),
        (repacked(without=["documents"]), r"not valid \(it lacks 'documents'\)"),
        (repacked(without=["fingerprint"]), r"not valid \(it lacks 'fingerprint'\)"),
        (repacked(without=["key_kind"]), r"not valid \(it lacks 'key_kind'\)"),
        (repacked({"keys": STORE.keys.astype(np.float64)}), "keys are float64, not float32"),
        (repacked({"labels": STORE.labels.astype(np.int32)}), "labels are int32, not int64"),
        (repacked({"document_of_key": STORE.labels}), "document_of_key are int64, not int32"),
        (repacked({"offsets": STORE.labels.astype(np.uint64)}), "offsets are uint64, not int64"),
        (repacked({"label_names": np.zeros(2)}), "does not hold a list of texts"),
        (repacked({"documents": texts_to_array(["a", "b"])}), "must lie from 0 to below 2"),
        (repacked({"documents": texts_to_array(["a", "b", "a"])}), "twice in documents: 'a'"),
        (repacked({"documents": texts_to_array(["a", "b", "c", "gone"])}), "without a key: 'gone'"),
        (repacked({"label_names": texts_to_array(["O"])}), "labels must lie from 0 to below 1"),
        (repacked({"labels": STORE.labels - 1}), "labels must lie from 0 to below 3"),
        (repacked({"labels": STORE.labels[:5]}), "labels are 5, but keys are 6"),
        (repacked({"labels": STORE.labels.reshape(2, 3)}), "labels must be whole numbers"),
        (repacked({"offsets": STORE.offsets - 1}), "offsets must lie from 0"),
        (repacked({"keys": STORE.keys * np.float32("nan")}), "key 0 .* is not finite"),
        (repacked({"keys": STORE.keys[0]}), "keys must have the shape"),
    ],
)
def test_files_that_are_not_valid(data, message):
    with pytest.raises(ValueError, match=message):
        Datastore.from_bytes(data)


def test_file_without_a_document_that_was_removed():
    store = on_a_line((0, "O", "mrs-smith", 0), (1, "O", "other", 0))
    assert b"mrs-smith" in store.to_bytes()
    assert b"mrs-smith" not in store.removed("mrs-smith").to_bytes()


def test_file_holds_no_words():
    text = "The patient, Miriam Okonkwo-Smythe, denies palpitations."
    words = list(re.finditer(r"\w+", text))
    keys = [[len(word[0]), word.start()] for word in words]
    store = empty().added(keys, "O", "case-1", [word.start() for word in words])
    data = store.to_bytes()
    assert not [word[0] for word in words if len(word[0]) > 2 and word[0].encode() in data]
    assert set(load(data)) == {
        *("keys", "labels", "label_names"),
        *("documents", "document_of_key", "offsets"),
    }


def test_large_offsets_and_many_documents():
    n = 40_000  # more than 16 bits tell
    ids = [f"document-{i}" for i in range(n)]
    offsets = np.arange(n) + 2**40
    store = empty(1).added(np.arange(n)[:, None], "O", ids, offsets)
    back = Datastore.from_bytes(store.to_bytes())
    assert back == store
    assert back.source(n - 1) == Source(ids[-1], 2**40 + n - 1, "O")
    left = back.removed(ids[: n - 1])
    assert (len(left), left.source(0)) == (1, back.source(n - 1))


def test_memory_of_large_stores():
    n = 100_000
    keys = np.ones((n, 40), dtype=np.float32)
    zeros = np.zeros(n, dtype=np.int64)
    fields = {"label_names": ["O"], "documents": ["a"], "fingerprint": "", "key_kind": ""}
    indices = {"labels": zeros, "document_of_key": zeros.astype(np.int32), "offsets": zeros}
    tracemalloc.start()
    try:
        store = Datastore(keys=keys, **indices, **fields)
        assert tracemalloc.get_traced_memory()[1] < 0.1 * keys.nbytes
        data = store.to_bytes()
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        back = Datastore.from_bytes(data)
        assert tracemalloc.get_traced_memory()[1] - before < 0.1 * keys.nbytes
    finally:
        tracemalloc.stop()
    assert back == store
