import hashlib
import json
import pickle
import re
import struct
import tracemalloc
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from spacy_btl.neighbors import datastore
from spacy_btl.neighbors.datastore import Datastore, Source
from tests.helpers.datastores import counts_by_label, empty_store

NAMES = ("O", "B-Age", "I-Age")


def on_a_line(*rows):
    """Return a store of keys (x, 0), one row (x, label, document, offset) each."""
    x, labels, documents, offsets = zip(*rows, strict=True)
    keys = np.array([(value, 0) for value in x])
    return empty_store(label_names=NAMES).added(keys, labels, documents, offsets)


def rows(store):
    """Return the store as `on_a_line` takes it."""
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
    assert counts_by_label(STORE) == {"O": 3, "B-Age": 2, "I-Age": 1}
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
    assert empty_store().added(np.zeros((0, 2)), [], [], []) == empty_store()


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
        (KEYS, "O", "d", [0, -1], "offsets must be at least 0 and below .*, but are from -1 to 0"),
        (KEYS, "O", "d", [0, 1.5], r"offsets must be whole numbers .*, not float64 \(2,\)"),
        (KEYS, "O", "d", [[0], [1]], r"offsets must be whole numbers .*, not int64 \(2, 1\)"),
        (KEYS, "O", "d", [2**63, 2**63], "but are from 9223372036854775808 to"),
        ([[1.0], [2.0]], "O", "d", [0, 1], r"keys must be \(n_keys, 2\), not \(2, 1\)"),
        ([1.0, 2.0], "O", "d", [0, 1], r"keys must be \(n_keys, 2\), not \(2,\)"),
        ([[1, 0], [0, np.nan]], "O", "d", [0, 7], "key 7 .document 'd', character 7. is not fin"),
        ([[1, np.inf], [0, 0]], "O", "d", [5, 7], "key 6 .document 'd', character 5. is not fin"),
        ([[1, 0], [-1e39, 0]], "O", "d", [0, 7], "key 7 .* is not finite"),  # not in float32
        (KEYS, ["O", ""], "d", [0, 1], "'' in label_names is not a name"),
        (
            KEYS,
            ["O", 1],
            "d",
            [0, 1],
            "1 in label_names is not a name: each must be a non-empty string",
        ),
        (KEYS, "O", "", [0, 1], "'' in documents is not a name"),
        (KEYS, "O", ["d", None], [0, 1], "None in documents is not a name"),
        (
            KEYS,
            "O",
            "x\ud800",
            [0, 1],
            "in documents, 'x.ud800' is not Unicode: it contains a lone surrogate",
        ),
    ],
)
def test_what_cannot_be_added(keys, labels, documents, offsets, message):
    with pytest.raises(ValueError, match=message):
        STORE.added(keys, labels, documents, offsets)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"labels": np.array([0, 1, 0, 3, 0, 1])},
            "labels must be at least 0 and below 3, .* 0 to 3",
        ),
        (
            {"labels": np.array([0, 1, 0, -1, 0, 1])},
            "labels must be at least 0 and below 3, .* -1 to",
        ),
        ({"label_names": ()}, "labels must be at least 0 and below 0, but"),
        ({"labels": np.zeros(6)}, r"labels must be whole numbers .*, not float64 \(6,\)"),
        ({"labels": np.zeros(5, int)}, "labels are 5, but keys are 6"),
        ({"document_of_key": np.full(6, 3)}, "document_of_key must be at least 0 and below 3"),
        ({"document_of_key": np.full(6, 2**32)}, "document_of_key must be at least 0 and below 3"),
        ({"offsets": np.zeros(7, int)}, "offsets are 7, but keys are 6"),
        ({"label_names": ("O", "A", "A")}, "twice in label_names: 'A'"),
        ({"documents": ("b", "a", "b")}, "twice in documents: 'b'"),
        (
            {"documents": ("a", "b", "c", "d", "e")},
            "documents without a key: 'd', 'e'; leave their",
        ),
        ({"documents": ("b", "a", "")}, "'' in documents is not a name"),
        ({"keys": np.zeros((6, 0))}, r"keys must have the shape \(n_keys, width\), not \(6, 0\)"),
        ({"keys": np.zeros(6)}, r"keys must have the shape \(n_keys, width\), not \(6,\)"),
        ({"keys": np.full((6, 2), np.nan)}, "key 0 .document 'a', character 0. is not finite"),
        ({"label_names": "ABC"}, "label_names must be a list of names, not a string"),
        ({"fingerprint": None}, "fingerprint must be a text, not NoneType"),
        ({"key_kind": "x\ud800"}, "in key_kind, 'x.ud800' is not Unicode"),
        ({"extras": {"a": np.array(["x"])}}, "the extra 'a' is of type <U1, which cannot be saved"),
        ({"extras": {"a": np.array([None])}}, "the extra 'a' is of type object"),
        ({"extras": {"a": np.zeros(1, np.complex64)}}, "the extra 'a' is of type complex64"),
        ({"extras": {"x\ud800": np.zeros(1)}}, "in extras, 'x.ud800' is not Unicode"),
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
    """Return documents, extras: how many keys, how many rows each has. Documents lie mixed."""
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
    store = empty_store().added(keys, "O", "a", [0, 1])
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
    store = empty_store().added(keys, "O", "a", [0, 1])
    assert keys.flags.writeable
    assert np.shares_memory(store.keys, keys)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=">f4").reshape(3, 4),
        np.arange(12, dtype=np.int16).reshape(3, 4).T,
        np.arange(12)[::-3],
        np.broadcast_to(np.float32(2), (3, 2)),
        np.zeros((0, 5)),
        np.array(True),
        np.float16([0.1]),
        np.array([2**64 - 1], dtype=np.uint64),
    ],
)
def test_extras_of_any_shape_type_and_order_in_memory(array):
    back = Datastore.from_bytes(replace(STORE, extras={"é": array}).to_bytes()).extras["é"]
    assert (back.dtype, back.shape) == (array.dtype.newbyteorder("="), array.shape)
    np.testing.assert_array_equal(back, array)


