"""DocBins are written whole, and read back."""

import pytest
import spacy
from spacy.tokens import Doc, DocBin

from spacy_btl.data.docbin import read_docbin, write_parts

VOCAB = spacy.blank("en").vocab


def doc(name):
    made = Doc(VOCAB, words=["left", "arm"])
    made.user_data["brat"] = {"name": name, "entities": [], "records": []}
    return made


def test_parts_are_written(tmp_path):
    docs = [doc(f"case-{i}") for i in range(10)]
    names = write_parts(docs, tmp_path / "new", (0.8, 0.1, 0.1), 0)
    assert [len(found) for found in names.values()] == [8, 1, 1]
    for part, found in names.items():
        read = read_docbin(tmp_path / "new" / f"{part}.spacy", VOCAB)
        assert [each.user_data["brat"]["name"] for each in read] == found


def test_one_part_is_written(tmp_path):
    assert write_parts([doc("b"), doc("a")], tmp_path, None, 0) == {"all": ["a", "b"]}
    assert {path.name for path in tmp_path.iterdir()} == {"all.spacy", "split.json"}


@pytest.mark.parametrize(
    ("names", "shares", "message"),
    [
        ([], None, "no document has both text and annotation"),
        (["a", "b"], (0.8, 0.1, 0.1), "2 documents cannot be split into train, dev, test"),
        (["a", "b", "a"], None, "more than one document of the same name: a"),
        (["a", "b", "c"], (0.8, 0.1, 0.2), "must be positive and sum to 1"),
    ],
)
def test_what_cannot_be_written(tmp_path, names, shares, message):
    with pytest.raises(ValueError, match=message):
        write_parts([doc(name) for name in names], tmp_path / "new", shares, 0)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("content", [b"", b"no DocBin", DocBin().to_bytes()[:-3]])
def test_a_file_that_is_no_docbin(tmp_path, content):
    path = tmp_path / "x.spacy"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is not a DocBin that spaCy can read"):
        read_docbin(path, VOCAB)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"the DocBin .* does not exist"):
        read_docbin(tmp_path / "x.spacy", VOCAB)
