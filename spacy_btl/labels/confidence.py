"""Raw scores of entities, from the label probabilities of their tokens.

The score of an entity is the estimated probability that an annotator has marked exactly this
entity: same label, same bounds. The raw score of an entity of type k on the tokens ``s`` to ``e -
1`` treats the tokens as independent,

    p_s(B-k) * p_{s+1}(I-k) * ... * p_{e-1}(I-k) * (1 - p_e(I-k)),

where the last factor is the probability that the entity ends there; it is 1 at the end of the
document. Tokens are not independent and classifiers are too sure of themselves, so that raw scores
come out too high; `labels.calibration` turns them into probabilities.

On MACCROBAT, before any calibration, this product has a lower log loss than the geometric mean, the
arithmetic mean and the minimum of the labels' probabilities, for the model and for neighbors alike,
and it ranks better with the factor for the end than without it.

The tokens around an entity say more about it (`span_context`): one that may be of its type, too, is
a sign of wrong bounds. Arrays only.
"""

from collections.abc import Sequence

import numpy as np

from ..util.arrays import Float32s1d, Float32s2d, Floats2d, Floats3d, Ints1d
from .bio import LabelSpan
from .viterbi import MIN_PROBABILITY

SMALLEST = float(np.finfo(np.float32).tiny)
"""Floor under a raw score, so that none is 0 for want of digits."""


def span_scores(probabilities: Floats2d, spans: Sequence[LabelSpan]) -> Float32s1d:
    """Return the raw scores in (0, 1] of spans (n_spans,), with one label for each token.

    Args:
        probabilities: (n_tokens, 1 + 2 * n_types), columns as in `labels.bio`. A factor of 0, which
            a vote of few neighbors often has, counts as `MIN_PROBABILITY`.
        spans: In any order; they may overlap.

    Raises:
        ValueError: If a span does not fit the tokens or the columns.
    """
    if probabilities.ndim != 2 or probabilities.shape[1] % 2 == 0:
        raise ValueError(f"probabilities {probabilities.shape} are not (n_tokens, 1 + 2 * n_types)")
    starts, ends, kinds = _bounds(spans, len(probabilities), probabilities.shape[1] // 2)
    return _products(probabilities, starts, ends, 1 + 2 * kinds)


def layer_span_scores(probabilities: Floats3d, spans: Sequence[LabelSpan]) -> Float32s1d:
    """Return the raw scores in (0, 1] of spans (n_spans,), with a BIO layer for each type.

    Args:
        probabilities: (n_tokens, n_types, 3), of ``O``, begin and inside in each layer.
        spans: In any order; they may overlap.

    Raises:
        ValueError: If a span does not fit the tokens or the types.
    """
    if probabilities.ndim != 3 or probabilities.shape[2] != 3:
        raise ValueError(f"probabilities {probabilities.shape} are not (n_tokens, n_types, 3)")
    n_tokens, n_types, _ = probabilities.shape
    starts, ends, kinds = _bounds(spans, n_tokens, n_types)
    return _products(probabilities.reshape(n_tokens, n_types * 3), starts, ends, 1 + 3 * kinds)


CONTEXT = ("before", "after", "outside")
"""The columns of a context: log-odds that the token before an entity, and the one after it, is of
its type, and log-odds of the mean probability that its own tokens are not."""

CLIP = 1e-4
"""Probabilities of a context are kept this far from 0 and 1, where log-odds have no end."""


def span_context(probabilities: Floats2d, spans: Sequence[LabelSpan]) -> Float32s2d:
    """Return the context (n_spans, 3) of spans with one label for each token, see `CONTEXT`.

    Args:
        probabilities: As for `span_scores`, like ``spans``. Outside is the column ``O``.
        spans: In any order.

    Raises:
        ValueError: As `span_scores` does.
    """
    starts, ends, kinds = _bounds(spans, len(probabilities), probabilities.shape[1] // 2)
    of_type = probabilities[:, 1::2] + probabilities[:, 2::2]
    return _context(of_type, probabilities[:, :1], starts, ends, kinds, np.zeros_like(kinds))


def layer_span_context(probabilities: Floats3d, spans: Sequence[LabelSpan]) -> Float32s2d:
    """Return the context (n_spans, 3) of spans with a BIO layer for each type, see `CONTEXT`.

    Args:
        probabilities: As for `layer_span_scores`, like ``spans``. Outside is ``O`` of the layer.
        spans: In any order.

    Raises:
        ValueError: As `layer_span_scores` does.
    """
    starts, ends, kinds = _bounds(spans, *probabilities.shape[:2])
    of_type = probabilities[:, :, 1] + probabilities[:, :, 2]
    return _context(of_type, probabilities[:, :, 0], starts, ends, kinds, kinds)


def _context(
    of_type: Floats2d,
    outside: Floats2d,
    starts: Ints1d,
    ends: Ints1d,
    kinds: Ints1d,
    columns: Ints1d,
) -> Float32s2d:
    """Return the context of spans.

    Args:
        of_type: (n_tokens, n_types) probability that a token is of a type.
        outside: (n_tokens, n_columns) probability that a token is outside.
        starts: (n_spans,) first tokens.
        ends: (n_spans,) tokens after the last ones.
        kinds: (n_spans,) types.
        columns: (n_spans,) columns of ``outside``.
    """
    padded = np.pad(of_type, ((1, 1), (0, 0)))  # nothing is before and after a document
    sums = np.pad(np.cumsum(outside, axis=0, dtype=np.float64), ((1, 0), (0, 0)))
    means = (sums[ends, columns] - sums[starts, columns]) / np.maximum(ends - starts, 1)
    values = np.stack([padded[starts, kinds], padded[ends + 1, kinds], means], axis=1)
    clipped = np.clip(values.astype(np.float64), CLIP, 1.0 - CLIP)
    return np.asarray(np.log(clipped) - np.log1p(-clipped), dtype=np.float32)


def _bounds(
    spans: Sequence[LabelSpan], n_tokens: int, n_types: int
) -> tuple[Ints1d, Ints1d, Ints1d]:
    """Return starts, ends and types of the spans; raise ValueError if one does not fit."""
    array = np.array(spans, dtype=np.int64).reshape(len(spans), 3)
    starts, ends, kinds = array.T
    fits = (starts >= 0) & (starts < ends) & (ends <= n_tokens) & (kinds >= 0) & (kinds < n_types)
    if not fits.all():
        span = tuple(array[int(fits.argmin())].tolist())
        raise ValueError(f"span {span} does not match {n_tokens} tokens and {n_types} types")
    return starts, ends, kinds


def _products(probabilities: Floats2d, starts: Ints1d, ends: Ints1d, begins: Ints1d) -> Float32s1d:
    """Return the product of each span (n_spans,).

    Args:
        probabilities: (n_tokens, n_columns)
        starts: (n_spans,) first tokens.
        ends: (n_spans,) tokens after the last ones.
        begins: (n_spans,) ``B`` columns; the ``I`` columns come right after them.
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
