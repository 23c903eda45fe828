import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_btl.explain.evidence import EntityEvidence, Neighbor, TokenEvidence
from spacy_btl.explain.page import render_page
from spacy_btl.explain.passages import CorpusDocument
from spacy_btl.util.text import printable
from tests.helpers.html_pages import Page

STYLE_VALUE = r"(--hue:\d{1,3}|--plain:var\(--grey\))(;width:\d+\.\d\d%)?"


def document(text, *entities):
    tokens = [match.span() for match in re.finditer(r"\S+", text)]
    return CorpusDocument(text, tokens, sorted(entities))


TEXT = "She took 5 mg of warfarin\nfor chest pain."
CORPUS = {
    "case-1": document("He was given 300 mg of aspirin daily.", (13, 19, "Dosage")),
    "case-2": document("Methotrexate 15 mg weekly.", (13, 18, "Dosage")),
}
VOTES = (
    Neighbor("B-Dosage", 0.5, "case-1", 13, 0.25),
    Neighbor("B-Dosage", 0.7, "case-2", 13, 0.25),
    Neighbor("B-Dosage", 0.9, "gone", 4, 0.25),
    Neighbor("O", 1.5, "case-1", 7, 0.25),
)


def entity(start, end, label="Dosage", votes=VOTES):
    return EntityEvidence(
        label, start, end, 0.75, True, (TokenEvidence(start, end, f"B-{label}", tuple(votes)),)
    )


def check(html):
    """Return a page that is well-formed, and in which no text has become markup."""
    page = Page(html)
    allowed = "html head meta title style body main h1 h2 h3 p div span a b i mark section ul ol li"
    allowed += " blockquote details summary table thead tbody tr th td strong"
    assert set(page.tags) <= set(allowed.split())
    names = "lang charset http-equiv content name class id href style aria-labelledby aria-label"
    names += " aria-hidden role tabindex dir colspan scope"
    assert {name for _, name, _ in page.attributes} <= set(names.split())
    assert all(re.fullmatch(STYLE_VALUE, value) for value in page.values("style"))
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    references = [value.removeprefix("#") for value in page.values("href")]
    assert set(references) | set(page.values("aria-labelledby")) <= set(ids)
    assert all(value.startswith("#") for value in page.values("href"))
    assert "default-src 'none'" in html
    assert not re.search(r"url\(|@import|<script|<link", html)
    html.encode("utf8")
    return page


def test_page():
    page = check(render_page(TEXT, [entity(9, 13)], CORPUS, title="A report", heading="A heading"))
    assert page.text("title") == page.text("h1") == "A report"
    assert "A heading" in page.text("p")
    assert page.text("a", "entity") == "5 mg\xa0Dosage"
    assert page.text("div", "text", without="label").replace("\xa0", "") == TEXT
    assert "score 0.75 (calibrated)" in page.text("section")
    support = "3 training examples for Dosage (75% of the vote):"
    assert support in page.text("p", "why")
    assert "He was given 300 mg\xa0Dosage of aspirin daily." in page.text("ol")
    assert page.text("ol").count("distance") == 3
    assert "He was given 300 mg" in page.text("ul", "others")
    assert page.text("ul", "votes") == "Dosage 75% (3 votes)O 25% (1 vote)"
    assert "1 of 4 neighbors are from documents that are not in this corpus" in page.text("main")
    assert page.text("b") == "300" + "15" + "given"
    assert page.tags.count("tr") == 1 + 1 + len(VOTES)


def test_links_go_there_and_back():
    page = check(render_page(TEXT, [entity(9, 13), entity(30, 35, "Organ")], CORPUS))
    hrefs = [value for tag, name, value in page.attributes if tag == "a" and name == "href"]
    assert hrefs == ["#evidence", "#e1", "#e2", "#t1", "#t2"]


@pytest.mark.parametrize("corpus", [None, {}, CORPUS])
def test_no_entity(corpus):
    page = check(render_page(TEXT, [], corpus))
    assert "No entity was found in this text." in page.text("strong")
    assert page.text("div", "text") == TEXT
    assert page.tags.count("section") == 0
    assert page.tags.count("a") == 0


@pytest.mark.parametrize(
    ("bounds", "in_text", "below"),
    [
        ([(9, 13), (30, 35)], ["5 mg", "chest"], []),
        ([(30, 35), (9, 13)], ["5 mg", "chest"], []),
        ([(9, 13), (13, 16)], ["5 mg", " of"], []),
        ([(9, 10), (9, 13)], ["5 mg"], ["5"]),
        ([(9, 13), (11, 13)], ["5 mg"], ["mg"]),
        ([(9, 13), (11, 16)], ["5 mg"], ["mg of"]),
        ([(9, 13), (9, 13)], ["5 mg"], ["5 mg"]),
        ([(0, 41), (9, 13), (11, 25)], [TEXT], ["5 mg", "mg of warfarin"]),
        ([(17, 29)], ["warfarin\nfor"], []),
        # Invalid bounds: no crash, and nothing of the text lost.
        ([(9, 9)], [], [""]),
        ([(39, 99)], [], ["n."]),
        ([(99, 105)], [], [""]),
    ],
)
def test_overlapping_entities_are_listed_below(bounds, in_text, below):
    page = check(render_page(TEXT, [entity(*b) for b in bounds], CORPUS))
    inside, outside = [], []
    for path, data in page.texts:
        classes = [a.get("class") for _, a in path]
        if "entity" in classes and "label" not in classes and data.strip("\xa0"):
            (inside if "text" in classes else outside).append(data.rstrip("\xa0"))
    assert inside == in_text
    assert outside == [surface for surface in below if surface]
    assert page.text("div", "text", without="label").replace("\xa0", "") == TEXT
    assert page.tags.count("section") == len(bounds)
    assert ("Overlapping entities" in page.text("h3")) == bool(below)


