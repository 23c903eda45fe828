"""The page of an evaluation: what stands in it, and that foreign words stay words."""

import re
from collections import Counter

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.training import Example

from spacy_btl.evaluation.compare import compare_evaluations
from spacy_btl.evaluation.evaluate import MatchedDocument, evaluate, matched_documents
from spacy_btl.evaluation.report_confusion import confusion_matrix
from spacy_btl.evaluation.report_documents import NOTES, render_documents, text_rows
from spacy_btl.evaluation.report_html import WITH_TEXT, WITHOUT_TEXT, render_html
from spacy_btl.scoring.matching import KINDS, match_entities
from spacy_btl.util.text import printable
from tests.helpers.html_pages import Page

STYLE_VALUE = r"--share:\d+%|left:[\d.]+%(;width:[\d.]+%)?"

# Text, gold entities (label, bounds of the fragments), words that the system finds.
TEXTS = [
    ("He took 5 mg of aspirin daily", [("Dose", (8, 12)), ("Drug", (16, 23))]),
    ("She took warfarin\n\nAnd left", [("Food", (9, 17))]),
    ("Chest pain and\nfever", [("Sign", (0, 10)), ("Sign", (6, 10), (15, 20))]),
    ("No aspirin", []),
]
RULES = {"aspirin": "Drug", "warfarin": "Drug", "pain": "Sign", "mg": "Drug"}


def check(html):
    """A page that is well-formed, loads nothing, and in which no word has become markup."""
    page = Page(html)
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    references = page.values("href") + page.values("xlink:href")
    assert all(value.startswith("#") for value in references)
    assert {value[1:] for value in references} <= set(ids)
    allowed = "html head meta title style body main h1 h2 h3 p div span b i br mark nav a table "
    allowed += "thead tbody tr th td details summary strong"
    drawn = "svg g path defs use text clippath rect"
    assert set(page.tags) <= {*allowed.split(), *drawn.split()}
    assert page.tags.count("style") == 1
    outside = [value for tag, name, value in page.attributes if name == "style" and tag in "tdib"]
    assert all(re.fullmatch(STYLE_VALUE, value) for value in outside)
    assert not any(name.startswith("on") or name == "src" for _, name, _ in page.attributes)
    assert "default-src 'none'" in html
    assert not re.search(r"url\((?!#)|@import|<script|<link", html)
    html.encode("utf8")
    return page


def pipeline(rules):
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns(
        [{"label": label, "pattern": word} for word, label in rules.items()]
    )
    return nlp


def evaluated(rules, texts=TEXTS, heading=""):
    """Figures and matched documents of a system that finds words."""
    nlp = pipeline(rules)
    examples = []
    for i, (text, gold) in enumerate(texts):
        reference = nlp.make_doc(text)
        entities = [{"id": "T", "label": label, "fragments": at} for label, *at in gold]
        brat = {"name": f"case-{i}", "heading": heading, "entities": entities, "records": []}
        reference.user_data["brat"] = brat
        examples.append(Example(nlp.make_doc(text), reference))
    metrics = evaluate(nlp, examples)
    metrics["train_counts"] = {"Drug": 1200, "Sign": 3}
    return metrics, matched_documents(nlp, examples)


@pytest.fixture(scope="module")
def ours():
    return evaluated(RULES)


@pytest.fixture(scope="module")
def comparison(ours):
    theirs, _ = evaluated({"aspirin": "Drug"})
    names = ("a/model", "b/<model>")
    rows = ours[0]["by_document"], theirs["by_document"]
    return compare_evaluations(*rows, names, samples=200)


def render(evaluation, **options):
    metrics, _ = evaluation
    return render_html(metrics, metrics["by_document"], **options)


def rows_of(page, name):
    """Words of the cells that are not empty, by row, of the table of this name."""
    rows = {}
    for path, data in page.texts:
        row = next((id(attributes) for tag, attributes in path if tag == "tr"), None)
        if row and data.strip() and any(a.get("aria-label") == name for _, a in path):
            rows.setdefault(row, []).append(data)
    return list(rows.values())


