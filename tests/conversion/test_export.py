import json
from pathlib import Path

import pytest
import spacy
from spacy.tokens import Doc, DocBin, Span

from spacy_btl import brat
from spacy_btl.brat import Document, read_folder
from spacy_btl.conversion.convert import make_doc, read_brat
from spacy_btl.conversion.export import export_docs, to_standoff
from spacy_btl.conversion.placement import Policies
from spacy_btl.data.label_sets import set_label_set
from spacy_btl.data.tokenizer import blank
from tests.helpers.commands import invoke

NLP = blank("en")
#       0         1         2         3
#       0123456789012345678901234567890123456
TEXT = "A man had left and right leg pain,\nno fever."
ANN = """\
T1\tSex 2 5\tman
T3\tSign 25 33;10 14\tleg pain left
T4\tPart 25 28\tleg
T5\tSign 29 34;35 37\tpain, no
E1\tSign:T3 Site:T4 Who:T1
R1\tNext Arg1:T3 Arg2:T5
R2\tNext Arg1:T1 Arg2:T3
A1\tNegation E1
*\tEquiv T1 T3 T4
#1\tNote R2\ta note
"""


def gold(ann=ANN, text=TEXT, name="case", policies=None):
    """Return a document converted from records."""
    standoff = brat.loads(ann)
    document = Document(name, None, text, ((f"{name}.ann", standoff),), ())
    return make_doc(document, NLP, policies or Policies(), {"Part": 1, "Sign": 2})[0]


def exported(doc, key=None):
    return brat.dumps(to_standoff(doc, key).standoff)


def lines(ann, *names):
    return "".join(line for line in ann.splitlines(True) if line.split("\t")[0] in names)


# -- gold documents --------------------------------------------------------------------------------


def test_all_gold_comes_back_with_ids_and_fragments():
    assert exported(gold(), "brat") == ANN


def test_doc_ents_come_back_with_what_still_has_its_entities():
    doc = gold()
    assert [ent.id_ for ent in doc.ents] == ["T1", "T4", "T5"]
    result = to_standoff(doc)
    assert brat.dumps(result.standoff) == lines(ANN, "T1", "T4", "T5") + "*\tEquiv T1 T4\n"
    assert [(lost.id, lost.what) for lost in result.lost] == [
        ("E1", "left out"),
        ("R1", "left out"),
        ("R2", "left out"),
        ("A1", "left out"),
        ("", "shortened"),
        ("#1", "left out"),
    ]


GOLD = {
    "cuts a token": "T1\tSex 2 4\tma\n",
    "white space": "T1\tSex 1 6\t man \n",
    "another surface text": "T1\tSex 2 5\tboy\n",
    "gaps and zeros in ids": "T007\tSex 2 5\tman\nT3\tPart 25 28\tleg\n",
    "over a line break, cut": "T1\tSign 29 34;35 37\tpain, no\n",
    "over a line break, whole": "T1\tSign 29 37\tpain, no\n",
    "outside the text": "T1\tSex 2 99\tman\n",
    "end before start": "T1\tSex 5 2\tman\n",
    "reference that never was": "T1\tSex 2 5\tman\nA1\tNegation E9\n",
    "unreadable line": "T1\tSex 2 5\tman\nwhat is this\n",
    "the same entity again": "T1\tSex 2 5\tman\nT2\tSex 2 5\tman\n",
    "no entities": "",
}


@pytest.mark.parametrize("several", ["envelope", "split", "longest-fragment", "drop"])
@pytest.mark.parametrize("ann", [ANN, *GOLD.values()], ids=["all", *GOLD])
def test_no_policy_loses_gold(ann, several):
    for alignment in ("expand", "contract", "strict"):
        doc = gold(ann, policies=Policies("rarest", several, alignment))
        assert exported(doc, "brat") == ann


def test_one_id_twice_gets_a_new_one():
    doc = gold("T1\tSex 2 5\tman\nT1\tPart 25 28\tleg\nT8\tSign 29 33\tpain\n")
    assert exported(doc, "brat") == (
        "T1\tSex 2 5\tman\nT9\tPart 25 28\tleg\nT8\tSign 29 33\tpain\n"
    )


# -- corrected and predicted documents -------------------------------------------------------------


