"""The account of a conversion: what became of every entity, row by row and in sums.

No text of any document stands in it, only offsets.
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ..util.text import cell

Status = Literal["kept", "moved", "flattened", "dropped"]
STATUSES: tuple[Status, ...] = ("kept", "moved", "flattened", "dropped")

Fragments = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one entity.

    file, line: where the record stands, the file relative to the folder.
    status: "kept" as it was in ``doc.ents``; "moved": in ``doc.ents`` with other bounds;
        "flattened": in ``doc.spans`` only, as another entity took its tokens; "dropped": nowhere.
    reason: why it is not "kept", one of a few fixed texts; "" where it is.
    source, target: its fragments in characters, before and after; none where it was dropped.
    by: id of the record that took its tokens, or those of a part of it.
    """

    file: str
    line: int
    record: str
    label: str
    status: Status
    reason: str = ""
    source: Fragments = field(default_factory=list)
    target: Fragments = field(default_factory=list)
    by: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    """All rows of a conversion, its settings and counts, and what was found wrong in the files.

    problems: values with file, line (0 for a whole file), record, level, reason and detail.
    """

    rows: list[Row]
    problems: list[dict[str, Any]]
    settings: dict[str, Any]
    heading: str = ""

    def totals(self) -> dict[str, int]:
        """Number of entities read ("input") and of each status, which add up to it."""
        counts = Counter(row.status for row in self.rows)
        return {"input": len(self.rows)} | {status: counts[status] for status in STATUSES}

    def by_label(self) -> dict[str, dict[str, int]]:
        """`totals` of each label, most frequent first."""
        groups: dict[str, list[Row]] = {}
        for row in self.rows:
            groups.setdefault(row.label, []).append(row)
        ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
        return {label: Account(rows, [], {}).totals() for label, rows in ordered}

    def by_reason(self) -> dict[str, int]:
        """Number of entities for each status and reason, such as "moved: cuts a token"."""
        counts = Counter(": ".join(filter(None, (row.status, row.reason))) for row in self.rows)
        return dict(counts.most_common())

    def errors(self) -> list[dict[str, Any]]:
        """The problems that are more than warnings: a file or a record may not be as meant."""
        return [problem for problem in self.problems if problem["level"] == "error"]

    def to_json(self) -> str:
        """Everything as JSON, one line a row."""
        sums = {
            "heading": self.heading,
            "settings": self.settings,
            "totals": self.totals(),
            "by_reason": self.by_reason(),
            "by_label": self.by_label(),
            "problems": self.problems,
        }
        parts = [f'"{key}": {_dumps(value)}' for key, value in sums.items()]
        rows = ",\n".join(_dumps(asdict(row)) for row in self.rows)
        return "{\n" + ",\n".join([*parts, f'"rows": [\n{rows}\n]']) + "\n}\n"

    def to_markdown(self) -> str:
        """The sums as a readable table."""
        totals = self.totals()
        lines = [f"**{cell(self.heading)}**", ""] if self.heading else []
        lines += ["# What became of every annotated entity", ""]
        lines += [f"- {key}: {value}" for key, value in self.settings.items()]
        lines += ["", *table(["", "entities"], [[k, v] for k, v in totals.items()])]
        lines += ["", *table(["why", "entities"], [[k, v] for k, v in self.by_reason().items()])]
        by_label = [[label, *counts.values()] for label, counts in self.by_label().items()]
        lines += ["", *table(["label", "input", *STATUSES], by_label)]
        if self.problems:
            counts = Counter(problem["reason"] for problem in self.problems)
            lines += ["", *table(["problem in the files", "times"], counts.most_common())]
        return "\n".join(lines) + "\n"


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def table(header: list[str], rows: Iterable[Iterable[Any]]) -> list[str]:
    """Lines of a Markdown table, numbers to the right."""
    align = ["---", *["---:"] * (len(header) - 1)]
    return [f"| {' | '.join(map(cell, row))} |" for row in (header, align, *rows)]
