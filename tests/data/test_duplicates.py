"""Documents of the same text are found, whatever the form of the text."""

import random
import time
from itertools import pairwise

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Span

from spacy_btl.data.duplicates import (
    LEAST_WORDS,
    NEAR,
    count_duplicates,
    duplicates_of,
    find_duplicates,
    joining,
    near_identical,
    text_words,
    word_pairs,
)

NOTE = (
    "The patient was admitted with chest pain and fever. She had been taking aspirin daily for two "
    "years. The electrocardiogram was normal, and she went home after three days."
)
LONG = " ".join(f"word{i}" for i in range(40))

# A text, how it is like NOTE (or the first text), and "" for another text.
COPIES = {
    "the same": (NOTE, NOTE, "identical"),
    "line ends": (NOTE, NOTE.replace(". ", ".\r\n"), "identical"),
    "white space": (NOTE, f"\n\t{NOTE.replace(' ', '  ')}\u00a0", "identical"),
    "case": (NOTE, NOTE.upper(), "identical"),
    "punctuation": (NOTE, NOTE.replace(",", " -"), "identical"),
    "a byte order mark": (NOTE, "\ufeff" + NOTE, "identical"),
    "soft hyphens": (NOTE, NOTE.replace("admitted", "ad\u00admitted"), "identical"),
    "Unicode form": (
        "fi\u00e8vre \u00e9lev\u00e9e",
        "fie\u0300vre e\u0301leve\u0301e",
        "identical",
    ),
    "ligatures and width": ("fibrosis 5", "\ufb01brosis \uff15", "identical"),
    "a header": (NOTE, f"Report no. 12 - copy\n{NOTE}", "near-identical"),
    "a footer": (NOTE, f"{NOTE}\nSigned by the physician", "near-identical"),
    "one word": (NOTE, NOTE.replace("three", "four"), "near-identical"),
    "some words": (
        NOTE,
        NOTE.replace("three", "four").replace("aspirin", "heparin").replace("chest", "back"),
        "near-identical",
    ),
    "a sentence less": (LONG, LONG.partition(" word30")[0], "near-identical"),
    "half of it": (LONG, LONG.partition(" word20")[0], ""),
    "other words": (NOTE, NOTE[::-1], ""),
    "the same words in another order": (LONG, " ".join(reversed(LONG.split())), ""),
    "another number": ("He took 5 mg.", "He took 50 mg.", ""),
    "short, the same": ("No fever.", "no fever", "identical"),
    "short, not the same": ("No fever today and no cough.", "No fever today and no pain.", ""),
    "no words": ("", " \n- ", ""),
    "Chinese": (
        "患者因胸痛入院，心电图正常，三天后出院。",
        "患者因胸痛入院。心电图正常。三天后出院",
        "identical",
    ),
    "Chinese, a word": (
        "患者因胸痛入院，心电图正常，三天后出院。",
        "患者因腹痛入院，心电图正常，三天后出院。",
        "near-identical",
    ),
}


@pytest.mark.parametrize(("text", "copy", "likeness"), COPIES.values(), ids=COPIES)
def test_copies_of_a_text(text, copy, likeness):
    found = find_duplicates(["something else", text, "yet another text", copy])
    assert [(g.members, g.likeness) for g in found] == ([((1, 3), likeness)] if likeness else [])


def test_a_chain_of_copies_is_one_group():
    words = [f"w{i}" for i in range(60)]
    texts = [" ".join(words[i : i + 40]) for i in (0, 8, 16)] + ["none of them"]
    (group,) = find_duplicates(texts)
    assert group == ((0, 1, 2), "near-identical", 40)
    assert find_duplicates([texts[0], texts[2]]) == []


WORDS = st.lists(st.sampled_from("abcdef"), max_size=30)


@given(st.lists(WORDS, max_size=12))
def test_all_pairs_are_found_and_no_others(texts):
    """Held against a comparison of each text with each other one."""

    def alike(one, other):
        if one == other:
            return bool(one)
        if min(len(one), len(other)) < LEAST_WORDS:
            return False
        own, theirs = (set(pairwise(each)) for each in (one, other))
        return len(own & theirs) >= NEAR * len(own | theirs) - 1e-9

    group = list(range(len(texts)))
    for i in range(len(texts)):
        for j in range(i):
            if alike(texts[i], texts[j]) and group[i] != group[j]:
                group = [group[j] if each == group[i] else each for each in group]
    expected = {tuple(i for i, g in enumerate(group) if g == own) for own in group}
    found = [each.members for each in find_duplicates(map(" ".join, texts))]
    assert found == sorted(each for each in expected if len(each) > 1)


@pytest.mark.parametrize(("one", "other", "likeness"), COPIES.values(), ids=COPIES)
def test_pairs_of_words_find_long_copies(one: str, other: str, likeness: str) -> None:
    pairs = [word_pairs(text_words(text)) for text in (one, other)]
    long = all(len(text_words(text)) >= LEAST_WORDS for text in (one, other))
    assert near_identical(*pairs) == near_identical(*reversed(pairs)) == (long and bool(likeness))


@given(st.lists(st.text(max_size=40), max_size=6), st.randoms())
def test_the_order_of_the_texts_does_not_matter(texts, rng):
    order = list(range(len(texts)))
    rng.shuffle(order)
    found = {
        tuple(sorted(order[i] for i in g.members)) for g in find_duplicates(texts[i] for i in order)
    }
    assert found == {g.members for g in find_duplicates(texts)}


def test_ten_thousand_documents_take_seconds():
    """The same holds for texts from one template, many of them nearly similar enough."""
    rng = random.Random(0)
    template = [f"t{i}" for i in range(60)]
    texts = [" ".join([*template, *(f"{rng.random()}" for _ in range(20))]) for _ in range(10_000)]
    start = time.perf_counter()
    assert find_duplicates(texts) == []
    assert time.perf_counter() - start < 120  # 4 s on one core that does nothing else


def doc_of(name, text, *ents):
    doc = spacy.blank("en")(text)
    doc.user_data["name"] = name
    doc.set_ents([Span(doc, start, end, label) for start, end, label in ents])
    return doc


def test_documents_are_named_and_their_annotation_is_compared():
    docs = [
        doc_of("b", "She had fever.", (2, 3, "Sign")),
        doc_of("a", "She  had fever", (3, 4, "Sign")),
        doc_of("d", "He had cough.", (2, 3, "Sign")),
        doc_of("c", "He had cough."),
        doc_of("e", NOTE),
        doc_of("f", NOTE + " Done."),
    ]
    found = duplicates_of(docs)
    assert found == [
        {"documents": ["a", "b"], "likeness": "identical", "words": 3, "annotation": "same"},
        {"documents": ["c", "d"], "likeness": "identical", "words": 3, "annotation": "different"},
        {
            "documents": ["e", "f"],
            "likeness": "near-identical",
            "words": len(text_words(NOTE)),
            "annotation": "",
        },
    ]
    assert count_duplicates(found) == {
        "texts": 3, "documents": 6, "not word for word": 1, "annotated differently": 1,
    }  # fmt: skip
    assert joining(found, grouped=False) == [["a", "b"], ["c", "d"], ["e", "f"]]
    assert joining(found, grouped=True) == [["e", "f"]]
