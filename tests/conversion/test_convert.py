import json
import re
import tempfile
from functools import partial
from pathlib import Path

import pytest
import spacy
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from spacy.training import Example

from spacy_btl.brat import dumps, read_folder
from spacy_btl.conversion.convert import (
    SHARES,
    LossError,
    blank,
    convert_folder,
    count_misaligned,
    make_docs,
    read_brat,
)
from spacy_btl.conversion.placement import Policies
from spacy_btl.data.docbin import read_docbin, write_parts
from spacy_btl.data.split import LARGER, small_parts
from spacy_btl.scoring.scorer import gold_entities, score_ner
from tests.helpers.commands import invoke
from tests.helpers.files import write_tree

T1 = "T1\tX 0 1\ta\n"


@pytest.fixture
def folder(tmp_path):
    """Return a function that writes files, given by relative path, and returns their folder."""

    return partial(write_tree, tmp_path / "brat")


# -- documents -------------------------------------------------------------------------------------

TEXT = "A 28-year-old man had left and right leg pain."
ANN = """\
T1\tAge 2 13\t28-year-old
T2\tSex 14 17\tman
T3\tSign_symptom 22 26;37 45\tleft leg pain
T4\tBiological_structure 37 40\tleg
E1\tSign_symptom:T3 Site:T4
A1\tPOLARITY E1 POS
T5\tSex 99 100\tx
"""


@pytest.fixture
def doc(folder):
    docs, _ = read_brat(folder({"sub/case.txt": TEXT, "sub/case.ann": ANN}))
    return docs[0]


def test_doc_ents_are_a_flat_choice(doc):
    found = [(ent.text, ent.label_, ent.id_) for ent in doc.ents]
    assert found == [
        ("28-year-old", "Age", "T1"),
        ("man", "Sex", "T2"),
        ("left and right leg pain", "Sign_symptom", "T3"),
    ]
    assert {token.ent_iob_ for token in doc} == {"B", "I", "O"}


def test_doc_spans_are_all_that_fit_the_tokens(doc):
    assert [(span.id_, span.text) for span in doc.spans["brat"]] == [
        ("T1", "28-year-old"),
        ("T2", "man"),
        ("T3", "left and right leg pain"),
        ("T4", "leg"),
    ]


def test_user_data_is_the_annotation_as_it_was(doc):
    assert doc.user_data["brat"] == {
        "name": "sub/case",
        "heading": "",
        "entities": [
            {"id": "T1", "label": "Age", "fragments": [[2, 13]]},
            {"id": "T2", "label": "Sex", "fragments": [[14, 17]]},
            {
                "id": "T3",
                "label": "Sign_symptom",
                "fragments": [[22, 26], [37, 45]],
                "placed": [[22, 45]],
            },
            {"id": "T4", "label": "Biological_structure", "fragments": [[37, 40]]},
            {
                "id": "T5",
                "label": "Sex",
                "fragments": [[99, 100]],
                "text": "x",
                "dropped": "offsets outside the text",
            },
        ],
        "records": [
            {
                "kind": "Event",
                "id": "E1",
                "type": "Sign_symptom",
                "trigger": "T3",
                "args": [["Site", "T4"]],
            },
            {"kind": "Attribute", "id": "A1", "name": "POLARITY", "target": "E1", "value": "POS"},
        ],
    }


def test_what_was_lost_still_counts_as_gold(doc):
    assert ("Sex", ((99, 100),)) in gold_entities(doc)
    assert ("Sign_symptom", ((22, 26), (37, 45))) in gold_entities(doc)


def test_a_docbin_keeps_all_of_it(doc, tmp_path):
    write_parts([doc], tmp_path, None, 0)
    (read,) = read_docbin(tmp_path / "all.spacy", spacy.blank("en").vocab)
    # A DocBin gives lists back as tuples.
    mine, theirs = (json.dumps(each.user_data["brat"]) for each in (read, doc))
    assert mine == theirs
    for mine, theirs in ((read.ents, doc.ents), (read.spans["brat"], doc.spans["brat"])):
        assert [(s.start, s.end, s.label_, s.id_) for s in mine] == [
            (s.start, s.end, s.label_, s.id_) for s in theirs
        ]


def test_heading_of_the_corpus_goes_with_each_document(folder):
    info = '{"heading": "bundled sample"}'
    docs, account = read_brat(folder({"d.txt": "a", "d.ann": T1, "corpus.json": info}))
    assert docs[0].user_data["brat"]["heading"] == account.heading == "bundled sample"


