"""The transferability matrix: what a first training on each source brings to each target.

For a target, "alone" is a training on it with as many updates as both stages have together. A cell
is a training on the source (or on source and target together), continued on the target. Both are
scored on the target's dev. A corpus is never its own source.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from spacy.tokens import Doc
from thinc.api import Config

from ..data.docbin import read_docbin
from ..data.duplicates import find_duplicates
from ..offsets.surfaces import fold
from ..util.arrays import Floats1d
from ..util.checks import whole_number
from ..util.files import check_apart
from ..util.process import compute_on
from ..util.text import counted
from .correlation import Correlation, correlate
from .predictors import (
    cosine,
    curve_slope,
    known_mentions,
    known_share,
    mean_vector,
    topic_similarities,
    vocabulary_overlap,
)
from .training import Corpus, Training, component_name, perform

CURVE = (0.1, 0.2, 0.3, 0.5, 0.7)
"""Shares of the training documents for the slope of a learning curve, as in the paper."""

VECTOR_DOCUMENTS = 50
"""Documents of a corpus whose token vectors are averaged, at most."""

JOINT = ("with", "from-both")
"""Names of the folders of both stages of a cell that begins with source and target."""

Pair = tuple[str, str]
"""Names of a source and of a target."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Settings of the training of each cell.

    Attributes:
        first: Updates of the first stage.
        second: Updates on the target after it.
        joint: Whether the first stage reads source and target together, each with its own types,
            and not the source alone.
        seeds: Seeds; scores are means over them.
        curve: Whether targets are also trained on parts of their documents, for the slope of the
            learning curve.
    """

    first: int = 800
    second: int = 400
    joint: bool = False
    seeds: tuple[int, ...] = (0,)
    curve: bool = False

    def __post_init__(self) -> None:
        whole_number("first", self.first, 1)
        whole_number("second", self.second, 1)
        if not self.seeds:
            raise ValueError("at least one seed is needed")


@dataclass
class Matrix:
    """The figures of a matrix, as JSON values except for keys that are pairs.

    Attributes:
        sources: Names of the sources.
        targets: Names of the targets.
        alone: Scores by target, of each seed's training on it alone.
        cells: Scores of each seed by source and target.
        predictors: Value for each pair, by name of a predictor.
        by_type: Share of mentions that the source knows by type, by source and target.
        slopes: Slope of the learning curve by target; empty where it was not asked for.
        shared: By source and target, the number of documents of the target's dev that the source's
            training documents have too, or nearly; pairs without any are left out.
    """

    sources: list[str]
    targets: list[str]
    alone: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    cells: dict[Pair, list[dict[str, Any]]] = field(default_factory=dict)
    predictors: dict[str, dict[Pair, float]] = field(default_factory=dict)
    by_type: dict[Pair, dict[str, float]] = field(default_factory=dict)
    slopes: dict[str, float] = field(default_factory=dict)
    shared: dict[Pair, int] = field(default_factory=dict)

    def gains(self, source: str, target: str, level: str) -> list[float]:
        """Return what the source adds to the target alone, seed by seed.

        Args:
            source: Name of the source.
            target: Name of the target.
            level: "micro" or "macro".
        """
        pairs = zip(self.cells[source, target], self.alone[target], strict=True)
        return [cell[level] - alone[level] for cell, alone in pairs]

    def type_gains(self, source: str, target: str) -> dict[str, float]:
        """Return the same for each type that the target's dev has, as means over seeds."""
        cells, alone = self.cells[source, target], self.alone[target]
        return {
            label: fmean(own["types"][label] for own in cells)
            - fmean(own["types"][label] for own in alone)
            for label in alone[0]["types"]
        }

    def correlations(self, level: str) -> dict[str, Correlation]:
        """Return how each predictor orders the sources of a target as their gains do.

        Args:
            level: "micro" or "macro".
        """
        pairs = list(self.cells)
        gains = [fmean(self.gains(*pair, level)) for pair in pairs]
        targets = [target for _, target in pairs]
        found = {
            name: correlate([values[pair] for pair in pairs], gains, targets)
            for name, values in self.predictors.items()
        }
        if self.slopes:
            means = [
                fmean(g for g, of in zip(gains, targets, strict=True) if of == target)
                for target in self.targets
            ]
            slopes = [self.slopes[target] for target in self.targets]
            found["slope of the learning curve, by target"] = correlate(
                slopes, means, [""] * len(means)
            )
        return found

    def type_correlation(self) -> Correlation:
        """Return how the share of known mentions orders the sources of each type of a target."""
        rows = [
            (self.by_type[pair].get(label, 0.0), gain, (pair[1], label))
            for pair in self.cells
            for label, gain in self.type_gains(*pair).items()
        ]
        return correlate(
            [row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows]
        )

    def to_json(self) -> dict[str, Any]:
        """Return all figures; a pair is a key "SOURCE -> TARGET"."""

        def named(values: Mapping[Pair, Any]) -> dict[str, Any]:
            return {f"{source} -> {target}": v for (source, target), v in values.items()}

        return {
            "sources": self.sources,
            "targets": self.targets,
            "alone": self.alone,
            "cells": named(self.cells),
            "predictors": {name: named(values) for name, values in self.predictors.items()},
            "known mentions by type": named(self.by_type),
            "slopes": self.slopes,
            "documents of dev that the source has": named(self.shared),
            "correlations": {
                level: {name: c.to_json() for name, c in self.correlations(level).items()}
                for level in ("micro", "macro")
            },
            "correlation by type": self.type_correlation().to_json(),
        }


