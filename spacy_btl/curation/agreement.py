"""Agreement of two annotators: F1 of entities and tokens, kappa of tokens, disagreements.

Every measure but two compares the entities of one type with those of the same type, and overall
figures are sums over the types:

``strict``: the same bounds. ``partial``: the same, and a half for entities that overlap.
``overlap``: a character shared; `scoring` calls this matching by type. ``token``: tokens in an
entity of the type. ``exact_any_type`` and ``partial_any_type`` compare bounds, whatever the types.

All are F1, which is the same in either order of the annotators. Where one annotator is taken as the
reference, ``found_by_b`` is the recall of the strict measure and ``found_by_a`` its precision.

Kappa is that of Cohen 1960 on tokens, the category of a token being the set of its types. F1 is
what kappa tends to as the tokens in no entity get more (Hripcsak and Rothschild 2005, "Agreement,
the F-measure, and reliability in information retrieval"), and kappa over the tokens that at least
one annotator has marked is too low rather than too high (Brandsen et al. 2020, "Creating a dataset
for named entity recognition in the archaeology domain"): both are given, beside F1.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..brat import Offsets
from ..conversion.reading import DEFAULT_READING, Reading
from ..data.groups import describe_names
from ..data.tokenizer import blank, clinical_tokenizer
from ..scoring.counts import document_counts, labels_on_tokens
from ..scoring.matching import (
    Kind,
    Match,
    confusion,
    count_kinds,
    count_kinds_by_type,
    count_matches,
    match_entities,
)
from ..scoring.scores import LabeledFragments, precision_recall_f
from ..scoring.statistics import bootstrap_intervals
from ..util.arrays import Float64s2d, Float64sXd
from .annotators import Annotations, read_annotators

KIND_NAMES: Mapping[Kind, str] = {
    "correct": "agreed",
    "wrong type": "other type",
    "wrong bounds": "other bounds",
    "wrong type and bounds": "other type and bounds",
    "missed": "only {a}",
    "spurious": "only {b}",
}
"""Names of the kinds of pairs; {a} and {b} are the annotators."""

MEASURES = ("strict", "partial", "overlap", "token")
"""The F1 measures that are given by type."""

_A, _B, _AGREED, _PARTIAL, _OVERLAP, _TOKENS_A, _TOKENS_B, _TOKENS_BOTH = range(8)
"""Counts of a type in a document."""

_FIRST = 5
"""Reasons that messages give; the JSON has all."""


class Figures(NamedTuple):
    """The agreement on a type, or on all types.

    Attributes:
        a: Entities of the first annotator.
        b: Those of the second.
        agreed: Entities that both have with the same type and bounds.
        strict: F1, see the module; None where neither has an entity.
        partial: As strict.
        overlap: As strict.
        token: As strict.
        kappa: Cohen's kappa of tokens; for a type, of whether a token is in an entity of it. None
            where it is not defined, as all tokens are alike.
    """

    a: int
    b: int
    agreed: int
    strict: float | None
    partial: float | None
    overlap: float | None
    token: float | None
    kappa: float | None

    @property
    def found_by_b(self) -> float | None:
        """The share of the first annotator's entities that the second has too."""
        return self.agreed / self.a if self.a else None

    @property
    def found_by_a(self) -> float | None:
        """The share of the second annotator's entities that the first has too."""
        return self.agreed / self.b if self.b else None

    def to_json(self) -> dict[str, float | None]:
        """Return all figures by name."""
        return self._asdict() | {"found_by_b": self.found_by_b, "found_by_a": self.found_by_a}