@pytest.mark.parametrize(("text", "expected"), [("200 mg/dL.", 1), ("200 mg/dL ", 0)])
def test_misaligned_entities_are_counted_for_both_tokenizers(folder, text, expected):
    root = folder({"d.txt": text, "d.ann": "T1\tLab_value 0 9\t200 mg/dL\n"})
    _, account = read_brat(root)
    assert account.settings["misaligned entities, stock tokenizer"] == expected
    assert account.settings["misaligned entities, this tokenizer"] == 0
    assert (
        count_misaligned(spacy.blank("en").make_doc(text), [((0, 9),), ((0, 2),)]) == expected + 1
    )


def test_rows_name_the_file_of_each_entity(folder):
    root = folder({"d.txt": "a b", "d.a1": T1, "d.a2": "\nT2\tY 2 3\tb\n"})
    _, account = read_brat(root)
    assert [(row.file, row.line, row.record) for row in account.rows] == [
        ("d.a1", 1, "T1"),
        ("d.a2", 2, "T2"),
    ]


@pytest.mark.parametrize(
    ("policy", "statuses"),
    [
        ({"overlap": "longest"}, ["kept", "flattened", "moved", "moved"]),
        ({"overlap": "shortest"}, ["flattened", "kept", "moved", "moved"]),
        ({"overlap": "rarest"}, ["flattened", "kept", "moved", "moved"]),
        ({"overlap": "first"}, ["kept", "flattened", "moved", "moved"]),
        ({"discontinuous": "drop"}, ["flattened", "kept", "dropped", "moved"]),
        ({"alignment": "contract"}, ["flattened", "kept", "moved", "dropped"]),
        ({"alignment": "strict"}, ["flattened", "kept", "moved", "dropped"]),
    ],
)
def test_policies_of_the_command_decide(folder, policy, statuses):
    text = "chronic left arm pain since age ten"
    ann = (
        "T1\tX 0 16\tchronic left arm\nT2\tY 8 12\tleft\nT3\tX 17 21;28 31\tpain age\n"
        "T4\tX 33 35\ten\n"
    )
    root = folder({"d.txt": text, "d.ann": ann})
    options = [f"--{name}={value}" for name, value in policy.items()]
    code, _ = invoke("convert", root, root.parent / "out", "--no-split", *options)
    account = json.loads((root.parent / "out" / "account.json").read_text(encoding="utf-8"))
    assert (code, [row["status"] for row in account["rows"]]) == (0, statuses)
    assert policy.items() <= account["settings"].items()


def test_a_folder_is_converted_without_the_command(folder):
    root = folder({"a.txt": "a", "a.ann": T1, "b.txt": "b", "b.ann": "", "notes.md": ""})
    out = root.parent / "out"
    conversion = convert_folder(root, out, shares=None)
    assert conversion.parts == {"all": ["a", "b"]}
    assert conversion.passed_over == [root / "notes.md"]
    assert conversion.account.totals()["kept"] == 1
    assert {path.name for path in out.iterdir()} == {
        "all.spacy", "account.json", "account.md", "split.json"
    }  # fmt: skip


def test_a_strict_conversion_writes_the_account_only(folder):
    root = folder({"a.txt": "a", "a.ann": "T1\tX 0 9\ta\n"})
    out = root.parent / "out"
    with pytest.raises(LossError, match="1 entity dropped, 1 error in the files") as caught:
        convert_folder(root, out, shares=None, strict=True)
    assert caught.value.conversion.account.totals()["dropped"] == 1
    assert {path.name for path in out.iterdir()} == {"account.json", "account.md"}


def test_a_conversion_that_fails_leaves_the_files_of_before(folder, monkeypatch):
    root = folder({"a.txt": "a", "a.ann": T1})
    out = root.parent / "out"
    convert_folder(root, out, shares=None)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    root = folder({"b.txt": "b", "b.ann": T1})

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        convert_folder(root, out, shares=None)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


# -- the command on bad input ----------------------------------------------------------------------

