import hashlib
import json
import pickle
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load, save

from spacy_btl.neighbors.checked_file import (
    DTYPES,
    MAX_HEADER,
    array_to_texts,
    pack,
    texts_to_array,
    unpack,
    write_atomically,
)

ARRAYS = {
    "small": np.array([1, 0, 1], dtype=np.uint8),
    "keys": np.array([[0.5, -1.5], [2.0, 3.0]], dtype=np.float32),
    "none": np.zeros((0, 5), dtype=np.float32),
    "labels": np.array([3, -1], dtype=np.int64),
}
START = 8 + len('{"__metadata__":{"sha256":"')


def packed(arrays=ARRAYS, metadata=None):
    return pack(
        arrays, {"fingerprint": "abc"} if metadata is None else metadata, kind="x", version=1
    )


def unpacked(data):
    return unpack(data, kind="x", versions=(1,))


def signed(data):
    """The same bytes with the checksum that belongs to them: what a forger would write."""
    zeroed = data[:START] + b"0" * 64 + data[START + 64 :]
    return data[:START] + hashlib.sha256(zeroed).hexdigest().encode() + data[START + 64 :]


def file_of(header, body=b"", length=None):
    """A file with any header and body, and with a checksum that fits."""
    text = (
        header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    )
    return signed(struct.pack("<Q", len(text) if length is None else length) + text + body)


def header_of(arrays, **metadata):
    fixed = {"sha256": "0" * 64, "kind": "x", "version": "1"}
    return {"__metadata__": {**fixed, **metadata}, **arrays}


def assert_same(arrays, others):
    assert arrays.keys() == others.keys()
    for name, array in arrays.items():
        assert others[name].dtype == array.dtype.newbyteorder("<")
        assert others[name].shape == array.shape
        np.testing.assert_array_equal(others[name], array)


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
anything = hnp.arrays(
    st.sampled_from(sorted(DTYPES.values(), key=str)), hnp.array_shapes(min_dims=0, min_side=0)
)


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(names.filter(lambda name: name != "__metadata__"), anything, max_size=4),
    st.dictionaries(names.filter(lambda name: name not in ("kind", "version", "sha256")), names),
)
def test_round_trip_ours_and_by_safetensors(arrays, metadata):
    data = packed(arrays, metadata)
    back, texts = unpacked(data)
    assert_same(arrays, back)
    assert texts == metadata
    assert_same(arrays, load(data))
    assert packed(back, texts) == data


@pytest.mark.parametrize("arrays", [{}, {"a": np.zeros((0, 5))}, {"a": np.float32(3.5)}])
@pytest.mark.parametrize("metadata", [{}, {"": ""}, {'"\\\0': "é😀\n", "Sha256": "0" * 64}])
def test_odd_contents(arrays, metadata):
    back, texts = unpacked(packed(arrays, metadata))
    assert texts == metadata
    assert_same({name: np.asarray(array) for name, array in arrays.items()}, back)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=">f4").reshape(3, 4),
        np.arange(12, dtype=np.int16).reshape(3, 4).T,
        np.arange(12)[::-3],
        np.broadcast_to(np.float32(2), (3, 2)),
    ],
)
def test_arrays_in_another_order_of_memory(array):
    data = packed({"a": array})
    np.testing.assert_array_equal(unpacked(data)[0]["a"], array)
    np.testing.assert_array_equal(load(data)["a"], array)


def test_order_of_arrays_does_not_matter():
    assert packed(dict(reversed(ARRAYS.items()))) == packed()


@pytest.mark.parametrize("length", range(9))
def test_arrays_begin_at_multiples_of_their_width(length):
    data = packed({"a": np.zeros(3, np.int8), **ARRAYS}, {"text": "x" * length})
    start = np.frombuffer(data, np.uint8).ctypes.data
    for array in unpacked(data)[0].values():
        assert (array.ctypes.data - start) % array.itemsize == 0


def test_arrays_lie_in_the_bytes_and_are_read_only():
    arrays, _ = unpacked(bytearray(packed()))
    assert not any(array.flags.writeable or array.flags.owndata for array in arrays.values())


def test_memory():
    big = {"keys": np.ones((100_000, 20), dtype=np.float32)}
    tracemalloc.start()
    try:
        data = packed(big)
        assert tracemalloc.get_traced_memory()[1] < 1.1 * len(data)
        tracemalloc.reset_peak()
        arrays, _ = unpacked(data)
        assert tracemalloc.get_traced_memory()[1] < 1.1 * len(data)
    finally:
        tracemalloc.stop()
    assert arrays["keys"].nbytes == len(data) - 8 - struct.unpack("<Q", data[:8])[0]


