import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_btl.formats import guess_format
from tests.helpers.files import write_tree

PUBTATOR = "7|t|Fever\n7\t0\t5\tFever\tSign\n"
CONLL = "Fever\tB-Sign\n.\tO\n"
JSONL = '{"text": "a", "label": [[0, 1, "X"]]}\n'
BIOC = "<?xml version='1.0'?><collection></collection>"

FOLDERS = {
    # files: the format, and those that are read
    "brat": ({"a.txt": "a", "a.ann": ""}, "brat"),
    "brat beside others": ({"a.txt": "a", "a.ann": "", "b.tsv": CONLL}, "brat"),
    "a2 alone": ({"a.txt": "a", "a.a2": ""}, "brat"),
    "texts alone": ({"a.txt": "Some words.\n"}, "brat"),
    "pubtator": ({"a.PubTator": PUBTATOR, "b.txt": PUBTATOR, "README.md": "# x"}, "pubtator"),
    "conll": ({"a/train.tsv": CONLL, "b.conll": "# c\n-DOCSTART- O\n\n" + CONLL}, "conll"),
    "conll with spaces": ({"train": "a NN O\nb NN B-X\n"}, "conll"),
    "json": ({"a.jsonl": JSONL, "meta.json": '{"name": "x"}'}, "json"),
    "json, one file begins with a rejected document": (
        {"a.jsonl": JSONL, "b.jsonl": '{"text": "a", "answer": "reject"}\n' + JSONL},
        "json",
    ),
    "json that begins with a document without text": (
        {"a.jsonl": '{"text": null, "label": []}\n' + JSONL},
        "json",
    ),
    "a list": ({"a.json": f"[\n{JSONL}]"}, "json"),
    "bioc": ({"a.xml": BIOC, "b.xml": "<html/>"}, "bioc"),
    "docbin": ({"train.spacy": b"x", "split.json": "{}", "account.json": "{}"}, "docbin"),
    "hidden files": ({"a.tsv": CONLL, ".b.jsonl": JSONL, "__MACOSX/._c.jsonl": JSONL}, "conll"),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_folders(tmp_path, name):
    files, wanted = FOLDERS[name]
    assert guess_format(write_tree(tmp_path / "f", files)).format == wanted


@pytest.mark.parametrize(
    ("name", "content", "wanted"),
    [
        ("a.txt", PUBTATOR, "pubtator"),
        ("a.txt", CONLL, "conll"),
        ("a", CONLL.replace("\t", " "), "conll"),
        ("a.json", JSONL, "json"),
        ("a.xml", BIOC, "bioc"),
        ("a.spacy", b"", "docbin"),
        ("a.txt", CONLL.encode("utf-16"), "conll"),
    ],
)
def test_files(tmp_path, name, content, wanted):
    root = write_tree(tmp_path, {name: content})
    assert guess_format(root / name)[:2] == (wanted, guess_format(root / name).files)


def test_a_file_that_begins_with_a_rejected_document_is_read(tmp_path):
    rejected = '{"text": "a", "answer": "reject"}\n'
    root = write_tree(tmp_path, {"a.jsonl": JSONL, "b.jsonl": rejected + JSONL})
    guess = guess_format(root)
    assert [file.name for file in guess.files] == ["a.jsonl", "b.jsonl"]
    assert guess.others == []


@pytest.mark.parametrize("files", [{"a.csv": "Fever;Sign\n"}, {"a.json": '{"tokens": ["a"]}'}])
def test_a_folder_of_no_format(tmp_path, files):
    with pytest.raises(ValueError, match=r"plain, such as a\.\w+: name it with --format"):
        guess_format(write_tree(tmp_path / "f", files))


def test_what_is_not_read_is_passed_over(tmp_path):
    root = write_tree(tmp_path, {"a.tsv": CONLL, "README.md": "words\n", "x.zip": b"\0\1"})
    guess = guess_format(root)
    assert [file.name for file in guess.files] == ["a.tsv"]
    assert [path.name for path in guess.others] == ["README.md", "x.zip"]


def test_several_formats_are_an_error_that_names_them(tmp_path):
    root = write_tree(tmp_path, {"a.tsv": CONLL, "b.PubTator": PUBTATOR, "c.PubTator": PUBTATOR})
    with pytest.raises(ValueError, match=r"PubTator 2, CoNLL.*--format conll or pubtator"):
        guess_format(root)
    assert [file.name for file in guess_format(root, "conll").files] == ["a.tsv"]


def test_a_format_that_is_given_takes_files_that_may_have_it(tmp_path):
    root = write_tree(tmp_path, {"a.tsv": "a\tB-X\tnoun\n", "b.md": "b\n", "c.jsonl": JSONL})
    assert [file.name for file in guess_format(root, "conll").files] == ["a.tsv"]


@pytest.mark.parametrize(
    ("files", "path", "message"),
    [
        ({"a.zip": b"\0"}, "a.zip", "is not a folder, and its format is not clear"),
        ({"a.md": "words"}, "a.md", r"name it with --format \(pubtator, conll"),
    ],
)
def test_a_file_of_no_format(tmp_path, files, path, message):
    with pytest.raises(ValueError, match=message):
        guess_format(write_tree(tmp_path, files) / path)


def test_a_folder_without_the_format_that_is_given(tmp_path):
    with pytest.raises(ValueError, match=r"no file in .* can be BioC"):
        guess_format(write_tree(tmp_path, {"a.tsv": CONLL}), "bioc")


def test_nothing_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        guess_format(tmp_path / "absent")


@settings(max_examples=150, deadline=None)
@given(
    content=st.binary(max_size=60) | st.text('{}[]",:0aO-BI|t \t\n', max_size=60).map(str.encode),
    suffix=st.sampled_from([".txt", ".json", ".jsonl", ".xml", ".tsv", ""]),
)
def test_any_bytes_have_a_format_or_none(content, suffix):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"a{suffix}")
        path.write_bytes(content)
        try:
            guess_format(path)
        except ValueError as error:
            assert "its format is not clear" in str(error)
