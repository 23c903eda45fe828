import json
import random
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc, Span
from spacy.vocab import Vocab

from spacy_btl.explain.evidence import (
    NEARBY,
    EntityEvidence,
    Missing,
    Neighbor,
    TokenEvidence,
    TrainingExample,
    count_missing,
    summarize,
    type_of,
)
from spacy_btl.explain.page import render_page
from spacy_btl.explain.passages import (
    CorpusDocument,
    Passage,
    clip,
    corpus_document,
    entity_at,
    find_passage,
    token_at,
)
from spacy_btl.explain.text import (
    corpus_notes,
    describe_example,
    describe_rest,
    describe_support,
    evidence_to_json,
    mark_passage,
    percent,
    render_text,
)

EXPLAINED = "She took 5 mg of warfarin."


def document(text, *entities, sentences=()):
    """A corpus document whose tokens are words, entities given as (surface, label)."""
    tokens = [match.span() for match in re.finditer(r"\S+", text)]
    found = [(text.index(s), text.index(s) + len(s), label) for s, label in entities]
    return CorpusDocument(text, tokens, sorted(found), sentences)


CORPUS = {
    "case-1": document(
        "He was given 300 mg of aspirin daily.", ("300 mg", "Dosage"), ("aspirin", "Medication")
    ),
    "case-2": document("No fever.\nMethotrexate 15 mg weekly was begun.", ("15 mg", "Dosage")),
}


def vote(label, document, offset, distance=1.0, share=0.25):
    return Neighbor(label, distance, document, offset, share)


def entity(*tokens, label="Dosage", start=9, end=13):
    """Evidence for "5 mg", each token with these neighbors."""
    bounds = [(start, start + 1), (start + 2, end)]
    evidence = [
        TokenEvidence(*bounds[min(i, 1)], f"{'BI'[i > 0]}-{label}", tuple(neighbors))
        for i, neighbors in enumerate(tokens)
    ]
    return EntityEvidence(label, start, end, 0.75, True, tuple(evidence))


REACH = 4 + NEARBY


@pytest.mark.parametrize(
    ("label", "kind"),
    [("B-Dosage", "Dosage"), ("I-Dosage", "Dosage"), ("O", "O"), ("B-B-cell", "B-cell"), ("", "")],
)
def test_type_of(label, kind):
    assert type_of(label) == kind


@pytest.mark.parametrize(
    ("neighbors", "places"),
    [
        ([], []),
        ([("B-Dosage", "a", 5)], [("a", (5,))]),
        # The same token, as neighbor of two tokens.
        ([("B-Dosage", "a", 5), ("B-Dosage", "a", 5)], [("a", (5,))]),
        ([("B-Dosage", "a", 5), ("I-Dosage", "a", 7)], [("a", (5, 7))]),
        ([("I-Dosage", "a", 7), ("B-Dosage", "a", 5)], [("a", (5, 7))]),
        ([("I-Dosage", "a", 5), ("I-Dosage", "a", 5 + REACH)], [("a", (5, 5 + REACH))]),
        ([("I-Dosage", "a", 5), ("I-Dosage", "a", 6 + REACH)], [("a", (5,)), ("a", (6 + REACH,))]),
        # Nearness is counted from the first: places do not grow without end.
        (
            [("O", "a", 0), ("O", "a", REACH), ("O", "a", 2 * REACH)],
            [("a", (0, REACH)), ("a", (2 * REACH,))],
        ),
        # A B- begins an entity.
        ([("B-Dosage", "a", 5), ("B-Dosage", "a", 7)], [("a", (5,)), ("a", (7,))]),
        ([("I-Dosage", "a", 5), ("B-Dosage", "a", 7)], [("a", (5,)), ("a", (7,))]),
        ([("B-Dosage", "a", 5), ("I-Dosage", "b", 7)], [("a", (5,)), ("b", (7,))]),
        ([("B-Dosage", "a", 5), ("I-Date", "a", 7)], [("a", (5,)), ("a", (7,))]),
        ([("B-Dosage", "a", 5), ("O", "a", 6), ("I-Dosage", "a", 7)], [("a", (5, 7)), ("a", (6,))]),
    ],
)
def test_places_without_a_corpus(neighbors, places):
    summary = summarize(entity([vote(*n) for n in neighbors]), n_examples=9, n_opposing=9)
    found = [(e.document, e.offsets) for e in (*summary.supporting, *summary.opposing)]
    assert sorted(found) == sorted(places)
    assert sum(e.votes for e in (*summary.supporting, *summary.opposing)) == len(neighbors)


