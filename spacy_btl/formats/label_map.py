"""Rename types, make several one, keep them apart, or leave them out; and check label sets."""

import csv
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import srsly

from ..brat import Document, Entity, Record, Standoff, without_references
from ..util.text import counted

SHOWN = 3
"""Entities that a message lists."""

_YAML = (".yaml", ".yml")
_is_path = re.compile(r"[^,]*[/\\][^,]*|[^,]*\.[a-z]{2,5}").fullmatch


class Mapped(NamedTuple):
    """The effect of a map on a type: its label in the files, the new one, and its entities.

    The new label is "" for a type that is left out.
    """

    label: str
    new: str
    entities: int


def read_label_map(path: Path) -> dict[str, str]:
    """Return the new label of each label in a file, "" for those to leave out.

    Args:
        path: A YAML file (.yaml, .yml) of ``old: new``, or a table of two columns, between tabs,
            semicolons or commas.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not such a file, or has a label twice.
    """
    if not path.is_file():
        raise FileNotFoundError(f"the file {path} for mapping labels does not exist")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8, from byte {error.start}") from error
    rows = _yaml_rows(path, text) if path.suffix.lower() in _YAML else _table_rows(path, text)
    found: dict[str, str] = {}
    for place, old, new in rows:
        if found.setdefault(old, new) != new:
            raise ValueError(f'{place}: the label "{old}" appears twice, with different new labels')
    if not found:
        raise ValueError(f"{path} maps no label")
    return found


def _yaml_rows(path: Path, text: str) -> list[tuple[str, str, str]]:
    try:
        values = srsly.yaml_loads(text)
    except Exception as error:  # of the YAML library, many kinds
        raise ValueError(f"{path} must be YAML (old: new) with each label once") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} must be YAML (old: new)")
    rows = []
    for old, new in values.items():
        if not isinstance(old, str) or not isinstance(new, str | None):
            raise ValueError(f"{path}: {old!r} and {new!r} are not labels; write them in quotes")
        rows.append((str(path), old.strip(), (new or "").strip()))
    return rows


def _table_rows(path: Path, text: str) -> list[tuple[str, str, str]]:
    first = next((line for line in text.split("\n") if line.strip()), "")
    is_tsv = path.suffix.lower() in (".tsv", ".tab")
    delimiter = "\t" if is_tsv else next((each for each in "\t;," if each in first), ",")
    rows = []
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter)
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            place = f"{path}, line {reader.line_num}"
            if len(cells) != 2 or not cells[0]:
                raise ValueError(
                    f"{place}: there must be a label, a tab and its new label, or nothing after "
                    "the tab to leave the type out"
                )
            rows.append((place, cells[0], cells[1]))
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}") from error
    return rows


def parse_labels(value: str) -> tuple[str, ...]:
    """Return the labels of a list such as "Age,Sex", or of a file with a label a line.

    Raises:
        FileNotFoundError: If it looks like the path of a file, and there is none.
        ValueError: If there is no label.
    """
    path = Path(value)
    if _is_path(value) and not path.is_file():
        raise FileNotFoundError(
            f"the file of types {value} does not exist; if it is the name of a type, "
            f'write "{value},"'
        )
    text = path.read_text(encoding="utf-8-sig") if path.is_file() else value.replace(",", "\n")
    labels = tuple(sorted({line.strip() for line in text.split("\n")} - {""}))
    if not labels:
        raise ValueError(f'"{value}" names no label')
    return labels


def check_labels(documents: Iterable[Document], labels: Collection[str]) -> None:
    """Raise an error for entities whose type is not in a label set.

    Raises:
        ValueError: If there is any; the text lists the first with file, line and label.
    """
    found = [
        f'{file}:{entity.line} "{entity.label}"'
        for document in documents
        for file, part in document.parts
        for entity in part.entities
        if entity.label not in labels
    ]
    if found:
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise ValueError(
            f"{counted(len(found), 'entity is', 'entities are')} outside of the label set: "
            f"{', '.join(found[:SHOWN])}{more}; add the types to --labels, which are those of the "
            "files, before --map"
        )


def apply_map(
    documents: Sequence[Document], new: Mapping[str, str], known: Collection[str] = ()
) -> tuple[list[Document], list[Mapped]]:
    """Return documents with other labels, and what became of each type that the map names.

    Records that refer to an entity that is left out are left out as well, or shortened.

    Args:
        documents: The documents.
        new: The new label of each label, "" to leave its entities out; others stay.
        known: Labels that the map may name though no entity has them, such as a label set.

    Raises:
        ValueError: If the map names any other label that no entity has.
    """
    counts = Counter(e.label for document in documents for e in document.standoff.entities)
    if unknown := sorted(new.keys() - counts.keys() - {*known}):
        raise ValueError(
            f"no entity has these labels of the map: {', '.join(unknown)}; the labels are "
            f"{', '.join(sorted(counts)) or 'none'}"
        )
    mapped = [
        Mapped(label, new[label], counts[label])
        for label in sorted(new, key=lambda label: (-counts[label], label))
        if new[label] != label
    ]
    return [_relabel(document, new) for document in documents], mapped


def _relabel(document: Document, new: Mapping[str, str]) -> Document:
    parts = []
    gone = {e.id for e in document.standoff.entities if new.get(e.label, e.label) == ""}
    gone -= {e.id for e in document.standoff.entities if new.get(e.label, e.label) != ""}
    for file, part in document.parts:
        records: list[Record] = []
        for record in part.records:
            if not isinstance(record, Entity):
                records.append(record)
            elif label := new.get(record.label, record.label):
                same = label == record.label
                records.append(record if same else record._replace(label=label, raw=""))
        kept, _ = without_references(records, gone)
        parts.append((file, Standoff(tuple(kept))))
    lines = {
        (file, e.line, e.id)
        for file, part in document.parts
        for e in part.entities
        if not new.get(e.label, e.label)
    }
    problems = tuple(p for p in document.problems if (p.file, p.line, p.record_id) not in lines)
    return replace(document, parts=tuple(parts), problems=problems)
