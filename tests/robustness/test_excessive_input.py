"""Input of an absurd size, or made to get out of its place: read within bounds, or refused."""

import re
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_btl import brat
from spacy_btl.conversion.export import export_docs
from spacy_btl.scoring.reliability import reliability_figures
from spacy_btl.util.text import markdown_table
from tests.robustness import fuzz

# -- annotation ------------------------------------------------------------------------------------

HUGE = 999_999_999_999_999_999


def bounded(megabytes: float, seconds: float = 10) -> Any:
    class Bounded:
        def __enter__(self) -> None:
            tracemalloc.start()
            self.start = time.process_time()

        def __exit__(self, *_: object) -> None:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < megabytes * 2**20
            assert time.process_time() - self.start < seconds

    return Bounded()


@pytest.mark.parametrize(
    "text",
    [
        f"T1\tAge 0 {HUGE}\tx\n" + "a line\n" * 5000,
        f"T1\tAge {HUGE} {HUGE}\tx\n",
        f"T1\tAge 0 {HUGE}9\tx\n",
        f"T1\tAge {'9' * 100_000} 5\tx\n",
        f"T1\tAge 0 1{';0 1' * 50_000}\tx\n",
        f"T1\t{'x' * 1_000_000} 0 1\tx\n",
        f"A1\tNegation T1 {'x ' * 200_000}\x0b\n",
        f"E1\tEvent:T1{' a:b' * 100_000} \x0b\n",
        f"R1\tBefore{'  ' * 200_000}\n",
        f"N1\tReference T1 {' ' * 200_000}x\n",
        f"*\tEquiv{' T1' * 100_000}\x0b\n",
        "T" * 1_000_000,
        "\t" * 1_000_000,
        "\0" * 1_000_000,
        "\r" * 300_000 + "\n" * 100_000,
    ],
    ids=range(15),
)
def test_absurd_annotation_is_read_in_bounds(text: str) -> None:
    with bounded(120):
        standoff = brat.loads(text)
        assert brat.dumps(standoff) == text
        brat.check(standoff, "a text")


def test_fragments_that_name_a_long_text_many_times() -> None:
    """10,000 fragments of 1,000,000 characters would be 10 GB if they were written out."""
    line = f"T1\tAge 0 1000000{';0 1000000' * 9999}\txxx\n"
    with bounded(20):
        (problem,) = brat.check(brat.loads(line), "x" * 1_000_000)
    assert problem.detail.endswith("the first 3 equal")


def test_many_entities_that_name_a_long_text() -> None:
    text = "".join(f"T{i}\tAge 0 1000000\txxx\n" for i in range(5000))
    with bounded(60):
        problems = brat.check(brat.loads(text), "x" * 1_000_000)
    assert len(problems) == 5000


def test_long_chains_of_references() -> None:
    records = [brat.Attribute(f"A{i}", "Negation", f"A{i + 1}") for i in range(20_000)]
    with bounded(60):
        kept, losses = brat.without_references(records, ["A20000"])
    assert (len(kept), len(losses)) == (0, 20_000)


pieces = st.sampled_from(["a", "b", " ", "\n", "\r"])


@settings(max_examples=200, deadline=None)
@given(st.lists(pieces, max_size=8).map("".join), st.data())
def test_agreement_of_surface_text(text: str, data: st.DataObject) -> None:
    offset = st.integers(0, len(text))
    bounds = st.tuples(offset, offset).map(lambda pair: (min(pair), max(pair)))
    fragments = tuple(data.draw(st.lists(bounds, min_size=1, max_size=3)))
    expected = " ".join(text[start:end] for start, end in fragments)
    surface = data.draw(st.one_of(st.just(expected), st.lists(pieces, max_size=9).map("".join)))
    times = data.draw(st.sampled_from([1, 1, 700]))  # more than is looked at in one step
    text, surface = text * times, surface * times
    fragments = tuple((start * times, end * times) for start, end in fragments)
    expected = " ".join(text[start:end] for start, end in fragments)
    ours, theirs = brat.flat_text(surface), brat.flat_text(expected)
    alike = [a == b for a, b in zip(ours, theirs, strict=False)]
    found = brat.surface_agreement(brat.Entity("T1", "A", fragments, surface), text)
    assert found == ([*alike, False].index(False), ours == theirs)


@pytest.mark.parametrize("target", ["brat", "datastore"])
def test_a_moment_of_fuzzing(target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The promises that fuzz.py checks for minutes."""
    monkeypatch.setitem(fuzz.SEEDS, "brat", [text.encode() for text in fuzz.BRAT_SEEDS])
    monkeypatch.setitem(fuzz.SEEDS, "datastore", fuzz.datastore_seeds())
    run = fuzz.Run(target, 1.5, tmp_path)
    fuzz.fuzz(run, seed=1, guided=False)
    assert run.outcomes.total() > 20
    assert set(run.failures) <= {"slow"}  # as a busy machine may be


# -- reports ---------------------------------------------------------------------------------------

WORDS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</title></style></svg>",
    "a|b",
    "a\\|b\\\\|c\\<b>\\",
    "two\nlines\r\n\n# heading",
    "![x](http://example.org/x.png)",
    "[x](javascript:alert(1))",
    "[x]: http://example.org",
    "`code",
    "\x1b[31mred\x00\x07\u202e",
    "\ud800",
    "\"' onload='x",
]


@pytest.mark.parametrize("word", WORDS)
def test_labels_stay_in_their_cell(word: str) -> None:
    lines = markdown_table(["type", "score"], [[word, "1"], ["plain", "2"]])
    assert len(lines) == 4
    for line in lines:
        bare = re.sub(r"\\.", "", line)  # without what is escaped
        assert bare.count("|") == 3
        assert not re.search(r"[<\[`\\]|[\x00-\x1f\u202e\ud800]", bare)


@pytest.mark.parametrize(
    "name", ["../a", "/a", "a/../../b", "C:a", "C:\\a", "..\\a", "a/.. /b", "a\0b"]
)
def test_names_of_exported_documents_stay_in_the_folder(tmp_path: Path, name: str) -> None:
    doc = spacy.blank("en")("fever")
    doc.user_data["name"] = name
    with pytest.raises(ValueError, match="it cannot name a file"):
        export_docs([doc], tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_infinite_scores_are_refused() -> None:
    with pytest.raises(ValueError, match="scores"):
        reliability_figures([np.inf], [1])
