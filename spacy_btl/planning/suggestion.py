"""Suggestions of reports to annotate next: those that the pipeline doubts most for each word.

A report's candidate mentions, marked or only possible, each have a probability ``p`` to be right
(`planning.pool`). Its doubt is the sum of ``p (1 - p)`` over them, which is the variance of the
number of its mentions if they do not depend on each other. Its value is the doubt divided by the
cost of annotating it: its words, and those that opening a report is worth. A report with nearly the
text of a more valuable one is left out.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from spacy.language import Language
from tqdm import tqdm

from ..annotate.contents import UTF8, check_encoding
from ..annotate.inputs import Fields, InputKind
from ..annotate.run import find_model
from ..data.duplicates import near_identical
from ..packaging.saving import load_pipeline
from ..pipeline.component import component_of
from ..util.arrays import Floats1d
from ..util.checks import at_least_0, whole_number
from ..util.text import counted, csv_table, markdown_table, printable
from .pool import Found, Measured, digests_of, measure_pool

READING_WORDS = 50.0
"""Words that opening a report costs beside its own, so that tiny notes do not come first."""

LEAST_KEPT = 1000
"""Reports whose numbers are kept at least; the rest go as soon as more valuable ones are known."""

KEPT_BY_CHOSEN = 20
"""Reports that are kept for each one to be chosen."""

REFUSED_LISTED = 1000
"""Refused reports that are listed; all are counted."""

TYPES_SHOWN = 4
"""Types that a row of the table names."""

NEAR_COPY = "nearly the text of a report that is suggested"
"""Why a report is left out that is a near copy."""


@dataclass(frozen=True, slots=True)
class SuggestedReport:
    """A report that should be annotated, and why.

    Attributes:
        rank: 1 for the report to begin with.
        id: Its id; in a folder of text files its path without suffix.
        place: File and line or row.
        words: Number of words.
        expected: Expected mentions of each type, of those with a tenth or more; most first.
        reasons: The share of each type in the doubt, of those with a hundredth or more; most first.
        doubt: Sum of ``p (1 - p)`` over candidate mentions of all types.
        value: Doubt divided by cost, as a share of that of the first report.
    """

    rank: int
    id: str
    place: str
    words: int
    expected: dict[str, float]
    reasons: dict[str, float]
    doubt: float
    value: float


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A list of reports to annotate next.

    Attributes:
        reports: The reports, the one to begin with first.
        asked: How many were asked for.
        records: Number of records of the pool.
        refused: Number of records that could not be suggested, by reason.
        refused_records: The first of them: id, place and reason.
        calibrated: Whether scores are calibrated.
        reading_words: Words that opening a report costs.
    """

    reports: list[SuggestedReport]
    asked: int
    records: int
    refused: Counter[str]
    refused_records: list[tuple[str, str, str]]
    calibrated: bool
    reading_words: float

    def warnings(self) -> list[str]:
        """Return what a user should know beside the list."""
        found = []
        if len(self.reports) < self.asked:
            found.append(
                f"{self.asked} reports were asked for, and the pool has "
                f"{counted(len(self.reports), 'report')} that can be suggested"
            )
        for reason, n in self.refused.most_common():
            found.append(f"{counted(n, 'record')} left out: {reason}")
        if not self.calibrated:
            found.append(
                "the scores of this pipeline are not calibrated, so that doubt is that of raw "
                "scores; python -m spacy btl fit-knn MODEL TRAIN OUT --dev DEV calibrates them"
            )
        return found

    def to_json(self) -> dict[str, object]:
        """Return everything as JSON values."""
        return {
            "reading_words": self.reading_words,
            "records": self.records,
            "refused": dict(self.refused.most_common()),
            "refused_records": [
                {"id": name, "place": place, "reason": reason}
                for name, place, reason in self.refused_records
            ],
            "calibrated": self.calibrated,
            "reports": [asdict(report) for report in self.reports],
        }

    def to_csv(self) -> str:
        """Return the list as CSV, a row for each report; see `csv_table`."""
        names = ("rank", "id", "place", "words", "value", "doubt")
        rows = []
        for report in self.reports:
            values = asdict(report)
            mentions = round(sum(report.expected.values()), 2)
            reasons = "; ".join(f"{label} {share}" for label, share in report.reasons.items())
            rows.append([*(values[name] for name in names), mentions, reasons])
        return csv_table([*names, "mentions", "reasons"], rows)

    def to_text(self) -> str:
        """Return the list as a table for a terminal."""
        header = ["report", "words", "value", "doubt", "mentions", "most doubt"]
        rows = [
            [
                f"{report.rank}. {report.id}",
                f"{report.words:,}",
                f"{report.value:.2f}",
                f"{report.doubt:.1f}",
                f"{sum(report.expected.values()):.1f}",
                ", ".join(
                    f"{label} {share:.0%}"
                    for label, share in list(report.reasons.items())[:TYPES_SHOWN]
                ),
            ]
            for report in self.reports
        ]
        words = sum(report.words for report in self.reports)
        title = f"{counted(len(self.reports), 'report')} to annotate next, {words:,} words"
        return "\n".join([title, "", *markdown_table(header, rows)])


