"""Training of each kind of arm: spaCy's command line for pipelines, a script for the others."""

import os
import resource
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import spacy
import srsly
from spacy import util
from spacy.language import Language
from spacy.tokens import DocBin

from experiments import (
    levers,  # noqa: F401 (registers what the models of arms are made of)
    silver,
)
from experiments.documents import read_docs
from spacy_btl.evaluation.evaluate import read_examples
from spacy_btl.ml.pretrained import find_encoder
from spacy_btl.packaging.ensembles import make_ensemble
from spacy_btl.packaging.saving import load_pipeline, save_pipeline

HERE = Path(__file__).parent

OF_SPACYS_OWN = "components.transformer.model.name"


def train(
    arm: dict[str, Any],
    settings: dict[str, Any],
    corpus: Path,
    seed: int,
    work: Path,
    python: str = sys.executable,
    sources: Mapping[str, Path] | None = None,
) -> None:
    """Train into ``work``: a pipeline in model-best, or predictions.json; log.jsonl beside it.

    settings: values of the configuration by dotted name. For a script they are its options.
    python: the interpreter, see `environment`.
    sources: the DocBins of other corpora that the arm trains on, by name (`stages`); with a
    "teacher", an encoder and an arm as ``minilm/btl``, their texts as it labels them.
    """
    if "members" in arm:
        average(arm, work)
        return
    if "script" in arm:
        options = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
        module = f"experiments.{Path(arm['script']).stem}"
        commands: list[list[str]] = [
            ["-m", module, str(corpus), str(work), f"--seed={seed}", *options]
        ]
    else:
        commands = []
        if "teacher" in arm:
            sources = {"silver": label(arm, work, sources or {})}
        for config, folder in stages(arm, settings, corpus, seed, work, sources or {}):
            if folder != work and _is_trained(folder, config):
                continue  # another seed has made it
            folder.mkdir(parents=True, exist_ok=True)
            config.to_disk(folder / "config.cfg")
            command = ["-m", "spacy", "train", str(folder / "config.cfg"), "--output", str(folder)]
            commands.append([*command, "--code", str(HERE / "levers.py")])
    with (work / "output.txt").open("w", encoding="utf8") as output:
        for command in commands:
            subprocess.run(
                [python, *command],
                stdout=output,
                stderr=output,
                check=True,
                env=with_this_project(),
            )


def average(arm: dict[str, Any], work: Path) -> None:
    """Make an ensemble of "members", arms that are trained already with the same seed.

    The log has one row: the updates and seconds of all members together.
    """
    folders = [work.parents[1] / member / work.name for member in arm["members"]]
    for folder in folders:
        if not (folder / "model-best").is_dir():
            raise ValueError(
                f"{folder} has no trained pipeline: run that arm first, on this machine"
            )
    members = [load_pipeline(folder / "model-best") for folder in folders]
    nlp = make_ensemble(members)
    save_pipeline(nlp, work / "model-best")
    nlp.config.to_disk(work / "config.cfg")
    ends = [list(srsly.read_jsonl(folder / "log.jsonl"))[-1] for folder in folders]
    row = {name: sum(end[name] for end in ends) for name in ("updates", "seconds")}
    dev = spacy.load(work / "model-best").evaluate(
        read_examples(Path(nlp.config.interpolate()["paths"]["dev"]), nlp)
    )
    scores = {name: dev[name] for name in ("ents_f", "ents_macro_f")}
    srsly.write_jsonl(work / "log.jsonl", [{**row, **scores}])


def label(arm: dict[str, Any], work: Path, sources: Mapping[str, Path]) -> Path:
    """Return the DocBin of the texts of "sources" with the labels of the "teacher" of this seed.

    "share" is the share of the teacher's entities that is kept, of each type.
    """
    folder = work.parents[2] / arm["teacher"] / work.name
    if not (folder / "model-best").is_dir():
        raise ValueError(
            f"{folder} has no trained pipeline: run the teacher first, on this machine"
        )
    path = work / "silver.spacy"
    silver.write(load_pipeline(folder / "model-best"), sources.values(), arm["share"], path)
    return path


