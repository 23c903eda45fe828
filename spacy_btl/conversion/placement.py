"""Places of the entities of a document: their tokens, and whether they get into ``doc.ents``.

Pure arithmetic on offsets. Three named policies decide what the annotation and the tokens leave
open: what becomes of an entity of several fragments, of one that cuts a token, and which of two
entities that overlap goes into ``doc.ents``.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeAlias, get_args

from ..brat import Fragments, Offsets
from ..offsets import check_offsets
from ..util.checks import one_of
from .account import Reason, Status

Overlap: TypeAlias = Literal["rarest", "longest", "shortest", "first"]
"""Which of two overlapping entities goes into ``doc.ents``, see `choose_flat`."""

Discontinuous: TypeAlias = Literal["envelope", "longest-fragment", "split", "drop"]
"""The treatment of an entity of several fragments; see `resolve_fragments`."""

Alignment: TypeAlias = Literal["expand", "contract", "strict"]
"""The treatment of an entity that starts or ends inside a token; see `align_to_tokens`."""


@dataclass(frozen=True, slots=True)
class Policies:
    """The named choices of a conversion.

    Attributes:
        overlap: Which of two overlapping entities goes into ``doc.ents``.
        discontinuous: What becomes of an entity of several fragments.
        alignment: What becomes of an entity that cuts a token.
        offsets: What the offsets count, as `offsets.correct_offsets` has it.

    Raises:
        ValueError: If a policy has none of the names above.
    """

    overlap: Overlap = "rarest"
    discontinuous: Discontinuous = "envelope"
    alignment: Alignment = "expand"
    offsets: str = "auto"

    def __post_init__(self) -> None:
        one_of("overlap", self.overlap, get_args(Overlap))
        one_of("discontinuous", self.discontinuous, get_args(Discontinuous))
        one_of("alignment", self.alignment, get_args(Alignment))
        check_offsets(self.offsets)


class Tokens(NamedTuple):
    """The tokens of a document that are not white space.

    Attributes:
        numbers: Their numbers in the document.
        starts: The characters at which they start, ascending.
        ends: The characters at which they end, exclusive.
    """

    numbers: Sequence[int]
    starts: Sequence[int]
    ends: Sequence[int]


@dataclass(frozen=True, slots=True)
class Placement:
    """The placement of one entity.

    Attributes:
        status: As in the account.
        reason: As in the account.
        spans: All its spans, in tokens.
        chosen: Those of its spans that are in the flat choice.
        by: Index of the entity that took its tokens, or those of one of its spans.
    """

    status: Status
    reason: Reason
    spans: Fragments = ()
    chosen: Fragments = ()
    by: int | None = None


def trim(text: str, start: int, end: int) -> Offsets:
    """Return offsets without the white space at either end; empty where there is nothing else."""
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end


def is_aligned(
    text: str, fragments: Fragments, starts: Collection[int], ends: Collection[int]
) -> bool:
    """Return whether all fragments, trimmed, start and end where tokens do.

    Args:
        text: The text of the document.
        fragments: Offsets in characters; those outside of the text are aligned with nothing.
        starts: The characters at which tokens start.
        ends: The characters at which tokens end.
    """
    for fragment in fragments:
        start, end = trim(text, *fragment) if fragment[1] <= len(text) else (-1, 0)
        if start < end and (start not in starts or end not in ends):
            return False
    return True


def resolve_fragments(fragments: Fragments, policy: Discontinuous) -> Fragments:
    """Return contiguous offsets for an entity of several fragments.

    Args:
        fragments: Offsets in ascending order. A single fragment stays as it is.
        policy: "envelope": from the first start to the last end. "longest-fragment": the longest,
            the first of equals. "split": each fragment for itself. "drop": none.

    Raises:
        ValueError: If there is no such policy.
    """
    one_of("discontinuous", policy, get_args(Discontinuous))
    if len(fragments) == 1 or policy == "split":
        return fragments
    if policy == "envelope":
        return ((fragments[0][0], max(end for _, end in fragments)),)
    if policy == "longest-fragment":
        return (max(fragments, key=lambda offsets: offsets[1] - offsets[0]),)
    return ()


def align_to_tokens(
    start: int, end: int, starts: Sequence[int], ends: Sequence[int], policy: Alignment
) -> Offsets | None:
    """Return the first token of some characters and the one after the last; None for no token.

    Args:
        start: The first character.
        end: The character after the last.
        starts: The characters at which the tokens start, ascending.
        ends: The characters at which they end, exclusive.
        policy: "expand": all tokens that share a character with the offsets. "contract": all
            tokens that lie within. "strict": only where both offsets are token boundaries.

    Raises:
        ValueError: If there is no such policy.
    """
    one_of("alignment", policy, get_args(Alignment))
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
    """Choose spans that do not overlap; return None for a chosen one, else the one it lost to.

    Args:
        spans: (start token, end token, label), in the order of the records.
        policy: Which goes first: the "longest" or the "shortest" span, the "rarest" label (among
            equals the longest span), or the "first" record. Further ties go to the lower start
            token, then to the earlier record.
        frequency: The number of entities of each label in the corpus, for "rarest".

    Raises:
        ValueError: If there is no such policy.
    """
    one_of("overlap", policy, get_args(Overlap))

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


def place_entities(
    entities: Sequence[tuple[str, Fragments]],
    text: str,
    tokens: Tokens,
    policies: Policies,
    frequency: Mapping[str, int],
    refused: Mapping[int, Reason] = MappingProxyType({}),
) -> list[Placement]:
    """Return a placement for each entity.

    Args:
        entities: Label and fragments of each, the fragments in ascending order.
        text: The text of the document.
        tokens: The tokens to place them on.
        policies: The named choices.
        frequency: The number of entities of each label in the corpus, for the policy "rarest".
        refused: Why an entity is dropped, by its index.
    """
    fits = [
        ((), refused[i]) if i in refused else _fit(fragments, text, tokens, policies)
        for i, (_, fragments) in enumerate(entities)
    ]
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
        elif by is None:
            placements.append(Placement("moved" if reason else "kept", reason, spans, chosen))
        elif chosen:
            part: Reason = "a fragment of it overlaps another entity"
            placements.append(Placement("moved", part, spans, chosen, by))
        else:
            why: Reason = "overlaps another entity"
            if fits[by][0] == spans:
                same = entities[by][0] == label
                why = "the same entity again" if same else "another label on the same tokens"
            placements.append(Placement("flattened", why, spans, by=by))
    return placements


def _fit(
    fragments: Fragments, text: str, tokens: Tokens, policies: Policies
) -> tuple[Fragments, Reason]:
    """Return the spans of an entity in tokens and why they are not the entity as it was.

    Without spans, the reason says why there are none.
    """
    if any(start >= end for start, end in fragments):
        return (), "ends where it starts, or before"
    if any(start < 0 or end > len(text) for start, end in fragments):
        return (), "offsets outside the text"
    trimmed = tuple(
        (start, end) for start, end in (trim(text, *f) for f in fragments) if start < end
    )
    if not trimmed:
        return (), "white space only"
    resolved = resolve_fragments(trimmed, policies.discontinuous)
    if not resolved:
        return (), "discontinuous"
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
        return (), "cuts a token"
    if len(fragments) > 1:
        return tuple(spans), "discontinuous"
    if not same:
        return tuple(spans), "cuts a token"
    return tuple(spans), "white space at its ends" if trimmed != fragments else ""
