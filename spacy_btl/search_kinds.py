"""Which search of the nearest keys there is, by its name in the configuration."""

from .search import BruteSearch, Floats2d, Ints1d, KeySearch, SearchKind


def make_search(
    kind: SearchKind,
    keys: Floats2d,
    labels: Ints1d,
    n_labels: int,
    device: str = "cpu",
) -> KeySearch:
    """The search of that kind; "auto" is "pruned", without a GPU the fastest for few keys and many.

    device: of torch, for "torch" alone.

    Raises ValueError where the kind is unknown, and what `BruteSearch` does.
    """
    if kind == "brute":
        return BruteSearch(keys, labels, n_labels)
    if kind in ("auto", "pruned"):
        from .search_pruned import PrunedSearch

        return PrunedSearch(keys, labels, n_labels)
    if kind == "torch":
        from .search_torch import TorchSearch

        return TorchSearch(keys, labels, n_labels, device=device)
    raise ValueError(f"no search {kind!r}; choose auto, brute, pruned or torch")
