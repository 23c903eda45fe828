import re

from spacy_btl import brat
from spacy_btl.brat import annotation_conf, visual_conf

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
        "Lab_value\n"  # of which one is a trigger and one is not
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


def test_visual_conf_gives_each_type_a_colour_of_its_own():
    text = visual_conf(STANDOFFS)
    assert text.startswith("[labels]\n\n[drawing]\n")
    colours = dict(re.findall(r"^(\S+)\tbgColor:(#[0-9a-f]{6})$", text, re.MULTILINE))
    assert list(colours) == ["Age", "Binding", "Lab_value"]
    assert len(set(colours.values())) == 3


def test_no_documents():
    conf = annotation_conf([])
    assert re.findall(r"^\[(.*)\]$", conf, re.MULTILINE) == [
        "entities", "relations", "events", "attributes",
    ]  # fmt: skip
    assert "[drawing]" in visual_conf([])
