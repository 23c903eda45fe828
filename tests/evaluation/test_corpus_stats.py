import json
import re

import pytest
import spacy
from spacy.tokens import Span

from spacy_btl.conversion.convert import read_brat
from spacy_btl.conversion.placement import Policies
from spacy_btl.data.docbin import write_parts
from spacy_btl.data.label_sets import set_label_set
from spacy_btl.evaluation.corpus_stats import (
    corpus_stats,
    count_adjacent,
    count_overlaps,
    layer_by_label,
    stats_to_markdown,
    without_borders,
)
from tests.helpers.commands import run


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([], {}),
        ([[(0, 2)], [(2, 4)]], {}),
        ([[(0, 4)], [(1, 2)]], {"nested": 1}),
        ([[(0, 4)], [(0, 2)]], {"nested": 1}),
        ([[(0, 4)], [(2, 4)]], {"nested": 1}),
        ([[(0, 4)], [(0, 4)]], {"same span": 1}),
        ([[(0, 4)], [(0, 4)], [(0, 4)]], {"same span": 3}),
        ([[(0, 3)], [(2, 5)]], {"crossing": 1}),
        ([[(2, 5)], [(0, 3)]], {"crossing": 1}),
        ([[(0, 9)], [(1, 4)], [(3, 6)]], {"nested": 2, "crossing": 1}),
        ([[(0, 2), (7, 9)], [(3, 5)]], {"nested": 1}),
    ],
)
def test_overlaps(places, expected):
    assert count_overlaps([("X", tuple(fragments)) for fragments in places]) == expected


@pytest.mark.parametrize(
    ("spans", "pairs", "merged"),
    [
        ([], 0, []),
        ([(0, 1, "X")], 0, [(0, 1, "X")]),
        ([(0, 1, "X"), (1, 2, "X")], 1, [(0, 2, "X")]),
        ([(1, 2, "X"), (0, 1, "X"), (2, 4, "X")], 2, [(0, 4, "X")]),
        ([(0, 1, "X"), (1, 2, "Y")], 0, [(0, 1, "X"), (1, 2, "Y")]),
        ([(0, 1, "X"), (2, 3, "X")], 0, [(0, 1, "X"), (2, 3, "X")]),
    ],
)
def test_adjacent_spans_of_one_label_are_one_without_b_tags(spans, pairs, merged):
    assert count_adjacent(spans) == pairs
    assert without_borders(spans) == merged


@pytest.mark.parametrize(
    ("spans", "kept"),
    [
        ([(0, 3, "X"), (1, 2, "Y")], [(0, 3, "X"), (1, 2, "Y")]),
        ([(0, 3, "X"), (1, 2, "X")], [(0, 3, "X")]),
        ([(1, 2, "X"), (0, 3, "X"), (1, 2, "Y")], [(0, 3, "X"), (1, 2, "Y")]),
    ],
)
def test_a_layer_for_each_label(spans, kept):
    assert layer_by_label(spans) == kept


#       0         1         2
#       0123456789012345678901234567
TEXT = "left arm pain fever 5mg/dL."
FILES = {
    "one.txt": TEXT,
    # arm in left arm pain; pain and fever adjacent; a number that cuts a token; one of two pieces
    "one.ann": "T1\tSign 0 13\tleft arm pain\nT2\tPart 5 8\tarm\nT3\tSign 14 19\tfever\n"
    "T4\tValue 20 26\t5mg/dL\n",
    "two.txt": "left or right arm",
    "two.ann": "T1\tPart 0 4;14 17\tleft arm\nT2\tSign 8 13\tright\n",
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "brat").mkdir()
    for name, content in FILES.items():
        (tmp_path / "brat" / name).write_text(content, encoding="utf-8")
    return tmp_path / "brat"


def stats_of(folder, *policies):
    docs, _ = read_brat(folder, policies=Policies(*policies))
    return corpus_stats(docs, spacy.blank("en"))


def test_documents_of_the_same_text_are_listed(folder):
    for suffix in ("txt", "ann"):
        (first, *_) = sorted(folder.glob(f"*.{suffix}"))
        (folder / f"copy.{suffix}").write_bytes(first.read_bytes())
    stats = stats_of(folder)
    (same,) = stats["duplicates"]
    assert (len(same["documents"]), "copy" in same["documents"]) == (2, True)
    assert (same["likeness"], same["annotation"]) == ("identical", "same")
    page = stats_to_markdown(stats)
    assert ", ".join(same["documents"]) in page
    assert "documents of the same text" in page