GOOD = {"good.txt": "a", "good.ann": T1}
# Beside the good document: the files; documents written; rows of each status (kept, moved,
# flattened, dropped); what is said; whether --strict stops at it.
BAD_INPUT = {
    "nothing wrong": ({}, 1, (1, 0, 0, 0), "", False),
    "offsets outside the text": (
        {"d.txt": "a b", "d.ann": "\nT1\tX 0 9\ta b\n"},
        2, (1, 0, 0, 1), "d.ann:2 error T1 outside, from 0 to 9, in a text of 3 characters", True,
    ),
    "end before start": (
        {"d.txt": "a b", "d.ann": "T1\tX 2 1\ta\n"},
        2, (1, 0, 0, 1), "d.ann:1 error T1 empty, from 2 to 1", True,
    ),
    "surface text that differs": (
        {"d.txt": "a b", "d.ann": "T1\tX 0 1\tb\n"},
        2, (1, 0, 0, 1),
        "d.ann:1 error T1 surface, the text at 0-1 is not the annotated one: 1 characters there, 1 "
        "annotated, the first 0 equal", True,
    ),
    "no .txt": (
        {"d.ann": T1}, 1, (1, 0, 0, 1), "d.txt error no-text, no such file", True,
    ),
    "no .ann": (
        {"d.txt": "a"}, 1, (1, 0, 0, 0), "d.ann error no-annotation, no such file", True,
    ),
    "empty .ann": ({"d.txt": "a b", "d.ann": ""}, 2, (1, 0, 0, 0), "", False),
    "both empty": ({"d.txt": "", "d.ann": ""}, 2, (1, 0, 0, 0), "", False),
    "invalid UTF-8": (
        {"d.txt": b"\xe9 a", "d.ann": "T1\tX 2 3\ta\n"},
        2, (2, 0, 0, 0),
        "d.txt warning encoding, 1 byte is not UTF-8, the first at byte 0", False,
    ),
    "UTF-16": (
        {"d.txt": "a".encode("utf-16"), "d.ann": T1},
        2, (2, 0, 0, 0), "d.txt warning encoding, UTF-16, read as such", False,
    ),
    "BOM": (
        {"d.txt": "\ufeffa", "d.ann": T1}, 2, (2, 0, 0, 0), "d.txt warning bom, left out", False,
    ),
    "CRLF": ({"d.txt": "a\r\nb", "d.ann": "T1\tX 3 4\tb\r\n"}, 2, (2, 0, 0, 0), "", False),
    "record over two lines": (
        {"d.txt": "a\nb c", "d.ann": "T1\tX 0 3\ta\nb\nT2\tX 4 5\tc\n"},
        2, (3, 0, 0, 0), "", False,
    ),
    "record cut off": (
        {"d.txt": "a b", "d.ann": "T1\tX 0\nT2\tX 2 3\tb\n"},
        2, (2, 0, 0, 1),
        "d.ann:1 error T1 unreadable, not the form of a record that starts with T, 6 char", True,
    ),
    "white space as entity": (
        {"d.txt": "a b", "d.ann": "T1\tX 1 2\t \n"}, 2, (1, 0, 0, 1), "1 dropped", True,
    ),
    "one id twice": (
        {"d.txt": "a b", "d.ann": "T1\tX 0 1\ta\nT1\tX 2 3\tb\n"},
        2, (3, 0, 0, 0), "d.ann:2 error T1 duplicate-id, an earlier record has this id", True,
    ),
    "reference to nothing": (
        {"d.txt": "a", "d.ann": "T1\tX 0 1\ta\nA1\tNegation E5\n"},
        2, (2, 0, 0, 0), "d.ann:2 error A1 missing-reference, no record E5", True,
    ),
    "label with hyphens": (
        {"d.txt": "a", "d.ann": "T1\tNon-query-able 0 1\ta\n"}, 2, (2, 0, 0, 0), "", False,
    ),
    "other files": (
        {"annotation.conf": "[entities]", ".stats_cache": "", "d.ann~": T1, "x.spacy": ""},
        1, (1, 0, 0, 0), "", False,
    ),
    "the same name in sub-folders": (
        {"one/good.txt": "a", "one/good.ann": T1, "two/good.txt": "a", "two/good.ann": T1},
        3, (3, 0, 0, 0), "", False,
    ),
    "several documents, read to the end": (
        {"d.txt": "a", "d.ann": "T1\tX 0 9\ta\n", "z.txt": "a", "z.ann": "T1\tX 0 8\ta\n"},
        3, (1, 0, 0, 2), "z.ann:1 error T1 outside, from 0 to 8, in a text of 1 char", True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("strict", [False, True], ids=["", "strict"])
@pytest.mark.parametrize(
    ("files", "written", "statuses", "message", "stops"), BAD_INPUT.values(), ids=BAD_INPUT
)
def test_bad_input(folder, files, written, statuses, message, stops, strict):
    root = folder({**GOOD, **files})
    out = root.parent / "out"
    code, said = invoke("convert", root, out, "--no-split", *["--strict"] * strict)
    account = json.loads((out / "account.json").read_text(encoding="utf-8"))
    totals = account["totals"]
    assert tuple(totals[s] for s in ("kept", "moved", "flattened", "dropped")) == statuses
    assert totals["input"] == sum(statuses) == len(account["rows"])
    assert message in said
    found = re.search(r"\d (errors?|problems?) in the files(?!; no DocBin)", said)
    assert bool(found) == bool(account["problems"])
    if strict and stops:
        assert (code, (out / "all.spacy").exists()) == (1, False)
        assert "--strict" in said
    else:
        assert code == 0
        assert len(read_docbin(out / "all.spacy", spacy.blank("en").vocab)) == written


PREDICTED = {"data": {"text": "No fever"}, "predictions": [{"result": []}]}

NO_CORPUS = {
    # arguments after "convert" (of files in the folder), what is said
    "no such folder": ({}, ["absent"], "absent does not exist"),
    "a file": ({"a.zip": ""}, ["brat/a.zip"], "is not a folder"),
    "no documents": (
        {"b.zip": ""},
        ["brat"],
        "no file in brat is in a format that is plain, such as b.zip",
    ),
    "no whole document": ({"d.txt": "a"}, ["brat"], "no document has both text and annotation; "),
    "predictions only": (
        {"tasks.json": json.dumps([PREDICTED] * 3)},
        ["brat"],
        "annotation; 3 tasks contain only predictions; submit them in Label Studio first",
    ),
    "skipped tasks only": (
        {"tasks.json": json.dumps([PREDICTED | {"annotations": [{"was_cancelled": True}]}])},
        ["brat"],
        "annotation; out/account.md counts what was left out",
    ),
    "too few to split": (GOOD, ["brat"], "1 document cannot be split into train, dev, test"),
    "odd shares": (GOOD, ["brat", "--split", "8:1:1"], "three shares such as 0.8,0.1,0.1"),
    "shares over 1": (
        {f"{i}.{s}": "" for i in range(3) for s in ("txt", "ann")},
        ["brat", "--split", "1,1,1"],
        "must be positive and sum to 1",
    ),
    "no such language": (GOOD, ["brat", "--lang", "qqq"], 'spaCy has no language "qqq"'),
}


@pytest.mark.parametrize(("files", "args", "message"), NO_CORPUS.values(), ids=NO_CORPUS)
def test_input_that_is_no_corpus(folder, files, args, message, monkeypatch):
    root = folder(files) if files else folder({"d.ann": ""})
    monkeypatch.chdir(root.parent)
    code, said = invoke("convert", args[0], "out", *args[1:])
    assert code == 1
    assert message in said
    assert not list(root.parent.glob("out/*.spacy"))


@pytest.mark.parametrize(
    ("predicted", "message"),
    [
        (0, ""),
        (1, "1 task contains only predictions; submit it in Label Studio first"),
        (2, "2 tasks contain only predictions; submit them in Label Studio first"),
    ],
)
def test_tasks_that_only_have_predictions_are_warned_of(folder, predicted, message):
    done = PREDICTED | {"annotations": [{"result": []}]}
    root = folder({"tasks.json": json.dumps([done] + [PREDICTED] * predicted)})
    code, said = invoke("convert", root, root.parent / "out", "--no-split")
    assert code == 0
    assert ("only predictions" in said) == bool(message)
    assert message in said


SMALL = {
    # documents of dev and test, shares of the split (None: a division was given), the warning
    "large": (10, 10, SHARES, ""),
    "small dev": (9, 10, SHARES, "dev 9 documents: "),
    "small test": (10, 1, SHARES, "test 1 document: "),
    "both": (3, 4, SHARES, "dev 3 documents, test 4 documents: "),
    "both, larger shares": (3, 4, LARGER, "dev 3 documents, test 4 documents: "),
    "both, as given": (3, 4, None, "dev 3 documents, test 4 documents: "),
}


@pytest.mark.parametrize(("dev", "test", "shares", "warning"), SMALL.values(), ids=SMALL)
def test_small_parts_are_warned_of(dev, test, shares, warning):
    for n_train, is_enough in ((50, True), (20, False)):
        parts = {"train": ["a"] * n_train, "dev": ["d"] * dev, "test": ["t"] * test}
        said = small_parts(parts, shares)
        assert bool(said) == bool(warning)
        assert said.startswith(warning)
        # Advice that would not reach 10 documents is not given.
        assert ("--split 0.6,0.2,0.2" in said) == bool(warning and shares == SHARES and is_enough)
    assert small_parts({"all": ["a"]}, shares) == ""


@pytest.mark.parametrize(("options", "is_small"), [([], True), (["--no-split"], False)])
def test_convert_prints_the_warning_of_small_parts(folder, options, is_small):
    files = {
        f"{i}.{suffix}": f"text {i}" * (suffix == "txt")
        for i in range(6)
        for suffix in ("txt", "ann")
    }
    root = folder(files)
    code, said = invoke("convert", root, root.parent / "out", *options)
    assert code == 0
    assert ("dev 1 document, test 1 document: with fewer than 10" in said) == is_small


@pytest.mark.parametrize(
    ("division", "missing"),
    [("a,train\nb,dev\nc,test\n", "Y, Z"), ("a,dev\nb,train\nc,test\n", "X, Z"), ("", "")],
)
def test_types_that_train_lacks_are_warned_of(folder, division, missing):
    files = {f"{name}.txt": f"text {name}" for name in "abc"}
    files |= {
        f"{name}.ann": f"T1\t{kind} 0 4\ttext\n" for name, kind in zip("abc", "XYZ", strict=True)
    }
    root = folder(files)
    table = root.parent / "parts.csv"
    table.write_text(division)
    options = ["--split", table] if division else ["--no-split"]
    _, said = invoke("convert", root, root.parent / "out", *options)
    assert ("no entity in train" in said) == bool(missing)
    assert f"can learn to find them: {missing}" in " ".join(said.split()) or not missing


@pytest.mark.parametrize("option", ["--overlap", "--discontinuous", "--alignment"])
def test_unknown_policy_lists_the_known_ones(folder, option):
    code, said = invoke("convert", folder(GOOD), "out", option, "other")
    assert code == 2
    assert "rarest" in said or "envelope" in said or "expand" in said


def test_many_problems_are_shown_in_part_and_kept_in_full(folder):
    ann = "".join(f"T{i}\tX 0 9\ta\n" for i in range(50))
    root = folder({**GOOD, "d.txt": "a", "d.ann": ann})
    _, said = invoke("convert", root, root.parent / "out", "--no-split")
    assert said.count(" outside, ") == 20
    assert "and 30 more, in account.json" in said
    account = json.loads((root.parent / "out" / "account.json").read_text(encoding="utf-8"))
    assert len(account["problems"]) == 50


def test_neither_account_nor_messages_quote_a_document(folder):
    secret = "SECRETNAME"
    ann = (
        f"T1\tX 0 10\t{secret}\nT2\tX 0 10\tOTHER{secret}\nT3\tX 1 4\tECR\nT4\tX 0 99\t{secret}\n"
        f"{secret} went home\nE1\tX:{secret}\n#1\tAnnotatorNotes T1\t{secret}\nS1{secret}\tx\n"
    )
    root = folder({"d.txt": f"{secret} was here", "d.ann": ann})
    out = root.parent / "out"
    _, said = invoke("convert", root, out, "--no-split")
    for text in (said, *((out / f"account.{kind}").read_text() for kind in ("json", "md"))):
        assert secret not in text
    assert len(next(iter(read_folder(root))).problems) == 5


def documents(*names, text="a {}"):
    """Return files of documents, each with its name in its text."""
    return {f"{n}.txt": text.format(n) for n in names} | {f"{n}.ann": T1 for n in names}


COPIES = {f"{who}/d{i}": f"Case {i}." for who in ("anna", "ben") for i in range(6)}


@pytest.mark.parametrize(("options", "apart"), [([], 0), (["--duplicates", "anywhere"], 1)])
def test_copies_of_a_text_are_said_and_stay_in_one_part(folder, options, apart):
    files = {f"{name}.txt": text for name, text in COPIES.items()}
    root = folder(
        files | {f"{name}.ann": "" for name in COPIES} | {"ben/d0.ann": "T1\tX 0 4\tCase"}
    )
    out = root.parent / "out"
    code, said = invoke("convert", root, out, "--split", "0.5,0.25,0.25", *options)
    flat = " ".join(said.split())
    assert code == 0
    assert "texts that occur more than once: 6, in 12 documents" in flat
    assert "1 of them annotated differently" in flat
    assert "same text: anna/d" in said
    split = json.loads((out / "split.json").read_text())
    part_of = {name: part for part, names in split["parts"].items() for name in names}
    torn = [i for i in range(6) if part_of[f"anna/d{i}"] != part_of[f"ben/d{i}"]]
    assert bool(torn) == bool(apart) == ("in more than one part" in flat)
    assert [len(found["documents"]) for found in split["duplicates"]] == [2] * 6
    assert "- texts that occur more than once: 6" in (out / "account.md").read_text()


PATIENTS = [f"p{i}_{note}" for i in range(8) for note in "abc"]


@pytest.mark.parametrize("kind", ["expression", "table"])
def test_documents_of_one_group_stay_in_one_part(folder, tmp_path, kind):
    root = folder(documents(*PATIENTS, "other"))
    table = tmp_path / "groups.csv"
    table.write_text("".join(f"{n},{n[:2]}\n" for n in [*PATIENTS, "other"]))
    group = "^p[0-9]" if kind == "expression" else str(table)
    code, said = invoke("convert", root, tmp_path / "out", "--group", group)
    assert code == 0
    assert f"{8 if kind == 'expression' else 9} groups of documents" in said
    assert ("1 document has no group" in said) == (kind == "expression")
    split = json.loads((tmp_path / "out" / "split.json").read_text())
    assert split["group"] == group
    where = [{n[:2] for n in names} for names in split["parts"].values()]
    assert sum(map(len, where)) == len(set().union(*where)) == 9


def test_short_texts_do_not_join_groups(folder, tmp_path):
    root = folder(documents(*PATIENTS, text="No fever."))
    code, said = invoke("convert", root, tmp_path / "out", "--group", "^p[0-9]")
    assert (code, "in more than one part" in " ".join(said.split())) == (0, True)
    assert all(json.loads((tmp_path / "out" / "split.json").read_text())["parts"].values())


def test_documents_of_one_text_only_cannot_be_split(folder, tmp_path):
    with pytest.raises(ValueError, match="of one text stay together, which makes 1 of them"):
        convert_folder(folder(documents(*"abcd", text="a")), tmp_path / "out")


IN_FOLDERS = ["train/a", "train/b", "train/c", "valid/d", "test/e", "test/f"]


@pytest.mark.parametrize("by", ["folders", "split.json", "parts.csv"])
def test_a_given_division_is_kept(folder, tmp_path, by):
    root = folder(documents(*IN_FOLDERS))
    expected = {"train": IN_FOLDERS[:3], "dev": ["valid/d"], "test": IN_FOLDERS[4:]}
    (tmp_path / "split.json").write_text(json.dumps({"parts": expected}))
    rows = "".join(f"{name},{part}\n" for part, names in expected.items() for name in names)
    (tmp_path / "parts.csv").write_text(rows)
    division = by if by == "folders" else str(tmp_path / by)
    code, said = invoke("convert", root, tmp_path / "out", "--split", division)
    assert (code, "train 3 documents, dev 1 document, test 2 documents" in said) == (0, True)
    split = json.loads((tmp_path / "out" / "split.json").read_text())
    assert (split["parts"], split["division"]) == (expected, division)
    # The next conversion can keep a division that was written.
    again = convert_folder(root, tmp_path / "two", division=tmp_path / "out" / "split.json")
    assert again.parts == expected


def test_folders_of_parts_are_said_and_a_missing_dev_is_dealt_out(folder, tmp_path):
    root = folder(documents(*(f"train/{i}" for i in range(18)), "test/a", "test/b"))
    dealt = convert_folder(root, tmp_path / "one")
    assert dealt.notes == [
        "the folders are parts (train 18, test 2 documents): --split folders keeps them"
    ]
    kept = convert_folder(root, tmp_path / "two", division="folders")
    assert [len(names) for names in kept.parts.values()] == [16, 2, 2]
    assert kept.parts["test"] == ["test/a", "test/b"]
    assert kept.notes == ["no dev is given: 2 documents of train dealt out"]


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (["train/a", "dev/b"], {"division": "folders"}, "no document is given for test"),
        (["train/a", "test/b"], {"division": "folders"}, "train is too small to take one from it"),
        (
            ["train/p1_a", "dev/p1_b", "test/c"],
            {"division": "folders", "group": "p[0-9]"},
            "1 group of p.0-9. is in more than one part of folders; the first is that of",
        ),
        (list("abc"), {"duplicates": "apart"}, "duplicates is 'apart', but must be one of"),
        (list("abc"), {"group": "["}, "is not a regular expression"),
    ],
)
def test_divisions_and_groups_that_cannot_be(folder, tmp_path, names, options, message):
    with pytest.raises(ValueError, match=message):
        convert_folder(folder(documents(*names)), tmp_path / "out", **options)


