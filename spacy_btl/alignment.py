"""Named policies that fit annotated characters to tokens and overlapping spans to a flat choice.

Pure arithmetic on offsets: knows nothing of spaCy or of the annotation format.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

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
