"""Forecasts of what more annotated reports bring, from trainings on parts of those at hand.

Each training is kept as counts of the dev documents, from which all curves are made: strict micro
and macro F1, and the macro mean over rare, middle and frequent types. A type that a part lacks
counts as missed there, as it would for somebody who has no more than this part.

The same dev documents choose the checkpoint and are scored, which makes all scores a little high.
"""

import json
import math
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab
from thinc.api import Config

from ..data.docbin import read_docbin
from ..evaluation.evaluate import evaluate, read_examples
from ..packaging.saving import load_pipeline
from ..scoring.counts import DocumentCounts
from ..scoring.scorer import gold_entities
from ..scoring.scores import span_figures
from ..transfer.training import Corpus, Training, perform, read_config
from ..util.arrays import Float64sXd
from ..util.checks import whole_number
from ..util.files import write_file
from ..util.text import counted, markdown_table
from .power_law import CurveForecast, forecast_curve, training_noise

GROUPS = {"rare": (0, 39), "middle": (40, 199), "frequent": (200, 2**63)}
"""Fewest and most mentions in training of the types that are taken together."""

GAINS = (0.02, 0.05, 0.1)
"""Gains of F1 whose price in reports is given."""

TIMES = (1.5, 2.0, 4.0)
"""Multiples of the documents at hand at which scores are forecast."""

FARTHEST = 10
"""Multiple of the documents at hand beyond which no number of reports is given."""