def test_sections_and_figures(ours):
    page = check(render(ours, title="Evaluation of a model"))
    assert page.text("title") == page.text("h1") == "Evaluation of a model"
    titles = ["Overall", "Types", "Rare types", "Errors", "Confusion", "Scores", "Documents"]
    headings = [data for path, data in page.texts if any(tag == "h2" for tag, _ in path)]
    assert headings == titles
    assert page.text("nav") == "".join(titles)
    scores = ours[0]["scores"]
    overall = {row[0]: row[1:] for row in rows_of(page, "Overall figures")[1:]}
    low, high = ours[0]["intervals"]["ents_f"]
    assert overall["strict span F1, micro"] == [
        f"{scores['ents_f']:.3f}",
        f"{low:.3f} to {high:.3f}",
    ]
    assert "73 % (16 documents), 83 % (40) and 90 % (100)" in page.text()
    types = {row[0]: row[1:] for row in rows_of(page, "Scores by type")[1:]}
    assert types["Drug"][:3] == ["1,200", "1", "4"]
    assert types["Food"] == ["0", "1", "0", "0.000", "0.000", "0.000"]  # and no interval


def test_recall_by_frequency(ours):
    page = check(render(ours))
    assert rows_of(page, "Recall by frequency in training")[1:] == [
        ["0", "2", "2", "0.000"],
        ["3", "1", "2", "0.000"],
        ["1,200", "1", "1", "1.000"],
    ]
    metrics, _ = ours
    page = check(render_html(metrics | {"train_counts": {}}, metrics["by_document"]))
    assert "--train" in page.text()
    assert "in training" not in page.text("thead")


def test_recall_of_both(ours, comparison):
    page = check(render(ours, comparison=comparison))
    rows = rows_of(page, "Recall by frequency in training")
    assert rows[0][-1] == "mean recall of the second"
    assert [row[-2:] for row in rows[1:]] == [["0.000", "0.000"]] * 2 + [["1.000", "1.000"]]


def test_errors_by_type(ours):
    metrics, _ = ours
    rows = rows_of(check(render(ours)), "Errors by type")
    assert rows[0] == ["type", *KINDS]
    assert rows[1] == ["all", *map(str, metrics["errors"].values())]
    by_type = metrics["errors_by_type"]
    assert {row[0] for row in rows[2:]} == set(by_type)
    sums = Counter()
    for counts in by_type.values():
        sums.update(counts)
    assert {kind: sums[kind] for kind in KINDS} == metrics["errors"]
    assert by_type["Dose"] == dict(zip(KINDS, (0, 0, 0, 1, 0, 0), strict=True))
    assert by_type["Drug"] == dict(zip(KINDS, (1, 0, 0, 0, 0, 1), strict=True))


@pytest.mark.parametrize(
    ("confusion", "order", "names", "counts"),
    [
        ({}, [], [], [[0]]),
        ({"A": {"A": 2, "": 1}}, ["A"], ["A"], [[0, 0], [1, 2]]),
        (
            {"": {"C": 4}, "A": {"B": 2}},
            ["B", "A", "Z"],
            ["B", "A", "C"],
            [[0, 0, 0, 4], [0, 0, 0, 0], [0, 2, 0, 0], [0, 0, 0, 0]],
        ),
    ],
)
def test_confusion_matrix(confusion, order, names, counts):
    assert confusion_matrix(confusion, order) == (["spurious", *names], ["missed", *names], counts)


def test_confusion_of_forty_types_is_a_table_of_its_numbers():
    confusion = {f"T{i}": {f"T{i}": 50 - i, f"T{(i + 1) % 40}": 1, "": 2} for i in range(40)}
    metrics = evaluated(RULES)[0] | {"confusion": confusion}
    page = check(render_html(metrics, metrics["by_document"]))
    cells = rows_of(page, "Confusion of types")[1:]
    assert len(cells) == 41
    assert {row[0]: sum(map(int, row[1:])) for row in cells[1:]} == {
        f"T{i}": 53 - i for i in range(40)
    }
    assert "T0 → T1" in page.text("div", **{"aria-label": "Most frequent confusions"})


