"""The configurations of two stages: whole, near the default, and able to train on two corpora."""

from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.training.initialize import init_nlp
from spacy.training.loop import train
from spacy.util import load_config, load_model_from_config, registry

from spacy_btl.conversion.convert import convert_folder
from spacy_btl.conversion.sources import convert_sources
from spacy_btl.packaging.saving import load_pipeline
from spacy_btl.pipeline.component import component_of

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"
STAGES = ("multitask.cfg", "hierarchical.cfg")
OWN = {
    "multitask.cfg": {
        "paths.sources",
        "corpora.train",
        "corpora.dev",
        "training.max_steps",
    },
    "hierarchical.cfg": {
        "paths.start",
        "training.max_steps",
        "training.eval_frequency",
        "training.optimizer",
        "initialize.components",
    },
}


@pytest.mark.parametrize("name", STAGES)
def test_all_else_is_as_in_the_default(name: str) -> None:
    default, config = (load_config(CONFIGS / each, interpolate=False) for each in ("btl.cfg", name))
    found = {
        f"{section}.{key}"
        for section in config
        for key in {*config[section], *default[section]}
        if config[section].get(key, "absent") != default[section].get(key, "absent")
    }
    assert found == OWN[name]
    changed = {
        key
        for key, value in config["training"]["optimizer"].items()
        if default["training"]["optimizer"][key] != value
    }
    assert changed <= {"learn_rate"}


@pytest.mark.parametrize("name", STAGES)
def test_nothing_is_left_to_fill_in(name: str) -> None:
    """Only the component's own settings are left to their defaults, as in the default."""
    config = load_config(CONFIGS / name, interpolate=False)
    filled = load_model_from_config(config, auto_fill=True).config
    for section in ("nlp", "training", "initialize"):
        missing = filled[section].keys() - config[section].keys()
        assert missing <= {"score_weights"}, section  # those come from the component


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the two samples of the repository, as the workflow ``joint`` converts them."""
    folder = tmp_path_factory.mktemp("corpora")
    convert_folder(ROOT / "assets" / "sample", folder / "corpus")
    sources = {"sample-adverse": ROOT / "assets" / "sample-adverse"}
    dict(convert_sources(sources, folder / "corpus" / "sources"))
    return folder


def run(name: str, corpora: Path, encoder: Path, out: Path, **paths: str) -> None:
    """Train as ``spacy train`` does, with a few updates of a tiny encoder."""
    overrides: dict[str, Any] = {
        "paths.train": str(corpora / "corpus" / "train.spacy"),
        "paths.dev": str(corpora / "corpus" / "dev.spacy"),
        "training.max_steps": 4,
        "training.eval_frequency": 2,
        "components.btl_knn_ner.model.tok2vec.name": str(encoder),
        "components.btl_knn_ner.model.tok2vec.window": 64,
        **{f"paths.{key}": value for key, value in paths.items()},
    }
    config = load_config(CONFIGS / name, overrides=overrides, interpolate=False)
    out.mkdir(parents=True)
    train(init_nlp(config), out)


def test_two_stages_on_two_corpora(corpora: Path, tiny_bert: Path, tmp_path: Path) -> None:
    joint, target = tmp_path / "joint", tmp_path / "target"
    sources = str(corpora / "corpus" / "sources")
    run("multitask.cfg", corpora, tiny_bert, joint, sources=sources)
    first = component_of(load_pipeline(joint / "model-last"))
    assert {"Adverse_event", "Disease_disorder", "Medication"} <= set(first.labels)
    run("hierarchical.cfg", corpora, tiny_bert, target, start=str(joint / "model-last"))
    nlp = spacy.load(target / "model-last")
    second = component_of(nlp)
    assert set(second.labels) < set(first.labels)
    assert "Adverse_event" not in second.labels
    assert nlp.config["paths"]["start"] is None
    assert nlp.config["initialize"]["components"] == {}
    assert nlp("A woman took aspirin")


@pytest.mark.parametrize("name", STAGES)
def test_what_is_missing_is_said_when_it_is_built(name: str) -> None:
    config = load_config(CONFIGS / name).interpolate()
    if name == "multitask.cfg":
        with pytest.raises(ValueError, match="no DocBin for the corpus target"):
            registry.resolve(config["corpora"])
    else:
        with pytest.raises(ValueError, match=r"--paths\.start FOLDER"):
            registry.resolve(config["initialize"]["components"])
