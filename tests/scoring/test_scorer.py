"""The spaCy scorer: what counts as gold, on which tokens, whatever the tokenization."""

import random
from collections import Counter

import pytest
import spacy
from spacy.scorer import get_ner_prf
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_btl.data.gold import GOLD_KEY
from spacy_btl.scoring import scorer
from spacy_btl.scoring.scorer import example_entities, score_ner
from spacy_btl.scoring.scores import FIGURES

NLP = spacy.blank("en")
TEXT = "She took 5 mg of warfarin daily"
SHE, DOSE, DRUG, DAILY = (0, 3), (9, 13), (17, 25), (26, 31)


def doc_of(*entities, words=None, text=TEXT):
    """Return a document with flat entities, given as (label, start, end) in characters."""
    doc = NLP.make_doc(text) if words is None else Doc(NLP.vocab, words=words)
    doc.set_ents([doc.char_span(start, end, label) for label, start, end in entities])
    return doc


def with_spans(key, *entities):
    doc = NLP.make_doc(TEXT)
    doc.spans[key] = [doc.char_span(start, end, label) for label, start, end in entities]
    return doc


def annotated(doc, *entities):
    """Return the document with its annotation as it was: (label, fragments)."""
    doc.user_data[GOLD_KEY] = {
        "name": "a",
        "heading": "",
        "entities": [
            {"id": f"T{i}", "label": label, "fragments": fragments}
            for i, (label, *fragments) in enumerate(entities)
        ],
        "records": [],
    }
    return doc


def score(predicted, reference, **options):
    return score_ner([Example(predicted, reference)], **options)


def test_all_right():
    doc = doc_of(("Dose", *DOSE), ("Drug", *DRUG))
    scores = score(doc, doc)
    assert {scores[key] for key in FIGURES} == {1.0}
    assert scores["ents_per_type"]["Drug"] == {"p": 1, "r": 1, "f": 1, "support": 1, "predicted": 1}


@pytest.mark.parametrize(
    ("gold", "tokens"),
    [
        # Entities that the flat choice has lost are missed, in tokens too.
        ([("Drug", DRUG), ("Past", DRUG)], {"": [6, 6, 6], "Drug": [1, 1, 1], "Past": [1, 0, 0]}),
        ([("Drug", DRUG), ("Plan", (17, 31))], {"": [5, 6, 5], "Drug": [1] * 3, "Plan": [2, 0, 0]}),
        # The fragments as annotated, not the span that the conversion made of them.
        ([("Drug", DOSE, DRUG)], {"": [4, 6, 4], "Drug": [3, 1, 1]}),
        # A cut through a token is the whole token here; its bounds are wrong all the same.
        ([("Drug", (17, 24))], {"": [6, 6, 6], "Drug": [1, 1, 1]}),
        ([("Drug", (90, 95))], {"": [7, 6, 6], "Drug": [0, 1, 0]}),
    ],
)
def test_gold_is_the_annotation_as_it_was(gold, tokens):
    predicted = doc_of(("Drug", *DRUG))
    example = Example(predicted, annotated(doc_of(("Drug", *DRUG)), *gold))
    assert example_entities(example).counts()["tokens"] == tokens


def test_a_repeated_conversion_is_not_perfect_at_any_level():
    """The prediction is what the conversion kept: all its entities, and no more."""
    reference = annotated(doc_of(("Drug", *DRUG)), ("Drug", DRUG), ("Dose", DOSE))
    scores = score(doc_of(("Drug", *DRUG)), reference)
    assert scores["ents_p"] == scores["ents_exact_p"] == scores["ents_type_p"] == 1
    recalls = ("ents_r", "ents_exact_r", "ents_partial_r", "ents_type_r", "token_macro_r")
    assert {scores[key] for key in recalls} == {1 / 2}
    assert scores["token_micro_f"] == pytest.approx(2 * 1 / (3 + 1))


@pytest.mark.parametrize(
    "words",
    [
        ["She", "took", "5", "mg", "of", "warfarin", "daily"],
        ["She took", "5 mg", "of", "warfarin", "daily"],
        ["She took 5", "mg of", "warfarin daily"],
    ],
)
def test_other_tokens_in_the_reference(words):
    reference = Doc(NLP.vocab, words=words)
    assert reference.text.strip() == TEXT
    drug = next(token.i for token in reference if "warfarin" in token.text)
    reference.set_ents([Span(reference, drug, drug + 1, "Drug")])
    predicted = doc_of(("Drug", *DRUG))
    exact = reference[drug].text == "warfarin"
    scores = score(predicted, reference)
    assert scores["ents_f"] == float(exact)
    assert scores["ents_type_f"] == 1
    # Token scores are on the tokens of the prediction: the long gold token is two of them.
    assert scores["token_macro_r"] == (1 if exact else 1 / 2)


def test_spans_that_overlap_on_both_sides():
    reference = with_spans("sc", ("Drug", *DRUG), ("History", *DRUG), ("Plan", 17, 31))
    predicted = with_spans("sc", ("Drug", *DRUG), ("Plan", 17, 31))
    counts = example_entities(Example(predicted, reference), "sc").counts()
    assert counts["spans"] == {"Drug": [1, 1, 1], "History": [1, 0, 0], "Plan": [1, 1, 1]}
    assert counts["tokens"] == {
        "": [5, 5, 5],
        "Drug": [1, 1, 1],
        "History": [1, 0, 0],
        "Plan": [2, 2, 2],
    }
    assert score(predicted, reference, spans_key="sc")["token_macro_r"] == pytest.approx(2 / 3)
    assert score(predicted, reference, spans_key="none")["ents_f"] is None
    assert score(predicted, reference)["ents_f"] is None