def test_every_flipped_bit_is_found():
    data = packed()
    for position in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[position] ^= 1 << bit
            with pytest.raises(ValueError, match=r"fit its checksum|not begin like one"):
                unpacked(bytes(changed))


def test_every_truncation_is_found():
    data = packed()
    for length in range(len(data)):
        with pytest.raises(ValueError, match=r"fit its checksum|not begin like one|is empty"):
            unpacked(data[:length])


@pytest.mark.parametrize("more", [b"\0", b" ", b"0" * 64, packed()])
def test_appended_and_inserted_bytes_are_found(more):
    data = packed()
    for other in (
        data + more,
        more + data,
        data[:20] + more + data[20:],
        data[:-3] + more + data[-3:],
    ):
        with pytest.raises(ValueError, match=r"fit its checksum|not begin like one"):
            unpacked(other)


def test_digits_of_the_checksum_in_another_case_are_found():
    data = packed()
    upper = data[:START] + data[START : START + 64].upper() + data[START + 64 :]
    assert upper != data
    with pytest.raises(ValueError, match="does not fit its checksum"):
        unpacked(upper)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the x file is empty: take it from a backup, or make it anew"),
        (pickle.dumps({"keys": [1, 2]}), "does not begin like one of spacy-btl"),
        (save(ARRAYS), "does not begin like one of spacy-btl"),
        (save(ARRAYS, {"sha256": "0" * 64}), "does not fit its checksum|does not begin like"),
        (b"\xff" * 200, r"the x file \(200 bytes\) does not begin like one of spacy-btl"),
        (
            struct.pack("<Q", 2**63) + packed()[8:],
            "does not fit its checksum: it was changed or cut",
        ),
        (
            pack({}, {}, kind="y", version=1),
            "the file holds 'y', but 'x' is needed: give the right",
        ),
        (
            pack({}, {}, kind="x", version=2),
            "is of format version 2, but this .* reads version 1: use",
        ),
        (pack({}, {}, kind="x", version=0), "is of format version 0, but this .* reads version 1"),
    ],
)
def test_what_is_no_such_file(data, message):
    with pytest.raises(ValueError, match=message):
        unpacked(data)


def test_each_known_version_is_read():
    data = pack({}, {}, kind="x", version=2)
    assert unpack(data, kind="x", versions=(1, 2)) == ({}, {})
    with pytest.raises(ValueError, match="version 2, but this spacy-btl reads version 1, 3"):
        unpack(data, kind="x", versions={3, 1})


def entry(dtype="F32", shape=(1,), offsets=(0, 4)):
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        # the header
        (
            file_of(header_of({}), length=2**64 - 1),
            "it should have 18,446,744,073,709,551,615 bytes",
        ),
        (file_of(header_of({}), length=0), "unreadable header"),
        (file_of(header_of({}, a="é" * 10), length=150), "unreadable header"),
        (file_of(json.dumps(header_of({}))[:-1].replace(" ", "").encode()), "unreadable header"),
        (
            file_of(json.dumps(header_of({})).replace(" ", "").encode() + b"\xff"),
            "unreadable header",
        ),
        (file_of(header_of({}, a=1)), "its metadata is no table of texts"),
        (file_of({"__metadata__": {"sha256": "0" * 64, "version": "1"}}), "header .'kind'"),
        (file_of({"__metadata__": {"sha256": "0" * 64, "kind": "x"}}), "header .'version'"),
        (
            file_of(
                json.dumps(header_of({})).replace(" ", "").encode()[:-1] + b',"a":' + b"[" * 10**5
            ),
            "unreadable header",
        ),
        (file_of(header_of({}, a="a" * MAX_HEADER)), "it should have"),
        # the arrays
        (file_of(header_of({"a": 3})), "'a' lacks a known type, a shape or a place"),
        (file_of(header_of({"a": entry("F8_E4M3")}), bytes(4)), "'a' lacks a known type"),
        (file_of(header_of({"a": entry(["F32"])}), bytes(4)), "'a' lacks a known type"),
        (file_of(header_of({"a": entry(shape=None)}), bytes(4)), "'a' lacks a known type"),
        (file_of(header_of({"a": entry(offsets=[0])}), bytes(4)), "'a' lacks a known type"),
        (file_of(header_of({"a": entry(shape=["1"])}), bytes(4)), "'a' are no sizes"),
        (file_of(header_of({"a": entry(shape=[True])}), bytes(4)), "'a' are no sizes"),
        (file_of(header_of({"a": entry(shape=[1.0])}), bytes(4)), "'a' are no sizes"),
        (file_of(header_of({"a": entry(shape=[-1, -1])}), bytes(4)), "'a' are no sizes"),
        (file_of(header_of({"a": entry(shape=[10**30, 0])}), bytes(4)), "'a' are no sizes"),
        (file_of(header_of({"a": entry(shape=[2**62, 0], offsets=[0, 0])})), "unreadable array"),
        (file_of(header_of({"a": entry(shape=[2**62] * 9 + [0], offsets=[0, 0])})), "unreadable"),
        (file_of(header_of({"a": entry(shape=[1] * 99)}), bytes(4)), "unreadable array"),
        (
            file_of(header_of({"a": entry(shape=[2**40], offsets=[0, 2**42])})),
            "do not fit its shape",
        ),
        (file_of(header_of({"a": entry(shape=[2])}), bytes(4)), "do not fit its shape"),
        (file_of(header_of({"a": entry(offsets=[4, 0])}), bytes(4)), "do not fit its shape"),
        (file_of(header_of({"a": entry()}), bytes(3)), "do not fit its shape"),
        (file_of(header_of({"a": entry(offsets=[4, 8])}), bytes(8)), "do not fit its shape"),
        (file_of(header_of({"a": entry(), "b": entry()}), bytes(4)), "bytes of 'b' do not fit"),
        (file_of(header_of({"a": entry()}), bytes(8)), "4 bytes belong to none"),
    ],
)
def test_forged_files_with_a_checksum_that_fits(data, message):
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=message):
            unpacked(data)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=300))
