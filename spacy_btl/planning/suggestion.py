"""Suggestions of reports to annotate next: a list with reasons, which are numbers.

How a report is measured is in `planning.pool`, how reports are chosen in `planning.selection`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from spacy.language import Language
from tqdm import tqdm

from ..annotate.contents import UTF8, check_encoding
from ..annotate.inputs import Fields, InputKind
from ..annotate.run import find_model
from ..packaging.saving import load_pipeline
from ..pipeline.component import BtlKnnNer, component_of
from ..util.arrays import Floats1d
from ..util.checks import whole_number
from ..util.text import counted, csv_table, markdown_table, printable
from .pool import Found, Measured, known_mentions, measure_pool, read_known
from .selection import Choice, Reports, SelectionSettings, select, standalone_values

LEAST_KEPT = 1000
"""Reports whose numbers are kept at least; the rest go as soon as more promising ones are known."""

KEPT_BY_CHOSEN = 20
"""Reports that are kept for each one to be chosen."""

REFUSED_LISTED = 1000
"""Refused reports that are listed; all are counted."""

TYPES_SHOWN = 4
"""Types that a row of the table names."""


@dataclass(frozen=True, slots=True)
class SuggestedReport:
    """A report that should be annotated, and why.

    Attributes:
        rank: 1 for the report to begin with.
        id: Its id; in a folder of text files its path without suffix.
        place: File and line or row.
        words: Number of words.
        expected: Expected mentions of each type, of those with a tenth or more; most first.
        reasons: The part of each type in the gain, of those with a hundredth or more; most first.
        doubt: Sum of ``p (1 - p)`` over candidate mentions of all types.
        distance: Mean distance of candidate mentions from the nearest neighbor, by the mean of the
            reports that were kept; None if it is not known.
        similarity: To the suggested report before it that is most like it, 0 to 1.
        gain: Its gain when it was chosen, by that of the first report.
        value: Gain over cost, by that of the first report.
    """

    rank: int
    id: str
    place: str
    words: int
    expected: dict[str, float]
    reasons: dict[str, float]
    doubt: float
    distance: float | None
    similarity: float
    gain: float
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
        has_neighbors: Whether distances are known.
        known: Known mentions of each type.
        known_by: Where these come from: "known documents", "neighbors", or "pool" for the expected
            mentions of the pool itself.
        settings: What makes a report worth annotating.
    """

    reports: list[SuggestedReport]
    asked: int
    records: int
    refused: Counter[str]
    refused_records: list[tuple[str, str, str]]
    calibrated: bool
    has_neighbors: bool
    known: dict[str, float]
    known_by: str
    settings: SelectionSettings = field(default_factory=SelectionSettings)

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
        if not self.has_neighbors:
            found.append("this pipeline has no neighbors: how far a report is from them is unknown")
        if self.known_by == "pool":
            found.append(
                "how often each type is annotated already is unknown: rare types are those that "
                "are rare in the pool; --known TRAIN counts them"
            )
        return found

    def to_json(self) -> dict[str, object]:
        """Return everything as JSON values."""
        return {
            "settings": asdict(self.settings),
            "records": self.records,
            "refused": dict(self.refused.most_common()),
            "refused_records": [
                {"id": name, "place": place, "reason": reason}
                for name, place, reason in self.refused_records
            ],
            "calibrated": self.calibrated,
            "known": self.known,
            "known_by": self.known_by,
            "reports": [asdict(report) for report in self.reports],
        }

    def to_csv(self) -> str:
        """Return the list as CSV, a row for each report; see `csv_table`."""
        names = ("rank", "id", "place", "words", "value", "gain", "doubt", "distance", "similarity")
        rows = []
        for report in self.reports:
            values = asdict(report)
            mentions = round(sum(report.expected.values()), 2)
            reasons = "; ".join(f"{label} {share}" for label, share in report.reasons.items())
            rows.append([*(values[name] for name in names), mentions, reasons])
        return csv_table([*names, "mentions", "reasons"], rows)

    def to_text(self) -> str:
        """Return the list as a table for a terminal."""
        header = ["report", "words", "value", "doubt", "distance", "similar", "mentions"]
        rows = [
            [
                f"{report.rank}. {report.id}",
                f"{report.words:,}",
                f"{report.value:.2f}",
                f"{report.doubt:.1f}",
                "-" if report.distance is None else f"{report.distance:.2f}",
                f"{report.similarity:.2f}",
                f"{sum(report.expected.values()):.1f}",
                ", ".join(
                    f"{label} {report.expected.get(label, 0.0):.1f}"
                    for label in list(report.reasons)[:TYPES_SHOWN]
                ),
            ]
            for report in self.reports
        ]
        words = sum(report.words for report in self.reports)
        title = f"{counted(len(self.reports), 'report')} to annotate next, {words:,} words"
        table = markdown_table([*header, "of these, decisive"], rows)
        return "\n".join([title, "", *table])


