"""Groups of documents, and given divisions, by names and by tables."""

import json

import pytest

from spacy_btl.data.groups import (
    check_group,
    describe_names,
    folder_parts,
    given_parts,
    in_several_parts,
    is_division,
    read_groups,
)

NAMES = ["ward1/p1_a", "ward1/p1_b", "ward2/p2_a", "ne\u0301e"]

# A regular expression, and the groups of the names.
EXPRESSIONS = {
    "the first pair of parentheses": (r"(p\d)_|(n.e)", ["p1", "p1", "p2", "n\u00e9e"]),
    "all that matches": (r"ward\d|.+", ["ward1", "ward1", "ward2", "n\u00e9e"]),
    "parentheses that take no part": (r"(p\d)_|^n.e$", ["p1", "p1", "p2", "n\u00e9e"]),
    "none for one": (r"p\d", ["p1", "p1", "p2", None]),
    "empty for some": (r"ward(\d*)|x*", ["1", "1", "2", None]),
    "composed characters": ("n\u00e9e|p.", ["p1", "p1", "p2", "n\u00e9e"]),
    "decomposed characters": ("ne\u0301e|p.", ["p1", "p1", "p2", "n\u00e9e"]),
    "all in one": ("[a-z]$", ["a", "b", "a", "e"]),
}


@pytest.mark.parametrize(("group", "expected"), EXPRESSIONS.values(), ids=EXPRESSIONS)
def test_groups_by_a_regular_expression(group, expected):
    found = read_groups(group, NAMES)
    assert [found.get(name) for name in NAMES] == expected


@pytest.mark.parametrize(
    ("group", "message"),
    [
        (r"\d*$", r'the group "\\d\*\$" does not match any name, such as ward1/p1_a'),
        ("(", r"the group \( is not a regular expression"),
    ],
)
def test_expressions_that_group_nothing(group, message):
    with pytest.raises(ValueError, match=message):
        read_groups(group, NAMES)


TABLES = {
    "comma": ("name,group\na,1\nb,1\nsub/c,2\n", {"a": "1", "b": "1", "sub/c": "2"}),
    "no header": ("a,1\nb,1\nsub/c,2", {"a": "1", "b": "1", "sub/c": "2"}),
    "semicolon": ("name;group\na;1\nb;1\nsub/c;2\n", {"a": "1", "b": "1", "sub/c": "2"}),
    "tab, CRLF and BOM": ("\ufeffa\t1\r\nb\t1\r\nsub/c\t2\r\n", {"a": "1", "b": "1", "sub/c": "2"}),
    "suffixes": ("a.txt,1\nb.ann,1\nsub\\c.TXT,2", {"a": "1", "b": "1", "sub/c": "2"}),
    "last part of the path": ("./a,1\nb,1\nc,2", {"a": "1", "b": "1", "sub/c": "2"}),
    "quotes, blank lines, more columns and rows": (
        'name,group,note\n"a",1,x\n\nb,"1",\nc.txt,"2, old"\nz,9\n',
        {"a": "1", "b": "1", "sub/c": "2, old"},
    ),
    "the same twice": ("a,1\na.txt,1\nb,1\nc,2", {"a": "1", "b": "1", "sub/c": "2"}),
}


@pytest.mark.parametrize(("content", "expected"), TABLES.values(), ids=TABLES)
@pytest.mark.parametrize("name", ["groups.csv", "groups.TSV", "groups.txt"])
def test_groups_by_a_table(tmp_path, name, content, expected):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8", newline="")
    check_group(str(path))
    assert read_groups(str(path), list(expected)) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a,1\n", "a document, sub/a: it has no group in"),
        (b"a,1\na.txt,2\nsub/a,1", "line 2: a group of a that differs from the one before"),
        (b"a,1\nsub/a,\n", "line 2: there is no name and group"),
        (b"a\nsub/a\n", "line 1: there is no name and group"),
        (b"a,1\nsub/a,\xff\n", "is not UTF-8, from byte 10"),
    ],
)
def test_tables_that_are_none(tmp_path, content, message):
    path = tmp_path / "groups.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_groups(str(path), ["a", "sub/a"])


