import json

import pytest

from spacy_btl.transfer.matrix import Matrix, Schedule
from spacy_btl.transfer.page import write_page


@pytest.fixture
def matrix():
    alone = {"micro": 0.5, "macro": 0.3, "types": {"Age": 0.5, "<b>": 0.2}}
    better = {"micro": 0.55, "macro": 0.29, "types": {"Age": 0.6, "<b>": 0.1}}
    worse = {"micro": 0.4, "macro": 0.3, "types": {"Age": 0.5, "<b>": 0.2}}
    found = Matrix(["a", "b"], ["x"])
    found.alone = {"x": [alone, alone]}
    found.cells = {("a", "x"): [better, better], ("b", "x"): [worse, alone]}
    found.predictors = {"topics": {("a", "x"): 0.9, ("b", "x"): 0.1}}
    found.by_type = {("a", "x"): {"Age": 0.75, "<b>": 0.0}, ("b", "x"): {"Age": 0.0}}
    return found


def test_the_files_of_a_matrix(matrix, tmp_path):
    text = write_page(matrix, Schedule(8, 4, seeds=(0, 1)), tmp_path)
    assert text == (tmp_path / "report.md").read_text()
    assert json.loads((tmp_path / "matrix.json").read_text()) == matrix.to_json()
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in text.splitlines()
        if "|" in line
    ]
    assert ["alone (F1)", "50.0"] in rows  # micro
    assert ["a", "+5.0"] in rows
    assert ["b", "-5.0"] in rows
    assert ["alone (F1)", "30.0"] in rows  # macro
    assert ["a", "-1.0"] in rows
    assert "8 updates on the source and then 4 on the target over 12 updates" in text
    assert "Means over 2 seeds" in text


def test_the_page_colors_gains_and_losses_and_escapes_labels(matrix, tmp_path):
    write_page(matrix, Schedule(8, 4, seeds=(0, 1)), tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert 'class="gain" style="--part:60%"' in page
    assert 'class="loss" style="--part:60%"' in page
    assert "75% known" in page
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert "<script" not in page


def test_a_source_with_documents_of_dev_is_named(matrix, tmp_path):
    assert "--apart-from" not in write_page(matrix, Schedule(8, 4, seeds=(0, 1)), tmp_path)
    matrix.shared = {("a", "x"): 3}
    text = write_page(matrix, Schedule(8, 4, seeds=(0, 1)), tmp_path)
    assert "a shares 3 documents with the dev of x" in text


@pytest.mark.parametrize(
    ("schedule", "words"),
    [(Schedule(), "One seed"), (Schedule(joint=True), "source and target together")],
)
def test_the_page_says_how_it_was_made(matrix, tmp_path, schedule, words):
    matrix.alone = {"x": matrix.alone["x"][:1]}
    matrix.cells = {pair: cells[:1] for pair, cells in matrix.cells.items()}
    assert words in write_page(matrix, schedule, tmp_path)


def test_a_folder_keeps_the_pages_of_both_kinds_of_a_first_stage(matrix, tmp_path):
    texts = {joint: write_page(matrix, Schedule(8, 4, joint=joint), tmp_path) for joint in (0, 1)}
    assert (tmp_path / "report.md").read_text() == texts[0]
    assert (tmp_path / "joint-report.md").read_text() == texts[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"{kind}{name}"
        for kind in ("joint-", "")
        for name in ("matrix.json", "report.html", "report.md")
    ]
