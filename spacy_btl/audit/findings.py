"""Likely errors of an annotation: which places, of what kind, how probable, and on what evidence.

Every candidate (`audit.candidates`) has the probability that an annotator would mark exactly it, by
a judge that was fitted on other documents: from the model's score, the neighbors' votes, what the
same words are elsewhere, and rivals for its tokens. An annotated entity of low probability is a
finding, and so is a candidate of high probability where nothing is annotated. In log-odds, both are
on one scale: that of the odds by which the annotation is right.

How many errors there are cannot be known from this. The odds of all places are therefore moved
together, so that as many errors are expected as an assumed share of the entities: this fixes the
probabilities, and has no part in the order. Arrays and plain values only.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np

from ..labels.bio import LabelSpan
from ..util.arrays import AnyArray, Bools1d, Float64s1d, Float64s2d, FloatsXd
from .candidates import (
    Beliefs,
    Candidates,
    distinct,
    emptiness,
    find_candidates,
    judge_by_others,
    log_odds,
    parts_of,
    rivals,
)
from .consistency import AnnotatedTokens, Lexicon, TypeUse, make_lexicon, type_use

Kind = Literal["missed", "surplus", "wrong type", "wrong bounds", "inconsistent"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""An entity that is not annotated; one that should not be; one that should have another type, or
other bounds; and one that the model agrees with, but not what its words are elsewhere."""

ERROR_RATE = 0.05
"""Share of the entities that is assumed to be wrong."""

INCONSISTENT = 0.2
"""Greatest share of its type among other occurrences of the words of an inconsistent entity."""

FEWEST = 3
"""Occurrences elsewhere that make an entity inconsistent."""

FAR = -14.0
"""Log-odds of a rival where there is none."""

LOWEST = -8.0
"""Log-odds of a rival that count for no less."""

RIVAL_WEIGHT = 0.25
"""Weight of the log-odds of another reading of the same tokens, beside those of the annotated one.

This, `MISSED_BONUS` and `SLOPE` were chosen once, on 48 documents of MACCROBAT with damage to 5%
of the entities (``experiments/damage.py``), for a model trained on 112 others."""

MISSED_BONUS = 5.0
"""Addition to the log-odds of missed entities where there are `N_TYPES` types, see `missed_bonus`.

An annotated entity is surprising by far lower log-odds than a candidate by high ones, as few
candidates are certain."""

N_TYPES = 41
"""Types of the corpus that the constants were chosen on."""

LENGTH_WEIGHT = 1.0
"""Weight of the logarithm of the number of tokens of an annotated entity, which counts against an
error. The exact bounds of a long phrase are improbable even where it is right. Chosen after reading
the findings in 48 undamaged documents of MACCROBAT (``experiments/README.md``)."""

SLOPE = 0.75
"""From those sums to the log-odds of an error: they are too far apart."""


_DIGITS = re.compile(r"\d+")


class AuditedDocument(NamedTuple):
    """A document to be audited.

    Attributes:
        tokens: Its words and the entities that are audited.
        hidden: Annotated entities that are not, as others lie over them.
        known: (n_tokens,) whether the annotation says anything about a token.
    """

    tokens: AnnotatedTokens
    hidden: Sequence[LabelSpan] = ()
    known: Bools1d | None = None


class Evidence(NamedTuple):
    """Judgment of a model on a document, as `audit.predictions` makes it.

    Attributes:
        own: Label probabilities (n_tokens, 1 + 2 * n_types), or (n_tokens, n_types, 3).
        votes: The same by the nearest tokens of other documents.
        nearest: (n_tokens, n_neighbors, 2) document and first character of these tokens.
    """

    own: FloatsXd
    votes: FloatsXd
    nearest: AnyArray