def test_texts_and_annotation_in_separate_folders(folder, tmp_path):
    root = folder({"txt/a.txt": "a", "brat/a.ann": T1, "txt/b.txt": "b", "brat/b.ann": T1})
    code, said = invoke("convert", root, tmp_path / "out")
    assert code == 1
    assert "txt/a.txt has its name: a text and its annotation must be in one folder" in " ".join(
        said.split()
    )


def test_split_is_written_down_and_depends_on_the_seed(folder):
    root = folder(documents(*(f"{i:02}" for i in range(20))))
    parts = []
    for seed in (0, 0, 1):
        out = root.parent / f"out{len(parts)}"
        code, said = invoke("convert", root, out, "--split", "0.5,0.25,0.25", "--seed", seed)
        assert (code, "train 10 documents, dev 5 documents, test 5 documents" in said) == (0, True)
        split = json.loads((out / "split.json").read_text())
        assert split["seed"] == seed
        parts.append(split["parts"])
        assert (out / "account.md").read_text().startswith("# What became of")
    assert parts[0] == parts[1] != parts[2]


def test_a_text_of_more_than_a_million_characters_is_converted(folder, tmp_path):
    texts = dict.fromkeys(("a.txt", "b.txt", "c.txt"), "She has asthma.")
    texts["d.txt"] = f"She has {' ' * 1_000_000}asthma."
    files = {f"{name[0]}.ann": "T1\tDisease 8 14\tasthma\n" for name in texts}
    files["d.ann"] = "T1\tDisease 1000008 1000014\tasthma\n"
    conversion = convert_folder(folder(texts | files), tmp_path / "out", shares=None)
    assert conversion.parts == {"all": ["a", "b", "c", "d"]}
    assert conversion.account.totals()["kept"] == 4
    docs = read_docbin(tmp_path / "out" / "all.spacy", spacy.blank("en").vocab)
    (entity,) = docs[-1].ents
    assert (entity.text, entity.start_char) == ("asthma", 1_000_008)