LONG = CorpusDocument(
    "a" * 99 + " " + "b" * 99 + " c d e",
    [(0, 99), (100, 199), (200, 201), (202, 203), (204, 205)],
    [(0, 199, "Dosage"), (200, 201, "Dosage"), (202, 205, "Date"), (202, 203, "Time")],
)


@pytest.mark.parametrize(
    ("neighbors", "places"),
    [
        # One annotated entity is one example however long it is, two are two however near.
        ([("B-Dosage", "a", 0), ("I-Dosage", "a", 100)], [(0, 100)]),
        ([("I-Dosage", "a", 100), ("I-Dosage", "a", 200)], [(100,), (200,)]),
        # Nested ones: that of the neighbor's own type.
        ([("B-Date", "a", 202), ("I-Date", "a", 204)], [(202, 204)]),
        ([("B-Time", "a", 202), ("I-Date", "a", 204)], [(202,), (204,)]),
        # None of the neighbor's type there, and no such document: near ones.
        ([("O", "a", 200), ("O", "a", 202)], [(200, 202)]),
        ([("I-Age", "a", 200), ("I-Age", "a", 202)], [(200, 202)]),
        ([("B-Dosage", "z", 0), ("I-Dosage", "z", 100)], [(0,), (100,)]),
    ],
)
def test_places_with_a_corpus(neighbors, places):
    explained = entity([vote(*n) for n in neighbors])
    summary = summarize(explained, {"a": LONG}, n_examples=9, n_opposing=9)
    assert sorted(e.offsets for e in (*summary.supporting, *summary.opposing)) == places


def test_votes_and_examples_of_two_tokens():
    first = [vote("B-Dosage", "case-1", 13, 2.0), vote("B-Dosage", "case-2", 23, 3.0)]
    first += [vote("O", "case-1", 3, 4.0), vote("B-Dosage", "gone", 7, 5.0)]
    second = [vote("I-Dosage", "case-1", 17, 1.0), vote("I-Dosage", "case-2", 26, 1.5)]
    second += [vote("B-Medication", "case-1", 23, 6.0), vote("O", "case-1", 3, 7.0)]
    summary = summarize(entity(first, second), CORPUS)
    assert summary.votes == (("Dosage", 0.625, 5), ("O", 0.25, 2), ("Medication", 0.125, 1))
    assert [(e.document, e.offsets, e.share, e.distance) for e in summary.supporting] == [
        ("case-1", (13, 17), 0.25, 1.0),
        ("case-2", (23, 26), 0.25, 1.5),
        ("gone", (7,), 0.125, 5.0),
    ]
    assert [(e.label, e.votes) for e in summary.opposing] == [("O", 2), ("Medication", 1)]
    assert [e.passage is None for e in summary.supporting] == [False, False, True]
    assert not any(e.contradicted for e in summary.supporting)
    assert summary.n_supporting == 3


@pytest.mark.parametrize(
    ("shares", "distances", "order"),
    [
        ((0.5, 0.3, 0.2), (3.0, 2.0, 1.0), "abc"),
        ((0.2, 0.3, 0.5), (1.0, 2.0, 3.0), "cba"),
        ((0.3, 0.3, 0.4), (2.0, 1.0, 9.0), "cba"),
        ((0.3, 0.3, 0.3), (1.0, 1.0, 1.0), "abc"),
        ((0.1 + 0.2, 0.3, 0.3), (3.0, 2.0, 1.0), "cba"),  # rounding is no difference
    ],
)
def test_order(shares, distances, order):
    votes = [
        vote("B-Dosage", name, 0, d, s) for name, s, d in zip("abc", shares, distances, strict=True)
    ]
    assert "".join(e.document for e in summarize(entity(votes)).supporting) == order
    best = summarize(entity(votes), n_examples=2)
    assert "".join(e.document for e in best.supporting) == order[:2]
    assert best.n_supporting == 3


