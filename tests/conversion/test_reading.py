"""Other formats than brat's end in the same documents and the same account."""

import json

import pytest
import spacy
from spacy.tokens import Doc, DocBin, Span

from spacy_btl.conversion.convert import LossError, convert_folder, read_brat
from spacy_btl.conversion.export import export_docs
from spacy_btl.conversion.reading import Reading, read_source
from spacy_btl.data.docbin import read_docbin
from spacy_btl.data.label_sets import corpus_of, label_set_of
from spacy_btl.scoring.scorer import gold_entities
from tests.helpers.commands import invoke
from tests.helpers.files import write_tree

PUBTATOR = """\
7|t|Fever and rash.
7|a|A man had fever.
7\t0\t5\tFever\tSign\tD1
7\t18\t21\tman\tSex
7\t26\tx\tfever\tSign
7\t90\t95\tchill\tSign
7\tword\t21\tman\tSex
"""
CONLL = "Fever\tB-Sign\nand\tO\nrash\tI-Sign\nthen\tB-Sign\nill\tQ-Sign\n"
JSONL = json.dumps(
    {"text": "Fever and rash", "spans": [{"start": 0, "end": 5, "label": "Sign"}, {"start": 6}]}
)
BRAT = {"d.txt": "Fever", "d.ann": "T1\tSign 0 5\tFever\nT2\tSign 0\n"}

SAME = {
    # files: the sums of the account, its errors and warnings, and labels that are lost
    "pubtator": ({"c.PubTator": PUBTATOR}, (5, 2, 3), (3, 0), ["Sign", "Sex"]),
    "conll": ({"c.tsv": CONLL}, (4, 3, 1), (1, 1), ["Sign"]),
    "json": ({"c.jsonl": JSONL}, (2, 1, 1), (1, 0), None),
    "brat": (BRAT, (2, 1, 1), (1, 0), ["Sign"]),
}


@pytest.mark.parametrize("name", SAME)
def test_every_entity_is_in_one_row(tmp_path, name):
    files, sums, found, lost = SAME[name]
    (doc,), account = read_brat(write_tree(tmp_path / "s", files))
    totals = account.totals()
    assert (totals["input"], totals["kept"], totals["dropped"]) == sums
    errors = len(account.errors())
    assert (errors, len(account.problems) - errors) == found
    assert doc.user_data["brat"].get("lost") == lost
    assert len(gold_entities(doc)) == sums[0] - (sums[2] if lost is None else 0) or name == "json"
    assert all(row.file == [*files][-1] and row.line for row in account.rows)


def test_strict_fails_for_a_broken_line_and_writes_the_account(tmp_path):
    root = write_tree(tmp_path / "s", {"c.tsv": CONLL})
    with pytest.raises(LossError, match="1 entity dropped, 1 error"):
        convert_folder(root, tmp_path / "out", strict=True)
    rows = json.loads((tmp_path / "out" / "account.json").read_text())["rows"]
    assert (rows[-1]["line"], rows[-1]["reason"]) == (5, "its line cannot be read")


def test_a_document_that_cannot_be_read_is_said_to_be_lost(tmp_path):
    root = write_tree(tmp_path / "s", {"c.jsonl": f"{JSONL}\n{JSONL[:-9]}\n"})
    docs, account = read_brat(root)
    assert len(docs) == 1
    assert account.warnings()[-1].startswith("1 document or file cannot be read")


def test_what_was_read_is_said(tmp_path):
    root = write_tree(tmp_path / "s", {"c.PubTator": PUBTATOR, "notes.md": "words"})
    code, said = invoke("convert", root, tmp_path / "out", "--no-split")
    assert code == 0
    assert "read as PubTator (files 1)" in said
    assert "1 other file: notes.md" in " ".join(said.split())
    assert "c.PubTator:5 error T3 unreadable, an offset is not a number" in said
    assert "rash" not in said
    code, said = invoke("stats", root)
    assert code == 0
    assert "| Sign " in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--columns", "token"], 'one "token" and at least one "tag"'),
        (["--columns", "token,tag"], "read as PubTator, which has no setting columns"),
        (["--format", "json", "--spans-key", "x"], "for the format docbin, not for json"),
        (["--labels", "Sign"], "1 entity is outside of the label set: c.PubTator:4"),
        (["--labels", "Sign,Sex", "--map", "m.tsv"], "leaves out all types of the label set"),
        (
            ["--map", "other.tsv"],
            "no entity has these labels of the map: Color; the labels are Sex, Sign",
        ),
    ],
)
def test_options_that_do_not_fit(tmp_path, monkeypatch, options, message):
    maps = {"m.tsv": "Sign\t\nSex\t\n", "other.tsv": "Color\tx\n"}
    root = write_tree(tmp_path, {"s/c.PubTator": PUBTATOR, **maps})
    monkeypatch.chdir(root)
    code, said = invoke("convert", "s", "out", "--no-split", *options)
    assert code == 1
    assert message in " ".join(said.split())