# -- lines that cannot be read ---------------------------------------------------------------------


def totals_of(root):
    _, account = read_brat(root)
    return tuple(account.totals().values())


# Input, kept, moved, flattened, dropped.
LINES = {
    "label with spaces": ("T1\tSign Symptom 0 6\tasthma\n", (1, 1, 0, 0, 0)),
    "CR": ("T1\tX 0 6\tasthma\rT2\tX 7 11\tmild\r", (2, 2, 0, 0, 0)),
    "no surface text": ("T1\tX 0 6\nT2\tX 7 11\t\n", (2, 2, 0, 0, 0)),
    "two spaces": ("T1\tX  0  6\tasthma\nT2 X 7 11 mild\n", (2, 2, 0, 0, 0)),
    "cut": ("T1\tX 0 6\tasthma\nT2\tX 7\nT3\nT\n", (4, 1, 0, 0, 3)),
    "cut after CR": ("T1\tX 0 6\tasthma\rT2\tX\r", (2, 1, 0, 0, 1)),
    "no line end": ("T1\tX 0 6\tasthmaT2\tX 7 11\tmild", (2, 2, 0, 0, 0)),
    "other records": ("E1\tX\nwhat\nA1\tY\n#\n", (0, 0, 0, 0, 0)),
}


@pytest.mark.parametrize(("ann", "expected"), LINES.values(), ids=LINES)
def test_the_account_counts_lines(folder, ann, expected):
    root = folder({"d.txt": "asthma mild", "d.ann": ann})
    assert totals_of(root) == expected