class Finding(NamedTuple):
    """A likely error.

    Attributes:
        kind: What is wrong.
        probability: That it is an error.
        document: Index of the document.
        annotated: The entity that is annotated; None where none is.
        suggested: What should be annotated; None where nothing should.
        agreement: Probability that an annotator would mark exactly the annotated entity.
        support: The same of the suggested one.
        words: What the words are in other documents, by type, -1 for no entity.
        votes: Share of the neighbors' vote by type, -1 for no entity; over 0.5% only.
    """

    kind: Kind
    probability: float
    document: int
    annotated: LabelSpan | None
    suggested: LabelSpan | None
    agreement: float | None
    support: float | None
    words: Mapping[int, int]
    votes: Mapping[int, float]

    @property
    def span(self) -> tuple[int, int]:
        """Return the tokens of the annotated entity, or else of the suggested one."""
        first = self.annotated or self.suggested
        assert first is not None
        return first[0], first[1]


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """The findings of an audit.

    Attributes:
        findings: All places, the most probable error first.
        use: How consistently each type is used.
        lexicon: Where words occur.
        expected: Number of errors expected by type, of the annotated entity if there is one.
    """

    findings: list[Finding]
    use: list[TypeUse]
    lexicon: Lexicon
    expected: list[float]


def find_errors(
    documents: Sequence[AuditedDocument],
    evidence: Sequence[Evidence],
    n_types: int,
    *,
    error_rate: float = ERROR_RATE,
) -> Findings:
    """Return all places where the annotation may be wrong, the most probable error first.

    Args:
        documents: The documents.
        evidence: What a model that has not seen it says of each.
        n_types: Number of entity types.
        error_rate: Share of the entities that is assumed to be wrong, above 0.
    """
    layered = any(each.own.ndim == 3 for each in evidence)
    tokens = [document.tokens for document in documents]
    found = [
        _candidates(document, each, n_types)
        for document, each in zip(documents, evidence, strict=True)
    ]
    keys = {
        own.key(start, end)
        for own, part in zip(tokens, found, strict=True)
        for start, end, _ in part.tolist()
    }
    lexicon = make_lexicon(tokens, keys)
    # Numbers play no part in features. The words that are shown are as they are.
    shapes = [own._replace(words=[_DIGITS.sub("0", word) for word in own.words]) for own in tokens]
    shape_keys = {tuple(_DIGITS.sub("0", word) for word in key) for key in keys}
    shape_lexicon = make_lexicon(shapes, shape_keys)
    every = [
        distinct(part, np.array(own.entities, dtype=np.int64).reshape(-1, 3))
        for part, own in zip(found, tokens, strict=True)
    ]
    free = [_among(part, own) for part, own in zip(every, found, strict=True)]
    gold = [_among(part, own.entities) for part, own in zip(every, tokens, strict=True)]
    features = [
        _features(each, part, is_free, shape_lexicon, i, layered)
        for i, (each, part, is_free) in enumerate(zip(evidence, every, free, strict=True))
    ]
    sizes = [len(part) for part in every]
    odds = judge_by_others(
        np.concatenate(features),
        np.concatenate(gold),
        np.repeat(np.arange(len(every)), sizes),
        np.concatenate(free),
    )
    bonus = missed_bonus(n_types)
    places = [
        place
        for i, part in enumerate(parts_of(sizes))
        for place in _places(i, every[i], odds[part], gold[i], bonus, layered)
    ]
    probabilities = _probabilities(
        SLOPE * np.array([place.odds for place in places]),
        error_rate * sum(int(own.sum()) for own in gold),
    )
    findings = [
        _finding(place, float(probability), evidence[place.document], lexicon)
        for place, probability in zip(places, probabilities, strict=True)
    ]
    findings.sort(key=lambda each: (-each.probability, each.document, each.span))
    expected = [0.0] * n_types
    for each in findings:
        first = each.annotated or each.suggested
        assert first is not None
        expected[first[2]] += each.probability
    return Findings(findings, type_use(lexicon, n_types), lexicon, expected)


