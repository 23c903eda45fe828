"""Readers and callbacks of the experiments, and the pretraining on abstracts."""

import gzip
import json
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc, DocBin
from transformers import AutoModel, AutoTokenizer

from experiments import levers, pretrain
from tests.helpers.sentences import make_examples

ROOT = Path(__file__).parents[2]

NLP = spacy.blank("en")


def doc_of(lines: list[list[str]], ents: list[tuple[int, int, str]]) -> Doc:
    """Return a document of lines, each with a line break as its last token."""
    words = [word for line in lines for word in [*line, "\n"]]
    doc = Doc(NLP.vocab, words=words, spaces=[False] * len(words))
    doc.ents = [spacy.tokens.Span(doc, start, end, label) for start, end, label in ents]
    return doc


LINES = [["a", "b", "c"], ["d"], ["e", "f", "g", "h", "i"], ["j", "k"]]
# Tokens with the line breaks: a b c . d . e f g h i . j k .


@pytest.mark.parametrize(
    ("length", "ents", "expected"),
    [
        (1, [], [4, 2, 6, 3]),  # no line is cut
        (6, [], [6, 6, 3]),
        (9, [], [6, 9]),
        (100, [], [15]),
        (1, [(2, 5, "X")], [6, 6, 3]),  # an entity over the end of the first line
        (1, [(5, 7, "X")], [4, 8, 3]),
    ],
)
def test_passages_are_whole_lines(
    length: int, ents: list[tuple[int, int, str]], expected: list[int]
) -> None:
    parts = list(levers.cut(doc_of(LINES, ents), length))
    assert [len(part) for part in parts] == expected
    assert sum(len(part.ents) for part in parts) == len(ents)
    assert "".join(part.text for part in parts) == doc_of(LINES, []).text


@pytest.mark.parametrize(
    ("types", "below", "expected"),
    [
        ([["A"], ["A", "B"], ["A"], []], 0.0, [1, 1, 1, 1]),
        ([["A"], ["A", "B"], ["A"], []], 0.5, [1, 2**0.5, 1, 1]),
        ([["A", "A"], ["B"], [], []], 1.0, [2, 2, 1, 1]),  # twice in one passage is once
    ],
)
def test_passages_with_rare_types_come_more_often(
    types: list[list[str]], below: float, expected: list[float]
) -> None:
    assert levers.repeat_factors(types, below) == pytest.approx(expected)


@given(seed=st.integers(0, 99), probability=st.sampled_from([0.0, 0.5, 1.0]))
@settings(max_examples=40, deadline=None)
def test_replaced_mentions_keep_their_types_and_what_is_around(
    seed: int, probability: float
) -> None:
    chance = random.Random(seed)
    words = [chance.choice("abcdef") for _ in range(12)]
    doc = Doc(NLP.vocab, words=words, spaces=[chance.random() < 0.5 for _ in words])
    at = sorted(chance.sample(range(13), 4))
    doc.ents = [
        spacy.tokens.Span(doc, start, end, chance.choice("XY"))
        for start, end in ((at[0], at[1]), (at[2], at[3]))
    ]
    mentions: dict[str, levers.Words] = {
        kind: [[("new", False)], [("two", True), ("words", True)]] for kind in "XY"
    }
    new = levers.with_mentions(doc, mentions, probability, chance)
    assert [ent.label_ for ent in new.ents] == [ent.label_ for ent in doc.ents]
    own = [[t.text_with_ws for t in doc if not t.ent_type], [ent.text for ent in doc.ents]]
    changed = [[t.text_with_ws for t in new if not t.ent_type], [ent.text for ent in new.ents]]
    assert changed[0] == own[0]
    if probability == 0:
        assert changed == own
    if probability == 1:
        assert set(changed[1]) <= {"new", "two words"}
    assert [ent[-1].whitespace_ for ent in new.ents] == [ent[-1].whitespace_ for ent in doc.ents]