def test_without_its_text_every_line_counts_as_dropped(folder):
    root = folder({"d.ann": "T1\tX 0 6\tasthma\nT2\tX\nT3 X\n", **GOOD})
    assert totals_of(root) == (4, 1, 0, 0, 3)


def test_a_line_that_cannot_be_read_has_a_row_and_counts_as_missed(folder):
    ann = "T1\tX 0 6\tasthma\nT2\tX 7\tmild\nSmith\nThomas Smith 7\nT3\tSmith 7\n"
    root = folder({"d.txt": "asthma mild", "d.ann": ann})
    (doc,), account = read_brat(root)
    assert [(r.line, r.record, r.label, r.status, r.reason) for r in account.rows] == [
        (1, "T1", "X", "kept", ""),
        (2, "T2", "X", "dropped", "its line cannot be read"),
        (4, "", "", "dropped", "its line cannot be read"),
        (5, "T3", "", "dropped", "its line cannot be read"),
    ]
    assert "Smith" not in account.to_json()
    assert doc.user_data["brat"]["lost"] == ["X"]
    assert gold_entities(doc) == [("X", ((0, 6),)), ("X", ((11, 11),))]
    example = Example(doc.copy(), doc)
    assert (score_ner([example])["ents_p"], score_ner([example])["ents_r"]) == (1.0, 0.5)
    assert account.by_label()["X"] == dict(zip(account.totals(), (2, 1, 0, 0, 1), strict=True))


