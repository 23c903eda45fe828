import os
import socket
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_btl import brat
from spacy_btl.brat.folder import pair_names
from tests.helpers.files import write_tree


@pytest.fixture
def folder(tmp_path):
    """Return a function that writes files, given by relative path, and returns their folder."""

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


# Content of the folder, the text, the ids of the entities, and (file, reason, level) of problems.
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
        ("a", ["T1"], [("d.txt", "encoding", WARNING)]),
    ),
    "UTF-16 ann": (
        {"d.txt": "a", "d.ann": T1.encode("utf-16")},
        ("a", ["T1"], [("d.ann", "encoding", WARNING)]),
    ),
    "UTF-16 without a mark": (
        {"d.txt": "a", "d.ann": T1.encode("utf-16-le")},
        ("a", ["T1"], [("d.ann", "encoding", WARNING)]),
    ),
    "UTF-16, big end first": (
        {"d.txt": "a", "d.ann": T1.encode("utf-16-be")},
        ("a", ["T1"], [("d.ann", "encoding", WARNING)]),
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
        ("absent", FileNotFoundError, "does not exist"),
        ("a.zip", NotADirectoryError, "is not a folder of .txt and .ann files"),
        ("empty", ValueError, r"no \.txt, .* 0 other files$"),
        ("zipped", ValueError, r"1 other file: b\.zip"),
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


# -- names that mean the same ----------------------------------------------------------------------

NFC, NFD = "n\u00e9e", "ne\u0301e"

# The files, the documents with the suffixes of their files, and the details of files not found.
PAIRINGS = {
    "NFC and NFD": ([NFC + ".txt", NFD + ".ann"], {NFC: "txt ann"}),
    "NFD and NFC": ([NFD + ".txt", NFC + ".ann"], {NFD: "txt ann"}),
    "in a folder of NFC and NFD": (["\u00e9/a.txt", "e\u0301/a.ann"], {"\u00e9/a": "txt ann"}),
    "twins": (
        [NFC + ".txt", NFD + ".txt", NFC + ".ann", NFD + ".ann"],
        {NFC: "txt ann", NFD: "txt ann"},
    ),
    "twins without an annotation": (
        [NFC + ".txt", NFD + ".txt", NFD + ".ann"],
        {NFC: "txt", NFD: "txt ann"},
    ),
    "an .a2 in NFD": ([NFC + ".txt", NFC + ".a1", NFD + ".a2"], {NFC: "txt a1 a2"}),
    "a suffix more": (["b.txt", "b.txt.ann"], {"b": "txt ann"}),
    "a suffix more, in capitals": (["b.TXT", "b.TXT.ANN"], {"b": "txt ann"}),
    "a suffix more, BioNLP": (["b.txt", "b.txt.a1", "b.txt.a2"], {"b": "txt a1 a2"}),
    "a suffix more, NFD": ([NFC + ".txt", NFD + ".txt.ann"], {NFC: "txt ann"}),
    "a suffix more on both": (["b.txt.txt", "b.txt.ann"], {"b.txt": "txt ann"}),
    "a suffix more and not": (["b.txt", "b.ann", "b.txt.ann"], {"b": "txt ann", "b.txt": "ann"}),
    "a text of an annotation": (["b.txt", "b.ann.txt"], {"b": "txt ann"}),
    "a text of an annotation and one": (
        ["b.txt", "b.ann", "b.ann.txt"],
        {"b": "txt ann", "b.ann": "txt"},
    ),
    "case": (["Report 1.txt", "report 1.ann"], {"Report 1": "txt ann"}),
    "case, two texts": (
        ["A.txt", "a.txt", "\uff21.ann"],
        {"A": "txt", "a": "txt", "\uff21": "ann"},
    ),
    "capital suffixes": (["c.TXT", "c.Ann"], {"c": "txt ann"}),
    "spaces": (["f  g .txt", "f\u00a0g.ann"], {"f  g ": "txt ann"}),
    "dots": (["h.v1.txt", "h.v1.ann", "h.v2.ann"], {"h.v1": "txt ann", "h.v2": "ann"}),
    "other folders": (["txt/a.txt", "brat/a.ann"], {"txt/a": "txt", "brat/a": "ann"}),
    "all is there": (["a.txt", "a.ann", "A.a1"], {"a": "txt ann", "A": "a1"}),
}


@pytest.mark.parametrize(("files", "expected"), PAIRINGS.values(), ids=PAIRINGS)
def test_names_that_mean_the_same(folder, files, expected):
    root = folder({name: "" if name.lower().endswith("txt") else T1 for name in files})
    documents = {
        d.name: ("" if d.text is None else "txt ")
        + " ".join(file.lower().rpartition(".")[2] for file, _ in d.parts)
        for d in brat.read_folder(root)
    }
    found = {name: kinds.replace("txt txt", "txt ann").strip() for name, kinds in documents.items()}
    assert found == expected


NAMES = st.sampled_from([NFC, NFD, "a", "A", "a.txt", "a.ann", "b ", "b"])
SUFFIXES = st.sampled_from([".txt", ".ann", ".a1", ".a2"])


@given(st.sets(st.tuples(NAMES, SUFFIXES)))
def test_pairing_loses_no_file_and_joins_no_two_texts(files):
    documents = {}
    for name, suffix in sorted(files):
        documents.setdefault(name, {})[suffix] = f"{name}{suffix}"
    paired = pair_names(documents)
    assert sorted(path for each in paired.values() for path in each.values()) == sorted(
        name + suffix for name, suffix in files
    )
    for name, each in paired.items():
        assert each.get(".txt", name + ".txt") == name + ".txt"
    exact = {name for name, suffix in files if suffix == ".txt" and (name, ".ann") in files}
    assert all(paired[name][".ann"] == name + ".ann" for name in exact)


HINTS = {
    "a backup of an editor": (["e.txt", "e.ann.bak"], "e.ann", "is it e.ann.bak?"),
    "an autosaved file": (["e.txt", "e.ann~"], "e.ann", "is it e.ann~?"),
    "another folder": (
        ["txt/a.txt", "brat/a.ann"],
        "brat/a.txt",
        "txt/a.txt has its name: a text and its annotation must be in one folder",
    ),
    "nothing near": (["a.txt", "b.ann"], "a.ann", "no such file, nor an .a1 or .a2"),
}


@pytest.mark.parametrize(("files", "file", "detail"), HINTS.values(), ids=HINTS)
def test_a_missing_file_is_reported_with_what_may_be_meant(folder, files, file, detail):
    root = folder({name: "a" if name.endswith(".txt") else T1 for name in files})
    problems = [p for document in brat.read_folder(root) for p in document.problems]
    (found,) = [p.detail for p in problems if p.file == file]
    assert found.endswith(detail)


def test_pipes_sockets_and_links_are_listed_and_never_opened(folder):
    root = folder({"a.txt": "a", "a.ann": T1, "b.txt": "b", "elsewhere/c.txt": "", ".x/y": ""})
    os.mkfifo(root / "p.txt")
    os.mkfifo(root / "b.ann")
    (root / "gone.ann").symlink_to(root / "nowhere")
    (root / "linked").symlink_to(root / "elsewhere")
    with socket.socket(socket.AF_UNIX) as found:
        found.bind(str(root / "s.ann"))
        documents = {d.name: d.problems for d in brat.read_folder(root)}
        others = [path.relative_to(root).as_posix() for path in brat.other_files(root)]
    assert list(documents) == ["a", "b", "elsewhere/c"]
    assert others == [".x/y", "b.ann", "gone.ann", "linked", "p.txt", "s.ann"]
    (problem,) = documents["b"]
    assert problem.detail.endswith("is it b.ann, which is not a regular file?")


def test_a_file_that_cannot_be_read_is_a_problem_of_its_document(folder, monkeypatch):
    root = folder(
        dict.fromkeys(["a.txt", "b.txt", "c.txt"], "a")
        | dict.fromkeys(["a.ann", "b.ann", "c.ann"], T1)
    )
    read = type(root).read_bytes

    def refuse(path):
        if path.name in ("a.ann", "b.txt"):
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(type(root), "read_bytes", refuse)
    found = {d.name: [(p.reason, p.detail) for p in d.problems] for d in brat.read_folder(root)}
    assert found == {
        "a": [("no-annotation", "it cannot be read: Permission denied")],
        "b": [("no-text", "it cannot be read: Permission denied")],
        "c": [],
    }


def test_a_folder_that_cannot_be_read_is_an_error(folder, monkeypatch):
    root = folder({"a.txt": "a", "a.ann": T1, "sub/b.txt": "b", "sub/b.ann": T1})
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError, match="sub"):
        brat.read_folder(root)


@pytest.mark.skipif(os.name != "posix", reason="names of bytes")
def test_names_that_are_not_utf8_become_text(folder):
    root = folder({})
    for suffix, content in ((b".txt", b"a"), (b".ann", b"T9\tX 0 9\ta\n")):
        Path(os.fsdecode(os.fsencode(root) + b"/n\xe9e" + suffix)).write_bytes(content)
    (document,) = brat.read_folder(root)
    assert (document.name, document.problems[0].file) == (NFC, NFC + ".ann")
