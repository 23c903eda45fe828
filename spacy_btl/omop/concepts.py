"""Tables of concepts: label, or label and text, to concept id; section to concept id.

A text counts without its case, and with one space for any white space.
"""

import csv
import io
import unicodedata
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

from .table import MAX_INTEGER

NEEDED = ("label", "concept_id")
COLUMNS = ("label", "text", "concept_id", "source_concept_id")
"""The columns of a table of concepts; those that are not `NEEDED` may be missing."""

SECTION_COLUMNS = ("section", "concept_id")
"""The columns of a table of sections."""

Key = TypeVar("Key", bound=Hashable)


class Concept(NamedTuple):
    """The ids of a concept, 0 where it is unknown."""

    concept_id: int = 0
    source_concept_id: int = 0


UNKNOWN = Concept()


@dataclass(frozen=True, slots=True)
class Concepts:
    """Concepts by label and text; the text is "" for all texts that have no row of their own."""

    by_text: Mapping[tuple[str, str], Concept]

    def find(self, label: str, text: str) -> Concept:
        """Return the concept of an entity, that of its label if its text has none."""
        of_label = self.by_text.get((label, ""), UNKNOWN)
        return self.by_text.get((label, normalized(text)), of_label)


def normalized(text: str) -> str:
    """Return a text as tables of concepts are searched for it."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def read_concepts(path: Path) -> Concepts:
    """Return the concepts of a .csv (with commas or semicolons) or a .tsv file with a header.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not such a file; if a column is unknown, missing or repeated; if an id
            is not a whole number; if an entry is repeated with another id.
    """

    def key(row: Mapping[str, str]) -> tuple[str, str]:
        return row["label"], normalized(row.get("text", ""))

    return Concepts(_read(path, "concepts", COLUMNS, NEEDED, key))


def read_sections(path: Path) -> dict[str, int]:
    """Return the concept ids of sections, each by the `normalized` name of the section.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: As for `read_concepts`.
    """
    columns = SECTION_COLUMNS
    found = _read(path, "sections", columns, columns, lambda row: normalized(row["section"]))
    return {name: concept.concept_id for name, concept in found.items()}


def _read(
    path: Path,
    what: str,
    columns: Sequence[str],
    needed: Sequence[str],
    key: Callable[[Mapping[str, str]], Key],
) -> dict[Key, Concept]:
    """Return the concept of each entry of a table; the first needed column must not be empty."""
    if not path.is_file():
        raise FileNotFoundError(f"the table of {what} {path} does not exist")
    found: dict[Key, tuple[Concept, int]] = {}
    rows = _rows(path)
    _, header = next(rows, (1, []))
    _check_header(path, header, what, columns, needed)
    for line, cells in rows:
        if len(cells) != len(header):
            raise ValueError(
                f"{path}, line {line}: {len(cells)} cells, but the header has {len(header)}"
            )
        row = dict(zip(header, cells, strict=True))
        if not row[needed[0]]:
            raise ValueError(f"{path}, line {line}: {needed[0]} is missing")
        concept = Concept(*(_id(path, line, name, row.get(name)) for name in COLUMNS[2:]))
        first, before = found.setdefault(key(row), (concept, line))
        if concept != first:
            raise ValueError(
                f"{path}, line {line}: the same entry as line {before}, with different ids"
            )
    return {entry: concept for entry, (concept, _) in found.items()}


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not blank, each with the line that it ends in."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8, from byte {error.start}") from error
    first = next((line for line in text.split("\n") if line.strip()), "")
    is_tsv = path.suffix.lower() in (".tsv", ".tab")
    delimiter = "\t" if is_tsv else next((each for each in ",;\t" if each in first), ",")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells):
                yield reader.line_num, cells
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}") from error


def _check_header(
    path: Path, header: Sequence[str], what: str, columns: Sequence[str], needed: Sequence[str]
) -> None:
    """Raise ValueError if a column is unknown, missing or there twice."""
    faults = [f'no column "{name}"' for name in needed if name not in header]
    faults += [f'the unknown column "{name}"' for name in header if name not in columns]
    faults += [f'2 columns "{name}"' for name in columns if header.count(name) > 1]
    if faults:
        more = ", ".join(name for name in columns if name not in needed)
        raise ValueError(
            f"{path}, line 1: {faults[0]}; a table of {what} has {', '.join(needed)}"
            + (f" and, if wanted, {more}" if more else "")
        )


def _id(path: Path, line: int, name: str, value: str | None) -> int:
    """Return the id in a cell; only that of a source concept may be empty, and is 0 then."""
    if not value and name not in NEEDED:
        return 0
    if not value or not (value.isascii() and value.isdigit()) or int(value) > MAX_INTEGER:
        raise ValueError(
            f"{path}, line {line}: {name} is {value!r}, but must be a whole number, at most "
            f"{MAX_INTEGER}"
        )
    return int(value)