TEXT_WITHOUT_T = "asthma and fever.\nwheeze at 37 degrees\r\nfoo bar \u00e9\U0001f600 baz"
ENTITIES = [(0, 6), (11, 16), (18, 24), (28, 30), (11, 24), (40, 43), (44, 47), (48, 50)]
CLEAN = (
    "".join(
        f"T{i}\tLabel_{i % 3} {a} {b}\t{TEXT_WITHOUT_T[a:b]}\n" for i, (a, b) in enumerate(ENTITIES)
    )
    + "E1\tLabel_0:T0\nA1\tNegation T1\n#1\tNote T2\ta note\n*\tEq T0 T1\n"
)


@st.composite
def mutated(draw):
    """Return an annotation file that went through hands and tools, as bytes."""
    lines = CLEAN.splitlines(keepends=True)
    for _ in range(draw(st.integers(0, 8))):
        i = draw(st.integers(0, len(lines) - 1))
        cut = draw(st.integers(0, len(lines[i])))
        what = draw(st.sampled_from(["cut", "head", "double", "junk", "swap", "spaces", "drop"]))
        if what == "cut":
            lines[i] = lines[i][:cut] + draw(st.sampled_from(["\n", ""]))
        elif what == "head":
            lines[i] = lines[i][cut:]
        elif what == "double":
            lines.insert(i, lines[i])
        elif what == "junk":
            lines.insert(i, draw(st.text("T1\tX 0;\u00a0\ufeffab", max_size=12)) + "\n")
        elif what == "swap":
            lines[i], lines[0] = lines[0], lines[i]
        elif what == "spaces":
            lines[i] = lines[i].replace(draw(st.sampled_from(" \t")), draw(st.sampled_from(SPACES)))
        else:
            lines[i] = lines[i].replace("\n", "")
    text = "".join(lines)
    ends = draw(st.sampled_from(["\n", "\r\n", "\r", "\r\r\n", "mixed"]))
    if ends == "mixed":
        text = "".join(draw(st.sampled_from("\n\r")) if c == "\n" else c for c in text)
    else:
        text = text.replace("\n", ends)
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "latin-1", "utf-16"]))
    return text.encode(encoding, "replace")


