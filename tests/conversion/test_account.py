import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_btl.conversion.account import STATUSES, UNSURE_OFFSETS, Account, Row

ROWS = [
    Row("a.ann", 1, "T1", "Age", "kept", "", ((0, 2),), ((0, 2),)),
    Row("a.ann", 2, "T2", "Sex", "moved", "cuts a token", ((4, 5),), ((4, 6),)),
    Row(
        "a.ann", 3, "T3", "Sex", "flattened", "overlaps another entity", ((4, 9),), ((4, 9),), "T2"
    ),
    Row("b.ann", 1, "T1", "Sex", "dropped", "white space only", ((7, 8),)),
]
PROBLEMS = [
    {
        "file": "a.ann",
        "line": 2,
        "record": "T2",
        "level": "error",
        "reason": "surface",
        "detail": "",
    },
    {"file": "a.txt", "line": 0, "record": "", "level": "warning", "reason": "bom", "detail": ""},
]
ACCOUNT = Account(ROWS, PROBLEMS, {"overlap": "rarest"}, "bundled sample")


def test_totals():
    expected = {"input": 4, "kept": 1, "moved": 1, "flattened": 1, "dropped": 1}
    assert ACCOUNT.totals() == expected
    assert list(ACCOUNT.by_label()) == ["Sex", "Age"]
    assert ACCOUNT.by_label()["Sex"] == {**expected, "input": 3, "kept": 0}
    assert ACCOUNT.by_reason() == {
        "kept": 1,
        "moved: cuts a token": 1,
        "flattened: overlaps another entity": 1,
        "dropped: white space only": 1,
    }


def test_errors_are_the_problems_that_are_no_warnings():
    assert ACCOUNT.errors() == PROBLEMS[:1]


def test_json():
    text = ACCOUNT.to_json()
    value = json.loads(text)
    assert value["totals"] == ACCOUNT.totals()
    assert (value["heading"], value["settings"]) == ("bundled sample", {"overlap": "rarest"})
    assert value["problems"] == PROBLEMS
    assert value["rows"][2] == {
        "file": "a.ann", "line": 3, "record": "T3", "label": "Sex", "status": "flattened",
        "reason": "overlaps another entity", "source": [[4, 9]], "target": [[4, 9]], "by": "T2",
    }  # fmt: skip
    assert sum(line.startswith('{"file"') for line in text.splitlines()) == 4


def test_markdown():
    lines = ACCOUNT.to_markdown().splitlines()
    assert lines[0] == "**bundled sample**"
    for line in (
        "- overlap: rarest",
        "| input     |        4 |",
        "| moved: cuts a token                |        1 |",
        "| label | input | kept | moved | flattened | dropped |",
        "| Sex   |     3 |    0 |     1 |         1 |       1 |",
        "| surface              |     1 |",
    ):
        assert line in lines


def test_nothing_read():
    empty = Account([], [], {})
    assert empty.totals() == dict.fromkeys(("input", *STATUSES), 0)
    assert json.loads(empty.to_json())["rows"] == []
    assert "problem" not in empty.to_markdown()


@given(
    st.lists(
        st.builds(
            Row,
            st.just("a.ann"),
            st.integers(1, 9),
            st.just("T1"),
            st.sampled_from("XYZ"),
            st.sampled_from(STATUSES),
            st.sampled_from(["", "one", "two"]),
        )
    )
)
def test_sums_by_type_and_by_reason_add_up_to_the_input(rows):
    account = Account(rows, [], {})
    totals = account.totals()
    assert totals["input"] == len(rows) == sum(totals[status] for status in STATUSES)
    assert sum(account.by_reason().values()) == len(rows)
    for key in totals:
        assert sum(counts[key] for counts in account.by_label().values()) == totals[key]


@pytest.mark.parametrize(
    ("rows", "problems", "expected"),
    [
        ([], [], ["there is no entity at all in these files: nothing can be trained on them"]),
        (ROWS[:3], PROBLEMS, []),
        (ROWS, PROBLEMS, ["1 of 4 entities lost: white space only (1)"]),
        (
            [*ROWS, Row("b.ann", 2, "T2", "", "dropped", "its line cannot be read")] * 2,
            [{**PROBLEMS[0], "file": "b.ann", "line": 2, "reason": "unreadable"}],
            [
                "4 of 10 entities lost: white space only (2), its line cannot be read (2)",
            ],
        ),
        (
            ROWS[:3],
            [{**PROBLEMS[0], "line": 9, "reason": "unreadable"}],
            ["1 line that is not an entity cannot be read; they are kept"],
        ),
        (
            [],
            [{**PROBLEMS[0], "line": 9, "reason": "unreadable"}],
            [
                "there is no entity at all in these files: nothing can be trained on them",
                "1 line that is not an entity cannot be read; they are kept",
            ],
        ),
        (
            ROWS[:3],
            [{**PROBLEMS[0], "detail": "2 bytes are not UTF-8, the first at byte 3"}] * 2,
            [
                "2 files are not UTF-8, a.ann the first: U+FFFD replaces bytes that cannot be "
                "read; save as UTF-8"
            ],
        ),
        (
            ROWS[:3],
            [{**PROBLEMS[0], "detail": UNSURE_OFFSETS}],
            [f"documents in which {UNSURE_OFFSETS}: 1"],
        ),
    ],
)
def test_warnings(rows, problems, expected):
    account = Account(rows, problems, {})
    assert account.warnings() == expected
    assert all(warning in account.to_markdown() for warning in expected)


@pytest.mark.parametrize(
    ("rows", "misaligned", "warned"),
    [
        (50, 0, False),
        (50, 10, True),
        (50, 50, True),
        (51, 10, False),  # a few misaligned entities are in any corpus
        (9, 9, False),  # so few may be anything
        (50, None, False),
    ],
)
def test_entities_off_the_tokens_hint_at_the_language(rows, misaligned, warned):
    settings = {} if misaligned is None else {"misaligned entities, this tokenizer": misaligned}
    account = Account(ROWS[:1] * rows, [], settings)
    said = [warning for warning in account.warnings() if "--lang" in warning]
    assert len(said) == warned
    assert all(warning.startswith(f"{misaligned} of {rows} entities") for warning in said)


@pytest.mark.parametrize(
    ("offsets", "realigned", "said"),
    [
        ("utf16", 0, "(counted as utf16 1)"),
        ("utf16", 2, "(counted as utf16 1)"),
        ("characters", 2, "(in characters, but edited 1)"),
        ("characters", 0, "(counted as characters 1)"),
    ],
)
def test_an_edited_text_is_not_said_to_be_counted_otherwise(offsets, realigned, said):
    correction = {
        "document": "a", "offsets": offsets, "corrected": 2, "realigned": realigned, "dropped": 0
    }  # fmt: skip
    (warning,) = Account(ROWS[:1], [], {}, "", [correction]).warnings()
    assert said in warning
