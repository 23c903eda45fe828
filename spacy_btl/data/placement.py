"""Where the entities of one document go: on which tokens, into ``doc.ents`` or not, and why.

Pure arithmetic on offsets, as in `data.placement`, whose policies it applies.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from .account import Fragments, Status

# --- from alignment

Discontinuous = Literal["envelope", "longest-fragment", "split", "drop"]
Alignment = Literal["expand", "contract", "strict"]
Overlap = Literal["longest", "shortest", "rarest", "first"]

Offsets = tuple[int, int]
"""Start and end (exclusive), in characters or in tokens."""


def trim(text: str, start: int, end: int) -> Offsets:
    """The same characters without white space at either end; empty where there is nothing else."""
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end


def resolve_fragments(fragments: Sequence[Offsets], policy: Discontinuous) -> list[Offsets]:
    """Contiguous offsets for an entity of several fragments, in order; one fragment stays as it is.

    "envelope": from the first start to the last end. "longest-fragment": the longest, the first of
    equals. "split": each fragment for itself. "drop": none.
    """
    ordered = sorted(fragments)
    if len(ordered) == 1 or policy == "split":
        return ordered
    if policy == "envelope":
        return [(ordered[0][0], max(end for _, end in ordered))]
    if policy == "longest-fragment":
        return [max(ordered, key=lambda offsets: offsets[1] - offsets[0])]
    return []


def is_aligned(
    text: str, fragments: Sequence[Offsets], starts: Collection[int], ends: Collection[int]
) -> bool:
    """Whether all fragments, without white space at their ends, fall on token boundaries.

    starts, ends: characters where the tokens start and end. What is not in the text falls on none.
    """
    for fragment in fragments:
        start, end = trim(text, *fragment) if fragment[1] <= len(text) else (-1, 0)
        if start < end and (start not in starts or end not in ends):
            return False
    return True


def align_to_tokens(
    start: int, end: int, starts: Sequence[int], ends: Sequence[int], policy: Alignment
) -> Offsets | None:
    """Tokens of the characters ``start:end``, or None where the policy finds no token.

    starts, ends: characters where the tokens start and end, ascending.
    "expand": all tokens that share a character with the offsets. "contract": all tokens that lie
    within. "strict": only where both offsets fall on token boundaries.
    """
    if start >= end:
        return None
    outer = bisect_right(ends, start), bisect_left(starts, end)
    inner = bisect_left(starts, start), bisect_right(ends, end)
    first, last = outer if policy == "expand" else inner
    if first >= last or (policy == "strict" and inner != outer):
        return None
    return first, last


def choose_flat(
    spans: Sequence[tuple[int, int, str]], policy: Overlap, frequency: Mapping[str, int]
) -> list[int | None]:
    """Which spans make a flat choice: for each None if chosen, else the chosen one that it lost to.

    spans: (start token, end token, label), in the order of the records.
    policy: who goes first: the "longest" or "shortest" span, the "rarest" label (by ``frequency``;
        among equals the longest), or the "first" record. Further ties go to the lower start token,
        then to the earlier record.
    """
    if policy not in ("longest", "shortest", "rarest", "first"):
        raise ValueError(f'"{policy}" is no policy for overlaps: longest, shortest, rarest, first')

    def priority(i: int) -> tuple[int, ...]:
        start, end, label = spans[i]
        length = end - start
        return {
            "longest": (-length, start, i),
            "shortest": (length, start, i),
            "rarest": (frequency.get(label, 0), -length, start, i),
            "first": (i,),
        }[policy]

    lost_to: list[int | None] = [None] * len(spans)
    owner: dict[int, int] = {}
    for i in sorted(range(len(spans)), key=priority):
        start, end, _ = spans[i]
        taken = next((owner[token] for token in range(start, end) if token in owner), None)
        if taken is not None:
            lost_to[i] = taken
        else:
            owner.update(dict.fromkeys(range(start, end), i))
    return lost_to


# --- from placement

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
    """The named choices of a conversion; see `data.placement` for what each means."""

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
