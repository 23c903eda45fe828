"""Pictures: their words, their place in a page, and that their bytes are always the same."""

import re
import struct
from xml.etree import ElementTree

import numpy as np
import pytest

from spacy_btl.evaluation.plots import TypePoint, draw_confusion, draw_recall, draw_reliability
from spacy_btl.evaluation.rows import Band
from spacy_btl.scoring.reliability import reliability_figures
from spacy_btl.util.text import printable

pytest.importorskip("matplotlib")

POINTS = [TypePoint(f"Type {i}", 3**i - 1, i / 7, (0, 1)) for i in range(8)]
BANDS = {
    "mean": [Band(0, 0, [0.0], 1), Band(2, 8, [0.1, 0.3], 2), Band(26, 2186, [0.7], 5)],
    "of another": [Band(0, 8, [0.5], 3)],
}


def tree(picture):
    return ElementTree.fromstring(picture.svg.replace("xlink:href", "href"))


def words(picture):
    return [element.text for element in tree(picture).iter("text")]


def scored(seed, n=400):
    rng = np.random.default_rng(seed)
    scores = rng.binomial(5, 0.8, n) / 5
    return scores, rng.random(n) < 0.7 * scores


def test_every_type_is_named_where_there_is_room():
    found = words(draw_recall(POINTS, BANDS))
    assert {point.label for point in POINTS} <= set(found)
    assert {"mean", "of another"} <= set(found)
    assert {"0", "1", "10", "100", "1,000"} <= set(found)


def test_names_that_would_cover_others_are_left_out():
    points = [TypePoint(f"A type with a long name {i}", 10, 0.5, (0, 1)) for i in range(40)]
    found = [word for word in words(draw_recall(points, {})) if word.startswith("A type")]
    assert 0 < len(found) < 10


def test_reliability_shows_each_series():
    figures = {
        name: reliability_figures(*scored(i)) for i, name in enumerate(["raw", "calibrated"])
    }
    found = words(draw_reliability(figures))
    for name, values in figures.items():
        assert f"{name}: calibration error {values['error']:.3f}" in found


@pytest.mark.parametrize(
    "word",
    ["<b>&</b>", "$x^2$", "חום", "診断", "a\x00\nb\u202e", 'id="x" href="#y"', "-->", "{}%s\\"],
)
def test_words_are_shown_as_they_are(word):
    points = [TypePoint(word, 5, 0.5, (0.2, 0.8))]
    picture = draw_recall(points, {})
    assert printable(word) in words(picture)
    picture = draw_confusion(["spurious", word], ["missed", word], [[0, 1], [2, 3]])
    assert min(size(picture)) > 400


def size(picture):
    assert picture.png.startswith(b"\x89PNG")
    return struct.unpack(">II", picture.png[16:24])


def test_fits_into_a_page_beside_others():
    one = draw_recall(POINTS, BANDS)
    other = draw_reliability({"raw": reliability_figures(*scored(0))})
    ids = [re.findall(r'\bid="([^"]+)"', picture.svg) for picture in (one, other)]
    assert not set(ids[0]) & set(ids[1])
    for picture, own in zip((one, other), ids, strict=True):
        assert len(own) == len(set(own))
        assert set(re.findall(r'(?:href="|url\()#([^")]+)', picture.svg)) <= set(own)
        assert not re.search(r"<style|<metadata|<!|<\?|https?:|font-family", picture.svg)
        assert "var(--ink)" in picture.svg
        assert tree(picture).get("role") == "img"


def test_the_same_bytes_each_time():
    assert draw_recall(POINTS, BANDS) == draw_recall(POINTS, BANDS)
    figures = {"raw": reliability_figures(*scored(0))}
    assert draw_reliability(figures) == draw_reliability(figures)
    matrix = (["spurious", "A"], ["missed", "A"], [[0, 1], [2, 3]])
    assert draw_confusion(*matrix) == draw_confusion(*matrix)


def test_the_settings_of_others_stay():
    import matplotlib

    before = dict(matplotlib.rcParams)
    draw_recall(POINTS, BANDS)
    assert dict(matplotlib.rcParams) == before
