"""The page has each finding with both passages, is filtered without a script, and loads nothing."""

import re

import pytest
from spacy.language import Language
from spacy.tokens import Doc

from spacy_btl.audit.audit import Audit, AuditSettings, audit_documents
from spacy_btl.audit.consistency import TypeUse
from spacy_btl.audit.findings import KINDS
from spacy_btl.audit.page import (
    CONTEXT,
    inconsistent_types,
    render_page,
    render_text,
)
from spacy_btl.evaluation.documents import passage_bounds
from tests.helpers.html_pages import Page
from tests.helpers.reports import DRUGS

EVIL = "<script>alert(1)</script>"


@pytest.fixture
def audit(nlp: Language, reports: list[Doc]) -> Audit:
    reports[1].user_data["name"] = EVIL
    settings = AuditSettings(n_folds=2, updates=2, least=0.0)
    return audit_documents(nlp, reports, settings=settings)


def test_the_page(audit: Audit) -> None:
    html = render_page(audit, most=20)
    page = Page(html)
    assert "This page contains text of the documents" in page.text("p")
    assert "default-src 'none'" in html
    assert not {"script", "link", "img", "iframe"} & {*page.tags}
    assert EVIL in page.text()  # as text
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert {value.removeprefix("#") for value in page.values("href")} <= {*ids}
    assert {*page.values("for")} <= {*ids}
    classes = [value for value in page.values("class") if value.startswith("finding ")]
    assert len(classes) == 20
    headings = [data for path, data in page.texts if path[-1:] and path[-1][0] == "h3"]
    assert [int(line.split(".")[0]) for line in headings if line.strip()] == [*range(1, 21)]


def test_every_finding_can_be_chosen_by_kind_and_type(audit: Audit) -> None:
    html = render_page(audit)
    page = Page(html)
    rules = set(
        re.findall(r"#((?:kind|type)-\d+):checked\) \.finding:not\(\.((?:kind|type)-\d+)", html)
    )
    choices = {value for value in page.values("id") if re.match("(kind|type)-", value)}
    assert {one for one, _ in rules} | {"kind-all", "type-all"} == choices
    assert all(one == other for one, other in rules)
    used = {name for value in page.values("class") for name in value.split()}
    assert {name for name in used if re.match(r"(kind|type)-\d", name)} == {one for one, _ in rules}


def test_the_text_has_the_figures_and_no_text(audit: Audit) -> None:
    text = render_text(audit)
    assert "Documents: 16; entities: 32." in text
    assert all(kind in text for kind in KINDS)
    assert not [word for word in (*DRUGS, "Patient", "slept") if word in text]


def test_without_findings_the_page_says_so(nlp: Language, reports: list[Doc]) -> None:
    settings = AuditSettings(n_folds=2, updates=2, least=1.0)
    html = render_page(audit_documents(nlp, reports, settings=settings))
    assert "No place is likely to be an error." in Page(html).text("p")


@pytest.mark.parametrize(
    ("use", "expected"),
    [
        ([TypeUse(9, 9, 0.4, 0.6, 0.0, 1), TypeUse(9, 9, 0.1, 0.0, 0.9, None)], [1, 0]),
        ([TypeUse(9, 4, 0.0, 1.0, 0.0, 1)], []),  # too few to say
        ([TypeUse(9, 9, 0.5, 0.5, 0.0, 1), TypeUse(0, 0, None, None, None, None)], []),
    ],
)
def test_inconsistent_types(use: list[TypeUse], expected: list[int]) -> None:
    assert inconsistent_types(use) == expected


def test_passages_end_between_words() -> None:
    text = " ".join(f"word{i:03}" for i in range(100))
    start = text.index("word050")
    first, last = passage_bounds(text, start, start + 7, CONTEXT)
    words = text[first:last].split(" ")
    assert {len(word) for word in words} == {7}
    assert start - CONTEXT <= first and last <= start + 7 + CONTEXT
