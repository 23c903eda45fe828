"""Texts that nobody expects: no crash, offsets that hold, and what is plain is found."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.training import Example

from spacy_btl.annotate.outputs import FORMATS
from spacy_btl.brat import flat_text, read_folder
from spacy_btl.evaluation.evaluate import evaluate
from spacy_btl.explain.page import render_page
from spacy_btl.explain.text import render_text
from spacy_btl.pipeline.component import component_of
from tests.helpers.annotating import annotate, found, train
from tests.helpers.sentences import make_examples

WARFARIN, FEVER, CHEST_PAIN = (
    ("warfarin", "Medication"),
    ("fever", "Sign_symptom"),
    ("chest pain", "Sign_symptom"),
)

# The entities in each text, found where their words occur first.
TEXTS: dict[str, tuple[str, list[tuple[str, str]]]] = {
    "nothing": ("", []),
    "a space": (" ", []),
    "white space": (" \t \n\n  \u3000", []),
    "a newline": ("\n", []),
    "CRLF": ("She took warfarin\r\nNo fever\r\n", [WARFARIN, FEVER]),
    "CR": ("She took warfarin\rNo fever", [WARFARIN, FEVER]),
    "lines": ("No fever\n\n\nShe took warfarin\n", [FEVER, WARFARIN]),
    "emoji": ("👩‍👩‍👧 She took warfarin 👨‍⚕️🏽 🇩🇪", [WARFARIN]),
    "emoji in words": ("a👍🏽b No fever", [FEVER]),
    "beyond 16 bits": ("𝒻𝑒𝓋𝑒𝓇 No fever 𐍈", [FEVER]),
    "Hebrew": ("המטופל נטל warfarin בבוקר", [WARFARIN]),
    "Arabic": ("أخذت warfarin اليوم", [WARFARIN]),
    "direction overrides": ("\u202e No fever \u202c", [FEVER]),
    "combining marks": ("e\u0301 No fever a\u0323\u0308", [FEVER]),
    "a thousand marks": ("x" + "\u0301" * 1000 + " No fever", [FEVER]),
    "control characters": ("\x01\x02 She took warfarin \x1b[31m\x07 \x7f\x9f", [WARFARIN]),
    "NUL": ("\0 She took warfarin \0\0", [WARFARIN]),
    "only NUL": ("\0\0\0", []),
    "byte order mark": ("\ufeff She took warfarin \ufeff", [WARFARIN]),
    "zero width": ("\u200b No fever \u2060\u200d", [FEVER]),
    "wide spaces": ("She took\u00a0warfarin\u2003No fever\u2028She had chest pain", []),
    "next line": ("She took warfarin \x85 No fever", [WARFARIN, FEVER]),
    "noncharacters": ("\uffff\ufffe \ue000 No fever", [FEVER]),
    "punctuation": (".,;:!?()[]{}<>" * 20, []),
    "one mark": ("." * 10_000, []),
    "a word of 100,000 characters": ("x" * 100_000 + " No fever", [FEVER]),
    "markup": ("<script>alert(1)</script> No fever <b>&amp;", [FEVER]),
}
OFFSETS_ONLY = {"wide spaces", "punctuation", "one mark"}  # nothing to be known of their entities
LINES = "She took\r\nwarfarin\r\nNo fever"
SURROGATE = "She took warfarin \ud800"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a pipeline that knows these texts by heart: what is tested here are places in them."""
    known = [each for name, each in TEXTS.items() if name not in OFFSETS_ONLY]
    known.append((LINES, [WARFARIN, FEVER]))
    return train(tmp_path_factory.mktemp("trained") / "model", [placed(*each) for each in known])


def placed(text: str, entities: list[tuple[str, str]]) -> tuple[str, list[tuple[int, int, str]]]:
    """Return a text with the places of its entities."""
    starts = [text.index(words) for words, _ in entities]
    pairs = zip(starts, entities, strict=True)
    return text, [(start, start + len(words), label) for start, (words, label) in pairs]


@pytest.fixture(scope="module")
def nlp(model: Path) -> Language:
    return spacy.load(model)


@pytest.fixture(scope="module")
def pieces(tiny_bert: Path) -> Language:
    """Return an untrained pipeline that reads word pieces."""
    nlp = spacy.blank("en")
    encoder = {"@architectures": "spacy-btl.TransformerModel.v1", "name": str(tiny_bert)}
    model = {"@architectures": "spacy-btl.TokenClassifier.v1", "tok2vec": encoder}
    nlp.add_pipe("btl_knn_ner", config={"model": model})
    nlp.initialize(lambda: make_examples(nlp))
    return nlp


def bounds(doc: Doc) -> list[tuple[int, int, str]]:
    return [(ent.start_char, ent.end_char, ent.label_) for ent in doc.ents]


def check_offsets(doc: Doc, text: str) -> None:
    """Check that the text is unchanged, and entities are in order, apart, on whole tokens."""
    assert doc.text == text
    places = bounds(doc)
    assert all(end <= start for (_, end, _), (start, _, _) in pairwise(places))
    for ent in doc.ents:
        assert ent.text == text[ent.start_char : ent.end_char] != ""


@pytest.mark.parametrize("name", TEXTS)
def test_a_call_finds_what_is_plain(nlp: Language, name: str) -> None:
    text, expected = TEXTS[name]
    doc = nlp(text)
    check_offsets(doc, text)
    if name not in OFFSETS_ONLY:
        assert bounds(doc) == placed(text, expected)[1]