def _candidates(document: AuditedDocument, evidence: Evidence, n_types: int) -> Candidates:
    """Return the candidates that the annotation of a document could have as entities."""
    tokens = document.tokens
    found = distinct(
        *(find_candidates(Beliefs.of(each)) for each in (evidence.own, evidence.votes))
    )
    n_tokens = len(tokens.words)
    solid = np.array([bool(word) for word in tokens.words], dtype=bool)
    kept = solid[found[:, 0]] & solid[found[:, 1] - 1]
    if document.known is not None:
        unknown = np.concatenate([[0], np.cumsum(~document.known)])
        kept &= unknown[found[:, 1]] == unknown[found[:, 0]]
    if tokens.types is not None:
        kept &= np.isin(found[:, 2], sorted(tokens.types))
    for start, end, kind in document.hidden:
        kept &= (found[:, 2] != kind) | (found[:, 0] >= end) | (found[:, 1] <= start)
    kept &= (found[:, 1] <= n_tokens) & (found[:, 2] < n_types)
    return np.asarray(found[kept], dtype=np.int64)


def _among(candidates: Candidates, spans: Sequence[LabelSpan] | Candidates) -> Bools1d:
    """Return which candidates are among some spans; shape (n_candidates,)."""
    known = {(int(start), int(end), int(kind)) for start, end, kind in spans}
    return np.array([tuple(each) in known for each in candidates.tolist()], dtype=bool)


def _features(
    evidence: Evidence,
    candidates: Candidates,
    free: Bools1d,
    lexicon: Lexicon,
    document: int,
    layered: bool,
) -> Float64s2d:
    """Return the features (n_candidates, n_features) of the candidates of a document.

    Only those that do not depend on its annotation (``free``) are rivals of others.
    """
    own, votes = Beliefs.of(evidence.own), Beliefs.of(np.asarray(evidence.votes, np.float32))
    score, vote = log_odds(own, candidates), log_odds(votes, candidates)
    rival = np.maximum(rivals(candidates, np.where(free, score, -np.inf), layered=layered), FAR)
    key = lexicon.documents[document].key
    elsewhere = np.array(
        [
            lexicon.elsewhere(key(start, end), kind, document)
            for start, end, kind in candidates.tolist()
        ],
        dtype=np.float64,
    ).reshape(-1, 3)
    share = (elsewhere[:, 0] + 0.5) / (elsewhere.sum(axis=1) + 1.0)
    return np.column_stack(
        [
            score,
            vote,
            rival,
            score > rival,
            emptiness(own, candidates),
            np.log(share) - np.log1p(-share),
            np.log1p(elsewhere),
            np.log(candidates[:, 1] - candidates[:, 0]),
        ]
    )


class _ScoredPlace(NamedTuple):
    """An annotated entity, or a candidate where none is, with the log-odds that it is an error."""

    document: int
    annotated: LabelSpan | None
    suggested: LabelSpan | None
    odds: float
    annotated_odds: float
    suggested_odds: float


