"""The configuration that is shipped is the one that the experiments measured."""

import sys
from pathlib import Path

import pytest
import srsly

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks" / "experiments"))

import systems  # noqa: E402
from plan import Run, read_plan  # noqa: E402
from spacy.util import load_config  # noqa: E402

SHIPPED = {"btl-layers": "btl.cfg", "atl-layers": "atl.cfg"}


@pytest.mark.parametrize(("arm", "name"), SHIPPED.items())
def test_the_shipped_configuration_is_that_of_the_arm(arm: str, name: str, tmp_path: Path) -> None:
    plan = read_plan(ROOT / "benchmarks" / "experiments" / "plan.yml")
    run = Run("maccrobat", "minilm", arm, 0)
    config = systems.pipeline_config(
        plan.arms[arm], plan.settings(run), tmp_path, run.seed, tmp_path
    )
    shipped = load_config(ROOT / "configs" / name)
    for each in (config, shipped):
        for split in ("train", "dev", "log"):
            each["paths"][split] = None
    optimizer = config["training"]["optimizer"]
    optimizer.setdefault("layer_decay", 0.87)
    optimizer.setdefault("head_factor", 4.0)
    assert config.interpolate() == shipped.interpolate()


def test_the_default_of_the_plan_is_shipped() -> None:
    arm, _ = read_plan(ROOT / "benchmarks" / "experiments" / "plan.yml").default
    project = srsly.read_yaml(ROOT / "project.yml")
    assert project["vars"]["config"] == f"configs/{SHIPPED[arm]}"