COUNTS = "counts.json"
"""The file of a training with the counts of the dev documents."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ForecastSettings:
    """Settings of a learning curve.

    Attributes:
        sizes: Numbers of training documents; none for a quarter, half and all of them.
        repeats: Trainings of each size, each on other documents and with another seed. Those of a
            smaller size are among those of a greater.
        updates: ``training.max_steps`` of each training; 0 for that of the configuration.
        samples: Draws behind the intervals.
        seed: Seed of documents, trainings and draws.

    Raises:
        ValueError: If a setting is out of its range.
    """

    sizes: Sequence[int] = ()
    repeats: int = 2
    updates: int = 0
    samples: int = 300
    seed: int = 0

    def __post_init__(self) -> None:
        for size in self.sizes:
            whole_number("a size", size, 1)
        if len(set(self.sizes)) == 1:
            raise ValueError("a learning curve needs two different sizes or more")
        whole_number("repeats", self.repeats, 1)
        whole_number("updates", self.updates, 0)
        whole_number("samples", self.samples, 20)
        whole_number("seed", self.seed, 0)


class CurvePoint(NamedTuple):
    """A training on a part of the documents.

    Attributes:
        size: Number of its training documents.
        documents: Counts of the documents that it was scored on, the same for all points.
    """

    size: int
    documents: Sequence[DocumentCounts]


@dataclass(frozen=True, slots=True)
class Forecast:
    """Learning curves and how they go on.

    Attributes:
        documents: Number of training documents at hand.
        scored: Number of documents that the trainings were scored on.
        sizes: Number of training documents of each training.
        observed: Score of each training, by figure.
        types: Types behind each figure.
        curves: The fitted curves, by figure: "micro", "macro", and those of `GROUPS`.
    """

    documents: int
    scored: int
    sizes: list[int]
    observed: dict[str, list[float]]
    types: dict[str, list[str]]
    curves: dict[str, CurveForecast]

    def to_json(self) -> dict[str, object]:
        """Return everything as JSON values; what no number of reports brings is null."""

        def finite(values: Sequence[float]) -> list[float | None]:
            return [round(value, 4) if math.isfinite(value) else None for value in values]

        return {
            "documents": self.documents,
            "scored_documents": self.scored,
            "figures": {
                name: {
                    "types": self.types[name],
                    "trainings": [
                        {"documents": size, "score": round(score, 4)}
                        for size, score in zip(self.sizes, self.observed[name], strict=True)
                    ],
                    "law": {key: getattr(curve.law, key) for key in ("a", "b", "c", "m")},
                    "scores": {
                        str(n): finite(curve.score(n)) for n in [self.documents, *self._later()]
                    },
                    "more_documents": {
                        f"{gain:g}": finite(curve.more_for(gain, self.documents)) for gain in GAINS
                    },
                }
                for name, curve in self.curves.items()
            },
        }

    def to_text(self) -> str:
        """Return the forecasts as tables."""
        later = self._later()
        names = {
            name: f"macro F1, {name} types ({len(self.types[name])})" for name in self.curves
        } | {"micro": "micro F1", "macro": f"macro F1 ({len(self.types.get('macro', []))} types)"}
        scores, needs = [], []
        for name, curve in self.curves.items():
            shown = [
                f"{e:.3f} ({low:.3f} to {high:.3f})" for e, low, high in map(curve.score, later)
            ]
            scores.append([names[name], f"{curve.score(self.documents)[0]:.3f}", *shown])
            needs.append([names[name], *(self._needed(curve, gain) for gain in GAINS)])
        heads = [f"{n} reports" for n in (self.documents, *later)]
        return "\n".join(
            [
                f"Forecast from {counted(len(self.sizes), 'training')} on "
                f"{', '.join(map(str, sorted(set(self.sizes))))} reports, scored on "
                f"{counted(self.scored, 'document')}; in brackets 95% intervals",
                "",
                *markdown_table(["strict", *heads], scores),
                "",
                f"Reports needed beside the {self.documents} at hand:",
                "",
                *markdown_table(["strict", *(f"for +{gain:g}" for gain in GAINS)], needs),
            ]
        )

    def _later(self) -> list[int]:
        return [round(times * self.documents) for times in TIMES]

    def _needed(self, curve: CurveForecast, gain: float) -> str:
        most = FARTHEST * self.documents
        more, low, high = curve.more_for(gain, self.documents)
        if low > most:
            return f"more than {most:,}"
        about = f"about {_two_digits(more):,}" if more <= most else f"more than {most:,}"
        upper = f"to {_two_digits(high):,}" if high <= most else f"to more than {most:,}"
        return f"{about} ({_two_digits(low):,} {upper})"


def forecast(
    config: Path | Config,
    train: Path,
    dev: Path,
    output: Path,
    settings: ForecastSettings | None = None,
    *,
    use_gpu: int = -1,
    report: Callable[[str], object] = lambda line: None,
) -> Forecast:
    """Train on parts of the documents at hand, and return how the scores go on with more of them.

    Args:
        config: A training configuration, such as configs/btl.cfg.
        train: DocBin of the training documents at hand.
        dev: DocBin of the documents that choose checkpoints and are scored.
        output: Folder for the trainings, whose counts are kept; finished ones are skipped.
        settings: Sizes, repeats and updates; None for the defaults.
        use_gpu: GPU to use, -1 for the CPU.
        report: Is called with a line before each training.

    Raises:
        ValueError: If there are too few documents, no entity in ``dev``, a size is larger than the
            number of documents, or the configuration does not limit its updates.
        OSError: If a file cannot be read or written.
    """
    settings = settings or ForecastSettings()
    if isinstance(config, Path):
        config = read_config(config)
    docs, dev_docs = read_docbin(train, Vocab()), read_docbin(dev, Vocab())
    sizes = sizes_of(len(docs), settings)
    updates = settings.updates or int(config.interpolate()["training"]["max_steps"])
    if updates < 1:
        raise ValueError("the configuration has no max_steps: give the number of updates")
    if not any(gold_entities(doc) for doc in dev_docs):
        raise ValueError(f"{dev} has no entity to score on")
    output.mkdir(parents=True, exist_ok=True)
    points = []
    plan = [(size, repeat) for size in sizes for repeat in range(settings.repeats)]
    for number, (size, repeat) in enumerate(plan, 1):
        seed = settings.seed + repeat
        title = f"training {number} of {len(plan)}: {size} reports, seed {seed}"
        counts = _train_part(
            config,
            part_of(docs, size, seed),
            dev,
            output / f"{size}-{seed}",
            updates=updates,
            seed=seed,
            use_gpu=use_gpu,
            report=partial(report, title),
        )
        points.append(CurvePoint(size, counts))
    mentions = Counter(label for doc in docs for label, _ in gold_entities(doc))
    return forecast_of(points, mentions, len(docs), samples=settings.samples, seed=settings.seed)


def sizes_of(n_documents: int, settings: ForecastSettings) -> list[int]:
    """Return the sizes of a curve, ascending.

    Raises:
        ValueError: If there are fewer than two documents, or fewer than a size.
    """
    if n_documents < 2:
        documents = counted(n_documents, "training document")
        raise ValueError(f"{documents} make no learning curve: give two or more")
    quarters = (math.ceil(n_documents / 4), math.ceil(n_documents / 2), n_documents)
    sizes = sorted(set(settings.sizes or quarters))
    if sizes[-1] > n_documents:
        raise ValueError(f"a size is {sizes[-1]}, but there are {n_documents} training documents")
    return sizes


def parse_sizes(text: str) -> list[int]:
    """Return numbers that are separated by commas.

    Raises:
        ValueError: If one is not a whole number.
    """
    try:
        return [int(size) for size in text.split(",")] if text.strip() else []
    except ValueError:
        raise ValueError(f"sizes is {text!r}, but must be whole numbers, as 20,40,80") from None


def part_of(docs: Sequence[Doc], size: int, seed: int) -> list[Doc]:
    """Return some of the documents; a larger part of the same seed has those of a smaller one."""
    order = list(range(len(docs)))
    random.Random(seed).shuffle(order)
    return [docs[i] for i in sorted(order[:size])]


def forecast_of(
    points: Sequence[CurvePoint],
    mentions: Mapping[str, float],
    documents: int,
    *,
    samples: int = 300,
    seed: int = 0,
) -> Forecast:
    """Return the curves of trainings that were scored on the same documents.

    Args:
        points: The trainings, of two different sizes or more.
        mentions: Number of mentions of each type in the training documents at hand, for `GROUPS`.
        documents: Number of training documents at hand.
        samples: Draws behind the intervals.
        seed: Seed of the draws.

    Raises:
        ValueError: If there is no gold entity, or fewer than two sizes.
    """
    every = [counts["spans"] for point in points for counts in point.documents]
    labels = sorted({label for spans in every for label, counts in spans.items() if counts[0]})
    if not labels:
        raise ValueError("no document to score on has an entity")
    tables = np.array([[_row(each, labels) for each in point.documents] for point in points])
    n = tables.shape[1]
    draws = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=samples)
    types = {"micro": labels, "macro": labels} | {
        name: [label for label in labels if low <= mentions.get(label, 0) <= high]
        for name, (low, high) in GROUPS.items()
    }
    found = Forecast(documents, n, [point.size for point in points], {}, {}, {})
    for name, own in types.items():
        if not own:
            continue
        columns = [labels.index(label) for label in own]
        part = tables[:, :, columns]
        observed = _figure(part.sum(axis=1), micro=name == "micro")
        # (n_points, n_draws), NaN where no type of the group is among the drawn documents.
        drawn = _figure(np.einsum("sd,pdtk->pstk", draws, part), micro=name == "micro")
        resampled = np.where(np.isnan(drawn), observed[:, None], drawn).T
        noise = training_noise(found.sizes, observed)
        found.observed[name], found.types[name] = observed.tolist(), own
        found.curves[name] = forecast_curve(found.sizes, observed, resampled, noise, seed=seed)
    return found


def _figure(counts: Float64sXd, *, micro: bool) -> Float64sXd:
    """Return micro or macro F1 of counts (..., n_types, 3); types without gold have no part."""
    found = span_figures(np.swapaxes(counts, -1, -2))
    return found["ents_f" if micro else "ents_macro_f"]


def _row(counts: DocumentCounts, labels: Sequence[str]) -> list[Sequence[int]]:
    return [counts["spans"].get(label, (0, 0, 0)) for label in labels]


def _train_part(
    config: Config,
    part: Sequence[Doc],
    dev: Path,
    folder: Path,
    *,
    updates: int,
    seed: int,
    use_gpu: int,
    report: Callable[[], object],
) -> list[DocumentCounts]:
    """Return the counts of the dev documents by a training on a part, made where it is missing."""
    # In the folder, as it has text: it goes where the user keeps such files.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".part-") as name:
        corpus = Corpus("part", Path(name))
        DocBin(docs=part, store_user_data=True).to_disk(corpus.train)
        shutil.copyfile(dev, corpus.dev)
        training = Training(config, (corpus,), corpus, updates, seed)
        key, path = training.key(), folder / COUNTS
        if path.is_file():
            known = _read_counts(path)
            if known["key"] == key:
                return [row["counts"] for row in known["documents"]]
            shutil.rmtree(folder)
        perform(training, folder, score=False, keep=True, use_gpu=use_gpu, report=report)
    nlp = load_pipeline(folder / "model-best")
    rows = evaluate(nlp, read_examples(dev, nlp), progress=False)["by_document"]
    kept = [{"name": row["name"], "counts": row["counts"]} for row in rows]
    write_file(path, json.dumps({"key": key, "documents": kept}))
    shutil.rmtree(folder / "model-best")
    return [row["counts"] for row in rows]


def _read_counts(path: Path) -> dict[str, Any]:
    """Return what a training has left; ValueError if its file is damaged."""
    try:
        known: dict[str, Any] = json.loads(path.read_text("utf8"))
        _ = known["key"], [row["counts"] for row in known["documents"]]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path} is damaged: delete it, to train again") from None
    return known


def _two_digits(value: float) -> int:
    """Return a number rounded to two digits."""
    return int(round(value, 1 - math.floor(math.log10(value)))) if value >= 10 else round(value)
