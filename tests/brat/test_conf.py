import re

import pytest

from spacy_btl import brat
from spacy_btl.brat import annotation_conf, unlisted_types, visual_conf, without_spaces

STANDOFFS = [
    brat.loads(
        "T1\tAge 0 1\ta\nT2\tBinding 1 2\tb\nT3\tLab_value 2 3\tc\nT4\tLab_value 3 4\td\n"
        "E1\tBinding:T2 Theme:T1 Theme2:T3\nE2\tLab_value:T3\n"
        "R1\tMODIFY Arg1:T1 Arg2:T2\n*\tEquiv T1 T2\nA1\tPOLARITY E1 NEG\nA2\tNegation E2\n"
    ),
    brat.loads("T1\tNon-query-able 0 1\ta\nE1\tBinding:T1 Site:T1\nA1\tPOLARITY E1 MAYBE\n"),
]


def test_annotation_conf_names_every_type():
    assert annotation_conf(STANDOFFS) == (
        "[entities]\n"
        "Age\n"
        "Lab_value\n"  # one of them a trigger, one not
        "\n"
        "[relations]\n"
        "<OVERLAP>\tArg1:<ANY>, Arg2:<ANY>, <OVL-TYPE>:<ANY>\n"
        "Equiv\tArg1:<ANY>, Arg2:<ANY>, <REL-TYPE>:symmetric-transitive\n"
        "MODIFY\tArg1:<ANY>, Arg2:<ANY>\n"
        "\n"
        "[events]\n"
        "Binding\tSite*:<ANY>, Theme*:<ANY>\n"
        "Lab_value\n"
        "\n"
        "[attributes]\n"
        "Negation\tArg:<ANY>\n"
        "POLARITY\tArg:<ANY>, Value:MAYBE|NEG\n"
    )


def test_visual_conf_gives_each_type_a_color_of_its_own():
    text = visual_conf(STANDOFFS)
    assert text.startswith("[labels]\n\n[drawing]\n")
    colors = dict(re.findall(r"^(\S+)\tbgColor:(#[0-9a-f]{6})$", text, re.MULTILINE))
    assert list(colors) == ["Age", "Binding", "Lab_value"]
    assert len(set(colors.values())) == 3


def test_no_documents():
    conf = annotation_conf([])
    assert re.findall(r"^\[(.*)\]$", conf, re.MULTILINE) == [
        "entities", "relations", "events", "attributes",
    ]  # fmt: skip
    assert "[drawing]" in visual_conf([])


ODD = [
    "Sign/Symptom", "Größe-µ", "<script>", "A|B", "[x]", "!hdr", "#1", "---", "A,B",
    "A:B", "é", "a\u00a0b",
]  # fmt: skip


def types_in(conf, section):
    """Return the types that brat's own reader finds in a section, and fails where it fails."""
    sections, name = {}, ""
    for line in conf.split("\n"):
        if head := re.match(r"\s*\[(.*)\]\s*$", line):
            name = head[1]
        elif line.strip() and not re.match(r"\s*#", line):
            assert not re.match(r"\s*-+\s*$", line)  # a separator
            assert set(re.findall("<.*?>", line)) <= {
                "<ANY>",
                "<OVERLAP>",
                "<OVL-TYPE>",
                "<REL-TYPE>",
            }
            found = re.match(r"(\S+)(?:\s+(.*))?$", line)
            assert all(
                re.fullmatch(r"\S*?:\S*", arg.strip()) for arg in (found[2] or "X:X").split(",")
            )
            sections.setdefault(name, []).append(found[1])
    assert sections.keys() <= {"entities", "relations", "events", "attributes"}
    return sections.get(section, [])


@pytest.mark.parametrize("label", [*ODD, "B-X", "O", "X_1", "two words"])
def test_brat_reads_the_configuration_whatever_a_type_is_called(label):
    entity = brat.Entity("T1", label, ((0, 1),), "a")
    standoff = brat.Standoff((entity, brat.Entity("T2", "Plain", ((0, 1),), "a")))
    listed = re.fullmatch("[A-Za-z0-9_-]*[A-Za-z0-9_][A-Za-z0-9_-]*", label)
    expected = sorted(["Plain", label]) if listed else ["Plain"]
    assert types_in(annotation_conf([standoff]), "entities") == expected
    assert unlisted_types([standoff]) == ([] if listed else [label])
    assert (f"{label}\tbgColor" in visual_conf([standoff])) == bool(listed)


def test_brat_reads_values_and_roles_of_any_characters():
    ann = "T1\tX 0 1\ta\nE1\tX:T1 R,1:T1 Who:T1\nR1\tA<b> Arg1:T1 Arg2:T1\nR2\tB <a>:T1 Arg2:T1\n"
    ann += "A1\tSure T1 very likely\nA2\tSure T1 a|b\nA3\tSure T1 no\nA4\tIs/was T1\n"
    conf = annotation_conf([brat.loads(ann)])
    assert types_in(conf, "events") == ["X"]
    assert types_in(conf, "relations") == ["<OVERLAP>", "B"]
    assert types_in(conf, "attributes") == ["Sure"]
    assert "Sure\tArg:<ANY>, Value:no\n" in conf


@pytest.mark.parametrize(
    ("labels", "written"),
    [
        (["X", "a_b"], ["X", "a_b"]),
        (["a b"], ["a_b"]),
        (["a  b\tc\u00a0d"], ["a_b_c_d"]),
        ([" a "], ["a"]),
        (["a b", "a b"], ["a_b"]),
        ([""], [""]),
    ],
)
def test_labels_without_white_space(labels, written):
    assert list(without_spaces(labels).values()) == sorted(written)


@pytest.mark.parametrize("labels", [["a b", "a_b"], ["a b", "a  b"], ["a", "a "]])
def test_labels_that_would_become_one(labels):
    with pytest.raises(ValueError, match="would both be"):
        without_spaces(labels)
