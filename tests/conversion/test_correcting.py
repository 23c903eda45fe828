"""Wrong offsets from the folder to the documents, the account and back to BRAT."""

import json

import pytest

from spacy_btl.brat import read_folder
from spacy_btl.conversion.account import Account, CorrectionJson, Row
from spacy_btl.conversion.convert import LossError, convert_folder, read_brat
from spacy_btl.conversion.export import export_docs, to_standoff
from spacy_btl.conversion.placement import Policies
from spacy_btl.scoring.scorer import gold_entities
from tests.helpers.commands import invoke
from tests.helpers.files import write_tree

TEXT = "He has asthma.\r\nHe takes salbutamol.\r\nNo fever.\r\n"
CRLF = "T1\tX 7 13\tasthma\nT2\tX 24 34\tsalbutamol\nA1\tSure T2\n"
WRONG = "T1\tX 7 13\tasthma\nT2\tX 25 35\tterbutaline\nT3\tX 41 46\tfever\n"


@pytest.fixture
def convert(tmp_path):
    """Return a function that converts one document: its Doc, the account and the folder."""

    def convert(text, ann, offsets="auto"):
        root = write_tree(tmp_path / "brat", {"d.txt": text, "d.ann": ann})
        docs, account = read_brat(root, policies=Policies(offsets=offsets))
        return docs[0], account, root

    return convert


def words(doc):
    return [(span.id_, span.text) for span in doc.spans["brat"]]


def test_what_the_account_says_of_another_way_of_counting(convert):
    doc, account, _ = convert(TEXT, CRLF)
    assert words(doc) == [("T1", "asthma"), ("T2", "salbutamol")]
    assert account.offsets == [
        {"document": "d", "offsets": "crlf-as-one", "corrected": 1, "realigned": 0, "dropped": 0}
    ]
    assert [(row.status, row.source, row.written) for row in account.rows] == [
        ("kept", ((7, 13),), ()),
        ("kept", ((25, 35),), ((24, 34),)),
    ]
    assert [(p["reason"], p["level"], p["detail"]) for p in account.problems] == [
        ("offsets", "warning", "counted as crlf-as-one: 1 of 2 entities are moved to their words")
    ]
    value = json.loads(account.to_json())
    assert value["offsets"] == account.offsets
    assert ["written" in row for row in value["rows"]] == [False, True]
    assert "| d        | crlf-as-one |" in account.to_markdown()


def test_gold_is_at_the_corrected_place_and_export_writes_it(convert, tmp_path):
    doc, _, _ = convert(TEXT, CRLF)
    assert gold_entities(doc) == [("X", ((7, 13),)), ("X", ((25, 35),))]
    export_docs([doc], tmp_path / "again", "brat")
    (document,) = read_folder(tmp_path / "again")
    assert (document.text, document.problems) == (TEXT, ())
    written = (tmp_path / "again" / "d.ann").read_text(encoding="utf-8")
    assert written == CRLF.replace("24 34", "25 35")
    docs, account = read_brat(tmp_path / "again")
    assert (words(docs[0]), account.offsets) == (words(doc), [])


def test_an_entity_at_other_words_is_dropped_and_counted(convert):
    doc, account, _ = convert(TEXT, WRONG)
    assert words(doc) == [("T1", "asthma"), ("T3", "fever")]
    assert account.totals()["dropped"] == 1
    assert account.by_reason()["dropped: its surface text is not at its offsets"] == 1
    assert account.offsets == [
        {"document": "d", "offsets": "characters", "corrected": 0, "realigned": 0, "dropped": 1}
    ]
    assert len(gold_entities(doc)) == 3  # it counts as missed


def test_a_dropped_entity_lends_its_record_to_no_other(convert):
    doc, _, _ = convert(TEXT, WRONG)
    doc.set_ents([doc.char_span(25, 35, label="X")])
    (entity,) = to_standoff(doc).standoff.entities
    assert (entity.id, entity.text) == ("T4", "salbutamol")


STRICT = {
    # text, annotation; whether a strict conversion fails
    "right": (TEXT, CRLF.replace("24 34", "25 35"), False),
    "counted otherwise": (TEXT, CRLF, False),
    "at other words": (TEXT, WRONG, True),
    "edited": (f"No letters from outside. {TEXT}", f"{WRONG[:16]}\nT3\tX 41 46\tfever\n", False),
    "edited in the middle": (
        TEXT.replace("takes", "never takes any"),
        "T1\tX 7 13\tasthma\nT2\tX 25 35\tsalbutamol\nT3\tX 41 46\tfever\n",
        True,
    ),
}


@pytest.mark.parametrize(("text", "ann", "fails"), STRICT.values(), ids=STRICT)
def test_strict(convert, tmp_path, text, ann, fails):
    doc, account, root = convert(text, ann)
    if fails:
        with pytest.raises(LossError):
            convert_folder(root, tmp_path / "out", shares=None, strict=True)
    else:
        convert_folder(root, tmp_path / "out", shares=None, strict=True)
    assert bool(account.totals()["dropped"] or account.errors()) == fails
    for row in account.rows:
        if row.status != "dropped":
            surface = next(e for e in read_folder(root)).standoff.get(row.record).text
            assert [doc.text[a:b] for a, b in row.source] == [surface]


