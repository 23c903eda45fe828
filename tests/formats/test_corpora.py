"""Every entity of the corpora is read, by a count of its own; skipped where there are none."""

import re
from pathlib import Path

import pytest

from spacy_btl.conversion.reading import read_source

CORPORA = Path(__file__).parents[3] / "shared" / "corpora"
FORMATS = {
    # suffix, and what an entity begins with in the bytes of a file
    "pubtator": (".PubTator", rb"(?m)^\d+\t\d+\t\d+\t[^\t\n]+\t[A-Za-z]+"),
    **{f"crichton/{name}": (".tsv", rb"\tB-") for name in ("NCBI-disease", "BC5CDR", "BioNLP11ID")},
}
PROBLEMS = {"pubtator": 40}
"""Entities of GNormPlus and one of NCBI-disease are not at their words."""


@pytest.mark.parametrize("name", FORMATS)
def test_every_entity_is_read(name):
    if not (CORPORA / name).is_dir():
        pytest.skip(f"{name} is not beside the tree")
    suffix, pattern = FORMATS[name]
    source = read_source(CORPORA / name)
    counts: dict[str, int] = {}
    for document in source.documents:
        ((file, part),) = document.parts
        counts[file] = counts.get(file, 0) + len(part.entities)
    assert counts == {
        path.relative_to(CORPORA / name).as_posix(): len(re.findall(pattern, path.read_bytes()))
        for path in (CORPORA / name).rglob(f"*{suffix}")
    }
    problems = [problem for document in source.documents for problem in document.problems]
    assert {problem.reason for problem in problems} <= {"surface"}
    assert len(problems) == PROBLEMS.get(name, 0)
