"""Evidence as text for the terminal and as JSON values."""

import html
import json
import re

import numpy as np
import pytest

from spacy_btl.explain.evidence import Missing, Neighbor, count_missing, summarize
from spacy_btl.explain.page import render_page
from spacy_btl.explain.passages import CorpusDocument, Passage
from spacy_btl.explain.text import (
    corpus_notes,
    describe_rest,
    describe_support,
    describe_votes,
    evidence_to_json,
    mark_passage,
    percent,
    render_text,
)
from tests.helpers.evidence import CORPUS, EXPLAINED, entity, vote


@pytest.mark.parametrize(
    ("votes", "missing"),
    [
        ([], (0, 0, 0)),
        ([("case-1", 13)], (1, 0, 0)),
        ([("case-1", 13), ("gone", 13), ("gone", 0)], (3, 2, 0)),
        ([("case-1", 999), ("case-1", -5), ("gone", 0)], (3, 1, 2)),
    ],
)
def test_missing_is_counted(votes, missing):
    evidence = [entity([vote("B-Dosage", *place) for place in votes])]
    assert count_missing(evidence, CORPUS) == Missing(*missing)
    notes = corpus_notes(evidence, CORPUS)
    assert len(notes) == (missing[1] > 0) + (missing[2] > 0)
    assert all(re.match(rf"\d+ of {missing[0]} neighbors", note) for note in notes)
    rendered = render_text(EXPLAINED, evidence, CORPUS)
    assert all(note.split()[0] in rendered for note in notes)
    words = " ".join(rendered.split())
    assert all(f"document {name}, character {offset}" in words for name, offset in votes)


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0%"), (0.004, "<1%"), (0.006, "1%"), (0.5, "50%"), (14 / 17, "82%"), (1, "100%")],
)
def test_percent(share, text):
    assert percent(share) == text


@pytest.mark.parametrize(
    ("weight", "decision"),
    [
        (1.0, "This vote decided."),
        (0.5, "The vote counts for 50%, the model's prediction for the rest."),
        (0.0, "The model decided alone. The vote is shown for comparison."),
    ],
)
def test_claims_no_more_than_the_vote_has_done(weight, decision):
    found = entity([vote("B-Dosage", "case-1", 0, share=0.1)])._replace(neighbor_weight=weight)
    text = "She took 5 mg of aspirin."
    for shown in (render_text(text, [found], width=500), render_page(text, [found])):
        assert decision in html.unescape(shown)
    assert evidence_to_json(text, [found])["entities"][0]["neighbor_weight"] == weight


@pytest.mark.parametrize(
    ("count", "n_examples", "support", "rest"),
    [
        (0, 5, "No neighbor is Dosage.", ""),
        (1, 5, "1 training example for Dosage (10% of the vote):", ""),
        (3, 5, "3 training examples for Dosage (30% of the vote):", ""),
        (
            7,
            5,
            "The 5 strongest training examples for Dosage (50% of the vote):",
            "and 2 more for Dosage (20% of the vote)",
        ),
        (
            7,
            1,
            "The strongest training example for Dosage (10% of the vote):",
            "and 6 more for Dosage (60% of the vote)",
        ),
    ],
)
def test_sentences_about_examples(count, n_examples, support, rest):
    votes = [vote("B-Dosage", f"case-{i}", 0, share=0.1) for i in range(count)]
    summary = summarize(entity([*votes, vote("O", "case-9", 0)]), n_examples=n_examples)
    assert describe_support("Dosage", summary) == support
    assert describe_rest("Dosage", summary) == rest


def test_each_token_has_its_own_neighbors():
    """An entity of two tokens has twice as many votes as neighbors were asked for."""
    found = entity([vote("B-Dosage", "case-1", 0)] * 3)
    two = found._replace(tokens=found.tokens * 2)
    shown = describe_votes(two, summarize(two))
    assert shown == "Vote of 6 neighbors of 2 tokens: Dosage 75% (6)"
    assert describe_votes(found, summarize(found)).startswith("Vote of 3 neighbors: Dosage")


RENDERED = """\
A heading
The smaller the distance, the more similar; at 0 the model sees no difference. Distances
of different models cannot be compared.
[[ ]] mark the entity of a training sentence or, outside entities, the voting tokens.
1 of 4 neighbors are from documents that are not in this corpus; they are shown by
document and offset only.

5 mg | Dosage | score 0.75 (calibrated), offset 9
  Vote of 4 neighbors: Dosage 75% (3), O 25% (1)
  This vote decided.
  3 training examples for Dosage (75% of the vote):
  - Dosage in document case-2, character 23 (25% of the vote, distance 0.5)
    Methotrexate [[15 mg]] weekly was begun.
  - Dosage in document case-1, character 13 (25% of the vote, distance 1)
    He was given [[300 mg]] of aspirin daily.
  - Dosage in document gone, character 4 (25% of the vote, distance 2)
  Strongest training examples for other labels:
  - O in document case-1, character 7 (25% of the vote, distance 3)
    He was [[given]] 300 mg of aspirin daily.
"""

