"""The configuration that is shipped is the one that the experiments measured."""

import shlex
from pathlib import Path

import pytest
import srsly
from spacy.util import load_config, registry

from experiments import systems
from experiments.plan import Run, read_plan

ROOT = Path(__file__).parents[2]

SHIPPED = {
    "btl-layers": ("plan.yml", "btl.cfg"),
    "atl-layers": ("plan.yml", "atl.cfg"),
    "type-crf-tenth": ("quality.yml", "crf.cfg"),
}


@pytest.mark.parametrize("arm", SHIPPED)
def test_the_shipped_configuration_is_that_of_the_arm(arm: str, tmp_path: Path) -> None:
    file, name = SHIPPED[arm]
    plan = read_plan(ROOT / "experiments" / file)
    run = Run("maccrobat", "minilm", arm, 0)
    config = systems.pipeline_config(
        plan.arms[arm], plan.settings(run), tmp_path, run.seed, tmp_path
    )
    shipped = load_config(ROOT / "configs" / name)
    for each in (config, shipped):
        for split in ("train", "dev", "log"):
            each["paths"][split] = None
        del each["training"]["logger"]  # the experiments have their own
    optimizer = config["training"]["optimizer"]
    optimizer.setdefault("layer_decay", 0.87)
    optimizer.setdefault("head_factor", 4.0)
    loss = config["components"]["btl_knn_ner"]["loss"]
    if "tau" in loss:
        loss.update(rate_factor=20.0, reduction="weights")  # its defaults
    assert config.interpolate() == shipped.interpolate()


PLAN = read_plan(ROOT / "experiments" / "plan.yml")


@pytest.mark.parametrize("name", [name for name, arm in PLAN.arms.items() if "config" in arm])
def test_batcher_optimizer_and_loss_of_every_arm_are_whole(name: str, tmp_path: Path) -> None:
    run = next(run for run in PLAN.runs if run.arm == name)
    settings = PLAN.settings(run)
    config = systems.pipeline_config(PLAN.arms[name], settings, tmp_path, 0, tmp_path)
    config = config.interpolate()
    blocks = {key: config["training"][key] for key in ("batcher", "optimizer", "logger")}
    if "btl_knn_ner" in config["components"]:
        blocks["loss"] = config["components"]["btl_knn_ner"]["loss"]
    assert all(map(callable, registry.resolve(blocks).values()))
    assert config["training"]["max_steps"] == settings["training.max_steps"]


@pytest.mark.parametrize("name", [name for _, name in SHIPPED.values()])
def test_the_project_sets_what_the_configuration_has(name: str) -> None:
    project = srsly.read_yaml(ROOT / "project.yml")
    (command,) = [each for each in project["commands"] if each["name"] == "train"]
    words = shlex.split(command["script"][-1])
    names = [word[2:] for word in words if word.startswith("--") and "." in word]
    assert "training.optimizer.head_factor" in names
    config = load_config(ROOT / "configs" / name, interpolate=False)
    variables = project["vars"]
    for key in names:
        *sections, last = key.split(".")
        place = config
        for section in sections:
            place = place[section]
        assert last in place, key
    optimizer = config["training"]["optimizer"]
    assert optimizer["head_factor"] == variables["head_factor"]
    assert optimizer["learn_rate"]["initial_rate"] == variables["learn_rate"]
    assert config["training"]["max_steps"] == variables["max_steps"]


def test_the_default_of_the_plan_is_shipped() -> None:
    arm, _ = read_plan(ROOT / "experiments" / "plan.yml").default
    project = srsly.read_yaml(ROOT / "project.yml")
    assert project["vars"]["config"] == f"configs/{SHIPPED[arm][1]}"
