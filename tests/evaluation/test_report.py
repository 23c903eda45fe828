"""The report on an evaluation: its content, and that text from outside stays text."""

import errno
import re
from collections import Counter
from contextlib import contextmanager

import pytest

from spacy_btl.evaluation.compare import compare_evaluations
from spacy_btl.evaluation.documents import NOTES
from spacy_btl.evaluation.report import render_html, render_report, write_report
from spacy_btl.scoring.matching import KINDS
from spacy_btl.util import files
from spacy_btl.util.text import printable
from tests.helpers.evaluated import RULES, TEXTS, evaluated
from tests.helpers.html_pages import check_report


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
    return render_html(metrics, **options)


def rows_of(page, name):
    """Return words of the cells that are not empty, by row, of the table of this name."""
    rows = {}
    for path, data in page.texts:
        row = next((id(attributes) for tag, attributes in path if tag == "tr"), None)
        if row and data.strip() and any(a.get("aria-label") == name for _, a in path):
            rows.setdefault(row, []).append(data)
    return list(rows.values())


def test_sections_and_figures(ours):
    page = check_report(render(ours, title="Evaluation of a model"))
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
    assert "73% of the cases with 16 documents, 83% with 40, and 90% with 100" in page.text()
    types = {row[0]: row[1:] for row in rows_of(page, "Scores by type")[1:]}
    assert types["Drug"][:3] == ["1,200", "1", "4"]
    assert types["Food"] == ["0", "1", "0", "0.000", "0.000", "0.000"]  # and no interval


def test_recall_by_frequency(ours):
    page = check_report(render(ours))
    assert rows_of(page, "Recall by frequency in training")[1:] == [
        ["0", "2", "2", "0.000"],
        ["3", "1", "2", "0.000"],
        ["1,200", "1", "1", "1.000"],
    ]
    metrics, _ = ours
    page = check_report(render_html(metrics | {"train_counts": {}}))
    assert "--train" in page.text()
    assert "in training" not in page.text("thead")


def test_recall_of_both(ours, comparison):
    page = check_report(render(ours, comparison=comparison))
    rows = rows_of(page, "Recall by frequency in training")
    assert rows[0][-1] == "mean recall of the second"
    assert [row[-2:] for row in rows[1:]] == [["0.000", "0.000"]] * 2 + [["1.000", "1.000"]]


def test_errors_by_type(ours):
    metrics, _ = ours
    rows = rows_of(check_report(render(ours)), "Errors by type")
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


def test_confusion_of_forty_types_is_a_table_of_its_numbers():
    confusion = {f"T{i}": {f"T{i}": 50 - i, f"T{(i + 1) % 40}": 1, "": 2} for i in range(40)}
    metrics = evaluated(RULES)[0] | {"confusion": confusion}
    page = check_report(render_html(metrics))
    cells = rows_of(page, "Confusion of types")[1:]
    assert len(cells) == 41
    assert {row[0]: sum(map(int, row[1:])) for row in cells[1:]} == {
        f"T{i}": 53 - i for i in range(40)
    }
    assert "T0 → T1" in page.text("div", **{"aria-label": "Most frequent confusions"})


def test_every_entity_is_once_on_its_side(ours):
    _, documents = ours
    page = check_report(render(ours, documents=documents))
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


WITH_TEXT = "contains the text of the evaluated documents"
WITHOUT_TEXT = "evaluate --documents adds them"


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
    assert WITHOUT_TEXT in check_report(html).text()
    assert WITH_TEXT not in html
    assert secret <= words(render(ours, documents=documents))
    assert not secret & words(repr(metrics))


def test_comparison(ours, comparison):
    page = check_report(render(ours, comparison=comparison))
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


def test_without_gold():
    metrics, documents = evaluated({"nothing": "A"}, [("No", [])])
    page = check_report(render_html(metrics, documents=documents))
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
    page = check_report(render_html(metrics, **options))
    shown = printable(hostile)
    assert page.text("h1") == shown
    assert shown in page.text("table")
    assert shown in page.text("summary")
    assert shown in page.text("p")


def test_same_values_give_the_same_page(ours, comparison):
    _, documents = ours
    options = {"documents": documents, "comparison": comparison}
    assert render(ours, **options) == render(evaluated(RULES), **options)


def test_markdown(ours, comparison):
    metrics, _ = ours
    text = render_report(metrics)
    assert "exact span F1: bounds alone" in text
    counts = ", ".join(f"{count} {kind}" for kind, count in metrics["errors"].items())
    assert f"ones paired where they overlap: {counts}." in text
    low, high = metrics["intervals"]["ents_per_type"]["Drug"]["f"]
    (row,) = (line for line in text.splitlines() if line.startswith("| Drug"))
    assert row.endswith(f"{low:.3f} to {high:.3f} |")
    text = re.sub(" +", " ", text)
    assert "| Drug | 1,200 | 1 | 4 |" in text
    assert "| Food | 0 | 1 | 0 |" in text
    without = re.sub(" +", " ", render_report({**metrics, "train_counts": {}}))
    assert "| Drug | 1 | 4 |" in without
    assert "in training" not in without
    both = re.sub(" +", " ", render_report(metrics, comparison))
    assert both.startswith(text)
    assert "First: a/model. Second: b/&lt;model>." in both
    assert "by document: 0 of 4 better, 1 worse." in both


def test_markdown_without_gold():
    metrics, _ = evaluated({"nothing": "A"}, [("No", [])])
    assert metrics["scores"]["ents_f"] is None
    assert metrics["intervals"] == {}
    text = re.sub(" +", " ", render_report(metrics))
    assert "| strict span F1, micro | - | |" in text
    assert "| token unweighted accuracy, with O | - | |" in text


def content_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("fails_at", [1, 2, 4, 5])
def test_a_full_disk_leaves_the_earlier_report(ours, comparison, tmp_path, monkeypatch, fails_at):
    metrics, documents = ours
    write_report(tmp_path, metrics, title="old", comparison=comparison)
    before = content_of(tmp_path)
    written = []

    @contextmanager
    def full(path, replacing_file=files.replacing_file):
        with replacing_file(path) as file:
            written.append(path)
            if len(written) == fails_at:
                raise OSError(errno.ENOSPC, "No space left on device")
            yield file

    monkeypatch.setattr(files, "replacing_file", full)
    with pytest.raises(OSError, match="No space left"):
        write_report(tmp_path, metrics, title="new", documents=documents)
    assert len(written) == fails_at
    assert content_of(tmp_path) == before
    monkeypatch.undo()
    write_report(tmp_path, metrics, title="new")
    assert set(before) - set(content_of(tmp_path)) == {"comparison.json"}


def test_other_files_in_the_folder_stay(ours, tmp_path):
    (tmp_path / "neighbors").mkdir()
    (tmp_path / "notes.md").write_text("mine")
    write_report(tmp_path, ours[0], title="x")
    assert (tmp_path / "notes.md").read_text() == "mine"
    assert (tmp_path / "neighbors").is_dir()
