"""Several processes, or a Ray cluster, write what one process writes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import spacy

from spacy_btl.annotate.engines import MAX_TASKS, RayWorker, check_engine, n_tasks, run_shards
from spacy_btl.annotate.inputs import Fields
from spacy_btl.annotate.shards import Shard, Slice
from spacy_btl.annotate.worker import Job
from tests.helpers.annotating import annotate, by_pipeline, found, train, write
from tests.helpers.files import tree

SHARD = Shard(0, (Slice("", 0, 1, 1),))


@pytest.mark.parametrize("engine", ["local", "ray"])
def test_engines_that_are_there(engine: str) -> None:
    if engine == "ray":
        pytest.importorskip("ray", reason="needs the extra ray")
    check_engine(engine)


def test_no_shard_is_left() -> None:
    job = Job("no-model", "no-input", "no-output", "jsonl", "jsonl", Fields())
    assert list(run_shards("local", job, [], 2)) == []


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("trained") / "model")


def test_two_processes_write_what_one_writes(model: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl")
    annotate(model, source, tmp_path / "one", shard_size=4)
    annotate(model, source, tmp_path / "two", shard_size=4, n_process=2)
    assert tree(tmp_path / "two") == tree(tmp_path / "one")


def make_job(tmp_path: Path, **settings: Any) -> Job:
    source = write(tmp_path / "in.jsonl", [("a", "No fever")])
    model = tmp_path / "model"  # without a component that Ray's workers do not know
    spacy.blank("en").to_disk(model)
    output = str(tmp_path / "out")
    return Job(str(model), str(source), output, "jsonl", "jsonl", Fields(), **settings)


@pytest.mark.parametrize("work", ["made", "called"])
def test_a_failing_worker_of_ray_returns_why(tmp_path: Path, work: str) -> None:
    """The result does not depend on Ray's handling of the exception."""
    job = make_job(tmp_path, spans="x" if work == "made" else None)
    (tmp_path / "out").write_text("no folder")
    result = RayWorker(job)({"shard": [SHARD.to_json()]})  # type: ignore[dict-item]
    (why,), (trace,) = result["failure"], result["trace"]
    expected = "ValueError: the pipeline writes no" if work == "made" else "NotADirectoryError: "
    assert str(why).startswith(expected)
    assert "annotate/worker.py" in str(trace)


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    ray = pytest.importorskip("ray", reason="needs the extra ray")
    pytest.importorskip("ray.data", reason="needs the extra ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(
            address="local",
            num_cpus=2,
            include_dashboard=False,
            object_store_memory=100 * 2**20,
            log_to_driver=False,
        )
        yield
        ray.shutdown()


@pytest.mark.usefixtures("cluster")
def test_a_ray_cluster_writes_what_one_process_writes(model: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl")
    annotate(model, source, tmp_path / "one", shard_size=4)
    annotate(model, source, tmp_path / "ray", shard_size=4, n_process=2, engine="ray")
    assert tree(tmp_path / "ray") == tree(tmp_path / "one")
    assert found(tmp_path / "ray", "jsonl") == by_pipeline(model)


@pytest.mark.usefixtures("cluster")
def test_the_failure_of_a_worker_of_ray_is_the_message(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    (tmp_path / "out").write_text("no folder")
    with pytest.raises(ChildProcessError, match=r"Ray failed: NotADirectoryError: .*out") as caught:
        list(run_shards("ray", job, [SHARD], 1))
    assert "annotate/worker.py" in str(caught.value.__cause__)


@pytest.mark.parametrize(
    ("n_shards", "n_process", "tasks"),
    [
        (1, 1, 1),
        (1, 8, 1),
        (3, 2, 2),
        (7, 2, 2),
        (40, 2, 10),
        (40, 64, 40),
        (5_000_000, 64, MAX_TASKS),
        (5_000_000, 20_000, 20_000),
    ],
)
def test_the_driver_of_ray_has_few_tasks(n_shards: int, n_process: int, tasks: int) -> None:
    assert n_tasks(n_shards, n_process) == tasks
