"""What a saved pipeline consists of, and what stands in it twice."""

from pathlib import Path

import pytest
import spacy
import srsly

from spacy_btl.packaging.size import LEAST, File, files_of, sizes, stored_twice
from tests.helpers.sentences import make_examples

LONG = bytes(range(256)) * (LEAST // 256)


@pytest.mark.parametrize(
    ("files", "twice"),
    [
        ([("a", LONG), ("b", LONG[:-1])], []),
        ([("a", LONG[:-1]), ("b", LONG[:-1])], []),  # short
        ([("a", LONG), ("b", b""), ("c/d", LONG)], [("a", "c/d")]),
        (
            [("m/model", srsly.msgpack_dumps({"shims": [{"x": LONG}], "y": LONG}))],
            [("m/model/shims/0/x", "m/model/y")],
        ),
        (
            [("t/vocab.txt", b"a"), ("t/tokenizer.json", b"{}")],
            [("t/tokenizer.json", "t/vocab.txt")],
        ),
        ([("t/vocab.txt", b"a"), ("u/tokenizer.json", b"{}")], []),
        (
            [("vocab/strings.json", b"a"), ("ner/vocab/strings.json", b"b")],
            [("vocab/strings.json", "ner/vocab/strings.json")],
        ),
    ],
)
def test_stored_twice(files: list[File], twice: list[tuple[str, ...]]) -> None:
    assert stored_twice(files) == twice


@pytest.fixture(scope="module", params=["transformer", "hash"])
def saved(
    request: pytest.FixtureRequest, tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    nlp = spacy.blank("en")
    encoder = {"@architectures": "spacy-btl.TransformerModel.v1", "name": str(tiny_bert)}
    model = {"@architectures": "spacy-btl.TokenClassifier.v1", "tok2vec": encoder}
    config = {"model": model} if request.param == "transformer" else {}
    pipe = nlp.add_pipe("btl_knn_ner", config=config)
    optimizer = nlp.initialize(lambda: make_examples(nlp))
    nlp.update(make_examples(nlp), sgd=optimizer)  # layers start as copies of each other
    pipe.fit_neighbors(make_examples(nlp))  # type: ignore[attr-defined]
    folder: Path = tmp_path_factory.mktemp(request.param) / "model"
    nlp.to_disk(folder)
    return folder


def test_every_byte_has_its_part(saved: Path) -> None:
    files = list(files_of(saved))
    parts = sizes(files)
    assert sum(parts.values()) == sum(len(data) for _, data in files)
    assert all(parts.values())
    assert parts["neighbours"] == (saved / "btl_knn_ner" / "neighbors").stat().st_size
    weights = parts["encoder"] + parts["head"]
    assert weights <= (saved / "btl_knn_ner" / "model").stat().st_size < 1.5 * weights + 60_000


def test_nothing_of_ours_is_there_twice(saved: Path) -> None:
    assert stored_twice(files_of(saved)) == []


def test_what_is_damaged_counts_as_a_whole() -> None:
    for data in (b"\x93\xff{}", b"", b"\x81", LONG):
        assert sizes([("x/model", data)])["rest"] == len(data)
