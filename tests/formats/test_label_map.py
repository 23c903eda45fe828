from pathlib import Path

import pytest

from spacy_btl.brat import Document, loads
from spacy_btl.formats import apply_map, check_labels, parse_labels, read_label_map

TABLES = {
    # a file: what it maps, or what is wrong with it
    ("m.tsv", "Age\tAGE\nSex\t\n"): {"Age": "AGE", "Sex": ""},
    ("m.csv", "\ufeffAge,AGE\r\n\r\nA B;,C\r\n"): {"Age": "AGE", "A B;": "C"},
    ("m.csv", "Age,AGE\n\nA B\n"): "line 3: there must be",
    ("m.csv", 'Age,AGE\n"A, B",C\n'): {"Age": "AGE", "A, B": "C"},
    ("m.txt", "Age;AGE\n"): {"Age": "AGE"},
    ("m.yaml", "Age: AGE\nSex:\n'No': ''\n"): {"Age": "AGE", "Sex": "", "No": ""},
    ("m.yml", "- Age\n"): r"must be YAML \(old: new\)",
    ("m.yml", "Age: [a]\n"): "not labels",
    ("m.yml", "Age: 'x\n"): "must be YAML",
    ("m.tsv", "Age\n"): "line 1: there must be",
    ("m.tsv", "Age\tA\tB\n"): "line 1: there must be",
    ("m.tsv", "\tA\n"): "line 1: there must be",
    ("m.tsv", "Age\tA\nAge\tB\n"): '"Age" appears twice',
    ("m.tsv", "Age\tA\nAge\tA\n"): {"Age": "A"},
    ("m.tsv", "\n"): "maps no label",
}


@pytest.mark.parametrize(("name", "content"), TABLES)
def test_files_of_maps(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content.encode())
    wanted = TABLES[name, content]
    if isinstance(wanted, str):
        with pytest.raises(ValueError, match=wanted):
            read_label_map(path)
    else:
        assert read_label_map(path) == wanted


def test_files_that_are_no_maps(tmp_path):
    (tmp_path / "m.tsv").write_bytes(b"\xff\xfe\xfd")
    with pytest.raises(ValueError, match="not UTF-8"):
        read_label_map(tmp_path / "m.tsv")
    with pytest.raises(FileNotFoundError, match="for mapping labels"):
        read_label_map(tmp_path / "absent.tsv")


ANN = """\
T1\tAge 0 1\ta
T2\tSex 0 1\ta
T3\tAge 1 2\tb
E1\tSex:T2 Theme:T1
R1\tIn Arg1:T1 Arg2:T3
#1\tAnnotatorNotes T2\twords
T4\tSex 0
"""


@pytest.fixture
def document():
    return Document("d", Path("d.txt"), "ab", (("d.ann", loads(ANN)),), ())


MAPS = {
    "rename": ({"Age": "AGE"}, ["AGE", "Sex", "AGE"], [("Age", "AGE", 2)], 6 + 1),
    "join": ({"Sex": "Age"}, ["Age"] * 3, [("Sex", "Age", 1)], 6 + 1),
    "exchange": (
        {"Sex": "Age", "Age": "Sex"},
        ["Sex", "Age", "Sex"],
        [("Age", "Sex", 2), ("Sex", "Age", 1)],
        6 + 1,
    ),
    "keep": ({"Age": "Age"}, ["Age", "Sex", "Age"], [], 6 + 1),
    "leave out": ({"Sex": ""}, ["Age", "Age"], [("Sex", "", 1)], 4),
}


@pytest.mark.parametrize("name", MAPS)
def test_maps(document, name):
    new, labels, mapped, records = MAPS[name]
    (changed,), found = apply_map([document], new)
    assert [e.label for e in changed.standoff.entities] == labels
    assert found == mapped
    assert len(changed.standoff.records) == records


def test_unknown_labels_are_an_error_that_lists_the_known_ones(document):
    with pytest.raises(
        ValueError, match="no entity has these labels of the map: Color; the labels are Age, Sex"
    ):
        apply_map([document], {"Color": "", "Age": "A"})
    apply_map([document], {"Color": ""}, known=["Color"])


def test_labels(tmp_path):
    (tmp_path / "labels.txt").write_text("Sex\n\nA, B\n")
    assert parse_labels("Sex, Age,Sex") == ("Age", "Sex")
    assert parse_labels(str(tmp_path / "labels.txt")) == ("A, B", "Sex")
    with pytest.raises(ValueError, match="names no label"):
        parse_labels(" , ")


def test_an_entity_outside_of_the_label_set_is_an_error(document):
    check_labels([document], {"Age", "Sex"})
    with pytest.raises(ValueError, match=r'^1 entity is outside .*: d.ann:2 "Sex"; add'):
        check_labels([document], {"Age"})


@pytest.mark.parametrize("value", ["no.txt", "sub/no", "sub\\no.tsv", "a.b.csv", "/Age"])
def test_a_file_of_labels_that_is_not_there_is_no_type(value):
    with pytest.raises(FileNotFoundError, match=r"the file of types .* does not exist"):
        parse_labels(value)


@pytest.mark.parametrize(
    ("value", "labels"),
    [
        ("Sign/Symptom,", ("Sign/Symptom",)),
        ("Age,Sign/Symptom", ("Age", "Sign/Symptom")),
        ("U.S", ("U.S",)),
        ("T047", ("T047",)),
        ("Grade.1", ("Grade.1",)),
    ],
)
def test_types_with_signs_of_a_path(value, labels):
    assert parse_labels(value) == labels
