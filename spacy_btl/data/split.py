"""Divide documents among train, dev and test."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from random import Random
from typing import NamedTuple

from ..util.text import counted, printable

PARTS = ("train", "dev", "test")

LARGER = (0.6, 0.2, 0.2)
"""Shares that are advised where dev or test is small."""

FEW = 10
"""With fewer documents in dev or test, a warning says that what is found on them is uncertain."""


def parse_shares(text: str) -> tuple[float, ...]:
    """Return the shares of the parts, written as in "0.8,0.1,0.1".

    Raises:
        ValueError: If the text is not three numbers.
    """
    try:
        shares = tuple(float(share) for share in text.split(","))
    except ValueError:
        shares = ()
    if len(shares) != len(PARTS):
        raise ValueError(
            'the split must be three shares such as 0.8,0.1,0.1 (or "folders", or a .json, .csv or '
            f'.tsv file), not "{text}"'
        )
    return shares


def split_documents(
    types: Mapping[str, Sequence[str]],
    shares: Sequence[float],
    seed: int,
    together: Iterable[Collection[str]] = (),
) -> list[list[str]]:
    """Split documents so that rare entity types are in every part where possible.

    Iterative stratification (Sechidis et al. 2011): the type with the fewest documents is dealt out
    first, to the part that lacks most of it. Then documents change places as long as that brings a
    type with as many documents as there are parts into a part without it.

    The sizes of the parts are those of the shares. Documents that stay together are dealt out as
    one, large groups first; the sizes are then as near the shares as that allows, and no part is
    empty while there are as many groups as parts.

    Args:
        types: The entity types of each document, by its name.
        shares: Shares of the documents in each part; positive, and 1 in sum.
        seed: Seed of the order in which documents are dealt out.
        together: Names of documents that stay in one part, as many sets of them as there are.
            Sets with a name in common are one set.

    Returns:
        The names of the documents of each part, sorted.

    Raises:
        ValueError: If the shares are not positive, or not 1 in sum.
    """
    if not shares or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(f"the shares {list(shares)} must be positive and sum to 1")
    names = sorted(types)
    Random(seed).shuffle(names)
    units = [_Unit(tuple(each), _count_labels(each, types)) for each in join_sets(names, together)]
    parts = _deal(units, shares)
    _fill_gaps(parts, _part_sizes(len(names), shares))
    return [sorted(name for unit in part for name in unit.names) for part in parts]


def keep_parts(
    types: Mapping[str, Sequence[str]],
    given: Mapping[str, str],
    shares: Sequence[float],
    seed: int,
    together: Iterable[Collection[str]] = (),
) -> list[list[str]]:
    """Return the documents of each of `PARTS` in a given division.

    Where no document is in dev, it is dealt out of train, in the proportion of their shares.

    Args:
        types: The entity types of each document, by its name.
        given: The part of each document.
        shares: As in `split_documents`, as are the seed and what stays together.
        seed: Seed of the choice of dev, where it is dealt out.
        together: Names of documents that stay in one part, where dev is dealt out.

    Raises:
        ValueError: If no document is in train or test, or train is too small for a dev.
    """
    parts = {part: sorted(name for name in types if given[name] == part) for part in PARTS}
    missing = [part for part in PARTS if not parts[part]]
    if missing == ["dev"]:
        own = {name: types[name] for name in parts["train"]}
        if len(join_sets(list(own), together)) < 2:
            raise ValueError(
                "no document is given for dev, and train is too small to take one from it"
            )
        both = shares[0] + shares[1]
        train, dev = split_documents(own, [shares[0] / both, shares[1] / both], seed, together)
        parts |= {"train": train, "dev": dev}
    elif missing:
        raise ValueError(
            f"no document is given for {' and '.join(missing)}: only dev can be taken from train"
        )
    return list(parts.values())


def join_sets(names: Sequence[str], together: Iterable[Collection[str]]) -> list[list[str]]:
    """Return all names in sets that are joined where they have a name in common.

    Args:
        names: All names; the order of the result is theirs.
        together: Sets of names; those that are not among `names` are ignored.
    """
    own: dict[str, list[str]] = {name: [name] for name in names}
    for each in together:
        joined = {id(own[name]): own[name] for name in each if name in own}
        largest = max(joined.values(), key=len, default=[])
        for other in joined.values():
            if other is not largest:
                largest += other
                own.update(dict.fromkeys(other, largest))
    place = {name: i for i, name in enumerate(names)}
    sets = {id(each): each for each in own.values()}.values()
    return sorted((sorted(each, key=place.__getitem__) for each in sets), key=lambda e: place[e[0]])


class _Unit(NamedTuple):
    """Documents that are dealt out as one.

    Attributes:
        names: Their names.
        labels: The number of them with each entity type.
    """

    names: tuple[str, ...]
    labels: dict[str, int]


def _count_labels(names: Iterable[str], types: Mapping[str, Sequence[str]]) -> dict[str, int]:
    counts = Counter(label for name in names for label in set(types[name]))
    return {label: counts[label] for label in sorted(counts)}


def _deal(units: Sequence[_Unit], shares: Sequence[float]) -> list[list[_Unit]]:
    """Return the units of each part: those first that are hard to place, then the rarest types."""
    room = _part_sizes(sum(len(unit.names) for unit in units), shares)
    used = [i for i, size in enumerate(room) if size]
    parts: list[list[_Unit]] = [[] for _ in shares]
    held = [Counter[str]() for _ in shares]
    total = sum((Counter(unit.labels) for unit in units), Counter[str]())
    with_type = Counter(label for unit in units for label in unit.labels)
    by_rarity = sorted(with_type, key=lambda label: (with_type[label], label))
    rank = {label: i for i, label in enumerate(by_rarity)}
    large = max(1, min((room[i] for i in used), default=0) // 2)

    def turn(unit: _Unit) -> tuple[int, int]:
        """Return the key by which units are dealt out."""
        size = len(unit.names)
        rarest = min((rank[label] for label in unit.labels), default=len(rank))
        return (-1, -size) if size > large else (rarest, -size)

    for i, unit in enumerate(sorted(units, key=turn)):
        rarest = min(unit.labels, key=lambda label: rank[label], default=None)

        def lack(
            part: int, unit: _Unit = unit, rarest: str | None = rarest
        ) -> tuple[bool, int, bool, float, int]:
            """Return how much a part wants a unit: by room, by type, by its share."""
            fits = room[part] >= len(unit.names)
            missing = rarest is not None and not held[part][rarest]
            wanted = shares[part] * total[rarest] - held[part][rarest] if rarest else 0.0
            return fits, 0 if fits else room[part], missing, wanted, room[part]

        empty = [part for part in used if not parts[part]]
        last = len(units) - i <= len(empty)  # as many as there are parts that have none yet
        best = max(empty if last else range(len(parts)), key=lack)
        parts[best].append(unit)
        room[best] -= len(unit.names)
        held[best].update(unit.labels)
    return parts


def _fill_gaps(parts: list[list[_Unit]], sizes: Sequence[int]) -> None:
    """Swap units between parts as long as that brings more types into parts without them.

    Only those of about the same size change places: the difference is at most a tenth of what the
    smaller part should have.
    """
    held = [Counter(label for unit in part for label in unit.labels) for part in parts]
    total = sum(held, Counter[str]())
    wanted = {label for label, count in total.items() if count >= len(parts)}

    def gain(giver: int, given: _Unit, taker: int, taken: _Unit) -> int:
        """Return how many gaps two parts fill by a swap, minus those that it opens."""
        away, back = given.labels.keys() - taken.labels, taken.labels.keys() - given.labels
        moves = [(label, giver, taker) for label in away]
        moves += [(label, taker, giver) for label in back]
        return sum(
            (held[there][label] == 0) - (held[here][label] == 1)
            for label, here, there in moves
            if label in wanted
        )

    def best_swap(label: str, taker: int) -> tuple[int, int, int, _Unit | None, int, _Unit | None]:
        """Return gain, cost, giver, unit given, taker, unit taken back; gain 0 for no swap."""
        swaps = [
            (gain(giver, given, taker, taken), -change, giver, given, taker, taken)
            for giver in range(len(parts))
            for given in parts[giver]
            if giver != taker and label in given.labels
            for taken in parts[taker]
            if (change := abs(len(given.names) - len(taken.names))) * 10
            <= min(sizes[giver], sizes[taker])
            or not change
        ]
        return max(swaps, key=lambda swap: swap[:2], default=(0, 0, 0, None, 0, None))

    while True:
        gaps = [(name, i) for name in sorted(wanted) for i, has in enumerate(held) if not has[name]]
        found = next((swap for gap in gaps if (swap := best_swap(*gap))[0] > 0), None)
        if found is None:
            return
        _, _, giver, given, taker, taken = found
        if given is None or taken is None:
            return
        for part, goes, comes in ((giver, given, taken), (taker, taken, given)):
            parts[part][parts[part].index(goes)] = comes
            held[part].subtract(dict.fromkeys(goes.labels, 1))
            held[part].update(dict.fromkeys(comes.labels, 1))


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


def small_parts(parts: Mapping[str, Sequence[str]], shares: Sequence[float] | None = None) -> str:
    """Return a warning of a dev or test with fewer than `FEW` documents, "" where there is none.

    Args:
        parts: The names of the documents of each part.
        shares: Shares that the parts were made by; None for parts that were given.
    """
    few = {part: len(parts[part]) for part in ("dev", "test") if part in parts}
    few = {part: number for part, number in few.items() if number < FEW}
    if not few:
        return ""
    said = ", ".join(f"{part} {counted(number, 'document')}" for part, number in few.items())
    total = sum(len(names) for names in parts.values())
    more = shares is not None and min(shares[1:]) < min(LARGER[1:]) and total * LARGER[1] >= FEW
    how = f"--split {','.join(map(str, LARGER))} gives them more" if more else "annotate more"
    return f"{said}: with fewer than {FEW}, settings, scores and figures are uncertain; {how}"


def untrained_types(
    parts: Mapping[str, Sequence[str]], types: Mapping[str, Collection[str]]
) -> str:
    """Return a warning of types that dev or test have and train lacks, "" where there are none.

    Args:
        parts: The names of the documents of each part.
        types: The types of the entities of each document.
    """
    if "train" not in parts:
        return ""
    found = {
        part: {kind for name in names for kind in types[name]} for part, names in parts.items()
    }
    missing = sorted(set().union(*found.values()) - found["train"])
    if not missing:
        return ""
    have = counted(len(missing), "type has", "types have")
    labels = printable(", ".join(missing))
    return (
        f"{have} no entity in train, so no model can learn to find them: {labels}; "
        "annotate more of them, or try another --seed"
    )
