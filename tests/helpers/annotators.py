"""Two annotators of the same text, as folders of BRAT files."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from spacy_btl.brat import Entity, Fragments
from spacy_btl.curation.agreement import Agreement, agreement_of
from spacy_btl.curation.annotators import Annotations, Pair, Version
from tests.helpers.files import write_tree

TEXT = (
    "She has a long history of asthma and fever. She takes 5 mg salbutamol daily for asthma, "
    "no cough or chest pain."
)
ANNA = """\
T1\tProblem 26 32\tasthma
T2\tProblem 37 42\tfever
T3\tHistory 15 32\thistory of asthma
T4\tDose 54 58\t5 mg
T5\tDrug 59 69\tsalbutamol
T6\tProblem 80 86\tasthma
T7\tProblem 91 96\tcough
T8\tProblem 100 110\tchest pain
"""
BEN = """\
T1\tProblem 26 32\tasthma
T2\tProblem 37 42\tfever
T3\tHistory 10 32\tlong history of asthma
T4\tDrug 54 58\t5 mg
T5\tDrug 59 75\tsalbutamol daily
T6\tProblem 80 86\tasthma
T7\tProblem 88 90;100 110\tno chest pain
"""


def two_folders(
    folder: Path,
    anna: Mapping[str, tuple[str, str]] | None = None,
    ben: Mapping[str, tuple[str, str]] | None = None,
) -> tuple[Path, Path]:
    """Write text and annotation of each document, by name; by default those above."""
    found = []
    for name, own, ann in (("anna", anna, ANNA), ("ben", ben, BEN)):
        documents = {"case": (TEXT, ann)} if own is None else own
        files = {f"{doc}.txt": text for doc, (text, _) in documents.items()}
        files |= {f"{doc}.ann": ann for doc, (_, ann) in documents.items()}
        found.append(write_tree(folder / name, files))
    return found[0], found[1]


def version(entities: Sequence[tuple[str, Fragments]], types: Sequence[str] = ()) -> Version:
    """Return a version with these entities."""
    own = [Entity(f"T{i}", *entity, "") for i, entity in enumerate(entities, 1)]
    return Version(tuple(own), types=frozenset(types) or None)


def agreement_on(
    text: str, a: Sequence[tuple[str, Fragments]], b: Sequence[tuple[str, Fragments]]
) -> Agreement:
    """Return the agreement on one document."""
    return agreement_of(Annotations(("anna", "ben"), [Pair("x", text, version(a), version(b))]))