def with_ents(doc, *ents):
    doc.set_ents([doc.char_span(s, e, label=label, span_id=name) for s, e, label, name in ents])
    return doc


CHANGED = {
    # doc.ents as start, end, label, id; the T records
    "prediction without id": ([(38, 43, "Sign", "")], "T6\tSign 38 43\tfever\n"),
    "prediction of a gold entity": ([(2, 5, "Sex", "")], "T1\tSex 2 5\tman\n"),
    "other label": ([(2, 5, "Who", "")], "T6\tWho 2 5\tman\n"),
    "envelope of a gold entity": (
        [(10, 33, "Sign", "")],
        "T6\tSign 10 33\tleft and right leg pain\n",
    ),
    "old id, other bounds": ([(0, 5, "Sex", "T1")], "T6\tSex 0 5\tA man\n"),
    "old id, other label": ([(2, 5, "Who", "T1")], "T6\tWho 2 5\tman\n"),
    "over a line break": ([(29, 43, "Sign", "")], "T6\tSign 29 34;35 43\tpain, no fever\n"),
    "foreign id": ([(2, 5, "Who", "Q42")], "T6\tWho 2 5\tman\n"),
}


@pytest.mark.parametrize(("ents", "expected"), CHANGED.values(), ids=CHANGED)
def test_changed_entities(ents, expected):
    found = exported(with_ents(gold(), *ents))
    assert "".join(line for line in found.splitlines(True) if line[0] == "T") == expected


def test_corrected_spans_keep_their_ids():
    doc = gold()
    doc.spans["brat"] = [
        doc.char_span(0, 5, label="Sex", span_id="T1"),
        doc.char_span(25, 28, label="Organ", span_id="T4"),
        doc.char_span(38, 43, label="Sign"),
    ]
    assert exported(doc, "brat") == (
        "T1\tSex 0 5\tA man\nT4\tOrgan 25 28\tleg\nT6\tSign 38 43\tfever\n*\tEquiv T1 T4\n"
    )


def test_relations_of_predicted_entities_stay_where_gold_is_met():
    doc = with_ents(gold(), (2, 5, "Sex", ""), (25, 28, "Part", ""))
    assert exported(doc) == lines(ANN, "T1", "T4") + "*\tEquiv T1 T4\n"


def test_document_that_never_was_in_brat():
    doc = spacy.blank("en")("He had pain")
    doc.set_ents([Span(doc, 2, 3, label="Sign")])
    doc.spans["sc"] = [Span(doc, 0, 1, label="Who"), Span(doc, 0, 3, label="Sign")]
    assert exported(doc) == "T1\tSign 7 11\tpain\n"
    assert exported(doc, "sc") == "T1\tWho 0 2\tHe\nT2\tSign 0 11\tHe had pain\n"
    assert exported(doc, "none") == ""


# -- folders ---------------------------------------------------------------------------------------


def test_folder_for_brat(tmp_path):
    report = export_docs(
        [gold(name="one/1.2"), gold("", "a\r\nb", "two")], tmp_path / "new", "brat"
    )
    found = {p.relative_to(tmp_path / "new").as_posix() for p in tmp_path.rglob("*.*")}
    assert found == {
        "one/1.2.txt", "one/1.2.ann", "two.txt", "two.ann",
        "annotation.conf", "visual.conf", "export.json",
    }  # fmt: skip
    assert (tmp_path / "new/two.txt").read_bytes() == b"a\r\nb"
    assert (tmp_path / "new/one/1.2.ann").read_text(encoding="utf-8") == ANN
    assert "Negation\tArg:<ANY>" in (tmp_path / "new/annotation.conf").read_text()
    assert report["totals"] == {
        "documents": 2,
        "entities": 4,
        "other records": 6,
        "other records left out": 0,
        "other records shortened": 0,
    }
    assert json.loads((tmp_path / "new/export.json").read_text()) == report


def test_documents_without_a_name_are_numbered(tmp_path):
    nlp = spacy.blank("en")
    docs = [nlp("a"), nlp("b")]
    docs[1].user_data["name"] = "mine"
    export_docs(docs, tmp_path)
    assert [d.name for d in read_folder(tmp_path)] == ["document-00001", "mine"]


