"""The page has every disagreement once, both versions around it, and loads nothing."""

from pathlib import Path

import pytest

from spacy_btl.curation.agreement import Agreement, compare_annotators
from spacy_btl.curation.agreement_page import CONTEXT, render_page, render_text
from spacy_btl.scoring.matching import KINDS
from tests.helpers.annotators import ANNA, BEN, TEXT, agreement_on, two_folders
from tests.helpers.html_pages import Page


@pytest.fixture
def case(tmp_path: Path) -> Agreement:
    return compare_annotators(*two_folders(tmp_path))


def marks(page: Page, kind: str) -> list[str]:
    """Return the marked words of a kind, in the order of the page."""
    css = f"k{KINDS.index(kind)}"  # type: ignore[arg-type]
    found: dict[int, str] = {}
    for path, data in page.texts:
        own = [attrs for tag, attrs in path if tag == "mark" and attrs.get("class") == css]
        if own and not any(attrs.get("class") == "label" for _, attrs in path):
            found[id(own[0])] = found.get(id(own[0]), "") + data.replace("\xa0", "")
    return [*found.values()]


def test_both_versions_are_marked(case: Agreement) -> None:
    page = Page(render_page(case))
    assert marks(page, "wrong type") == ["5 mg", "5 mg"]
    assert marks(page, "wrong bounds") == [
        *("salbutamol", "salbutamol daily"),
        *("history of asthma", "long history of asthma"),
        *("chest pain", "no", "chest pain"),
    ]
    assert marks(page, "missed") == ["cough"]
    assert marks(page, "spurious") == []
    headings = [data for path, data in page.texts if path[-1:] and path[-1][0] == "h2"]
    assert headings == ["Figures", "other type (1)", "other bounds (3)", "only anna (1)"]
    summaries = [data for path, data in page.texts if path[-1:] and path[-1][0] == "summary"]
    assert summaries[0] == "Dose / Drug (1)"


def test_the_page_loads_nothing_and_says_that_it_contains_text(case: Agreement) -> None:
    html = render_page(case)
    page = Page(html)
    assert "This page contains text of the documents" in page.text("p")
    assert "default-src 'none'" in html
    assert not {"script", "link", "img", "iframe"} & {*page.tags}
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert {value.removeprefix("#") for value in page.values("href")} <= {*ids}


def test_the_text_shows_the_figures_and_no_text(case: Agreement) -> None:
    text = render_text(case)
    lines = {line.split("|")[1].strip(): line for line in text.splitlines() if line.count("|") > 5}
    cells = [cell.strip() for cell in lines["Problem"].split("|")[2:-1]]
    assert cells == ["5", "4", "3", "0.667", "0.778", "0.889", "0.833", "0.781"]
    assert "Kappa of all 25 tokens 0.644, of the 14 that at least one has marked 0.465." in text
    assert not [word for word in TEXT.split() if len(word) > 6 and word in text]


def test_more_frequent_types_come_first(tmp_path: Path) -> None:
    anna = "T1\tDrug 59 69\tsalbutamol\nT2\tProblem 26 32\tasthma\nT3\tProblem 37 42\tfever\n"
    folders = two_folders(tmp_path, {"x": (TEXT, anna), "y": (TEXT, anna)},
                          {"x": (TEXT, ""), "y": (TEXT, "")})  # fmt: skip
    page = Page(render_page(compare_annotators(*folders)))
    assert marks(page, "missed") == ["asthma", "fever"] * 2 + ["salbutamol"] * 2
    places = [
        data for path, data in page.texts for _, own in path if own.get("scope") == "rowgroup"
    ]
    assert places[:3] == [
        "x, characters 26 to 32",
        "x, characters 37 to 42",
        "y, characters 26 to 32",
    ]


def test_the_passage_ends_between_words() -> None:
    text = " ".join(f"word{i:03}" for i in range(100))
    start = text.index("word050")
    page = Page(render_page(agreement_on(text, [("A", ((start, start + 7),))], [])))
    shown = [word for _, data in page.texts for word in data.split() if word.startswith("word")]
    assert {len(word) for word in shown} == {7}
    side = [f"word{i:03}" for i in range(38, 63)]
    assert shown == [*side, *side]
    assert CONTEXT == 100


def test_without_disagreement_the_page_says_so(tmp_path: Path) -> None:
    folders = two_folders(tmp_path, {"x": (TEXT, ANNA)}, {"x": (TEXT, ANNA)})
    page = Page(render_page(compare_annotators(*folders)))
    assert "There is no disagreement." in page.text("p")
    assert "No entity was given another type." in page.text("p")


def test_the_heading_of_the_documents_is_shown(tmp_path: Path) -> None:
    folders = two_folders(tmp_path, {"x": (TEXT, ANNA)}, {"x": (TEXT, BEN)})
    (folders[0] / "corpus.json").write_text('{"heading": "made-up reports"}')
    found = compare_annotators(*folders)
    assert "made-up reports" in render_text(found)
    assert "made-up reports" in Page(render_page(found)).text("p")
