import pytest

from spacy_btl.formats import Tag, find_scheme, parse_tag, spans_of

PARSED = {
    "O": Tag("O"),
    "B-Age": Tag("B", "Age"),
    "I-Regulon-operon": Tag("I", "Regulon-operon"),
    "L-X": Tag("E", "X"),
    "U-X": Tag("S", "X"),
    "M-X": Tag("I", "X"),
    "W-X": Tag("S", "X"),
    "B": Tag("B", "ENTITY"),
    "B-": None,
    "": None,
    "o": None,
    "X-Age": None,
    "Age": None,
    "B-A B": Tag("B", "A B"),
}


@pytest.mark.parametrize("text", PARSED)
def test_a_tag(text):
    assert parse_tag(text) == PARSED[text]


def tags(text):
    """Return tags of words such as "B-X", in a text."""
    return [parse_tag(word) for word in text.split()]


SCHEMES = {
    # sentences: the scheme
    ("O O",): "IOB2",
    ("B-X I-X O",): "IOB2",
    ("B-X B-X",): "IOB2",
    ("I-X O",): "IOB1",
    ("I-X B-X I-X O I-Y",): "IOB1",
    ("I-X I-Y",): "IOB1",
    ("I-X", "B-X"): "IOB2",  # a tag that does not follow, in a corpus of B-
    ("B-X E-X",): "IOBES",
    ("I-X", "S-Y"): "IOBES",
}


@pytest.mark.parametrize("sentences", SCHEMES)
def test_the_scheme_of_a_corpus(sentences):
    assert find_scheme(map(tags, sentences)) == SCHEMES[sentences]


SPANS = {
    # scheme, tags: entities, and the tokens whose tags do not follow
    ("IOB2", "B-X I-X O B-Y"): ([(0, 2, "X"), (3, 4, "Y")], []),
    ("IOB2", "B-X B-X"): ([(0, 1, "X"), (1, 2, "X")], []),
    ("IOB2", "O I-X I-X"): ([(1, 3, "X")], [1]),
    ("IOB2", "I-X"): ([(0, 1, "X")], [0]),
    ("IOB2", "B-X I-Y I-Y"): ([(0, 1, "X"), (1, 3, "Y")], [1]),
    ("IOB1", "O I-X I-X B-X I-Y"): ([(1, 3, "X"), (3, 4, "X"), (4, 5, "Y")], []),
    ("IOBES", "B-X I-X E-X S-X O"): ([(0, 3, "X"), (3, 4, "X")], []),
    ("IOBES", "B-X E-X B-X E-X"): ([(0, 2, "X"), (2, 4, "X")], []),
    ("IOBES", "B-X O"): ([(0, 1, "X")], [0]),
    ("IOBES", "B-X I-X"): ([(0, 2, "X")], [1]),
    ("IOBES", "B-X S-X"): ([(0, 1, "X"), (1, 2, "X")], [0]),
    ("IOBES", "O E-X"): ([(1, 2, "X")], [1]),
    ("IOBES", "O I-X E-X"): ([(1, 3, "X")], [1]),
    ("IOBES", "B-X E-Y"): ([(0, 1, "X"), (1, 2, "Y")], [0, 1]),
    ("IOB2", ""): ([], []),
}


@pytest.mark.parametrize(("scheme", "text"), SPANS)
def test_the_entities_of_a_sentence(scheme, text):
    spans, misfits = spans_of(tags(text), scheme)
    assert (spans, [misfit.token for misfit in misfits]) == SPANS[scheme, text]