@pytest.mark.parametrize(
    "options", [{"format": "xml"}, {"sentences": -1}, {"labels": "Age"}, {"labels": [""]}]
)
def test_settings_are_checked_when_built(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Reading(**options)


def test_label_set_and_corpus_stay_with_the_documents(tmp_path):
    root = write_tree(tmp_path / "s", {"c.PubTator": PUBTATOR})
    (tmp_path / "m.yaml").write_text("Sign: Sign_symptom\nSex:\n")
    options = ["--labels", "Sex,Sign,Age", "--map", tmp_path / "m.yaml", "--corpus-name", "mine"]
    code, said = invoke("convert", root, tmp_path / "out", "--no-split", *options)
    assert code == 0
    assert "by the map: 2 renamed, 1 left out" in said
    (doc,) = read_docbin(tmp_path / "out" / "all.spacy", spacy.blank("en").vocab)
    assert label_set_of(doc) == {"Age", "Sign_symptom"}
    assert corpus_of(doc) == "mine"
    assert {ent.label_ for ent in doc.ents} == {"Sign_symptom"}
    assert doc.user_data["brat"]["lost"] == ("Sign_symptom",)  # not that of Sex
    account = json.loads((tmp_path / "out" / "account.json").read_text())
    assert account["totals"]["input"] == 4
    assert account["mapped"] == [
        {"label": "Sign", "new": "Sign_symptom", "entities": 2},
        {"label": "Sex", "new": "", "entities": 1},
    ]
    assert "| Sex " in (tmp_path / "out" / "account.md").read_text()
    # A DocBin is a corpus as well, and brings its label set.
    (again,), _ = read_brat(tmp_path / "out" / "all.spacy")
    assert (label_set_of(again), corpus_of(again)) == ({"Age", "Sign_symptom"}, "mine")
    reading = Reading(label_map={"Age": "AGE"})
    (again,), _ = read_brat(tmp_path / "out" / "all.spacy", reading=reading)
    assert label_set_of(again) == {"AGE", "Sign_symptom"}


def test_without_options_there_is_neither(tmp_path):
    (doc,), _ = read_brat(write_tree(tmp_path / "s", {"c.PubTator": PUBTATOR}))
    assert (label_set_of(doc), corpus_of(doc)) == (None, "")


def test_folders_and_files_named_after_parts_are_parts(tmp_path):
    files = {f"{part}.tsv": "a\tB-X\n\nb\tO\n" for part in ("train", "devel", "test")}
    root = write_tree(tmp_path / "s", files)
    reading = Reading(sentences=1)
    conversion = convert_folder(root, tmp_path / "out", division="folders", reading=reading)
    assert conversion.parts == {
        "train": ["train/00001", "train/00002"],
        "dev": ["devel/00001", "devel/00002"],
        "test": ["test/00001", "test/00002"],
    }


@pytest.mark.parametrize("name", SAME)
def test_what_is_converted_is_the_same_when_read_from_the_docbin(tmp_path, name):
    convert_folder(write_tree(tmp_path / "s", SAME[name][0]), tmp_path / "out", shares=None)
    first = read_brat(tmp_path / "s")
    second = read_brat(tmp_path / "out" / "all.spacy")
    assert second[1].settings["format"] == "DocBin"
    for one, other in zip(first[0], second[0], strict=True):
        assert [(e.start, e.end, e.label_, e.id_) for e in one.ents] == [
            (e.start, e.end, e.label_, e.id_) for e in other.ents
        ]
        assert one.text == other.text
    # The lines that cannot be read come last in a DocBin.
    rows = [
        sorted((row.record, row.label, row.status, row.reason, row.source) for row in account.rows)
        for _, account in (first, second)
    ]
    assert rows[0] == rows[1]


@pytest.mark.parametrize("name", SAME)
def test_what_is_converted_can_be_exported_and_mended_in_brat(tmp_path, name):
    docs, account = read_brat(write_tree(tmp_path / "s", SAME[name][0]))
    export_docs(docs, tmp_path / "brat", "brat")
    _, again = read_brat(tmp_path / "brat")
    assert again.settings["format"] == "BRAT"
    assert again.totals() == account.totals()


def docbin(tmp_path, *docs):
    DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "c.spacy")
    return tmp_path / "c.spacy"


