"""The report on a choice of dev: its tables and its files."""

from pathlib import Path

import numpy as np
import pytest
import spacy
import srsly
from spacy.language import Language

from spacy_btl.evaluation.report import render_choice, write_choice
from spacy_btl.pipeline.component import component_of
from spacy_btl.pipeline.tuning import DevChoice, ScoredEntities, Setting, Trial, choose_on_dev
from tests.helpers.dev import KINDS, dev_examples, too_little
from tests.helpers.sentences import make_examples

FILES = ["dev.json", "dev.md"]


@pytest.fixture
def fitted(trained: bytes) -> Language:
    nlp = spacy.blank("en")
    nlp.add_pipe("btl_knn_ner", config={"neighbors": {"n_neighbors": 1}})
    nlp.from_bytes(trained)
    component_of(nlp).fit_neighbors(make_examples(nlp))
    return nlp


def test_the_table(fitted: Language) -> None:
    choice = choose_on_dev(component_of(fitted), make_examples(fitted))
    table = render_choice(choice, shown=3)
    assert f"of {len(choice.trials)} settings" in table
    assert f"{choice.chosen.score:.3f} | chosen |" in table
    for once in ("| chosen |", "(model alone)", "(as before)"):
        assert table.count(once) == 1
    rows = [line for line in table.split("\n\n")[1].splitlines()[2:] if line]
    assert 3 <= len(rows) <= 5


def test_reliability_of_calibrated_scores() -> None:
    n = 60
    correct = np.arange(n) % 3 > 0
    entities = ScoredEntities(
        np.full(n, 1.0),
        ["A"] * 40 + ["B"] * 20,
        np.ones(n),
        correct,
        np.arange(n) % 2,
        np.zeros((n, 3)),
        {"A": 40},
    )
    trial = Trial(Setting(5, "softmax", 0.3, 0.5), 0.5, 0.25)
    text = render_choice(DevChoice([trial], trial, trial, entities, np.where(correct, 0.75, 0.5)))
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    assert cells[2][0] == "neighbors, votes, their share"
    assert ["raw", "60", "0.333", "0.000", "0.333"] in cells
    assert ["1.000 to 1.000", "60", "1.000", "0.667", "0.541 to 0.773"] in cells
    assert ["0.500 to 0.500", "20", "0.500", "0.000", "0.000 to 0.161"] in cells
    (row,) = (row for row in cells if row[:2] == ["A", "40"])
    assert row[2:4] == [f"{(26 * 0.75 + 14 * 0.5) / 40:.3f}", f"{26 / 40:.3f}"]
    assert not any(row[:1] == ["B"] for row in cells)  # too few
    assert text.endswith("|\n")


@pytest.mark.parametrize("kind", ["enough", *KINDS])
def test_files(fitted: Language, tmp_path: Path, kind: str) -> None:
    pytest.importorskip("matplotlib")
    examples = dev_examples(fitted) if kind == "enough" else too_little(fitted, kind)
    choice = choose_on_dev(component_of(fitted), examples, fixed=True)
    (tmp_path / "reliability.png").write_text("of another run", encoding="utf8")
    write_choice(choice, tmp_path)
    pictures = ["reliability.png"] if kind == "enough" else []
    assert sorted(file.name for file in tmp_path.iterdir()) == [*FILES, *pictures]
    text = (tmp_path / "dev.md").read_text(encoding="utf8")
    reported = "The scores are not calibrated: " in text
    assert reported == (kind != "enough")
    assert not reported or KINDS[kind] in text
    assert ("calibration error" in text) == (kind == "enough")
    trials = srsly.read_json(tmp_path / "dev.json")
    assert len(trials) == len(choice.trials)
    assert trials[0] == {
        **choice.trials[0].setting._asdict(),
        "micro_f": pytest.approx(choice.trials[0].micro_f),
        "macro_f": pytest.approx(choice.trials[0].macro_f),
    }