def test_keys_in_any_order_in_memory():
    turned = replace(STORE, keys=np.asfortranarray(STORE.keys))
    assert turned.to_bytes() == STORE.to_bytes()


def test_the_file_is_a_digest_and_a_safetensors_file():
    extras = {"b": np.zeros(3, np.int8), "a": np.ones(1)}
    data = replace(STORE, extras=extras).to_bytes()
    assert data[:32] == hashlib.sha256(data[32:]).digest()
    arrays = load(data[32:])
    assert arrays["keys"].tolist() == STORE.keys.tolist()
    assert arrays["labels"].tolist() == STORE.labels.tolist()
    turned = dict(reversed(extras.items()))
    assert replace(STORE, extras=turned).to_bytes() == data


def signed(content):
    """Return a file with a checksum that fits: what a forger would write."""
    return hashlib.sha256(content).digest() + content


DATA = STORE.to_bytes()
NO_SUM = r"the datastore file .* does not match its checksum: .* fit the neighbors again"


def test_every_flipped_bit_is_found():
    for position in range(len(DATA)):
        for bit in range(8):
            changed = bytearray(DATA)
            changed[position] ^= 1 << bit
            with pytest.raises(ValueError, match=NO_SUM):
                Datastore.from_bytes(bytes(changed))


def test_every_truncation_is_found():
    for length in range(len(DATA)):
        with pytest.raises(ValueError, match=NO_SUM):
            Datastore.from_bytes(DATA[:length])


@pytest.mark.parametrize("more", [b"\0", b" ", b"0" * 64, DATA])
def test_appended_and_inserted_bytes_are_found(more):
    for other in (
        DATA + more,
        more + DATA,
        DATA[:20] + more + DATA[20:],
        DATA[:-3] + more + DATA[-3:],
    ):
        with pytest.raises(ValueError, match=NO_SUM):
            Datastore.from_bytes(other)


# As version 1 began: its digest was in the header.
VERSION_1 = b'{"__metadata__":{"sha256":"' + b"0" * 64 + b'","kind":"datastore","version":"1"}}'


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 200,
        pickle.dumps({"keys": [1, 2]}),
        save({"keys": STORE.keys}),
        DATA[32:],
        struct.pack("<Q", len(VERSION_1)) + VERSION_1,
    ],
)
def test_other_files_are_refused(data):
    with pytest.raises(ValueError, match=NO_SUM):
        Datastore.from_bytes(data)


@given(st.binary(max_size=300))
def test_random_bytes_are_refused(data):
    with pytest.raises(ValueError, match=NO_SUM):
        Datastore.from_bytes(data)