def test_a_table_that_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"the table .* does not exist"):
        check_group(str(tmp_path / "groups.csv"))


FOLDERS = {
    "plain": (["train/a", "dev/b", "test/c"], ["train", "dev", "test"]),
    "other words": (["Training/a", "DEVEL/b", "testing/c"], ["train", "dev", "test"]),
    "development": (["trn/a", "development/b", "tst/c"], ["train", "dev", "test"]),
    "validation": (["train/a", "validation/b", "test/c"], ["train", "dev", "test"]),
    "within a name": (["my-train_data/a", "val 2/b", "2010test/c"], ["train", "dev", "test"]),
    "deeper": (["x/train/y/a", "x/valid/b", "x/test/c"], ["train", "dev", "test"]),
    "the outermost": (["train/test/a", "dev/b", "test/train/c"], ["train", "dev", "test"]),
    "eval beside test": (["train/a", "eval/b", "test/c"], ["train", "dev", "test"]),
    "eval beside dev": (["train/a", "dev/b", "eval/c"], ["train", "dev", "test"]),
    "eval alone": (["train/a", "evaluation/c"], ["train", "test"]),
    "none": (["train/a", "other/b", "c", "test"], ["train", None, None, None]),
    "both in one name": (["train-test/a", "dev/b"], [None, "dev"]),
    "part of a word": (["strain/a", "contest/b", "latest/c"], [None, None, None]),
}


@pytest.mark.parametrize(("names", "expected"), FOLDERS.values(), ids=FOLDERS)
def test_parts_by_folders(names, expected):
    found = folder_parts(names)
    assert [found.get(name) for name in names] == expected
    if None not in expected:
        assert given_parts("folders", names) == found


def test_documents_in_no_folder_of_a_part_are_an_error():
    with pytest.raises(
        ValueError, match=r"a document, c: it is in no folder of a part; a folder is"
    ):
        given_parts("folders", ["train/a", "dev/b", "c"])


def test_a_split_that_the_conversion_wrote_is_kept(tmp_path):
    path = tmp_path / "split.json"
    parts = {"train": ["a", "gone"], "dev": ["b"], "test": ["sub/c"]}
    path.write_text(json.dumps({"seed": 0, "parts": parts}))
    expected = {"a": "train", "b": "dev", "sub/c": "test"}
    assert given_parts(path, list(expected)) == expected
    with pytest.raises(ValueError, match="a document, new: it has no part in"):
        given_parts(path, [*expected, "new"])


def test_a_table_of_parts(tmp_path):
    path = tmp_path / "parts.tsv"
    path.write_text("name\tsplit\na\tTrain\nb\tvalidation\nc\ttest\n")
    assert given_parts(str(path), ["a", "b", "c"]) == {"a": "train", "b": "dev", "c": "test"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "{}", 'is not a split.json: it must have "parts"'),
        ("a.json", "[", 'is not a split.json: it must have "parts"'),
        ("a.json", '{"parts": {"all": ["a"]}}', '"all" is not one of train, dev, test'),
        ("a.csv", "name,part\na,blue\n", 'line 2: "blue" is not one of train, dev, test'),
        ("a.csv", "a,blue\n", 'line 1: "blue" is not one of train, dev, test'),
    ],
)
def test_files_that_are_no_division(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        given_parts(tmp_path / name, ["a"])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("folders", True), ("a/split.json", True), ("parts.csv", True), ("parts.TSV", True),
        ("0.8,0.1,0.1", False), ("0.8,0.1,.1", False), ("", False), ("a", False),
    ],
)  # fmt: skip
def test_what_is_a_division(value, expected):
    assert is_division(value) == expected


def test_sets_in_several_parts():
    parts = {"a": "train", "b": "train", "c": "test"}
    assert in_several_parts([["a", "b"], ["a", "c"], ["b", "unknown"]], parts) == [["a", "c"]]


@pytest.mark.parametrize(("n", "expected"), [(1, "0"), (3, "0, 1, 2"), (5, "0, 1, 2 and 2 more")])
def test_names_in_a_message(n, expected):
    assert describe_names([str(i) for i in range(n)]) == expected
