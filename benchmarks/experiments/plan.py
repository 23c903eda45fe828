"""The plan of the experiments: arms, corpora, seeds and encoders, and the runs they make."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import srsly


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
    """What a plan file says; see ``plan.yml``."""

    corpora: dict[str, dict[str, Any]]
    encoders: dict[str, dict[str, Any]]
    arms: dict[str, dict[str, Any]]
    runs: list[Run]

    def settings(self, run: Run) -> dict[str, Any]:
        """Values of the training configuration by their dotted names: of encoder, corpus, arm."""
        names = [
            (self.encoders, run.encoder),
            (self.corpora, run.corpus),
            (self.arms, run.arm),
        ]
        merged: dict[str, Any] = {}
        for table, name in names:
            merged.update(table[name].get("set", {}))
        return merged


def read_plan(path: Path) -> Plan:
    """Read a plan; runs in the order of the file, none twice.

    Raises ValueError for a run that names what the plan does not have.
    """
    values = srsly.read_yaml(path)
    tables = {name: values[name] for name in ("corpora", "encoders", "arms")}
    runs: dict[Run, None] = {}
    for group in values["runs"]:
        for seed in group["seeds"]:
            for corpus in group["corpora"]:
                for encoder in group["encoders"]:
                    for arm in group["arms"]:
                        _check(path, tables, corpora=corpus, encoders=encoder, arms=arm)
                        runs[Run(corpus, encoder, arm, seed)] = None
    return Plan(**tables, runs=list(runs))


def chosen(runs: list[Run], pattern: str) -> list[Run]:
    """The runs whose key holds the regular expression."""
    return [run for run in runs if re.search(pattern, run.key)]


def _check(path: Path, tables: Mapping[str, Mapping[str, Any]], **names: str) -> None:
    for table, name in names.items():
        if name not in tables[table]:
            raise ValueError(f"{path}: a run names {name}, which is not among the {table}")
