import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_btl.labels.bio import labels_to_spans
from spacy_btl.labels.confidence import (
    CLIP,
    SMALLEST,
    layer_span_context,
    layer_span_scores,
    span_context,
    span_scores,
)
from spacy_btl.labels.viterbi import MIN_PROBABILITY
from tests.helpers.labels import spans_to_labels

#             O    B-A  I-A  B-C  I-C
TOKENS = [
    np.array([0.1, 0.8, 0.1, 0.0, 0.0]),
    np.array([0.2, 0.1, 0.5, 0.2, 0.0]),
    np.array([0.3, 0.0, 0.3, 0.4, 0.0]),
    np.array([0.0, 0.0, 0.0, 0.0, 1.0]),
]
FLAT = np.stack(TOKENS)
LAYERS = np.stack([FLAT[:, [0, 1, 2]], FLAT[:, [0, 3, 4]]], axis=1)


def literal(begin, inside, start, end):
    """Return the formula, token by token; ``begin`` and ``inside`` are the columns of one type."""
    result = max(begin[start], MIN_PROBABILITY)
    for token in range(start + 1, end):
        result *= max(inside[token], MIN_PROBABILITY)
    if end < len(begin):
        result *= max(1 - inside[end], MIN_PROBABILITY)
    return max(result, SMALLEST)


@pytest.mark.parametrize(
    ("span", "score"),
    [
        ((0, 1, 0), 0.8 * (1 - 0.5)),
        ((0, 2, 0), 0.8 * 0.5 * (1 - 0.3)),
        ((0, 3, 0), 0.8 * 0.5 * 0.3 * (1 - 0.0)),
        ((1, 3, 0), 0.1 * 0.3),
        ((2, 4, 1), 0.4 * 1.0),  # the end of the document needs no factor
        ((1, 2, 1), 0.2 * (1 - 0.0)),
        # A span that was voted down, or its end, is improbable rather than impossible.
        ((0, 1, 1), MIN_PROBABILITY),
        ((2, 3, 1), 0.4 * MIN_PROBABILITY),
        ((3, 4, 0), MIN_PROBABILITY),
    ],
)
def test_formula(span, score):
    assert span_scores(FLAT, [span]) == pytest.approx([score], rel=1e-6)
    assert layer_span_scores(LAYERS, [span]) == pytest.approx([score], rel=1e-6)


@settings(max_examples=40)
@given(st.integers(1, 12), st.integers(1, 3), st.integers(0, 10**6), st.integers(0, 9))
def test_equals_the_literal_formula_for_spans_in_any_order(n_tokens, n_types, seed, n_spans):
    rng = np.random.default_rng(seed)
    p = rng.multinomial(17, np.full(1 + 2 * n_types, 1 / (1 + 2 * n_types)), n_tokens) / 17
    spans = []
    for _ in range(n_spans):
        start, kind = int(rng.integers(n_tokens)), int(rng.integers(n_types))
        spans.append((start, int(rng.integers(start, n_tokens)) + 1, kind))
    expected = [literal(p[:, 1 + 2 * k], p[:, 2 + 2 * k], s, e) for s, e, k in spans]
    assert span_scores(p, spans) == pytest.approx(expected, rel=1e-5)
    layers = rng.dirichlet(np.ones(3), (n_tokens, n_types)).astype(np.float32)
    expected = [literal(layers[:, k, 1], layers[:, k, 2], s, e) for s, e, k in spans]
    assert layer_span_scores(layers, spans) == pytest.approx(expected, rel=1e-5)


def test_the_spans_that_begin_at_a_token_have_no_more_than_all_of_the_probability():
    # The events "exactly this entity" exclude each other, for one start.
    spans = [(0, end, kind) for end in range(1, 5) for kind in range(2)]
    assert span_scores(FLAT, spans).sum() <= 1 + 1e-6


@pytest.mark.parametrize("labels", [[0, 1, 2, 2, 0, 3], [1, 1, 3, 4, 1]])
def test_sure_labels_are_sure_entities_and_nothing_else_is(labels):
    p = np.eye(5)[labels]
    spans = labels_to_spans(labels)
    assert spans_to_labels(spans, len(labels)).tolist() == labels
    assert (span_scores(p, spans) == 1).all()
    others = [(s, e, 1 - k) for s, e, k in spans] + [
        (s, e - 1, k) for s, e, k in spans if e > s + 1
    ]
    assert (span_scores(p, others) <= 1e-8).all()