neighbors = st.builds(
    Neighbor,
    label=st.sampled_from(["O", "B-Dosage", "I-Dosage", "B-Medication"]),
    distance=st.floats(0, 9),
    document=st.sampled_from(["case-1", "case-2", "gone"]),
    offset=st.integers(0, 60),
    share=st.floats(0, 1),
)


@settings(max_examples=60)
@given(st.lists(st.lists(neighbors, max_size=8), min_size=1, max_size=3), st.randoms())
def test_nothing_is_lost_and_order_does_not_matter(tokens, rng: random.Random):
    explained = entity(*tokens)
    shuffled = entity(*(rng.sample(token, len(token)) for token in tokens))
    for corpus in (None, CORPUS):
        summary = summarize(explained, corpus, n_examples=99, n_opposing=99)
        assert summary == summarize(shuffled, corpus, n_examples=99, n_opposing=99)
        examples = [*summary.supporting, *summary.opposing]
        total = sum(n.share for token in tokens for n in token) / len(tokens)
        assert sum(e.share for e in examples) == pytest.approx(total)
        assert sum(v.share for v in summary.votes) == pytest.approx(total)
        assert sum(e.votes for e in examples) == sum(map(len, tokens))
        assert (summary.n_supporting, len(summary.votes)) == (
            len(summary.supporting),
            len({type_of(n.label) for token in tokens for n in token}),
        )


@pytest.mark.parametrize(
    ("offset", "token"), [(-1, None), (0, (0, 2)), (1, (0, 2)), (2, None), (3, (3, 6)), (99, None)]
)
def test_token_at(offset, token):
    assert token_at(document("He was"), offset) == token


def test_token_beyond_the_text_is_none():
    assert token_at(CorpusDocument("He", [(0, 5)], []), 1) is None
    assert token_at(CorpusDocument("He", [], []), 0) is None


@pytest.mark.parametrize(
    ("offset", "label", "found"),
    [
        (0, "Dosage", (0, 199, "Dosage")),
        (99, "O", (0, 199, "Dosage")),
        (199, "Dosage", None),
        (202, "Date", (202, 205, "Date")),
        (202, "Time", (202, 203, "Time")),
        (202, "O", (202, 203, "Time")),
        (204, "Time", (202, 205, "Date")),
    ],
)
def test_entity_at(offset, label, found):
    assert entity_at(LONG, offset, label) == found


@pytest.mark.parametrize(
    ("word", "width", "clipped"),
    [
        ("one", 99, "one two three four five six"),
        ("one", 27, "one two three four five six"),
        ("one", 26, "one two three four five"),
        ("one", 8, "one two"),
        ("one", 7, "one two"),
        ("one", 6, "one"),
        ("one", 3, "one"),
        ("one", 2, "on"),
        ("six", 12, "four five six"[5:]),
        ("six", 13, "four five six"),
        ("six", 3, "six"),
        ("three", 13, "two three"),
        ("three", 15, "two three four"),
        ("three", 6, "three"),
    ],
)
def test_clip_at_word_borders(word, width, clipped):
    text = "one two three four five six"
    start = text.index(word)
    left, right = clip(text, (0, len(text)), (start, start + len(word)), width)
    assert text[left:right].strip() == clipped
    assert right - left <= width


@settings(max_examples=80)
@given(st.text(alphabet="ab \n", min_size=1, max_size=60), st.data())
def test_clip_holds_its_focus(text, data):
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    first = data.draw(st.integers(start, end - 1))
    last = data.draw(st.integers(first + 1, end))
    width = data.draw(st.integers(1, 70))
    left, right = clip(text, (start, end), (first, last), width)
    assert start <= left <= first < right <= end
    assert right - left <= max(width, 0)
    assert right >= min(last, first + width)


