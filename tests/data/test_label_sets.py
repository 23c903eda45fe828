"""Label sets: what a document annotates, and that it stays with the document."""

import pytest
import spacy
from spacy.tokens import Doc, DocBin
from spacy.training import Example

from spacy_btl.data.label_sets import annotates, corpus_of, label_set_of, set_label_set

NLP = spacy.blank("en")


def make_doc(**user_data: object) -> Doc:
    doc = NLP("aspirin for pain")
    doc.user_data.update(user_data)
    return doc


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (["Drug"], frozenset({"Drug"})),
        (("Drug", "Sign"), frozenset({"Drug", "Sign"})),
        (["Sign", "Drug", "Sign"], frozenset({"Drug", "Sign"})),
        ({"Drug": 1}, frozenset({"Drug"})),
    ],
)
def test_the_label_set_of_a_document(value, expected):
    assert label_set_of(make_doc(label_set=value)) == expected


def test_a_document_without_one_annotates_everything():
    doc = make_doc()
    assert label_set_of(doc) is None
    assert annotates(doc, "Drug")
    assert corpus_of(doc) == ""


def test_a_document_with_one_annotates_these_types():
    doc = make_doc()
    set_label_set(doc, {"Sign", "Drug"})
    assert doc.user_data["label_set"] == ["Drug", "Sign"]
    assert (annotates(doc, "Drug"), annotates(doc, "Age")) == (True, False)
    set_label_set(doc, None)
    assert "label_set" not in doc.user_data


@pytest.mark.parametrize("value", ["Drug", 3, [], [""], [None], ["Drug", 3]])
def test_what_is_no_label_set_is_refused(value):
    doc = make_doc()
    with pytest.raises(ValueError, match="label set"):
        set_label_set(doc, value)
    assert "label_set" not in doc.user_data
    with pytest.raises(ValueError, match="label set"):
        label_set_of(make_doc(label_set=value))


def test_the_corpus_of_a_document():
    assert corpus_of(make_doc(corpus="bc5cdr")) == "bc5cdr"
    with pytest.raises(ValueError, match="name of a corpus, not int"):
        corpus_of(make_doc(corpus=3))


def from_docbin(doc: Doc) -> Doc:
    data = DocBin(docs=[doc], store_user_data=True).to_bytes()
    return next(iter(DocBin().from_bytes(data).get_docs(NLP.vocab)))


@pytest.mark.parametrize(
    "way",
    [
        from_docbin,
        lambda doc: doc.copy(),
        lambda doc: Doc(NLP.vocab).from_bytes(doc.to_bytes()),
        lambda doc: Example(NLP.make_doc(doc.text), doc).reference,
    ],
    ids=["DocBin", "copy", "bytes", "Example"],
)
def test_both_stay_with_the_document(way):
    doc = make_doc(corpus="bc5cdr")
    set_label_set(doc, ["Drug", "Disease"])
    same = way(doc)
    assert label_set_of(same) == {"Drug", "Disease"}
    assert corpus_of(same) == "bc5cdr"