HOSTILE = [
    "<script>alert(1)</script>",
    "</style></section></a>",
    "\" onmouseover='x' a=\"",
    "a & b &amp; &#60;",
    "חום גבוה 39",
    "👩\u200d⚕️ e\u0301",
    "two\nlines\r\nand\ttab",
    "\x00\x1b[31m\u202eabc",
    "\ud800",
    "{label} %s ${x}",
    "-->]]><!--",
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_strings_stay_text(hostile):
    text = f"{hostile} 5 mg {hostile}"
    votes = [Neighbor(f"B-{hostile}", 0.1, hostile, len(hostile) + 1, 0.5)]
    votes += [Neighbor(hostile, 0.2, "gone" + hostile, 3, 0.5)]
    corpus = {hostile: document(text, (0, len(text), hostile))}
    evidence = [entity(0, len(hostile), hostile, votes), entity(2, len(text), hostile, votes)]
    for given_corpus in (None, corpus):
        page = check(
            render_page(
                text, evidence, given_corpus, title=hostile, heading=hostile, labels=[hostile]
            )
        )
        shown = printable(hostile)
        assert page.text("h1") == shown
        assert shown in page.text("section")
        if not set(hostile) & set("\n\r\t"):
            assert shown in page.text("div", "text")


anything = st.text(st.characters(), max_size=12)


@settings(max_examples=40, deadline=None)
@given(anything, anything, anything, st.integers(0, 8), st.integers(0, 8))
def test_any_text_and_any_bounds(text, label, name, start, length):
    votes = [Neighbor(f"B-{label}", 1.0, name, start, 1.0)]
    corpus = {name: CorpusDocument(text, [(0, len(text))], [(0, len(text), label)])}
    evidence = [entity(start, start + length, label, votes), entity(0, len(text), label, votes)]
    check(render_page(text, evidence, corpus, title=name))


def words(text):
    return set(re.findall(r"\w+", text.lower()))


def test_no_training_text_without_a_corpus():
    html = render_page(TEXT, [entity(9, 13)])
    frame = words(render_page(TEXT, [])) | words(TEXT)
    secret = words(" ".join(doc.text for doc in CORPUS.values())) - frame
    assert {"aspirin", "given", "300", "methotrexate", "15", "weekly", "daily"} <= secret
    assert not secret & words(html)
    assert secret & words(render_page(TEXT, [entity(9, 13)], CORPUS))
    page = check(html)
    assert "Word" not in page.text("thead")
    assert "document case-2, character 13" in page.text("ol")


@pytest.mark.parametrize(
    ("votes", "sentence"),
    [
        ([], "The model decided without neighbors."),
        ([Neighbor("O", 1.0, "case-1", 7, 1.0)], "No neighbor is Dosage."),
        ([Neighbor("B-Dosage", 1.0, "case-1", 999, 1.0)], "have no token at their offset"),
        ([Neighbor("B-Dosage", 1.0, "case-1", 7, 1.0)], "this corpus has no Dosage there"),
    ],
)
def test_odd_evidence_is_said(votes, sentence):
    page = check(render_page(TEXT, [entity(9, 13, votes=votes)], CORPUS))
    assert sentence in page.text("main")


def test_colors_are_those_of_the_labels_of_the_model():
    def hues(html):
        return re.findall(r'class="entity" id="t\d+" href="#e\d+" style="([^"]+)"', html)

    labels = ["Age", "Date", "Dosage", "Organ"]
    first = hues(render_page(TEXT, [entity(9, 13)], labels=labels))
    both = hues(render_page(TEXT, [entity(0, 3, "Age"), entity(9, 13)], labels=labels))
    assert both[1:] == first
    assert both[0] != both[1]
    assert hues(render_page(TEXT, [entity(0, 3, "New")], labels=labels)) not in (first, both[:1])
    # Without labels the most frequent type is the first.
    twice = [entity(0, 3, "Age"), entity(9, 13), entity(30, 35)]
    assert hues(render_page(TEXT, twice)) == ["--hue:138", "--hue:0", "--hue:0"]
    votes = render_page(TEXT, [entity(9, 13)])
    assert "--plain:var(--grey)" in votes  # O
    assert "--plain" not in "".join(hues(votes))


def test_same_evidence_gives_the_same_page():
    evidence = [entity(9, 13), entity(9, 11), entity(30, 35, "Organ")]
    turned = [e._replace(tokens=(e.tokens[0]._replace(neighbors=VOTES[::-1]),)) for e in evidence]
    page = render_page(TEXT, evidence, CORPUS)
    assert page == render_page(TEXT, turned[::-1], CORPUS)


def test_a_long_document_is_quick_and_its_tables_are_folded():
    text = "5 mg " * 120
    votes = [
        Neighbor("B-Dosage", i / 10, f"case-{i % 2 + 1}", 13 + i // 9, 1 / 17) for i in range(17)
    ]
    evidence = [entity(5 * i, 5 * i + 4, votes=votes) for i in range(120)]
    start = time.process_time()
    html = render_page(text, evidence, CORPUS)
    assert time.process_time() - start < 5
    page = check(html)
    assert page.tags.count("details") == 120
    assert not any(tag == "details" for tag, _, _ in page.attributes)  # none has "open"