def marked(passage):
    """Text with the entity in braces and the tokens in brackets; … where it is cut."""
    assert passage is not None
    signs = {}
    for start, end in passage.tokens:
        signs[start] = signs.get(start, "") + "["
        signs[end] = "]" + signs.get(end, "")
    if passage.entity:
        start, end, _ = passage.entity
        signs[start] = "{" + signs.get(start, "")
        signs[end] = signs.get(end, "") + "}"
    text = passage.text
    inner = "".join(signs.get(i, "") + text[i : i + 1] for i in range(len(text) + 1))
    return "…" * passage.cut_before + inner + "…" * passage.cut_after


THREE = "No fever. Gave 5 mg  of it.  He left.\n\nLast line"
SENTENCES = [(0, 9), (10, 29), (29, 38)]


@pytest.mark.parametrize(
    ("offsets", "sentences", "width", "expected"),
    [
        ([15], SENTENCES, 160, "Gave {[5] mg}  of it."),
        ([15, 17], SENTENCES, 160, "Gave {[5] [mg]}  of it."),
        ([16 + 1], SENTENCES, 160, "Gave {5 [mg]}  of it."),
        ([0], SENTENCES, 160, "[No] fever."),
        ([29], SENTENCES, 160, "[He] left."),
        ([45], SENTENCES, 160, "Last [line]"),  # in no sentence: the line
        ([15], [], 160, "No fever. Gave {[5] mg}  of it.  He left."),
        ([0, 3], [], 160, "[No] [fever.] Gave 5 mg  of it.  He left."),
        ([0, 45], [], 160, "[No] fever. Gave 5 mg  of it.  He left."),
        ([15], [], 9, "…{[5] mg}…"),
        ([15], [], 14, "…Gave {[5] mg}  of…"),
        ([15], [], 4, "…{[5] mg}…"),
        ([15], [], 2, "…{[5]}…"),
        ([17], [], 2, "…{[mg]}…"),
        ([3], [], 2, "…[fe]…"),
        ([0, 99], [], 160, "[No] fever. Gave 5 mg  of it.  He left."),
        ([9], [], 160, None),  # between tokens
        ([99], [], 160, None),
        ([-1], [], 160, None),
    ],
)
def test_passages(offsets, sentences, width, expected):
    doc = document(THREE, ("5 mg", "Dosage"), sentences=sentences)
    passage = find_passage(doc, offsets, "Dosage", width=width)
    assert (passage and marked(passage)) == expected


def test_entity_that_leaves_the_sentence_is_marked_as_far_as_it_is_in_it():
    doc = document(THREE, ("fever. Gave 5", "Dosage"), sentences=SENTENCES)
    assert marked(find_passage(doc, [15], "Dosage")) == "{Gave [5]} mg  of it."
    assert marked(find_passage(doc, [3], "Dosage")) == "No {[fever.]}"


def test_long_sentence_is_clipped_around_its_entity():
    words = " ".join(f"word{i}" for i in range(200))
    passage = find_passage(
        document(words, ("word100 word101", "Dosage")), [words.index("word100")], ""
    )
    assert passage.cut_before
    assert passage.cut_after
    assert 140 <= len(passage.text) <= 160
    assert set(passage.text.split()) <= set(words.split())
    assert passage.text[slice(*passage.entity[:2])] == "word100 word101"


def test_corpus_document_of_spacy():
    doc = Doc(Vocab(), words=["He", "took", "5", "mg", ".", "Good", "."], spaces=[True] * 7)
    assert corpus_document(doc).sentences == []
    doc[5].is_sent_start = True
    doc.ents = [Span(doc, 2, 4, label="Dosage")]
    doc.spans["all"] = [Span(doc, 3, 4, label="Unit"), Span(doc, 2, 4, label="Dosage")]
    found = corpus_document(doc)
    assert found.text == doc.text
    assert found.tokens[2:4] == [(8, 9), (10, 12)]
    assert found.entities == [(8, 12, "Dosage")]
    assert found.sentences == [(0, 14), (15, 21)]
    assert corpus_document(doc, "all").entities == [(8, 12, "Dosage"), (10, 12, "Unit")]
    assert corpus_document(doc, "none").entities == []


