"""Number of threads of a search: those of torch, and one in a worker."""

import multiprocessing
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from spacy_btl.neighbors import index
from spacy_btl.neighbors.index import one_blas_thread, run_all
from spacy_btl.neighbors.pruned import PrunedSearch
from spacy_btl.util.process import usable_threads

HAS_FORK = pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="no fork"
)


@pytest.fixture(autouse=True)
def restored_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("torch_threads", "cpus", "expected"), [(1, 16, 1), (3, 16, 3), (16, 2, 2), (16, 16, 16)]
)
def test_as_many_as_torch_takes(
    torch_threads: int, cpus: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(cpus), raising=False)
    torch.set_num_threads(torch_threads)
    assert usable_threads() == expected


def test_one_in_a_worker_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in one that was not forked, where torch takes all CPUs."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(16), raising=False)
    monkeypatch.setattr(multiprocessing, "parent_process", object)
    torch.set_num_threads(4)
    assert usable_threads() == 1


def _put_n_threads(search: PrunedSearch, result: Any) -> None:
    result.put(search.n_threads)


def _enter() -> None:
    with one_blas_thread():
        pass


@HAS_FORK
def test_a_fork_while_another_thread_holds_the_lock() -> None:
    with index._lock:
        process = multiprocessing.get_context("fork").Process(target=_enter)
        process.start()
        process.join(timeout=30)
        process.kill()
    assert process.exitcode == 0


@HAS_FORK
def test_an_index_built_before_the_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    """A used pipeline has such an index in the processes of `nlp.pipe`."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(16), raising=False)
    keys = np.random.default_rng(0).normal(size=(200, 5))
    search = PrunedSearch(keys, np.zeros(200, dtype=np.int64), 1)
    torch.set_num_threads(4)
    assert search.n_threads == 4
    assert PrunedSearch(keys, search.labels, 1, n_threads=3).n_threads == 3
    context = multiprocessing.get_context("fork")
    result = context.Queue()
    process = context.Process(target=_put_n_threads, args=(search, result))
    process.start()
    assert result.get(timeout=30) == 1
    process.join()


def blas_threads() -> list[int]:
    return [part["num_threads"] for part in threadpool_info() if part["user_api"] == "blas"]


def test_blas_has_one_thread_within_a_search_and_its_own_again_after() -> None:
    with threadpool_limits(3, user_api="blas"):
        before = blas_threads()
        with one_blas_thread():
            within = run_all([blas_threads] * 4, n_threads=2)
            assert set(blas_threads()) == {1}  # the inner context has not ended the outer one
        assert blas_threads() == before
    assert set(np.ravel(within)) == {1}
