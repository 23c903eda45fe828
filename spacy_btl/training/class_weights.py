"""Class weights: the weight of a token in the loss, by its label."""

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import numpy as np
from thinc import util

from ..labels.config_keys import from_config_keys
from ..util.arrays import Float64s1d, XpArray
from ..util.checks import at_least_0, between, one_of

WeightScheme = Literal["complement", "none", "inverse_frequency", "effective_number", "table"]
CountedOn = Literal["training", "batch", "copy"]


class ClassWeights:
    """Weights of the labels, from the number of tokens that have each of them.

    ``N_c`` of ``N`` tokens have label ``c``. The two proportional schemes are scaled to a mean of 1
    over the counted tokens. A label without a token weighs 1 under "complement", and as much as one
    with a single token under the proportional schemes.

    Args:
        scheme: "complement": ``1 - N_c / N`` (Rehman, Zhang, Yang 2024, arXiv 2409.03238).
            "none": 1.
            "inverse_frequency": proportional to ``N_c ** -power``.
            "effective_number": proportional to ``(1 - beta) / (1 - beta ** N_c)`` (Cui et al. 2019,
            arXiv 1901.05555): no weights for beta 0, the inverse frequency for beta towards 1.
            "table": from ``table``, whatever the counts are.
        power: Exponent of "inverse_frequency", 0 or more; 0.5 for the square root.
        beta: Parameter of "effective_number", from 0 to below 1.
        table: Weight, 0 or more, of each label: of a column ("O", "B-Age") or of an entity type
            ("Age", for its columns that are not in the table themselves); see
            `labels.to_config_key` for the keys in a file.
        counted_on: Where tokens are counted: in the training data, once ("training"); in each batch
            ("batch"); or in each copy of a batch ("copy", for ``PaperBinaryTokenLabels`` only),
            which knows its own type alone, so that each copy has its own weight of ``O``.

    Raises:
        ValueError: If a setting is out of its range, or if there is a table without the scheme
            "table" or the other way round.
    """

    def __init__(
        self,
        *,
        scheme: WeightScheme = "complement",
        power: float = 1.0,
        beta: float = 0.999,
        table: Mapping[str, float] | None = None,
        counted_on: CountedOn = "training",
    ) -> None:
        if (scheme == "table") != (table is not None):
            raise ValueError(
                'a table of class weights needs scheme = "table", and the scheme needs a table'
            )
        table = None if table is None else from_config_keys(table)
        for name, weight in (table or {}).items():
            at_least_0(f'the class weight of "{name}"', weight)
        self.scheme: WeightScheme = one_of("scheme", scheme, get_args(WeightScheme))
        self.power = at_least_0("power", power)
        self.beta = between("beta", beta, 0, 1, high_itself=False)
        self.table = table
        self.counted_on: CountedOn = one_of("counted_on", counted_on, get_args(CountedOn))

    @property
    def is_fixed(self) -> bool:
        """True if one array of weights, made from the training data, serves for all batches."""
        return self.counted_on == "training" or self.scheme in ("none", "table")

    def from_counts(self, counts: XpArray, names: Sequence[str] = ()) -> XpArray:
        """Return the weights (..., n_labels), float64.

        Args:
            counts: (..., n_labels) number of tokens by label, which is the last axis; each row of
                other axes is counted on its own.
            names: Names of the labels, which only a table needs.

        Raises:
            ValueError: If the table has a name that no label has, or leaves a label out.
        """
        xp = util.get_array_module(counts)  # type: ignore[no-untyped-call]
        n = xp.asarray(counts, dtype="float64")
        total = n.sum(axis=-1, keepdims=True)
        if self.scheme == "complement":
            return 1.0 - n / xp.maximum(total, 1.0)
        if self.scheme == "none":
            return xp.ones_like(n)
        if self.table is not None:
            return xp.zeros_like(n) + xp.asarray(_looked_up(self.table, names))
        n_or_one = xp.maximum(n, 1.0)
        if self.scheme == "inverse_frequency":
            weights = n_or_one**-self.power
        else:
            weights = (1.0 - self.beta) / (1.0 - self.beta**n_or_one)
        weighted = (n * weights).sum(axis=-1, keepdims=True)
        return weights * xp.where(weighted > 0, total / xp.where(weighted > 0, weighted, 1.0), 1.0)


def _looked_up(table: Mapping[str, float], names: Sequence[str]) -> Float64s1d:
    """Return the weights (n_labels,) of a table; the name of a column precedes that of its type."""
    types = [name.partition("-")[2] or name for name in names]
    if unknown := set(table) - set(names) - set(types):
        raise ValueError(
            f"the table of class weights has {', '.join(sorted(unknown))}, "
            f"which is not a label: {', '.join(names)}"
        )
    keys = [name if name in table else kind for name, kind in zip(names, types, strict=True)]
    if missing := [name for name, key in zip(names, keys, strict=True) if key not in table]:
        raise ValueError(f"the table of class weights lacks {', '.join(missing)}")
    return np.array([table[key] for key in keys], dtype=np.float64)