@pytest.mark.parametrize(
    ("label", "passage", "contradicted"),
    [
        ("Dosage", None, False),
        ("Dosage", Passage("5 mg", (), (0, 4, "Dosage"), False, False), False),
        ("Dosage", Passage("5 mg", (), (0, 4, "Date"), False, False), True),
        ("Dosage", Passage("5 mg", (), None, False, False), True),
        ("O", Passage("5 mg", (), None, False, False), False),
        ("O", Passage("5 mg", (), (0, 4, "Date"), False, False), False),
    ],
)
def test_contradicted(label, passage, contradicted):
    example = TrainingExample(label, "case-1", (0,), 0.5, 1.0, 1, passage)
    assert example.contradicted is contradicted
    assert ("no Dosage there" in describe_example(example)) is contradicted


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
    assert all(f"{name} at {offset}" in rendered for name, offset in votes)


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (0.004, "<1 %"), (0.006, "1 %"), (0.5, "50 %"), (14 / 17, "82 %"), (1, "100 %")],
)
def test_percent(share, text):
    assert percent(share).replace("\xa0", " ") == text


@pytest.mark.parametrize(
    ("weight", "support"),
    [
        (1.0, "Labeled Dosage because of this training example (10 % of the vote)"),
        (
            0.5,
            "Labeled Dosage because of this training example (10 % of the vote, which counts for "
            "50 %, the model for the rest)",
        ),
        (
            0.0,
            "Labeled Dosage by the model alone; next to it are this training example "
            "(10 % of the vote)",
        ),
    ],
)
def test_claims_no_more_than_the_vote_has_done(weight, support):
    found = entity([vote("B-Dosage", "case-1", 0, share=0.1)])._replace(neighbor_weight=weight)
    text = "She took 5 mg of aspirin."
    for shown in (render_text(text, [found], width=500), render_page(text, [found])):
        assert support in shown.replace("\xa0", " ")
    assert evidence_to_json(text, [found])["entities"][0]["neighbor_weight"] == weight


@pytest.mark.parametrize(
    ("count", "n_examples", "support", "rest"),
    [
        (0, 5, "No neighbor is Dosage.", ""),
        (1, 5, "Labeled Dosage because of this training example (10 % of the vote)", ""),
        (3, 5, "Labeled Dosage because of these 3 training examples (30 % of the vote)", ""),
        (
            7,
            5,
            "Labeled Dosage because of these 5 training examples (50 % of the vote)",
            "and 2 more for Dosage (20 % of the vote)",
        ),
    ],
)
def test_sentences_about_examples(count, n_examples, support, rest):
    votes = [vote("B-Dosage", f"case-{i}", 0, share=0.1) for i in range(count)]
    summary = summarize(entity([*votes, vote("O", "case-9", 0)]), n_examples=n_examples)
    assert describe_support("Dosage", summary).replace("\xa0", " ") == support
    assert describe_rest("Dosage", summary).replace("\xa0", " ") == rest


RENDERED = """\
A heading
Distance: 0 means identical; comparable within one model only. Share: part of the vote
for the entity.
[[ ]] mark the entity in a training sentence, or the neighbors if there is none.
1 of 4 neighbors are from documents that are not in this corpus; they are shown by
document and offset only.

5 mg | Dosage | score 0.75 (calibrated), offset 9
  4 votes: Dosage 75 % (3), O 25 % (1)
  Labeled Dosage because of these 3 training examples (75 % of the vote)
  - Dosage, share 25 %, distance 0.5, 1 vote, case-2 at 23
    Methotrexate [[15 mg]] weekly was begun.
  - Dosage, share 25 %, distance 1, 1 vote, case-1 at 13
    He was given [[300 mg]] of aspirin daily.
  - Dosage, share 25 %, distance 2, 1 vote, gone at 4
  Strongest for another label
  - O, share 25 %, distance 3, 1 vote, case-1 at 7
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
    assert "case-2 at 23" in rendered
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
