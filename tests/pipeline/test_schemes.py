"""Entities into documents that may hold some already, or tokens that are blocked for them."""

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc, Span

from spacy_btl.pipeline.schemes import add_entities, taken_tokens, trimmed_span

VOCAB = spacy.blank("en").vocab


def doc_with(iob: str, spaces: str = "") -> Doc:
    """Return a document of one character a token.

    ``.`` is O, ``?`` not set, ``x`` blocked, ``B`` and ``i`` an entity.
    """
    doc = Doc(
        VOCAB,
        words=["\n" if i < len(spaces) and spaces[i] == "_" else "w" for i in range(len(iob))],
    )
    starts = [i for i, c in enumerate(iob) if c == "B"]
    ends = [next((j for j in range(i + 1, len(iob)) if iob[j] != "i"), len(iob)) for i in starts]
    doc.set_ents(
        [
            Span(doc, start, end, label="OLD", kb_id="Q1", span_id="E1")
            for start, end in zip(starts, ends, strict=True)
        ],
        blocked=[doc[i : i + 1] for i, c in enumerate(iob) if c == "x"],
        missing=[doc[i : i + 1] for i, c in enumerate(iob) if c == "?"],
    )
    return doc


def written(doc: Doc) -> str:
    """Return the entities in the signs of `doc_with`, with ``N`` and ``n`` for new ones."""
    signs = {(0, ""): "?", (2, ""): ".", (3, ""): "x"}
    signs |= {(3, "OLD"): "B", (1, "OLD"): "i", (3, "NEW"): "N", (1, "NEW"): "n"}
    return "".join(signs[token.ent_iob, token.ent_type_] for token in doc)


states = st.lists(st.sampled_from([".", "?", "x", "B", "Bi", "Bii"]), max_size=8).map("".join)


@pytest.mark.parametrize(
    ("iob", "taken"),
    [
        ("", ""),
        ("....", "...."),
        ("????", "...."),
        ("Bi.B", "##.#"),
        ("BBi?", "###."),
        ("x..x", "#..#"),
        ("xBi.", "###."),
    ],
)
def test_taken_tokens(iob, taken):
    array = taken_tokens(doc_with(iob))
    assert array.dtype == bool
    assert array.tolist() == [c == "#" for c in taken]


def test_nothing_is_taken_in_a_new_document():
    assert taken_tokens(Doc(VOCAB, words=["a", "b"])).tolist() == [False, False]


@given(states)
def test_taken_is_what_the_tokens_say(iob):
    doc = doc_with(iob)
    assert taken_tokens(doc).tolist() == [token.ent_iob in (1, 3) for token in doc]


@pytest.mark.parametrize(
    ("spaces", "bounds", "trimmed"),
    [
        ("....", (0, 4), (0, 4)),
        ("_..._", (0, 4), (1, 4)),
        ("_...", (0, 2), (1, 2)),
        ("..__", (1, 4), (1, 2)),
        ("._._", (0, 4), (0, 3)),  # white space inside of the span stays
        ("____", (0, 4), None),
        (".__.", (1, 3), None),
        ("....", (2, 2), None),
    ],
)
def test_trimmed_span(spaces, bounds, trimmed):
    span = trimmed_span(doc_with("." * len(spaces), spaces), *bounds, "NEW")
    if trimmed is None:
        assert span is None
    else:
        assert (span.start, span.end, span.label_) == (*trimmed, "NEW")


@pytest.mark.parametrize(
    ("iob", "spans", "after"),
    [
        ("", [], ""),
        ("????", [], "...."),
        ("????", [(1, 3)], ".Nn."),
        ("....", [(0, 1), (1, 4)], "NNnn"),
        ("Bi..", [], "Bi.."),
        ("Bi??", [(2, 4)], "BiNn"),
        ("x?Bi", [(1, 2)], "xNBi"),
        ("x.x?", [(1, 2)], "xNx."),
        ("xxxx", [], "xxxx"),
    ],
)
def test_add_entities(iob, spans, after):
    doc = doc_with(iob)
    add_entities(doc, [Span(doc, start, end, label="NEW") for start, end in spans])
    assert written(doc) == after
    assert all((t.ent_kb_id_, t.ent_id_) == ("Q1", "E1") for t in doc if t.ent_type_ == "OLD")


@pytest.mark.parametrize("iob", ["Bi..", ".Bi.", "..x.", "...B"])
def test_add_entities_refuses_a_token_that_is_taken(iob):
    doc = doc_with(iob)
    with pytest.raises(ValueError, match="E1010"):
        add_entities(doc, [Span(doc, 0, 4, label="NEW")])
    assert written(doc) == iob


@given(states, st.data())
def test_entities_on_free_tokens_change_nothing_else(iob, data):
    doc = doc_with(iob)
    free = [i for i, c in enumerate(iob) if c in ".?"]
    chosen = data.draw(st.lists(st.sampled_from(free), unique=True)) if free else []
    add_entities(doc, [Span(doc, i, i + 1, label="NEW") for i in chosen])
    new = "".join("N" if i in chosen else c for i, c in enumerate(iob))
    assert written(doc) == new.replace("?", ".")
