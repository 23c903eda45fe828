"""Correct the offsets of a document by its surface texts, with what the account says of that."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from .. import brat
from ..brat.standoff import BYTE_ORDER_MARK
from ..offsets import AS_WRITTEN, Correction, correct_offsets, cuts_words
from .account import UNSURE_OFFSETS, CorrectionJson


@dataclass(frozen=True, slots=True)
class Corrected:
    """A document whose entities have the offsets of their words.

    Attributes:
        document: It; its problems are those that are left, and one on the offsets as a whole.
        written: The entities as the files have them, in the order of the files.
        correction: What was corrected.
    """

    document: brat.Document
    written: tuple[brat.Entity, ...]
    correction: Correction

    def to_json(self) -> CorrectionJson | None:
        """Return what the account lists of the offsets, None where there is nothing to say."""
        if not self.correction.moved and not self.correction.refused:
            return None
        return {
            "document": self.document.name,
            "offsets": str(self.correction.counting),
            "corrected": len(self.correction.moved),
            "realigned": len(self.correction.realigned),
            "dropped": len(self.correction.refused),
        }


def correct_document(document: brat.Document, offsets: str) -> Corrected:
    """Return a document whose entities have the offsets of their words.

    A byte order mark that the offsets count is left out of the text.

    Args:
        document: A document with a text.
        offsets: As in `offsets.correct_offsets`.
    """
    text = bare = document.text or ""
    if text.startswith(BYTE_ORDER_MARK):
        bare = text.removeprefix(BYTE_ORDER_MARK)
        if "shift" in offsets:  # it is said to be counted
            text = bare
    placed = [
        (file, entity)
        for file, part in document.parts
        for entity in part.records
        if isinstance(entity, brat.Entity)
    ]
    written = tuple(entity for _, entity in placed)
    correction = correct_offsets(text, written, offsets)
    cut = cuts_words(text, written)
    if text != bare:
        correction, text = _without_mark(correction), bare
    problems = list(document.problems)
    if correction.moved:
        gone = {(placed[i][0], written[i].line, written[i].id) for i in correction.moved}
        problems = [
            problem
            for problem in problems
            if problem.reason not in ("surface", "outside", "empty")
            or (problem.file, problem.line, problem.record_id) not in gone
        ]
    for i in sorted(correction.moved):
        if fault := brat.find_fault(correction.entities[i], text):
            e = written[i]
            problems.append(brat.Problem(e.id, e.line, e.label, *fault, placed[i][0]))
    file = document.parts[0][0] if document.parts else ""
    for fault in _faults(written, correction, cut=cut):
        problems.append(brat.Problem("", 0, "", *fault, file))
    following = iter(correction.entities)
    parts = tuple((name, _with_entities(part, following)) for name, part in document.parts)
    corrected = replace(document, text=text, parts=parts, problems=tuple(problems))
    return Corrected(corrected, written, correction)


def _with_entities(part: brat.Standoff, entities: Iterator[brat.Entity]) -> brat.Standoff:
    """Return records with their entities replaced, one after the other."""
    return brat.Standoff(
        tuple(
            next(entities) if isinstance(record, brat.Entity) else record for record in part.records
        )
    )


def _without_mark(correction: Correction) -> Correction:
    """Return a correction of offsets that count a byte order mark for the text without it."""
    counting = correction.counting
    size = counting.positions(BYTE_ORDER_MARK)[-1]
    kept = frozenset(range(len(correction.entities))) - correction.refused.keys()
    entities = tuple(
        entity._replace(
            fragments=tuple((max(a - 1, 0), max(b - 1, 0)) for a, b in entity.fragments),
            text=entity.text.removeprefix(BYTE_ORDER_MARK),
            raw="",
        )
        if i in kept
        else entity
        for i, entity in enumerate(correction.entities)
    )
    counting = replace(counting, shift=counting.shift - size)
    return replace(correction, counting=counting, entities=entities, moved=kept)


def _faults(
    written: tuple[brat.Entity, ...], correction: Correction, *, cut: bool
) -> Iterator[tuple[brat.Fault, str]]:
    """Yield what is wrong with the offsets of a document as a whole, with details."""
    counted = len(correction.moved - correction.realigned)
    if correction.counting != AS_WRITTEN:
        numbers = f"{counted} of {len(written)} entities are moved to their words"
        yield "offsets", f"counted as {correction.counting}: {numbers}"
    if correction.realigned:
        numbers = f"{len(correction.realigned)} of {len(written)} entities are found by their words"
        yield "edited", f"the text was changed after its annotation: {numbers}"
    if cut:
        yield "offsets", UNSURE_OFFSETS