def test_losses_are_reported_by_document(tmp_path):
    report = export_docs([gold()], tmp_path)
    assert report["totals"]["other records left out"] == 5
    assert report["rows"][0] == {
        "document": "case", "id": "E1", "kind": "Event", "what": "left out",
    }  # fmt: skip


def test_heading_outlasts_the_way_through_brat(tmp_path):
    doc = gold()
    doc.user_data["brat"]["heading"] = "bundled sample"
    export_docs([doc], tmp_path)
    docs, account = read_brat(tmp_path)
    assert docs[0].user_data["brat"]["heading"] == account.heading == "bundled sample"


def labeled(label):
    doc = spacy.blank("en")("pain")
    doc.set_ents([Span(doc, 0, 1, label=label)])
    return doc


REFUSED = {
    "a name twice": ([gold(), gold()], None, 'two documents have the name "case"'),
    "a name that climbs": ([gold(name="../case")], None, "leaves the folder"),
    "an absolute name": ([gold(name="/case")], None, "it cannot name a file"),
    "two labels that would be one": (
        [labeled("body part"), labeled("body_part")],
        None,
        'labels "body part" and "body_part" would both be "body_part" in brat',
    ),
    "a label of offsets": ([labeled("1 2")], "sc", "no document has"),
    "no such spans": ([gold()], "sc", r'no document has doc.spans\["sc"\], only brat'),
}


@pytest.mark.parametrize(("docs", "key", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_written(tmp_path, docs, key, message):
    with pytest.raises(ValueError, match=message):
        export_docs(docs, tmp_path / "new", key)
    assert not (tmp_path / "new").exists()


# Names of documents, and of their files: no file system keeps more than one file of a group apart.
ALIKE = {
    "case": (["A", "a", "b"], ["A", "a-2", "b"]),
    "Unicode form": (["n\u00e9e", "ne\u0301e"], ["n\u00e9e", "ne\u0301e-2"]),
    "three": (["s/\u00c9", "s/\u00e9", "s/e\u0301"], ["s/\u00c9", "s/\u00e9-2", "s/e\u0301-3"]),
    "the new name is another's": (["a", "A", "A-2"], ["a", "A-3", "A-2"]),
}


@pytest.mark.parametrize(("names", "files"), ALIKE.values(), ids=ALIKE)
def test_names_that_a_file_system_may_not_tell_apart_are_numbered(tmp_path, names, files):
    report = export_docs([gold(name=name) for name in names], tmp_path / "out")
    assert sorted(d.name for d in read_folder(tmp_path / "out")) == sorted(files)
    assert report["renamed"] == {
        file: name for file, name in zip(files, names, strict=True) if file != name
    }


def test_an_export_that_fails_leaves_nothing_and_can_be_repeated(tmp_path, monkeypatch):
    write = Path.write_bytes

    def full(self, data):
        if self.name == "b.ann":
            raise OSError(28, "No space left on device")
        return write(self, data)

    docs = [gold(name="a"), gold(name="b")]
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        export_docs(docs, tmp_path / "new")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    assert export_docs(docs, tmp_path / "new")["totals"]["documents"] == 2


def test_corrections_are_never_overwritten(tmp_path):
    (tmp_path / "case.ann").write_text("corrected by hand")
    with pytest.raises(ValueError, match="is not empty: its files are not overwritten"):
        export_docs([gold()], tmp_path)
    assert (tmp_path / "case.ann").read_text() == "corrected by hand"


# -- the command -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "n_entities", "warned"), [([], 3, True), (["--spans", "brat"], 4, False)]
)
def test_command(tmp_path, options, n_entities, warned):
    DocBin(docs=[gold()], store_user_data=True).to_disk(tmp_path / "x.spacy")
    code, said = invoke("export", tmp_path / "x.spacy", tmp_path / "out", *options)
    assert (code, f"documents 1, entities {n_entities}" in said) == (0, True)
    assert ("an entity that is gone" in said) == warned
    (document,) = read_folder(tmp_path / "out")
    assert len(document.standoff.entities) == n_entities
    assert not document.problems


def test_command_names_what_is_missing(tmp_path):
    code, said = invoke("export", tmp_path / "x.spacy", tmp_path / "out")
    assert (code, "the DocBin" in said) == (1, True)


def test_what_brat_gets_is_clean(tmp_path):
    doc = Doc(blank("en").vocab, words=["a", "\n", "b"], spaces=[False] * 3)
    doc.set_ents([Span(doc, 0, 3, label="X")])
    export_docs([doc], tmp_path)
    (document,) = read_folder(tmp_path)
    assert brat.check(document.standoff, document.text) == []
    assert document.standoff.entities[0].fragments == ((0, 1), (2, 3))


# -- labels ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "spaces", "expected", "said"),
    [
        (None, None, "my_sign", 'written are: "my sign" as my_sign'),
        (None, "keep", "my sign", "brat cannot read labels with white space: my sign"),
        ("brat", None, "my sign", "brat cannot read labels with white space: my sign"),
        ("brat", "underscore", "my_sign", 'written are: "my sign" as my_sign'),
    ],
)
def test_white_space_in_labels(tmp_path, key, spaces, expected, said):
    docs = [gold("T1\tmy sign 2 5\tman\n")]
    DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "x.spacy")
    options = [*(["--spans", key] if key else []), *(["--label-spaces", spaces] if spaces else [])]
    code, text = invoke("export", tmp_path / "x.spacy", tmp_path / "out", *options)
    assert code == 0
    assert said in " ".join(text.split())
    (document,) = read_folder(tmp_path / "out")
    assert [e.label for e in document.standoff.entities] == [expected]
    report = json.loads((tmp_path / "out" / "export.json").read_text())
    assert report["labels"] == ({"my sign": "my_sign"} if expected == "my_sign" else {})