def transfer_matrix(
    config: Config,
    sources: Sequence[Corpus],
    targets: Sequence[Corpus],
    out_dir: Path,
    schedule: Schedule,
    *,
    use_gpu: int = -1,
    report: Callable[[str], object] = print,
) -> Matrix:
    """Train what is missing of a matrix, and return all of it.

    Args:
        config: Configuration of each training, as `training.read_config` returns it.
        sources: Corpora to begin with.
        targets: Corpora to be good at; they may be sources of each other.
        out_dir: The folder of all trainings. Trainings in it are not repeated if they have the
            same configuration, documents and schedule.
        schedule: How long and how.
        use_gpu: GPU to use, -1 for the CPU.
        report: Is called with one line before each training that is missing.

    Raises:
        FileNotFoundError: If a part of a corpus is missing.
        ValueError: If two corpora have one name, there is no pair, or the folder is one of a
            corpus or in one.
    """
    corpora = _by_name([*sources, *targets])
    check_apart(out_dir, (corpus.folder for corpus in corpora.values()), names=())
    pairs = [(s.name, t.name) for t in targets for s in sources if s.name != t.name]
    if not pairs:
        raise ValueError("a matrix needs a target and a different corpus as a source")
    matrix = Matrix([s.name for s in sources], [t.name for t in targets])
    _predict(matrix, pairs, corpora, config, use_gpu)

    def run(folder: str, train: Sequence[Corpus], dev: Corpus, updates: int, **more: Any) -> Any:
        score, keep = more.pop("score", True), more.pop("keep", False)
        training = Training(config, tuple(train), dev, updates, **more)
        return perform(
            training,
            out_dir / folder,
            score=score,
            keep=keep,
            use_gpu=use_gpu,
            report=lambda: report(f"{folder}: {counted(updates, 'update')}"),
        )

    for seed in schedule.seeds:
        for target in targets:
            both = schedule.first + schedule.second
            name = f"{seed}/{target.name}"
            alone = run(f"{name}/alone", [target], target, both, seed=seed)
            matrix.alone.setdefault(target.name, []).append(alone["scores"])
        for pair in pairs:
            source, target = (corpora[name] for name in pair)
            if schedule.joint:
                first, last = (f"{seed}/{target.name}/{how}-{source.name}" for how in JOINT)
                read, dev = [target, source], target
            else:
                first, read, dev = f"{seed}/first/{source.name}", [source], source
                last = f"{seed}/{target.name}/from-{source.name}"
            run(first, read, dev, schedule.first, seed=seed, score=False, keep=True)
            cell = run(
                last,
                [target],
                target,
                schedule.second,
                seed=seed,
                start=out_dir / first,
            )
            matrix.cells.setdefault(pair, []).append(cell["scores"])
    for target in targets if schedule.curve else ():
        scores = [
            run(
                f"{seed}/{target.name}/share-{share}",
                [target],
                target,
                schedule.second,
                seed=seed,
                share=share,
            )["scores"]["micro"]
            for share in CURVE
            for seed in schedule.seeds[:1]
        ]
        matrix.slopes[target.name] = curve_slope(CURVE, scores)
    return matrix


