"""How each kind of arm is trained: spaCy's command line for pipelines, a script for the others."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import spacy
from spacy import util
from spacy.language import Language

from spacy_btl.encoders import find_encoder

HERE = Path(__file__).parent

OF_SPACYS_OWN = "components.transformer.model.name"


def train(
    arm: dict[str, Any], settings: dict[str, Any], corpus: Path, seed: int, work: Path
) -> None:
    """Train into ``work``: a pipeline in model-best, or predictions.json; log.jsonl beside it.

    settings: values of the configuration by dotted name. For a script they are its options.
    """
    if "script" in arm:
        options = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
        command = [str(HERE / arm["script"]), str(corpus), str(work), f"--seed={seed}", *options]
    else:
        path = work / "config.cfg"
        pipeline_config(arm, settings, corpus, seed, work).to_disk(path)
        command = ["-m", "spacy", "train", str(path), "--output", str(work)]
    with (work / "output.txt").open("w", encoding="utf8") as output:
        subprocess.run([sys.executable, *command], stdout=output, stderr=output, check=True)


def pipeline_config(
    arm: dict[str, Any], settings: dict[str, Any], corpus: Path, seed: int, work: Path
) -> util.Config:
    """The arm's configuration file with its values, paths and seed put in."""
    config = util.load_config(HERE.parents[1] / arm["config"], interpolate=False)
    config["paths"].update(
        train=str(corpus / "train.spacy"),
        dev=str(corpus / "dev.spacy"),
        log=str(work / "log.jsonl"),
    )
    config["system"]["seed"] = seed
    for name, value in settings.items():
        *sections, last = name.split(".")
        place = config
        for section in sections:
            place = place[section]
        # Weights that an installed package carries are a folder to all but our own components.
        place[last] = find_encoder(value) if name == OF_SPACYS_OWN else value
    return config


def load(work: Path) -> Language:
    """The trained pipeline."""
    return spacy.load(work / "model-best")
