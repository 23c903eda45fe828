from functools import partial

import pytest

from spacy_btl import brat
from tests.helpers.files import write_tree


@pytest.fixture
def folder(tmp_path):
    """A function that writes files, given by relative path, and returns their folder."""

    return partial(write_tree, tmp_path)


T1 = "T1\tX 0 1\ta\n"


def test_documents_come_by_name_from_all_sub_folders(folder):
    root = folder(
        {
            "b.txt": "a", "b.ann": T1, "train/b.txt": "a b", "train/b.ann": T1,
            "a.1.txt": "a", "a.1.ann": T1, "train/deep/c.txt": "a", "train/deep/c.ann": T1,
        }
    )  # fmt: skip
    documents = list(brat.read_folder(str(root)))
    assert [d.name for d in documents] == ["a.1", "b", "train/b", "train/deep/c"]
    assert [d.text for d in documents] == ["a", "a", "a b", "a"]
    assert documents[2].path == root / "train" / "b.txt"
    assert all(len(d.standoff.entities) == 1 and d.problems == () for d in documents)


# What is in the folder, the text, the ids of the entities, and (file, reason, level) of problems.
ERROR, WARNING = "error", "warning"
FOLDERS = {
    "CRLF counts two": (
        {"d.txt": "a\r\nb", "d.ann": "T1\tX 3 4\tb\r\n"},
        ("a\r\nb", ["T1"], []),
    ),
    "lone CR stays": ({"d.txt": "a\rb", "d.ann": "T1\tX 2 3\tb\n"}, ("a\rb", ["T1"], [])),
    "empty ann": ({"d.txt": "a", "d.ann": ""}, ("a", [], [])),
    "blank txt": ({"d.txt": "\r\n", "d.ann": ""}, ("\r\n", [], [])),
    "missing ann": (
        {"d.txt": "a"},
        ("a", [], [("d.ann", "no-annotation", ERROR)]),
    ),
    "missing txt": ({"d.ann": T1}, (None, ["T1"], [("d.txt", "no-text", ERROR)])),
    "a1 and a2": (
        {"d.txt": "ab", "d.a1": T1, "d.a2": "T2\tBinds 1 2\tb\nE1\tBinds:T2 Theme:T1\n"},
        ("ab", ["T1", "T2"], []),
    ),
    "a1 alone": ({"d.txt": "a", "d.a1": T1}, ("a", ["T1"], [])),
    "problem in the a2": (
        {"d.txt": "ab", "d.a1": T1, "d.a2": "\nT1\tBinds 1 2\tb\n"},
        ("ab", ["T1", "T1"], [("d.a2", "duplicate-id", ERROR)]),
    ),
    "ann before a1": ({"d.txt": "a", "d.ann": T1, "d.a1": "T9\tX 0 1\ta\n"}, ("a", ["T1"], [])),
    "BOM that the offsets do not count": (
        {"d.txt": "\ufeffab", "d.ann": T1},
        ("ab", ["T1"], [("d.txt", "bom", WARNING)]),
    ),
    "BOM that the offsets count": (
        {"d.txt": "\ufeffab", "d.ann": "T1\tX 1 2\ta\nT2\tX 2 3\tb\n"},
        ("\ufeffab", ["T1", "T2"], [("d.txt", "bom", WARNING)]),
    ),
    "BOM and no entities": (
        {"d.txt": "\ufeffab", "d.ann": ""},
        ("ab", [], [("d.txt", "bom", WARNING)]),
    ),
    "BOM in the ann": (
        {"d.txt": "a", "d.ann": "\ufeff" + T1},
        ("a", ["T1"], [("d.ann", "bom", WARNING)]),
    ),
    "Latin-1, one character a byte": (
        {"d.txt": b"\xe9\xe9 a", "d.ann": "T1\tX 3 4\ta\n"},
        ("\ufffd\ufffd a", ["T1"], [("d.txt", "encoding", WARNING)]),
    ),
    "Latin-1 in both": (
        {"d.txt": b"\xe9\xa0 a", "d.ann": b"T1\tX 0 2\t\xe9\xa0\n"},
        (
            "\ufffd\ufffd a",
            ["T1"],
            [("d.ann", "encoding", WARNING), ("d.txt", "encoding", WARNING)],
        ),
    ),
    "UTF-16 text": (
        {"d.txt": "a".encode("utf-16"), "d.ann": T1},
        (None, ["T1"], [("d.txt", "no-text", ERROR)]),
    ),
    "UTF-16 ann": (
        {"d.txt": "a", "d.ann": T1.encode("utf-16")},
        ("a", [], [("d.ann", "no-annotation", ERROR)]),
    ),
    "bad record": (
        {"d.txt": "a", "d.ann": "T1\tX 0 2\ta\n"},
        ("a", ["T1"], [("d.ann", "outside", ERROR)]),
    ),
}


