"""One training of a transfer matrix: a configuration with other data, length and start.

A training is kept in its folder with a key, which depends on all that it was made of; one with the
same key is not made again.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.util import load_config
from thinc.api import Config, ConfigValidationError

from ..evaluation.evaluate import evaluate, read_examples
from ..joint.start import SETTING
from ..packaging.saving import load_pipeline
from ..util.files import sha256_of, write_file
from ..util.process import compute_on

OUTPUT = "output.txt"
"""The file with what a training prints, which shows that a folder is one of a training."""

DONE = "done.json"
"""The file of a training that came to its end: its key, and its scores where these are asked."""

FACTORY = "btl_knn_ner"


@dataclass(frozen=True, slots=True)
class Corpus:
    """A corpus that `convert` has written: a folder with train.spacy and dev.spacy.

    Attributes:
        name: Its name.
        folder: The folder.
    """

    name: str
    folder: Path

    @property
    def train(self) -> Path:
        """The training documents."""
        return self.folder / "train.spacy"

    @property
    def dev(self) -> Path:
        """The documents on which checkpoints are chosen and scores are taken."""
        return self.folder / "dev.spacy"

    def check(self) -> None:
        """Raise FileNotFoundError if a part is missing."""
        for path in (self.train, self.dev):
            if not path.is_file():
                raise FileNotFoundError(
                    f"{path} is missing: python -m spacy btl convert SOURCE {self.folder} writes it"
                )


@dataclass(frozen=True, slots=True)
class Training:
    """A training that is to be made.

    Attributes:
        config: The configuration, not interpolated.
        train: Corpora to train on; several are read together.
        dev: The corpus on whose dev the checkpoint is chosen.
        updates: Updates of the weights.
        seed: Seed of the training.
        start: The folder of the training to begin with; None for the encoder's own weights.
        share: Share of the training documents.
    """

    config: Config
    train: tuple[Corpus, ...]
    dev: Corpus
    updates: int
    seed: int
    start: Path | None = None
    share: float = 1.0

    def key(self) -> str:
        """Return what a training depends on, as 64 hexadecimal digits."""
        data = [sha256_of(corpus.train.read_bytes()) for corpus in self.train]
        start = self.start and json.loads((self.start / DONE).read_text("utf8"))["key"]
        parts = [self.config.to_str(interpolate=False), *data, sha256_of(self.dev.dev.read_bytes())]
        parts += [str(value) for value in (self.updates, self.seed, start, self.share)]
        return sha256_of("\0".join(parts).encode())

    def full_config(self, log: Path) -> Config:
        """Return the configuration with all of this put in; ``log`` is the file of its log."""
        config = self.config.copy()
        corpora = config["corpora"]
        if len(self.train) == 1:
            limit = {} if self.share == 1 else {"limit": self._n_documents()}
            corpora["train"].update(path=str(self.train[0].train), **limit)
            corpora["dev"]["path"] = str(self.dev.dev)
        else:
            # With the label set of dev, types of other corpora do not count against a checkpoint.
            corpora["train"] = _joint({corpus.name: corpus.train for corpus in self.train})
            corpora["dev"] = _joint({self.dev.name: self.dev.dev})
        config["system"]["seed"] = self.seed
        training = config["training"]
        training["max_steps"] = self.updates
        training["eval_frequency"] = max(1, min(training["eval_frequency"], self.updates // 4))
        training["logger"] = {
            "@loggers": "spacy.ConsoleLogger.v3",
            "progress_bar": None,
            "console_output": False,
            "output_file": str(log),
        }
        if self.start is not None:
            block = config["initialize"]["components"].setdefault(component_name(config), {})
            block[SETTING] = {
                "@misc": "spacy-btl.StartFrom.v1",
                "path": str(self.start / "model-best"),
                "unseen": "drop",
            }
        return config

    def _n_documents(self) -> int:
        from spacy.tokens import DocBin

        return max(1, round(self.share * len(DocBin().from_disk(self.train[0].train))))


def _joint(paths: Mapping[str, Path]) -> dict[str, Any]:
    """Return a reader of several corpora in a configuration."""
    by_name = {name: str(path) for name, path in paths.items()}
    return {"@readers": "spacy-btl.JointCorpus.v1", "paths": by_name}


def component_name(config: Config) -> str:
    """Return the name of the component that a configuration trains.

    Raises:
        ValueError: If it has none of ours, or several.
    """
    names = [
        name for name, block in config["components"].items() if block.get("factory") == FACTORY
    ]
    if len(names) != 1:
        raise ValueError(
            f"the configuration has {len(names)} components {FACTORY}; exactly one is needed"
        )
    return str(names[0])


def read_config(path: Path) -> Config:
    """Return a configuration that a matrix can be made with, not interpolated.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it does not have exactly one component of ours, or its readers take no path.
    """
    if not path.is_file():
        raise FileNotFoundError(f"the configuration {path} does not exist; configs/btl.cfg is one")
    try:
        config = load_config(path, interpolate=False)
    except (ConfigValidationError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a training configuration: {error}") from error
    if missing := [name for name in ("components", "corpora", "training") if name not in config]:
        raise ValueError(f"{path} is not a training configuration: it has no [{missing[0]}]")
    component_name(config)
    for part in ("train", "dev"):
        if "path" not in config["corpora"].get(part, {}):
            raise ValueError(
                f"{path}: corpora.{part} has no path to a corpus: use a "
                "configuration with spacy.Corpus.v1, such as configs/btl.cfg"
            )
    return config


def perform(
    training: Training,
    folder: Path,
    *,
    score: bool,
    keep: bool,
    use_gpu: int = -1,
    report: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    """Train into a folder, unless the same training is there, and return what is known of it.

    Args:
        training: The training.
        folder: Its folder, which is emptied where another training is in it.
        score: Whether to score it on its dev.
        keep: Whether the pipeline is kept, in ``model-best``.
        use_gpu: GPU to use, -1 for the CPU.
        report: Is called before the training, if it is not there already.

    Returns:
        Its ``key`` and, if it was scored, ``scores``.

    Raises:
        FileExistsError: If the folder has files, and not those of a training.
    """
    done, key = folder / DONE, training.key()
    if done.is_file():
        known: dict[str, Any] = json.loads(done.read_text("utf8"))
        if known["key"] == key and (not keep or (folder / "model-best").is_dir()):
            return known
    if folder.is_dir() and any(folder.iterdir()) and not (folder / OUTPUT).is_file():
        raise FileExistsError(f"{folder} contains other files; name another folder")
    report()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _train(training, folder, use_gpu)
    known = {"key": key}
    if score:
        known["scores"] = scores_on(load_pipeline(folder / "model-best"), training.dev.dev)
    shutil.rmtree(folder / "model-last", ignore_errors=True)
    if not keep:
        shutil.rmtree(folder / "model-best")
    write_file(done, json.dumps(known, indent=1))
    return known


def _train(training: Training, folder: Path, use_gpu: int) -> None:
    from spacy.training.initialize import init_nlp
    from spacy.training.loop import train

    compute_on(use_gpu)
    config = training.full_config(folder / "log.jsonl")
    with (folder / OUTPUT).open("w", encoding="utf8") as output:
        nlp = init_nlp(config, use_gpu=use_gpu)
        train(nlp, folder, use_gpu=use_gpu, stdout=output, stderr=output)


def scores_on(nlp: Language, path: Path) -> dict[str, Any]:
    """Return strict micro and macro F1 on a DocBin, and the F1 of each type that it has."""
    scores = evaluate(nlp, read_examples(path, nlp), progress=False)["scores"]
    types = scores["ents_per_type"] or {}
    return {
        "micro": scores["ents_f"],
        "macro": scores["ents_macro_f"],
        "types": {label: own["f"] for label, own in types.items() if own["support"]},
    }
