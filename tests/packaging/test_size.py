"""The size of a saved pipeline by part, and that nothing in it is stored twice."""

from pathlib import Path

import pytest
import spacy

from spacy_btl.packaging.size import files_of, sizes
from tests.ci.test_check_wheel import check_wheel
from tests.helpers.sentences import make_examples


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
    empty = {part for part, size in parts.items() if not size}
    assert empty == (set() if "transformer" in str(saved) else {"encoder"})
    assert parts["neighbors"] == (saved / "btl_knn_ner" / "neighbors").stat().st_size
    weights = parts["encoder"] + parts["head"]
    assert weights <= (saved / "btl_knn_ner" / "model").stat().st_size < 1.5 * weights + 60_000


def test_nothing_of_ours_is_there_twice(saved: Path) -> None:
    assert check_wheel.stored_twice(files_of(saved)) == []


def test_what_is_damaged_counts_as_a_whole() -> None:
    for data in (b"\x93\xff{}", b"", b"\x81", bytes(9999)):
        assert sizes([("x/model", data)])["rest"] == len(data)