def test_nothing_is_parsed_before_the_checksum_fits(monkeypatch):
    monkeypatch.setattr(datastore, "load", lambda _: pytest.fail("parsed"))
    monkeypatch.setattr(json, "loads", lambda _: pytest.fail("parsed"))
    with pytest.raises(ValueError, match=NO_SUM):
        Datastore.from_bytes(DATA[:-1] + b"\1")


def forged(arrays=None, *, without=(), **metadata):
    """Return the bytes of STORE with some fields replaced, and a checksum that fits."""
    every = {**load(DATA[32:]), **(arrays or {})}
    texts = {"version": 2, "fingerprint": "f0", "key_kind": "logits", **metadata}
    texts = {"label_names": NAMES, "documents": ("a", "b", "c"), **texts}
    kept = [{name: part[name] for name in part if name not in without} for part in (every, texts)]
    return signed(save(kept[0], {"datastore": json.dumps(kept[1])}))


def test_forged_bytes_without_changes_are_read():
    assert Datastore.from_bytes(forged()) == STORE


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (forged(version=3), "is of format version 3, but this spacy-btl reads version 2: fit the"),
        (forged(version="2"), "is of format version 2, but this spacy-btl reads version 2"),
        (forged(without=["version"]), "unreadable .KeyError: 'version'.: fit the neighbors again"),
        (forged(without=["keys"]), r"not valid \(it lacks 'keys'\): fit the neighbors again"),
        (forged(without=["documents"]), r"not valid \(it lacks 'documents'\)"),
        (forged(without=["fingerprint"]), r"not valid \(it lacks 'fingerprint'\)"),
        (forged(without=["key_kind"]), r"not valid \(it lacks 'key_kind'\)"),
        (forged({"keys": STORE.keys.astype(np.float64)}), "keys are float64, not float32"),
        (forged({"labels": STORE.labels.astype(np.int32)}), "labels are int32, not int64"),
        (forged({"document_of_key": STORE.labels}), "document_of_key are int64, not int32"),
        (forged({"offsets": STORE.labels.astype(np.uint64)}), "offsets are uint64, not int64"),
        (forged(label_names="OBI"), "label_names must be a list of names"),
        (forged(label_names=3), "not valid"),
        (forged(label_names=[1, 2, 3]), "1 in label_names is not a name"),
        (forged(label_names=[["O"], "B", "I"]), "in label_names is not a name"),
        (forged(documents=["a", "b"]), "must be at least 0 and below 2"),
        (forged(documents=["a", "b", "a"]), "twice in documents: 'a'"),
        (forged(documents=["a", "b", "\ud800"]), "in documents, .* is not Unicode"),
        (forged(documents=["a", "b", "c", "gone"]), "documents without a key: 'gone'"),
        (forged(fingerprint=3), "fingerprint must be a text, not int"),
        (forged(label_names=["O"]), "labels must be at least 0 and below 1"),
        (forged({"labels": STORE.labels - 1}), "labels must be at least 0 and below 3"),
        (forged({"labels": STORE.labels[:5]}), "labels are 5, but keys are 6"),
        (forged({"labels": STORE.labels.reshape(2, 3)}), "labels must be whole numbers"),
        (forged({"offsets": STORE.offsets - 1}), "offsets must be at least 0"),
        (forged({"keys": STORE.keys * np.float32("nan")}), "key 0 .* is not finite"),
        (forged({"keys": STORE.keys[0]}), "keys must have the shape"),
        (forged({"extra.a": np.zeros(1, np.float32)}, documents=[]), "below 0"),
        # no metadata of ours
        (signed(save({"keys": STORE.keys})), "unreadable .KeyError"),
        (signed(save({"keys": STORE.keys}, {"datastore": "3"})), "unreadable .TypeError"),
        (signed(save({"keys": STORE.keys}, {"datastore": "[]"})), "unreadable .TypeError"),
        (signed(save({"keys": STORE.keys}, {"datastore": '{"version":'})), "unreadable .JSONDec"),
        (signed(save({"keys": STORE.keys}, {"datastore": "[" * 10**5})), "unreadable .Recursion"),
    ],
)
def test_fields_of_forged_files(data, message):
    with pytest.raises(ValueError, match=message):
        Datastore.from_bytes(data)


