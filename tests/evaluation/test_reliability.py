from spacy_btl.evaluation.reliability import render_reliability


def test_rendered_tables():
    raw = [1.0, 1.0, 1.0, 0.4]
    correct = [True, True, False, False]
    series = {"raw": raw, "calibrated": [0.6, 0.6, 0.6, 0.2]}
    text = render_reliability(series, ["A", "A", "B", "A"], correct, min_count=3, n_bins=2)
    lines = text.splitlines()
    assert lines[0].split("|")[1].strip() == "score"
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert ["raw", "0.350", "0.098", "0.290"] in cells
    assert ["1.000 to 1.000", "3", "1.000", "0.667", "0.208 to 0.939"] in cells
    assert ["0.200 to 0.200", "1", "0.200", "0.000", "0.000 to 0.793"] in cells
    assert ["A", "3", "0.467", "0.667", "0.208 to 0.939", "0.200", "0.213"] in cells
    assert [row[0] for row in cells if row].count("B") == 0
    assert text.endswith("|\n")


def test_rendered_without_any_entity():
    text = render_reliability({"raw": []}, [], [])
    assert "| raw   |               nan |" in text