def test_the_reader_yields_each_passage_and_its_copies(tmp_path: Path) -> None:
    docs = [doc_of(LINES, [(0, 2, "X")]), doc_of(LINES[:2], [(4, 5, "Y")])]
    DocBin(docs=docs).to_disk(tmp_path / "train.spacy")
    read = levers.make_passages(str(tmp_path / "train.spacy"), length=6, replace=1.0, copies=3)
    examples = list(read(NLP))
    assert len(examples) == 3 * 4
    assert [eg.reference.text for eg in examples[:4]] == [
        part.text for doc in docs for part in levers.cut(doc, 6)
    ]
    assert all(not eg.predicted.ents for eg in examples)
    assert all([t.text for t in eg.x] == [t.text for t in eg.y] for eg in examples)
    assert {ent.text for eg in examples for ent in eg.reference.ents} == {"ab", "d"}


def test_the_head_starts_from_the_names_of_the_types() -> None:
    nlp = spacy.blank("en")
    pipe: Any = nlp.add_pipe("btl_knn_ner")
    nlp.initialize(lambda: make_examples(nlp))
    before = pipe.model.get_ref("output_layer").get_param("W").copy()
    levers.make_label_names(size=2.0)(nlp)
    weights = pipe.model.get_ref("output_layer").get_param("W")
    assert (weights[0] == before[0]).all()
    assert (weights[1::2] == weights[2::2]).all()
    assert np.linalg.norm(weights[1:], axis=1) == pytest.approx(2.0, rel=1e-4)
    assert len(np.unique(weights[1::2].round(4), axis=0)) == len(pipe.labels)


ARTICLE = """<PubmedArticle><MedlineCitation><Article><Abstract>
<AbstractText>{text}</AbstractText></Abstract><Language>{language}</Language></Article>
</MedlineCitation></PubmedArticle>"""


def write_medline(path: Path, texts: list[tuple[str, str]]) -> None:
    articles = "".join(ARTICLE.format(text=text, language=language) for text, language in texts)
    with gzip.open(path, "wt", encoding="utf8") as file:
        file.write(f"<PubmedArticleSet>{articles}</PubmedArticleSet>")


def test_the_abstracts_of_a_file(tmp_path: Path) -> None:
    texts = [("He had <i>fever</i>.", "eng"), ("Fieber.", "ger"), (" ", "eng"), ("Pain", "eng")]
    write_medline(tmp_path / "a.xml.gz", texts)
    assert list(pretrain.abstracts(tmp_path / "a.xml.gz")) == ["He had fever.", "Pain"]


def test_pretraining_changes_the_encoder_and_lowers_the_loss(
    tiny_bert: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_medline(tmp_path / "a.xml.gz", [("he took 5 mg of aspirin daily", "eng")] * 60)
    options = ["--encoder", str(tiny_bert), "--output", str(tmp_path / "new"), "--pieces", "16"]
    options += ["--updates", "200", "--batch", "4", "--learn-rate", "0.003"]
    monkeypatch.setattr(sys, "argv", ["pretrain.py", str(tmp_path / "a.xml.gz"), *options])
    pretrain.main()
    lines = [line for line in capsys.readouterr().out.splitlines() if "loss" in line]
    first, last = (float(line.split()[-1]) for line in lines)
    assert last < 0.7 * first
    made = json.loads((tmp_path / "new" / "pretraining.json").read_text())
    assert (made["updates"], made["pieces"]) == (200, 16)
    assert made["loss"] == pytest.approx(last, abs=1e-3)
    old, new = (
        AutoModel.from_pretrained(path).state_dict() for path in (tiny_bert, tmp_path / "new")
    )
    name = "encoder.layer.0.output.dense.weight"
    assert old[name].shape == new[name].shape
    assert not np.allclose(old[name], new[name])
    pieces = [
        AutoTokenizer.from_pretrained(p)("fever")["input_ids"]
        for p in (tiny_bert, tmp_path / "new")
    ]
    assert pieces[0] == pieces[1]