def test_random_bytes(data):
    with pytest.raises(ValueError, match="the x file"):
        unpacked(data)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_random_changes_with_a_checksum_that_fits(data):
    """Nothing but a ValueError, and what is read holds no more than the bytes can."""
    changed = bytearray(packed())
    places = st.one_of(st.integers(0, 7), st.integers(START + 64, len(changed) - 1))
    for place, byte in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=3)):
        changed[place] = byte
    try:
        arrays, _ = unpacked(signed(bytes(changed)))
    except ValueError:
        return
    assert sum(array.nbytes for array in arrays.values()) <= len(changed)


@pytest.mark.parametrize(
    ("arrays", "metadata", "message"),
    [
        ({}, {"sha256": ""}, "metadata must not be named sha256"),
        ({}, {"version": "", "kind": ""}, "metadata must not be named kind, version"),
        ({}, {"a": 1}, "metadata must be texts, but a is none"),
        ({"__metadata__": np.zeros(1)}, {}, "an array must not be named __metadata__"),
        ({"a": np.array(["x"])}, {}, "the array 'a' is of type <U1, but must be of bool, float16,"),
        ({"a": np.array([None])}, {}, "the array 'a' is of type object"),
        ({"a": np.zeros(1, np.complex64)}, {}, "the array 'a' is of type complex64"),
        ({}, {"a": "x\ud800"}, r"a text is not Unicode: .*x.ud800. ends in a lone surrogate"),
        ({"\udfff": np.zeros(1)}, {}, "a text is not Unicode"),
        ({}, {"a": "a" * MAX_HEADER}, "names and metadata take 1,048,"),
    ],
)
def test_what_cannot_be_packed(arrays, metadata, message):
    with pytest.raises(ValueError, match=message):
        pack(arrays, metadata, kind="x", version=1)


@pytest.mark.parametrize("texts", [[], [""], ["a", "a"], ['"\\', "\0\n\x7f", "é", "😀", "\u2028"]])
def test_texts_as_arrays(texts):
    array = texts_to_array(texts)
    assert (array.dtype, array.ndim) == (np.uint8, 1)
    assert array_to_texts(array) == texts


def bytes_of(text):
    return np.frombuffer(text, dtype=np.uint8)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(0, np.uint8),
        bytes_of(b'["a"'),
        bytes_of(b'"a"'),
        bytes_of(b"[1]"),
        bytes_of(b"{}"),
        bytes_of(b"null"),
        bytes_of(b'["\xff"]'),
        bytes_of(b"[" * 10**5),
        bytes_of(b'["a"]').astype(np.int8),
        bytes_of(b'["aaaaa"]' * 8)[:8].view(np.int64),
    ],
)
def test_arrays_without_texts(array):
    with pytest.raises(ValueError, match="does not hold a list of texts"):
        array_to_texts(array)


def test_write_atomically(tmp_path):
    path = tmp_path / "store"
    for data in (b"old", b"new", b""):
        write_atomically(path, data)
        assert path.read_bytes() == data
        assert list(tmp_path.iterdir()) == [path]


def test_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "store"
    write_atomically(path, b"old")
    with pytest.raises(TypeError):
        write_atomically(path, "no bytes")
    with pytest.raises(OSError, match="folder"):
        write_atomically(tmp_path / "folder" / "store", b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
