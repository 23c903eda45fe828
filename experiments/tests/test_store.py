"""The store of runs: nothing is lost, nothing depends on the order."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from experiments import store
from experiments.plan import Run
from experiments.store import Corpus, Store
from spacy_btl.scoring.counts import document_counts

TOKENS = [(2 * i, 2 * i + 1) for i in range(4)]
GOLD = [("A", (TOKENS[0],)), ("B", (TOKENS[1],))]
FOUND = {
    "all": document_counts(GOLD, GOLD, TOKENS),
    "some": document_counts(GOLD, GOLD[:1], TOKENS),
    "more": document_counts(GOLD, [*GOLD, ("C", (TOKENS[3],))], TOKENS),
    "empty": document_counts([], [], []),
}


def parts_of(*found: str) -> store.Parts:
    documents = {f"d{i}": FOUND[name] for i, name in enumerate(found)}
    return {
        "dev": {"model": {"e": FOUND["empty"]}},
        "test": {"model": documents, "mixed": documents},
    }


def test_a_run_comes_back_as_it_was(tmp_path: Path) -> None:
    run, parts = Run("c", "e", "a", 0), parts_of("all", "some", "more")
    assert Store(tmp_path).summary(run) is None
    Store(tmp_path).add(run, {"seconds": 1.5}, parts)
    found = {part: Store(tmp_path).counts(run, part) for part in parts}
    assert found == parts
    assert [list(documents) for documents in found["test"].values()] == [["d0", "d1", "d2"]] * 2
    assert Store(tmp_path).summary(run) == {"seconds": 1.5}


def test_a_later_run_replaces_an_earlier_one_and_no_other(tmp_path: Path) -> None:
    own, other = Run("c", "e", "a", 0), Run("c", "e", "a", 1)
    Store(tmp_path).add(own, {"n": 1}, parts_of("all"))
    Store(tmp_path).add(other, {"n": 2}, parts_of("some"))
    Store(tmp_path).add(own, {"n": 3}, parts_of("more"))
    assert [Store(tmp_path).summary(run) for run in (own, other)] == [{"n": 3}, {"n": 2}]
    assert Store(tmp_path).counts(own, "test") == parts_of("more")["test"]


def test_the_order_of_runs_does_not_matter() -> None:
    counts = {"e/a/0": parts_of("all", "some"), "e/b/0": parts_of("more", "all")}
    one = Corpus({"e/a/0": {"n": 1}, "e/b/0": {"n": 2}}, counts)
    other = Corpus(dict(reversed(one.summaries.items())), dict(reversed(counts.items())))
    assert store.encode(one) == store.encode(other)


def test_runs_that_end_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    runs = [Run("c", "e", "a", seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda run: Store(tmp_path).add(run, {"n": run.seed}, {}), runs))
    assert [Store(tmp_path).summary(run) for run in runs] == [{"n": i} for i in range(8)]
    assert {path.name for path in tmp_path.iterdir()} - {".lock"} == {"c.xz"}


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            {"test": {"model": {"d0": document_counts(GOLD[:1], [], TOKENS)}}},
            "document d0 has other gold counts in another run",
        ),
        (
            {"test": {"model": {"d0": FOUND["all"]}, "mixed": {}}},
            "the ways of reading a part have other documents",
        ),
    ],
)
def test_runs_that_do_not_fit_are_refused(tmp_path: Path, parts: store.Parts, message: str) -> None:
    Store(tmp_path).add(Run("c", "e", "a", 0), {"n": 1}, parts_of("all"))
    with pytest.raises(ValueError, match=message):
        Store(tmp_path).add(Run("c", "e", "a", 1), {"n": 2}, parts)
    assert Store(tmp_path).summary(Run("c", "e", "a", 1)) is None