def stages(
    arm: dict[str, Any],
    settings: dict[str, Any],
    corpus: Path,
    seed: int,
    work: Path,
    sources: Mapping[str, Path],
) -> list[tuple[util.Config, Path]]:
    """Return the configurations of an arm's trainings, one after another, each with its folder.

    An arm with "sources" trains on them first, in ``work / "first"``, for "first_updates" of all
    its updates, and then on the target; "with_target" reads the target in the first stage too, and
    without "first_updates" that is the only stage. "shared_first" makes one first stage for all
    seeds and corpora, which counts for none of their updates: with the seed 0, in ``first`` above
    all runs; it cannot read the target. "label_sets" is the reader's setting.
    "with_dev" trains on the documents of dev too. The last checkpoint is taken, as dev can choose
    none.
    """
    config = pipeline_config(arm, settings, corpus, seed, work)
    if arm.get("with_dev"):
        config["paths"]["train"] = str(train_and_dev(corpus, work))
        config["training"]["eval_frequency"] = config["training"]["max_steps"]
    if not sources:
        return [(config, work)]
    paths = {name: str(path) for name, path in sources.items()}
    if arm.get("with_target", True):
        paths = {"target": str(corpus / "train.spacy"), **paths}
    reader = {"@readers": "spacy-btl.JointCorpus.v1", "paths": paths, **arm.get("reader", {})}
    n_first = arm.get("first_updates")
    if n_first is None:
        config["corpora"]["train"] = reader
        return [(config, work)]
    shared = arm.get("shared_first", False)
    folder = work.parents[3] / "first" / work.parents[0].name if shared else work / "first"
    first = pipeline_config(arm, settings, corpus, 0 if shared else seed, folder)
    first["corpora"]["train"] = reader
    # The rate falls to 0, so that the last checkpoint is taken, and dev is not asked.
    first["training"].update(max_steps=n_first, eval_frequency=n_first)
    if not shared:
        config["training"]["max_steps"] -= n_first
    config["initialize"]["components"]["btl_knn_ner"] = {
        "start_from": {
            "@misc": "spacy-btl.StartFrom.v1",
            "path": str(folder / "model-last"),
            "unseen": "drop",
        }
    }
    for name, value in arm.get("second", {}).items():
        put(config, name, value)
    return [(first, folder), (config, work)]


def train_and_dev(corpus: Path, work: Path) -> Path:
    """Return a DocBin in ``work`` with the documents of both parts."""
    docs = [doc for part in ("train", "dev") for doc in read_docs(corpus / f"{part}.spacy")]
    path = work / "train-and-dev.spacy"
    work.mkdir(parents=True, exist_ok=True)
    DocBin(docs=docs, store_user_data=True).to_disk(path)
    return path


def _is_trained(folder: Path, config: util.Config) -> bool:
    """Return whether a folder has a training of this configuration that came to its end.

    Data of a fold play no part: a first stage of all seeds does not read them, except for
    dev's scores, which choose nothing.
    """
    config_path, log = folder / "config.cfg", folder / "log.jsonl"
    if not (config_path.is_file() and log.is_file()):
        return False
    known, own = util.load_config(config_path, interpolate=False), config.copy()
    for each in (known, own):
        each["paths"].update(train=None, dev=None)
    if known.to_str(interpolate=False) != own.to_str(interpolate=False):
        return False
    updates = [row["updates"] for row in srsly.read_jsonl(log)]
    return max(updates, default=0) >= config["training"]["max_steps"]


def with_this_project() -> dict[str, str]:
    """Return the environment in which another process can import `experiments`."""
    paths = [str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}


def peak_mib() -> float:
    """Return the largest memory of any process that this one has started and waited for."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / unit


def environment(requirements: list[str], folder: Path) -> str:
    """Return a Python in ``folder`` with these requirements and all that is installed here.

    Packages installed here keep their versions; pip refuses where these do not fit.
    """
    if not requirements:
        return sys.executable
    python = folder / "bin" / "python"
    if python.is_file():
        return str(python)
    # Whole or not at all: runs side by side may make the same one.
    partial = folder.with_name(f"{folder.name}.{os.getpid()}")
    venv.create(partial, with_pip=False)
    (packages,) = partial.glob("lib/python*/site-packages")
    here = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    lines = [f"import site; site.addsitedir({path!r})" for path in sorted(here)]
    (packages / "parent.pth").write_text("\n".join(lines) + "\n", encoding="utf8")
    pins = partial / "installed.txt"
    installed: dict[str, str] = {}
    for each in distributions():  # of two of a name, the first is the one that is imported
        installed.setdefault(each.name, each.version)
    lines = [f"{name}=={number}" for name, number in installed.items()]
    pins.write_text("\n".join(lines) + "\n", encoding="utf8")
    pip = [sys.executable, "-m", "pip", "--python", str(partial / "bin" / "python")]
    subprocess.run(
        [*pip, "install", "--quiet", "--constraint", str(pins), *requirements], check=True
    )
    try:
        partial.rename(folder)
    except OSError:  # another run was faster
        shutil.rmtree(partial)
    return str(python)


def pipeline_config(
    arm: dict[str, Any], settings: dict[str, Any], corpus: Path, seed: int, work: Path
) -> util.Config:
    """Return the arm's configuration file with its values, paths and seed put in."""
    config = util.load_config(HERE.parent / arm["config"], interpolate=False)
    config["paths"].update(
        train=str(corpus / "train.spacy"),
        dev=str(corpus / "dev.spacy"),
        log=str(work / "log.jsonl"),
    )
    config["system"]["seed"] = seed
    config["training"]["logger"] = {
        "@loggers": "experiments.TrainingLog.v1",
        "path": "${paths.log}",
    }
    for name, value in settings.items():
        # Weights that an installed package carries are a folder to all but our own components.
        put(config, name, find_encoder(value) if name == OF_SPACYS_OWN else value)
    return config


def put(config: util.Config, name: str, value: Any) -> None:
    """Set a value of a configuration by its dotted name."""
    *sections, last = name.split(".")
    place = config
    for section in sections:
        place = place[section]
    place[last] = value


def load(work: Path) -> Language:
    """Return the trained pipeline."""
    return spacy.load(work / "model-best")