def _by_name(corpora: Sequence[Corpus]) -> dict[str, Corpus]:
    found: dict[str, Corpus] = {}
    for corpus in corpora:
        corpus.check()
        if found.setdefault(corpus.name, corpus).folder != corpus.folder:
            raise ValueError(
                f'two corpora have the name "{corpus.name}": '
                f"{found[corpus.name].folder} and {corpus.folder}; write NAME=FOLDER"
            )
    return found


def _predict(
    matrix: Matrix,
    pairs: Sequence[Pair],
    corpora: Mapping[str, Corpus],
    config: Config,
    use_gpu: int,
) -> None:
    """Set the predictors of a matrix, from the training documents."""
    from spacy.vocab import Vocab

    vocab = Vocab()
    docs = {name: read_docbin(corpus.train, vocab) for name, corpus in corpora.items()}
    words = {
        name: {token.lower_ for doc in own for token in doc if token.is_alpha}
        for name, own in docs.items()
    }
    mentions = {name: _mentions(own) for name, own in docs.items()}
    surfaces = {
        name: {surface for counts in own.values() for surface in counts}
        for name, own in mentions.items()
    }
    topics = topic_similarities({name: [doc.text for doc in own] for name, own in docs.items()})
    centers = _centers(docs, next(iter(corpora.values())), config, use_gpu)
    matrix.predictors = {
        "vocabulary": {(s, t): vocabulary_overlap(words[s], words[t]) for s, t in pairs},
        "topics": {pair: topics[pair] for pair in pairs},
        "encoder vectors": {(s, t): cosine(centers[s], centers[t]) for s, t in pairs},
        "known mentions": {(s, t): known_share(surfaces[s], mentions[t]) for s, t in pairs},
    }
    dev = {t: read_docbin(corpora[t].dev, vocab) for t in matrix.targets}
    shared = {(s, t): _n_shared(docs[s], dev[t]) for s, t in pairs}
    matrix.shared = {pair: n for pair, n in shared.items() if n}
    matrix.by_type = {(s, t): known_mentions(surfaces[s], mentions[t]) for s, t in pairs}


def _n_shared(train: Sequence[Doc], dev: Sequence[Doc]) -> int:
    """Return how many documents of dev have the text of a training document, or nearly."""
    groups = find_duplicates(doc.text for doc in [*train, *dev])
    return sum(
        sum(member >= len(train) for member in group.members)
        for group in groups
        if group.members[0] < len(train)
    )


def _mentions(docs: Sequence[Doc]) -> dict[str, Counter[str]]:
    """Return how often each folded surface is a mention, by type."""
    found: dict[str, Counter[str]] = {}
    for doc in docs:
        for ent in doc.ents:
            found.setdefault(ent.label_, Counter())[fold(ent.text)] += 1
    return found


def _centers(
    docs: Mapping[str, Sequence[Doc]], any_corpus: Corpus, config: Config, use_gpu: int
) -> dict[str, Floats1d]:
    """Return the mean token vector of each corpus by the encoder as it comes."""
    from spacy.training.initialize import init_nlp

    compute_on(use_gpu)
    training = Training(config, (any_corpus,), any_corpus, 1, 0)
    full = training.full_config(any_corpus.folder)
    nlp = init_nlp(full, use_gpu=use_gpu)
    model: Any = nlp.get_pipe(component_name(config)).model.get_ref("tok2vec")  # type: ignore[attr-defined]
    centers = {}
    for name, own in docs.items():
        vectors = model.predict([nlp.make_doc(doc.text) for doc in own[:VECTOR_DOCUMENTS]])
        centers[name] = mean_vector([model.ops.to_numpy(rows) for rows in vectors])
    return centers
