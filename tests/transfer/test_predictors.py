import numpy as np
import pytest

from spacy_btl.transfer.predictors import (
    cosine,
    curve_slope,
    known_mentions,
    known_share,
    mean_vector,
    topic_similarities,
    vocabulary_overlap,
)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([], [], 0),
        (["a"], [], 0),
        (["a", "b"], ["a", "b"], 1),
        (["a", "a", "b"], ["b"], 2 / 3),
        (["a", "b", "c"], ["c", "d"], 2 / 5),
    ],
)
def test_vocabulary_overlap_is_the_dice_coefficient(first, second, expected):
    assert vocabulary_overlap(first, second) == pytest.approx(expected)
    assert vocabulary_overlap(second, first) == pytest.approx(expected)


HEART = ["the heart beats", "a failing heart beats slowly", "heart and vessels"]
STONE = ["granite and basalt", "a stone of granite", "basalt columns of stone"]


def test_topics_of_like_corpora_are_nearer():
    found = topic_similarities({"a": HEART, "b": [*HEART, "vessels beat"], "c": STONE}, n_topics=2)
    assert found["a", "b"] > found["a", "c"]
    assert found["a", "b"] == found["b", "a"]
    assert all(found[name, name] == pytest.approx(1) for name in "abc")


def test_more_topics_than_documents():
    assert set(topic_similarities({"a": HEART[:1], "b": STONE[:1]})) == {
        (x, y) for x in "ab" for y in "ab"
    }


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [([1, 0], [2, 0], 1), ([1, 0], [0, 3], 0), ([1, 0], [-1, 0], -1), ([0, 0], [1, 0], 0)],
)
def test_cosine(first, second, expected):
    assert cosine(np.array(first), np.array(second)) == pytest.approx(expected)


def test_mean_vector_weighs_every_token_the_same():
    vectors = [np.array([[1.0, 0.0], [3.0, 0.0]]), np.zeros((0, 2)), np.array([[2.0, 6.0]])]
    assert mean_vector(vectors).tolist() == [2, 2]


@pytest.mark.parametrize(("scores", "slope"), [([1, 2, 3], 10), ([3, 2, 1], -10), ([2, 2, 2], 0)])
def test_curve_slope(scores, slope):
    assert curve_slope([0.1, 0.2, 0.3], scores) == pytest.approx(slope)


def test_known_mentions():
    target = {"Age": {"old": 3, "young": 1}, "Sex": {"man": 2}, "Mass": {}}
    assert known_mentions(["old", "man", "dog"], target) == {"Age": 0.75, "Sex": 1}
    assert known_share(["old"], target) == pytest.approx(3 / 6)
    assert known_share(["old"], {}) == 0
