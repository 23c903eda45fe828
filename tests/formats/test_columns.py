import pytest

from spacy_btl.formats import Columns, Tag, find_scheme, parse_tag, spans_of
from tests.helpers.sources import entities, problems, read_tree


def read(tmp_path, content, **options):
    return read_tree(tmp_path, {"c.tsv": content}, format="conll", **options)


def test_the_text_and_its_entities(tmp_path):
    source = read(tmp_path, "Left\tB-Site\nleg\tI-Site\n.\tO\n\nMan\tB-Sex\n")
    assert [(d.name, d.text) for d in source.documents] == [("00001", "Left leg .\nMan")]
    assert entities(source) == [
        ("00001", 1, "Site", ((0, 8),), "Left leg"),
        ("00001", 5, "Sex", ((11, 14),), "Man"),
    ]
    assert source.settings == {"format": "CoNLL, a token a line", "tags": "IOB2", "files": 1}


SENTENCE = "a\tB-X\nb\tO\n\n"
DOCUMENTS = {
    # content, sentences of a document: the number of sentences of each
    "as many as asked for": (SENTENCE * 5, 2, [2, 2, 1]),
    "the default": (SENTENCE * 12, 10, [10, 2]),
    "all of the file": (SENTENCE * 12, 0, [12]),
    "DOCSTART": (f"-DOCSTART-\tO\n\n{SENTENCE * 3}-DOCSTART-\n\n{SENTENCE}", 2, [3, 1]),
    "what is before it": (f"{SENTENCE}-DOCSTART- -X- O O\n{SENTENCE}", 2, [1, 1]),
    "many blank lines": ("\n\n" + SENTENCE + "\n \t\n" + SENTENCE + "\n", 1, [1, 1]),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents(tmp_path, name):
    content, sentences, sizes = DOCUMENTS[name]
    source = read(tmp_path, content, sentences=sentences)
    assert [d.text.count("\n") + 1 for d in source.documents] == sizes
    assert len(entities(source)) == sum(sizes)
    assert len({d.name for d in source.documents}) == len(sizes)


LINES = {
    # lines: entities as (line, label, words), and problems as (line, level, reason)
    "spaces": ("a B-X\nb  I-X\n", [(1, "X", "a b")], []),
    "other columns between": ("a\tNN\t_\tB-X\nb\tNN\t_\tO\n", [(1, "X", "a")], []),
    "CRLF": ("a\tB-X\r\nb\tI-X\r\n", [(1, "X", "a b")], []),
    "no line end": ("a\tB-X", [(1, "X", "a")], []),
    "a token with odd spaces": ("a\u2009\u00a0c\tB-X\n", [(1, "X", "a\u2009\u00a0c")], []),
    "spaces, odd token": ("\u00a0 O\na B-X\n", [(2, "X", "a")], []),
    "a comment": ("# id = 3\na\tB-X\n", [(1 + 1, "X", "a")], []),
    "a token of #": ("#\tB-X\n1\tI-X\n", [(1, "X", "# 1")], []),
    "without types": ("a\tB\nb\tI\n", [(1, "ENTITY", "a b")], []),
    "I- after O": (
        "z\tB-X\nq\tO\na\tI-X\nb\tI-X\n",
        [(1, "X", "z"), (3, "X", "a b")],
        [(3, "warning", "tag")],
    ),
    "I- after another type": (
        "a\tB-X\nb\tI-Y\n",
        [(1, "X", "a"), (2, "Y", "b")],
        [(2, "warning", "tag")],
    ),
    "IOB1": ("z\tI-X\nq\tO\na\tI-X\nb\tB-X\n", [(1, "X", "z"), (3, "X", "a"), (4, "X", "b")], []),
    "no tag": (
        "a\tB-X\nb\nc\tB-X\n",
        [(1, "X", "a"), (3, "X", "c")],
        [(2, "error", "unreadable")],
    ),
    "an unknown tag": (
        "a\tB-X\nb\tQ-X\nc\tB-X\n",
        [(1, "X", "a"), (3, "X", "c")],
        [(2, "error", "unreadable")],
    ),
    "no token": ("a\tB-X\n\tB-X\n", [(1, "X", "a")], [(2, "error", "unreadable")]),
    "no token outside": ("a\tB-X\n\tO\n", [(1, "X", "a")], [(2, "error", "unreadable")]),
}


@pytest.mark.parametrize("name", LINES)
def test_lines(tmp_path, name):
    content, found, reported = LINES[name]
    source = read(tmp_path, content)
    assert [(line, label, words) for _, line, label, _, words in entities(source)] == found
    assert problems(source) == reported


COLUMNS = {
    "": Columns(0, (-1,)),
    "token,tag": Columns(0, (1,)),
    "_,token,_,tag": Columns(1, (3,)),
    "token,tag,tag": Columns(0, (1, 2)),
    "tag, token": Columns(1, (0,)),
    "token": None,
    "tag": None,
    "token,token,tag": None,
    "token,pos,tag": None,
}


@pytest.mark.parametrize("text", COLUMNS)
def test_names_of_columns(text):
    if COLUMNS[text] is None:
        with pytest.raises(ValueError, match='one "token" and at least one "tag"'):
            Columns.parse(text)
    else:
        assert Columns.parse(text) == COLUMNS[text]


def test_two_columns_of_tags_may_nest(tmp_path):
    content = "a\tB-X\tB-Y\nb\tI-X\tO\n"
    source = read(tmp_path, content, columns="token,tag,tag")
    found = [(label, words) for _, _, label, _, words in entities(source)]
    assert found == [("X", "a b"), ("Y", "a")]
    assert source.settings["tags"] == "IOB2, IOB2"


def test_a_scheme_is_that_of_all_files(tmp_path):
    """One I- after O in a small file is not IOB1 where other files have B-."""
    source = read_tree(tmp_path, {"a.tsv": "a\tB-X\nb\tO\n", "b.tsv": "a\tI-X\n"})
    assert source.settings["tags"] == "IOB2"
    assert problems(source) == [(1, "warning", "tag")]
    assert [d.name for d in source.documents] == ["a/00001", "b/00001"]


NUMBERED = "1\tFever\tB-X\n2\t.\tO\n\n1\tRash\tB-X\n"


def test_a_first_column_of_numbers_is_refused_until_it_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"numbers the tokens of each sentence.*--columns _,token"):
        read(tmp_path, NUMBERED)
    source = read(tmp_path, NUMBERED, columns="_,token,tag")
    assert [words for *_, words in entities(source)] == ["Fever", "Rash"]


@pytest.mark.parametrize("content", ["1\tB-X\n", "1\tB-X\nmg\tI-X\n", "2\tB-X\n3\tI-X\n"])
def test_numbers_that_are_tokens_are_read(tmp_path, content):
    assert len(entities(read(tmp_path, content))) == 1


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