FOUR = [vote("B-Dosage", "case-1", 13), vote("B-Dosage", "case-2", 23, 0.5)]
FOUR += [vote("B-Dosage", "gone", 4, 2.0), vote("O", "case-1", 7, 3.0)]


def test_rendered_text():
    rendered = render_text(EXPLAINED, [entity(FOUR)], CORPUS, heading="A heading")
    assert rendered == RENDERED


def words(text):
    return set(re.findall(r"\w+", text.lower()))


def test_no_training_text_without_a_corpus():
    rendered = render_text(EXPLAINED, [entity(FOUR)])
    own = words(render_text(EXPLAINED, [])) | words(EXPLAINED)
    secret = words(" ".join(doc.text for doc in CORPUS.values())) - own
    assert {"methotrexate", "aspirin", "given", "300", "15"} <= secret
    # The frame of the report has words of its own: these two are among them.
    assert not secret & (words(rendered) - {"no", "of"})
    assert "shown by document and offset only" in " ".join(rendered.split())
    assert "document case-2, character 23" in rendered
    values = evidence_to_json(EXPLAINED, [entity(FOUR)])
    assert not secret & words(json.dumps(values))
    assert secret & words(render_text(EXPLAINED, [entity(FOUR)], CORPUS))


@pytest.mark.parametrize(
    ("evidence", "line"),
    [
        ([], "No entity was found."),
        ([entity([])], "The model decided without neighbors."),
        ([entity()], "The model decided without neighbors."),
        ([entity([vote("O", "a", 0)])], "No neighbor is Dosage."),
        ([entity(FOUR)._replace(calibrated=False)], "score 0.75 (uncalibrated)"),
    ],
)
def test_rendered_edges(evidence, line):
    for corpus in (None, {}, CORPUS):
        assert line in render_text(EXPLAINED, evidence, corpus)


def test_hostile_text_cannot_steer_the_terminal():
    text = "\x1b[2J\x07 5\nmg\u202e" + "x" * 300
    label = "Dos\nage\x1b[0m"
    corpus = {"\x1bid\n": CorpusDocument(text, [(6, 7)], [(6, 9, label)])}
    neighbor = vote(f"B-{label}", "\x1bid\n", 6)
    rendered = render_text(text, [entity([neighbor], label=label, start=0, end=99)], corpus)
    assert not set("\x1b\x07\u202e") & set(rendered)
    assert max(map(len, rendered.splitlines())) <= 88
    assert "[[5]]" in rendered  # the line ends within the entity


@pytest.mark.parametrize("width", [40, 80, 100])
def test_lines_fit_the_width(width):
    rendered = render_text(EXPLAINED, [entity(FOUR)], CORPUS, width=width)
    assert max(map(len, rendered.splitlines())) <= width


def test_marks_without_an_entity_and_with_cuts():
    passage = Passage("one two three", ((0, 3), (8, 13)), None, True, True)
    assert mark_passage(passage) == "… [[one]] two [[three]] …"
    assert mark_passage(None) == ""


def test_json_values():
    numpy_vote = Neighbor("B-Dosage", np.float32(0.5), "case-2", np.int64(23), np.float32(0.5))
    evidence = [entity([numpy_vote, vote("O", "gone", 3)])]
    values = json.loads(json.dumps(evidence_to_json(EXPLAINED, evidence, CORPUS, heading="H")))
    assert values["heading"] == "H"
    assert values["missing"] == {"neighbors": 2, "without_document": 1, "without_token": 0}
    (found,) = values["entities"]
    assert (found["text"], found["label"], found["score"]) == ("5 mg", "Dosage", 0.75)
    assert found["votes"][0] == {"label": "Dosage", "share": 0.5, "votes": 1}
    (example,) = found["supporting"]
    assert (example["document"], example["offsets"]) == ("case-2", [23])
    assert example["passage"]["text"] == "Methotrexate 15 mg weekly was begun."
    assert example["passage"]["entity"] == [13, 18, "Dosage"]
    assert found["opposing"][0]["passage"] is None
    assert found["tokens"][0]["neighbors"][1]["document"] == "gone"
    assert evidence_to_json(EXPLAINED, evidence)["missing"] is None
