"""Documents read from files that a test writes."""

from pathlib import Path
from typing import Any

from spacy_btl.conversion.reading import Reading, Source, read_source
from tests.helpers.files import write_tree


def read_tree(folder: Path, files: dict[str, bytes | str], **options: Any) -> Source:
    """Return what is read from a file, or from a folder of several."""
    root = write_tree(folder / "source", files)
    path = root / next(iter(files)) if len(files) == 1 else root
    return read_source(path, Reading(**options))


def entities(source: Source) -> list[tuple[str, int, str, tuple[tuple[int, int], ...], str]]:
    """Return document, line, label, offsets and surface text of all entities."""
    return [
        (document.name, e.line, e.label, e.fragments, e.text)
        for document in source.documents
        for e in document.standoff.entities
    ]


def problems(source: Source) -> list[tuple[int, str, str]]:
    """Return line, level and reason of all problems."""
    return [
        (problem.line, problem.level, problem.reason)
        for document in source.documents
        for problem in document.problems
    ]
