"""Forecasts: the curves of stored counts, and trainings that are made once and resumed."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.tokens import DocBin
from thinc.api import Config

from spacy_btl.planning.forecast import (
    COUNTS,
    CurvePoint,
    ForecastSettings,
    forecast,
    forecast_of,
    parse_sizes,
    part_of,
    sizes_of,
)
from spacy_btl.scoring.summary import score_documents
from tests.helpers.sentences import make_examples

MENTIONS = {"Drug": 500, "Dose": 50, "Sign": 5}


def document(correct: dict[str, int], gold: int = 10) -> dict[str, Any]:
    """Return counts of a document with as many predicted entities as gold ones."""
    return {
        "spans": {label: [gold, gold, n] for label, n in correct.items()},
        "pairs": {"exact": 0, "partial": 0, "type": 0},
        "tokens": {"": [1, 1, 1]},
    }


def point(size: int, **correct: int) -> CurvePoint:
    return CurvePoint(size, [document(correct)] * 6)


def test_figures_are_those_of_an_evaluation() -> None:
    documents = [document({"Drug": 9, "Dose": 5}), document({"Drug": 7, "Sign": 0})]
    points = [CurvePoint(10, documents), CurvePoint(20, documents)]
    found = forecast_of(points, MENTIONS, 20, samples=20)
    scores = score_documents(documents)
    assert found.observed["micro"] == pytest.approx([scores["ents_f"]] * 2)
    assert found.observed["macro"] == pytest.approx([scores["ents_macro_f"]] * 2)
    assert {name: found.types[name] for name in ("rare", "middle", "frequent")} == {
        "rare": ["Sign"],
        "middle": ["Dose"],
        "frequent": ["Drug"],
    }
    assert found.observed["rare"] == [0, 0]
    assert found.observed["frequent"] == pytest.approx([0.8, 0.8])


def test_a_group_without_gold_has_no_curve() -> None:
    found = forecast_of([point(10, Drug=5), point(20, Drug=6)], MENTIONS, 20, samples=20)
    assert set(found.curves) == {"micro", "macro", "frequent"}


def test_curves_that_rise_need_a_number_of_reports_and_flat_ones_never_get_there() -> None:
    points = [point(10, Drug=4, Sign=3), point(40, Drug=6, Sign=3), point(160, Drug=7, Sign=3)]
    found = forecast_of(points, MENTIONS, 160, samples=40)
    now, *_ = found.curves["frequent"].score(160)
    later, low, high = found.curves["frequent"].score(320)
    assert now < later < 0.8
    assert low < later < high
    assert found.curves["rare"].more_for(0.2, 160)[0] == math.inf
    written = json.loads(json.dumps(found.to_json()))
    assert written["figures"]["rare"]["more_documents"]["0.1"][0] is None
    assert written["figures"]["micro"]["trainings"][0] == {"documents": 10, "score": 0.35}
    text = found.to_text()
    assert "more than 1,600" in text
    assert "| micro F1" in text and "macro F1, rare types (1)" in text


def test_documents_of_a_part_are_in_larger_ones_of_the_same_seed() -> None:
    docs: list[Any] = list(range(20))
    parts = [part_of(docs, size, 1) for size in (5, 10, 20)]
    assert set(parts[0]) < set(parts[1]) < set(parts[2])
    assert parts[2] == docs
    assert part_of(docs, 5, 2) != parts[0]


@pytest.mark.parametrize(
    ("n", "sizes", "expected"),
    [
        (100, (), [25, 50, 100]),
        (2, (), [1, 2]),
        (9, (4, 8), [4, 8]),
        (9, (8, 4, 4), [4, 8]),
    ],
)
def test_sizes(n: int, sizes: tuple[int, ...], expected: list[int]) -> None:
    assert sizes_of(n, ForecastSettings(sizes=sizes)) == expected


@pytest.mark.parametrize(
    ("n", "sizes", "message"),
    [
        (0, (), "0 training documents make no learning curve"),
        (1, (), "1 training document make no learning curve"),
        (9, (5, 10), "a size is 10, but there are 9 training documents"),
    ],
)
def test_too_few_documents(n: int, sizes: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sizes_of(n, ForecastSettings(sizes=sizes))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sizes": (5,)}, "two different sizes"),
        ({"sizes": (5, 5)}, "two different sizes"),
        ({"sizes": (0, 5)}, "a size is 0"),
        ({"repeats": 0}, "repeats is 0"),
        ({"updates": -1}, "updates is -1"),
        ({"samples": 5}, "samples is 5"),
    ],
)
def test_settings_out_of_range(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ForecastSettings(**settings)


@pytest.mark.parametrize(
    ("text", "sizes"), [("", []), (" ", []), ("20,40", [20, 40]), ("8, 9", [8, 9])]
)
def test_sizes_as_text(text: str, sizes: list[int]) -> None:
    assert parse_sizes(text) == sizes


def test_text_that_is_no_sizes() -> None:
    with pytest.raises(ValueError, match="sizes is 'a few', but must be whole numbers"):
        parse_sizes("a few")


@pytest.fixture
def corpus(tmp_path: Path) -> tuple[Config, Path]:
    """Return a configuration of a tiny model and a folder with DocBins, some without gold."""
    nlp: Language = spacy.blank("en")
    nlp.add_pipe(
        "btl_knn_ner",
        config={
            "model": {
                "@architectures": "spacy-btl.TokenClassifier.v1",
                "tok2vec": {
                    "@architectures": "spacy.HashEmbedCNN.v2",
                    "width": 16, "depth": 1, "embed_size": 50, "window_size": 1,
                    "maxout_pieces": 2, "subword_features": True, "pretrained_vectors": None,
                },
            }
        },
    )  # fmt: skip
    config = Config().from_str(nlp.config.to_str())
    config["training"].update(max_steps=0, eval_frequency=5)
    config["corpora"]["train"]["path"] = config["corpora"]["dev"]["path"] = None
    docs = [example.reference for example in make_examples(nlp)]
    for i, doc in enumerate(docs):
        doc.user_data["name"] = f"case-{i}"
    DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "train.spacy")
    DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "dev.spacy")
    DocBin(docs=[nlp.make_doc("No fever")]).to_disk(tmp_path / "bare.spacy")
    DocBin().to_disk(tmp_path / "empty.spacy")
    return config, tmp_path


def test_trainings_are_made_once_and_only_what_has_changed_is_made_again(
    corpus: tuple[Config, Path],
) -> None:
    config, folder = corpus
    train, dev, out = folder / "train.spacy", folder / "dev.spacy", folder / "out"
    settings = ForecastSettings(sizes=(2, 4), repeats=1, updates=5, samples=20)
    lines: list[str] = []
    first = forecast(config, train, dev, out, settings, report=lines.append)
    assert lines == [
        "training 1 of 2: 2 reports, seed 0",
        "training 2 of 2: 4 reports, seed 0",
    ]
    assert first.documents == first.scored == 4
    again = forecast(config, train, dev, out, settings, report=lines.append)
    assert len(lines) == 2
    assert again.to_json() == first.to_json()
    counts = out / "4-0" / COUNTS
    for damaged in ("{", "{}", "[]", '{"key": 1, "documents": [1]}'):
        counts.write_text(damaged, "utf8")
        with pytest.raises(ValueError, match=r"counts\.json is damaged: delete it"):
            forecast(config, train, dev, out, settings)
    counts.unlink()
    forecast(config, train, dev, out, settings, report=lines.append)
    assert lines[2:] == ["training 2 of 2: 4 reports, seed 0"]
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert not any("model" in name or name.endswith(".spacy") for name in files)
    assert all(b"warfarin" not in (out / name).read_bytes() for name in files)
    assert np.isfinite(first.observed["micro"]).all()


@pytest.mark.parametrize(
    ("train", "dev", "updates", "message"),
    [
        ("empty", "dev", 5, "0 training documents"),
        ("train", "empty", 5, r"empty\.spacy has no entity to score on"),
        ("train", "bare", 5, r"bare\.spacy has no entity to score on"),
        ("train", "dev", 0, "the configuration has no max_steps"),
    ],
)
def test_bad_input(
    corpus: tuple[Config, Path], train: str, dev: str, updates: int, message: str
) -> None:
    config, folder = corpus
    settings = ForecastSettings(sizes=(2, 4), repeats=1, updates=updates)
    with pytest.raises(ValueError, match=message):
        forecast(
            config, folder / f"{train}.spacy", folder / f"{dev}.spacy", folder / "out", settings
        )