SPACES = ["  ", "\t", " ", "\u00a0", "\u2009", ""]


def entity_like_lines(text):
    """Return the number of T lines, and of records that follow a missing line end."""
    count = 0
    for line in re.split("[\r\n]", text):
        bare = line.strip(" \t\u00a0\u2009\ufeff")
        count += bare.startswith("T")
        for found in re.finditer(r"T[0-9]+\t\S+ [0-9]+ [0-9]+\t", bare):
            count += "\t" in bare[: found.start()] and not bare.startswith("#")
    return count


NLP = blank("en")


# Without shrinking, which takes minutes here.
@settings(max_examples=100, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(mutated())
def test_totals_are_the_lines_that_could_be_entities(data):
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "d.txt").write_bytes(TEXT_WITHOUT_T.encode())
        (root / "d.ann").write_bytes(data)
        documents = list(read_folder(root))
        docs, account = make_docs(documents, NLP, Policies())
    totals = account.totals()
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    text = data.decode(encoding, "replace")
    assert totals["input"] == entity_like_lines(text)
    assert totals["input"] == sum(list(totals.values())[1:])
    assert bool(account.warnings()) >= bool(totals["dropped"] or not totals["input"])
    (part,) = [part for document in documents for _, part in document.parts]
    written = dumps(part)
    if encoding == "utf-8" and "\ufffd" not in text:
        assert written.encode() == data
    (doc,) = docs
    assert [span.label_ for span in doc.spans["brat"]] == [
        row.label for row in account.rows if row.status != "dropped"
    ]


@pytest.mark.parametrize(
    ("ann", "said"),
    [
        ("", "WARNING: there is no entity at all in these files"),
        ("T1\tX 0\n", "WARNING: 1 of 1 entity lost: its line cannot be read (1)"),
        ("T1\tX 0 9\ta\nwhat\n", "WARNING: 1 line that is not an entity cannot be read"),
        (T1, ""),
    ],
)
def test_convert_and_stats_end_with_a_warning(folder, ann, said):
    root = folder({"d.txt": "a", "d.ann": ann})
    out = root.parent / "out"
    for command in (["convert", root, out, "--no-split"], ["stats", root]):
        code, text = invoke(*command)
        assert code == 0
        assert (said in " ".join(text.split())) if said else ("WARNING" not in text)
    code, text = invoke("convert", root, out, "--no-split", "--strict")
    assert (code, "--strict: " in text) == ((1, True) if said else (0, False))


def test_events_without_a_trigger_are_read(folder):
    files = {
        "d.txt": "GeneA acts in rootB",
        "d.a1": "T1\tGene 0 5\tGeneA\nT2\tTissue 14 19\trootB\n",
        "d.a2": "E1\tRegulation Agent:T1 Target:T2\nM1\tNegation Annotation:E1\n",
    }
    docs, account = read_brat(folder(files))
    assert account.problems == []
    assert [record["kind"] for record in docs[0].user_data["brat"]["records"]] == [
        "Event", "Attribute",
    ]  # fmt: skip
