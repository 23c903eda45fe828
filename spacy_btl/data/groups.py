"""Groups of documents that belong together, and the parts of a given division.

Both come from the names of the documents, or from a table with a line for each document.
"""

import csv
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from .split import PARTS

FOLDERS = "folders"
"""The value of ``--split`` that keeps the parts that the folders are named after."""

SHOWN = 3
"""Names that a message lists."""

PART_NAMES = {
    "train": ("train", "training", "trn", "trainset", "trainingset"),
    "dev": (
        *("dev", "devel", "development", "devset", "valid", "validation", "val", "vali"),
        *("validate", "tune", "tuning"),
    ),
    "test": ("test", "testing", "tst", "testset", "heldout", "blind"),
}
"""Words by which a folder is known as a part; "eval" is test, or dev where there is a test."""

_EITHER = ("eval", "evaluation", "evalset")
_TABLE_SUFFIXES = (".csv", ".tsv", ".tab", ".txt")
_DOCUMENT_SUFFIX = re.compile(r"\.(txt|ann|a1|a2)$", re.IGNORECASE)


def is_table(value: str) -> bool:
    """Return whether a value of ``--group`` is the path of a table, and no regular expression."""
    return value.lower().endswith(_TABLE_SUFFIXES[:3]) or (
        value.lower().endswith(_TABLE_SUFFIXES) and Path(value).is_file()
    )


def is_division(value: str) -> bool:
    """Return whether a value of ``--split`` is a division to keep, and no shares."""
    return value == FOLDERS or Path(value).suffix.lower() in (".json", *_TABLE_SUFFIXES)


def check_group(group: str) -> None:
    """Raise a ValueError or an OSError if a group is neither a regular expression nor a table."""
    if is_table(group):
        _read_rows(Path(group), "group")
    else:
        _compile(group)


def read_groups(group: str, names: Sequence[str]) -> dict[str, str]:
    """Return the group of each document; those in which an expression finds nothing have none.

    Args:
        group: A regular expression, or the path of a table (.csv or .tsv) with name and group. The
            group of a name is the text matched by the first pair of parentheses in the
            expression, or by all of it if it has none.
        names: The names of the documents, as paths with "/" and without suffix.

    Raises:
        ValueError: If a table lacks a document, no document has a group, or the expression or the
            table is invalid.
        OSError: If the table cannot be read.
    """
    if is_table(group):
        found = _read_table(Path(group), names, "group")
        return _complete(found, names, f"has no group in {group}")
    pattern = _compile(group)
    found = {}
    for name in names:
        match = pattern.search(unicodedata.normalize("NFC", name))
        key = match and ((pattern.groups and match[1]) or match[0])
        if key:
            found[name] = key
    if names and not found:
        raise ValueError(f'the group "{group}" does not match any name, such as {names[0]}')
    return found


def given_parts(division: str | Path, names: Sequence[str]) -> dict[str, str]:
    """Return the part of each document in a given division.

    Args:
        division: "folders" for folders named after the parts (see `PART_NAMES`), or the path of a
            split.json as the conversion writes it, or of a table (.csv or .tsv) with name and part.
        names: The names of the documents, as paths with "/" and without suffix.

    Raises:
        ValueError: If a document has no part, or the file is not such a file.
        OSError: If the file cannot be read.
    """
    if str(division) == FOLDERS:
        return _complete(
            folder_parts(names),
            names,
            "is in no folder of a part",
            "a folder is named train, dev or test, or by a word for it (training, validation)",
        )
    path = Path(division)
    is_split = path.suffix.lower() == ".json"
    rows = _read_split(path) if is_split else _read_rows(path, "part")
    known = {value for _, _, value in rows}
    parts = _parts_of_words(known)
    listed = _look_up(path, rows, names, "part")
    for line, _, value in rows:
        if value not in parts and (line > 1 or value in listed.values()):
            where = f"{path}, line {line}" if line else str(path)
            raise ValueError(f'{where}: "{value}" is not one of {", ".join(PARTS)}')
    return _complete(
        {name: parts[value] for name, value in listed.items()}, names, f"has no part in {path}"
    )


def folder_parts(names: Iterable[str]) -> dict[str, str]:
    """Return the part of each document by its outermost folder that is named after one.

    Documents in no such folder are left out.
    """
    folders = {name: [_words(folder) for folder in name.split("/")[:-1]] for name in names}
    parts = _parts_of_words({word for each in folders.values() for words in each for word in words})
    found = {}
    for name, each in folders.items():
        for words in each:
            own = {parts[word] for word in words if word in parts}
            if len(own) == 1:
                found[name] = own.pop()
                break
    return found