def test_every_entity_stands_once_on_its_side(ours):
    _, documents = ours
    page = check(render(ours, documents=documents))
    assert WITH_TEXT in page.text("p", **{"class": "warning"})
    sides = {"gold": Counter(), "predicted": Counter()}
    for document in documents:
        for match in document.matches:
            for side, entity in (("gold", match.gold), ("predicted", match.predicted)):
                if entity:
                    sides[side][entity[0] + NOTES[match.kind]] += 1
    found = {"gold": Counter(), "predicted": Counter()}
    cell, side = None, "predicted"
    html = render(ours, documents=documents)
    for cell in re.findall(r"<td><div class=\"text\">.*?</td>", html, re.DOTALL):
        side = "gold" if side == "predicted" else "predicted"
        found[side].update(re.findall(r'class="label">([^<…]+)<', cell))
    assert found == sides


def test_the_text_is_whole_on_both_sides(ours):
    _, documents = ours
    html = "\n".join(render_documents(documents))
    bare = re.sub(r'&nbsp;<span class="label">.*?</span>', "", html)
    for document in documents:
        lines = [line for line in document.text.split("\n") if line]
        words = re.sub(r"<.*?>", "", bare)
        assert all(words.count(line) >= 2 for line in lines)


@pytest.mark.parametrize(
    ("text", "entities", "rows"),
    [
        ("", [], [""]),
        ("one", [], ["one"]),
        ("one\ntwo\n", [], ["one", "two"]),
        ("one\n \n\ntwo", [], ["one", "two"]),
        ("one\ntwo\nsix", [("A", ((2, 5),))], ["one\ntwo", "six"]),
        ("one\ntwo\nsix", [("A", ((0, 1), (8, 9)))], ["one\ntwo\nsix"]),
        ("one\n \ntwo", [("A", ((4, 5),))], ["one", " ", "two"]),
        ("one", [("A", ((7, 9),))], ["one"]),
    ],
)
def test_text_rows(text, entities, rows):
    assert [text[start:end] for start, end in text_rows(text, entities)] == rows


def test_overlapping_and_outlying_entities_are_listed_below():
    gold = [("A", ((0, 9),)), ("B", ((4, 9),)), ("C", ((2, 3), (12, 13))), ("D", ((90, 95),))]
    document = MatchedDocument("x", "one two\nthree four", match_entities(gold, []))
    (cell,) = re.findall(r"<td>(.*?)</td><td>", render_documents([document])[2], re.DOTALL)
    text, below = cell.split('<p class="also">')
    labels = [re.findall(r'class="label">(.)', part) for part in (text, below)]
    assert labels == [["A"], ["C", "B", "D"]]


def words(text):
    return set(re.findall(r"\w+", text.lower()))


def test_no_text_unless_documents_are_given(ours, comparison):
    metrics, documents = ours
    empty = [document._replace(text="", matches=[]) for document in documents]
    frame = words(render(ours, documents=empty, comparison=comparison))
    secret = words(" ".join(text for text, _ in TEXTS)) - frame
    assert {"aspirin", "warfarin", "daily", "fever"} <= secret
    html = render(ours, comparison=comparison)
    assert not secret & words(html)
    assert WITHOUT_TEXT in check(html).text()
    assert WITH_TEXT not in html
    assert secret <= words(render(ours, documents=documents))
    assert not secret & words(repr(metrics))


