"""Pipelines whose files were damaged, or made to do harm: a clear error, or the same answer."""

import random
import re
import struct
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import spacy
import srsly
from spacy.language import Language

from spacy_btl.packaging.saving import load_pipeline, save_pipeline
from spacy_btl.pipeline.component import BtlKnnNer, component_of
from spacy_btl.util.seal import LEFT_OUT, SEAL, check_seal, remove_seal
from tests.helpers.sentences import make_examples

TEXT = "She took 5 mg of warfarin daily and had fever."
PARTS = ("cfg", "model", "neighbors")


@pytest.fixture(scope="module")
def sealed(trained: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    nlp = spacy.blank("en")
    nlp.add_pipe("btl_knn_ner", config={"model": MODEL})
    nlp.initialize(lambda: make_examples(nlp))
    component_of(nlp).fit_neighbors(make_examples(nlp))
    folder = tmp_path_factory.mktemp("hostile") / "model"
    save_pipeline(nlp, folder)
    return folder


# Small, to be loaded often: its weights are untrained, and give an answer all the same.
MODEL = {
    "@architectures": "spacy-btl.TokenClassifier.v1",
    "tok2vec": {
        "@architectures": "spacy.HashEmbedCNN.v2",
        **{"width": 8, "depth": 1, "embed_size": 50, "window_size": 1, "maxout_pieces": 2},
        **{"subword_features": True, "pretrained_vectors": None},
    },
}


def answer(nlp: Language) -> Any:
    doc = nlp(TEXT)
    pipe = component_of(nlp)
    return [token.text for token in doc], pipe.predict([doc])[0].tolist()


@pytest.fixture(scope="module")
def expected(sealed: Path) -> Any:
    return answer(spacy.load(sealed))


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def flips(folder: Path, count: int, seed: int) -> Iterator[tuple[Path, int, int]]:
    """Yield file, byte and bit: every other one in proportion to size, else any file alike."""
    files, rng = files_of(folder), random.Random(seed)
    sizes = [path.stat().st_size for path in files]
    for i in range(count):
        (path,) = rng.choices(files, sizes if i % 2 else None)
        yield path, rng.randrange(path.stat().st_size), rng.randrange(8)


class Damage:
    """A file that is another one for a while."""

    def __init__(self, path: Path, data: bytes) -> None:
        self.path, self.data, self.whole = path, data, path.read_bytes()

    def __enter__(self) -> None:
        self.path.write_bytes(self.data)

    def __exit__(self, *_: object) -> None:
        self.path.write_bytes(self.whole)


def flipped(path: Path, at: int, bit: int) -> Damage:
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    return Damage(path, bytes(data))


def test_every_flipped_bit_in_a_sealed_folder_is_found_by_name(sealed: Path) -> None:
    found = 0
    for path, at, bit in flips(sealed, 1000, seed=1):
        if path.name in LEFT_OUT:
            continue
        found += 1
        with (
            flipped(path, at, bit),
            pytest.raises(ValueError, match=r"python -m spacy btl seal") as e,
        ):
            check_seal(sealed)
        assert str(path) in str(e.value) or path.name == SEAL
    assert found > 800
    assert check_seal(sealed)


def test_every_truncation_of_a_sealed_folder_is_found_by_name(sealed: Path) -> None:
    for path in files_of(sealed):
        if path.name in LEFT_OUT:
            continue
        whole = path.read_bytes()
        for length in sorted({len(whole) * percent // 100 for percent in range(100)}):
            with Damage(path, whole[:length]), pytest.raises(ValueError, match="btl seal") as e:
                check_seal(sealed)
            assert str(path) in str(e.value)


def test_loading_a_damaged_pipeline(sealed: Path, expected: Any) -> None:
    """An error or the same answer; by our own way of loading, the error names the file."""
    outcomes = {"refused": 0, "same": 0}
    for path, at, bit in flips(sealed, 50, seed=2):
        with flipped(path, at, bit):
            for load in (spacy.load, load_pipeline):
                try:
                    assert answer(load(sealed)) == expected
                    outcomes["same"] += 1
                except AssertionError:
                    raise
                except Exception as error:
                    outcomes["refused"] += 1
                    if load is load_pipeline and path.name not in (SEAL, *LEFT_OUT):
                        assert isinstance(error, ValueError)
                        assert str(path) in str(error)
    assert outcomes["refused"] > 80
    assert answer(spacy.load(sealed)) == expected


@pytest.fixture
def saved(sealed: Path, tmp_path: Path) -> tuple[BtlKnnNer, Path]:
    """Return the component, and a folder it was saved to, with no sealed pipeline around it."""
    pipe = component_of(spacy.load(sealed))
    pipe.to_disk(tmp_path / "pipe", exclude=["vocab"])
    return pipe, tmp_path / "pipe"


def test_damage_is_found_before_anything_is_taken_over(saved: tuple[BtlKnnNer, Path]) -> None:
    """A component whose bytes are refused is the one that it was."""
    pipe = saved[0]
    message = srsly.msgpack_loads(pipe.to_bytes(exclude=["vocab"]))
    pipe.neighbor_weight = pipe.state.updates = 0.125
    before = pipe.to_bytes(exclude=["vocab"])
    for part in ("cfg", "neighbors"):
        damaged = {**message, part: message[part][:-1] + b"?"}
        with pytest.raises(ValueError, match=f"{part} cannot be read: it is damaged"):
            pipe.from_bytes(srsly.msgpack_dumps(damaged), exclude=["vocab"])
        assert pipe.to_bytes(exclude=["vocab"]) == before
    with pytest.raises(ValueError, match="the bytes belong to a component different"):
        pipe.from_bytes(srsly.msgpack_dumps({}), exclude=["vocab"])


def test_saving_takes_a_stale_seal_away(sealed: Path, tmp_path: Path) -> None:
    nlp = load_pipeline(sealed)
    save_pipeline(nlp, tmp_path / "model")
    assert (tmp_path / "model" / SEAL).is_file()
    nlp.to_disk(tmp_path / "model")
    assert not (tmp_path / "model" / SEAL).exists()
    spacy.load(tmp_path / "model")


def test_a_seal_outlives_packaging(sealed: Path, tmp_path: Path) -> None:
    from spacy.cli.package import package

    package(sealed, tmp_path, name="x", version="1.0", create_sdist=False, create_wheel=False)
    (config,) = tmp_path.rglob("config.cfg")
    assert check_seal(config.parent)
    load_pipeline(config.parent)


# -- files made by hand, without a seal ------------------------------------------------------------


def model_with(pipe: BtlKnnNer, **changes: Any) -> bytes:
    return bytes(srsly.msgpack_dumps({**srsly.msgpack_loads(pipe.model.to_bytes()), **changes}))


def huge_array(pipe: BtlKnnNer) -> bytes:
    params = srsly.msgpack_loads(pipe.model.to_bytes())["params"]
    name, node = next((name, node) for node in params for name, x in node.items() if x is not None)
    node[name] = {b"nd": True, b"type": "<f4", b"kind": b"", b"shape": [10**12], b"data": b"1234"}
    return model_with(pipe, params=params)


@pytest.mark.parametrize(
    ("part", "content"),
    [
        ("cfg", b""),
        ("cfg", b"null"),
        ("cfg", b"[1]"),
        ("cfg", b"{}"),
        ("cfg", b"\xff\xfe"),
        ("cfg", b"[" * 10**5),
        ("cfg", b'{"loss": 3}'),
        ("model", b""),
        ("model", b"\xc1"),
        ("model", b"\x01"),
        ("model", b"\x80"),
        ("model", b"\x91" * 10**5),
        ("model", b"\xdd\xff\xff\xff\xff"),
        ("model", b"\xdf\xff\xff\xff\xff"),
        ("model", b"\xc6\xff\xff\xff\xff"),
        ("model", lambda pipe: model_with(pipe, nodes=[])),
        ("model", lambda pipe: model_with(pipe, params=[])),
        ("model", lambda pipe: model_with(pipe, shims=3)),
        ("model", huge_array),
        ("neighbors", b"{}"),
        ("neighbors", struct.pack("<Q", 2**63) + b'{"__metadata__":{"sha256":"' + b"0" * 99),
    ],
)
def test_parts_made_by_hand_are_refused(
    saved: tuple[BtlKnnNer, Path], part: str, content: Any
) -> None:
    pipe, folder = saved
    remove_seal(folder)
    (folder / part).write_bytes(content(pipe) if callable(content) else content)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=re.escape(str(folder / part))):
            pipe.from_disk(folder, exclude=["vocab"])
        assert tracemalloc.get_traced_memory()[1] < 2**25
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "data",
    [b"", b"\x01", b"\xc1", b"\x91" * 10**5, b"\xdf\xff\xff\xff\xff", b"\x81\xa6sha256\x01"],
)
def test_bytes_made_by_hand_are_refused(saved: tuple[BtlKnnNer, Path], data: bytes) -> None:
    with pytest.raises(ValueError, match="the bytes"):
        saved[0].from_bytes(data)


def test_encoder_with_a_huge_declared_header(tiny_bert: Path) -> None:
    nlp = spacy.blank("en")
    tok2vec = {"@architectures": "spacy-btl.TransformerModel.v1", "name": str(tiny_bert)}
    pipe = nlp.add_pipe("btl_knn_ner", config={"model": {**MODEL, "tok2vec": tok2vec}})
    nlp.initialize(lambda: make_examples(nlp))
    shim = pipe.model.get_ref("tok2vec").shims[0]
    message = srsly.msgpack_loads(shim.to_bytes())
    for weights in (b"", b"{}", struct.pack("<Q", 2**63), struct.pack("<Q", 8) + b"{}" * 4):
        data = srsly.msgpack_dumps({**message, "weights": weights})
        with pytest.raises(Exception, match=r"(?i)header|deserializ"):
            shim.from_bytes(data)