def entry(dtype="F32", shape=(1,), offsets=(0, 4)):
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def file_of(header, body=b"", length=None):
    """Return a file with any header and body, and a checksum that fits."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return signed(struct.pack("<Q", len(text) if length is None else length) + text + body)


@pytest.mark.parametrize(
    "data",
    [
        signed(b""),
        signed(b"{}"),
        file_of({}, length=2**64 - 1),
        file_of({}, length=0),
        file_of({"a": entry()}, bytes(4), length=9),
        file_of(b'{"a":'),
        file_of(b"{}\xff"),
        file_of(b"[]"),
        file_of(b'{"a":' + b"[" * 10**5),
        file_of({"__metadata__": 1}),
        file_of({"__metadata__": {"datastore": 1}}),
        file_of({"a": 3}),
        file_of({"a": entry("F8_E4M3")}, bytes(1)),
        file_of({"a": entry("F33")}, bytes(4)),
        file_of({"a": entry(["F32"])}, bytes(4)),
        file_of({"a": entry(shape=None)}, bytes(4)),
        file_of({"a": entry(offsets=[0])}, bytes(4)),
        file_of({"a": entry(shape=["1"])}, bytes(4)),
        file_of({"a": entry(shape=[1.5])}, bytes(4)),
        file_of({"a": entry(shape=[-1, -1])}, bytes(4)),
        file_of({"a": entry(shape=[10**30, 0])}, bytes(4)),
        file_of({"a": entry(shape=[2**62, 0], offsets=[0, 0])}),
        file_of({"a": entry(shape=[2**62] * 9 + [0], offsets=[0, 0])}),
        file_of({"a": entry(shape=[1] * 99)}, bytes(4)),
        file_of({"a": entry(shape=[2**40], offsets=[0, 2**42])}),
        file_of({"a": entry(shape=[2])}, bytes(4)),
        file_of({"a": entry(offsets=[4, 0])}, bytes(4)),
        file_of({"a": entry()}, bytes(3)),
        file_of({"a": entry(offsets=[4, 8])}, bytes(8)),
        file_of({"a": entry(), "b": entry()}, bytes(4)),
        file_of({"a": entry()}, bytes(8)),
    ],
)
def test_contents_of_forged_files(data):
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"the datastore file is (unreadable|not valid)"):
            Datastore.from_bytes(data)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_random_changes_with_a_checksum_that_fits(data):
    """Nothing but a ValueError, and what is read contains no more than the bytes can."""
    changed = bytearray(DATA[32:])
    places = st.integers(0, len(changed) - 1)
    for place, byte in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=3)):
        changed[place] = byte
    try:
        store = Datastore.from_bytes(signed(bytes(changed)))
    except ValueError:
        return
    assert store.keys.nbytes + store.labels.nbytes <= len(changed)
    assert Datastore.from_bytes(store.to_bytes()) == store


def test_texts_that_are_too_long_for_a_file(monkeypatch):
    monkeypatch.setattr(datastore, "MAX_HEADER", 300)
    with pytest.raises(ValueError, match="ids of 3 documents take more than 300 bytes: use short"):
        STORE.to_bytes()


def test_file_without_a_document_that_was_removed():
    store = on_a_line((0, "O", "mrs-smith", 0), (1, "O", "other", 0))
    assert b"mrs-smith" in store.to_bytes()
    assert b"mrs-smith" not in store.removed("mrs-smith").to_bytes()


def test_file_holds_no_words():
    text = "The patient, Miriam Okonkwo-Smythe, denies palpitations."
    words = list(re.finditer(r"\w+", text))
    keys = [[len(word[0]), word.start()] for word in words]
    store = empty_store().added(keys, "O", "case-1", [word.start() for word in words])
    data = store.to_bytes()
    assert not [word[0] for word in words if len(word[0]) > 2 and word[0].encode() in data]
    assert set(load(data[32:])) == {"keys", "labels", "document_of_key", "offsets"}


def test_large_offsets_and_many_documents():
    n = 40_000  # more than 16 bits can hold
    ids = [f"document-{i}" for i in range(n)]
    offsets = np.arange(n) + 2**40
    store = empty_store(1).added(np.arange(n)[:, None], "O", ids, offsets)
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
        assert tracemalloc.get_traced_memory()[1] - before < 2.2 * len(data)
        assert tracemalloc.get_traced_memory()[0] - before < 1.1 * len(data)
    finally:
        tracemalloc.stop()
    assert back == store