def make(spans=(), ents=(), words=("Left", "leg", "pain")):
    doc = Doc(spacy.blank("en").vocab, words=list(words))
    if ents is not None:
        doc.set_ents([Span(doc, *ent) for ent in ents])
    for key, own in dict(spans).items():
        doc.spans[key] = [Span(doc, *span) for span in own]
    return doc


ENTS, SC = [(0, 2, "Site")], {"sc": [(0, 3, "Sign"), (1, 3, "Sign")]}
DOCBINS = {
    # a document, the key that is given: its entities, or an error
    "ents": (make(ents=ENTS), "", ["Left leg"]),
    "ents and spans": (make(SC, ENTS), "", ["Left leg"]),
    "a key": (make(SC, ENTS), "sc", ["Left leg pain", "leg pain"]),
    "spans alone": (make(SC), "", ["Left leg pain", "leg pain"]),
    "spans of several keys": (make({**SC, "x": [(0, 1, "X")]}), "", "name one of sc, x"),
    "no such key": (make(SC), "x", 'no document has doc.spans\\["x"\\], only sc'),
    "nothing": (make(), "", []),
}


@pytest.mark.parametrize("name", DOCBINS)
def test_docbins(tmp_path, name):
    doc, key, wanted = DOCBINS[name]
    path = docbin(tmp_path, doc)
    if isinstance(wanted, str):
        with pytest.raises(ValueError, match=wanted):
            read_source(path, Reading(spans_key=key))
        return
    (document,) = read_source(path, Reading(spans_key=key)).documents
    assert [entity.text for entity in document.standoff.entities] == wanted
    assert (document.name, document.text) == ("00001", doc.text)


def test_tokens_without_annotation_are_counted(tmp_path):
    source = read_source(docbin(tmp_path, make(ents=None), make(ents=ENTS)))
    assert source.settings["tokens without annotation, taken as O"] == 3


def test_a_broken_docbin_costs_no_other(tmp_path):
    docbin(tmp_path, make(ents=ENTS))
    (tmp_path / "broken.spacy").write_bytes(b"x")
    docs, account = read_brat(tmp_path)
    assert [doc.user_data["brat"]["name"] for doc in docs] == ["c/00001"]
    assert [(p["file"], p["reason"]) for p in account.problems] == [("broken.spacy", "no-text")]


def test_halves_of_characters_are_replaced(tmp_path):
    """JSON may have them; no document can."""
    span = '{"start": 0, "end": 2, "label": "A\\ud800\\n b", "text": "x\\udfff"}'
    content = f'{{"text": "x\\ud800 y", "id": "\\ud8001", "spans": [{span}, ["\\ud800"]]}}'
    (doc,), account = read_brat(write_tree(tmp_path / "s", {"c.jsonl": content}))
    assert doc.text == "x\ufffd y"
    assert [(ent.text, ent.label_) for ent in doc.ents] == [("x\ufffd", "A\ufffd b")]
    assert doc.user_data["brat"]["name"] == "c/_1"
    assert [problem["reason"] for problem in account.problems] == ["encoding", "unreadable"]
    export_docs([doc], tmp_path / "brat", "brat", label_spaces="underscore")
    DocBin(docs=[doc], store_user_data=True).to_bytes()


def test_a_docbin_keeps_the_names_of_its_documents(tmp_path):
    root = write_tree(tmp_path / "s", {"a (1): x.txt": "a", "a (1): x.ann": ""})
    convert_folder(root, tmp_path / "out", shares=None)
    (document,) = read_source(tmp_path / "out" / "all.spacy").documents
    assert document.name == "a (1): x"
