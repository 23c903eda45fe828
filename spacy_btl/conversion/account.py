"""The account of a conversion: what became of every entity, row by row and in sums.

It contains offsets, labels and ids, and no text of any document.
"""

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Literal, TypeAlias, TypedDict, get_args

from ..brat import Fault, Fragments, Level, Problem
from ..formats import PREDICTED_ONLY, Mapped
from ..util.text import cell, counted, markdown_table

Status: TypeAlias = Literal["kept", "moved", "flattened", "dropped"]
"""The outcome of an entity.

"kept": in ``doc.ents`` as it was. "moved": in ``doc.ents`` with other bounds. "flattened": in
``doc.spans`` only, as another entity took its tokens. "dropped": in neither, as a line that starts
with T and cannot be read.
"""

Reason: TypeAlias = Literal[
    "",
    # moved or dropped, by what the tokens and the policies allow
    "cuts a token",
    "discontinuous",
    # moved
    "white space at its ends",
    "a fragment of it overlaps another entity",
    # flattened
    "the same entity again",
    "another label on the same tokens",
    "overlaps another entity",
    # dropped
    "its line cannot be read",
    "offsets outside the text",
    "ends where it starts, or before",
    "white space only",
    "its document has no text",
    "an annotation file of its document cannot be read",
    "its surface text is not at its offsets",
    "it has no surface text, and others contradict the offsets",
]
"""Why an entity is not "kept"; "" if it is."""

UNSURE_OFFSETS = (
    "most entities cut words or are not in the text, and no surface text shows what the offsets "
    "count"
)
"""The detail of the problem of a document without surface texts whose offsets look wrong."""

STATUSES: tuple[Status, ...] = get_args(Status)

MISALIGNED_LEAST = 10
"""Entities off the tokens, from which on the language may be wrong; a few are in any corpus."""

MISALIGNED_SHARE = 0.2
"""The share of all entities that they must be: in 16 corpora of 7 languages it is at most 0.06."""


@dataclass(frozen=True, slots=True)
class Row:
    """The outcome of one entity.

    Attributes:
        file: The file of its record, relative to the folder.
        line: The line of its record, from 1.
        record: The id of its record, "" where none can be read.
        label: Its type, "" where none can be read.
        status: What became of it.
        reason: Why it is not "kept".
        source: Its fragments in characters, as annotated; of wrong offsets, where its words are.
        target: Its fragments in characters, as converted; none if it was dropped.
        by: The id of the record that took its tokens, or those of a part of it.
        written: Its fragments as the file has them, where ``source`` is a correction.
    """

    file: str
    line: int
    record: str
    label: str
    status: Status
    reason: Reason = ""
    source: Fragments = ()
    target: Fragments = ()
    by: str = ""
    written: Fragments = ()


class CorrectionJson(TypedDict):
    """The correction of the offsets of a document.

    Attributes:
        document: Its name.
        offsets: How they were counted, a value of the option ``--offsets``.
        corrected: The number of entities with other offsets than the file has.
        realigned: The number of those of them that were found by their words in an edited text.
        dropped: The number of entities that could not be placed.
    """

    document: str
    offsets: str
    corrected: int
    realigned: int
    dropped: int


class MappedJson(TypedDict):
    """A type that a map has renamed or left out.

    Attributes:
        label: Its label in the files.
        new: Its new label, "" if its entities are left out and are in no row.
        entities: How many there are.
    """

    label: str
    new: str
    entities: int


class ProblemJson(TypedDict):
    """A `brat.Problem` in the account; ``line`` is 0 for a whole file."""

    file: str
    line: int
    record: str
    level: Level
    reason: Fault
    detail: str