class DocumentAgreement(NamedTuple):
    """A document: its name, the pairs of its entities, and its strict F1, None without entities."""

    name: str
    matches: list[Match]
    strict: float | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement of two annotators.

    Attributes:
        annotations: What they have annotated, and what of it is not compared.
        overall: Over all types; kappa over all tokens.
        macro: The means of `MEASURES` over the types that at least one has, None without any.
        any_type: F1 of bounds whatever the types, "exact" and "partial".
        kappa_marked: Kappa over the tokens that at least one has marked.
        tokens: All tokens, and those that at least one has marked.
        intervals: Intervals of `MEASURES` over all types, of 95% of documents drawn with
            replacement; empty for one document.
        by_type: The most frequent type first.
        documents: As in ``annotations.pairs``.
    """

    annotations: Annotations
    overall: Figures
    macro: dict[str, float | None]
    any_type: dict[str, float | None]
    kappa_marked: float | None
    tokens: tuple[int, int]
    intervals: dict[str, list[float]]
    by_type: dict[str, Figures]
    documents: list[DocumentAgreement]

    @property
    def names(self) -> tuple[str, str]:
        """The names of the annotators."""
        return self.annotations.names

    @property
    def matches(self) -> list[Match]:
        """The pairs of all documents."""
        return [match for document in self.documents for match in document.matches]

    @property
    def kind_names(self) -> dict[Kind, str]:
        """The names of the kinds of pairs."""
        a, b = self.names
        return {
            kind: name.replace("{a}", a) if "{a}" in name else name.replace("{b}", b)
            for kind, name in KIND_NAMES.items()
        }

    def to_json(self) -> dict[str, Any]:
        """Return all figures, without any text of a document."""
        read = self.annotations
        plain = {kind: name.format(a="a", b="b") for kind, name in KIND_NAMES.items()}
        by_type = count_kinds_by_type(self.matches)
        return {
            "annotators": dict(zip("ab", self.names, strict=True)),
            "documents": {
                "compared": len(read.pairs),
                "edited": [pair.name for pair in read.pairs if pair.edited],
                "only a": list(read.only[0]),
                "only b": list(read.only[1]),
                "refused": dict(read.refused),
            },
            "overall": self.overall.to_json(),
            "intervals": self.intervals,
            "macro": self.macro,
            "any_type": self.any_type,
            "tokens": {
                "all": self.tokens[0],
                "marked": self.tokens[1],
                "kappa": self.overall.kappa,
                "kappa_marked": self.kappa_marked,
            },
            "by_type": {label: own.to_json() for label, own in self.by_type.items()},
            "kinds": {plain[kind]: n for kind, n in count_kinds(self.matches).items()},
            "kinds_by_type": {
                label: {plain[kind]: n for kind, n in counts.items()}
                for label, counts in by_type.items()
            },
            "confusion": confusion(self.matches),
            "by_document": {
                document.name: {
                    "strict": document.strict,
                    **{plain[kind]: n for kind, n in count_kinds(document.matches).items()},
                }
                for document in self.documents
            },
            "not_asked": dict(zip("ab", map(dict, read.not_asked()), strict=True)),
            "unplaced": dict(zip("ab", map(list, read.unplaced), strict=True)),
        }

    def warnings(self) -> list[str]:
        """Return what was not compared, and what else a reader of the figures should know."""
        read, two = self.annotations, self.names
        found = []
        if len(read.pairs) == 1:
            found.append("one document is compared, which says little about others")
        for i, name in enumerate(two):
            if only := read.only[i]:
                found.append(f"documents that only {name} has: {len(only)}; {describe_names(only)}")
        if refused := read.refused:
            found.append(f"documents of both that are not compared: {len(refused)}")
            found += [f"{name}: {why}" for name, why in [*refused.items()][:_FIRST]]
        if edited := [pair.name for pair in read.pairs if pair.edited]:
            found.append(
                f"documents whose text was edited between {two[0]} and {two[1]}, now aligned: "
                f"{len(edited)}; {describe_names(edited)}"
            )
        for name, lost in zip(two, read.unplaced, strict=True):
            if lost:
                found.append(
                    f"entities of {name} that have no place, and are not compared: {len(lost)}"
                )
                found += lost[:_FIRST]
        for i, counts in enumerate(read.not_asked()):
            if counts:
                labels = ", ".join(f"{label} {n}" for label, n in sorted(counts.items()))
                found.append(f"not compared, as only {two[i]} was asked for them: {labels}")
        for i in range(2):
            single = [f"{label} {own[i]}" for label, own in self.by_type.items() if not own[1 - i]]
            if single:
                found.append(
                    f"types that only {two[i]} has: {', '.join(single)}. If {two[1 - i]} was not "
                    f"asked for them, name the types of {two[1 - i]} (--labels-{'ba'[i]})"
                )
        if not self.by_type:
            found.append(f"neither {two[0]} nor {two[1]} has marked an entity")
        return found


def compare_annotators(
    a: Path | str,
    b: Path | str,
    *,
    names: Sequence[str] = (),
    reading_a: Reading = DEFAULT_READING,
    reading_b: Reading = DEFAULT_READING,
    lang: str = "en",
) -> Agreement:
    """Return the agreement of two annotators on the same documents.

    Args:
        a: The file or folder of the first annotator, in any format that `convert` reads.
        b: The file or folder of the second annotator.
        names: Names of the two; by default those of their files or folders.
        reading_a: Settings for reading the documents of the first; its ``labels`` are the types
            that the first was asked for.
        reading_b: Settings for reading the documents of the second.
        lang: Language of the tokenizer.

    Returns:
        Scores by type and overall, kappa, and all pairs of entities with their disagreements.

    Raises:
        ValueError: If there is no document that both have, or as in `read_source`.
        OSError: If a file or folder cannot be read.
    """
    return agreement_of(
        read_annotators(a, b, names=names, reading_a=reading_a, reading_b=reading_b), lang=lang
    )


def agreement_of(annotations: Annotations, *, lang: str = "en") -> Agreement:
    """Return how far two annotators agree on documents that have been read.

    Raises:
        ValueError: If spaCy does not have the language.
    """
    nlp = blank(lang)
    tokenize = clinical_tokenizer(nlp)
    documents: list[DocumentAgreement] = []
    rows: list[dict[str, list[int]]] = []
    bounds = np.zeros(4)
    pairs_of_tokens: Counter[tuple[frozenset[str], frozenset[str]]] = Counter()
    for pair in annotations.pairs:
        a, b = pair.compared()
        doc = tokenize(pair.text)
        tokens = [(token.idx, token.idx + len(token)) for token in doc if not token.is_space]
        row, any_type = _count(a, b, tokens)
        rows.append(row)
        bounds += any_type
        pairs_of_tokens += _token_pairs(a, b, tokens)
        documents.append(DocumentAgreement(pair.name, match_entities(a, b), _strict(row)))
    labels = sorted({label for row in rows for label in row})
    table = np.zeros((len(rows), len(labels), 8))
    for i, row in enumerate(rows):
        for k, label in enumerate(labels):
            table[i, k] = row.get(label, 0)
    n_tokens = pairs_of_tokens.total()
    by_type = {
        label: _figures(table[:, k].sum(axis=0), _kappa_of_type(table[:, k].sum(axis=0), n_tokens))
        for k, label in enumerate(labels)
    }
    marked = Counter({pair: n for pair, n in pairs_of_tokens.items() if any(pair)})
    return Agreement(
        annotations,
        _figures(table.sum(axis=(0, 1)), cohen_kappa(pairs_of_tokens)),
        {
            measure: _mean([getattr(own, measure) for own in by_type.values()])
            for measure in MEASURES
        },
        _any_type(bounds),
        cohen_kappa(marked),
        (n_tokens, marked.total()),
        _intervals(table.sum(axis=1)),
        dict(sorted(by_type.items(), key=lambda item: (-item[1].a - item[1].b, item[0]))),
        documents,
    )


def cohen_kappa(pairs: Mapping[tuple[Any, Any], int]) -> float | None:
    """Return Cohen's kappa of two raters.

    Args:
        pairs: How often each pair of categories was given to an item.

    Returns:
        Kappa, or None where there is no item or only one category.

    >>> cohen_kappa({("yes", "yes"): 20, ("yes", "no"): 5, ("no", "yes"): 10, ("no", "no"): 15})
    0.4
    """
    first, second = Counter[Any](), Counter[Any]()
    for (one, other), n in pairs.items():
        first[one] += n
        second[other] += n
    total = first.total()
    same = sum(n for (one, other), n in pairs.items() if one == other)
    by_chance = sum(n * second[category] for category, n in first.items())
    if total * total == by_chance:
        return None
    return (total * same - by_chance) / (total * total - by_chance)


def _count(
    a: Sequence[LabeledFragments], b: Sequence[LabeledFragments], tokens: Sequence[Offsets]
) -> tuple[dict[str, list[int]], list[int]]:
    """Return the counts of each type, and those of bounds: of a, of b, exact, partial."""
    counts = document_counts(a, b, tokens)
    rows = {}
    for label, (n_a, n_b, agreed) in counts["spans"].items():
        own_a, own_b = ([entity for entity in side if entity[0] == label] for side in (a, b))
        pairs = count_matches(own_a, own_b)
        in_a, in_b, in_both = counts["tokens"].get(label, [0, 0, 0])
        rows[label] = [n_a, n_b, agreed, pairs.partial, pairs.type, in_a, in_b, in_both]
    any_type = counts["pairs"]
    return rows, [len(set(a)), len(set(b)), any_type["exact"], any_type["partial"]]


def _token_pairs(
    a: Sequence[LabeledFragments], b: Sequence[LabeledFragments], tokens: Sequence[Offsets]
) -> Counter[tuple[frozenset[str], frozenset[str]]]:
    """Return how often tokens are in entities of these types of the one and of the other."""
    starts, ends = [start for start, _ in tokens], [end for _, end in tokens]
    types: list[tuple[set[str], set[str]]] = [(set(), set()) for _ in tokens]
    for side, entities in enumerate((a, b)):
        for i, label in labels_on_tokens(entities, starts, ends):
            types[i][side].add(label)
    return Counter((frozenset(one), frozenset(other)) for one, other in types)


def _figures(counts: Float64sXd, kappa: float | None) -> Figures:
    n_a, n_b, agreed = (int(counts[i]) for i in (_A, _B, _AGREED))
    if not n_a and not n_b:
        return Figures(0, 0, 0, None, None, None, None, kappa)
    strict, partial, overlap, token = _measures(counts).tolist()
    if not counts[_TOKENS_A] and not counts[_TOKENS_B]:
        token = None
    return Figures(n_a, n_b, agreed, strict, partial, overlap, token, kappa)


def _measures(counts: Float64sXd) -> Float64sXd:
    """Return `MEASURES` (..., 4) of counts (..., 8)."""
    n = [counts[..., i] for i in range(8)]
    entities = [
        precision_recall_f(correct, n[_B], n[_A])["f"]
        for correct in (n[_AGREED], n[_AGREED] + n[_PARTIAL] / 2, n[_OVERLAP])
    ]
    tokens = precision_recall_f(n[_TOKENS_BOTH], n[_TOKENS_B], n[_TOKENS_A])["f"]
    return np.stack([*entities, tokens], axis=-1)


def _strict(row: Mapping[str, Sequence[int]]) -> float | None:
    """Return the strict F1 of a document, from its counts by type."""
    n_a, n_b, agreed = (sum(counts[i] for counts in row.values()) for i in (_A, _B, _AGREED))
    return 2 * agreed / (n_a + n_b) if n_a + n_b else None


def _kappa_of_type(counts: Float64sXd, n_tokens: int) -> float | None:
    in_a, in_b, both = (int(counts[i]) for i in (_TOKENS_A, _TOKENS_B, _TOKENS_BOTH))
    return cohen_kappa(
        {
            (True, True): both,
            (True, False): in_a - both,
            (False, True): in_b - both,
            (False, False): n_tokens - in_a - in_b + both,
        }
    )


def _any_type(bounds: Float64sXd) -> dict[str, float | None]:
    a, b, exact, partial = bounds.tolist()
    if not a + b:
        return {"exact": None, "partial": None}
    scores = (precision_recall_f(correct, b, a)["f"] for correct in (exact, exact + partial / 2))
    return dict(zip(("exact", "partial"), map(float, scores), strict=True))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _intervals(table: Float64s2d) -> dict[str, list[float]]:
    """Return the intervals of `MEASURES` of documents (n_documents, 8)."""
    if len(table) < 2 or not table[:, (_A, _B)].any():
        return {}

    def score(counts: Float64s2d) -> Float64s2d:
        without = counts[:, _A] + counts[:, _B] == 0
        return np.where(without[:, None], np.nan, _measures(counts))

    intervals = bootstrap_intervals(table, score).tolist()
    return dict(zip(MEASURES, intervals, strict=True))
