"""The simulation of annotators, with a tiny model on the bundled sample."""

import argparse
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from spacy.util import load_config

from experiments import suggest
from experiments.suggest import (
    gain_over_random,
    next_names,
    render,
    shares_needed,
    words_needed,
)

ROOT = Path(__file__).parents[2]

ROWS: list[dict[str, Any]] = [
    {"reports": 20, "words": 100, "micro": 0.4, "macro": 0.2, "names": ["a"], "next": ["b"]},
    {"reports": 30, "words": 200, "micro": 0.6, "macro": 0.4, "names": ["a", "b"], "next": ["c"]},
    {"reports": 40, "words": 400, "micro": 0.5, "macro": 0.6, "names": ["a", "b", "c"], "next": []},
]


@pytest.mark.parametrize(
    ("figure", "goal", "words"),
    [
        ("micro", 0.4, 100),
        ("micro", 0.5, 150),
        ("micro", 0.7, None),
        ("macro", 0.6, 400),
        ("macro", 0.5, 300),
        ("macro", 0.1, 100),
    ],
)
def test_words_until_a_score_is_reached(figure: str, goal: float, words: float | None) -> None:
    assert words_needed(ROWS, figure, goal) == (None if words is None else pytest.approx(words))


def test_a_run_goes_on_where_it_was() -> None:
    options = argparse.Namespace(start=1)
    assert next_names(ROWS[:1], {"pool": []}, options, 0) == ["a", "b"]
    assert next_names(ROWS, {"pool": []}, options, 0) is None


def test_the_page_has_shares_and_scores() -> None:
    settings = {"folder": "c", "updates": 1, "layers": 3, "start": 20, "step": 10, "upto": 40}
    page = render({"settings": settings, "seeds": {"0": {"random": ROWS}, "1": {"random": ROWS}}})
    line = next(line for line in page.splitlines() if line.startswith("| random: "))
    cells = [cell.strip() for cell in line.split("|")]
    assert cells[2:5] == ["2", "0.38 (0.38, 0.38)", "1.00 (1.00, 1.00)"]


@pytest.mark.parametrize(
    ("scores", "shares"),
    [
        pytest.param([0.4, 0.6], "0.75 (0.75)", id="halfway between the trainings"),
        pytest.param([0.5, 0.6], "0.50 (0.50)", id="at once"),
        pytest.param([0.1, 0.3], ">1.00 (>1.00)", id="never"),
    ],
)
def test_share_of_the_words_of_a_random_order(scores: list[float], shares: str) -> None:
    def order(figures: list[float]) -> list[dict[str, Any]]:
        words = (100, 200)
        return [{"words": w, "micro": f, "next": []} for w, f in zip(words, figures, strict=True)]

    seed = {"random": order([0.3, 0.5]), "suggest": order(scores)}
    assert shares_needed([seed, {"suggest": order(scores)}], "suggest", "micro") == shares


def test_a_small_simulation_runs_and_resumes(tmp_path: Path) -> None:
    config = load_config(ROOT / "configs" / "btl.cfg", interpolate=False)
    config["components"]["btl_knn_ner"]["model"]["tok2vec"] = {
        "@architectures": "spacy.HashEmbedCNN.v2",
        "width": 8, "depth": 1, "embed_size": 50, "window_size": 1, "maxout_pieces": 2,
        "subword_features": True, "pretrained_vectors": None,
    }  # fmt: skip
    config["training"]["optimizer"] = {"@optimizers": "Adam.v1"}
    config["training"]["before_to_disk"] = None  # its copy takes longer than the training
    config.to_disk(tmp_path / "tiny.cfg")
    arguments = [
        "--corpora", ROOT / "assets", "--folder", "sample", "--config", tmp_path / "tiny.cfg",
        "--work", tmp_path / "work", "--results", tmp_path, "--seeds", 0, "--updates", 2,
        "--start", 5, "--step", 4, "--upto", 13,
    ]  # fmt: skip
    assert suggest.main([str(each) for each in arguments]) == 0
    written = (tmp_path / "sample.json.gz").read_bytes()
    runs = json.loads(gzip.decompress(written))["seeds"]["0"]
    assert list(runs) == list(suggest.STRATEGIES)
    for rows in runs.values():
        assert [row["reports"] for row in rows] == [5, 9, 13]
        assert len(set(rows[-1]["names"])) == 13
        for row in rows:
            counts = [sum(each) for each in zip(*(
                count for spans in row["spans"].values() for count in spans.values()
            ), strict=True)]  # fmt: skip
            assert row["micro"] == pytest.approx(2 * counts[2] / (counts[0] + counts[1]))
    assert len({tuple(rows[0]["names"]) for rows in runs.values()}) == 1
    assert runs["longest"][1]["words"] == max(rows[1]["words"] for rows in runs.values())
    assert suggest.main([str(each) for each in arguments]) == 0
    assert (tmp_path / "sample.json.gz").read_bytes() == written
    assert suggest.main([str(each) for each in (*arguments, "--updates", 3)]) == 1


def row(words: int, *correct: int) -> dict[str, Any]:
    """Return a training with as many correct entities, of ten A and two B in each document."""
    n_a, n_b = correct
    spans = {"A": [10, 10, n_a], "B": [2, 2, n_b]}
    return {"words": words, "next": [], "spans": {"d1": spans, "d2": spans}}


def test_the_gain_is_over_the_words_that_both_orders_reach() -> None:
    seed = {
        "random": [row(100, 4, 0), row(200, 6, 2)],
        "suggest": [row(100, 4, 0), row(150, 8, 2)],
    }
    # At 150 words the random order has 5 of A and 1 of B: both orders rise in straight lines.
    micro, macro = (0.5 * (10 - 6) / 12, 0.5 * (0.3 + 0.5) / 2)
    assert gain_over_random([seed], "suggest", "micro") == pytest.approx((micro, micro, micro))
    assert gain_over_random([seed], "suggest", "macro") == pytest.approx((macro, macro, macro))
    same = {"random": seed["random"], "suggest": seed["random"]}
    gains = gain_over_random([seed, same], "suggest", "micro")
    assert gains == pytest.approx((micro / 2, micro / 2, micro / 2))