def describe_names(names: Sequence[str]) -> str:
    """Return the first few of some names, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def in_several_parts(sets: Iterable[list[str]], part_of: Mapping[str, str]) -> list[list[str]]:
    """Return the sets of names whose members are in several parts."""
    return [each for each in sets if len({part_of[n] for n in each if n in part_of}) > 1]


def _compile(group: str) -> re.Pattern[str]:
    try:
        return re.compile(unicodedata.normalize("NFC", group))
    except re.error as error:
        raise ValueError(f"the group {group} is not a regular expression: {error}") from error


def _words(folder: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", folder).casefold()
    return re.findall("[a-z]+", plain)


def _parts_of_words(words: Iterable[str]) -> dict[str, str]:
    """Return the part of each word that is one for a part."""
    by_word = {word: part for part, own in PART_NAMES.items() for word in own}
    words = {word: re.sub("[^a-z]", "", word.casefold()) for word in words}
    found = {word: by_word[plain] for word, plain in words.items() if plain in by_word}
    missing = [part for part in ("dev", "test") if part not in found.values()]
    if missing:
        found |= {word: missing[-1] for word, plain in words.items() if plain in _EITHER}
    return found


def _complete(
    found: dict[str, str], names: Sequence[str], what: str, hint: str = ""
) -> dict[str, str]:
    if missing := [name for name in names if name not in found]:
        of = f"{len(missing)} of {len(names)} documents" if len(missing) > 1 else "a document"
        tail = f"; {hint}" if hint else ""
        raise ValueError(f"{of}, {describe_names(missing)}: it {what}{tail}")
    return found


def _read_table(path: Path, names: Sequence[str], what: str) -> dict[str, str]:
    return _look_up(path, _read_rows(path, what), names, what)


def _read_rows(path: Path, what: str) -> list[tuple[int, str, str]]:
    """Return line, name and value of each row of a table.

    Raises:
        FileNotFoundError: If there is no such table.
        ValueError: If it is not a table of two columns.
    """
    if not path.is_file():
        raise FileNotFoundError(f"the table {path} (name, {what}) does not exist")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8, from byte {error.start}") from error
    head = text.split("\n", 1)[0]
    delimiter = next((each for each in "\t;," if each in head), ",")
    rows = []
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter)
    try:
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if len(row) < 2 or not row[0].strip() or not row[1].strip():
                raise ValueError(f"{path}, line {reader.line_num}: there is no name and {what}")
            rows.append((reader.line_num, row[0].strip(), row[1].strip()))
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}") from error
    return rows


def _read_split(path: Path) -> list[tuple[int, str, str]]:
    """Return the names of a split.json with their parts, as rows of line 0."""
    try:
        parts = json.loads(path.read_bytes())["parts"]
        return [(0, str(name), str(part)) for part, names in parts.items() for name in names]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f'{path} is not a split.json: it must have "parts" with their document names'
        ) from error


def _look_up(
    path: Path, rows: Iterable[tuple[int, str, str]], names: Sequence[str], what: str
) -> dict[str, str]:
    """Return the value of each document that a table lists.

    A row names a document by its path, with or without suffix, or by the last part of it where only
    one document has that. Rows of other documents, such as a header, are passed over.

    Raises:
        ValueError: If two rows of a document differ.
    """
    of_path = {_plain(name): name for name in names}
    last = Counter(_plain(name).rpartition("/")[2] for name in names)
    of_last = {own: name for name in names if last[own := _plain(name).rpartition("/")[2]] == 1}
    found: dict[str, str] = {}
    for line, written, value in rows:
        plain = _plain(written)
        stem = _DOCUMENT_SUFFIX.sub("", plain)
        name = next(
            (table[key] for table in (of_path, of_last) for key in (plain, stem) if key in table),
            None,
        )
        if name is not None and found.setdefault(name, value) != value:
            where = f"{path}, line {line}" if line else str(path)
            raise ValueError(f"{where}: a {what} of {name} that differs from the one before")
    return found


def _plain(name: str) -> str:
    """Return a name as names are compared: composed characters, "/" and no "./" before it."""
    return unicodedata.normalize("NFC", name).replace("\\", "/").removeprefix("./")