def suggest_reports(
    model: str | Path | Language,
    pool: str | Path,
    n: int = 20,
    *,
    known: Iterable[str | Path] = (),
    reading_words: float = READING_WORDS,
    kind: InputKind | None = None,
    fields: Fields | None = None,
    encoding: str = UTF8,
    progress: bool | None = None,
) -> Suggestion:
    """Return which reports of a pool to annotate next.

    Args:
        model: A pipeline, its folder or its package, with one component ``btl_knn_ner``.
        pool: Reports that are not annotated, as `annotate_files` takes them: a file, or a folder
            with sub-folders.
        n: How many reports to suggest.
        known: Annotated documents in any format that `convert` reads, the training documents above
            all, which are not suggested.
        reading_words: Words that opening a report costs beside its own.
        kind: Kind of the files of the pool; None for the only one that is there.
        fields: Names of the fields of a record; None for the defaults.
        encoding: Encoding of the pool's files.
        progress: Whether to show a progress bar; None to show it in a terminal only.

    Raises:
        ValueError: If there is no report that could be suggested, or an argument is wrong.
        OSError: If a file cannot be read.
    """
    whole_number("n", n, 1)
    at_least_0("reading_words", reading_words)
    check_encoding(encoding)
    annotated = digests_of(known)
    nlp = model if isinstance(model, Language) else load_pipeline(find_model(model))
    pipe = component_of(nlp)
    refused: Counter[str] = Counter()
    listed: list[tuple[str, str, str]] = []
    kept: list[tuple[Found, Measured]] = []
    most = max(LEAST_KEPT, KEPT_BY_CHOSEN * n)
    records = 0

    def refuse(each: Found, reason: str) -> None:
        refused[reason] += 1
        if len(listed) < REFUSED_LISTED:
            listed.append((each.id, each.place, reason))

    found = measure_pool(
        nlp, pipe, Path(pool), annotated, kind=kind, fields=fields, encoding=encoding
    )
    disable = None if progress is None else not progress
    for each in tqdm(found, desc="read the pool", unit=" reports", disable=disable):
        records += 1
        if each.measured is None:
            refuse(each, each.error)
            continue
        kept.append((each, each.measured))
        if len(kept) >= 2 * most:
            kept = _by_value(kept, reading_words)[:most]
    if not kept:
        raise ValueError(_nothing(pool, records, refused))
    chosen: list[tuple[Found, Measured]] = []
    for each, measured in _by_value(kept, reading_words):
        if len(chosen) == n:
            break
        if any(near_identical(measured.pairs, other.pairs) for _, other in chosen):
            refuse(each, NEAR_COPY)
        else:
            chosen.append((each, measured))
    return Suggestion(
        reports=_described(chosen, pipe.labels, reading_words),
        asked=n,
        records=records,
        refused=refused,
        refused_records=listed,
        calibrated=pipe.calibration is not None,
        reading_words=reading_words,
    )


def value_of(measured: Measured, reading_words: float = READING_WORDS) -> float:
    """Return the doubt about a report for each word that it costs.

    Args:
        measured: The report.
        reading_words: Words that opening a report costs beside its own.
    """
    return float(measured.doubt.sum()) / max(measured.words + reading_words, 1.0)


def _by_value(
    kept: Sequence[tuple[Found, Measured]], reading_words: float
) -> list[tuple[Found, Measured]]:
    """Return the reports, the most valuable first; of equal ones, the shorter one."""
    return sorted(kept, key=lambda each: (-value_of(each[1], reading_words), each[1].words))


def _described(
    chosen: Sequence[tuple[Found, Measured]], labels: Sequence[str], reading_words: float
) -> list[SuggestedReport]:
    """Return the chosen reports with their reasons."""
    unit = value_of(chosen[0][1], reading_words) or 1.0
    described = []
    for rank, (found, measured) in enumerate(chosen, 1):
        doubt = float(measured.doubt.sum())
        described.append(
            SuggestedReport(
                rank=rank,
                id=found.id,
                place=found.place,
                words=measured.words,
                expected=_largest(labels, measured.expected, 0.1),
                reasons=_largest(labels, measured.doubt / (doubt or 1.0), 0.01),
                doubt=round(doubt, 2),
                value=round(value_of(measured, reading_words) / unit, 3),
            )
        )
    return described


def _largest(labels: Sequence[str], values: Floats1d, least: float) -> dict[str, float]:
    """Return the values from a least one on by label, largest first, with two decimals."""
    order = [i for i in np.argsort(-values, kind="stable").tolist() if values[i] >= least]
    return {labels[i]: round(float(values[i]), 2) for i in order}


def _nothing(pool: str | Path, records: int, refused: Mapping[str, int]) -> str:
    """Return why no report can be suggested."""
    if not records:
        return f"{pool} has no reports: its files are empty"
    why = "; ".join(f"{printable(reason)} ({n})" for reason, n in refused.items())
    return f"none of {counted(records, 'record')} of {pool} can be suggested: {why}"
