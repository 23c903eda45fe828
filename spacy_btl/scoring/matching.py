"""Pairs of gold and predicted entities: looser ways to match, kinds of error, confusion of types.

The categories are those of SemEval 2013 task 9.1 (Segura-Bedmar et al. 2013, "SemEval-2013 Task 9:
Extraction of Drug-Drug Interactions from Biomedical Texts"), after MUC-5 (Chinchor and Sundheim
1993, "MUC-5 evaluation metrics"). They define what a pair of a gold and a predicted entity counts
for, not which entities to pair if several overlap. Here an entity is in one pair at most, and the
pairs do not depend on the order in which entities are given.

This is written by hand because nervaluate goes through the predictions in their order, so that one
of the wrong type may take the gold entity whose type a later one has, and because the matching of
`scipy.sparse.csgraph` does not say which of several largest pairings it takes. The tests compare:
nervaluate's exact scores, and its type scores summed over single types, equal those of this module
on flat documents.

Pure Python. Fragments are in ascending order. An entity that is given twice in a document counts
once.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from operator import itemgetter
from typing import Literal, NamedTuple, TypeAlias, get_args

from ..brat import Fragments
from .scores import NO_LABEL, LabeledFragments

Kind = Literal[
    "correct", "wrong type", "wrong bounds", "wrong type and bounds", "missed", "spurious"
]
KINDS: tuple[Kind, ...] = get_args(Kind)

Edge: TypeAlias = tuple[int, int]
"""Index of a gold entity, index of a predicted one."""


class MatchCounts(NamedTuple):
    """Pairs in one document, by the ways to match that need less than label and all bounds.

    Attributes:
        exact: Pairs of the same bounds, whatever the labels.
        partial: Further pairs that share a character, whatever the labels; they count for a half.
        type: Pairs of the same label that share a character.
    """

    exact: int
    partial: int
    type: int


class Match(NamedTuple):
    """A gold entity and the predicted one paired with it; None instead of a missing partner."""

    kind: Kind
    gold: LabeledFragments | None
    predicted: LabeledFragments | None


def count_matches(
    gold: Iterable[LabeledFragments], predicted: Iterable[LabeledFragments]
) -> MatchCounts:
    """Return the pairs for the exact, the partial and the type scores of one document.

    Each is counted on the pairing that scores highest in it. Precision is ``(COR + PAR / 2) /
    predicted``, recall ``(COR + PAR / 2) / gold``: the correct pairs COR are ``exact`` in the exact
    and the partial scores, ``type`` in the type scores; the partial ones PAR are ``partial`` in the
    partial scores, 0 in the others.

    >>> drug, dose = ("Drug", ((0, 8),)), ("Dose", ((9, 13),))
    >>> count_matches([drug, dose], [("Dose", ((0, 8),)), ("Dose", ((9, 11),))])
    MatchCounts(exact=1, partial=1, type=1)
    """
    theirs, ours = _in_order(gold), _in_order(predicted)
    edges = _overlaps(theirs, ours)
    same = Counter(bounds for _, bounds in theirs) & Counter(bounds for _, bounds in ours)
    # Same bounds first: giving up such a pair frees two halves at most. Without labels it does not
    # matter which of several entities with these bounds is left over.
    left_gold, left_predicted = _without(theirs, same), _without(ours, same)
    rest = [(g, p) for g, p in edges if g in left_gold and p in left_predicted]
    alike = [(g, p) for g, p in edges if theirs[g][0] == ours[p][0]]
    return MatchCounts(same.total(), len(most_pairs(rest)), len(most_pairs(alike)))


def match_entities(
    gold: Iterable[LabeledFragments], predicted: Iterable[LabeledFragments]
) -> list[Match]:
    """Return every gold and every predicted entity of one document with its partner, if any.

    Pairs are made in four steps, each among the entities that are still free: "correct" (label and
    all bounds), "wrong type" (all bounds), "wrong bounds" (same label, a character shared), "wrong
    type and bounds" (a character shared). A step makes as many pairs as it can. If it has a choice,
    it takes the gold entities in the order of the text, and for each of them the free one that
    shares most characters, of equals the first. The rest is "missed" or "spurious".

    Returns:
        Matches in the order of the text, by the gold entity if there is one.

    >>> match_entities([("Drug", ((0, 8),))], [("Drug", ((0, 5),)), ("Dose", ((9, 13),))])
    ... # doctest: +NORMALIZE_WHITESPACE
    [Match(kind='wrong bounds', gold=('Drug', ((0, 8),)), predicted=('Drug', ((0, 5),))),
     Match(kind='spurious', gold=None, predicted=('Dose', ((9, 13),)))]
    """
    theirs, ours = _in_order(gold), _in_order(predicted)
    steps: dict[Kind, list[Edge]] = {kind: [] for kind in KINDS[:4]}
    for g, p in _overlaps(theirs, ours):
        same_label, same_bounds = (a == b for a, b in zip(theirs[g], ours[p], strict=True))
        steps[KINDS[(not same_label) + 2 * (not same_bounds)]].append((g, p))
    free_gold, free_predicted = set(range(len(theirs))), set(range(len(ours)))
    matches = []
    for kind, edges in steps.items():
        free = [(g, p) for g, p in edges if g in free_gold and p in free_predicted]
        partners = most_pairs(free)
        free_gold -= set(partners)
        free_predicted -= set(partners.values())
        matches += [Match(kind, theirs[g], ours[p]) for g, p in partners.items()]
    matches += [Match("missed", theirs[g], None) for g in free_gold]
    matches += [Match("spurious", None, ours[p]) for p in free_predicted]
    return sorted(matches, key=_first_place)


def count_kinds(matches: Iterable[Match]) -> dict[Kind, int]:
    """Return the number of matches of each kind, all of `KINDS` in their order."""
    counts = Counter(match.kind for match in matches)
    return {kind: counts[kind] for kind in KINDS}


def count_kinds_by_type(matches: Iterable[Match]) -> dict[str, dict[Kind, int]]:
    """Return `count_kinds` of each type, sorted; the type is that of the gold entity if any."""
    by_type: dict[str, list[Match]] = {}
    for match in matches:
        entity = match.gold or match.predicted
        assert entity is not None
        by_type.setdefault(entity[0], []).append(match)
    return {label: count_kinds(own) for label, own in sorted(by_type.items())}


def confusion(matches: Iterable[Match]) -> dict[str, dict[str, int]]:
    """Return how often gold entities of a type (outer keys) are paired with each type (inner keys).

    `NO_LABEL` is the key for the missing partner of a missed (inner) or a spurious entity (outer).
    Pairs of the right type are counted whatever their bounds. Types are sorted, `NO_LABEL` first; a
    pair of types that does not occur has no key.

    >>> found = [("Dose", ((0, 8),)), ("Dose", ((9, 11),))]
    >>> confusion(match_entities([("Drug", ((0, 8),))], found))
    {'': {'Dose': 1}, 'Drug': {'Dose': 1}}
    """
    counts = Counter(
        (
            match.gold[0] if match.gold else NO_LABEL,
            match.predicted[0] if match.predicted else NO_LABEL,
        )
        for match in matches
    )
    rows: dict[str, dict[str, int]] = {}
    for (gold, predicted), count in sorted(counts.items()):
        rows.setdefault(gold, {})[predicted] = count
    return rows


def most_pairs(edges: Iterable[Edge]) -> dict[int, int]:
    """Return as many of these edges as can be taken without any index twice on its side.

    The edges are tried in their order, and dropped only if that makes room for one more: the
    augmenting paths of Berge 1957 ("Two theorems in graph theory"), the shortest first.

    Returns:
        The chosen edges, from gold to predicted.
    """
    candidates: dict[int, list[int]] = {}
    for g, p in edges:
        candidates.setdefault(g, []).append(p)
    partner: dict[int, int] = {}
    taken_by: dict[int, int] = {}
    for first in candidates:
        reached_from: dict[int, int] = {}
        waiting = [first]
        for g in waiting:  # grows during the loop
            new = [p for p in candidates[g] if p not in reached_from]
            reached_from.update(dict.fromkeys(new, g))
            if free := [p for p in new if p not in taken_by]:
                _take(free[0], reached_from, partner, taken_by)
                break
            waiting += [taken_by[p] for p in new]
    return partner


def _take(
    p: int, reached_from: dict[int, int], partner: dict[int, int], taken_by: dict[int, int]
) -> None:
    """Join a free ``p`` with the ``g`` that led to it, the old partner of that ``g``, and so on."""
    given: int | None = p
    while given is not None:
        g = reached_from[given]
        taken_by[given] = g
        before = partner.get(g)
        partner[g] = given
        given = before


def _overlaps(
    gold: Sequence[LabeledFragments], predicted: Sequence[LabeledFragments]
) -> list[Edge]:
    """Return pairs that share a character, of entities in the order of the text.

    They are in the order of the gold entities, for each of them by falling number of shared
    characters.
    """
    starts = [fragments[0][0] for _, fragments in predicted]
    reach = list(accumulate((_end(fragments) for _, fragments in predicted), max))
    edges = []
    for g, (_, fragments) in enumerate(gold):
        near = range(bisect_right(reach, fragments[0][0]), bisect_left(starts, _end(fragments)))
        shared = [(-_shared_characters(fragments, predicted[p][1]), p) for p in near]
        edges += [(g, p) for minus_shared, p in sorted(shared) if minus_shared]
    return edges


def _shared_characters(a: Fragments, b: Fragments) -> int:
    shared = 0
    for a_start, a_end in a:
        for b_start, b_end in b:
            shared += max(min(a_end, b_end) - max(a_start, b_start), 0)
    return shared


def _end(fragments: Fragments) -> int:
    return max(fragments, key=itemgetter(1))[1]


_place: Callable[[LabeledFragments], tuple[Fragments, str]] = itemgetter(1, 0)
"""The sort key of entities: their bounds, then the label."""


def _in_order(entities: Iterable[LabeledFragments]) -> list[LabeledFragments]:
    """Return each entity once, in the order of the text."""
    return sorted(set(entities), key=_place)


def _first_place(match: Match) -> tuple[Fragments, str, bool]:
    entity = match.gold or match.predicted
    assert entity is not None
    return (*_place(entity), match.gold is None)


def _without(entities: Iterable[LabeledFragments], bounds: Counter[Fragments]) -> set[int]:
    """Return the indices of what is left without as many entities of each bounds as counted."""
    to_take = bounds.copy()
    left = set()
    for i, (_, fragments) in enumerate(entities):
        if to_take[fragments]:
            to_take[fragments] -= 1
        else:
            left.add(i)
    return left