@pytest.mark.parametrize(
    "line",
    [
        "T1\tSex  2  5\tman",
        "T1\tSex 2 5 \tman",
        "T1 Sex 2 5 man",
        "T1\tSex\t2\t5\tman",
        "T1\tSex 2 5\t",
        "T1\tSex 2 5",
        "T1\tSex 002 005\tman",
        "T1\tmy sex 2 5\tman",
        "TX-1\tSex 2 5\tman",
        "T1\tSex 2 5\tman ",
        "T1\tSex 2",
        "N1\tReference T1 DB:ID 12 3\ta name",
        "N1\tBiotope Annotation:T1 Referent:OBT:1",
        "M1\tNegation Annotation:E1",
        "E1\tNext Who:T1 What:T1",
        "A1\tConfidence T1 0.5\ta tail",
        "#1\tNote T1 without a tab",
        "R1\tNext\tArg1:T1  Arg2:T1",
        "# a comment",
    ],
)
def test_a_line_in_any_form_is_written_as_it_was(tmp_path, line):
    DocBin(docs=[gold(f"{line}\n")], store_user_data=True).to_disk(tmp_path / "x.spacy")
    (doc,) = DocBin().from_disk(tmp_path / "x.spacy").get_docs(NLP.vocab)
    assert exported(doc, "brat") == f"{line}\n"


def test_labels_of_any_characters_come_back(tmp_path):
    labels = ["Sign/Symptom", "Größe-µ", "B-X", "O", "<script>", "A|B", "[x]", "!hdr", "A:B", "#a"]
    ann = "".join(f"T{i}\t{label} 2 5\tman\n" for i, label in enumerate(labels))
    report = export_docs([gold(ann)], tmp_path, "brat")
    (document,) = read_folder(tmp_path)
    assert [e.label for e in document.standoff.entities] == labels
    assert report["unlisted"] == sorted({*labels} - {"B-X", "O"})


def test_label_sets_are_in_the_report(tmp_path):
    docs = [gold(name=name) for name in ("a", "b")]
    set_label_set(docs[1], ["Sign", "Part", "Sex"])
    report = export_docs(docs, tmp_path / "out")
    assert report["label_sets"] == {"b": ["Part", "Sex", "Sign"]}
    written = json.loads((tmp_path / "out" / "export.json").read_text("utf8"))
    assert written["label_sets"] == report["label_sets"]
    DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "gold.spacy")
    _, said = invoke("export", tmp_path / "gold.spacy", tmp_path / "again")
    assert "1 document annotates some types only" in " ".join(said.split())