def _places(
    document: int,
    candidates: Candidates,
    odds: Float64s1d,
    gold: Bools1d,
    bonus: float,
    layered: bool,
) -> list[_ScoredPlace]:
    """Return all places of a document: every annotated entity, and where one may be missing.

    Args:
        document: Its index.
        candidates: All of it.
        odds: (n_candidates,) log-odds that they are annotated.
        gold: (n_candidates,) whether they are.
        bonus: Addition to the log-odds of a missed entity.
        layered: Whether entities of other types may overlap.
    """
    starts, ends, kinds = candidates.T
    spans = [(int(start), int(end), int(kind)) for start, end, kind in candidates]
    found = []
    explained = np.zeros(len(spans), dtype=bool)
    for i in np.flatnonzero(gold):
        near = (starts < ends[i]) & (starts[i] < ends)
        if layered and odds[i] >= 0:  # others may be right beside it
            near &= kinds == kinds[i]
        explained |= near
        rest = np.flatnonzero(near & ~gold)
        best = rest[odds[rest].argmax()] if len(rest) else -1
        rival = float(odds[best]) if best >= 0 else FAR
        # Nothing at all is as probable as the others leave it.
        mass = float(_sigmoid(odds[rest]).sum())
        suggested = spans[best] if best >= 0 and mass >= 0.5 else None
        found.append(
            _ScoredPlace(
                document,
                spans[i],
                suggested,
                RIVAL_WEIGHT * max(rival, LOWEST)
                - float(odds[i])
                - LENGTH_WEIGHT * float(np.log(ends[i] - starts[i])),
                float(odds[i]),
                rival,
            )
        )
    open_ = np.flatnonzero(~explained & ~gold)
    taken = np.zeros(int(ends.max()) if len(ends) else 0, dtype=bool)
    for i in open_[np.argsort(-odds[open_], kind="stable")]:
        if not taken[starts[i] : ends[i]].any():
            taken[starts[i] : ends[i]] = True
            own = float(odds[i])
            error = (1 + RIVAL_WEIGHT) * own + bonus
            found.append(_ScoredPlace(document, None, spans[i], error, FAR, own))
    return found


def missed_bonus(n_types: int) -> float:
    """Return the addition to the log-odds of missed entities, which grows with the types.

    An entity is missed in one way, but there are as many wrong ones as types. With more types, an
    error gives exactly the annotated entity less often, so that it is less suspicious.

    Args:
        n_types: Number of entity types.
    """
    return MISSED_BONUS + math.log(n_types / N_TYPES)


def _sigmoid(odds: Float64s1d) -> Float64s1d:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * odds)))


def _probabilities(odds: Float64s1d, expected: float) -> Float64s1d:
    """Return probabilities of log-odds that are moved so that they sum up to a number."""
    low, high = -100.0, 100.0
    for _ in range(60):
        middle = (low + high) / 2
        if _sigmoid(odds + middle).sum() < expected:
            low = middle
        else:
            high = middle
    return _sigmoid(odds + low)


def _finding(
    place: _ScoredPlace, probability: float, evidence: Evidence, lexicon: Lexicon
) -> Finding:
    """Return a place as a finding, with what speaks for it."""
    document = lexicon.documents[place.document]
    first = place.annotated or place.suggested
    assert first is not None
    start, end, kind = first
    words = lexicon.labels_elsewhere(document.key(start, end), place.document)
    suggested = place.suggested
    called: Kind
    if place.annotated is None:
        called = "missed"
    elif place.annotated_odds > max(place.suggested_odds, 0.0) and _is_inconsistent(words, kind):
        called = "inconsistent"
        most = max(words, key=lambda label: (words[label], -label))
        suggested = None if most < 0 else (start, end, most)
    elif suggested is None:
        called = "surplus"
    else:
        called = "wrong bounds" if suggested[2] == kind else "wrong type"
    return Finding(
        called,
        probability,
        place.document,
        place.annotated,
        suggested,
        None if place.annotated is None else float(_sigmoid(np.array(place.annotated_odds))),
        None if suggested is None else float(_sigmoid(np.array(place.suggested_odds))),
        dict(words.most_common()),
        _votes(evidence.votes, start, end),
    )


def _is_inconsistent(words: Counter[int], kind: int) -> bool:
    total = words.total()
    return total >= FEWEST and words[kind] <= INCONSISTENT * total


def _votes(votes: FloatsXd, start: int, end: int) -> dict[int, float]:
    """Return the mean share of the vote on some tokens by type, -1 for no entity."""
    begin, inside = Beliefs.of(np.asarray(votes[start:end], dtype=np.float64))
    by_type = (begin + inside).mean(axis=0)
    shares = {-1: max(1.0 - float(by_type.sum()), 0.0)}
    shares |= {int(kind): float(by_type[kind]) for kind in np.flatnonzero(by_type)}
    most = sorted(shares.items(), key=lambda item: (-item[1], item[0]))
    return {kind: share for kind, share in most if share > 0.005}