def test_white_space_is_no_token():
    doc = doc_of(text="She  took\n\nwarfarin ")
    assert example_entities(Example(doc, doc)).tokens == [(0, 3), (5, 9), (11, 19)]


def test_what_is_not_annotated_is_left_out():
    reference = NLP.make_doc(TEXT)
    drug, she = reference.char_span(*DRUG, "Drug"), reference.char_span(*SHE)
    reference.set_ents([drug], missing=[she], default="outside")
    predicted = doc_of(("Drug", *SHE), ("Drug", *DRUG))
    example = Example(predicted, reference)
    assert len(example_entities(example).tokens) == len(predicted) - 1
    assert example_entities(example).counts()["tokens"] == {"": [5, 5, 5], "Drug": [1, 1, 1]}
    # Spans and original annotations are complete.
    assert len(example_entities(example, "sc").tokens) == len(predicted)
    annotated(reference, ("Drug", DRUG))
    assert example_entities(example).counts()["tokens"] == {"": [6, 5, 5], "Drug": [1, 2, 1]}


@pytest.mark.parametrize(
    ("unknown", "predicted", "spans"),
    [
        ([], [SHE, DRUG], {"Drug": [1, 2, 1]}),
        # what touches a token that nobody has labeled is neither right nor wrong
        ([SHE], [SHE, DRUG], {"Drug": [1, 1, 1]}),
        ([DOSE], [(11, 25)], {"Drug": [1, 0, 0]}),
        # what does not is judged as ever
        ([SHE], [DAILY], {"Drug": [1, 1, 0]}),
        ([SHE, DOSE, DAILY], [SHE, DOSE, DRUG, DAILY], {"Drug": [1, 1, 1]}),
    ],
)
def test_entities_where_nothing_is_annotated_count_neither_way(unknown, predicted, spans):
    """The scores are those of spaCy's own scorer."""
    reference = NLP.make_doc(TEXT)
    reference.set_ents(
        [reference.char_span(*DRUG, "Drug")],
        missing=[reference.char_span(*at) for at in unknown],
        default="outside",
    )
    example = Example(doc_of(*(("Drug", *at) for at in predicted)), reference)
    assert example_entities(example).counts()["spans"] == spans
    ours, stock = score_ner([example]), get_ner_prf([example])
    assert [ours[key] or 0.0 for key in ("ents_p", "ents_r", "ents_f")] == [
        stock[key] for key in ("ents_p", "ents_r", "ents_f")
    ]


def test_entities_of_an_example_are_computed_once(monkeypatch):
    calls = []
    for name in ("unannotated", "predicted_entities", "gold_entities"):
        function = getattr(scorer, name)
        monkeypatch.setattr(
            scorer,
            name,
            lambda *args, name=name, function=function: calls.append(name) or function(*args),
        )
    score_ner([Example(doc_of(("Drug", *DRUG)), annotated(doc_of(), ("Drug", DRUG)))])
    assert sorted(calls) == ["gold_entities", "predicted_entities", "unannotated"]


def test_annotated_tokens_of_such_an_entity_still_count():
    reference = NLP.make_doc(TEXT)
    drug, dose = reference.char_span(*DRUG, "Drug"), reference.char_span(*DOSE)
    reference.set_ents([drug], missing=[dose], default="outside")
    predicted = doc_of(("Drug", 11, 25))  # "mg of warfarin"
    counts = example_entities(Example(predicted, reference)).counts()["tokens"]
    assert counts == {"": [4, 3, 3], "Drug": [1, 2, 1]}


def test_a_document_without_annotation_costs_nothing():
    reference, other = doc_of(("Drug", *DRUG)), NLP.make_doc(TEXT)
    predicted = doc_of(("Drug", *DRUG))
    scores = score_ner([Example(predicted, reference), Example(predicted, other)])
    assert scores["ents_p"] == scores["token_micro_f"] == 1


def test_documents_without_anything():
    blank = NLP.make_doc("")
    for examples in ([], [Example(blank, blank)], [Example(doc_of(), doc_of())]):
        scores = score_ner(examples)
        assert set(scores) == {*FIGURES, "ents_per_type"}
        assert set(scores.values()) == {None}


@pytest.mark.parametrize("seed", range(5))
def test_tokens_as_spacy_aligns_them_where_nothing_overlaps(seed):
    """Against labels a token made by `Example.get_aligned_ner`, from the entities of the docs."""
    rng = random.Random(seed)

    def some_entities(doc):
        cuts = sorted(rng.sample(range(len(doc) + 1), 6))
        doc.set_ents(
            [Span(doc, *at, rng.choice("ABC")) for at in zip(cuts[::2], cuts[1::2], strict=True)]
        )
        return doc

    examples = [Example(*(some_entities(NLP.make_doc(TEXT * 3)) for _ in range(2)))]
    (example,) = examples
    gold = [label[2:] for label in example.get_aligned_ner()]
    predicted = [token.ent_type_ for token in example.predicted]
    plain = (
        Counter(gold),
        Counter(predicted),
        Counter(g for g, p in zip(gold, predicted, strict=True) if g == p),
    )
    counts = example_entities(example).counts()["tokens"]
    assert counts == {label: [n[label] for n in plain] for label in {"", *plain[0], *plain[1]}}