READ = {
    # file, annotation, the way of counting that is found; all words are found
    "UTF-16": ("\U0001f600 ok, asthma\n", "T1\tX 7 13\tasthma\n", "utf16"),
    "bytes": ("f\u00e9brile asthma", "T1\tX 9 15\tasthma\n", "bytes"),
    "bytes with a byte order mark": (
        "\ufefff\u00e9brile, asthma, cough",
        "T1\tX 13 19\tasthma\nT2\tX 21 26\tcough\n",
        "bytes+shift:-3",
    ),
    "characters with a byte order mark": ("\ufeffNo asthma", "T1\tX 4 10\tasthma\n", "shift:-1"),
    "from 1": ("asthma cough", "T1\tX 1 7\tasthma\nT2\tX 8 13\tcough\n", "shift:-1"),
}


@pytest.mark.parametrize(("text", "ann", "offsets"), READ.values(), ids=READ)
def test_ways_of_counting(convert, text, ann, offsets):
    doc, account, _ = convert(text, ann)
    surfaces = [line.split("\t")[2] for line in ann.splitlines()]
    assert [text for _, text in words(doc)] == surfaces
    assert [each["offsets"] for each in account.offsets] == ([offsets] if offsets else [])


@pytest.mark.parametrize(
    ("first", "offsets"),
    [
        ("1 7\tasthma", "auto"),
        ("1 7\tasthma", "characters"),
        ("1 7\tasthma", "shift:-1"),
        ("0 7\tasthma", "auto"),
        ("0 7\t\ufeffasthma", "auto"),
        ("0 7\t\ufeffasthma", "characters"),
    ],
)
def test_a_counted_byte_order_mark_is_left_out(convert, tmp_path, first, offsets):
    doc, account, _ = convert("\ufeffasthma, cough", f"T1\tX {first}\nT2\tX 9 14\tcough\n", offsets)
    assert doc.text == "asthma, cough"
    assert [row.source for row in account.rows] == [((0, 6),), ((8, 13),)]
    assert account.offsets[0]["offsets"] == "shift:-1"
    assert not account.errors()
    export_docs([doc], tmp_path / "again", "brat")
    written = (tmp_path / "again" / "d.ann").read_text(encoding="utf-8")
    assert written == "T1\tX 0 6\tasthma\nT2\tX 8 13\tcough\n"


def test_nothing_is_corrected_where_that_is_asked_for(convert):
    doc, account, _ = convert(TEXT, CRLF, "characters")
    assert words(doc) == [("T1", "asthma")]
    assert account.totals()["dropped"] == 1
    assert account.settings["offsets"] == "characters"
    doc, account, _ = convert(TEXT, CRLF, "unchecked")
    assert len(words(doc)) == 2
    assert [p["reason"] for p in account.problems] == ["surface"]


def test_without_surface_texts_cut_words_are_a_warning(convert):
    _, account, _ = convert(TEXT, "T1\tX 6 12\t\nT2\tX 24 34\t\n")
    assert account.totals()["dropped"] == 0
    assert ("offsets", "warning") in [(p["reason"], p["level"]) for p in account.problems]


@pytest.mark.parametrize("command", ["convert", "stats"])
def test_the_commands_say_so(convert, tmp_path, command):
    _, _, root = convert(TEXT, CRLF)
    places = [tmp_path / "out", "--no-split"] if command == "convert" else []
    code, said = invoke(command, root, *places)
    assert code == 0
    assert "1 document has wrong offsets (counted as crlf-as-one 1)" in " ".join(said.split())
    assert "convert with --offsets crlf-as-one" in " ".join(said.split())
    code, said = invoke(command, root, *places, "--offsets", "latin1")
    assert code == 1
    assert 'offsets is "latin1", and must be auto, unchecked, or some of' in " ".join(said.split())


@pytest.mark.parametrize(
    ("ways", "setting", "advice"),
    [
        (["utf16"], "auto", "convert with --offsets utf16"),
        (["utf16", "utf16"], "auto", "convert with --offsets utf16"),
        (["utf16", "bytes"], "auto", ""),
        (["characters"], "auto", ""),  # an edited text
        (["utf16"], "utf16", ""),  # as the user has said
    ],
)
def test_a_warning_names_the_option_for_offsets_of_one_kind(ways, setting, advice):
    corrections = [
        CorrectionJson(document="d", offsets=way, corrected=1, realigned=0, dropped=0)
        for way in ways
    ]
    row = Row("d.ann", 1, "T1", "X", "kept")
    account = Account([row], [], {"offsets": setting}, offsets=corrections)
    (warning,) = account.warnings()
    assert advice in warning
    assert ("--offsets" in warning) == bool(advice)