@dataclass(frozen=True, slots=True)
class Account:
    """The outcome of every entity of a folder.

    Attributes:
        rows: One for each entity, in the order of the files.
        problems: What was found wrong in the files.
        settings: Policies and counts of the conversion, by name.
        heading: What a report on the documents must carry, or "".
        offsets: The documents whose offsets are not those of their surface texts.
        mapped: The types that were renamed or left out, as the user asked for.
    """

    rows: list[Row]
    problems: list[ProblemJson]
    settings: dict[str, str | int]
    heading: str = ""
    offsets: list[CorrectionJson] = field(default_factory=list)
    mapped: list[MappedJson] = field(default_factory=list)

    def totals(self) -> dict[str, int]:
        """Return the number of entities ("input") and of each status, which add up to it.

        They are all lines that could be meant as an entity (`brat.is_entity_like`), read or not.
        """
        return _totals(self.rows)

    def by_label(self) -> dict[str, dict[str, int]]:
        """Return the `totals` of each label, most frequent first."""
        groups: dict[str, list[Row]] = {}
        for row in self.rows:
            groups.setdefault(row.label, []).append(row)
        ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
        return {label: _totals(rows) for label, rows in ordered}

    def by_reason(self) -> dict[str, int]:
        """Return the number of entities for each status and reason, as "moved: cuts a token"."""
        counts = Counter(": ".join(filter(None, (row.status, row.reason))) for row in self.rows)
        return dict(counts.most_common())

    def by_map(self) -> dict[str, int]:
        """Return the number of entities that a map has renamed, and that it has left out."""
        counts = {"renamed": 0, "left out": 0}
        for each in self.mapped:
            counts["renamed" if each["new"] else "left out"] += each["entities"]
        return counts

    def errors(self) -> list[ProblemJson]:
        """Return the problems that are more than warnings: something may not be as meant."""
        return [problem for problem in self.problems if problem["level"] == "error"]

    def lost_documents(self) -> int:
        """Return how many documents of another format than brat's cannot be read.

        Nobody knows how many entities they have.
        """
        if self.settings.get("format", "BRAT") == "BRAT":
            return 0
        return int(self.settings.get("documents without text or annotation") or 0)

    def predicted_only(self) -> str:
        """Return what to do with tasks of Label Studio that have predictions only, or ""."""
        number = int(self.settings.get(PREDICTED_ONLY) or 0)
        tasks = counted(number, "task contains", "tasks contain")
        them = "it" if number == 1 else "them"
        return f"{tasks} only predictions; submit {them} in Label Studio first" if number else ""

    def warnings(self) -> list[str]:
        """Return what nobody should overlook: what is lost, and that there is nothing at all."""
        found = []
        if not self.rows:
            found.append("there is no entity at all in these files: nothing can be trained on them")
        if dropped := [row for row in self.rows if row.status == "dropped"]:
            reasons = Counter(row.reason for row in dropped).most_common()
            why = ", ".join(f"{reason} ({number})" for reason, number in reasons)
            of = counted(len(self.rows), "entity", "entities")
            found.append(f"{len(dropped)} of {of} lost: {why}")
        lines = {(row.file, row.line) for row in self.rows}
        if others := sum(
            problem["reason"] == "unreadable" and (problem["file"], problem["line"]) not in lines
            for problem in self.problems
        ):
            kept = "; they are kept" if self.settings.get("format", "BRAT") == "BRAT" else ""
            lines_of = counted(others, "line that is not an entity", "lines that are not entities")
            found.append(f"{lines_of} cannot be read{kept}")
        if lost := self.lost_documents():
            found.append(
                f"{counted(lost, 'document or file', 'documents or files')} cannot be read, and "
                "what is annotated there is lost"
            )
        if predicted := self.predicted_only():
            found.append(predicted)
        undecoded = [p for p in self.problems if "not UTF-8" in p["detail"]]
        if undecoded:
            found.append(
                f"{counted(len(undecoded), 'file is', 'files are')} not UTF-8, "
                f"{undecoded[0]['file']} the first: U+FFFD replaces bytes that cannot be read; "
                "save as UTF-8"
            )
        if unsure := sum(p["detail"] == UNSURE_OFFSETS for p in self.problems):
            found.append(f"documents in which {UNSURE_OFFSETS}: {unsure}")
        if self.offsets:
            kinds = Counter(
                "in characters, but edited"
                if each["realigned"] and each["offsets"] == "characters"
                else f"counted as {each['offsets']}"
                for each in self.offsets
            ).most_common()
            ways = ", ".join(f"{name} {number}" for name, number in kinds)
            corrected = sum(each["corrected"] for each in self.offsets)
            realigned = sum(each["realigned"] for each in self.offsets)
            found.append(
                f"{counted(len(self.offsets), 'document has', 'documents have')} wrong offsets "
                f"({ways}); {counted(corrected, 'entity was', 'entities were')} moved to the "
                f"annotated words, {realigned} of them in edited texts"
                f"{self._advice_on_offsets()}"
            )
        misaligned = int(self.settings.get("misaligned entities, this tokenizer") or 0)
        if misaligned >= MISALIGNED_LEAST and misaligned >= MISALIGNED_SHARE * len(self.rows):
            found.append(
                f"{misaligned} of {len(self.rows)} entities do not fall on tokens: give the "
                "language of the texts with --lang, as words end elsewhere in other languages; or "
                "the annotation marks parts of words"
            )
        return found

    def _advice_on_offsets(self) -> str:
        """Return the option for offsets that were found to be counted in one way, or ""."""
        ways = {each["offsets"] for each in self.offsets}
        if self.settings.get("offsets") != "auto" or len(ways) != 1 or "characters" in ways:
            return ""
        return (
            f"; if all offsets of these files are counted so, convert with --offsets {ways.pop()}, "
            "which also holds where no surface text shows it"
        )

    def to_json(self) -> str:
        """Return everything as JSON, one line a row."""
        sums = {
            "heading": self.heading,
            "settings": self.settings,
            "totals": self.totals(),
            "by_reason": self.by_reason(),
            "by_label": self.by_label(),
            "mapped": self.mapped,
            "offsets": self.offsets,
            "problems": self.problems,
        }
        parts = [f'"{key}": {_dumps(value)}' for key, value in sums.items()]
        rows = ",\n".join(_dumps(_row_to_json(row)) for row in self.rows)
        return "{\n" + ",\n".join([*parts, f'"rows": [\n{rows}\n]']) + "\n}\n"

    def to_markdown(self) -> str:
        """Return the sums as readable tables."""
        lines = [f"**{cell(self.heading)}**", ""] if self.heading else []
        lines += ["# What became of every annotated entity", ""]
        if warnings := self.warnings():
            lines += [*(f"**{cell(warning)}.**  " for warning in warnings), ""]
        lines += [f"- {key}: {value}" for key, value in self.settings.items()]
        lines += ["", *markdown_table(["", "entities"], list(self.totals().items()))]
        lines += ["", *markdown_table(["why", "entities"], list(self.by_reason().items()))]
        by_label = [(label, *counts.values()) for label, counts in self.by_label().items()]
        lines += ["", *markdown_table(["label", "input", *STATUSES], by_label)]
        if self.mapped:
            mapped = [(m["label"], m["new"] or "(left out)", m["entities"]) for m in self.mapped]
            lines += ["", *markdown_table(["label in the files", "new label", "entities"], mapped)]
        if self.offsets:
            header = ["document", "offsets", "entities corrected", "of them realigned", "dropped"]
            corrections = [list(each.values()) for each in self.offsets]
            lines += ["", *markdown_table(header, corrections)]
        if self.problems:
            counts = Counter(problem["reason"] for problem in self.problems)
            lines += ["", *markdown_table(["problem in the files", "times"], counts.most_common())]
        return "\n".join(lines) + "\n"


def mapped_to_json(mapped: Mapped) -> MappedJson:
    """Return what a map did with a type as the account lists it."""
    return {"label": mapped.label, "new": mapped.new, "entities": mapped.entities}


def problem_to_json(problem: Problem) -> ProblemJson:
    """Return a problem of a folder as the account lists it."""
    return {
        "file": problem.file,
        "line": problem.line,
        "record": problem.record_id,
        "level": problem.level,
        "reason": problem.reason,
        "detail": problem.detail,
    }


def _row_to_json(row: Row) -> dict[str, object]:
    """Return a row; with what the file has only where that is wrong."""
    values = asdict(row)
    if not row.written:
        del values["written"]
    return values


def _totals(rows: list[Row]) -> dict[str, int]:
    counts = Counter(row.status for row in rows)
    return {"input": len(rows)} | {status: counts[status] for status in STATUSES}


def _dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