def test_comparison(ours, comparison):
    page = check(render(ours, comparison=comparison))
    assert "First: a/modelSecond: b/<model>" in page.text("p")
    figures = {row[0]: row[1:] for row in rows_of(page, "Figures of both")[1:]}
    row = comparison["figures"]["ents_type_f"]
    cells = figures["type span F1: type and overlap"]
    assert cells[:3] == [f"{row['first']:.3f}", f"{row['second']:.3f}", f"{row['difference']:+.3f}"]
    assert {row[0] for row in rows_of(page, "Types of both")[1:]} == {
        "Dose",
        "Drug",
        "Food",
        "Sign",
    }
    assert "0 of 4 better, 1 worse" in page.text("h3")
    documents = rows_of(page, "Documents of both")[1:]
    assert [row[0] for row in documents] == ["case-1", "case-2", "case-3", "case-0"]
    assert documents[-1] == ["case-0", "0.500", "0.667", "-0.167"]


def test_documents_without_any_entity_count_as_right():
    nothing = {"spans": {}, "pairs": {"exact": 0, "partial": 0, "type": 0}, "tokens": {}}
    some = nothing | {"spans": {"A": [0, 1, 0]}}
    gold = nothing | {"spans": {"A": [1, 1, 1]}}
    rows = [[{"name": name, "counts": c} for name, c in zip("xy", counts, strict=True)]
            for counts in ([nothing, gold], [some, gold])]  # fmt: skip
    documents = compare_evaluations(*rows, ("a", "b"), samples=100)["documents"]
    assert documents[0] == {"name": "x", "first": 1.0, "second": 0.0, "difference": 1.0}


def test_without_gold():
    metrics, documents = evaluated({"nothing": "A"}, [("No", [])])
    page = check(render_html(metrics, metrics["by_document"], documents=documents))
    assert "No entity was given another type." in page.text()
    assert "no entity" in page.text("summary")


HOSTILE = [
    "<script>alert(1)</script>",
    "</style></section></a>",
    "\" onmouseover='x' a=\"",
    "a & b &amp; &#60;",
    "חום גבוה 39",
    "👩\u200d⚕️ e\u0301",
    "two\nlines\r\nand\ttab",
    "\x00\x1b[31m\u202eabc",
    "{label} %s ${x}",
    "$x^2$ \\frac _a_",
    "-->]]><!--",
    'id="x" href="#y" url(#z)',
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_words_stay_words(hostile):
    texts = [(f"{hostile} 5 mg {hostile}", [(hostile, (0, len(hostile))), ("B", (2, 6))])]
    metrics, documents = evaluated({"mg": hostile}, texts, heading=hostile)
    metrics["by_document"][0]["name"] = hostile
    metrics["train_counts"] = {hostile: 5}
    documents = [documents[0]._replace(name=hostile)]
    rows = metrics["by_document"]
    comparison = compare_evaluations(rows, rows, (hostile, hostile), samples=10)
    options = {"title": hostile, "documents": documents, "comparison": comparison}
    page = check(render_html(metrics, rows, **options))
    shown = printable(hostile)
    assert page.text("h1") == shown
    assert shown in page.text("table")
    assert shown in page.text("summary")
    assert shown in page.text("p")


anything = st.text(st.characters(), max_size=12)
bounds = st.tuples(st.integers(0, 9), st.integers(1, 5)).map(lambda at: (at[0], sum(at)))
entities = st.lists(st.tuples(anything, bounds.map(lambda at: (at,))), max_size=4)


@settings(max_examples=40, deadline=None)
@given(anything, entities, entities)
def test_any_text_and_any_bounds(text, gold, predicted):
    matches = match_entities(gold, predicted)
    html = "".join(render_documents([MatchedDocument("x", text, matches)]))
    page = Page(html)
    marks = sum(m.gold is not None for m in matches) + sum(m.predicted is not None for m in matches)
    assert page.tags.count("mark") == len(KINDS) + marks


def test_same_values_give_the_same_page(ours, comparison):
    _, documents = ours
    options = {"documents": documents, "comparison": comparison}
    assert render(ours, **options) == render(evaluated(RULES), **options)
