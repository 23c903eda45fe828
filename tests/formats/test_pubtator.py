import pytest

from tests.helpers.sources import entities, problems, read_tree

TEXT = "7|t|Fever and rash.\n7|a|No fever\ttoday.\n"
FEVER = "7\t0\t5\tFever\tSign\tD005334\n"


def read(tmp_path, content, **options):
    return read_tree(tmp_path, {"c.PubTator": content}, format="pubtator", **options)


def test_a_document(tmp_path):
    source = read(tmp_path, TEXT + FEVER + "7\tCID\tD1\tD2\n\n8|t|Next\n")
    assert [(d.name, d.text) for d in source.documents] == [
        ("7", "Fever and rash.\nNo fever\ttoday."),
        ("8", "Next"),
    ]
    assert entities(source) == [("7", 3, "Sign", ((0, 5),), "Fever")]
    assert source.settings == {"format": "PubTator", "relations passed over": 1, "files": 1}
    (_, concept) = source.documents[0].standoff.records
    assert (concept.target, concept.reference) == ("T1", "D005334")
    assert problems(source) == []


LINES = {
    # a third line: what it is read as, and what is reported of it
    "no concept": ("7\t0\t5\tFever\tSign", [("Sign", ((0, 5),))], []),
    "a concept of -": ("7\t0\t5\tFever\tSign\t-", [("Sign", ((0, 5),))], []),
    "seven columns": ("7\t0\t5\tFever\tSign\tA|B\ta|b", [("Sign", ((0, 5),))], []),
    "a tab in the words": ("7\t19\t30\tfever\ttoday\tSign\tD1", [("Sign", ((19, 30),))], []),
    "CRLF": ("7\t0\t5\tFever\tSign\tD1\r", [("Sign", ((0, 5),))], []),
    "spaces around": ("7\t 0\t5 \tFever\t Sign \tD1", [("Sign", ((0, 5),))], []),
    "outside": ("7\t90\t95\tFever\tSign\tD1", [("Sign", ((90, 95),))], ["outside"]),
    "other words": ("7\t0\t5\tChill\tSign\tD1", [("Sign", ((0, 5),))], ["surface"]),
    "empty": ("7\t5\t5\t\tSign\tD1", [("Sign", ((5, 5),))], ["empty"]),
    "an offset that is none": ("7\tx\t5\tFever\tSign\tD1", [], ["unreadable"]),
    "below 0": ("7\t-2\t5\tFever\tSign\tD1", [], ["unreadable"]),
    "no type": ("7\t0\t5\tFever\t\tD1", [], ["unreadable"]),
    "too few columns": ("7\t0\t5\tFever", [], ["unreadable"]),
    "spaces for tabs": ("7 0 5 Fever Sign D1", [], ["unreadable"]),
    "junk": ("some words", [], ["unreadable"]),
    "a document that is not there": (
        "9\t0\t5\tFever\tSign\tD1",
        [("Sign", ((0, 5),))],
        ["no-text"],
    ),
}


@pytest.mark.parametrize("name", LINES)
def test_a_line(tmp_path, name):
    line, read_as, reasons = LINES[name]
    last = "7\t10\t14\trash\tSign\tD1"
    source = read(tmp_path, f"{TEXT}{line}\n{last}\n")
    found = [(label, fragments) for _, _, label, fragments, _ in entities(source)]
    assert sorted(found) == sorted([*read_as, ("Sign", ((10, 14),))])
    assert [(number, reason) for number, _, reason in problems(source)] == [
        (3, reason) for reason in reasons
    ]


def test_lines_of_a_document_may_come_later(tmp_path):
    source = read(tmp_path, TEXT + "\n8|t|Next\n8\t0\t4\tNext\tX\n" + FEVER)
    assert [(name, line) for name, line, *_ in entities(source)] == [("7", 6), ("8", 5)]


def test_ids_that_stand_twice_are_two_documents(tmp_path):
    source = read(tmp_path, (TEXT + FEVER + "\n") * 2)
    assert [d.name for d in source.documents] == ["7", "7-2"]
    assert [(name, line) for name, line, *_ in entities(source)] == [("7", 3), ("7-2", 7)]


def test_bytes_that_are_not_utf_8_are_reported_with_their_line(tmp_path):
    source = read(tmp_path, (TEXT + FEVER).replace("today", "tod\xe4y").encode("latin-1"))
    assert problems(source) == [(2, "warning", "encoding")]
    assert entities(source) == [("7", 3, "Sign", ((0, 5),), "Fever")]


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_a_file_without_a_document(tmp_path, content):
    assert problems(read(tmp_path, content)) == [(0, "error", "no-text")]
