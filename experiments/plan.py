"""The plan of the experiments: arms, corpora, seeds and encoders, and the runs they make."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import srsly

STAGES = ("first_updates", "with_target", "shared_first", "reader", "second", "teacher", "share")
"""Settings of an arm for the stages of its training; see `systems.stages`."""

Reading = tuple[str, str]
"""An arm and a way of reading it."""


@dataclass(frozen=True)
class Run:
    """One training on one split of one corpus; its key is its name in the results."""

    corpus: str
    encoder: str
    arm: str
    seed: int

    @property
    def key(self) -> str:
        """``corpus/encoder/arm/seed``, a path below the results."""
        return f"{self.corpus}/{self.encoder}/{self.arm}/{self.seed}"


@dataclass(frozen=True)
class Plan:
    """The content of a plan file; see ``plan.yml``."""

    corpora: dict[str, dict[str, Any]]
    encoders: dict[str, dict[str, Any]]
    kinds: dict[str, dict[str, Any]]
    arms: dict[str, dict[str, Any]]
    runs: list[Run]
    default: Reading
    """The arm that is shipped, as it is read."""
    against: list[Reading]
    """The default is compared with these, beside the peers."""
    steps: list[Reading]
    """The steps from standard fine-tuning to the default."""
    others: list[tuple[Reading, Reading]] = field(default_factory=list)
    """More pairs to compare, the first minus the second."""
    sources: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Other corpora that arms train on."""

    def kind(self, run: Run) -> dict[str, Any]:
        """Return how the arm of a run is trained."""
        return self.kinds[self.arms[run.arm].get("kind", "ours")]

    def settings(self, run: Run) -> dict[str, Any]:
        """Return values by the names that the arm's configuration or script has for them.

        The budget and the encoder's values come first, then those of the arm under ``with``, each
        under the name that the kind gives it; last the arm's own under ``set``.
        """
        arm, names = self.arms[run.arm], self.kind(run)["names"]
        values = {**self.encoders[run.encoder]["with"], **arm.get("with", {})}
        return {**{names[key]: value for key, value in values.items()}, **arm.get("set", {})}

    def stages(self, run: Run) -> dict[str, Any]:
        """Return the stages of an arm on other corpora, or the members of an ensemble, if any."""
        arm = self.arms[run.arm]
        if "members" in arm:
            return {"members": arm["members"]}
        found = {name: arm[name] for name in STAGES if name in arm}
        return {**found, "sources": self.sources_of(run)} if "sources" in arm else {}

    def sources_of(self, run: Run) -> dict[str, dict[str, Any]]:
        """Return the other corpora that an arm trains on, with their settings."""
        return {name: self.sources[name] for name in self.arms[run.arm].get("sources", [])}


def read_plan(path: Path) -> Plan:
    """Read a plan; runs in the order of the file, none twice.

    Raises ValueError for a run that names what the plan does not have.
    """
    values = srsly.read_yaml(path)
    tables = {name: values[name] for name in ("corpora", "encoders", "arms")}
    kinds = values["kinds"]
    runs: dict[Run, None] = {}
    for group in values["runs"]:
        for seed in group["seeds"]:
            for corpus in group["corpora"]:
                for encoder in group["encoders"]:
                    for arm in group["arms"]:
                        _check(path, tables, corpora=corpus, encoders=encoder, arms=arm)
                        runs[Run(corpus, encoder, arm, seed)] = None
    default, *_ = readings([values.get("default", [next(iter(tables["arms"])), "model"])])
    shown = {name: readings(values.get(name, [])) for name in ("against", "steps")}
    others = [tuple(readings(pair)) for pair in values.get("others", [])]
    sources = values.get("sources", {})
    for name, arm in tables["arms"].items():
        if arm.get("shared_first") and arm.get("with_target", True):
            raise ValueError(f"{path}: arm {name}: a shared first stage cannot read the target")
        if unknown := set(arm.get("members", [])) - set(tables["arms"]):
            raise ValueError(f"{path}: arm {name} names members that are not arms: {unknown}")
        if unknown := set(arm.get("sources", [])) - set(sources):
            raise ValueError(f"{path}: arm {name} names sources that are not there: {unknown}")
    return Plan(
        **tables,
        kinds=kinds,
        runs=list(runs),
        default=default,
        **shown,
        others=others,
        sources=sources,
    )


def readings(values: Iterable[Iterable[str]]) -> list[Reading]:
    """Return arms with their ways of reading."""
    return [(arm, way) for arm, way in values]


def chosen(runs: list[Run], pattern: str) -> list[Run]:
    """Return the runs whose key holds the regular expression."""
    return [run for run in runs if re.search(pattern, run.key)]


def _check(path: Path, tables: Mapping[str, Mapping[str, Any]], **names: str) -> None:
    for table, name in names.items():
        if name not in tables[table]:
            raise ValueError(f"{path}: a run names {name}, which is not among the {table}")
