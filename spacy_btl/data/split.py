"""Divide documents among train, dev and test."""

from collections import Counter
from collections.abc import Mapping, Sequence
from random import Random

PARTS = ("train", "dev", "test")


def parse_shares(text: str) -> tuple[float, ...]:
    """Return the shares of the parts, written as in "0.8,0.1,0.1".

    Raises:
        ValueError: If the text is no three numbers.
    """
    try:
        shares = tuple(float(share) for share in text.split(","))
    except ValueError:
        shares = ()
    if len(shares) != len(PARTS):
        raise ValueError(f'the split must be three shares such as 0.8,0.1,0.1, not "{text}"')
    return shares


def split_documents(
    types: Mapping[str, Sequence[str]], shares: Sequence[float], seed: int
) -> list[list[str]]:
    """Split documents so that rare entity types are in every part where possible.

    Iterative stratification (Sechidis et al. 2011): the type with the fewest documents is dealt out
    first, to the part that lacks most of it. Then documents change places as long as that brings a
    type with as many documents as there are parts into a part without it. The sizes of the parts
    stay.

    Args:
        types: The entity types of each document, by its name.
        shares: Of the documents, for each part; positive, and 1 in sum.
        seed: Of the order in which documents are dealt out.

    Returns:
        The names of the documents of each part, sorted.

    Raises:
        ValueError: If the shares are not positive, or not 1 in sum.
    """
    if not shares or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(f"the shares {list(shares)} must be positive and sum to 1")
    names = sorted(types)
    Random(seed).shuffle(names)
    room = _part_sizes(len(names), shares)
    parts: list[list[str]] = [[] for _ in shares]
    held = [Counter[str]() for _ in shares]
    waiting = {name: sorted(set(types[name])) for name in names}
    total = Counter(label for labels in waiting.values() for label in labels)
    while waiting:
        left = Counter(label for labels in waiting.values() for label in labels)
        rarest = min(left, key=lambda label: (total[label], label), default=None)
        name = next(n for n in waiting if rarest is None or rarest in waiting[n])
        labels = waiting.pop(name)

        def lack(
            part: int, rarest: str | None = rarest, labels: list[str] = labels
        ) -> tuple[bool, bool, float, int]:
            """Return how much a part wants the document: by room, by type, by its share."""
            missing = rarest is not None and not held[part][rarest]
            wanted = shares[part] * total[rarest] - held[part][rarest] if rarest else 0.0
            return room[part] > 0, missing, wanted, room[part]

        best = max(range(len(parts)), key=lack)
        parts[best].append(name)
        room[best] -= 1
        held[best].update(labels)
    _fill_gaps(parts, {name: frozenset(labels) for name, labels in types.items()})
    return [sorted(part) for part in parts]


def _fill_gaps(parts: list[list[str]], types: Mapping[str, frozenset[str]]) -> None:
    """Swap documents between parts as long as that brings more types into parts without them."""
    held = [Counter(label for name in part for label in types[name]) for part in parts]
    total = sum(held, Counter[str]())
    wanted = {label for label, count in total.items() if count >= len(parts)}

    def gain(giver: int, given: str, taker: int, taken: str) -> int:
        """Return how many gaps two parts fill by a swap, minus those that it opens."""
        away, back = types[given] - types[taken], types[taken] - types[given]
        moves = [(label, giver, taker) for label in away]
        moves += [(label, taker, giver) for label in back]
        return sum(
            (held[there][label] == 0) - (held[here][label] == 1)
            for label, here, there in moves
            if label in wanted
        )

    def best_swap(label: str, taker: int) -> tuple[int, int, str, int, str]:
        """Return gain, giver, document given, taker, document taken back; gain 0 for no swap."""
        swaps = [
            (gain(giver, given, taker, taken), giver, given, taker, taken)
            for giver in range(len(parts))
            for given in parts[giver]
            if giver != taker and label in types[given]
            for taken in parts[taker]
        ]
        return max(swaps, key=lambda swap: swap[0], default=(0, 0, "", 0, ""))

    while True:
        gaps = [(name, i) for name in sorted(wanted) for i, has in enumerate(held) if not has[name]]
        found = next((swap for gap in gaps if (swap := best_swap(*gap))[0] > 0), None)
        if found is None:
            return
        _, giver, given, taker, taken = found
        for part, goes, comes in ((giver, given, taken), (taker, taken, given)):
            parts[part][parts[part].index(goes)] = comes
            held[part].subtract(types[goes])
            held[part].update(types[comes])


def _part_sizes(n: int, shares: Sequence[float]) -> list[int]:
    """Return sizes that sum to ``n``, by largest remainder, none 0 while there are documents."""
    sizes = [int(n * share) for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda i: sizes[i] - n * shares[i])
    for i in by_remainder[: n - sum(sizes)]:
        sizes[i] += 1
    for i in (i for i, size in enumerate(sizes) if size == 0):
        largest = max(range(len(sizes)), key=sizes.__getitem__)
        if sizes[largest] > 1:
            sizes[largest] -= 1
            sizes[i] += 1
    return sizes