@pytest.mark.parametrize(("files", "expected"), FOLDERS.values(), ids=FOLDERS)
def test_document_of_a_folder(folder, files, expected):
    (document,) = brat.read_folder(folder(files))
    found = [(p.file, p.reason, p.level) for p in document.problems]
    assert (document.text, [e.id for e in document.standoff.entities], found) == expected


def test_path_of_a_document_without_text_leads_to_its_annotation(folder):
    (document,) = brat.read_folder(folder({"sub/d.a2": T1}))
    assert document.path.name == "d.a2"


def test_bad_bytes_are_counted_and_placed(folder):
    (document,) = brat.read_folder(folder({"d.txt": b"ab\xff\xfe", "d.ann": ""}))
    assert document.problems[0].detail == "2 bytes are not UTF-8, the first at byte 2"
    assert document.text.encode("utf-8").decode("utf-8") == "ab\ufffd\ufffd"


def test_records_of_a1_and_a2_can_be_written_as_one_file(folder):
    root = folder({"d.txt": "ab", "d.a1": "T1\tX 0 1\ta", "d.a2": "\ufeffT2\tX 1 2\tb\n"})
    (document,) = brat.read_folder(root)
    assert brat.dumps(document.standoff) == "T1\tX 0 1\ta\nT2\tX 1 2\tb\n"


def test_other_files_are_passed_over_and_listed(folder):
    files = {"d.txt": "a", "d.ann": T1, "d.a1": T1, "annotation.conf": "", "sub/.stats_cache": ""}
    root = folder({**files, "._d.ann": b"\x00", "__MACOSX/._d.txt": b"\x00", "d.ann~": ""})
    assert [d.name for d in brat.read_folder(root)] == ["d"]
    assert [path.relative_to(root).as_posix() for path in brat.other_files(root)] == [
        "._d.ann", "__MACOSX/._d.txt", "annotation.conf", "d.a1", "d.ann~", "sub/.stats_cache",
    ]  # fmt: skip


def test_suffixes_in_capitals_are_read_too(folder):
    root = folder({"A.TXT": "a", "A.Ann": T1, "b.txt": "a", "b.ann": T1, "b.ANN": ""})
    documents = list(brat.read_folder(root))
    found = [(d.name, d.text, len(d.standoff.entities)) for d in documents]
    assert found == [("A", "a", 1), ("b", "a", 1)]
    assert [path.name for path in brat.other_files(root)] == ["b.ANN"]


def test_folder_is_read_one_document_at_a_time(folder):
    root = folder({"a.txt": "a", "a.ann": T1, "b.txt": "a", "b.ann": T1})
    documents = brat.read_folder(root)
    assert next(documents).name == "a"
    (root / "b.ann").write_bytes(b"")
    assert next(documents).standoff.records == ()


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("absent", FileNotFoundError, "looked there for .txt and .ann files"),
        ("a.zip", NotADirectoryError, "looked there for .txt and .ann files"),
        ("empty", ValueError, r"no \.txt, .* 0 other files$"),
        ("zipped", ValueError, r"1 other files: b\.zip"),
    ],
)
@pytest.mark.parametrize("function", [brat.read_folder, brat.other_files])
def test_path_without_documents(folder, function, path, error, message):
    root = folder({"a.zip": "", "zipped/b.zip": ""})
    (root / "empty").mkdir()
    if error is ValueError and function is brat.other_files:
        assert len(function(root / path)) == (path == "zipped")
        return
    with pytest.raises(error, match=message):
        function(root / path)
