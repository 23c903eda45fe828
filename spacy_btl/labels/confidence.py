"""Raw scores of entities, from the label probabilities of their tokens.

The score of an entity is the estimated probability that an annotator has marked exactly this
entity: same label, same bounds. The raw score of an entity of type k on the tokens ``s`` to
``e - 1`` takes the tokens as independent,

    p_s(B-k) * p_{s+1}(I-k) * ... * p_{e-1}(I-k) * (1 - p_e(I-k)),

where the last factor says that the entity ends there; it is 1 at the end of the document. Tokens
are not independent and classifiers are too sure, so raw scores come out too high;
`labels.calibration` makes probabilities of them.

On MACCROBAT, before any calibration, this product has a lower log loss than the geometric and the
arithmetic mean and the minimum of the labels' probabilities, by the model and by neighbours, and
ranks better with the factor for the end than without it. Pure arrays.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .bio import Span
from .viterbi import MIN_PROBABILITY

Floats = npt.NDArray[np.floating]
Floats1d = npt.NDArray[np.float32]
Ints1d = npt.NDArray[np.int64]

SMALLEST = float(np.finfo(np.float32).tiny)
"""Floor under a raw score, so that none is 0 by lack of digits."""


def span_scores(probabilities: Floats, spans: Sequence[Span]) -> Floats1d:
    """Raw scores in (0, 1] of spans that share one label a token; shape (n_spans,).

    probabilities: (n_tokens, 1 + 2 * n_types), columns as in `labels.bio`. A factor of 0, as
        a vote of few neighbours often gives, counts as ``MIN_PROBABILITY``.
    spans: (start, end, index of the type), in any order; they may overlap.

    Raises ValueError where a span does not fit the tokens or the columns.
    """
    if probabilities.ndim != 2 or probabilities.shape[1] % 2 == 0:
        raise ValueError(f"probabilities {probabilities.shape} are not (n_tokens, 1 + 2 * n_types)")
    starts, ends, kinds = _columns_of(spans, len(probabilities), probabilities.shape[1] // 2)
    return _products(probabilities, starts, ends, 1 + 2 * kinds)


def layer_span_scores(probabilities: Floats, spans: Sequence[Span]) -> Floats1d:
    """As `span_scores`, for one BIO layer a type: spans of unlike types may overlap.

    probabilities: (n_tokens, n_types, 3), of ``O``, begin and inside in each layer.
    """
    if probabilities.ndim != 3 or probabilities.shape[2] != 3:
        raise ValueError(f"probabilities {probabilities.shape} are not (n_tokens, n_types, 3)")
    n_tokens, n_types, _ = probabilities.shape
    starts, ends, kinds = _columns_of(spans, n_tokens, n_types)
    return _products(probabilities.reshape(n_tokens, n_types * 3), starts, ends, 1 + 3 * kinds)


def _columns_of(spans: Sequence[Span], n_tokens: int, n_types: int) -> tuple[Ints1d, ...]:
    """Starts, ends and types of the spans, (n_spans,) each; ValueError where one does not fit."""
    array = np.array(spans, dtype=np.int64).reshape(len(spans), 3)
    starts, ends, kinds = array.T
    fits = (starts >= 0) & (starts < ends) & (ends <= n_tokens) & (kinds >= 0) & (kinds < n_types)
    if not fits.all():
        span = tuple(array[int(fits.argmin())].tolist())
        raise ValueError(f"span {span} does not fit {n_tokens} tokens and {n_types} types")
    return starts, ends, kinds


def _products(probabilities: Floats, starts: Ints1d, ends: Ints1d, begins: Ints1d) -> Floats1d:
    """The product of each span; its ``I`` column stands right after its ``B`` column, ``begins``.

    All ``(n_spans,)``; probabilities (n_tokens, n_columns).
    """
    if not len(starts):
        return np.zeros(0, dtype=np.float32)
    lengths = ends - starts
    firsts = np.cumsum(lengths) - lengths
    tokens = np.arange(lengths.sum()) + np.repeat(starts - firsts, lengths)
    columns = np.repeat(begins + 1, lengths)
    columns[firsts] = begins
    factors = probabilities[tokens, columns].astype(np.float64)
    products = np.multiply.reduceat(np.maximum(factors, MIN_PROBABILITY), firsts)
    inner = np.flatnonzero(ends < len(probabilities))
    stays_inside = probabilities[ends[inner], begins[inner] + 1].astype(np.float64)
    products[inner] *= np.maximum(1.0 - stays_inside, MIN_PROBABILITY)
    return np.clip(products, SMALLEST, 1.0).astype(np.float32)