@pytest.mark.parametrize("length", [10, 100, 5000])
def test_no_score_is_zero_by_lack_of_digits(length):
    p = np.full((length, 3), 1 / 3)
    (score,) = span_scores(p, [(0, length, 0)])
    assert score == pytest.approx(max(3.0**-length, SMALLEST), rel=1e-5)
    assert score > 0


@pytest.mark.parametrize(
    ("n_tokens", "scores"), [(0, []), (4, [])], ids=["empty document", "no entity"]
)
def test_nothing_to_score(n_tokens, scores):
    for result in (span_scores(FLAT[:n_tokens], []), layer_span_scores(LAYERS[:n_tokens], [])):
        assert result.tolist() == scores
        assert result.dtype == np.float32


@pytest.mark.parametrize(
    "span", [(-1, 1, 0), (0, 0, 0), (2, 1, 0), (3, 5, 0), (0, 1, 2), (0, 1, -1)]
)
def test_spans_that_do_not_fit(span):
    with pytest.raises(ValueError, match=r"does not match 4 tokens and 2 types"):
        span_scores(FLAT, [(0, 1, 0), span])
    with pytest.raises(ValueError, match=r"does not match 4 tokens and 2 types"):
        layer_span_scores(LAYERS, [(0, 1, 0), span])


@pytest.mark.parametrize("shape", [(4,), (4, 4), (4, 2, 3)])
def test_shapes_of_label_probabilities(shape):
    with pytest.raises(ValueError, match="n_tokens, 1"):
        span_scores(np.zeros(shape), [])


@pytest.mark.parametrize("shape", [(4, 5), (4, 2, 2)])
def test_shapes_of_layer_probabilities(shape):
    with pytest.raises(ValueError, match="n_tokens, n_types, 3"):
        layer_span_scores(np.zeros(shape), [])


def test_inputs_stay_as_they_are_and_scores_are_float32():
    before = FLAT.copy()
    assert span_scores(FLAT.astype(np.float32), [(0, 2, 0)]).dtype == np.float32
    assert layer_span_scores(LAYERS, [(0, 2, 0)]).dtype == np.float32
    assert (before == FLAT).all()


def log_odds(p):
    return np.log(np.clip(p, CLIP, 1 - CLIP) / (1 - np.clip(p, CLIP, 1 - CLIP)))


@pytest.mark.parametrize(
    ("span", "context"),
    [
        # before, after, and outside
        ((0, 1, 0), (0.0, 0.6, 0.1)),
        ((1, 2, 0), (0.9, 0.3, 0.2)),
        ((1, 3, 1), (0.0, 1.0, 0.25)),
        ((2, 4, 1), (0.2, 0.0, 0.15)),
        ((0, 4, 0), (0.0, 0.0, 0.15)),
    ],
)
def test_context(span, context):
    expected = pytest.approx(log_odds(np.array(context)), abs=1e-3)
    assert span_context(FLAT, [span])[0] == expected
    assert layer_span_context(LAYERS, [span])[0] == expected  # whose O is that of the words


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6))
def test_context_in_layers_is_that_of_one_type(seed, n):
    """With one type, a layer is the whole."""
    values = np.random.default_rng(seed).dirichlet(np.ones(3), size=n)
    spans = [(start, end, 0) for start in range(n) for end in range(start + 1, n + 1)]
    layers = values[:, None]
    np.testing.assert_allclose(
        span_context(values, spans), layer_span_context(layers, spans), rtol=1e-5
    )


def test_no_span_has_an_empty_context():
    assert span_context(FLAT, []).shape == layer_span_context(LAYERS, []).shape == (0, 3)
    with pytest.raises(ValueError, match="does not match"):
        span_context(FLAT, [(0, 9, 0)])
    with pytest.raises(ValueError, match="does not match"):
        layer_span_context(LAYERS, [(0, 9, 0)])
