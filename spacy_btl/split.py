"""Split documents into parts so that the rare entity types stand in each of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from random import Random


def split_documents(
    types: Mapping[str, Sequence[str]], shares: Sequence[float], seed: int
) -> list[list[str]]:
    """Names of the documents of each part, sorted.

    types: the entity types of each document, by its name.
    shares: of the documents, for each part; positive, and 1 in sum.
    seed: of the order in which documents are dealt out.

    Iterative stratification: the type that stands in the fewest documents is dealt out first, to
    the part that lacks most of it. A type with as many documents as there are parts stands in each
    of them where the sizes of the parts allow it; sizes come first. Raises ValueError for shares
    that are no shares.
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
            missing = rarest is not None and not held[part][rarest]
            wanted = shares[part] * total[rarest] - held[part][rarest] if rarest else 0.0
            return room[part] > 0, missing, wanted, room[part]

        best = max(range(len(parts)), key=lack)
        parts[best].append(name)
        room[best] -= 1
        held[best].update(labels)
    return [sorted(part) for part in parts]


def _part_sizes(n: int, shares: Sequence[float]) -> list[int]:
    """Sizes that sum to ``n``, by largest remainder, none of them 0 while there are documents."""
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