def test_pipe_finds_what_calls_find(nlp: Language) -> None:
    texts = [text for text, _ in TEXTS.values()]
    assert [bounds(doc) for doc in nlp.pipe(texts)] == [bounds(nlp(text)) for text in texts]


def test_offsets_hold_with_word_pieces(pieces: Language) -> None:
    texts = [text for text, _ in TEXTS.values()]
    for text, doc in zip(texts, pieces.pipe(texts), strict=True):
        check_offsets(doc, text)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=40), max_size=4))
def test_offsets_hold_in_any_text(nlp: Language, texts: list[str]) -> None:
    for text, doc in zip(texts, nlp.pipe(texts), strict=True):
        check_offsets(doc, text)


def test_a_lone_surrogate_is_no_text_to_spacy(nlp: Language) -> None:
    for pipeline in (nlp, spacy.blank("en")):
        with pytest.raises(UnicodeEncodeError):
            pipeline(SURROGATE)


@pytest.mark.parametrize("to", [name for name in FORMATS if name != "omop"])
def test_annotated_and_read_back(nlp: Language, model: Path, tmp_path: Path, to: str) -> None:
    if to == "parquet":
        pytest.importorskip("pyarrow", reason="needs the extra parquet")
    texts = {name: text for name, (text, _) in TEXTS.items()}
    rows = [{"id": name, "text": text} for name, text in {**texts, "bad": SURROGATE}.items()]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, rows)))
    output = tmp_path / "out"
    summary = annotate(model, tmp_path / "in.jsonl", output, to=to)
    errors = [json.loads(line) for line in (output / "errors.jsonl").read_text().splitlines()]
    reasons = {error["id"]: error["error"].partition(",")[0] for error in errors}
    assert (summary.set_aside, reasons) == (2, {"markup": "HTML", "bad": "the text is not UTF-8"})
    del texts["markup"]
    expected = {name: bounds(nlp(text)) for name, text in texts.items()}
    assert dict(found(output, to)) == {k: v for k, v in expected.items() if v or to != "parquet"}
    if to == "jsonl":
        lines = (output / "annotations" / "shard-00000.jsonl").read_text("utf-8").splitlines()
        assert [json.loads(line)["text"] for line in lines] == list(texts.values())
    elif to == "docbin":
        docs = DocBin().from_disk(output / "annotations" / "shard-00000.spacy")
        assert [doc.text for doc in docs.get_docs(nlp.vocab)] == list(texts.values())
    elif to == "brat":
        for document in read_folder(output / "annotations"):
            assert document.text == texts[document.name]
            for entity in document.standoff.entities:
                surface = " ".join(flat_text(document.text[s:e]) for s, e in entity.fragments)
                assert flat_text(entity.text) == surface


def test_text_files_with_a_byte_order_mark_and_crlf(model: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_bytes(b"\xef\xbb\xbf" + LINES.encode())
    annotate(model, tmp_path / "in", tmp_path / "out", to="brat")
    written = (tmp_path / "out" / "annotations" / "a.txt").read_bytes()
    assert written == LINES.encode()
    ((_, entities),) = found(tmp_path / "out", "brat")
    assert [written[start:end] for start, end, _ in entities] == [b"warfarin", b"fever"]


def test_an_explanation_contains_no_control_character(nlp: Language) -> None:
    n_entities = 0
    for text, _ in TEXTS.values():
        doc = nlp(text)
        evidence = component_of(nlp).explain(doc)
        assert [(each.start, each.end, each.label) for each in evidence] == bounds(doc)
        n_entities += len(evidence)
        shown = render_text(text, evidence)
        page = render_page(text, evidence, None, title="report")
        page.encode("utf-8")
        assert "<script>alert" not in page
        for character in "\0\x01\x1b\x07\x9f\u202e":
            assert character not in shown + page
    assert n_entities > 20


def test_a_pipeline_scores_1_on_its_own_entities(nlp: Language) -> None:
    examples = [Example(nlp.make_doc(text), nlp(text)) for text, _ in TEXTS.values()]
    result = evaluate(nlp, examples)
    assert result["scores"]["ents_f"] == result["scores"]["ents_macro_f"] == 1.0
    assert result["gold_entities"] == sum(len(example.reference.ents) for example in examples)


def test_a_million_characters(nlp: Language) -> None:
    """``nlp.max_length`` characters work; spaCy refuses one more, whatever the components."""
    text = ("She took warfarin" + "\n" * 483) * 2000
    assert len(text) == nlp.max_length
    doc = nlp(text)
    check_offsets(doc, text)
    assert bounds(doc)[-1] == (999_509, 999_517, "Medication")
    assert len(doc.ents) == 2000
    with pytest.raises(ValueError, match="E088"):
        nlp(text + "\n")


def test_many_short_documents(nlp: Language) -> None:
    texts: Any = ["No fever", "", "\n", "fever"] * 500
    docs = list(nlp.pipe(texts))
    assert [doc.text for doc in docs] == texts
    assert all(bounds(doc) == [(3, 8, "Sign_symptom")] for doc in docs[::4])
    assert not any(doc.ents for doc in (*docs[1::4], *docs[2::4]))
