"""Where the entities of one document go: on which tokens, into ``doc.ents`` or not, and why.

Pure arithmetic on offsets, as in `spacy_btl.alignment`, whose policies it applies.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .account import Fragments, Status
from .alignment import (
    Alignment,
    Discontinuous,
    Offsets,
    Overlap,
    align_to_tokens,
    choose_flat,
    resolve_fragments,
    trim,
)

# Reasons of entities that are dropped, moved (CUTS to PART) or flattened.
OUTSIDE = "offsets outside the text"
BACKWARDS = "ends where it starts, or before"
BLANK = "white space only"
CUTS = "cuts a token"
SPACE = "white space at its ends"
DISCONTINUOUS = "discontinuous"
PART = "a fragment of it overlaps another entity"
AGAIN = "the same entity again"
SAME_TOKENS = "another label on the same tokens"
OVERLAPS = "overlaps another entity"


@dataclass(frozen=True, slots=True)
class Policies:
    """The named choices of a conversion; see `spacy_btl.alignment` for what each means."""

    overlap: Overlap = "rarest"
    discontinuous: Discontinuous = "envelope"
    alignment: Alignment = "expand"


class Tokens(NamedTuple):
    """The tokens of a document that are not white space, each by its number and characters."""

    numbers: Sequence[int]
    starts: Sequence[int]
    ends: Sequence[int]


@dataclass(frozen=True, slots=True)
class Placement:
    """What becomes of one entity.

    status, reason: as in the account. spans: all its spans, in tokens. chosen: those of them that
    stand in the flat choice. by: index of the entity that took its tokens, or those of a part.
    """

    status: Status
    reason: str
    spans: tuple[Offsets, ...] = ()
    chosen: tuple[Offsets, ...] = ()
    by: int | None = None


def place_entities(
    entities: Sequence[tuple[str, Fragments]],
    text: str,
    tokens: Tokens,
    policies: Policies,
    frequency: Mapping[str, int],
) -> list[Placement]:
    """One placement for each entity, given as label and fragments in ascending order.

    frequency: entities of each label in the corpus, for the policy "rarest".
    """
    fits = [_fit(fragments, text, tokens, policies) for _, fragments in entities]
    owners = [i for i, (spans, _) in enumerate(fits) for _ in spans]
    flat = choose_flat(
        [(*span, entities[i][0]) for i, (spans, _) in enumerate(fits) for span in spans],
        policies.overlap,
        frequency,
    )
    lost_to = iter([None if other is None else owners[other] for other in flat])
    placements = []
    for (label, _), (spans, reason) in zip(entities, fits, strict=True):
        losses = [next(lost_to) for _ in spans]
        chosen = tuple(s for s, other in zip(spans, losses, strict=True) if other is None)
        by = next((other for other in losses if other is not None), None)
        if not spans:
            placements.append(Placement("dropped", reason))
        elif by is None and not reason:
            placements.append(Placement("kept", "", spans, chosen))
        elif chosen or by is None:
            placements.append(Placement("moved", reason if by is None else PART, spans, chosen, by))
        else:
            why = OVERLAPS
            if fits[by][0] == spans:
                why = AGAIN if entities[by][0] == label else SAME_TOKENS
            placements.append(Placement("flattened", why, spans, by=by))
    return placements


def _fit(
    fragments: Fragments, text: str, tokens: Tokens, policies: Policies
) -> tuple[tuple[Offsets, ...], str]:
    """Spans in tokens and why they are not the entity as it was; none, and why not."""
    if any(start >= end for start, end in fragments):
        return (), BACKWARDS
    if any(start < 0 or end > len(text) for start, end in fragments):
        return (), OUTSIDE
    trimmed = [(start, end) for start, end in (trim(text, *f) for f in fragments) if start < end]
    if not trimmed:
        return (), BLANK
    resolved = resolve_fragments(trimmed, policies.discontinuous)
    if not resolved:
        return (), DISCONTINUOUS
    spans: list[Offsets] = []
    same = True
    for start, end in resolved:
        found = align_to_tokens(start, end, tokens.starts, tokens.ends, policies.alignment)
        if found is None:
            continue
        first, last = found[0], found[1] - 1
        same = same and (tokens.starts[first], tokens.ends[last]) == (start, end)
        span = tokens.numbers[first], tokens.numbers[last] + 1
        if spans and span[0] < spans[-1][1]:  # two fragments in one token
            before = spans.pop()
            span = before[0], max(before[1], span[1])
        spans.append(span)
    if not spans:
        return (), CUTS
    if len(fragments) > 1:
        return tuple(spans), DISCONTINUOUS
    if not same:
        return tuple(spans), CUTS
    return tuple(spans), SPACE if trimmed != list(fragments) else ""