def test_figures(folder):
    stats = stats_of(folder, "longest")
    ceiling = stats.pop("ceiling")
    assert stats == {
        "heading": "",
        "documents": 2,
        "tokens": 12,
        "entities": 6,
        "types": 3,
        "discontinuous": 1,
        "imbalance": {
            "most / least frequent type": 3.0,
            "types with fewer than 10 entities": 3,
            "tokens in an entity": 0.917,
        },
        "overlaps": {"nested": 2, "same span": 0, "crossing": 0},
        "adjacent pairs of one type": 1,
        "misaligned": {"stock tokenizer": 1, "this tokenizer": 0},
        "same text": {
            "texts": 0,
            "documents": 0,
            "not word for word": 0,
            "annotated differently": 0,
        },
        "duplicates": [],
        "by_type": {
            "Sign": {"entities": 3, "documents": 2},
            "Part": {"entities": 2, "documents": 2},
            "Value": {"entities": 1, "documents": 1},
        },
    }
    # Of 6: the value stays; the signs of the first document are one in IO, their part is lost, and
    # so is the sign within the envelope, which itself is not an entity.
    assert ceiling == {
        "flat IO": round(2 * 1 / (6 + 3), 4),
        "flat BIO": round(2 * 3 / (6 + 4), 4),
        "BIO per type": round(2 * 5 / (6 + 6), 4),
    }


def test_policies_move_the_ceiling(folder):
    assert stats_of(folder, "shortest")["ceiling"]["flat BIO"] == round(2 * 4 / (6 + 4), 4)


def test_docs_that_never_were_in_brat():
    doc = spacy.blank("en")("left arm pain")
    doc.set_ents([Span(doc, 0, 1, label="X"), Span(doc, 1, 2, label="X")])
    stats = corpus_stats([doc], spacy.blank("en"))
    assert stats["ceiling"] == {"flat IO": 0.0, "flat BIO": 1.0, "BIO per type": 1.0}
    assert stats["by_type"] == {"X": {"entities": 2, "documents": 1}}


def test_no_entities_and_no_documents():
    for docs in ([spacy.blank("en")("left")], []):
        stats = corpus_stats(docs, spacy.blank("en"))
        assert (stats["documents"], stats["entities"]) == (len(docs), 0)
        assert set(stats["ceiling"].values()) == {None}
        assert stats["imbalance"]["most / least frequent type"] is None
        assert stats_to_markdown(stats)


# -- the command -----------------------------------------------------------------------------------


def test_folder_and_docbin_give_the_same_figures(folder):
    docs, _ = read_brat(folder)
    write_parts(docs, folder.parent, None, 0)
    figures = [
        json.loads(output[output.index("{") :])
        for output in (
            run("stats", path, "--json") for path in (folder, folder.parent / "all.spacy")
        )
    ]
    assert figures[0] == figures[1] == stats_of(folder)


def test_table(folder):
    (folder / "corpus.json").write_text('{"heading": "bundled sample"}')
    output = run("stats", folder, "--overlap", "longest")
    for line in (
        "**bundled sample**",
        "| documents | 2 |",
        "| overlaps: nested | 2 |",
        "| ceiling: flat BIO | 0.6 |",
        "| Sign | 3 | 2 |",
    ):
        assert line in re.sub(" +", " ", output).splitlines()


@pytest.mark.parametrize(
    ("name", "message"),
    [("absent", "absent does not exist"), ("x.spacy", "is not a DocBin"), ("empty", "no .txt")],
)
def test_a_path_to_nothing(tmp_path, name, message):
    (tmp_path / "x.spacy").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    assert message in " ".join(run("stats", tmp_path / name, expect=1).split())


def test_label_sets_are_counted_by_type_where_there_are_any():
    nlp = spacy.blank("en")
    docs = []
    for types in (["Drug", "Dose"], ["Sign"], None):
        doc = nlp("He took aspirin for pain")
        doc.ents = [Span(doc, 2, 3, "Drug")] if types is None or "Drug" in types else []
        docs.append(doc)
    plain = corpus_stats(docs, nlp)
    assert "label sets" not in plain
    assert plain["by_type"] == {"Drug": {"entities": 2, "documents": 2}}
    assert "annotated in" not in stats_to_markdown(plain)
    for doc, types in zip(docs, (["Drug", "Dose"], ["Sign"], None), strict=True):
        set_label_set(doc, types)
    stats = corpus_stats(docs, nlp)
    assert stats["label sets"] == {"documents with one": 2, "different ones": 2}
    assert stats["by_type"] == {
        "Drug": {"entities": 2, "documents": 2, "annotated in": 2},
        "Dose": {"entities": 0, "documents": 0, "annotated in": 2},
        "Sign": {"entities": 0, "documents": 0, "annotated in": 2},
    }
    assert (stats["types"], stats["ceiling"]["flat BIO"]) == (1, 1.0)
    table = stats_to_markdown(stats)
    assert "label sets: documents with one" in table
    assert re.search(r"\| Drug +\| +2 \| +2 \| +2 \|", table)


def test_an_entity_outside_of_the_label_set_is_an_error_of_the_corpus():
    nlp = spacy.blank("en")
    doc = nlp("He took aspirin")
    doc.ents = [Span(doc, 2, 3, "Drug")]
    doc.user_data["name"] = "case-7"
    set_label_set(doc, ["Sign"])
    with pytest.raises(ValueError, match=r"case-7.*Drug.*label set: Sign"):
        corpus_stats([doc], nlp)