def suggest_reports(
    model: str | Path | Language,
    pool: str | Path,
    n: int = 20,
    *,
    known: Iterable[str | Path] = (),
    settings: SelectionSettings | None = None,
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
            all: they are not suggested, and their mentions are counted. Without them, mentions are
            those behind the neighbors.
        settings: What makes a report worth annotating; None for the defaults.
        kind: Kind of the files of the pool; None for the only one that is there.
        fields: Names of the fields of a record; None for the defaults.
        encoding: Encoding of the pool's files.
        progress: Whether to show a progress bar; None to show it in a terminal only.

    Raises:
        ValueError: If there is no report that could be suggested, or an argument is wrong.
        OSError: If a file cannot be read.
    """
    whole_number("n", n, 1)
    settings = settings or SelectionSettings()
    check_encoding(encoding)
    annotated = read_known(known)
    nlp = model if isinstance(model, Language) else load_pipeline(find_model(model))
    pipe = component_of(nlp)
    counts, known_by = _known_counts(pipe, annotated.mentions)
    refused: Counter[str] = Counter()
    listed: list[tuple[str, str, str]] = []
    kept: list[tuple[Found, Measured]] = []
    most = max(LEAST_KEPT, KEPT_BY_CHOSEN * n)
    total = np.zeros(len(pipe.labels))
    records = 0
    found = measure_pool(
        nlp, pipe, Path(pool), annotated.digests, kind=kind, fields=fields, encoding=encoding
    )
    disable = None if progress is None else not progress
    for each in tqdm(found, desc="read the pool", unit=" reports", disable=disable):
        records += 1
        if each.measured is None:
            refused[each.error] += 1
            if len(listed) < REFUSED_LISTED:
                listed.append((each.id, each.place, each.error))
            continue
        total += each.measured.expected
        kept.append((each, each.measured))
        if len(kept) >= 2 * most:
            kept = _most_promising(kept, total if counts is None else counts, most, settings)
    if not kept:
        raise ValueError(_nothing(pool, records, refused))
    seen = total if counts is None else counts
    reports = _stacked([measured for _, measured in kept])
    choices = select(reports, seen, n, settings)
    return Suggestion(
        reports=_described(choices, kept, reports, pipe.labels, settings),
        asked=n,
        records=records,
        refused=refused,
        refused_records=listed,
        calibrated=pipe.calibration is not None,
        has_neighbors=pipe.has_neighbors,
        known={label: round(float(k), 1) for label, k in zip(pipe.labels, seen, strict=True)},
        known_by=known_by,
        settings=settings,
    )


def _known_counts(pipe: BtlKnnNer, mentions: Mapping[str, int]) -> tuple[Floats1d | None, str]:
    """Return the known mentions of each type (n_types,) and where they come from."""
    counts, known_by = dict(mentions), "known documents"
    if counts.keys().isdisjoint(pipe.labels):  # none given, or those of other types
        counts, known_by = known_mentions(pipe) or {}, "neighbors"
    if not counts:
        return None, "pool"
    return np.array([counts.get(label, 0) for label in pipe.labels], dtype=np.float64), known_by


def _stacked(measured: Sequence[Measured]) -> Reports:
    """Return the numbers of reports as arrays."""
    return Reports(
        np.array([each.words for each in measured], dtype=np.int64),
        np.stack([each.expected for each in measured]),
        np.stack([each.doubt for each in measured]),
        np.array([each.distance for each in measured]),
        np.stack([each.vector for each in measured]),
    )


def _most_promising(
    kept: list[tuple[Found, Measured]], known: Floats1d, most: int, settings: SelectionSettings
) -> list[tuple[Found, Measured]]:
    """Return the reports with most gain over cost, in their order."""
    values = standalone_values(_stacked([measured for _, measured in kept]), known, settings)
    best = np.sort(np.argsort(-values, kind="stable")[:most])
    return [kept[i] for i in best.tolist()]


def _described(
    choices: Sequence[Choice],
    kept: Sequence[tuple[Found, Measured]],
    reports: Reports,
    labels: Sequence[str],
    settings: SelectionSettings,
) -> list[SuggestedReport]:
    """Return the chosen reports with their reasons."""
    known = reports.distances[~np.isnan(reports.distances)]
    mean = float(known.mean()) if len(known) else 0.0
    costs = reports.words + settings.reading_words
    first = choices[0]
    unit, unit_value = first.gain or 1.0, first.gain / costs[first.report] or 1.0
    described = []
    for rank, choice in enumerate(choices, 1):
        found, measured = kept[choice.report]
        distance = None if np.isnan(measured.distance) or not mean else measured.distance / mean
        described.append(
            SuggestedReport(
                rank=rank,
                id=found.id,
                place=found.place,
                words=measured.words,
                expected=_largest(labels, measured.expected, 0.1),
                reasons=_largest(labels, choice.by_type, 0.01),
                doubt=round(float(measured.doubt.sum()), 2),
                distance=None if distance is None else round(distance, 3),
                similarity=round(choice.similarity, 3),
                gain=round(choice.gain / unit, 3),
                value=round(float(choice.gain / costs[choice.report] / unit_value), 3),
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
